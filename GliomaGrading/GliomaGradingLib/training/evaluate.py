"""Figures of a finished study: tables with intervals, calibration, and the files that hold the evidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..files import all_or_nothing
from ..voting import Calibration, DecisionRule, mean_logit, sigmoid
from ..words import SEQUENCES
from .delong import delong_test
from .evidence import (
    CURVES,
    FIGURES,
    PROBABILITIES,
    SPLITS,
    Evidence,
    check_output,
    json_text,
    probabilities_csv,
    read_evidence,
)
from .metrics import (
    NAN,
    Figures,
    Interval,
    auc,
    calibration_error_by_chance,
    classification_figures,
    fit_platt,
    majority_figures,
    probability_figures,
    with_intervals,
)
from .selective import decision_figures, votes_for_hgg, withheld
from .study import Predictions, Study

EVALUATION_SCHEMA = "glioma-grading/evaluation/2"
PAPER = {
    "T1": {"auc": 0.9513, "accuracy": 0.9701},
    "T2": {"auc": 0.9342, "accuracy": 0.9701},
    "FLAIR": {"auc": 0.9614, "accuracy": 0.9811},
    "vote": {"auc": 0.9950, "accuracy": 0.9900},
}
"""Test figures of Chin J Med Imaging Technol 2022;38(11):1715, split by image."""
INTERVALS = (
    "95 % percentile intervals by bootstrap: as many patients as there are are drawn with replacement, 1000 "
    "times; each brings its tested units of every repeat, and a figure is the mean over the repeats; of a "
    "share that is 0 or 1 Wilson's score interval, of the patients that it is a share of"
)
DRAWS = 1000
VOTE_FIGURES = ("accuracy", "sensitivity", "specificity")
"""Of the grade that is shown, which is the vote's; it is not that of the probability."""
SCORED = (*SEQUENCES, "soft", "together")
"""What has a probability; the majority has votes."""
RELIABILITY_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The middle bin is where the decision is withheld."""


def evaluate_study(folder: Path, output: Path, command: str) -> dict[str, Any]:
    """Write a study's figures, probabilities, splits, curves and plots to ``output``; gives the figures.

    Args:
        folder: a study that has finished, or a folder that this function wrote before.

    Raises:
        UsageError: it is neither, or a study lies in ``output``.
    """
    from .plots import plots_of

    check_output(output)
    evidence = read_evidence(folder)
    probabilities = unit_probabilities(evidence.study, evidence.units)  # not rounded: ties cost AUC
    figures = study_figures(evidence, probabilities, command)
    with all_or_nothing(output) as write:
        write(PROBABILITIES, probabilities_csv(evidence.units, probabilities))
        write(SPLITS, _json_lines(evidence.splits))
        write(CURVES, evidence.curves)
        for name, plot in plots_of(evidence, probabilities, figures).items():
            write(name, plot)
        write(FIGURES, json_text(figures))
    return figures


def study_figures(evidence: Evidence, probabilities: np.ndarray, command: str) -> dict[str, Any]:
    """Everything that ``figures.json`` says."""
    study, units = evidence.study, evidence.units
    figures = all_figures(units, probabilities, DRAWS)
    rule = DecisionRule()
    return {
        "schema": EVALUATION_SCHEMA,
        "protocol": study.protocol,
        "unit": "slice" if study.protocol == "image" else "patient",
        "whole_patients": study.whole_patients,
        "shuffled_grades": study.shuffled_grades,
        "folds": study.folds if study.protocol == "patient" else None,
        "repeats": study.repeats,
        "patients": len(np.unique(units.patient)),
        "units_tested": len(units.patient),
        "intervals": INTERVALS,
        "figures": figures,
        "calibration_error_by_chance": {
            name: _by_chance(units, scores) for name, scores in scores_of(probabilities).items()
        },
        "vote_against_best_sequence": vote_against_best(units, probabilities),
        "decision": {"rule": asdict(rule), **decision_intervals(units, probabilities, rule, DRAWS)},
        "by_fold": by_fold(units, probabilities),
        **({"ranking": ranking(units, DRAWS)} if study.protocol == "patient" else {}),
        "paper": PAPER if study.protocol == "image" else None,
        "study": {**asdict(study), **evidence.origin},
        "command": command,
    }


def own_probabilities(units: Predictions) -> np.ndarray:
    """(rows, 3) probabilities of HGG as the networks have them, without calibration."""
    return 1 / (1 + np.exp(-units.logits))


def unit_probabilities(study: Study, units: Predictions) -> np.ndarray:
    """(rows, 4) probabilities of HGG: T1, T2, FLAIR, the three together.

    By patient, each fold is calibrated on the other folds' out-of-fold predictions. By image the networks'
    own probabilities count, as in the paper; together is their mean.
    """
    if study.protocol == "image":
        single = own_probabilities(units)
        return np.column_stack([single, single.mean(axis=1)])
    probabilities = np.empty((len(units.patient), len(SEQUENCES) + 1))
    for test, others in _fold_rows(units):
        calibration = calibrate(units, others)
        probabilities[test] = [calibrated(calibration, row) for row in units.logits[test]]
    return probabilities


def calibrate(units: Predictions, rows: np.ndarray | None = None) -> Calibration:
    """Platt calibration of each sequence, and of the three together: of the logit of their mean probability."""
    rows = np.arange(len(units.patient)) if rows is None else rows
    logits, grades = units.logits[rows], units.grade[rows]
    platts = [fit_platt(logits[:, column], grades) for column in range(len(SEQUENCES))]
    mean = np.array([mean_logit([p.logit(x) for p, x in zip(platts, row, strict=True)]) for row in logits])
    return Calibration(dict(zip(SEQUENCES, platts, strict=True)), fit_platt(mean, grades))


def scores_of(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities of the sequences, of the soft vote (their mean) and of the three together."""
    columns = [*probabilities[:, :3].T, probabilities[:, :3].mean(axis=1), probabilities[:, 3]]
    return dict(zip(SCORED, columns, strict=True))


def reliability_bins(units: Predictions, probabilities: np.ndarray) -> list[dict[str, float]]:
    """How many patients had an HGG by their probability from the three together, for whoever shows one.

    With repeats, numbers of patients are means over the repeats, rounded: a patient counts once.
    """
    together, repeats = probabilities[:, -1], len(np.unique(units.repeat))
    found = []
    for low, high in pairwise(RELIABILITY_EDGES):
        grades = units.grade[(together >= low) & ((together < high) | (high == 1))]
        patients, hgg = (round(count / repeats) for count in (len(grades), int(grades.sum())))
        found.append({"low": low, "high": high, "patients": patients, "hgg": hgg})
    return found


def evidence_of_grades(units: Predictions, probabilities: np.ndarray) -> dict[str, Any]:
    """What a bundle tells of a grade: how often the vote was right, and which probability how often."""
    ranked = with_intervals(
        lambda rows: {"auc": auc(units.grade[rows], probabilities[rows, -1])},
        units.patient,
        repeats=units.repeat,
        grades=units.grade,
    )
    voted = intervals_of(
        units, lambda grades, votes: classification_figures(grades, votes >= 2), votes_for_hgg(probabilities)
    )
    shown = {"AUC of the probability": ranked["auc"]}
    shown |= {f"{name} of the vote": voted[name] for name in VOTE_FIGURES}
    return {
        "figures": {label: {k: round(v, 3) for k, v in figure.items()} for label, figure in shown.items()},
        "reliability": reliability_bins(units, probabilities),
    }


def all_figures(
    units: Predictions, probabilities: np.ndarray, draws: int = 1000
) -> dict[str, dict[str, Interval]]:
    """Figures with 95 % intervals of each sequence, the majority, the soft vote and the three together.

    With repeats, a figure is the mean over the repeats.
    """
    figures = {
        name: intervals_of(units, probability_figures, scores, draws)
        for name, scores in scores_of(probabilities).items()
    }
    figures["majority"] = intervals_of(units, majority_figures, votes_for_hgg(probabilities), draws)
    return figures


def intervals_of(
    units: Predictions,
    figures_of: Callable[[np.ndarray, np.ndarray], Figures],
    scores: np.ndarray,
    draws: int = 1000,
) -> dict[str, Interval]:
    """Figures of grades and scores with their intervals; patients are drawn, repeats averaged."""
    return with_intervals(
        lambda rows: figures_of(units.grade[rows], scores[rows]), units.patient, draws, repeats=units.repeat
    )


def decision_intervals(
    units: Predictions, probabilities: np.ndarray, rule: DecisionRule, draws: int = 1000
) -> dict[str, Any]:
    """What withholding decisions buys, and how many rows it concerns, a mean over the repeats.

    A figure that a repeat does not have (of those without a decision, where everybody has one) is the mean over
    the repeats that have it.
    """
    repeats = np.unique(units.repeat)

    def figures_of(rows: np.ndarray) -> Figures:
        parts = [rows[units.repeat[rows] == repeat] for repeat in repeats]
        tables = [decision_figures(units.grade[part], probabilities[part], rule) for part in parts]
        return {name: _mean_of_known([table[name] for table in tables]) for name in tables[0]}

    figures = with_intervals(figures_of, units.patient, draws)
    return {"withheld": float(withheld(probabilities, rule).sum() / len(repeats)), "figures": figures}


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else NAN


def vote_against_best(units: Predictions, probabilities: np.ndarray) -> dict[str, Any] | None:
    """DeLong's test of the vote against the best single sequence; None where units are slices.

    Slices of one patient are not independent, so that the test would not hold. The best sequence is the one
    with the best AUC on these very patients, which is unfair to the vote.
    """
    if len(units.patient) != len({*zip(units.repeat.tolist(), units.patient.tolist(), strict=True)}):
        return None
    grades, scores = by_patient(units, np.column_stack(list(scores_of(probabilities).values())))
    columns = dict(zip(SCORED, scores, strict=True))
    tests = {s: delong_test(grades, columns["soft"], columns[s]) for s in SEQUENCES}
    best = max(SEQUENCES, key=lambda s: tests[s].second)
    return {
        "sequence": best,
        "soft": asdict(tests[best]),
        "together": asdict(delong_test(grades, columns["together"], columns[best])),
    }


def by_patient(units: Predictions, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grades (patients,) and scores (columns, repeats, patients), patients sorted by name."""
    order = np.lexsort((units.patient, units.repeat))
    repeats = len(np.unique(units.repeat))
    table = scores[order].reshape(repeats, -1, scores.shape[1])
    return units.grade[order].reshape(repeats, -1)[0], table.transpose(2, 0, 1)


def ranking(units: Predictions, draws: int = 1000) -> dict[str, dict[str, Interval]]:
    """AUC of the networks' own probabilities, with nothing fitted to them, of each sequence and of their mean.

    A fold that is left out of its own calibration pulls it: where its patients happen to lie high, the others
    lie low, and their intercept lifts it further. The ranking within a fold stays, that over all folds suffers,
    by this and by the folds' networks themselves (Forman and Scholz 2010, doi 10.1145/1882471.1882479).
    ``auc`` is over all folds, ``auc_within_folds`` the mean over the folds of the AUC in each.
    """
    single = own_probabilities(units)
    scores = dict(zip((*SEQUENCES, "soft"), [*single.T, single.mean(axis=1)], strict=True))

    def figures_of(own: np.ndarray, rows: np.ndarray) -> Figures:
        grades, fold = units.grade[rows], units.fold[rows]
        areas = [auc(grades[fold == f], own[rows][fold == f]) for f in np.unique(fold)]
        within = [area for area in areas if np.isfinite(area)]
        return {"auc": auc(grades, own[rows]), "auc_within_folds": float(np.mean(within)) if within else np.nan}

    return {
        name: with_intervals(partial(figures_of, own), units.patient, draws, repeats=units.repeat)
        for name, own in scores.items()
    }


def ranking_table(figures: dict[str, Any]) -> str:
    """As Markdown: AUC with each fold calibrated on the others, with nothing calibrated, and within folds."""
    lines = [
        "| AUC | each fold calibrated on the others | the networks' own probabilities | within folds, mean |",
        "|---" * 4 + "|",
    ]
    for name, own in figures["ranking"].items():
        cells = [cell(v) for v in (figures["figures"][name]["auc"], own["auc"], own["auc_within_folds"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def by_fold(units: Predictions, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """AUC and accuracy of every repeat (``fold`` is null) and of every fold in it."""
    rows = []
    for repeat in np.unique(units.repeat):
        ours = units.repeat == repeat
        rows.append(_short_figures(units, probabilities, ours, int(repeat), None))
        folds = np.unique(units.fold[ours])
        for fold in folds if len(folds) > 1 else []:
            part = ours & (units.fold == fold)
            rows.append(_short_figures(units, probabilities, part, int(repeat), int(fold)))
    return rows


def table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    names = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier")
    lines = ["| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * 7 + "|"]
    for row in (*SEQUENCES, "majority", "soft", "together"):
        cells = [cell(figures["figures"][row].get(name)) for name in names]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("auc", "AUC").replace("brier", "Brier") + "\n"


def cell(value: dict[str, Any] | None, digits: int = 3, sign: str = "") -> str:
    """A figure with its interval, or nothing where it is not defined; ``sign="+"`` for a difference."""
    if value is None or value["value"] is None or not np.isfinite(value["value"]):
        return ""
    middle, low, high = (f"{value[key]:{sign}.{digits}f}" for key in ("value", "low", "high"))
    return f"{middle} ({low} to {high})"


def _short_figures(
    units: Predictions, probabilities: np.ndarray, rows: np.ndarray, repeat: int, fold: int | None
) -> dict[str, Any]:
    grades = units.grade[rows]
    figures = {n: probability_figures(grades, s) for n, s in scores_of(probabilities[rows]).items()}
    figures["majority"] = majority_figures(grades, votes_for_hgg(probabilities[rows]))
    short = {n: {key: f[key] for key in ("auc", "accuracy")} for n, f in figures.items()}
    return {"repeat": repeat, "fold": fold, "units": int(rows.sum()), **short}


def _by_chance(units: Predictions, scores: np.ndarray) -> float:
    repeats = np.unique(units.repeat)
    return float(np.mean([calibration_error_by_chance(scores[units.repeat == r]) for r in repeats]))


def _fold_rows(units: Predictions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for repeat in np.unique(units.repeat):
        for fold in np.unique(units.fold):
            ours = units.repeat == repeat
            yield np.flatnonzero(ours & (units.fold == fold)), np.flatnonzero(ours & (units.fold != fold))


def calibrated(calibration: Calibration, logits: np.ndarray) -> list[float]:
    """The probabilities of one row's logits: T1, T2, FLAIR, the three together."""
    platts = [calibration.sequences[s] for s in SEQUENCES]
    calibrated = [platt.logit(float(x)) for platt, x in zip(platts, logits, strict=True)]
    single = [sigmoid(x) for x in calibrated]
    return [*single, calibration.combine(calibrated)]


def _json_lines(entries: list[dict[str, Any]]) -> str:
    """A JSON list with an entry a line."""
    return "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]\n"
