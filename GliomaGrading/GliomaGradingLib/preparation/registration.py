"""Do the sequences share a frame? Those that do not are moved rigidly, by mutual information.

Headers cannot answer that: two grids of one session differ and agree, and a copy that was moved without its
header looks the same as its neighbour. So every sequence is looked at: mutual information with the reference
at the position that the headers give, and at small shifts and turns about it. Where all of these are worse,
the sequence lies well and is left alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import coarse
from ..case import Case
from ..case_checks import CUT_OFF, coverage_notices, swap_notices
from ..doubts import SWAPPED
from ..errors import UsageError
from ..grid import cut_to_content, mask_points, padded, voxels_of
from ..result import Notice
from ..volume import LEAST_VALUE, Volume
from ..words import REGISTER_MODES
from .mirrored import mirrored_notice
from .motion import CHECK_MM, FINE_MM, Motion, check_target, find_motion, inverse_motion, suspected_motion

PREFERENCE = ("FLAIR", "T2", "T1")
"""The reference where the mask shares the grid of several: whole tumours are drawn on FLAIR."""

SUSPECT = 1.0
"""Estimated motion (mm and degrees, root of the sum of squares) from which on a registration is tried."""

ACCEPT_MM, ACCEPT_DEGREES, ACCEPT_GAIN = 1.5, 1.5, 0.02
"""A registration is kept if the tumour moves or turns by more, and this share of information is gained."""

RIM_MM = 10.0
"""The surroundings that a tumour is compared with reach this far from the mask."""

FITS = 0.1
"""Standard deviations of the head by which a mask has to fit one place better than the other."""

LIMIT_MM, LIMIT_DEGREES = 100.0, 60.0
"""Nobody's head moves further between two sequences: beyond, the registration has failed."""


def register(case: Case, mode: str = "auto") -> tuple[Case, dict[str, Any]]:
    """Brings the sequences into the frame of the one that the mask was drawn on.

    Nothing is resampled: the origin and the directions of a moved sequence change, its voxels do not.

    Args:
        mode: ``auto`` moves what is misaligned; ``always`` registers every sequence; ``never`` moves nothing,
            and warns of what is misaligned.

    Returns:
        The case (the same object where nothing changed), and what was done:
        ``{"mode", "reference", "grid", "sequences": {"T2": {"applied", "suspected_motion", "translation_mm",
        "rotation_deg"}}}``. ``grid`` is how the mask lies on the reference: same, lattice or other.

    Raises:
        UsageError: there is no such mode.
    """
    if mode not in REGISTER_MODES:
        choice = f"choose one of {', '.join(REGISTER_MODES)}"
        raise UsageError(f"there is no registration mode '{mode}'", "", choice)
    small = {name: coarse.shrunk(volume, CHECK_MM) for name, volume in case.images.items()}
    grids = {name: grid_relation(volume, case.mask) for name, volume in case.images.items()}
    reference, motions = _choose_reference(case, grids, small)
    centre = tumour_centre(case.mask)
    images, notices = dict(case.images), list(_grid_notices(reference, grids[reference]))
    report: dict[str, Any] = {"mode": mode, "reference": reference, "grid": grids[reference], "sequences": {}}
    for name in case.images:
        if name == reference:
            continue
        entry, motion = _treat(case, reference, name, mode, motions[name], centre)
        report["sequences"][name] = entry
        if motion is not None:
            images[name] = images[name].moved(inverse_motion(motion.matrix))
        notices += _motion_notices(name, reference, mode, entry)
        is_suspect = motions[name] > SUSPECT
        flip = mirrored_notice((reference, name), case.images[reference], images[name], is_suspect)
        notices += [flip] if flip else []
    if not notices and all(images[name] is case.images[name] for name in images):
        return case, report
    known = case.warnings
    if any(images[name] is not case.images[name] for name in images):
        known = _as_they_lie_now(known, images, case.mask)
    return replace(case, images=images, warnings=(*known, *notices)), report


def _as_they_lie_now(
    warnings: tuple[Notice, ...], images: Mapping[str, Volume], mask: Volume
) -> tuple[Notice, ...]:
    """Sequences that did not lie on the tumour may have seemed to be swapped, or to end within it."""
    rest = tuple(warning for warning in warnings if warning.code not in (*SWAPPED, CUT_OFF))
    seemed_swapped = any(warning.code in SWAPPED for warning in warnings)
    cut_off = coverage_notices(images, mask)
    return (*rest, *cut_off, *(swap_notices(images, mask) if seemed_swapped else ()))


def grid_relation(volume: Volume, mask: Volume, tolerance: float = 0.01) -> str:
    """How the mask's voxels lie in a sequence: ``same`` grid; ``lattice``: the same voxel centres, in another
    storage order or cut to the tumour; ``other``. The tolerance is in voxels, over the whole mask."""
    to_volume = np.linalg.inv(volume.affine) @ mask.affine
    turn = np.rint(to_volume[:3, :3])
    extent = max(mask.size)
    if np.abs(to_volume[:3, :3] - turn).max() * extent > tolerance * 5 or abs(round(np.linalg.det(turn))) != 1:
        return "other"
    shift = to_volume[:3, 3]
    if np.abs(shift - np.rint(shift)).max() > tolerance * 5:
        return "other"
    is_same = np.array_equal(turn, np.eye(3)) and not np.rint(shift).any() and mask.size == volume.size
    return "same" if is_same else "lattice"


def tumour_centre(mask: Volume) -> np.ndarray:
    """LPS position in mm of the centre of the mask's non-zero voxels."""
    index = voxels_of(mask.array).mean(axis=0)[::-1]
    return (mask.affine @ [*index, 1.0])[:3]


def _choose_reference(
    case: Case, grids: Mapping[str, str], small: Mapping[str, Volume]
) -> tuple[str, dict[str, float]]:
    """The reference, and the suspected motion of every other sequence against it.

    Where the mask shares the grid of all three and one of them is off the other two, that one was moved
    without its header, and the mask belongs to the other two, unless it fits the one better.
    """
    shared = _sharing(case, grids)
    reference = shared[0]
    target = check_target(small[reference])
    motions = {name: suspected_motion(target, small[name]) for name in small if name != reference}
    others = [name for name in shared[1:] if motions[name] > SUSPECT]
    if len(shared) == 3 and len(others) == 2:
        between = suspected_motion(small[others[0]], small[others[1]])
        is_odd = between <= SUSPECT or between < 0.3 * min(motions.values())
        if is_odd and not _is_drawn_on(case, reference, others[0]):
            motions = {others[1]: between, reference: suspected_motion(small[others[0]], small[reference])}
            reference = others[0]
    return reference, motions


def _is_drawn_on(case: Case, odd: str, other: str) -> bool:
    """Whether the mask stands out from its surroundings on a sequence where that lies, and on another were it
    moved there, more than the other way round."""
    motion = find_motion(case.images[other], case.images[odd])
    if not _judge(motion, tumour_centre(case.mask))[1]:
        return False
    tumour, rim = mask_points(case.mask), _rim_points(case.mask)

    def contrast(name: str, matrix: np.ndarray) -> float:
        small = coarse.shrunk(case.images[name], FINE_MM)
        values, rest = (coarse.sample(small, coarse.transformed(matrix, p))[0] for p in (tumour, rim))
        spread = float(small.array[coarse.head(small)].std())
        return float(values.mean() - rest.mean()) / max(spread, LEAST_VALUE)

    still = np.eye(4)
    where_it_lies = contrast(odd, still) + contrast(other, inverse_motion(motion.matrix))
    where_others_lie = contrast(odd, motion.matrix) + contrast(other, still)
    return where_it_lies > where_others_lie + FITS


def _rim_points(mask: Volume) -> np.ndarray:
    """(N, 3) LPS positions around the mask, not in it."""
    steps = [int(np.ceil(RIM_MM / step)) for step in mask.spacing]
    small = coarse.shrunk(padded(cut_to_content(mask, margin=0), steps, steps), FINE_MM)
    drawn = small.array > 0
    reach = (RIM_MM / float(np.mean(small.spacing))) ** 2
    return coarse.positions(small)[coarse.grown(drawn, reach) & ~drawn]


def _sharing(case: Case, grids: Mapping[str, str]) -> list[str]:
    """The sequences that the mask fits best, the preferred first."""
    for relation in ("same", "lattice"):
        names = [name for name in PREFERENCE if grids[name] == relation]
        if names:
            return names
    points = mask_points(case.mask)
    covered = {name: float(coarse.within(case.images[name], points).mean()) for name in PREFERENCE}
    return [max(PREFERENCE, key=lambda name: round(covered[name], 2))]


def _treat(
    case: Case, reference: str, name: str, mode: str, suspected: float, centre: np.ndarray
) -> tuple[dict[str, Any], Motion | None]:
    entry: dict[str, Any] = {"applied": False, "suspected_motion": round(suspected, 2)}
    entry |= {"translation_mm": 0.0, "rotation_deg": 0.0}
    is_suspect = suspected > SUSPECT
    if mode == "never" or (mode == "auto" and not is_suspect):
        return {**entry, "misaligned": is_suspect}, None
    motion = find_motion(case.images[reference], case.images[name])
    is_large, is_possible = _judge(motion, centre)
    if not is_possible or motion.after < motion.before or (mode == "auto" and not is_large):
        return {**entry, "misaligned": is_suspect and (is_large or not is_possible)}, None
    moved = {"translation_mm": round(motion.shift_mm(centre), 3), "rotation_deg": round(motion.degrees, 3)}
    return {**entry, **moved, "applied": True, "misaligned": False}, motion


def _judge(motion: Motion, centre: np.ndarray) -> tuple[bool, bool]:
    """Whether a motion is large enough to matter, and whether it can be a patient's at all."""
    shift = motion.shift_mm(centre)
    is_gain = motion.after > motion.before * (1 + ACCEPT_GAIN)
    is_large = is_gain and (shift > ACCEPT_MM or motion.degrees > ACCEPT_DEGREES)
    return is_large, shift < LIMIT_MM and motion.degrees < LIMIT_DEGREES


def _grid_notices(reference: str, relation: str) -> list[Notice]:
    if relation != "other":
        return []
    text = f"the mask lies on the grid of none of the sequences; it was taken to belong to {reference}"
    return [Notice("mask-on-other-grid", text)]


def _motion_notices(name: str, reference: str, mode: str, entry: Mapping[str, Any]) -> list[Notice]:
    is_large = entry["translation_mm"] > ACCEPT_MM or entry["rotation_deg"] > ACCEPT_DEGREES
    if entry["applied"] and (is_large or mode == "auto"):
        text = (
            f"{name} did not lie on {reference} and was registered to it "
            f"({entry['translation_mm']:.1f} mm at the tumour, {entry['rotation_deg']:.1f} degrees)"
        )
        return [Notice("registered", text)]
    if entry["misaligned"]:
        reason = "registration is switched off" if mode == "never" else "registration did not succeed"
        return [Notice("misaligned", f"{name} does not seem to lie on {reference}, and {reason}: check both")]
    return []
