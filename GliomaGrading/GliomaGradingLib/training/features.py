"""What frozen networks and plain image statistics see of a training set, for baselines and ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks.image_form import ImageForm
from ..networks.network import LEVELS, TransferModel, load_imagenet_2014, tumour_weights
from ..words import SEQUENCES, SLICE_COUNT
from .dataset import TrainingSet
from .recipe import Augmentation, Recipe
from .source import SliceSource, evaluated
from .splits import Part
from .team import Draw

BATCH = 160


def frozen_features(
    data: TrainingSet,
    pretrained: Path,
    form: ImageForm,
    augmented: int | None = None,
    mirrored: bool = False,
    every: int = 1,
    augmentation: Augmentation | None = None,
) -> dict[str, np.ndarray]:
    """Pooled ImageNet features of every patient's slices, by level; nothing is learned.

    Args:
        augmented: seed of one random change of every slice; None leaves them as they are.
        mirrored: turn every slice left to right.
        every: look at every second, third, ... of the 20 slices only.
        augmentation: how slices are changed; by default as a recipe does.

    Returns:
        (3, patients, slices, channels) float32 by name: ``3b`` to ``5b`` are means over the slice,
        ``3b tumour`` to ``5b tumour`` over the tumour.
    """
    recipe = Recipe(image=form, augmentation=augmentation or Augmentation())
    model = TransferModel(recipe.backbone)
    load_imagenet_2014(model, pretrained)
    model = model.eval().to(memory_format=torch.channels_last)
    everyone = Part.of_patients(np.arange(len(data)), SLICE_COUNT)
    chosen = np.flatnonzero(everyone.slice % every == 0)
    everyone = Part(everyone.patient[chosen], everyone.slice[chosen])
    columns = [
        _sequence_features(model, SliceSource(data, column, recipe), everyone, augmented, mirrored)
        for column in range(len(SEQUENCES))
    ]
    slices = len(range(0, SLICE_COUNT, every))
    stacked = torch.stack(columns).reshape(len(SEQUENCES), len(data), slices, -1).numpy()
    names = [*LEVELS, *(f"{level} tumour" for level in LEVELS)]
    ends = np.cumsum([*LEVELS.values(), *LEVELS.values()])
    return dict(zip(names, np.split(stacked, ends[:-1], axis=-1), strict=True))


def _sequence_features(
    model: TransferModel, source: SliceSource, part: Part, augmented: int | None, mirrored: bool
) -> Tensor:
    generator = None if augmented is None else torch.Generator().manual_seed(augmented)
    batches = source.batches(part, BATCH)
    inputs = (
        source.plain(b) if generator is None else source.augmented(b, Draw(generator, len(b))) for b in batches
    )
    turned = ((image.flip(-1), mask.flip(-1)) for image, mask in inputs) if mirrored else inputs
    return evaluated(model, lambda image, mask: _pooled(model, image, mask), turned, source.recipe.precision)


def _pooled(model: TransferModel, images: Tensor, tumour: Tensor) -> Tensor:
    levels = model.features(images)
    means = [level.mean(dim=(2, 3)) for level in levels.values()]
    inside = [(level * tumour_weights(tumour, level)).sum(dim=(2, 3)) for level in levels.values()]
    return torch.cat([*means, *inside], dim=1).float()


def radiomics(data: TrainingSet) -> tuple[np.ndarray, list[str]]:
    """Simple radiomics of the tumour in its region: shape, and first-order statistics of each sequence.

    Intensities are the z-scores over the brain, statistics are over the mask's voxels, lengths in mm. A tumour
    that is larger than the region is cut off by it.

    Returns:
        (patients, features) float64 and the features' names.
    """
    rows = [
        {**_shape(labels > 0, data), **_first_order(images.astype(np.float64), labels > 0)}
        for images, labels in zip(data.images, data.labels, strict=True)
    ]
    return np.array([list(row.values()) for row in rows]), list(rows[0])


def _shape(mask: np.ndarray, data: TrainingSet) -> dict[str, float]:
    size = np.array([data.plane_mm, data.form.pixel_mm, data.form.pixel_mm])
    points = np.argwhere(mask) * size
    volume = float(len(points) * size.prod())
    surface = _surface(mask, size)
    axes = np.sqrt(np.sort(np.linalg.eigvalsh(np.cov(points.T)))[::-1].clip(1e-6))
    extent = np.ptp(points, axis=0) + size
    return {
        "log volume": float(np.log(volume)),
        "surface to volume": surface / volume,
        "sphericity": float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface),
        "elongation": float(axes[1] / axes[0]),
        "flatness": float(axes[2] / axes[0]),
        "major axis": float(4 * axes[0]),
        "filled share of the box": volume / float(extent.prod()),
        "height": float(extent[0]),
    }


def _surface(mask: np.ndarray, size: np.ndarray) -> float:
    """Area of the voxel faces between tumour and not tumour, mm2."""
    padded = np.pad(mask, 1).astype(np.int8)
    faces = [np.abs(np.diff(padded, axis=axis)).sum() for axis in range(3)]
    return float(sum(count * size.prod() / size[axis] for axis, count in enumerate(faces)))


def _first_order(images: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, image in zip(SEQUENCES, images, strict=True):
        values = image[mask]
        figures.update({f"{name} {key}": value for key, value in _statistics(values).items()})
        figures[f"{name} gradient"] = float(np.mean(np.abs(np.stack(np.gradient(image))), axis=0)[mask].mean())
    return figures


def _statistics(values: np.ndarray) -> dict[str, float]:
    centred = (values - values.mean()) / (values.std() + 1e-6)
    share, _ = np.histogram(values, bins=np.linspace(-4, 7, 45))
    share = share[share > 0] / len(values)
    low, first, middle, third, high = np.percentile(values, (10, 25, 50, 75, 90))
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "p10": float(low),
        "median": float(middle),
        "p90": float(high),
        "interquartile range": float(third - first),
        "skewness": float((centred**3).mean()),
        "kurtosis": float((centred**4).mean()),
        "entropy": float(-(share * np.log2(share)).sum()),
    }
