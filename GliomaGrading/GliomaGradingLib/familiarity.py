"""Whether a case is like the patients that the models have learned from.

Two questions, asked of the 20 slices: does the region look to the networks like the regions of the training
patients (how much of its pooled features lies outside the directions in which those vary: the residual part of
a Mahalanobis distance, which needs no covariance of thousands of features), and does the mask mark what a
glioma looks like (brighter than its surroundings on T2 and FLAIR, and not bright on T1 without contrast)?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .doubts import NO_DECISION, NOT_TUMOUR, T1_BRIGHT, UNLIKE_TRAINING
from .preparation.slices import SliceStack
from .result import Notice
from .wording import told_apart
from .words import SEQUENCES, SLICE_COUNT

RING = 2
"""Lattice points (3.8 mm) around the mask that count as its surroundings."""
SMALLEST_REGION = 5
"""Lattice points that mask and surroundings need for their contrast to be known."""


@dataclass(frozen=True)
class Familiarity:
    """What is usual among the training patients; part of a model bundle.

    Args:
        typical, spread: by sequence, mean and standard deviation over held-out training patients of the
            natural logarithm of ``OutputModule.unexplained``.
        unlike: standard deviations above typical from which a case is unlike the training patients.
        least_fluid: least sum of the mask's contrasts on T2 and FLAIR, in z-scores.
        most_t1: largest contrast of the mask on T1, in z-scores.
    """

    typical: Mapping[str, float]
    spread: Mapping[str, float]
    unlike: float
    least_fluid: float
    most_t1: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Familiarity:
        """From a bundle's JSON; raises KeyError, TypeError or ValueError where it is incomplete or wrong."""
        typical, spread = ({s: _finite(values[name][s]) for s in SEQUENCES} for name in ("typical", "spread"))
        if min(spread.values()) <= 0:
            raise ValueError("familiarity has a spread that is not positive")
        unlike, least_fluid, most_t1 = (_finite(values[n]) for n in ("unlike", "least_fluid", "most_t1"))
        return cls(typical, spread, unlike, least_fluid, most_t1)

    def strangeness(self, unexplained: Mapping[str, float]) -> float:
        """Of the sequence that is the most unlike the training patients, in standard deviations."""
        lengths = np.maximum([unexplained[s] for s in SEQUENCES], 1e-6)
        typical, spread = ([by[s] for s in SEQUENCES] for by in (self.typical, self.spread))
        return float(np.max((np.log(lengths) - typical) / spread))  # not a number where one of them is not

    def doubts(self, stack: SliceStack, unexplained: Mapping[str, float]) -> tuple[Notice, ...]:
        """Reasons to hold the decision on a case back.

        Args:
            unexplained: by sequence, ``OutputModule.unexplained`` of its slices.
        """
        notices = []
        strangeness = self.strangeness(unexplained)
        if not strangeness <= self.unlike:
            found, usual = told_apart(strangeness, self.unlike)
            notices.append(
                Notice(
                    UNLIKE_TRAINING,
                    f"{NO_DECISION} the images are unlike those of the patients the models have learned from "
                    f"({found} standard deviations from their mean; {usual} are usual at "
                    "most). Check sequences, mask and image quality.",
                )
            )
        chosen = slice(stack.first, stack.first + SLICE_COUNT)
        contrasts = mask_contrasts(stack.planes[:, chosen], stack.mask[chosen])
        return (*notices, *self._contrast_doubts(contrasts))

    def _contrast_doubts(self, contrasts: Mapping[str, float]) -> tuple[Notice, ...]:
        if not contrasts:
            return (
                Notice(
                    NOT_TUMOUR,
                    f"{NO_DECISION} there is too little of the mask, or of the brain around it, to tell "
                    "whether it lies on a tumour. Check the mask.",
                ),
            )
        notices = []
        if contrasts["T2"] + contrasts["FLAIR"] < self.least_fluid:
            notices.append(
                Notice(
                    NOT_TUMOUR,
                    f"{NO_DECISION} what the mask marks is hardly brighter than its surroundings on T2 "
                    "and FLAIR, as a glioma would be. Check that the mask lies on the tumour, and that T2 "
                    "and FLAIR are what they are named.",
                )
            )
        if contrasts["T1"] > self.most_t1:
            notices.append(
                Notice(
                    T1_BRIGHT,
                    f"{NO_DECISION} the tumour is brighter than its surroundings on T1, as with contrast "
                    "agent, fat or blood. The models know T1 without contrast: check that it is.",
                )
            )
        return tuple(notices)


def mask_contrasts(planes: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """By sequence, the mean inside the mask less the mean of its surroundings, in z-scores.

    Surroundings are the brain within ``RING`` lattice points in the plane. Empty where either is too small.

    Args:
        planes: (3, P, H, W) z-scores of T1, T2 and FLAIR, 0 outside the brain.
        mask: (P, H, W), tumour where not 0.
    """
    mask = mask > 0
    ring = _grown(mask, RING) & ~mask & (planes != 0).any(axis=0)
    if min(mask.sum(), ring.sum()) < SMALLEST_REGION:
        return {}
    return {
        sequence: float(plane[mask].mean() - plane[ring].mean())
        for sequence, plane in zip(SEQUENCES, planes, strict=True)
    }


def _grown(mask: np.ndarray, points: int) -> np.ndarray:
    """A mask (P, H, W) grown by a square of ``points`` in the plane."""
    for axis in (1, 2):
        padded = np.pad(mask, [(0, 0) if a != axis else (points, points) for a in range(3)])
        length = mask.shape[axis]
        shifted = [padded.take(range(s, s + length), axis=axis) for s in range(2 * points + 1)]
        mask = np.logical_or.reduce(shifted)
    return mask


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"familiarity has {value!r} where a number should be")
    return float(value)
