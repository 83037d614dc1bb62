"""A batch says which of its cases taught the models, by the names that public data sets gave them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from batch_stub import make_cohort
from GliomaGradingLib.cohort import taught
from GliomaGradingLib.cohort.run import BatchJob, run
from GliomaGradingLib.cohort.taught import Teachers
from GliomaGradingLib.cohort.work import Settings
from GliomaGradingLib.errors import BundleError
from GliomaGradingLib.taught import public_names
from test_batch import Instant

NAMES = ("BraTS20_Training_163", "BraTS19_TCIA08_105_1", "TCGA-06-0184")


def entries(*names: str, patient: str = "") -> list[SimpleNamespace]:
    return [SimpleNamespace(case=name, patient=patient) for name in names]


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("BraTS20_Training_163", True),
        ("site/BraTS20_Training_163_seg", True),
        ("brats20_training_163", True),
        ("BraTS20_Training_1630", False),
        ("BraTS20_Training_16", False),
        ("BraTS20_Validation_163", False),
        ("Brats18_TCIA08_105_1", True),
        ("BraTS19_TCIA08_105_1", True),
        ("TCIA08_105_10", False),
        ("TCGA-06-0184_2001.01.01", True),
        ("TCGA-06-01845", False),
        ("sub-001", False),
    ],
)
def test_names_are_known_as_whole_words_in_any_challenge_year(name, is_known):
    teachers = Teachers(NAMES)
    assert teachers.among(entries(name)) == ([name] if is_known else [])
    assert teachers.among(entries("x", patient=name)) == (["x"] if is_known else [])


def test_nobody_is_known_without_names(tmp_path):
    assert Teachers().among(entries("", "x")) == []
    assert Teachers.of(tmp_path) == Teachers((), None)
    assert len(Teachers.of(None).names) > 156


@pytest.mark.parametrize("teachers", [Teachers(), Teachers((), None)])
def test_whom_a_bundle_does_not_tell_are_not_nobody(teachers):
    """One of one's own patients, and one that could not be opened."""
    assert teachers.count_among(entries("x")) is None
    assert teachers.remarks(entries("x")) == [
        "It is not known whom the models have learned from: how well these patients are graded, where they are "
        "in this batch, says nothing of the next one."
    ]
    assert Teachers(NAMES).count_among(entries("x")) == 0 and Teachers(NAMES).remarks(entries("x")) == []


def test_many_cases_are_asked_with_one_pattern(monkeypatch):
    compiled = []
    real = re.compile
    monkeypatch.setattr("GliomaGradingLib.taught.re.compile", lambda *a: compiled.append(a) or real(*a))
    cases = [*entries("a", "b", NAMES[0], "c"), *entries("d", patient="TCGA-06-0184 x")]
    assert Teachers(("asked-once", *NAMES)).among(cases) == [NAMES[0], "d"]
    assert len(compiled) == 1


def graded_cohort(folder):
    for grade in ("LGG", "HGG"):
        make_cohort(folder / grade, [f"{grade}{n}" for n in range(3)])
    return folder


@pytest.mark.parametrize("end", ["removed", "replaced"])
def test_whom_to_ask_is_the_bundle_that_graded_and_not_what_lies_there_at_the_end(tmp_path, monkeypatch, end):
    """Hours later; until then 3 patients of 6 taught the models."""
    names = tuple(f"LGG{n}" for n in range(3))

    def open_then(bundle):
        return SimpleNamespace(metadata={"training": {"public_names": [*names]}, "calibration": {}})

    def open_at_the_end(bundle):
        if end == "removed":
            raise BundleError("there is no bundle")
        return SimpleNamespace(metadata={"training": {"public_names": ["x"]}, "calibration": {}})

    class Grading(Instant):
        def start(self):
            monkeypatch.setattr(taught, "open_bundle", open_at_the_end)
            return super().start()

    monkeypatch.setattr(taught, "open_bundle", open_then)
    done = run(BatchJob(graded_cohort(tmp_path / "in"), tmp_path / "out"), Settings(bundle="ours"), Grading)
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert (evaluation["taught_the_models"], evaluation["calibrated_on_patients"]) == (3, 0)
    assert done.remarks[0].startswith("3 of 6 cases are named like patients that taught the models")


def test_who_taught_a_bundle_that_nobody_could_open_is_not_known(tmp_path):
    output = tmp_path / "out"
    settings = Settings(bundle=str(tmp_path / "absent"))
    done = run(BatchJob(graded_cohort(tmp_path / "in"), output), settings, Instant)
    evaluation = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert (evaluation["taught_the_models"], evaluation["calibrated_on_patients"]) == (None, None)
    assert done.remarks[0].startswith("It is not known whom the models have learned from")
    assert "It is not known whom the models" in (output / "cohort.html").read_text(encoding="utf-8")


def test_a_batch_of_training_patients_says_so_at_its_end_and_on_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(Teachers, "of", lambda bundle: Teachers(NAMES if bundle == "mine" else ()))
    source = make_cohort(tmp_path / "in", ["BraTS20_Training_163", "BraTS20_Training_900"])
    for bundle, expected in (("mine", 1), (None, 0)):
        output = tmp_path / f"out-{bundle}"
        done = run(BatchJob(source, output), Settings(bundle=bundle), Instant)
        told = [remark for remark in done.remarks if "taught the models" in remark]
        assert len(told) == expected
        assert ("taught the models" in (output / "cohort.html").read_text(encoding="utf-8")) == bool(expected)
        if expected:
            assert told[0].startswith(
                "1 of 2 cases are named like patients that taught the models (BraTS20_Training_163)"
            )


def test_a_batch_of_a_bundle_that_was_calibrated_says_so(tmp_path, monkeypatch):
    """Whom it was calibrated on, it does not tell: they may be the very patients."""
    opened = []
    metadata = {"calibration": {"of": "x 1", "patients": 40}, "training": {"public_names": ["x"]}}
    monkeypatch.setattr(
        taught, "open_bundle", lambda bundle: opened.append(bundle) or SimpleNamespace(metadata=metadata)
    )
    assert Teachers.of("ours").remarks(entries("p1")) == [
        "The bundle was calibrated on 40 patients of a cohort: where they are in this batch, its probabilities "
        "say nothing of the next patient."
    ]
    opened.clear()
    run(BatchJob(graded_cohort(tmp_path / "in"), tmp_path / "out"), Settings(bundle="ours"), Instant)
    assert opened == ["ours"], "a bundle is opened once"
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert (evaluation["taught_the_models"], evaluation["calibrated_on_patients"]) == (0, 40)


@pytest.mark.parametrize("training", [None, "x", {}, {"public_names": "x"}, {"public_names": [3]}])
def test_metadata_that_tell_no_names(training):
    assert public_names({"training": training}) == [] == public_names({})


def test_only_public_names_get_into_a_bundle(tmp_path):
    """A hospital's cohort has patients' names; they are in no model that it trains."""
    from GliomaGradingLib.training.final import _metadata
    from GliomaGradingLib.training.recipe import Recipe
    from small_training import small_training_set

    data = small_training_set(patients=2)
    told = _metadata(data, Recipe(), 1, "name", None)["training"]
    assert told["public_names"] == ["OPEN-00-X", "OPEN-01-X", "open-00", "open-01"]
    assert "patient-00" not in json.dumps(told)
