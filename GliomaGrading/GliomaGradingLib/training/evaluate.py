"""Figures of a finished study: tables with intervals, calibration, and the files that hold the evidence."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..export.files import write_atomically
from ..voting import Calibration, sigmoid
from ..words import SEQUENCES
from .metrics import Figures, classification_figures, fit_platt, probability_figures, with_intervals
from .study import Predictions, Study, read_study

EVALUATION_SCHEMA = "glioma-grading/evaluation/1"
PAPER = {
    "T1": {"auc": 0.9513, "accuracy": 0.9701},
    "T2": {"auc": 0.9342, "accuracy": 0.9701},
    "FLAIR": {"auc": 0.9614, "accuracy": 0.9811},
    "vote": {"auc": 0.9950, "accuracy": 0.9900},
}
"""Test figures of Chin J Med Imaging Technol 2022;38(11):1715, split by image."""


def evaluate_study(folder: Path, output: Path, command: str) -> dict[str, Any]:
    """Write a study's figures, its probabilities, its splits and its plots to ``output``; gives the figures."""
    from .plots import write_plots

    study, predictions = read_study(folder)
    units = predictions if study.protocol == "image" else predictions.of_patients()
    probabilities = unit_probabilities(study, units)
    figures = {
        "schema": EVALUATION_SCHEMA,
        "protocol": study.protocol,
        "unit": "slice" if study.protocol == "image" else "patient",
        "shuffled_grades": study.shuffled_grades,
        "folds": study.folds if study.protocol == "patient" else None,
        "repeats": study.repeats,
        "patients": len(np.unique(units.patient)),
        "units_tested": len(units.patient),
        "figures": all_figures(units, probabilities),
        "paper": PAPER if study.protocol == "image" else None,
        "recipe": study.recipe.to_dict(),
        "command": command,
    }
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "probabilities.csv", probabilities_csv(units, probabilities).encode())
    write_atomically(output / "splits.json", (folder / "splits.json").read_bytes())
    write_plots(folder, output, units, probabilities)
    write_atomically(output / "figures.json", (json.dumps(figures, indent=2) + "\n").encode())
    return figures


def unit_probabilities(study: Study, units: Predictions) -> np.ndarray:
    """(rows, 4) probabilities of HGG: T1, T2, FLAIR, the three together.

    By patient, each fold is calibrated on the other folds' out-of-fold predictions. By image the networks'
    own probabilities count, as in the paper; together is their mean.
    """
    if study.protocol == "image":
        single = 1 / (1 + np.exp(-units.logits))
        return np.column_stack([single, single.mean(axis=1)])
    probabilities = np.empty((len(units.patient), len(SEQUENCES) + 1))
    for test, others in _fold_rows(units):
        calibration = calibrate(units, others)
        probabilities[test] = [_calibrated(calibration, row) for row in units.logits[test]]
    return probabilities


def calibrate(units: Predictions, rows: np.ndarray | None = None) -> Calibration:
    """Platt calibration of each sequence, and of the mean of the three calibrated logits."""
    rows = np.arange(len(units.patient)) if rows is None else rows
    logits, grades = units.logits[rows], units.grade[rows]
    platts = [fit_platt(logits[:, column], grades) for column in range(len(SEQUENCES))]
    mean = np.mean([[p.logit(x) for p, x in zip(platts, row, strict=True)] for row in logits], axis=1)
    return Calibration(dict(zip(SEQUENCES, platts, strict=True)), fit_platt(mean, grades))


def all_figures(units: Predictions, probabilities: np.ndarray, draws: int = 1000) -> dict[str, Any]:
    """Figures with 95 % intervals of each sequence, the majority, the soft vote and the three together.

    With repeats, a figure is the mean over the repeats.
    """
    called = probabilities[:, :3] >= 0.5
    soft = probabilities[:, :3].mean(axis=1)
    columns = {name: probabilities[:, i] for i, name in enumerate((*SEQUENCES, "together"))}
    figures = {name: _intervals(units, probability_figures, scores, draws) for name, scores in columns.items()}
    figures["soft"] = _intervals(units, probability_figures, soft, draws)
    figures["majority"] = _intervals(units, classification_figures, called.sum(axis=1) >= 2, draws)
    return figures


def probabilities_csv(units: Predictions, probabilities: np.ndarray) -> str:
    """Out-of-fold probabilities, a row a tested unit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{name.lower()}_probability_hgg" for name in SEQUENCES]
    writer.writerow(["repeat", "fold", "patient", "slice", "grade", *names, "probability_hgg"])
    for row, values in enumerate(probabilities):
        place = [units.repeat[row], units.fold[row], units.patient[row], units.slice[row]]
        writer.writerow([*place, "HGG" if units.grade[row] else "LGG", *(f"{v:.6f}" for v in values)])
    return text.getvalue()


def read_probabilities(path: Path) -> tuple[Predictions, np.ndarray]:
    """What ``probabilities_csv`` wrote, for recomputing figures; the logits are left out (NaN)."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [*(f"{name.lower()}_probability_hgg" for name in SEQUENCES), "probability_hgg"]
    units = Predictions(
        repeat=np.array([int(row["repeat"]) for row in rows]),
        fold=np.array([int(row["fold"]) for row in rows]),
        patient=np.array([row["patient"] for row in rows]),
        slice=np.array([int(row["slice"]) for row in rows]),
        grade=np.array([int(row["grade"] == "HGG") for row in rows]),
        logits=np.full((len(rows), len(SEQUENCES)), np.nan),
    )
    return units, np.array([[float(row[name]) for name in names] for row in rows])


def table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    names = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier")
    lines = ["| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * 7 + "|"]
    for row, values in figures["figures"].items():
        cells = [_cell(values.get(name)) for name in names]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def _intervals(units: Predictions, figures_of: Any, scores: np.ndarray, draws: int) -> Any:
    repeats = [np.flatnonzero(units.repeat == repeat) for repeat in np.unique(units.repeat)]

    def mean_over_repeats(rows: np.ndarray) -> Figures:
        tables = [
            figures_of(units.grade[part], scores[part])
            for part in (rows[np.isin(units.repeat[rows], units.repeat[r[0]])] for r in repeats)
        ]
        return {name: float(np.mean([t[name] for t in tables])) for name in tables[0]}

    return with_intervals(mean_over_repeats, units.patient, draws)


def _fold_rows(units: Predictions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for repeat in np.unique(units.repeat):
        for fold in np.unique(units.fold):
            ours = units.repeat == repeat
            yield np.flatnonzero(ours & (units.fold == fold)), np.flatnonzero(ours & (units.fold != fold))


def _calibrated(calibration: Calibration, logits: np.ndarray) -> list[float]:
    platts = [calibration.sequences[s] for s in SEQUENCES]
    calibrated = [platt.logit(float(x)) for platt, x in zip(platts, logits, strict=True)]
    single = [sigmoid(x) for x in calibrated]
    return [*single, calibration.combine(calibrated)]
