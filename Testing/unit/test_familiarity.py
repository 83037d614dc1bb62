"""Whether a case is told from those of the training patients."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from GliomaGradingLib.familiarity import Familiarity, mask_contrasts
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.networks.network import DIRECTIONS, OutputModule, TransferModel
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.usual import learn_usual, patient_features, principal_directions
from GliomaGradingLib.words import SEQUENCES
from small_training import small_training_set

USUAL = Familiarity(
    typical=dict.fromkeys(SEQUENCES, np.log(10.0)),
    spread=dict.fromkeys(SEQUENCES, 0.5),
    unlike=3.0,
    least_fluid=1.0,
    most_t1=1.0,
)
TEN = dict.fromkeys(SEQUENCES, 10.0)


def region(t1=0.0, t2=1.5, flair=2.0, brain=0.5):
    """A stack of 20 planes whose tumour has these z-scores, in brain of z-score ``brain``."""
    mask = np.zeros((22, 32, 32), dtype=np.uint8)
    mask[:, 10:20, 12:22] = 1
    planes = np.full((3, 22, 32, 32), brain, dtype=np.float32)
    for plane, level in zip(planes, (t1, t2, flair), strict=True):
        plane[mask > 0] = brain + level
    return SimpleNamespace(planes=planes, mask=mask, first=1)


def codes(stack, unexplained=TEN):
    return [notice.code for notice in USUAL.doubts(stack, unexplained)]


def test_a_usual_case_raises_no_doubt():
    assert codes(region()) == []


def test_contrasts_are_measured_against_the_brain_around_the_mask():
    stack = region(t1=-0.25)
    stack.planes[:, :, :, 24:] = 0.0  # outside the brain; two lattice points around the mask end at 24
    stack.planes[:, :, :, :10] = 9.0  # farther away than the surroundings go
    found = mask_contrasts(stack.planes, stack.mask)
    assert found == pytest.approx({"T1": -0.25, "T2": 1.5, "FLAIR": 2.0}, abs=1e-6)


def test_background_beside_the_mask_is_not_its_surroundings():
    stack = region()
    stack.planes[:, :, 20:] = 0.0
    assert mask_contrasts(stack.planes, stack.mask)["T2"] == pytest.approx(1.5, abs=1e-6)


def test_a_mask_without_surroundings_has_no_contrast():
    stack = region()
    stack.mask[:] = 1
    assert mask_contrasts(stack.planes, stack.mask) == {}
    assert codes(stack) == ["mask-not-tumour"]  # what cannot be told is no reason to be sure


def test_a_mask_on_healthy_brain_is_doubted():
    assert codes(region(t2=0.4, flair=0.59)) == ["mask-not-tumour"]
    assert codes(region(t2=0.4, flair=0.61)) == []


def test_a_tumour_that_is_bright_on_t1_is_doubted():
    assert codes(region(t1=1.01)) == ["t1-bright"]
    assert codes(region(t1=0.99)) == []


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_one_strange_sequence_is_enough(sequence):
    limit = 10.0 * np.exp(3.0 * 0.5)
    assert codes(region(), {**TEN, sequence: 1.01 * limit}) == ["unlike-training"]
    assert codes(region(), {**TEN, sequence: 0.99 * limit}) == []


def test_a_strange_case_is_not_told_with_the_number_that_is_usual():
    notices = USUAL.doubts(region(), {**TEN, "T1": 10.0 * np.exp(3.004 * 0.5)})
    assert "(3.004 standard deviations from their mean; 3.000 are usual at most)" in notices[0].message
    notices = USUAL.doubts(region(), {**TEN, "T1": 10.0 * np.exp(5.1 * 0.5)})
    assert "(5.1 standard deviations from their mean; 3.0 are usual at most)" in notices[0].message


def test_features_that_are_not_numbers_are_strange():
    assert codes(region(), {**TEN, "T2": float("nan")}) == ["unlike-training"]


def test_strangeness_is_in_standard_deviations_of_the_strangest_sequence():
    assert USUAL.strangeness({"T1": 10.0, "T2": 10.0 * np.e, "FLAIR": 1.0}) == pytest.approx(2.0)


def test_unexplained_is_what_lies_outside_the_directions():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(40, 40)))[0].T
    rows = (rng.normal(size=(60, DIRECTIONS)) * 5) @ axes[:DIRECTIONS] + 3.0
    centre, directions = principal_directions(rows.astype(np.float32))
    output = OutputModule(40)
    output.mean.fill_(1.0)
    output.deviation.fill_(2.0)
    output.centre.copy_(torch.from_numpy(centre))
    output.directions.copy_(torch.from_numpy(directions))
    inside = torch.from_numpy((4 * axes[:DIRECTIONS].sum(0) + 3.0).astype(np.float32))
    beyond = inside + 7 * torch.from_numpy(axes[-1].astype(np.float32))
    slices = torch.stack([-torch.ones(40), torch.ones(40)])  # the mean over slices counts
    assert output.unexplained(2 * inside + 1 + slices) == pytest.approx(0.0, abs=1e-3)
    assert output.unexplained(2 * beyond + 1 + slices) == pytest.approx(7.0, abs=1e-3)


def test_few_patients_leave_directions_empty():
    directions = principal_directions(np.eye(4, 30, dtype=np.float32))[1]
    assert np.count_nonzero(np.linalg.norm(directions, axis=1) > 0.5) == 3
    assert not directions[3:].any()


def test_it_comes_back_from_a_bundle():
    values = {
        "typical": dict(USUAL.typical),
        "spread": dict(USUAL.spread),
        "unlike": 3.0,
        "least_fluid": 1,
        "most_t1": 1.0,
    }
    assert Familiarity.from_dict(values) == USUAL
    for broken in (
        {**values, "unlike": "3"},
        {**values, "unlike": float("inf")},
        {**values, "spread": {**values["spread"], "T2": 0.0}},
        {**values, "typical": {"T1": 1.0}},
        {key: value for key, value in values.items() if key != "most_t1"},
    ):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Familiarity.from_dict(broken)


def test_limits_come_from_held_out_patients():
    """Directions that a patient had a part in would explain that patient too well."""
    data = small_training_set(patients=20)
    models = {sequence: small_model(seed) for seed, sequence in enumerate(SEQUENCES)}
    recipe = Recipe(pretrained=False, precision="float32", image=ImageForm(pixels=32))
    usual = learn_usual(data, models, recipe)
    features = patient_features(models["T2"], data, 1, recipe)
    offset = features - models["T2"].output.centre.numpy()
    directions = models["T2"].output.directions.numpy()
    np.testing.assert_allclose(directions @ directions.T, np.eye(DIRECTIONS), atol=1e-4)
    inside = np.linalg.norm(offset - offset @ directions.T @ directions, axis=1)
    assert np.log(inside).mean() < usual.typical["T2"] - 0.1
    contrast = usual.least_fluid / 0.8
    assert contrast == pytest.approx(0.0, abs=0.2)  # LGG tumours of the set have none
    assert usual.most_t1 == pytest.approx(3.0, abs=0.2)


def small_model(seed):
    torch.manual_seed(seed)
    model = TransferModel("googlenet-2014").eval()
    for parameter in model.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model
