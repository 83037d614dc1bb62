"""What README and model card say is what the stored probabilities give."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.training.ablation import ablation_figures, ablation_table
from GliomaGradingLib.training.baselines import baseline_figures
from GliomaGradingLib.training.evaluate import (
    DRAWS,
    VOTE_FIGURES,
    all_figures,
    by_fold,
    decision_intervals,
    intervals_of,
    ranking,
    reliability_bins,
    unit_probabilities,
    vote_against_best,
)
from GliomaGradingLib.training.evidence import read_evidence, read_probabilities, units_of
from GliomaGradingLib.training.external import external_figures, read_records
from GliomaGradingLib.training.learning import learning_figures
from GliomaGradingLib.training.metrics import auc
from GliomaGradingLib.training.paired import ScoreTable
from GliomaGradingLib.training.protocols import protocol_figures
from GliomaGradingLib.training.subgroups import read_groups, subgroup_figures
from GliomaGradingLib.voting import DecisionRule

from Testing import evidence
from Testing.evidence import DOCUMENTS, EVALUATION, QUOTE, figures_of, with_quotes

PROTOCOLS = ("patient", "image")
STUDIES = sorted(path.parent.name for path in EVALUATION.glob("*/curves.csv"))
FEW = 2
"""Draws, where only values and not their intervals are made again."""


def there(name: str) -> pytest.MarkDecorator:
    """Skips where this evidence has not been made; a document that quotes it then fails on its own."""
    return pytest.mark.skipif(not (EVALUATION / name).exists(), reason=f"{name} has not been made")


def values(figures: Any) -> Any:
    """Figures without their intervals, NaN as null, for comparing."""
    if isinstance(figures, dict):
        return {str(k): values(v) for k, v in figures.items() if k not in ("low", "high")}
    if isinstance(figures, (list, tuple)):
        return [values(entry) for entry in figures]
    if isinstance(figures, (float, np.floating)):
        return pytest.approx(float(figures), abs=2e-4) if np.isfinite(figures) else None
    return figures


def test_the_protocols_that_are_quoted_are_there():
    assert {*PROTOCOLS} <= {*STUDIES}


@pytest.mark.parametrize("name", STUDIES)
def test_stored_figures_are_those_of_the_stored_logits(name):
    stored = figures_of(name)
    evidence = read_evidence(EVALUATION / name)
    units, probabilities = evidence.units, unit_probabilities(evidence.study, evidence.units)
    assert stored["figures"] and stored["units_tested"] == len(units.patient)
    for row, figures in all_figures(units, probabilities, draws=FEW).items():
        assert values(stored["figures"][row]) == values(figures), row
    assert values(stored["by_fold"]) == values(by_fold(units, probabilities))
    assert values(stored["vote_against_best_sequence"]) == values(vote_against_best(units, probabilities))
    rule = DecisionRule(**stored["decision"]["rule"])
    again = decision_intervals(units, probabilities, rule, draws=FEW)
    assert values(stored["decision"]["figures"]) == values(again["figures"])


@pytest.mark.parametrize("name", STUDIES)
def test_stored_probabilities_are_those_of_the_stored_logits(name):
    """Each fold's calibration is made again from the other folds' logits and grades alone."""
    evidence = read_evidence(EVALUATION / name)
    _, stored = read_probabilities(EVALUATION / name / "probabilities.csv")
    np.testing.assert_allclose(unit_probabilities(evidence.study, evidence.units), stored, atol=2e-6)


def test_the_stored_ranking_is_that_of_the_stored_logits():
    units = read_evidence(EVALUATION / "patient").units
    assert values(figures_of("patient")["ranking"]) == values(ranking(units, draws=FEW))


@pytest.mark.parametrize(("row", "column"), [("soft", slice(0, 3)), ("together", slice(3, 4))])
def test_the_stored_intervals_of_the_auc_are_those_of_the_stored_logits(row, column):
    evidence = read_evidence(EVALUATION / "patient")
    units, probabilities = evidence.units, unit_probabilities(evidence.study, evidence.units)
    scores = probabilities[:, column].mean(axis=1)
    made = intervals_of(units, lambda grades, own: {"auc": auc(grades, own)}, scores, DRAWS)["auc"]
    assert figures_of("patient")["figures"][row]["auc"] == pytest.approx(made, abs=1e-6)


@pytest.mark.parametrize("name", STUDIES)
def test_intervals_hold_their_figures(name):
    for row, figures in figures_of(name)["figures"].items():
        for figure, value in figures.items():
            if figure == "calibration_error":  # drawing patients again makes it larger
                assert value.get("low") is value.get("high") is None, row
            elif value["value"] is not None:
                assert value["low"] <= value["value"] <= value["high"], (row, figure)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_quote_the_evidence_as_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert QUOTE.search(text), "the document quotes no evidence"
    assert with_quotes(text) == text, "run: python -m Testing.evidence"


def test_no_patient_is_on_both_sides_of_a_fold():
    units, _ = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    folds = json.loads((EVALUATION / "patient" / "splits.json").read_text(encoding="utf-8"))
    assert len(folds) == len({*zip(units.repeat, units.fold, strict=True)})
    for fold in folds:
        train, test = ({row.split("/")[0] for row in fold[name]} for name in ("train", "test"))
        assert train and test and not train & test
        mine = (units.repeat == fold["repeat"]) & (units.fold == fold["fold"])
        assert {*units.patient[mine]} == test


def test_only_shippable_patients_taught_the_shipped_models():
    bundle = open_bundle()
    units, _ = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    grades = dict(zip(units.patient, units.grade, strict=True))
    training = bundle.metadata["training"]
    assert training["collections"] == ["TCGA-GBM", "TCGA-LGG"]
    assert len(grades) == training["patients"]
    assert sum(grades.values()) == training["HGG"]


def test_the_bundle_quotes_the_figures_of_what_is_shown():
    """The probability is that of the three together, the grade is the vote's."""
    stored = figures_of("patient")["figures"]
    shown = {"AUC of the probability": stored["together"]["auc"]}
    shown |= {f"{name} of the vote": stored["majority"][name] for name in VOTE_FIGURES}
    rounded = {label: {k: round(v, 3) for k, v in figure.items()} for label, figure in shown.items()}
    assert open_bundle().metadata["figures"] == rounded


def test_the_bundle_names_the_patients_that_taught_it():
    """By what BraTS 2020, BraTS 2018 and 2019, and TCGA call them."""
    names = open_bundle().metadata["training"]["public_names"]
    units, _ = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    assert {*map(str, units.patient)} == {name for name in names if name.startswith("BraTS20_")}
    assert sum(name.startswith("TCGA-") for name in names) == open_bundle().metadata["training"]["patients"]


@there("protocols")
def test_the_bundle_says_how_often_which_probability_was_right():
    units, probabilities = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    bins = open_bundle().metadata["reliability"]
    assert bins == reliability_bins(units, probabilities)
    assert sum(entry["patients"] for entry in bins) == pytest.approx(len(np.unique(units.patient)), abs=2)
    assert bins[0]["hgg"] / bins[0]["patients"] < 0.5 < bins[-1]["hgg"] / bins[-1]["patients"]


def test_protocols_are_those_of_their_cells():
    stored = figures_of("protocols")
    again = protocol_figures(EVALUATION, stored["command"])
    assert values(stored["cells"]) == values(again["cells"])
    assert stored["sentence"] == again["sentence"]
    image = stored["cells"]["image"]["figures"]
    for row, paper in stored["paper"].items():
        assert image[row]["auc"]["value"] >= paper["auc"], row
        assert image[row]["accuracy"]["value"] >= paper["accuracy"], row


@there("baselines")
def test_baselines_are_those_of_their_probabilities():
    stored = figures_of("baselines")
    table = ScoreTable.read(EVALUATION / "baselines" / "probabilities.csv")
    again = baseline_figures(table, stored["command"], draws=FEW)
    assert values(stored) == values(again)
    units, probabilities = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    ours = ScoreTable.of_units(units).added("ours", units, probabilities[:, :3].mean(axis=1))
    np.testing.assert_allclose(table.columns["ours"], ours.columns["ours"], atol=2e-5)


@there("external")
def test_external_figures_are_those_of_the_shipped_bundle_on_other_collections():
    stored = figures_of("external")
    records = read_records(EVALUATION / "external" / "probabilities.csv")
    again = external_figures(records, stored["model"], stored["command"])
    assert values(stored) == values(again)
    bundle = open_bundle()
    assert stored["model"] == bundle.description()
    assert not {r["collection"] for r in records} & {*bundle.metadata["training"]["collections"]}
    learned, _ = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    assert not {r["patient"] for r in records} & {*learned.patient}


@there("learning")
def test_what_more_patients_bring_is_that_of_the_stored_logits():
    stored = figures_of("learning")
    first = units_of(EVALUATION / "patient")
    others = []
    for path in sorted((EVALUATION / "learning").glob("probabilities-*.csv")):
        folds = int(path.stem.removeprefix("probabilities-"))
        others.append((replace(first[0], folds=folds), read_probabilities(path)[0]))
    again = learning_figures(first, others, stored["command"], draws=FEW)
    assert len(others) == len(stored["studies"]) - 1 and values(stored) == values(again)


@there("subgroups")
def test_subgroups_are_those_of_the_probabilities():
    stored = figures_of("subgroups")
    evidence = read_evidence(EVALUATION / "patient")
    units, probabilities = evidence.units, unit_probabilities(evidence.study, evidence.units)
    groups = read_groups(EVALUATION / "subgroups" / "groups.csv", {*map(str, units.patient)})
    again = subgroup_figures(units, probabilities, groups, stored["command"], draws=FEW)
    assert values(stored) == values(again)


@there("ablation.json")
def test_the_ablation_table_is_that_of_its_probabilities():
    stored = json.loads((EVALUATION / "ablation.json").read_text(encoding="utf-8"))
    table = ScoreTable.read(EVALUATION / "ablation.csv")
    assert [idea["name"] for idea in stored["ideas"]] == list(table.columns)
    again = ablation_figures(table, stored["ideas"], stored["command"], draws=FEW)
    assert values({key: stored[key] for key in again}) == values(again)
    assert (EVALUATION / "ablation.md").read_text(encoding="utf-8") == ablation_table(stored)


def test_a_figure_that_a_benchmark_has_not_taken_yet_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"p95_seconds": 0.8, "first_seconds": 4.0, "machine": {"processor": "Slow"}}
    monkeypatch.setattr(evidence, "measured", lambda name: found if name == "click_to_grade" else {})
    assert "Grad-CAM" not in evidence.speed_table()
    found["maps_p95_seconds"] = 0.71
    (row,) = [line for line in evidence.speed_table().splitlines() if "Grad-CAM" in line]
    assert row.endswith("(Resources/Benchmarks/click_to_grade.md) | 0.71 s | 1.0 s | Slow |")
    found["machine"] = "2 core(s) of AMD EPYC, 25 GB"
    assert "| 4.0 s |  | AMD EPYC |" in evidence.speed_table()
