"""Reading volumes: every format to the same voxels in the same place, every fault to one clear line."""

from __future__ import annotations

import gzip
import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.case import Case
from GliomaGradingLib.case_checks import whole_tumour
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.reading import imaging
from GliomaGradingLib.reading.imaging import finite, read_layers, read_volume
from GliomaGradingLib.reading.text_headers import data_files
from GliomaGradingLib.volume import Volume
from small_head import arrays, volumes

ARRAY = (np.arange(24 * 9 * 8) % 3001 - 7).astype(np.int16).reshape(24, 9, 8)
SPACING, ORIGIN = (1.0, 2.0, 3.0), (5.0, -6.0, 7.0)
OBLIQUE = np.array([[0.8, 0.0, 0.6], [0.6, 0.0, -0.8], [0.0, 1.0, 0.0]])


def image(array: np.ndarray = ARRAY, direction: np.ndarray = OBLIQUE) -> sitk.Image:
    return Volume(array, SPACING, ORIGIN, direction).toImage()


def nifti(path: Path, *, dim=(3, 8, 9, 24, 1, 1, 1, 1), pixdim=(1, 1, 2, 3, 0, 0, 0, 0), datatype=4, bits=16,
          slope=0.0, intercept=0.0, codes=(0, 1), rows=((1, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0)),
          data=None) -> Path:  # fmt: skip
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, *dim)
    struct.pack_into("<hh", header, 70, datatype, bits)
    struct.pack_into("<8f", header, 76, *pixdim)
    struct.pack_into("<fff", header, 108, 352.0, slope, intercept)
    header[123] = 2
    struct.pack_into("<hh", header, 252, *codes)
    for n, row in enumerate(rows):
        struct.pack_into("<4f", header, 280 + 16 * n, *row)
    header[344:348] = b"n+1\0"
    content = bytes(header) + (ARRAY.astype("<i2").tobytes() if data is None else data)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def mha(path: Path, **changes: str) -> Path:
    fields = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "0 0 0", "ElementSpacing": "1 2 3",
        "DimSize": "8 9 24", "ElementType": "MET_SHORT",
    }  # fmt: skip
    fields.update(changes)
    text = "".join(f"{key} = {value}\n" for key, value in fields.items()) + "ElementDataFile = LOCAL\n"
    path.write_bytes(text.encode() + ARRAY.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.seg.nrrd"])
def test_every_format_gives_the_same_voxels_in_the_same_place(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(image(), str(tmp_path / name), useCompression=True)
    volume = read_volume(tmp_path / name)
    assert np.array_equal(volume.array, ARRAY)
    assert np.allclose(volume.spacing, SPACING) and np.allclose(volume.origin, ORIGIN, atol=1e-4)
    assert np.allclose(volume.direction, OBLIQUE, atol=1e-5)
    assert volume.source == str(tmp_path / name) and volume.warnings == ()


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"])
def test_pixel_types(tmp_path: Path, kind: str) -> None:
    array = (ARRAY % 200).astype(kind)
    sitk.WriteImage(image(array), str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.array.dtype == kind and np.array_equal(volume.array, array)


@pytest.mark.parametrize("kind", ["bool", "float16", "longdouble", ">i2"])
def test_types_that_itk_lacks_survive_a_round_trip(kind: str) -> None:
    array = (ARRAY % 2).astype(kind)
    assert np.array_equal(Volume.fromImage(image(array)).array, array.astype(float))


def test_nifti_rescale_slope_is_applied(tmp_path: Path) -> None:
    volume = read_volume(nifti(tmp_path / "a.nii", slope=0.5, intercept=3.0))
    assert np.allclose(volume.array, ARRAY * 0.5 + 3)


def test_one_frame_is_accepted_and_more_are_refused(tmp_path: Path) -> None:
    one = sitk.JoinSeries([image()])
    sitk.WriteImage(one, str(tmp_path / "one.mha"))
    assert np.array_equal(read_volume(tmp_path / "one.mha").array, ARRAY)
    sitk.WriteImage(sitk.JoinSeries([image(), image()]), str(tmp_path / "two.mha"))
    with pytest.raises(CaseError, match="2 frames or components"):
        read_volume(tmp_path / "two.mha")
    assert len(read_layers(tmp_path / "two.mha")) == 2


def test_affine_and_corners() -> None:
    volume = Volume.fromImage(image())
    assert np.allclose((volume.affine @ [2, 3, 4, 1])[:3], image().TransformIndexToPhysicalPoint((2, 3, 4)))
    assert np.allclose(
        volume.corners.mean(axis=0), image().TransformContinuousIndexToPhysicalPoint((3.5, 4, 11.5))
    )
    assert volume.size == (8, 9, 24)


def test_moved_puts_a_rigid_motion_before_the_geometry() -> None:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = OBLIQUE, (1, 2, 3)
    moved = Volume.fromImage(image()).moved(motion)
    assert np.allclose(moved.affine, motion @ Volume.fromImage(image()).affine)
    assert np.array_equal(moved.array, ARRAY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": (3, -8, 9, 24, 1, 1, 1, 1)}, "impossible dimensions"),
        ({"dim": (2, 8, 9, 1, 1, 1, 1, 1)}, "one 2D image"),
        ({"dim": (4, 8, 9, 8, 3, 1, 1, 1)}, "3 frames"),
        ({"dim": (3, 30000, 30000, 30000, 1, 1, 1, 1)}, "claims 2.7e"),
        ({"datatype": 1536, "bits": 128}, "data type 1536"),
        ({"datatype": 128, "bits": 24, "data": bytes(8 * 9 * 24 * 3)}, "3 frames or components"),
        ({"datatype": 32, "bits": 64, "data": bytes(8 * 9 * 24 * 8)}, "complex"),
        ({"pixdim": (1, -1, 2, 3, 0, 0, 0, 0)}, "voxel size"),
        ({"pixdim": (1, float("nan"), 2, 3, 0, 0, 0, 0)}, "not a number"),
        ({"rows": ((float("nan"), 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0))}, "not a number"),
        ({"rows": ((0, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0))}, "singular"),
        ({"rows": ((1, 0.5, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0))}, "sheared"),
        ({"data": b"abc"}, "cut off"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_faults(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, changes, message) -> None:
    path = nifti(tmp_path / name, **changes)
    with pytest.raises(CaseError, match=message) as error:
        read_volume(path)
    assert f", in {path}: " in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ElementSpacing": "0 2 3"}, "voxel size"),
        ({"ElementSpacing": "-1 2 3"}, "voxel size"),
        ({"ElementSpacing": "nan 2 3"}, "voxel size"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "singular"),
        ({"TransformMatrix": "1 0 0 0.5 1 0 0 0 1"}, "sheared"),
        ({"DimSize": "99999 99999 99999"}, "claims 1e"),
        ({"DimSize": "8 9 100"}, "cut off"),
    ],
)
def test_meta_image_faults(tmp_path: Path, capfd: pytest.CaptureFixture[str], changes, message) -> None:
    path = mha(tmp_path / "a.mha", **changes)
    with pytest.raises(CaseError, match=message) as error:
        read_volume(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_slight_shear_is_taken_out_with_a_notice(tmp_path: Path) -> None:
    for path in (
        nifti(tmp_path / "a.nii", rows=((1, 0.02, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0))),
        mha(tmp_path / "a.mha", TransformMatrix="1 0 0 0.01 1 0 0 0 1"),
    ):
        volume = read_volume(path)
        assert [n.code for n in volume.warnings] == ["sheared-axes"]
        assert np.allclose(volume.direction.T @ volume.direction, np.eye(3), atol=1e-6)


SHEARED = ((1, 0.02, 0, 5), (0, 2, 0, 6), (0, 0, 3, 7))


def with_qform(path: Path, rows=SHEARED) -> Path:  # type: ignore[no-untyped-def]
    """A file whose qform has its origin elsewhere than the sform."""
    content = bytearray(nifti(path, codes=(1, 1), rows=rows).read_bytes())
    struct.pack_into("<3f", content, 268, 1, 2, 3)
    path.write_bytes(content)
    return path


def test_a_file_read_beside_another_lies_where_it_lies_alone(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The environment has ITK take a sheared sform; a file that is read meanwhile has a qform to be taken."""
    first, second = nifti(tmp_path / "first.nii", rows=SHEARED), with_qform(tmp_path / "second.nii")
    alone = read_volume(second)
    assert alone.origin == pytest.approx((-1, -2, 3)) and "its qform is used" in alone.warnings[0].message
    real, inside = imaging._read_file, threading.Event()

    def slow(path: Path, image_io: str):  # type: ignore[no-untyped-def]
        inside.set()
        time.sleep(0.3 if path == first else 0)
        return real(path, image_io)

    monkeypatch.setattr(imaging, "_read_file", slow)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(read_volume, first)
        inside.wait(10)
        beside = pool.submit(read_volume, second).result()
        assert other.result().origin == pytest.approx((-5, -6, 7))
    assert beside.origin == alone.origin and np.array_equal(beside.direction, alone.direction)
    assert imaging._PERMISSIVE not in os.environ


def test_what_the_environment_says_of_sheared_files_does_not_matter(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    straight = ((1, 0, 0, 5), (0, 2, 0, 6), (0, 0, 3, 7))
    files = [with_qform(tmp_path / "sheared.nii"), with_qform(tmp_path / "straight.nii", straight)]
    before = [read_volume(path) for path in files]
    monkeypatch.setenv(imaging._PERMISSIVE, "1")
    for path, volume in zip(files, before, strict=True):
        again = read_volume(path)
        assert again.origin == volume.origin and np.array_equal(again.direction, volume.direction)
    assert os.environ[imaging._PERMISSIVE] == "1"


def turned(path: Path, codes: tuple[int, int], quaternion=(0, 0, 0), offset=(0, 0, 0), **others) -> Path:  # type: ignore[no-untyped-def]
    """A file with a qform of its own."""
    content = bytearray(nifti(path, codes=codes, **others).read_bytes())
    struct.pack_into("<6f", content, 256, *quaternion, *offset)
    path.write_bytes(content)
    return path


DOUBLE = ((2, 0, 0, 0), (0, 4, 0, 0), (0, 0, 6, 0))


@pytest.mark.parametrize("codes", [(0, 1), (1, 1), (0, 2), (3, 1)])
def test_two_voxel_sizes_in_one_header_are_refused(tmp_path: Path, codes: tuple[int, int]) -> None:
    """ITK reads such a head of 2 mm voxels as half a head of 1 mm voxels."""
    with pytest.raises(CaseError, match=r"2 x 4 x 6 by its affine \(sform\) and 1 x 2 x 3 by pixdim") as error:
        read_volume(nifti(tmp_path / "a.nii", codes=codes, rows=DOUBLE))
    assert "correct the wrong one" in str(error.value)
    with pytest.raises(CaseError, match="two voxel sizes"):
        read_volume(nifti(tmp_path / "b.nii", codes=codes, rows=DOUBLE, pixdim=(1, 0, 4, 6, 0, 0, 0, 0)))


def test_voxel_sizes_may_differ_by_rounding_and_in_an_sform_that_is_not_used(tmp_path: Path) -> None:
    rounded = ((1.004, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3.01, 0))
    assert read_volume(nifti(tmp_path / "a.nii", rows=rounded)).warnings == ()
    atlas = read_volume(turned(tmp_path / "b.nii", (1, 4), rows=DOUBLE))
    assert atlas.spacing == SPACING and [n.code for n in atlas.warnings] == ["orientation-conflict"]
    metres = ((0.001, 0, 0, 0), (0, 0.002, 0, 0), (0, 0, 0.003, 0))
    content = bytearray(turned(tmp_path / "c.nii", (1, 1), rows=metres).read_bytes())
    content[123] = 1
    struct.pack_into("<3f", content, 80, 0.001, 0.002, 0.003)
    (tmp_path / "c.nii").write_bytes(content)
    small = read_volume(tmp_path / "c.nii")
    assert np.allclose(small.spacing, SPACING) and small.warnings == ()


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (5, 1), (1, 2), (1, 3), (2, 4), (5, 5)])
@pytest.mark.parametrize("flip", [1, -1])
def test_affines_that_contradict_each_other_are_told_with_the_one_that_is_used(tmp_path, codes, flip) -> None:  # type: ignore[no-untyped-def]
    """Left and right may depend on it: other programs always take the sform."""
    rows = ((flip, 0, 0, 20 if flip > 0 else 7), (0, 2, 0, 0), (0, 0, 3, 0))
    volume = read_volume(turned(tmp_path / "a.nii", codes, rows=rows))
    used = "sform" if codes[1] == 1 else "qform"
    assert volume.origin[0] == pytest.approx(-rows[0][3] if used == "sform" else 0)
    assert [n.code for n in volume.warnings] == ["orientation-conflict"]
    assert f"its {used} is used" in volume.warnings[0].message


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (1, 2)])
def test_affines_that_agree_are_no_matter(tmp_path: Path, codes: tuple[int, int]) -> None:
    """Also where they are turned and mirrored, as a qform says with a quaternion and a sign."""
    angle = np.deg2rad(40)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    rows = np.column_stack([turn * (1, 2, -3), (10.4, 20, 30)])
    volume = read_volume(
        turned(
            tmp_path / "a.nii", codes, (np.sin(angle / 2), 0, 0), (10, 20, 30), rows=rows,
            pixdim=(-1, 1, 2, 3, 0, 0, 0, 0),
        )
    )  # fmt: skip
    assert volume.warnings == () and np.linalg.det(volume.direction) < 0


def test_an_empty_sform_is_not_called_sheared(tmp_path: Path) -> None:
    volume = read_volume(turned(tmp_path / "a.nii", (1, 1), offset=(1, 2, 3), rows=np.zeros((3, 4))))
    assert volume.origin == pytest.approx((-1, -2, 3))
    assert [(n.code, "its qform is used" in n.message) for n in volume.warnings] == [
        ("orientation-conflict", True)
    ]


def test_a_fourth_dimension_of_zero_is_one(tmp_path: Path) -> None:
    """As the NIfTI library has it."""
    volume = read_volume(nifti(tmp_path / "a.nii.gz", dim=(4, 8, 9, 24, 0, 1, 1, 1)))
    assert np.array_equal(volume.array, ARRAY)
    with pytest.raises(CaseError, match="impossible dimensions"):
        read_volume(nifti(tmp_path / "b.nii.gz", dim=(4, 8, 9, 0, 1, 1, 1, 1)))


@pytest.mark.parametrize("floor", [0.0, -3.0])
def test_a_hole_in_a_stripped_image_is_background(floor: float) -> None:
    """The smallest value of a z-scored brain is fluid, and its background 0."""
    array = np.zeros((8, 9, 10), np.float32)
    array[2:6, 2:7, 2:8] = np.linspace(floor, 2, 4 * 5 * 6).reshape(4, 5, 6)
    array[0, 0, 0] = array[4, 4, 4] = np.nan
    volume = finite(Volume(array, (1, 1, 1), (0, 0, 0), np.eye(3), "a.nii"))
    assert volume.array[0, 0, 0] == volume.array[4, 4, 4] == 0.0
    (notice,) = volume.warnings
    assert notice.message == "2 NaN or infinite voxels in a.nii were set to its background"


def pair(folder: Path, header: str, voxels: str) -> Path:
    """A NIfTI header and its voxels in two files of these names; packed where the name says so."""
    content = bytearray(nifti(folder / "whole.nii").read_bytes())
    content[344:348], content[108:112] = b"ni1\0", bytes(4)
    (folder / header).write_bytes(content[:348])
    data = bytes(content[352:])
    (folder / voxels).write_bytes(gzip.compress(data) if voxels.lower().endswith(".gz") else data)
    return folder / header


@pytest.mark.parametrize(
    "names",
    [
        ("a.hdr", "a.img"),
        ("A.HDR", "A.IMG"),
        ("a.hdr", "a.img.gz"),
        ("a.HDR", "a.IMG.GZ"),
        ("a.b.hdr", "a.b.img"),
    ],
)
def test_a_header_finds_its_voxels_by_their_name(tmp_path: Path, names: tuple[str, str]) -> None:
    header = pair(tmp_path, *names)
    volume = read_volume(header)
    assert np.array_equal(volume.array, ARRAY) and volume.spacing == SPACING
    assert data_files(header) == (tmp_path / names[1],)
    (tmp_path / names[1]).write_bytes((tmp_path / names[1]).read_bytes()[:-9])
    with pytest.raises(CaseError, match=rf"cut off or damaged, in .*{names[1]}: copy"):
        read_volume(header)


@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("A.HDR", "A.IMG"), ("a.hdr", "a.img.gz")])
def test_a_pair_named_by_its_voxels_is_read_by_its_header(tmp_path: Path, names: tuple[str, str]) -> None:
    """ITK fills what is missing of the voxels with zeros."""
    header, voxels = pair(tmp_path, *names), tmp_path / names[1]
    assert np.array_equal(read_volume(voxels).array, ARRAY)
    assert data_files(voxels) == (header,)
    content = bytearray(header.read_bytes())
    content[252:256] = bytes(4)
    header.write_bytes(content)
    assert [notice.code for notice in read_volume(voxels).warnings] == ["orientation-unknown"]
    voxels.write_bytes(voxels.read_bytes()[: voxels.stat().st_size // 2])
    with pytest.raises(CaseError, match=rf"cut off or damaged, in .*{names[1]}: copy"):
        read_volume(voxels)
    with pytest.raises(CaseError, match=rf"cut off or damaged, in .*{names[1]}: copy"):
        read_layers(voxels)


@pytest.mark.skipif(os.name != "posix", reason="a.IMG and a.img are one file")
def test_voxels_that_itk_would_not_find_are_missing(tmp_path: Path) -> None:
    header = pair(tmp_path, "a.hdr", "a.IMG")
    with pytest.raises(CaseError, match=r"the voxels are missing .*under one name that ends in .hdr and .img$"):
        read_volume(header)


@pytest.mark.parametrize("name", ["a.nii.GZ", "a.Nii.gz", "a.NII.gz", "a.Nii"])
def test_an_ending_in_mixed_letters_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """ITK calls such a file no NIfTI file, and says why on the terminal."""
    path = tmp_path / name
    nifti(tmp_path / name.lower()).rename(path)
    with pytest.raises(CaseError) as refused:
        read_volume(path)
    assert str(refused.value) == (
        f"its ending {name[1:]} mixes capitals and small letters, in {path}: "
        f"rename it to end in {name[1:].lower()}"
    )
    assert capfd.readouterr().err == ""
    assert np.array_equal(read_volume(path.rename(tmp_path / name.upper())).array, ARRAY)


def test_analyze_has_no_orientation(tmp_path: Path) -> None:
    """What NIfTI has for the codes of its affines is part of a name and an originator in Analyze 7.5."""
    content = bytearray(nifti(tmp_path / "a.nii").read_bytes())
    content[344:348], content[108:112], content[252:256] = bytes(4), bytes(4), b"ab\0\1"
    (tmp_path / "b.hdr").write_bytes(content[:348])
    (tmp_path / "b.img").write_bytes(content[352:])
    volume = read_volume(tmp_path / "b.hdr")
    assert np.array_equal(volume.array, ARRAY) and volume.spacing == SPACING
    assert [n.code for n in volume.warnings] == ["orientation-unknown"]


def test_missing_orientation_is_said(tmp_path: Path) -> None:
    assert [n.code for n in read_volume(nifti(tmp_path / "a.nii", codes=(0, 0))).warnings] == [
        "orientation-unknown"
    ]


def nrrd(path: Path, *fields: str) -> Path:
    lines = (
        "NRRD0004",
        "type: short",
        "dimension: 3",
        "sizes: 8 9 24",
        "encoding: raw",
        "endian: little",
        *fields,
    )
    path.write_bytes(("\n".join(lines) + "\n\n").encode() + ARRAY.astype("<i2").tobytes())
    return path


DIRECTIONS = "space directions: (1,0,0) (0,2,0) (0,0,3)"


@pytest.mark.parametrize(
    ("space", "is_known"),
    [
        ("space: left-posterior-superior", True),
        ("space: RAS", True),
        ("space: scanner-xyz", False),
        ("space: 3D-right-handed", False),
        ("space: 3D-left-handed", False),
        ("space dimension: 3", False),
    ],
)
def test_a_space_that_is_no_patients_is_no_orientation(tmp_path: Path, space: str, is_known: bool) -> None:
    volume = read_volume(nrrd(tmp_path / "a.nrrd", space, DIRECTIONS))
    assert volume.spacing == SPACING
    assert [n.code for n in volume.warnings] == ([] if is_known else ["orientation-unknown"])


@pytest.mark.parametrize(
    ("left_out", "added", "is_known"),
    [
        (("TransformMatrix", "Offset"), {}, False),
        (("TransformMatrix", "Offset"), {"AnatomicalOrientation": "???"}, False),
        (("TransformMatrix", "Offset"), {"AnatomicalOrientation": "RAI"}, True),
        (("TransformMatrix", "Offset"), {"Position": "1 2 3"}, True),
        (("Offset",), {}, True),
        ((), {}, True),
    ],
)
def test_a_meta_image_without_a_place_has_no_orientation(tmp_path: Path, left_out, added, is_known) -> None:  # type: ignore[no-untyped-def]
    lines = mha(tmp_path / "a.mha", **added).read_bytes().split(b"\n")
    kept = [line for line in lines if not line.startswith(tuple(name.encode() for name in left_out))]
    (tmp_path / "a.mha").write_bytes(b"\n".join(kept) if left_out else b"\n".join(lines))
    codes = [n.code for n in read_volume(tmp_path / "a.mha").warnings]
    assert codes == ([] if is_known else ["orientation-unknown"])


@pytest.mark.parametrize("unit", ["um", "cm", "m", "µm", "inch", "micrometers", "furlong"])
def test_lengths_in_another_unit_are_refused(tmp_path: Path, unit: str) -> None:
    """ITK reads them as mm."""
    files = [
        nrrd(tmp_path / "a.nrrd", "space: LPS", DIRECTIONS, f'space units: "{unit}" "{unit}" "{unit}"'),
        mha(tmp_path / "a.mha", DistanceUnits=unit),
    ]
    if unit != "furlong":
        files.append(nrrd(tmp_path / "b.nrrd", "spacings: 1 2 3", f'units: "{unit}" "{unit}" "{unit}"'))
    for path in files:
        with pytest.raises(CaseError, match="not in mm"):
            read_volume(path)


@pytest.mark.parametrize("unit", ["mm", "MM", "millimeters", "", "?"])
def test_lengths_in_millimetres_or_of_no_known_unit_are_read(tmp_path: Path, unit: str) -> None:
    units = f'space units: "{unit}" "{unit}" "{unit}"'
    assert read_volume(nrrd(tmp_path / "a.nrrd", "space: LPS", DIRECTIONS, units)).spacing == SPACING
    assert read_volume(mha(tmp_path / "a.mha", DistanceUnits=unit or "?")).spacing == SPACING
    assert read_volume(nrrd(tmp_path / "b.nrrd", "spacings: 1 2 3", 'units: "s" "mm" ""')).spacing == SPACING


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_cut_file_is_refused(tmp_path: Path, name: str) -> None:
    """ITK itself fills the end of a cut .nii.gz with zeros and says nothing."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2000, (64, 64, 64)).astype(np.int16)
    sitk.WriteImage(
        Volume(noise, SPACING, ORIGIN, OBLIQUE).toImage(), str(tmp_path / name), useCompression=True
    )
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(CaseError, match=f"in {tmp_path / name}: "):
        read_volume(tmp_path / name)


def test_a_flipped_bit_in_a_compressed_nifti_is_noticed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2000, (64, 64, 64)).astype(np.int16)
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(Volume(noise, SPACING, ORIGIN, OBLIQUE).toImage(), str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CaseError, match="cut off or damaged"):
        read_volume(path)


@pytest.mark.parametrize(
    "rest", [b"\0" * 5000, b"-----BEGIN SIGNATURE-----" * 99, b"\x1f", gzip.compress(b"more" * 99)]
)
def test_what_follows_the_voxels_of_a_compressed_file_is_nothing_to_them(tmp_path: Path, rest: bytes) -> None:
    path = nifti(tmp_path / "a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    assert np.array_equal(read_volume(path).array, ARRAY)
    bad_sum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    for damaged in (whole[:-9], whole[:-1], bad_sum, whole[: len(whole) // 2] + rest, bad_sum + rest):
        path.write_bytes(damaged)
        with pytest.raises(CaseError, match="cut off or damaged"):
            read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_header_named_like_a_whole_file_may_have_its_voxels_in_another(tmp_path: Path, name: str) -> None:
    array = np.full((64, 128, 128), 7, np.int16)  # 2 MiB, which a header of 200 bytes could not hold
    (tmp_path / "a.raw").write_bytes(array.tobytes())
    (tmp_path / name).write_text(
        "NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\nsizes: 128 128 64\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: raw\ndata file: a.raw\n\n"
        if name == "a.nrrd"
        else "NDims = 3\nOffset = 0 0 0\nDimSize = 128 128 64\nElementType = MET_SHORT\n"
        "ElementDataFile = a.raw\n"
    )
    assert np.array_equal(read_volume(tmp_path / name).array, array)
    (tmp_path / "a.raw").write_bytes(b"")
    with pytest.raises(CaseError, match="the file is cut off: its header claims"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nii.gz", b"\x07" * 5000, "not a NIfTI file"),
        ("a.nii.gz", b"", "empty"),
        ("a.nii", gzip.compress(b"x" * 400, mtime=0), "rename it to end in .nii.gz"),
        ("a.nrrd", b"hello", "not a NRRD file"),
        ("a.mha", b"hello", "header cannot be that of a volume"),
        ("a.txt", b"hello", "not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaseError, match=message):
        read_volume(tmp_path / name)


def test_places_without_a_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CaseError, match="no such file"):
        read_volume(tmp_path / "none.nii")
    with pytest.raises(CaseError, match="no DICOM series and no volume"):
        read_volume(tmp_path)
    path = nifti(tmp_path / "a.nii")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CaseError, match="no permission"):
        read_volume(path)


def test_a_folder_with_one_volume_is_that_volume(tmp_path: Path) -> None:
    folder = tmp_path / "a_t1.nii"
    folder.mkdir()
    nifti(folder / "inner.nii")
    assert np.array_equal(read_volume(folder).array, ARRAY)
    nifti(folder / "other.nii")
    with pytest.raises(CaseError, match="2 volumes"):
        read_volume(folder)


def test_few_nan_are_repaired_and_many_refused(tmp_path: Path) -> None:
    array = ARRAY.astype(np.float32)
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    sitk.WriteImage(image(array), str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    faces = [array.take(end, axis).ravel() for axis in range(3) for end in (0, -1)]
    assert volume.array[0, 0, 0] == volume.array[1, 1, 1] == np.nanmedian(np.concatenate(faces))
    assert [n.code for n in volume.warnings] == ["non-finite-voxels"] and "2 NaN" in volume.warnings[0].message
    array[:3] = np.nan
    sitk.WriteImage(image(array), str(tmp_path / "a.nrrd"))
    with pytest.raises(CaseError, match=r"12\.5 % of the voxels are NaN.*set them to 0"):
        read_volume(tmp_path / "a.nrrd")


def test_a_layered_segmentation_has_a_volume_per_layer(tmp_path: Path) -> None:
    layers = [image(np.greater(ARRAY, n).astype(np.uint8)) for n in (100, 900)]
    sitk.WriteImage(sitk.Compose(layers), str(tmp_path / "a.seg.nrrd"))
    read = read_layers(tmp_path / "a.seg.nrrd")
    assert [int(v.array.sum()) for v in read] == [int(np.greater(ARRAY, n).sum()) for n in (100, 900)]


def segmented(path: Path, arrays: list[np.ndarray], **values: str) -> Path:
    """A segmentation file with what Slicer writes into its header."""
    layers = [image(array.astype(np.uint8)) for array in arrays]
    made = layers[0] if len(layers) == 1 else sitk.Compose(layers)
    for key, value in values.items():
        made.SetMetaData(key, value)
    sitk.WriteImage(made, str(path), useCompression=True)
    return path


TWO = {"Segment0_Name": "Tumor", "Segment0_LabelValue": "1", "Segment0_Layer": "0", "Segment1_LabelValue": "2"}


def test_segments_that_are_no_tumour_by_their_names_are_left_out(tmp_path: Path) -> None:
    """As those of a DICOM segmentation: a ventricle made the tumour larger."""
    labels = ARRAY % 4
    path = segmented(
        tmp_path / "a.seg.nrrd", [labels], **TWO, Segment1_Name="Right ventricle", Segment1_Layer="0"
    )
    (layer,) = read_layers(path)
    assert np.array_equal(layer.array, np.where(labels == 2, 0, labels))
    assert [(n.code, "segments 2 of" in n.message) for n in layer.warnings] == [
        ("mask-segments-left-out", True)
    ]
    (whole,) = read_layers(path, are_labels_chosen=True)
    assert np.array_equal(whole.array, labels) and whole.warnings == ()
    assert np.array_equal(read_volume(path).array, labels)


def test_segments_are_left_out_of_their_own_layers(tmp_path: Path) -> None:
    first, second = ARRAY % 3, ARRAY % 5 % 3
    now = segmented(tmp_path / "a.seg.nrrd", [first, second], **TWO, Segment1_Name="Brain", Segment1_Layer="1")
    assert [np.unique(layer.array).tolist() for layer in read_layers(now)] == [[0, 1, 2], [0, 1]]
    old = segmented(
        tmp_path / "b.seg.nrrd", [first == 1, second == 1], Segment0_Name="skull", Segment1_Name="Tumour"
    )
    assert [int(layer.array.max()) for layer in read_layers(old)] == [0, 1]


def test_segments_are_not_all_left_out(tmp_path: Path) -> None:
    path = segmented(tmp_path / "a.seg.nrrd", [ARRAY % 2], Segment0_Name="Brain", Segment0_LabelValue="1")
    (layer,) = read_layers(path)
    assert np.array_equal(layer.array, ARRAY % 2)
    assert [n.code for n in layer.warnings] == ["mask-segments-doubtful"]
    named = segmented(tmp_path / "b.seg.nrrd", [ARRAY % 2], Segment0_Name="Segment_1", Segment0_LabelValue="1")
    assert read_layers(named)[0].warnings == ()


def test_a_chosen_label_of_several_segments_is_refused(tmp_path: Path) -> None:
    """Each layer counts its labels anew: label 1 was the tumour and the ventricle that overlaps it."""
    first, second = ARRAY % 3, ARRAY % 5 % 3
    names = {"Segment0_Name": "Tumour", "Segment1_Name": "Ventricle"}
    values = {**names, "Segment0_LabelValue": "1", "Segment1_LabelValue": "1", "Segment1_Layer": "1"}
    values |= {"Segment2_Name": "Oedema", "Segment2_LabelValue": "2", "Segment2_Layer": "0"}
    now = segmented(tmp_path / "a.seg.nrrd", [first, second == 1], **values)
    old = segmented(tmp_path / "b.seg.nrrd", [first == 1, second == 1], **names)
    for path in (now, old):
        with pytest.raises(CaseError) as refused:
            whole_tumour(read_layers(path, are_labels_chosen=True), (2, 1))
        assert str(refused.value) == (
            f"mask label 1 stands for several segments (Tumour and Ventricle), in {path}: save the tumour "
            "alone as a segmentation of its own; or leave out the labels, where the names say which segments "
            "are the tumour"
        )
    only, _ = whole_tumour(read_layers(now, are_labels_chosen=True), 2)
    assert np.array_equal(only.array, first == 2)
    named, _ = whole_tumour(read_layers(now))
    assert np.array_equal(named.array, first > 0)


def write_series(folder: Path, *, uid: str = "1", keep=range(24), slopes=None, description: str = "t1") -> Path:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    for k in keep:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{uid}.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        # the file names run against the positions: order must come from the headers
        name = str(folder / f"{uid}-{99 - k}.dcm")
        ds = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.Modality = f"1.2.4.{uid}", "1.2.5", "MR"
        ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber = description, int(uid), k + 1
        ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = 9, 8, [2, 1], 3
        ds.ImageOrientationPatient = [float(x) for x in (*OBLIQUE[:, 0], *OBLIQUE[:, 1])]
        ds.ImagePositionPatient = [float(x) for x in np.array(ORIGIN) + OBLIQUE[:, 2] * 3 * k]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        if slopes:
            ds.RescaleSlope, ds.RescaleIntercept = slopes[k], 0
        ds.PixelData = ARRAY[k].tobytes()
        ds.save_as(name, enforce_file_format=True)
    return folder


def test_a_dicom_series_is_sorted_by_position(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path / "t1"))
    assert np.array_equal(volume.array, ARRAY)
    assert np.allclose(volume.spacing, SPACING) and np.allclose(volume.origin, ORIGIN)
    assert np.allclose(volume.direction, OBLIQUE, atol=1e-6)


def test_dicom_rescale_slopes_may_differ_between_slices(tmp_path: Path) -> None:
    slopes = [1.0, *[0.25] * 23]
    volume = read_volume(write_series(tmp_path / "t1", slopes=slopes))
    assert np.allclose(volume.array, ARRAY * np.array(slopes)[:, None, None])


def test_dicom_with_missing_slices_or_two_series_is_refused(tmp_path: Path) -> None:
    keep = [k for k in range(24) if k not in (5, 6)]
    with pytest.raises(CaseError, match="2 slices are missing"):
        read_volume(write_series(tmp_path / "gap", keep=keep))
    folder = write_series(tmp_path / "two", uid="1", description="t1 axial")
    write_series(folder, uid="2", description="t2 axial")
    with pytest.raises(CaseError, match=r"2 DICOM series \(series 1, 24 files; series 2, 24 files\)"):
        read_volume(folder)


def test_limits_are_checked_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaging, "MAX_VOXELS", 1000)
    sitk.WriteImage(image(), str(tmp_path / "a.nrrd"))
    with pytest.raises(CaseError, match=r"claims 1\.73e"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", [".hdf5", ".mnc"])
def test_formats_whose_library_bears_no_threads(tmp_path, suffix):
    """Read four at a time, as a case is, these files ended the process in every second run."""
    for name, volume in volumes().items():
        sitk.WriteImage(volume.toImage(), str(tmp_path / f"{name}{suffix}"))
    paths = {"t1": "T1", "t2": "T2", "flair": "FLAIR", "mask": "mask"}
    for _ in range(5):
        case = Case.fromFiles(**{role: tmp_path / f"{name}{suffix}" for role, name in paths.items()})
        assert np.array_equal(case.images["T2"].array, arrays()["T2"])
        assert case.mask.array.sum() == arrays()["mask"].sum()
