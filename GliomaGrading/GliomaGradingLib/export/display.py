"""Axial planes of a case as they are shown: 1 mm in plane, through the whole head, foot to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..result import SliceInfo
from ..sample import is_synthetic
from ..volume import Volume
from ..words import SEQUENCES

if TYPE_CHECKING:
    from ..case import Case
    from ..grid import Lattice

COLUMNS = 5
MARGIN_MM = 6


@dataclass(frozen=True, eq=False)
class Display:
    """Axial planes to show, 1 mm in plane, foot to head.

    Args:
        images: (3, N, H, W) float32, sequences as in ``SEQUENCES``; rows front to back, columns from the
            patient's right to left.
        mask: (N, H, W), tumour where not 0.
        positions_mm: patient S of each plane.
        numbers: each plane's number on the case's axial grid.
        largest: which of the N planes has the largest tumour area.
        region: what the networks see, in pixels: left, top, right, bottom; None where it is not known.
        case: the case's identifier.
        synthetic: no patient is behind it.
    """

    images: np.ndarray
    mask: np.ndarray
    positions_mm: tuple[float, ...]
    numbers: tuple[int, ...]
    largest: int = 0
    region: tuple[float, float, float, float] | None = None
    case: str = ""
    synthetic: bool = False


def display_planes(case: Case, info: SliceInfo, region: Lattice | None = None) -> Display:
    """The planes of ``info`` through the whole head, with a little air around it.

    Args:
        case: with its sequences where the grading had them (after co-registration).
        region: where the networks looked, in patient coordinates (``SliceStack.region``).
    """
    frame = _frame(case, info)
    window = _head_box(frame.sample(case.images["T1"]), frame.sample(_as_float(case.mask)) > 0.5)
    frame = frame.cut(window)
    return Display(
        images=np.stack([frame.sample(case.images[name]) for name in SEQUENCES]),
        mask=(frame.sample(_as_float(case.mask), sitk.sitkNearestNeighbor) > 0.5).astype(np.uint8),
        positions_mm=tuple(info.positions_mm),
        numbers=tuple(info.indices),
        largest=_position_of(info.largest_index, info.indices),
        region=frame.pixels_of(region) if region is not None else None,
        case=case.identifier,
        synthetic=is_synthetic(case.identifier, *case.sources.values()),
    )


def representative(count: int, largest: int) -> tuple[int, ...]:
    """Up to five planes from first to last, evenly spread; the largest replaces the nearest to it."""
    chosen = [round(k) for k in np.linspace(0, count - 1, min(COLUMNS, count))]
    inner = range(1, len(chosen) - 1) if len(chosen) > 2 and 0 < largest < count - 1 else range(len(chosen))
    nearest = min(inner, key=lambda k: abs(chosen[k] - largest))
    chosen[nearest] = largest
    return tuple(dict.fromkeys(sorted(chosen)))


def grey_window(planes: np.ndarray) -> tuple[float, float]:
    """Grey values to show as black and as white: robust against a few bright voxels and much background."""
    low, high = np.percentile(planes, (1, 99.8))
    inside = planes[planes > low + 0.08 * (high - low)]
    if inside.size == 0:
        return float(low), float(low) + 1.0
    top = float(np.percentile(inside, 99))
    return float(low), max(top, float(low) + 1e-6)


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of a 2D mask that have a neighbour (above, below or beside) outside it."""
    inside = np.pad(mask.astype(bool), 1)
    middle = inside[1:-1, 1:-1]
    around = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return middle & ~around


@dataclass(frozen=True)
class _Frame:
    """Axial planes at 1 mm: LPS position of the first pixel, size (x, y), planes' S and their distance."""

    x: float
    y: float
    size: tuple[int, int]
    bottom: float
    step: float
    count: int

    def sample(self, volume: Volume, interpolator: int = sitk.sitkLinear) -> np.ndarray:
        grid = sitk.ResampleImageFilter()
        grid.SetSize((*self.size, self.count))
        grid.SetOutputOrigin((self.x, self.y, self.bottom))
        grid.SetOutputSpacing((1.0, 1.0, self.step))
        grid.SetInterpolator(interpolator)
        grid.SetOutputPixelType(sitk.sitkFloat32)
        grid.SetDefaultPixelValue(float(volume.array.min()))
        return sitk.GetArrayFromImage(grid.Execute(volume.toImage()))

    def cut(self, box: tuple[int, int, int, int]) -> _Frame:
        left, top, right, bottom = box
        size = (right - left, bottom - top)
        return _Frame(self.x + left, self.y + top, size, self.bottom, self.step, self.count)

    def pixels_of(self, region: Lattice) -> tuple[float, float, float, float]:
        half = [0.5 * step for step in region.step]
        ends = [s + step * (n - 1) for s, step, n in zip(region.start, region.step, region.size, strict=True)]
        return (
            region.start[0] - half[0] - self.x,
            region.start[1] - half[1] - self.y,
            ends[0] + half[0] - self.x,
            ends[1] + half[1] - self.y,
        )


def _frame(case: Case, info: SliceInfo) -> _Frame:
    """Everything that T1 and the mask cover in plane."""
    corners = np.concatenate([_corners(case.images["T1"]), _corners(case.mask)])
    low, high = np.ceil(corners.min(0)), np.floor(corners.max(0))
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    count = len(info.positions_mm)
    return _Frame(float(low[0]), float(low[1]), size, info.positions_mm[0], info.spacing_mm, count)


def _corners(volume: Volume) -> np.ndarray:
    """(8, 3) LPS positions of the centres of the corner voxels."""
    index = np.array(np.meshgrid(*[(0, n - 1) for n in volume.array.shape[::-1]])).reshape(3, 8).T
    return index * np.asarray(volume.spacing) @ np.asarray(volume.direction).T + np.asarray(volume.origin)


def _as_float(mask: Volume) -> Volume:
    return Volume((mask.array != 0).astype(np.float32), mask.spacing, mask.origin, mask.direction)


def _head_box(planes: np.ndarray, tumour: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of head and tumour on any plane, with a margin."""
    low, high = grey_window(planes)
    inside = ((planes > low + 0.12 * (high - low)).sum(0) >= max(1, len(planes) // 5)) | tumour.any(0)
    rows, columns = _span(_busy(inside, 1)), _span(_busy(inside, 0))
    height, width = inside.shape
    return (
        max(columns[0] - MARGIN_MM, 0),
        max(rows[0] - MARGIN_MM, 0),
        min(columns[1] + MARGIN_MM, width),
        min(rows[1] + MARGIN_MM, height),
    )


def _busy(inside: np.ndarray, axis: int) -> np.ndarray:
    """Rows or columns with more than a stray pixel or two."""
    counts = inside.sum(axis)
    return counts >= min(3, max(int(counts.max()), 1))


def _span(flags: np.ndarray) -> tuple[int, int]:
    found = np.flatnonzero(flags)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(flags))


def _position_of(number: int, numbers: Sequence[int]) -> int:
    return min(range(len(numbers)), key=lambda k: abs(numbers[k] - number))
