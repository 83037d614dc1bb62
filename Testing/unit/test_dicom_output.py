"""DICOM out: the report and the slices, read back, validated, and free of what is nobody's business."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib import cli
from GliomaGradingLib.case import Case
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.explanation import Explanation
from GliomaGradingLib.export import dicom_codes, dicom_report, drawing, folder, tables
from GliomaGradingLib.export.dicom_outputs import DicomFiles, dicom_result_files
from GliomaGradingLib.export.dicom_overlay import CELL, LEGEND, STRIP, pictures
from GliomaGradingLib.export.dicom_sources import reduced
from GliomaGradingLib.export.outputs import DICOM_OVERLAY as OVERLAY
from GliomaGradingLib.export.outputs import DICOM_REPORT as REPORT
from GliomaGradingLib.export.outputs import write_result_folder
from GliomaGradingLib.export.telling import graded_inputs
from GliomaGradingLib.grading import Graded, Grader
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.preparation.slices import InputForm, prepare
from GliomaGradingLib.result import GradeResult, Notice, Vote
from GliomaGradingLib.wording import sentence
from GliomaGradingLib.words import DISCLAIMER, SEQUENCES
from PIL import Image, ImageDraw
from small_head import arrays, volumes

pydicom = pytest.importorskip("pydicom", reason="needs pydicom (pip install pydicom highdicom)")
pytest.importorskip("highdicom", reason="needs highdicom (pip install pydicom highdicom)")
import dicom_maker as maker  # noqa: E402

SHA = "ab" * 32
WARNING = Notice("thin-evidence", "the votes disagree: 2 µ größer")
SECRETS = ("Plantagen", "Eleonore", maker.PATIENT, maker.BIRTH, "1961-03-17", "OTHER-9999", "Lindwurm")
STAFF = ("Whistleblower", "Sonnenhang", "Schaltmeister", "Kopf nativ")


def vote(sequence: str, probability: float) -> Vote:
    slices = tuple(np.clip(probability + 0.02 * np.arange(-10, 10), 0, 1).tolist())
    grade = "HGG" if probability >= 0.5 else "LGG"
    return Vote(sequence, grade, probability, slices, sum(p >= 0.5 for p in slices))


def graded(case: Case) -> Graded:
    stack = prepare(case, InputForm())
    result = GradeResult(
        case=case.identifier,
        grade="HGG",
        decision="indeterminate",
        probability_hgg=0.6234,
        votes=(vote("T1", 0.91), vote("T2", 0.75), vote("FLAIR", 0.25)),
        slices=stack.info,
        tumour_ml=20.4,
        warnings=(WARNING, *stack.warnings),
        model={"name": "glioma-tcga", "version": "1.2.3", "backbone": "bvlc_googlenet", "sha256": SHA},
        software={"glioma-grading": "0.1.0"},
        seconds={"read": 0.0, "total": 1.0},
        registration={"mode": "never", "reference": "FLAIR", "sequences": {}},
        vote="soft",
        seen_ml=10.2,
    )
    return Graded(result, case, stack)


def write_dicom(of: Graded, folder: Path, explanation: Explanation | None = None) -> DicomFiles:
    """The DICOM outputs of a case in a folder, or why there are none."""
    made = dicom_result_files(of, explanation)
    write_result_folder(folder, made.contents)
    return made


def explanation(of: Graded) -> Explanation:
    maps = np.zeros((3, 20, 32, 32), np.float32)
    maps[0, :, 8:24, 8:16], maps[0, :, 8:24, 16:24] = 2, -2  # T1: for HGG on one side, for LGG on the other
    return Explanation(maps, (0.0, 0.0, 0.0), of.stack.region, 7.5)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = maker.study(tmp_path_factory.mktemp("study") / "case-7")
    maker.segmentation(folder / "seg" / "a.dcm", folder / "FLAIR")
    return folder


@pytest.fixture(scope="module")
def done(study: Path) -> Graded:
    return graded(Case.read(study))


@pytest.fixture(scope="module")
def written(done: Graded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    written = write_dicom(done, folder, explanation(done))
    assert list(written.contents) == [REPORT, OVERLAY] and written.problem == ""
    return folder


@pytest.fixture(scope="module")
def report(written: Path) -> Any:
    return pydicom.dcmread(written / REPORT)


@pytest.fixture(scope="module")
def overlay(written: Path) -> Any:
    return pydicom.dcmread(written / OVERLAY)


def walk(item: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every content item with the meanings of its parents' names, by pydicom alone."""
    for child in item.get("ContentSequence", ()):
        name = child.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in child else ""
        yield (*path, name), child
        yield from walk(child, (*path, name))


def named(parent: Any, code: tuple[str, str, str]) -> list[Any]:
    """The descendants whose concept has the code."""
    return [
        item
        for _path, item in walk(parent)
        if "ConceptNameCodeSequence" in item
        and item.ConceptNameCodeSequence[0].CodeValue == code[0]
        and item.ConceptNameCodeSequence[0].CodingSchemeDesignator == code[1]
    ]


def groups(report: Any) -> list[Any]:
    return named(report, ("125007", "DCM", ""))


def value(item: Any) -> tuple[str, str]:
    code = item.ConceptCodeSequence[0]
    return code.CodeValue, code.CodingSchemeDesignator


def number(item: Any) -> tuple[float, str]:
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


# ---------------------------------------------------------------- the report


def test_it_is_a_measurement_report_of_the_same_patient_and_study(report, study):
    assert report.SOPClassUID == pydicom.uid.ComprehensiveSRStorage and report.Modality == "SR"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    source = pydicom.dcmread(sorted((study / "T1").iterdir())[0])
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
                    "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):  # fmt: skip
        assert report[keyword].value == source[keyword].value, keyword
    assert report.SeriesInstanceUID not in {source.SeriesInstanceUID} and report.ReferringPhysicianName == ""
    assert report.VerificationFlag == "UNVERIFIED" and report.PreliminaryFlag == "PRELIMINARY"


def test_vote_decision_probability_and_agreement(report):
    tumour = groups(report)[0]
    assert value(named(tumour, dicom_codes.PREDICTED_GRADE)[0]) == ("1155707008", "SCT")
    assert value(named(tumour, dicom_codes.DECISION)[0]) == ("82334004", "SCT")
    (probability,) = named(tumour, ("122157", "DCM", ""))
    assert number(probability) == (0.6234, "1")
    assert value(named(probability, dicom_codes.PROBABILITY_OF)[0]) == ("1155707008", "SCT")
    assert number(named(tumour, dicom_codes.VOTES_FOR)[0]) == (2, "{votes}")
    assert number(named(tumour, dicom_codes.VOTES)[0]) == (3, "{votes}")
    assert number(named(tumour, dicom_codes.VOLUME)[0]) == (20.4, "mL")


@pytest.mark.parametrize(
    ("probability", "decimal", "floating"),
    [
        (0.99999993, "0.99999993", 0.99999993),
        (0.49999996, "0.49999996", 0.49999996),
        (1.0, "0.99999999999999", 1 - 1e-14),
        (3e-20, "1e-14", 1e-14),
    ],
)
def test_no_probability_is_rounded_to_certainty_or_to_another_grade(probability, decimal, floating):
    measured = dicom_report._probability(probability)[0].MeasuredValueSequence[0]
    assert str(measured.NumericValue) == decimal and len(decimal) <= 16
    assert measured.FloatingPointValue == floating


def test_a_group_per_sequence_refers_to_the_graded_images(report, study, done):
    for name, group, grade, probability in zip(
        SEQUENCES,
        groups(report)[1:],
        ("1155707008", "1155707008", "1155708003"),
        (0.91, 0.75, 0.25),
        strict=True,
    ):
        assert value(named(group, dicom_codes.SEQUENCE_VOTE)[0]) == (grade, "SCT")
        assert number(named(group, dicom_codes.PROBABILITY)[0])[0] == probability
        headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in (study / name).iterdir()]
        heights = {ds.SOPInstanceUID: float(ds.ImagePositionPatient[2]) for ds in headers}
        images = [item.ReferencedSOPSequence[0] for _p, item in walk(group) if item.ValueType == "IMAGE"]
        found = [heights[image.ReferencedSOPInstanceUID] for image in images]
        low, high = done.result.slices.positions_mm[0], done.result.slices.positions_mm[-1]
        assert len(found) in (10, 11) and low - 1 <= min(found) and max(found) <= high + 1


def test_the_images_of_a_registered_sequence_are_those_that_were_graded(study, tmp_path):
    """Its headers say where it lay before: there other anatomy lies at the slices' positions."""

    def lower(k, ds):
        ds.ImagePositionPatient[2] -= 30

    t1 = maker.scan(tmp_path / "t1", "T1", lower)
    case = Case.fromFiles(t1=t1, t2=study / "T2", flair=study / "FLAIR", mask=study / "seg" / "a.dcm")
    up = np.eye(4)
    up[2, 3] = 30
    case = replace(case, images={**case.images, "T1": case.images["T1"].moved(up)})
    done = graded(case)
    assert write_dicom(done, tmp_path).problem == ""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in t1.iterdir()]
    heights = {ds.SOPInstanceUID: float(ds.ImagePositionPatient[2]) for ds in headers}
    low, high = (done.result.slices.positions_mm[place] - 30 for place in (0, -1))
    group = groups(pydicom.dcmread(tmp_path / REPORT))[1]
    images = [item.ReferencedSOPSequence[0] for _p, item in walk(group) if item.ValueType == "IMAGE"]
    sources = pydicom.dcmread(tmp_path / OVERLAY).SourceImageSequence
    for references in (images, [one for one in sources if one.ReferencedSOPInstanceUID in heights]):
        found = [heights[one.ReferencedSOPInstanceUID] for one in references]
        assert len(found) in (10, 11) and low - 1 <= min(found) and max(found) <= high + 1


def test_finding_site_and_algorithm(report):
    for group in groups(report):
        assert value(named(group, ("121071", "DCM", ""))[0]) == ("108369006", "SCT")
        assert value(named(group, ("363698007", "SCT", ""))[0]) == ("12738006", "SCT")
        assert named(group, ("111001", "DCM", ""))[0].TextValue == "GliomaGrading"
        assert named(group, ("111003", "DCM", ""))[0].TextValue == "0.1.0"
        parameters = {item.TextValue for item in named(group, ("111002", "DCM", ""))}
        assert {f"sha256={SHA}", "vote=soft", "registration=never"} <= parameters


def test_disclaimer_and_warnings_are_text(report):
    comments = [item.TextValue for item in named(report, dicom_codes.COMMENT)]
    assert comments[0] == DISCLAIMER and f"Warning: {sentence(WARNING.message)}" in comments
    assert any("not a histologic grade" in text for text in comments)
    assert "The networks saw 10.2 ml (50 %) of the tumour." in comments
    vote_by_mean = "Vote by mean probability: HGG (2 of 3 sequences vote HGG). Rule of the vote: soft"
    assert any(text.startswith(vote_by_mean) for text in comments)


def test_the_page_names_no_file_of_a_study(done):
    """Folders and files of a DICOM study may be named after the patient."""
    assert dict(graded_inputs(done.case)) == {
        **dict.fromkeys(SEQUENCES, "a DICOM volume"),
        "tumour mask": "a DICOM segmentation",
    }


def test_the_algorithm_is_a_name_a_version_its_parameters_and_last_its_family(report):
    """Template 4019, in the order that highdicom from 0.28 on gives it."""
    of_algorithm = {"111001", "111003", "111002", "111000"}
    for group, part in zip(groups(report), ("vote of T1, T2 and FLAIR", "T1", "T2", "FLAIR"), strict=True):
        items = [i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue in of_algorithm]
        found = [(i.ConceptNameCodeSequence[0].CodeValue, i.get("TextValue")) for i in items]
        assert [code for code, _text in found] == ["111001", "111003", *["111002"] * 6, "111000"]
        assert found[0][1] == "GliomaGrading" and found[2][1].startswith(f"part={part}")
        assert value(items[-1]) == ("123110", "DCM")
        assert {item.RelationshipType for item in items} == {"HAS CONCEPT MOD"}


def test_the_segment_is_referred_to(report, study):
    segmentation = pydicom.dcmread(study / "seg" / "a.dcm", stop_before_pixels=True)
    (item,) = named(report, ("121191", "DCM", ""))
    reference = item.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
    assert reference.ReferencedSegmentNumber == 1


def test_all_series_and_the_segmentation_are_evidence(report, study):
    referred = {
        one.ReferencedSOPInstanceUID
        for kind in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for item in report.get(kind, ())
        for series in item.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    there = {pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID for p in study.rglob("*.dcm")}
    assert referred == there and len(there) == 241


def test_private_codes_are_declared_and_all_others_are_not_private(report):
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == dicom_codes.PRIVATE and "private" in scheme.CodingSchemeName
    private = {
        code
        for code in vars(dicom_codes).values()
        if isinstance(code, tuple) and code[1] == scheme[0x80102].value
    }
    used = {
        (code.CodeValue, code.CodingSchemeDesignator)
        for _path, item in walk(report)
        for code in (*item.get("ConceptNameCodeSequence", ()), *item.get("ConceptCodeSequence", ()))
        if code.CodingSchemeDesignator.startswith("99")
    }
    assert used == {code[:2] for code in private}
    assert len(dicom_codes.PRIVATE) <= 16 and all(len(code[2]) <= 64 for code in private)


def test_a_lgg_is_low_grade(done, tmp_path):
    result = replace(done.result, grade="LGG", decision="LGG")
    write_dicom(replace(done, result=result), tmp_path)
    tumour = groups(pydicom.dcmread(tmp_path / REPORT))[0]
    for concept in (dicom_codes.PREDICTED_GRADE, dicom_codes.DECISION):
        assert value(named(tumour, concept)[0]) == ("1155708003", "SCT")


def test_a_mask_of_two_segments_is_referred_to_as_a_whole(study, tmp_path):
    halves = {"oedema": arrays()["mask"].copy(), "core": arrays()["mask"].copy()}
    halves["oedema"][:, :, :60], halves["core"][:, :, 60:] = 0, 0
    mask = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", halves)
    case = Case.fromFiles(t1=study / "T1", t2=study / "T2", flair=study / "FLAIR", mask=mask)
    assert write_dicom(graded(case), tmp_path).problem == ""
    report = pydicom.dcmread(tmp_path / REPORT)
    uid = pydicom.dcmread(mask, stop_before_pixels=True).SOPInstanceUID
    images = [
        item.ReferencedSOPSequence[0] for _p, item in walk(groups(report)[0]) if item.ValueType == "IMAGE"
    ]
    assert [image.ReferencedSOPInstanceUID for image in images] == [uid]
    assert any("segments: 1, 2" in item.TextValue for item in named(report, dicom_codes.COMMENT))
    assert_valid(tmp_path / REPORT)


def test_a_segment_within_the_chosen_one_is_not_said_to_be_graded(study, tmp_path):
    whole, core = arrays()["mask"].copy(), arrays()["mask"].copy()
    core[:, :, :60] = 0
    mask = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR", {"tumour": whole, "core": core})
    files = {"t1": study / "T1", "t2": study / "T2", "flair": study / "FLAIR", "mask": mask}
    assert write_dicom(graded(Case.fromFiles(**files, maskLabels=1)), tmp_path).problem == ""
    report = pydicom.dcmread(tmp_path / REPORT)
    assert any(item.TextValue.endswith("segments: 1.") for item in named(report, dicom_codes.COMMENT))
    (segment,) = named(groups(report)[0], ("121191", "DCM", ""))
    assert segment.ReferencedSOPSequence[0].ReferencedSegmentNumber == 1


def test_a_segment_that_was_drawn_on_other_images_names_their_series(study, tmp_path):
    """As on T1 with contrast; each of its frames names the image below it, which is no evidence here."""
    mask = _naming_its_images(maker.segmentation(tmp_path / "seg.dcm", _with_contrast(tmp_path / "t1c")))
    case = Case.fromFiles(t1=study / "T1", t2=study / "T2", flair=study / "FLAIR", mask=mask)
    assert write_dicom(graded(case), tmp_path).problem == ""
    tumour = groups(pydicom.dcmread(tmp_path / REPORT))[0]
    (segment,) = named(tumour, ("121191", "DCM", ""))
    assert segment.ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    (series,) = named(tumour, ("121232", "DCM", ""))
    drawn_on = pydicom.dcmread(next((tmp_path / "t1c").iterdir()))
    assert drawn_on.SeriesInstanceUID == series.UID
    assert_valid(tmp_path / REPORT)


def _with_contrast(folder: Path) -> Path:
    return maker.scan(folder, "T1 with contrast")


def _naming_its_images(path: Path) -> Path:
    """As dcmqi and highdicom 0.27 write it: each frame names its segment and the image it was drawn on."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    named = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    for frame, image in zip(seg.PerFrameFunctionalGroupsSequence, named, strict=False):
        derivation = pydicom.Dataset()
        derivation.SourceImageSequence = [image]
        frame.DerivationImageSequence = [derivation]
        if "SegmentIdentificationSequence" in shared:
            frame.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
    seg.save_as(path)
    return path


def test_an_enhanced_series_is_referred_to_by_frames(study, tmp_path):
    flair = maker.enhanced(tmp_path / "flair.dcm")
    case = Case.fromFiles(t1=study / "T1", t2=study / "T2", flair=flair, mask=study / "seg")
    assert write_dicom(graded(case), tmp_path).problem == ""
    images = [i for _p, i in walk(groups(pydicom.dcmread(tmp_path / REPORT))[3]) if i.ValueType == "IMAGE"]
    (reference,) = (item.ReferencedSOPSequence[0] for item in images)
    frames = list(reference.ReferencedFrameNumber)
    assert len(frames) in (10, 11) and frames == list(range(frames[0], frames[0] + len(frames)))
    assert_valid(tmp_path / REPORT)
    assert_valid(tmp_path / OVERLAY)


# ---------------------------------------------------------------- the slices


def test_the_slices_are_a_colour_capture_in_the_same_study(overlay, report, done):
    assert overlay.SOPClassUID == pydicom.uid.MultiFrameTrueColorSecondaryCaptureImageStorage
    assert overlay.StudyInstanceUID == report.StudyInstanceUID and overlay.PatientID == maker.PATIENT
    assert overlay.SeriesInstanceUID != report.SeriesInstanceUID and overlay.BurnedInAnnotation == "NO"
    assert [float(s) for s in overlay.SliceLocationVector] == pytest.approx(done.result.slices.positions_mm)
    frames = overlay.pixel_array
    assert frames.shape == (20, overlay.Rows, overlay.Columns, 3) and overlay.Columns == 768
    assert len(overlay.SourceImageSequence) >= 30


def test_evidence_is_coloured_where_it_is(overlay):
    frame = overlay.pixel_array[10].astype(int)
    heated = frame[frame.shape[0] // 2 : -2 * STRIP - 4]
    warmth = heated[..., 0] - heated[..., 2]
    t1, flair = warmth[:, :256], warmth[:, 512:]
    # where its evidence is, T1 is orange on one side and blue on the other; the FLAIR has none
    assert (t1 > 40).sum() > 500 and (t1 < -20).sum() > 500
    assert np.nonzero(t1 > 40)[1].mean() < np.nonzero(t1 < -20)[1].mean()
    assert (np.abs(flair) > 40).mean() < 0.02


def test_research_use_only_is_in_every_frame(overlay):
    strips = overlay.pixel_array[:, -26:, :260]
    assert ((strips[..., 0] > 180) & (strips[..., 2] < 140)).sum(axis=(1, 2)).min() > 200


def test_what_the_colours_mean_is_burned_in_below_them(done):
    for word in ("orange towards HGG", "blue towards LGG", "not a localisation", "research use only"):
        assert word in LEGEND
    assert drawing.font(13).getlength(LEGEND) < 3 * CELL - 12
    display = folder.display_of(done)
    plain, coloured = (next(iter(pictures(done.result, display, e))) for e in (None, explanation(done)))
    height = plain.height - 2 * STRIP
    assert coloured.height == 2 * height + 3 * STRIP + coloured.height % 2
    wanted = Image.new("RGB", (3 * CELL, STRIP), drawing.GROUND)
    drawing.write_text(ImageDraw.Draw(wanted), (6, STRIP // 2), LEGEND, 13, drawing.TEXT)
    strip = coloured.crop((0, STRIP + 2 * height, 3 * CELL, 2 * STRIP + 2 * height))
    assert np.array_equal(np.asarray(strip), np.asarray(wanted))


def test_without_an_explanation_there_is_one_row(done, tmp_path, overlay):
    write_dicom(done, tmp_path)
    assert pydicom.dcmread(tmp_path / OVERLAY).Rows < 0.6 * overlay.Rows


# ---------------------------------------------------------------- validators


def assert_valid(path: Path) -> None:
    """No error by dciodvfy; of its warnings only that it does not know the private scheme, and what a DICOMDIR
    would need (study date and the like, where the source has none)."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy (Debian: dicom3tools)")
    said = subprocess.run(
        ["dciodvfy", str(path)], capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    lines = (said.stdout + said.stderr).splitlines()
    assert not [line for line in lines if line.startswith("Error")], said.stderr
    known = (dicom_codes.PRIVATE, "needed to build DICOMDIR")
    strange = [line for line in lines if line.startswith("Warning") and not any(k in line for k in known)]
    assert strange == []


@pytest.mark.parametrize("name", [REPORT, OVERLAY])
def test_dciodvfy_has_no_complaint(written, name):
    assert_valid(written / name)


def test_dcmtk_reads_the_report(written):
    if shutil.which("dsrdump") is None:
        pytest.skip("needs dsrdump (Debian: dcmtk)")
    said = subprocess.run(
        ["dsrdump", str(written / REPORT)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    assert '(82334004,SCT,"Indeterminate")' in said.stdout and "Comprehensive SR" in said.stdout
    assert not [line for line in said.stderr.splitlines() if line.startswith(("E:", "F:"))]


# ---------------------------------------------------------------- what hinders


def test_nothing_is_written_where_the_case_is_not_from_dicom(tmp_path):
    given = volumes()
    case = Case.fromArrays(t1=given["T1"], t2=given["T2"], flair=given["FLAIR"], mask=given["mask"])
    assert write_dicom(graded(case), tmp_path) == DicomFiles()
    assert list(tmp_path.iterdir()) == []


def test_without_highdicom_it_is_said(done, tmp_path, monkeypatch):
    for name in ("highdicom", "highdicom.sr"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    written = write_dicom(done, tmp_path)
    assert written.contents == {} and written.problem.endswith(", elsewhere pip install pydicom highdicom")
    # the same text reaches Slicer's users, whom pip in a shell would not help
    assert "in Slicer's Python console slicer.util.pip_install(\"pydicom>=3.0.1 h" in written.problem
    assert list(tmp_path.iterdir()) == []


def test_sequences_of_two_patients_get_no_report(study, tmp_path):
    other = maker.scan(tmp_path / "t2", "T2", PatientID="another")
    case = Case.fromFiles(t1=study / "T1", t2=other, flair=study / "FLAIR", mask=study / "seg" / "a.dcm")
    written = write_dicom(graded(case), tmp_path)
    assert written.contents == {} and "not of one patient" in written.problem
    assert str(tmp_path) not in written.problem and str(study) not in written.problem


def test_a_mask_of_another_patient_gets_no_report(study, tmp_path):
    mask = maker.segmentation(tmp_path / "seg.dcm", study / "FLAIR")
    changed = pydicom.dcmread(mask)
    changed.PatientID = "another"
    changed.save_as(mask)
    case = Case.fromFiles(t1=study / "T1", t2=study / "T2", flair=study / "FLAIR", mask=mask)
    written = write_dicom(graded(case), tmp_path)
    assert written.contents == {} and "sequences and mask are not of one patient" in written.problem


def test_an_earlier_results_dicom_does_not_stay_beside_a_new_one(study, tmp_path, fake_grader, monkeypatch):
    arguments = ["grade", str(study), "--output", str(tmp_path)]
    assert cli.main(arguments) == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {REPORT, OVERLAY, "result.json"} <= set(first)
    (tmp_path / "mine.dcm").write_text("another's")
    monkeypatch.setattr("GliomaGradingLib.export.dicom_sources.is_from_dicom", lambda case: False)
    assert cli.main(arguments) == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*first, "mine.dcm"} - {REPORT, OVERLAY}


def test_an_earlier_results_dicom_that_cannot_be_removed_is_named(tmp_path):
    """And the new result is not written: beside it there would be another grade."""
    (tmp_path / REPORT).write_bytes(b"old")
    (tmp_path / OVERLAY).mkdir()
    (tmp_path / "result.json").write_bytes(b"old")
    with pytest.raises(UsageError, match=r"of an earlier result cannot be removed .*overlay\.dcm: remove it"):
        write_result_folder(tmp_path, {"result.json": b"new", "report.html": b"new"})
    (tmp_path / OVERLAY).rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
        (REPORT, "result.json"), b"old"
    )


def test_headers_may_lack_what_may_be_empty(tmp_path):
    def bare(k, ds):
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                        "AccessionNumber", "ReferringPhysicianName", "SpecificCharacterSet"):  # fmt: skip
            del ds[keyword]

    for name in SEQUENCES:
        maker.scan(tmp_path / name, name, bare)
    paths = {name.lower(): tmp_path / name for name in SEQUENCES}
    case = Case.fromFiles(**paths, mask=maker.segmentation_file(tmp_path / "mask.nii.gz"))
    assert write_dicom(graded(case), tmp_path).problem == ""
    report = pydicom.dcmread(tmp_path / REPORT)
    assert report.PatientName == "" and report.PatientID == maker.PATIENT
    assert any("no DICOM object" in item.TextValue for item in named(report, dicom_codes.COMMENT))
    assert_valid(tmp_path / REPORT)


@pytest.mark.parametrize(
    ("date", "time", "kept"),
    [
        ("2019.07.04", "10:11:12", ("20190704", "101112")),
        ("20190704", "101112.123", ("20190704", "101112.123")),
        ("July", "late", ("", "")),
        ("19610000", "240000", ("", "")),
    ],
)
def test_dates_and_times_are_those_of_the_standard(study, tmp_path, date, time, kept):
    t1 = maker.scan(tmp_path / "t1", "T1", StudyDate=date, StudyTime=time, PatientBirthDate=date)
    case = Case.fromFiles(t1=t1, t2=study / "T2", flair=study / "FLAIR", mask=study / "seg" / "a.dcm")
    assert write_dicom(graded(case), tmp_path).problem == ""
    for name in (REPORT, OVERLAY):
        found = pydicom.dcmread(tmp_path / name)
        assert (found.StudyDate, found.StudyTime, found.PatientBirthDate) == (*kept, kept[0])


@pytest.mark.parametrize(
    ("keyword", "kept", "emptied"),
    [
        ("PatientBirthDate", ["20200229"], ["00000000", "19610000", "20190229", "20191301", "2019070"]),
        ("StudyTime", ["23", "2359", "235960", "101112.5"], ["24", "2360", "101161", "1011.5", "10111"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_a_day_or_time_that_does_not_exist_is_left_empty(study, tmp_path, keyword, kept, emptied):
    header = pydicom.dcmread(next((study / "T1").iterdir()))
    for given in (*kept, *emptied):
        header[keyword].value = given
        header.save_as(tmp_path / "a.dcm")
        assert reduced(tmp_path / "a.dcm")[keyword].value == (given if given in kept else "")


@pytest.mark.parametrize(
    ("keyword", "given", "kept"),
    [
        ("PatientSex", "U", ""),
        ("PatientSex", "W", ""),
        ("PatientSex", "M", "M"),
        ("StudyID", "CEREBRAL MRI FOLLOW UP", ""),
        ("StudyID", "CEREBRAL MRI 123", "CEREBRAL MRI 123"),
        ("AccessionNumber", "12345678901234567", ""),
        ("AccessionNumber", "1234567890123456", "1234567890123456"),
        ("AccessionNumber", ["A1", "A2"], ""),
    ],
)
def test_what_does_not_identify_follows_the_standard_or_is_empty(study, tmp_path, keyword, given, kept):
    """Half a number could be another examination's."""
    t1 = maker.scan(tmp_path / "t1", "T1", **{keyword: given})
    case = Case.fromFiles(t1=t1, t2=study / "T2", flair=study / "FLAIR", mask=study / "seg" / "a.dcm")
    made = write_dicom(graded(case), tmp_path)
    assert made.problem == "" and not made.malformed
    for name in (REPORT, OVERLAY):
        assert pydicom.dcmread(tmp_path / name)[keyword].value == kept
        assert_valid(tmp_path / name)


def test_what_identifies_is_kept_whatever_its_form_and_told(tmp_path):
    given = {"PatientID": "x" * 70, "StudyInstanceUID": "1.2.826.0.1.03680043.10.1.7"}
    for name in SEQUENCES:
        maker.scan(tmp_path / name, name, **given)
    paths = {name.lower(): tmp_path / name for name in SEQUENCES}
    of = graded(Case.fromFiles(**paths, mask=maker.segmentation_file(tmp_path / "mask.nii.gz")))
    grader = SimpleNamespace(bundle=open_bundle(None), explain=explanation)
    done, files = folder.case_outputs(of, grader, reports=False)
    write_result_folder(tmp_path, files)
    for name in (REPORT, OVERLAY):
        written = pydicom.dcmread(tmp_path / name)
        assert {keyword: written[keyword].value for keyword in given} == given
    (told,) = [one.message for one in done.result.warnings if one.code == "dicom-output-malformed"]
    assert told.endswith(": PatientID, StudyInstanceUID") and not any(value in told for value in given.values())
    assert told in (tmp_path / "result.json").read_text()


# ---------------------------------------------------------------- privacy


def test_names_of_an_unusual_form_are_not_warned_about(study, tmp_path, recwarn):
    """highdicom would quote them, and a log would have them."""
    for name in SEQUENCES:
        maker.scan(tmp_path / name, name, PatientName="TCGA-02")
    files = {name.lower(): tmp_path / name for name in SEQUENCES}
    case = Case.fromFiles(**files, mask=maker.segmentation_file(tmp_path / "mask.nii.gz"))
    assert write_dicom(graded(case), tmp_path).problem == ""
    assert pydicom.dcmread(tmp_path / REPORT).PatientName == "TCGA-02"
    assert not [str(one.message) for one in recwarn if "TCGA-02" in str(one.message)]


@pytest.fixture
def fake_grader(done, monkeypatch):
    """The command line without networks: what it grades is what ``done`` was."""

    def detail(case, *_others, **_named):
        return graded(case)

    grader = SimpleNamespace(bundle=open_bundle(None), gradeInDetail=detail, explain=explanation)
    monkeypatch.setattr(Grader, "load", lambda *_a, **_k: grader)


def test_nothing_but_dicom_carries_the_patient(study, tmp_path, fake_grader, capfd):
    study = Path(shutil.copytree(study, tmp_path / "Plantagenet^Eleonore" / "case-7"))
    for name in SEQUENCES:  # copies of an image are worth a warning
        first = min((study / name).iterdir())
        shutil.copy(first, first.with_name(f"copy of {first.name}"))
    assert cli.main(["grade", str(study), "--output", str(tmp_path / "out")]) == 0
    said = capfd.readouterr()
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {"result.json", "report.html", "slices.png", REPORT, OVERLAY} <= set(files)
    table = tables.csv_text([tables.graded_row(graded(Case.read(study)).result)])
    plain = {name: data for name, data in files.items() if not name.endswith(".dcm")}
    assert [one["code"] for one in json.loads(plain["result.json"])["warnings"]].count("dicom-copies") == 3
    plain |= {"stdout": said.out.encode(), "stderr": said.err.encode(), "results.csv": table.encode()}
    for name, data in plain.items():
        for secret in (*SECRETS, *STAFF, "ACC-77", "20190704"):
            for text in (secret, json.dumps(secret).strip('"')):
                assert text.encode() not in data, (name, secret)


def test_a_problem_of_the_headers_does_not_quote_them(done, monkeypatch):
    def refuse(*_):
        raise ValueError(f"invalid value for PN: {SECRETS[0]}")

    monkeypatch.setattr(dicom_report, "report_bytes", refuse)
    made = dicom_result_files(done)
    assert made.contents == {}
    assert made.problem == "no DICOM output: the headers of the series do not allow it (ValueError)"


def _name_that_is_gone(*_):
    import highdicom

    return highdicom.no_such_name


def _argument_that_is_unknown(*_):
    return replace(WARNING, family=1)


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (lambda: None, "the headers of the series do not allow it (TypeError)"),
        (
            _name_that_is_gone,
            "highdicom is of a version that is not known (module 'highdicom'",
        ),
        (_argument_that_is_unknown, "is of a version that is not known (Notice.__init__() got an unexpected"),
    ],
)
def test_a_library_of_another_version_is_not_told_as_the_headers_fault(done, monkeypatch, refuse, said):
    monkeypatch.setattr(dicom_report, "report_bytes", refuse)
    problem = dicom_result_files(done).problem
    assert said in problem
    assert problem.endswith("pip install pydicom highdicom --upgrade") == ("version" in said)
    assert ('slicer.util.pip_install("--upgrade pydicom highdicom")' in problem) == ("version" in said)


@pytest.mark.parametrize("name", [REPORT, OVERLAY])
def test_dicom_carries_the_patient_in_the_patient_module_only(written, name):
    dataset = pydicom.dcmread(written / name)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate"):
        del dataset[keyword]
    rest = str(dataset)
    for secret in (*SECRETS, *STAFF):
        assert secret not in rest
    data = (written / name).read_bytes()
    assert all(text.encode() not in data for text in STAFF)
