"""The paper's protocol beside the honest one, and both with shuffled grades: what a split by image measures.

The same networks, the same patients, the same recipe in four cells. With shuffled grades there is nothing to
learn about grades; what a network then scores above chance it owes to patients that it has seen in training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..files import all_or_nothing
from ..words import SEQUENCES
from .evaluate import PAPER, cell, unit_probabilities
from .evidence import FIGURES, json_text, units_of
from .metrics import auc
from .plots import COLOURS, look, new_figure, png
from .study import Predictions, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = (*SEQUENCES, "vote")
LABELS = {"vote": "vote (ours: AUC of the soft vote, accuracy of the majority)"}
NOT_RUN = "not run"


@dataclass(frozen=True)
class Cell:
    """One of the four: its folder beside the others, its heading, and what it must be."""

    folder: str
    heading: str
    whole_patients: bool
    shuffled: bool


CELLS = (
    Cell("image", "by image", False, False),
    Cell("image-whole", "by patient", True, False),
    Cell("image-shuffled", "by image, grades shuffled", False, True),
    Cell("image-whole-shuffled", "by patient, grades shuffled", True, True),
)
"""The paper's shares 70 : 15 : 15 in each; the second and the fourth cut no patient."""


def compare_protocols(evaluation: Path, output: Path, command: str) -> dict[str, Any]:
    """Put what there is of the four cells side by side; writes figures.json and leakage.png to ``output``.

    Args:
        evaluation: holds a folder a cell, as ``evaluate_study`` wrote it; one that is missing is not run.

    Raises:
        UsageError: a folder holds another protocol than its name says, or none of them is there.
    """
    figures = protocol_figures(evaluation, command)
    if not any(figures["cells"].values()):
        names = ", ".join(entry.folder for entry in CELLS)
        raise UsageError("no protocol has been evaluated", evaluation, f"give a folder that holds {names}")
    with look(), all_or_nothing(output) as write:
        write("leakage.png", png(leakage_plot(figures["cells"])))
        write(FIGURES, json_text(figures))
    return figures


def protocol_figures(evaluation: Path, command: str) -> dict[str, Any]:
    """What there is of the four cells, the paper's figures, and the sentence."""
    cells = {entry.folder: _cell_figures(evaluation / entry.folder, entry) for entry in CELLS}
    return {
        "schema": "glioma-grading/protocols/1",
        "paper": PAPER,
        "cells": cells,
        "sentence": sentence(cells),
        "command": command,
    }


def sentence(cells: dict[str, Any]) -> str:
    """What the split by image measures, in one sentence of figures."""
    image, patient, image_shuffled, patient_shuffled = (cells[entry.folder] for entry in CELLS)
    if image_shuffled is None:
        return "The control with shuffled grades has not been run.\n"
    text = (
        "With the patients' grades shuffled, so that there is nothing to learn about grades, the soft vote "
        f"still has an AUC of {_auc(image_shuffled)} under the paper's split by image"
    )
    if patient_shuffled is not None:
        text += f" and of {_auc(patient_shuffled)} when split by patient"
    text += ": a split by image measures how well a network recognises patients that it has seen"
    if image is not None and patient is not None:
        fall = f"from {_auc(image)} to {_auc(patient)}"
        text += f", and with the true grades the soft vote falls {fall} on patients that it has not seen"
    return text + ".\n"


def protocol_table(figures: dict[str, Any]) -> str:
    """AUC with its interval and accuracy, a column a protocol, as Markdown."""
    cells = figures["cells"]
    head = ["AUC; accuracy", "paper, by image", *(f"ours, {entry.heading}" for entry in CELLS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in ROWS:
        paper = figures["paper"][row]
        ours = [_cell_text(cells[entry.folder], row) for entry in CELLS]
        first = f"{LABELS.get(row, row)} | {paper['auc']:.4f}; {paper['accuracy']:.4f}"
        lines.append(f"| {first} | " + " | ".join(ours) + " |")
    counts = [_count_text(cells[entry.folder]) for entry in CELLS]
    lines.append("| tested | " + " | ".join(["", *counts]) + " |")
    return "\n".join(lines) + "\n"


def leakage_plot(cells: dict[str, Any]) -> Figure:
    """AUC of the sequences and the vote in the four cells, and the paper's."""
    figure, (axis,) = new_figure(1, 9.4, 4.0)
    groups = [("paper,\nby image", {row: {"value": PAPER[row]["auc"]} for row in ROWS})]
    for entry in CELLS:
        heading = "ours, " + entry.heading.replace(", ", ",\n")
        groups.append((heading.replace("ours, by", "ours,\nby", 1) if not entry.shuffled else heading, {}))
        if cells[entry.folder] is not None:
            groups[-1][1].update({row: cells[entry.folder]["figures"][row]["auc"] for row in ROWS})
    for place, (_, values) in enumerate(groups):
        for offset, row in enumerate(ROWS):
            _draw_figure(axis, place + (offset - 1.5) * 0.17, values.get(row), row, place == 0)
        if not values:
            axis.text(place, 0.75, NOT_RUN, ha="center", color=COLOURS["grey"])
    axis.axhline(0.5, color=COLOURS["grey"], lw=1, ls=":")
    axis.text(-0.48, 0.507, "chance", color=COLOURS["grey"], fontsize=9.5)
    axis.axvspan(2.5, 4.5, color="#f3efe6", zorder=0)
    axis.set(ylabel="AUC (95 %)", xlim=(-0.5, 4.5), ylim=(0.25, 1.03))
    axis.set_xticks(range(len(groups)), [heading for heading, _ in groups])
    axis.grid(axis="x", visible=False)
    axis.legend(loc="lower left", ncols=4)
    return figure


def _draw_figure(axis: Any, place: float, figure: dict[str, Any] | None, row: str, is_label: bool) -> None:
    if figure is None:
        return
    error = None
    if "low" in figure:
        error = [[figure["value"] - figure["low"]], [figure["high"] - figure["value"]]]
    colour = COLOURS["soft" if row == "vote" else row]
    marker = {"T1": "o", "T2": "s", "FLAIR": "^", "vote": "D"}[row]
    label = {"vote": "soft vote"}.get(row, row) if is_label else None
    axis.errorbar(
        place, figure["value"], yerr=error, fmt=marker, color=colour, ms=7, capsize=2.5, lw=1.4, label=label
    )


def _cell_figures(folder: Path, entry: Cell) -> dict[str, Any] | None:
    """AUC and accuracy with intervals; the vote's are the soft vote's AUC and the majority's accuracy."""
    path = folder / FIGURES
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    kind = stored["protocol"], stored["whole_patients"], stored["shuffled_grades"]
    if kind != ("image", entry.whole_patients, entry.shuffled):
        raise UsageError(
            "the folder holds another protocol", folder, f"evaluate the study {entry.heading} there"
        )
    figures = {s: {key: stored["figures"][s][key] for key in ("auc", "accuracy")} for s in SEQUENCES}
    vote = {"auc": stored["figures"]["soft"]["auc"], "accuracy": stored["figures"]["majority"]["accuracy"]}
    return {
        "unit": stored["unit"],
        "units": stored["units_tested"],
        "patients": stored["patients"],
        "repeats": stored["repeats"],
        "figures": {**figures, "vote": vote},
        "auc_of_patients": _auc_of_patients(*units_of(folder)),
    }


def _auc_of_patients(study: Study, units: Predictions) -> float:
    """AUC of the mean over a patient's tested slices of the mean probability, so that units are patients."""
    probabilities = unit_probabilities(study, units)
    keys = units.repeat * 1_000_000 + np.unique(units.patient, return_inverse=True)[1]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    mean = np.bincount(inverse, probabilities[:, :3].mean(axis=1)) / np.bincount(inverse)
    repeat, grade = units.repeat[first], units.grade[first]
    return float(np.mean([auc(grade[repeat == r], mean[repeat == r]) for r in np.unique(repeat)]))


def _auc(figures: dict[str, Any]) -> str:
    return f"{figures['figures']['vote']['auc']['value']:.3f}"


def _cell_text(figures: dict[str, Any] | None, row: str) -> str:
    if figures is None:
        return NOT_RUN
    values = figures["figures"][row]
    return f"{cell(values['auc'])}; {values['accuracy']['value']:.3f}"


def _count_text(figures: dict[str, Any] | None) -> str:
    return "" if figures is None else f"{figures['units']} {figures['unit']}s"
