"""Plots of a study: accuracy and loss curves, ROC, reliability."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from ..export.files import write_atomically
from ..words import SEQUENCES
from .metrics import auc
from .study import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"T1": "#0072b2", "T2": "#d55e00", "FLAIR": "#009e73", "together": "#000000"}
STYLES = {"T1": "-", "T2": "--", "FLAIR": "-.", "together": "-"}


def write_plots(study: Path, output: Path, units: Predictions, probabilities: np.ndarray) -> None:
    """Write curves.png, roc.png and reliability.png."""
    figures = {
        "curves": _curves(study),
        "roc": _roc(units, probabilities),
        "reliability": _reliability(units, probabilities),
    }
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        write_atomically(output / f"{name}.png", buffer.getvalue())


def _new_figure(columns: int) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * columns, 4.2), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _curves(study: Path) -> Figure:
    """Accuracy and loss by epoch: the mean over the runs of a sequence; validation dotted."""
    figure, axes = _new_figure(2)
    for sequence in SEQUENCES:
        runs = [_read_curves(path) for path in sorted(study.glob(f"runs/*-{sequence}/curves.csv"))]
        if not runs:
            continue
        shortest = min(len(run["epoch"]) for run in runs)
        for axis, what in zip(axes, ("accuracy", "loss"), strict=True):
            for part, style in (("train", "-"), ("validation", ":")):
                values = np.mean([run[f"{part}_{what}"][:shortest] for run in runs], axis=0)
                if np.isfinite(values).any():
                    label = f"{sequence} {part}"
                    axis.plot(np.arange(shortest) + 1, values, style, color=COLOURS[sequence], label=label)
    for axis, what in zip(axes, ("Accuracy of slices", "Loss (cross-entropy)"), strict=True):
        axis.set(xlabel="Epoch", ylabel=what)
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    if axes[0].lines:
        axes[0].legend(fontsize=8)
    return figure


def _read_curves(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _roc(units: Predictions, probabilities: np.ndarray) -> Figure:
    figure, (axis,) = _new_figure(1)
    first = units.repeat == units.repeat.min()
    for column, name in enumerate((*SEQUENCES, "together")):
        scores, grades = probabilities[first, column], units.grade[first]
        false, true, _ = roc_curve(grades, scores)
        label = f"{name}, AUC {auc(grades, scores):.3f}"
        axis.plot(
            false, true, STYLES[name], color=COLOURS[name], label=label, lw=2.2 if name == "together" else 1.3
        )
    axis.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    axis.set(xlabel="1 - specificity (LGG called HGG)", ylabel="Sensitivity (HGG called HGG)", aspect="equal")
    axis.legend(loc="lower right", fontsize=9)
    return figure


def _reliability(units: Predictions, probabilities: np.ndarray, bins: int = 8) -> Figure:
    """Share of HGG among groups of equally many units, against their mean probability (the three together)."""
    figure, (axis,) = _new_figure(1)
    scores = probabilities[:, -1]
    for group in np.array_split(np.argsort(scores, kind="stable"), bins):
        share, count = units.grade[group].mean(), len(group)
        half = 1.96 * np.sqrt(max(share * (1 - share), 1e-4) / count)
        axis.errorbar(scores[group].mean(), share, yerr=half, fmt="o", color="#0072b2", capsize=3)
    axis.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    axis.set(
        xlabel="Mean probability of HGG", ylabel="Share that is HGG (95 %)", xlim=(0, 1), ylim=(-0.02, 1.02)
    )
    return figure
