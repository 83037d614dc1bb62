"""The quick ways of preparing a case give what the plain ones give."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib import coarse
from GliomaGradingLib.grid import Lattice, content_box, gather, voxels_of
from GliomaGradingLib.preparation import brain
from GliomaGradingLib.volume import Volume


def random_mask(shape: tuple[int, int, int], share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def by_itk(function, mask: np.ndarray, *arguments, **options) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(function(image, *arguments, **options)) > 0


@pytest.mark.parametrize("share", (0.02, 0.4, 0.97))
@pytest.mark.parametrize("radius", (1, 2, 3))
def test_morphology_is_simpleitks(radius, share):
    mask = random_mask((9, 13, 11), share)
    size = [radius] * 3
    assert np.array_equal(coarse.dilated(mask, radius), by_itk(sitk.BinaryDilate, mask, size))
    assert np.array_equal(coarse.closed(mask, radius), by_itk(sitk.BinaryMorphologicalClosing, mask, size))
    eroded = by_itk(sitk.BinaryErode, mask, size, boundaryToForeground=False)
    assert np.array_equal(coarse.eroded(mask, radius), eroded)


@pytest.mark.parametrize(
    "rows",
    [range(2, 9), range(-3, 12, 2), range(0, 11, 3), [5], [], [8, 4, 2], [1, 1, 2], [0, 2, 3], [-2, 30]],
    ids=str,
)
def test_gathering_by_slices_gives_what_picking_point_by_point_gives(rows):
    array = np.random.default_rng(0).integers(1, 99, (11, 9, 7)).astype(np.int16)
    take = [np.array(rows, dtype=int), np.arange(-1, 9, 2), np.array([3])]
    found = gather(array, take)
    assert found.shape == (len(take[0]), 5, 1) and found.dtype == np.int16
    for (k, j, i), value in np.ndenumerate(found):
        place = tuple(int(t[n]) for t, n in zip(take, (k, j, i), strict=True))
        is_inside = all(0 <= at < size for at, size in zip(place, array.shape, strict=True))
        assert value == (array[place] if is_inside else 0)


@pytest.mark.parametrize(("radius", "spacing"), [(10.0, 4.0), (8.0, 4.0), (6.0, 2.0)])
@pytest.mark.parametrize("share", (0.0, 0.01, 0.2, 1.0))
def test_closing_is_by_distance(radius, spacing, share):
    mask = random_mask((12, 17, 15), share)
    near = brain.distance(mask, spacing) <= radius
    expected = brain.distance(~near, spacing) > radius
    assert np.array_equal(brain.close(mask, radius, spacing), expected)


def test_depth_is_the_distance_from_the_outside():
    head = np.zeros((20, 24, 22), bool)
    head[3:17, 0:15, 4:20] = True
    head[8, 7, 9] = False
    expected = np.maximum(brain.distance(~head, brain.ROUGH_MM), 0)
    assert np.array_equal(brain._depth(head), expected)


def test_holes_are_filled_as_by_simpleitk():
    mask = random_mask((14, 16, 15), 0.75)
    mask[:, :2] = False
    assert np.array_equal(brain._filled(mask), by_itk(sitk.BinaryFillhole, mask))


@pytest.mark.parametrize("dtype", (bool, np.uint8, np.int16, np.float32))
@pytest.mark.parametrize("flips", ((1, 1, 1), (-1, 1, -1), (1, -1, 1)))
def test_the_content_box_is_that_of_what_is_not_zero(dtype, flips):
    array = np.zeros((9, 12, 10), dtype)
    array[2:5, 7:11, 3] = 1
    array = array[tuple(slice(None, None, step) for step in flips)]
    found = np.argwhere(array)
    box = content_box(array)
    assert [(s.start, s.stop) for s in box] == list(zip(found.min(0), found.max(0) + 1, strict=True))
    wider = content_box(array, margin=4)
    expected = [
        (max(a - 4, 0), min(b + 5, n)) for a, b, n in zip(found.min(0), found.max(0), array.shape, strict=True)
    ]
    assert [(s.start, s.stop) for s in wider] == expected
    assert np.array_equal(voxels_of(array), found)
    assert np.array_equal(voxels_of(array.transpose(2, 0, 1)), np.argwhere(array.transpose(2, 0, 1)))


def test_an_empty_mask_has_an_empty_box():
    assert content_box(np.zeros((3, 4, 5), np.uint8), 1) == (slice(0, 0),) * 3
    assert len(voxels_of(np.zeros((3, 4, 5), np.uint8))) == 0


def volume(dtype: type = np.float32, spacing=(1.0, 1.0, 1.0), direction: np.ndarray | None = None) -> Volume:
    array = (np.random.default_rng(2).random((8, 10, 9)) * 200).astype(dtype)
    return Volume(array, spacing, (3.0, -20.0, 5.0), np.eye(3) if direction is None else direction)


@pytest.mark.parametrize("first", ((0, 0, 0), (-3, 2, 1), (4, 6, -2)))
def test_points_that_are_voxels_are_picked_as_simpleitk_interpolates_there(first):
    lattice = Lattice((3.0, -20.0, 5.0), (1.0, 1.0, 1.0), (9, 10, 8)).window(first, (7, 8, 9))
    given = volume()
    assert lattice._voxel_indices(given, sitk.sitkLinear) is not None
    assert np.array_equal(lattice.sample_volume(given), lattice.sample(given.toImage()))


@pytest.mark.parametrize("step", ((4.0, 4.0, 4.0), (1.5, 2.0, 0.7), (1.0, 1.0, 1.0)))
@pytest.mark.parametrize("spacing", ((2.0, 2.0, 2.0), (0.9, 1.1, 3.0)))
def test_the_nearest_voxels_are_simpleitks(step, spacing):
    lattice = Lattice((1.0, -21.5, 4.0), step, (8, 9, 7))
    given = volume(np.uint8, spacing)
    found = lattice.sample_volume(given, sitk.sitkNearestNeighbor)
    assert np.array_equal(found, lattice.sample(given.toImage(), sitk.sitkNearestNeighbor))
    assert found.dtype == np.uint8 and found.any()


def test_between_voxels_and_on_oblique_ones_simpleitk_interpolates():
    turned = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    lattice = Lattice((3.0, -20.0, 5.0), (1.0, 1.0, 1.0), (6, 6, 6))
    for given in (volume(direction=turned), volume(spacing=(1.1, 1.0, 1.0))):
        assert lattice._voxel_indices(given, sitk.sitkLinear) is None
        assert np.array_equal(lattice.sample_volume(given), lattice.sample(given.toImage()))
    assert lattice._voxel_indices(volume(direction=turned), sitk.sitkNearestNeighbor) is None


@pytest.mark.parametrize("dtype", (np.int16, np.uint16, np.uint8, np.int8))
@pytest.mark.parametrize("background", (0.0, 7.0, 0.5))
def test_statistics_in_whole_numbers_are_those_of_numpy(dtype, background):
    limits = np.iinfo(dtype)
    array = np.random.default_rng(5).integers(limits.min, limits.max, (6, 7, 8), endpoint=True).astype(dtype)
    array[:2] = int(background)
    values = array[array != background].astype(np.float64)
    mean, deviation = brain._exact_statistics(array, background)
    assert mean == pytest.approx(values.mean(), rel=1e-13, abs=1e-10)
    assert deviation == pytest.approx(values.std(), rel=1e-13)


def test_statistics_of_nothing_but_background_are_zero():
    assert brain._exact_statistics(np.full((3, 4, 5), 7, np.int16), 7.0) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", (np.int16, np.uint8, np.int32, np.float32))
@pytest.mark.parametrize("background", (0.0, 3.0, 2.5, -4.0, 1e9, None))
def test_foreground_is_what_differs_from_the_background(dtype, background):
    array = np.array([[[0, 3, 4, 100]]], dtype)
    expected = [[[background is None or float(value) != background for value in array.ravel()]]]
    assert brain.foreground(array, background).tolist() == expected


def test_levels_above_a_background_are_the_same_for_whole_numbers_and_floats():
    array = np.array([[[-5, 0, 3, 32767]]], np.int16)
    signal = brain.foreground(array, 3.0)
    expected = brain._above(array.astype(np.float64), signal, 3.0)
    assert np.array_equal(brain._above(array, signal, 3.0), expected)
    assert expected.tolist() == [[[-8.0, -3.0, 0.0, 32764.0]]]
