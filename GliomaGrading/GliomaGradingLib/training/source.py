"""Slices of a training set as network input, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.images import channel_planes, mask_planes, network_input, without_gaps
from ..networks.network import TransferModel
from .augment import augment
from .dataset import TrainingSet
from .recipe import Recipe
from .splits import Part
from .team import Draw

INFERENCE_BATCH = 160


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """Slices by patient row and fractional plane, two arrays of one length."""

    patient: np.ndarray
    plane: np.ndarray

    def __len__(self) -> int:
        return len(self.patient)

    def part(self, rows: slice) -> SliceBatch:
        """Some of the slices."""
        return SliceBatch(self.patient[rows], self.plane[rows])


class SliceSource:
    """One sequence's slices of a training set.

    Args:
        sequence: column of ``TrainingSet.images``: 0 T1, 1 T2, 2 FLAIR.
    """

    def __init__(self, data: TrainingSet, sequence: int, recipe: Recipe) -> None:
        self.data, self.recipe = data, recipe
        self._images = torch.from_numpy(data.images[:, sequence].astype(np.float32))
        self._masks = without_gaps(torch.from_numpy((data.labels > 0).astype(np.uint8)))

    def batches(self, part: Part, size: int) -> Iterator[SliceBatch]:
        """A part's slices in order."""
        for start in range(0, len(part), size):
            patient = part.patient[start : start + size]
            yield SliceBatch(patient, self.data.positions(patient, part.slice[start : start + size]))

    def plain(self, batch: SliceBatch) -> tuple[Tensor, Tensor]:
        """Images and tumour as the grading of a case has them."""
        form = self.recipe.image
        views = form.views(self.data.numbers(batch.patient, batch.plane))
        return network_input(*self._planes(batch), form, views)

    def augmented(self, batch: SliceBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Images and tumour, randomly changed."""
        return augment(*self._planes(batch), self.recipe.image, self.recipe.augmentation, draw)

    def _planes(self, batch: SliceBatch) -> tuple[Tensor, Tensor]:
        patient = torch.from_numpy(batch.patient)
        plane = torch.from_numpy(batch.plane.astype(np.float32))
        channels = channel_planes(self._images[patient], plane, self.recipe.image, self.data.plane_mm)
        return channels, mask_planes(self._masks[patient], plane)


def part_logits(model: TransferModel, source: SliceSource, part: Part) -> np.ndarray:
    """Raw logits (float32) of HGG of a part's slices, without augmentation."""
    inputs = (source.plain(batch) for batch in source.batches(part, INFERENCE_BATCH))
    return evaluated(model, model, inputs, source.recipe.precision).numpy()


def evaluated(
    model: TransferModel,
    function: Callable[[Tensor, Tensor], Tensor],
    inputs: Iterator[tuple[Tensor, Tensor]],
    precision: str,
) -> Tensor:
    """A function of the model in evaluation mode, over batches, joined on the CPU in float32."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.no_grad(), autocast(precision, device):
        chunks = [function(images.to(device), mask.to(device)).float().cpu() for images, mask in inputs]
    model.train(training)
    return torch.cat(chunks)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """bfloat16 arithmetic where the recipe wants it, or where ``auto`` finds that the processor has it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(precision, device))


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
