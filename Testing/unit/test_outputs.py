"""What a graded case leaves behind: the same files from ``grade --output`` and from a batch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_stub import result
from GliomaGradingLib.cli import grade as grade_command
from GliomaGradingLib.cohort import child
from GliomaGradingLib.cohort.child import FileGrader
from GliomaGradingLib.cohort.work import Settings, Task
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.export import folder
from GliomaGradingLib.export.dicom_outputs import DicomFiles
from GliomaGradingLib.export.folder import case_outputs
from GliomaGradingLib.export.outputs import check_result_folder
from GliomaGradingLib.grading import Graded, Grader

PROBLEM = DicomFiles(problem="no DICOM output: the sequences are not of one patient")


@pytest.fixture
def grader(monkeypatch):
    """Its explanation is the word "why"; the report says what it was made from."""

    def report(graded, bundle, explanation):
        told = [explanation, [warning.code for warning in graded.result.warnings]]
        return {"result.json": folder.result_json(graded.result), "report.html": json.dumps(told).encode()}

    monkeypatch.setattr(folder, "result_files", report)
    return SimpleNamespace(
        explain=lambda graded: "why",
        bundle=SimpleNamespace(metadata={}),
        gradeInDetail=lambda *_: graded(),
    )


@pytest.fixture
def from_dicom(monkeypatch):
    """Cases are from DICOM, and have these DICOM outputs."""

    def chosen(made):
        monkeypatch.setattr(folder, "is_from_dicom", lambda case: True)
        monkeypatch.setattr(folder, "dicom_result_files", lambda graded, explanation: made)

    return chosen


@pytest.fixture
def not_from_dicom(monkeypatch):
    monkeypatch.setattr(folder, "is_from_dicom", lambda case: False)


def graded(case="a"):
    return Graded(result(case, 0.9), None, None, 1.5)


def batch_files(grader, monkeypatch, **settings):
    """Result and files of a batch's grading process."""
    monkeypatch.setattr("GliomaGradingLib.case.read_paths", lambda *_: None)
    monkeypatch.setattr(child, "thumbnail", lambda graded: b"picture")
    made = FileGrader()
    made._engine = SimpleNamespace(grader=grader)
    return made.grade(Task(0, "a", {}, None, Settings(**settings)).toMessage())


def test_a_report_has_the_explanation(grader, not_from_dicom):
    _graded, files = case_outputs(graded(), grader, dicom=False)
    assert json.loads(files["report.html"]) == ["why", []] and "result.json" in files


@pytest.mark.parametrize("dicom", [False, True])
def test_nothing_is_explained_where_nobody_asked(grader, not_from_dicom, dicom):
    grader.explain = lambda graded: pytest.fail("it takes time")
    before = graded()
    assert case_outputs(before, grader, reports=False, dicom=dicom) == (
        before,
        {"result.json": before.result.toJson().encode()},
    )


def test_dicom_files_have_the_explanation_and_no_report_comes_with_them(grader, from_dicom, monkeypatch):
    from_dicom(None)
    made = lambda graded, explanation: DicomFiles({"result.dcm": explanation.encode()})  # noqa: E731
    monkeypatch.setattr(folder, "dicom_result_files", made)
    changed, files = case_outputs(graded(), grader, reports=False)
    assert set(files) == {"result.dcm", "result.json"} and files["result.dcm"] == b"why"
    assert changed.result.warnings == ()


def test_why_there_is_no_dicom_output_is_a_warning_of_result_and_report(grader, from_dicom):
    from_dicom(PROBLEM)
    before = graded()
    changed, files = case_outputs(before, grader)
    (warning,) = changed.result.warnings
    assert (warning.code, warning.message) == ("no-dicom-output", PROBLEM.problem)
    assert changed.result.seconds == before.result.seconds
    assert json.loads(files["report.html"])[1] == ["no-dicom-output"]


@pytest.mark.parametrize("made", [PROBLEM, DicomFiles({"result.dcm": b"report", "overlay.dcm": b"slices"})])
def test_grade_and_batch_write_the_same(grader, from_dicom, monkeypatch, tmp_path, capsys, made):
    from_dicom(made)
    monkeypatch.setattr(Grader, "load", lambda *_: grader)
    monkeypatch.setattr(grade_command, "_read_case", lambda options: None)
    values = {"bundle": None, "device": "cpu", "vote": "majority", "register": "auto"}
    grade_command.run(argparse.Namespace(**values, output=tmp_path, json=True))
    told, files = batch_files(grader, monkeypatch, reports=True, dicom=True)
    assert files.pop("thumbnail.png")
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    by_grade, by_batch = json.loads((tmp_path / "result.json").read_text()), json.loads(files["result.json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == by_grade and printed.err == ""
    for one in (by_grade, by_batch, told):
        one.pop("seconds"), one.pop("strangeness", None)
    assert by_grade == by_batch == told
    assert [warning["code"] for warning in by_grade["warnings"]] == ["no-dicom-output"] * bool(made.problem)


def test_a_name_that_no_utf8_can_hold_is_written_all_the_same():
    written = folder.result_json(result("\udc80", 0.9))
    assert b"\\udc80" in written and json.loads(written)["case"] == "\udc80"


# Whether there is a place for them is known before the work


@pytest.mark.parametrize("before", [{}, {"result.json": "old", "mine.txt": "mine"}])
def test_a_folder_that_is_tried_is_left_as_it_was(tmp_path, monkeypatch, before):
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    made = []
    monkeypatch.setattr(Path, "mkdir", lambda path, *_, **__: made.append(path))
    check_result_folder(tmp_path)
    check_result_folder(tmp_path / "new" / "out")
    assert made == [], "another grading that writes there would find its folder gone"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["result.json", "report.html", "slices.png", "overlay.dcm"])
def test_a_folder_in_a_files_place(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=rf"{name} is a folder.*choose a folder that you may write to"):
        check_result_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_no_case_is_read_for_a_result_that_has_no_place(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(grade_command, "_read_case", lambda options: pytest.fail("it takes time"))
    with pytest.raises(UsageError, match="the result cannot be written"):
        grade_command.run(argparse.Namespace(output=tmp_path / "out"))
