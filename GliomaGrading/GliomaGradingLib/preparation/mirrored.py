"""Is a sequence a mirror image of another? A conversion that loses the sign of an axis leaves no other trace.

A head is nearly its own mirror image, so that a rigid registration finds some place for a flipped sequence.
Only nearly, though: between any two sequences of the patients looked at there was more mutual information the
right way round than with one of them flipped, by 5 to 300 %.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .. import coarse
from ..result import Notice
from ..volume import Volume
from .motion import CHECK_MM, INSIDE, Target, head_points, polished, refined, rigid_matrix, vertex

AXES = ("left to right", "front to back", "head to foot")
"""What a flip exchanges, by the axis of the patient (LPS)."""

GAIN = 1.03
"""Mutual information of the flipped sequence, against that of the sequence as it is, that shows a flip."""

_GLANCE, _GLANCE_IF_SUSPECT = 1.0, 0.85
"""The same at a first look, from which on a flip is looked into. It was up to 0.95 where nothing was flipped,
and 1.08 to 3 where a sequence was; one that was moved to fit as well as a flipped head can is nearer to 1."""

_POINTS = 2000
_SHIFT_MM = 6.0


def mirrored_notice(
    names: tuple[str, str], reference: Volume, moving: Volume, isSuspect: bool
) -> Notice | None:
    """A notice where a sequence fits its reference better when it is flipped.

    Args:
        names: of the reference and of the moving sequence.
        moving: as it lies after registration.
        isSuspect: it did not lie well before. Flipped from head to foot or front to back it never does, so that
            these are looked at only then.
    """
    for axis, what in enumerate(AXES[: 3 if isSuspect else 1]):
        if is_mirrored(reference, moving, axis, _GLANCE_IF_SUSPECT if isSuspect else _GLANCE):
            text = (
                f"{names[1]} fits {names[0]} better when it is flipped {what}, so that one of the two is a "
                "mirror image: check how they were converted"
            )
            return Notice("mirrored", text)
    return None


def is_mirrored(reference: Volume, moving: Volume, axis: int = 0, glance: float = _GLANCE) -> bool:
    """Whether a sequence has more in common with the reference after a flip along an axis of the patient.

    Most are told in some milliseconds by a glance at the flipped sequence where the heads' centres meet. Only
    where that has ``glance`` times as much in common as the sequence as it is, both are refined and compared.
    """
    small, small_moving = coarse.shrunk(reference, CHECK_MM), coarse.shrunk(moving, CHECK_MM)
    mirror = partial(flipped, axis=axis, plane=_centre(small_moving, axis))
    target = Target.of(small, head_points(small, -INSIDE, most=_POINTS))
    as_it_is = target.score(small_moving, np.eye(4))
    start = _meeting(target, mirror(small_moving), axis)
    if target.score(mirror(small_moving), start) < glance * as_it_is:
        return False
    start = polished(target, mirror(small_moving), start)
    as_it_is = refined(reference, moving, np.eye(4)).after
    return refined(reference, mirror(moving), start).after > GAIN * as_it_is


def flipped(volume: Volume, axis: int, plane: float) -> Volume:
    """The mirror image about a plane of the patient: same voxels, left-handed axes.

    Args:
        plane: its position in mm along the axis (LPS).
    """
    mirror = np.eye(4)
    mirror[axis, axis], mirror[axis, 3] = -1.0, 2 * plane
    return volume.moved(mirror)


def _centre(small: Volume, axis: int) -> float:
    return float(coarse.positions(small)[coarse.head(small)][:, axis].mean())


def _meeting(target: Target, moving: Volume, axis: int) -> np.ndarray:
    """The best shift along the axis: the centre of a head is not quite that of its mirror."""
    left, here, right = (target.score(moving, _shift(axis, mm)) for mm in (-_SHIFT_MM, 0.0, _SHIFT_MM))
    best = _shift(axis, _SHIFT_MM * vertex(left, here, right))
    return best if target.score(moving, best) > here else np.eye(4)


def _shift(axis: int, mm: float) -> np.ndarray:
    translation = np.zeros(3)
    translation[axis] = mm
    return rigid_matrix(np.zeros(3), translation, np.zeros(3))
