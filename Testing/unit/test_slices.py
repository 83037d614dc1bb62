"""What a case becomes before it is graded: the right slices, the right region, whatever the storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.case import Case
from GliomaGradingLib.coarse import largest_component
from GliomaGradingLib.doubts import DOUBTFUL
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.grid import FieldOfView, Lattice, canonical, content_box, cut_to_content, linear_weights
from GliomaGradingLib.preparation.slices import (
    InputForm,
    SliceStack,
    choose_slices,
    crop,
    largest_plane,
    prepare,
    reference_of,
    renormalise,
    scene_of,
    sharply_sampled,
    stack_from_crop,
)
from GliomaGradingLib.result import Notice
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.words import SEQUENCES
from small_head import volumes


@dataclass(frozen=True, eq=False)
class FakeCase:
    images: Mapping[str, Volume]
    mask: Volume
    warnings: tuple[Notice, ...] = ()
    parts: Volume | None = None
    identifier: str = "fake"
    sources: Mapping[str, str] = field(default_factory=dict)


def read_case(folder: Path) -> FakeCase:
    names = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
    volumes = {
        key: Volume.fromImage(sitk.ReadImage(str(folder / f"{folder.name}_{name}.nii.gz")), name)
        for key, name in names.items()
    }
    mask = volumes.pop("mask")
    return FakeCase(volumes, replace(mask, array=(mask.array > 0).astype(np.uint8)), identifier=folder.name)


def make_case(shape: tuple[int, int, int] = (60, 96, 88), seed: int = 3) -> FakeCase:
    """A stripped "brain" of 1 mm voxels with smooth texture and a tumour off its middle."""
    random = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    radii = np.minimum(np.array(shape) * 0.46, (60, 85, 70))
    middle = (np.array(shape) - 1) / 2
    brain = sum(((p - m) / r) ** 2 for p, m, r in zip((z, y, x), middle, radii, strict=True)) < 1
    bump = (
        ((z - round(0.55 * shape[0])) / 8) ** 2
        + ((y - middle[1] + 8) / 14) ** 2
        + ((x - middle[2] - 11) / 11) ** 2
    )
    images = {}
    for number, name in enumerate(SEQUENCES):
        waves = [
            [np.sin(random.uniform(0.05, 0.2) * p + random.uniform(0, 6)) for p in (z, y, x)] for _ in range(6)
        ]
        texture = sum(a * b * c for a, b, c in waves)
        levels = 300 + 40 * texture + (number - 0.5) * 120 * (bump < 1)
        images[name] = Volume(
            np.where(brain, np.round(levels), 0).astype(np.int16), (1, 1, 1), (-20.0, 7.0, -31.0), np.eye(3)
        )
    return FakeCase(images, replace(images["T1"], array=(bump < 1).astype(np.uint8)))


def reoriented(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, ...]) -> Volume:
    """The same voxels at the same places, stored along other axes (I, J, K from ``axes``)."""
    array = volume.array.transpose([2 - axes[2 - k] for k in range(3)])
    direction, spacing = volume.direction[:, list(axes)], np.asarray(volume.spacing)[list(axes)]
    origin = np.asarray(volume.origin, dtype=float)
    for axis in range(3):
        if flips[axis]:
            origin = origin + direction[:, axis] * spacing[axis] * (array.shape[2 - axis] - 1)
            direction = direction * np.where(np.arange(3) == axis, -1.0, 1.0)
            array = np.flip(array, 2 - axis)
    return replace(
        volume,
        array=np.ascontiguousarray(array),
        spacing=tuple(spacing),
        origin=tuple(origin),
        direction=direction,
    )


def each(case: FakeCase, change, mask: bool = True) -> FakeCase:
    images = {name: change(volume) for name, volume in case.images.items()}
    return replace(case, images=images, mask=change(case.mask) if mask else case.mask)


def resampled(
    volume: Volume, spacing: tuple[float, float, float], nearest: bool = False, rim: bool = False
) -> Volume:
    """On another spacing with the same corner of the field of view; thick slices are averaged.

    Without ``rim`` the background does not bleed into the brain, as where a brain is stripped afterwards.
    """
    old = np.asarray(volume.spacing)
    extent = (np.asarray(volume.array.shape[::-1]) - 1) * old
    size = [int(n) for n in np.floor(extent / spacing + 1e-6) + 1]
    thick = [int(n // 2 * (n > 2)) for n in np.asarray(spacing) / old]

    def moved(array: np.ndarray) -> np.ndarray:
        image = replace(volume, array=array.astype(np.uint8 if nearest else np.float32)).toImage()
        image = sitk.Mean(image, thick) if max(thick) and not nearest else image
        kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
        out = sitk.Resample(
            image, size, sitk.Transform(), kind, image.GetOrigin(), spacing, image.GetDirection(), 0.0
        )
        return sitk.GetArrayFromImage(out)

    array = moved(volume.array)
    if not nearest and not rim:
        share = moved(volume.array != 0)
        array = np.where(share > 0.5, array / np.maximum(share, 0.5), 0)
    return replace(volume, array=array, spacing=spacing)


def stack_of(case: FakeCase, form: InputForm | None = None) -> SliceStack:
    return prepare(case, form)


def correlations(one: SliceStack, other: SliceStack) -> list[float]:
    return [
        float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(one.planes, other.planes, strict=True)
    ]


def same_place(one: SliceStack, other: SliceStack) -> tuple[SliceStack, SliceStack]:
    """The parts of two stacks that show the same place, to half a point.

    A resampled copy has another lattice, on which the region may start a point (1.9 mm) further on.
    """
    assert one.region is not None and other.region is not None
    ours, theirs = [slice(None)], [slice(None)]
    for axis in (2, 1, 0):
        ahead = round(float(one.region.index(axis, other.region.start[axis])))
        ours.append(slice(max(ahead, 0), one.region.size[axis] + min(ahead, 0)))
        theirs.append(slice(max(-ahead, 0), one.region.size[axis] + min(-ahead, 0)))
    return replace(one, planes=one.planes[tuple(ours)]), replace(other, planes=other.planes[tuple(theirs)])


def zoomed(array: np.ndarray, order: int) -> np.ndarray:
    """The training data's recipe in other words: 240 x 240 x 155 to 128 a side with the ends aligned."""
    for axis, count in enumerate(array.shape):
        points = np.arange(128) * (count - 1) / 127
        if order == 0:
            array = array.take(np.round(points).astype(int), axis)
            continue
        low = np.minimum(points.astype(int), count - 2)
        share = (points - low).reshape([-1 if a == axis else 1 for a in range(3)])
        array = array.take(low, axis) * (1 - share) + array.take(low + 1, axis) * share
    return array


@pytest.fixture(scope="module")
def case() -> FakeCase:
    return make_case()


@pytest.fixture(scope="module")
def stack(case: FakeCase) -> SliceStack:
    return stack_of(case)


class TestLattices:
    def test_lattices_of_a_brats_image(self) -> None:
        volume = Volume(np.zeros((155, 240, 240), np.uint8), (1, 1, 1), (0, -239, 0), np.eye(3))
        fov = FieldOfView.of(volume)
        axial = fov.lattice((1, 1, 1))
        assert axial.start == (0, -239, 0) and axial.size == (240, 240, 155)
        form = InputForm()
        lattice = fov.lattice((form.pixel_mm, form.pixel_mm, form.plane_mm), even=True)
        assert lattice.size == (128, 128, 128)
        assert np.allclose(lattice.start, (0, -239, 0), atol=1e-9)
        assert lattice.position(2, 127) == pytest.approx(154)

    def test_other_fields_of_view_keep_their_centre(self) -> None:
        fov = FieldOfView((10.0, 0.0, -5.0), (110.5, 99.7, 94.9))
        lattice = fov.lattice((1.5, 1, 2), even=True)
        for axis in range(3):
            assert lattice.size[axis] % 2 == 0
            middle = lattice.position(axis, (lattice.size[axis] - 1) / 2)
            assert middle == pytest.approx((fov.low[axis] + fov.high[axis]) / 2)

    def test_field_of_view_of_a_sagittal_volume(self) -> None:
        # I runs to the back, J to the feet, K to the left
        direction = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], dtype=float)
        volume = Volume(np.zeros((4, 6, 8), np.uint8), (1, 2, 3), (5, 6, 7), direction)
        fov = FieldOfView.of(volume)
        assert fov.low == (5, 6, 7 - 10) and fov.high == (5 + 9, 6 + 7, 7)

    def test_canonical_keeps_every_voxel_where_it_is(self) -> None:
        random = np.random.default_rng(0)
        volume = Volume(random.normal(size=(4, 5, 6)), (1, 2, 3), (9, 8, 7), np.eye(3))
        for axes, flips in product(permutations(range(3)), product((False, True), repeat=3)):
            back = canonical(reoriented(volume, axes, flips))
            assert np.array_equal(back.array, volume.array)
            assert np.allclose(back.origin, volume.origin) and np.allclose(back.spacing, volume.spacing)
            assert np.allclose(back.direction, np.eye(3))

    def test_linear_weights(self) -> None:
        weights = linear_weights(np.array([-1, 0, 0.25, 2, 5]), 3)
        assert np.allclose(weights, [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 0, 1], [0, 0, 1]])


class TestSlices:
    def test_the_middle_of_a_tied_run_is_the_largest(self) -> None:
        assert largest_plane(np.array([0, 3, 5, 5, 5, 5, 5, 2.0])) == 4
        assert largest_plane(np.array([0, 5, 5, 5, 5.0])) == 2
        assert largest_plane(np.array([5, 1, 5, 5, 1, 5, 5, 0.0])) == 2

    @pytest.mark.parametrize(("largest", "first"), [(30, 20), (3, 0), (58, 40), (10, 0), (50, 40), (49, 39)])
    def test_twenty_slices_shifted_inward(self, largest: int, first: int) -> None:
        areas = np.zeros(60)
        areas[largest] = 12.5
        info = choose_slices(areas, -31.0)
        assert info.indices == tuple(range(first, first + 20))
        assert info.largest_index == largest and info.largest_area_mm2 == 12.5
        assert info.positions_mm[0] == -31.0 + first and info.spacing_mm == 1.0

    def test_fewer_than_twenty_slices_are_refused(self) -> None:
        thin = each(make_case(), lambda v: replace(v, array=v.array[25:44]))
        with pytest.raises(CaseError, match=r"reach over 19 axial slices of 1 mm, and 20 are"):
            stack_of(thin)

    def test_twenty_slices_are_enough(self) -> None:
        thin = each(make_case(), lambda v: replace(v, array=v.array[25:45]))
        assert stack_of(thin).info.indices == tuple(range(20))

    def test_an_empty_mask_is_refused(self, case: FakeCase) -> None:
        with pytest.raises(CaseError, match="mask is empty"):
            stack_of(replace(case, mask=replace(case.mask, array=case.mask.array * 0)))

    def test_a_sequence_without_the_tumour_is_refused(self, case: FakeCase) -> None:
        away = replace(case.images["T2"], origin=(400.0, 0.0, 0.0), source="t2.nii")
        with pytest.raises(CaseError, match=r"T2 has no brain where the tumour is, in t2\.nii"):
            stack_of(replace(case, images={**case.images, "T2": away}))

    @pytest.mark.parametrize(
        ("names", "kept", "wanted"),
        [
            ("T2", slice(34), {"T2": 8}),
            ("T1 FLAIR", slice(28, None), {"T1": 4, "FLAIR": 4}),
            ("T1 T2 FLAIR", slice(34), {}),
        ],
    )
    def test_slices_that_a_sequence_does_not_reach_are_told(
        self, case: FakeCase, names: str, kept: slice, wanted: dict[str, int]
    ) -> None:
        """A slice at the end that is blended with the one beside it is not black, and does not count."""
        assert self._out_of_reach(case, names, kept) == [
            f"{name} does not reach {count} of the 20 slices that are graded: give the whole volume"
            for name, count in wanted.items()
        ]
        assert "slices-not-reached" in DOUBTFUL

    def test_a_brain_that_ends_a_little_earlier_on_one_sequence_is_whole(self, case: FakeCase) -> None:
        vertex = np.zeros_like(case.mask.array)
        vertex[48:56] = case.mask.array[30:38]
        at_vertex = replace(case, mask=replace(case.mask, array=vertex))
        assert self._out_of_reach(at_vertex, "T2", slice(56)) == []
        assert len(self._out_of_reach(at_vertex, "T2", slice(50))) == 1

    def test_planes_beside_the_slices_are_no_slices(self, case: FakeCase) -> None:
        with pytest.raises(CaseError, match="T2 has no brain where the tumour is"):
            self._out_of_reach(case, "T2", slice(22))

    @staticmethod
    def _out_of_reach(case: FakeCase, names: str, kept: slice) -> list[str]:
        """What is told of a case of which some sequences are black but for some planes."""
        images = dict(case.images)
        for name in names.split():
            array = np.zeros_like(images[name].array)
            array[kept] = images[name].array[kept]
            images[name] = replace(images[name], array=array)
        notices = stack_of(replace(case, images=images)).warnings
        return [notice.message for notice in notices if notice.code == "slices-not-reached"]

    def test_slices_of_the_made_case(self, stack: SliceStack, case: FakeCase) -> None:
        areas = case.mask.array.sum((1, 2))
        assert stack.info.largest_index == 33 and areas[32] == areas[33] == areas[34] == areas.max()
        assert stack.info.largest_area_mm2 == areas.max()
        assert stack.info.indices[0] == 23 and stack.info.positions_mm[0] == -8.0
        assert stack.tumour_ml == pytest.approx(case.mask.array.sum() / 1000)
        assert stack.planes.shape == (3, 26, 32, 32) and stack.planes.dtype == np.float32
        assert stack.mask.shape == (26, 32, 32) and stack.first == 3

    def test_margin_planes_repeat_at_the_end_of_the_volume(self) -> None:
        low = each(make_case(), lambda v: replace(v, array=v.array[25:50]))
        planes = stack_of(low).planes
        assert np.array_equal(planes[:, 0], planes[:, 3]) and not np.array_equal(planes[:, 3], planes[:, 4])


class TestRegion:
    def test_largest_component_is_6_connected(self) -> None:
        mask = np.zeros((3, 6, 6), bool)
        mask[1, 1:3, 1:3] = True
        mask[1, 3, 3] = mask[2, 4, 4] = True
        mask[0, 5, 0:3] = True
        found = largest_component(mask)
        assert found.sum() == 4 and found[1, 1, 1]

    def test_the_region_follows_the_largest_lesion(self, case: FakeCase) -> None:
        array = case.mask.array.copy()
        array[30:33, 80:84, 20:24] = 1
        one, two = (
            scene_of(c, InputForm()) for c in (case, replace(case, mask=replace(case.mask, array=array)))
        )
        assert np.array_equal(one.start, two.start)
        assert two.areas[31] == one.areas[31] + 16  # and yet both lesions count

    def test_a_lesion_of_one_voxel(self, case: FakeCase) -> None:
        array = np.zeros_like(case.mask.array)
        array[30, 50, 47] = 1
        stack = stack_of(replace(case, mask=replace(case.mask, array=array)))
        assert stack.info.largest_index == 30 and np.all(stack.planes.any(axis=(1, 2, 3)))

    def test_planes_are_the_lattice_in_plane(self, stack: SliceStack, case: FakeCase) -> None:
        """A ramp comes out as the positions that the stack says it has."""
        region = stack.region
        assert region is not None
        ramp = np.broadcast_to(np.arange(88.0) + 1000, case.mask.array.shape)
        sequence = replace(case.images["T2"], array=np.where(case.images["T1"].array > 0, ramp, 0))
        planes = stack_of(replace(case, images={**case.images, "T2": sequence})).planes[1]
        values = sequence.array[sequence.array != 0]
        expected = (region.position(0, np.arange(32)) + 20 + 1000 - values.mean()) / values.std()
        middle = planes[13, 16, 10:22]
        assert np.allclose(middle, expected[10:22], atol=1e-4)

    def test_crop_is_the_recipe_of_the_training_data(self) -> None:
        small = make_case((155, 240, 240))
        images, tumour = crop(small)
        values = small.images["FLAIR"].array.astype(float)
        brain = values[values != 0]
        whole = zoomed(np.where(values != 0, (values - brain.mean()) / brain.std(), 0), 1)
        coarse = zoomed(small.mask.array, 0)
        low, high = (f(np.argwhere(coarse), axis=0) for f in (np.min, np.max))
        start = np.clip((low + high + 1) // 2 - 16, 0, 96)
        window = tuple(slice(s, s + 32) for s in start)
        assert np.allclose(images[2], whole[window], atol=1e-4)
        assert np.array_equal(tumour, coarse[window])

    def test_a_crop_gives_the_same_stack_as_the_whole_case(self, case: FakeCase) -> None:
        images, tumour = crop(case)
        scene = scene_of(case, InputForm())
        of_crop, whole = stack_from_crop(images, tumour), stack_of(case)
        bottom = float(scene.lattice.position(2, scene.start[2]))
        at_crop = np.array(of_crop.info.indices) + bottom
        at_whole = np.array(whole.info.positions_mm)
        assert abs(at_crop - at_whole).max() < 2.5
        assert min(correlations(of_crop, whole)) > 0.9
        assert (of_crop.mask == whole.mask).mean() > 0.95

    def test_a_crop_shifts_its_slices_inward(self) -> None:
        labels = np.zeros((32, 32, 32), np.uint8)
        labels[30, 10:20, 10:20] = 4
        stack = stack_from_crop(np.random.default_rng(0).normal(size=(3, 32, 32, 32)), labels)
        assert stack.info.indices == tuple(range(18, 38))
        assert stack.planes.shape == (3, 26, 32, 32)
        assert np.array_equal(stack.planes[:, -1], stack.planes[:, -4])
        assert stack.info.largest_area_mm2 == pytest.approx(100 * (239 / 127) ** 2, abs=1e-3)

    def test_whole_slices(self, case: FakeCase) -> None:
        form = InputForm.wholeSlice(64)
        stack = stack_of(case, form)
        assert stack.planes.shape == (3, 26, 64, 64) and form.pixel_mm == 3.75
        assert stack.region is not None and stack.region.step == (3.75, 3.75, 1.0)
        rows = np.flatnonzero(stack.planes[0, 13].any(axis=1))
        assert abs(rows.mean() - 31.5) < 1  # the brain is in the middle
        assert stack.info == stack_of(case).info

    def test_the_anchor_at_the_lesion_is_near_that_on_the_lattice(self, case: FakeCase) -> None:
        on_lattice, at_lesion = (scene_of(case, InputForm(anchor=a)).start for a in ("lattice", "lesion"))
        assert abs(on_lattice - at_lesion).max() <= 0.75
        scene = scene_of(case, InputForm(anchor="lesion"))
        middle = scene.lattice.position(0, at_lesion[0] + 15.75)
        assert middle == pytest.approx(-20 + 43.5 + 11, abs=0.51)  # the middle of the tumour

    def test_the_anchor_at_the_lesion_does_not_jump(self, case: FakeCase) -> None:
        form = InputForm(anchor="lesion")
        stack = stack_of(case, form)
        images = {name: resampled(v, (0.7,) * 3) for name, v in case.images.items()}
        mask = resampled(case.mask, (0.7,) * 3, nearest=True)
        assert min(correlations(stack, stack_of(replace(case, images=images, mask=mask), form))) > 0.95

    def test_region_intensity_ignores_scale_and_offset(self, stack: SliceStack) -> None:
        other = np.where(stack.planes != 0, stack.planes * 1.3 + 0.4, 0).astype(np.float32)
        one, two = (renormalise(p, stack.mask, "region") for p in (stack.planes, other))
        assert np.allclose(one, two, atol=1e-4)
        healthy = one[0][(one[0] != 0) & (stack.mask == 0)]
        assert abs(np.median(healthy)) < 1e-3
        assert np.array_equal(renormalise(other, stack.mask, "brain"), other)

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no input form has 'sagittal'"):
            InputForm(kind="sagittal")


class TestStorage:
    def test_48_orientations(self) -> None:
        case = make_case((36, 64, 56))
        stack = stack_of(case)
        for axes, flips in product(permutations(range(3)), product((False, True), repeat=3)):
            other = stack_of(each(case, lambda v, a=axes, f=flips: reoriented(v, a, f)))
            assert np.allclose(other.planes, stack.planes, atol=1e-5)
            assert np.array_equal(other.mask, stack.mask) and other.info == stack.info

    def test_sequences_in_different_orientations(self, case: FakeCase, stack: SliceStack) -> None:
        turned = reoriented(case.images["T2"], (2, 0, 1), (True, False, True))
        other = stack_of(replace(case, images={**case.images, "T2": turned}))
        assert np.allclose(other.planes, stack.planes, atol=1e-5) and other.info == stack.info

    @pytest.mark.parametrize(
        ("scale", "shift", "kind"),
        [
            (1, 0, "float64"),
            (1, 0, "uint16"),
            (3.7, 0, "float32"),
            (1, 1024, "int32"),
            (0.01, -5, "float64"),
            (50, -20000, "int16"),
        ],
    )
    def test_storage_does_not_matter(
        self, case: FakeCase, stack: SliceStack, scale: float, shift: float, kind: str
    ) -> None:
        def stored(volume: Volume) -> Volume:
            return replace(volume, array=(volume.array * float(scale) + shift).astype(kind))

        other = stack_of(each(case, stored, mask=False))
        assert np.allclose(other.planes, stack.planes, atol=1e-4) and other.info == stack.info

    def test_background_may_be_nan(self, case: FakeCase, stack: SliceStack) -> None:
        other = each(case, lambda v: replace(v, array=np.where(v.array, v.array, np.nan)), mask=False)
        assert np.allclose(stack_of(other).planes, stack.planes, atol=1e-5)

    def test_other_spacings(self, case: FakeCase, stack: SliceStack) -> None:
        for spacing, least in (((0.7, 0.7, 0.7), 0.97), ((1, 1, 5), 0.6), ((0.5, 0.5, 2), 0.93)):
            images = {name: resampled(v, spacing) for name, v in case.images.items()}
            other = stack_of(replace(case, images=images, mask=resampled(case.mask, spacing, nearest=True)))
            assert min(correlations(*same_place(stack, other))) > least
            assert abs(other.info.positions_mm[0] - stack.info.positions_mm[0]) <= spacing[2]

    def test_a_matched_affine_moves_nothing(self, case: FakeCase, stack: SliceStack) -> None:
        """Voxels and header of one sequence moved together: the patient stays where he is."""
        turn = sitk.Euler3DTransform((20.0, 50.0, 0.0), 0.05, -0.08, 0.06, (3.0, -2.0, 4.0))
        image = sitk.Cast(case.images["T1"].toImage(), sitk.sitkFloat32)
        moved = Volume.fromImage(sitk.Resample(image, image, turn, sitk.sitkBSpline, 0.0))
        matrix = np.array(turn.GetMatrix()).reshape(3, 3)
        origin = turn.TransformPoint(case.images["T1"].origin)
        header = replace(moved, origin=tuple(origin), direction=matrix @ moved.direction)
        header = replace(header, array=np.where(header.array > 100, header.array, 0))
        other = stack_of(replace(case, images={**case.images, "T1": header}))
        assert other.info == stack.info and np.array_equal(other.mask, stack.mask)
        assert correlations(stack, other)[0] > 0.95

    def test_a_mask_cut_to_its_tumour_counts_slices_of_the_image(
        self, case: FakeCase, stack: SliceStack
    ) -> None:
        """3D Slicer writes segmentations as no more than their bounding box."""
        cut = cut_to_content(case.mask)
        assert reference_of(case.images, cut) is case.images["T1"]
        other = stack_of(replace(case, mask=cut))
        assert other.info == stack.info and np.array_equal(other.planes, stack.planes)

    @pytest.mark.parametrize("short", [None, "T1"])
    def test_a_mask_that_is_its_tumour_never_bounds_the_slices(
        self, case: FakeCase, stack: SliceStack, short: str | None
    ) -> None:
        """Where the tumour begins at the images' first slice, no empty voxel around it lies in any image."""
        low = int(np.flatnonzero(case.mask.array.any(axis=(1, 2)))[0])

        def from_tumour(volume: Volume, more: int = 0) -> Volume:
            return replace(
                volume,
                array=volume.array[low + more :],
                origin=(*volume.origin[:2], volume.origin[2] + (low + more) * volume.spacing[2]),
            )

        images = {name: from_tumour(v, 2 * (name == short)) for name, v in case.images.items()}
        mask = cut_to_content(from_tumour(case.mask), margin=0)
        assert reference_of(images, mask) is images["T2" if short else "T1"]
        images = {name: from_tumour(v, 2 + (name != "T2")) for name, v in case.images.items()}
        assert reference_of(images, mask) is images["T2"]  # the one that covers the most of it
        other = stack_of(replace(case, images=images, mask=mask))
        assert len(other.info.indices) == 20

    def test_a_tumour_on_the_last_half_voxel_lies_in_the_image(self, case: FakeCase) -> None:
        """A thin mask over thick slices: its last voxels are nearer to the slice's face than to its centre."""
        low = int(np.flatnonzero(case.mask.array.any(axis=(1, 2)))[0])
        thick = {
            name: replace(
                v,
                array=v.array[low + 2 :: 5],
                origin=(*v.origin[:2], v.origin[2] + (low + 2) * v.spacing[2]),
                spacing=(*v.spacing[:2], 5 * v.spacing[2]),
            )
            for name, v in case.images.items()
        }
        assert reference_of(thick, case.mask) is thick["T1"]
        shorter = {**thick, "T1": replace(thick["T1"], array=thick["T1"].array[:2])}
        assert reference_of(shorter, case.mask) is thick["T2"]

    def test_a_mask_between_the_points_is_not_called_empty(self, case: FakeCase) -> None:
        fine = Volume(np.ones((1, 1, 1), np.uint8), (0.2,) * 3, (0.0, 0.0, 0.0), np.eye(3), "mask.nii")
        centre = case.mask.affine @ [*(np.array(case.mask.size) // 2 + 0.0), 1]
        for offset, problem in ((0.0, ""), (0.5, "lies between the points of 1 mm")):
            mask = replace(fine, origin=tuple(centre[:3] + offset - 0.02))
            scene = scene_of(replace(case, mask=mask), InputForm())
            if not problem:
                assert scene.tumour[0].sum() == 1
                continue
            with pytest.raises(CaseError, match=problem):
                _ = scene.tumour

    def test_a_mask_far_larger_than_the_head_counts_slices_of_the_image(
        self, case: FakeCase, stack: SliceStack
    ) -> None:
        wide = replace(
            case.mask,
            array=np.pad(case.mask.array, ((9, 41), (7, 0), (0, 5))),
            origin=tuple(case.mask.affine[:3] @ (0, -7, -9, 1)),
        )
        assert reference_of(case.images, wide) is case.images["T1"]
        other = stack_of(replace(case, mask=wide))
        assert other.info == stack.info and np.array_equal(other.planes, stack.planes)

    def test_a_tumour_that_goes_on_beyond_the_images_is_said(self, case: FakeCase, stack: SliceStack) -> None:
        assert "tumour-at-edge" not in [notice.code for notice in stack.warnings]
        planes = np.flatnonzero(case.mask.array.any(axis=(1, 2)))
        top = int(planes[len(planes) // 2])
        cut = {name: replace(v, array=v.array[: top + 1]) for name, v in case.images.items()}
        mask = replace(case.mask, array=case.mask.array[: top + 1])
        told = [
            n for n in stack_of(replace(case, images=cut, mask=mask)).warnings if n.code == "tumour-at-edge"
        ]
        assert len(told) == 1 and "reaches the highest slice" in told[0].message

    def test_the_same_input_gives_the_same_bytes(self, case: FakeCase, stack: SliceStack) -> None:
        assert stack_of(case).planes.tobytes() == stack.planes.tobytes()


class TestRealPatients:
    KNOWN_OTHER_START = "BraTS20_Training_280"  # its crop lies one point further left than the rule has it

    def test_same_patient_same_crop(self, shared_data: Path, real_cases: list[Path]) -> None:
        stored = np.load(shared_data / "tumour_crops.npz")
        patients = list(stored["patients"])
        for folder in real_cases:
            images, tumour = crop(read_case(folder))
            theirs = stored["images"][patients.index(folder.name)].astype(np.float32)
            labels = stored["segmentations"][patients.index(folder.name)] > 0
            if folder.name == self.KNOWN_OTHER_START:
                images, theirs = images[..., 1:], theirs[..., :-1]
                tumour, labels = tumour[..., 1:], labels[..., :-1]
            for ours, crops in zip(images, theirs, strict=True):
                assert np.corrcoef(ours.ravel(), crops.ravel())[0, 1] > 0.999
            assert abs(images - theirs).max() < 0.01 and np.array_equal(tumour, labels)

    def test_crop_and_whole_case_have_one_form(self, shared_data: Path, real_cases: list[Path]) -> None:
        stored = np.load(shared_data / "tumour_crops.npz")
        row = list(stored["patients"]).index("BraTS20_Training_199")
        case = read_case(next(f for f in real_cases if f.name == "BraTS20_Training_199"))
        of_crop = stack_from_crop(stored["images"][row], stored["segmentations"][row])
        assert min(correlations(of_crop, stack_of(case))) > 0.99

    def test_orientations_and_storage(self, real_cases: list[Path]) -> None:
        case = read_case(real_cases[0])
        stack = stack_of(case)
        for axes, flips in (((2, 0, 1), (True, False, True)), ((1, 0, 2), (False, True, False))):
            turned = each(case, lambda v, a=axes, f=flips: reoriented(v, a, f))
            images = {n: replace(v, array=v.array * 2.5 - 300.0) for n, v in turned.images.items()}
            other = stack_of(replace(turned, images=images))
            assert np.allclose(other.planes, stack.planes, atol=1e-5)
            assert other.info == stack.info and np.array_equal(other.mask, stack.mask)

    def test_other_spacings(self, real_cases: list[Path]) -> None:
        case = read_case(real_cases[5])
        stack = stack_of(case)
        for spacing, least in (((0.7, 0.7, 0.7), 0.95), ((1, 1, 5), 0.8)):
            images = {name: resampled(v, spacing) for name, v in case.images.items()}
            other = stack_of(replace(case, images=images, mask=resampled(case.mask, spacing, nearest=True)))
            assert min(correlations(*same_place(stack, other))) > least


# ---------------------------------------------------------------- as files have it


def test_planes_lie_where_they_were_taken_also_at_the_ends_of_the_images():
    for bottom, top in ((0, 80), (40, 80), (43, 56), (0, 50)):  # the tumour is from 37 to 53, of 2 mm each
        cut = {
            name: replace(v, array=v.array[bottom:top], origin=(*v.origin[:2], v.origin[2] + 2 * bottom))
            for name, v in volumes().items()
        }
        stack = prepare(Case.fromArrays(**{name.lower(): v for name, v in cut.items()}))
        first, last = (stack.region.position(2, stack.first + n) for n in (0, 19))
        assert (first, last) == pytest.approx((stack.info.positions_mm[0], stack.info.positions_mm[-1]))


def test_slices_show_the_largest_lesion_and_not_a_plane_of_several_flat_ones():
    given = volumes()
    several = given["mask"].array.copy()
    several[10:13, 30:70, 20:40] = several[10:13, 30:70, 50:70] = 1  # more in one plane than of the tumour
    largest = np.flatnonzero(given["mask"].array.any(axis=(1, 2)))
    files = {name.lower(): v for name, v in given.items()}
    alone = prepare(Case.fromArrays(**files)).info
    info = prepare(Case.fromArrays(**{**files, "mask": replace(given["mask"], array=several)})).info
    assert (several.sum(axis=(1, 2))[11]) > given["mask"].array.sum(axis=(1, 2)).max()
    assert info == alone and largest[0] < (info.positions_mm[10] + 70) / 2 < largest[-1]


def test_a_mask_without_room_around_its_tumour_is_as_large_as_one_with():
    given = volumes()
    shrunk = given["mask"].array[:78:3, :99:3, ::3]
    coarse = replace(given["mask"], array=np.ascontiguousarray(shrunk), spacing=(6.0, 6.0, 6.0))
    box = content_box(coarse.array)
    start = np.array([side.start for side in box[::-1]]) * 6.0
    tight = replace(coarse, array=coarse.array[box], origin=tuple(np.array(coarse.origin) + start))
    files = {name.lower(): v for name, v in given.items()}
    whole, cut = (prepare(Case.fromArrays(**{**files, "mask": mask})) for mask in (coarse, tight))
    assert cut.info == whole.info and cut.tumour_ml == whole.tumour_ml
    assert np.array_equal(cut.mask, whole.mask) and np.array_equal(cut.planes, whole.planes)


def test_what_has_to_be_interpolated_keeps_its_texture_and_its_edge() -> None:
    """Waves of 5 mm half a voxel off: linear interpolation would leave 0.81 of them, of noise 0.35."""
    x = np.arange(40.0)
    waves = np.broadcast_to(2 + np.sin(2 * np.pi * x / 5), (12, 16, 40)).astype(np.float32).copy()
    waves[..., 30:] = 0  # no brain
    volume = Volume(waves, (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), np.eye(3))
    found = sharply_sampled(volume, Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (40, 16, 12)))
    expected = 2 + np.sin(2 * np.pi * (x - 0.5) / 5)
    assert np.abs(found[6, 8, 4:26] - expected[4:26]).max() < 0.05
    assert np.array_equal(found[6, 8, 32:], np.zeros(8)) and found.dtype == np.float32
    same = sharply_sampled(volume, Lattice((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (40, 16, 12)))
    assert np.array_equal(same, waves)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 9), (2, 3, 9), (3, 9, 9), (9, 9, 4)])
def test_few_voxels_are_interpolated_within_their_values(shape: tuple[int, int, int]) -> None:
    """ITK's spline through two points gives 1e38."""
    values = np.random.default_rng(3).uniform(1, 2, shape).astype(np.float32)
    volume = Volume(values, (1.3, 0.9, 1.1), (0.2, 0.3, 0.4), np.eye(3))
    found = sharply_sampled(volume, Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (5, 5, 5)))
    assert np.all((found >= 0) & (found < 2.6))
