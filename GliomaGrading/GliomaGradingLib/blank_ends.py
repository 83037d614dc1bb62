"""Sequences that were resampled to the field of view of another, and end in planes of one value.

Of a head with its skull such planes look like tissue without signal: the brain that is estimated goes on in
them, and their value counts as that of its voxels. Without them the sequence ends where it was scanned to,
which is what the checks of a case look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from . import coarse
from .grid import cut
from .volume import Volume

_COARSE_MM = 4.0
"""As in the checks of a case, for which the same small copies are needed."""
_LEAST_CM2 = 30.0
"""Of head in another sequence where one is blank: a fifth of the largest slice of a brain."""
_LEAST_SHARE = 0.5
"""Of the other's section, where the blank planes begin: a brain that was stripped alone tapers off there."""


def without_blank_ends(images: Mapping[str, Volume]) -> dict[str, Volume]:
    """The sequences without planes of one value at their ends where another shows a head with its skull.

    A sequence that has none, as a stripped brain or a head with air around it, is the same object.
    """
    return {
        name: _without_blank_ends(volume, [other for other in images.values() if other is not volume])
        for name, volume in images.items()
    }


def _without_blank_ends(volume: Volume, others: list[Volume]) -> Volume:
    small = coarse.shrunk(volume, _COARSE_MM)
    first, stop = np.zeros(3, int), np.array(volume.size)
    for axis in range(3):
        for is_far, edge, blank in _ends(small, axis):
            if any(_goes_on(small, other, axis, edge, blank) for other in others):
                count = _blank_planes(volume, axis, is_far)
                if is_far:
                    stop[axis] -= count
                else:
                    first[axis] = count
    return volume if not first.any() and tuple(stop) == volume.size else cut(volume, first, stop)


def _ends(small: Volume, axis: int) -> Iterator[tuple[bool, int, int]]:
    """Of both ends of an axis (I, J, K) that are blank: is it the far one, its first plane with something, and
    the blank plane beside that."""
    planes = np.moveaxis(small.array, 2 - axis, 0)
    for is_far in (False, True):
        order = range(len(planes))[:: -1 if is_far else 1]
        edge = next((plane for plane in order if (planes[plane] != planes[order[0]].flat[0]).any()), order[0])
        if edge != order[0]:
            yield is_far, edge, edge + (1 if is_far else -1)


def _goes_on(small: Volume, other: Volume, axis: int, edge: int, blank: int) -> bool:
    """Whether another sequence shows the same section of a head at the edge, and goes on to show it beyond."""
    seen = coarse.shrunk(other, _COARSE_MM)
    head = coarse.head(seen)
    if np.count_nonzero(head) * float(np.prod(seen.spacing)) / 1e6 <= coarse.LARGEST_BRAIN_LITRES:
        return False
    voxel_cm2 = float(np.prod(np.delete(small.spacing, axis))) / 100
    at_edge, beyond = (_section(small, seen, head, axis, plane) for plane in (edge, blank))
    if beyond * voxel_cm2 < _LEAST_CM2:
        return False
    planes = np.moveaxis(small.array, 2 - axis, 0)
    own = np.count_nonzero(planes[edge] != planes[blank].flat[0])
    return bool(own >= _LEAST_SHARE * at_edge)


def _section(small: Volume, seen: Volume, head: np.ndarray, axis: int, plane: int) -> int:
    """On how many voxels of a plane another sequence shows its head."""
    first, stop = np.zeros(3, int), np.array(small.size)
    first[axis], stop[axis] = plane, plane + 1
    points = coarse.positions(cut(small, first, stop)).reshape(-1, 3)
    points = points[coarse.within(seen, points)]
    return int(np.count_nonzero(coarse.nearest(seen, head, points)))


def _blank_planes(volume: Volume, axis: int, is_far: bool) -> int:
    """How many planes at an end of an axis (I, J, K) have one value."""
    planes = np.moveaxis(volume.array, 2 - axis, 0)[:: -1 if is_far else 1]
    level = planes[0].flat[0]
    return next((count for count, plane in enumerate(planes) if (plane != level).any()), 0)
