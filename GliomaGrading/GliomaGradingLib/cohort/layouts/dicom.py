"""DICOM: one study a case, its series told apart by their headers when the case is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import CaseError
from ...reading.dicom_header import is_dicom, read_header
from ..visit_names import is_visit
from .base import ROLES, Found, Layout, by_role
from .folder import Folder

_GENERATED = re.compile(r"[\d.]{16,}|[0-9a-f]{16,}|\d{1,8}|\d\d-\d\d-\d{4}-.*", re.IGNORECASE)
_WORD = (
    r"(anon(ym(ous|i[sz]ed)?)?|test|no-?name|de-?identified|unknown|none|null|not?|n/?a|removed|given|patient"
    r"|subject|name|id|xx+)"
)
_NO_ID = re.compile(rf"[0\W_]*|{_WORD}([\W_]+{_WORD})*", re.IGNORECASE)
"""What stands for the id of every patient where it was taken out: ``ANONYMOUS``, ``0``; not ``ANON-0042``."""
_SERIES = 12
"""Folders with DICOM files that are looked at before all are; among these are two of a study with several."""
_PLACES, _OTHERS = 32, 4
"""Folders that are looked at to find them, and those with other images: cohorts of these are large."""
_OPENED = 16
"""Files of a folder that are opened to find a DICOM file."""
_DICOM_SUFFIXES = (".dcm", ".ima")
_OTHER_SUFFIXES = (
    ".txt",
    ".json",
    ".xml",
    ".html",
    ".pdf",
    ".md",
    ".log",
    ".jpg",
    ".jpeg",
    ".png",
    ".bval",
    ".bvec",
)


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
        """The study that the folder is: its series directly in it, or each in a folder below it.

        Series of several studies of one patient side by side are one case that says so.
        """
        places = [folder.path / child for child in folder.folders]
        if not folder.others and not places:
            return []
        paths = dict.fromkeys(ROLES, folder.path)
        if own := _dicom_file(folder):
            return [Found(_case(folder), folder.path, paths, patient=_patient_of(own))]
        first = list(_first_files(places))
        studies = {_study_of(path) for path in first}
        if len(studies) == 1 and _is_one_study(places, *studies):
            return [Found(_case(folder), folder.path, paths, patient=_patient_of(first[0]))]
        if 1 < len(studies) < len(first) and (number := _studies_of_one(places)):
            problem = f"series of {number} studies lie side by side in it"
            remedy = "put the series of each study into a folder of its own, or list the cases in a table"
            return [Found(_case(folder), folder.path, {}, problem, remedy, _patient_of(first[0]))]
        return []


def _case(folder: Folder) -> str:
    """The folder's name, with the patient's before it where it tells of a time, or was made by a machine."""
    above = Path(folder.path).absolute().parent.name
    is_time = _GENERATED.fullmatch(folder.name) or is_visit(folder.name)
    return f"{above}_{folder.name}" if above and is_time else folder.name


def _is_one_study(places: list[Path], study: str) -> bool:
    """Whether what lies below each folder is of this study, and at least two folders have DICOM files."""
    found = [_study_of(path) for path in _files_in(places)]
    return len(found) > 1 and set(found) == {study}


def _studies_of_one(places: list[Path]) -> int:
    """How many studies of one patient the folders are series of; 0 where each may be a study of its own."""
    files = list(_files_in(places))
    series = sorted(Counter(map(_study_of, files)).values())
    is_split = len(series) > 1 and (series[-1] > 2 or series[-2] > 1)
    return len(series) if is_split and len({_patient_of(path) for path in files}) == 1 else 0


def _first_files(places: list[Path]) -> Iterator[Path]:
    """A DICOM file of each of the first folders that have any."""
    series = others = 0
    for place in places[:_PLACES]:
        folder = _read(place)
        if path := _dicom_file(folder):
            yield path
            series += 1
        others += bool(folder.volumes)
        if series == _SERIES or others == _OTHERS:
            return


def _files_in(places: list[Path]) -> Iterator[Path]:
    """A DICOM file of each folder that has any."""
    return (path for path in (_dicom_file(_read(place)) for place in places) if path)


def _read(place: Path) -> Folder:
    """A folder; as if it were empty where it cannot be read."""
    try:
        return Folder.read(place)
    except OSError:
        return Folder(place)


def _dicom_file(folder: Folder) -> Path | None:
    """The first DICOM file right in a folder, among those whose names are most like one's."""
    names = sorted(folder.others, key=_unlikeness)[:_OPENED]
    return next((folder.path / name for name in names if is_dicom(folder.path / name)), None)


def _unlikeness(name: str) -> int:
    return 0 if name.lower().endswith(_DICOM_SUFFIXES) else 2 if name.lower().endswith(_OTHER_SUFFIXES) else 1


def _patient_of(path: Path) -> str:
    """What scans of the patient share: the id, which stays in memory; '' where it says nothing."""
    told = _text(path, "PatientID")
    return "" if _NO_ID.fullmatch(told.strip()) else told


def _study_of(path: Path) -> str:
    """The Study Instance UID of a DICOM file; the path of its folder where it has none or cannot be read."""
    return _text(path, "StudyInstanceUID") or str(path.parent)


def _text(path: Path, keyword: str) -> str:
    try:
        return read_header(path).text(keyword)
    except CaseError:
        return ""
