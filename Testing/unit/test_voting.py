"""Votes, grade, probability and decision from slice logits."""

from __future__ import annotations

import math

import pytest
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.voting import (
    Calibration,
    DecisionRule,
    Platt,
    decide,
    grade_of,
    majority,
    mean_logit,
    sigmoid,
    soft,
    vote_of_sequence,
)
from GliomaGradingLib.words import SEQUENCES
from hypothesis import given, settings
from hypothesis import strategies as st

PLAIN = Calibration.identity()
logits = st.lists(st.floats(-30, 30), min_size=20, max_size=20)


def votes(*probabilities: float):
    return [
        vote_of_sequence(s, [math.log(p / (1 - p))] * 20, Platt())
        for s, p in zip(SEQUENCES, probabilities, strict=True)
    ]


def test_sigmoid_is_exact_at_known_points_and_never_overflows():
    assert sigmoid(0.0) == 0.5
    assert sigmoid(math.log(3)) == pytest.approx(0.75)
    assert sigmoid(-1e6) == 0.0
    assert sigmoid(1e6) == 1.0


def test_a_sequence_votes_by_the_mean_logit_not_by_counting_slices():
    # 15 slices lean to LGG a little, 5 to HGG a lot: the mean logit is (15 * -1 + 5 * 7) / 20 = 1.
    vote = vote_of_sequence("T1", [-1.0] * 15 + [7.0] * 5, Platt())
    assert vote.probability_hgg == pytest.approx(sigmoid(1.0))
    assert vote.grade == "HGG"
    assert vote.slices_hgg == 5


def test_calibration_moves_the_sequence_and_its_slices_alike():
    vote = vote_of_sequence("T2", [2.0] * 20, Platt(slope=0.5, intercept=-2.0))
    assert vote.probability_hgg == pytest.approx(sigmoid(-1.0))
    assert vote.slice_probabilities == pytest.approx([sigmoid(-1.0)] * 20)
    assert vote.grade == "LGG"
    assert vote.slices_hgg == 0


def test_one_half_is_hgg():
    assert grade_of(0.5) == "HGG"
    assert grade_of(math.nextafter(0.5, 0)) == "LGG"


@pytest.mark.parametrize(
    ("probabilities", "by_majority", "by_soft"),
    [
        ((0.9, 0.9, 0.1), "HGG", "HGG"),
        ((0.1, 0.1, 0.9), "LGG", "LGG"),
        ((0.51, 0.51, 0.01), "HGG", "LGG"),  # two lukewarm votes against a sure one
        ((0.49, 0.49, 0.99), "LGG", "HGG"),
    ],
)
def test_majority_and_soft_vote(probabilities, by_majority, by_soft):
    assert majority(votes(*probabilities)) == by_majority
    assert soft(votes(*probabilities)) == by_soft


def test_the_three_together_is_the_calibrated_mean_of_calibrated_probabilities():
    calibration = Calibration(
        {"T1": Platt(1, 0), "T2": Platt(2, 0), "FLAIR": Platt(1, 1)}, Platt(slope=1.5, intercept=0.25)
    )
    verdict = decide({"T1": [1.0] * 20, "T2": [-0.5] * 20, "FLAIR": [2.0] * 20}, calibration)
    mean = (0.7310586 + 0.2689414 + 0.9525741) / 3  # of the logits 1, -1 and 3
    logit = math.log(mean / (1 - mean))
    assert verdict.probability_hgg == pytest.approx(sigmoid(1.5 * logit + 0.25), abs=1e-6)


def test_the_logit_of_a_mean_of_probabilities_is_finite_where_they_are_as_good_as_0_and_1():
    assert mean_logit([800.0, 800.0, 800.0]) > 30
    assert mean_logit([-800.0, -800.0, 3.0]) == pytest.approx(math.log(0.9525741 / (3 - 0.9525741)), abs=1e-5)
    assert mean_logit([0.5, 0.5, 0.5]) == pytest.approx(0.5)
    assert mean_logit([700.0, 0.0, -700.0]) == pytest.approx(0.0)


def test_near_the_boundary_the_decision_is_indeterminate_and_says_why():
    verdict = decide({s: [0.1] * 20 for s in SEQUENCES}, PLAIN, decision=DecisionRule(0.4, 0.6))
    assert (verdict.grade, verdict.decision) == ("HGG", "indeterminate")
    assert [doubt.code for doubt in verdict.doubts] == ["near-boundary"]
    assert "0.52" in verdict.doubts[0].message


@pytest.mark.parametrize(
    ("probability", "rule", "said"),
    [
        (0.4034, DecisionRule(), "(> 0.40) lies between 0.40 and 0.60"),
        (0.5971, DecisionRule(), "(< 0.60) lies between 0.40 and 0.60"),
        (0.4971, DecisionRule(0.345, 0.7), "(< 0.50) lies between 0.345 and 0.70"),
    ],
)
def test_the_probability_without_a_decision_is_told_as_within_the_band(probability, rule, said):
    logit = math.log(probability / (1 - probability))
    verdict = decide({s: [logit] * 20 for s in SEQUENCES}, PLAIN, decision=rule)
    assert verdict.probability_hgg == pytest.approx(probability)
    assert said in verdict.doubts[0].message


def test_a_probability_against_the_votes_is_told_as_against_them():
    """Two sequences of three vote HGG, the three together are 0.4982 for it: not 0.50, which is HGG."""
    raw = {"T1": [0.2] * 20, "T2": [0.2] * 20, "FLAIR": [-0.43] * 20}
    verdict = decide(raw, PLAIN, decision=DecisionRule(0.5, 0.5))
    assert (verdict.grade, verdict.decision) == ("HGG", "indeterminate")
    assert "of the three together is < 0.50." in verdict.doubts[0].message


def test_votes_against_the_probability_are_indeterminate():
    raw = {"T1": [0.2] * 20, "T2": [0.2] * 20, "FLAIR": [-6.0] * 20}
    verdict = decide(raw, PLAIN)
    assert verdict.grade == "HGG"
    assert verdict.probability_hgg < 0.4
    assert verdict.decision == "indeterminate"
    assert [doubt.code for doubt in verdict.doubts] == ["models-at-odds"]


def test_a_clear_case_is_decided():
    verdict = decide({s: [-3.0] * 20 for s in SEQUENCES}, PLAIN)
    assert (verdict.grade, verdict.decision, verdict.doubts) == ("LGG", "LGG", ())


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="majority, soft"):
        decide({s: [0.0] * 20 for s in SEQUENCES}, PLAIN, rule="mean")


@settings(deadline=None)
@given(logits, logits, logits, st.permutations(range(20)))
def test_the_order_of_slices_changes_nothing_but_their_list(t1, t2, flair, order):
    straight = decide({"T1": t1, "T2": t2, "FLAIR": flair}, PLAIN)
    shuffled = decide(
        {"T1": [t1[i] for i in order], "T2": [t2[i] for i in order], "FLAIR": [flair[i] for i in order]}, PLAIN
    )
    assert straight.probability_hgg == shuffled.probability_hgg  # fsum: exact in any order
    assert straight.grade == shuffled.grade


@settings(deadline=None)
@given(logits, logits, logits)
def test_mirrored_logits_give_the_mirrored_probability(t1, t2, flair):
    ahead = decide({"T1": t1, "T2": t2, "FLAIR": flair}, PLAIN).probability_hgg
    back = decide(
        {"T1": [-x for x in t1], "T2": [-x for x in t2], "FLAIR": [-x for x in flair]}, PLAIN
    ).probability_hgg
    assert ahead + back == pytest.approx(1.0)


@settings(deadline=None)
@given(logits, logits, logits, st.floats(0.01, 5))
def test_more_evidence_for_hgg_never_lowers_its_probability(t1, t2, flair, more):
    before = decide({"T1": t1, "T2": t2, "FLAIR": flair}, PLAIN).probability_hgg
    after = decide({"T1": [x + more for x in t1], "T2": t2, "FLAIR": flair}, PLAIN).probability_hgg
    assert after >= before
