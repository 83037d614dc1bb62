"""What a slice is taught: its patient's grade, and how much of its tumour takes up contrast agent.

Enhancement is what a radiologist grades by, and the three sequences do not show it. Where the training masks
have it as a label of its own, a model learns to foretell it from what it does see (learning with privileged
information, Vapnik 2009, doi 10.1016/j.neunet.2009.06.042): it is a figure for each slice, where the grade is
one for a patient. Nothing of it is needed to grade a case. A mask of one label does not say what enhances,
so that such a patient teaches the grade alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import TrainingSet
from .recipe import Recipe
from .splits import Part

LARGEST = 2.0
"""Standard deviations beyond which a slice's enhancement tells no more."""


@dataclass(frozen=True, eq=False)
class SliceTargets:
    """Targets of slices: -1 is LGG and +1 HGG; with enhancement they lie between and a little beyond.

    Args:
        grades: (N,) -1 or +1.
        enhancement: (N, P) z-scores of the planes; they do not count where ``weight`` is 0.
        weight: (N,) the enhancement's share of a patient's targets, 0 to 1.
    """

    grades: np.ndarray
    enhancement: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, data: TrainingSet, train: Part, recipe: Recipe) -> SliceTargets:
        """Targets by a recipe, z-scores by the training slices of whoever's mask can tell what enhances.

        Where none of these has the label, the grade alone is taught.
        """
        grades = 2.0 * data.grades - 1
        shares = np.sqrt(enhancing_shares(data, recipe.enhancing_label))
        tells = has_several_labels(data)
        seen = shares[train.patient, _plane(data, data.positions(train.patient, train.slice))]
        seen = seen[tells[train.patient]]
        deviation = float(seen.std()) if len(seen) else 0.0
        if not recipe.enhancement or deviation == 0:
            return cls(grades, np.zeros_like(shares), np.zeros(len(data)))
        scores = np.clip((shares - seen.mean()) / deviation, -LARGEST, LARGEST)
        return cls(grades, scores, np.where(tells, recipe.enhancement, 0.0))

    def at(self, data: TrainingSet, patient: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """(n,) targets of slices by patient row and plane, which may be fractional."""
        scores = self.enhancement[patient, _plane(data, plane)]
        weight = self.weight[patient]
        return (1 - weight) * self.grades[patient] + weight * scores


def part_targets(data: TrainingSet, part: Part, recipe: Recipe) -> np.ndarray:
    """(n,) targets of a part's slices, by z-scores of these slices."""
    targets = SliceTargets.of(data, part, recipe)
    return targets.at(data, part.patient, data.positions(part.patient, part.slice))


def enhancing_shares(data: TrainingSet, label: int) -> np.ndarray:
    """(N, P) share of each plane's tumour that has the label; 0 where a plane has no tumour."""
    tumour = np.count_nonzero(data.labels, axis=(2, 3))
    return np.count_nonzero(data.labels == label, axis=(2, 3)) / np.maximum(tumour, 1)


def has_several_labels(data: TrainingSet) -> np.ndarray:
    """(N,) bool: the mask tells parts of the tumour apart; one of a single value draws all of it as one."""
    return np.array([len(np.unique(labels[labels > 0])) > 1 for labels in data.labels], dtype=bool)


def teach_enhancement(data: TrainingSet, recipe: Recipe) -> int:
    """How many patients' masks teach what enhances; 0 where none of them has the label, or it is not taught."""
    if not recipe.enhancement or not (data.labels == recipe.enhancing_label).any():
        return 0
    return int(has_several_labels(data).sum())


def _plane(data: TrainingSet, plane: np.ndarray) -> np.ndarray:
    return np.rint(plane).astype(int).clip(0, data.labels.shape[1] - 1)
