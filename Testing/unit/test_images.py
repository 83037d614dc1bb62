"""Network input of slices: turned by quarters, the same in training and in grading, and in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.networks.images import planes_at, shifted, stack_input, turned, without_gaps
from GliomaGradingLib.preparation.slices import stack_from_crop
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.source import SliceSource
from GliomaGradingLib.training.splits import Part
from GliomaGradingLib.words import SLICE_COUNT
from small_training import FORM, small_training_set

UPRIGHT, TURNED = ImageForm(pixels=32), ImageForm(pixels=32, turned=True)
SHIFTED = ImageForm(pixels=32, turned=True, shifted=4)


def stack() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(26, 16, 16, generator=generator)
    mask = torch.zeros(26, 16, 16, dtype=torch.uint8)
    mask[:, 2:6, 3:12] = 1
    return planes, mask


def test_images_are_made_on_the_device_of_the_planes():
    """By tensors that have a device and no numbers: a graphics card is not needed for that."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    positions = 3 + torch.arange(20, dtype=torch.float32)
    with FakeTensorMode(allow_non_fake_inputs=True):
        planes = torch.empty(26, 16, 16, device="cuda")
        mask = torch.empty(26, 16, 16, dtype=torch.uint8, device="cuda")
        assert planes_at(planes.expand(20, *planes.shape), positions).is_cuda
        images, tumour = stack_input(planes, mask, 3, 20, SHIFTED)
    assert images.is_cuda and tumour.is_cuda and images.shape == (20, 3, 32, 32)


def test_planes_are_turned_each_by_its_quarters_and_back():
    planes = torch.arange(5 * 2 * 9.0).reshape(5, 2, 3, 3)
    turns = np.array([0, 1, 2, 3, 5])
    found = turned(planes, turns)
    assert torch.equal(found[0], planes[0])
    assert found[1, 0].tolist() == [[20, 23, 26], [19, 22, 25], [18, 21, 24]]  # a quarter against the clock
    assert torch.equal(found[2], planes[2].flip(-1, -2))
    assert torch.equal(found[4], torch.rot90(planes[4], 1, (1, 2)))
    assert torch.equal(turned(found, -turns), planes)
    assert turned(planes, np.zeros(5, int)) is planes


def test_every_slice_is_turned_a_quarter_more_than_the_one_below():
    upright = stack_input(*stack(), 3, SLICE_COUNT, UPRIGHT)
    found = stack_input(*stack(), 3, SLICE_COUNT, TURNED)
    for number in range(SLICE_COUNT):
        for here, there in zip(found, upright, strict=True):
            assert torch.equal(here[number], torch.rot90(there[number], number % 4, (-2, -1)))
    assert not torch.equal(found[0][1], upright[0][1])


def test_a_shifted_plane_shows_what_lies_further_on_and_its_border_goes_on():
    plane = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert shifted(plane, np.array([[1, 0]]))[0, 0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert shifted(plane, np.array([[0, -2]]))[0, 0].tolist() == [[0, 0, 0, 1], [4, 4, 4, 5], [8, 8, 8, 9]]
    both = shifted(torch.cat([plane, plane + 100], dim=1).repeat(2, 1, 1, 1), np.array([[0, 0], [-1, 3]]))
    assert torch.equal(both[0, 0], plane[0, 0])
    assert both[1, 1].tolist() == [[103] * 4, [103] * 4, [107] * 4]
    assert shifted(plane, np.zeros((1, 2), int)) is plane


def test_shifts_of_a_case_spread_over_all_that_they_may_be():
    views = ImageForm(shifted=8).views(np.arange(SLICE_COUNT))
    assert not views.turns.any() and views.shifts.shape == (SLICE_COUNT, 2)
    assert np.abs(views.shifts).max() <= 8 and len({*map(tuple, views.shifts.tolist())}) == SLICE_COUNT
    assert np.abs(views.shifts.mean(axis=0)).max() < 1.5
    places = {*map(tuple, (views.shifts % 8).tolist())}  # between the points where the finest level looks
    assert len(places) >= 16 and {row for row, _column in places} == {*range(8)}
    assert not TURNED.views(np.arange(SLICE_COUNT)).shifts.any()
    assert np.array_equal(SHIFTED.views(np.array([7, 3])).shifts, SHIFTED.views(np.arange(20)).shifts[[7, 3]])


@pytest.mark.parametrize("shift", [-1, 64])
def test_a_shift_beyond_the_image_is_refused(shift):
    with pytest.raises(ValueError, match="cannot be shifted"):
        ImageForm(shifted=shift)


def test_slices_are_turned_first_and_shifted_then():
    turned_only = stack_input(*stack(), 3, SLICE_COUNT, TURNED)
    found = stack_input(*stack(), 3, SLICE_COUNT, SHIFTED)
    shifts = SHIFTED.views(np.arange(SLICE_COUNT)).shifts
    assert shifts[5].any()
    assert torch.equal(found[0], shifted(turned_only[0], shifts))
    assert torch.equal(found[1], shifted(turned_only[1][:, None], shifts)[:, 0])


@pytest.mark.parametrize("form", [UPRIGHT, TURNED, SHIFTED], ids=("upright", "turned", "shifted"))
def test_a_slice_is_the_same_in_training_and_in_grading(form):
    data = small_training_set(patients=2)
    source = SliceSource(data, 1, Recipe(image=form))
    (batch,) = source.batches(Part.of_patients([1], SLICE_COUNT), SLICE_COUNT)
    trained = source.plain(batch)
    largest = round(float(data.first[1]) * FORM.plane_mm) + SLICE_COUNT // 2
    cut = stack_from_crop(data.images[1].astype(np.float32), data.labels[1], FORM, largest)
    assert cut.info.indices[0] == pytest.approx(float(data.first[1]) * FORM.plane_mm)
    mask = without_gaps(torch.from_numpy(cut.mask))
    graded = stack_input(torch.from_numpy(cut.planes[1]), mask, cut.first, SLICE_COUNT, form)
    torch.testing.assert_close(trained[1], graded[1])
    # neighbouring planes are interpolated twice in grading: between the crop's planes, then between theirs
    torch.testing.assert_close(trained[0][:, 1], graded[0][:, 1], rtol=1e-3, atol=1e-2)


def test_what_ships_is_turned_and_shifted_and_the_papers_protocol_is_not():
    from GliomaGradingLib.networks.bundle import open_bundle
    from GliomaGradingLib.training.recipe import PAPER_RECIPE, recipe_from_dict

    assert Recipe().image == open_bundle().imageForm() == ImageForm(turned=True, shifted=8)
    assert PAPER_RECIPE.image == ImageForm() and recipe_from_dict({}).image == Recipe().image
    older = {"image": {"pixels": 96}}  # a recipe from before slices were turned
    assert recipe_from_dict(older).image == replace(ImageForm(), pixels=96)
