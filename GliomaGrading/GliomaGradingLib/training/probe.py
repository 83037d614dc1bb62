"""Linear probing: the output module that ridge regression finds on the pretrained network's pooled features.

Fine-tuning that begins at a good linear probe distorts the pretrained features less than one that begins at
random weights (Kumar 2022, arXiv 2202.10054).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..network import TransferModel
from .source import INFERENCE_BATCH, SliceSource, evaluated
from .splits import Part

EVERY = 2
"""Every second slice is looked at; its neighbours are in its channels."""


def fit_probe(model: TransferModel, source: SliceSource, train: Part) -> None:
    """Set the output module from the training slices, in place."""
    recipe = source.recipe
    part = _thinned(train)
    generator = torch.Generator().manual_seed(recipe.seed)
    passes = [_features(model, source, part, None)]
    passes += [_features(model, source, part, generator) for _ in range(recipe.probe_passes - 1)]
    features = torch.cat(passes).double()
    grades = torch.from_numpy(source.data.grades[part.patient]).double().repeat(len(passes))
    mean, deviation = features.mean(dim=0), features.std(dim=0)
    deviation = deviation + 1e-3 * deviation.mean()
    weights = ridge((features - mean) / deviation, 2 * grades - 1, recipe.ridge)
    with torch.no_grad():
        model.output.mean.copy_(mean)
        model.output.deviation.copy_(deviation)
        model.output.linear.weight.copy_(recipe.probe_gain * weights[None])
        model.output.linear.bias.zero_()


def ridge(rows: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """Ridge regression of targets +-1 on rows (n, d), both classes weighing the same; ``penalty`` per row.

    Solved in whichever of the two forms is smaller, n or d equations.
    """
    share = (targets > 0).double().mean()
    class_weight = torch.where(targets > 0, 0.5 / share, 0.5 / (1 - share)).sqrt()
    rows, targets = rows * class_weight[:, None], targets * class_weight
    strength = penalty * len(rows)
    if len(rows) <= rows.shape[1]:
        gram = rows @ rows.T + strength * torch.eye(len(rows), dtype=rows.dtype)
        return rows.T @ torch.linalg.solve(gram, targets)
    normal = rows.T @ rows + strength * torch.eye(rows.shape[1], dtype=rows.dtype)
    return torch.linalg.solve(normal, rows.T @ targets)


def _features(
    model: TransferModel, source: SliceSource, part: Part, generator: torch.Generator | None
) -> Tensor:
    batches = source.batches(part, INFERENCE_BATCH)
    inputs = (source.plain(b) if generator is None else source.augmented(b, generator) for b in batches)
    return evaluated(model, model.pooled, inputs, source.recipe.precision)


def _thinned(part: Part) -> Part:
    rows = np.flatnonzero(part.slice % EVERY == 0)
    return Part(part.patient[rows], part.slice[rows])
