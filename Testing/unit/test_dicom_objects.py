"""DICOM in: objects beside the images of a study, and files that are not as one expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.dicom_lengths import check_lengths
from GliomaGradingLib.dicom_study import pick_series
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.imaging import read_volume
from small_head import arrays

pydicom = pytest.importorskip("pydicom", reason="needs pydicom (pip install pydicom highdicom)")
import dicom_maker as maker  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


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


def test_a_picture_of_halved_colour_is_not_cut_off(tmp_path):
    study = maker.study(tmp_path / "study")
    maker.segmentation_file(study / "seg.nii.gz")
    _capture(study / "capture.dcm")
    assert {name: series.number for name, series in pick_series(study).chosen.items()} == {
        "T1": "3",
        "T2": "4",
        "FLAIR": "5",
    }
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
