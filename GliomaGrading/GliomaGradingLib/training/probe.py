"""Linear probing: the output module that ridge regression finds on the pretrained network's pooled features.

Fine-tuning that begins at a good linear probe distorts the pretrained features less than one that begins at
random weights (Kumar 2022, arXiv 2202.10054).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..networks.network import TransferModel
from ..words import SLICE_COUNT
from .source import INFERENCE_BATCH, SliceSource, evaluated
from .splits import Part
from .targets import part_targets
from .team import ALONE, Draw, Team

EVERY = 2
"""Every second slice is looked at; its neighbours are in its channels."""
_KEPT = len(range(0, SLICE_COUNT, EVERY))


class FrozenFeatures:
    """Pooled features of a network that has learned nothing yet, of every second slice of every patient.

    The first pass sees the slices as they are, each further one changes them at random. What a pass gives
    does not depend on who is trained on, so that the folds of a study share one of these.
    """

    def __init__(self, source: SliceSource, seed: int, team: Team = ALONE) -> None:
        self.source = source
        self._seed, self._team = seed, team
        self._passes: list[Tensor] = []

    def of(self, model: TransferModel, part: Part, passes: int) -> Tensor:
        """(passes x slices, features) of a part's slices, of which only even ones are known."""
        while len(self._passes) < passes:
            self._passes.append(self._pass(model, len(self._passes)))
        rows = torch.from_numpy(part.patient * _KEPT + part.slice // EVERY)
        return torch.cat([found[rows] for found in self._passes[:passes]])

    def _pass(self, model: TransferModel, number: int) -> Tensor:
        everyone = thinned(Part.of_patients(np.arange(len(self.source.data)), SLICE_COUNT))
        generator = torch.Generator().manual_seed(self._seed + number) if number else None
        return _features(model, self.source, everyone, generator, self._team)


def fit_probe(model: TransferModel, features: FrozenFeatures, train: Part) -> None:
    """Set the output module from the training slices, in place."""
    data, recipe = features.source.data, features.source.recipe
    part = thinned(train)
    rows = features.of(model, part, recipe.probe_passes).double()
    targets = torch.from_numpy(part_targets(data, part, recipe)).repeat(recipe.probe_passes)
    is_hgg = torch.from_numpy(data.grades[part.patient] > 0).repeat(recipe.probe_passes)
    mean, deviation = rows.mean(dim=0), rows.std(dim=0)
    deviation = deviation + 1e-3 * deviation.mean()
    weights = ridge((rows - mean) / deviation, targets, is_hgg, recipe.ridge)
    with torch.no_grad():
        model.output.mean.copy_(mean)
        model.output.deviation.copy_(deviation)
        model.output.linear.weight.copy_(recipe.probe_gain * weights[None])
        model.output.linear.bias.zero_()


def ridge(rows: Tensor, targets: Tensor, is_hgg: Tensor, penalty: float) -> Tensor:
    """Ridge regression of targets on rows (n, d), both grades weighing the same; ``penalty`` per row.

    Solved in whichever of the two forms is smaller, n or d equations.
    """
    share = is_hgg.double().mean()
    weight = torch.where(is_hgg, 0.5 / share, 0.5 / (1 - share)).sqrt().to(rows.dtype)
    rows, targets = rows * weight[:, None], targets * weight
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


def thinned(part: Part) -> Part:
    """Every second slice of a part."""
    rows = np.flatnonzero(part.slice % EVERY == 0)
    return Part(part.patient[rows], part.slice[rows])
