"""Grades of cases from the tables that data sets come with, in the two classes of this project."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..words import HGG, LGG
from .layouts import LAYOUTS
from .layouts.base import GradeSource
from .tables import Table, read_table

WHO_GRADES = {2: LGG, 3: LGG, 4: HGG}
"""As BraTS, and so this project, has it: grade III is LGG. Others put it into HGG: look before comparing."""

ANY_TABLE = GradeSource(
    "*",
    ("grade", "who_grade", "who_cns_grade", "tumor_grade", "tumour_grade"),
    ("case", "case_id", "id", "subject", "subject_id", "patient", "patient_id", "participant_id"),
)
"""A table that a user gives: a column that names the case, and one with its grade."""

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_UNKNOWN = {"", "-1", "na", "n/a", "nan", "none", "unknown", "not available", "not reported", "?", "-", "gx"}
_WHO = re.compile(
    r"(?:who)?[\s_-]*(?:cns)?[\s_-]*(?:grade|g)?[\s_-]*(?:(\d)(?:\.0+)?|(iv|i{1,3}))", re.IGNORECASE
)


@dataclass(frozen=True)
class GradeTable:
    """Grades by case.

    Args:
        grades: LGG or HGG by the case's name in the table, in lower case. path: the table.
        unclear: what stood where a grade should be and was none ("grade 1", "mixed").
    """

    path: Path
    grades: Mapping[str, str] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()

    def of(self, *names: str) -> str | None:
        """The grade of the first of the names that the table has, zeros before numbers left aside."""
        for key in (key for name in names for key in (name.lower(), without_zeros(name))):
            if key in self.grades:
                return self.grades[key]
        return None


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
    number = (int(match[1]) if match[1] else _ROMAN[match[2].lower()]) if match else None
    if number not in WHO_GRADES:
        raise ValueError(text)
    return WHO_GRADES[number]


def without_zeros(name: str) -> str:
    """A name in lower case with numbers as numbers: UCSF-PDGM-004 and UCSF-PDGM-0004 are one patient."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.lower())


def read_grades(path: Path) -> GradeTable:
    """The grades of a table that a user names: of a known data set, or with the columns case and grade.

    Raises:
        UsageError: it cannot be read, or has no such columns.
    """
    table = read_table(path)
    for source in (*known_sources(path), ANY_TABLE):
        grades = _grades(table, source)
        if grades is not None:
            return grades
    raise UsageError(
        "there is no column of grades beside one that names cases", path, "name two columns case and grade"
    )


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
    return tables, notices


def known_sources(path: Path) -> list[GradeSource]:
    """The data sets' tables that are called like this file."""
    sources = (source for layout in LAYOUTS for source in layout.grades)
    return [s for s in sources if fnmatch.fnmatchcase(path.stem.casefold(), s.pattern)]


def _grades(table: Table, source: GradeSource) -> GradeTable | None:
    column, cases = table.having(source.grade), table.having(source.cases)
    if not column or not cases:
        return None
    grades: dict[str, str] = {}
    unclear: dict[str, None] = {}
    for _number, row in table.rows:
        names = [row[name] for name in cases if row[name].casefold() not in _UNKNOWN]
        try:
            grade = parse_grade(row[column[0]])
        except ValueError:
            unclear[row[column[0]]] = None
            continue
        for name in names if grade else ():
            grades[name.lower()] = grade or ""
            grades.setdefault(without_zeros(name), grade or "")
    return GradeTable(table.path, grades, tuple(unclear))
