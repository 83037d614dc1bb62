"""Figures, calibration and evidence files, against values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from GliomaGradingLib.training.evaluate import (
    all_figures,
    calibrate,
    evaluate_study,
    probabilities_csv,
    read_probabilities,
    table,
    unit_probabilities,
)
from GliomaGradingLib.training.metrics import (
    auc,
    calibration_error,
    classification_figures,
    fit_platt,
    probability_figures,
    with_intervals,
)
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.study import STUDY, Predictions, Study, predictions_csv
from sklearn.metrics import roc_auc_score


def predictions(patients: int = 60, repeats: int = 1, slices: int = 1, seed: int = 0) -> Predictions:
    """Logits that tell the grades apart, about as well as real ones do."""
    rng = np.random.default_rng(seed)
    rows = patients * repeats * slices
    patient = np.tile(np.repeat(np.arange(patients), slices), repeats)
    grade = (patient % 3 > 0).astype(int)
    return Predictions(
        repeat=np.repeat(np.arange(repeats), patients * slices),
        fold=patient % 5,
        patient=np.array([f"p{i:03d}" for i in patient]),
        slice=np.tile(np.arange(slices), patients * repeats),
        grade=grade,
        logits=rng.normal(0, 1.5, (rows, 3)) + 2.0 * (grade[:, None] - 0.5),
    )


def test_auc_is_the_share_of_pairs_in_order():
    grades = np.array([0, 0, 1, 1, 1])
    assert auc(grades, np.array([0.1, 0.6, 0.4, 0.6, 0.9])) == pytest.approx((1 + 1 + 1 + 0.5 + 0 + 1) / 6)
    assert np.isnan(auc(np.ones(3), np.arange(3)))
    rng = np.random.default_rng(0)
    many, scores = rng.integers(0, 2, 200), rng.integers(0, 30, 200) / 30
    assert auc(many, scores) == pytest.approx(roc_auc_score(many, scores))


def test_classification_figures_by_hand():
    figures = classification_figures(np.array([1, 1, 1, 0, 0]), np.array([True, True, False, False, True]))
    assert figures["sensitivity"] == pytest.approx(2 / 3)
    assert figures["specificity"] == 0.5
    assert figures["accuracy"] == 0.6
    assert figures["balanced_accuracy"] == pytest.approx(7 / 12)


def test_brier_and_calibration_error_by_hand():
    grades, probabilities = np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.6, 0.4])
    assert probability_figures(grades, probabilities)["brier"] == pytest.approx((0.01 + 0.04 + 0.16 + 0.16) / 4)
    # two groups: {0.2, 0.4} with no HGG, {0.6, 0.9} all HGG
    assert calibration_error(grades, probabilities, bins=2) == pytest.approx((0.3 + 0.25) / 2)


def test_platt_recovers_the_logits_scale():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 20_000)
    grades = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 0.7)))).astype(int)
    platt = fit_platt(logits, grades)
    assert platt.slope == pytest.approx(0.5, abs=0.03)
    assert platt.intercept == pytest.approx(-0.7, abs=0.05)


def test_bootstrap_draws_patients_not_rows():
    groups = np.repeat(["a", "b"], 50)
    values = np.repeat([0.0, 1.0], 50)
    mean = with_intervals(lambda rows: {"mean": float(values[rows].mean())}, groups)["mean"]
    # of two patients drawn, both are the same one half of the time: the interval is everything
    assert (mean["value"], mean["low"], mean["high"]) == (0.5, 0.0, 1.0)


def test_patients_are_the_means_of_their_slices_in_each_repeat():
    slices = predictions(patients=6, repeats=2, slices=4)
    patients = slices.of_patients()
    assert len(patients.patient) == 12
    row = np.flatnonzero((patients.patient == "p003") & (patients.repeat == 1))[0]
    mine = (slices.patient == "p003") & (slices.repeat == 1)
    np.testing.assert_allclose(patients.logits[row], slices.logits[mine].mean(0))
    assert patients.grade[row] == slices.grade[mine][0]


def test_a_fold_is_calibrated_without_its_own_patients():
    units = predictions()
    before = unit_probabilities(Study(), units)
    changed = Predictions(
        **{**units.__dict__, "grade": np.where(units.fold == 2, 1 - units.grade, units.grade)}
    )
    after = unit_probabilities(Study(), changed)
    mine = units.fold == 2
    np.testing.assert_array_equal(before[mine], after[mine])  # its own grades were not looked at
    assert np.abs(before[~mine] - after[~mine]).max() > 0.05


def test_the_images_protocol_takes_the_networks_own_probabilities():
    units = predictions()
    probabilities = unit_probabilities(Study(protocol="image"), units)
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-units.logits[:, 1])))
    np.testing.assert_allclose(probabilities[:, 3], probabilities[:, :3].mean(1))


def test_together_is_better_than_the_best_sequence_when_errors_are_independent():
    units = predictions(patients=150)
    figures = all_figures(units, unit_probabilities(Study(), units), draws=100)
    best = max(figures[name]["auc"]["value"] for name in ("T1", "T2", "FLAIR"))
    assert figures["together"]["auc"]["value"] > best
    assert figures["together"]["auc"]["low"] < figures["together"]["auc"]["value"]
    assert set(figures["majority"]) == {"accuracy", "balanced_accuracy", "sensitivity", "specificity"}


def test_calibration_of_the_three_together_gives_the_mean_rate():
    units = predictions(patients=300)
    calibration = calibrate(units)
    logits = [
        [calibration.sequences[s].logit(x) for s, x in zip(("T1", "T2", "FLAIR"), row, strict=True)]
        for row in units.logits
    ]
    rate = np.mean([calibration.combine(row) for row in logits])
    assert rate == pytest.approx(units.grade.mean(), abs=0.01)


def test_evidence_on_disk_gives_the_same_figures_again(tmp_path):
    units = predictions(patients=40, repeats=2, slices=3)
    study = Study(repeats=2, recipe=Recipe(epochs=1))
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / STUDY).write_text(json.dumps(__import__("dataclasses").asdict(study)))
    (folder / "predictions.csv").write_text(predictions_csv(units))
    (folder / "splits.json").write_text("[]\n")
    figures = evaluate_study(folder, tmp_path / "out", "command")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "figures.json",
        "probabilities.csv",
        "splits.json",
        "curves.png",
        "roc.png",
        "reliability.png",
    }
    stored = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert stored["units_tested"] == 80 and stored["patients"] == 40
    again = all_figures(*read_probabilities(tmp_path / "out" / "probabilities.csv"), draws=10)
    for name, values in stored["figures"].items():
        for figure, value in values.items():
            assert again[name][figure]["value"] == pytest.approx(value["value"], abs=1e-5), (name, figure)
    assert f"{stored['figures']['T2']['auc']['value']:.3f}" in table(figures)


def test_probabilities_come_back_from_csv():
    units = predictions()
    probabilities = unit_probabilities(Study(), units)
    text = probabilities_csv(units, probabilities)
    assert text.splitlines()[0].endswith("flair_probability_hgg,probability_hgg")
    assert len(text.splitlines()) == 61
