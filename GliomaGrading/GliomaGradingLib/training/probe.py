"""Linear probing: the output module that ridge regression finds on the pretrained network's pooled features.

Fine-tuning that begins at a good linear probe distorts the pretrained features less than one that begins at
random weights (Kumar 2022, arXiv 2202.10054).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..network import TransferModel
from .source import INFERENCE_BATCH, SliceSource, evaluated
from .splits import Part
from .team import ALONE, Draw, Team

EVERY = 2
"""Every second slice is looked at; its neighbours are in its channels."""


def fit_probe(model: TransferModel, source: SliceSource, train: Part, team: Team = ALONE) -> None:
    """Set the output module from the training slices, in place; a team shares the slices out."""
    recipe = source.recipe
    part = _thinned(train)
    generator = torch.Generator().manual_seed(recipe.seed)
    passes = [_features(model, source, part, None, team)]
    passes += [_features(model, source, part, generator, team) for _ in range(recipe.probe_passes - 1)]
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
    model: TransferModel, source: SliceSource, part: Part, generator: torch.Generator | None, team: Team
) -> Tensor:
    batches = list(source.batches(part, INFERENCE_BATCH))

    def inputs() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            rows = team.part(len(batch))
            own = batch.part(rows)
            if len(own):
                draw = generator and Draw(generator, len(batch), rows)
                yield source.augmented(own, draw) if draw else source.plain(own)

    found = evaluated(model, model.pooled, inputs(), source.recipe.precision)
    return team.joined(found, [len(batch) for batch in batches])


def _thinned(part: Part) -> Part:
    rows = np.flatnonzero(part.slice % EVERY == 0)
    return Part(part.patient[rows], part.slice[rows])
