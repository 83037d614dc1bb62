"""Where the networks found their evidence, as a value: numpy and geometry, no torch (see ``saliency``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CaseError, UsageError
from .grid import Lattice, triple
from .volume import Volume
from .words import SEQUENCES

if TYPE_CHECKING:
    from .result import GradeResult

SAME_PROBABILITY = 0.02
"""Difference of a slice's probability up to which two readings are of the same images: devices differ."""

EXPLANATION_SCHEMA = "glioma-grading/explanation/1"

SALIENCY_NOTE = (
    "Grad-CAM shows which places moved a network's output; it is no localisation or segmentation of tumour, "
    "and saliency maps have failed as such (Arun et al., Radiol Artif Intell 2021;3(6):e200267)."
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Evidence maps of the three networks on the slices that a case was graded on.

    Args:
        maps: float32 (3, N, H, W), sequences as in ``SEQUENCES``, the stack's slices foot to head, rows front
            to back, columns right to left. In calibrated logits of HGG: above 0 for HGG, below 0 for LGG,
            0 where a place is like the average of the training images. The mean of a slice's map plus
            ``base`` is that slice's calibrated logit, so a value is the logit that the slice would have
            (less ``base``) if all of it gave such evidence.
        base: logit of each sequence that does not depend on the images.
        lattice: where the maps' points lie in the patient; None for a stack made from a crop.
        detail_mm: distance of the points of the finest level the maps are made of: what is closer together
            is interpolated.
        indices: of these slices on the case's axial grid, as in ``SliceInfo``.
    """

    maps: np.ndarray
    base: tuple[float, float, float]
    lattice: Lattice | None = None
    detail_mm: float = 0.0
    indices: tuple[int, ...] = ()

    @property
    def logits(self) -> np.ndarray:
        """(3, N) calibrated logits of HGG of the slices: what the maps add up to."""
        return self.maps.mean(axis=(2, 3), dtype=np.float64) + np.asarray(self.base)[:, None]

    @property
    def probabilities(self) -> np.ndarray:
        """(3, N) calibrated probabilities of HGG of the slices."""
        return 1.0 / (1.0 + np.exp(-self.logits))

    @property
    def strength(self) -> float:
        """The absolute evidence that one place in a hundred exceeds: the same colours for all three."""
        return max(float(np.percentile(np.abs(self.maps), 99)), 1e-6)

    def map_of(self, sequence: str) -> np.ndarray:
        """(N, H, W) of one sequence."""
        return self.maps[SEQUENCES.index(sequence)]

    def volume(self, sequence: str) -> Volume:
        """One sequence's maps in the patient (LPS mm), planes 1 mm apart; logits of HGG, see ``maps``.

        It lies in the frame of the tumour mask, into which sequences were registered.

        Raises:
            UsageError: the slices came from a crop, whose place in the patient nobody knows.
        """
        if self.lattice is None:
            raise UsageError(
                "these slices came from a crop, which has no place in the patient",
                remedy="explain a case that was read as a whole",
            )
        return self.lattice.volume(self.map_of(sequence))

    def toDict(self) -> dict[str, Any]:
        """For the worker's protocol: plain values, and the maps under ``arrays``."""
        lattice = self.lattice
        return {
            "schema": EXPLANATION_SCHEMA,
            "base": list(self.base),
            "lattice": {"start": list(lattice.start), "step": list(lattice.step)} if lattice else None,
            "detail_mm": self.detail_mm,
            "indices": list(self.indices),
            "arrays": {"maps": self.maps},
        }

    @classmethod
    def fromDict(cls, values: Mapping[str, Any]) -> Explanation:
        """The explanation that ``toDict`` wrote.

        Raises:
            ValueError: it is of another schema, or something is missing in it.
        """
        if values.get("schema") != EXPLANATION_SCHEMA:
            raise ValueError(f"this is not an explanation of schema {EXPLANATION_SCHEMA}")
        try:
            maps = np.asarray(values["arrays"]["maps"], dtype=np.float32)
            lattice = values["lattice"]
            planes, rows, columns = maps.shape[1:]
            size = (columns, rows, planes)
            place = Lattice(triple(lattice["start"]), triple(lattice["step"]), size) if lattice else None
            indices = tuple(map(int, values["indices"]))
            return cls(maps, triple(values["base"]), place, float(values["detail_mm"]), indices)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the explanation is incomplete ({error})") from error


def check_same_images(
    given: GradeResult, indices: Sequence[int], probabilities: np.ndarray | Sequence[Sequence[float]]
) -> None:
    """Refuses images of which the networks read other slices than for a result, or say something else.

    Args:
        indices: of the slices that were read now, on the case's axial grid.
        probabilities: (3, N) of these slices, sequences as in the result.

    Raises:
        CaseError: they are others than in the result.
    """
    told, seen = np.array([vote.slice_probabilities for vote in given.votes]), np.asarray(probabilities)
    are_same_slices = given.slices.indices == tuple(indices) and told.shape == seen.shape
    if not (are_same_slices and np.abs(told - seen).max() <= SAME_PROBABILITY):  # also where one is no number
        raise CaseError("the images have changed since they were graded", given.case, "grade the case again")
