"""The two backbones and the output module, against independent computations."""

from __future__ import annotations

import pytest
import torch
from GliomaGradingLib.errors import BundleError, UsageError
from GliomaGradingLib.networks.googlenet import LocalResponseNorm
from GliomaGradingLib.networks.network import (
    BACKBONES,
    LEVELS,
    TransferModel,
    caffe_name,
    load_imagenet_2014,
    load_torchvision_state,
    make_backbone,
    tumour_weights,
)
from torch import nn
from torch.nn import functional
from torchvision.models import googlenet


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Tensors under the names of the 2014 file, of small random values."""
    generator = torch.Generator().manual_seed(0)
    return {
        caffe_name(name): torch.randn(value.shape, generator=generator) * (2.0 / value[0].numel()) ** 0.5
        if value.dim() > 1
        else torch.randn(value.shape, generator=generator) * 0.1
        for name, value in make_backbone("googlenet-2014").state_dict().items()
    }


def reference_5b(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """The 2014 network up to the last Inception block, written out with torch's own functions."""

    def conv(x, name, **kwargs):
        return functional.relu(functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **kwargs))

    def pool(x):
        return functional.max_pool2d(x, 3, stride=2, ceil_mode=True)

    def norm(x):
        return functional.local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=1.0)

    def inception(x, name):
        n = f"inception_{name}"
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1)
        return torch.cat(
            [
                conv(x, f"{n}.c1"),
                conv(conv(x, f"{n}.r3"), f"{n}.c3", padding=1),
                conv(conv(x, f"{n}.r5"), f"{n}.c5", padding=2),
                conv(pooled, f"{n}.pp"),
            ],
            dim=1,
        )

    x = norm(pool(conv(x, "conv1", stride=2, padding=3)))
    x = pool(norm(conv(conv(x, "red2"), "conv2", padding=1)))
    x = pool(inception(inception(x, "3a"), "3b"))
    for name in ("4a", "4b", "4c", "4d", "4e"):
        x = inception(x, name)
    return inception(inception(pool(x), "5a"), "5b")


def test_the_2014_backbone_computes_the_published_network(tensors):
    model = TransferModel("googlenet-2014").eval()
    load_imagenet_2014(model, tensors)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 50
    with torch.inference_mode():
        ours, expected = model.features(images)["5b"], reference_5b(images, tensors)
    assert expected.abs().max() > 1e-3
    assert (ours - expected).abs().max() < 1e-4 * expected.abs().max()


def test_its_parts_are_called_as_torchvisions_are():
    """Bundles, pretrained weights and the fused networks go by these names."""
    ours, torchvisions = (dict(make_backbone(name).named_parameters()) for name in BACKBONES)
    weights = {name: list(value.shape) for name, value in ours.items() if name.endswith("conv.weight")}
    theirs = {name: list(value.shape) for name, value in torchvisions.items() if name.endswith("conv.weight")}
    fives = {name for name in weights if name.endswith("branch3.1.conv.weight")}
    assert len(weights) == 57
    assert {name for name in weights if weights[name] != theirs.get(name)} == fives
    assert all(weights[name][2:] == [5, 5] and theirs[name][2:] == [3, 3] for name in fives)
    assert len(fives) == 9


def test_all_116_tensors_but_the_classifier_have_a_place():
    names = {caffe_name(name) for name in make_backbone("googlenet-2014").state_dict()}
    assert len(names) == 114
    assert {"conv1.weight", "red2.bias", "conv2.weight", "inception_4e.c5.weight"} <= names


def test_local_response_normalisation_equals_torchs():
    x = torch.randn(2, 64, 5, 5, generator=torch.Generator().manual_seed(2)) * 80
    expected = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x)
    torch.testing.assert_close(LocalResponseNorm(64)(x), expected, rtol=1e-5, atol=1e-5)


def test_torchvisions_backbone_gives_torchvisions_features():
    torch.manual_seed(3)
    original = googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    model = TransferModel("googlenet-torchvision").eval()
    load_torchvision_state(model, original.state_dict())
    images = torch.randn(2, 3, 96, 96)
    caught = {}
    original.inception5b.register_forward_hook(lambda module, inputs, output: caught.update(x=output))
    with torch.inference_mode():
        original(images)
        ours = model.features(images)["5b"]
    torch.testing.assert_close(ours, caught["x"])


@pytest.mark.parametrize("backbone", ["googlenet-2014", "googlenet-torchvision"])
def test_the_logit_is_a_linear_function_of_pooled_features(backbone):
    torch.manual_seed(4)
    model = TransferModel(backbone).eval()
    nn.init.normal_(model.output.linear.weight)
    images, tumour = torch.randn(3, 3, 64, 64), (torch.rand(3, 64, 64) > 0.7).float()
    with torch.inference_mode():
        levels = model.features(images)
        share = functional.adaptive_avg_pool2d(tumour[:, None], levels["3b"].shape[2:])
        inside = (levels["3b"] * share).sum((2, 3)) / (share.sum((2, 3)) + 1e-3)
        pooled = torch.cat([*(levels[name].mean((2, 3)) for name in LEVELS), inside], dim=1)
        expected = pooled @ model.output.linear.weight[0] + model.output.linear.bias[0]
        torch.testing.assert_close(model(images, tumour), expected, rtol=1e-4, atol=1e-3)


def test_tumour_weights_sum_to_one_inside_and_to_nothing_without_a_tumour():
    tumour = torch.zeros(2, 64, 64)
    tumour[0, :16, :16] = 1
    weights = tumour_weights(tumour, torch.zeros(2, 5, 8, 8))
    assert weights[0].sum() == pytest.approx(1, abs=1e-3)
    assert weights[0, 0, :2, :2].sum() == pytest.approx(1, abs=1e-3)
    assert weights[1].sum() == 0


def test_a_missing_tensor_is_named(tensors):
    short = {k: v for k, v in tensors.items() if k != "inception_4b.r3.bias"}
    with pytest.raises(BundleError, match=r"inception_4b\.r3\.bias"):
        load_imagenet_2014(TransferModel("googlenet-2014"), short)


def test_missing_pretrained_file_says_what_to_do(tmp_path):
    with pytest.raises(BundleError, match="--pretrained"):
        load_imagenet_2014(TransferModel("googlenet-2014"), tmp_path / "none.pt")


def test_unknown_backbone_lists_the_known_ones():
    with pytest.raises(UsageError, match="googlenet-2014, googlenet-torchvision"):
        TransferModel("resnet50")
