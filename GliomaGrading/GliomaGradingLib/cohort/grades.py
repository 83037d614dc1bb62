"""Grades of cases from the tables that data sets come with, in the two classes of this project."""

from __future__ import annotations

import fnmatch
import itertools
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..words import HGG, LGG
from .layouts import LAYOUTS
from .layouts.base import GradeSource
from .tables import Table, read_table

WHO_GRADES = {2: LGG, 3: LGG, 4: HGG}
"""As BraTS, and so this project, has it: grade III is LGG. Others put it into HGG: look before comparing."""

CASES, PATIENTS = ("case", "case_id", "id"), ("patient", "patient_id", "subject", "subject_id")
ANY_TABLE = GradeSource(
    "*",
    ("known_grade", "grade", "who_grade", "who_cns_grade", "tumor_grade", "tumour_grade"),
    (*CASES, *PATIENTS, "participant_id"),
)
"""A table that a user gives: a column that names the case, and one with its grade."""
BESIDE_VOTES = replace(ANY_TABLE, grade=tuple(name for name in ANY_TABLE.grade if name != "grade"))
"""The table of a batch, with a column of known grades joined to it: what it calls grade is the vote."""
_OF_VOTES = ("decision", "probability_hgg", "*_probability_hgg", "agreement", "votes_for")
"""Columns of a batch's tables, of which some may have been taken away: any of them tells."""

_NO_VOTES = "give a table of known grades, or call its column of them known_grade"
_SHOWN = 3
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_UNKNOWN = {
    *("", "-1", "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "none", "null", "missing", "unknown", "not known"),
    *("not available", "not applicable", "not reported", "?", ".", "-", "--", "\u2013", "\u2014", "gx"),
}
_WHO = re.compile(
    r"((who|cns)[\s_-]*((2007|2016|2021)[\s_-]*)?)*((grade|gr\.?|g)[\s_-]*)?((?P<number>\d)(\.0+)?|(?P<roman>iv|i{1,3}))",
    re.IGNORECASE,
)
"""A sign stands after a word only: ``-4`` is a code for what is missing, and no grade."""


class Word(Enum):
    """What a table has for a case."""

    GRADE = "one grade"
    NOTHING = "a row, and no grade in it"
    AT_ODDS = "rows that contradict each other"
    ALIKE = "a row of a name that differs in zeros only, and not from this name alone"
    ABSENT = "no row"


class Told(NamedTuple):
    """What a table tells of a case: LGG, HGG or None, and why."""

    grade: str | None
    word: Word


class Naming(NamedTuple):
    """What one column that names cases tells: by the ``key`` of a name its rows' numbers, and what they say.

    ``head``: as the table has it.
    """

    head: str
    rows: Mapping[str, frozenset[int]]
    said: Mapping[str, frozenset[str]]
    patients: Mapping[str, str]


@dataclass(frozen=True)
class GradeTable:
    """Grades by case.

    Args:
        rows: by the ``key`` of the case's name in the table what its rows say: LGG, HGG, or a text that is no
            grade; nothing where they leave it open.
        unclear: what stood where a grade should be and was none ("grade 1", "mixed").
        patients: by the ``key`` of the case's name whose scan it is, where a column beside the cases' tells.
        columns: the heads of its columns of grades.
        namings: its columns that name cases, as they stand, where several may mean other things by one name.
    """

    path: Path
    rows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()
    patients: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    namings: tuple[Naming, ...] = ()

    def told(self, name: str) -> Told:
        """What the rows of exactly this name tell."""
        said = self.rows.get(key(name))
        if said is None:
            return Told(None, Word.ABSENT)
        if len(said) > 1:
            return Told(None, Word.AT_ODDS)
        grade = next((text for text in said if text in (LGG, HGG)), None)
        return Told(grade, Word.GRADE if grade else Word.NOTHING)


class Names(NamedTuple):
    """What tables may call a case, its own name first.

    ``patient``: what scans of one patient share, and no others; a table need not know it.
    """

    known: tuple[str, ...]
    patient: str


class CohortNames:
    """Which row of a table is about which case of one cohort.

    A case that the table does not name has the row of a name that differs in zeros before numbers only
    (UCSF-PDGM-004 for UCSF-PDGM-0004), where neither the table nor the cohort has another such name.

    Args:
        rows: the ``key`` of every name in the table.
        cases: the names of each case.
    """

    def __init__(self, rows: Iterable[str], cases: Iterable[Names]) -> None:
        self._exact = frozenset(rows)
        self._rows: dict[str, set[str]] = {}
        self._patients: dict[str, set[str]] = {}
        for name in self._exact:
            self._rows.setdefault(without_zeros(name), set()).add(name)
        for names in cases:
            for name in names.known:
                self._patients.setdefault(without_zeros(name), set()).add(key(names.patient))

    def row(self, names: Names) -> str:
        """The row of a case; '' where there is none, or it is not sure which."""
        exact = next((name for name in map(key, names.known) if name in self._exact), "")
        alike = next((name for name in map(without_zeros, names.known) if name in self._rows), "")
        is_sure = alike and len(self._rows[alike]) == 1 and len(self._patients[alike]) == 1
        return exact or (next(iter(self._rows[alike])) if is_sure else "")

    def is_alike(self, names: Names) -> bool:
        """Whether the table has a name that differs from a case's in zeros at most."""
        return any(without_zeros(name) in self._rows for name in names.known)


class CohortGrades:
    """What a table tells of the cases of one cohort, see ``CohortNames``."""

    def __init__(self, table: GradeTable, cases: Iterable[Names]) -> None:
        self.table = table
        self._names = CohortNames(table.rows, cases)

    def told(self, names: Names) -> Told:
        """What the table tells of a case."""
        if row := self._names.row(names):
            return self.table.told(row)
        return Told(None, Word.ALIKE if self._names.is_alike(names) else Word.ABSENT)


def by_one_naming(table: GradeTable, cases: Sequence[Names]) -> tuple[GradeTable, str]:
    """The table as the column has it that names most cases, where its columns disagree on which row is whose.

    A running number (``id``) may be called as the patient of another row is. Of two the first is taken.

    Returns:
        Also the sentence about it, '' where the columns agree.
    """
    found = [_found_by(naming, cases) for naming in table.namings]
    pairs = itertools.combinations(found, 2)
    if not any(_disagree(one, other, cases) for one, other in pairs):
        return table, ""
    number = max(range(len(found)), key=lambda n: sum(map(bool, found[n])))
    naming = table.namings[number]
    heads = " and ".join(naming.head for naming, rows in zip(table.namings, found, strict=True) if any(rows))
    notice = f"{table.path} has cases in different rows by its columns {heads}: only {naming.head} is read"
    return replace(table, rows=naming.said, patients=naming.patients), notice


def _found_by(naming: Naming, cases: Sequence[Names]) -> list[frozenset[int]]:
    """The rows that a column has for each case."""
    names = CohortNames(naming.rows, cases)
    return [naming.rows.get(names.row(case), frozenset()) for case in cases]


def _disagree(one: Sequence[frozenset[int]], other: Sequence[frozenset[int]], cases: Sequence[Names]) -> bool:
    """Whether two columns have one case in different rows, or one row for cases of different patients."""
    if any(a and b and not a & b for a, b in zip(one, other, strict=True)):
        return True
    whose: dict[int, set[str]] = {}
    for case, a, b in zip(cases, one, other, strict=True):
        for row in a if not b else ():
            whose.setdefault(row, set()).add(case.patient)
    found = ((row, case.patient) for case, a, b in zip(cases, one, other, strict=True) if not a for row in b)
    return any(row in whose and patient not in whose[row] for row, patient in found)


def parse_grade(text: str) -> str | None:
    """LGG or HGG for "HGG", "4", "IV", "WHO grade 2", "G3", "4.0"; None for what says nothing.

    Raises:
        ValueError: it says something else (WHO grade 1 too: the project grades diffuse gliomas, 2 to 4).
    """
    plain = text.strip().casefold()
    if plain in _UNKNOWN:
        return None
    if plain.upper() in (LGG, HGG):
        return plain.upper()
    match = _WHO.fullmatch(plain)
    number = (_ROMAN.get(match["roman"]) or int(match["number"])) if match else None
    if number not in WHO_GRADES:
        raise ValueError(text)
    return WHO_GRADES[number]


def no_grade(texts: Sequence[str], where: str = "it") -> str:
    """The sentence about texts that stand where a grade should be."""
    shown = ", ".join(map(repr, texts[:_SHOWN])) + (", ..." if len(texts) > _SHOWN else "")
    return f"{shown} in {where} is no grade that counts"


def without_zeros(name: str) -> str:
    """A name in lower case with numbers as numbers: UCSF-PDGM-004 and UCSF-PDGM-0004 are one patient."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", key(name))


def key(name: str) -> str:
    """A name as it is looked up: in lower case, and composed, as macOS decomposes the letters of file names."""
    return unicodedata.normalize("NFC", name).lower()


def known_text(text: str) -> str:
    """A cell's text; '' where it is a word for nothing known ("NA", "-")."""
    return "" if text.strip().casefold() in _UNKNOWN else text


def read_grades(path: Path) -> GradeTable:
    """The grades of a table that a user names: of a known data set, or with the columns case and grade.

    Raises:
        UsageError: it cannot be read, or has no such columns.
    """
    table = read_table(path)
    own = _own_source(table)
    if own is BESIDE_VOTES and not table.having(own.grade):
        raise UsageError("the grades of this table are votes of a batch", path, _NO_VOTES)
    for source in (own,) if own is BESIDE_VOTES else (*known_sources(path), own):
        grades = _grades(table, source)
        if grades is not None:
            return grades
    raise UsageError(
        "there is no column of grades beside one that names cases", path, "name two columns case and grade"
    )


def grade_columns(table: Table) -> list[str]:
    """The columns of grades of a table of one's own, and none of a batch's votes."""
    return table.having(_own_source(table).grade)


def _own_source(table: Table) -> GradeSource:
    return BESIDE_VOTES if table.having(_OF_VOTES) else ANY_TABLE


def unread_columns(table: Table, read: Sequence[str]) -> str:
    """The sentence about columns that are called like grades and are not read; '' where there are none."""
    heads = [head for name, head in table.columns.items() if "grade" in name and name not in read]
    if not heads:
        return ""
    names = ", ".join(_own_source(table).grade)
    return f"{table.path.name} has no grades in {' and '.join(heads)}: they are read from a column {names}"


def find_grades(paths: Iterable[Path]) -> tuple[list[GradeTable], list[str]]:
    """The tables of known data sets among the files, and what is to be said about those that cannot be read."""
    tables, notices = [], []
    for path in dict.fromkeys(paths):
        sources = known_sources(path)
        if not sources:
            continue
        try:
            table = read_table(path)
        except UsageError as error:
            notices.append(f"grades were not read: {error}")
            continue
        grades = next((g for source in sources if (g := _grades(table, source)) is not None), None)
        if grades is not None:
            tables.append(grades)
        elif unread := unread_columns(table, ()):
            notices.append(unread)
    return tables, notices


def known_sources(path: Path) -> list[GradeSource]:
    """The data sets' tables that are called like this file."""
    sources = (source for layout in LAYOUTS for source in layout.grades)
    return [s for s in sources if fnmatch.fnmatchcase(path.stem.casefold(), s.pattern)]


def _grades(table: Table, source: GradeSource) -> GradeTable | None:
    columns, cases = table.having(source.grade), table.having(source.cases)
    if not columns or not cases:
        return None
    said = said_by_rows(table, columns)
    namings = {column: _naming(table, column, said) for column in table.columns if column in cases}
    rows: dict[str, frozenset[str]] = {}
    for naming in namings.values():
        rows.update({name: texts | rows.get(name, frozenset()) for name, texts in naming.said.items()})
    unclear = dict.fromkeys(text for _grades, odd in said for text in odd)
    heads = tuple(table.columns[column] for column in columns)
    own = tuple(namings.values()) if source is ANY_TABLE or source is BESIDE_VOTES else ()
    return GradeTable(table.path, rows, tuple(unclear), _patients(table), heads, own)


def _naming(table: Table, column: str, said: Sequence[tuple[set[str], list[str]]]) -> Naming:
    rows: dict[str, set[int]] = {}
    texts: dict[str, set[str]] = {}
    for (number, row), (grades, _odd) in zip(table.rows, said, strict=True):
        if known_text(row[column]):
            rows.setdefault(key(row[column]), set()).add(number)
            texts.setdefault(key(row[column]), set()).update(grades)
    return Naming(
        table.columns[column],
        {name: frozenset(numbers) for name, numbers in rows.items()},
        {name: frozenset(grades) for name, grades in texts.items()},
        _patients(table) if column in table.having(CASES)[:1] else {},
    )


def said_by_rows(table: Table, columns: Sequence[str]) -> list[tuple[set[str], list[str]]]:
    """What each row says of a grade, and what stands there that is none: beside a grade it contradicts it.

    A column without any grade holds something else, such as a diagnosis, and contradicts nothing.
    """
    graded = {column for column in columns if any(_is_grade(row[column]) for _number, row in table.rows)}
    return [_said_by({column: row[column] for column in columns}, graded) for _number, row in table.rows]


def _said_by(cells: Mapping[str, str], graded: Container[str]) -> tuple[set[str], list[str]]:
    grades, odd = set[str](), dict[str, str]()
    for column, text in cells.items():
        try:
            grades.update(filter(None, [parse_grade(text)]))
        except ValueError:
            odd[column] = text
    texts = [text for column, text in odd.items() if not grades or column in graded]
    return grades | set(texts[:1]), texts


def _is_grade(text: str) -> bool:
    """Whether a text is a grade, also one that the project does not tell, such as 1."""
    plain = text.strip().casefold()
    return plain.upper() in (LGG, HGG) or bool(_WHO.fullmatch(plain))


def _patients(table: Table) -> dict[str, str]:
    """Whose scan each case is, of a table with a column of cases and one of patients."""
    cases, patients = (next(iter(table.having(columns)), "") for columns in (CASES, PATIENTS))
    if not (cases and patients):
        return {}
    told = ((key(row[cases]), known_text(row[patients])) for _number, row in table.rows)
    return {case: patient for case, patient in told if case and patient}
