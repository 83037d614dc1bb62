"""A study's figures by the centre that the patients come from and by tumour volume.

A TCGA centre collected glioblastomas or lower-grade gliomas under a code of its own, so that a code has one
grade only: what a network might learn of the centre's scanner is then as good as the grade. Where one
institution has a code of each, its patients differ in grade alone, and the AUC among them says what is left.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, reason
from ..export.tables import csv_table
from ..files import all_or_nothing
from ..preparation.slices import InputForm
from .evaluate import cell, unit_probabilities
from .evidence import FIGURES, json_text, units_of
from .metrics import Figures, auc, auc_of_pairs, wilson, with_intervals
from .selective import majority_hgg
from .study import Predictions

GROUPS = "groups.csv"
INSTITUTIONS = {
    "Henry Ford Hospital": ("06", "DU"),
    "Thomas Jefferson University": ("76", "CS"),
    "Case Western Reserve University": ("19", "FG"),
}
"""Institutions that have a TCGA tissue source site code for glioblastoma and one for lower-grade glioma."""
SAME = "pairs of the same institution"
TERTILES = ("smallest third", "middle third", "largest third")
NOT_KNOWN = "WHO grade II or III of the LGG is not in the data, so that there are no figures by it."


@dataclass(frozen=True, eq=False)
class Groups:
    """What is known of every patient: TCGA's code of the centre and the lesion's volume."""

    centre: dict[str, str]
    volume_ml: dict[str, float]

    def institution(self, patient: str) -> str:
        """The institution with codes of both grades, or nothing."""
        return next((name for name, codes in INSTITUTIONS.items() if self.centre[patient] in codes), "")

    def csv(self) -> str:
        rows = ([p, self.centre[p], f"{self.volume_ml[p]:.2f}"] for p in sorted(self.centre))
        return csv_table(["patient", "centre", "volume_ml"], rows)


def run_subgroups(study: Path, table: Path, output: Path, command: str) -> dict[str, Any]:
    """Write figures.json and groups.csv of a study by patient.

    Args:
        study: the study, or its evidence. table: CSV with patient, tcga_id and lesion_voxels (of the crop
            lattice), or the groups.csv of an earlier run.
    """
    settings, units = units_of(study)
    groups = read_groups(table, set(map(str, units.patient)))
    figures = subgroup_figures(units, unit_probabilities(settings, units), groups, command)
    with all_or_nothing(output) as write:
        write(GROUPS, groups.csv())
        write(FIGURES, json_text(figures))
    return figures


def read_groups(path: Path, patients: set[str]) -> Groups:
    """Centres and volumes of these patients.

    Raises:
        UsageError: the table cannot be read, or lacks a patient or a column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = {row["patient"]: row for row in csv.DictReader(stream)}
        chosen = {name: rows[name] for name in sorted(patients)}
        centres = {name: _centre(row) for name, row in chosen.items()}
        volumes = {name: round(_volume_ml(row), 2) for name, row in chosen.items()}
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UsageError(
            f"the table of patients cannot be used ({reason(error)})",
            path,
            "give patient, tcga_id and lesion_voxels",
        ) from error
    return Groups(centres, volumes)


def subgroup_figures(
    units: Predictions, probabilities: np.ndarray, groups: Groups, command: str, draws: int = 1000
) -> dict[str, Any]:
    """Figures of every centre, institution and third of the volumes."""
    centre = np.array([groups.centre[str(p)] for p in units.patient])
    institution = np.array([groups.institution(str(p)) for p in units.patient])
    third = _thirds(np.array([groups.volume_ml[str(p)] for p in units.patient]), units)
    parts = {
        "centre": {name: centre == name for name in sorted(set(centre))},
        "institution": {name: institution == name for name in INSTITUTIONS if (institution == name).any()},
        "volume": {name: third == number for number, name in enumerate(TERTILES)},
    }
    figures: dict[str, Any] = {
        kind: {name: _figures(units, probabilities, rows, draws) for name, rows in members.items()}
        for kind, members in parts.items()
    }
    return {
        "schema": "glioma-grading/subgroups/1",
        "intervals": "95 %: shares by Wilson's score interval, AUC by bootstrap over patients",
        "not_known": NOT_KNOWN,
        **figures,
        SAME: _same_institution(units, probabilities, institution, draws),
        "command": command,
    }


def subgroup_table(figures: dict[str, Any]) -> str:
    """As Markdown: a row a subgroup."""
    lines = [
        "| patients | HGG, LGG | AUC of the soft vote | sensitivity | specificity | mean probability |",
        "|---" * 6 + "|",
    ]
    for kind, label in (("centre", "centre {}"), ("institution", "{}"), ("volume", "{} of the tumours")):
        for name, values in figures[kind].items():
            cells = [cell(values[key]) for key in ("auc", "sensitivity", "specificity")]
            cells.append(f"{values['mean_probability']:.3f}")
            counts = f"{values['hgg']}, {values['lgg']}"
            lines.append(f"| {label.format(name)} | {counts} | " + " | ".join(cells) + " |")
    lines.append(f"| {SAME} | | {cell(figures[SAME])} | | | |")
    return "\n".join(lines) + f"\n\n{figures['not_known']}\n"


def _centre(row: dict[str, str]) -> str:
    return row["centre"] if "centre" in row else row["tcga_id"].split("-")[1]


def _volume_ml(row: dict[str, str]) -> float:
    if "volume_ml" in row:
        return float(row["volume_ml"])
    form = InputForm()
    return float(row["lesion_voxels"]) * form.pixel_mm**2 * form.plane_mm / 1000


def _thirds(volumes: np.ndarray, units: Predictions) -> np.ndarray:
    """0, 1 or 2 for every row, by the patients' volumes; patients of one volume are in one third."""
    _, first = np.unique(units.patient, return_index=True)
    return np.searchsorted(np.quantile(volumes[first], (1 / 3, 2 / 3)), volumes, side="left")


def _figures(units: Predictions, probabilities: np.ndarray, chosen: np.ndarray, draws: int) -> dict[str, Any]:
    rows = np.flatnonzero(chosen)
    grade, soft = units.grade[rows], probabilities[rows, :3].mean(axis=1)
    right = majority_hgg(probabilities[rows]) == (grade == 1)
    repeats = len(np.unique(units.repeat))
    area = with_intervals(
        lambda r: {"auc": auc(grade[r], soft[r])}, units.patient[rows], draws, repeats=units.repeat[rows]
    )
    return {
        "hgg": int(grade.sum() / repeats),
        "lgg": int((1 - grade).sum() / repeats),
        **area,
        "sensitivity": _share(right[grade == 1], repeats),
        "specificity": _share(right[grade == 0], repeats),
        "mean_probability": float(probabilities[rows, 3].mean()),
    }


def _share(right: np.ndarray, repeats: int) -> dict[str, float]:
    return wilson(float(right.sum()) / repeats, len(right) // repeats)


def _same_institution(
    units: Predictions, probabilities: np.ndarray, institution: np.ndarray, draws: int
) -> dict[str, float] | None:
    """AUC over the pairs of an HGG and an LGG that one institution has both treated."""
    rows = np.flatnonzero(institution != "")
    if not len(rows):
        return None
    grade, soft, place = units.grade[rows], probabilities[rows, :3].mean(axis=1), institution[rows]

    def figures(r: np.ndarray) -> Figures:
        return {"auc": auc_of_pairs(grade[r], soft[r], place[r])["within"]["auc"]}

    return with_intervals(figures, units.patient[rows], draws, repeats=units.repeat[rows])["auc"]
