"""Cases: the layouts they are found in, the labels of their masks, and what is refused or warned of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.blank_ends import without_blank_ends
from GliomaGradingLib.case import Case
from GliomaGradingLib.case_checks import (
    axial_count,
    fluid_contrast,
    lesion_volumes,
    tumour_parts,
    whole_tumour,
)
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cohort.listing import find_cohort
from GliomaGradingLib.doubts import DOUBTFUL, PLACELESS
from GliomaGradingLib.errors import CaseError, UsageError
from GliomaGradingLib.grid import cut, padded
from GliomaGradingLib.preparation.slices import prepare
from GliomaGradingLib.reading.imaging import read_layers
from GliomaGradingLib.result import Notice
from GliomaGradingLib.skipped_slices import without_skipped_slices
from GliomaGradingLib.volume import Volume
from small_head import ORIGIN, SPACING, TUMOUR_CENTRE, arrays, volume, volumes, write_case

KEYS = ("T1", "T2", "FLAIR", "mask")
FOUR = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "mask"}


def made(**changes: np.ndarray | Volume) -> Case:
    """The small head as a case, with some of t1, t2, flair and mask replaced."""
    given = {"t1": arrays()["T1"], "t2": arrays()["T2"], "flair": arrays()["FLAIR"], "mask": arrays()["mask"]}
    return Case.fromArrays(**{**given, **changes}, spacing=SPACING, origin=ORIGIN, caseId="small")


def codes(case: Case) -> list[str]:
    return [notice.code for notice in case.warnings]


@pytest.mark.parametrize(
    ("layout", "folder", "names"),
    [
        ("brats", "BraTS20_1", ["{}_t1.nii.gz", "{}_t2.nii.gz", "{}_flair.nii.gz", "{}_seg.nii.gz"]),
        ("brats", "Brats18_X_1", ["{}_t1.nii", "{}_t2.nii", "{}_flair.nii", "{}_seg.nii"]),
        ("brats2023", "BraTS-GLI-0-0", ["{}-t1n.nii.gz", "{}-t2w.nii.gz", "{}-t2f.nii.gz", "{}-seg.nii.gz"]),
        ("tcga-glistrboost", "TCGA-02-0006_1996.08.23",
         ["{}_t1.nii", "{}_t2.nii", "{}_flair.nii", "{}_GlistrBoost_ManuallyCorrected.nii"]),
        ("egd", "EGD-0001", ["T1.nii.gz", "T2.nii.gz", "FLAIR.nii.gz", "MASK.nii.gz"]),
        ("utsw", "BT1", ["brain_t1.nii", "brain_t2.nii", "brain_fl.nii", "tumorseg_manual_correction.nii"]),
        ("plain", "p1", ["t1.nrrd", "t2.mha", "flair.nii", "seg.seg.nrrd"]),
        ("plain", "p2", ["patient-t1w.nrrd", "patient-t2w.nrrd", "patient-flair.nrrd", "patient-label.nrrd"]),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, layout: str, folder: str, names: list[str]) -> None:
    write_case(tmp_path / folder, dict(zip(KEYS, (n.format(folder) for n in names), strict=True)))
    for contrast in ("t1ce", "t1c", "T1GD", "t1Gd", "ce_t1"):  # with contrast: must never be taken for T1
        (tmp_path / folder / f"{folder}_{contrast}.nii.gz").write_bytes(b"not read")
    (tmp_path / folder / f"{folder}-t1c.nii.gz").write_bytes(b"not read")
    found = find_case_files(tmp_path / folder)
    assert found.layout == layout
    assert [found.paths[key].name for key in KEYS] == [n.format(folder) for n in names]
    case = Case.read(tmp_path / folder)
    assert case.identifier == folder
    assert np.array_equal(case.images["FLAIR"].array, arrays()["FLAIR"])
    assert case.mask.array.dtype == np.uint8 and np.array_equal(case.mask.array, arrays()["mask"])
    assert case.sources["T2"].endswith(names[1].format(folder))


def test_ucsf_takes_the_tumour_and_not_the_brain(tmp_path: Path) -> None:
    name = "UCSF-PDGM-0004"
    folder = tmp_path / f"{name}_nifti"
    names = dict(zip(KEYS, ("T1", "T2", "FLAIR", "tumor_segmentation"), strict=True))
    write_case(folder, {key: f"{name}_{text}.nii.gz" for key, text in names.items()})
    for other in (
        "brain_segmentation",
        "brain_parenchyma_segmentation",
        "T1c",
        "T1_bias",
        "T2_bias",
        "FLAIR_bias",
    ):
        (folder / f"{name}_{other}.nii.gz").write_bytes(b"not read")
    found = find_case_files(folder)
    assert found.layout == "ucsf-pdgm"
    assert {key: path.name for key, path in found.paths.items()} == {
        key: f"{name}_{text}.nii.gz" for key, text in names.items()
    }
    assert Case.read(folder).identifier == name


def test_upenn_finds_its_mask_in_another_folder(tmp_path: Path) -> None:
    name = "UPENN-GBM-00001_11"
    folder = tmp_path / "images_structural" / name
    write_case(folder, {key: f"{name}_{key}.nii.gz" for key in KEYS[:3]})
    automatic = tmp_path / "automated_segm"
    write_case(automatic, {"mask": f"{name}_automated_approx_segm.nii.gz"})
    assert find_case_files(folder).paths["mask"].parent.resolve() == automatic
    write_case(tmp_path / "images_segm", {"mask": f"{name}_segm.nii.gz"})
    found = find_case_files(folder)
    assert (found.layout, found.paths["mask"].name) == ("upenn-gbm", f"{name}_segm.nii.gz")


def test_a_missing_sequence_is_named(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "c", {"T2": "c_t2.nii", "FLAIR": "c_flair.nii", "mask": "c_seg.nii"})
    (folder / "c_t1ce.nii").write_bytes(b"x")
    with pytest.raises(CaseError, match=r"T1 not found \(c_t1ce.nii is with contrast.*looked for T1: "):
        Case.read(folder)


def test_two_files_for_one_sequence_are_refused(tmp_path: Path) -> None:
    folder = write_case(
        tmp_path / "c", {"T1": "c_t1.nii", "T2": "c_t2.nii", "FLAIR": "c_flair.nii", "mask": "c_seg.nii"}
    )
    write_case(folder, {"T1": "c_t1.nii.gz"})
    with pytest.raises(CaseError, match=r"c_t1.nii and c_t1.nii.gz could both be the T1"):
        Case.read(folder)


def test_what_is_named_is_taken_whatever_the_folder_has(tmp_path: Path) -> None:
    names = ("c1_t1ce.nii.gz", "c1_t2.nii.gz", "c1_flair.nii.gz", "c1_seg.nii.gz")
    folder = write_case(tmp_path / "c1", dict(zip(KEYS, names, strict=True)))
    with pytest.raises(CaseError, match="T1 not found"):
        Case.read(folder)
    case = Case.read(folder, given={"T1": folder / "c1_t1ce.nii.gz"})
    assert case.identifier == "c1" and case.images["T1"].source.endswith("c1_t1ce.nii.gz")
    assert case.images["T2"].source.endswith("c1_t2.nii.gz")
    other = tmp_path / "other_t2.nii.gz"
    (folder / "c1_t2.nii.gz").rename(other)
    with pytest.raises(CaseError, match="T2 not found"):
        Case.read(folder, given={"T1": folder / "c1_t1ce.nii.gz"})
    both = {"T1": folder / "c1_t1ce.nii.gz", "T2": other}
    assert Case.read(folder, given=both).images["T2"].source == str(other)


def test_from_files_is_called_after_its_folder(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "somebody", {key: f"{key}.mha" for key in KEYS})
    paths = {FOUR[key]: folder / f"{key}.mha" for key in KEYS}
    assert Case.fromFiles(**paths).identifier == "somebody"
    assert Case.fromFiles(**paths, caseId="x").identifier == "x"
    with pytest.raises(CaseError, match="no such file"):
        Case.fromFiles(**{**paths, "flair": folder / "none.mha"})


def test_from_arrays_keeps_values_and_geometry() -> None:
    case = made()
    assert codes(case) == []
    assert case.images["T1"].origin == ORIGIN and case.images["T1"].spacing == SPACING
    assert np.array_equal(case.images["T2"].array, arrays()["T2"])
    assert case.identifier == "small" and case.sources["mask"] == "the mask array"


@pytest.mark.parametrize("role", ["t2", "mask"])
def test_arrays_of_one_geometry_have_one_shape(role: str) -> None:
    usual = arrays()["T1"].shape
    name = {"t2": "T2", "mask": "mask"}[role]
    turned = arrays()[name].T
    with pytest.raises(CaseError) as refused:
        made(**{role: turned})
    assert str(refused.value) == (
        f"the {name} array has the shape {turned.shape}, and the T1 array {usual}: "
        "give all in the order (K, J, I) on one grid, or Volumes with their own"
    )
    assert made(**{role: arrays()[name][..., None]}).images["T2"].array.shape == usual  # a single channel


def test_from_arrays_accepts_volumes_with_their_own_geometry() -> None:
    flipped = Volume(arrays()["T2"][::-1], SPACING, (*ORIGIN[:2], ORIGIN[2] + 79 * 2), np.diag([1, 1, -1]))
    case = made(t2=flipped, t1=arrays()["T1"][None], flair=arrays()["FLAIR"].astype(np.float16))
    assert case.images["T2"].direction[2, 2] == -1 and case.images["T1"].array.ndim == 3
    assert case.images["FLAIR"].array.dtype == np.float32
    for bad in (arrays()["T1"][0], arrays()["T1"].astype(complex), arrays()["T1"].astype(object)):
        with pytest.raises(CaseError, match="not a real 3D array"):
            made(t1=bad)


# masks


def labelled() -> np.ndarray:
    """Labels 2 around 1 around 4, nothing else: like BraTS."""
    z = np.indices(arrays()["mask"].shape)[0]
    return arrays()["mask"] * np.select([z < 42, z < 46], [2, 1], 4).astype(np.uint8)


def test_whole_tumour_is_every_label_by_default_and_a_set_by_choice() -> None:
    mask = labelled()
    assert np.array_equal(made(mask=mask).mask.array, arrays()["mask"])
    some, notices = whole_tumour([volume(mask)], [1, 4])
    assert np.array_equal(some.array, np.isin(mask, (1, 4))) and notices == ()
    _, notices = whole_tumour([volume(mask)], [1, 2, 3])
    assert [n.code for n in notices] == ["mask-label-missing"] and "labels 3 are not" in notices[0].message
    with pytest.raises(CaseError, match=r"none of the mask labels 7, 9 .* choose among its labels: 1, 2, 4"):
        whole_tumour([volume(mask, "m")], [7, 9])


def test_one_label_is_a_set_of_one() -> None:
    given = {"t1": arrays()["T1"], "t2": arrays()["T2"], "flair": arrays()["FLAIR"], "mask": labelled()}
    for labels in (2, np.int64(2), (2,), np.array([2])):
        case = Case.fromArrays(**given, spacing=SPACING, origin=ORIGIN, maskLabels=labels)
        assert np.array_equal(case.mask.array, labelled() == 2)


def every_nth(array: np.ndarray, axis: int, every: int) -> np.ndarray:
    """Only every nth plane of an array, the rest 0."""
    kept = np.zeros_like(array)
    planes = (slice(None),) * axis + (slice(1, None, every),)
    kept[planes] = array[planes]
    return kept


@pytest.mark.parametrize(("axis", "every", "nth"), [(0, 3, "3rd"), (0, 2, "2nd"), (1, 3, "3rd"), (2, 4, "4th")])
def test_a_mask_drawn_on_every_nth_slice_is_filled(axis: int, every: int, nth: str) -> None:
    whole = arrays()["mask"]
    mask, (notice,) = without_skipped_slices(volume(every_nth(whole, axis, every)))
    assert notice.code == "mask-slices-filled" and f"every {nth} slice;" in notice.message
    assert notice.code not in DOUBTFUL
    assert 0.8 < np.count_nonzero(mask.array) / np.count_nonzero(whole) < 1.05
    assert len(lesion_volumes(mask)) == 1
    drawn = every_nth(whole, axis, every)
    assert np.array_equal(every_nth(mask.array, axis, every), drawn), "what is drawn stays"
    labels = [volume(drawn * 4)]
    assert np.array_equal(tumour_parts(labels, mask).array, mask.array * 4)


def test_of_a_mask_on_every_nth_slice_volume_and_lesions_are_the_tumours() -> None:
    case = made(mask=every_nth(arrays()["mask"], 0, 3))
    assert codes(case) == ["mask-slices-filled"]
    assert prepare(case).tumour_ml == pytest.approx(prepare(made()).tumour_ml, rel=0.15)


def boxes(corners: list[tuple[int, int, int]]) -> Volume:
    """A mask of squares of 8 x 8 voxels, each on one plane, from these corners on."""
    array = np.zeros((50, 50, 50), np.uint8)
    for k, j, i in corners:
        array[k, j : j + 8, i : i + 8] = 1
    return volume(array)


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        ([(20, 10, 10), (21, 10, 10), (22, 10, 10)], []),  # on every slice
        ([(20, 10, 10), (23, 10, 10)], ["mask-single-slices"]),  # two lesions
        ([(20, 10, 10), (20, 10, 22), (23, 10, 16)], ["mask-single-slices"]),  # two slices, three pieces
        ([(20, 10, 10), (23, 20, 20), (26, 30, 10)], ["mask-single-slices"]),  # side by side
        ([(20, 10, 10), (30, 10, 10), (40, 10, 10)], ["mask-single-slices"]),  # far apart
        ([(20, 10, 10), (21, 10, 10), (23, 10, 10), (24, 10, 10), (26, 10, 10), (27, 10, 10)], []),  # two thick
        ([(k, 10, 10) for k in (*range(10, 20), *range(23, 33))], []),  # one whole tumour above another
    ],
)
def test_separate_lesions_are_never_joined(drawn: list[tuple[int, int, int]], told: list[str]) -> None:
    mask = boxes(drawn)
    kept, notices = without_skipped_slices(mask)
    assert kept is mask and [notice.code for notice in notices] == told


def test_a_tumour_that_is_drawn_whole_stays_as_it_is() -> None:
    for whole in (volumes()["mask"], volume(BALL | ball((44, 32, 32), 9)), volume(np.zeros_like(BALL))):
        assert without_skipped_slices(whole) == (whole, ())


def test_a_mask_on_single_slices_that_cannot_be_filled_is_doubted() -> None:
    _mask, (notice,) = without_skipped_slices(boxes([(10, 10, 10), (30, 10, 10), (45, 10, 10)]))
    assert notice.message == (
        "the mask is drawn on single slices, 3 pieces with nothing above and below: draw the slices between"
    )
    assert notice.code in DOUBTFUL


def ball(centre: tuple[int, int, int], radius: int) -> np.ndarray:
    k, j, i = np.indices((60, 64, 64))
    z, y, x = centre
    return ((k - z) ** 2 + (j - y) ** 2 + (i - x) ** 2 <= radius**2).astype(np.uint8)


def on_planes(array: np.ndarray, planes: Iterable[int]) -> np.ndarray:
    kept = np.zeros_like(array)
    for plane in planes:
        kept[plane] = array[plane]
    return kept


def filled(array: np.ndarray) -> tuple[np.ndarray, list[Notice]]:
    """What becomes of a mask with voxels of 1 mm."""
    mask, notices = without_skipped_slices(Volume(array, (1.0,) * 3, (0.0,) * 3, np.eye(3)))
    return mask.array, list(notices)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


BALL, BESIDE = ball((20, 32, 32), 12), ball((22, 12, 12), 8)
ON_THIRDS = on_planes(BALL, range(8, 33, 3))
STRAY = ball((15, 32, 32), 0)
"""A slip of the brush on a slice that was skipped."""


@pytest.mark.parametrize(
    ("given", "whole", "which", "least"),
    [
        (on_planes(BALL, [8, 11, 14, 18, 20, 23, 26, 29, 32]), BALL, "some slices only, about every 3rd", 0.94),
        (ON_THIRDS | STRAY, BALL, "every 3rd", 0.94),
        (on_planes(BALL, [8, 9, *range(12, 30, 3), 30, 31]), BALL, "every 3rd", 0.94),
        (on_planes(BALL, [*range(8, 18, 2), *range(18, 22), *range(23, 33, 2)]), BALL, "every 2nd", 0.94),
        (on_planes(BALL, range(10, 33, 7)), BALL, "every 7th", 0.85),
        (on_planes(BALL, range(10, 33, 10)), BALL, "every 10th", 0.85),
        (ON_THIRDS | on_planes(BESIDE, range(15, 31, 3)), BALL | BESIDE, "every 3rd", 0.94),
        (BALL | on_planes(BESIDE, range(15, 31, 3)), BALL | BESIDE, "every 3rd", 0.98),
    ],
    ids=["slip", "stray", "pairs at the ends", "whole in the middle", "7th", "10th", "two phases", "one whole"],
)  # fmt: skip
def test_every_gap_of_a_mask_is_judged_by_itself(
    given: np.ndarray, whole: np.ndarray, which: str, least: float
) -> None:
    mask, notices = filled(given)
    assert [notice.code for notice in notices] == ["mask-slices-filled"]
    assert f"drawn on {which} slice;" in notices[0].message
    assert dice(mask, whole) > least > dice(given, whole)
    assert np.array_equal(mask[given > 0], given[given > 0])


@pytest.mark.parametrize(("every", "first"), [(n, first) for n in range(2, 7) for first in range(n)])
def test_a_tip_that_lies_beside_the_next_slice_does_not_stop_the_filling(every: int, first: int) -> None:
    slanting = BALL.copy()
    for k in range(30, 42):  # a thin process that moves by 2 mm a slice
        slanting[k, 30:34, 2 * k - 28 : 2 * k - 24] = 1
    mask, notices = filled(on_planes(slanting, range(8 + first, 42, every)))
    assert [notice.code for notice in notices] == ["mask-slices-filled"]
    assert dice(mask, slanting) > 0.86


def test_two_lesions_on_every_nth_slice_stay_two() -> None:
    array = np.zeros((50, 50, 50), np.uint8)
    array[20:33:3, 10:18, 10:18] = array[26:39:3, 30:38, 10:18] = 1
    mask, _notices = without_skipped_slices(volume(array))
    assert lesion_volumes(mask) == pytest.approx([13 * 64 * 0.008] * 2, rel=0.2)


def test_an_empty_set_of_labels_is_not_every_label(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "c1", {role: f"{name}.nii" for role, name in FOUR.items()})
    for read in (lambda: Case.read(folder, maskLabels=[]), lambda: find_cohort(folder).cases[0].read(())):
        with pytest.raises(CaseError, match=r"none of the mask labels none .* choose among its labels: 1"):
            read()


@pytest.mark.parametrize("labels", [[1.5], "1,2", [None], 2.0])
def test_what_is_no_label_is_refused(labels: object) -> None:
    with pytest.raises(UsageError) as refused:
        whole_tumour([volume(labelled())], labels)  # type: ignore[arg-type]
    assert (
        str(refused.value) == f"the mask labels {labels!r} are no labels: give whole numbers, such as (1, 2, 4)"
    )


def test_layers_of_a_segmentation_are_united() -> None:
    lower, upper = labelled() == 2, labelled() == 4
    layers = [volume(lower.astype(np.uint8)), volume(2 * (upper | lower).astype(np.uint8))]
    assert np.array_equal(whole_tumour(layers)[0].array, lower | upper)
    assert np.array_equal(whole_tumour(layers, [1])[0].array, lower)


@pytest.mark.parametrize(
    ("ending", "segment"), [(".nii.gz", False), (".nrrd", False), (".nrrd", True), (".seg.nrrd", False)]
)
def test_frames_of_a_mask_are_told_where_they_are_no_segments(
    tmp_path: Path, ending: str, segment: bool
) -> None:
    mask = volume(labelled()).toImage()
    several = sitk.JoinSeries if ending == ".nii.gz" else sitk.Compose
    image = several([mask, mask, mask])
    if segment:
        image.SetMetaData("Segment0_Name", "tumour")
    sitk.WriteImage(image, str(tmp_path / f"mask{ending}"))
    whole, notices = whole_tumour(read_layers(tmp_path / f"mask{ending}"))
    told = [notice.message for notice in notices if notice.code == "mask-frames"]
    assert told == ([] if segment or ending == ".seg.nrrd" else ["the mask's 3 frames were taken together"])
    assert np.array_equal(whole.array, labelled() != 0)


def test_masks_that_are_not_whole_numbers() -> None:
    near = arrays()["mask"] * np.float32(0.99999)
    assert codes(made(mask=near)) == []
    soft = arrays()["mask"] * np.float32(0.7)
    case = made(mask=soft)
    assert codes(case) == ["mask-thresholded"] and np.array_equal(case.mask.array, arrays()["mask"])
    with pytest.raises(CaseError, match="and none above 0"):  # and not: the mask is empty
        made(mask=arrays()["mask"] * np.float32(0.5))
    with pytest.raises(CaseError, match="values between its labels"):
        made(mask=labelled() * 0.7)
    with pytest.raises(CaseError, match="negative labels"):
        made(mask=arrays()["mask"].astype(np.int8) - 1)


def fraction(top: int) -> np.ndarray:
    """The tumour with a soft edge, its inside ``top``, in whole numbers."""
    tumour = arrays()["mask"].astype(float)
    soft = (tumour + np.roll(tumour, 1, 0) + np.roll(tumour, 1, 1) + np.roll(tumour, -1, 0)) / 4
    soft = np.round(
        top * (0.6 * soft + 0.4 * np.roll(soft, 1, 2)) + 3 * (soft > 0) * (np.arange(90) % 7) * (soft < 1)
    )
    return np.minimum(soft, top).astype(np.uint16)


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("top", [100, 255, 1000])
def test_a_fraction_in_whole_numbers_is_cut_at_one_half(top: int, kind: type) -> None:
    soft = fraction(top)
    assert len(np.unique(soft)) > 21
    case = made(mask=soft.astype(kind))
    assert np.array_equal(case.mask.array, (2 * soft.astype(int) > top).astype(np.uint8))
    (notice,) = [n for n in case.warnings if n.code == "mask-thresholded"]
    assert (
        notice.message
        == f"the mask has values between 0 and {top}; voxels above half of that were taken for tumour"
    )
    assert tumour_parts([volume(soft.astype(kind))], case.mask) is None


@pytest.mark.parametrize("top", [1, 100, 255])
def test_a_fraction_in_floats_is_cut_at_one_half(top: int) -> None:
    soft = (fraction(255) * np.float64(top) / 255 * np.float64(0.9999)).astype(np.float32)
    case = made(mask=soft)
    assert np.array_equal(case.mask.array, (soft > top / 2).astype(np.uint8))
    (notice,) = [n.message for n in case.warnings if n.code == "mask-thresholded"]
    assert notice.startswith(f"the mask has values between 0 and {top}; voxels above half")
    assert tumour_parts([volume(soft)], case.mask) is None


@pytest.mark.parametrize("top", [4, 99, 254, 300])
def test_floats_between_labels_are_refused(top: int) -> None:
    """Labels that were resampled with values between them."""
    with pytest.raises(CaseError, match="values between its labels"):
        made(mask=(fraction(255) / 255 * top).astype(np.float32))
    scattered = np.where(
        arrays()["mask"], np.linspace(1, 99.5, arrays()["mask"].size).reshape(arrays()["mask"].shape), 0
    )
    scattered.flat[0] = 100
    with pytest.raises(CaseError, match="values between its labels"):
        made(mask=scattered)


@pytest.mark.filterwarnings("error")
def test_a_label_too_large_for_its_type_stays_a_label() -> None:
    case = made(mask=arrays()["mask"] * np.float64(3e9))
    assert np.array_equal(case.mask.array, arrays()["mask"]) and codes(case) == []


def test_labels_are_no_fractions() -> None:
    tumour = arrays()["mask"].astype(np.int16)
    numbered = tumour * (1 + np.arange(90) % 30).astype(np.int16)  # thirty parts
    for labels in (100 * tumour, 255 * tumour, tumour * (1 + np.arange(90) % 4).astype(np.int16), numbered):
        for kind in (np.int16, np.float32):
            case = made(mask=labels.astype(kind))
            assert np.array_equal(case.mask.array, tumour) and "mask-thresholded" not in codes(case)
            parts = tumour_parts([volume(labels.astype(kind))], case.mask)
            assert np.array_equal(parts.array, labels)
    chosen = Case.fromArrays(
        **{name.lower(): arrays()[name] for name in ("T1", "T2", "FLAIR")},
        mask=np.where(tumour, 200 + np.arange(90) % 50, 0),
        spacing=SPACING,
        origin=ORIGIN,
        maskLabels=range(1, 250),
    )
    assert np.array_equal(chosen.mask.array, tumour)


@pytest.mark.parametrize("planes", range(11, 16))
def test_a_slab_as_thick_as_it_may_be_has_its_tumour_inside(planes: int) -> None:
    """Whatever is left over where its rows are taken together for a quick look."""
    for first in (40, 45):
        cut = {name: array[first : first + planes] for name, array in arrays().items()}
        assert "mask-partly-outside" not in codes(made(**{FOUR[name]: array for name, array in cut.items()}))


def test_masks_that_cannot_be_a_tumour() -> None:
    with pytest.raises(CaseError, match="the tumour mask is empty, in the mask array"):
        made(mask=arrays()["mask"] * 0)
    with pytest.raises(CaseError, match="more than any tumour"):
        made(mask=arrays()["T1"] != 0)
    outside = np.zeros_like(arrays()["mask"])
    outside[2:8, 2:8, 2:8] = 1
    with pytest.raises(CaseError, match="100 % of the tumour mask is outside the head"):
        made(mask=outside)


def test_a_mask_of_a_few_voxels_is_doubted_and_no_reason_to_take_sequences_for_swapped() -> None:
    z, y, x = np.argwhere(arrays()["mask"]).mean(axis=0).round().astype(int)
    mask, swapped = np.zeros_like(arrays()["mask"]), {"t2": arrays()["FLAIR"], "flair": arrays()["T2"]}
    mask[z, y, x] = 1
    case = made(mask=mask, **swapped)
    assert codes(case) == ["mask-tiny"] and "the mask holds 0.008 ml" in case.warnings[0].message
    assert "mask-tiny" in DOUBTFUL
    mask[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = 1  # 1 ml
    assert codes(made(mask=mask)) == []


def test_several_lesions() -> None:
    mask = arrays()["mask"].copy()
    mask[20:26, 45:51, 30:36] = 1  # 1.7 ml of 20
    mask[60, 50, 45] = 1  # a speck
    assert lesion_volumes(volume(mask)) == pytest.approx([arrays()["mask"].sum() * 0.008, 1.728, 0.008])
    assert codes(made(mask=mask)) == []
    mask[20:30, 45:55, 30:40] = 1  # 8 ml
    case = made(mask=mask)
    assert codes(case) == ["several-lesions"] and "2 large separate lesions" in case.warnings[0].message


# sequences


def test_images_without_content_are_refused() -> None:
    constant = np.full_like(arrays()["T1"], 7)
    with pytest.raises(CaseError, match=r"FLAIR is constant \(every voxel is 7\)"):
        made(flair=constant)
    nearly = constant.copy()
    nearly[40, 50, 40:60] = np.arange(20)
    with pytest.raises(CaseError, match="T1 is nearly constant"):
        made(t1=nearly)
    with pytest.raises(CaseError, match="T2 is a label map"):
        made(t2=labelled())
    with pytest.raises(CaseError, match="T1 and FLAIR are the same image"):
        made(flair=arrays()["T1"])


def test_values_too_small_to_reckon_with_are_refused() -> None:
    with pytest.raises(CaseError, match=r"it has no value beyond .*e-3\d.*export it again without a scale"):
        made(t2=(arrays()["T2"] * np.float32(1e-42)).astype(np.float32))


def test_values_of_any_scale_pass() -> None:
    assert (
        codes(made(t1=arrays()["T1"] * 1e-4 - 1e-2, t2=arrays()["T2"] * 1e3, flair=arrays()["FLAIR"] + 5e4))
        == []
    )


def test_a_volume_must_be_20_mm_thick_and_reach_the_tumour() -> None:
    with pytest.raises(CaseError, match="T2 reaches over 17 axial slices of 1 mm, and 20 are needed"):
        made(t2=replace(volumes()["T2"], array=arrays()["T2"][40:49]))
    away = replace(volumes()["T1"], origin=(500.0, 0.0, 0.0))
    with pytest.raises(CaseError, match="T1 does not overlap the tumour mask"):
        made(t1=away)
    above = Volume(arrays()["T1"][42:], SPACING, (*ORIGIN[:2], ORIGIN[2] + 42 * 2), np.eye(3))
    case = made(t1=above)
    assert codes(case) == ["tumour-cut-off"] and "T1 covers only" in case.warnings[0].message


@pytest.fixture(scope="module")
def head(sample_case: Path) -> Case:
    """The sample, with its skull; the tumour lies on planes 52 to 134 of 160."""
    return Case.read(sample_case)


def of_head(head: Case, **changes: Volume) -> Case:
    images = {**head.images, **changes}
    return Case.fromArrays(t1=images["T1"], t2=images["T2"], flair=images["FLAIR"], mask=head.mask)


@pytest.mark.parametrize(
    ("name", "kept", "level", "told"),
    [
        ("FLAIR", slice(100), 0, {"tumour-cut-off", "slices-not-reached"}),
        ("T1", slice(88, None), 0, {"tumour-cut-off", "slices-not-reached"}),  # less than half of the brain
        ("T2", slice(40, None), -7, set()),
    ],
)
def test_a_sequence_that_ends_in_one_value_is_like_one_that_ends(
    head: Case, name: str, kept: slice, level: int, told: set[str]
) -> None:
    """As resampling to the grid of another leaves it; its skull is on it, so that nobody stripped it."""
    short = cut(
        head.images[name], (0, 0, kept.start or 0), (*head.mask.size[:2], kept.stop or head.mask.size[2])
    )
    array = np.full_like(head.images[name].array, level)
    array[kept] = short.array
    blank = of_head(head, **{name: replace(head.images[name], array=array)})
    assert blank.images[name].array.shape == short.array.shape
    assert np.allclose(blank.images[name].origin, short.origin)
    stack, expected = prepare(blank), prepare(of_head(head, **{name: short}))
    assert {notice.code for notice in stack.warnings} == {"brain-estimated", *told}
    assert stack.warnings == expected.warnings
    assert np.array_equal(stack.planes, expected.planes)


@pytest.mark.parametrize("axis", range(3))
def test_blank_ends_are_found_along_every_axis(head: Case, axis: int) -> None:
    """The planes of one value lie along the volume's own axes, however it is stored."""
    size = np.array(head.mask.size)
    first, stop = np.zeros(3, int), size.copy()
    first[axis], stop[axis] = size[axis] // 3, size[axis] - size[axis] // 3
    short = cut(head.images["FLAIR"], first, stop)
    array = np.zeros_like(head.images["FLAIR"].array)
    array[tuple(slice(a, b) for a, b in zip(first, stop, strict=True))[::-1]] = short.array
    found = without_blank_ends({**head.images, "FLAIR": replace(head.images["FLAIR"], array=array)})
    assert found["FLAIR"].size == short.size and np.array_equal(found["FLAIR"].array, short.array)
    assert found["T1"] is head.images["T1"]


def test_what_is_stripped_or_has_air_around_it_has_no_blank_ends(head: Case) -> None:
    stripped = {name: volume for name, volume in volumes().items() if name != "mask"}
    ends_early = replace(stripped["T1"], array=np.where(np.arange(80)[:, None, None] < 44, arrays()["T1"], 0))
    for images in (stripped, {**stripped, "T1": ends_early}):
        assert all(found is images[name] for name, found in without_blank_ends(images).items())
    k, j, i = np.indices(head.mask.array.shape, dtype=np.float32)
    brain = ((k - 85) / 60) ** 2 + ((j - 112) / 80) ** 2 + ((i - 96) / 65) ** 2 < 1
    alone = replace(head.images["T2"], array=np.where(brain, head.images["T2"].array, 0))
    air = padded(head.images["T1"], (9, 9, 0), (9, 9, 30))
    images = {"T1": air, "T2": alone, "FLAIR": head.images["FLAIR"]}
    assert all(found is images[name] for name, found in without_blank_ends(images).items())


def test_of_a_sequence_that_is_mostly_blank_it_is_said_how_far_it_reaches(head: Case) -> None:
    array = head.images["T1"].array.copy()
    array[:110] = 0
    with pytest.raises(CaseError, match=r"T1 covers only \d+ % of the tumour mask"):
        of_head(head, T1=replace(head.images["T1"], array=array))


def test_the_count_of_slices_does_not_depend_on_storage() -> None:
    sagittal = Volume(
        np.zeros((9, 50, 60), np.uint8), (1, 2, 3), (0, 0, 0), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    )
    assert axial_count(sagittal) == 99  # 50 voxels of 2 mm: 98 mm from the first's centre to the last's
    tilted = np.array([[1, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]])
    assert axial_count(Volume(np.zeros((11, 99, 99), np.uint8), (1, 1, 1), (0, 0, 0), tilted)) == 13


def test_what_has_enough_slices_by_the_check_can_be_graded() -> None:
    """Four slices of 5 mm are 20 mm thick, and no more than 16 slices of 1 mm lie between their centres."""
    for count, enough in ((4, False), (5, True)):
        bottom = ORIGIN[2] + 2 * 45 - 5 * (count // 2)
        thick = {
            name: Volume(array[45:46].repeat(count, 0), (2, 2, 5), (*ORIGIN[:2], bottom), np.eye(3))
            for name, array in arrays().items()
        }
        given = {name.lower(): v for name, v in thick.items()}
        if enough:
            assert prepare(Case.fromArrays(**given)).info.indices == tuple(range(20))
        else:
            with pytest.raises(CaseError, match="T1 reaches over 16 axial slices of 1 mm, and 20 are needed"):
                Case.fromArrays(**given)


def test_a_file_without_a_place_is_named_where_it_does_not_lie_on_the_others() -> None:
    """A mask without orientation lies at the corner of the images, whatever patient it is of."""
    placeless = (Notice("orientation-unknown", "mask.nii has no orientation"),)
    mask = replace(volumes()["mask"], origin=(400.0, 0.0, 0.0), source="mask.nii", warnings=placeless)
    with pytest.raises(CaseError) as refused:
        made(mask=mask)
    assert str(refused.value) == (
        "T1 does not overlap the tumour mask, by a header that has no orientation, in mask.nii: "
        "write the geometry of the image it belongs to into it"
    )
    with pytest.raises(CaseError, match="T1 does not overlap the tumour mask, in the T1 array: check that"):
        made(mask=replace(mask, warnings=()))


@pytest.mark.parametrize(("first", "second"), [("T1", "T2"), ("T2", "FLAIR"), ("T1", "FLAIR")])
def test_swapped_sequences_are_noticed(first: str, second: str) -> None:
    case = made(**{FOUR[first]: arrays()[second], FOUR[second]: arrays()[first]})
    assert codes(case) == [f"{first}-{second}-swapped".lower()]


def test_swapped_sequences_are_noticed_on_patients(real_cases: list[Path]) -> None:
    for folder in real_cases[::4]:
        case = Case.read(folder)
        assert codes(case) == []
        for first, second in (("T1", "T2"), ("T2", "FLAIR"), ("T1", "FLAIR")):
            images = {**case.images, first: case.images[second], second: case.images[first]}
            given = {FOUR[key]: images[key] for key in KEYS[:3]}
            swapped = Case.fromArrays(**given, mask=case.mask)
            assert codes(swapped) == [f"{first}-{second}-swapped".lower()]


def test_fluid_contrast_is_antisymmetric() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5000))
    assert fluid_contrast(a, b) == pytest.approx(-fluid_contrast(b, a))
    fluid = np.where(np.arange(100) < 5, 10.0, 0.0)
    assert fluid_contrast(-fluid, fluid) == pytest.approx(10)


def test_a_dicom_folder_per_sequence(tmp_path: Path) -> None:
    """Sub-folders T1, T2, FLAIR with a series each, and the mask as a file."""
    pytest.importorskip("pydicom")
    folder = tmp_path / "case"
    for key in KEYS[:3]:
        write_dicom(folder / key, arrays()[key])
    write_case(folder, {"mask": "mask.nii.gz"})
    case = Case.read(folder)
    assert codes(case) == []
    assert np.array_equal(case.images["T2"].array, arrays()["T2"])
    assert np.allclose(case.images["T1"].origin, ORIGIN)
    assert case.sources["FLAIR"] == str(folder / "FLAIR")


def write_dicom(folder: Path, array: np.ndarray) -> None:
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, plane in enumerate(array):
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing(SPACING)
        image.SetOrigin((*ORIGIN[:2], ORIGIN[2] + 2 * k))
        tags = {
            "0008|0060": "MR",
            "0020|000d": "1.2.3",
            "0020|000e": f"1.2.3.{sum(map(ord, folder.name))}",
            "0020|0013": str(k),
            "0020|0032": "\\".join(map(str, image.GetOrigin())),
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k:03}.dcm"))
        writer.Execute(image)


def test_the_head_is_where_it_should_be() -> None:
    index = np.argwhere(arrays()["mask"])[:, ::-1].mean(axis=0)
    assert np.allclose(index * 2 + ORIGIN, TUMOUR_CENTRE, atol=0.5)


def test_identifier_is_the_name_of_the_folder_or_link(tmp_path, monkeypatch):
    folder = write_case(tmp_path / "patient 7", {role: f"{name}.nii.gz" for role, name in FOUR.items()})
    (tmp_path / "alias").symlink_to(folder)
    assert Case.read(tmp_path / "alias").identifier == "alias"
    monkeypatch.chdir(folder)
    assert Case.read(Path()).identifier == "patient 7"
    assert Case.read(folder, caseId="mine").identifier == "mine"


def test_nothing_is_decided_of_what_has_no_orientation() -> None:
    assert PLACELESS in DOUBTFUL
