"""Convolutions with ReLU for inference: each kind in the form that this processor computes fastest.

None of them needs a compiler on the user's machine, and all give what the convolution gives but for rounding:

* 1 x 1: one matrix product over all points (:class:`Pointwise`);
* 3 x 3 on planes of some size: Winograd's minimal filtering, a quarter or half of the products
  (:class:`Winograd`);
* on planes so small that the kernel covers them from every point: one matrix product (:class:`WholePlane`);
* others: oneDNN's, with bias and ReLU within it and weights in its order once and not at every call
  (:class:`Direct`; where this PyTorch does not offer that on this processor, ordinary convolutions).

Inputs and outputs are (N, C, H, W); channels last is the layout that is not copied.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_Geometry = tuple[list[int], list[int], list[int]]
"""Padding, stride and dilation of a convolution."""

_WINOGRAD_TILES = ((8, 4), (4, 2))
"""Planes of this side on, and the side of their tiles: larger ones take fewer products and more weights."""


class ReluConvolution(nn.Module):
    """A convolution and ReLU; ``kernel_elements``: multiply-adds of one output number, as usually counted."""

    kernel_elements: int


def relu_convolution(block: nn.Module, shape: list[int]) -> ReluConvolution:
    """A trained block (``conv``, perhaps ``bn``, ReLU) in its fastest form; its weights are copied.

    Args:
        shape: (N, C, H, W) of the input that it is made for; others work too.
    """
    conv = cast(nn.Conv2d, block.conv)
    weight, bias = _weight_and_bias(block)
    geometry = (list(cast(Any, conv.padding)), list(conv.stride), list(conv.dilation))
    if conv.kernel_size == (1, 1) and geometry == ([0, 0], [1, 1], [1, 1]):
        return Pointwise(weight, bias)
    side = weight.shape[2]
    reach = side // 2
    keeps_the_plane = conv.kernel_size == (2 * reach + 1,) * 2 and geometry == ([reach] * 2, [1, 1], [1, 1])
    if keeps_the_plane and weight.device.type == "cpu":
        if max(shape[2:]) <= reach + 1:
            return WholePlane(weight, bias, shape)
        tile = next((tile for least, tile in _WINOGRAD_TILES if min(shape[2:]) >= least), None)
        if tile and side == 3:
            return Winograd(weight, bias, tile)
    return Direct(weight, bias, geometry, shape)


class Pointwise(ReluConvolution):
    """A 1 x 1 convolution: a matrix product over all points."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.kernel_elements = weight[0].numel()
        self._weight, self._bias = weight.flatten(1).contiguous(), bias

    def forward(self, x: Tensor) -> Tensor:
        points = x.permute(0, 2, 3, 1)
        flat = torch.addmm(self._bias, points.reshape(-1, x.shape[1]), self._weight.t()).relu_()
        return flat.view(*points.shape[:3], -1).permute(0, 3, 1, 2)


_POINTS = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}
"""By the side of a tile, along one axis: from what it sees to points, from a kernel to points, and back."""


class Winograd(ReluConvolution):
    """A 3 x 3 convolution of stride 1 by F(tile x tile, 3 x 3).

    Tiles of 4 x 4 output points take 36 products in place of 144, those of 2 x 2 take 16 in place of 36.

    Lavin and Gray, Fast algorithms for convolutional neural networks (CVPR 2016), arXiv 1509.09308. All three
    steps are matrix products: of the tiles' points, of the channels at each of them, and back.
    """

    def __init__(self, weight: Tensor, bias: Tensor, tile: int) -> None:
        super().__init__()
        self.kernel_elements = weight[0].numel()
        self._tile, self._reach = tile, tile + 2
        from_input, from_kernel, to_output = (torch.tensor(m, dtype=torch.float64) for m in _POINTS[tile])
        kernels = torch.einsum("xa,ocab,yb->xyco", from_kernel, weight.double(), from_kernel)
        self._weight, self._bias = kernels.flatten(0, 1).float().contiguous(), bias
        self._to_points = torch.kron(from_input, from_input).float()
        self._from_points = torch.kron(to_output, to_output).float()

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        tile, rows, columns = self._tile, -(-height // self._tile), -(-width // self._tile)
        seen = self._seen(x, rows, columns)
        points = (self._to_points @ seen).view(self._reach**2, count * rows * columns, channels)
        found = self._from_points @ torch.bmm(points, self._weight).flatten(1)
        found = found.view(tile, tile, count, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
        planes = found.reshape(count, rows * tile, columns * tile, -1).add_(self._bias).relu_()
        return planes[:, :height, :width].permute(0, 3, 1, 2)

    def _seen(self, x: Tensor, rows: int, columns: int) -> Tensor:
        """(points, tiles x channels): what each tile sees of an input, with its padding."""
        _, _, height, width = x.shape
        below, right = rows * self._tile - height + 1, columns * self._tile - width + 1
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below))
        image, row, column, channel = padded.stride()
        size = (self._reach, self._reach, len(x), rows, columns, x.shape[1])
        steps = (row, column, image, self._tile * row, self._tile * column, channel)
        return padded.as_strided(size, steps).reshape(self._reach**2, -1)


class WholePlane(ReluConvolution):
    """A convolution on planes that its kernel covers from every point: one matrix product for an image.

    Where each output point sees all of the plane, a sliding kernel spends most of its products on the padding.
    Other planes are convolved as PyTorch does it.
    """

    def __init__(self, weight: Tensor, bias: Tensor, shape: list[int]) -> None:
        super().__init__()
        self.kernel_elements = weight[0].numel()
        self._kernel, self._bias = weight, bias
        self._plane = tuple(shape[2:])
        height, width = self._plane
        reach = weight.shape[2] // 2
        rows = torch.arange(height)[:, None] - torch.arange(height) + reach  # input row, output row
        columns = torch.arange(width)[:, None] - torch.arange(width) + reach
        taps = weight[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # (O, C, h, w, output h, w)
        self._weight = taps.permute(2, 3, 1, 4, 5, 0).reshape(height * width * weight.shape[1], -1)
        self._biases = bias.repeat(height * width)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != self._plane:
            return functional.relu_(functional.conv2d(x, self._kernel, self._bias, padding="same"))
        points = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        flat = torch.addmm(self._biases, points, self._weight).relu_()
        return flat.view(len(x), *self._plane, -1).permute(0, 3, 1, 2)


class Direct(ReluConvolution):
    """Any convolution, by oneDNN where it can be had in one piece, else as PyTorch has it."""

    def __init__(self, weight: Tensor, bias: Tensor, geometry: _Geometry, shape: list[int]) -> None:
        super().__init__()
        self.kernel_elements = weight[0].numel()
        self._geometry, self._bias = geometry, bias
        weight = weight.contiguous(memory_format=torch.channels_last)
        self._is_packed = weight.device.type == "cpu" and can_pack()
        self._weight = _packed(weight, geometry, shape) if self._is_packed else weight

    def forward(self, x: Tensor) -> Tensor:
        if self._is_packed:
            return _packed_convolution(x, self._weight, self._bias, self._geometry)
        padding, stride, dilation = self._geometry
        return functional.relu_(functional.conv2d(x, self._weight, self._bias, stride, padding, dilation))


def _weight_and_bias(block: nn.Module) -> tuple[Tensor, Tensor]:
    """Copies, with batch normalisation folded in where there is one."""
    conv = cast(nn.Conv2d, block.conv)
    weight = conv.weight.detach().clone()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().clone()
    norm = getattr(block, "bn", None)
    if norm is None:
        return weight, bias
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias.detach()


@cache
def can_pack() -> bool:
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
