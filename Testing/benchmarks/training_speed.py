"""How many images a second training takes in, beside the loop that one would write first.

python -m Testing.benchmarks.training_speed --data SET.npz --pretrained TENSORS.pt [--rounds N] [--output DIR]

Three loops train the same network from the same weights with the same optimiser, batch and patients drawn:

* ours: the product's ``Fit`` (whole batches augmented as tensors, channels last, bfloat16 where there is one);
* float32: ``Fit`` in float32, on the very same augmented images, to compare the loss curves;
* plain: a Dataset of single PIL slices with torchvision's transforms, a DataLoader, NCHW, float32.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from .measure import CLOCKS, described, machine, parser, table, use_repository, write

use_repository()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from GliomaGradingLib.networks.googlenet import PlainConv2d  # noqa: E402
from GliomaGradingLib.training.dataset import TrainingSet  # noqa: E402
from GliomaGradingLib.training.equipment import Equipment  # noqa: E402
from GliomaGradingLib.training.fit import Fit, new_model  # noqa: E402
from GliomaGradingLib.training.recipe import Recipe  # noqa: E402
from GliomaGradingLib.training.source import SliceBatch, SliceSource  # noqa: E402
from GliomaGradingLib.training.splits import Part, Split  # noqa: E402
from GliomaGradingLib.words import SLICE_COUNT  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

FLAIR = 2
SEED = 1
WINDOW = 5
LEARNING_RATE = 3e-4  # the paper's protocol's: a few steps are enough to see the loss fall


class PlainSlices(Dataset):
    """Single slices as 8-bit RGB pictures, changed by torchvision's transforms."""

    def __init__(self, source: SliceSource, batches: list[SliceBatch], recipe: Recipe) -> None:
        from torchvision.transforms import v2

        self.source, self.form = source, recipe.image
        self.patient = np.concatenate([batch.patient for batch in batches])
        self.plane = np.concatenate([batch.plane for batch in batches])
        change = recipe.augmentation
        self.transform = v2.Compose(
            [
                v2.Resize(self.form.pixels),
                v2.RandomAffine(
                    degrees=np.rad2deg(change.rotation),
                    translate=(change.shift / 2,) * 2,
                    scale=(float(np.exp(-change.zoom)), float(np.exp(change.zoom))),
                    interpolation=v2.InterpolationMode.BILINEAR,
                ),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=change.brightness, contrast=change.contrast),
            ]
        )
        self.to_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.patient)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, float]:
        from PIL import Image
        from torchvision import tv_tensors

        one = SliceBatch(self.patient[index : index + 1], self.plane[index : index + 1])
        channels, tumour = self.source._planes(one)
        low, high = self.form.low, self.form.high
        grey = (channels[0] - low) / (high - low) * 255
        picture = Image.fromarray(grey.permute(1, 2, 0).round().to(torch.uint8).numpy())
        picture, mask = self.transform(picture, tv_tensors.Mask(tumour))
        image = self.form.gain * (self.to_tensor(picture) * (high - low) + low)
        return image, mask[0].float(), float(self.source.data.grades[self.patient[index]])


def balanced(data: TrainingSet, patients: int) -> TrainingSet:
    rows = [np.flatnonzero(data.grades == grade)[: patients // 2] for grade in (0, 1)]
    return data.subset(np.concatenate(rows))


def new_fit(data: TrainingSet, recipe: Recipe, pretrained: Path | None) -> Fit:
    nobody = Part.of_patients([], SLICE_COUNT)
    split = Split(Part.of_patients(range(len(data)), SLICE_COUNT), nobody, nobody)
    return Fit(data, FLAIR, split, recipe, None, Equipment(pretrained))


def batches_of(fit: Fit, count: int) -> list[SliceBatch]:
    drawn = fit._batches(np.random.default_rng(SEED))
    return [next(drawn) for _ in range(count)]


def our_steps(fit: Fit, batches: list[SliceBatch]) -> Iterator[float]:
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    fit.model.train()
    for batch in batches:
        yield fit._step(batch, generator)[0]


def as_usually_written(module: nn.Module) -> None:
    """Every convolution of a model by itself and ReLU after it, as a GoogLeNet is written; in place."""
    for name, child in module.named_children():
        if isinstance(child, PlainConv2d):
            setattr(module, name, nn.Sequential(child.conv, nn.ReLU(inplace=True)))
        else:
            as_usually_written(child)


def plain_steps(
    data: TrainingSet, recipe: Recipe, pretrained: Path | None, batches: list[SliceBatch]
) -> Iterator[float]:
    model = new_model(recipe, pretrained).train()
    as_usually_written(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    torch.manual_seed(SEED)
    slices = PlainSlices(SliceSource(data, FLAIR, recipe), batches, recipe)
    for images, tumour, target in DataLoader(slices, batch_size=recipe.batch):
        logits = model(images, tumour)
        smooth = target.float() * (1 - 2 * recipe.label_smoothing) + recipe.label_smoothing
        loss = functional.binary_cross_entropy_with_logits(logits, smooth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        yield loss.item()


def taken_in_turn(
    loops: dict[str, Iterator[float]], now: Callable[[], float]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Losses and seconds of every step; the loops take their steps one after another."""
    losses: dict[str, list[float]] = {name: [] for name in loops}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    running = dict(loops)
    while running:
        for name in list(running):
            start = now()
            loss = next(running[name], None)
            if loss is None:
                del running[name]
                continue
            seconds[name].append(now() - start)
            losses[name].append(loss)
    return losses, seconds


def smoothed(losses: list[float]) -> list[float]:
    """Running means of ``WINDOW`` steps: the plain loop changes each image in its own way, step by step."""
    count = max(1, len(losses) - WINDOW + 1)
    return [statistics.mean(losses[start : start + WINDOW]) for start in range(count)]


def differences(first: list[float], second: list[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(first, second, strict=True)]


def measure(options: Any) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    data = balanced(TrainingSet.read(options.data), 40)
    recipe = Recipe(probe=False, pretrained=options.pretrained is not None, learning_rate=LEARNING_RATE)
    recipe = replace(recipe, warm_up=0.1, dropout=0.0)
    steps = 2 * options.rounds
    recipe = replace(recipe, images_per_epoch=steps * recipe.batch, epochs=1)
    ours = new_fit(data, recipe, options.pretrained)
    exact = new_fit(data, replace(recipe, precision="float32"), options.pretrained)
    batches = batches_of(ours, steps)
    loops = {
        "ours": our_steps(ours, batches),
        "float32": our_steps(exact, batches),
        "plain": plain_steps(data, recipe, options.pretrained, batches),
    }
    losses, seconds = taken_in_turn(loops, CLOCKS[options.clock])
    rates = {name: recipe.batch / statistics.median(values[1:]) for name, values in seconds.items()}
    apart = differences(losses["ours"], losses["float32"])
    apart_plain = differences(smoothed(losses["ours"]), smoothed(losses["plain"]))
    return {
        "machine": machine(options.threads, options.clock),
        "steps": steps,
        "batch": recipe.batch,
        "images_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "faster_than_plain": round(rates["ours"] / rates["plain"], 2),
        "faster_than_float32": round(rates["ours"] / rates["float32"], 2),
        "losses": {name: [round(loss, 4) for loss in values] for name, values in losses.items()},
        "largest_difference_of_loss": round(max(apart), 4),
        "mean_difference_of_loss": round(statistics.mean(apart), 4),
        "largest_difference_of_loss_from_plain": round(max(apart_plain), 4),
        "mean_difference_of_loss_from_plain": round(statistics.mean(apart_plain), 4),
    }


def report(found: dict[str, Any]) -> str:
    words = {
        "ours": "ours",
        "float32": "ours in float32, same images",
        "plain": "plain: DataLoader, PIL, NCHW, float32",
    }
    half = found["steps"] // 2
    rows = [
        (
            words[name],
            found["images_per_second"][name],
            f"{statistics.mean(losses[:half]):.3f}",
            f"{statistics.mean(losses[half:]):.3f}",
        )
        for name, losses in found["losses"].items()
    ]
    return "\n".join(
        [
            f"Training takes in {found['faster_than_plain']:.1f} times the images per second of the plain loop "
            f"(target: at least 2), {found['faster_than_float32']:.1f} times those of float32. On the same "
            f"images the loss differs from float32's by {found['mean_difference_of_loss']:.4f} on average and "
            f"{found['largest_difference_of_loss']:.4f} at most over {found['steps']} steps of "
            f"{found['batch']} images. From the plain loop's, which draws the same slices and changes them by "
            f"chances of its own, it differs by {found['mean_difference_of_loss_from_plain']:.4f} on average "
            f"and {found['largest_difference_of_loss_from_plain']:.4f} at most (means over {WINDOW} steps). "
            f"{described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.training_speed --data SET.npz --pretrained TENSORS.pt`.",
            "",
            table(("loop", "images per second", "loss, first half", "loss, second half"), rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("--data", type=Path, required=True)
    found.add_argument("--pretrained", type=Path)
    options = found.parse_args()
    content = measure(options)
    write(options.output, "training_speed", content, report(content))


if __name__ == "__main__":
    main()
