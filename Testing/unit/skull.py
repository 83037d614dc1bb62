"""A head around a skull-stripped brain, to test what has to work on images that still have their skull.

Not anatomy: layers and lumps with the contrasts that mislead a search for the brain. Cerebrospinal fluid in
the sulci and as a rim, dura, two dark tables with marrow between them, scalp fat (very bright on T1), skin,
neck muscle with a spinal cord that runs on from the brain stem, a face with eyes, optic nerves that lead from
them to the brain, air, a bright sinus along the midline, noise (Rician) and a smooth bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from GliomaGradingLib.case import Case
from GliomaGradingLib.volume import Volume

TISSUES = ("csf", "dura", "bone", "marrow", "fat", "skin", "muscle", "water", "nerve", "blood")
LEVELS = {  # relative to the brain's median; nearly those of spin echo images
    "T1": dict(zip(TISSUES, (0.30, 0.70, 0.08, 1.45, 2.20, 1.00, 0.75, 0.30, 0.95, 0.80), strict=True)),
    "T2": dict(zip(TISSUES, (2.30, 0.50, 0.07, 0.75, 1.30, 0.70, 0.45, 2.30, 0.90, 0.30), strict=True)),
    "FLAIR": dict(zip(TISSUES, (0.20, 0.70, 0.08, 0.70, 1.25, 0.80, 0.60, 0.25, 0.95, 0.50), strict=True)),
}


@dataclass(frozen=True)
class SkullOptions:
    """Millimetres, and fractions of the brain's median intensity."""

    seed: int = 0
    fluid_mm: float = 1.5
    table_mm: float = 2.0
    marrow_mm: float = 3.0
    fat_mm: float = 5.0
    noise: float = 0.02
    bias: float = 0.0
    masked_air: bool = False
    pad: int = 20
    neck_mm: float = 40.0


def add_skull(case: Case, options: SkullOptions | None = None) -> Case:
    """A copy of a stripped case on one grid of about 1 mm, padded at both ends, with a head around it."""
    options = options or SkullOptions()
    random = np.random.default_rng(options.seed)
    images = {name: _padded(volume, options.pad) for name, volume in case.images.items()}
    first = next(iter(images.values()))
    brain = np.any([v.array != 0 for v in images.values()], axis=0)
    share = _tissue_shares(brain, options, random)
    bias = 1 + options.bias * _smooth_noise(brain.shape, 40, random)
    heads = {
        name: replace(volume, array=_painted(volume.array, name, brain, share, bias, options, random))
        for name, volume in images.items()
    }
    mask = replace(_padded(case.mask, options.pad), origin=first.origin)
    return replace(case, images=heads, mask=mask)


def _painted(
    array: np.ndarray,
    name: str,
    brain: np.ndarray,
    share: Mapping[str, np.ndarray],
    bias: np.ndarray,
    options: SkullOptions,
    random: np.random.Generator,
) -> np.ndarray:
    level = float(np.median(array[array != 0]))
    head = np.where(brain, array, 0).astype(np.float32)
    for tissue, part in share.items():
        variation = 1 + 0.1 * _smooth_noise(brain.shape, 6, random)
        head += part * (LEVELS[name][tissue] * level) * variation
    head *= bias
    sigma = options.noise * level
    one, other = (random.normal(0, sigma, brain.shape).astype(np.float32) for _ in range(2))
    noisy = np.sqrt((head + one) ** 2 + other**2)
    if options.masked_air:
        noisy[head < 0.01 * level] = 0
    return np.round(noisy).astype(np.int16)


def _tissue_shares(
    brain: np.ndarray, options: SkullOptions, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """How much of a voxel (0 to 1) is of which tissue, outside the brain."""
    vault = _closed(brain, 9)
    away = _distance(vault) + 0.6 * _smooth_noise(brain.shape, 8, random)
    place = _places(brain)
    share: dict[str, np.ndarray] = {}
    left = np.where(brain, 0, 1).astype(np.float32)

    def give(tissue: str, depth: np.ndarray) -> None:
        """The part of the voxel that is inside (depth in mm, positive inside) and not given away yet."""
        part = left * np.clip(depth + 0.5, 0, 1)
        share[tissue] = share.get(tissue, 0) + part
        left[...] -= part

    wobble = _smooth_noise(brain.shape, 12, random)
    for tissue, depth in _ways_out(place, options):
        give(tissue, depth)
    edge = np.maximum(options.fluid_mm + 0.8 * wobble, 0)
    give("csf", edge - away)
    for tissue, thickness in (
        ("dura", 0.7),
        ("bone", options.table_mm),
        ("marrow", np.maximum(options.marrow_mm + 1.5 * _smooth_noise(brain.shape, 15, random), 0)),
        ("bone", options.table_mm),
        ("fat", options.fat_mm + 1.5 * _smooth_noise(brain.shape, 15, random)),
        ("skin", 1.5),
    ):
        edge = edge + thickness
        give(tissue, edge - away)
    for tissue, depth in _face_and_neck(place, options):
        give(tissue, depth)
    return share


def _places(brain: np.ndarray) -> dict[str, np.ndarray]:
    """Coordinates in mm (about 1 mm voxels): z up from the brain's lowest plane, y back, x left of middle."""
    points = np.argwhere(brain)
    low, high = points.min(0), points.max(0)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in brain.shape)]
    return {
        "z": (z - low[0]).astype(np.float32),
        "y": (y - (low[1] + high[1]) / 2).astype(np.float32),
        "x": (x - (low[2] + high[2]) / 2).astype(np.float32),
        "front": np.float32((low[1] - high[1]) / 2),
        "top": np.float32(high[0] - low[0]),
        "stem": (points[points[:, 0] <= low[0] + 3].mean(0)[1:] - (low + high)[1:] / 2).astype(np.float32),
    }


def _ways_out(place: dict[str, np.ndarray], options: SkullOptions) -> list[tuple[str, np.ndarray]]:
    """What leads out of the skull: the cord, the optic nerves, a venous sinus along the midline."""
    x, y, z, (stem_y, stem_x) = place["x"], place["y"], place["z"], place["stem"]
    cord = np.hypot(x - stem_x, y - stem_y) + np.maximum(z - 3, 0) * 10
    ways = [("nerve", 6 - cord), ("csf", 9 - cord), ("bone", 13 - cord)]
    front, eye_z = place["front"], 25.0
    for side in (-1, 1):
        along = np.clip((y - front) / 40 + 0.2, 0, 1)
        nerve = np.hypot(x - side * (30 - 22 * along), z - eye_z)
        outside = np.maximum(np.maximum(front - 8 - y, y - front - 35), 0)
        ways.append(("nerve", 2.5 - nerve - outside))
    ways.append(("blood", 3 - np.hypot(x, z - place["top"] - 2) - np.maximum(abs(y) - 50, 0)))
    return ways


def _face_and_neck(place: dict[str, np.ndarray], options: SkullOptions) -> list[tuple[str, np.ndarray]]:
    x, y, z, front = place["x"], place["y"], place["z"], place["front"]
    below = np.maximum(z - 15, 0) * 3
    neck = np.hypot(x, y - 10) + below
    parts = []
    for side in (-1, 1):
        ball = np.sqrt((x - side * 30) ** 2 + (y - front + 14) ** 2 + (z - 25) ** 2)
        parts += [("water", 11 - ball), ("fat", 16 - ball)]
    nose = np.sqrt((x / 0.6) ** 2 + (y - front + 2) ** 2 + (z - 2) ** 2)
    face = np.sqrt((x / 1.3) ** 2 + (y - front - 10) ** 2 + ((z + 5) / 1.2) ** 2)
    parts += [("bone", 18 - nose), ("muscle", 38 - face), ("fat", 42 - face)]
    parts += [("muscle", options.neck_mm + 8 - neck), ("fat", options.neck_mm + 14 - neck)]
    return [(tissue, np.asarray(depth)) for tissue, depth in parts]


def _padded(volume: Volume, pad: int) -> Volume:
    steps = np.asarray(volume.direction) * np.asarray(volume.spacing)
    origin = np.asarray(volume.origin) - steps[:, 2] * pad
    return replace(
        volume, array=np.pad(volume.array, ((pad, pad), (0, 0), (0, 0))), origin=tuple(map(float, origin))
    )


def _coarse(mask: np.ndarray) -> sitk.Image:
    return sitk.BinShrink(sitk.GetImageFromArray(mask.astype(np.float32)), [2, 2, 2])


def _fine(image: sitk.Image, shape: tuple[int, ...]) -> np.ndarray:
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(shape[::-1])
    resampler.UseNearestNeighborExtrapolatorOn()
    return sitk.GetArrayFromImage(resampler.Execute(sitk.Cast(image, sitk.sitkFloat32)))


def _signed(image: sitk.Image) -> sitk.Image:
    """Distance in mm, positive outside."""
    return sitk.SignedMaurerDistanceMap(image > 0.5, squaredDistance=False, useImageSpacing=True)


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    grown = _signed(_coarse(mask)) < radius
    return _fine(_signed(sitk.Cast(grown, sitk.sitkFloat32)) < -radius, mask.shape) > 0.5


def _distance(mask: np.ndarray) -> np.ndarray:
    return _fine(_signed(_coarse(mask)), mask.shape)


def _smooth_noise(shape: tuple[int, ...], scale: float, random: np.random.Generator) -> np.ndarray:
    """A smooth random field with deviation 1, correlated over ``scale`` mm."""
    knots = [int(np.ceil(n / scale)) + 3 for n in shape]
    field = random.normal(size=knots).astype(np.float32)
    for axis, (n, count) in enumerate(zip(shape, knots, strict=True)):
        away = np.arange(n)[:, None] / scale + 1 - np.arange(count)[None]
        weights = np.exp(-2 * away**2).astype(np.float32)
        field = np.moveaxis(np.tensordot(weights, field, (1, axis)), 0, axis)
    return field / field[::4, ::4, ::4].std()
