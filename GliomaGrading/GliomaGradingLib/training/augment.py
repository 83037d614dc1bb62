"""Random changes of training images, as one resampling from the region to network input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.image_form import ImageForm
from .recipe import Augmentation
from .team import Draw


def augment(
    channels: Tensor, tumour: Tensor, form: ImageForm, settings: Augmentation, draw: Draw
) -> tuple[Tensor, Tensor]:
    """Network input of clipped channels (B, 3, H, W) and mask planes (B, H, W), each randomly changed.

    The geometric change and the enlargement are one linear resampling of both. What lies outside the brain
    (exactly 0) stays 0.
    """
    count = len(channels)
    both = torch.cat([channels, redrawn(tumour, settings.redraw, draw)[:, None]], dim=1)
    matrices = _affine_matrices(settings, draw)
    grid = functional.affine_grid(matrices, [count, 4, form.pixels, form.pixels], align_corners=False)
    both = functional.grid_sample(both, grid, padding_mode="border", align_corners=False)
    images = _changed_intensity(both[:, :3], settings, draw)
    return (form.gain * images).contiguous(memory_format=torch.channels_last), both[:, 3]


def redrawn(tumour: Tensor, share: float, draw: Draw) -> Tensor:
    """Masks (B, H, W) as other hands might draw them: a ``share`` each is grown, shrunk, smeared or boxed."""
    grown = functional.max_pool2d(tumour[:, None], 3, stride=1, padding=1)[:, 0]
    shrunk = 1 - functional.max_pool2d(1 - tumour[:, None], 3, stride=1, padding=1)[:, 0]
    smeared = functional.avg_pool2d(tumour[:, None], 9, stride=1, padding=4)[:, 0]
    shrunk = torch.where((shrunk.sum(dim=(1, 2)) > 0)[:, None, None], shrunk, tumour)
    boxed = _filled(tumour.amax(dim=2))[:, :, None] * _filled(tumour.amax(dim=1))[:, None, :]
    lot = draw.uniform()[:, None, None]
    for order, other in enumerate((grown, shrunk, smeared, boxed)):
        tumour = torch.where((lot >= order * share) & (lot < (order + 1) * share), other, tumour)
    return tumour


def _filled(line: Tensor) -> Tensor:
    """Lines (B, n) of 0 and 1 with 1 from the first 1 to the last."""
    after_first = line.cummax(dim=1).values
    before_last = line.flip(1).cummax(dim=1).values.flip(1)
    return after_first * before_last


def _changed_intensity(images: Tensor, settings: Augmentation, draw: Draw) -> Tensor:
    brain = images.abs() > 1e-3
    images = images * _column(torch.exp(_symmetric(settings.contrast, draw)))
    images = images + brain * _column(_symmetric(settings.brightness, draw))
    if settings.noise:
        level = _column(draw.uniform() * settings.noise)
        images = images + brain * level * draw.normal(images.shape)
    return images


def _affine_matrices(settings: Augmentation, draw: Draw) -> Tensor:
    angle = _symmetric(settings.rotation, draw)
    zoom = torch.exp(_symmetric(settings.zoom, draw))
    aspect = torch.exp(_symmetric(settings.aspect, draw))
    flip = torch.where(draw.uniform() < 0.5, -1.0, 1.0)
    if not settings.mirror:
        flip = torch.ones(draw.count)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    shift_x = _symmetric(settings.shift, draw)
    shift_y = _symmetric(settings.shift, draw)
    row_x = torch.stack([cosine * zoom * aspect * flip, -sine * zoom, shift_x], dim=1)
    row_y = torch.stack([sine * zoom * flip, cosine * zoom / aspect, shift_y], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def _symmetric(half_width: float, draw: Draw) -> Tensor:
    return (draw.uniform() * 2 - 1) * half_width


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]
