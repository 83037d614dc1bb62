"""cases.csv: what results.csv has no column for, a row per case: patient, known grade, warnings in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..export.tables import GRADED, Row, csv_text, text
from .entry import CaseEntry
from .listing import Cohort
from .store import Store

COLUMNS = (
    "case",
    "patient",
    "layout",
    "known_grade",
    "grade",
    "decision",
    "probability_hgg",
    "votes_for",
    "votes_of",
    "warnings",
    "messages",
)
_BETWEEN = "; "


def case_table(store: Store, cohort: Cohort, rows: list[dict[str, str]]) -> str:
    """The table, of a batch that has ended.

    Args:
        rows: results.csv, in the cohort's order. A case that failed has its error among the messages.
    """
    told = zip(cohort.cases, rows, strict=True)
    return csv_text((_row(entry, row, _warnings(store, entry.case)) for entry, row in told), COLUMNS)


def _row(entry: CaseEntry, row: Mapping[str, str], warnings: list[dict[str, Any]]) -> Row:
    votes_for, _of, votes_of = row["agreement"].partition(" of ")
    messages = [str(warning["message"]) for warning in warnings] or [row["error"]]
    return {
        "case": text(entry.case),
        "patient": text(entry.patient or entry.case),
        "layout": text(entry.layout),
        "known_grade": entry.grade or "",
        **{column: text(row[column]) for column in ("grade", "decision", "probability_hgg", "warnings")},
        "votes_for": votes_for,
        "votes_of": votes_of,
        "messages": text(_BETWEEN.join(_lines(messages))),
    }


def _lines(messages: list[str]) -> Iterator[str]:
    """Each in one line, which is kinder to those who read a table with simple tools."""
    return (" ".join(message.split()) for message in messages)


def _warnings(store: Store, case: str) -> list[dict[str, Any]]:
    if store.done[case].status != GRADED:
        return []
    return list(store.result(case).get("warnings", ()))
