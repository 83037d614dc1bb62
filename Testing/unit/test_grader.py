"""What a grading records beside the grade: the rule of the vote, what the networks saw, who taught them."""

from __future__ import annotations

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.errors import BundleError
from GliomaGradingLib.grading import Grader
from GliomaGradingLib.result import GradeResult
from GliomaGradingLib.volume import Volume
from small_head import ORIGIN, SHAPE, volume, volumes


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader.load(device="cpu")


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    k, j, i = np.indices(SHAPE, dtype=float)
    places = (i * 2 + ORIGIN[0], j * 2 + ORIGIN[1], k * 2 + ORIGIN[2])
    inside = sum((p - c) ** 2 for p, c in zip(places, centre, strict=True)) < radius**2
    return np.asarray(inside, np.uint8)


def case(identifier: str = "small", mask: np.ndarray | None = None) -> Case:
    made = volumes()
    tumour = made.pop("mask")
    return Case(identifier, made, tumour if mask is None else volume(mask))


def codes(result: GradeResult) -> list[str]:
    return [notice.code for notice in result.warnings]


def test_a_result_tells_by_which_rule_it_was_voted(grader: Grader) -> None:
    for rule in ("majority", "soft"):
        result = grader.grade(case(), vote=rule)
        assert result.vote == rule and result.toDict()["vote"] == rule
        assert GradeResult.fromDict(result.toDict()) == result


def test_a_result_tells_how_much_of_the_tumour_the_networks_saw(grader: Grader) -> None:
    result = grader.grade(case())
    slab = np.pi * (17**2 * 20 - 2 * 10**3 / 3) / 1000  # the middle 20 mm of a ball of 17 mm
    assert result.seen_ml == pytest.approx(slab, rel=0.04) and result.seen_ml < result.tumour_ml
    assert result.toDict()["tumour"] == {"volume_ml": result.tumour_ml, "seen_ml": result.seen_ml}
    assert "tumour-beyond-region" not in codes(result)


def test_a_tumour_that_goes_far_beyond_the_region_is_told(grader: Grader) -> None:
    result = grader.grade(case(mask=ball((0, 0, 0), 48)))
    told = next(notice for notice in result.warnings if notice.code == "tumour-beyond-region")
    assert "a square of 60 mm, in which 51 % of the tumour's largest slice lies" in told.message
    assert result.seen_ml == pytest.approx(60.2**2 * 20 / 1000, rel=0.05)


def test_a_speck_between_the_lattices_points_is_small_and_not_beyond_them(grader: Grader) -> None:
    """Of one voxel of 0.2 mm: less than is written of a volume, and still not nothing."""
    images = volumes()
    tumour = images.pop("mask")
    speck = np.zeros((9, 9, 9), np.uint8)
    speck[4, 4, 4] = 1
    x, y, z = np.array(ORIGIN) + 2 * 40 - 4 * 0.2
    mask = Volume(speck, (0.2, 0.2, 0.2), (x, y, z), tumour.direction)
    result = grader.grade(Case("speck", images, mask))
    assert result.tumour_ml == pytest.approx(8e-6) and result.decision == "indeterminate"
    assert "tumour-beyond-region" not in codes(result)


def test_networks_that_give_no_numbers_give_no_grade(monkeypatch: pytest.MonkeyPatch, grader: Grader) -> None:
    """A probability that is no number is neither above nor below one half."""
    unread = iter([([0.0] * 20, 1.0), ([0.0] * 19 + [float("nan")], 1.0)])
    monkeypatch.setattr(grader, "_read", lambda stack, sequences: unread)
    with pytest.raises(BundleError, match="the T2 model gives no number for these images"):
        grader.grade(case())


def test_a_patient_that_taught_the_models_is_told(grader: Grader) -> None:
    assert "taught-the-models" in codes(grader.grade(case("BraTS20_Training_163 T2")))
    assert "taught-the-models" not in codes(grader.grade(case("BraTS20_Validation_163")))


def test_results_from_before_are_read() -> None:
    votes = [
        {"sequence": one, "grade": "HGG", "probability_hgg": 1, "slices_hgg": 1, "slice_probabilities": [1]}
        for one in ("T1", "T2", "FLAIR")
    ]
    stored = GradeResult.fromDict(
        {
            "schema": "glioma-grading/result/1", "case": "a", "grade": "HGG", "decision": "HGG",
            "probability_hgg": 0.9, "votes": votes, "tumour": {"volume_ml": 3}, "warnings": [], "model": {},
            "slices": {"indices": [0], "positions_mm": [0], "spacing_mm": 1, "largest_index": 0,
                       "largest_area_mm2": 1},
            "software": {}, "seconds": {},
        }
    )  # fmt: skip
    assert stored.vote == "majority" and stored.seen_ml is None


@pytest.mark.parametrize(("asked", "given"), [("auto", "cpu"), ("cpu", "cpu"), ("cuda", "cuda")])
def test_a_graphics_card_that_cannot_compute_is_not_chosen_by_itself(monkeypatch, asked, given):
    """torch sees a card that it was not built for, and fails with the first computation (here: has no CUDA)."""
    from GliomaGradingLib.grading import choose_device

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device(asked).type == given
