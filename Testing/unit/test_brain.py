"""Where the brain is, and that the intensities do not depend on how the images came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.coarse import eroded
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.preparation.background import (
    background_value,
    foreground,
    without_blended_edge,
    without_halo,
)
from GliomaGradingLib.preparation.brain import Scale, _Rough, close, distance, find_brain, within
from GliomaGradingLib.preparation.slices import InputForm, scene_of
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.words import SEQUENCES
from skull import SkullOptions, add_skull
from test_slices import FakeCase, correlations, make_case, read_case, stack_of


def found(case: FakeCase):
    return find_brain(case.images, case.mask)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def true_brain(case: FakeCase, pad: int) -> np.ndarray:
    inside = np.any([v.array != 0 for v in case.images.values()], axis=0)
    return np.pad(inside, ((pad, pad), (0, 0), (0, 0)))


@pytest.fixture(scope="module")
def case() -> FakeCase:
    """As large as a brain, with the contrasts that the search relies on; its surface is a smooth egg."""
    return make_case((150, 200, 176))


@pytest.fixture(scope="module")
def head(case: FakeCase) -> FakeCase:
    return add_skull(case, SkullOptions())


class TestBackground:
    def test_it_is_the_constant_value_around_the_head(self) -> None:
        array = np.zeros((30, 40, 50), np.int16)
        array[8:22, 10:30, 10:40] = np.random.default_rng(0).integers(1, 500, (14, 20, 30))
        assert background_value(array) == 0
        assert background_value(array * 2.5 - 70) == -70
        assert np.isnan(background_value(np.where(array, array, np.nan)))

    def test_noise_is_none(self) -> None:
        random = np.random.default_rng(0)
        noise = np.abs(random.normal(0, 3, (30, 40, 50)))
        assert background_value(noise) is None
        assert background_value(noise.astype(np.int16)) is None  # a good part of it is exactly 1

    def test_foreground(self) -> None:
        array = np.array([[[0, 1.5, np.nan, np.inf, -7]]])
        assert foreground(array, 0.0).tolist() == [[[False, True, False, False, True]]]
        assert foreground(array, None).tolist() == [[[True, True, False, False, True]]]
        assert foreground(array, float("nan")).tolist() == [[[True, True, False, False, True]]]


class TestStripped:
    def test_z_scores_over_the_voxels_that_are_not_background(self, case: FakeCase) -> None:
        brain = found(case)
        assert brain.stripped and brain.mask is None and brain.warnings == ()
        for name in SEQUENCES:
            values = case.images[name].array
            inside = values[values != 0].astype(float)
            assert brain.scales[name].mean == pytest.approx(inside.mean(), rel=1e-12)
            assert brain.scales[name].deviation == pytest.approx(inside.std(), rel=1e-12)
            z = brain.normalised(name, case.images[name])
            assert np.allclose(z, np.where(values != 0, (values - inside.mean()) / inside.std(), 0), atol=1e-5)

    def test_z_scored_input_is_stripped(self, case: FakeCase) -> None:
        brain = found(case)
        images = {n: replace(v, array=brain.normalised(n, v)) for n, v in case.images.items()}
        again = find_brain(images, case.mask)
        assert again.stripped
        for scale in again.scales.values():
            assert scale.mean == pytest.approx(0, abs=1e-4) and scale.deviation == pytest.approx(1, abs=1e-4)

    def test_the_centre_is_that_of_the_brain(self, case: FakeCase) -> None:
        points = np.argwhere(case.images["T1"].array)[:, ::-1]
        middle = (points.min(0) + points.max(0)) / 2 + case.mask.origin
        assert np.allclose(found(case).centre, middle, atol=4)

    def test_a_constant_sequence_is_refused(self, case: FakeCase) -> None:
        flat = replace(case.images["FLAIR"], array=(case.images["FLAIR"].array > 0) * 7.0, source="flair.nii")
        with pytest.raises(CaseError, match=r"constant over the brain, in flair\.nii"):
            find_brain({**case.images, "FLAIR": flat}, case.mask)

    def test_an_empty_sequence_is_refused(self, case: FakeCase) -> None:
        empty = replace(case.images["T2"], array=np.zeros((20, 20, 20)), source="t2.nii")
        with pytest.raises(CaseError, match=r"constant over the brain, in t2\.nii"):
            find_brain({**case.images, "T2": empty}, case.mask)


class TestSkull:
    def test_the_brain_is_found(self, case: FakeCase, head: FakeCase) -> None:
        brain = found(head)
        assert not brain.stripped and brain.mask is not None
        assert [w.code for w in brain.warnings] == ["brain-estimated"]
        inside = within(brain.mask, head.images["T1"])
        assert dice(inside, true_brain(case, 20)) > 0.9

    def test_the_stack_is_nearly_that_of_the_stripped_case(self, case: FakeCase, head: FakeCase) -> None:
        one, two = stack_of(case), stack_of(head)
        assert two.info.positions_mm == one.info.positions_mm
        assert min(correlations(one, two)) > 0.9
        assert "brain-estimated" in [w.code for w in two.warnings]

    def test_air_may_be_masked(self, case: FakeCase) -> None:
        head = add_skull(case, SkullOptions(seed=2, masked_air=True))
        assert background_value(head.images["T1"].array) == 0
        assert not found(head).stripped

    def test_what_a_sequence_lacks_that_was_stripped_alone_is_no_brain(
        self, case: FakeCase, head: FakeCase
    ) -> None:
        """The others have a skull, so that the brain is an estimate, which is larger than what T1 shows."""
        inner = np.pad(case.images["T1"].array, ((20, 20), (0, 0), (0, 0)))
        inner = np.where(eroded(inner != 0, 2), inner, 0)
        t1 = replace(head.images["T1"], array=inner)
        brain = found(replace(head, images={**head.images, "T1": t1}))
        assert [brain.scales[name].background for name in SEQUENCES] == [0, None, None]
        inside = within(brain.mask, t1)
        shown = inner[inside & (inner != 0)]
        assert brain.scales["T1"].mean == pytest.approx(shown.mean(), rel=0.002)
        assert (
            brain.scales["T1"].deviation == pytest.approx(shown.std(), rel=0.02)
            and shown.std() < 0.95 * inner[inside].std()
        )
        assert not brain.normalised("T1", t1)[inner == 0].any()

    def test_it_does_not_depend_on_scale_and_offset(self, head: FakeCase) -> None:
        images = {n: replace(v, array=v.array * 0.3 - 40.0) for n, v in head.images.items()}
        one, two = stack_of(head), stack_of(replace(head, images=images))
        assert np.allclose(one.planes, two.planes, atol=1e-3)
        tiny = {n: replace(v, array=v.array * 1e-20) for n, v in head.images.items()}
        assert np.allclose(one.planes, stack_of(replace(head, images=tiny)).planes, atol=1e-3)

    def test_it_is_deterministic(self, head: FakeCase) -> None:
        assert stack_of(head).planes.tobytes() == stack_of(head).planes.tobytes()

    def test_a_real_patient(self, real_cases: list[Path]) -> None:
        case = read_case(real_cases[4])
        head = add_skull(case, SkullOptions(noise=0.01))
        one, two = stack_of(case), stack_of(head)
        mask = found(head).mask
        assert mask is not None
        assert dice(within(mask, head.images["T1"]), true_brain(case, 20)) > 0.92
        assert min(correlations(one, two)) > 0.95
        assert two.info.positions_mm == one.info.positions_mm

    def test_real_patients_are_seen_to_be_stripped(self, real_cases: list[Path]) -> None:
        for folder in real_cases[::4]:
            assert found(read_case(folder)).stripped


def test_the_search_finds_a_stripped_brain_too(real_cases: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Rough, "is_stripped", lambda self: False)
    case = read_case(real_cases[2])
    mask = found(case).mask
    assert mask is not None
    assert dice(within(mask, case.images["T1"]), true_brain(case, 0)) > 0.95


def test_within_follows_the_position_in_the_patient() -> None:
    array = np.zeros((10, 10, 10), np.uint8)
    array[2:5, 2:5, 2:5] = 1
    mask = Volume(array, (2, 2, 2), (100.0, 0, 0), np.eye(3))
    fine = Volume(np.zeros((20, 20, 20), np.uint8), (1, 1, 1), (100.0, 0, 0), np.eye(3))
    points = np.argwhere(within(mask, fine))
    assert points.min(0).tolist() == [4, 4, 4] and points.max(0).tolist() == [8, 8, 8]


def test_distance_and_closing() -> None:
    mask = np.zeros((15, 15, 15), bool)
    mask[5:10, 5:10, 3:12] = True
    mask[:, :, 7] = False
    assert distance(mask, 2.0)[7, 7, 7] == 2 and distance(mask, 2.0)[7, 12, 5] == 6
    closed = close(mask, 2.0, 2.0)
    assert closed[7, 7, 7] and closed[mask].all() and not closed[4].any() and not closed[:, :, 12].any()
    assert np.isinf(distance(mask & False, 1.0)).all()


def test_scale_is_a_value() -> None:
    assert Scale(1.0, 2.0) == Scale(1.0, 2.0, None)


# ---------------------------------------------------------------- as other programs leave images


def by(case: FakeCase, interpolator: int, pixel_type: type = np.float32) -> FakeCase:
    """The images at 0.9 mm; the mask as it is."""

    def change(volume: Volume) -> Volume:
        size = [round(n / 0.9) for n in volume.size]
        image = replace(volume, array=volume.array.astype(np.float32)).toImage()
        settings = sitk.Transform(), interpolator, volume.origin, (0.9,) * 3, volume.direction.ravel(), 0.0
        array = sitk.GetArrayFromImage(sitk.Resample(image, size, *settings))
        array = np.rint(array) if np.issubdtype(pixel_type, np.integer) else array
        return replace(volume, array=array.astype(pixel_type), spacing=(0.9,) * 3)

    return replace(case, images={name: change(volume) for name, volume in case.images.items()})


@pytest.mark.parametrize(
    ("pixel_type", "shape"),
    [(np.float32, (100, 150, 130)), (np.int16, (100, 150, 130)), (np.int16, (75, 100, 88))],
)
def test_ripples_around_a_stripped_brain_are_no_brain(pixel_type: type, shape: tuple[int, int, int]) -> None:
    case = make_case(shape)
    linear, spline = by(case, sitk.sitkLinear), by(case, sitk.sitkBSpline, pixel_type)
    rippled = spline.images["T1"].array
    assert np.count_nonzero(rippled) > 1.05 * np.count_nonzero(linear.images["T1"].array)
    wanted, given = found(case), scene_of(spline, InputForm()).brain
    assert wanted.stripped and given.stripped and given.warnings == ()
    for name in SEQUENCES:
        assert given.scales[name].mean == pytest.approx(wanted.scales[name].mean, rel=0.02)
        assert given.scales[name].deviation == pytest.approx(wanted.scales[name].deviation, rel=0.15)


def test_an_image_as_it_was_stripped_stays_the_same_object(case: FakeCase, head: FakeCase) -> None:
    nearest = by(case, sitk.sitkNearestNeighbor)
    for changed in (case, head, z_scored(case), nearest, by(z_scored(case), sitk.sitkLinear)):
        for volume in changed.images.values():
            assert without_halo(volume) is volume
            assert without_blended_edge(volume) is volume


@pytest.mark.parametrize("pixel_type", [np.float32, np.int16])
@pytest.mark.parametrize("interpolator", [sitk.sitkLinear, sitk.sitkBSpline])
def test_an_edge_that_was_blended_with_the_background_is_sharp_again(
    case: FakeCase, interpolator: int, pixel_type: type
) -> None:
    blended = by(case, interpolator, pixel_type)
    given = scene_of(blended, InputForm()).brain
    for name, scale in found(case).scales.items():
        assert given.stripped
        assert given.scales[name].mean == pytest.approx(scale.mean, rel=0.01)
        assert given.scales[name].deviation == pytest.approx(scale.deviation, rel=0.06)
    t1 = blended.images["T1"]
    litres = [
        np.count_nonzero(volume.array) * np.prod(volume.spacing) / 1e6
        for volume in (case.images["T1"], t1, without_blended_edge(without_halo(t1)))
    ]
    assert litres[1] > 1.02 * litres[0] and litres[2] == pytest.approx(litres[0], rel=0.01)


def test_an_edge_is_sharpened_around_any_background_and_along_any_spacing() -> None:
    """A bright block on air of 7, 2 mm voxels along the second axis, half a voxel blended at each end."""
    array = np.full((20, 12, 24), 7.0, np.float32)
    array[4:16, 3:9, 4:20] = 107
    array[4:16, 3:9, [3, 20]] = 47
    array[[3, 16], 3:9, 4:20] = 77
    block = Volume(array, (1.0, 2.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    sharp = without_blended_edge(block).array
    expected = array.copy()
    expected[array == 47] = 7
    assert np.array_equal(sharp, expected)
    assert np.array_equal(array[4:16, 3:9, 3], np.full((12, 6), 47))  # what was given stays as it is


def z_scored(case: FakeCase) -> FakeCase:
    """Over what is not 0, which stays 0."""

    def change(volume: Volume) -> Volume:
        inside = volume.array != 0
        values = volume.array[inside].astype(np.float32)
        array = np.where(inside, (volume.array - values.mean()) / values.std(), 0).astype(np.float32)
        return replace(volume, array=array)

    return replace(case, images={name: change(volume) for name, volume in case.images.items()})


def test_a_head_that_was_z_scored_with_its_skull_is_not_taken_for_stripped(case: FakeCase) -> None:
    head = add_skull(case, SkullOptions(masked_air=True))
    plain, scored = found(head), found(z_scored(head))
    assert not plain.stripped and not scored.stripped
    assert [notice.code for notice in scored.warnings] == ["brain-estimated"]
    assert dice(plain.mask.array > 0, scored.mask.array > 0) > 0.97
    assert found(z_scored(case)).stripped
