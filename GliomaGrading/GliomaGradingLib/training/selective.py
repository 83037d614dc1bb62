"""What it buys to stand for no grade where the evidence is thin."""

from __future__ import annotations

import numpy as np

from ..voting import DecisionRule
from .metrics import NAN, Figures, classification_figures


def withheld(probabilities: np.ndarray, rule: DecisionRule) -> np.ndarray:
    """(rows,) bool: the decision is ``indeterminate``, as :func:`voting.decide` has it for majority votes.

    Args:
        probabilities: (rows, 4) of T1, T2, FLAIR and the three together.
    """
    together = probabilities[:, 3]
    near = (together > rule.low) & (together < rule.high)
    return near | (majority_hgg(probabilities) != (together >= 0.5))


def majority_hgg(probabilities: np.ndarray) -> np.ndarray:
    """(rows,) bool: two sequences or three vote HGG."""
    return votes_for_hgg(probabilities) >= 2


def votes_for_hgg(probabilities: np.ndarray) -> np.ndarray:
    """(rows,) number of sequences that vote HGG."""
    return (probabilities[:, :3] >= 0.5).sum(axis=1)


def decision_figures(grades: np.ndarray, probabilities: np.ndarray, rule: DecisionRule) -> Figures:
    """Share of rows with a decision, and the vote's figures with and without one."""
    kept, vote = ~withheld(probabilities, rule), majority_hgg(probabilities)
    right = vote == (grades == 1)
    decided = classification_figures(grades[kept], vote[kept]) if kept.any() else {}
    return {
        "coverage": float(kept.mean()),
        "accuracy_all": float(right.mean()),
        "accuracy_decided": float(right[kept].mean()) if kept.any() else NAN,
        "accuracy_withheld": float(right[~kept].mean()) if (~kept).any() else NAN,
        "sensitivity_decided": decided.get("sensitivity", NAN),
        "specificity_decided": decided.get("specificity", NAN),
    }
