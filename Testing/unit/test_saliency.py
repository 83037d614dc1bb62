"""Grad-CAM: adds up to the networks' logits, lies where it says, and depends on weights and tumour."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.explanation import Explanation
from GliomaGradingLib.grading import Graded, Grader
from GliomaGradingLib.grid import Lattice
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.networks.image_form import ImageForm, Views
from GliomaGradingLib.networks.images import shifted, turned
from GliomaGradingLib.networks.network import TransferModel
from GliomaGradingLib.networks.saliency import _shifted_back, evidence, explain
from GliomaGradingLib.preparation.slices import SliceStack
from GliomaGradingLib.voting import Calibration, Platt
from GliomaGradingLib.words import SEQUENCES

FORM = ImageForm(pixels=64)
REGION = Lattice((10.0, -20.0, 30.0), (2.0, 1.5, 1.0), (24, 32, 26))
FIRST = 3
INFO = SimpleNamespace(indices=tuple(range(40, 60)))


def model_of(seed: int, backbone: str = "googlenet-2014") -> TransferModel:
    """A network with small random weights, whose output module has random weights and statistics too."""
    torch.manual_seed(seed)
    model = TransferModel(backbone).eval()
    for parameter in model.backbone.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        elif backbone == "googlenet-2014":
            torch.nn.init.uniform_(parameter, 0, 0.1)
    output = model.output
    torch.nn.init.normal_(output.linear.weight, std=0.02)
    torch.nn.init.constant_(output.linear.bias, 0.3)
    output.mean.uniform_(0, 1)
    output.deviation.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="module")
def model() -> TransferModel:
    return model_of(1)


def stack_of(seed: int = 0, mask: np.ndarray | None = None) -> SliceStack:
    """26 planes of smooth noise with a box as tumour, 24 x 32 points."""
    noise = np.random.default_rng(seed).normal(size=(3, 26, 32, 24)).astype(np.float32)
    if mask is None:
        mask = np.zeros((26, 32, 24), np.uint8)
        mask[5:20, 8:20, 4:12] = 1
    return SliceStack(noise, mask, FIRST, INFO, 1.0, region=REGION)  # type: ignore[arg-type]


def random_images(seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = 50 * torch.randn((2, 3, 64, 64), generator=generator)
    tumour = torch.zeros((2, 64, 64))
    tumour[:, 16:40, 8:32] = 1
    return images, tumour


@pytest.mark.parametrize("backbone", ["googlenet-2014", "googlenet-torchvision"])
@pytest.mark.parametrize("size", [(32, 32), (24, 17), (64, 64)])
def test_a_map_adds_up_to_the_logit(backbone, size):
    model = model_of(2, backbone)
    images, tumour = random_images()
    with torch.inference_mode():
        maps, logits = evidence(model, images, tumour, size), model(images, tumour)
    assert maps.shape == (2, *size)
    assert maps.mean(dim=(1, 2)).numpy() + 0.3 == pytest.approx(logits.numpy(), abs=1e-4)
    assert float(logits.abs().max()) > 0.3


def test_maps_of_turned_slices_are_turned_back():
    """Each is the map of the turned image, turned back; all of them still add up to the logits."""
    model, turns = model_of(2), np.array([1, 3])
    images, tumour = random_images()
    images, tumour = turned(images, turns), turned(tumour, turns)
    with torch.inference_mode():
        found = evidence(model, images, tumour, (32, 32), Views(turns, np.zeros((2, 2), int)))
        logits = model(images, tumour)
        for row, quarters in enumerate(turns.tolist()):
            alone = evidence(model, images[row : row + 1], tumour[row : row + 1], (32, 32))[0]
            assert torch.allclose(found[row], torch.rot90(alone, -quarters), atol=2e-3)
            assert not torch.allclose(found[row], alone, atol=1)
    assert found.mean(dim=(1, 2)).numpy() + 0.3 == pytest.approx(logits.numpy(), abs=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (24, 17), (64, 64)])
def test_maps_of_shifted_slices_lie_where_the_slices_do_and_add_up_to_the_logit(size):
    model, views = model_of(2), Views(np.array([1, 2]), np.array([[5, -8], [0, 3]]))
    images, tumour = random_images()
    both = shifted(turned(torch.cat([images, tumour[:, None]], dim=1), views.turns), views.shifts)
    with torch.inference_mode():
        found = evidence(model, both[:, :3], both[:, 3], size, views)
        logits = model(both[:, :3], both[:, 3])
    assert found.shape == (2, *size)
    assert found.mean(dim=(1, 2)).numpy() + 0.3 == pytest.approx(logits.numpy(), abs=1e-4)


def test_a_map_is_shifted_back_to_where_it_was_taken_from():
    """What was found beyond a border is as far within it."""
    maps = torch.zeros(2, 6, 6, dtype=torch.float64)
    maps[0, 1, 4], maps[0, 5, 1], maps[1, 2, 3], maps[1, 4, 5] = 1.0, 10.0, 100.0, 1000.0
    found = _shifted_back(maps, np.array([[2, -3], [0, 1]]))
    expected = torch.zeros_like(maps)
    expected[0, 3, 1], expected[0, 4, 1], expected[1, 2, 4], expected[1, 4, 5] = 1.0, 10.0, 100.0, 1000.0
    assert torch.equal(found, expected)
    inside = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    inside[0, 0, 2, 3] = 1.0  # within the borders it undoes what a network was shown
    for shift in ([[1, 2]], [[-2, 1]]):
        assert torch.equal(_shifted_back(shifted(inside, np.array(shift))[:, 0], np.array(shift)), inside[0])


def test_an_explanation_shows_turned_slices_upright(model):
    """A slice's map is that of the stack turned as a whole as far as this slice was, turned back."""
    noise = np.random.default_rng(2).normal(size=(3, 26, 32, 32)).astype(np.float32)
    mask = np.zeros((26, 32, 32), np.uint8)
    mask[5:20, 8:20, 4:12] = 1
    stack = SliceStack(noise, mask, FIRST, INFO, 1.0, region=None)  # type: ignore[arg-type]
    calibration = Calibration({s: Platt(1.0, 0.0) for s in SEQUENCES}, Platt(1.0, 0.0))
    models = dict.fromkeys(SEQUENCES, model)
    found = explain(stack, models, replace(FORM, turned=True), calibration).maps
    for quarters in range(4):
        turned_planes, turned_mask = np.rot90(noise, quarters, (2, 3)), np.rot90(mask, quarters, (1, 2))
        whole = replace(stack, planes=turned_planes.copy(), mask=turned_mask.copy())
        maps = explain(whole, models, FORM, calibration).maps[:, quarters::4]
        assert np.allclose(found[:, quarters::4], np.rot90(maps, -quarters, (2, 3)), atol=2e-3)
        assert quarters == 0 or not np.allclose(found[:, quarters::4], maps, atol=1)


def test_it_is_gradient_times_activation(model):
    """Against autograd: Grad-CAM of one level, made from the gradient of the logit."""
    images, tumour = random_images()
    levels = {name: level.detach().requires_grad_() for name, level in model.features(images).items()}
    model.features = lambda _images: levels  # type: ignore[method-assign]
    try:
        logit = model(images, tumour).sum()
        gradients = dict(zip(levels, torch.autograd.grad(logit, list(levels.values())), strict=True))
        model.output.mean.zero_(), torch.nn.init.zeros_(model.output.linear.bias)
        with torch.inference_mode():
            maps = evidence(model, images, tumour, (64, 64))
    finally:
        del model.features
        model.output.mean.uniform_(0, 1), torch.nn.init.constant_(model.output.linear.bias, 0.3)
    expected = sum(
        torch.nn.functional.interpolate(
            (gradients[name] * levels[name]).sum(1, keepdim=True), size=(64, 64), mode="bilinear"
        )[:, 0]
        * level.shape[2] ** 2
        for name, level in levels.items()
    )
    assert torch.allclose(maps.float(), expected.detach(), atol=1e-4)
    assert float(expected.detach().std()) > 0.01


def test_a_slice_without_tumour_has_finite_evidence(model):
    images, tumour = random_images()
    with torch.inference_mode():
        maps, logits = evidence(model, images, 0 * tumour, (32, 32)), model(images, 0 * tumour)
    assert maps.mean(dim=(1, 2)).numpy() + 0.3 == pytest.approx(logits.numpy(), abs=1e-4)


def test_maps_are_calibrated_and_lie_where_the_slices_lie(model):
    calibration = Calibration({s: Platt(0.5 + k, 0.1 * k) for k, s in enumerate(SEQUENCES)}, Platt())
    stages: list[str] = []
    stack = stack_of()
    explanation = explain(
        stack, dict.fromkeys(SEQUENCES, model), FORM, calibration, lambda stage, _fraction: stages.append(stage)
    )
    assert explanation.maps.shape == (3, 20, 32, 24) and explanation.maps.dtype == np.float32
    assert stages == ["saliency T1", "saliency T2", "saliency FLAIR", "saliency"]
    assert explanation.base == pytest.approx((0.15, 0.55, 0.95))
    volume = explanation.volume("T2")
    assert (volume.spacing, volume.origin) == ((2.0, 1.5, 1.0), (10.0, -20.0, 33.0))
    assert np.array_equal(volume.array, explanation.maps[1]) and np.array_equal(volume.direction, np.eye(3))
    assert explanation.detail_mm == 6.0  # 8 of 64 points of an image that is 24 points of 2 mm wide
    again = Explanation.fromDict(explanation.toDict())
    assert np.array_equal(again.maps, explanation.maps)
    assert again.indices == explanation.indices == stack.info.indices
    assert (again.base, again.lattice, again.detail_mm) == (
        explanation.base,
        explanation.lattice,
        explanation.detail_mm,
    )


def test_a_bright_spot_is_found_where_it_is(model):
    """A network whose only weights read one channel of 3b shows where that channel is active."""
    spotted = model_of(1)
    spotted.output.linear.weight.data.zero_()
    spotted.output.linear.weight.data[0, :480] = 1.0
    images = torch.zeros((1, 3, 64, 64))
    images[:, :, 44:52, 4:12] = 300.0
    with torch.inference_mode():
        found = evidence(spotted, images, torch.zeros((1, 64, 64)), (64, 64))[0]
    row, column = divmod(int(found.argmax()), 64)
    assert abs(row - 48) <= 8 and abs(column - 8) <= 8


def test_a_crop_has_maps_but_no_place(model):
    stack = replace(stack_of(), region=None)
    explanation = explain(stack, dict.fromkeys(SEQUENCES, model), FORM, Calibration.identity())
    assert explanation.lattice is None and np.isfinite(explanation.maps).all()
    assert Explanation.fromDict(explanation.toDict()).lattice is None
    with pytest.raises(UsageError, match="crop"):
        explanation.volume("T1")


def test_a_foreign_or_incomplete_answer_is_refused():
    with pytest.raises(ValueError, match="schema"):
        Explanation.fromDict({"schema": "glioma-grading/result/1"})
    whole = Explanation(np.zeros((3, 2, 4, 4), np.float32), (0.0, 0.0, 0.0)).toDict()
    del whole["base"]
    with pytest.raises(ValueError, match="incomplete"):
        Explanation.fromDict(whole)


# ---------------------------------------------------------------- the shipped models


@pytest.fixture(scope="module")
def grader() -> Grader:
    bundle = open_bundle()
    return Grader(bundle, bundle.models(), torch.device("cpu"))


def smooth_stack(seed: int = 5) -> SliceStack:
    """Tumour-like blob, brighter or darker than its surroundings, on smooth noise; the bundle's own form."""
    points = 32
    k, j, i = np.indices((26, points, points), dtype=float)
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(i / rng.uniform(2, 7) + j / rng.uniform(2, 7) + k / 9 + rng.uniform(0, 6)) for _ in range(9)
    ]
    distance = ((i - 18) / 7) ** 2 + ((j - 14) / 6) ** 2 + ((k - 13) / 9) ** 2
    blob = np.clip(1.5 - distance, 0, 1)
    planes = np.stack([0.3 * sum(waves[n::3]) + gain * blob for n, gain in enumerate((-0.9, 1.6, 1.8))])
    lattice = Lattice((0.0, 0.0, 0.0), (239 / 127, 239 / 127, 1.0), (points, points, 26))
    return SliceStack(planes.astype(np.float32), (distance < 1).astype(np.uint8), 3, INFO, 20.0, (), lattice)  # type: ignore[arg-type]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values.ravel())).astype(float) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_the_shipped_networks_are_explained_to_their_probabilities(grader):
    stack = smooth_stack()
    explanation = grader.explain(stack)
    votes = grader.judge(stack).votes
    logits = np.array([[np.log(p / (1 - p)) for p in vote.slice_probabilities] for vote in votes])
    assert explanation.logits == pytest.approx(logits, abs=1e-4)
    graded = Graded(SimpleNamespace(), SimpleNamespace(), stack)  # type: ignore[arg-type]
    assert np.array_equal(grader.explain(graded).maps, explanation.maps)
    assert 0.5 < explanation.strength < 100


def test_threads_take_turns_at_the_networks(grader, monkeypatch):
    inside, most = [0], [0]

    def work(*_):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1

    monkeypatch.setattr(grader, "_judge", work)
    monkeypatch.setattr("GliomaGradingLib.networks.saliency.explain", work)
    stack = smooth_stack()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(step, stack) for step in (grader.judge, grader.explain) * 4]:
            done.result()
    assert most == [1]


def test_random_weights_change_the_map(grader):
    """Cascading randomisation from the output module down (Adebayo et al. 2018, arXiv 1810.03292)."""
    stack = smooth_stack()
    before = grader.explain(stack).map_of("FLAIR")
    bundle = open_bundle()
    model = bundle._model(bundle.weights["FLAIR"])
    likeness = []
    torch.manual_seed(0)
    for part in (model.output.linear, model.backbone.inception3b):
        for weights in (parameter.data for parameter in part.parameters()):
            weights.normal_(float(weights.mean()), float(weights.std()) if weights.numel() > 1 else 0.0)
        maps = explain(stack, dict.fromkeys(SEQUENCES, model), FORM, bundle.calibration()).map_of("FLAIR")
        likeness.append(abs(spearman(before, maps)))
    assert max(likeness) < 0.6


def test_blanking_the_tumour_moves_the_evidence(grader):
    stack = smooth_stack()
    outside = (stack.mask == 0) & (stack.planes[0] != 0)
    planes = stack.planes.copy()
    for plane in planes:
        plane[stack.mask > 0] = np.median(plane[outside])
    before, after = (grader.explain(s).logits for s in (stack, replace(stack, planes=planes)))
    assert float(np.abs(before - after).mean()) > 0.2
