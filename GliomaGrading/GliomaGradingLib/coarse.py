"""Small copies of volumes, for checks and registration that need the whole head but no detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from itertools import product
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import SimpleITK as sitk

from .volume import Volume

LARGEST_BRAIN_LITRES = 2.1
"""What is larger is a head with its skull."""

T = TypeVar("T")


def _kept(function: Callable[..., T]) -> Callable[..., T]:
    """What a function makes of a volume, made once for as long as the volume lives: a case is looked at by its
    checks and by its registration."""
    known: WeakKeyDictionary[Volume, dict[tuple[Any, ...], T]] = WeakKeyDictionary()

    @wraps(function)
    def once(volume: Volume, *arguments: Any) -> T:
        found = known.setdefault(volume, {})
        if arguments not in found:
            found[arguments] = function(volume, *arguments)
        return found[arguments]

    return once


@_kept
def shrunk(volume: Volume, mm: float) -> Volume:
    """Block means (float32) on the volume's own axes, with voxels as near to ``mm`` as whole blocks allow.

    Rows that fill no block at the far end of an axis are left out. The array is read-only.
    """
    factors = [max(1, min(round(mm / s), n)) for s, n in zip(volume.spacing, volume.size, strict=True)]
    array = volume.array
    for axis, factor in enumerate(reversed(factors)):  # array axes are K, J, I
        array = _block_means(array, axis, factor)
    offset = volume.affine @ [*[(f - 1) / 2 for f in factors], 1.0]
    i, j, k = (s * f for s, f in zip(volume.spacing, factors, strict=True))
    origin = (float(offset[0]), float(offset[1]), float(offset[2]))
    return replace(volume, array=_read_only(np.array(array, np.float32)), spacing=(i, j, k), origin=origin)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _block_means(array: np.ndarray, axis: int, factor: int) -> np.ndarray:
    """Sums of strided views: several times faster than a reshaped mean over a short axis."""
    if factor == 1:
        return array
    count = array.shape[axis] // factor * factor

    def part(start: int) -> np.ndarray:
        index: list[slice] = [slice(None)] * 3
        index[axis] = slice(start, count, factor)
        return array[tuple(index)]

    total = part(0).astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    for start in range(1, factor):
        total += part(start)
    total /= factor
    return total


def positions(volume: Volume) -> np.ndarray:
    """(K, J, I, 3) LPS positions of the voxel centres in mm."""
    k, j, i = np.indices(volume.array.shape, dtype=np.float64)
    a = volume.affine
    return np.stack([a[n, 0] * i + a[n, 1] * j + a[n, 2] * k + a[n, 3] for n in range(3)], axis=-1)


def sample(volume: Volume, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trilinear values at (N, 3) LPS points, and which of them lie within half a voxel of the volume."""
    index = voxel_index(volume, points)
    last = np.asarray(volume.size) - 1
    inside = np.all((index >= -0.5) & (index <= last + 0.5), axis=1)
    index = np.clip(index, 0, last)
    low = np.minimum(index.astype(np.intp), np.maximum(last - 1, 0))
    f = (index - low).astype(np.float32)
    _, height, width = volume.array.shape
    flat = volume.array.reshape(-1)
    base = (low[:, 2] * height + low[:, 1]) * width + low[:, 0]
    di, dj, dk = (int(last[0] > 0), width * int(last[1] > 0), height * width * int(last[2] > 0))
    fi, fj, fk = f[:, 0], f[:, 1], f[:, 2]

    def row(start: np.ndarray) -> np.ndarray:
        a = flat[start]
        return a + (flat[start + di] - a) * fi

    def plane(start: np.ndarray) -> np.ndarray:
        a = row(start)
        return a + (row(start + dj) - a) * fj

    near = plane(base)
    return near + (plane(base + dk) - near) * fk, inside


@_kept
def head(volume: Volume) -> np.ndarray:
    """Where the head (or what skull-stripping left of it) is in a coarse volume: bool, holes filled, read-only.

    The background is what the border of the volume mostly shows; the threshold is low, so that skull,
    cortex and dark CSF stay inside.
    """
    signal = np.abs(volume.array - background(volume.array))
    top = float(np.percentile(signal, 99.5))
    if top <= 0:
        return _read_only(np.zeros(signal.shape, bool))
    threshold = 0.3 * _otsu(np.minimum(signal, top), top)
    return _read_only(filled(largest_component(closed(signal > threshold, 1))))


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask (bool KJI) with its holes: what no way across faces leads out of."""
    outside = components(np.pad(~mask, 1, constant_values=True))
    return ~_without_border(outside == outside[0, 0, 0], 1)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected component of a mask (KJI) as bool; of equal ones the first in memory order."""
    labels = components(mask)
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    return (labels == counts.argmax()) & (labels > 0)


def components(mask: np.ndarray) -> np.ndarray:
    """Numbers from 1 on of the 6-connected components of a mask (KJI), 0 outside."""
    return sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8))))


def dilated(mask: np.ndarray, voxels: int) -> np.ndarray:
    """A mask (bool KJI) grown by SimpleITK's ball: what is within ``voxels + 1/2`` of its centre."""
    return grown(mask, (voxels + 0.5) ** 2)


def grown(mask: np.ndarray, reach_squared: float) -> np.ndarray:
    """What is within a distance (in voxels, squared) of a mask (bool KJI): many times faster than ITK's."""
    voxels = int(reach_squared**0.5)
    rows = [mask]  # grown along the last axis by 0, 1, 2 ... voxels
    for reach in range(1, voxels + 1):
        row = rows[-1].copy()
        row[..., reach:] |= mask[..., :-reach]
        row[..., :-reach] |= mask[..., reach:]
        rows.append(row)
    result = mask.copy()
    for k, j in product(range(-voxels, voxels + 1), repeat=2):
        left = reach_squared - k * k - j * j
        if left >= 0:
            result[_shifted(k), _shifted(j)] |= rows[int(left**0.5)][_shifted(-k), _shifted(-j)]
    return result


def eroded(mask: np.ndarray, voxels: int) -> np.ndarray:
    """A mask (bool KJI) without what is within a ball of its outside; all beyond the array is outside."""
    outside = np.pad(~mask, voxels, constant_values=True)
    return ~_without_border(dilated(outside, voxels), voxels)


def closed(mask: np.ndarray, voxels: int) -> np.ndarray:
    """A mask (bool KJI) grown and then shrunk by a ball, as if the array went on beyond its ends."""
    outside = ~dilated(np.pad(mask, voxels), voxels)
    return ~_without_border(dilated(outside, voxels), voxels)


def _shifted(by: int) -> slice:
    return slice(max(by, 0), min(by, 0) or None)


def _without_border(array: np.ndarray, voxels: int) -> np.ndarray:
    return array[(slice(voxels, -voxels or None),) * 3]


def background(array: np.ndarray) -> np.float64:
    """What the border of a volume (KJI) mostly shows; its lowest number where that shows none."""
    faces = [array[0], array[-1], array[:, 0], array[:, -1], array[:, :, 0], array[:, :, -1]]
    border = np.concatenate([face.ravel() for face in faces])
    found = border[np.isfinite(border)]
    return np.float64(np.median(found) if found.size else array[np.isfinite(array)].min())


def _otsu(signal: np.ndarray, top: float) -> float:
    bins = 128
    counts = np.bincount(np.minimum((signal * (bins / top)).astype(np.intp), bins - 1).ravel(), minlength=bins)
    centres = (np.arange(bins) + 0.5) * (top / bins)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(above > 0, between, 0)))])


def voxel_index(volume: Volume, points: np.ndarray) -> np.ndarray:
    """(N, 3) voxel coordinates (I, J, K; fractions) of LPS points."""
    return transformed(np.linalg.inv(volume.affine), points)


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 3) points under a 4 x 4 matrix, without BLAS: its last digits vary with where arrays lie in memory,
    and the same case must give the same result in every process."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    return np.stack([m[0] * x + m[1] * y + m[2] * z + m[3] for m in matrix[:3]], axis=1)


def within(volume: Volume, points: np.ndarray) -> np.ndarray:
    """Which points lie in a voxel of the volume: bool (N,)."""
    index = voxel_index(volume, points)
    return np.all((index >= -0.5) & (index <= np.asarray(volume.size) - 0.5), axis=1)


def nearest(volume: Volume, array: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a bool array on the volume's grid at points; what lies beyond has the value of its edge.

    A shrunk volume ends up to a block before the one it was made of.
    """
    i, j, k = np.clip(np.rint(voxel_index(volume, points)), 0, np.asarray(volume.size) - 1).astype(np.intp).T
    return array[k, j, i]
