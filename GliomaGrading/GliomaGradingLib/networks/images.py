"""How planes of a slice stack become the three-channel images that a GoogLeNet takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .image_form import QUARTERS, ImageForm, Views


def planes_at(stack: Tensor, positions: Tensor) -> Tensor:
    """Planes (B, H, W) of stacks (B, P, H, W) at fractional plane positions (B,), linearly; clamped."""
    last = stack.shape[1] - 1
    positions = positions.clamp(0, last)
    below = positions.floor().long().clamp(max=max(last - 1, 0))
    weight = (positions - below).to(stack)[:, None, None]
    rows = torch.arange(len(stack))
    return stack[rows, below] * (1 - weight) + stack[rows, (below + 1).clamp(max=last)] * weight


def channel_planes(stack: Tensor, positions: Tensor, form: ImageForm, plane_mm: float) -> Tensor:
    """(B, 3, H, W): the channels of the slices at plane ``positions`` of stacks (B, P, H, W), clipped."""
    planes = [planes_at(stack, positions + offset / plane_mm) for offset in form.offsets_mm]
    return torch.stack(planes, dim=1).clamp(form.low, form.high)


def without_gaps(masks: Tensor) -> Tensor:
    """Masks (..., P, H, W) whose empty planes repeat the nearest plane that is drawn on.

    Where a tumour is drawn on every third slice only, the slices between have one too.
    """
    flat = masks.reshape(-1, *masks.shape[-3:])
    planes = torch.arange(flat.shape[1])
    filled = []
    for mask in flat:
        drawn = mask.flatten(1).any(dim=1).nonzero()[:, 0].cpu()
        if len(drawn):
            mask = mask[drawn[(planes[:, None] - drawn[None, :]).abs().argmin(dim=1)]]
        filled.append(mask)
    return torch.stack(filled).reshape(masks.shape)


def mask_planes(masks: Tensor, positions: Tensor) -> Tensor:
    """(B, H, W) float: the nearest planes of masks (B, P, H, W) to fractional positions (B,)."""
    nearest = positions.round().long().clamp(0, masks.shape[1] - 1)
    return masks[torch.arange(len(masks)), nearest].float()


def enlarge(channels: Tensor, form: ImageForm) -> Tensor:
    """Channels (B, C, H, W) on the network's (B, C, pixels, pixels), linearly."""
    size = (form.pixels, form.pixels)
    return functional.interpolate(channels, size=size, mode="bilinear", align_corners=False)


def turned(planes: Tensor, turns: np.ndarray) -> Tensor:
    """Square planes (B, ..., n, n), each turned by so many quarters; exact, and undone by ``-turns``."""
    if not turns.any():
        return planes
    result = planes.clone()
    for quarters in range(1, QUARTERS):
        rows = torch.from_numpy(np.flatnonzero(turns % QUARTERS == quarters))
        result[rows] = torch.rot90(planes[rows], quarters, (-2, -1))
    return result


def shifted(planes: Tensor, shifts: np.ndarray) -> Tensor:
    """Planes (B, C, h, w) of which each shows what lies (rows, columns) of ``shifts`` (B, 2) further on.

    Beyond its border a plane goes on as it ends.
    """
    if not shifts.any():
        return planes
    rows, columns = (
        (torch.arange(size)[None] + torch.from_numpy(shift)[:, None]).clamp(0, size - 1)
        for size, shift in zip(planes.shape[2:], shifts.T, strict=True)
    )
    every, channel = (torch.arange(size) for size in planes.shape[:2])
    return planes[
        every[:, None, None, None],
        channel[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def network_input(channels: Tensor, tumour: Tensor, form: ImageForm, views: Views) -> tuple[Tensor, Tensor]:
    """Images (B, 3, pixels, pixels) and tumour (B, pixels, pixels) of clipped channels and mask planes."""
    both = turned(enlarge(torch.cat([channels, tumour[:, None]], dim=1), form), views.turns)
    both = shifted(both, views.shifts)
    images = (form.gain * both[:, :3]).contiguous(memory_format=torch.channels_last)
    return images, both[:, 3]


def stack_input(
    stack: Tensor, mask: Tensor, first: float, count: int, form: ImageForm
) -> tuple[Tensor, Tensor]:
    """Network input of ``count`` slices from plane ``first`` on, of one stack (P, H, W) and its mask.

    The planes of a stack lie 1 mm apart.
    """
    slices = np.arange(count)
    positions = first + torch.from_numpy(slices.astype(np.float32))
    channels = channel_planes(stack.expand(len(positions), *stack.shape), positions, form, plane_mm=1.0)
    tumour = mask_planes(mask.expand(len(positions), *mask.shape), positions)
    return network_input(channels, tumour, form, form.views(slices))
