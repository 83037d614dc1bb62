"""Grad-CAM of the transfer models: the logit of HGG, given back to the places it came from.

Grad-CAM weights the activations of a layer by the gradient of the output. Here nothing but pooling and one
linear layer follows the four levels that the output module reads, so the gradient is the layer's own weight
and no autograd is needed; Grad-CAM is HiResCAM then, and provably shows what the output was added up from
(Draelos and Carin, arXiv 2011.08891, section 3). Two choices, both so that nothing is left out:

* All five poolings (four levels over the slice, 3b over the tumour too) are added up, each enlarged so that
  its sum is kept. The last level alone, as usual, would show less than a quarter of the evidence.
* Activations are those that the linear layer sees: less their mean over the training images. Without it,
  what every image has in common (features times their mean) would hide what this one has of its own.

There is no ReLU: evidence against HGG is evidence for LGG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..explanation import Explanation
from ..words import SEQUENCES, SLICE_COUNT
from .image_form import Views
from .images import stack_input, turned, without_gaps
from .network import TransferModel, tumour_weights

if TYPE_CHECKING:
    from ..preparation.slices import SliceStack
    from ..voting import Calibration
    from .image_form import ImageForm

__all__ = ["Explanation", "evidence", "explain"]

POINTS_APART = 8
"""Points of the network's input between two of block 3b, the finest level."""

Progress = Callable[[str, float], None]


def explain(
    stack: SliceStack,
    models: Mapping[str, TransferModel],
    form: ImageForm,
    calibration: Calibration,
    progress: Progress | None = None,
) -> Explanation:
    """The evidence of a prepared slice stack; ``progress`` is told each sequence before its network runs."""
    maps, base = [], []
    for done, sequence in enumerate(SEQUENCES):
        if progress:
            progress(f"saliency {sequence}", done / len(SEQUENCES))
        model, platt = models[sequence], calibration.sequences[sequence]
        maps.append(platt.slope * _evidence_of_stack(stack, SEQUENCES.index(sequence), model, form))
        base.append(platt.logit(float(model.output.linear.bias.detach().double()[0])))
    if progress:
        progress("saliency", 1.0)
    lattice = stack.region
    detail = lattice.step[0] * stack.mask.shape[2] * POINTS_APART / form.pixels if lattice else 0.0
    return Explanation(
        maps=np.stack(maps).astype(np.float32),
        base=(base[0], base[1], base[2]),
        lattice=lattice.window((0, 0, stack.first), (*lattice.size[:2], SLICE_COUNT)) if lattice else None,
        detail_mm=round(detail, 2),
        indices=stack.info.indices,
    )


def evidence(
    model: TransferModel,
    images: Tensor,
    tumour: Tensor,
    size: tuple[int, int],
    views: Views | None = None,
) -> Tensor:
    """(N, H, W) float64 maps whose mean is the model's logit less its bias.

    Args:
        images, tumour: as ``TransferModel.forward`` takes them.
        size: H and W of the maps.
        views: how the images were looked at; the maps lie as the slices do.
    """
    levels = model.features(images)
    poolings = [(level, _even(level)) for level in levels.values()]
    poolings.append((levels["3b"], tumour_weights(tumour, levels["3b"])))
    output, first = model.output, 0
    shown = size if views is None else (images.shape[2], images.shape[3])
    total = torch.zeros(len(images), *shown, dtype=torch.float64, device=images.device)
    gains = (output.linear.weight[0] / output.deviation).double()
    for level, weights in poolings:
        part = slice(first, first + level.shape[1])
        contributions = _contributions(level, weights, gains[part], output.mean[part].double())
        total = total + _enlarged(contributions, shown)
        first = part.stop
    if views is not None:
        total = _where_it_lies(total, views, size)
    return total * (size[0] * size[1])


def _evidence_of_stack(stack: SliceStack, sequence: int, model: TransferModel, form: ImageForm) -> np.ndarray:
    """Maps (20, H, W) of a sequence's slices, before calibration."""
    device = model.output.mean.device
    planes = torch.from_numpy(stack.planes[sequence]).to(device)
    mask = without_gaps(torch.from_numpy(stack.mask)).to(device)
    with torch.inference_mode():
        images, tumour = stack_input(planes, mask, stack.first, SLICE_COUNT, form)
        size = (int(mask.shape[1]), int(mask.shape[2]))
        maps = evidence(model, images, tumour, size, form.views(np.arange(SLICE_COUNT)))
    return maps.cpu().numpy()


def _where_it_lies(maps: Tensor, views: Views, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) of images as they were looked at, on (H, W) points of the slices, with the same sums."""
    maps = turned(_shifted_back(maps, views.shifts), -views.turns)
    rows, columns = (_shares(old, new).to(maps) for old, new in zip(maps.shape[1:], size, strict=True))
    return rows @ maps @ columns.T


def _shifted_back(maps: Tensor, shifts: np.ndarray) -> Tensor:
    """Shifted maps (N, h, w) as ``images.shifted`` found the planes.

    What a network found beyond a border, where it saw the border go on, is given to the band within that is as
    wide: to the border's own points alone it would be a line that looks like a finding.
    """
    rows, columns = (
        torch.stack([_taken(size, int(shift)) for shift in part]).to(maps)
        for size, part in zip(maps.shape[1:], shifts.T, strict=True)
    )
    return rows @ maps @ columns.transpose(1, 2)


def _taken(size: int, shift: int) -> Tensor:
    """(size, size) with a 1 in column i where point i was taken from, mirrored at the borders."""
    source = torch.arange(size) + shift
    source = torch.where(source < 0, -1 - source, source)
    source = torch.where(source >= size, 2 * size - 1 - source, source)
    return functional.one_hot(source, size).T.double()


def _shares(old: int, new: int) -> Tensor:
    """(new, old) matrix that gives each of the old cells to the new ones it lies in; columns add up to 1."""
    matrix = functional.adaptive_avg_pool1d(torch.eye(old, dtype=torch.float64)[None], new)[0].T
    return matrix / matrix.sum(dim=0, keepdim=True)


def _even(level: Tensor) -> Tensor:
    """The weights of a mean over all points, (1, 1, h, w)."""
    height, width = level.shape[2:]
    return level.new_full((1, 1, height, width), 1 / (height * width))


def _contributions(level: Tensor, weights: Tensor, gains: Tensor, mean: Tensor) -> Tensor:
    """(N, h, w) in float64: each point's addend of sum(gain * (pooled - mean)).

    The mean is spread like the pooling's own weights, evenly where these are all 0.
    """
    weights = weights.double()
    total = weights.sum(dim=(2, 3), keepdim=True)
    spread = torch.where(total > 0, weights / total.clamp(min=1e-12), _even(level).double())
    signal = torch.einsum("nchw,c->nhw", level.double(), gains)
    return weights[:, 0] * signal - spread[:, 0] * (gains * mean).sum()


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) at another size, linearly, with the same sum."""
    rows, columns = (_enlarger(old, new).to(maps) for old, new in zip(maps.shape[1:], size, strict=True))
    return rows @ maps @ columns.T


def _enlarger(old: int, new: int) -> Tensor:
    """(new, old) matrix of linear interpolation between cell centres whose columns add up to 1."""
    unit = torch.eye(old, dtype=torch.float64)[None]
    matrix = functional.interpolate(unit, size=new, mode="linear", align_corners=False)[0].T
    return matrix / matrix.sum(dim=0, keepdim=True).clamp(min=1e-12)
