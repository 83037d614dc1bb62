"""A cohort as a table: a row a case, with its files relative to the table."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .entry import MANIFEST, CaseEntry, clean_name
from .grades import CASES, PATIENTS, grade_columns, known_text, said_by_rows, unread_columns
from .layouts import ROLES
from .tables import Table, read_table

SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
ALSO = {"case": CASES[1:], "mask": ("seg", "segmentation"), "patient": PATIENTS[1:]}
"""Other names of columns, where the first is not there."""
LONGEST_PATH = 200
"""Characters of a path that cannot be looked at which a message shows."""
COLUMNS = "case,t1,t2,flair,mask[,grade][,mask_labels][,patient]"


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Args:
        cases: in the order of its rows.
        odd_grades: what stands in its columns of grades and is none.
        unread: the sentence about columns of grades that are not read, or ''.
    """

    cases: tuple[CaseEntry, ...]
    odd_grades: tuple[str, ...]
    unread: str


def read_manifest(path: Path) -> Manifest:
    """Read a CSV, TSV or Excel file with the columns case, t1, t2, flair, mask, and others at will.

    A row whose files are missing is a case with a problem, as it would be in a folder. A grade that is none is
    left unknown: a case is graded without it.

    Raises:
        UsageError: it cannot be read, columns are missing, or two rows have one name.
    """
    table = _with_usual_names(read_table(path))
    wanted = ("case", *map(str.lower, ROLES))
    lacking = [name for name in wanted if name not in table.columns]
    if lacking:
        raise UsageError(f"the manifest has no column {', '.join(lacking)}", path, f"the columns are {COLUMNS}")
    if not table.rows:
        raise UsageError("the manifest names no case", path, "give it a row for each case")
    _check_names(table)
    columns = grade_columns(table)
    said = said_by_rows(table, columns)
    rows = zip(table.rows, said, strict=True)
    entries = tuple(_entry(path, number, row, *grades) for (number, row), grades in rows)
    odd = dict.fromkeys(text for _grades, texts in said for text in texts)
    return Manifest(entries, tuple(odd), "" if columns else unread_columns(table, columns))


def _with_usual_names(table: Table) -> Table:
    """The table, its columns called as we call them."""
    names = {}
    for name, others in ALSO.items():
        other = next((other for other in others if other in table.columns), "")
        if other and name not in table.columns:
            names[other] = name
    columns = {names.get(name, name): text for name, text in table.columns.items()}
    rows = tuple(
        (number, {names.get(name, name): cell for name, cell in row.items()}) for number, row in table.rows
    )
    return Table(table.path, columns, rows)


def _check_names(table: Table) -> None:
    seen: dict[str, int] = {}
    for number, row in table.rows:
        name = clean_name(row["case"]).casefold() if row["case"] else ""
        if not name:
            raise UsageError(f"row {number} has no case", table.path, "name every case")
        if name in seen:
            what = f"rows {seen[name]} and {number} are both called '{row['case']}'"
            raise UsageError(what, table.path, "give each case its own name")
        seen[name] = number


def _entry(path: Path, number: int, row: dict[str, str], grades: set[str], odd: list[str]) -> CaseEntry:
    files = {role: _file(path, row[role.lower()]) for role in ROLES if row[role.lower()]}
    place = f"row {number} of {path.name}"
    (problem, remedy), labels = _problem(files, place), None
    try:
        labels = _labels(row.get("mask_labels", ""))
    except ValueError:
        problem = problem or f"'{row['mask_labels']}' in {place} is no list of labels (1 2 4)"
    case = clean_name(row["case"])
    remedy = remedy or "correct the cell, or leave it empty" if problem else ""
    patient = known_text(row.get("patient", "")) or case
    doubts = tuple(f"'{text}' in {place} is no grade (LGG, HGG, 2, 3, 4)" for text in odd)
    if len(grades) > 1:
        doubts = (f"the columns of grades contradict each other in {place}",)
    grade = next(iter(grades)) if len(grades) == 1 and not odd else None
    return CaseEntry(case, files, MANIFEST, path.parent, labels, grade, patient, problem, remedy, doubts)


def _file(path: Path, text: str) -> Path:
    """A path as the manifest has it; one that Windows wrote is understood elsewhere too."""
    if os.sep == "/" and "\\" in text and "/" not in text:
        text = text.replace("\\", "/")
    return path.parent / text


def _problem(files: dict[str, Path], place: str) -> tuple[str, str]:
    """What is wrong with a row's files, and what to do."""
    lacking = [role for role in ROLES if role not in files]
    if lacking:
        return f"{' and '.join(lacking)} not named in {place}", "fill it in"
    absent: list[str] = []
    refused: tuple[str, str] | None = None
    for role, path in files.items():
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            absent.append(f"{role} ({path})")
        except (OSError, ValueError) as error:  # no permission, too long a name, a loop of links
            why = error.strerror if isinstance(error, OSError) else error
            refused = refused or (f"{role} ({str(path)[:LONGEST_PATH]})", str(why))
    if absent:
        return f"{' and '.join(absent)} of {place} not found", "correct the path"
    if refused:
        what, reason = refused
        return f"{what} of {place} cannot be looked at ({reason})", "correct the path, or its permissions"
    return "", ""


def _labels(text: str) -> tuple[int, ...] | None:
    numbers = [float(part) for part in re.split(r"[\s,;+]+", text) if part]  # a spreadsheet's 1 may be 1.0
    if any(number < 1 or not number.is_integer() for number in numbers):
        raise ValueError(text)
    return tuple(map(int, numbers)) or None
