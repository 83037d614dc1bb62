"""The cases of a cohort that are most worth a look, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..export.tables import GRADED, PROBABILITY_COLUMNS
from ..wording import probability_text
from ..words import HGG, INDETERMINATE, LGG, SEQUENCES
from .listing import CaseEntry

WRONG, ODDS, UNUSUAL = "wrong and sure", "models at odds", "unusual"
_MOST = 8
"""Cases for each reason."""
_SPREAD = 0.5
_SURE = 0.2
"""Distance of the probability from one half."""
_STRANGE = 2.0
"""Standard deviations from the training patients' mean from which a case is unusual."""
_UNLIKE = "unlike-training"


@dataclass(frozen=True)
class Look:
    """A case to look at: its place in the cohort, and why."""

    place: int
    reason: str
    words: str


def worth_a_look(
    entries: Sequence[CaseEntry],
    rows: Sequence[Mapping[str, str]],
    strangeness: Sequence[float | None],
) -> list[Look]:
    """Up to eight cases each: decided wrongly and surely, sequences far apart, unlike the training patients.

    Args:
        strangeness: by place, of ``Verdict``; None where it is not known.
    """
    graded = [place for place, row in enumerate(rows) if row["status"] == GRADED]
    return [
        *_wrong(entries, rows, graded),
        *_at_odds(rows, graded),
        *_unusual(rows, graded, strangeness),
    ]


def _wrong(entries: Sequence[CaseEntry], rows: Sequence[Mapping[str, str]], graded: list[int]) -> list[Look]:
    far = [
        (abs(float(rows[p]["probability_hgg"]) - 0.5), p)
        for p in graded
        if entries[p].grade in (LGG, HGG) and rows[p]["decision"] not in (entries[p].grade, INDETERMINATE)
    ]
    chosen = sorted((-distance, p) for distance, p in far if distance >= _SURE)[:_MOST]
    return [
        Look(p, WRONG, f"known {entries[p].grade}, decided {rows[p]['decision']}, P(HGG) {_short(rows[p])}")
        for _distance, p in chosen
    ]


def _at_odds(rows: Sequence[Mapping[str, str]], graded: list[int]) -> list[Look]:
    spreads = []
    for p in graded:
        each = [float(rows[p][column]) for column in PROBABILITY_COLUMNS[:3]]
        if max(each) - min(each) >= _SPREAD and (max(each) >= 0.5) != (min(each) >= 0.5):
            spreads.append((min(each) - max(each), p, each))
    return [
        Look(
            p,
            ODDS,
            "P(HGG) " + ", ".join(f"{n} {probability_text(v)}" for n, v in zip(SEQUENCES, each, strict=True)),
        )
        for _spread, p, each in sorted(spreads)[:_MOST]
    ]


def _unusual(
    rows: Sequence[Mapping[str, str]], graded: list[int], strangeness: Sequence[float | None]
) -> list[Look]:
    far = [(_strangeness(rows[p], strangeness[p]), p) for p in graded]
    chosen = sorted((-value, p) for value, p in far if value >= _STRANGE)[:_MOST]
    return [Look(p, UNUSUAL, _unusual_words(-value, rows[p]["warnings"])) for value, p in chosen]


def _strangeness(row: Mapping[str, str], value: float | None) -> float:
    if value is not None:
        return value
    return math.inf if _UNLIKE in row["warnings"].split("; ") else 0.0  # not a number: nothing is stranger


def _unusual_words(value: float, warnings: str) -> str:
    what = f"{value:.1f} standard deviations" if math.isfinite(value) else "immeasurably far"
    return f"{what} from the mean of the training patients" + (f"; {warnings}" if warnings else "")


def _short(row: Mapping[str, str]) -> str:
    return probability_text(float(row["probability_hgg"]))
