"""The example of a withheld decision contradicts itself in nothing."""

from __future__ import annotations

from typing import Any

import pytest
from batch_stub import result
from GliomaGradingLib.voting import DecisionRule, grade_of, sigmoid

from Testing.panel_picture import _logit, held_back


@pytest.fixture
def shown() -> Any:
    return held_back(result("a", 0.93))


def test_votes_follow_from_their_slices(shown: Any) -> None:
    assert [vote.grade for vote in shown.votes] == ["LGG", "HGG", "HGG"]
    for vote in shown.votes:
        slices = vote.slice_probabilities
        assert vote.slices_hgg == sum(p >= 0.5 for p in slices)
        mean = sum(map(_logit, slices)) / len(slices)
        assert sigmoid(mean) == pytest.approx(vote.probability_hgg) and grade_of(sigmoid(mean)) == vote.grade


def test_grade_and_decision_follow_from_the_votes(shown: Any) -> None:
    rule = DecisionRule()
    assert shown.grade == "HGG" and shown.agreement == (2, 3)
    assert shown.decision == "indeterminate" and rule.low <= shown.probability_hgg <= rule.high
    assert f"{shown.probability_hgg:.2f}" in shown.warnings[0].message
