"""A batch says which of its cases taught the models, by the names that public data sets gave them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from batch_stub import make_cohort
from GliomaGradingLib.cohort import taught
from GliomaGradingLib.cohort.run import BatchJob, run
from GliomaGradingLib.cohort.taught import Teachers
from GliomaGradingLib.cohort.work import Settings
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
    assert Teachers.of(tmp_path) == Teachers() and Teachers().remarks(entries("x")) == []
    assert len(Teachers.of(None).names) > 156


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
    metadata = {"calibration": {"of": "x 1", "patients": 40}}
    monkeypatch.setattr(
        taught, "open_bundle", lambda bundle: opened.append(bundle) or SimpleNamespace(metadata=metadata)
    )
    assert Teachers.of("ours").remarks(entries("p1")) == [
        "The bundle was calibrated on 40 patients of a cohort: where they are in this batch, its probabilities "
        "say nothing of the next patient."
    ]
    for grade in ("LGG", "HGG"):
        make_cohort(tmp_path / "in" / grade, [f"{grade}{n}" for n in range(3)])
    opened.clear()
    run(BatchJob(tmp_path / "in", tmp_path / "out"), Settings(bundle="ours"), Instant)
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
