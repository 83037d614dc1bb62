"""Masks that are drawn on some slices only: what was skipped is filled in, as each slice would be a lesion.

Each gap is judged by itself, so that slices may be skipped in any order and tumours differ in theirs. That
slices were skipped on purpose is told by pieces of one slice, several above one another; of the whole tumours
of BraTS hardly any has a single such piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from .coarse import grown
from .doubts import SINGLE_SLICES
from .grid import content_box
from .result import Notice
from .volume import Volume

MOST_SKIPPED_MM = 10.0
"""What is left out of a tumour between two slices at most: more, and it may be another tumour that begins."""

_FEWEST_VOXELS = 10
"""Fewer on a slice are a slip of the brush, or the tip of the tumour."""
_MOST_TOUCHED = 0.1
"""Share of a piece of one slice that a slip of the brush may have put something on or under."""
_FEWEST_PLANES = 3
_LONGEST = 2
"""Times the usual distance between two slices of a tumour: further apart these are two tumours."""
_ORDINALS = {2: "2nd", 3: "3rd"}


@dataclass(frozen=True, eq=False)
class _Piece:
    """What is connected within a plane, bool; single where next to nothing lies on or under it."""

    plane: int
    shape: np.ndarray
    voxels: int
    is_single: bool


_Bridge = tuple[int, int]
"""Two pieces by their numbers, the lower one first, with an empty place between."""


def without_skipped_slices(mask: Volume) -> tuple[Volume, tuple[Notice, ...]]:
    """A mask on some slices only, with those between like the nearest drawn one; any other, the same object.

    Each slice alone would be a lesion, of a fraction of the tumour's volume. Labels are kept.
    """
    box = content_box(mask.array)
    drawn = mask.array[box] != 0
    axis, labels, single = _flattest(drawn)
    if np.count_nonzero(single) < 2:
        return mask, ()
    pieces = list(_pieces(labels, single))
    step_mm = mask.spacing[2 - axis]
    bridges = list(_trusted(pieces, list(_bridges(pieces, int(MOST_SKIPPED_MM / step_mm + 1e-6) + 1))))
    notices = list(_doubts(pieces, bridges, int(np.count_nonzero(drawn))))
    if not bridges:
        return mask, tuple(notices)
    array = mask.array.copy()
    _fill(np.moveaxis(array[box], axis, 0), pieces, bridges)
    return replace(mask, array=array), (_filled(pieces, bridges), *notices)


def _flattest(drawn: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The axis (KJI) across which most is drawn in pieces of one plane, their labels, and which are single."""
    found = [(axis, *_labelled(np.moveaxis(drawn, axis, 0))) for axis in range(3)]
    axis, labels, single, _voxels = max(found, key=lambda one: one[3])
    return axis, labels, single


def _labelled(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels of what is connected within a plane; which of them are single; how many voxels these have."""
    beside = np.zeros_like(planes)
    beside[1:] = planes[:-1]
    beside[:-1] |= planes[1:]
    alone = np.count_nonzero(planes & ~beside, axis=(1, 2))
    if np.count_nonzero(alone >= _FEWEST_VOXELS * (1 - _MOST_TOUCHED)) < 2:
        return planes, np.zeros(1, bool), 0
    apart = np.zeros((2 * len(planes), *planes.shape[1:]), np.uint8)
    apart[::2] = planes
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(apart), True))[::2]
    counts = np.bincount(labels[planes])
    touched = np.bincount(labels[planes & beside], minlength=len(counts))
    single = (counts >= _FEWEST_VOXELS) & (touched <= _MOST_TOUCHED * counts)
    return labels, single, int(counts[single].sum())


def _pieces(labels: np.ndarray, single: np.ndarray) -> Iterator[_Piece]:
    for plane, found in enumerate(labels):
        counts = np.bincount(found.ravel())
        counts[0] = 0
        for label in np.flatnonzero(counts >= _FEWEST_VOXELS):
            yield _Piece(plane, found == label, int(counts[label]), bool(single[label]))


def _bridges(pieces: list[_Piece], most: int) -> Iterator[_Bridge]:
    """From every single piece to the nearest that lie above and below it, up to so many planes away."""
    by_plane: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        by_plane.setdefault(piece.plane, []).append(number)
    for number, piece in enumerate(pieces):
        if piece.is_single:
            reach = grown(piece.shape[None], 2)[0]
            for way in (-1, 1):
                for step in range(2, most + 1):
                    near = by_plane.get(piece.plane + way * step, ())
                    if others := [other for other in near if (reach & pieces[other].shape).any()]:
                        yield from ((min(number, other), max(number, other)) for other in others)
                        break


def _trusted(pieces: list[_Piece], bridges: list[_Bridge]) -> Iterator[_Bridge]:
    """Those of chains that consist of single pieces mostly, but where a chain's gap is unusually long."""
    for chain in _chains(bridges):
        single = [pieces[number].plane for number in chain if pieces[number].is_single]
        if len(set(single)) >= _FEWEST_PLANES and 2 * len(single) > len(chain):
            own = sorted({bridge for bridge in bridges if bridge[0] in chain})
            usual = float(np.median([_step(pieces, bridge) for bridge in own]))
            yield from (bridge for bridge in own if _step(pieces, bridge) <= _LONGEST * usual)


def _chains(bridges: Iterable[_Bridge]) -> list[set[int]]:
    """The pieces that bridges connect."""
    chain_of: dict[int, set[int]] = {}
    for low, high in bridges:
        joined = chain_of.get(low, {low}) | chain_of.get(high, {high})
        chain_of.update(dict.fromkeys(joined, joined))
    return list({id(chain): chain for chain in chain_of.values()}.values())


def _step(pieces: list[_Piece], bridge: _Bridge) -> int:
    return pieces[bridge[1]].plane - pieces[bridge[0]].plane


def _fill(planes: np.ndarray, pieces: list[_Piece], bridges: list[_Bridge]) -> None:
    """Fills what bridges span with the nearer of their two pieces, the lower one in the middle."""
    for low, high in bridges:
        first, last = pieces[low].plane, pieces[high].plane
        for plane in range(first + 1, last):
            nearest = pieces[low if plane - first <= last - plane else high]
            empty = nearest.shape & (planes[plane] == 0)
            planes[plane][empty] = planes[nearest.plane][empty]


def _filled(pieces: list[_Piece], bridges: list[_Bridge]) -> Notice:
    steps = [_step(pieces, bridge) for bridge in bridges]
    usual = int(np.median(steps))
    nth = f"every {_ORDINALS.get(usual, f'{usual}th')} slice"
    which = nth if min(steps) == max(steps) else f"some slices only, about {nth}"
    text = f"the mask is drawn on {which}; those between were filled in like the nearest that is drawn"
    return Notice("mask-slices-filled", text)


def _doubts(pieces: list[_Piece], bridges: list[_Bridge], voxels: int) -> Iterator[Notice]:
    """Where most of a mask lies in single slices that were not filled between."""
    bridged = {number for bridge in bridges for number in bridge}
    left = [one for number, one in enumerate(pieces) if one.is_single and number not in bridged]
    if len(left) > 1 and 2 * sum(one.voxels for one in left) > voxels:
        text = f"the mask is drawn on single slices, {len(left)} pieces with nothing above and below"
        yield Notice(SINGLE_SLICES, f"{text}: draw the slices between")
