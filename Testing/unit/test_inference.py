"""The fused models give what the transfer models give."""

from __future__ import annotations

import pytest
import torch
from GliomaGradingLib.networks import convolutions
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.networks.googlenet import LocalResponseNorm
from GliomaGradingLib.networks.inference import FusedModel, FusedNorm, FusedPool, channel_means
from GliomaGradingLib.networks.network import BACKBONES, TransferModel
from GliomaGradingLib.words import SEQUENCES
from torch import nn
from torch.nn import functional


@pytest.fixture(scope="module")
def shipped() -> dict[str, TransferModel]:
    return open_bundle().models()


def slices(count: int = 4, pixels: int = 64, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = 60 * torch.randn(count, 3, pixels, pixels, generator=generator)
    return images, (torch.rand(count, pixels, pixels, generator=generator) > 0.7).float()


def random_model(backbone: str) -> TransferModel:
    """Random weights, statistics of batch normalisation and output module, so that all of them count."""
    torch.manual_seed(3)
    model = TransferModel(backbone).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 2.0)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values)
    nn.init.normal_(model.output.linear.weight, std=0.05)
    nn.init.uniform_(model.output.deviation, 0.5, 2.0)
    nn.init.normal_(model.output.mean)
    return model


def size_of_terms(model: TransferModel, images: torch.Tensor, tumour: torch.Tensor) -> float:
    """What the terms of a logit add up to without their signs: float32 rounds those, not their small rest."""
    with torch.no_grad():
        terms = model.output.standardised(model.pooled(images, tumour)) * model.output.linear.weight
    return float(terms.abs().sum(dim=1).max())


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_fused_model_gives_the_shipped_models_probabilities(shipped, sequence):
    model, (images, tumour) = shipped[sequence], slices(20)
    with torch.no_grad():
        expected = model(images, tumour)
    found = FusedModel(model, pixels=64)(images, tumour)
    assert float((torch.sigmoid(found) - torch.sigmoid(expected)).abs().max()) < 3e-5
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert float(expected.std()) > 0.01  # not the same number twenty times


@pytest.mark.parametrize("packs", (True, False))
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_fused_model_gives_the_logits_of_either_backbone(backbone, packs, monkeypatch):
    if not packs:
        monkeypatch.setattr(convolutions, "can_pack", lambda: False)
    model = random_model(backbone)
    images, tumour = slices(2)
    with torch.no_grad():
        expected = model(images, tumour)
        levels = model.features(images)
    fused = FusedModel(model, pixels=64, slices=2)
    with torch.inference_mode():
        for name, level in fused.features(images).items():
            assert torch.allclose(level, levels[name], rtol=1e-4, atol=1e-4 * float(levels[name].abs().max()))
    error = float((fused(images, tumour) - expected).abs().max())
    assert error < 1e-7 * size_of_terms(model, images, tumour)


def test_a_fused_model_takes_other_sizes_and_numbers_of_images_than_it_was_made_for(shipped):
    fused = FusedModel(shipped["T2"], pixels=64)
    for count, pixels in ((1, 64), (7, 64), (2, 96), (3, 75)):
        images, tumour = slices(count, pixels)
        with torch.no_grad():
            expected = shipped["T2"](images, tumour)
        assert torch.allclose(fused(images, tumour), expected, atol=1e-4)


def test_a_fused_model_is_a_copy(shipped):
    model, (images, tumour) = random_model("googlenet-2014"), slices(2)
    fused = FusedModel(model, pixels=64, slices=2)
    before = fused(images, tumour)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(fused(images, tumour), before)
    assert not torch.equal(model(images, tumour).detach(), before)
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def test_a_case_without_tumour_in_a_slice_counts_as_in_the_transfer_model(shipped):
    images, _ = slices(2)
    nothing = torch.zeros(2, 64, 64)
    with torch.no_grad():
        expected = shipped["FLAIR"](images, nothing)
    assert torch.allclose(FusedModel(shipped["FLAIR"], 64, 2)(images, nothing), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (4, 5), (7, 8), (9, 9), (16, 15)])
@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True)], ids=("same", "halved")
)
def test_pooling_is_that_of_torch_to_the_last_bit(pool, size):
    x = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(1))
    for layout in (torch.contiguous_format, torch.channels_last):
        given = x.contiguous(memory_format=layout)
        assert torch.equal(FusedPool(pool)(given), pool(given))
        assert torch.equal(given, x)  # nothing is done in place


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2, 2, ceil_mode=True), nn.MaxPool2d(3, 2), nn.MaxPool2d(5, 1, 2)]
)
def test_other_pooling_is_left_to_torch(pool):
    x = torch.randn(1, 3, 12, 12)
    assert torch.equal(FusedPool(pool)(x), pool(x))


@pytest.mark.parametrize("size", (3, 5))
def test_local_response_normalisation_is_that_of_torch(size):
    x = 100 * torch.rand(2, 24, 4, 4)
    plain = nn.LocalResponseNorm(size, alpha=1e-3, beta=0.75, k=2.0)
    found = FusedNorm(LocalResponseNorm(24, size, alpha=1e-3, k=2.0))(x)
    assert torch.allclose(found, plain(x), rtol=1e-5)


def test_weighted_means_are_sums_over_the_points():
    level, weights = torch.rand(2, 4, 3, 5), torch.rand(2, 1, 3, 5)
    assert torch.allclose(channel_means(level, weights), (level * weights).sum(dim=(2, 3)))
    assert torch.allclose(channel_means(level), functional.adaptive_avg_pool2d(level, 1)[:, :, 0, 0])
