"""From slice logits to three votes, the grade, its probability and the decision.

Voting of three networks, one per sequence: Chin J Med Imaging Technol 2022;38(11):1715, Methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .doubts import AT_ODDS, NEAR_BOUNDARY, NO_DECISION
from .errors import UsageError
from .result import Notice, Vote
from .wording import probability_text, threshold_text
from .words import HGG, INDETERMINATE, LGG, SEQUENCES, UNDECIDED

MAJORITY, SOFT = VOTING_RULES = ("majority", "soft")
_FARTHEST = 700.0
"""The probability of a logit farther from 0 is nothing that a float can hold."""


@dataclass(frozen=True)
class Platt:
    """Logistic calibration: the calibrated logit is ``slope * logit + intercept`` (Platt 1999)."""

    slope: float = 1.0
    intercept: float = 0.0

    def logit(self, raw: float) -> float:
        return self.slope * raw + self.intercept

    def probability(self, raw: float) -> float:
        return sigmoid(self.logit(raw))


@dataclass(frozen=True)
class Calibration:
    """Calibration of each sequence's mean logit, and of the logit of the mean of the three probabilities.

    The mean of probabilities, not of logits: one sequence that is surer than it should be then cannot outvote
    the two others.
    """

    sequences: Mapping[str, Platt]
    together: Platt

    @classmethod
    def identity(cls) -> Calibration:
        """Leaves the networks' own probabilities as they are."""
        return cls({sequence: Platt() for sequence in SEQUENCES}, Platt())

    def combine(self, calibrated_logits: Sequence[float]) -> float:
        """The calibrated probability of HGG of the three sequences together."""
        return self.together.probability(mean_logit(calibrated_logits))


@dataclass(frozen=True)
class DecisionRule:
    """When the product stands for a grade: outside the band of probabilities [low, high] it does."""

    low: float = UNDECIDED[0]
    high: float = UNDECIDED[1]

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"no band of probabilities lies between {self.low:g} and {self.high:g}")


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


def mean_logit(logits: Sequence[float]) -> float:
    """The logit of the mean of these logits' probabilities; finite for any finite logits."""
    bounded = [min(max(logit, -_FARTHEST), _FARTHEST) for logit in logits]
    for_hgg = math.fsum(map(sigmoid, bounded))
    for_lgg = math.fsum(sigmoid(-logit) for logit in bounded)
    return math.log(for_hgg) - math.log(for_lgg)


def grade_of(probability: float) -> str:
    """HGG from one half on."""
    return HGG if probability >= 0.5 else LGG


def vote_of_sequence(sequence: str, slice_logits: Sequence[float], platt: Platt) -> Vote:
    """One sequence's vote: the calibrated probability of the mean of its slices' raw logits."""
    mean = math.fsum(slice_logits) / len(slice_logits)
    probability = platt.probability(mean)
    slices = tuple(platt.probability(logit) for logit in slice_logits)
    return Vote(
        sequence=sequence,
        grade=grade_of(probability),
        probability_hgg=probability,
        slice_probabilities=slices,
        slices_hgg=sum(grade_of(p) == HGG for p in slices),
    )


def majority(votes: Sequence[Vote]) -> str:
    """The grade that most sequences vote for; of three votes one grade always has two."""
    for_hgg = sum(vote.grade == HGG for vote in votes)
    return HGG if 2 * for_hgg > len(votes) else LGG


def soft(votes: Sequence[Vote]) -> str:
    """The grade of the mean of the sequences' calibrated probabilities."""
    return grade_of(mean_probability(votes))


def mean_probability(votes: Sequence[Vote]) -> float:
    """What the soft vote goes by; the probability of the three together is calibrated once more."""
    return math.fsum(vote.probability_hgg for vote in votes) / len(votes)


def check_rule(rule: str) -> None:
    """Raises UsageError where there is no such voting rule."""
    if rule not in VOTING_RULES:
        raise UsageError(f"there is no vote {rule!r}", remedy=f"choose one of {', '.join(VOTING_RULES)}")


def grade_by(rule: str, votes: Sequence[Vote]) -> str:
    """The grade by ``majority`` or ``soft`` voting.

    Raises:
        UsageError: there is no such rule.
    """
    check_rule(rule)
    return majority(votes) if rule == MAJORITY else soft(votes)


@dataclass(frozen=True)
class Verdict:
    """Votes, their grade, the probability of HGG together, the decision and why it is held back.

    ``strangeness``: standard deviations by which the case is unlike the training patients
    (``Familiarity.strangeness``); None where the bundle does not know.
    """

    votes: tuple[Vote, ...]
    grade: str
    probability_hgg: float
    decision: str
    doubts: tuple[Notice, ...]
    strangeness: float | None = None


def decide(
    logits: Mapping[str, Sequence[float]],
    calibration: Calibration,
    rule: str = "majority",
    decision: DecisionRule | None = None,
    doubts: Sequence[Notice] = (),
) -> Verdict:
    """Vote on a case.

    Args:
        logits: raw slice logits by sequence.
        doubts: reasons from elsewhere to hold the decision back, such as an unusual case.
    """
    votes = tuple(vote_of_sequence(s, logits[s], calibration.sequences[s]) for s in SEQUENCES)
    mean_logits = [math.fsum(logits[s]) / len(logits[s]) for s in SEQUENCES]
    calibrated = [calibration.sequences[s].logit(m) for s, m in zip(SEQUENCES, mean_logits, strict=True)]
    probability = calibration.combine(calibrated)
    grade = grade_by(rule, votes)
    reasons = (*doubts, *_own_doubts(grade, votes, probability, decision or DecisionRule()))
    return Verdict(
        votes=votes,
        grade=grade,
        probability_hgg=probability,
        decision=INDETERMINATE if reasons else grade,
        doubts=reasons,
    )


def _own_doubts(
    grade: str, votes: Sequence[Vote], probability: float, rule: DecisionRule
) -> tuple[Notice, ...]:
    said = probability_text(probability, undecided=(rule.low, rule.high))
    if rule.low < probability < rule.high:
        return (
            Notice(
                NEAR_BOUNDARY,
                f"{NO_DECISION} the probability of HGG ({said}) lies between {threshold_text(rule.low)} "
                f"and {threshold_text(rule.high)}, where the models were wrong too often.",
            ),
        )
    if grade != grade_of(probability):
        for_grade = sum(vote.grade == grade for vote in votes)
        return (
            Notice(
                AT_ODDS,
                f"{NO_DECISION} {for_grade} of {len(votes)} sequences vote {grade}, but the probability "
                f"of HGG of the three together is {said}.",
            ),
        )
    return ()
