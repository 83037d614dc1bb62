"""What the grading process of a batch adds to a case's result."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from batch_stub import result
from GliomaGradingLib.cohort import child
from GliomaGradingLib.cohort.child import FileGrader
from GliomaGradingLib.cohort.work import Settings, Task
from GliomaGradingLib.export import dicom_outputs, dicom_sources, folder
from GliomaGradingLib.export.dicom_outputs import DicomFiles
from GliomaGradingLib.grading import Graded


@pytest.fixture
def grader(monkeypatch):
    """A FileGrader whose explanation is the word "why", and whose files say what they were made from."""
    made = FileGrader()
    made._engine = SimpleNamespace(grader=SimpleNamespace(explain=lambda graded: "why", bundle="bundle"))

    def report(graded, bundle, explanation):
        told = [bundle, explanation, [warning.code for warning in graded.result.warnings]]
        return {"report.html": json.dumps(told).encode()}

    monkeypatch.setattr(folder, "result_files", report)
    return made


def message(**settings):
    return Task(0, "a", {}, None, Settings(**settings)).toMessage()


def graded():
    return Graded(result("a", 0.9), None, None, 1.5)


def test_a_report_has_the_explanation(grader):
    _graded, files = grader._extras(graded(), message(reports=True))
    assert json.loads(files["report.html"]) == ["bundle", "why", []]


def test_nothing_is_explained_where_nobody_asked(grader):
    grader._engine.grader.explain = lambda graded: pytest.fail("it takes time")
    assert grader._extras(graded(), message())[1] == {}


def test_dicom_files_have_the_explanation_and_no_report_comes_with_them(grader, monkeypatch):
    made = lambda graded, explanation: DicomFiles({"result.dcm": explanation.encode()})  # noqa: E731
    monkeypatch.setattr(dicom_outputs, "dicom_result_files", made)
    monkeypatch.setattr(dicom_sources, "is_from_dicom", lambda case: True)
    changed, files = grader._extras(graded(), message(dicom=True))
    assert files == {"result.dcm": b"why"} and changed.result.warnings == ()


def test_a_case_that_did_not_come_from_dicom_is_not_explained_for_dicom_files(grader, monkeypatch):
    grader._engine.grader.explain = lambda graded: pytest.fail("it takes time")
    monkeypatch.setattr(dicom_sources, "is_from_dicom", lambda case: False)
    assert grader._extras(graded(), message(dicom=True))[1] == {}


def test_why_there_is_no_dicom_output_is_a_warning_of_result_and_report(grader, monkeypatch):
    problem = DicomFiles(problem="no DICOM output: the sequences are not of one patient")
    monkeypatch.setattr(dicom_outputs, "dicom_result_files", lambda *_: problem)
    monkeypatch.setattr(dicom_sources, "is_from_dicom", lambda case: True)
    before = graded()
    changed, files = grader._extras(before, message(dicom=True, reports=True))
    (warning,) = changed.result.warnings
    assert (warning.code, warning.message) == ("no-dicom-output", problem.problem)
    assert changed.result.seconds == before.result.seconds
    assert json.loads(files["report.html"])[2] == ["no-dicom-output"]


@pytest.mark.parametrize(
    ("value", "kept"), [(1.23456, 1.2346), (None, None), (float("nan"), None), (float("inf"), None)]
)
def test_strangeness_is_a_number_that_json_knows(value, kept):
    assert child._rounded(value) == kept


def test_asking_for_dicom_is_an_option_that_results_depend_on():
    assert Settings(dicom=True).identity()["dicom"] is True
    assert "dicom" not in Settings().identity()  # batches from before there was the option can be resumed
