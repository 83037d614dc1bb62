"""What README and model card say is what the stored probabilities give."""

from __future__ import annotations

import csv
import json

import pytest
from GliomaGradingLib.bundle import open_bundle
from GliomaGradingLib.training.evaluate import all_figures, read_probabilities

from Testing.evidence import DOCUMENTS, EVALUATION, QUOTE, figures_of, with_quotes

PROTOCOLS = ("patient", "image")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stored_figures_are_those_of_the_stored_probabilities(protocol):
    stored = figures_of(protocol)["figures"]
    again = all_figures(*read_probabilities(EVALUATION / protocol / "probabilities.csv"), draws=2)
    for name, figures in stored.items():
        for figure, value in figures.items():
            assert again[name][figure]["value"] == pytest.approx(value["value"], abs=2e-4), (name, figure)
            assert value["low"] <= value["value"] <= value["high"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_quote_the_evidence_as_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert QUOTE.search(text), "the document quotes no evidence"
    assert with_quotes(text) == text, "run: python -m Testing.evidence"


def test_no_patient_is_on_both_sides_of_a_fold():
    folds = json.loads((EVALUATION / "patient" / "splits.json").read_text(encoding="utf-8"))
    for fold in folds:
        train, test = ({row.split("/")[0] for row in fold[name]} for name in ("train", "test"))
        assert train and test and not train & test


def test_only_shippable_patients_taught_the_shipped_models():
    bundle = open_bundle()
    with (EVALUATION / "patient" / "probabilities.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    patients = {row["patient"]: row["grade"] for row in rows}
    training = bundle.metadata["training"]
    assert training["collections"] == ["TCGA-GBM", "TCGA-LGG"]
    assert len(patients) == training["patients"]
    assert sum(grade == "HGG" for grade in patients.values()) == training["HGG"]


def test_the_bundle_quotes_the_figures_of_the_three_together():
    quoted = open_bundle().metadata["figures"]
    stored = figures_of("patient")["figures"]["together"]
    assert quoted["AUC by patient"] == {k: round(v, 3) for k, v in stored["auc"].items()}
    assert quoted["accuracy"] == {k: round(v, 3) for k, v in stored["accuracy"].items()}
