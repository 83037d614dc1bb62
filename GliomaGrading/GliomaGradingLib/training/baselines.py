"""What simpler methods reach on the same patients in the same folds.

Each is a logistic regression whose ridge is chosen by cross-validation inside the training folds; features are
standardised there too, so that nothing of a test fold is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..files import all_or_nothing
from ..networks.image_form import ImageForm
from ..words import SEQUENCES
from .dataset import TrainingSet
from .evaluate import cell, unit_probabilities
from .evidence import FIGURES, PROBABILITIES, json_text, units_of
from .features import frozen_features, radiomics
from .metrics import Figures, auc, brier
from .paired import ScoreTable
from .study import Predictions

STRENGTHS = tuple(10.0**power for power in range(-5, 2))
"""Inverse ridge penalties to choose from."""
INNER_FOLDS = 5
OURS, SCRATCH = "ours", "scratch"
WHAT = {
    OURS: "the three transfer models, mean of their calibrated probabilities",
    SCRATCH: "networks of the same shape from random weights, same vote; trained longer, on upright slices, "
    "which are changed less, and on the grade alone",
    "frozen": "last block of the ImageNet network, mean of 20 slices, logistic regression; mean of the three",
    "radiomics": "first-order statistics of the sequences in the mask and its shape, logistic regression",
    "volume": "logarithm of the tumour's volume, logistic regression",
}
COMPARED = ("auc", "accuracy", "brier")


def run_baselines(
    data: TrainingSet,
    study: Path,
    pretrained: Path,
    output: Path,
    command: str,
    scratch: Path | None = None,
) -> dict[str, Any]:
    """Fit the baselines in a study's folds; writes figures.json and probabilities.csv.

    Args:
        study: the models' study by patient, or its evidence; ``scratch``: that of untrained beginnings.
            Without it the scores stay that a table of the same folds in ``output`` has of one.
    """
    settings, units = units_of(study)
    table = ScoreTable.of_units(units).added(OURS, units, _soft(unit_probabilities(settings, units)))
    if scratch is not None:
        other, theirs = units_of(scratch)
        table = table.added(SCRATCH, theirs, _soft(unit_probabilities(other, theirs)))
    else:
        table = replace(table, columns={**table.columns, **_earlier_scratch(output, table)})
    rows = _rows_of(data, units)
    for name, scores in _scores(data, units, rows, pretrained, settings.recipe.image).items():
        table = table.added(name, units, scores)
    figures = baseline_figures(table, command)
    with all_or_nothing(output) as write:
        write(PROBABILITIES, table.csv())
        write(FIGURES, json_text(figures))
    return figures


def baseline_figures(table: ScoreTable, command: str, draws: int = 1000) -> dict[str, Any]:
    """Figures of every column, and of ours less each."""
    return {
        "schema": "glioma-grading/baselines/1",
        "what": {name: WHAT.get(name.split(" ")[0], "") for name in table.columns},
        "repeats": {name: len(np.unique(table.repeat[table.rows_with([name])])) for name in table.columns},
        "figures": {name: table.figures(compared, name, draws) for name in table.columns},
        "ours_less": {
            name: table.difference(compared, OURS, name, draws) for name in table.columns if name != OURS
        },
        "command": command,
    }


def compared(grades: np.ndarray, probabilities: np.ndarray) -> Figures:
    """The figures by which methods are compared."""
    return {
        "auc": auc(grades, probabilities),
        "accuracy": float(((probabilities >= 0.5) == (grades == 1)).mean()),
        "brier": brier(grades, probabilities),
    }


def baseline_table(figures: dict[str, Any]) -> str:
    """As Markdown: a row a method, with ours less it."""
    lines = [
        "| | repeats | AUC | accuracy | Brier | ours less it over the same repeats, AUC |",
        "|---" * 6 + "|",
    ]
    for name, values in figures["figures"].items():
        cells = [cell(values[key]) for key in COMPARED]
        difference = cell(figures["ours_less"].get(name, {}).get("auc"))
        lines.append(f"| {name} | {figures['repeats'][name]} | " + " | ".join([*cells, difference]) + " |")
    return "\n".join(lines) + "\n"


def nested_probabilities(units: Predictions, features: np.ndarray) -> np.ndarray:
    """(rows,) probabilities out of fold of a nested logistic regression.

    Args:
        features: (rows, d), of the patient of every row of ``units``.
    """
    probabilities = np.empty(len(units.patient))
    for repeat in np.unique(units.repeat):
        for fold in np.unique(units.fold):
            ours = units.repeat == repeat
            test, train = ours & (units.fold == fold), ours & (units.fold != fold)
            probabilities[test] = _fold_probabilities(
                features[train], units.grade[train], features[test], int(repeat)
            )
    return probabilities


def _fold_probabilities(train: np.ndarray, grades: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities of the test rows; the ridge is that of least log loss in an inner cross-validation.

    Features are turned onto the training rows' principal axes, all of them: a ridge gives the same there, and
    there are fewer.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    _, _, axes = np.linalg.svd(scaler.transform(train), full_matrices=False)
    rows = scaler.transform(train) @ axes.T
    rarer = int(np.bincount(grades, minlength=2).min())
    if rarer < 2:
        raise UsageError(
            f"a fold has {rarer} patients of a grade to choose a ridge with, and two are needed",
            remedy="give more patients, or train with fewer --folds",
        )
    inner = StratifiedKFold(min(INNER_FOLDS, rarer), shuffle=True, random_state=seed)
    models = [LogisticRegression(C=strength, max_iter=1000) for strength in STRENGTHS]
    fits = [cross_val_score(model, rows, grades, cv=inner, scoring="neg_log_loss").mean() for model in models]
    best = models[int(np.argmax(fits))].fit(rows, grades)
    return best.predict_proba(scaler.transform(test) @ axes.T)[:, 1]


def _earlier_scratch(output: Path, table: ScoreTable) -> dict[str, np.ndarray]:
    """The column of untrained beginnings that a table in ``output`` has; empty where its rows are others."""
    if not (output / PROBABILITIES).is_file():
        return {}
    earlier = ScoreTable.read(output / PROBABILITIES)
    rows = ("repeat", "fold", "patient", "grade")
    is_same = all(np.array_equal(getattr(earlier, key), getattr(table, key)) for key in rows)
    return {SCRATCH: earlier.columns[SCRATCH]} if is_same and SCRATCH in earlier.columns else {}


def _scores(
    data: TrainingSet, units: Predictions, rows: np.ndarray, pretrained: Path, form: ImageForm
) -> dict[str, np.ndarray]:
    shape, _ = radiomics(data)
    last = frozen_features(data, pretrained, form)["5b"].mean(axis=2)
    single = {
        f"frozen {name}": nested_probabilities(units, last[column, rows])
        for column, name in enumerate(SEQUENCES)
    }
    return {
        "frozen": np.mean(list(single.values()), axis=0),
        **single,
        "radiomics": nested_probabilities(units, shape[rows]),
        "volume": nested_probabilities(units, shape[rows, :1]),
    }


def _rows_of(data: TrainingSet, units: Predictions) -> np.ndarray:
    """The row of ``data`` that each tested patient is."""
    from ..errors import CaseError

    place = {str(name): row for row, name in enumerate(data.patients)}
    missing = sorted({str(name) for name in units.patient} - set(place))
    if missing:
        raise CaseError(
            f"patient {missing[0]} of the study is not in the training set", remedy="give its --data"
        )
    return np.array([place[str(name)] for name in units.patient])


def _soft(probabilities: np.ndarray) -> np.ndarray:
    return probabilities[:, :3].mean(axis=1)
