"""Transfer models for grading alone: the logits of ``TransferModel`` in about the time of its multiply-adds.

What makes a :class:`FusedModel` faster, none of which needs a compiler on the user's machine:

* batch normalisation, where there is some, is folded into the convolution before it;
* the 1 x 1 convolutions of an Inception block that read the same input are one convolution;
* bias and ReLU are done by the convolution, whose weights are brought to oneDNN's order once and not at every
  call (where this PyTorch offers it on this processor; elsewhere ordinary convolutions do);
* the sum over neighbouring channels of the local response normalisation is four additions of shifted views;
* pooling goes along one axis after the other, and does not keep where the maxima were.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .googlenet import LocalResponseNorm
from .network import TransferModel, tumour_weights
from .words import SLICE_COUNT

_OTHER_LAYERS = (LocalResponseNorm, nn.MaxPool2d)
_Geometry = tuple[list[int], list[int], list[int]]
"""Padding, stride and dilation of a convolution."""


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

    def pooled(self, images: Tensor, tumour: Tensor) -> Tensor:
        levels = self.features(images)
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
    if _is_inception(layer):
        return FusedInception(layer, shapes)
    if isinstance(layer, LocalResponseNorm):
        return FusedNorm(layer)
    if isinstance(layer, nn.MaxPool2d):
        return FusedPool(layer)
    return FusedConvolution([layer], shapes[layer])


def _is_layer(module: nn.Module) -> bool:
    """Blocks of one convolution (``PlainConv2d``, torchvision's ``BasicConv2d``) have it in ``conv``."""
    return _is_inception(module) or isinstance(module, _OTHER_LAYERS) or hasattr(module, "conv")


def _is_inception(module: nn.Module) -> bool:
    """Ours or torchvision's, which is not imported for the question."""
    return all(hasattr(module, f"branch{n}") for n in (1, 2, 3, 4))


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


class FusedConvolution(nn.Module):
    """Convolutions of one input (bias or batch normalisation, ReLU), one after another along the channels.

    Args:
        blocks: each with a ``conv`` and perhaps a ``bn``, alike but for their output channels.
        shape: (N, C, H, W) of the input.
    """

    def __init__(self, blocks: list[nn.Module], shape: list[int]) -> None:
        super().__init__()
        conv = cast(nn.Conv2d, blocks[0].conv)
        self._geometry = (list(cast(Any, conv.padding)), list(conv.stride), list(conv.dilation))
        weights, biases = zip(*map(_weight_and_bias, blocks), strict=True)
        self.channels = [len(bias) for bias in biases]
        self.kernel_elements = weights[0][0].numel()
        weight = torch.cat(weights).contiguous(memory_format=torch.channels_last)
        self._bias = torch.cat(biases).contiguous()
        self._is_packed = weight.device.type == "cpu" and _can_pack()
        self._weight = _packed(weight, self._geometry, shape) if self._is_packed else weight

    def forward(self, x: Tensor) -> Tensor:
        if self._is_packed:
            return _packed_convolution(x, self._weight, self._bias, self._geometry)
        padding, stride, dilation = self._geometry
        return functional.relu_(functional.conv2d(x, self._weight, self._bias, stride, padding, dilation))


def _weight_and_bias(block: nn.Module) -> tuple[Tensor, Tensor]:
    conv = cast(nn.Conv2d, block.conv)
    weight = conv.weight.detach()
    bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    norm = getattr(block, "bn", None)
    if norm is None:
        return weight, bias
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias.detach()


class FusedInception(nn.Module):
    """An Inception block: its three 1 x 1 convolutions of the input are one."""

    def __init__(self, block: nn.Module, shapes: dict[nn.Module, list[int]]) -> None:
        super().__init__()
        inner = cast(Any, block)  # its branches are attributes mypy cannot see
        inputs = [inner.branch1, inner.branch2[0], inner.branch3[0]]
        self.inputs = FusedConvolution(inputs, shapes[block])
        self.three = FusedConvolution([inner.branch2[1]], shapes[inner.branch2[1]])
        self.five = FusedConvolution([inner.branch3[1]], shapes[inner.branch3[1]])
        self.pool = FusedPool(inner.branch4[0])
        self.projection = FusedConvolution([inner.branch4[1]], shapes[block])

    def forward(self, x: Tensor) -> Tensor:
        one, three, five = self.inputs(x).split(self.inputs.channels, dim=1)
        return torch.cat([one, self.three(three), self.five(five), self.projection(self.pool(x))], dim=1)


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
    """Local response normalisation, see ``network.LocalResponseNorm``."""

    def __init__(self, norm: LocalResponseNorm) -> None:
        super().__init__()
        self._alpha = float(norm.band[0, 0])
        self._reach = int(torch.count_nonzero(norm.band[0])) - 1
        self._k = norm.k

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        scale = self._neighbours(x * x).mul_(self._alpha).add_(self._k)
        return scale.sqrt().mul_(scale).rsqrt_().mul_(x).permute(0, 3, 1, 2)  # x * scale ** -0.75

    def _neighbours(self, squares: Tensor) -> Tensor:
        """Sums over the channels (the last axis) within reach."""
        total = squares.clone()
        for distance in range(1, self._reach + 1):
            total[..., distance:] += squares[..., :-distance]
            total[..., :-distance] += squares[..., distance:]
        return total


def channel_means(level: Tensor, weights: Tensor | None = None) -> Tensor:
    """(N, C) means of (N, C, h, w) over the points; with ``weights`` (N, 1, h, w) their weighted sums."""
    if weights is None:
        return level.mean(dim=(2, 3))
    points = level.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.bmm(weights.flatten(2), points)[:, 0]


@cache
def _can_pack() -> bool:
    """Whether this PyTorch has oneDNN's packed convolution on this processor, and it computes what it should.

    These are PyTorch's own (its compiler's output calls them) but no public functions, so they are tried.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 16, 5, 5, generator=generator).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(16, 16, 3, 3, generator=generator) - 0.5
    bias = torch.rand(16, generator=generator) - 0.5
    geometry = ([1, 1], [2, 2], [1, 1])
    expected = functional.conv2d(x, weight, bias, 2, 1).relu()
    try:
        found = _packed_convolution(x, _packed(weight, geometry, list(x.shape)), bias, geometry)
        return bool(torch.allclose(found, expected, atol=1e-4))
    except (AttributeError, RuntimeError, TypeError):
        return False


def _packed(weight: Tensor, geometry: _Geometry, shape: list[int]) -> Tensor:
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, 1, shape)


def _packed_convolution(x: Tensor, weight: Tensor, bias: Tensor, geometry: _Geometry) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *geometry, 1, "relu", [], "")
