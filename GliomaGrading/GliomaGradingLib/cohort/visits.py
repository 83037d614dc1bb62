"""Folders of visits: ``PATIENT/2020-01-01`` is a scan of PATIENT, and no patient of its own.

Where a data set has names of its own its layout knows whose scan a case is; this is for all other folders.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .layouts import Found, Layout

Cases = Sequence[tuple[Layout, Found]]

_YEAR, _MONTH, _DAY = r"(19|20)\d\d", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_DATE = (
    rf"{_YEAR}[-_. ]{_MONTH}[-_. ]{_DAY}|{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rf"|{_DAY}[-_. ]{_MONTH}[-_. ]{_YEAR}|{_MONTH}[-_. ]{_DAY}[-_. ]{_YEAR}"
)
_VISIT = re.compile(
    rf"({_DATE})([-_ t.]?\d\d[-:_.h]?\d\d([-:_.]?\d\d)?)?"
    r"|ses-[a-z0-9]+"
    r"|(session|ses|visit|vis|tp|time[-_ ]?point|fu|follow[-_ ]?up)[-_ ]?\d{1,3}"
    r"|(day|week|month|year)[-_ ]?\d{1,4}([-_]\d{1,2})?|\d{1,3}[-_ ]?(days?|weeks?|months?|years?)"
    r"|baseline|base|initial|follow[-_ ]?up"
    r"|(pre|post|intra)[-_ ]?(op|operative|operation|surgery|surgical|treatment|therapy|rt)",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(r"((v|t|scan|exam|mri?|study)[-_ ]?)?\d{1,3}", re.IGNORECASE)
"""What a patient's folder may be called as well as a visit's."""
_OF_VISITS = re.compile(r"sessions|visits|scans|time[-_ ]?points", re.IGNORECASE)
"""Folders between a patient's and his visits'."""
_OF_PATIENTS = re.compile(
    r"hgg|lgg|gbm|(?!.*\d[-_ ]\d{3,}$).*(site|cent(er|re)|clinic|hospital|institut|scanner|group|cohort"
    r"|collection|batch|fold|data|patients|subjects|cases|images|train|test|valid).*",
    re.IGNORECASE,
)
"""Folders that are no patient's, but ``SITE01-0003`` is: what lies in them are patients, however called."""


def is_visit(name: str) -> bool:
    """Whether a folder is called like a date, a session or a visit, and like nothing else."""
    return bool(_VISIT.fullmatch(name))


def with_patient_named(layout: Layout, found: Found) -> Found:
    """The case of a visit's folder, called PATIENT_VISIT; any other as it is."""
    folder = Path(found.folder).absolute()
    if found.patient or layout.owns(found.case) or not is_visit(folder.name):
        return found
    patient = _patient_folder(folder)
    return _renamed(found, patient) if patient else found


def with_visits(found: Cases, source: Path) -> list[tuple[Layout, Found]]:
    """Cases of visits with the patient whose folder they lie in, which lies in the source and is not it.

    ``1`` and ``scan1`` may be patients as well as visits: they are visits where other cases lie elsewhere, and
    a mere number only where the folder above is called like a patient, with a number too, and several are so.
    """
    shared = Counter(case.folder for _layout, case in found)  # a folder of many cases is no visit
    patients = [
        _patient_of(layout, case, source) if shared[case.folder] == 1 else None for layout, case in found
    ]
    folders = [case.folder for _layout, case in found]
    sure = [
        patient if patient and _is_sure(folder, patient, folders, patients) else None
        for folder, patient in zip(folders, patients, strict=True)
    ]
    names = _names(sure, [case.case for _layout, case in found], source)
    return [
        (layout, replace(_renamed(case, patient), subject=names[patient]) if patient else case)
        for (layout, case), patient in zip(found, sure, strict=True)
    ]


def _patient_of(layout: Layout, case: Found, source: Path) -> Path | None:
    """The folder of the patient whose visit a case may be."""
    if case.patient or layout.owns(case.case) or not case.folder.is_relative_to(source):
        return None
    if not (is_visit(case.folder.name) or _DOUBTFUL.fullmatch(case.folder.name)):
        return None
    patient = _patient_folder(case.folder)
    is_inside = patient and patient != source and patient.is_relative_to(source)
    return patient if is_inside else None


def _is_sure(folder: Path, patient: Path, folders: Sequence[Path], patients: Sequence[Path | None]) -> bool:
    if is_visit(folder.name):
        return True
    if all(other.is_relative_to(patient) for other in folders):
        return False
    if not folder.name.isdecimal():
        return True
    above = {p for p, f in zip(patients, folders, strict=True) if p and f.name.isdecimal()}
    return len(above) > 1 and all(re.search(r"\d", p.name) for p in above)


def _patient_folder(folder: Path) -> Path | None:
    """The nearest folder above that is no visit's; None where it is called like one of many patients."""
    above = next((p for p in folder.parents if not (is_visit(p.name) or _OF_VISITS.fullmatch(p.name))), None)
    return None if above is None or not above.name or _OF_PATIENTS.fullmatch(above.name) else above


def _renamed(found: Found, patient: Path) -> Found:
    """The case with its patient before its own name, unless that says so already."""
    is_named = found.case.lower().startswith(patient.name.lower())
    return found if is_named else replace(found, case=f"{patient.name}_{found.case}")


def _names(patients: Sequence[Path | None], cases: Sequence[str], source: Path) -> dict[Path, str]:
    """What each patient is called: after his folder; after the folders above it, too, where others are so."""
    others = [case.casefold() for patient, case in zip(patients, cases, strict=True) if not patient]
    folders = dict.fromkeys(patient for patient in patients if patient)
    counts = Counter([*others, *(folder.name.casefold() for folder in folders)])
    return {
        folder: folder.name
        if counts[folder.name.casefold()] == 1
        else "_".join(folder.relative_to(source).parts)
        for folder in folders
    }
