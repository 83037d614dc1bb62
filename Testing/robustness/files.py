"""Bad files, made byte by byte: what no writer would write."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.unit.small_head import arrays, volume, write_case

ROLES = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
SHAPE = (80, 100, 90)


def case_template(folder: Path) -> Path:
    """A whole case of the small head, uncompressed, BraTS names."""
    return write_case(folder / "case", {role: f"case_{name}.nii" for role, name in ROLES.items()})


def fresh_case(template: Path, place: Path) -> Path:
    """A copy of the template that may be spoilt."""
    return Path(shutil.copytree(template, place / "case"))


def path_of(case: Path, role: str) -> Path:
    return case / f"case_{ROLES[role]}.nii"


def image_of(role: str, array: np.ndarray | None = None) -> sitk.Image:
    return volume(arrays()[role] if array is None else array).toImage()


def rewrite(case: Path, role: str, suffix: str, image: sitk.Image | None = None, packed: bool = True) -> Path:
    """The role's volume in another format, in place of its .nii."""
    path_of(case, role).unlink()
    path = case / f"case_{ROLES[role]}{suffix}"
    sitk.WriteImage(image if image is not None else image_of(role), str(path), packed)
    return path


def replace_bytes(case: Path, role: str, suffix: str, data: bytes) -> Path:
    """Any bytes under the role's name."""
    path_of(case, role).unlink()
    path = case / f"case_{ROLES[role]}{suffix}"
    path.write_bytes(data)
    return path


def cut(path: Path, keep: float | int) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    return path


def flip(path: Path, at: float = 0.5) -> Path:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0x10
    path.write_bytes(data)
    return path


def patch_nifti(path: Path, offset: int, layout: str, *values: float) -> Path:
    """Numbers written into a .nii header at an offset."""
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, *values)
    path.write_bytes(data)
    return path


def nifti(
    dim: Sequence[int] = (3, 90, 100, 80, 1, 1, 1, 1),
    datatype: int = 4,
    bits: int = 16,
    pixdim: Sequence[float] = (1, 2, 2, 2, 0, 0, 0, 0),
    data: bytes | None = None,
    rows: Sequence[Sequence[float]] = ((-2, 0, 0, 90), (0, -2, 0, 110), (0, 0, 2, -70)),
    codes: tuple[int, int] = (0, 1),
) -> bytes:
    """A NIfTI-1 file whose header says what it is told to."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, *dim)
    struct.pack_into("<hh", header, 70, datatype, bits)
    struct.pack_into("<8f", header, 76, *pixdim)
    struct.pack_into("<f", header, 108, 352.0)
    header[123] = 2
    struct.pack_into("<hh", header, 252, *codes)
    for n, row in enumerate(rows):
        struct.pack_into("<4f", header, 280 + 16 * n, *row)
    header[344:348] = b"n+1\0"
    return bytes(header) + (arrays()["FLAIR"].astype("<i2").tobytes() if data is None else data)


def mha(data: bytes | None = None, **changes: str) -> bytes:
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-90 -110 -70",
        "ElementSpacing": "2 2 2",
        "DimSize": "90 100 80",
        "ElementType": "MET_SHORT",
    }
    fields.update(changes)
    text = "".join(f"{key} = {value}\n" for key, value in fields.items() if value)
    body = arrays()["FLAIR"].astype("<i2").tobytes() if data is None else data
    return text.encode() + b"ElementDataFile = LOCAL\n" + body


def nrrd(data: bytes | None = None, **changes: str) -> bytes:
    fields = {
        "type": "int16",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "90 100 80",
        "space directions": "(2,0,0) (0,2,0) (0,0,2)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(-90,-110,-70)",
    }
    fields.update({key.replace("_", " "): value for key, value in changes.items()})
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
    return text.encode() + b"\n" + (arrays()["FLAIR"].astype("<i2").tobytes() if data is None else data)


def gzip_bomb(head: bytes, zeros: int) -> bytes:
    """A member that unpacks to ``head`` and ``zeros`` zeros: a thousandth of that on the disk."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    block = bytes(1 << 22)
    parts += [packer.compress(block) for _ in range(zeros >> 22)]
    return b"".join([*parts, packer.flush()])


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def dicom_series(
    folder: Path,
    *,
    count: int = 80,
    keep: Callable[[int], bool] = lambda k: True,
    uid: str = "1",
    change: Callable[[int, object], None] = lambda k, dataset: None,
) -> Path:
    """The FLAIR as one DICOM series, a file a slice; ``change`` spoils a data set before it is written."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        if not keep(k):
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{uid}.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = str(folder / f"{uid}-{k:03d}.dcm")
        ds = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.Modality = f"1.2.4.{uid}", "1.2.5", "MR"
        ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber = "flair", int(uid), k + 1
        ds.FrameOfReferenceUID = "1.2.6"
        ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = 100, 90, [2, 2], 2
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-90.0, -110.0, -70.0 + 2 * k]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = arrays()["FLAIR"][k % SHAPE[0]].tobytes()
        change(k, ds)
        ds.save_as(name, enforce_file_format=True)
    return folder


def long_path(place: Path, length: int = 4096) -> str:
    """A path of that many characters, of names that each are allowed."""
    text = str(place)
    while len(text) < length - 201:
        text += "/" + "a" * 200
    return text + "/" + "b" * (length - len(text) - 1)


def weird(place: Path, name: str) -> Path:
    """A sub-folder of that name, in the file system's own bytes."""
    folder = place / name
    os.mkdir(folder)  # noqa: PTH102 - names with surrogates pass
    return folder
