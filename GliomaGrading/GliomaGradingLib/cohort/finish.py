"""What a batch leaves at its end: cohort.html, cases.csv, and evaluation.json where grades are known."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..export.outputs import PAGE as REPORT
from ..export.outputs import RESULT
from ..export.tables import GRADED, plain
from ..extras import INSTALL_COHORT
from ..files import all_or_nothing
from ..words import HGG, LGG
from .case_table import case_table
from .evaluation import Known, evaluate, known_cases
from .listing import Cohort
from .look import worth_a_look
from .page import cohort_page
from .store import CASE_TABLE, CASES, EVALUATION, PAGE, RESULTS, Store, no_room
from .taught import Teachers
from .thumbnail import NAME as THUMBNAIL


def finish(store: Store, cohort: Cohort, teachers: Teachers) -> tuple[list[str], dict[str, Any] | None]:
    """Write the page, the table of cases and the evaluation.

    Args:
        teachers: of the bundle that graded, asked before it did: in the end another may lie in its place.

    Gives remarks, such as why there is no evaluation or who taught the bundle; and the evaluation, if there is
    one.

    Raises:
        BatchStopped: there is no room, or the disk fails.
    """
    rows = read_rows(store.folder / RESULTS)
    known = known_cases(cohort.cases, rows)
    evaluation, more = _evaluated(known)
    remarks = [*teachers.remarks(cohort.cases), *more]
    if evaluation:
        evaluation |= _of_teachers(teachers, cohort, known)
    page = _page(store, cohort, rows, known, evaluation, remarks)
    _write(store, case_table(store, cohort, rows), page, evaluation)
    return remarks, evaluation


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of results.csv, as the texts were before they were made safe for spreadsheets."""
    with path.open(encoding="utf-8-sig", newline="") as stream:  # Excel begins with a mark
        return [{name: plain(cell) for name, cell in row.items()} for row in csv.DictReader(stream)]


def _evaluated(known: Known) -> tuple[dict[str, Any] | None, list[str]]:
    if not len(known.grades):
        return None, []
    only = HGG if known.grades.all() else "" if known.grades.any() else LGG
    undefined = f"no AUC and no {'specificity' if only == HGG else 'sensitivity'}"
    remarks = [f"All known grades are {only}, so that there is {undefined}."] if only else []
    try:
        return evaluate(known), remarks
    except ImportError as error:
        remedy = f"{INSTALL_COHORT}, then run again with --resume"
        return None, [f"There is no evaluation ({error}): {remedy}."]
    except (ValueError, ArithmeticError) as error:  # too few cases for a figure
        return None, [f"There is no evaluation ({error})."]


def _of_teachers(teachers: Teachers, cohort: Cohort, known: Known) -> dict[str, int | None]:
    compared = [cohort.cases[place] for place in known.places]
    return {
        "taught_the_models": teachers.count_among(compared),
        "calibrated_on_patients": teachers.calibrated_on,
    }


def _page(
    store: Store,
    cohort: Cohort,
    rows: Sequence[Mapping[str, str]],
    known: Known,
    evaluation: Mapping[str, Any] | None,
    remarks: Sequence[str],
) -> str:
    return cohort_page(
        cohort,
        rows,
        known,
        evaluation,
        worth_a_look(cohort.cases, rows, [store.done[entry.case].strangeness for entry in cohort.cases]),
        lambda place: _picture(_folder(store, cohort, place)),
        lambda place: _link(store, cohort, rows, place),
        store.model,
        remarks,
    )


def _write(store: Store, table: str, page: str, evaluation: Mapping[str, Any] | None) -> None:
    """All of them or none: they are of one run."""
    try:
        with all_or_nothing(store.folder, removed=[] if evaluation else [EVALUATION]) as write:
            write(CASE_TABLE, table.encode("utf-8", "backslashreplace"))
            if evaluation:
                write(EVALUATION, json.dumps(evaluation, indent=2, allow_nan=False) + "\n")
            write(PAGE, page.encode("utf-8", "replace"))
    except OSError as error:
        raise no_room(error, store.folder) from error


def _folder(store: Store, cohort: Cohort, place: int) -> Path:
    return store.folder / CASES / store.done[cohort.cases[place].case].folder


def _picture(folder: Path) -> bytes | None:
    path = folder / THUMBNAIL
    return path.read_bytes() if path.is_file() else None


def _link(store: Store, cohort: Cohort, rows: Sequence[Mapping[str, str]], place: int) -> str | None:
    if rows[place]["status"] != GRADED:
        return None
    folder = _folder(store, cohort, place)
    return f"{CASES}/{folder.name}/{REPORT if (folder / REPORT).is_file() else RESULT}"
