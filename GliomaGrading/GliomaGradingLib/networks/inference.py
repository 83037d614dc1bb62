"""Transfer models for grading alone: the logits of ``TransferModel`` in about the time of its multiply-adds.

What makes a :class:`FusedModel` faster, none of which needs a compiler on the user's machine:

* batch normalisation, where there is some, is folded into the convolution before it;
* convolutions are done in the form that suits their size (:mod:`.convolutions`);
* the stem goes over a few slices at a time, whose large planes then stay in the processor's cache;
* the sum over neighbouring channels of the local response normalisation is three additions of shifted views;
* pooling goes along one axis after the other, and does not keep where the maxima were.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..words import SLICE_COUNT
from .convolutions import relu_convolution
from .googlenet import LocalResponseNorm
from .network import TransferModel, tumour_weights

_OTHER_LAYERS = (LocalResponseNorm, nn.MaxPool2d)
STEM_PART = 10
"""Slices that go through the stem at once."""


class FusedModel(TransferModel):
    """A trained transfer model for inference: same input, same logits but for rounding, float32.

    Weights are copied: what is done to ``model`` later does not show here.

    Args:
        model: on the device it is to run on.
        pixels: side of the images it will be given (others work too, slower).
        slices: how many images it will be given at once (others work too, slower).
    """

    def __init__(self, model: TransferModel, pixels: int, slices: int = SLICE_COUNT) -> None:
        nn.Module.__init__(self)  # not TransferModel's, which would make weights to be thrown away
        self.backbone_name = model.backbone_name
        self.backbone = copy.deepcopy(model.backbone)
        self.output = copy.deepcopy(model.output)
        self.requires_grad_(False).eval()
        fuse(self.backbone, _input_shapes(self, pixels, slices))

    def stem(self, images: Tensor) -> Tensor:
        if images.is_cuda:
            return super().stem(images)
        return torch.cat([super(FusedModel, self).stem(part) for part in images.split(STEM_PART)])

    def pooled(self, images: Tensor, tumour: Tensor) -> Tensor:
        return self.pooled_from(self.shallow(images), tumour)

    def pooled_from(self, x3b: Tensor, tumour: Tensor) -> Tensor:
        """What ``pooled`` gives, from what ``shallow`` has made of the images."""
        levels = self.deeper(x3b)
        means = [channel_means(level) for level in levels.values()]
        over_tumour = channel_means(levels["3b"], tumour_weights(tumour, levels["3b"]))
        return torch.cat([*means, over_tumour], dim=1)

    def forward(self, images: Tensor, tumour: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.output(self.pooled(images, tumour))


def fuse(module: nn.Module, shapes: dict[nn.Module, list[int]]) -> None:
    """Replace, in place, the layers within a module by their fused kind.

    Args:
        shapes: (N, C, H, W) of what goes into every layer.
    """
    for name, child in module.named_children():
        if child in shapes:
            setattr(module, name, _fused(child, shapes))
        else:
            fuse(child, shapes)


def _fused(layer: nn.Module, shapes: dict[nn.Module, list[int]]) -> nn.Module:
    if isinstance(layer, LocalResponseNorm):
        return FusedNorm(layer)
    if isinstance(layer, nn.MaxPool2d):
        return FusedPool(layer)
    return relu_convolution(layer, shapes[layer])


def _is_layer(module: nn.Module) -> bool:
    """Blocks of one convolution (``PlainConv2d``, torchvision's ``BasicConv2d``) have it in ``conv``."""
    return isinstance(module, _OTHER_LAYERS) or hasattr(module, "conv")


def _input_shapes(model: TransferModel, pixels: int, slices: int) -> dict[nn.Module, list[int]]:
    """What goes into every layer, seen while an image goes through them."""
    shapes: dict[nn.Module, list[int]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shapes[module] = [slices, *inputs[0].shape[1:]]

    layers = [module for module in model.backbone.modules() if _is_layer(module)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    device = next(model.parameters()).device
    with torch.inference_mode():
        model.features(torch.zeros(1, 3, pixels, pixels, device=device))
    for hook in hooks:
        hook.remove()
    return shapes


class FusedPool(nn.Module):
    """Max pooling 3 x 3 along one axis after the other; other windows as PyTorch has them."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self._plain = pool
        kind = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        self._along = {(3, 1, 1, 1): _three_same, (3, 2, 0, 1): _three_halved}.get(cast(Any, kind))

    def forward(self, x: Tensor) -> Tensor:
        if self._along is None or not self._plain.ceil_mode or min(x.shape[2:]) < 2:
            return self._plain(x)
        rows = self._along(x.permute(0, 2, 3, 1))  # (N, H, W, C): channels lie side by side in memory
        return self._along(rows.transpose(1, 2)).permute(0, 3, 2, 1)


def _three_same(x: Tensor) -> Tensor:
    """The largest of each and its two neighbours along axis 1."""
    largest = x.clone()
    _raise(largest[:, 1:], x[:, :-1])
    _raise(largest[:, :-1], x[:, 1:])
    return largest


def _three_halved(x: Tensor) -> Tensor:
    """The largest of every even one and the two after it, as far as there are any, along axis 1."""
    even, odd = x[:, 0::2], x[:, 1::2]
    largest = torch.maximum(even[:, : odd.shape[1]], odd)
    third = even[:, 1:]
    _raise(largest[:, : third.shape[1]], third)
    return largest


def _raise(to: Tensor, by: Tensor) -> None:
    torch.maximum(to, by, out=to)


class FusedNorm(nn.Module):
    """Local response normalisation, see ``googlenet.LocalResponseNorm``."""

    def __init__(self, norm: LocalResponseNorm) -> None:
        super().__init__()
        self._alpha = float(norm.band[0, 0])
        self._reach = int(torch.count_nonzero(norm.band[0])) - 1
        self._k = norm.k

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        scale = self._neighbours(x).mul_(self._alpha).add_(self._k)
        return scale.sqrt().mul_(scale).rsqrt_().mul_(x).permute(0, 3, 1, 2)  # x * scale ** -0.75

    def _neighbours(self, x: Tensor) -> Tensor:
        """Sums of the squares over the channels (the last axis) within reach."""
        reach, channels = self._reach, x.shape[-1]
        squares = x.new_zeros((*x.shape[:-1], channels + 2 * reach))  # nothing beyond the first and the last
        torch.mul(x, x, out=squares[..., reach : reach + channels])
        pairs = squares[..., :-1] + squares[..., 1:]
        total = squares[..., 2 * reach :] + pairs[..., :channels]  # two at a time, and the last
        for first in range(2, 2 * reach, 2):
            total += pairs[..., first : first + channels]
        return total


def channel_means(level: Tensor, weights: Tensor | None = None) -> Tensor:
    """(N, C) means of (N, C, h, w) over the points; with ``weights`` (N, 1, h, w) their weighted sums."""
    if weights is None:
        return level.mean(dim=(2, 3))
    points = level.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.bmm(weights.flatten(2), points)[:, 0]
