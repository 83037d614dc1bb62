"""What ITK does not say about a NIfTI file: that it is cut off, damaged, or has an affine that is sheared,
missing, or in contradiction to the rest of the header.

ITK (5.4) reads a truncated or corrupted ``.nii.gz`` without complaint and fills the rest with zeros. It takes
the voxel size from ``pixdim``, whatever the affine says, and the axes and the origin from the sform where there
is no qform or the sform is the scanner's (code 1), else from the qform; SPM, FSL and nibabel take the sform
with its voxel size.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import CaseError

_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_MAX_RATIO = 1100
"""Deflate compresses by 1032 at the very most: a header that claims more is not the header of this file."""

_GZIP = b"\x1f\x8b"
"""What gzip files begin with."""
_BLOCK = 1 << 18

_MILLIMETRES = {1: 1e3, 3: 1e-3}
"""What a length is times, by the code of its unit: metres and micrometres; the others are mm, or not told."""

_SCANNER = 1
_STRAIGHT = 1e-3
"""Cosine between two axes up to which ITK takes an sform beside a qform."""

_SIZE_TOLERANCE = 0.01
"""Of a voxel size: what rounding in headers makes at most."""

_VOXELS = (".img", ".img.gz")
"""Endings of the file of a ``.hdr`` header's voxels, in the order in which ITK looks for it."""


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI-1 header that are checked here (names as in the standard)."""

    dim: tuple[int, ...]
    datatype: int
    pixdim: tuple[float, ...]
    vox_offset: float
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    sform: np.ndarray
    single_file: bool
    handedness: float = 1.0
    unit: int = 2

    @property
    def expected_bytes(self) -> int:
        """Length of the (uncompressed) file of the voxels that the header promises."""
        voxels = 1
        for length in self.dim:
            voxels *= length
        return max(0, int(self.vox_offset)) + voxels * _BITS.get(self.datatype, 0) // 8

    @property
    def is_singular(self) -> bool:
        """True for an sform that has a code, and no volume in it: all zeros, mostly."""
        return self.sform_code > 0 and abs(np.linalg.det(self.sform[:, :3])) < 1e-12

    @property
    def is_placed_by_sform(self) -> bool:
        """Which of the two affines ITK takes, found by experiment with every pair of codes."""
        if self.sform_code <= 0 or self.qform_code <= 0:
            return self.sform_code > 0
        return self.sform_code == _SCANNER and not self.is_singular and self.shear <= _STRAIGHT

    @property
    def spacing(self) -> np.ndarray:
        """(3,) voxel size by ``pixdim`` as ITK takes it, in the file's unit: 1 where it is zero."""
        size = np.abs(np.array(self.pixdim))
        return np.where(size > 0, size, 1.0)

    @property
    def qform(self) -> np.ndarray:
        """(3, 4) affine of quaternion, offset and voxel size, in RAS and the file's unit."""
        b, c, d = np.array(self.quaternion) / max(1.0, float(np.linalg.norm(self.quaternion)))
        a = float(np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d)))
        turn = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        scale = self.spacing * (1.0, 1.0, -1.0 if self.handedness < 0 else 1.0)
        return np.column_stack([turn * scale, self.offset])

    def corners(self, affine: np.ndarray) -> np.ndarray:
        """(8, 3) LPS positions in mm of the outer corners by one of the affines, as ``Volume.corners``."""
        sides = [(-0.5, length - 0.5) for length in (*self.dim, 1, 1)[:3]]
        index = np.array(np.meshgrid(*sides)).reshape(3, 8).T
        places = index @ affine[:, :3].T + affine[:, 3]
        return places * (-1, -1, 1) * _MILLIMETRES.get(self.unit, 1.0)

    @property
    def shear(self) -> float:
        """How far the sform's axes are from right angles: the largest cosine between two of them."""
        columns = self.sform[:, :3]
        lengths = np.linalg.norm(columns, axis=0)
        if not lengths.all():
            return 1.0
        cosines = (columns / lengths).T @ (columns / lengths)
        return float(np.abs(cosines - np.diag(np.diag(cosines))).max())


def voxels_beside(header: Path) -> Path | None:
    """The file of a ``.hdr`` header's voxels; None where ITK would find none.

    Its ending is in capitals where the header's is, and in small letters where that is.
    """
    endings = [ending.upper() if header.suffix.isupper() else ending for ending in _VOXELS]
    return next((data for ending in endings if (data := header.with_suffix(ending)).is_file()), None)


def header_beside(voxels: Path) -> Path | None:
    """The ``.hdr`` header of an ``.img`` or ``.img.gz`` file; None where there is none, and for other files."""
    ending = next((ending for ending in _VOXELS if voxels.name.lower().endswith(ending)), "")
    if not ending:
        return None
    name = voxels.name[: -len(ending)]
    headers = (voxels.with_name(name + suffix) for suffix in (".hdr", ".HDR"))
    there = sorted(filter(Path.is_file, headers), key=lambda header: voxels_beside(header) != voxels)
    return there[0] if there else None


def check_ending(path: Path, suffix: str) -> None:
    """Refuses what ITK calls no NIfTI file for its name alone: ``a.Nii.gz``.

    Args:
        suffix: the ending of its name, in small letters.

    Raises:
        CaseError: it mixes capitals and small letters.
    """
    ending = path.name[-len(suffix) :]
    if ending not in (suffix, suffix.upper()):
        raise CaseError(
            f"its ending {ending} mixes capitals and small letters", path, f"rename it to end in {suffix}"
        )


def read_header(path: Path) -> NiftiHeader:
    """The header of a ``.nii``, ``.nii.gz`` or ``.hdr`` file.

    Raises:
        CaseError: it is no NIfTI-1 header, or its numbers cannot be those of a volume.
    """
    try:
        with _open(path) as stream:
            raw = stream.read(348)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error
    header = _parse(path, raw)
    _check_numbers(path, header)
    return header


def check_complete(path: Path, header: NiftiHeader) -> None:
    """Reads the file to its end: every compressed byte is checked against its checksum.

    Raises:
        CaseError: the file is cut off or damaged, or its header promises more than it can hold.
    """
    data = path if header.single_file else voxels_beside(path)
    if data is None:
        remedy = "copy both files, under one name that ends in .hdr and .img"
        raise CaseError("the voxels are missing (a .hdr header without its .img)", path, remedy)
    if header.expected_bytes > data.stat().st_size * _MAX_RATIO:
        raise CaseError(
            f"the header promises {header.expected_bytes} bytes, which this file cannot hold",
            data,
            "export or copy it again",
        )
    if _length(data, header.expected_bytes) < header.expected_bytes:
        raise _damaged(data)


def check_sizes(path: Path, header: NiftiHeader) -> None:
    """Refuses two voxel sizes in one header: a head of 2 mm voxels would be read as half a head of 1 mm ones.

    Raises:
        CaseError: the volume lies by its sform, and that has another voxel size than ``pixdim``.
    """
    lengths = np.linalg.norm(header.sform[:, :3], axis=0)
    is_same = (np.abs(lengths - header.spacing) <= _SIZE_TOLERANCE * lengths).all()
    if len(header.dim) < 3 or is_same or not header.is_placed_by_sform:
        return
    by_affine, by_pixdim = _as_size(lengths), _as_size(np.array(header.pixdim))
    raise CaseError(
        f"the header has two voxel sizes: {by_affine} by its affine (sform) and {by_pixdim} by pixdim",
        path,
        "correct the wrong one, or export the volume again",
    )


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if is_gzip(path) else path.open("rb"))


def is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


def _length(path: Path, enough: int) -> int:
    if not is_gzip(path):
        return path.stat().st_size
    total = 0
    try:
        for block in _unpacked(path):
            total += len(block)
            if total > enough + (1 << 24):  # a file may carry a trailer, not another volume
                break
    except (EOFError, zlib.error) as error:
        raise _damaged(path) from error
    return total


def _unpacked(path: Path) -> Iterator[bytes]:
    """What a gzip file holds, its parts one after another.

    As ITK does, it ends where bytes follow that are no gzip, which Python's own reader calls damaged: a
    signature that was appended, or the padding of a tape.

    Raises:
        EOFError: the file ends within a part.
        zlib.error: a part is damaged.
    """
    with path.open("rb") as stream:
        packed = stream.read(_BLOCK)
        while packed.startswith(_GZIP):
            unpacker = zlib.decompressobj(wbits=31)
            while not unpacker.eof:
                if not packed:
                    raise EOFError
                yield unpacker.decompress(packed, _BLOCK)
                packed = unpacker.unconsumed_tail or unpacker.unused_data or stream.read(_BLOCK)
            if len(packed) < len(_GZIP):
                packed += stream.read(_BLOCK)


def _parse(path: Path, raw: bytes) -> NiftiHeader:
    order = {b"\x5c\x01\x00\x00": "<", b"\x00\x00\x01\x5c": ">"}.get(raw[:4])
    if raw[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"):
        raise CaseError("NIfTI-2 is not supported", path, "save it as NIfTI-1, NRRD or MHA")
    is_pair = path.suffix.lower() == ".hdr"
    if order is None or len(raw) < 348 or (raw[344:347] != b"n+1" and not is_pair):
        raise CaseError("this is not a NIfTI file", path, "export it again, or correct its file name")
    dim = struct.unpack_from(order + "8h", raw, 40)
    has_forms = raw[344:347] in (b"n+1", b"ni1")  # Analyze 7.5 has other things there (originator, patient id)
    codes = struct.unpack_from(order + "2h", raw, 252) if has_forms else (0, 0)
    return NiftiHeader(
        dim=(*dim[1:4], *(length or 1 for length in dim[4:]))[: dim[0]] if 0 < dim[0] < 8 else (0,),
        datatype=struct.unpack_from(order + "h", raw, 70)[0],
        pixdim=struct.unpack_from(order + "8f", raw, 76)[1:4],
        vox_offset=struct.unpack_from(order + "f", raw, 108)[0],
        qform_code=codes[0],
        sform_code=codes[1],
        quaternion=struct.unpack_from(order + "3f", raw, 256),
        offset=struct.unpack_from(order + "3f", raw, 268),
        sform=np.array(struct.unpack_from(order + "12f", raw, 280), dtype=float).reshape(3, 4),
        single_file=raw[344:347] == b"n+1",
        handedness=struct.unpack_from(order + "f", raw, 76)[0],
        unit=raw[123] & 7,
    )


def _check_numbers(path: Path, header: NiftiHeader) -> None:
    remedy = "repair the header, or export the volume again"
    if min(header.dim) < 1:
        raise CaseError(f"the header has impossible dimensions {header.dim}", path, remedy)
    if header.datatype not in _BITS:
        raise CaseError(
            f"NIfTI data type {header.datatype} is not supported", path, "save it as int16 or float32"
        )
    spacing = header.pixdim[: min(3, len(header.dim))]
    if not np.isfinite(spacing).all() or not np.isfinite(header.vox_offset):
        raise CaseError("the header has a voxel size that is not a number", path, remedy)
    if header.sform_code <= 0 and not all(spacing):  # ITK would take 1 mm for it
        raise CaseError("the header has a voxel size of zero", path, remedy)
    if header.sform_code > 0 and not np.isfinite(header.sform).all():
        raise CaseError("the header has an affine (sform) that is not a number", path, remedy)
    if header.is_singular and header.qform_code <= 0:
        raise CaseError("the header has a singular affine (sform)", path, remedy)


def _as_size(lengths: np.ndarray) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)


def _damaged(path: Path) -> CaseError:
    return CaseError("the file is cut off or damaged", path, "copy or export it again")
