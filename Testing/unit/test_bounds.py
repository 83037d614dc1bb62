"""Values at the very bounds, where mutation testing found that nothing held a comparison or a number."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.coarse import largest_component
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.familiarity import Familiarity, _grown, mask_contrasts
from GliomaGradingLib.preparation.slices import (
    InputForm,
    _shift_inward,
    _with_margin,
    choose_slices,
    largest_plane,
    prepare,
    renormalise,
    stack_from_crop,
)
from GliomaGradingLib.result import GradeResult, Vote
from GliomaGradingLib.words import SEQUENCES
from small_head import TUMOUR_CENTRE, volumes

USUAL = Familiarity(dict.fromkeys(SEQUENCES, 1.0), dict.fromkeys(SEQUENCES, 0.5), 3.0, 1.0, 1.0)


# Familiarity


def planes(points: int, level: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Three sequences of one plane with a mask of so many points, in brain of z-score 1."""
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[0, 8, 4 : 4 + points] = 1
    images = np.ones((3, 1, 16, 16), np.float32)
    images[:, mask > 0] = level
    return images, mask


@pytest.mark.parametrize(("points", "known"), [(4, False), (5, True), (6, True)])
def test_five_points_of_mask_are_enough_for_a_contrast(points: int, known: bool) -> None:
    found = mask_contrasts(*planes(points))
    assert found == (dict.fromkeys(SEQUENCES, 1.0) if known else {})


@pytest.mark.parametrize(("points", "known"), [(4, False), (5, True), (6, True)])
def test_five_points_of_surroundings_are_enough_too(points: int, known: bool) -> None:
    images, mask = planes(8)
    brain = np.zeros((1, 16, 16), bool)
    brain[0, 7, 4 : 4 + points] = True
    images[:, ~brain & (mask == 0)] = 0  # outside the brain
    assert bool(mask_contrasts(images, mask)) is known


def test_a_mask_grows_to_all_sides_alike() -> None:
    mask = np.zeros((2, 9, 9), bool)
    mask[1, 4, 3] = True
    grown = _grown(mask, 2)
    assert not grown[0].any() and grown[1].sum() == 25 and grown[1, 2:7, 1:6].all()


@pytest.mark.parametrize("length", [0.02, 0.0])
def test_a_case_may_be_more_usual_than_any(length: float) -> None:
    """The logarithm is taken of what is small too; of nothing it is that of a millionth."""
    expected = (np.log(max(length, 1e-6)) - 1.0) / 0.5
    assert USUAL.strangeness(dict.fromkeys(SEQUENCES, length)) == pytest.approx(expected, rel=1e-9)


def doubts(t1: float, fluid: float, unexplained: float, around: float = 0.0) -> list[str]:
    """Codes of the doubts on a stack of 20 slices with two planes of ``around`` at either end."""
    images, mask = planes(6)
    images = np.repeat(images, 24, axis=1)
    mask = np.repeat(mask, 24, axis=0)
    for image, contrast in zip(images, (t1, fluid / 2, fluid / 2), strict=True):
        image[mask > 0] = 1 + contrast
        for end in (slice(0, 2), slice(22, 24)):
            image[end][mask[end] > 0] = 1 + around
    stack = SimpleNamespace(planes=images, mask=mask, first=2)
    found = USUAL.doubts(stack, dict.fromkeys(SEQUENCES, unexplained))  # type: ignore[arg-type]
    return [notice.code for notice in found]


USUAL_LENGTH = float(np.exp(1.0))


def test_a_bound_itself_is_usual() -> None:
    at_bound = float(np.exp(2.5))
    assert USUAL.strangeness(dict.fromkeys(SEQUENCES, at_bound)) == 3.0
    assert doubts(t1=1.0, fluid=1.0, unexplained=at_bound) == []
    assert doubts(t1=1.0, fluid=1.0, unexplained=at_bound * 1.001) == ["unlike-training"]
    assert doubts(t1=1.001, fluid=1.0, unexplained=USUAL_LENGTH) == ["t1-bright"]
    assert doubts(t1=1.0, fluid=0.999, unexplained=USUAL_LENGTH) == ["mask-not-tumour"]


def test_the_planes_around_the_twenty_slices_do_not_count() -> None:
    assert doubts(t1=0.0, fluid=2.0, unexplained=USUAL_LENGTH, around=9.0) == []
    assert doubts(t1=1.1, fluid=2.0, unexplained=USUAL_LENGTH, around=-9.0) == ["t1-bright"]


def test_all_twenty_slices_count() -> None:
    """T1 is bright on the upper sixteen alone: 1.04 in the mean of all, 0 in that of the lowest four."""
    images, mask = planes(6, level=1.0)
    images, mask = np.repeat(images, 24, axis=1), np.repeat(mask, 24, axis=0)
    images[0, 6:22][mask[6:22] > 0] += 1.3
    images[1:][:, mask > 0] += 0.5
    stack = SimpleNamespace(planes=images, mask=mask, first=2)
    found = USUAL.doubts(stack, dict.fromkeys(SEQUENCES, USUAL_LENGTH))  # type: ignore[arg-type]
    assert [notice.code for notice in found] == ["t1-bright"]


# Slices


@pytest.mark.parametrize(
    "wrong",
    [{"pixels": 1}, {"margin": -1}, {"pixel_mm": 0.0}, {"plane_mm": 0.0}, {"plane_mm": -1.0}, {"kind": "x"}],
)
def test_no_input_form(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="input form"):
        InputForm(**wrong)  # type: ignore[arg-type]


def test_the_smallest_input_form() -> None:
    assert InputForm(pixels=2, margin=0, pixel_mm=0.1, plane_mm=0.1).pixels == 2
    assert InputForm.wholeSlice(96).pixel_mm == 2.5


def test_planes_tie_only_where_they_are_equal() -> None:
    assert largest_plane(np.array([5.0, 4.5, 4.5, 4.5, 0.0])) == 0
    assert largest_plane(np.array([4.5, 4.5, 5.0, 5.0 - 1e-7, 0.0])) == 2
    assert largest_plane(np.array([5.0, 0.0, 5.0])) == 0
    assert largest_plane(np.array([5.0, 0.0, 5.0, 5.0, 5.0, 0.0, 5.0])) == 3
    assert largest_plane(np.array([5.0, 5.0, 0.0, 5.0])) == 0


def test_positions_and_area_have_four_decimals() -> None:
    areas = np.zeros(25)
    areas[12] = 12.345678
    info = choose_slices(areas, 0.123456)
    assert info.largest_area_mm2 == 12.3457
    assert info.positions_mm[:2] == (2.1235, 3.1235) and info.indices == tuple(range(2, 22))


def test_twenty_planes_are_enough_and_nineteen_are_not() -> None:
    assert choose_slices(np.ones(20), 0.0).indices == tuple(range(20))
    with pytest.raises(CaseError, match="reach over 19 axial slices"):
        choose_slices(np.ones(19), 0.0)


def test_margin_planes_stay_in_the_volume() -> None:
    info = choose_slices(np.arange(21.0), 0.0)
    assert info.indices == tuple(range(1, 21))
    assert _with_margin(info, 3, 21).tolist() == [0, 0, 0, *range(1, 21), 20, 20, 20]
    assert _with_margin(info, 2, 40).tolist() == [0, 0, *range(1, 23)]


def test_a_window_is_shifted_inward_or_centred() -> None:
    count = np.array([30, 32, 33, 40])
    assert _shift_inward(np.array([5, 5, 5, 5]), 32, count).tolist() == [-1, 0, 1, 5]
    assert _shift_inward(np.array([-3, -3, -3, -3]), 32, count).tolist() == [-1, 0, 0, 0]
    assert _shift_inward(np.array([99, 99, 99, 99]), 32, count).tolist() == [-1, 0, 1, 8]
    assert _shift_inward(np.array([5]), 32, np.array([29])).tolist() == [-2]


def test_of_equal_components_the_first_counts() -> None:
    mask = np.zeros((1, 3, 7), bool)
    mask[0, 0, :2] = mask[0, 2, 3:5] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_crop_has_the_volume_and_area_of_its_points() -> None:
    labels = np.zeros((32, 32, 32), np.uint8)
    labels[10:20, 4:9, 3:6] = 2
    form = InputForm(pixel_mm=1.5, plane_mm=2.0)
    stack = stack_from_crop(np.random.default_rng(0).normal(size=(3, 32, 32, 32)), labels, form)
    assert stack.tumour_ml == pytest.approx(10 * 15 * 1.5**2 * 2.0 / 1000, abs=1e-12)
    assert stack.info.largest_area_mm2 == 15 * 1.5**2
    assert stack.info.largest_index == 28, "the lower middle of the planes at 19 to 38 mm"
    assert stack.first == 3 and stack.mask.shape == (26, 32, 32)
    assert stack.mask[stack.first].sum() == 0 and stack.mask[stack.first + 2].sum() == 15


def test_a_crop_counts_its_planes_to_the_last() -> None:
    """32 planes 2 mm apart span 62 mm, which are 63 planes of 1 mm; the last is nearest to two of them."""
    labels = np.zeros((32, 8, 8), np.uint8)
    labels[31, 2:4, 2:4] = 1
    images = np.broadcast_to(np.arange(1.0, 33.0)[:, None, None], (3, 32, 8, 8))
    stack = stack_from_crop(images, labels, InputForm(plane_mm=2.0, margin=0))
    assert stack.info.indices == tuple(range(43, 63)) and stack.info.largest_index == 61
    assert stack.planes[0, :, 0, 0].tolist() == [1 + n / 2 for n in range(43, 63)]


def region(healthy: int, tumour: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One sequence of ``size`` points: 1, 2, 3 ... in healthy brain, a hundred times that in the tumour."""
    planes, mask = np.zeros(size, np.float32), np.zeros(size, np.uint8)
    planes[:healthy] = np.arange(1, healthy + 1)
    planes[healthy : healthy + tumour] = 100 * np.arange(1, tumour + 1)
    mask[healthy : healthy + tumour] = 1
    return planes.reshape(1, 1, 1, size), mask.reshape(1, 1, size)


def test_region_intensity_by_hand() -> None:
    """Of 1 to 101 the median is 51, the percentiles 16 and 84 are 17 and 85: 34 is one deviation."""
    planes, mask = region(101, 3, 300)
    (found,) = renormalise(planes, mask, "region").reshape(1, -1)
    assert found[:101] == pytest.approx((np.arange(1, 102) - 51) / 34, abs=1e-6)
    assert found[101] == pytest.approx((100 - 51) / 34, abs=1e-6) and not found[104:].any()
    assert renormalise(planes, mask, "brain") is planes


@pytest.mark.parametrize(("healthy", "counts"), [(10, True), (9, False)])
def test_healthy_brain_counts_from_a_twentieth_on(healthy: int, counts: bool) -> None:
    planes, mask = region(healthy, 50, 200)
    used = planes[planes != 0] if not counts else planes[(planes != 0) & (mask == 0)[None]]
    low, middle, high = np.percentile(used, (16, 50, 84))
    (found,) = renormalise(planes, mask, "region").reshape(1, -1)
    assert found[0] == pytest.approx((1 - middle) / ((high - low) / 2), rel=1e-5)


def test_an_even_region_stays_and_one_that_is_nearly_so_does_not() -> None:
    planes, mask = region(101, 0, 101)
    even = np.where(planes > 0, 5.0, 0.0).astype(np.float32)
    assert np.array_equal(renormalise(even, mask, "region"), even)
    nearly = (planes / 1000).astype(np.float32)  # percentiles 0.068 apart
    assert renormalise(nearly, mask, "region").max() == pytest.approx(50 / 34, abs=1e-4)
    nothing = np.zeros_like(even)
    assert np.array_equal(renormalise(nothing, mask, "region"), nothing)


# Result


def made(seconds: dict[str, float]) -> GradeResult:
    votes = tuple(Vote(name, "HGG", 0.75, (0.75,) * 20, 20) for name in SEQUENCES)
    info = choose_slices(np.ones(25), 0.0)
    return GradeResult("Größe", "HGG", "HGG", 0.75, votes, info, 3.5, (), {}, {}, seconds)


def test_the_seconds_of_reading_are_added_to_what_there_is() -> None:
    assert made({}).afterReading(0.25).seconds == {"read": 0.25, "total": 0.25}
    assert made({"total": 1.5, "infer": 1.0}).afterReading(0.123456).seconds == {
        "total": 1.6235,
        "infer": 1.0,
        "read": 0.1235,
    }


def test_result_json_is_for_people_too() -> None:
    lines = made({}).toJson().split("\n")
    assert lines[:3] == ["{", '  "schema": "glioma-grading/result/1",', '  "case": "Größe",']
    assert lines[-2:] == ["}", ""]


def test_whole_slices_lie_where_the_patient_is() -> None:
    """The mask's middle is at the same millimetres in the slices as in the head."""
    shift = np.array([7.0, -31.0, 4.0])
    given = {name: replace(v, origin=tuple(np.add(v.origin, shift))) for name, v in volumes().items()}
    case = Case.fromArrays(t1=given["T1"], t2=given["T2"], flair=given["FLAIR"], mask=given["mask"])
    stack = prepare(case, InputForm.wholeSlice(120))
    assert stack.region is not None and stack.region.step == (2.0, 2.0, 1.0)
    points = np.argwhere(stack.mask)[:, ::-1]
    middle = [stack.region.position(axis, points[:, axis]).mean() for axis in range(3)]
    assert middle[:2] == pytest.approx((TUMOUR_CENTRE + shift)[:2], abs=0.5)
    assert stack.region.position(2, stack.first) == pytest.approx(stack.info.positions_mm[0], abs=1e-4)


# Calibration


def test_one_patient_of_a_grade_is_enough_to_be_calibrated_by() -> None:
    from GliomaGradingLib.training.metrics import calibration_intercept, calibration_slope

    half = np.full(4, 0.5)
    assert calibration_intercept(np.array([1, 0, 0, 0]), half) == pytest.approx(-np.log(3), abs=1e-7)
    assert calibration_intercept(np.array([1, 1, 1, 0]), half) == pytest.approx(np.log(3), abs=1e-7)
    assert np.isnan(calibration_intercept(np.zeros(4), half)) and np.isnan(calibration_slope(np.ones(4), half))


def test_certainty_is_taken_for_a_millionth_less() -> None:
    from GliomaGradingLib.training.metrics import calibration_intercept

    sure = np.array([1.0, 1.0, 0.0, 0.0])
    assert calibration_intercept(np.array([1, 0, 1, 0]), sure) == pytest.approx(0.0, abs=1e-6)
    wrong = calibration_intercept(np.array([1, 0, 0, 0]), np.full(4, 1.0))
    assert wrong == pytest.approx(-np.log(3) - np.log((1 - 1e-6) / 1e-6), abs=1e-5)


def test_probabilities_of_exactly_0_and_1_count_as_a_millionth_from_there() -> None:
    from GliomaGradingLib.training.metrics import calibration_intercept, calibration_slope

    grades = np.array([0, 1, 0, 1, 1, 0])
    sure = np.array([0.0, 1.0, 0.2, 0.7, 0.0, 1.0])
    nearly = np.array([1e-6, 1 - 1e-6, 0.2, 0.7, 1e-6, 1 - 1e-6])
    assert np.isfinite(calibration_slope(grades, sure))
    assert calibration_slope(grades, sure) == calibration_slope(grades, nearly)
    assert calibration_intercept(grades, sure) == calibration_intercept(grades, nearly)


def test_calibration_error_by_hand() -> None:
    from GliomaGradingLib.training.metrics import calibration_error

    grades, scores = np.array([1, 0, 0, 1, 1, 0]), np.array([0.9, 0.1, 0.2, 0.8, 0.6, 0.4])
    # groups in the order of the scores: (0.1, 0.2), (0.4, 0.6), (0.8, 0.9)
    assert calibration_error(grades, scores, bins=3) == pytest.approx((0.15 + 0.0 + 0.15) / 3)
    # groups of 2, 1, 1, 1 and 1
    assert calibration_error(grades, scores, bins=5) == pytest.approx((0.3 + 0.4 + 0.4 + 0.2 + 0.1) / 6)
    assert calibration_error(grades, scores) == pytest.approx((0.1 + 0.2 + 0.4 + 0.4 + 0.2 + 0.1) / 6)
