"""Figures, calibration and evidence files, against values worked out by hand."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.cli import main
from GliomaGradingLib.errors import UsageError, reason
from GliomaGradingLib.training.baselines import compared
from GliomaGradingLib.training.delong import delong_test
from GliomaGradingLib.training.evaluate import (
    all_figures,
    by_fold,
    calibrate,
    decision_intervals,
    evaluate_study,
    ranking,
    ranking_table,
    reliability_bins,
    table,
    unit_probabilities,
    vote_against_best,
)
from GliomaGradingLib.training.evidence import probabilities_csv, read_evidence, read_probabilities
from GliomaGradingLib.training.metrics import (
    auc,
    augrc,
    bootstrap_rows,
    calibration_error,
    calibration_error_by_chance,
    calibration_intercept,
    calibration_slope,
    classification_figures,
    fit_platt,
    majority_figures,
    probability_figures,
    risk_coverage,
    wilson,
    with_intervals,
)
from GliomaGradingLib.training.paired import ScoreTable
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.selective import decision_figures, withheld
from GliomaGradingLib.training.study import STUDY, Predictions, Study, predictions_csv
from GliomaGradingLib.voting import Calibration, DecisionRule, decide
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals are not what most tests are about, and take their time."""
    monkeypatch.setattr("GliomaGradingLib.training.evaluate.DRAWS", 40)
    monkeypatch.setattr("GliomaGradingLib.training.plots.DRAWS", 20)


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


def test_a_drawn_patient_brings_all_rows_of_each_repeat():
    groups = np.array(["b", "a", "c", "a", "b", "a"])
    repeats = np.array([0, 0, 1, 1, 1, 0])  # a: 1 5 and 3, b: 0 and 4, c: none and 2
    rows = {"a": ([1, 5], [3]), "b": ([0], [4]), "c": ([], [2])}
    rng = np.random.default_rng(7)
    for first, second in bootstrap_rows(groups, repeats, 5, seed=7):
        drawn = [rows["abc"[number]] for number in rng.integers(0, 3, 3)]
        assert first.tolist() == [row for one, _ in drawn for row in one]
        assert second.tolist() == [row for _, other in drawn for row in other]


def test_shares_of_all_or_none_have_wilsons_interval_of_their_own_patients():
    """By bootstrap it would have no width, whether of two patients or of two hundred."""
    grades = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    groups = np.array(["a", "b", "b", "c", "d", "e", "f", "f"])  # two HGG patients, four LGG
    called = grades == 1
    called[3] = True
    found = with_intervals(lambda rows: classification_figures(grades[rows], called[rows]), groups, draws=50)
    assert found["sensitivity"] == wilson(2, 2)
    assert found["specificity"]["value"] == 0.8 and 0 < found["specificity"]["low"] < 0.8
    none = with_intervals(lambda rows: classification_figures(grades[rows], grades[rows] == 0), groups, draws=9)
    assert none["accuracy"] == wilson(0, 6)


def test_shares_of_decisions_have_wilsons_interval_too():
    """Eight patients of two repeats, all decided and all right; then one LGG without a decision."""
    units = predictions(patients=8, repeats=2)
    right = np.where(units.grade == 1, 0.95, 0.05)
    probabilities = np.repeat(right[:, None], 4, axis=1)
    found = decision_intervals(units, probabilities, DecisionRule(), draws=9)["figures"]
    assert found["coverage"] == found["accuracy_all"] == found["accuracy_decided"] == wilson(8, 8)
    assert found["sensitivity_decided"] == wilson(5, 5)
    assert found["specificity_decided"] == wilson(3, 3)
    probabilities[units.patient == "p000", 3] = 0.5
    found = decision_intervals(units, probabilities, DecisionRule(), draws=50)["figures"]
    assert found["accuracy_withheld"] == wilson(1, 1)
    assert found["coverage"]["value"] == 7 / 8 and found["coverage"]["high"] == 1.0
    assert found["accuracy_decided"] == wilson(7, 7)


def test_a_difference_of_nothing_is_no_share():
    """Both methods right of the same patients; Wilson's interval of 0 of so many would lie above 0 alone."""
    units = predictions(patients=9)
    scores = np.where(units.grade == 1, 0.9, 0.2)
    table = ScoreTable.of_units(units).added("one", units, scores).added("other", units, scores / 2 + 0.2)
    difference = table.difference(compared, "one", "other", draws=20)
    assert difference["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert table.figures(compared, "one", draws=20)["accuracy"] == wilson(9, 9)


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
    assert set(figures["majority"]) == {"auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity"}


def test_reliability_bins_count_a_patient_once_whatever_the_repeats():
    units = predictions(patients=6, repeats=2)  # every second patient has an HGG
    together = np.where(units.patient < "p002", 0.1, np.where(units.repeat == 0, 0.8, 1.0))
    bins = reliability_bins(units, together[:, None])
    assert [entry["patients"] for entry in bins] == [2, 0, 0, 0, 4]  # 0.8 and 1.0 are of the last bin
    hgg = [int(units.grade[together == 0.1].sum() / 2), int(units.grade[together > 0.1].sum() / 2)]
    assert [bins[0]["hgg"], bins[-1]["hgg"]] == hgg
    assert [(entry["low"], entry["high"]) for entry in bins][2] == (0.4, 0.6)


def test_calibration_of_the_three_together_gives_the_mean_rate():
    units = predictions(patients=300)
    calibration = calibrate(units)
    logits = [
        [calibration.sequences[s].logit(x) for s, x in zip(("T1", "T2", "FLAIR"), row, strict=True)]
        for row in units.logits
    ]
    rate = np.mean([calibration.combine(row) for row in logits])
    assert rate == pytest.approx(units.grade.mean(), abs=0.01)


def study_folder(tmp_path, units: Predictions, **settings) -> Path:
    """A finished study's folder, with two epochs of curves a run."""
    study = Study(repeats=len(np.unique(units.repeat)), recipe=Recipe(epochs=2), **settings)
    folder = tmp_path / "study"
    for run in ("repeat0-fold0-T1", "repeat0-fold1-T1"):
        (folder / "runs" / run).mkdir(parents=True)
        rows = "1,1e-4,0.7,0.6,nan,nan\n2,1e-5,0.5,0.8,nan,nan\n"
        header = "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy\n"
        (folder / "runs" / run / "curves.csv").write_text(header + rows)
    (folder / STUDY).write_text(json.dumps(asdict(study)))
    (folder / "predictions.csv").write_text(predictions_csv(units))
    whole = [f"p001/{i}" for i in range(20)]
    parts = {"train": [*whole, "p002/7", "p002/3"], "validation": [], "test": ["p003/1"]}
    split = {"repeat": 0, "fold": 0, **parts}
    (folder / "splits.json").write_text(json.dumps([split]))
    return folder


@pytest.mark.usefixtures("few_draws")
def test_evidence_on_disk_gives_the_same_figures_again(tmp_path):
    folder = study_folder(tmp_path, predictions(patients=40, repeats=2, slices=3))
    origin = {"data": "a fingerprint", "glioma-grading": "9.9", "device": "cuda", "precision": "bfloat16"}
    (folder / STUDY).write_text(json.dumps({**json.loads((folder / STUDY).read_text()), **origin}))
    figures = evaluate_study(folder, tmp_path / "out", "command")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    plots = {"curves.png", "roc.png", "reliability.png", "risk_coverage.png"}
    assert names == {"figures.json", "probabilities.csv", "splits.json", "curves.csv", *plots}
    stored = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert stored["units_tested"] == 80 and stored["patients"] == 40
    assert stored["study"].items() > origin.items() and read_evidence(tmp_path / "out").origin == origin
    units, probabilities = read_probabilities(tmp_path / "out" / "probabilities.csv")
    again = all_figures(units, probabilities, draws=10)
    for name, values in stored["figures"].items():
        for figure, value in values.items():
            assert again[name][figure]["value"] == pytest.approx(value["value"], abs=1e-5), (name, figure)
    assert f"{stored['figures']['T2']['auc']['value']:.3f}" in table(figures)
    assert [row["fold"] for row in stored["by_fold"]][:3] == [None, 0, 1]


@pytest.mark.usefixtures("few_draws")
def test_a_study_without_epochs_has_no_curves_to_plot(tmp_path):
    folder = study_folder(tmp_path, predictions(patients=40))
    for path in folder.glob("runs/*/curves.csv"):
        path.unlink()
    evaluate_study(folder, tmp_path / "out", "command")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "curves.png" not in names and {"roc.png", "curves.csv", "figures.json"} <= names
    again = evaluate_study(tmp_path / "out", tmp_path / "again", "command")
    assert again["units_tested"] == 40


@pytest.mark.usefixtures("few_draws")
def test_sure_networks_rank_slices_that_six_decimals_cannot_tell_apart(tmp_path):
    units = predictions(patients=40, slices=3)
    units.logits[:] = (20.0 + 2.0 * units.grade + 0.01 * np.arange(120) / 120)[:, None]
    figures = evaluate_study(study_folder(tmp_path, units, protocol="image"), tmp_path / "out", "command")
    _, written = read_probabilities(tmp_path / "out" / "probabilities.csv")
    assert (written == 1).all()
    again = evaluate_study(tmp_path / "out", tmp_path / "again", "command")
    for name in ("T1", "soft", "together"):
        assert [f["figures"][name]["auc"]["value"] for f in (figures, again)] == [1.0, 1.0], name


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_study_of_a_few_patients_has_its_evidence(tmp_path):
    units = predictions(patients=6)
    figures = evaluate_study(study_folder(tmp_path, units), tmp_path / "out", "command")
    assert figures["patients"] == 6 and (tmp_path / "out" / "figures.json").is_file()


def test_evidence_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no plot")

    monkeypatch.setattr("GliomaGradingLib.training.plots.roc_plot", fail)
    folder = study_folder(tmp_path, predictions(patients=10))
    with pytest.raises(OSError, match="no plot"):
        evaluate_study(folder, tmp_path / "out" / "deep", "command")
    assert not (tmp_path / "out").exists()


def test_the_command_checks_the_protocol_and_the_folds_of_a_study(tmp_path, capsys):
    study = study_folder(tmp_path / "patient", predictions(patients=10))
    study.rename(tmp_path / "all")
    (tmp_path / "all").rename(tmp_path / "patient" / "patient")
    output = ["--output", str(tmp_path / "out")]
    wrong = (
        (["--protocol", "image"], "the study is of the patient protocol"),
        (["--folds", "7"], "the study has 5 folds"),
    )
    modes = (
        [],
        ["--baselines", "--data", "x.npz", "--pretrained", "x.pt"],
        ["--subgroups", "--table", "x.csv"],
        ["--learning", "x"],
        ["--idea", "mine"],
    )
    for mode, (options, message) in itertools.product(modes, wrong):
        assert main(["evaluate", str(tmp_path / "patient" / "patient"), *mode, *options, *output]) == 2
        assert message in capsys.readouterr().err
    assert main(["evaluate", "--protocol", "patient", *output]) == 2
    assert "DIR is missing" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "patient" / "patient"), "--protocols", *output]) == 2
    assert "no protocol has been evaluated" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    chosen = ["--protocol", "patient", "--folds", "5", "--resume"]
    assert main(["evaluate", str(tmp_path / "patient"), *chosen, *output]) == 0
    assert (tmp_path / "out" / "figures.json").is_file()


@pytest.mark.parametrize(
    ("mode", "option", "told"),
    [
        ([], ["--table", "x.csv"], "--table has no use for the figures of one study"),
        ([], ["--repeats", "3"], "--repeats has no use for the figures of one study"),
        (["--protocols"], ["--protocol", "patient"], "--protocol has no use with --protocols"),
        (["--baselines"], ["--dropped"], "--dropped has no use with --baselines"),
        (["--subgroups"], ["--data", "x.npz"], "--data has no use with --subgroups"),
        (["--learning", "x"], ["--scratch", "x"], "--scratch has no use with --learning"),
        (["--external"], [], "DIR has no use with --external"),
        (["--ablation"], [], "DIR has no use with --ablation"),
        (["--idea", "mine"], ["--bundle", "x"], "--bundle has no use with --idea"),
    ],
)
def test_options_of_another_evaluation_are_refused(tmp_path, capsys, mode, option, told):
    given = [str(tmp_path / "study"), "--output", str(tmp_path / "out"), *mode, *option]
    assert main(["evaluate", *given]) == 2
    assert capsys.readouterr().err == f"error: {told}: leave out {told.split()[0]}\n"


def test_ranking_within_folds_does_not_mind_where_a_fold_lies():
    units = predictions(patients=30)
    units.logits[:] = (2.0 * units.grade - 1 + 0.1 * np.arange(30) / 30)[:, None]
    units.logits[units.fold == 1] += 5.0
    probabilities = np.full((30, 4), 0.5)
    found = ranking(units, draws=20)
    lifted, lgg = units.fold == 1, units.grade == 0
    wrong = np.count_nonzero(lifted & lgg) * np.count_nonzero(~lifted & ~lgg)
    pairs = np.count_nonzero(lgg) * np.count_nonzero(~lgg)
    assert set(found) == {"T1", "T2", "FLAIR", "soft"} and wrong > 0
    for own in found.values():
        assert own["auc"]["value"] == pytest.approx(1 - wrong / pairs)
        assert own["auc_within_folds"]["value"] == 1.0
    text = ranking_table({"figures": all_figures(units, probabilities, draws=5), "ranking": found})
    assert f"{1 - wrong / pairs:.3f} (" in text.splitlines()[-1] and "1.000 (1.000 to 1.000)" in text


@pytest.mark.usefixtures("few_draws")
def test_evidence_remakes_itself_byte_for_byte(tmp_path):
    folder = study_folder(tmp_path, predictions(patients=40, slices=3))
    evaluate_study(folder, tmp_path / "first", "command")
    evaluate_study(tmp_path / "first", tmp_path / "second", "command")
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_splits_name_a_patient_once(tmp_path):
    evidence = read_evidence(study_folder(tmp_path, predictions(patients=10)))
    assert evidence.splits[0]["train"] == ["p001", "p002/3,7"]
    assert evidence.splits[0]["test"] == ["p003/1"]
    assert evidence.curves.splitlines()[3] == "0,1,T1,1,1e-4,0.7,0.6,nan,nan"


def test_a_patients_name_may_have_a_slash(tmp_path):
    folder = study_folder(tmp_path, predictions(patients=10))
    whole = [f"site/p1/{i}" for i in range(20)]
    split = {"repeat": 0, "fold": 0, "train": [*whole, "site/p2/7", "site/p2/3"], "validation": [], "test": []}
    (folder / "splits.json").write_text(json.dumps([split]))
    assert read_evidence(folder).splits[0]["train"] == ["site/p1", "site/p2/3,7"]


def test_figures_are_not_written_into_a_studys_folder(tmp_path, capsys):
    folder = study_folder(tmp_path, predictions(patients=10))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for options in ([], ["--subgroups", "--table", "x.csv"]):
        assert main(["evaluate", str(folder), *options, "--output", str(folder)]) == 2
        told = f"error: the output folder holds a study, in {folder}: name another folder for the figures\n"
        assert capsys.readouterr().err == told
    with pytest.raises(UsageError, match="holds a study"):
        evaluate_study(folder, folder, "command")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_with_neither_study_nor_evidence_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no finished study"):
        read_evidence(tmp_path)
    (tmp_path / "probabilities.csv").write_text("")
    with pytest.raises(UsageError, match="evidence cannot be read"):
        read_evidence(tmp_path)


def test_probabilities_come_back_from_csv(tmp_path):
    units = predictions()
    probabilities = unit_probabilities(Study(), units)
    text = probabilities_csv(units, probabilities)
    assert text.splitlines()[0].endswith("flair_probability_hgg,probability_hgg")
    assert len(text.splitlines()) == 61
    (tmp_path / "p.csv").write_text(text)
    again, values = read_probabilities(tmp_path / "p.csv")
    np.testing.assert_allclose(again.logits, units.logits, atol=1e-5)
    np.testing.assert_allclose(values, probabilities, atol=1e-6)


def pair_shares(grades: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(HGG, LGG) of every pair: 1 in order, one half for a tie."""
    hgg, lgg = scores[grades == 1][:, None], scores[grades == 0][None, :]
    return (hgg > lgg) + 0.5 * (hgg == lgg)


def test_delong_is_the_variance_of_the_pairs_shares():
    rng = np.random.default_rng(4)
    grades = rng.integers(0, 2, 60)
    first = np.round(rng.normal(grades, 1), 1)  # rounded: ties
    second = np.round(0.5 * first + rng.normal(0.4 * grades, 1), 1)
    found = delong_test(grades, first, second)
    pairs = [pair_shares(grades, scores) for scores in (first, second)]
    hgg, lgg = np.array([p.mean(1) for p in pairs]), np.array([p.mean(0) for p in pairs])
    covariance = np.cov(hgg) / hgg.shape[1] + np.cov(lgg) / lgg.shape[1]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.first == pytest.approx(roc_auc_score(grades, first))
    assert found.second == pytest.approx(roc_auc_score(grades, second))
    assert found.error == pytest.approx(np.sqrt(variance))
    assert found.z == pytest.approx((found.first - found.second) / np.sqrt(variance))


# of MLstatkit 0.1.91, Delong_test(grades, second, first), on the same numbers
DELONG_Z, DELONG_P = 2.0269917741, 0.0426632539


def test_delong_gives_what_another_implementation_gives():
    grades = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    first = np.array([1, 3, 2, 5, 4, 2, 6, 3, 5, 7, 6, 4, 8, 9, 3, 7, 8, 6]) / 10
    second = np.array([2, 3, 6, 5, 4, 1, 7, 3, 4, 7, 2, 4, 5, 9, 3, 6, 8, 5]) / 10
    found = delong_test(grades, first, second)
    assert (found.z, found.p) == pytest.approx((DELONG_Z, DELONG_P), abs=1e-6)


def test_delong_of_repeats_is_of_the_mean_auc():
    rng = np.random.default_rng(5)
    grades = rng.integers(0, 2, 80)
    first, second = rng.normal(grades, 1.2, (3, 80)), rng.normal(0.5 * grades, 1.2, (3, 80))
    found = delong_test(grades, first, second)
    assert found.first == pytest.approx(np.mean([roc_auc_score(grades, row) for row in first]))
    single = delong_test(grades, first[0], second[0])
    assert found.error < single.error  # the repeats' own noise is averaged away
    same = delong_test(grades, np.tile(first[0], (3, 1)), np.tile(second[0], (3, 1)))
    assert (same.z, same.p) == pytest.approx((single.z, single.p))
    assert delong_test(grades, first, first).p == 1.0


def test_the_vote_is_tested_against_the_best_sequence_of_patients_only():
    units = predictions(patients=90, repeats=2)
    tested = vote_against_best(units, unit_probabilities(Study(repeats=2), units))
    figures = all_figures(units, unit_probabilities(Study(repeats=2), units), draws=2)
    best = max(("T1", "T2", "FLAIR"), key=lambda name: figures[name]["auc"]["value"])
    assert tested["sequence"] == best
    assert tested["soft"]["first"] == pytest.approx(figures["soft"]["auc"]["value"])
    assert tested["soft"]["second"] == pytest.approx(figures[best]["auc"]["value"])
    slices = predictions(patients=30, slices=2)
    assert vote_against_best(slices, unit_probabilities(Study(protocol="image"), slices)) is None


def test_risk_and_coverage_by_hand():
    grades, probabilities = np.array([1, 0, 1, 0]), np.array([0.95, 0.9, 0.4, 0.3])
    coverage, risk = risk_coverage(grades, probabilities)  # sure to unsure: right, wrong, right, wrong
    np.testing.assert_allclose(coverage, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 0.25, 0.25, 0.5])
    assert augrc(coverage, risk) == pytest.approx(0.25 * (0.125 + 0.25 + 0.375))


def test_equally_sure_rows_enter_together():
    coverage, risk = risk_coverage(np.array([1, 0, 1, 1]), np.array([0.8, 0.8, 0.8, 0.2]))
    np.testing.assert_allclose(coverage, [0, 1])
    assert augrc(coverage, risk) == pytest.approx(0.25)  # half of a risk of one half: no ranking at all


def test_augrc_is_what_its_paper_derives_from_the_ranking_of_failures():
    rng = np.random.default_rng(6)
    grades = rng.integers(0, 2, 400)
    probabilities = np.clip(rng.normal(0.5 + 0.2 * (grades - 0.5), 0.2), 0.01, 0.99)
    wrong = (probabilities >= 0.5) != (grades == 1)
    ranking, right = roc_auc_score(~wrong, np.abs(probabilities - 0.5)), 1 - wrong.mean()
    expected = (1 - ranking) * right * (1 - right) + 0.5 * (1 - right) ** 2
    assert augrc(*risk_coverage(grades, probabilities)) == pytest.approx(expected, abs=1e-9)


def test_calibration_slope_and_intercept_are_of_maximum_likelihood():
    rng = np.random.default_rng(7)
    logits = rng.normal(0.3, 1.5, 500)
    grades = (rng.random(500) < 1 / (1 + np.exp(-(0.6 * logits - 0.4)))).astype(int)
    probabilities = 1 / (1 + np.exp(-logits))
    model = LogisticRegression(C=1e9).fit(logits[:, None], grades)
    assert calibration_slope(grades, probabilities) == pytest.approx(model.coef_[0, 0], abs=1e-3)
    intercept = calibration_intercept(grades, probabilities)
    mean = (1 / (1 + np.exp(-(logits + intercept)))).mean()
    assert mean == pytest.approx(grades.mean(), abs=1e-6)  # what calibration in the large means
    assert np.isnan(calibration_slope(np.ones(5), np.full(5, 0.7)))
    separable = np.array([0.1, 0.2, 0.8, 0.9])
    assert np.isnan(calibration_slope(np.array([0, 0, 1, 1]), separable))
    assert np.isnan(calibration_slope(np.array([0, 1, 0, 1]), np.full(4, 0.7)))  # nothing tells them apart


def test_calibration_error_of_perfect_probabilities_is_not_zero():
    few, many = np.full(24, 0.5), np.full(20_000, 0.5)
    assert calibration_error_by_chance(few) > 0.15
    assert calibration_error_by_chance(many, draws=20) < 0.01


def test_the_calibration_error_has_no_interval():
    """Of patients drawn again it is larger: no draw may reach down to the value itself."""
    probabilities = np.repeat([0.25, 0.75], 40)
    grades = np.tile([1, 0, 0, 0], 20) ^ (probabilities > 0.5)
    found = with_intervals(
        lambda rows: probability_figures(grades[rows], probabilities[rows]), np.arange(80), draws=5
    )
    error = found["calibration_error"]
    assert error["value"] == pytest.approx(0.05)  # groups of ten have two or three of the other grade
    assert np.isnan([error["low"], error["high"]]).all()
    assert found["brier"]["low"] <= found["brier"]["value"] <= found["brier"]["high"]


def test_wilsons_interval_by_hand():
    # 8 of 10: Wilson 1927, z 1.96
    assert wilson(8, 10) == pytest.approx({"value": 0.8, "low": 0.4901625, "high": 0.9433178}, abs=1e-6)
    assert wilson(10, 10)["high"] == 1.0 and wilson(10, 10)["low"] == pytest.approx(0.7224672, abs=1e-6)
    assert np.isnan(wilson(0, 0)["value"])


def test_majority_has_the_auc_of_its_votes():
    figures = majority_figures(np.array([0, 0, 1, 1]), np.array([0, 2, 2, 3]))
    assert figures["auc"] == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert figures["sensitivity"] == 1.0 and figures["specificity"] == 0.5


def test_withheld_is_what_the_product_withholds():
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 1.2, (200, 3))
    single = 1 / (1 + np.exp(-logits))
    probabilities = np.column_stack([single, single.mean(axis=1)])
    rule = DecisionRule(0.35, 0.6)
    by_sequence = [{s: [x] for s, x in zip(("T1", "T2", "FLAIR"), row, strict=True)} for row in logits]
    verdicts = [decide(slices, Calibration.identity(), decision=rule) for slices in by_sequence]
    expected = [verdict.decision == "indeterminate" for verdict in verdicts]
    assert withheld(probabilities, rule).tolist() == expected
    assert 20 < sum(expected) < 180


def test_decision_figures_by_hand():
    grades = np.array([1, 1, 0, 0])
    probabilities = np.array([[0.9] * 4, [0.45] * 4, [0.1] * 4, [0.9, 0.9, 0.2, 0.3]])
    figures = decision_figures(grades, probabilities, DecisionRule(0.4, 0.6))
    # the second is near the boundary and wrong, the fourth has a vote at odds with its probability and wrong
    assert figures["coverage"] == 0.5 and figures["accuracy_all"] == 0.5
    assert figures["accuracy_decided"] == 1.0 and figures["accuracy_withheld"] == 0.0


def test_a_repeat_that_withholds_nothing_does_not_take_the_figure_from_the_others():
    units = predictions(patients=30, repeats=3)
    probabilities = np.where(units.grade[:, None] == 1, 0.9, 0.1) * np.ones(4)
    probabilities[0, 3] = 0.5  # one of the first repeat, and its vote is right
    probabilities[31] = (0.1, 0.1, 0.1, 0.5)  # one of the second, and its vote is wrong
    assert units.grade[31] == 1
    found = decision_intervals(units, probabilities, DecisionRule(), draws=40)
    assert found["withheld"] == pytest.approx(2 / 3)
    assert found["figures"]["accuracy_withheld"]["value"] == 0.5
    assert found["figures"]["accuracy_decided"]["value"] == 1.0
    assert found["figures"]["coverage"]["value"] == pytest.approx(1 - 2 / 90)


def test_folds_have_figures_of_their_own():
    units = predictions(patients=50, repeats=2)
    rows = by_fold(units, unit_probabilities(Study(repeats=2), units))
    places = [(row["repeat"], row["fold"]) for row in rows[:7]]
    assert places == [*((0, fold) for fold in (None, 0, 1, 2, 3, 4)), (1, None)]
    mine = (units.repeat == 1) & (units.fold == 3)
    expected = auc(units.grade[mine], unit_probabilities(Study(repeats=2), units)[mine, 1])
    assert rows[10]["T2"]["auc"] == pytest.approx(expected)
    assert sum(row["units"] for row in rows[1:6]) == 50


def test_what_is_not_there_is_told_in_words(tmp_path, capsys):
    """Without the number that the operating system gives to it."""
    absent = str(tmp_path / "absent")
    commands = (
        ["evaluate", absent, "--output", str(tmp_path / "out")],
        ["evaluate", "--external", "--data", absent, "--output", str(tmp_path / "out")],
        ["prepare", "--crops", absent, "--table", absent, "--output", str(tmp_path / "set.npz")],
    )
    for command in commands:
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "(no such file or directory: " in told and "Errno" not in told


def test_reasons():
    assert reason(OSError("damaged")) == "damaged" and reason(ValueError("no number")) == "no number"
    assert reason(PermissionError(13, "Permission denied", "/a/b.npz")) == "permission denied: b.npz"
