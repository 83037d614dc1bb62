"""results.csv: one row per case, safe to open in a spreadsheet; and any other table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from ..result import GradeResult
from ..words import SEQUENCES

GRADED, FAILED = "graded", "failed"

PROBABILITY_COLUMNS = (*(f"{sequence.lower()}_probability_hgg" for sequence in SEQUENCES), "probability_hgg")
"""Of T1, T2, FLAIR and the three together, wherever a table has them."""

COLUMNS = (
    "case",
    "status",
    "grade",
    "decision",
    "probability_hgg",
    *(f"{sequence.lower()}_probability_hgg" for sequence in SEQUENCES),
    "agreement",
    "slices",
    "tumour_ml",
    "warnings",
    "error",
    "seconds",
)

Row = dict[str, str]


def graded_row(result: GradeResult) -> Row:
    """A graded case's cells; ``slices``: first and last number on the axial grid, ``warnings``: codes."""
    votes_for, votes_of = result.agreement
    probabilities = {f"{v.sequence.lower()}_probability_hgg": number(v.probability_hgg) for v in result.votes}
    return _row(
        case=text(result.case),
        status=GRADED,
        grade=text(result.grade),
        decision=text(result.decision),
        probability_hgg=number(result.probability_hgg),
        **probabilities,
        agreement=f"{votes_for} of {votes_of}",
        slices=f"{result.slices.indices[0]}..{result.slices.indices[-1]}",
        tumour_ml=number(result.tumour_ml),
        warnings=text("; ".join(warning.code for warning in result.warnings)),
        seconds=number(result.seconds.get("total", 0.0)),
    )


def failed_row(case: str, error: Exception | str, seconds: float | None = None) -> Row:
    """The cells of a case that could not be graded: its name and why."""
    took = number(seconds) if seconds is not None else ""
    return _row(case=text(case), status=FAILED, error=text(str(error)), seconds=took)


def csv_text(rows: Iterable[Mapping[str, str]], columns: Sequence[str] = COLUMNS) -> str:
    """The table with its head, lines ending in LF.

    Raises:
        ValueError: a row has a cell that is no column.
    """
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def csv_line(row: Mapping[str, str], columns: Sequence[str] = COLUMNS) -> str:
    """One row's line of the table, with its end."""
    return csv_text([row], columns).split("\n", 1)[1]


def csv_table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table whose rows have their cells in the head's order, lines ending in LF."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return stream.getvalue()


def number(value: float) -> str:
    """Six decimals, so that the same result is the same text."""
    return f"{float(value):.6f}"


def text(value: str) -> str:
    """A text cell that no spreadsheet takes for a formula: an apostrophe goes before one that would be.

    The characters are those of OWASP's "CSV Injection": = + - @, tab and carriage return. ``plain`` takes the
    apostrophe off again.
    """
    value = value.replace("\x00", "")
    risky = _is_risky(value)
    # a bare CR would end the row for most readers, and Python's csv does not quote it
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{value}" if risky else value


def plain(cell: str) -> str:
    """The text of a cell that ``text`` made."""
    return cell[1:] if cell.startswith("'") and _is_risky(cell) else cell


def _is_risky(value: str) -> bool:
    """Also of what has apostrophes before it by itself: ``plain`` is to take off none but ours."""
    return value.lstrip(" \n'").startswith(("=", "+", "-", "@", "\t", "\r"))


def _row(**cells: str) -> Row:
    return {column: cells.get(column, "") for column in COLUMNS}
