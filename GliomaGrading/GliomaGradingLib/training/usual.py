"""What is usual among the training patients, measured on patients that were held out of the measuring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ..familiarity import Familiarity, mask_contrasts
from ..networks.network import DIRECTIONS, TransferModel
from ..words import SEQUENCES, SLICE_COUNT
from .dataset import TrainingSet
from .recipe import Recipe
from .source import INFERENCE_BATCH, SliceSource, evaluated
from .splits import Part, stratified_folds

FOLDS = 5
UNLIKE_QUANTILE = 0.99
"""Share of held-out training patients whose images count as like the others'."""
CONTRAST_QUANTILE = 0.99
FLUID_MARGIN = 0.2
"""How far, as a share of it, the limit lies below the weakest contrast of a training patient's tumour."""
NO_LIMIT = 1e6


def learn_usual(data: TrainingSet, models: Mapping[str, TransferModel], recipe: Recipe) -> Familiarity:
    """Set ``centre`` and ``directions`` of the models' output modules, in place, and give the limits.

    The distances that the limits come from are those of patients who had no part in the directions.
    """
    distances = {}
    for column, sequence in enumerate(SEQUENCES):
        features = patient_features(models[sequence], data, column, recipe)
        distances[sequence] = np.log(_held_out_distances(features, data.grades, recipe.seed))
        centre, directions = principal_directions(features)
        output = models[sequence].output
        with torch.no_grad():
            output.centre.copy_(torch.from_numpy(centre))
            output.directions.copy_(torch.from_numpy(directions))
    typical = {s: float(d.mean()) for s, d in distances.items()}
    spread = {s: float(d.std()) for s, d in distances.items()}
    strangeness = np.max([(d - typical[s]) / spread[s] for s, d in distances.items()], axis=0)
    return Familiarity(
        typical=typical,
        spread=spread,
        unlike=float(np.quantile(strangeness, UNLIKE_QUANTILE)),
        **_contrast_limits(list(_contrasts(data))),
    )


def patient_features(model: TransferModel, data: TrainingSet, column: int, recipe: Recipe) -> np.ndarray:
    """(patients, features): every patient's standardised pooled features, the mean over the 20 slices."""
    source = SliceSource(data, column, recipe)
    part = Part.of_patients(np.arange(len(data)), SLICE_COUNT)
    inputs = (source.plain(batch) for batch in source.batches(part, INFERENCE_BATCH))

    def standardised_features(images: Tensor, tumour: Tensor) -> Tensor:
        return model.output.standardised(model.pooled(images, tumour))

    standardised = evaluated(model, standardised_features, inputs, "float32")
    return standardised.reshape(len(data), SLICE_COUNT, -1).mean(dim=1).numpy()


def principal_directions(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) of rows (n, d) and the orthonormal directions (DIRECTIONS, d) in which they vary most.

    Fewer rows than directions leave the last ones 0.
    """
    centre = features.mean(axis=0)
    axes = np.linalg.svd(features - centre, full_matrices=False)[2][: min(DIRECTIONS, len(features) - 1)]
    directions = np.zeros((DIRECTIONS, features.shape[1]), dtype=features.dtype)
    directions[: len(axes)] = axes
    return centre, directions


def _held_out_distances(features: np.ndarray, grades: np.ndarray, seed: int) -> np.ndarray:
    """Every patient's unexplained length by the directions of the folds that the patient is not in."""
    distances = np.empty(len(features))
    for test in stratified_folds(grades, FOLDS, seed):
        rest = np.setdiff1d(np.arange(len(features)), test)
        centre, directions = principal_directions(features[rest])
        offset = features[test] - centre
        distances[test] = np.linalg.norm(offset - offset @ directions.T @ directions, axis=1)
    return np.maximum(distances, 1e-6)


def _contrast_limits(contrasts: list[dict[str, float]]) -> dict[str, float]:
    if not contrasts:
        return {"least_fluid": -NO_LIMIT, "most_t1": NO_LIMIT}
    weakest = min(found["T2"] + found["FLAIR"] for found in contrasts)
    return {
        "least_fluid": weakest - FLUID_MARGIN * abs(weakest),
        "most_t1": float(np.quantile([found["T1"] for found in contrasts], CONTRAST_QUANTILE)),
    }


def _contrasts(data: TrainingSet) -> Iterator[dict[str, float]]:
    """The contrasts of the patients' masks, where mask and surroundings are large enough to have one."""
    numbers = np.arange(SLICE_COUNT)
    for patient in range(len(data)):
        planes = np.rint(data.positions(np.full(SLICE_COUNT, patient), numbers)).astype(int)
        planes = planes.clip(0, data.images.shape[2] - 1)
        images = data.images[patient][:, planes].astype(np.float32)
        if contrasts := mask_contrasts(images, data.labels[patient][planes]):
            yield contrasts
