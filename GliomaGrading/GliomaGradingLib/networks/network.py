"""GoogLeNet transfer models: two backbones behind one interface, and the output module on top.

``googlenet-2014`` is the published network (:mod:`.googlenet`), ``googlenet-torchvision`` is torchvision's
class as it comes. Parts have the same names in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BundleError, UsageError
from .googlenet import GoogLeNet2014

BACKBONES = ("googlenet-2014", "googlenet-torchvision")
DIRECTIONS = 16
"""Directions in which the pooled features of the training patients vary most, kept to tell an unlike case."""
LEVELS = {"3b": 480, "4c": 512, "4e": 832, "5b": 1024}
"""The Inception blocks that the output module reads, from shallow to deep, and their channels."""


class OutputModule(nn.Module):
    """The redesigned output module: pooled features of four depths, standardised, dropout, one logit of HGG.

    The ImageNet network reads its 1000 classes off the last Inception block alone. What tells grades apart in
    a tumour is as much texture as shape, and texture lives in the earlier blocks: of the pooled ImageNet
    features the middle ones (4e) separate the grades better than the last block does. The module therefore
    takes the mean over the slice of blocks 3b, 4c, 4e and 5b, and of 3b also the mean over the tumour,
    standardises every feature by its mean and deviation in the training images, and adds them up in one
    linear layer to one logit, whose sigmoid is the probability of HGG. Few new weights are left to learn, and
    Grad-CAM is exact for them (arXiv 2011.08891), since pooling and a linear layer are all that follows.

    It also knows around which ``centre`` and along which ``directions`` the standardised features of the
    training patients vary, so that it can say how much of a case's features they do not explain.
    """

    mean: Tensor
    deviation: Tensor
    centre: Tensor
    directions: Tensor

    def __init__(self, features: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, features))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(self.dropout(self.standardised(pooled)))[:, 0]

    def standardised(self, pooled: Tensor) -> Tensor:
        """Pooled features in the training images' standard deviations from their mean."""
        return (pooled - self.mean) / self.deviation

    def unexplained(self, pooled: Tensor) -> Tensor:
        """Length of the mean over slices (N, features) outside the training patients' directions."""
        offset = self.standardised(pooled).mean(dim=0) - self.centre
        return (offset - (self.directions @ offset) @ self.directions).norm()


class TransferModel(nn.Module):
    """One sequence's network: a backbone without its classifier, and the output module.

    ``forward`` takes images (N, 3, H, W) as ``images.network_input`` makes them and the tumour mask (N, H, W)
    on the same pixels, and gives (N,) logits of HGG.
    """

    def __init__(self, backbone: str, dropout: float = 0.3) -> None:
        super().__init__()
        self.backbone_name = backbone
        self.backbone: Any = make_backbone(backbone)  # Any: its blocks are attributes mypy cannot see
        self.output = OutputModule(sum(LEVELS.values()) + LEVELS["3b"], dropout)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Activations (N, channels, h, w) of the blocks in ``LEVELS``."""
        return self.deeper(self.shallow(images))

    def shallow(self, images: Tensor) -> Tensor:
        """(N, 480, h, w): block 3b, after somewhat more than half of the work."""
        net = self.backbone
        x3b: Tensor = net.inception3b(net.inception3a(self.stem(images)))
        return x3b

    def deeper(self, x3b: Tensor) -> dict[str, Tensor]:
        """The blocks in ``LEVELS`` from 3b on."""
        net = self.backbone
        x4c = net.inception4c(net.inception4b(net.inception4a(net.maxpool3(x3b))))
        x4e = net.inception4e(net.inception4d(x4c))
        x5b = net.inception5b(net.inception5a(net.maxpool4(x4e)))
        return {"3b": x3b, "4c": x4c, "4e": x4e, "5b": x5b}

    def stem(self, images: Tensor) -> Tensor:
        """(N, 192, h, w): what the first Inception block sees."""
        net = self.backbone
        return net.maxpool2(net.conv3(net.conv2(net.maxpool1(net.conv1(images)))))

    def pooled(self, images: Tensor, tumour: Tensor) -> Tensor:
        """(N, features) of the output module: the mean of every level, then of 3b over the tumour."""
        levels = self.features(images)
        means = [level.mean(dim=(2, 3)) for level in levels.values()]
        weights = tumour_weights(tumour, levels["3b"])
        return torch.cat([*means, (levels["3b"] * weights).sum(dim=(2, 3))], dim=1).float()

    def forward(self, images: Tensor, tumour: Tensor) -> Tensor:
        return self.output(self.pooled(images, tumour))


def tumour_weights(tumour: Tensor, level: Tensor) -> Tensor:
    """(N, 1, h, w) weights of a level's points that sum to one over the tumour, or to 0 where there is none."""
    share = functional.interpolate(tumour[:, None], size=level.shape[2:], mode="area").to(level.dtype)
    return share / (share.sum(dim=(2, 3), keepdim=True) + 1e-3)


def make_backbone(name: str) -> nn.Module:
    """A GoogLeNet without classifier and with untrained weights.

    Raises:
        UsageError: there is no backbone of that name.
    """
    if name not in BACKBONES:
        raise UsageError(f"there is no backbone {name!r}", remedy=f"choose one of {', '.join(BACKBONES)}")
    if name == "googlenet-2014":
        return GoogLeNet2014()
    from torchvision.models import googlenet

    network: nn.Module = googlenet(weights=None, aux_logits=False, init_weights=False)
    network.fc = nn.Identity()
    return network


_STEM_2014 = {"conv1": "conv1", "conv2": "red2", "conv3": "conv2"}
_BRANCH_2014 = {
    "branch1": "c1",
    "branch2.0": "r3",
    "branch2.1": "c3",
    "branch3.0": "r5",
    "branch3.1": "c5",
    "branch4.1": "pp",
}


def caffe_name(name: str) -> str:
    """The name that the 2014 tensors' file has for one of the backbone's parameters."""
    module, _, parameter = name.rpartition(".conv.")
    if module in _STEM_2014:
        return f"{_STEM_2014[module]}.{parameter}"
    block, _, branch = module.partition(".")
    return f"inception_{block.removeprefix('inception')}.{_BRANCH_2014[branch]}.{parameter}"


def load_imagenet_2014(model: TransferModel, tensors: Mapping[str, Tensor] | str | Path) -> None:
    """Start a ``googlenet-2014`` model from the ImageNet tensors of the 2014 network, in place.

    Args:
        tensors: the tensors by their name in the file, or the file (read with ``weights_only``).

    Raises:
        BundleError: the file cannot be read, lacks a tensor or has one of another shape.
    """
    if not isinstance(tensors, Mapping):
        tensors = _read_tensors(Path(tensors))
    state = {}
    for name, parameter in model.backbone.state_dict().items():
        source = tensors.get(caffe_name(name))
        if source is None or source.shape != parameter.shape:
            raise BundleError(
                f"pretrained tensor {caffe_name(name)} is missing or has another shape",
                remedy="give the 2014 GoogLeNet's tensors (116 float32 tensors)",
            )
        state[name] = source
    model.backbone.load_state_dict(state)


def load_imagenet_torchvision(model: TransferModel) -> None:
    """Start a ``googlenet-torchvision`` model from IMAGENET1K_V1, by torchvision's own download."""
    from torchvision.models import GoogLeNet_Weights

    try:
        pretrained = GoogLeNet_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise BundleError(
            f"torchvision's GoogLeNet weights could not be downloaded ({error})",
            remedy="connect to the network once, or train with --pretrained FILE and a recipe whose backbone "
            "is googlenet-2014",
        ) from error
    load_torchvision_state(model, pretrained)


def load_torchvision_state(model: TransferModel, pretrained: Mapping[str, Tensor]) -> None:
    """Copy a torchvision GoogLeNet state into the backbone, without classifier and auxiliary heads."""
    kept = {k: v for k, v in pretrained.items() if not k.startswith(("fc.", "aux1.", "aux2."))}
    model.backbone.load_state_dict(kept)


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BundleError("there are no pretrained tensors", path, "name the file with --pretrained") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise BundleError(f"the pretrained tensors cannot be read ({error})", path, "copy it anew") from error
