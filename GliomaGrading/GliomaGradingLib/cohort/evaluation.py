"""A graded cohort against its known grades: the figures of ``evaluate``, patient by patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..export.figures import rounded
from ..export.tables import GRADED, PROBABILITY_COLUMNS
from ..proportions import wilson
from ..words import HGG, INDETERMINATE, LGG, SEQUENCES
from .listing import CaseEntry

SCHEMA = "glioma-grading/cohort-evaluation/1"
TOGETHER = "together"
FIGURES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier")
_DRAWS, _FEWEST_DRAWS = 1000, 400
_DRAWN_CASES = 5_000_000
"""Cases drawn in all, at most about: half a minute. By how much chance moves an interval's ends, measured by
its width, hangs on the draws alone, so that a cohort of any size has not many fewer."""


@dataclass(frozen=True, eq=False)
class Known:
    """The graded cases with a known grade.

    Args:
        places: (n,) their places in the cohort.
        grades: (n,) 1 for HGG, 0 for LGG. patients: (n,) a number for each patient.
        probabilities: (n, 4) of HGG: T1, T2, FLAIR, together.
        votesForHgg: (n,) sequences that vote HGG. votes: (n,) 1 where the vote is HGG by the batch's rule.
        decisions: LGG, HGG or indeterminate.
    """

    places: np.ndarray
    grades: np.ndarray
    patients: np.ndarray
    probabilities: np.ndarray
    votesForHgg: np.ndarray
    votes: np.ndarray
    decisions: tuple[str, ...]


def known_cases(entries: Sequence[CaseEntry], rows: Sequence[Mapping[str, str]]) -> Known:
    """Those of the cohort's rows (of results.csv, in the same order) that can be compared."""
    places = [
        place
        for place, (entry, row) in enumerate(zip(entries, rows, strict=True))
        if entry.grade in (LGG, HGG) and row["status"] == GRADED
    ]
    patients = [entries[place].patient or entries[place].case for place in places]
    _names, numbers = np.unique(np.array(patients, dtype=object).astype(str), return_inverse=True)
    return Known(
        np.array(places, dtype=int),
        np.array([entries[place].grade == HGG for place in places], dtype=int),
        numbers,
        np.array([[float(rows[place][c]) for c in PROBABILITY_COLUMNS] for place in places]).reshape(
            -1, len(PROBABILITY_COLUMNS)
        ),
        np.array([_votes_for_hgg(rows[place]) for place in places], dtype=int),
        np.array([rows[place]["grade"] == HGG for place in places], dtype=int),
        tuple(rows[place]["decision"] for place in places),
    )


def _votes_for_hgg(row: Mapping[str, str]) -> int:
    """From ``2 of 3``, which counts those for the row's grade."""
    votes_for, _of, votes_of = row["agreement"].partition(" of ")
    return int(votes_for) if row["grade"] == HGG else int(votes_of) - int(votes_for)


def evaluate(known: Known) -> dict[str, Any]:
    """The content of evaluation.json: figures with 95 % intervals by bootstrap over patients,
    and by Wilson's score where a share or an AUC is 0 or 1.

    ``vote`` has those of the vote that the batch took, by majority or soft.

    Raises:
        ImportError: scikit-learn or SciPy is not installed.
    """
    from ..training.metrics import (
        calibration_error_by_chance,
        classification_figures,
        majority_figures,
        probability_figures,
        with_intervals,
    )

    draws = _draws(len(known.grades))
    columns = [
        *known.probabilities[:, :3].T,
        known.probabilities[:, :3].mean(axis=1),
        known.probabilities[:, 3],
    ]
    scores_of = dict(zip((*SEQUENCES, "soft", TOGETHER), columns, strict=True))
    figures = {
        name: with_intervals(
            lambda rows, s=scores: probability_figures(known.grades[rows], s[rows]),  # type: ignore[misc]
            known.patients,
            draws,
            grades=known.grades,
        )
        for name, scores in scores_of.items()
    }
    figures["majority"] = with_intervals(
        lambda rows: majority_figures(known.grades[rows], known.votesForHgg[rows]),
        known.patients,
        draws,
        grades=known.grades,
    )
    decided = np.isin(known.decisions, (LGG, HGG))
    right = np.array(known.decisions) == np.where(known.grades == 1, HGG, LGG)
    vote = with_intervals(
        lambda rows: classification_figures(known.grades[rows], known.votes[rows] > 0), known.patients, draws
    )
    evaluation = {
        "schema": SCHEMA,
        "cases": len(known.grades),
        "patients": len(np.unique(known.patients)),
        HGG: int(known.grades.sum()),
        LGG: int((1 - known.grades).sum()),
        "draws": draws,
        "figures": {name: figures[name] for name in (*SEQUENCES, "majority", "soft", TOGETHER)},
        "calibration_error_by_chance": {
            name: calibration_error_by_chance(scores) for name, scores in scores_of.items()
        },
        "vote": vote,
        "decisions": decisions(known),
        "decided": with_intervals(
            lambda rows: _decided(decided, right, rows),
            known.patients,
            draws,
            shares=("withheld", "accuracy_of_decisions"),
        ),
    }
    return rounded(evaluation)


def _draws(cases: int) -> int:
    return max(min(_DRAWS, _DRAWN_CASES // max(cases, 1)), _FEWEST_DRAWS)


def _decided(decided: np.ndarray, right: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """The share of these rows whose decision was withheld, and how often the others' decisions are right."""
    kept = int(decided[rows].sum())
    return {
        "withheld": 1 - kept / len(rows),
        "accuracy_of_decisions": int(right[rows].sum()) / kept if kept else math.nan,
    }


def in_a_line(evaluation: Mapping[str, Any]) -> str:
    """What an evaluation comes to, in one line; figures that are not defined are left out."""
    together, vote, decided = (
        evaluation["figures"][TOGETHER], evaluation["vote"], evaluation["decided"]
    )  # fmt: skip
    told = {
        "AUC": together["auc"],
        "accuracy of the vote": vote["accuracy"],
        "sensitivity": vote["sensitivity"],
        "specificity": vote["specificity"],
        "withheld": decided["withheld"],
        "accuracy of decisions": decided["accuracy_of_decisions"],
    }
    defined = (f"{name} {figure['value']:.3f}" for name, figure in told.items() if figure["value"] is not None)
    return f"{', '.join(defined)} ({evaluation[HGG]} HGG, {evaluation[LGG]} LGG)"


def decisions(known: Known) -> dict[str, dict[str, int]]:
    """How many cases of each known grade (first) were decided how (second)."""
    names = (LGG, HGG, INDETERMINATE)
    counts = {grade: dict.fromkeys(names, 0) for grade in (LGG, HGG)}
    for grade, decision in zip(known.grades, known.decisions, strict=True):
        counts[HGG if grade else LGG][decision if decision in names else INDETERMINATE] += 1
    return counts


def roc_points(grades: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(1 - specificity, sensitivity) at every threshold, from (0, 0) to (1, 1); equal scores go together."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    true, false = (np.cumsum(grades[order] == kind)[last] for kind in (1, 0))
    points = np.column_stack([false / max(false[-1], 1), true / max(true[-1], 1)])
    return [(0.0, 0.0), *((float(x), float(y)) for x, y in points)]


def calibration_groups(grades: np.ndarray, scores: np.ndarray, groups: int = 8) -> list[tuple[float, ...]]:
    """(mean probability, share of HGG, low, high by Wilson at 95 %) of groups of equally many cases."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(groups, max(len(scores) // 3, 1)))
    return [
        (float(scores[part].mean()), float(grades[part].mean()), *wilson(int(grades[part].sum()), len(part)))
        for part in parts
        if len(part)
    ]
