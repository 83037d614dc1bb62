"""What fuzzing and the table of bad inputs found, as small as it goes. Each crashed, hung or went unnoticed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.reading import text_headers
from GliomaGradingLib.reading.dicom_lengths import check_lengths
from GliomaGradingLib.reading.imaging import read_layers, read_volume

from Testing.robustness import files


def refused(path: Path, words: str) -> None:
    for read in (read_volume, read_layers):
        with pytest.raises(CaseError, match=words):
            read(path)


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_dimensions_without_number_ended_the_process(tmp_path: Path, suffix: str) -> None:
    data = files.mha(b"", NDims="6" * 40, ElementSpacing="& 1.5 8 2")
    refused(put(tmp_path / f"a{suffix}", data), "NDims is '666")


@pytest.mark.parametrize(
    "changes",
    [
        {"ElementNumberOfChannels": "1000000000"},
        {"NDims": "3000000"},
        {"DimSize": "1 1 -1"},
        {"HeaderSize": "99999999999"},
        {"ElementSpacing": "1 2"},
        {"TransformMatrix": "1 0 0"},
        {"ElementType": "MET_NONE"},
    ],
)
def test_absurd_headers_never_reach_itk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    path = put(tmp_path / "a.mha", files.mha(**changes))
    monkeypatch.setattr(sitk, "ImageFileReader", lambda: pytest.fail("ITK was asked"))
    refused(path, "the header cannot be that of a volume")


def test_lengths_before_their_count_never_reach_itk(tmp_path: Path) -> None:
    data = files.mha().replace(b"NDims = 3\n", b"").replace(b"DimSize", b"DimSize = 1 2 3\nNDims = 3\nDimSize")
    refused(put(tmp_path / "a.mha", data), "comes before NDims")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_flipped_bit_in_packed_voxels_was_graded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(files.image_of("FLAIR"), str(path), True)
    assert np.array_equal(read_volume(path).array, files.arrays()["FLAIR"])
    refused(files.flip(path), "cut off or damaged|cannot be read")


def test_packed_voxels_are_unpacked_in_bounded_steps(tmp_path: Path) -> None:
    bomb = files.gzip_bomb(b"", 64 << 20)
    path = put(tmp_path / "a.nrrd", files.nrrd(bomb, encoding="gzip"))
    text_headers.check_nrrd(path)  # whole as an archive; that it is too long is ITK's to see


def test_names_that_are_no_text_ended_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.nii"
    try:
        path.write_bytes(files.nifti())
    except OSError:
        pytest.skip("this file system has no such names")
    refused(path, "no text")


def element(tag: tuple[int, int], kind: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    if kind in (b"OB", b"OW", b"SQ", b"UN"):
        return struct.pack("<HH2s2xI", *tag, kind, size) + value
    return struct.pack("<HH2sH", *tag, kind, size) + value


def dicom(*elements: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    return bytes(128) + b"DICM" + element((2, 0x10), b"UI", syntax) + b"".join(elements)


@pytest.mark.parametrize(
    "data",
    [
        dicom(element((8, 0x60), b"OB", b"MR", length=0x7FFFFFF0)),
        dicom(element((0x88, 0x200), b"SQ", element((0xFFFE, 0xE000), b"OB", b""), length=1 << 30)),
        dicom(element((8, 0x60), b"CS", b"MR", length=60000)),
        dicom(struct.pack("<HHI", 8, 0x60, 1 << 31), syntax=b"1.2.840.10008.1.2\0"),
        dicom(struct.pack(">HH2s2xI", 8, 0x60, b"OB", 1 << 31), syntax=b"1.2.840.10008.1.2.2\0"),
        dicom(
            element((0x28, 0x10), b"US", struct.pack("<H", 100)),
            element((0x28, 0x11), b"US", struct.pack("<H", 100)),
            element((0x28, 0x100), b"US", struct.pack("<H", 16)),
            element((0x7FE0, 0x10), b"OW", bytes(9000)),
        ),
    ],
)
def test_dicom_elements_that_claim_more_than_the_file_has(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CaseError, match="cut off or damaged"):
        check_lengths(put(tmp_path / "a.dcm", data))
    refused(tmp_path / "a.dcm", "a.dcm")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        dicom(),
        dicom(element((8, 0x60), b"CS", b"MR")),
        dicom(element((8, 0x1140), b"SQ", b"", length=0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)),
        dicom(
            element((0x28, 0x10), b"US", struct.pack("<H", 4)),
            element((0x7FE0, 0x10), b"OB", b"", length=0xFFFFFFFF),
            struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\xff\xff\xff\xff",
            struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        ),
        dicom(element((8, 0x60), b"OB", b"", length=1 << 31), syntax=b"1.2.840.10008.1.2.1.99"),
    ],
)
def test_dicom_files_whose_elements_end_in_time(tmp_path: Path, data: bytes) -> None:
    check_lengths(put(tmp_path / "a.dcm", data))


def test_a_whole_series_passes(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for path in files.dicom_series(tmp_path / "s", count=3).iterdir():
        check_lengths(path)


def test_values_beyond_single_precision_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(files.image_of("FLAIR", files.arrays()["FLAIR"] * 1e300), str(path))
    refused(path, "values up to")


def test_a_voxel_size_of_zero_was_taken_for_one_millimetre(tmp_path: Path) -> None:
    data = files.nifti(pixdim=(1, 0, 2, 2, 0, 0, 0, 0), codes=(0, 0))
    refused(put(tmp_path / "a.nii", data), "voxel size of zero")
