"""DICOM: one study a case, its series told apart by their headers when the case is read."""

from __future__ import annotations

import re
from pathlib import Path

from ...dicom_header import is_dicom, read_header
from ...errors import CaseError
from .base import ROLES, Found, Layout, by_role
from .folder import Folder

_GENERATED = re.compile(r"[\d.]{16,}|[0-9a-f]{16,}|\d{1,8}", re.IGNORECASE)
_LOOKED_AT = 4


class Dicom(Layout):
    """``PATIENT/STUDY/SERIES/*.dcm``, ``CASE/SERIES/*.dcm``, ``CASE/*.dcm``; a SEG as mask, or NIfTI beside.

    Source: DICOM PS3.3 (C.7.3.1 series, C.7.2.1 study); folders as The Cancer Imaging Archive's downloader
    and hospital exports make them. A case is a study: folders whose files have one Study Instance UID. Which
    series is T1, T2 or FLAIR is decided when it is read, by contrast agent, description and timing.
    """

    name = "dicom"
    title = "DICOM studies"
    example = "PATIENT/STUDY/SERIES/*.dcm, the mask as DICOM SEG or as a NIfTI file beside the series"
    source = "DICOM PS3.3"
    labels = "every segment is tumour"
    endings = by_role("t1", "t2", "flair", "mask")

    def find(self, folder: Folder) -> list[Found]:
        """The study that the folder is: its series directly in it, or each in a folder below it."""
        places = [folder.path / child for child in folder.folders]
        if not folder.others and not places:
            return []
        studies = [study for study in (_study_in(place) for place in places[:_LOOKED_AT]) if study]
        own = _study(folder)
        is_one = own or (studies and len(set(studies)) == 1 and _is_one_study(places, studies[0]))
        if not is_one:
            return []
        paths = dict.fromkeys(ROLES, folder.path)
        patient = _patient(folder if own else Folder.read(_first(places)))
        return [Found(_case(folder), folder.path, paths, patient=patient)]


def _case(folder: Folder) -> str:
    """The folder's name, with the patient's before it where it was made by a machine (a UID, a date)."""
    above = Path(folder.path).absolute().parent.name
    return f"{above}_{folder.name}" if above and _GENERATED.fullmatch(folder.name) else folder.name


def _is_one_study(places: list[Path], study: str) -> bool:
    """Whether what lies below each folder is of this study, and at least two folders have DICOM files."""
    found = [_study_in(place) for place in places]
    return sum(item == study for item in found) > 1 and all(item in ("", study) for item in found)


def _study_in(place: Path) -> str:
    """The study of the DICOM files right in a folder, or ''."""
    try:
        return _study(Folder.read(place))
    except OSError:
        return ""


def _study(folder: Folder) -> str:
    """Study Instance UID of the first DICOM file among the first files of a folder, or ''."""
    for name in folder.others[:_LOOKED_AT]:
        path = folder.path / name
        if is_dicom(path):
            return _study_of(path)
    return ""


def _first(places: list[Path]) -> Path:
    """The first folder that has DICOM files."""
    return next(place for place in places if _study_in(place))


def _patient(folder: Folder) -> str:
    """What scans of the patient share: the id, which stays in memory; '' for none."""
    for name in folder.others[:_LOOKED_AT]:
        if is_dicom(folder.path / name):
            return _text(folder.path / name, "PatientID")
    return ""


def _study_of(path: Path) -> str:
    """The Study Instance UID of a DICOM file; the path of its folder where it has none or cannot be read."""
    return _text(path, "StudyInstanceUID") or str(path.parent)


def _text(path: Path, keyword: str) -> str:
    try:
        return read_header(path).text(keyword)
    except CaseError:
        return ""
