"""What more patients bring: the same recipe and patients, cross-validated with other numbers of folds.

A fold's models have learned from fewer patients than those that ship, which have learned from all. How a
figure rises from few folds to many says what to expect of all; nobody is graded by a model that knows him.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..files import all_or_nothing
from ..words import SLICE_COUNT
from .evaluate import DRAWS, cell, intervals_of, own_probabilities, ranking, scores_of, unit_probabilities
from .evidence import FIGURES, json_text, probabilities_csv, units_of
from .metrics import Figures, auc, probability_figures, with_intervals
from .plots import BELOW, COLOURS, look, new_figure, png
from .splits import patient_split
from .study import Predictions, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "probabilities-{folds}.csv"
PLOT = "learning.png"


def run_learning(study: Path, others: Sequence[Path], output: Path, command: str) -> dict[str, Any]:
    """Put studies that differ in their folds alone side by side: their probabilities, figures.json and a plot.

    Args:
        study: the one that the others are compared with, whose probabilities are not stored once more.

    Raises:
        UsageError: a study is of another protocol, or has another recipe, other patients or repeats.
    """
    first, *rest = (units_of(folder) for folder in (study, *others))
    for folder, other in zip(others, rest, strict=True):
        _check_alike(first, other, folder)
    figures = learning_figures(first, rest, command)
    with look(), all_or_nothing(output) as write:
        for settings, units in rest:
            text = probabilities_csv(units, unit_probabilities(settings, units))
            write(NAME.format(folds=settings.folds), text)
        write(PLOT, png(learning_plot(figures)))
        write(FIGURES, json_text(figures))
    return figures


def learning_figures(
    first: tuple[Study, Predictions],
    others: Sequence[tuple[Study, Predictions]],
    command: str,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Figures of each study, by folds, and its AUC less the first one's on the same patients."""
    studies = sorted((first, *others), key=lambda entry: entry[0].folds)
    grades = first[1].grade[first[1].repeat == first[1].repeat[0]]
    count = len(grades)
    return {
        "schema": "glioma-grading/learning/1",
        "patients": count,
        "repeats": first[0].repeats,
        "compared_with": first[0].folds,
        "studies": [
            {
                "folds": study.folds,
                "learned_from": _learned_from(study, grades),
                **_figures(study, units, draws),
                "auc_less_the_compared": _difference(units, first[1], draws),
            }
            for study, units in studies
        ],
        "command": command,
    }


def _learned_from(study: Study, grades: np.ndarray) -> int:
    """Patients of a fold's training part, in the mean; how many these are hangs on the grades alone."""
    splits = (
        patient_split(grades, SLICE_COUNT, fold, study.folds, study.recipe.validation, study.seed)
        for fold in range(study.folds)
    )
    return round(float(np.mean([len(split.train.patients()) for split in splits])))


def learning_table(figures: dict[str, Any]) -> str:
    """As Markdown, a row a number of folds."""
    head = ["folds", "patients learned from", "AUC of the soft vote", "from the networks' own probabilities"]
    head += [
        f"networks' own AUC, less that of {figures['compared_with']} folds",
        "accuracy, together",
        "Brier score, together",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for study in figures["studies"]:
        is_first = study["folds"] == figures["compared_with"]
        less = "" if is_first else cell(study["auc_less_the_compared"], sign="+")
        cells = [cell(study[name]) for name in ("auc", "own_auc")] + [less]
        cells += [cell(study[name]) for name in ("accuracy", "brier")]
        lines.append(f"| {study['folds']} | {study['learned_from']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def learning_plot(figures: dict[str, Any]) -> Figure:
    """AUC of the soft vote against the number of patients learned from; where what ships would lie."""
    figure, (axis,) = new_figure(1, 6.4, 3.8)
    places = [study["learned_from"] for study in figures["studies"]]
    for name, label, colour, marker, aside in (
        ("own_auc", "networks' own probabilities", COLOURS["soft"], "D", -0.2),
        ("auc", "each fold calibrated on the others", COLOURS["grey"], "o", 0.2),
    ):
        values = [study[name] for study in figures["studies"]]
        middle, low, high = (np.array([value[part] for value in values]) for part in ("value", "low", "high"))
        axis.errorbar(
            np.array(places) + aside, middle, yerr=(middle - low, high - middle),
            fmt=f"{marker}-", color=colour, ms=6, lw=1.6, elinewidth=1, capsize=2.5, label=label,
        )  # fmt: skip
    axis.axvline(figures["patients"], color=COLOURS["grey"], lw=1, ls=":")
    axis.annotate(
        "what ships", (figures["patients"], 0.02), xycoords=("data", "axes fraction"), xytext=(-4, 0),
        textcoords="offset points", ha="right", color=COLOURS["grey"], fontsize=9.5,
    )  # fmt: skip
    axis.set(xlabel="patients learned from", ylabel="AUC of the soft vote (95 %)")
    figure.legend(*axis.get_legend_handles_labels(), **BELOW)
    return figure


def _figures(study: Study, units: Predictions, draws: int) -> dict[str, Any]:
    scores = scores_of(unit_probabilities(study, units))
    soft = intervals_of(units, probability_figures, scores["soft"], draws)
    together = intervals_of(units, probability_figures, scores["together"], draws)
    return {
        "auc": soft["auc"],
        "own_auc": ranking(units, draws)["soft"]["auc"],
        "accuracy": together["accuracy"],
        "brier": together["brier"],
    }


def _difference(units: Predictions, first: Predictions, draws: int) -> dict[str, float]:
    """Of the AUC by the networks' own probabilities, the same patients drawn for both."""
    ours, theirs = _sorted(units), _sorted(first)
    scores = [own_probabilities(each).mean(axis=1) for each in (ours, theirs)]

    def difference(grades: np.ndarray, rows: np.ndarray) -> Figures:
        return {"auc": auc(grades[rows], scores[0][rows]) - auc(grades[rows], scores[1][rows])}

    return with_intervals(partial(difference, ours.grade), ours.patient, draws, repeats=ours.repeat)["auc"]


def _sorted(units: Predictions) -> Predictions:
    order = np.lexsort((units.patient, units.repeat))
    return replace(units, **{name: getattr(units, name)[order] for name in vars(units)})


def _check_alike(first: tuple[Study, Predictions], other: tuple[Study, Predictions], folder: Path) -> None:
    """Raises UsageError where two studies differ in more than their folds."""
    study, units = first
    settings = [json_text(asdict(replace(each, folds=study.folds))) for each in (study, other[0])]
    if study.protocol != "patient" or settings[0] != settings[1]:  # as text: evidence has six decimals
        problem = "the studies differ in more than their folds"
        raise UsageError(
            problem, folder, "train both by patient, with one recipe, one seed and as many repeats"
        )
    rows, others = (_sorted(each) for each in (units, other[1]))
    if len(rows.patient) != len(others.patient) or (rows.patient != others.patient).any():
        raise UsageError("the study is of other patients", folder, "train both on the same data")
    if (rows.grade != others.grade).any():
        raise UsageError("the study has other grades", folder, "train both on the same data")
    if other[0].folds == study.folds:
        raise UsageError(f"both studies have {study.folds} folds", folder, "train one with other --folds")
