"""The synthetic sample case: three contrasts of a made-up head with a tumour, and its mask.

No patient is behind it. It shows what the product does and what its files look like; a grade of it says
nothing about how well real tumours are graded.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import UsageError
from .files import all_or_nothing
from .phantom import FIRST, SIZE, Lesion, build, ramp
from .volume import Volume
from .words import SEQUENCES

MARKER = "SYNTHETIC.txt"
"""The file that says of a folder that no patient is in it."""

NOTE = "SYNTHETIC phantom, no patient: GliomaGrading sample"

PRESETS: dict[str, Lesion] = {
    "hgg": Lesion((-34, -16, 30), 24, 3.0, 14, 0.6, (8, 0, -1), diffuse=False),
    "lgg": Lesion((34, 28, 26), 20, 3.2, 0, 0, (-1.5, 0, 0), diffuse=True),
}
"""hgg: ring with a necrotic centre, oedema and midline shift. lgg: even, well outlined, neither."""

SEED = 20200
NOISE = 11.0
"""Deviation of the receiver noise before the magnitude is taken; white matter on T1 is at 660."""


_NIFTI_HEADER = 352


def sample_volumes(preset: str = "hgg") -> dict[str, Volume]:
    """The sample's T1, T2, FLAIR (int16) and mask (uint8, BraTS labels 1, 2, 4), 160 x 224 x 192 at 1 mm.

    The head still has its skull, as hospital images have. The same preset gives the same voxels.

    Raises:
        UsageError: no such preset.
    """
    return head_volumes(_lesion(preset), SEED, sample_identifier(preset))


def head_volumes(lesion: Lesion, seed: int, source: str) -> dict[str, Volume]:
    """As ``sample_volumes``, of any head with any tumour; ``source`` is what the volumes are called."""
    pure, mask = build(seed, lesion)
    rng = np.random.default_rng(seed + 1)
    arrays = {name: _received(image, rng) for name, image in zip(SEQUENCES, pure, strict=True)}
    return {name: _volume(array, source) for name, array in {**arrays, "mask": mask}.items()}


def write_sample_case(folder: str | Path, preset: str = "hgg") -> Path:
    """Make ``folder`` a case in the BraTS layout: ``synthetic-PRESET_{t1,t2,flair,seg}.nii.gz``.

    Returns the folder, which also says in SYNTHETIC.txt and in each file's header that no patient is
    in it. The same preset gives the same files byte for byte.

    Raises:
        UsageError: no such preset, or ``folder`` is a file or cannot be written.
    """
    folder = Path(folder)
    _lesion(preset)
    try:
        with all_or_nothing(folder) as write:  # which makes the folder before the work, that takes seconds
            for name, volume in sample_volumes(preset).items():
                write(_file_name(preset, name), _nifti(volume))
            write(MARKER, _marker_text(preset))
    except OSError as error:
        raise UsageError(
            f"the sample case cannot be written ({error.strerror})",
            folder,
            "choose a folder you may write to",
        ) from error
    return folder


def _lesion(preset: str) -> Lesion:
    if preset not in PRESETS:
        raise UsageError(f"no sample is called {preset!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def file_names(preset: str) -> tuple[str, ...]:
    """Everything that ``write_sample_case`` writes."""
    return (*(_file_name(preset, name) for name in (*SEQUENCES, "mask")), MARKER)


def _file_name(preset: str, name: str) -> str:
    return f"{sample_identifier(preset)}_{'seg' if name == 'mask' else name.lower()}.nii.gz"


def sample_identifier(preset: str) -> str:
    return f"synthetic-{preset}"


def is_synthetic(identifier: str, *sources: str | Path) -> bool:
    """Whether a case is the sample: by its name, or by the marker beside one of its files."""
    samples = tuple(map(sample_identifier, PRESETS))  # a patient's may begin with "synthetic": an acquisition
    return identifier.lower().startswith(samples) or any(
        (place / MARKER).is_file() for source in sources if str(source) for place in _places(Path(source))
    )


def _places(source: Path) -> Iterator[Path]:
    yield from (source, source.parent)


def _volume(array: np.ndarray, source: str) -> Volume:
    origin = tuple(float(first) for first in reversed(FIRST))
    return Volume(array, (1.0, 1.0, 1.0), origin, np.eye(3), source)  # type: ignore[arg-type]


def _received(pure: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a scanner makes of it: blur of its sampling, uneven coil, noise of both channels; int16."""
    seen = _blurred(pure) * _coil()
    real = seen + np.float32(NOISE) * rng.standard_normal(SIZE, dtype=np.float32)
    other = np.float32(NOISE) * rng.standard_normal(SIZE, dtype=np.float32)
    return np.rint(np.hypot(real, other)).astype(np.int16)


def _blurred(image: np.ndarray) -> np.ndarray:
    """Weights 1, 4, 1 along each axis: about what a 1 mm voxel's point spread does."""
    for axis in range(3):
        padded = np.pad(image, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        before, at, after = (
            padded[tuple(slice(n, n + SIZE[axis]) if k == axis else slice(None) for k in range(3))]
            for n in range(3)
        )
        image = (before + after + 4 * at) * np.float32(1 / 6)
    return image


def _coil() -> np.ndarray:
    """Brightness of a surface coil array: a few per cent more near the skin, at the back and on one side."""
    s, p, left = (np.linspace(-1, 1, n, dtype=np.float32) for n in SIZE)
    near = 0.05 * left[None, None, :] ** 2 + 0.05 * p[None, :, None] ** 2
    lean = 0.03 * p[None, :, None] - 0.025 * left[None, None, :] * ramp(s, -1, 1)[:, None, None]
    fall = 0.04 * s[:, None, None]
    return np.float32(0.98) + near + lean + fall - 0.05 * s[:, None, None] ** 2


def _nifti(volume: Volume) -> bytes:
    """A NIfTI-1 file, written by ITK, with the note in its description and no time in its gzip header."""
    plain = bytearray(_plain_nifti(volume.toImage()))
    if len(plain) != _NIFTI_HEADER + volume.array.nbytes:  # ITK does not say so
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if struct.unpack_from("<i", plain)[0] != 348:
        raise RuntimeError("ITK did not write a little-endian NIfTI-1 header")
    struct.pack_into("80s", plain, 148, NOTE.encode("ascii"))
    packer = zlib.compressobj(4, zlib.DEFLATED, 31)
    return packer.compress(bytes(plain)) + packer.flush()


def _plain_nifti(image: sitk.Image) -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        sitk.WriteImage(image, str(path))
        return path.read_bytes()


def _marker_text(preset: str) -> str:
    return (
        f"{sample_identifier(preset)}: a synthetic case, made by a program. No patient is in these files.\n"
        "It shows how the product works. What it is graded as says nothing about real tumours.\n"
        "Files: T1, T2 and FLAIR (with skull, 1 mm, int16) and the tumour mask\n"
        "(BraTS labels: 1 necrotic or non-enhancing tumour, 2 oedema, 4 enhancing tumour).\n"
    )
