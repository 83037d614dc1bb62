"""DICOM: one study a case, its series told apart by their headers when the case is read."""

from __future__ import annotations

import re
from pathlib import Path

import SimpleITK as sitk

from .base import ROLES, Found, Layout, by_role
from .folder import Folder

_STUDY, _PATIENT = "0020|000d", "0010|0020"
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
            return study_of(path)
    return ""


def _first(places: list[Path]) -> Path:
    """The first folder that has DICOM files."""
    return next(place for place in places if _study_in(place))


def _patient(folder: Folder) -> str:
    """What scans of the patient share: the id, which stays in memory; '' for none."""
    for name in folder.others[:_LOOKED_AT]:
        if is_dicom(folder.path / name):
            return _value(folder.path / name, _PATIENT) or ""
    return ""


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM part 10."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def study_of(path: Path) -> str:
    """The Study Instance UID of a DICOM file; its path's folder where it cannot be read."""
    study = _value(path, _STUDY)
    return str(path.parent) if study is None else study


def _value(path: Path, key: str) -> str | None:
    """An attribute's text; None where the file cannot be read or does not have it."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else None
    except RuntimeError:
        return None
