"""What a batch leaves for each case, with the shipped bundle on small made-up heads."""

from __future__ import annotations

import json
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Testing" / "unit"))

from product import run  # noqa: E402
from small_head import arrays, volume, write_case  # noqa: E402

BUNDLE = REPOSITORY / "GliomaGrading" / "Resources" / "Models" / "glioma-tcga"
ENDINGS = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="needs Dask (the extra 'cohort')")


def done(*arguments: object) -> str:
    ran = run(*arguments, threads=1)  # as a batch's grading process has it
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The small head, and the same moved by three voxels."""
    folder = tmp_path_factory.mktemp("cohort")
    write_case(folder / "a", {role: f"a_{ending}.nii.gz" for role, ending in ENDINGS.items()})
    (folder / "b").mkdir()
    for role, ending in ENDINGS.items():
        moved = volume(np.roll(arrays()[role], 3, axis=2)).toImage()
        sitk.WriteImage(moved, str(folder / "b" / f"b_{ending}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def reported(source, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("reported") / "out"
    done("batch", source, "--output", output, "--reports", "--quiet")
    return output


@pytest.fixture
def earlier(reported, tmp_path) -> Path:
    """A copy of a finished batch, to be spoiled."""
    return shutil.copytree(reported, tmp_path / "out")


def timeless(path: Path) -> bytes:
    """A file's content without the seconds that grading took."""
    content = path.read_bytes()
    if path.name == "result.json":
        values = json.loads(content)
        assert values.pop("seconds")["total"] > 0
        return json.dumps(values).encode()
    if path.name == "report.html":
        content, found = re.subn(rb"read \d+\.\d, [a-z0-9 .,]*total \d+\.\d", b"", content)
        assert found == 1
    if path.name == "results.csv":
        content = re.sub(rb"\d+\.\d+$", b"", content, flags=re.MULTILINE)
    return content


def left(output: Path) -> dict[str, bytes]:
    """What a user reads of a batch: results.csv, evaluation, page, and every file of every case."""
    paths = [path for path in output.rglob("*") if path.is_file()]
    own = ("batch.lock", "journal.jsonl")  # the process and the order of work
    return {str(p.relative_to(output)): timeless(p) for p in sorted(paths) if p.name not in own}


def test_the_report_of_a_case_is_that_of_the_case_alone_with_the_evidence(source, reported, tmp_path):
    done("grade", source / "b", "--output", tmp_path / "alone")
    case = reported / "cases" / "b"
    assert sorted(p.name for p in case.iterdir()) == [
        "report.html",
        "result.json",
        "slices.png",
        "thumbnail.png",
    ]
    for name in ("report.html", "result.json", "slices.png"):
        assert timeless(case / name) == timeless(tmp_path / "alone" / name), name
    assert "Where the networks looked" in (case / "report.html").read_text(encoding="utf-8")
    assert 'href="cases/b/report.html"' in (reported / "cohort.html").read_text(encoding="utf-8")


def test_how_unusual_each_case_is_stands_in_the_journal_and_not_in_its_result(reported):
    records = [json.loads(line[9:]) for line in (reported / "journal.jsonl").read_text().splitlines()]
    assert sorted(record["case"] for record in records) == ["a", "b"]
    assert all(-5 < record["strangeness"] < 100 for record in records)
    for case in ("a", "b"):
        assert "strangeness" not in json.loads((reported / "cases" / case / "result.json").read_text())


@needs_dask
def test_two_workers_leave_the_same_bytes_as_one_process(source, reported, tmp_path):
    done("batch", source, "--output", tmp_path / "two", "--reports", "--quiet", "--workers", 2)
    one, two = left(reported), left(tmp_path / "two")
    assert list(one) == list(two) and len(one) == 2 * 4 + 4
    assert [name for name in one if one[name] != two[name]] == []


def test_overwrite_starts_anew_and_removes_what_a_batch_wrote_and_nothing_else(source, earlier):
    (earlier / "notes.txt").write_text("mine")
    (earlier / "cases" / "gone").mkdir()  # a case of which a killed batch had not told the journal
    (earlier / "cases" / "gone" / "result.json").write_text('{"case": "gone"}')
    (earlier / "cases" / "mine").mkdir()
    (earlier / "cases" / "a" / "review.txt").write_text("mine")
    said = done("batch", source, "--output", earlier, "--overwrite", "--vote", "soft", "--quiet")
    assert "done before" not in said and "Graded         2" in said
    assert json.loads((earlier / "batch.json").read_text())["options"]["vote"] == "soft"
    assert sorted(p.name for p in (earlier / "cases").iterdir()) == ["a", "b", "mine"]
    names = sorted(p.name for p in (earlier / "cases" / "a").iterdir())
    assert names == ["result.json", "review.txt", "thumbnail.png"]
    assert (earlier / "notes.txt").read_text() == (earlier / "cases" / "a" / "review.txt").read_text() == "mine"


def other_bundle(folder: Path) -> Path:
    """The shipped bundle with another version in its metadata."""
    made = shutil.copytree(BUNDLE, folder / "other")
    metadata = made / "metadata.json"
    values = json.loads(metadata.read_text(encoding="utf-8"))
    values["calibration"]["together"]["intercept"] += 0.25
    metadata.write_text(json.dumps(values), encoding="utf-8")
    return made


def test_resume_refuses_what_would_mix_results(source, earlier, tmp_path):
    before = left(earlier)
    bundle = other_bundle(tmp_path)
    ran = run("batch", source, "--output", earlier, "--resume", "--reports", "--bundle", bundle, threads=1)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: the results here were made with bundle glioma-tcga")
    assert ran.stderr.count("\n") == 1 and left(earlier) == before


def test_dicom_outputs_are_written_for_cases_from_dicom(source, tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="needs the extra 'dicom'")
    pytest.importorskip("highdicom", reason="needs the extra 'dicom'")
    import dicom_maker as maker

    maker.study(tmp_path / "in" / "scan")
    write_case(tmp_path / "in" / "scan", {"mask": "tumour_mask.nii.gz"})
    shutil.copytree(source / "a", tmp_path / "in" / "a")
    done("batch", tmp_path / "in", "--output", tmp_path / "out", "--dicom", "--quiet")
    cases = tmp_path / "out" / "cases"
    assert sorted(p.name for p in (cases / "a").iterdir()) == ["result.json", "thumbnail.png"]
    assert sorted(p.name for p in (cases / "scan").iterdir()) == [
        "overlay.dcm",
        "result.dcm",
        "result.json",
        "thumbnail.png",
    ]
    report = pydicom.dcmread(cases / "scan" / "result.dcm")
    assert (report.Modality, report.StudyInstanceUID, report.PatientID) == ("SR", maker.STUDY, maker.PATIENT)
    assert pydicom.dcmread(cases / "scan" / "overlay.dcm").NumberOfFrames > 1
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["options"]["dicom"] is True
    page = (tmp_path / "out" / "cohort.html").read_text(encoding="utf-8")
    assert maker.PATIENT not in page and maker.NAME.split("^")[0] not in page
