"""The bundle that ships: three models of all patients, calibrated on a study's out-of-fold predictions."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..bundle import Bundle, write_bundle
from ..network import TransferModel
from ..voting import Calibration, DecisionRule
from ..words import GRADE_MEANING, SEQUENCES, SLICE_COUNT
from .dataset import TrainingSet
from .evaluate import calibrate
from .fit import Fit, curves_csv
from .recipe import Recipe
from .splits import Part, Split
from .study import Predictions, read_study

NOBODY = Part(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def train_bundle(
    data: TrainingSet,
    recipe: Recipe,
    folder: Path,
    work: Path,
    study: Path | None,
    pretrained: Path | None,
    seeds: int = 1,
    device: str = "cpu",
    name: str = "",
) -> Bundle:
    """Train the three models on every patient of ``data`` and write their bundle.

    Args:
        folder: the bundle's folder; its name is the bundle's unless ``name`` is given.
        work: holds checkpoints, so that a killed run goes on.
        study: finished study whose out-of-fold predictions calibrate the probabilities; without one they
            stay as the networks give them.
        seeds: runs with other seeds whose weights are averaged (all start from the same ImageNet weights).
    """
    models = {
        sequence: _averaged(
            [
                _trained(
                    data, column, replace(recipe, seed=recipe.seed + 100 * seed), work, pretrained, device
                )
                for seed in range(seeds)
            ]
        )
        for column, sequence in enumerate(SEQUENCES)
    }
    predictions = read_study(study)[1].of_patients() if study else None
    metadata = _metadata(data, recipe, seeds, name or folder.name, predictions)
    return write_bundle(folder, models, metadata)


def _trained(
    data: TrainingSet, column: int, recipe: Recipe, work: Path, pretrained: Path | None, device: str
) -> TransferModel:
    run = work / f"final-{SEQUENCES[column]}-seed{recipe.seed}"
    everyone = Part.of_patients(np.arange(len(data)), SLICE_COUNT)
    fit = Fit(
        data, column, Split(everyone, NOBODY, NOBODY), recipe, run / "checkpoint.pt", pretrained, device
    )
    model = fit.run()
    (run / "curves.csv").write_text(curves_csv(fit.curves), encoding="utf-8")
    return model


def _averaged(models: list[TransferModel]) -> TransferModel:
    """The model of the mean weights."""
    states = [model.state_dict() for model in models]
    mean = {key: torch.stack([state[key].float() for state in states]).mean(0) for key in states[0]}
    models[0].load_state_dict(mean)
    return models[0].cpu()


def _metadata(
    data: TrainingSet, recipe: Recipe, seeds: int, name: str, predictions: Predictions | None
) -> dict[str, Any]:
    calibration = calibrate(predictions) if predictions else Calibration.identity()
    hgg = int(data.grades.sum())
    return {
        "name": name,
        "version": __version__,
        "sequences": list(SEQUENCES),
        "classes": {"LGG": 0, "HGG": 1},
        "meaning": GRADE_MEANING,
        "input": {"region": asdict(data.form), "image": asdict(recipe.image)},
        "calibration": {
            "sequences": {s: asdict(platt) for s, platt in calibration.sequences.items()},
            "together": asdict(calibration.together),
            "fitted_on": "out-of-fold predictions by patient" if predictions else "nothing",
        },
        "decision": asdict(DecisionRule()),
        "training": {
            "patients": len(data),
            "HGG": hgg,
            "LGG": len(data) - hgg,
            "collections": sorted(set(map(str, data.collections))),
            "recipe": recipe.to_dict(),
            "seeds": seeds,
        },
    }
