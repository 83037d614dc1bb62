"""Visits: ``PATIENT/2020-01-01`` and ``PATIENT_2020-01-01`` are scans of PATIENT, and no patients of their own.

Where a data set has names of its own its layout knows whose scan a case is; this is for all other folders.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .layouts import Folder, Found, Layout
from .visit_names import holds_visits, is_visit, may_be_visit, split_visit

Cases = Sequence[tuple[Layout, Found]]

_DIAGNOSIS = (
    r"(hgg|lgg|gbm|(glio|astro|oligo)[a-z]*|(low|high)[-_ ]?grade(glio[a-z]*)?|tumou?rs?"
    r"|(grade|who)[-_ ]?([1-4]|i{1,3}|iv)|idh[-_ ]?[12]?([-_ ]?(mut(ant|ated|ation)?|wild[-_ ]?type|wt))?)"
)
_OF_PATIENTS = re.compile(
    rf"{_DIAGNOSIS}([-_ ]+{_DIAGNOSIS})*"
    r"|(?!.*\d[-_ ]\d{3,}$).*(site|cent(er|re)|clinic|hospital|institut|scanner|group|cohort"
    r"|collection|batch|fold|data|patients|subjects|cases|images|train|test|valid).*",
    re.IGNORECASE,
)
"""Folders that are no patient's: what lies in them are patients, however called. ``SITE01-0003`` is one's, and
``glioma_12``."""


def with_patient_named(layout: Layout, found: Found) -> Found:
    """The case of a visit's folder, called PATIENT_VISIT; any other as it is."""
    folder = Path(found.folder).absolute()
    if found.patient or layout.owns(found.case) or not is_visit(folder.name):
        return found
    patient = _patient_folder(folder)
    return _renamed(found, patient) if patient else found


def with_visits(found: Cases, source: Path) -> list[tuple[Layout, Found]]:
    """Cases of visits with the patient whose folder they lie in, or whose name stands before the visit's.

    The patient's folder lies in the source and is not it, unless it is a case itself. ``1`` and ``scan1`` may
    be patients as well as visits: they are visits where other cases lie elsewhere, and a mere number only where
    the folder above is called like a patient, with a number too, and several are so.
    """
    shared = Counter(case.folder for _layout, case in found)  # a folder of many cases is no visit
    single = {case.folder: (layout, case) for layout, case in found if shared[case.folder] == 1}
    patients = [
        _patient_of(layout, case, source, single) if case.folder in single else None for layout, case in found
    ]
    folders = [case.folder for _layout, case in found]
    sure = _sure(folders, patients)
    sure = _with_first_scans(_with_named(sure, found, single), folders, single)
    names = {**_names(sure, [case.case for _layout, case in found], source), **_told(sure, single)}
    return [
        (layout, replace(_renamed(case, patient), subject=names[patient]) if patient else case)
        for (layout, case), patient in zip(found, sure, strict=True)
    ]


def _patient_of(
    layout: Layout, case: Found, source: Path, single: Mapping[Path, tuple[Layout, Found]]
) -> Path | None:
    """The folder of the patient whose visit a case may be."""
    if case.patient or layout.owns(case.case) or not case.folder.is_relative_to(source):
        return None
    if not (is_visit(case.folder.name) or may_be_visit(case.folder.name)):
        return None
    above = [p for p in case.folder.parents if p in single and lies_as_visit(case.folder, p)]
    if outermost := next((place for place in reversed(above) if not is_visit(place.name)), None):
        return outermost
    patient = _patient_folder(case.folder)
    is_inside = patient and patient != source and patient.is_relative_to(source)
    return patient if is_inside else None


def lies_as_visit(folder: Path, patient: Path) -> bool:
    """Whether a folder below a patient's is called like a visit, and so are those between, or like many."""
    *between, name = folder.relative_to(patient).parts
    return is_visit(name) and all(is_visit(part) or holds_visits(part) for part in between)


def _sure(folders: Sequence[Path], patients: Sequence[Path | None]) -> list[Path | None]:
    """The patients whose visits cases surely are, by what all cases together tell."""
    numbered = {p for p, f in zip(patients, folders, strict=True) if p and f.name.isdecimal()}
    are_visits = len(numbered) > 1 and all(re.search(r"\d", patient.name) for patient in numbered)
    below = Counter(place for folder in folders for place in (folder, *folder.parents))

    def is_sure(folder: Path, patient: Path) -> bool:
        if is_visit(folder.name):
            return True
        return below[patient] < len(folders) and (are_visits or not folder.name.isdecimal())

    return [p if p and is_sure(f, p) else None for f, p in zip(folders, patients, strict=True)]


def _with_named(
    patients: Sequence[Path | None], found: Cases, single: Mapping[Path, tuple[Layout, Found]]
) -> list[Path | None]:
    """Patients whose visits lie beside each other, called PATIENT_VISIT, as if they had a folder there."""
    free = [
        patient is None and not case.patient and not layout.owns(case.case)
        for patient, (layout, case) in zip(patients, found, strict=True)
    ]
    beside: dict[Path, list[str]] = {}
    for (_layout, case), is_free in zip(found, free, strict=True):
        if is_free:
            beside.setdefault(_place(case, single), []).append(case.case)
    named = {place: _named_patients(names) for place, names in beside.items()}
    return [
        _place(case, single) / name
        if is_free and (name := named[_place(case, single)].get(case.case.casefold()))
        else patient
        for patient, (_layout, case), is_free in zip(patients, found, free, strict=True)
    ]


def _place(case: Found, single: Mapping[Path, tuple[Layout, Found]]) -> Path:
    """The folder in which a case lies, with its files or with a folder of its own."""
    return case.folder.parent if case.folder in single else case.folder


def _named_patients(cases: Sequence[str]) -> dict[str, str]:
    """The patient by case, of cases beside each other that are called PATIENT_VISIT.

    They are so where a patient has several; where names have no numbers, or visits may be something else, only
    if two have a visit of one name: ``scan_20200101`` and ``scan_20200102`` may be two patients.
    """
    split = {case: split_visit(case) for case in cases}
    split = {case: parts for case, parts in split.items() if parts[0] and not _OF_PATIENTS.fullmatch(parts[0])}
    sure = {case: parts for case, parts in split.items() if is_visit(parts[1])}
    is_repeated = max(Counter(visit.casefold() for _name, visit in split.values()).values(), default=0) > 1
    chosen = split if is_repeated and all(re.search(r"\d", name) for name, _visit in split.values()) else sure
    patients = {name.casefold(): name for name, _visit in chosen.values()}
    named = {case.casefold(): patients[name.casefold()] for case, (name, _visit) in chosen.items()}
    named.update({case.casefold(): patients[case.casefold()] for case in cases if case.casefold() in patients})
    is_clear = is_repeated or all(re.search(r"\d", name) for name in patients)
    return named if is_clear and len(named) > len(patients) else {}


def _with_first_scans(
    patients: Sequence[Path | None], folders: Sequence[Path], single: Mapping[Path, tuple[Layout, Found]]
) -> list[Path | None]:
    """The patient, too, of cases that lie right in the folder in which their later visits lie."""
    later = set(patients)
    return [
        folder if patient is None and folder in single and folder in later else patient
        for patient, folder in zip(patients, folders, strict=True)
    ]


def _told(patients: Sequence[Path | None], single: Mapping[Path, tuple[Layout, Found]]) -> dict[Path, str]:
    """What a data set calls the patients of whose scans one lies right in their folders."""
    places = (patient for patient in dict.fromkeys(patients) if patient)
    cases = ((place, *single[place]) for place in places if place in single)
    return {place: layout.patient(case.case) for place, layout, case in cases if layout.owns(case.case)}


def _patient_folder(folder: Path) -> Path | None:
    """The nearest folder above that is no visit's; None where it is called like one of many patients."""
    above = next((p for p in folder.parents if not (is_visit(p.name) or holds_visits(p.name))), None)
    return None if above is None or not above.name or _OF_PATIENTS.fullmatch(above.name) else above


def _renamed(found: Found, patient: Path) -> Found:
    """The case with its patient before its own name, unless that says so already, or its folder is his."""
    name = Folder(patient).name
    is_named = found.folder == patient or found.case.lower().startswith(name.lower())
    return found if is_named else replace(found, case=f"{name}_{found.case}")


def _names(patients: Sequence[Path | None], cases: Sequence[str], source: Path) -> dict[Path, str]:
    """What each patient is called: after his folder; after the folders above it, too, where others are so."""
    others = [case.casefold() for patient, case in zip(patients, cases, strict=True) if not patient]
    folders = dict.fromkeys(patient for patient in patients if patient)
    counts = Counter([*others, *(Folder(folder).name.casefold() for folder in folders)])
    return {
        folder: name
        if counts[(name := Folder(folder).name).casefold()] == 1
        else "_".join(folder.relative_to(source).parts) or name
        for folder in folders
    }
