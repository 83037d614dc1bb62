"""What lies around a head or a stripped brain: the background, and what resampling has left at its edge.

The background is the constant value around the head, whatever it is, so that a sequence may be scaled, shifted
or stored in another type.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..grid import content_box
from ..volume import Volume

HALO_SHARE = 0.05
"""Of the brightest values: fainter ones around a brain are what resampling left there."""
DEEPEST_RIPPLE = 4
"""Times that: a spline overshoots by a tenth of the step at the edge, z-scores go much further down."""
STEADY_SHARE = 0.002
"""Of the brightest values: a background that varies less is one; a scanner's noise is several times as much."""

BLENDED_SHARE = 1 / 3
"""Of a stripped brain's outermost voxels at most 0.23 are less than half as bright as what lies 2 mm deeper; at
least 0.41 are, once a linear or spline interpolation has gone over the edge (12 patients, six ways)."""
EDGE_MM = 1.0
"""How far an interpolation from voxels of 1 mm carries the background into the brain."""
INNER_MM = 2.0


def background_value(array: np.ndarray) -> float | None:
    """The constant value around the head (NaN is one); None where there is noise instead."""
    sample = array[tuple(slice(None, None, max(1, n // 64)) for n in array.shape[:2])]
    faces = [sample[[0, -1]].ravel(), sample[:, [0, -1]].ravel(), sample[:, :, [0, -1]].ravel()]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    value = values[counts.argmax()]
    if value != value:
        return float("nan")
    here = sample == value
    pairs = np.count_nonzero(here[..., 1:] & here[..., :-1])
    points = np.count_nonzero(here)
    constant = pairs >= 0.9 * (points - np.count_nonzero(here[..., -1])) and points >= 0.02 * here.size
    return float(value) if constant else None


def without_halo(volume: Volume) -> Volume:
    """A stripped image whose background is one value again, where resampling has left ripples in it.

    Interpolation by splines overshoots at the edge of the brain: faint values around it, which are no brain and
    would be most of what is averaged over. Where there are none the volume is the same object.
    """
    few = tuple(slice(None, None, max(1, n // 32)) for n in volume.array.shape)
    if _halo(volume.array[few]) is None:
        return volume
    halo = _halo(volume.array)
    if halo is None:
        return volume
    background, limit = halo
    is_faint = volume.array <= background + limit  # and all of what is below it
    return replace(volume, array=np.where(is_faint, volume.array.dtype.type(background), volume.array))


def _halo(array: np.ndarray) -> tuple[float, float] | None:
    """The background, and how far from it a halo's values lie at most; None where there is no halo.

    Ripples go both ways, and not far. Of z-scores many lie far below the background; of images as scanners
    give them none lie below it, and of stripped ones next to none are as faint.
    """
    background = background_value(array)
    if background is None:
        background = _faint_background(array)
    if background is None or background != background:
        return None
    levels = array[array != background].astype(np.float64) - background
    if not levels.size:
        return None
    limit = HALO_SHARE * float(np.percentile(np.abs(levels), 99))
    faint = np.count_nonzero(np.abs(levels) <= limit)
    goes_below = np.count_nonzero(levels < 0) > 0.001 * levels.size
    is_shallow = np.count_nonzero(levels < -DEEPEST_RIPPLE * limit) <= 0.02 * (levels.size - faint)
    is_halo = goes_below and is_shallow and faint > 0.05 * (levels.size - faint)
    return (background, limit) if is_halo else None


def _faint_background(array: np.ndarray) -> float | None:
    """What the values at the ends of a volume are nearly the same as; None where they are not."""
    if array.dtype.kind != "f":
        return None
    faces = np.concatenate([array.take(end, axis).ravel() for axis in range(3) for end in (0, -1)])
    middle = float(np.median(faces))
    top = float(np.percentile(np.abs(array - middle), 99))
    return middle if float(np.percentile(np.abs(faces - middle), 99)) <= STEADY_SHARE * top else None


def foreground(array: np.ndarray, background: float | None) -> np.ndarray:
    """Voxels that are finite and not background."""
    if background is not None and array.dtype.kind in "iu" and background.is_integer():
        return array != int(background)  # several times as fast as comparing with a float
    found = np.ones(array.shape, bool) if background is None else array != background
    return found & np.isfinite(array) if array.dtype.kind == "f" else found


def without_blended_edge(volume: Volume) -> Volume:
    """A stripped image whose edge is sharp again, where interpolation has blended brain and background.

    Such voxels are dark and not brain: a few of a hundred, but they widen the deviation of T1, which varies
    little within a brain, by a quarter and up to a half, and all z-scores shrink. What is less than half as
    bright as the brightest within a millimetre becomes background, so that the edge lies where the mask that
    stripped the image had it. Where little is blended the volume is the same object; so is one with values on
    both sides of its background, whose edge is no darker than the rest.
    """
    array = volume.array
    rows = array[:: max(1, array.shape[0] // 16), :: max(1, array.shape[1] // 48)]
    background = background_value(rows)
    inner = max(2, round(INNER_MM / volume.spacing[0]))
    if background is None or background != background or not _is_blended(rows, background, inner):
        return volume
    signal = foreground(array, background)
    box = content_box(signal, 2)
    level = array[box].astype(np.float32) - np.float32(background)
    reach = [max(1, round(EDGE_MM / step)) for step in volume.spacing[::-1]]
    is_edge = signal[box] & _largest_near(~signal[box], reach)
    is_faint = is_edge & (level < _largest_near(level, reach) / 2)
    sharp = array.copy()
    sharp[box][is_faint] = background
    return replace(volume, array=sharp)


def _is_blended(rows: np.ndarray, background: float, inner: int) -> bool:
    """Whether most edges along rows (the last axis) are faint beside what lies ``inner`` voxels deeper."""
    signal = foreground(rows, background)
    starts = ~signal[..., : -inner - 1] & signal[..., 1:-inner] & signal[..., inner + 1 :]
    outermost, deeper = (
        part[starts].astype(np.float64) - background for part in (rows[..., 1:-inner], rows[..., inner + 1 :])
    )
    if not starts.any() or min(outermost.min(), deeper.min()) < 0:
        return False
    return bool((outermost < deeper / 2).mean() > BLENDED_SHARE)


def _largest_near(array: np.ndarray, reach: list[int]) -> np.ndarray:
    """The largest (or any, of bool) in a box that reaches so many voxels along each axis, both ways."""
    largest = array.copy()
    for axis, steps in enumerate(reach):
        line = np.moveaxis(largest, axis, 0)
        before = line.copy()
        for step in range(1, min(steps, len(line) - 1) + 1):
            np.maximum(line[step:], before[:-step], out=line[step:])
            np.maximum(line[:-step], before[step:], out=line[:-step])
    return largest
