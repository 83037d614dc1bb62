"""Small whole inputs for the fuzzer to start from: every format, every message, a bundle's metadata."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from GliomaGradingLib.networks.bundle import METADATA, find_bundles

FORMATS = (".nii", ".nii.gz", ".nrrd", ".mha", ".dcm", ".hdr", ".mhd", ".nhdr", ".seg.nrrd")
"""The first byte of an input of ``readers`` chooses one of these."""

_DIRECTION = (0.8, 0.0, 0.6, 0.6, 0.0, -0.8, 0.0, 1.0, 0.0)


def readers() -> list[bytes]:
    """A volume in each format, of several voxel types; a compressed NIfTI is given unpacked."""
    seeds = []
    for number, suffix in enumerate(FORMATS):
        for kind in (sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkUInt8):
            seeds.append(bytes([number]) + _written(suffix, kind))
    return seeds


def _written(suffix: str, kind: int) -> bytes:
    array = (np.arange(5 * 4 * 3) % 97).reshape(5, 4, 3)
    if suffix == ".dcm" and kind != sitk.sitkUInt8:
        kind = sitk.sitkUInt16  # ITK writes no other as DICOM
    image = sitk.Cast(sitk.GetImageFromArray(array.astype(np.int16)), kind)
    image.SetSpacing((1.0, 1.5, 2.0))
    if suffix != ".dcm":
        image.SetDirection(_DIRECTION)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        sitk.WriteImage(image, str(path), kind == sitk.sitkUInt8 and suffix != ".dcm")
        data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def protocol() -> list[bytes]:
    volume = {
        "dtype": "<i2",
        "shape": [2, 3, 4],
        "offset": 64,
        "spacing": [1, 1, 1],
        "origin": [0, 0, 0],
        "direction": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "source": "a.nii",
    }
    arrays = {"path": "FILE", "size": 256, "volumes": {"T1": volume}}
    messages = [
        {"kind": "hello", "id": 1, "version": 1},
        {"kind": "load", "id": 2, "bundle": None, "device": "cpu"},
        {"kind": "grade", "id": 3, "arrays": arrays, "output": "OUT", "options": {"vote": "soft"}},
        {"kind": "explain", "id": 3, "arrays": arrays, "output": "OUT", "options": {}},
        {"kind": "cancel", "id": 3},
        {"kind": "ping", "id": 4},
        {"event": "ready", "id": 1, "version": 1, "pid": 1, "python": "3"},
        {"event": "progress", "id": 3, "stage": "slices", "fraction": 0.5, "message": ""},
        {
            "event": "result",
            "id": 3,
            "result": {},
            "arrays": {"map": {"dtype": "<f4", "shape": [2], "offset": 0}},
        },
        {"event": "error", "id": 3, "kind": "CaseError", "problem": "p", "where": "w", "remedy": "r"},
        {"event": "cancelled", "id": 3},
    ]
    return [b"".join(json.dumps(m).encode() + b"\n" for m in messages[n : n + 3]) for n in range(len(messages))]


def bundle() -> list[bytes]:
    """The metadata of the shipped bundles, whole and without what a reader does not need."""
    seeds = []
    for folder in find_bundles():
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        needed = ("schema", "name", "version", "backbone", "input", "calibration", "decision", "weights")
        seeds.append(json.dumps({key: metadata[key] for key in needed}).encode())
        seeds.append(json.dumps(metadata).encode())
    return seeds


def weights() -> list[bytes]:
    """What ``torch.save`` writes for a few packed tensors."""
    import io

    import torch
    from GliomaGradingLib.networks.bundle import pack_state

    state = {"a.weight": torch.arange(40.0).reshape(4, 10), "b": torch.ones(3)}
    buffer = io.BytesIO()
    torch.save(pack_state(state), buffer)
    return [buffer.getvalue()]


SEEDS = {"readers": readers, "protocol": protocol, "bundle": bundle, "weights": weights}
