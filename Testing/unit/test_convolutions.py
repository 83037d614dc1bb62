"""Every form of a convolution gives what PyTorch's convolution gives."""

from __future__ import annotations

import pytest
import torch
from GliomaGradingLib.networks import convolutions
from GliomaGradingLib.networks.convolutions import Direct, Pointwise, WholePlane, Winograd, relu_convolution
from GliomaGradingLib.networks.googlenet import PlainConv2d
from torch import nn
from torch.nn import functional

SHAPES = [(2, 8, 8, 8), (1, 8, 16, 16), (3, 8, 9, 14), (2, 8, 4, 4), (1, 8, 2, 2), (1, 8, 1, 3)]


def image(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def block(kernel: int, stride: int = 1, channels: int = 6) -> PlainConv2d:
    torch.manual_seed(kernel)
    return PlainConv2d(8, channels, kernel_size=kernel, stride=stride, padding=kernel // 2)


def assert_same(form: nn.Module, plain: nn.Module, shape: tuple[int, ...]) -> None:
    for layout in (torch.channels_last, torch.contiguous_format):
        given = image(shape).contiguous(memory_format=layout)
        with torch.inference_mode():
            expected, found = plain(given), form(given)
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, atol=1e-5)
        assert 0.1 < float((expected == 0).float().mean()) < 0.9  # ReLU has something to do, and to leave
        assert torch.equal(given, image(shape))  # nothing is done in place


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("made_for", [*SHAPES[:1], *SHAPES[3:]])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (7, 2)])
def test_it_is_torchs_convolution_and_relu(kernel, stride, made_for, shape):
    plain = block(kernel, stride)
    form = relu_convolution(plain, list(made_for))
    assert form.kernel_elements == 8 * kernel**2
    assert_same(form, plain, shape)


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "kind"),
    [
        (1, 1, 4, Pointwise),
        (3, 1, 8, Winograd),
        (3, 1, 4, Winograd),
        (3, 1, 3, Direct),
        (3, 1, 2, WholePlane),
        (3, 2, 8, Direct),
        (3, 2, 2, Direct),
        (5, 1, 8, Direct),
        (5, 1, 3, WholePlane),
    ],
)
def test_the_form_fits_kernel_and_plane(kernel, stride, side, kind):
    assert type(relu_convolution(block(kernel, stride), [1, 8, side, side])) is kind


def test_without_packed_convolutions_ordinary_ones_do(monkeypatch):
    monkeypatch.setattr(convolutions, "can_pack", lambda: False)
    assert_same(relu_convolution(block(5), [2, 8, 4, 4]), block(5), (2, 8, 4, 4))


@pytest.mark.parametrize("tile", [2, 4])
def test_winograd_keeps_the_digits_of_large_and_small_numbers(tile):
    """Its sums cancel: what is left must still be as exact as float32 sums of so many terms are."""
    plain = block(3)
    given = 3000 * image((1, 8, 12, 12))
    with torch.inference_mode():
        exact = plain.double()(given.double())
        found = Winograd(plain.conv.weight.float(), plain.conv.bias.float(), tile)(given)
    assert float((found - exact).abs().max()) < 2e-6 * float(exact.abs().max())


def test_batch_normalisation_is_folded_in():
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(x)).relu()

    torch.manual_seed(0)
    plain = Normalised().eval()
    for values in (plain.bn.weight, plain.bn.running_var):
        nn.init.uniform_(values, 0.5, 2.0)
    for values in (plain.bn.bias, plain.bn.running_mean):
        nn.init.normal_(values)
    for shape in SHAPES[:4]:
        assert_same(relu_convolution(plain, list(shape)), plain, shape)


def test_weights_are_copied():
    for kernel, side in ((1, 8), (3, 8), (5, 8), (3, 4), (5, 2)):
        plain, given = block(kernel), image((1, 8, side, side))
        form = relu_convolution(plain, [1, 8, side, side])
        before = form(given)
        plain.conv.weight.data.zero_()
        plain.conv.bias.data.zero_()
        assert torch.equal(form(given), before) and float(before.abs().max()) > 0


@pytest.mark.parametrize("error", (AttributeError, RuntimeError, TypeError))
def test_a_torch_without_packed_convolutions_is_found_out(error, monkeypatch):
    def refuse(*_: object) -> torch.Tensor:
        raise error("no such function")

    monkeypatch.setattr(convolutions, "_packed", refuse)
    assert convolutions.can_pack.__wrapped__() is False


def test_packed_convolutions_that_compute_something_else_are_found_out(monkeypatch):
    monkeypatch.setattr(convolutions, "_packed", lambda weight, *_: 2 * weight)
    monkeypatch.setattr(
        convolutions, "_packed_convolution", lambda x, w, b, g: functional.conv2d(x, w, b, 2, 1).relu()
    )
    assert convolutions.can_pack.__wrapped__() is False
