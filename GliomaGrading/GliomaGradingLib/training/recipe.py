"""Everything that can be chosen about a training run, in one frozen value that is stored with its results."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError, reason
from ..networks.image_form import CHANNEL_RULES, ImageForm
from ..networks.network import BACKBONES


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image; every value is the half-width of a symmetric range unless said.

    Args:
        rotation: radians. zoom, aspect: log scale. shift: fraction of the half image.
        contrast: log of the gain on z-scores. brightness: z-scores. noise: upper bound of the noise's
            standard deviation in z-scores. mirror: mirror left-right half of the time. redraw: share of
            masks that are grown, of those shrunk, of those smeared, and of those replaced by their box.
    """

    rotation: float = math.pi
    zoom: float = 0.25
    aspect: float = 0.12
    shift: float = 0.2
    contrast: float = 0.35
    brightness: float = 0.4
    noise: float = 0.0
    mirror: bool = True
    redraw: float = 0.2


@dataclass(frozen=True)
class Recipe:
    """How one transfer model is trained.

    Args:
        sampling: ``patients`` draws grades evenly, then patients, then a plane at random from the slices'
            range; ``images`` goes through the training slices once an epoch, but for those of a last batch that
            would not be full, in an order that is the same for the three sequences (the paper's).
        images_per_epoch: for ``patients``; ``images`` has as many as there are slices.
        probe: begin with the output module that ridge regression finds on the pretrained network's pooled
            features (linear probing before fine-tuning, arXiv 2202.10054); ``ridge`` is its penalty per
            image, ``probe_gain`` the logit of a perfectly separated image, and ``probe_passes`` how many
            times the training slices are looked at, the first time unchanged, then augmented.
        enhancement: share of a slice's target that is how much of its tumour has the label
            ``enhancing_label`` (4, whatever a data set calls it, where ``prepare`` made the set); the rest is
            the grade (``training.targets``). A mask of a single value teaches the grade alone, and so do all
            where nobody's has that label.
        learning_rate: peak of a one-cycle schedule for the backbone; ``head_factor`` times it for the
            output module.
        validation: share of the training patients (or images) kept for curves and early stopping.
        patience: epochs without a better validation loss before training stops; 0 never stops early. By patient
            it needs ``validation``; a bundle is trained without.
        average_from: share of training after which weights are averaged to its end; 1 averages nothing.
        seed: of the network's beginning and of what is drawn in training; who is in which part of a study is
            drawn with a seed of its own (``training.study``).
        precision: ``auto`` uses bfloat16 where the processor multiplies it natively; ``float32``; ``bfloat16``.
    """

    backbone: str = "googlenet-2014"
    image: ImageForm = field(default_factory=lambda: ImageForm(turned=True, shifted=8))
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampling: str = "patients"
    images_per_epoch: int = 1600
    batch: int = 32
    epochs: int = 1
    probe: bool = True
    ridge: float = 0.03
    probe_gain: float = 3.0
    probe_passes: int = 9
    enhancement: float = 0.3
    enhancing_label: int = 4
    learning_rate: float = 1e-5
    head_factor: float = 1.0
    weight_decay: float = 0.02
    dropout: float = 0.3
    label_smoothing: float = 0.05
    warm_up: float = 0.2
    clip_norm: float = 5.0
    average_from: float = 0.7
    validation: float = 0.0
    patience: int = 0
    pretrained: bool = True
    precision: str = "auto"
    seed: int = 2022

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The recipe of a (partial) JSON object; what it leaves out keeps its default.

    Raises:
        UsageError: a key or a word is not known, or a value is of another kind, too small or too large.
    """
    settings = _checked(Recipe, values)
    parts: dict[str, Any] = {}
    if "image" in settings:
        parts["image"] = _image_form(settings["image"])
    if "augmentation" in settings:
        parts["augmentation"] = Augmentation(**_checked(Augmentation, settings["augmentation"]))
    recipe = Recipe(**{**settings, **parts})
    if not (recipe.epochs or recipe.probe):
        raise UsageError("with no epoch and no probe nothing is learned", remedy="give the recipe one of them")
    return recipe


def read_recipe(path: Path) -> Recipe:
    """Read a recipe's JSON file.

    Raises:
        UsageError: it cannot be read, or a setting is wrong.
    """
    try:
        return recipe_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the recipe cannot be read ({reason(error)})", path, "give a JSON file of settings"
        ) from error


@dataclass(frozen=True)
class Bounds:
    """What a number has to lie between; ``open_least`` and ``open_most``: the end itself is none of them."""

    least: float = 0
    most: float = math.inf
    open_least: bool = False
    open_most: bool = False

    def hold(self, number: float) -> bool:
        above = number > self.least if self.open_least else number >= self.least
        below = number < self.most if self.open_most else number <= self.most
        return abs(number) <= sys.float_info.max and above and below  # a whole number may be beyond any float

    def __str__(self) -> str:
        if self.most == math.inf:
            if self.least == -math.inf:
                return "a number"
            return f"more than {self.least}" if self.open_least else f"{self.least} or more"
        least = f"more than {self.least}" if self.open_least else str(self.least)
        return f"{least} or more, and less than {self.most}" if self.open_most else f"{least} to {self.most}"


ABOVE_0, SHARE, SHARE_BELOW_1 = Bounds(open_least=True), Bounds(most=1), Bounds(most=1, open_most=True)
BOUNDS = {
    "pixels": Bounds(32, 1024),
    "batch": Bounds(2),
    "images_per_epoch": Bounds(1),
    "probe_passes": Bounds(1),
    "enhancing_label": Bounds(1, 255),
    "seed": Bounds(most=2**32 - 1),
    **dict.fromkeys(("enhancement", "warm_up", "average_from"), SHARE),
    **dict.fromkeys(("dropout", "validation"), SHARE_BELOW_1),
    "label_smoothing": Bounds(most=0.5, open_most=True),
    "redraw": Bounds(most=0.25),  # four kinds of redrawn masks have this share each
    **dict.fromkeys(("gain", "ridge", "clip_norm"), ABOVE_0),
    **dict.fromkeys(("low", "high"), Bounds(least=-math.inf)),
}
"""Of any other number it is 0 or more."""
WORDS = {
    "backbone": BACKBONES,
    "sampling": ("patients", "images"),
    "precision": ("auto", "float32", "bfloat16"),
    "channels": CHANNEL_RULES,
}
"""The words that a setting knows."""


def _image_form(values: Any) -> ImageForm:
    settings = {**asdict(ImageForm()), **_checked(ImageForm, values)}
    for name, limit in (("low", "high"), ("shifted", "pixels")):
        if settings[name] >= settings[limit]:
            raise UsageError(
                f"the recipe's {name} is {settings[name]!r}",
                remedy=f"give less than its {limit}, which is {settings[limit]!r}",
            )
    return ImageForm(**settings)


def _checked(kind: Any, values: Any) -> dict[str, Any]:
    """These settings, if a value of the kind can be made of them."""
    if not isinstance(values, dict):
        raise UsageError(f"a {kind.__name__} is no {type(values).__name__}", remedy="give a JSON object")
    defaults = asdict(kind())
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise UsageError(
            f"a {kind.__name__} has no {unknown[0]!r}", remedy=f"known are {', '.join(sorted(defaults))}"
        )
    return {name: _checked_setting(name, value, type(defaults[name])) for name, value in values.items()}


def _checked_setting(name: str, value: Any, kind: Any) -> Any:
    """The value, a float where a whole number is given for one."""
    taken = (int, float) if kind is float else (kind,)
    if not isinstance(value, taken) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"the recipe's {name} is {value!r}", remedy=f"give {_KINDS[kind]}")
    if value not in WORDS.get(name, (value,)):
        raise UsageError(f"the recipe's {name} is {value!r}", remedy=f"choose one of {', '.join(WORDS[name])}")
    if kind not in (int, float):
        return value
    bounds = BOUNDS.get(name, Bounds())
    if not bounds.hold(value):
        raise UsageError(f"the recipe's {name} is {value!r}", remedy=f"give {bounds}")
    return kind(value)


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a JSON object"}


PAPER_RECIPE = Recipe(
    image=ImageForm(),
    sampling="images",
    ridge=3.0,
    probe_passes=2,
    enhancement=0.0,
    epochs=12,
    learning_rate=3e-4,
    label_smoothing=0.0,
    dropout=0.2,
    average_from=0.8,
    augmentation=Augmentation(
        rotation=0.1,
        zoom=0.05,
        aspect=0.0,
        shift=0.04,
        contrast=0.05,
        brightness=0.05,
        mirror=True,
        redraw=0.05,
    ),
)
"""For the paper's protocol: the training slices once an epoch (those of full batches), slight augmentation."""
