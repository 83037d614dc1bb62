"""DeLong's test of two correlated AUCs, over repeats of cross-validation too.

DeLong 1988 (https://doi.org/10.2307/2531595), by ranks as Sun 2014 (https://doi.org/10.1109/LSP.2014.2337313)
computes it. The AUC is a mean over pairs of patients; its variance comes from every patient's share in it. With
repeats, the AUC is the mean over repeats, and so is a patient's share: the test then asks the same of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class DeLong:
    """Two AUCs, the standard error of their difference (first less second), z and the two-sided p."""

    first: float
    second: float
    error: float
    z: float
    p: float


def delong_test(grades: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLong:
    """Compare two scores of the same patients.

    Args:
        grades: (patients,) 0 or 1, both present.
        first, second: (patients,) or (repeats, patients) scores.
    """
    shares = [_shares(grades, np.atleast_2d(scores)) for scores in (first, second)]
    hgg, lgg = (np.stack([share[side] for share in shares]) for side in (0, 1))
    aucs = hgg.mean(axis=1)
    covariance = np.cov(hgg) / hgg.shape[1] + np.cov(lgg) / lgg.shape[1]
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0.0)))
    difference = float(aucs[0] - aucs[1])
    z = difference / error if error > 0 else 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return DeLong(float(aucs[0]), float(aucs[1]), error, z, float(2 * norm.sf(abs(z))))


def _shares(grades: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every HGG's share of LGGs that it outranks and every LGG's share of HGGs above it, means over repeats."""
    hgg, lgg = scores[:, grades == 1], scores[:, grades == 0]
    ranks = rankdata(np.concatenate([hgg, lgg], axis=1), axis=1)
    count = hgg.shape[1]
    above = (ranks[:, :count] - rankdata(hgg, axis=1)) / lgg.shape[1]
    below = 1 - (ranks[:, count:] - rankdata(lgg, axis=1)) / count
    return above.mean(axis=0), below.mean(axis=0)
