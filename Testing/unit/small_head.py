"""A small made-up head in three contrasts with a tumour, quick enough for every unit test."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from GliomaGradingLib.volume import Volume

SHAPE = (80, 100, 90)  # K, J, I at 2 mm
SPACING = (2.0, 2.0, 2.0)
ORIGIN = (-90.0, -110.0, -70.0)
LEVELS = {  # white matter, grey matter, fluid, tumour
    "T1": (900, 650, 250, 500),
    "T2": (400, 550, 1200, 900),
    "FLAIR": (500, 600, 150, 1100),
}
TUMOUR_CENTRE = np.array([30.0, 10.0, 20.0])


@cache
def arrays() -> dict[str, np.ndarray]:
    """T1, T2 and FLAIR (int16) and the mask (uint8 0/1), by name; do not write into them."""
    k, j, i = np.indices(SHAPE, dtype=float)
    x, y, z = (i * 2 + ORIGIN[0], j * 2 + ORIGIN[1], k * 2 + ORIGIN[2])
    brain = (x / 65) ** 2 + (y / 85) ** 2 + (z / 62) ** 2 < 1
    folds = np.sin(x / 9 + y / 31) + np.sin(y / 11 - z / 23) + np.sin(z / 8 + x / 27)
    tissue = np.where(folds > 0, 0, 1)
    for side in (-1, 1):
        ventricle = ((x - 14 * side) / 8) ** 2 + ((y - 8) / 35) ** 2 + ((z - 5 - 0.2 * y) / 12) ** 2 < 1
        tissue[ventricle] = 2
    tumour = sum(((p - c) / 17) ** 2 for p, c in zip((x, y, z), TUMOUR_CENTRE, strict=True)) < 1
    tissue[tumour] = 3
    rng = np.random.default_rng(4)
    made = {
        name: np.where(brain, np.array(levels)[tissue] + rng.normal(0, 25, SHAPE), 0).astype(np.int16)
        for name, levels in LEVELS.items()
    }
    return {**made, "mask": (tumour & brain).astype(np.uint8)}


def volume(array: np.ndarray, source: str = "") -> Volume:
    return Volume(array, SPACING, ORIGIN, np.eye(3), source)


def volumes() -> dict[str, Volume]:
    return {name: volume(array, f"the {name} array") for name, array in arrays().items()}


def turned(
    degrees: float, shift: tuple[float, float, float], axis: tuple[float, ...] = (1, 2, 2)
) -> np.ndarray:
    """4 x 4 rigid LPS motion about the head's centre."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = shift
    return matrix


def resampled_elsewhere(given: Volume, motion: np.ndarray) -> Volume:
    """The head moved by ``motion`` on the same grid: what a header does not tell."""
    back = np.linalg.inv(motion)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(back[:3, :3].ravel())
    transform.SetTranslation(back[:3, 3])
    image = given.toImage()
    return Volume.fromImage(sitk.Resample(image, image, transform, sitk.sitkLinear, 0.0), given.source)


def write_case(folder: Path, names: dict[str, str]) -> Path:
    """The head's files in ``folder``: file name by T1, T2, FLAIR and mask (or what starts with them)."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, name in names.items():
        sitk.WriteImage(volume(arrays()[role]).toImage(), str(folder / name))
    return folder
