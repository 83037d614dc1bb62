"""Properties that hold for any case and any result (Hypothesis)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.preparation.slices import prepare
from GliomaGradingLib.reading.imaging import Volume
from GliomaGradingLib.result import GradeResult, Notice, SliceInfo, Vote
from GliomaGradingLib.voting import (
    Calibration,
    DecisionRule,
    Platt,
    decide,
    grade_of,
    sigmoid,
    vote_of_sequence,
)
from GliomaGradingLib.words import HGG, INDETERMINATE, LGG, SEQUENCES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from Testing.unit.small_head import ORIGIN, SPACING, arrays

# Geometry: the same head stored in another order of axes is the same head


def stored_otherwise(array: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The (K, J, I) array with its axes in another order and direction, its geometry told accordingly."""
    origin, columns = np.array(ORIGIN), np.eye(3)
    for axis in range(3):  # of I, J, K
        if flips[axis]:
            array = np.flip(array, 2 - axis)
            origin = origin + columns[:, axis] * SPACING[axis] * (array.shape[2 - axis] - 1)
            columns[:, axis] *= -1
    turned = array.transpose([2 - order[2 - k] for k in range(3)])
    spacing = tuple(SPACING[a] for a in order)
    return Volume(np.ascontiguousarray(turned), spacing, tuple(origin), columns[:, list(order)])  # type: ignore[arg-type]


def stack_of(order: tuple[int, ...], flips: tuple[bool, ...]):  # type: ignore[no-untyped-def]
    volumes = {name.lower(): stored_otherwise(a, order, flips) for name, a in arrays().items()}
    return prepare(Case.fromArrays(**volumes))


@pytest.fixture(scope="module")
def upright():  # type: ignore[no-untyped-def]
    return stack_of((0, 1, 2), (False, False, False))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_slices_do_not_depend_on_how_the_voxels_are_stored(upright, order, flips) -> None:  # type: ignore[no-untyped-def]
    stack = stack_of(tuple(order), flips)
    assert stack.info.positions_mm == pytest.approx(upright.info.positions_mm, abs=1e-6)
    assert stack.info.largest_area_mm2 == upright.info.largest_area_mm2
    assert stack.tumour_ml == pytest.approx(upright.tumour_ml)
    assert np.abs(stack.planes - upright.planes).max() < 1e-3
    assert np.array_equal(stack.mask, upright.mask)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.floats(0.01, 100))
def test_the_slices_do_not_depend_on_the_scanners_gain(upright, gain) -> None:  # type: ignore[no-untyped-def]
    """T2 alone is changed."""
    changed = {name.lower(): Volume(a, SPACING, ORIGIN, np.eye(3)) for name, a in arrays().items()}
    array = arrays()["T2"].astype(np.float32) * np.float32(gain)
    changed["t2"] = Volume(array, SPACING, ORIGIN, np.eye(3))
    stack = prepare(Case.fromArrays(**changed))
    assert np.abs(stack.planes - upright.planes).max() < 2e-3
    assert stack.info == upright.info


# Results

finite = st.floats(-30, 30, allow_nan=False)
logits = st.fixed_dictionaries({s: st.lists(finite, min_size=20, max_size=20) for s in SEQUENCES})
platts = st.builds(Platt, st.floats(0.01, 5), st.floats(-5, 5))
calibrations = st.builds(Calibration, st.fixed_dictionaries(dict.fromkeys(SEQUENCES, platts)), platts)
words = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(logits, calibrations, st.sampled_from(["majority", "soft"]), st.floats(0, 0.5), st.floats(0.5, 1))
def test_a_verdict_agrees_with_its_votes(given_logits, calibration, rule, low, high) -> None:  # type: ignore[no-untyped-def]
    verdict = decide(given_logits, calibration, rule, DecisionRule(low, high))
    assert [vote.sequence for vote in verdict.votes] == list(SEQUENCES)
    for vote in verdict.votes:
        assert 0 <= vote.probability_hgg <= 1 and len(vote.slice_probabilities) == 20
        assert vote.grade == grade_of(vote.probability_hgg)
        assert vote.slices_hgg == sum(p >= 0.5 for p in vote.slice_probabilities)
        spread = (min(vote.slice_probabilities) - 1e-9, max(vote.slice_probabilities) + 1e-9)
        assert spread[0] <= vote.probability_hgg <= spread[1]
    for_hgg = sum(vote.grade == HGG for vote in verdict.votes)
    if rule == "majority":
        assert verdict.grade == (HGG if for_hgg >= 2 else LGG)
    if for_hgg in (0, 3):
        assert verdict.grade == (HGG if for_hgg else LGG)
    inside = low < verdict.probability_hgg < high
    at_odds = verdict.grade != grade_of(verdict.probability_hgg)
    assert (verdict.decision == INDETERMINATE) == (inside or at_odds)
    assert verdict.decision in (verdict.grade, INDETERMINATE)
    assert bool(verdict.doubts) == (verdict.decision == INDETERMINATE)


@settings(max_examples=60, deadline=None)
@given(logits, calibrations)
def test_a_doubt_from_elsewhere_only_ever_withholds_the_decision(given_logits, calibration) -> None:  # type: ignore[no-untyped-def]
    doubt = Notice("misaligned", "why")
    with_doubt = decide(given_logits, calibration, doubts=(doubt,))
    without = decide(given_logits, calibration)
    assert with_doubt.decision == INDETERMINATE and with_doubt.doubts[0] == doubt
    assert (with_doubt.grade, with_doubt.probability_hgg) == (without.grade, without.probability_hgg)


@given(finite, finite)
def test_sigmoid_is_a_rising_probability_that_mirrors(a, b) -> None:  # type: ignore[no-untyped-def]
    assert sigmoid(a) + sigmoid(-a) == pytest.approx(1, abs=1e-15)
    assert math.log(sigmoid(a) / sigmoid(-a)) == pytest.approx(a, abs=1e-6)
    assert (a < b) <= (sigmoid(a) <= sigmoid(b))


def results_of(count: int) -> st.SearchStrategy[GradeResult]:
    """Of so many slices."""

    def lists(of: st.SearchStrategy[float] | st.SearchStrategy[int]) -> st.SearchStrategy[list]:  # type: ignore[type-arg]
        return st.lists(of, min_size=count, max_size=count)

    votes = [st.builds(vote_of_sequence, st.just(one), lists(finite), platts) for one in SEQUENCES]
    return st.builds(
        GradeResult,
        case=words,
        grade=st.sampled_from([LGG, HGG]),
        decision=st.sampled_from([LGG, HGG, INDETERMINATE]),
        probability_hgg=st.floats(0, 1),
        votes=st.tuples(*votes),
        slices=st.builds(
            SliceInfo,
            lists(st.integers(0, 500)).map(tuple),
            lists(st.floats(-500, 500)).map(tuple),
            st.floats(0.1, 10),
            st.integers(0, 500),
            st.floats(0, 1e5),
        ),
        tumour_ml=st.floats(0, 700),
        warnings=st.lists(st.builds(Notice, words, words), max_size=3).map(tuple),
        model=st.dictionaries(words, words, max_size=3),
        software=st.dictionaries(words, words, max_size=3),
        seconds=st.fixed_dictionaries({"read": st.floats(0, 9), "total": st.floats(0, 9)}),
    )


results = st.integers(1, 20).flatmap(results_of)


@settings(max_examples=60, deadline=None)
@given(results)
def test_a_result_survives_json(result: GradeResult) -> None:
    assert GradeResult.fromDict(json.loads(result.toJson())) == result
    votes_for, votes_of = result.agreement
    stored = result.toDict()
    assert stored["agreement"] == {"for": votes_for, "of": votes_of} and votes_of == 3
    assert votes_for == sum(v["grade"] == result.grade for v in stored["votes"])


@settings(max_examples=20, deadline=None)
@given(results)
def test_what_is_done_to_a_dictionary_of_a_result_is_not_done_to_the_result(result: GradeResult) -> None:
    before, stored = result.toJson(), result.toDict()
    for part in ("model", "software", "seconds", "registration"):
        stored[part]["added"] = 1
    assert result.toJson() == before


@settings(max_examples=40, deadline=None)
@given(results, st.floats(0, 100), st.lists(st.builds(Notice, words, words), max_size=3))
def test_the_seconds_of_reading_add_up_and_notices_come_once(result, seconds, notices) -> None:  # type: ignore[no-untyped-def]
    after = result.afterReading(seconds, notices)
    assert after.seconds["total"] == pytest.approx(result.seconds["total"] + seconds, abs=1e-4)
    assert after.seconds["read"] == pytest.approx(seconds, abs=1e-4)
    assert len(set(after.warnings)) == len(after.warnings)
    assert set(after.warnings) == {*result.warnings, *notices}


@settings(max_examples=60, deadline=None)
@given(results, st.data())
def test_a_result_with_a_piece_missing_is_refused_and_never_half_read(result: GradeResult, data) -> None:  # type: ignore[no-untyped-def]
    stored = result.toDict()
    needed = (
        "schema",
        "case",
        "grade",
        "decision",
        "probability_hgg",
        "votes",
        "slices",
        "tumour",
        "warnings",
        "model",
    )
    stored.pop(data.draw(st.sampled_from(needed)))
    with pytest.raises(ValueError, match=r"incomplete|not a result"):
        GradeResult.fromDict(stored)


NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.update(votes=[]), "other votes"),
        (lambda one: one["votes"].pop(), "other votes"),
        (lambda one: one["votes"].reverse(), "other votes"),
        (lambda one: one["votes"].append(one["votes"][0]), "other votes"),
        (lambda one: one["slices"].update(indices=[], positions_mm=[]), "numbers of slices"),
        (lambda one: one["slices"]["positions_mm"].pop(), "numbers of slices"),
        (lambda one: one["votes"][1]["slice_probabilities"].pop(), "numbers of slices"),
        (lambda one: one.update(grade="III"), "a grade that is none"),
        (lambda one: one.update(grade="indeterminate"), "a grade that is none"),
        (lambda one: one.update(decision=""), "a grade that is none"),
        (lambda one: one["votes"][2].update(grade="hgg"), "a grade that is none"),
        (lambda one: one.update(probability_hgg=NAN), "a number that is none"),
        (lambda one: one["votes"][0].update(probability_hgg=math.inf), "a number that is none"),
        (lambda one: one["votes"][0]["slice_probabilities"].__setitem__(0, NAN), "a number that is none"),
        (lambda one: one["slices"].update(spacing_mm=NAN), "a number that is none"),
        (lambda one: one["slices"]["indices"].__setitem__(0, math.inf), "incomplete"),
        (lambda one: one.update(seconds=[1.0]), "incomplete"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(change, words) -> None:  # type: ignore[no-untyped-def]
    votes = tuple(Vote(one, HGG, 0.9, (0.9,) * 3, 3) for one in SEQUENCES)
    info = SliceInfo((4, 5, 6), (4.0, 5.0, 6.0), 1.0, 5, 30.0)
    stored = GradeResult("Ann", HGG, HGG, 0.9, votes, info, 3.0, (), {}, {}, {}).toDict()
    assert GradeResult.fromDict(stored).votes == votes
    change(stored)
    with pytest.raises(ValueError, match=words):
        GradeResult.fromDict(stored)


def test_a_list_is_no_result() -> None:
    with pytest.raises(ValueError, match="not a result"):
        GradeResult.fromDict([])  # type: ignore[arg-type]


@pytest.mark.parametrize("vote", [Vote("T1", LGG, 0.2, (0.2,), 0)])
def test_a_vote_survives_a_dictionary(vote: Vote) -> None:
    assert Vote.fromDict(vote.toDict()) == vote


def test_the_band_in_which_nothing_is_decided_is_known_where_a_bundle_does_not_say() -> None:
    assert (DecisionRule().low, DecisionRule().high) == (0.4, 0.6)


def test_models_at_odds_says_how_many_vote_for_the_grade() -> None:
    raw = {"T1": [0.2] * 20, "T2": [0.2] * 20, "FLAIR": [-6.0] * 20}
    verdict = decide(raw, Calibration.identity())
    (doubt,) = verdict.doubts
    assert "2 of 3 sequences vote HGG" in doubt.message and "0.37" in doubt.message
