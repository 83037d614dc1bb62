"""Axial planes of a case as they are shown: 1 mm in plane, through the whole head, foot to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..grid import FieldOfView, Lattice, cut_around
from ..result import SliceInfo
from ..sample import is_synthetic
from ..volume import Volume
from ..words import SEQUENCES

if TYPE_CHECKING:
    from ..case import Case

COLUMNS = 5
MARGIN_MM = 6


@dataclass(frozen=True, eq=False)
class Display:
    """Axial planes to show, 1 mm in plane, foot to head.

    Args:
        images: (C, N, H, W) float32, C sequences, for pictures those of ``SEQUENCES``; rows front to back,
            columns from the patient's right to left.
        mask: (N, H, W), tumour where not 0.
        positions_mm: patient S of each plane.
        largest: which of the N planes has the largest tumour area.
        region: what the networks see, in pixels: left, top, right, bottom; None where it is not known.
        case: the case's identifier.
        synthetic: no patient is behind it.
    """

    images: np.ndarray
    mask: np.ndarray
    positions_mm: tuple[float, ...]
    largest: int = 0
    region: tuple[float, float, float, float] | None = None
    case: str = ""
    synthetic: bool = False


def display_planes(
    case: Case, info: SliceInfo, region: Lattice | None = None, sequences: Sequence[str] = SEQUENCES
) -> Display:
    """The planes of ``info`` through the whole head, with a little air around it.

    Args:
        case: with its sequences where the grading had them (after co-registration).
        region: where the networks looked, in patient coordinates (``SliceStack.region``).
        sequences: those to show.
    """
    frame = _frame(case, info)
    left, top, right, bottom = _head_box(
        _sampled(case.images["T1"], frame), _tumour(case.mask, frame, sitk.sitkLinear)
    )
    frame = frame.window((left, top, 0), (right - left, bottom - top, frame.size[2]))
    return Display(
        images=np.stack([_sampled(case.images[name], frame) for name in sequences]),
        mask=_tumour(case.mask, frame, sitk.sitkNearestNeighbor).astype(np.uint8),
        positions_mm=tuple(info.positions_mm),
        largest=info.largest_place,
        region=_pixels_of(region, frame) if region is not None else None,
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


def _frame(case: Case, info: SliceInfo) -> Lattice:
    """Everything that T1 and the mask cover in plane, at 1 mm."""
    views = [FieldOfView.of(case.images["T1"]), FieldOfView.of(case.mask)]
    low = np.ceil(np.min([view.low for view in views], axis=0))
    high = np.floor(np.max([view.high for view in views], axis=0))
    start = (float(low[0]), float(low[1]), info.positions_mm[0])
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1, len(info.positions_mm))
    return Lattice(start, (1.0, 1.0, info.spacing_mm), size)


def _sampled(volume: Volume, frame: Lattice) -> np.ndarray:
    """The volume on the planes, float32; where it has nothing, its darkest."""
    near = cut_around(volume, frame)
    near = replace(near, array=near.array.astype(np.float32))
    return frame.sample_volume(near, outside=float(volume.array.min()))


def _tumour(mask: Volume, frame: Lattice, interpolator: int) -> np.ndarray:
    near = cut_around(mask, frame)
    near = replace(near, array=(near.array != 0).astype(np.float32))
    return frame.sample_volume(near, interpolator) > 0.5


def _pixels_of(region: Lattice, frame: Lattice) -> tuple[float, float, float, float]:
    """Left, top, right, bottom: the outer edges of the region's points; 0 is the frame's own edge."""
    left, top = (frame.index(axis, region.position(axis, -0.5)) + 0.5 for axis in (0, 1))
    right, bottom = (frame.index(axis, region.position(axis, region.size[axis] - 0.5)) + 0.5 for axis in (0, 1))
    return float(left), float(top), float(right), float(bottom)


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
