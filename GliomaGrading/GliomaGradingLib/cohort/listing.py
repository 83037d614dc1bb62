"""What is in a cohort: the layout, the cases with their grades, what is missing, what was skipped and why."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CaseError, UsageError, printable
from ..files import absolute
from ..wording import some_of
from ..words import HGG, LGG
from .entry import MANIFEST, CaseEntry, clean_name
from .grades import (
    CohortGrades,
    CohortNames,
    GradeTable,
    Names,
    Word,
    by_one_naming,
    find_grades,
    key,
    no_grade,
    parse_grade,
    read_grades,
)
from .layouts import AUTO, LAYOUTS, ROLES, Flat, Folder, Found, Layout, chosen_layouts
from .manifest import COLUMNS, SUFFIXES, read_manifest
from .visit_names import AFTER_TREATMENT, is_after_treatment, split_visit
from .visits import with_visits
from .walk import Skipped, Walk, cases_below

__all__ = ["CaseEntry", "Cohort", "Skipped", "describe", "find_cohort", "to_dict"]

SCHEMA = "glioma-grading/cohort/1"
_NUMBERED = "patient {}"
"""What patients are called whose ids are not told."""
_SHOWN_REMEDIES = 5
"""Cases with a problem whose remedy a listing tells: it is much the same for all."""


@dataclass(frozen=True)
class Cohort:
    """The cases of a folder or a manifest.

    Args:
        source: as given. layout: name of the layout that most cases have. why: how it was recognised.
        cases: in the order of their paths, or of the manifest's rows.
        skipped: folders and scans that are no cases to grade.
        notices: what the user should know.
        gradeNotices: those of them that are about grades: where these are from, or why they are not known.
    """

    source: Path
    layout: str
    why: str
    cases: tuple[CaseEntry, ...]
    skipped: tuple[Skipped, ...] = ()
    notices: tuple[str, ...] = ()
    gradeNotices: tuple[str, ...] = ()

    @property
    def unread(self) -> tuple[Skipped, ...]:
        """What could not be looked into; there may be cases in it."""
        return tuple(item for item in self.skipped if item.isUnread)

    @property
    def complete(self) -> tuple[CaseEntry, ...]:
        """The cases that can be graded, as far as their files' names tell."""
        return tuple(entry for entry in self.cases if not entry.problem)

    @property
    def graded(self) -> tuple[CaseEntry, ...]:
        """The complete cases with a known grade."""
        return tuple(entry for entry in self.complete if entry.grade)


def find_cohort(
    source: str | Path,
    layout: str = AUTO,
    grades: str | Path | None = None,
    left_out: Path | None = None,
) -> Cohort:
    """List the cases of a folder in a known layout, or of a manifest. No volume is opened.

    Args:
        layout: ``auto``, ``manifest``, or one of ``layouts.NAMES``.
        grades: a table of grades; what it says goes before what the layout finds.
        left_out: a folder in it that is not looked into, such as that of a batch's results.

    Raises:
        UsageError: there is no such folder or layout, no case, or a table that was named is unusable.
    """
    source = Path(source)
    given = read_grades(Path(grades)) if grades else None
    place = absolute(source)  # a folder's own name tells, of grades and patients, and "." does not show it
    if _is_manifest(source, layout):
        cohort, ids = _of_manifest(place), list[str]()
    else:
        cohort, ids = _of_folder(place, layout, left_out)
    return replace(_with_given_grades(cohort, given, ids) if given else cohort, source=source)


def _is_manifest(source: Path, layout: str) -> bool:
    if not source.exists():
        raise UsageError("there is no such folder or file", source, "check the path")
    if source.is_dir():
        if layout == MANIFEST:
            raise UsageError("this is a folder, not a manifest", source, f"give a CSV file with {COLUMNS}")
        return False
    if layout not in (AUTO, MANIFEST) or source.suffix.lower() not in SUFFIXES:
        raise UsageError(
            "this is a file, not a folder of cases", source, f"give a folder, or a CSV file with {COLUMNS}"
        )
    return True


def _of_manifest(source: Path) -> Cohort:
    read = read_manifest(source)
    odd = (
        f"{no_grade(read.odd_grades, source.name)}: understood are LGG, HGG, 2, 3, 4" if read.odd_grades else ""
    )
    notices = tuple(filter(None, (odd, read.unread)))
    why = f"a table of {len(read.cases)} case{'s' * (len(read.cases) != 1)}"
    return Cohort(source, MANIFEST, why, read.cases, notices=notices, gradeNotices=notices)


def _of_folder(source: Path, layout: str, left_out: Path | None) -> tuple[Cohort, list[str]]:
    """The cohort, and of each case the patient's id that its files tell: it is compared, and never shown."""
    try:
        layouts = chosen_layouts(layout)
    except CaseError as error:
        raise UsageError(error.problem, remedy=f"{error.remedy}, {MANIFEST}") from None
    walk = cases_below(source, layouts, left_out)
    if not walk.found:
        raise _no_case(source, walk, layout)
    wanted, skipped = _fit(_alike(walk.found), source, layout)
    wanted = with_visits(wanted, source)
    tables, unread = find_grades([*walk.tables, *_tables_above(source)])
    entries = [_entry(found_by, found, source) for found_by, found in _numbered_patients(wanted)]
    entries = _with_clean_patients([replace(entry, case=clean_name(entry.case)) for entry in entries])
    data_sets = [layout.data_set(found) for layout, found in wanted]
    entries, told = _with_grades(entries, tables, data_sets)
    main, why = _recognised(wanted or walk.found)
    notices = (*unread, *_notes(wanted), *told, *_mixed(wanted))
    entries, renamed = _with_unique_names(source, entries)
    entries = _with_patients(data_sets, entries)
    rest = sorted([*walk.skipped, *skipped], key=lambda item: str(item.path))
    cohort = Cohort(source, main.name, why, tuple(entries), tuple(rest), (*notices, *renamed), (*unread, *told))
    return cohort, [found.patient for _layout, found in wanted]


def _alike(found: list[tuple[Layout, Found]]) -> list[tuple[Layout, Found]]:
    """Incomplete cases by the layout of the whole ones, where it explains as much: its message fits better."""
    counts = Counter(layout.name for layout, case in found if not case.problem)
    main = max(LAYOUTS, key=lambda layout: counts[layout.name])
    return [_by(main, *entry) if counts and entry[1].problem else entry for entry in found]


def _by(main: Layout, layout: Layout, found: Found) -> tuple[Layout, Found]:
    if main is layout or layout.owns(found.case) or main.only_own_names or isinstance(layout, Flat):
        return layout, found
    other = main.find(Folder.read(found.folder))
    return (main, other[0]) if other and len(other[0].paths) >= len(found.paths) else (layout, found)


def _fit(
    cases: list[tuple[Layout, Found]], source: Path, asked_for: str
) -> tuple[list[tuple[Layout, Found]], list[Skipped]]:
    """Cases to grade, and those that their data set would not have graded, or only where it is asked for."""
    wanted, skipped = [], []
    shared = Counter(found.folder for _layout, found in cases)
    for layout, found in cases:
        reason = f"the case {found.again} once more" if found.again else layout.unfit(found, source)
        if not reason and layout.name != asked_for:
            reason = layout.on_request or _after_treatment(layout, found, source)
        if reason:
            files = found.paths.values() if shared[found.folder] > 1 else ()
            skipped.append(Skipped(next(iter(files), found.folder), reason))
        else:
            wanted.append((layout, found))
    return wanted, skipped


def _after_treatment(layout: Layout, found: Found, source: Path) -> str:
    """Why a case is not to be graded unless it is asked for: the name of its visit, or ''."""
    below = found.folder.relative_to(source).parts if found.folder.is_relative_to(source) else ()
    names = (*below, split_visit(found.case)[1]) if isinstance(layout, Flat) else below
    name = next(filter(is_after_treatment, names), None)
    if name is None:
        return ""
    return f"{name!r} says that it was {AFTER_TREATMENT}: --layout {layout.name} takes it all the same"


def _tables_above(source: Path) -> list[Path]:
    """Tables in the folder above: data sets put them beside the folder of the cases."""
    try:
        return [source.resolve().parent / name for name in Folder.read(source.resolve().parent).tables]
    except OSError:
        return []


def _numbered_patients(found: list[tuple[Layout, Found]]) -> list[tuple[Layout, Found]]:
    """Patients that files tell, by number: an id, or a digest of one, would tell who it is."""
    numbers: dict[str, int] = {}
    for _layout, case in found:
        if case.patient:
            numbers.setdefault(case.patient, len(numbers) + 1)
    return [
        (layout, replace(case, patient=_NUMBERED.format(numbers[case.patient])) if case.patient else case)
        for layout, case in found
    ]


def _with_clean_patients(entries: list[CaseEntry]) -> list[CaseEntry]:
    """Patients by names that can be written, which a folder's need not be; two that differ stay two."""
    patients = dict.fromkeys(entry.patient for entry in entries if entry.patient)
    taken = {entry.patient.casefold() or entry.case.casefold() for entry in entries}
    clean = {name: clean_name(name) for name in patients}
    names = {name: name if name == told else _free_name(told, taken) for name, told in clean.items()}
    return [replace(entry, patient=names.get(entry.patient, "")) for entry in entries]


def _with_patients(data_sets: list[str], entries: list[CaseEntry]) -> list[CaseEntry]:
    """A patient for each case; one id in several data sets that count their own (BIDS) is several patients."""
    where: dict[str, set[str]] = {}
    for data_set, entry in zip(data_sets, entries, strict=True):
        where.setdefault(entry.patient, set()).add(data_set)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(data_sets), 1)}
    return [
        replace(entry, patient=f"{entry.patient} of data set {numbers[data_set]}")
        if entry.patient and len(where[entry.patient]) > 1
        else replace(entry, patient=entry.patient or entry.case)
        for data_set, entry in zip(data_sets, entries, strict=True)
    ]


def _entry(layout: Layout, found: Found, source: Path) -> CaseEntry:
    """A case; one whose name is its owner's own, and not a data set's, has no patient yet."""
    patient = found.patient or found.subject or (layout.patient(found.case) if layout.owns(found.case) else "")
    return CaseEntry(
        case=found.case,
        files=dict(found.paths),
        layout=layout.name,
        folder=found.folder,
        mask_labels=layout.mask_labels,
        grade=_grade(layout, found, source),
        patient=patient,
        problem=found.problem,
        remedy=found.remedy,
    )


def _grade(layout: Layout, found: Found, source: Path) -> str | None:
    """What the data set says, else the name of a folder above: HGG or LGG.

    Files may be called as in a data set of one grade by chance; a name of its own is none.
    """
    every = layout.every_grade if layout.owns(found.case) else None
    return _told(layout.grade_of(found)) or every or _folder_grade(found.folder, source)


def _with_grades(
    entries: Sequence[CaseEntry],
    tables: Sequence[GradeTable],
    data_sets: Sequence[str],
    given: Sequence[Names] = (),
) -> tuple[list[CaseEntry], list[str]]:
    """Cases with the grades that tables tell, which go before what was found, and what is to be said of them.

    Args:
        data_sets: of each case, see ``Layout.data_set``.
        given: what a table that the user has named may call each case; it is meant for every case, and grades
            are expected of it.
    """
    names, isGiven = [*given] or [_names(entry) for entry in entries], bool(given)
    grades = [CohortGrades(table, names) for table in tables]
    graded, told_of = [], {one.table.path: list[tuple[str, Names]]() for one in grades}
    for entry, known, data_set in zip(entries, names, data_sets, strict=True):
        heard = [one for one in grades if isGiven or _speaks_of(one.table.path, data_set)]
        graded.append(_graded(entry, known, heard))
        for one in heard:
            told_of[one.table.path].append((entry.case, known))
    return graded, [note for one in grades for note in _about_table(one, told_of[one.table.path], isGiven)]


def _speaks_of(table: Path, data_set: str) -> bool:
    """Whether a table that was found is about a data set: where ids are its own, it lies above or within it."""
    above, root = table.parent.resolve(), Path(data_set).resolve()
    return not data_set or root.is_relative_to(above) or above.is_relative_to(root)


def _names(entry: CaseEntry) -> Names:
    """What tables may call a case: its own name and its patient's, but no number that this listing gave him."""
    is_numbered = entry.isFound and re.fullmatch(_NUMBERED.format(r"\d+"), entry.patient)
    known = (entry.case,) if is_numbered or not entry.patient else (entry.case, entry.patient)
    return Names(known, entry.patient or entry.case)


def _all_names(cohort: Cohort, ids: Sequence[str]) -> list[Names]:
    """What a table that the user has named may call each case: the folders above it and its patient's id, too.

    Of these a name counts that cases of one patient have, and no others.
    """
    own = [_names(entry) for entry in cohort.cases]
    others = [_folders(cohort.source, entry) for entry in cohort.cases]
    if ids:
        others = [
            (*folders, number) if number else folders for folders, number in zip(others, ids, strict=True)
        ]
    patients: dict[str, set[str]] = {}
    for names, more in zip(own, others, strict=True):
        for name in (*names.known, *more):
            patients.setdefault(key(name), set()).add(names.patient)
    return [
        Names((*names.known, *(n for n in more if len(patients[key(n)]) == 1)), names.patient)
        for names, more in zip(own, others, strict=True)
    ]


def _folders(source: Path, entry: CaseEntry) -> tuple[str, ...]:
    """Names of the folders between the input and a case, the nearest first."""
    is_below = entry.isFound and entry.folder.is_relative_to(source)
    return entry.folder.relative_to(source).parts[::-1] if is_below else ()


def _graded(entry: CaseEntry, names: Names, tables: Sequence[CohortGrades]) -> CaseEntry:
    """The first table that has a grade decides, the nearest above the case before others."""
    for table in sorted(tables, key=lambda table: _distance(table.table.path, entry.folder)):
        told = table.told(names)
        if told.word is Word.GRADE:
            return replace(entry, grade=told.grade)
        if told.word is Word.AT_ODDS:
            doubt = f"its rows or columns in {table.table.path.name} contradict each other"
            return replace(entry, grade=None, doubts=(*entry.doubts, doubt))
    return entry


def _distance(table: Path, folder: Path) -> float:
    """Folders from a case up to a table; none leads to one that does not lie above it."""
    is_above = folder.is_relative_to(table.parent)
    return len(folder.parts) - len(table.parent.parts) if is_above else math.inf


def _told(text: str | None) -> str | None:
    try:
        return parse_grade(text or "")
    except ValueError:
        return None


def _folder_grade(folder: Path, source: Path) -> str | None:
    below = folder.relative_to(source).parts if folder.is_relative_to(source) else ()
    names = [part.upper() for part in (source.name, *below)]
    return next((name for name in reversed(names) if name in (LGG, HGG)), None)


def _recognised(found: list[tuple[Layout, Found]]) -> tuple[Layout, str]:
    """The most frequent layout, the first of the list where several are, and the sentence about it."""
    counts = Counter(layout.name for layout, _found in found)
    main = max(LAYOUTS, key=lambda layout: counts[layout.name])
    share = (
        f"{counts[main.name]} of {len(found)} cases are called so" if len(found) > 1 else "a case is called so"
    )
    return main, f"{main.title} ({main.example}): {share}"


def _notes(found: list[tuple[Layout, Found]]) -> list[str]:
    return list(filter(None, dict.fromkeys(layout.note_on(case.case) for layout, case in found)))


def _about_table(grades: CohortGrades, cases: Sequence[tuple[str, Names]], isGiven: bool) -> Iterator[str]:
    path, unclear = grades.table.path, grades.table.unclear
    told: dict[Word, list[str]] = {word: [] for word in Word}
    for case, names in cases:
        told[grades.told(names).word].append(case)
    odd = f"{no_grade(unclear)}; " if unclear else ""
    if told[Word.GRADE]:
        columns = _of_columns(grades.table.columns)
        yield f"grades are from {path}, {columns}: {odd}WHO 2 and 3 count as LGG, 4 as HGG"
    elif isGiven and len(told[Word.ABSENT]) == len(cases):
        yield f"no case of this input is in {path}: {odd}its names have to be those of the cases"
    elif isGiven or told[Word.NOTHING]:
        yield f"no case of this input has a grade in {path}: {odd}understood are LGG, HGG, 2, 3, 4"
    if told[Word.AT_ODDS]:
        some = some_of(told[Word.AT_ODDS])
        yield f"rows or columns of {some} in {path} contradict each other: the grade is left unknown"
    if told[Word.ALIKE]:
        some = some_of(told[Word.ALIKE])
        yield f"{path} gives no grade to {some}: there or here, several names differ in zeros only"


def _of_columns(heads: Sequence[str]) -> str:
    return f"column{'s' * (len(heads) > 1)} {' and '.join(heads)}"


def _mixed(found: list[tuple[Layout, Found]]) -> Iterator[str]:
    counts = Counter(layout.name for layout, _found in found)
    if len(counts) > 1:
        parts = ", ".join(f"{number} {name}" for name, number in counts.most_common())
        yield f"several layouts are mixed: {parts}"


def _with_unique_names(source: Path, entries: list[CaseEntry]) -> tuple[list[CaseEntry], list[str]]:
    """Cases of one name are called after their path below the source, or, if need be, numbered."""
    counts = Counter(entry.case.casefold() for entry in entries)
    taken = {name for name, number in counts.items() if number == 1}
    unique, renamed = [], 0
    for entry in entries:
        if counts[entry.case.casefold()] > 1:
            entry = replace(entry, case=_free_name(_by_path(source, entry), taken))
            renamed += 1
        unique.append(entry)
    notice = f"{renamed} cases shared their name with another and are called after their folders"
    return unique, [notice] if renamed else []


def _by_path(source: Path, entry: CaseEntry) -> str:
    parts = entry.folder.relative_to(source).parts if entry.folder.is_relative_to(source) else ()
    above = parts if entry.folder.name not in entry.case else parts[:-1]
    while above and entry.case.startswith(f"{above[-1]}_"):  # a visit, which has its patient's name before it
        above = above[:-1]
    return clean_name("_".join((*above, entry.case)))


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


def _with_given_grades(cohort: Cohort, table: GradeTable, ids: Sequence[str]) -> Cohort:
    table, disagreement = by_one_naming(table, known := _all_names(cohort, ids))
    whose = CohortNames(table.patients, known)
    patients = [table.patients.get(whose.row(names)) for names in known]
    told_of = zip(cohort.cases, patients, strict=True)
    cohort = replace(cohort, cases=tuple(replace(e, patient=name) if name else e for e, name in told_of))
    cases, told = _with_grades(cohort.cases, [table], [""] * len(cohort.cases), known)
    told = [*filter(None, [disagreement]), *told]
    return replace(
        cohort,
        cases=tuple(cases),
        notices=(*cohort.notices, *told),
        gradeNotices=(*cohort.gradeNotices, *told),
    )


def _no_case(source: Path, walk: Walk, layout: str) -> UsageError:
    """What to say where nothing was found: why, or that another layout finds something."""
    remedy = f"give a folder that has a folder for each case, or a CSV file with {COLUMNS}"
    if layout == AUTO:
        return UsageError(f"there is no case{_why_skipped(source, walk.skipped)}", source, remedy)
    others = cases_below(source).found
    if others:
        main, _why = _recognised(others)
        remedy = f"--layout auto takes what is there for {main.name} ({len(others)} of it)"
    return UsageError(f"there is no case in the layout {layout}", source, remedy)


def check_cases(cohort: Cohort) -> None:
    """Raises: UsageError: all that was found is skipped."""
    if not cohort.cases:
        raise UsageError(
            f"there is no case{_why_skipped(cohort.source, cohort.skipped)}",
            cohort.source,
            "give a folder that has a folder for each case",
        )


def _why_skipped(source: Path, skipped: Sequence[Skipped]) -> str:
    """Why the first folder was skipped, and how many more were, in brackets."""
    if not skipped:
        return ""
    place = absolute(source)
    first = next((item for item in skipped if item.path == place), skipped[0])
    name = "" if first.path == place else f"{first.path.name}: "
    more = f"; and {len(skipped) - 1} more skipped" if len(skipped) > 1 else ""
    return f" ({name}{first.reason}{more})"


def describe(cohort: Cohort) -> str:
    """The listing for a terminal, for ``--dry-run``."""
    lines = [
        f"Input      {cohort.source}",
        f"Layout     {cohort.layout}: {cohort.why}",
        f"Cases      {len(cohort.cases)}: {len(cohort.complete)} complete, "
        f"{len(cohort.cases) - len(cohort.complete)} with a problem",
        f"Grades     {_grade_counts(cohort.cases)}",
        *(f"Note       {notice}" for notice in cohort.notices),
        *_table_of(cohort.cases),
        *_skipped_lines(cohort.skipped),
    ]
    return "".join(f"{printable(line)}\n" for line in lines)


def _grade_counts(cases: Iterable[CaseEntry]) -> str:
    grades = Counter(entry.grade for entry in cases)
    return f"{grades[LGG]} LGG, {grades[HGG]} HGG, {grades[None]} unknown"


def _table_of(cases: tuple[CaseEntry, ...]) -> list[str]:
    width = max(len("Case"), *(len(printable(entry.case)) for entry in cases)) if cases else 0
    rows = ["", f"{'Case':<{width}}  Grade  Files"]
    told = {entry.case for entry in [entry for entry in cases if entry.problem][:_SHOWN_REMEDIES]}
    return rows + [line for entry in cases for line in _lines(entry, width, entry.case in told)]


def _lines(entry: CaseEntry, width: int, says_remedy: bool) -> list[str]:
    remarks = [entry.remedy] if entry.remedy and says_remedy else []
    remarks += [f"? {doubt}" for doubt in entry.doubts]
    first = f"{printable(entry.case):<{width}}  {entry.grade or '-':<5}  {_files(entry)}"
    return [first, *(f"{'':<{width}}         {remark}" for remark in remarks)]


def _files(entry: CaseEntry) -> str:
    if entry.problem:
        return f"! {entry.problem}"
    if entry.shown:
        return entry.shown
    if len(set(entry.files.values())) == 1:
        return "a DICOM study"
    return " ".join(_short(entry, role) for role in ROLES)


def _short(entry: CaseEntry, role: str) -> str:
    """The file's name, a star in place of the case's."""
    path = entry.files[role]
    is_here = entry.layout == MANIFEST or path.parent == entry.folder
    return ("" if is_here else f"{path.parent.name}/") + _starred(path.name, entry.case)


def _starred(name: str, case: str) -> str:
    """A file's name with a star for the case where it begins with it."""
    return f"*{name.removeprefix(case)}" if name.startswith(case) else name


def _skipped_lines(skipped: tuple[Skipped, ...]) -> list[str]:
    return ["", "Skipped", *(f"{item.path}: {item.reason}" for item in skipped)] if skipped else []


def to_dict(cohort: Cohort) -> dict[str, Any]:
    """The listing as JSON has it."""
    return {
        "schema": SCHEMA,
        "source": str(cohort.source),
        "layout": cohort.layout,
        "why": cohort.why,
        "notices": list(cohort.notices),
        "cases": [_case_dict(entry) for entry in cohort.cases],
        "skipped": [{"path": str(item.path), "reason": item.reason} for item in cohort.skipped],
    }


def _case_dict(entry: CaseEntry) -> dict[str, Any]:
    return {
        "case": entry.case,
        "layout": entry.layout,
        "files": {role: str(path) for role, path in entry.files.items()},
        "mask_labels": list(entry.mask_labels) if entry.mask_labels else None,
        "grade": entry.grade,
        "patient": entry.patient,
        "problem": entry.problem,
        "doubts": list(entry.doubts),
    }
