"""The table of bad inputs: how each is made, the exit status it has to end with, and words of its message.

Each is made in a folder of its own from a small made-up head, and given to the command line. Status 0 stands
for inputs that look odd and are fine, or fine with a warning.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from . import bad_bundles
from . import files as f
from .files import arrays, image_of

HEAD = "FLAIR"


@dataclass(frozen=True, eq=False)
class Place:
    """A folder of its own for one input, and a whole case in it to spoil."""

    folder: Path
    template: Path

    @cached_property
    def case(self) -> Path:
        return f.fresh_case(self.template, self.folder)

    def nii(self, role: str = HEAD) -> Path:
        return f.path_of(self.case, role)

    def put(self, suffix: str, data: bytes, role: str = HEAD) -> Path:
        return f.replace_bytes(self.case, role, suffix, data)

    def save(self, suffix: str, image: sitk.Image | None = None, role: str = HEAD, packed: bool = True) -> Path:
        return f.rewrite(self.case, role, suffix, image, packed)

    def array(self, role: str, array: np.ndarray) -> Path:
        return self.save(".nrrd", image_of(role, array), role)

    def dicom(self, name: str = "case_flair", **options: Any) -> Path:
        self.nii().unlink(missing_ok=True)
        return f.dicom_series(self.case / name, **options)

    def grade(self, *_done: object, case: object = None, options: tuple[object, ...] = ()) -> list[str]:
        """The command; what was done to the case before it is only named in the call."""
        given = str(self.case if case is None else case)
        return ["grade", given, *map(str, options), "--output", str(self.folder / "out")]

    def grade_files(self, **paths: object) -> list[str]:
        named = {"t1": self.nii("T1"), "t2": self.nii("T2"), "flair": self.nii(), "mask": self.nii("mask")}
        named.update(paths)  # type: ignore[arg-type]
        given = [part for name, path in named.items() for part in (f"--{name}", str(path))]
        return ["grade", *given, "--output", str(self.folder / "out")]

    def renamed(self, name: str) -> Path:
        return self.case.rename(self.folder / name)


@dataclass(frozen=True)
class BadInput:
    """One row of the table.

    Args:
        name: what is wrong; the first word is its group.
        make: spoils a Place and gives the arguments of the command line.
        status: exit status that is expected.
        words: what the message (or, for status 0, the code of a warning) has to contain.
        needs: an optional package without which it cannot be made.
        alone: only in a process of its own (it limits or changes the process).
        limits: resource limits by name (``RLIMIT_FSIZE``) of that process.
    """

    name: str
    make: Callable[[Place], list[str]]
    status: int
    words: str
    needs: str = ""
    alone: bool = False
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return self.name.split(":")[0]


def _cut_files() -> Iterator[BadInput]:
    """The same faults in every format."""
    packed = {".nii.gz": True, ".nrrd": True, ".mha": True, ".seg.nrrd": True}
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".seg.nrrd"):
        kind = suffix[1:]

        def whole(p: Place, suffix: str = suffix) -> Path:
            return p.save(suffix, packed=packed.get(suffix, False)) if suffix != ".nii" else p.nii()

        yield BadInput(
            f"{kind}: empty file", lambda p, w=whole: p.grade(f.cut(w(p), 0)), 2, "the file is empty"
        )
        yield BadInput(
            f"{kind}: cut in its header", lambda p, w=whole: p.grade(f.cut(w(p), 60)), 2, "case_flair"
        )
        yield BadInput(
            f"{kind}: cut in its voxels",
            lambda p, w=whole: p.grade(f.cut(w(p), 0.6)),
            2,
            "cut off|cannot be read",
        )
        yield BadInput(
            f"{kind}: last byte missing",
            lambda p, w=whole: p.grade(_shorter(w(p))),
            2,
            "cut off|cannot be read|compressed voxels",
        )
        yield BadInput(
            f"{kind}: random bytes", lambda p, s=suffix: p.grade(p.put(s, _noise())), 2, "case_flair"
        )
        yield BadInput(
            f"{kind}: a web page by that name",
            lambda p, s=suffix: p.grade(p.put(s, b"<!DOCTYPE html><html>404 not found</html>\n" * 20)),
            2,
            "case_flair",
        )
        yield BadInput(f"{kind}: zeros", lambda p, s=suffix: p.grade(p.put(s, bytes(5000))), 2, "case_flair")


def _shorter(path: Path) -> Path:
    return f.cut(path, path.stat().st_size - 1)


def _noise(count: int = 20_000) -> bytes:
    return np.random.default_rng(7).bytes(count)


def _with(array: np.ndarray, value: float, share: float) -> np.ndarray:
    """A share of the voxels set to a value, from the first on."""
    changed = array.astype(np.float32)
    changed.reshape(-1)[: int(changed.size * share)] = value
    return changed


FILES = [
    *_cut_files(),
    BadInput(
        "nii.gz: one bit flipped in the packed voxels",
        lambda p: p.grade(f.flip(p.save(".nii.gz"))),
        2,
        "cut off or damaged",
    ),
    BadInput(
        "nrrd: one bit flipped in the packed voxels",
        lambda p: p.grade(f.flip(p.save(".nrrd"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "mha: one bit flipped in the packed voxels",
        lambda p: p.grade(f.flip(p.save(".mha"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "nii.gz: packed twice",
        lambda p: p.grade(p.put(".nii.gz", f.gzipped(f.gzipped(f.nifti())))),
        2,
        "not a NIfTI file",
    ),
    BadInput(
        "nii: packed, but named .nii",
        lambda p: p.grade(p.nii().write_bytes(f.gzipped(f.nifti()))),
        2,
        "rename it",
    ),
    BadInput(
        "nii: wrong magic",
        lambda p: p.grade(f.patch_nifti(p.nii(), 344, "4s", b"n+9\0")),
        2,
        "not a NIfTI file",
    ),
    BadInput("nii: NIfTI-2", lambda p: p.grade(f.patch_nifti(p.nii(), 0, "<i", 540)), 2, "NIfTI-2"),
    BadInput("nii: a NRRD inside", lambda p: p.grade(p.nii().write_bytes(f.nrrd())), 2, "not a NIfTI file"),
    BadInput(
        "nii: voxels said to begin beyond the end",
        lambda p: p.grade(f.patch_nifti(p.nii(), 108, "<f", 1e9)),
        2,
        "cut off|cannot hold",
    ),
    BadInput(
        "nii: voxels said to begin at NaN",
        lambda p: p.grade(f.patch_nifti(p.nii(), 108, "<f", float("nan"))),
        2,
        "not a number",
    ),
    BadInput(
        "nhdr: its raw file is missing",
        lambda p: p.grade(next(p.save(".nhdr", packed=False).parent.glob("*.raw")).unlink()),
        2,
        "case_flair.nhdr",
    ),
    BadInput(
        "nhdr: its raw file is cut",
        lambda p: p.grade(f.cut(next(p.save(".nhdr", packed=False).parent.glob("*.raw")), 0.5)),
        2,
        "case_flair.nhdr",
    ),
    BadInput(
        "mhd: its raw file is missing",
        lambda p: p.grade(next(p.save(".mhd", packed=False).parent.glob("*.raw")).unlink()),
        2,
        "case_flair.mhd",
    ),
    BadInput(
        "mhd: its raw file is cut",
        lambda p: p.grade(f.cut(next(p.save(".mhd", packed=False).parent.glob("*.raw")), 0.5)),
        2,
        "case_flair.mhd",
    ),
    BadInput(
        "nhdr: names a file of the system for its voxels",
        lambda p: p.grade(p.put(".nhdr", f.nrrd(b"", data_file="/etc/passwd"))),
        2,
        "case_flair.nhdr",
    ),
    BadInput(
        "mhd: names a device that never ends for its voxels",
        lambda p: p.grade(p.put(".mhd", f.mha(b"").replace(b"LOCAL", b"/dev/zero"))),
        2,
        "case_flair.mhd",
    ),
    BadInput(
        "hdr: without its .img",
        lambda p: p.grade(p.put(".hdr", f.nifti()[:348].replace(b"n+1\0", b"ni1\0"))),
        2,
        "the voxels are missing",
    ),
]

CLAIMS = [
    BadInput(
        "claims: nii of 32,767 cubed voxels",
        lambda p: p.grade(p.put(".nii", f.nifti((3, 32767, 32767, 32767, 1, 1, 1, 1)))),
        2,
        "claims 3.5",
    ),
    BadInput(
        "claims: nii of a 1,000 cubed in 1 MB",
        lambda p: p.grade(p.put(".nii", f.nifti((3, 800, 800, 800, 1, 1, 1, 1)))),
        2,
        "cut off|cannot hold",
    ),
    BadInput(
        "claims: nii.gz of 800 cubed in 20 kB",
        lambda p: p.grade(
            p.put(".nii.gz", f.gzipped(f.nifti((3, 800, 800, 800, 1, 1, 1, 1), data=bytes(1 << 20))))
        ),
        2,
        "cannot hold",
    ),
    BadInput(
        "claims: nii.gz that unpacks to 300 MB too much",
        lambda p: p.grade(p.put(".nii.gz", f.gzip_bomb(f.nifti(), 300 << 20))),
        0,
        "",
    ),
    BadInput(
        "claims: nrrd of a million cubed voxels",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(sizes="1000000 1000000 1000000"))),
        2,
        "claims 1e",
    ),
    BadInput(
        "claims: nrrd of 800 cubed in 1 MB",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(sizes="800 800 800"))),
        2,
        "cut off|cannot be read",
    ),
    BadInput(
        "claims: nrrd of more voxels than 64 bits count",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(sizes="9999999999 9999999999 9999999999"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "claims: nrrd of -90 voxels",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(sizes="-90 100 80"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "claims: packed nrrd that unpacks to 300 MB",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(f.gzip_bomb(b"", 300 << 20), encoding="gzip"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "claims: mha of a million cubed voxels",
        lambda p: p.grade(p.put(".mha", f.mha(DimSize="1000000 1000000 1000000"))),
        2,
        "claims 1e",
    ),
    BadInput(
        "claims: mha of 800 cubed in 1 MB",
        lambda p: p.grade(p.put(".mha", f.mha(DimSize="800 800 800"))),
        2,
        "cut off",
    ),
    BadInput(
        "claims: mha of more voxels than 64 bits count",
        lambda p: p.grade(p.put(".mha", f.mha(DimSize="9999999999 9999999999 9999999999"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "claims: mha of 0 voxels",
        lambda p: p.grade(p.put(".mha", f.mha(DimSize="0 100 80"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "claims: mha of 3 dimensions with 2 sizes",
        lambda p: p.grade(p.put(".mha", f.mha(DimSize="90 100"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "claims: mha of 200 dimensions",
        lambda p: p.grade(p.put(".mha", f.mha(NDims="200"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "claims: mha of an unknown voxel type",
        lambda p: p.grade(p.put(".mha", f.mha(ElementType="MET_COLOUR"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "claims: mhd whose voxels are in 10 million files",
        lambda p: p.grade(p.put(".mhd", f.mha(b"").replace(b"LOCAL", b"a%07d.raw 1 10000000 1"))),
        2,
        "case_flair.mhd",
    ),
    BadInput(
        "claims: nii of -1 dimensions",
        lambda p: p.grade(f.patch_nifti(p.nii(), 40, "<h", -1)),
        2,
        "impossible dimensions",
    ),
    BadInput(
        "claims: nii of 8 dimensions",
        lambda p: p.grade(f.patch_nifti(p.nii(), 40, "<h", 8)),
        2,
        "impossible dimensions",
    ),
    BadInput(
        "claims: nii of an unknown voxel type",
        lambda p: p.grade(f.patch_nifti(p.nii(), 70, "<h", 999)),
        2,
        "data type 999",
    ),
]

NUMBERS = [
    BadInput(
        "numbers: 10 % NaN",
        lambda p: p.grade(p.array("FLAIR", _with(arrays()["FLAIR"], np.nan, 0.1))),
        2,
        "NaN or infinite",
    ),
    BadInput(
        "numbers: all NaN",
        lambda p: p.grade(p.array("T1", _with(arrays()["T1"], np.nan, 1))),
        2,
        "NaN or infinite",
    ),
    BadInput(
        "numbers: 10 % infinite",
        lambda p: p.grade(p.array("T2", _with(arrays()["T2"], np.inf, 0.1))),
        2,
        "NaN or infinite",
    ),
    BadInput(
        "numbers: infinite both ways",
        lambda p: p.grade(p.array("T2", _with(_with(arrays()["T2"], np.inf, 0.1), -np.inf, 0.05))),
        2,
        "NaN or infinite",
    ),
    BadInput(
        "numbers: three NaN",
        lambda p: p.grade(p.array("T2", _with(arrays()["T2"], np.nan, 4e-6))),
        0,
        "non-finite-voxels",
    ),
    BadInput(
        "numbers: constant", lambda p: p.grade(p.array("T1", np.full(f.SHAPE, 7, np.int16))), 2, "constant"
    ),
    BadInput("numbers: all zero", lambda p: p.grade(p.array("T1", np.zeros(f.SHAPE, np.int16))), 2, "constant"),
    BadInput(
        "numbers: one bright voxel",
        lambda p: p.grade(p.array("FLAIR", _with(np.zeros(f.SHAPE), 9, 1e-6))),
        2,
        "constant",
    ),
    BadInput(
        "numbers: a label map for an image",
        lambda p: p.grade(p.array("FLAIR", arrays()["mask"])),
        2,
        "label map|constant",
    ),
    BadInput(
        "numbers: as large as float32 goes",
        lambda p: p.grade(p.array("FLAIR", arrays()["FLAIR"].astype(np.float32) * 1e35)),
        2,
        "values up to",
    ),
    BadInput(
        "numbers: as large as float64 goes",
        lambda p: p.grade(p.array("FLAIR", arrays()["FLAIR"].astype(float) * 1e304)),
        2,
        "case_flair",
    ),
    BadInput(
        "numbers: NaN in the mask",
        lambda p: p.grade(p.array("mask", _with(arrays()["mask"], np.nan, 0.1))),
        2,
        "NaN or infinite",
    ),
]

GEOMETRY = [
    BadInput(
        "geometry: nii with spacing NaN",
        lambda p: p.grade(f.patch_nifti(p.nii(), 80, "<f", float("nan"))),
        2,
        "not a number",
    ),
    BadInput(
        "geometry: nii with spacing infinite",
        lambda p: p.grade(f.patch_nifti(p.nii(), 80, "<f", float("inf"))),
        2,
        "not a number",
    ),
    BadInput(
        "geometry: nii with a negative spacing",
        lambda p: p.grade(p.put(".nii", f.nifti(pixdim=(1, -2, 2, 2, 0, 0, 0, 0), codes=(0, 0)))),
        2,
        "voxel size|orientation",
    ),
    BadInput(
        "geometry: nii with spacing zero",
        lambda p: p.grade(p.put(".nii", f.nifti(pixdim=(1, 0, 2, 2, 0, 0, 0, 0), codes=(0, 0)))),
        2,
        "does not overlap|voxel size|covers",
    ),
    BadInput(
        "geometry: nii with a NaN affine",
        lambda p: p.grade(p.put(".nii", f.nifti(rows=((float("nan"), 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0))))),
        2,
        "not a number",
    ),
    BadInput(
        "geometry: nii with a singular affine",
        lambda p: p.grade(p.put(".nii", f.nifti(rows=((0, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0))))),
        2,
        "singular",
    ),
    BadInput(
        "geometry: nii with a sheared affine",
        lambda p: p.grade(p.put(".nii", f.nifti(rows=((2, 0.8, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0))))),
        2,
        "sheared",
    ),
    BadInput(
        "geometry: nii with an affine of 1e30 mm",
        lambda p: p.grade(
            p.put(
                ".nii",
                f.nifti(
                    rows=((1e30, 0, 0, 0), (0, 1e30, 0, 0), (0, 0, 1e30, 0)),
                    pixdim=(1, 1e30, 1e30, 1e30, 0, 0, 0, 0),
                ),
            )
        ),
        2,
        "case_flair",
    ),
    BadInput(
        "geometry: nii far away from the others",
        lambda p: p.grade(p.put(".nii", f.nifti(rows=((2, 0, 0, 9000), (0, 2, 0, 0), (0, 0, 2, 0))))),
        2,
        "does not overlap",
    ),
    BadInput(
        "geometry: nrrd with spacing zero",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space_directions="(0,0,0) (0,2,0) (0,0,2)"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "geometry: nrrd with spacing NaN",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space_directions="(nan,0,0) (0,2,0) (0,0,2)"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "geometry: nrrd with singular directions",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space_directions="(2,0,0) (2,0,0) (0,0,2)"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "geometry: nrrd with sheared directions",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space_directions="(2,0,0) (0.9,2,0) (0,0,2)"))),
        2,
        "sheared",
    ),
    BadInput(
        "geometry: nrrd with an origin of NaN",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space_origin="(nan,0,0)"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "geometry: nrrd with a two-dimensional space",
        lambda p: p.grade(p.put(".nrrd", f.nrrd(space="left-posterior"))),
        2,
        "case_flair.nrrd",
    ),
    BadInput(
        "geometry: mha with spacing zero",
        lambda p: p.grade(p.put(".mha", f.mha(ElementSpacing="0 2 2"))),
        2,
        "voxel size",
    ),
    BadInput(
        "geometry: mha with a negative spacing",
        lambda p: p.grade(p.put(".mha", f.mha(ElementSpacing="-2 2 2"))),
        2,
        "voxel size",
    ),
    BadInput(
        "geometry: mha with spacing NaN",
        lambda p: p.grade(p.put(".mha", f.mha(ElementSpacing="nan 2 2"))),
        2,
        "voxel size",
    ),
    BadInput(
        "geometry: mha with spacing 1e-300",
        lambda p: p.grade(p.put(".mha", f.mha(ElementSpacing="1e-300 2 2"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "geometry: mha with spacing 1e300",
        lambda p: p.grade(p.put(".mha", f.mha(ElementSpacing="1e300 2 2"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "geometry: mha with singular directions",
        lambda p: p.grade(p.put(".mha", f.mha(TransformMatrix="1 0 0 1 0 0 0 0 1"))),
        2,
        "singular",
    ),
    BadInput(
        "geometry: mha with sheared directions",
        lambda p: p.grade(p.put(".mha", f.mha(TransformMatrix="1 0 0 0.5 1 0 0 0 1"))),
        2,
        "sheared",
    ),
    BadInput(
        "geometry: mha with all directions zero",
        lambda p: p.grade(p.put(".mha", f.mha(TransformMatrix="0 0 0 0 0 0 0 0 0"))),
        2,
        "case_flair.mha",
    ),
    BadInput(
        "geometry: 2D image", lambda p: p.grade(p.save(".nrrd", image_of("FLAIR")[:, :, 40])), 2, "2D image"
    ),
    BadInput(
        "geometry: one slice", lambda p: p.grade(p.save(".nrrd", image_of("FLAIR")[:, :, 40:41])), 2, "2D image"
    ),
    BadInput(
        "geometry: nine slices",
        lambda p: p.grade(p.save(".nrrd", image_of("T1")[:, :, 40:49], "T1")),
        2,
        "axial slices of 1 mm, and 20",
    ),
    BadInput(
        "geometry: half a head, without the tumour",
        lambda p: p.grade(p.save(".nrrd", image_of("T2")[:, :, :25], "T2")),
        2,
        "overlap|covers",
    ),
    BadInput(
        "geometry: 4D with two frames",
        lambda p: p.grade(p.save(".mha", sitk.JoinSeries([image_of("FLAIR")] * 2))),
        2,
        "2 frames",
    ),
    BadInput(
        "geometry: 4D with one frame",
        lambda p: p.grade(p.save(".mha", sitk.JoinSeries([image_of("FLAIR")]))),
        0,
        "",
    ),
    BadInput(
        "geometry: colour",
        lambda p: p.grade(p.save(".nrrd", sitk.Compose([sitk.Cast(image_of("FLAIR"), sitk.sitkUInt8)] * 3))),
        2,
        "3 frames or components",
    ),
    BadInput(
        "geometry: complex numbers",
        lambda p: p.grade(p.put(".nii", f.nifti(datatype=32, bits=64, data=bytes(90 * 100 * 80 * 8)))),
        2,
        "complex",
    ),
    BadInput(
        "geometry: nii without any orientation",
        lambda p: p.grade(
            *[
                p.put(".nii", f.nifti(codes=(0, 0), data=arrays()[r].astype("<i2").tobytes()), r)
                for r in f.ROLES
            ]
        ),
        0,
        "orientation-unknown",
    ),
]

_OUTSIDE = np.zeros(f.SHAPE, np.uint8)
_OUTSIDE[70:78, 2:8, 2:8] = 1
_TWO = arrays()["mask"].copy()
_TWO[20:26, 40:48, 20:28] = 1

MASKS = [
    BadInput(
        "mask: empty", lambda p: p.grade(p.array("mask", np.zeros(f.SHAPE, np.uint8))), 2, "mask is empty"
    ),
    BadInput(
        "mask: everything",
        lambda p: p.grade(p.array("mask", np.ones(f.SHAPE, np.uint8))),
        2,
        "more than any tumour",
    ),
    BadInput("mask: outside the head", lambda p: p.grade(p.array("mask", _OUTSIDE)), 2, "outside the head"),
    BadInput(
        "mask: outside the volume",
        lambda p: p.grade(
            p.put(
                ".nii",
                f.nifti(
                    rows=((2, 0, 0, 900), (0, 2, 0, 0), (0, 0, 2, 0)),
                    data=arrays()["mask"].astype("<i2").tobytes(),
                ),
                "mask",
            )
        ),
        2,
        "overlap",
    ),
    BadInput(
        "mask: negative labels",
        lambda p: p.grade(p.array("mask", -arrays()["mask"].astype(np.int16))),
        2,
        "negative labels",
    ),
    BadInput(
        "mask: values between labels",
        lambda p: p.grade(p.array("mask", arrays()["mask"].astype(np.float32) * 2.5)),
        2,
        "between its labels",
    ),
    BadInput(
        "mask: asked for a label it lacks",
        lambda p: p.grade(options=("--mask-labels", "7")),
        2,
        "none of the mask labels 7",
    ),
    BadInput(
        "mask: asked for a label of 30 digits",
        lambda p: p.grade(options=("--mask-labels", "1" * 30)),
        2,
        "label",
    ),
    BadInput("mask: the T1 given for it", lambda p: p.grade_files(mask=p.nii("T1")), 2, "case_t1|case_seg"),
    BadInput("mask: no such file", lambda p: p.grade_files(mask=p.folder / "none.nii"), 2, "no such file"),
    BadInput("mask: a single voxel", lambda p: p.grade(p.array("mask", _single())), 0, ""),
    BadInput("mask: two lesions", lambda p: p.grade(p.array("mask", _TWO)), 0, "several-lesions"),
    BadInput("mask: a text file", lambda p: p.grade_files(mask=_text(p, "mask.txt")), 2, "not an image"),
]


def _single() -> np.ndarray:
    mask = np.zeros(f.SHAPE, np.uint8)
    mask[tuple(np.argwhere(arrays()["mask"]).mean(0).astype(int))] = 1
    return mask


def _text(p: Place, name: str, text: str = "hello\n") -> Path:
    path = p.folder / name
    path.write_text(text)
    return path


def _loop(p: Place, path: Path) -> Path:
    path.unlink(missing_ok=True)
    other = path.with_name(f"other-{path.name}")
    other.symlink_to(path)
    path.symlink_to(other)
    return path


def _fifo(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    path.unlink(missing_ok=True)
    here = os.getcwd()  # noqa: PTH109
    os.chdir(path.parent)  # a socket's name may have about a hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)
    return path


def _link(path: Path, target: str) -> Path:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return path


CASES = [
    BadInput("case: no such folder", lambda p: p.grade(case=p.folder / "nowhere"), 2, "no such folder"),
    BadInput("case: a file", lambda p: p.grade(case=_text(p, "a.txt")), 2, "a file, not the folder"),
    BadInput("case: an empty folder", lambda p: p.grade(case=f.weird(p.folder, "empty")), 2, "not found"),
    *[
        BadInput(
            f"case: {role} missing",
            lambda p, r=role: p.grade(f.path_of(p.case, r).unlink()),
            2,
            f"{role} not found",
        )
        for role in f.ROLES
    ],
    BadInput(
        "case: only a T1 with contrast",
        lambda p: p.grade(p.nii("T1").rename(p.case / "case_t1ce.nii")),
        2,
        "with contrast",
    ),
    BadInput(
        "case: two files for the T2",
        lambda p: p.grade((p.case / "case_t2.nrrd").write_bytes(f.nrrd())),
        2,
        "could both be",
    ),
    BadInput(
        "case: T1 and T2 are the same image", lambda p: p.grade_files(t2=p.nii("T1")), 2, "the same image"
    ),
    BadInput(
        "case: T1 and T2 swapped", lambda p: p.grade_files(t1=p.nii("T2"), t2=p.nii("T1")), 0, "t1-t2-swapped"
    ),
    BadInput(
        "case: FLAIR is a folder without a volume",
        lambda p: p.grade_files(flair=f.weird(p.folder, "empty")),
        2,
        "no DICOM series and no volume",
    ),
    BadInput("case: FLAIR is a folder of two volumes", lambda p: p.grade_files(flair=p.case), 2, "volumes"),
    BadInput(
        "case: FLAIR links to itself in a circle",
        lambda p: p.grade_files(flair=_loop(p, p.nii())),
        2,
        "case_flair",
    ),
    BadInput(
        "case: the folder links to itself in a circle",
        lambda p: p.grade(case=_loop(p, p.folder / "loop")),
        2,
        "loop",
    ),
    BadInput("case: FLAIR links to nothing", lambda p: p.grade(_link(p.nii(), "gone.nii")), 2, "case_flair"),
    BadInput("case: FLAIR is a pipe that nobody writes to", lambda p: p.grade(_fifo(p.nii())), 2, "case_flair"),
    BadInput("case: FLAIR is a socket", lambda p: p.grade(_socket(p.nii())), 2, "case_flair"),
    BadInput(
        "case: FLAIR is a device that never ends",
        lambda p: p.grade(_link(p.nii(), "/dev/zero")),
        2,
        "case_flair",
    ),
    BadInput(
        "case: a link to a whole case", lambda p: p.grade(case=_link(p.folder / "linked", str(p.case))), 0, ""
    ),
    BadInput("case: three files of four", lambda p: p.grade_files()[:-4] + p.grade()[-2:], 2, "--mask missing"),
    BadInput(
        "case: a folder, and a file that is not there in place of its T1",
        lambda p: p.grade(options=("--t1", str(p.folder / "absent.nii"))),
        2,
        "absent.nii",
    ),
    BadInput("case: none", lambda p: ["grade"], 2, "missing"),
    BadInput(
        "case: no permission to read the FLAIR",
        lambda p: p.grade(p.nii().chmod(0)),
        2,
        "no permission",
        alone=True,
    ),
    BadInput(
        "case: no permission to list the folder",
        lambda p: p.grade(p.case.chmod(0)),
        2,
        "no permission",
        alone=True,
    ),
]

PATHS = [
    BadInput("path: of 4,096 characters", lambda p: p.grade(case=f.long_path(p.folder)), 2, "too long|no such"),
    BadInput(
        "path: FLAIR of 4,096 characters",
        lambda p: p.grade_files(flair=f.long_path(p.folder) + ".nii"),
        2,
        "too long|no such",
    ),
    BadInput(
        "path: a name of 300 characters", lambda p: p.grade(case=p.folder / ("x" * 300)), 2, "too long|no such"
    ),
    BadInput("path: a null character", lambda p: p.grade(case=f"{p.folder}/a\0b"), 2, "null|no such|no text"),
    BadInput(
        "path: FLAIR with a null character",
        lambda p: p.grade_files(flair=f"{p.folder}/a\0b.nii"),
        2,
        "null|no such|no text",
    ),
    BadInput("path: empty", lambda p: p.grade_files(flair=""), 2, "--flair|volumes|no DICOM|empty"),
    BadInput(
        "output: path of 4,096 characters",
        lambda p: [*p.grade()[:-1], f.long_path(p.folder)],
        2,
        "too long|choose a folder",
    ),
    BadInput("output: path with a null character", lambda p: [*p.grade()[:-1], f"{p.folder}/a\0b"], 2, "null"),
    BadInput(
        "path: a newline in the case's name",
        lambda p: p.grade(p.nii().unlink(), case=p.renamed("a\nb")),
        2,
        "FLAIR not found",
    ),
    BadInput(
        "path: an escape sequence in the case's name",
        lambda p: p.grade(p.nii().unlink(), case=p.renamed("\x1b[31mred")),
        2,
        "FLAIR not found",
    ),
    BadInput(
        "path: bytes that are no UTF-8",
        lambda p: p.grade(p.nii().unlink(), case=p.renamed("a\udcffb")),
        2,
        "FLAIR not found",
    ),
    BadInput("path: a name in every script, graded", lambda p: p.grade(case=p.renamed("Größe 脳 мозг")), 0, ""),
    BadInput(
        "path: a newline and HTML in the name, graded",
        lambda p: p.grade(case=p.renamed("<script>alert(1)<\n")),
        0,
        "",
    ),
    BadInput(
        "path: bytes that are no UTF-8, of a whole case",
        lambda p: p.grade(case=p.renamed("a\udcffb")),
        2,
        "no text",
    ),
]


def _scaled(k: int, ds: Any) -> None:
    ds.ImagePositionPatient = [-90.0 + 0.4 * k, -110.0, -70.0 + 2 * k]


def _set(**values: Any) -> Callable[[int, Any], None]:
    def change(k: int, ds: Any) -> None:
        for name, value in values.items():
            setattr(ds, name, value(k) if callable(value) else value)

    return change


def _without(name: str) -> Callable[[int, Any], None]:
    def change(k: int, ds: Any) -> None:
        delattr(ds, name)

    return change


def _large(k: int, ds: Any) -> None:
    ds.Rows, ds.Columns = 65535, 65535


def _frames(k: int, ds: Any) -> None:
    ds.NumberOfFrames = 1_000_000


def _other_size(k: int, ds: Any) -> None:
    if k == 3:
        ds.Rows, ds.PixelData = 50, bytes(50 * 90 * 2)


def _one_turned(k: int, ds: Any) -> None:
    if k == 3:
        ds.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]


def _two_series(p: Place) -> Path:
    p.dicom(uid="1")
    return p.dicom(uid="2", change=_set(SeriesDescription="t2 axial", PixelData=_other_pixels))


def _other_pixels(k: int) -> bytes:
    return bytes(arrays()["T2"][k].tobytes())


def _spoilt_slice(p: Place, data: bytes | None = None) -> Path:
    path = sorted(p.dicom().iterdir())[40]
    path.write_bytes(path.read_bytes()[:2000] if data is None else data)
    return path


DICOM = [
    BadInput(
        "dicom: two slices missing",
        lambda p: p.grade(p.dicom(keep=lambda k: k not in (30, 31))),
        2,
        "missing",
        "pydicom",
    ),
    BadInput(
        "dicom: two series in one folder, one of them named FLAIR",
        lambda p: p.grade(_two_series(p)),
        0,
        "",
        "pydicom",
    ),
    BadInput(
        "dicom: a slice twice",
        lambda p: p.grade(
            p.dicom(change=_set(ImagePositionPatient=lambda k: [-90.0, -110.0, -70.0 + 2 * (k - (k == 40))]))
        ),
        2,
        "same place|spaced|missing",
        "pydicom",
    ),
    BadInput(
        "dicom: a slice of another size", lambda p: p.grade(p.dicom(change=_other_size)), 2, "size", "pydicom"
    ),
    BadInput(
        "dicom: a slice in another direction",
        lambda p: p.grade(p.dicom(change=_one_turned)),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput("dicom: tilted gantry", lambda p: p.grade(p.dicom(change=_scaled)), 2, "tilt", "pydicom"),
    BadInput(
        "dicom: no positions",
        lambda p: p.grade(p.dicom(change=_without("ImagePositionPatient"))),
        2,
        "position",
        "pydicom",
    ),
    BadInput(
        "dicom: no orientation",
        lambda p: p.grade(p.dicom(change=_without("ImageOrientationPatient"))),
        2,
        "orientation",
        "pydicom",
    ),
    BadInput(
        "dicom: an orientation of zeros",
        lambda p: p.grade(p.dicom(change=_set(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]))),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput(
        "dicom: pixels of no size",
        lambda p: p.grade(p.dicom(change=_set(PixelSpacing=[0, 0]))),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput(
        "dicom: no pixels", lambda p: p.grade(p.dicom(change=_without("PixelData"))), 2, "case_flair", "pydicom"
    ),
    BadInput(
        "dicom: half of the pixels",
        lambda p: p.grade(p.dicom(change=_set(PixelData=bytes(9000)))),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput(
        "dicom: slices that claim 65,535 squared pixels",
        lambda p: p.grade(p.dicom(change=_large)),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput(
        "dicom: one file that claims a million frames",
        lambda p: p.grade(p.dicom(count=1, change=_frames)),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput("dicom: one slice alone", lambda p: p.grade(p.dicom(count=1)), 2, "case_flair", "pydicom"),
    BadInput(
        "dicom: in colour",
        lambda p: p.grade(
            p.dicom(
                change=_set(
                    SamplesPerPixel=3,
                    PhotometricInterpretation="RGB",
                    PlanarConfiguration=0,
                    BitsAllocated=8,
                    BitsStored=8,
                    HighBit=7,
                    PixelRepresentation=0,
                    PixelData=bytes(100 * 90 * 3),
                )
            )
        ),
        2,
        "colour|components",
        "pydicom",
    ),
    BadInput(
        "dicom: a segmentation object for an image",
        lambda p: p.grade(p.dicom(change=_set(Modality="SEG"))),
        2,
        "segmentation|no DICOM series of images",
        "pydicom",
    ),
    BadInput("dicom: a slice cut", lambda p: p.grade(_spoilt_slice(p)), 2, "case_flair", "pydicom"),
    BadInput(
        "dicom: a slice that is a text",
        lambda p: p.grade(_spoilt_slice(p, b"hello")),
        2,
        "case_flair",
        "pydicom",
    ),
    BadInput(
        "dicom: slices that are all cut in their headers",
        lambda p: p.grade(*[f.cut(x, 200) for x in p.dicom(count=5).iterdir()]),
        2,
        "case_flair",
        "pydicom",
    ),
]

OPTIONS = [
    BadInput("option: no command", lambda p: [], 2, "COMMAND"),
    BadInput("option: no such command", lambda p: ["grad"], 2, "invalid choice"),
    BadInput("option: no such option", lambda p: p.grade(options=("--quick",)), 2, "--quick"),
    BadInput("option: no such vote", lambda p: p.grade(options=("--vote", "mean")), 2, "majority"),
    BadInput("option: no such device", lambda p: p.grade(options=("--device", "tpu")), 2, "auto"),
    BadInput("option: no such way to register", lambda p: p.grade(options=("--register", "maybe")), 2, "auto"),
    BadInput("option: labels that are words", lambda p: p.grade(options=("--mask-labels", "one")), 2, "1,2,4"),
    BadInput("option: label 0", lambda p: p.grade(options=("--mask-labels", "0")), 2, "background"),
    BadInput("option: a negative label", lambda p: p.grade(options=("--mask-labels=-1",)), 2, "background"),
    BadInput("option: an empty list of labels", lambda p: p.grade(options=("--mask-labels", "")), 2, "1,2,4"),
    BadInput("option: a case without its value", lambda p: ["grade", "--t1"], 2, "--t1"),
    BadInput(
        "option: an escape sequence in a value",
        lambda p: p.grade(options=("--vote", "\x1b[31mred\n")),
        2,
        "majority",
    ),
    BadInput(
        "option: models of a bundle that is not there",
        lambda p: ["models", "verify", "--bundle", str(p.folder / "none")],
        3,
        "no model bundle",
    ),
    BadInput("option: sample into a file", lambda p: ["sample", str(_text(p, "file"))], 2, "cannot be written"),
    BadInput("option: no such sample", lambda p: ["sample", str(p.folder / "s"), "--preset", "who"], 2, "hgg"),
    BadInput(
        "option: train without data",
        lambda p: ["train", "--data", str(p.folder / "none.npz"), "--output", str(p.folder / "out")],
        2,
        "none.npz",
    ),
    BadInput(
        "option: train on a text",
        lambda p: ["train", "--data", str(_text(p, "a.npz")), "--output", str(p.folder / "out")],
        2,
        "a.npz",
    ),
    BadInput(
        "option: train on a pickle",
        lambda p: ["train", "--data", str(_pickled(p)), "--output", str(p.folder / "out")],
        2,
        "a.npz",
    ),
    BadInput(
        "option: train with a recipe that is no JSON",
        lambda p: [
            "train",
            "--data",
            str(_text(p, "a.npz")),
            "--recipe",
            str(_text(p, "r.json", "{")),
            "--output",
            str(p.folder / "out"),
        ],
        2,
        "a.npz|r.json",
    ),
    BadInput(
        "option: evaluate what is not there",
        lambda p: ["evaluate", str(p.folder / "none"), "--output", str(p.folder / "out")],
        2,
        "none",
    ),
    BadInput(
        "option: prepare without patients",
        lambda p: ["prepare", "--output", str(p.folder / "out.npz")],
        2,
        "no patients",
    ),
    BadInput(
        "option: prepare crops that are not there",
        lambda p: [
            "prepare",
            "--crops",
            str(p.folder / "a.npz"),
            "--table",
            str(p.folder / "a.csv"),
            "--output",
            str(p.folder / "out.npz"),
        ],
        2,
        "a.npz|a.csv",
    ),
    BadInput(
        "option: prepare crops that are a text",
        lambda p: [
            "prepare",
            "--crops",
            str(_text(p, "a.npz")),
            "--table",
            str(_text(p, "a.csv")),
            "--output",
            str(p.folder / "out.npz"),
        ],
        2,
        "a.npz|a.csv",
    ),
    BadInput(
        "option: prepare cases of no folder",
        lambda p: ["prepare", "--cases", str(p.folder / "none"), "--output", str(p.folder / "out.npz")],
        2,
        "none",
    ),
]


class _Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 0",)


def _pickled(p: Place) -> Path:
    path = p.folder / "a.npz"
    path.write_bytes(pickle.dumps(_Evil()))
    return path


OUTPUTS = [
    BadInput("output: is a file", lambda p: [*p.grade()[:-1], str(_text(p, "file"))], 2, "choose a folder"),
    BadInput(
        "output: below a file", lambda p: [*p.grade()[:-1], str(_text(p, "file") / "out")], 2, "choose a folder"
    ),
    BadInput(
        "output: links to itself in a circle",
        lambda p: [*p.grade()[:-1], str(_loop(p, p.folder / "loop"))],
        2,
        "choose a folder",
    ),
    BadInput(
        "output: where nothing can be written", lambda p: [*p.grade()[:-1], "/proc/out"], 2, "choose a folder"
    ),
    BadInput(
        "output: a folder stands where result.json goes",
        lambda p: p.grade((p.folder / "out" / "result.json").mkdir(parents=True)),
        2,
        "choose a folder",
    ),
    BadInput(
        "output: no permission to write",
        lambda p: [*p.grade()[:-1], str(_read_only(p))],
        2,
        "choose a folder",
        alone=True,
    ),
    BadInput(
        "output: no room for 20 kB on the disk",
        lambda p: p.grade(),
        2,
        "choose a folder|room",
        alone=True,
        limits={"RLIMIT_FSIZE": 20_000},
    ),
    BadInput(
        "output: no room for the sample",
        lambda p: ["sample", str(p.folder / "sample")],
        2,
        "written|room",
        alone=True,
        limits={"RLIMIT_FSIZE": 100_000},
    ),
]


def _read_only(p: Place) -> Path:
    folder = f.weird(p.folder, "read-only")
    folder.chmod(0o555)
    return folder


def _bundle(name: str, words: str) -> BadInput:
    make = bad_bundles.BUNDLES[name]
    return BadInput(
        f"bundle: {name}",
        lambda p: p.grade(options=("--bundle", make(bad_bundles.copy_of_shipped(p.folder)))),
        3,
        words,
    )


BUNDLES = [_bundle(name, words) for name, words in bad_bundles.WORDS.items()]

BAD_INPUTS = (
    *FILES,
    *CLAIMS,
    *NUMBERS,
    *GEOMETRY,
    *MASKS,
    *CASES,
    *PATHS,
    *DICOM,
    *OPTIONS,
    *OUTPUTS,
    *BUNDLES,
)
