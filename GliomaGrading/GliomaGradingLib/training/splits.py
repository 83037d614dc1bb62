"""Who is trained on and who is tested on, under the two protocols.

``image`` is the paper's: all slices of all patients are shuffled and cut 70 : 15 : 15, so that slices of one
patient stand on both sides. ``patient`` keeps a patient on one side, in cross-validation.
``whole_patient_split`` is the paper's with the one change that no patient is cut. All give the same parts to
the three sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PAPER_SHARES = (0.70, 0.15, 0.15)


@dataclass(frozen=True, eq=False)
class Part:
    """Slices by patient row and slice number (0..19), two integer arrays of one length."""

    patient: np.ndarray
    slice: np.ndarray

    def __len__(self) -> int:
        return len(self.patient)

    @classmethod
    def of_patients(cls, patients: Sequence[int] | np.ndarray, slices: int) -> Part:
        """All slices of these patients."""
        rows = np.asarray(patients, dtype=np.int64)
        return cls(np.repeat(rows, slices), np.tile(np.arange(slices), len(rows)))

    def patients(self) -> np.ndarray:
        return np.unique(self.patient)


@dataclass(frozen=True, eq=False)
class Split:
    """One training run's parts."""

    train: Part
    validation: Part
    test: Part


def image_split(patients: int, slices: int, seed: int) -> Split:
    """The paper's protocol: all slices shuffled, then 70 : 15 : 15."""
    everything = Part.of_patients(range(patients), slices)
    order = np.random.default_rng(seed).permutation(len(everything))
    first = round(PAPER_SHARES[0] * len(order))
    second = first + round(PAPER_SHARES[1] * len(order))
    train, validation, test = (
        Part(everything.patient[rows], everything.slice[rows])
        for rows in (order[:first], order[first:second], order[second:])
    )
    return Split(train, validation, test)


def whole_patient_split(grades: np.ndarray, slices: int, seed: int) -> Split:
    """The paper's shares of the patients of each grade, every patient with all slices in one part."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for grade in np.unique(grades):
        rows = rng.permutation(np.flatnonzero(grades == grade))
        cuts = np.round(np.cumsum(PAPER_SHARES[:2]) * len(rows)).astype(int)
        for part, chosen in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(int(row) for row in chosen)
    train, validation, test = (Part.of_patients(sorted(part), slices) for part in parts)
    return Split(train, validation, test)


def stratified_folds(grades: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Rows of each fold, each grade spread evenly; every row is in one fold."""
    rng = np.random.default_rng(seed)
    fold_of = np.empty(len(grades), dtype=np.int64)
    start = 0
    for grade in np.unique(grades):
        rows = rng.permutation(np.flatnonzero(grades == grade))
        fold_of[rows] = (start + np.arange(len(rows))) % folds
        start += len(rows)  # the next grade begins where this one ended, so that folds differ by one at most
    return [np.flatnonzero(fold_of == fold) for fold in range(folds)]


def patient_split(
    grades: np.ndarray, slices: int, fold: int, folds: int, validation: float, seed: int
) -> Split:
    """One fold of cross-validation by patient; validation patients are taken from the training folds."""
    test = stratified_folds(grades, folds, seed)[fold]
    rest = np.setdiff1d(np.arange(len(grades)), test)
    kept = _validation_rows(grades[rest], validation, seed + 7919 * (fold + 1))
    return Split(
        train=Part.of_patients(rest[~kept], slices),
        validation=Part.of_patients(rest[kept], slices),
        test=Part.of_patients(test, slices),
    )


def _validation_rows(grades: np.ndarray, share: float, seed: int) -> np.ndarray:
    kept = np.zeros(len(grades), dtype=bool)
    rng = np.random.default_rng(seed)
    for grade in np.unique(grades):
        rows = rng.permutation(np.flatnonzero(grades == grade))
        kept[rows[: round(share * len(rows))]] = True
    return kept
