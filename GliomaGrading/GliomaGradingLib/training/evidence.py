"""What a finished study leaves behind: everything its figures and plots are made from, in a few small files.

``probabilities.csv`` has a row a tested unit (a patient, or a slice where the protocol is the paper's) with raw
logits and calibrated probabilities, ``splits.json`` says who was trained on, ``curves.csv`` has every run's
curves and ``figures.json`` the study's settings beside its figures. All can be made anew from these alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, reason
from ..export.figures import rounded
from ..export.tables import PROBABILITY_COLUMNS, csv_table
from ..words import HGG, LGG, SEQUENCES, SLICE_COUNT
from .study import PREDICTIONS, STUDY, Predictions, Study, origin_of, read_study, study_from_dict

FIGURES, PROBABILITIES, SPLITS, CURVES = "figures.json", "probabilities.csv", "splits.json", "curves.csv"
LOGIT_COLUMNS = tuple(f"{name.lower()}_logit" for name in SEQUENCES)


@dataclass(frozen=True, eq=False)
class Evidence:
    """A study with its tested units, split lists (compact), curves (CSV text) and what tells of its origin."""

    study: Study
    units: Predictions
    splits: list[dict[str, Any]]
    curves: str
    origin: dict[str, Any] = field(default_factory=dict)


def read_evidence(folder: Path) -> Evidence:
    """Of a study's folder, or of a folder that an earlier evaluation wrote.

    Raises:
        UsageError: the folder holds neither, or an unfinished study.
    """
    if (folder / PREDICTIONS).is_file() or not (folder / PROBABILITIES).is_file():
        return _evidence_of_study(folder)
    try:
        settings = json.loads((folder / FIGURES).read_text(encoding="utf-8"))["study"]
        study, origin = study_from_dict(settings), origin_of(settings)
        splits = json.loads((folder / SPLITS).read_text(encoding="utf-8"))
        curves = (folder / CURVES).read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the evidence cannot be read ({reason(error)})", folder, "evaluate the study's own folder again"
        ) from error
    return Evidence(study, read_probabilities(folder / PROBABILITIES)[0], splits, curves, origin)


def check_output(output: Path) -> None:
    """Figures are not written into a study's folder: ``splits.json`` there is the study's own.

    Raises:
        UsageError: a study lies in the folder.
    """
    if (output / STUDY).is_file():
        raise UsageError("the output folder holds a study", output, "name another folder for the figures")


def units_of(folder: Path) -> tuple[Study, Predictions]:
    """The study and the tested units of a study's or an evidence folder.

    Raises:
        UsageError: as ``read_evidence``.
    """
    evidence = read_evidence(folder)
    return evidence.study, evidence.units


def probabilities_csv(units: Predictions, probabilities: np.ndarray) -> str:
    """Logits and probabilities out of fold, a row a tested unit."""
    rows = []
    for row, values in enumerate(probabilities):
        place = [units.repeat[row], units.fold[row], units.patient[row], units.slice[row]]
        logits = [f"{logit:.5f}" for logit in units.logits[row]]
        rows.append([*place, HGG if units.grade[row] else LGG, *logits, *(f"{v:.6f}" for v in values)])
    head = ["repeat", "fold", "patient", "slice", "grade", *LOGIT_COLUMNS, *PROBABILITY_COLUMNS]
    return csv_table(head, rows)


def read_probabilities(path: Path) -> tuple[Predictions, np.ndarray]:
    """What ``probabilities_csv`` wrote: the units, and (rows, 4) probabilities."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    units = Predictions(
        repeat=np.array([int(row["repeat"]) for row in rows]),
        fold=np.array([int(row["fold"]) for row in rows]),
        patient=np.array([row["patient"] for row in rows]),
        slice=np.array([int(row["slice"]) for row in rows]),
        grade=np.array([int(row["grade"] == HGG) for row in rows]),
        logits=np.array([[float(row[name]) for name in LOGIT_COLUMNS] for row in rows]),
    )
    return units, np.array([[float(row[name]) for name in PROBABILITY_COLUMNS] for row in rows])


def read_curves(text: str) -> list[dict[str, Any]]:
    """The rows of ``curves.csv``; figures are numbers, ``sequence`` is a name."""
    rows = csv.DictReader(io.StringIO(text))
    return [{k: v if k == "sequence" else float(v) for k, v in row.items()} for row in rows]


def json_text(content: Any) -> str:
    """Figures as JSON: six decimals, null where a figure is not defined."""
    return json.dumps(rounded(content), indent=2) + "\n"


def _evidence_of_study(folder: Path) -> Evidence:
    study, predictions = read_study(folder)
    units = predictions if study.protocol == "image" else predictions.of_patients()
    units = replace(units, logits=units.logits.round(5))  # as they are written, so that nothing depends on more
    splits = json.loads((folder / SPLITS).read_text(encoding="utf-8"))
    origin = origin_of(json.loads((folder / STUDY).read_text(encoding="utf-8")))
    return Evidence(study, units, [_compact(split) for split in splits], _joined_curves(folder), origin)


def _compact(split: dict[str, Any]) -> dict[str, Any]:
    """Parts as patients; where a patient's 20 slices are not all in one part, ``patient/slice,slice,...``."""
    parts = {name: _by_patient(split[name]) for name in ("train", "validation", "test")}
    return {**split, **parts}


def _by_patient(rows: list[str]) -> list[str]:
    slices: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        patient, _, number = row.rpartition("/")  # a name may have one, too
        slices[patient].append(int(number))
    return [
        patient if len(numbers) == SLICE_COUNT else f"{patient}/{','.join(map(str, sorted(numbers)))}"
        for patient, numbers in sorted(slices.items())
    ]


def _joined_curves(folder: Path) -> str:
    """Every run's curves in one table; a run's folder is named ``repeatR-foldF-SEQUENCE``."""
    lines: list[str] = []
    for path in sorted(folder.glob("runs/*/curves.csv")):
        repeat, fold, sequence = path.parent.name.split("-")
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        lines = lines or [f"repeat,fold,sequence,{header}"]
        place = f"{repeat.removeprefix('repeat')},{fold.removeprefix('fold')},{sequence}"
        lines += [f"{place},{row}" for row in rows]
    return "\n".join(lines) + "\n" if lines else ""
