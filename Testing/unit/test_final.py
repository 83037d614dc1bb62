"""The bundle of a training: what hinders it is told before it is trained, and what it says of itself is so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.errors import BundleError, UsageError
from GliomaGradingLib.networks.bundle import open_bundle, write_bundle
from GliomaGradingLib.training.dataset import TrainingSet
from GliomaGradingLib.training.final import _metadata, _origin, _texts, check_final, train_bundle
from GliomaGradingLib.training.fit import new_model
from GliomaGradingLib.training.metrics import fit_platt
from GliomaGradingLib.training.study import Study, run_study
from GliomaGradingLib.words import SEQUENCES
from small_training import small_training_set
from test_training import QUICK


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return small_training_set()


def finished(data: TrainingSet, folder: Path, right: float = 1.0, **settings: Any) -> Path:
    """A study of these patients without training: their logits are their grades, ``right`` times."""
    study = Study(**{"folds": 2, "recipe": QUICK, **settings})
    for repeat, fold, split in study.splits(data):
        for name in SEQUENCES:
            run = folder / "runs" / f"repeat{repeat}-fold{fold}-{name}"
            run.mkdir(parents=True)
            logits = right * (2 * data.grades[split.test.patient] - 1) + 0.01 * split.test.patient
            np.save(run / "test_logits.npy", logits.astype(np.float32))
    run_study(data, study, folder)
    return folder


@pytest.mark.parametrize(
    ("settings", "of", "message"),
    [
        ({"protocol": "image"}, None, "is split by image: it tests nothing new"),
        ({"shuffled_grades": True}, None, "has shuffled grades"),
        ({"recipe": replace(QUICK, ridge=9.0)}, None, "was made with another recipe"),
        ({}, small_training_set(seed=1), "is of other data"),
        ({}, small_training_set(patients=14), "is of other data"),
        ({"right": -1.0}, None, r"ranks patients no better than chance \(AUC 0\.00\)"),
    ],
)
def test_a_study_that_says_nothing_of_a_bundle_is_refused(data, settings, of, message, tmp_path):
    study = finished(of or data, tmp_path / "study", **settings)
    with pytest.raises(UsageError, match=f"the study {message}"):
        check_final(data, QUICK, tmp_path / "bundle", study, None)
    with pytest.raises(UsageError, match="there is no finished study"):
        check_final(data, QUICK, tmp_path / "bundle", tmp_path / "nowhere", None)


def test_what_hinders_a_bundle_is_told_before_anything_is_trained(data, tmp_path):
    check_final(data, QUICK, tmp_path / "bundle", finished(data, tmp_path / "study"), None)
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "LICENSE").write_text("mine")
    for folder, message in (
        (Path("/"), "a bundle needs a folder of its own"),
        (tmp_path / "file" / "b", "this is a file, not the folder of a bundle"),
        (tmp_path / "mine", "the folder holds something else than a bundle"),
    ):
        with pytest.raises(UsageError, match=message):
            check_final(data, QUICK, folder, None, None)
    with pytest.raises(UsageError, match=r"patience waits .*: train study and bundle for a fixed number"):
        check_final(data, replace(QUICK, patience=2, validation=0.2), tmp_path / "b", None, None)
    with pytest.raises(UsageError, match="4 patients are too few to tell what is usual"):
        train_bundle(data.subset(np.arange(4)), QUICK, tmp_path / "b", tmp_path / "work", None)
    with pytest.raises(UsageError, match="ImageNet tensors are needed"):
        check_final(data, replace(QUICK, pretrained=True), tmp_path / "b", None, None)
    assert not (tmp_path / "work").exists() and (tmp_path / "mine" / "LICENSE").read_text() == "mine"


def test_a_bundle_of_averaged_weights_says_that_its_calibration_is_of_single_models(data, tmp_path):
    study = finished(data, tmp_path / "study")
    told = [_metadata(data, QUICK, n, "b", s)["calibration"] for n, s in ((1, study), (3, study), (3, None))]
    single = "out-of-fold predictions by patient"
    averaged = f"{single} of single models, and not of the mean weights of 3"
    assert [calibration["fitted_on"] for calibration in told] == [single, averaged, "nothing"]


def test_metadata_that_nobody_could_read_takes_no_bundles_place(data, tmp_path):
    models = {name: new_model(QUICK, None) for name in SEQUENCES}
    good = {**open_bundle().metadata, "name": "mine"}
    write_bundle(tmp_path / "b", models, good)
    before = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    for wrong in ({"name": ""}, {"familiarity": {**good["familiarity"], "unlike": float("nan")}}):
        with pytest.raises(BundleError):
            write_bundle(tmp_path / "b", models, {**good, **wrong})
        assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({"pretrained": True}, "BVLC reference GoogLeNet", "random weights"),
        ({"pretrained": True, "epochs": 0}, "output module alone has learned", "fine-tuned"),
        ({"pretrained": True, "backbone": "googlenet-torchvision"}, "IMAGENET1K_V1", "BVLC"),
        ({"pretrained": False}, "Starting point: random weights.", "ImageNet"),
    ],
)
def test_the_attribution_says_what_the_weights_began_as(data, changes, said, unsaid):
    text = _texts(data, replace(QUICK, **changes))["ATTRIBUTION.txt"]
    assert said in text and unsaid not in text
    assert "- Patients: 12 of one\n" in text


def test_a_network_that_ranks_the_wrong_way_round_says_nothing():
    grades = np.array([0, 0, 1, 1, 1])
    turned = fit_platt(np.array([2.0, 1.0, -1.0, 0.0, -2.0]), grades)
    assert turned.slope == 0 and turned.intercept == pytest.approx(np.log(3 / 2))
    assert fit_platt(np.array([-2.0, -1.0, 1.0, 0.0, 2.0]), grades).slope > 0


def test_another_cohorts_bundle_has_its_own_licence_and_no_card():
    ours = small_training_set(patients=2)
    ours = replace(ours, collections=np.array(["TCGA-GBM", "TCGA-LGG"]))
    assert _origin(ours) == {"license": "Apache-2.0", "card": "Resources/ModelCard.md"}
    theirs = replace(ours, public_names=np.array(["", ""]))
    assert _origin(theirs) == {"license": "LICENSE"}, "called so, and none of its patients"
    assert _origin(small_training_set(patients=2)) == {"license": "LICENSE"}
