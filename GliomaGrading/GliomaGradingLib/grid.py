"""Grids: where voxels lie in the patient, and the two lattices on which cases are sampled.

Geometry here is in LPS millimetres and in the order x, y, z (left, posterior, superior); arrays are KJI,
so that the axes of an array on a :class:`Lattice` are S, P, L and an index grows towards the head, the back
and the left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import SimpleITK as sitk

from .volume import Volume

TIE_MM = 1e-3
"""Nearest-neighbour ties are broken towards +L, +P, +S, whatever rounding noise the header has."""


@dataclass(frozen=True)
class Lattice:
    """Points at ``start + index * step`` mm along x, y, z, ``size`` of them."""

    start: tuple[float, float, float]
    step: tuple[float, float, float]
    size: tuple[int, int, int]

    def window(self, first: Sequence[float] | np.ndarray, size: Sequence[int] | np.ndarray) -> Lattice:
        """The points from index ``first`` (x, y, z; may lie outside) on."""
        start = [s + f * d for s, f, d in zip(self.start, first, self.step, strict=True)]
        return Lattice(triple(start), self.step, (int(size[0]), int(size[1]), int(size[2])))

    def position(self, axis: int, index: np.ndarray | float) -> np.ndarray:
        """Where points lie along an axis, mm; ``index`` may be fractional."""
        return self.start[axis] + np.asarray(index, dtype=float) * self.step[axis]

    def index(self, axis: int, position: np.ndarray | float) -> np.ndarray:
        """Continuous index of positions (mm) along an axis."""
        return (np.asarray(position, dtype=float) - self.start[axis]) / self.step[axis]

    def sample(
        self, image: sitk.Image, interpolator: int = sitk.sitkLinear, outside: float = 0.0
    ) -> np.ndarray:
        """The image at these points, KJI; ``outside`` where there is no image."""
        nudge = TIE_MM if interpolator == sitk.sitkNearestNeighbor else 0.0
        resampler = sitk.ResampleImageFilter()
        resampler.SetSize(self.size)
        resampler.SetOutputOrigin([s + nudge for s in self.start])
        resampler.SetOutputSpacing(self.step)
        resampler.SetInterpolator(interpolator)
        resampler.SetDefaultPixelValue(outside)
        return sitk.GetArrayFromImage(resampler.Execute(image))

    def sample_volume(
        self, volume: Volume, interpolator: int = sitk.sitkLinear, outside: float = 0.0
    ) -> np.ndarray:
        """As ``sample``; where the points are voxels, or the nearest is asked for, they are only picked."""
        take = self._voxel_indices(volume, interpolator)
        if take is None:
            image = replace(volume, array=np.ascontiguousarray(volume.array)).toImage()
            return self.sample(image, interpolator, outside)
        return gather(volume.array, take, outside)

    def picks(self, volume: Volume) -> bool:
        """Whether the points are voxels of the volume: nothing has to be interpolated."""
        return self._voxel_indices(volume, sitk.sitkLinear) is not None

    def _voxel_indices(self, volume: Volume, interpolator: int) -> list[np.ndarray] | None:
        """Indices (K, J, I) of the voxels that ``sample`` would take; None where it has to interpolate."""
        if not np.array_equal(volume.direction, np.eye(3)):
            return None
        points = [
            (self.position(axis, np.arange(self.size[axis])) - volume.origin[axis]) / volume.spacing[axis]
            for axis in (2, 1, 0)
        ]
        if interpolator == sitk.sitkNearestNeighbor:
            return [nearest(p + TIE_MM / s - 1e-6) for p, s in zip(points, volume.spacing[::-1], strict=True)]
        whole = [np.rint(p) for p in points]
        if max(float(np.abs(p - w).max()) for p, w in zip(points, whole, strict=True)) > 1e-6:
            return None
        return [w.astype(int) for w in whole]

    def volume(self, array: np.ndarray) -> Volume:
        """An array on this lattice as a volume."""
        return Volume(array, spacing=self.step, origin=self.start, direction=np.eye(3))


@dataclass(frozen=True)
class FieldOfView:
    """Box in LPS mm around the centres of all voxels."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume) -> FieldOfView:
        steps = volume.direction * np.asarray(volume.spacing)
        span = steps * (np.asarray(volume.array.shape[::-1]) - 1)
        low = np.asarray(volume.origin) + np.minimum(span, 0).sum(1)
        high = np.asarray(volume.origin) + np.maximum(span, 0).sum(1)
        return cls(triple(low), triple(high))

    @classmethod
    def of_voxels(cls, volume: Volume) -> FieldOfView:
        """As ``of``, to the faces of the outermost voxels."""
        inner = cls.of(volume)
        half = np.abs(volume.direction * np.asarray(volume.spacing)).sum(1) / 2
        return cls(triple(np.asarray(inner.low) - half), triple(np.asarray(inner.high) + half))

    def contains(self, other: FieldOfView, tolerance: float = 0.5) -> bool:
        below = all(a <= b + tolerance for a, b in zip(self.low, other.low, strict=True))
        return below and all(a >= b - tolerance for a, b in zip(self.high, other.high, strict=True))

    def lattice(self, step: Sequence[float], even: bool = False) -> Lattice:
        """As many points as fit between the outermost voxel centres, centred between them.

        For a 240 x 240 x 155 image of 1 mm and a step of 1 mm these are its voxels. ``even`` drops a point
        where their number is odd, so that images with the same centre share the points.
        """
        low, high, steps = np.asarray(self.low), np.asarray(self.high), np.asarray(step, dtype=float)
        size = np.floor((high - low) / steps + 1e-3).astype(int) + 1
        if even:
            size = np.maximum(size - size % 2, 2)
        start = (low + high) / 2 - (size - 1) / 2 * steps
        return Lattice(triple(start), triple(steps), (int(size[0]), int(size[1]), int(size[2])))


def canonical(volume: Volume) -> Volume:
    """The same voxels (no copy), axes permuted and flipped to run along L, P and S as nearly as can be."""
    direction = np.asarray(volume.direction, dtype=float)
    axes = max(permutations(range(3)), key=lambda p: sum(abs(direction[a, p[a]]) for a in range(3)))
    array = volume.array.transpose([2 - axes[2 - k] for k in range(3)])
    direction = direction[:, axes]
    spacing = np.asarray(volume.spacing, dtype=float)[list(axes)]
    origin = np.asarray(volume.origin, dtype=float)
    for axis in range(3):
        if direction[axis, axis] < 0:
            origin = origin + direction[:, axis] * spacing[axis] * (array.shape[2 - axis] - 1)
            direction = direction * np.where(np.arange(3) == axis, -1.0, 1.0)
            array = np.flip(array, 2 - axis)
    # "+ 0.0" turns -0.0 into 0.0; the rounding keeps 48 storage orders from differing by float noise
    origin, direction = np.round(origin, 6) + 0.0, np.round(direction, 12) + 0.0
    return replace(volume, array=array, spacing=triple(spacing), origin=triple(origin), direction=direction)


def cut(volume: Volume, first: Sequence[int] | np.ndarray, stop: Sequence[int] | np.ndarray) -> Volume:
    """The voxels from index ``first`` to before ``stop`` (I, J, K order), without a copy."""
    slices = tuple(slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))[::-1]
    shift = volume.direction @ (np.asarray(volume.spacing) * np.asarray(first))
    return replace(volume, array=volume.array[slices], origin=triple(np.asarray(volume.origin) + shift))


def cut_around(volume: Volume, lattice: Lattice, margin: int = 2) -> Volume:
    """The voxels that are needed to interpolate on a lattice, and ``margin`` more; may be empty."""
    ends = [(0.0, float(n - 1)) for n in lattice.size]
    corners = np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]])
    points = np.asarray(lattice.start) + corners * np.asarray(lattice.step)
    matrix = volume.direction * np.asarray(volume.spacing)
    index = np.linalg.solve(matrix, (points - np.asarray(volume.origin)).T).T
    size = np.asarray(volume.array.shape[::-1])
    first = np.clip(np.floor(index.min(0) + 1e-6) - margin, 0, size)
    stop = np.clip(np.ceil(index.max(0) - 1e-6) + 1 + margin, first, size)
    return cut(volume, first.astype(int), stop.astype(int))


def cut_to_content(mask: Volume, margin: int = 1) -> Volume:
    """The bounding box of a mask's voxels and a voxel around it; empty where the mask is empty."""
    box = content_box(mask.array, margin)
    return cut(mask, [side.start for side in box[::-1]], [side.stop for side in box[::-1]])


def with_margin(mask: Volume) -> Volume:
    """The mask with an empty voxel at each end of each axis where its last voxels are not empty."""
    array = mask.array
    if array.size == 0:
        return mask
    before, after = ([int(array.take(end, axis).any()) for axis in (2, 1, 0)] for end in (0, -1))
    return padded(mask, before, after) if any((*before, *after)) else mask


def padded(volume: Volume, before: Sequence[int], after: Sequence[int]) -> Volume:
    """The volume with so many voxels of 0 more at the beginning and the end of each axis (I, J, K)."""
    pads = list(zip(before[::-1], after[::-1], strict=True))
    origin = np.asarray(volume.origin) - volume.affine[:3, :3] @ np.asarray(before, dtype=float)
    return replace(volume, array=np.pad(volume.array, pads), origin=triple(origin))


def content_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice]:
    """The bounding box (KJI) of what is not 0, and ``margin`` more as far as there is more; may be empty."""
    array = mask.view(bool) if mask.dtype == np.uint8 else mask  # any() is several times faster on bool,
    upright = array[tuple(slice(None, None, -1 if step < 0 else 1) for step in mask.strides)]  # and forwards
    planes = np.flatnonzero(upright.any(axis=(1, 2)))
    if not planes.size:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    flat = np.asarray(upright[planes[0] : planes[-1] + 1].any(axis=0))
    ends = []
    for axis, found in enumerate((planes, np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0)))):
        first, last, count = int(found[0]), int(found[-1]), mask.shape[axis]
        if mask.strides[axis] < 0:
            first, last = count - 1 - last, count - 1 - first
        ends.append(slice(max(first - margin, 0), min(last + 1 + margin, count)))
    return ends[0], ends[1], ends[2]


def voxels_of(mask: np.ndarray) -> np.ndarray:
    """``np.argwhere`` (N, 3; KJI) of what is mostly 0, looking at its bounding box only."""
    box = content_box(mask)
    return np.argwhere(mask[box]) + np.array([side.start for side in box])


def mask_points(mask: Volume, most: int = 20000) -> np.ndarray:
    """(N, 3) LPS positions of evenly chosen tumour voxels."""
    index = voxels_of(mask.array)[:, ::-1]
    index = index[:: max(1, -(-len(index) // most))]
    return index @ mask.affine[:3, :3].T + mask.affine[:3, 3]


def shares_grid(volume: Volume, other: Volume) -> bool:
    """Whether the voxels of two canonical volumes coincide wherever both have some."""
    same = np.allclose(volume.spacing, other.spacing, rtol=1e-3) and np.allclose(
        volume.direction, other.direction, atol=1e-3
    )
    offset = volume.direction.T @ (np.asarray(other.origin) - np.asarray(volume.origin))
    steps = offset / np.asarray(volume.spacing)
    return bool(same and np.allclose(steps, np.round(steps), atol=0.05))


def linear_weights(points: np.ndarray, count: int) -> np.ndarray:
    """(points, count) matrix that interpolates linearly at continuous indices within [0, count - 1]."""
    points = np.clip(points, 0, count - 1)
    low = np.minimum(np.floor(points).astype(int), max(count - 2, 0))
    weights = np.zeros((len(points), count))
    rows = np.arange(len(points))
    weights[rows, low] = 1 - (points - low)
    if count > 1:
        weights[rows, low + 1] += points - low
    return weights


def gather(array: np.ndarray, take: list[np.ndarray], outside: float = 0.0) -> np.ndarray:
    """``array[np.ix_(*take)]`` with ``outside`` for indices that are not in it."""
    inside = [(t >= 0) & (t < n) for t, n in zip(take, array.shape, strict=True)]
    size = [len(t) for t in take]
    result = np.full(size, outside, array.dtype) if outside else np.zeros(size, array.dtype)
    sources = [t[i] for t, i in zip(take, inside, strict=True)]
    places = [np.flatnonzero(i) for i in inside]
    from_slices, to_slices = _slices(sources), _slices(places)
    if from_slices and to_slices:  # every nth: several times as fast
        result[to_slices] = array[from_slices]
    else:
        result[np.ix_(*places)] = array[np.ix_(*sources)]
    return result


def _slices(take: list[np.ndarray]) -> tuple[slice, ...]:
    """The slices that take the same; none where the indices of an axis do not rise in equal steps."""
    found = [_slice(indices) for indices in take]
    return tuple(each for each in found if each) if all(found) else ()


def _slice(indices: np.ndarray) -> slice | None:
    if len(indices) < 2:
        first = int(indices[0]) if len(indices) else 0
        return slice(first, first + len(indices))
    step = int(indices[1] - indices[0])
    if step < 1 or (np.diff(indices) != step).any():
        return None
    return slice(int(indices[0]), int(indices[-1]) + 1, step)


def nearest(points: np.ndarray) -> np.ndarray:
    """The nearest whole index; a tie goes up even where rounding noise is against it."""
    return np.floor(np.asarray(points) + 0.5 + 1e-6).astype(int)


def triple(values: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
