"""DICOM in: objects beside the images of a study, and files that are not as one expects."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.reading.dicom_lengths import check_lengths
from GliomaGradingLib.reading.dicom_series import find_series
from GliomaGradingLib.reading.dicom_study import pick_series
from GliomaGradingLib.reading.imaging import read_volume
from small_head import arrays

pydicom = pytest.importorskip("pydicom", reason="needs pydicom (pip install pydicom highdicom)")
import dicom_maker as maker  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

MR, CAPTURE, MAP = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("4", "7", "30"))

PHILIPS = "1.3.46.670589.5.0.10"
"""Vendors have classes of their own for images, too: Philips MR Synthetic Image."""

NOT_IMAGES = (
    "1.3.12.2.1107.5.9.1",  # Siemens CSA Non-Image
    "1.3.46.670589.11.0.0.12.2",  # Philips series data
    "1.3.46.670589.11.0.0.12.4",  # Philips examination card
    "1.2.840.113619.4.26",  # GE
    "1.2.840.10008.5.1.4.1.1.200.3",  # protocol
    "1.2.840.10008.5.1.4.1.1.90.1",  # content assessment
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T1, T2 and FLAIR, a folder each, and the mask as NIfTI; do not write into it."""
    folder = maker.study(tmp_path_factory.mktemp("study"))
    maker.segmentation_file(folder / "seg.nii.gz")
    return folder


@pytest.fixture
def study(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "study"))


def numbers(study: Path) -> dict[str, str]:
    """By sequence, the number of the series that was picked."""
    return {name: series.number for name, series in pick_series(study).chosen.items()}


PICKED = {"T1": "3", "T2": "4", "FLAIR": "5"}


# ---------------------------------------------------------------- no images


@pytest.mark.parametrize("sop_class", NOT_IMAGES)
def test_objects_of_any_class_without_pixels_are_passed_over(study, sop_class):
    maker.no_image(study / "other.dcm", sop_class, "MR")
    beside = maker.no_image(study / "T1" / "other.dcm", sop_class, "MR")
    assert numbers(study) == PICKED
    case = Case.read(study)
    assert all(np.array_equal(case.images[name].array, arrays()[name]) for name in PICKED)
    assert np.array_equal(read_volume(study / "T1").array, arrays()["T1"])
    what = "Siemens CSA Non-Image" if sop_class == NOT_IMAGES[0] else "object without pixels"
    assert find_series(study / "T1").others == ((beside, what),)


def test_a_parametric_map_of_real_numbers_is_passed_over(study):
    path = maker.enhanced(study / "map.dcm", "T2", SeriesNumber=77, SeriesDescription="rCBV")
    ds = pydicom.dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MAP
    ds.FloatPixelData = ds.pixel_array.astype("<f4").tobytes()
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 32
    ds.save_as(path)
    assert numbers(study) == PICKED


def _cut(path: Path, keyword: str, more: int = 0) -> None:
    """Ends the file where this element begins, or some bytes behind."""
    data, ds = path.read_bytes(), pydicom.dcmread(path)
    tag = ds[keyword].tag
    at = data.index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"), 200)
    path.write_bytes(data[: at + more])


@pytest.mark.parametrize(
    ("sop_class", "keyword", "more"),
    [
        (MR, "PixelData", 0),
        (MR, "PixelData", 6),
        (MR, "PixelData", 500),
        (MR, "PatientID", 0),
        (PHILIPS, "PixelData", 0),
        (PHILIPS, "PixelData", 6),
        (PHILIPS, "PixelData", 500),
        (PHILIPS, "PatientID", 6),
    ],
)
def test_a_slice_that_is_cut_off_is_no_object_without_pixels(study, sop_class, keyword, more):
    """The last slice: nobody would miss it."""
    path = max((study / "T1").iterdir(), key=lambda one: pydicom.dcmread(one).ImagePositionPatient[2])
    for one in (study / "T1").iterdir():
        ds = pydicom.dcmread(one)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
        ds.save_as(one)
    assert np.array_equal(read_volume(study / "T1").array, arrays()["T1"])
    _cut(path, keyword, more)
    for read in (lambda: read_volume(study / "T1"), lambda: pick_series(study)):
        with pytest.raises(CaseError, match=rf"(cannot be read|damaged).*, in .*{path.name}"):
            read()


# ---------------------------------------------------------------- lengths


def _with_inner_image(ds: Dataset, is_without_length: bool) -> None:
    """A private sequence and an icon that have rows, columns and bits of their own."""
    inner = Dataset()
    inner.SamplesPerPixel, inner.PhotometricInterpretation = 3, "YBR_FULL_422"
    inner.Rows = inner.Columns = 4096
    inner.BitsAllocated = 32
    ds.private_block(0x2005, "Maker", create=True).add_new(0x0F, "SQ", [inner])
    icon = Dataset()
    icon.Rows = icon.Columns = 64
    icon.BitsAllocated, icon.PixelData = 8, bytes(64)
    ds.IconImageSequence = [icon]
    for element in (ds[0x2005, 0x100F], ds["IconImageSequence"]):
        element.is_undefined_length = element.value[0].is_undefined_length_sequence_item = is_without_length


@pytest.mark.parametrize("is_without_length", [False, True])
@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "ImplicitVRLittleEndian"])
def test_what_items_of_sequences_say_of_rows_is_not_the_images(tmp_path, syntax, is_without_length):
    folder = maker.scan(tmp_path / "t1", "T1", lambda k, ds: _with_inner_image(ds, is_without_length))
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
        pydicom.dcmwrite(path, ds, implicit_vr=syntax.startswith("Implicit"), little_endian=True)
    assert np.array_equal(read_volume(folder).array, arrays()["T1"])
    damaged = sorted(folder.iterdir())[5]
    ds = pydicom.dcmread(damaged)
    ds.PixelData = ds.PixelData[:-2]
    ds.save_as(damaged)
    with pytest.raises(CaseError, match=rf"has 17998 bytes of pixels.*{damaged.name}"):
        read_volume(folder)


def _capture(path: Path, missing: int = 0) -> Path:
    """A colour picture whose pixels share their colour two by two: 2 bytes a pixel."""
    ds = pydicom.dcmread(maker.no_image(path, CAPTURE, "OT"))
    ds.Rows = ds.Columns = 64
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(64 * 64 * 2 - missing)
    ds["PixelData"].VR = "OB"
    ds.save_as(path)
    return path


def test_a_picture_of_halved_colour_is_not_cut_off(study, tmp_path):
    _capture(study / "capture.dcm")
    assert numbers(study) == PICKED
    with pytest.raises(CaseError, match="has 8190 bytes of pixels"):
        check_lengths(_capture(tmp_path / "cut.dcm", missing=2))


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("described", [70, 81])
def test_frames_whose_places_are_not_said_are_not_left_out(tmp_path, described):
    path = maker.enhanced(tmp_path / "flair" / "a.dcm")
    ds = pydicom.dcmread(path)
    places = [*ds.PerFrameFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence[-1]]
    ds.PerFrameFunctionalGroupsSequence = places[:described]
    ds.save_as(path)
    for given in (path, path.parent):
        with pytest.raises(CaseError, match=f"has 80 frames and says of {described} where they lie"):
            read_volume(given)
