"""Registration: aligned sequences are left alone bit for bit, moved ones are found and brought back."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib import coarse
from GliomaGradingLib.case import Case
from GliomaGradingLib.case_checks import swap_notices
from GliomaGradingLib.doubts import DOUBTFUL
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.preparation.mirrored import flipped, is_mirrored
from GliomaGradingLib.preparation.motion import rigid_matrix, rotation_degrees, suspected_motion
from GliomaGradingLib.preparation.registration import grid_relation, register, tumour_centre
from GliomaGradingLib.result import Notice
from GliomaGradingLib.volume import Volume
from small_head import TUMOUR_CENTRE, resampled_elsewhere, turned, volumes

MOTION = turned(5, (3.0, -2.0, 3.5))


def small_case(**images: Volume) -> Case:
    made = volumes()
    mask = made.pop("mask")
    return Case("small", {**made, **images}, mask)


@cache
def registered(name: str) -> tuple[Case, dict]:
    return register(small_case(**{name: resampled_elsewhere(volumes()[name], MOTION)}))


def remaining(case: Case, name: str, truth: Volume, motion: np.ndarray) -> tuple[float, float]:
    """What is left of a motion after registration: mm at the tumour's centre, and degrees."""
    left = case.images[name].affine @ np.linalg.inv(truth.affine) @ motion
    centre = tumour_centre(case.mask)
    return float(np.linalg.norm(left[:3, :3] @ centre + left[:3, 3] - centre)), rotation_degrees(left)


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_aligned_sequences_are_left_alone(mode: str) -> None:
    case = small_case()
    result, report = register(case, mode)
    assert result is case
    assert report["reference"] == "FLAIR" and report["grid"] == "same" and report["mode"] == mode
    assert not any(entry["applied"] or entry["misaligned"] for entry in report["sequences"].values())


@pytest.mark.parametrize(("name", "reference"), [("T1", "FLAIR"), ("T2", "FLAIR"), ("FLAIR", "T2")])
def test_a_sequence_moved_without_its_header_is_brought_back(name: str, reference: str) -> None:
    result, report = registered(name)
    assert report["reference"] == reference
    assert [key for key, entry in report["sequences"].items() if entry["applied"]] == [name]
    millimetres, degrees = remaining(result, name, volumes()[name], MOTION)
    assert millimetres < 0.5 and degrees < 0.5
    entry = report["sequences"][name]
    centre = np.append(TUMOUR_CENTRE, 1)
    assert entry["translation_mm"] == pytest.approx(np.linalg.norm(MOTION @ centre - centre), abs=0.5)
    assert entry["rotation_deg"] == pytest.approx(5, abs=0.5)
    assert [n.code for n in result.warnings] == ["registered"]


def test_nothing_is_resampled() -> None:
    given = small_case(T1=resampled_elsewhere(volumes()["T1"], MOTION))
    result, _ = register(given)
    moved = result.images["T1"]
    assert moved.array is given.images["T1"].array and moved.spacing == given.images["T1"].spacing
    assert np.allclose(moved.direction.T @ moved.direction, np.eye(3), atol=1e-9)
    assert result.images["T2"] is given.images["T2"] and result.mask is given.mask


def test_a_motion_that_the_header_tells_needs_no_registration() -> None:
    told = resampled_elsewhere(volumes()["T2"], MOTION).moved(np.linalg.inv(MOTION))
    result, report = register(small_case(T2=told))
    assert result.images["T2"] is told and not report["sequences"]["T2"]["misaligned"]


def test_never_warns_and_moves_nothing() -> None:
    given = small_case(T1=resampled_elsewhere(volumes()["T1"], MOTION))
    result, report = register(given, "never")
    assert result.images["T1"] is given.images["T1"]
    assert [n.code for n in result.warnings] == ["misaligned"] and report["sequences"]["T1"]["misaligned"]


def test_always_registers_every_sequence_and_harms_none() -> None:
    result, report = register(small_case(), "always")
    assert report["mode"] == "always"
    for name in ("T1", "T2"):
        millimetres, degrees = remaining(result, name, volumes()[name], np.eye(4))
        assert millimetres < 0.4 and degrees < 0.4


def test_different_skull_stripping_is_no_motion() -> None:
    whole = volumes()["T1"]
    stripped = np.where(coarse.eroded(whole.array != 0, 2), whole.array, 0)
    given = small_case(T1=replace(whole, array=stripped))
    result, report = register(given)
    assert result is given and not report["sequences"]["T1"]["misaligned"]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="no registration mode 'perhaps'"):
        register(small_case(), "perhaps")


def test_suspected_motion_grows_with_motion() -> None:
    fixed = coarse.shrunk(volumes()["FLAIR"], 4)
    amounts = [
        suspected_motion(fixed, coarse.shrunk(resampled_elsewhere(volumes()["T1"], turned(a, (a, 0, 0))), 4))
        for a in (0, 1, 2, 4)
    ]
    assert amounts == sorted(amounts) and amounts[0] < 0.5 and amounts[2] > 1


# which sequence the mask was drawn on


@pytest.mark.parametrize("factor", [1e-9, 1e-13, 1e-25])
def test_how_large_the_values_are_does_not_matter(factor: float) -> None:
    def shrunk(factor: float) -> tuple[Volume, Volume]:
        given = volumes()
        images = given["T1"], given["T2"].moved(turned(4, (3, 2, 0)))
        first, second = (coarse.shrunk(replace(v, array=v.array * factor), 4.0) for v in images)
        return first, second

    given = {name: replace(v, array=v.array * factor) for name, v in volumes().items() if name != "mask"}
    swapped = {**given, "T1": given["T2"], "T2": given["T1"]}
    assert [n.code for n in swap_notices(swapped, volumes()["mask"])] == ["t1-t2-swapped"]
    assert suspected_motion(*shrunk(factor)) == pytest.approx(suspected_motion(*shrunk(1.0)), rel=1e-3)


def test_grid_relations() -> None:
    given, mask = volumes()["T1"], volumes()["mask"]
    assert grid_relation(given, mask) == "same"
    cut = Volume(mask.array[10:50, 20:60, 5:40], mask.spacing, (-80.0, -70.0, -50.0), np.eye(3))
    assert grid_relation(given, cut) == "lattice"
    flipped = Volume(mask.array[:, :, ::-1], mask.spacing, (88.0, -110.0, -70.0), np.diag([-1, 1, 1]))
    assert grid_relation(given, flipped) == "lattice"
    turned_axes = Volume(
        np.ascontiguousarray(mask.array.transpose(2, 1, 0)), mask.spacing, mask.origin,
        np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    )  # fmt: skip
    assert grid_relation(given, turned_axes) == "lattice"
    assert grid_relation(given, replace(mask, origin=(-90.0, -109.0, -70.0))) == "other"
    assert grid_relation(given, replace(mask, spacing=(2.0, 2.0, 2.1))) == "other"


@pytest.mark.parametrize("reference", ["FLAIR", "T2"])
def test_of_an_odd_sequence_the_mask_says_whether_it_was_drawn_there(reference: str) -> None:
    """T1 and T2 lie together and FLAIR elsewhere, on one grid: the mask lies on one tumour of the two."""
    motion = turned(3, (0.0, 9.0, 4.0))
    moved = resampled_elsewhere(volumes()["FLAIR"], motion)
    drawn = volumes()["mask"]
    mask = resampled_elsewhere(drawn, motion) if reference == "FLAIR" else drawn
    mask = replace(mask, array=(mask.array > 0).astype(np.uint8))
    given = Case("odd", {**small_case().images, "FLAIR": moved}, mask)
    result, report = register(given)
    assert report["reference"] == reference
    others = {"FLAIR": ["T1", "T2"], "T2": ["FLAIR"]}[reference]
    assert [name for name, entry in report["sequences"].items() if entry["applied"]] == others
    assert result.images[reference] is given.images[reference]
    inside = mask.array > 0
    assert moved.array[inside].mean() > 1000 if reference == "FLAIR" else True


def test_the_mask_chooses_the_reference() -> None:
    given = {name: replace(v, origin=(v.origin[0] + shift, *v.origin[1:])) for (name, v), shift in
             zip(volumes().items(), (0.0, 0.3, 0.7, 0.3), strict=True)}  # fmt: skip
    mask = given.pop("mask")
    _, report = register(Case("c", given, mask))
    assert (report["reference"], report["grid"]) == ("T2", "same")


def test_a_mask_on_no_grid_is_said() -> None:
    mask = volumes()["mask"]
    result, report = register(replace(small_case(), mask=replace(mask, origin=(-89.5, -110.0, -70.0))))
    assert report["grid"] == "other"
    assert [n.code for n in result.warnings] == ["mask-on-other-grid"]


def test_rigid_matrix_turns_about_the_centre() -> None:
    centre = np.array([10.0, 20.0, 30.0])
    matrix = rigid_matrix(np.array([0, 0, np.pi / 2]), np.array([1.0, 2.0, 3.0]), centre)
    assert np.allclose((matrix @ [*centre, 1])[:3], [11, 22, 33])
    assert np.allclose(matrix[:3, :3] @ [1, 0, 0], [0, 1, 0])
    assert rotation_degrees(matrix) == pytest.approx(90)


def test_two_processes_give_the_same_numbers() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_registration import registered\n"
        "c, r = registered('T1'); print(repr(c.images['T1'].affine.tolist()))"
    )
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parents[1] / "GliomaGrading")]
    out = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == repr(registered("T1")[0].images["T1"].affine.tolist())


def test_patients(real_cases: list[Path]) -> None:
    """No false alarm, and 5 mm with 5 degrees found, on three patients."""
    for folder, name in zip(real_cases[::4], ("T1", "T2", "FLAIR"), strict=False):
        case = Case.read(folder)
        assert register(case)[0] is case
        centre = case.images[name].corners.mean(axis=0)
        motion = rigid_matrix(np.deg2rad([4, -2, 2]), np.array([3.0, -3.0, 2.6]), centre)
        moved = resampled_elsewhere(case.images[name], motion)
        result, report = register(replace(case, images={**case.images, name: moved}))
        assert [key for key, entry in report["sequences"].items() if entry["applied"]] == [name]
        millimetres, degrees = remaining(result, name, case.images[name], motion)
        assert millimetres < 1 and degrees < 1


def test_small_copies_lie_where_the_volume_lies() -> None:
    """A ramp along patient L, P and S is the same ramp when shrunk, and when sampled between voxels."""
    slope = np.array([0.5, -2.0, 3.0])
    oblique = turned(20, (0, 0, 0))[:3, :3]
    given = Volume(np.zeros((13, 16, 18)), (1.0, 1.5, 3.0), (7.0, -8.0, 9.0), oblique)
    ramp = replace(given, array=coarse.positions(given) @ slope)
    small = coarse.shrunk(ramp, 3)
    assert small.array.shape == (13, 8, 6) and small.spacing == (3.0, 3.0, 3.0)
    assert np.allclose(small.array, coarse.positions(small) @ slope, atol=1e-3)
    points = coarse.positions(small)[2:5, 2:5, 2:4].reshape(-1, 3) + 0.7
    values, inside = coarse.sample(small, points)
    assert inside.all() and np.allclose(values, points @ slope, atol=1e-3)


def test_a_small_copy_is_made_once_and_goes_with_its_volume() -> None:
    given = Volume(np.arange(64.0).reshape(4, 4, 4), (1.0,) * 3, (0.0,) * 3, np.eye(3))
    twin = replace(given, array=given.array + 1)
    small = coarse.shrunk(given, 2)
    assert coarse.shrunk(given, 2) is small and coarse.shrunk(given, 4) is not small
    assert np.array_equal(coarse.shrunk(twin, 2).array, small.array + 1)
    with pytest.raises(ValueError, match="read-only"):
        small.array[0, 0, 0] = 0
    gone = weakref.ref(small)
    del given, small
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("shift", "codes"), [(9.0, ["registered"]), (0.0, [])])
def test_always_tells_of_a_motion_that_matters(shift: float, codes: list[str]) -> None:
    away = resampled_elsewhere(volumes()["T1"], turned(0, (0.0, shift, 0.0)))
    result, report = register(small_case(T1=away), "always")
    assert [notice.code for notice in result.warnings] == codes
    assert report["sequences"]["T1"]["translation_mm"] == pytest.approx(shift, abs=0.6)


def test_what_was_cut_off_by_its_header_alone_is_judged_where_it_lies_now() -> None:
    """T2's header places it 78 mm higher: it seems to end in the tumour, and registered it does not."""
    high = replace(volumes()["T2"], origin=(*volumes()["T2"].origin[:2], volumes()["T2"].origin[2] + 78))
    given = volumes()
    case = Case.fromArrays(**{**{name.lower(): v for name, v in given.items()}, "t2": high})
    assert "tumour-cut-off" in [notice.code for notice in case.warnings]
    result, report = register(case)
    assert report["sequences"]["T2"]["applied"]
    assert [notice.code for notice in result.warnings] == ["registered"]


# mirror images


@pytest.mark.parametrize(("name", "other"), [("T1", "FLAIR"), ("T2", "FLAIR"), ("FLAIR", "T2")])
def test_a_sequence_flipped_left_to_right_is_told(name: str, other: str) -> None:
    whole = volumes()[name]
    result, _ = register(small_case(**{name: replace(whole, array=whole.array[:, :, ::-1])}))
    told = [notice for notice in result.warnings if notice.code == "mirrored"]
    assert len(told) >= 1 and f"{name} fits {other} better when it is flipped left to right" in told[0].message
    assert "mirrored" in DOUBTFUL


def test_a_flip_with_its_header_is_none() -> None:
    """The same head in another storage order, and one that lies obliquely."""
    whole = volumes()["T1"]
    stored = replace(
        whole,
        array=whole.array[:, :, ::-1],
        origin=tuple(whole.affine[:3] @ (whole.size[0] - 1, 0, 0, 1)),
        direction=np.diag([-1.0, 1, 1]),
    )
    assert register(small_case(T1=stored))[0].warnings == ()
    result, _ = register(small_case(T1=resampled_elsewhere(whole, MOTION)))
    assert "mirrored" not in [notice.code for notice in result.warnings]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirror_image_is_known_along_every_axis(axis: int) -> None:
    fixed, moving = volumes()["FLAIR"], volumes()["T1"]
    assert not is_mirrored(fixed, moving, axis)
    assert is_mirrored(fixed, flipped(moving, axis, 0.0), axis)


def test_sequences_that_only_lay_elsewhere_are_not_taken_for_swapped() -> None:
    given = small_case(FLAIR=resampled_elsewhere(volumes()["FLAIR"], MOTION))
    doubted = replace(given, warnings=(Notice("t2-flair-swapped", "seems"), Notice("other", "stays")))
    codes = [notice.code for notice in register(doubted)[0].warnings]
    assert codes == ["other", "registered"]
    unmoved = replace(small_case(), warnings=doubted.warnings)
    assert register(unmoved)[0] is unmoved
