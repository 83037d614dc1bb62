"""DICOM in: series read, told apart and chosen; segmentations; what is refused and what is warned about."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cohort.headers import with_headers_checked
from GliomaGradingLib.cohort.listing import find_cohort
from GliomaGradingLib.cohort.work import fingerprint
from GliomaGradingLib.doubts import DOUBTFUL
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.reading.dicom_header import Header, is_dicom, read_header, what_is_no_image
from GliomaGradingLib.reading.dicom_series import find_series, split
from GliomaGradingLib.reading.dicom_study import looks_like_study, pick_series, resolve
from GliomaGradingLib.reading.imaging import read_layers, read_volume
from GliomaGradingLib.reading.sequence_names import (
    CONTRAST,
    denies_contrast,
    has_agent,
    has_contrast,
    is_mask_name,
    read_sequence,
    sequence_of,
)
from GliomaGradingLib.words import SEQUENCES
from small_head import ORIGIN, SPACING, arrays, volume

pydicom = pytest.importorskip("pydicom", reason="needs pydicom (pip install pydicom highdicom)")
import dicom_maker as maker  # noqa: E402

RTSTRUCT, REPORT = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.88.11"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T1, T1 with contrast of the same description, T2 and FLAIR, a folder each; do not write into it."""
    return maker.study(tmp_path_factory.mktemp("study"), (*maker.SCANS,))


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "case"))


def codes(case: Case) -> set[str]:
    return {notice.code for notice in case.warnings}


# ---------------------------------------------------------------- words and headers


@pytest.mark.parametrize(
    ("wanted", "text", "header"),
    [
        ("T1", "AX T1", {}),
        (CONTRAST, "AX T1", {"ContrastBolusAgent": "10 ml Gadovist"}),
        ("T1", "AX T1", {"ContrastBolusAgent": "NONE"}),
        (CONTRAST, "AX T1 POST", {}),
        ("FLAIR", "AX FLAIR", {"ContrastBolusAgent": "Gadovist"}),
        ("FLAIR", "tirm_tra", {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"}),
        ("T2", "tse_tra", {"EchoTime": "98", "RepetitionTime": "4500"}),
        ("T1", "se_tra", {"EchoTime": "12", "RepetitionTime": "550", "ScanningSequence": "SE"}),
        (
            "T1",
            "3D",
            {"EchoTime": "3", "RepetitionTime": "2300", "InversionTime": "900", "ScanningSequence": "GR\\IR"},
        ),
        ("FLAIR", "sub-01", {"AcquisitionContrast": "FLUID_ATTENUATED"}),
        ("", "ep2d_diff", {"SequenceName": "ep_b1000", "EchoTime": "90", "RepetitionTime": "5000"}),
        ("", "ADC map", {"EchoTime": "90", "RepetitionTime": "5000"}),
        ("", "AX T2", {"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}),
        ("", "PD", {"EchoTime": "15", "RepetitionTime": "3000"}),
        ("", "perfusion", {"EchoTime": "40", "RepetitionTime": "1500", "ScanningSequence": "EP"}),
    ],
)
def test_sequence_by_words_and_acquisition(wanted, text, header):
    assert read_sequence((text,), header).sequence == wanted


def test_words_that_the_acquisition_contradicts_are_doubtful():
    flair = {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"}
    reading = read_sequence(("AX T2",), flair)
    assert (reading.sequence, reading.doubt) == ("T2", "its acquisition looks like FLAIR")
    assert read_sequence(("AX FLAIR",), flair).doubt == ""
    assert read_sequence(("AX T1 POST",), {"EchoTime": "12", "RepetitionTime": "550"}).doubt == ""


@pytest.mark.parametrize(
    ("described", "agents", "is_given"),
    [
        (
            ("AX T1 C-", "AX T1 C- FS", "T1 (C-)", "T1 C(-)", "t1c-", "T1 Gd-", "T1 GD(-)", "T1 CE-",
             "T1 before contrast", "T1 prior to contrast", "T1 vor KM", "T1 avant injection"),
            ("", "No", "none", "NONE.", "0", "ohne", "pre", "non", "Not given", "N/A", "None given",
             "-", "pre contrast", "Not applicable", "WITHOUT CONTRAST", "non-contrast", "NO CONTRAST GIVEN"),
            False,
        ),
        (
            ("AX T1 C+", "T1 C", "T1 C+/C-", "T1 C-/+", "T1 Gd+/-", "T1 +C-", "T1 POST GD- FS",
             "T1 with Gd- FS", "gd-t1", "T1 Gd+ FS", "T1 KM+ FS", "T1 KM -", "T1 Gd-DTPA", "T1 GD- DTPA",
             "T1 C - FS", "T1-C-FS", "T1 before and after contrast", "AX T1 +GAD", "T1+POST", "T1 +INJ",
             "T1 +MDC", "T1 +ENH", "T1+CIV", "t1_mprage+gad", "T1 + INJECTION"),
            ("Dotarem", "Unknown", "Gd-DTPA", "YES", "given", "agent", "+", "?", "***", "contrast", "0.1 ml",
             "pre: none, post: Gadovist", "non-ionic agent"),
            True,
        ),
    ],
)  # fmt: skip
def test_what_tells_of_contrast_and_what_denies_it(described, agents, is_given):
    assert {text: sequence_of(text) for text in described} == dict.fromkeys(
        described, CONTRAST if is_given else "T1"
    )
    assert {text: has_agent({"ContrastBolusAgent": text}) for text in agents} == dict.fromkeys(agents, is_given)


def test_masks_by_name():
    assert is_mask_name("case_seg") and is_mask_name("Tumour") and not is_mask_name("brain_mask")


T1_SPIN_ECHO = {"EchoTime": "12", "RepetitionTime": "550", "ScanningSequence": "SE"}
T1_INVERTED = {"EchoTime": "24", "RepetitionTime": "2100", "InversionTime": "750", "ScanningSequence": "SE\\IR"}
SIEMENS_T1_INVERTED = {**T1_INVERTED, "EchoTime": "9", "RepetitionTime": "2000", "InversionTime": "860"}
GRADIENT_ECHO = {"EchoTime": "23", "RepetitionTime": "700", "ScanningSequence": "GR"}


@pytest.mark.parametrize(
    "text",
    [
        *("AX SE POST GAD", "AX POST CONTRAST", "AXT1POST", "3DT1 GADO", "AX +C", "AX T1 POST TUMOR", "T1 +"),
        *(
            "T1 GD LESION",
            "T1 INJECTE",
            "T1 POSTCON",
            "T1 CIV",
            "T1 造影",
            "T1 增强",
            "T1 조영",
            *("T1 С КОНТРАСТОМ", "T1_постконтраст", "T1+КУ", "T1_ку_sag", "T1 до и после КУ"),
            *("T1 po kontraście", "T1 po kontrascie", "T1 Z KONTRASTEM", "T1 przed i po kontrascie"),
            "AX GAD NO FS",
        ),
        "Ax T1FLAIR +C",
    ],
)
def test_words_for_contrast_count_wherever_the_sequence_is_told(text):
    """By the acquisition alone, too, and with words beside them that name a mask."""
    header = T1_INVERTED if "FLAIR" in text else T1_SPIN_ECHO
    assert read_sequence((text,), header).sequence == CONTRAST


@pytest.mark.parametrize(
    ("text", "is_native"),
    [
        *((one, False) for one in ("AX T1 NO FS", "AX T1 NON FAT SAT", "T1 W/O AND W", "AX GAD NO FS")),
        *((one, True) for one in ("AX T1 W/O", "AX T1 (w/o)", "T1 NO CONTRAST", "T1 sin CIV", "T1 ohne KM")),
        *((one, True) for one in ("T1 SANS INJECTION", "T1 SE PRE", "T1 非造影", "T1 造影前", "T1 비조영")),
        *(
            (one, True)
            for one in ("T1 БЕЗ КОНТРАСТА", "T1_до_контрастирования", "T1 без КУ", "T1 bez kontrastu")
        ),
    ],
)
def test_no_denies_a_medium_only_where_it_is_of_one(text, is_native):
    assert (denies_contrast(text) and not has_contrast(text)) == is_native
    assert (read_sequence((text,), T1_SPIN_ECHO).sequence == "T1") == ("GAD" not in text)


@pytest.mark.parametrize(
    ("wanted", "header"),
    [
        (True, {"ContrastBolusVolume": "10"}),
        (True, {"ContrastBolusTotalDose": "7.5"}),
        (True, {"ContrastBolusRoute": "IV"}),
        (False, {"ContrastBolusRoute": "IV", "ContrastBolusAgent": "NONE"}),
        (False, {"ContrastBolusVolume": "0", "ContrastBolusAgent": "", "ContrastBolusRoute": ""}),
    ],
)
def test_how_much_was_given_and_how_tells_of_an_agent(wanted, header):
    assert has_agent(header) == wanted
    assert (read_sequence(("AX T1",), header).sequence == CONTRAST) == wanted


@pytest.mark.parametrize(
    ("text", "header", "wanted", "doubt"),
    [
        *((one, GRADIENT_ECHO, "", "") for one in ("t2_fl2d_tra_hemo", "t2_swi3d_tra_p2_1.5mm", "T2W_FFE")),
        *((one, GRADIENT_ECHO, "", "") for one in ("AX T2 STAR", "AX T2 SWAN", "AX T2 MERGE")),
        ("AX T2", GRADIENT_ECHO, "T2", "it is a gradient echo"),
        ("AX PD T2 FSE", {"EchoTime": "15", "RepetitionTime": "3000"}, "T2", "its echo is short"),
        ("COR T2 STIR", {}, "", ""),
        (
            "AX T2 FS",
            {"EchoTime": "80", "RepetitionTime": "4500", "InversionTime": "220"},
            "T2",
            "fat is nulled",
        ),
        ("AX FLAIR", T1_INVERTED, "FLAIR", "its echo is short"),
        ("AX FLAIR", {**T1_INVERTED, "EchoTime": "90"}, "FLAIR", "its inversion is short"),
        ("AX FLAIR", {"EchoTime": "388", "RepetitionTime": "5000", "InversionTime": "1650"}, "FLAIR", ""),
        ("Ax T1FLAIR", T1_INVERTED, "T1", ""),
        ("AX T1 FLAIR", T1_INVERTED, "T1", ""),
        ("AX T1 FLAIR", {}, "", ""),
        ("t1_tirm_tra_dark-fluid", SIEMENS_T1_INVERTED, "T1", ""),
        ("t1_tirm_tra_dark-fluid_KM", SIEMENS_T1_INVERTED, CONTRAST, ""),
        ("t1_tirm_tra_dark-fluid", {**T1_INVERTED, "EchoTime": "90", "InversionTime": "2500"}, "FLAIR", ""),
        *((one, {}, "T1", "") for one in ("AX 3D T1 GRE", "t1_gre_tra", "T1_3D_GRE", "AX MPRAGE GRE")),
        *((one, {}, "", "") for one in ("AX T2 GRE", "GRE", "t2*_gre_t1", "T1+T2 GRE", "T1 GRE MAP")),
        *((one, {}, "", "") for one in ("T1+T2", "T1 + FLAIR")),
        *((one, {}, "T1", "") for one in ("AX T1 SE", "T1+COR", "T1 +ISO")),
        ("T1W_FFE", {"EchoTime": "5", "RepetitionTime": "200", "ScanningSequence": "GR"}, "T1", ""),
        ("sT2W_TSE", {"EchoTime": "80", "RepetitionTime": "3000", "ScanningSequence": "SE"}, "T2", ""),
        ("AXT2", {}, "T2", ""),
    ],
)
def test_what_is_called_t2_or_flair_and_is_another_contrast(text, header, wanted, doubt):
    reading = read_sequence((text,), header)
    assert (reading.sequence, reading.doubt) == (wanted, doubt)


def test_t1flair_in_one_word_is_a_t1():
    assert sequence_of("Ax T1FLAIR") == "T1" and sequence_of("T1_FLAIR") == ""


# ---------------------------------------------------------------- series


def test_a_series_is_read_with_its_files(study):
    read = read_volume(study / "T2")
    assert np.array_equal(read.array, arrays()["T2"])
    assert read.spacing == pytest.approx(SPACING) and read.origin == pytest.approx(ORIGIN)
    assert len(read.files) == 80 and all(Path(name).parent == study / "T2" for name in read.files)


def test_missing_slices_are_counted(tmp_path):
    keep = [k for k in range(80) if k not in (30, 31, 50)]
    maker.series(tmp_path / "t1", arrays()["T1"], keep=keep, **maker.SCANS["T1"])
    with pytest.raises(CaseError, match="3 slices are missing"):
        read_volume(tmp_path / "t1")


def test_copies_of_a_slice_are_left_out(copy):
    for path in sorted((copy / "T1").glob("*.dcm"))[10:13]:
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    read = read_volume(copy / "T1")
    assert np.array_equal(read.array, arrays()["T1"])
    assert [n.code for n in read.warnings] == ["dicom-copies"] and "3 files" in read.warnings[0].message


def test_slices_that_share_their_uid_are_no_copies(tmp_path):
    """Careless anonymisers give one UID to several images; half of a head was left out for it."""

    def share(k, ds):
        ds.SOPInstanceUID = f"1.2.3.{k // 2}"

    folder = maker.scan(tmp_path / "t1", "T1", share)
    shutil.copy(next(folder.iterdir()), folder / "copy.dcm")
    read = read_volume(folder)
    assert np.array_equal(read.array, arrays()["T1"])
    assert [n.message.split()[0] for n in read.warnings if n.code == "dicom-copies"] == ["1"]


@pytest.mark.parametrize("first", [0, 40])
def test_pixel_spacing_has_to_be_there_and_one(tmp_path, first):
    """ITK takes 1 mm where there is none, and the first slice's for all."""

    def without(k, ds):
        if k >= first:
            del ds.PixelSpacing

    def other(k, ds):
        if k == first:
            ds.PixelSpacing = [2, 1]

    def rounded(k, ds):
        ds.PixelSpacing = ["2.0004", "2"] if k == first else ["2", "2"]

    with pytest.raises(CaseError, match="no pixel spacing"):
        read_volume(maker.scan(tmp_path / "without", "T1", without))
    with pytest.raises(CaseError, match="differ in pixel spacing"):
        read_volume(maker.scan(tmp_path / "other", "T1", other))
    assert read_volume(maker.scan(tmp_path / "rounded", "T1", rounded)).spacing == pytest.approx(
        SPACING, rel=1e-3
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_slices_of_several_pixel_types_keep_their_values(tmp_path, bits):
    """The type of the first slice, which ITK would take, ends at 255 or at 32767."""
    array = np.repeat(np.arange(25)[:, None, None] * 2500, 3, axis=1).repeat(4, axis=2)

    def narrow(k, ds):
        ds.Rows, ds.Columns, ds.PixelRepresentation = 3, 4, 0
        if k == 0:
            ds.BitsAllocated = ds.BitsStored = bits
            ds.HighBit, ds.PixelRepresentation = bits - 1, int(bits == 16)
        ds.PixelData = array[k].astype("u1" if k == 0 and bits == 8 else "<u2").tobytes()

    folder = maker.series(tmp_path / "t1", np.zeros((25, 3, 4), np.int16), narrow, **maker.SCANS["T1"])
    assert np.array_equal(read_volume(folder).array, array)


@pytest.mark.parametrize("is_enhanced", [False, True])
def test_slices_that_are_slightly_tilted_are_told(tmp_path, is_enhanced):
    def tilt(k, ds):
        ds.ImagePositionPatient = [ORIGIN[0], ORIGIN[1] + 0.03 * k, ORIGIN[2] + SPACING[2] * k]

    if is_enhanced:
        path = maker.enhanced(tmp_path / "a.dcm")
        ds = pydicom.dcmread(path)
        for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
            tilt(k, frame.PlanePositionSequence[0])
        ds.save_as(path)
    else:
        path = maker.scan(tmp_path / "t1", "T1", tilt)
    (notice,) = read_volume(path).warnings
    assert notice.code == "sheared-axes" and "by 2.4 mm from the first to the last" in notice.message


def test_two_volumes_in_one_series_are_refused_but_picked_by_echo(tmp_path):
    scan = {**maker.SCANS["T2"], "SeriesInstanceUID": "1.2.3.4"}
    folder = maker.series(tmp_path / "t2", arrays()["T2"], **scan)
    maker.series(tmp_path / "pd", arrays()["T1"], **{**scan, "EchoTime": 15, "SeriesNumber": 44})
    for path in (tmp_path / "pd").iterdir():
        path.rename(folder / path.name)
    with pytest.raises(CaseError, match="at the same place"):
        read_volume(folder)
    (both,) = find_series(folder).series
    echoes = sorted((float(part.first.text("EchoTime")), part.images) for part in split(both))
    assert echoes == [(15, 80), (98, 80)]


def test_mixed_orientations_are_refused(tmp_path):
    def turn(k, ds):
        if k > 40:
            ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    maker.scan(tmp_path / "t1", "T1", turn)
    with pytest.raises(CaseError, match="not parallel"):
        read_volume(tmp_path / "t1")


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless", "ExplicitVRBigEndian", "Deflated"])
def test_compressed_series_are_read(tmp_path, syntax):
    if syntax == "JPEGLSLossless":
        pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed")
    uids = pydicom.uid
    maker.series(tmp_path / "plain", arrays()["T1"][30:55], **maker.SCANS["T1"])
    (tmp_path / "packed").mkdir()
    for path in (tmp_path / "plain").iterdir():
        ds = pydicom.dcmread(path)
        if syntax in ("RLELossless", "JPEGLSLossless"):
            ds.compress(getattr(uids, syntax), generate_instance_uid=False)
        elif syntax == "Deflated":
            ds.file_meta.TransferSyntaxUID = uids.DeflatedExplicitVRLittleEndian
        else:
            ds.PixelData = ds.pixel_array.astype(">i2").tobytes()
            ds.file_meta.TransferSyntaxUID = uids.ExplicitVRBigEndian
        pydicom.dcmwrite(
            tmp_path / "packed" / path.name, ds, little_endian=syntax != "ExplicitVRBigEndian",
            implicit_vr=False, force_encoding=True,
        )  # fmt: skip
    assert np.array_equal(read_volume(tmp_path / "packed").array, arrays()["T1"][30:55])


def test_objects_without_pixels_do_not_disturb(copy):
    path = maker.no_image(copy / "T1" / "report.dcm", REPORT, "SR")
    assert is_dicom(path) and what_is_no_image(path) == "structured report or key object"
    assert np.array_equal(read_volume(copy / "T1").array, arrays()["T1"])


def test_a_damaged_file_is_named(copy):
    path = sorted((copy / "T1").iterdir())[5]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CaseError, match=rf"(cannot be read|damaged).*, in .*{path.name}"):
        read_volume(copy / "T1")


# ---------------------------------------------------------------- multi-frame


def test_frames_are_sorted_and_scaled(tmp_path):
    order = [3, 1, 2, *range(4, 80), 0]
    read = read_volume(maker.enhanced(tmp_path / "a.dcm", order=order))
    assert np.array_equal(read.array, arrays()["FLAIR"].astype(float) * 2 - 5)
    assert read.spacing == pytest.approx(SPACING) and read.origin == pytest.approx(ORIGIN)
    assert np.allclose(read.direction, np.eye(3))


def test_missing_frames_are_counted(tmp_path):
    maker.enhanced(tmp_path / "flair" / "a.dcm", order=[k for k in range(80) if k != 40])
    with pytest.raises(CaseError, match="1 slices are missing"):
        read_volume(tmp_path / "flair")


def test_one_slice_is_no_volume(study):
    with pytest.raises(CaseError, match="one 2D image"):
        read_volume(sorted((study / "T1").iterdir())[0])


def test_without_pydicom_the_way_out_is_said(tmp_path, monkeypatch):
    path = maker.enhanced(tmp_path / "a.dcm")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(CaseError, match=r"needs pydicom, in .*pip install pydicom highdicom"):
        read_volume(path)


# ---------------------------------------------------------------- segmentations


def test_a_segmentation_lies_on_its_series(study, tmp_path):
    pytest.importorskip("highdicom")
    path = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR")
    (layer,) = read_layers(path)
    flair = read_volume(study / "FLAIR")
    index = np.argwhere(layer.array)[:, ::-1]
    points = index @ layer.affine[:3, :3].T + layer.affine[:3, 3]
    back = np.rint((points - flair.affine[:3, 3]) @ np.linalg.inv(flair.affine[:3, :3]).T).astype(int)
    found = np.zeros(flair.array.shape, bool)
    found[back[:, 2], back[:, 1], back[:, 0]] = True
    assert np.array_equal(found, arrays()["mask"] > 0) and layer.files == (str(path),)


def test_segments_are_layers_and_other_structures_are_left_out(study, tmp_path):
    pytest.importorskip("highdicom")
    core = arrays()["mask"].copy()
    core[:, :, ::2] = 0
    ventricle = np.roll(arrays()["mask"], 20, axis=2)
    masks = {"oedema": arrays()["mask"], "lateral ventricle": ventricle, "core": core}
    layers = read_layers(maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", masks))
    assert [(int(v.array.max()), np.count_nonzero(v.array)) for v in layers] == [
        (1, np.count_nonzero(arrays()["mask"])),
        (3, np.count_nonzero(core)),
    ]
    assert "segments 2" in layers[0].warnings[0].message


def test_labels_that_are_chosen_count_whatever_they_are_called(study, tmp_path):
    pytest.importorskip("highdicom", reason="needs highdicom (pip install pydicom highdicom)")
    mask = arrays()["mask"]
    path = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", {"tumour": mask, "ventricles": mask})
    assert [np.unique(layer.array).tolist() for layer in read_layers(path, True)] == [[0, 1], [0, 2]]
    given = {name.lower(): study / name for name in ("T1", "T2", "FLAIR")}
    chosen = Case.fromFiles(**given, mask=path, maskLabels=2)
    assert chosen.mask.array.sum() == mask.sum() and "mask-segments-left-out" not in codes(chosen)


@pytest.mark.parametrize("kept", [(2, 9), (5,), (2, 4, 6, 7)])
@pytest.mark.parametrize("thickness", [2.0, None, 2.7])
def test_frames_that_lie_apart_are_no_thick_slices(study, tmp_path, kept, thickness):
    """A segmentation has frames for the slices with tumour only, and may not say how far slices are apart."""
    pytest.importorskip("highdicom", reason="needs highdicom (pip install pydicom highdicom)")
    rows = np.flatnonzero(arrays()["mask"].any((1, 2)))[list(kept)]
    mask = np.zeros_like(arrays()["mask"])
    mask[rows] = arrays()["mask"][rows]
    path = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", {"tumour": mask})
    ds = pydicom.dcmread(path)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    del measures.SpacingBetweenSlices
    measures.SliceThickness = thickness
    ds.save_as(path)
    (layer,) = read_layers(path)
    least = 2.0 * np.diff(kept).min() if len(kept) > 1 else 1.0
    expected = {2.0: 2.0, None: least, 2.7: 2.7 if len(kept) == 1 else least}[thickness]
    assert layer.spacing[2] == pytest.approx(expected)
    assert [n.code for n in layer.warnings] == (["mask-slice-spacing"] if len(kept) > 1 or thickness else [])


def test_a_segmentation_without_tumour_is_refused(study, tmp_path):
    pytest.importorskip("highdicom")
    path = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", {"brain": arrays()["mask"]})
    with pytest.raises(CaseError, match=r"no segment of it is a tumour \(brain\)"):
        read_layers(path)


def test_a_segmentation_is_no_image(study, tmp_path):
    pytest.importorskip("highdicom")
    maker.segmentation(tmp_path / "seg" / "a.dcm", study / "FLAIR")
    with pytest.raises(CaseError, match="give it as the mask"):
        read_volume(tmp_path / "seg")


# ---------------------------------------------------------------- studies


def test_a_study_is_a_case(copy):
    pytest.importorskip("highdicom")
    mask = maker.segmentation(copy / "seg" / "a.dcm", copy / "FLAIR")
    picks = pick_series(copy)
    assert dict(picks.paths) == {**{name: copy / name for name in ("T1", "T2", "FLAIR")}, "mask": mask}
    assert picks.warnings == () and "no contrast agent" in picks.reasons["T1"]
    case = Case.read(copy)
    assert np.array_equal(case.images["T1"].array, arrays()["T1"]) and case.warnings == ()
    assert case.mask.array.sum() == arrays()["mask"].sum() and case.mask.files == (str(mask),)


BOTH = "mask.nii.gz and seg.dcm could all be the tumour mask"
NONE = "mask, seg.dcm: no segment of it is a tumour (ventricle)"


@pytest.mark.parametrize(
    ("segment", "has_file", "taken", "problem"),
    [
        ("Segment_1", True, None, BOTH),
        ("ventricle", True, "mask.nii.gz", ""),
        ("ventricle", False, "seg.dcm", NONE),
    ],
)
def test_a_segmentation_object_goes_before_no_other_mask(tmp_path, segment, has_file, taken, problem):
    """Either was taken without a word: the object beside a file, and what is no tumour as a complete case."""
    pytest.importorskip("highdicom", reason="needs highdicom (pip install pydicom highdicom)")
    folder = tmp_path / "case"
    for name in SEQUENCES:
        maker.scan(folder / name, name, keep=range(0, 80, 8))
    mask = maker.segmentation(folder / "seg" / "seg.dcm", folder / "T1", {segment: arrays()["mask"][::8]})
    if has_file:
        maker.segmentation_file(folder / "mask.nii.gz")
    picks = pick_series(folder, is_strict=False)
    assert (picks.paths["mask"].name if "mask" in picks.paths else None) == taken
    cohort = find_cohort(folder, "dicom")
    assert [entry.problem for entry in with_headers_checked(cohort).cases] == [problem]
    if problem == NONE:
        assert [entry.problem for entry in with_headers_checked(cohort, (1,)).cases] == [""]
        assert resolve(cohort.cases[0].files).mask == mask


def test_a_flat_folder_with_the_mask_as_nifti(tmp_path):
    folder = maker.study(tmp_path / "case", (*maker.SCANS,), flat=True)
    write_mask(folder)
    assert looks_like_study(folder) and not looks_like_study(write_mask(tmp_path / "other").parent)
    case = Case.read(folder)
    for name in ("T1", "T2", "FLAIR"):
        assert np.array_equal(case.images[name].array, arrays()[name])
    assert pick_series(folder).paths["T1"] == folder


def test_the_same_folder_may_be_given_for_every_sequence(tmp_path):
    folder = maker.study(tmp_path / "case", flat=True)
    mask = write_mask(tmp_path)
    case = Case.fromFiles(t1=folder, t2=folder, flair=folder, mask=mask)
    assert np.array_equal(case.images["FLAIR"].array, arrays()["FLAIR"])


def test_only_a_t1_with_contrast_is_no_t1(tmp_path):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR", "T1 with contrast"))
    write_mask(folder)
    with pytest.raises(CaseError, match=r"no T1 without contrast \(series 7 is with contrast\)"):
        Case.read(folder)
    assert pick_series(folder, is_strict=False).problem.startswith("no T1 without contrast")


@pytest.mark.parametrize("described", ["t1_tse_tra_mKM", "T1 nKM", "T1 p.c.", "T1 w/c", "T1 KM"])
def test_a_description_alone_tells_of_contrast(tmp_path, described):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(folder / "s3", "T1", SeriesDescription=described)
    write_mask(folder)
    with pytest.raises(CaseError, match=r"no T1 without contrast \(series 3 is with contrast\)"):
        Case.read(folder)


def test_two_t1_of_unknown_contrast_the_first_is_taken_with_a_warning(tmp_path):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(folder / "late", "T1", SeriesNumber=2, AcquisitionTime="113000")
    maker.scan(folder / "early", "T1", SeriesNumber=9, AcquisitionTime="110000")
    write_mask(folder)
    picks = pick_series(folder)
    assert picks.chosen["T1"].number == "9"
    assert [n.code for n in picks.warnings] == ["dicom-series-choice", "dicom-t1-contrast-unknown"]
    assert "dicom-t1-contrast-unknown" in codes(Case.fromFiles(t1=folder, t2=folder, flair=folder, mask=folder))


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": ""}),
        ({"AcquisitionTime": "", "AcquisitionDateTime": "20200101101500"}, {"AcquisitionTime": "120000"}),
        ({"AcquisitionTime": "", "SeriesTime": "101500"}, {"AcquisitionTime": "", "SeriesTime": "120000"}),
    ],
)
def test_a_t1_of_unknown_time_is_not_the_first(tmp_path, known, other):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(folder / "post", "T1", SeriesNumber=2, **other)
    maker.scan(folder / "pre", "T1", SeriesNumber=9, **known)
    assert pick_series(folder, is_strict=False).chosen["T1"].number == "9"


EVENING, NIGHT = {"AcquisitionTime": "235500"}, {"AcquisitionTime": "001500"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**EVENING, "AcquisitionDate": "20200101"}, {**NIGHT, "AcquisitionDate": "20200102"}),
        (
            {"SeriesTime": "235500", "SeriesDate": "20200101"},
            {"SeriesTime": "001500", "SeriesDate": "20200102"},
        ),
        (
            {"ContentTime": "2355", "ContentDate": "20200101"},
            {"ContentTime": "0015", "ContentDate": "20200102"},
        ),
        ({"AcquisitionDateTime": "20200101235500"}, {"AcquisitionDateTime": "20200102001500+0100"}),
        (
            {**EVENING, "SeriesTime": "235000", "SeriesDate": "20200101"},
            {**NIGHT, "AcquisitionDate": "20200102"},
        ),
        ({"AcquisitionDateTime": "20200101101500-0500"}, {"AcquisitionDateTime": "20200101101500.25-0500"}),
        ({"AcquisitionTime": "100000"}, {"AcquisitionTime": "110000", "AcquisitionDate": "20200101"}),
        ({"AcquisitionTime": "100000", "AcquisitionDate": "20200101"}, {"AcquisitionTime": "110000"}),
        ({"AcquisitionTime": "100000"}, {"AcquisitionTime": "110000"}),
    ],
)
def test_the_first_t1_of_an_examination_that_crosses_midnight_is_that_of_the_evening(tmp_path, first, second):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(folder / "post", "T1", SeriesNumber=2, keep=range(0, 80, 8), **second)
    maker.scan(folder / "pre", "T1", SeriesNumber=9, keep=range(0, 80, 8), **first)
    assert pick_series(folder, is_strict=False).chosen["T1"].number == "9"


def test_a_t1_of_an_unknown_day_is_not_the_first_of_two_days(tmp_path):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    for number, when in enumerate(("20200101", "20200102", ""), 2):
        time = "001000" if not when else "235500" if when == "20200101" else "001500"
        maker.scan(
            folder / f"{number}",
            "T1",
            SeriesNumber=number,
            keep=range(0, 80, 8),
            AcquisitionDate=when,
            AcquisitionTime=time,
        )
    told = {n.code: n.message for n in pick_series(folder, is_strict=False).warnings}
    assert told["dicom-series-choice"] == "several series could be the T1: number 2 was taken, not 3, 4"


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ({"AcquisitionDateTime": "20200102101500.5+0100"}, ("20200102", "101500.5")),
        ({"AcquisitionDateTime": "20200102101500-0500"}, ("20200102", "101500")),
        ({"AcquisitionTime": "101500", "SeriesDate": "20200102"}, ("", "101500")),
        ({"AcquisitionTime": "101500", "SeriesDate": "20200102", "SeriesTime": "1014"}, ("20200102", "1014")),
        ({"AcquisitionDate": "20200102"}, ("20200102", "")),
        ({}, ("", "")),
    ],
)
def test_date_and_time_are_of_one_source(told, moment):
    assert Header(Path("a.dcm"), told, (1, 1), 1).moment == moment


def test_an_enhanced_object_lists_its_agent_in_items(tmp_path):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    agent = pydicom.Dataset()
    agent.CodeMeaning = "Gadobutrol"
    maker.enhanced(folder / "t1.dcm", "T1", SeriesDescription="T1W_TSE", ContrastBolusAgentSequence=[agent])
    mask = write_mask(folder)
    with pytest.raises(CaseError, match="no T1 without contrast"):
        pick_series(folder)
    named = {"t2": folder / "T2", "flair": folder / "FLAIR", "mask": mask}
    assert "dicom-t1-contrast" in codes(Case.fromFiles(t1=folder / "t1.dcm", **named))


def test_a_t1_that_names_an_agent_is_never_native_for_a_bare_no(tmp_path):
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(folder / "pre", "T1", SeriesNumber=2, SeriesDescription="AX T1 SE", AcquisitionTime="100000")
    maker.scan(
        folder / "post", "T1", SeriesNumber=9, SeriesDescription="AX GAD NO FS", AcquisitionTime="110000"
    )
    assert pick_series(folder, is_strict=False).chosen["T1"].number == "2"


@pytest.mark.parametrize("charset", ["GB18030", "ISO_IR 192", ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 149"]])
def test_descriptions_are_read_in_their_own_characters(tmp_path, charset):
    """What tells of contrast is written in them, too."""
    word = "조영제" if "149" in str(charset) else "造影" if "87" in str(charset) else "增强"
    folder = maker.scan(
        tmp_path / "T1", "T1", SpecificCharacterSet=charset, SeriesDescription=f"T1 {word}", AcquisitionTime="1"
    )
    header = read_header(next(folder.iterdir()))
    assert header.text("SeriesDescription") == f"T1 {word}"
    assert read_sequence((header.text("SeriesDescription"),), header.values).sequence == CONTRAST


def test_the_later_echo_of_a_series_is_its_t2(tmp_path):
    """Files of proton density come first."""
    folder, some = tmp_path / "case", {"keep": range(0, 80, 8)}
    for name in ("T1", "FLAIR"):
        maker.scan(folder / name, name, **some)
    uid = {"SeriesInstanceUID": "1.2.77", "SeriesNumber": 4, "SeriesDescription": "AX PD T2 FSE", **some}
    maker.scan(folder / "a", "T1", EchoTime=15, RepetitionTime=3000, **uid)
    maker.scan(folder / "b", "T2", EchoTime=98, **uid)
    mask = write_mask(folder)
    picks = pick_series(folder)
    assert picks.chosen["T2"].first.text("EchoTime") == "98.0"
    both = folder / "T2"  # whatever the folder is called, and where the user names it
    both.mkdir()
    for path in (*(folder / "a").iterdir(), *(folder / "b").iterdir()):
        path.rename(both / f"{path.parent.name}{path.name}")
    inputs = resolve({**{name: folder / name for name in SEQUENCES}, "mask": mask})
    assert inputs.images["T2"].first.text("EchoTime") == "98.0" and len(inputs.images["T2"].files) == 10
    for notices in (picks.warnings, inputs.notices):
        told = [n.message for n in notices if n.code == "dicom-series-choice"]
        assert told == ["several series could be the T2: number 4 (echo 98 ms) was taken, not 4 (echo 15 ms)"]
    wrong = resolve({**dict.fromkeys(SEQUENCES, both), "mask": mask})
    with pytest.raises(CaseError, match=r"it holds several volumes \(echoes, time points\)"):
        read_volume(wrong.images["T1"])
    assert len(wrong.images["FLAIR"].files) == 20


@pytest.mark.parametrize(("placeless", "taken"), [("", "9"), ("thin.dcm", "4"), ("thick.dcm", "9")])
def test_of_enhanced_series_the_one_with_thinner_slices_is_taken(tmp_path, placeless, taken):
    """The places of their frames stand in sequences; a series that does not give them cannot be read."""
    for name in ("T1", "FLAIR"):
        maker.enhanced(tmp_path / f"{name}.dcm", name, order=range(20))
    maker.enhanced(tmp_path / "thick.dcm", "T2", order=range(0, 80, 4), SeriesNumber=4)
    maker.enhanced(tmp_path / "thin.dcm", "T2", order=range(40), SeriesNumber=9, SeriesInstanceUID="1.2.9")
    if placeless:
        ds = pydicom.dcmread(tmp_path / placeless)
        del ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
        ds.save_as(tmp_path / placeless)
    assert pick_series(tmp_path, is_strict=False).chosen["T2"].number == taken


def test_a_series_whose_slices_make_one_volume_is_taken_whole(tmp_path):
    """Its headers may differ in what tells volumes apart, as an echo time that was rounded."""

    def rounded(k, ds):
        ds.EchoTime = 98 if k < 40 else 98.02

    folder = maker.scan(tmp_path / "T2", "T2", rounded, keep=range(0, 80, 4))
    assert len(split(find_series(folder).series[0])) == 2
    inputs = resolve({**dict.fromkeys(SEQUENCES, folder), "mask": tmp_path / "none"})
    assert len(inputs.images["T2"].files) == 20


def test_a_flair_after_contrast_is_the_last_choice(tmp_path):
    folder = maker.study(tmp_path / "case", ("T1", "T2"))
    maker.scan(folder / "post", "FLAIR", SeriesNumber=2, ContrastBolusAgent="Gadavist")
    maker.scan(folder / "pre", "FLAIR", SeriesNumber=9)
    assert pick_series(folder, is_strict=False).chosen["FLAIR"].number == "9"


@pytest.mark.parametrize("described", ["3D T1 CompressedSENSE", "T1 Magnetization Prepared", "T1 prescan norm"])
def test_a_word_within_a_word_does_not_deny_contrast(tmp_path, described):
    """The later T1 of a study is the one with contrast, unless it says that it is not."""
    folder = maker.study(tmp_path / "case", ("T2", "FLAIR"))
    late = {"SeriesNumber": 9, "AcquisitionTime": "113000"}
    maker.scan(folder / "late", "T1", SeriesDescription=described, **late)
    maker.scan(folder / "early", "T1", SeriesDescription="AX T1 TSE", SeriesNumber=3, AcquisitionTime="110000")
    write_mask(folder)
    picks = pick_series(folder)
    assert picks.chosen["T1"].number == "3"
    assert "dicom-t1-contrast-unknown" in [notice.code for notice in picks.warnings]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_series_may_be_linked_to(tmp_path):
    """As datalad and shared stores have them; a link in a circle is gone through once."""
    stored = maker.study(tmp_path / "stored")
    folder = tmp_path / "case"
    folder.mkdir()
    for name in ("T1", "T2", "FLAIR"):
        (folder / name).symlink_to(stored / name)
    (folder / "again").symlink_to(folder)
    write_mask(folder)
    case = Case.read(folder)
    assert np.array_equal(case.images["T2"].array, arrays()["T2"]) and len(case.images["T2"].files) > 1
    before = fingerprint(find_case_files(folder).paths, folder, None)
    one = next((stored / "T2").iterdir())
    os.utime(one, ns=(1, 1))
    assert fingerprint(find_case_files(folder).paths, folder, None) != before


@pytest.mark.parametrize(
    ("given", "code"), [("T1_with_contrast", "dicom-t1-contrast"), ("T2", "dicom-sequence-doubtful")]
)
def test_a_wrong_series_for_t1_is_warned_about(study, tmp_path, given, code):
    t2 = maker.scan(tmp_path / "t2", "T2", EchoTime=99)  # another than the one given as T1
    swapped = {"t1": study / given, "t2": study / "T1" if given == "T2" else t2}
    case = Case.fromFiles(**swapped, flair=study / "FLAIR", mask=write_mask(tmp_path))
    assert code in codes(case)
    assert maker.NAME not in " ".join(notice.message for notice in case.warnings)


def test_sequences_of_two_patients_are_warned_about(study, tmp_path):
    other = maker.scan(tmp_path / "t2", "T2", PatientID="another", StudyInstanceUID="1.2.9")
    case = Case.fromFiles(t1=study / "T1", t2=other, flair=study / "FLAIR", mask=write_mask(tmp_path))
    assert "dicom-different-patients" in codes(case)
    (text,) = [n.message for n in case.warnings if n.code == "dicom-different-patients"]
    assert maker.PATIENT not in text and "another" not in text
    assert "dicom-different-patients" in DOUBTFUL  # nothing is decided then


@pytest.mark.parametrize(
    ("header", "code", "text"),
    [
        (
            {"PatientID": "another", "StudyInstanceUID": "1.2.9", "FrameOfReferenceUID": "1.2.8"},
            "dicom-different-patients",
            "the mask is of another patient than the sequences, by its header",
        ),
        (
            {"StudyInstanceUID": "1.2.9"},
            "dicom-different-studies",
            "the mask is of another study than the sequences, by its header",
        ),
        (
            {"FrameOfReferenceUID": "1.2.8"},
            "dicom-mask-frame",
            "the mask was drawn on images with a frame of reference that none of the sequences has",
        ),
        ({"PatientID": ""}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_segmentation_of_another_patient_study_or_place_is_warned_about(study, tmp_path, header, code, text):
    mask = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR")
    changed = pydicom.dcmread(mask)
    changed.update(header)
    changed.save_as(mask)
    case = Case.fromFiles(t1=study / "T1", t2=study / "T2", flair=study / "FLAIR", mask=mask)
    found = [(n.code, n.message) for n in case.warnings if n.code.startswith(("dicom-different", "dicom-mask"))]
    assert found == ([(code, text)] if code else [])


def test_images_without_a_patients_id_are_of_no_other_patient_than_their_mask(tmp_path):
    files = {name.lower(): maker.scan(tmp_path / name, name, PatientID="") for name in SEQUENCES}
    mask = maker.segmentation(tmp_path / "seg.dcm", files["flair"])
    changed = pydicom.dcmread(mask)
    changed.PatientID = "somebody"
    changed.save_as(mask)
    assert "dicom-different-patients" not in codes(Case.fromFiles(**files, mask=mask))


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"PatientID": "another", "StudyInstanceUID": "1.2.9"}, "these are 2 patients"),
        ({"StudyInstanceUID": "1.2.9"}, "these are 2 studies of one patient"),
    ],
)
def test_folders_of_sequences_of_two_patients_or_studies_are_refused(tmp_path, other, text):
    folder = maker.study(tmp_path / "p", ("T1", "FLAIR"))
    maker.scan(folder / "T2", "T2", **other)
    maker.segmentation_file(folder / "mask.nii.gz")
    remedy = "give the folder of one study, or name the four inputs one by one"
    with pytest.raises(CaseError) as refused:
        Case.read(folder)
    assert str(refused.value) == f"{text}, in {folder}: {remedy}"
    files = {name.lower(): folder / name for name in ("T1", "T2", "FLAIR")}
    assert "dicom-different-" in " ".join(codes(Case.fromFiles(**files, mask=folder / "mask.nii.gz")))


def test_naming_a_mask_says_nothing_of_the_sequences_that_were_found(tmp_path):
    folder = maker.study(tmp_path / "p", ("T1", "FLAIR"))
    maker.scan(folder / "T2", "T2", StudyInstanceUID="1.2.9")
    mask = maker.segmentation_file(tmp_path / "mask.nii.gz")
    with pytest.raises(CaseError, match="these are 2 studies of one patient"):
        Case.read(folder, given={"mask": mask})
    case = Case.read(folder, given={"mask": mask, "T2": folder / "T2"})
    assert "dicom-different-studies" in codes(case)


def test_two_patients_below_one_folder_are_refused(tmp_path):
    maker.study(tmp_path / "case", ("T2", "FLAIR"))
    maker.scan(tmp_path / "case" / "x", "T1", PatientID="another")
    with pytest.raises(CaseError, match="these are 2 patients"):
        pick_series(tmp_path / "case")


def test_contours_are_said_to_be_unread(tmp_path):
    folder = maker.study(tmp_path / "case", flat=True)
    maker.no_image(folder / "contours.dcm", RTSTRUCT, "RTSTRUCT")
    with pytest.raises(CaseError, match="RTSTRUCT contours, which are not read: export it as SEG or NIfTI"):
        Case.read(folder)


def test_a_label_map_segmentation_is_said_to_be_unread(tmp_path):
    folder = maker.study(tmp_path / "case", flat=True)
    label_map = maker.no_image(tmp_path / "seg.dcm", "1.2.840.10008.5.1.4.1.1.66.7", "SEG")
    with pytest.raises(CaseError) as refused:
        Case.fromFiles(t1=folder, t2=folder, flair=folder, mask=label_map)
    assert str(refused.value) == (
        f"this DICOM file is a segmentation as a label map, which is not read, in {label_map}: "
        "give a series of images, or a mask as SEG, NIfTI, NRRD or MHA"
    )
    shutil.copy(label_map, folder)
    with pytest.raises(CaseError, match="the tumour is a segmentation as a label map, which is not read"):
        Case.read(folder)


def test_headers_are_text_without_padding(study):
    header = read_header(sorted((study / "FLAIR").iterdir())[0])
    assert header.text("ScanningSequence") == "SE\\IR" and header.numbers("InversionTime").tolist() == [2500]
    assert header.size == (90, 100) and header.frames == 1 and header.text("Nothing") == ""


def write_mask(folder: Path) -> Path:
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume(arrays()["mask"]).toImage(), str(folder / "tumour_seg.nii.gz"))
    return folder / "tumour_seg.nii.gz"
