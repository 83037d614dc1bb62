"""Protocols, baselines, external patients, subgroups and ablations, on small data whose answer is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from GliomaGradingLib.cli import main
from GliomaGradingLib.errors import CaseError, UsageError
from GliomaGradingLib.preparation.slices import InputForm
from GliomaGradingLib.training import ablation, baselines, external, learning, protocols
from GliomaGradingLib.training.ablation import (
    Idea,
    Probe,
    ablation_table,
    add_idea,
    chosen_inside,
    run_ablation,
)
from GliomaGradingLib.training.baselines import baseline_figures, baseline_table, nested_probabilities
from GliomaGradingLib.training.checks import fingerprint
from GliomaGradingLib.training.evidence import json_text, probabilities_csv
from GliomaGradingLib.training.features import radiomics
from GliomaGradingLib.training.metrics import auc
from GliomaGradingLib.training.paired import ScoreTable
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.study import STUDY, Predictions, Study, predictions_csv
from GliomaGradingLib.training.subgroups import (
    SAME,
    TERTILES,
    Groups,
    read_groups,
    run_subgroups,
    subgroup_figures,
    subgroup_table,
)
from GliomaGradingLib.words import SLICE_COUNT
from small_training import small_training_set

SMALL = 20
"""Draws of a bootstrap in tests: intervals are not what they are about."""


def units_of(patients: int = 40, repeats: int = 1, seed: int = 0, strength: float = 2.0) -> Predictions:
    rng = np.random.default_rng(seed)
    rows = patients * repeats
    patient = np.tile(np.arange(patients), repeats)
    grade = (patient % 3 > 0).astype(int)
    return Predictions(
        repeat=np.repeat(np.arange(repeats), patients),
        fold=(patient + np.repeat(np.arange(repeats), patients)) % 4,
        patient=np.array([f"p{i:03d}" for i in patient]),
        slice=np.full(rows, -1),
        grade=grade,
        logits=rng.normal(0, 1.5, (rows, 3)) + strength * (grade[:, None] - 0.5),
    )


def study_folder(folder: Path, units: Predictions, **settings) -> Path:
    folder.mkdir(parents=True)
    study = Study(repeats=len(np.unique(units.repeat)), **settings)
    (folder / STUDY).write_text(json.dumps(asdict(study)))
    (folder / "predictions.csv").write_text(predictions_csv(units))
    (folder / "splits.json").write_text("[]")
    return folder


# paired scores


def test_a_paired_difference_is_of_the_same_draws():
    units = units_of(repeats=2)
    table = ScoreTable.of_units(units).added("one", units, units.logits[:, 0])
    table = table.added("same", units, 2 * units.logits[:, 0]).added("other", units, units.logits[:, 1])
    same = table.difference(lambda g, s: {"auc": auc(g, s)}, "one", "same", SMALL)["auc"]
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}
    other = table.difference(lambda g, s: {"auc": auc(g, s)}, "one", "other", SMALL)["auc"]
    means = [
        np.mean([auc(units.grade[units.repeat == r], units.logits[units.repeat == r, c]) for r in (0, 1)])
        for c in (0, 1)
    ]
    assert other["value"] == pytest.approx(means[0] - means[1], abs=1e-6)
    assert other["low"] < other["value"] < other["high"]


def test_a_method_with_fewer_repeats_is_compared_on_those():
    units, first = units_of(repeats=2), units_of(repeats=1)
    table = ScoreTable.of_units(units).added("all", units, units.logits[:, 0])
    table = table.added("some", first, first.logits[:, 1])
    assert len(table.rows_with(["all"])) == 80 and len(table.rows_with(["all", "some"])) == 40
    difference = table.difference(lambda g, s: {"auc": auc(g, s)}, "all", "some", SMALL)["auc"]
    rows = units.repeat == 0
    expected = auc(units.grade[rows], units.logits[rows, 0]) - auc(first.grade, first.logits[:, 1])
    assert difference["value"] == pytest.approx(expected, abs=1e-6)


def test_scores_of_other_folds_or_patients_are_refused():
    units = units_of()
    table = ScoreTable.of_units(units)
    other = Predictions(**{**units.__dict__, "fold": (units.fold + 1) % 4})
    with pytest.raises(UsageError, match="same folds"):
        table.added("x", other, units.logits[:, 0])
    fewer = Predictions(**{name: values[:30] for name, values in units.__dict__.items()})
    with pytest.raises(UsageError, match="lacks patients"):
        table.added("x", fewer, fewer.logits[:, 0])


def test_scores_come_back_from_csv(tmp_path):
    units, first = units_of(repeats=2), units_of(repeats=1)
    table = ScoreTable.of_units(units).added("a", units, units.logits[:, 0])
    table = table.added("b", first, first.logits[:, 1])
    (tmp_path / "t.csv").write_text(table.csv())
    again = ScoreTable.read(tmp_path / "t.csv")
    for name in ("a", "b"):
        np.testing.assert_array_equal(again.columns[name], table.columns[name])
    assert again.patient.tolist() == table.patient.tolist() and again.grade.tolist() == table.grade.tolist()


def test_scores_of_untrained_beginnings_stay_where_the_folds_are_the_same(tmp_path):
    units, fewer = units_of(repeats=2), units_of(repeats=1)
    table = ScoreTable.of_units(units).added("ours", units, units.logits[:, 0])
    (tmp_path / "probabilities.csv").write_text(table.added("scratch", units, units.logits[:, 1]).csv())
    kept = baselines._earlier_scratch(tmp_path, ScoreTable.of_units(units))
    assert list(kept) == ["scratch"]
    np.testing.assert_allclose(kept["scratch"], table.added("s", units, units.logits[:, 1]).columns["s"])
    assert baselines._earlier_scratch(tmp_path, ScoreTable.of_units(fewer)) == {}
    assert baselines._earlier_scratch(tmp_path / "none", table) == {}


# protocols


def stored_cell(root: Path, cell: protocols.Cell, vote: float) -> None:
    folder = root / cell.folder
    folder.mkdir()
    figure = {"value": vote, "low": vote - 0.05, "high": min(1.0, vote + 0.05)}
    names = ("T1", "T2", "FLAIR", "soft", "majority")
    figures = {
        "protocol": "image",
        "whole_patients": cell.whole_patients,
        "shuffled_grades": cell.shuffled,
        "unit": "slice",
        "units_tested": 80,
        "patients": 40,
        "repeats": 1,
        "figures": {name: {"auc": figure, "accuracy": figure} for name in names},
        "study": asdict(Study(protocol="image")),
    }
    (folder / "figures.json").write_text(json_text(figures))
    (folder / "splits.json").write_text("[]")
    (folder / "curves.csv").write_text("")
    units = units_of()
    probabilities = np.tile(np.linspace(0.01, 0.99, 40)[:, None], 4)
    (folder / "probabilities.csv").write_text(probabilities_csv(units, probabilities))


def test_protocols_are_compared_while_some_are_still_training(tmp_path):
    stored_cell(tmp_path, protocols.CELLS[0], 0.99)
    stored_cell(tmp_path, protocols.CELLS[2], 0.98)
    figures = protocols.compare_protocols(tmp_path, tmp_path / "out", "command")
    table = protocols.protocol_table(figures)
    image, shuffled = "0.990 (0.940 to 1.000); 0.990", "0.980 (0.930 to 1.000); 0.980"
    label = protocols.LABELS["vote"]
    row = f"| {label} | 0.9950; 0.9900 | {image} | not run | {shuffled} | not run |"
    assert table.splitlines()[5] == row
    assert "AUC of 0.980 under the paper's split by image: a split by image" in figures["sentence"]
    assert (tmp_path / "out" / "leakage.png").stat().st_size > 5000


def test_the_sentence_has_all_four_figures(tmp_path):
    for cell, vote in zip(protocols.CELLS, (0.99, 0.88, 0.97, 0.51), strict=True):
        stored_cell(tmp_path, cell, vote)
    sentence = protocols.compare_protocols(tmp_path, tmp_path / "out", "c")["sentence"]
    assert "0.970 under" in sentence and "0.510 when split by patient" in sentence
    assert "falls from 0.990 to 0.880" in sentence and sentence.count(".\n") == 1


def test_a_protocol_in_the_wrong_folder_is_an_error(tmp_path):
    stored_cell(tmp_path, protocols.CELLS[0], 0.9)
    (tmp_path / "image").rename(tmp_path / "image-shuffled")
    with pytest.raises(UsageError, match="another protocol"):
        protocols.compare_protocols(tmp_path, tmp_path / "out", "c")


# baselines


def test_patients_learned_from_are_those_of_the_training_parts():
    grades = np.arange(12) % 2
    settings = {folds: Study(folds=folds, recipe=Recipe(validation=0.4)) for folds in (2, 3)}
    assert {folds: learning._learned_from(study, grades) for folds, study in settings.items()} == {2: 4, 3: 4}
    assert learning._learned_from(Study(folds=3), grades) == 8


def test_a_method_of_other_grades_is_not_compared():
    units = units_of()
    table = ScoreTable.of_units(units)
    with pytest.raises(UsageError, match="'two' was run with other grades"):
        table.added("two", replace(units, grade=1 - units.grade), units.logits[:, 0])


@pytest.mark.parametrize("rarer", [4, 2])
def test_a_ridge_is_chosen_of_few_patients_too(rarer):
    grades = np.array([1] * 20 + [0] * rarer)
    rows = (2.0 * grades - 1)[:, None] + np.random.default_rng(1).normal(0, 0.1, (len(grades), 3))
    low, high = baselines._fold_probabilities(rows, grades, np.array([[-1.0] * 3, [1.0] * 3]), 0)
    assert low < 0.2 and high > 0.9
    with pytest.raises(UsageError, match="a fold has 1 patients of a grade to choose a ridge with"):
        baselines._fold_probabilities(rows[:21], grades[:21], rows[:1], 0)


def test_a_nested_regression_finds_what_is_there_and_no_more():
    units = units_of(patients=60)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, (60, 30))
    telling = np.column_stack([noise, 3 * units.grade + rng.normal(0, 0.5, 60)])
    assert auc(units.grade, nested_probabilities(units, telling[:, -5:])) > 0.97
    assert 0.25 < auc(units.grade, nested_probabilities(units, noise)) < 0.75


def test_a_baseline_does_not_look_at_the_fold_it_is_tested_on():
    units = units_of()
    features = np.random.default_rng(2).normal(0, 1, (40, 6))
    before = nested_probabilities(units, features)
    mine = units.fold == 1
    turned = Predictions(**{**units.__dict__, "grade": np.where(mine, 1 - units.grade, units.grade)})
    np.testing.assert_array_equal(nested_probabilities(turned, features)[mine], before[mine])


def test_radiomics_of_a_box():
    data = small_training_set(patients=2)
    rows, names = radiomics(data)
    values = dict(zip(names, rows[1], strict=True))
    pixel, plane = data.form.pixel_mm, data.plane_mm
    sides = np.array([24 * plane, 12 * pixel, 12 * pixel])
    surface = 2 * (sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    assert values["log volume"] == pytest.approx(np.log(sides.prod()))
    assert values["surface to volume"] == pytest.approx(surface / sides.prod())
    assert values["filled share of the box"] == pytest.approx(1.0)
    assert values["T1 mean"] == pytest.approx(3.0, abs=0.05)
    assert values["T1 deviation"] == pytest.approx(0.5, abs=0.03)
    assert values["height"] == pytest.approx(24 * plane)
    assert len(set(names)) == rows.shape[1] == 8 + 3 * 10


def test_baseline_figures_say_how_much_better_ours_is():
    units = units_of(repeats=2, strength=3.0)
    chance = np.random.default_rng(3).random(80)
    table = ScoreTable.of_units(units).added("ours", units, units.logits.mean(axis=1) / 10 + 0.5)
    figures = baseline_figures(table.added("volume", units, chance), "command", SMALL)
    gain = figures["ours_less"]["volume"]["auc"]
    ours, theirs = (figures["figures"][name]["auc"]["value"] for name in ("ours", "volume"))
    assert gain["value"] == pytest.approx(ours - theirs) and gain["low"] > 0.1
    assert f"| {gain['value']:.3f} (" in baseline_table(figures).splitlines()[3]


# learning


def folds_of(units: Predictions, folds: int, better: float = 0.0) -> tuple[Study, Predictions]:
    """The same patients and logits in other folds, the grades a little further apart."""
    logits = units.logits + better * (units.grade[:, None] - 0.5)
    fold = np.array([int(name[1:]) for name in units.patient]) % folds
    return Study(repeats=2, folds=folds), replace(units, logits=logits, fold=fold)


def test_what_more_patients_bring_is_a_difference_on_the_same_patients():
    units = units_of(repeats=2, strength=1.0)
    five, ten, two = (folds_of(units, folds, better) for folds, better in ((5, 0.0), (10, 1.5), (2, -0.5)))
    order = np.random.default_rng(1).permutation(len(units.patient))
    ten = ten[0], replace(ten[1], **{name: values[order] for name, values in vars(ten[1]).items()})
    figures = learning.learning_figures(five, [ten, two], "command", draws=SMALL)
    assert [row["folds"] for row in figures["studies"]] == [2, 5, 10]
    assert [row["learned_from"] for row in figures["studies"]] == [20, 32, 36]

    def area(study: tuple[Study, Predictions]) -> float:
        own = (1 / (1 + np.exp(-study[1].logits))).mean(axis=1)
        of_repeat = [study[1].repeat == repeat for repeat in (0, 1)]
        return float(np.mean([auc(study[1].grade[rows], own[rows]) for rows in of_repeat]))

    for row, study in zip(figures["studies"], (two, five, ten), strict=True):
        assert row["own_auc"]["value"] == pytest.approx(area(study))
        assert row["auc_less_the_compared"]["value"] == pytest.approx(area(study) - area(five))
    last = figures["studies"][-1]["auc_less_the_compared"]
    assert 0 < last["low"] <= last["value"] <= last["high"]
    table = learning.learning_table(figures).splitlines()
    assert table[3].startswith("| 5 | 32 | ") and "|  |" in table[3]
    assert f"| +{last['value']:.3f} (+{last['low']:.3f} to " in table[4]


@pytest.mark.usefixtures("few_draws")
def test_studies_that_differ_in_more_than_their_folds_are_not_compared(tmp_path, capsys):
    units = units_of(repeats=2)
    once = replace(units, **{name: values[units.repeat == 0] for name, values in vars(units).items()})
    others = replace(units, patient=np.array([f"x{name[1:]}" for name in units.patient]))
    regraded = replace(units, grade=np.where(units.patient == units.patient[0], 1 - units.grade, units.grade))
    for name, of, settings in (
        ("five", units, {"folds": 5}), ("five too", units, {"folds": 5}), ("two", units, {"folds": 2}),
        ("other seed", units, {"folds": 2, "seed": 3}), ("fewer repeats", once, {"folds": 2}),
        ("other patients", others, {"folds": 2}), ("other grades", regraded, {"folds": 2}),
    ):  # fmt: skip
        study_folder(tmp_path / name, folds_of(of, settings["folds"])[1], **settings)

    def learn(name: str) -> int:
        folders = [str(tmp_path / "five"), "--learning", str(tmp_path / name)]
        return main(["evaluate", *folders, "--output", str(tmp_path / "out")])

    for name, told in {
        "other seed": "differ in more than their folds", "fewer repeats": "differ in more than their folds",
        "other patients": "of other patients", "other grades": "has other grades",
        "five too": "both studies have 5 folds",
    }.items():  # fmt: skip
        assert learn(name) == 2
        assert told in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert learn("two") == 0
    assert "| 2 | 20 | " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "figures.json", "learning.png", "probabilities-2.csv",
    ]  # fmt: skip


# subgroups


GROUPS = Groups(
    centre={f"p{i:03d}": ("06" if i % 3 else "DU") if i < 20 else ("02" if i % 3 else "HT") for i in range(40)},
    volume_ml={f"p{i:03d}": float(i) for i in range(40)},
)


def test_subgroups_by_hand():
    units = units_of(repeats=2)
    probabilities = np.column_stack([1 / (1 + np.exp(-units.logits)), np.full(80, 0.5)])
    figures = subgroup_figures(units, probabilities, GROUPS, "command", SMALL)
    assert (figures["centre"]["06"]["hgg"], figures["centre"]["06"]["lgg"]) == (13, 0)
    assert (figures["institution"]["Henry Ford Hospital"]["lgg"]) == 7
    mine = np.array([GROUPS.centre[p] == "06" for p in units.patient])
    votes = (probabilities[mine, :3] >= 0.5).sum(1) >= 2
    assert figures["centre"]["06"]["sensitivity"]["value"] == pytest.approx(votes.mean())
    assert np.isnan(figures["centre"]["06"]["auc"]["value"])
    rows = (np.array([int(p[1:]) for p in units.patient]) < 20) & (units.repeat == 0)
    first = auc(units.grade[rows], probabilities[rows, :3].mean(1))
    both = [auc(units.grade[r], probabilities[r, :3].mean(1)) for r in (rows, np.roll(rows, 40))]
    assert figures[SAME]["value"] == pytest.approx(np.mean(both))
    assert first == pytest.approx(both[0])
    thirds = [figures["volume"][name] for name in TERTILES]
    assert [third["hgg"] + third["lgg"] for third in thirds] == [14, 13, 13]


def test_subgroups_from_the_table_of_patients(tmp_path):
    study = study_folder(tmp_path / "study", units_of())
    rows = [f"p{i:03d},TCGA-{'06' if i % 3 else 'DU'}-00{i:02d},{1000 * (i + 1)}" for i in range(40)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["patient,tcga_id,lesion_voxels", *rows]) + "\n")
    figures = run_subgroups(study, table, tmp_path / "out", "command")
    again = run_subgroups(study, tmp_path / "out" / "groups.csv", tmp_path / "again", "command")
    assert json.dumps(figures) == json.dumps(again)
    groups = read_groups(table, {"p009"})
    assert groups.volume_ml == {"p009": pytest.approx(10 * 239 / 127 * 239 / 127 * 154 / 127, abs=0.01)}
    assert "centre DU | 0, 14 |" in subgroup_table(figures)
    with pytest.raises(UsageError, match="cannot be used"):
        read_groups(table, {"p999"})


# external


class Judge:
    """In a grader's place: the probability is the brightness of T1 in the tumour."""

    def __init__(self, collections: list[str] | None) -> None:
        training = {"collections": collections} if collections else {}
        self.bundle = SimpleNamespace(
            metadata={"training": training}, description=lambda: {"name": "b", "version": "1", "sha256": "0"}
        )

    def judge(self, stack) -> SimpleNamespace:
        p = float(np.clip(0.2 + 0.2 * stack.planes[0][stack.mask > 0].mean(), 0, 1))
        grade = "HGG" if p >= 0.5 else "LGG"
        votes = [SimpleNamespace(probability_hgg=p)] * 3
        doubts = (SimpleNamespace(code="near-boundary"),) if 0.4 < p < 0.6 else ()
        decision = "indeterminate" if doubts else grade
        return SimpleNamespace(votes=votes, probability_hgg=p, grade=grade, decision=decision, doubts=doubts)


def external_set():
    data = small_training_set(patients=12)
    collections = np.repeat(["own", "one", "other"], 4)
    return replace(data, collections=collections, shippable=collections == "own")


def test_external_patients_are_those_of_other_collections(tmp_path, monkeypatch):
    monkeypatch.setattr("GliomaGradingLib.grading.Grader.load", lambda bundle: Judge(["own"]))
    figures = external.run_external(external_set(), None, tmp_path, "command")
    records = external.read_records(tmp_path / "probabilities.csv")
    assert [record["patient"] for record in records] == [f"patient-{i:02d}" for i in range(4, 12)]
    assert figures["figures"]["one"]["hgg"] == 2 and figures["figures"]["all"]["lgg"] == 4
    assert figures["figures"]["all"]["sensitivity"]["value"] == 1.0
    again = external.external_figures(records, figures["model"], "command")
    assert json.dumps(again, default=str) == json.dumps(figures, default=str)
    table = external.external_table(figures)
    assert "| one | 2, 2 | 1.000 (0.342 to 1.000) |" in table
    # too few of either grade for an AUC, in a collection and in all
    assert {name: np.isnan(f["auc_vote"]["value"]) for name, f in figures["figures"].items()} == dict.fromkeys(
        ("all", "one", "other"), True
    )
    assert table.endswith("\nReasons for no decision (patients): none.\n")
    assert "compares 16 pairs of an HGG and an LGG patient. In 8 of them the two are of different " in table
    assert "collections (AUC 1.000)" in table and "in the 8 pairs of one collection it is 1.000." in table


def test_patients_of_ones_own_are_external_unless_they_are_named_like_who_taught_the_bundle(
    tmp_path, monkeypatch
):
    """``prepare`` sets shippable for everybody."""
    judge = Judge(["own"])
    judge.bundle.metadata["training"]["public_names"] = ["patient-05", "open-11"]
    monkeypatch.setattr("GliomaGradingLib.grading.Grader.load", lambda bundle: judge)
    data = replace(external_set(), shippable=np.ones(12, bool))
    external.run_external(data, None, tmp_path, "command")
    records = external.read_records(tmp_path / "probabilities.csv")
    assert [r["patient"] for r in records] == [f"patient-{i:02d}" for i in (4, 6, 7, 8, 9, 10)]
    judge.bundle.metadata["calibration"] = {"of": {"name": "x"}, "patients": 12}
    with pytest.raises(UsageError, match="calibrated on a cohort, and does not tell who"):
        external.run_external(data, None, tmp_path, "command")
    del judge.bundle.metadata["calibration"]
    with pytest.raises(UsageError, match="whole slices, and tumour regions are graded here"):
        external.run_external(replace(data, form=InputForm.wholeSlice(32)), None, tmp_path, "command")


def test_pairs_of_one_collection_are_told_from_those_of_two():
    def record(collection: str, grade: str, probability: float) -> dict:
        columns = dict.fromkeys(external.PROBABILITY_COLUMNS, probability)
        decided = {"vote": "HGG", "decision": "HGG", "reasons": ""}
        return {"collection": collection, "grade": grade, **columns, **decided}

    # bright where HGG are collected, and within a collection the wrong way round
    records = [record("a", "HGG", 0.8)] * 6 + [record("a", "LGG", 0.9)] + [record("b", "LGG", 0.2)] * 5
    figures = external.external_figures(records, {}, "command")
    pairs = figures["pairs_of_collections"]
    of_enough = pairs["within_enough"]
    assert of_enough["count"] == 0 and np.isnan(of_enough["auc"])  # none of the two has five of each grade
    assert (pairs["within"], pairs["across"]) == ({"count": 6, "auc": 0.0}, {"count": 30, "auc": 1.0})
    everybody = figures["figures"]["all"]["auc_vote"]["value"]
    assert everybody == pytest.approx(30 / 36)
    assert np.isnan(figures["figures"]["a"]["auc_vote"]["value"])
    assert "in the 6 pairs of one collection it is 0.000." in external.external_table(figures)
    enough = [record("c", "HGG", 0.7)] * 5 + [record("c", "LGG", 0.3)] * 5
    said = external.pairs_sentence({"pairs_of_collections": external._pairs([*records, *enough])})
    assert (
        "in the 31 pairs of one collection it is 0.806 (1.000 in the 25 of collections with 5 of each grade)."
        in said
    )
    alone = external.external_figures(records[:7], {}, "command")
    assert "two collections" not in external.external_table(alone)


def test_a_bundle_that_learned_from_everybody_has_no_external_patients(monkeypatch, tmp_path):
    for collections, message in (
        (["own", "one", "other"], "of a collection of the bundle's"),
        (None, "does not say"),
    ):
        judge = Judge(collections)
        monkeypatch.setattr("GliomaGradingLib.grading.Grader.load", lambda bundle, judge=judge: judge)
        with pytest.raises(UsageError, match=message):
            external.run_external(external_set(), None, tmp_path / "out", "command")
    assert not (tmp_path / "out").exists()


# ablation


IDEAS = (
    Idea("probe", Probe(levels=("5b",)), True, "begin", against=""),
    Idea("noise", Probe(levels=("3b",)), False, "nothing there", against="probe"),
    Idea("highest", Probe(levels=("5b",), pool="highest"), False, "a pool", against="probe"),
)


def small_features(data, pretrained, every, form):
    """Features of which one level tells the grades apart and the other does not."""
    rng = np.random.default_rng(4)
    shape = (3, len(data), SLICE_COUNT // every, 5)
    return {
        "5b": (rng.normal(0, 1, shape) + 2 * data.grades[:, None, None]).astype(np.float32),
        "3b": rng.normal(0, 1, shape).astype(np.float32),
    }


@pytest.fixture
def ablated(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "ablation_figures", fast(ablation.ablation_figures))
    data = small_training_set(patients=40)
    figures = run_ablation(data, Path("x"), tmp_path / "out", "command", 2, IDEAS, small_features)
    return data, tmp_path / "out", figures


def fast(function):
    return lambda *arguments: function(*arguments, draws=SMALL)


def test_the_ablation_table_tells_a_good_idea_from_noise(ablated):
    _, folder, figures = ablated
    begin, noise, pool = figures["ideas"]
    assert begin["auc"]["value"] > 0.97 and begin["difference"] is None
    assert noise["difference"]["high"] < -0.1 and noise["repeats"] == 2
    assert noise["difference"]["value"] == pytest.approx(noise["auc"]["value"] - begin["auc"]["value"])
    assert (folder / "ablation.md").read_text() == ablation_table(figures)
    stored = json.loads((folder / "ablation.json").read_text())
    again = ablation.ablation_figures(ScoreTable.read(folder / "ablation.csv"), stored["ideas"], "command")
    assert again["ideas"][1]["auc"]["value"] == pytest.approx(noise["auc"]["value"], abs=1e-6)
    assert pool["kept"] is False


def test_a_study_joins_the_ablation_and_stays_when_it_is_made_anew(ablated, tmp_path):
    data, folder, _ = ablated
    looks = {"plain": small_features(data, 0, 2, 0)}
    units = ablation.probe_units(data, Study(repeats=1), IDEAS[0].probe, looks)
    study = study_folder(tmp_path / "fine", units)
    figures = add_idea(folder, "fine-tuned", "probe", study, True, "the same, trained longer")
    entry = figures["ideas"][-1]
    assert (entry["name"], entry["against"], entry["repeats"]) == ("fine-tuned", "probe", 1)
    assert abs(entry["difference"]["value"]) < 1e-3  # it is the same probe
    again = run_ablation(data, Path("x"), folder, "command", 2, IDEAS, small_features)
    assert [idea["name"] for idea in again["ideas"]] == ["probe", "noise", "highest", "fine-tuned"]
    assert again["ideas"] == figures["ideas"]
    with pytest.raises(UsageError, match="no idea 'x' to compare with"):
        add_idea(folder, "y", "x", study, True, "")


def test_an_idea_that_the_table_has_is_not_tried_again_and_a_new_one_joins_it(ablated):
    data, folder, figures = ablated
    seen = []

    def features(data, pretrained, every, form, mirrored=False):
        seen.append(mirrored)
        return small_features(data, pretrained, every, form)

    new = Idea("turned", Probe(levels=("5b",), test=("mirrored",)), False, "a view", against="probe")
    again = run_ablation(data, Path("x"), folder, "command", 2, (*IDEAS, new), features)
    assert sorted(seen) == [False, True]  # the forms of the new idea alone
    assert again["ideas"][:3] == figures["ideas"]
    assert again["ideas"][3]["auc"]["value"] > 0.97
    first = Idea("turned first", Probe(levels=("5b",), test=("mirrored",)), False, "a view", against="probe")
    ordered = run_ablation(data, Path("x"), folder, "command", 2, (IDEAS[0], first, *IDEAS[1:], new), features)
    names = ["probe", "turned first", "noise", "highest", "turned"]
    assert [idea["name"] for idea in ordered["ideas"]] == names
    assert list(ScoreTable.read(folder / "ablation.csv").columns) == names
    seen.clear()
    run_ablation(data, Path("x"), folder, "command", 2, (*IDEAS, new), features)
    assert seen == []


def test_an_ablation_table_of_others_is_not_continued(ablated, tmp_path):
    data, folder, figures = ablated
    (tensors := tmp_path / "tensors.pt").write_bytes(b"ours")
    (others := tmp_path / "others.pt").write_bytes(b"others")
    told = json.loads((folder / "ablation.json").read_text())
    assert (told["data"], told["repeats"], told["pretrained_sha256"]) == (fingerprint(data), 2, "")
    told["pretrained_sha256"] = hashlib.sha256(b"ours").hexdigest()
    other_grades = replace(data, grades=1 - data.grades)
    other_images = replace(data, images=data.images + 1)

    def tried(of, start, repeats):
        return run_ablation(of, start, folder, "a new command", repeats, IDEAS, small_features)

    for stored in (told, {key: told[key] for key in ("schema", "ideas", "chosen_inside", "command")}):
        (folder / "ablation.json").write_text(json.dumps(stored))
        before = (folder / "ablation.json").read_bytes()
        with pytest.raises(UsageError, match=r"is of 2 repeats, not 3.*: give --repeats 2, or"):
            tried(data, tensors, 3)
        with pytest.raises(UsageError, match="the ablation table is of other data"):
            tried(other_grades, tensors, 2)
        if stored is told:  # one that does not tell is taken where patients, grades and folds are the same
            with pytest.raises(UsageError, match="the ablation table is of other data"):
                tried(other_images, tensors, 2)
            with pytest.raises(UsageError, match="the ablation table began at other pretrained tensors"):
                tried(data, others, 2)
        assert (folder / "ablation.json").read_bytes() == before
        again = tried(data, tensors, 2)
        assert again["ideas"] == figures["ideas"] and again["command"] == "command"
        assert again.get("data") == stored.get("data")  # nobody says of a table what it does not say itself
    (folder / "ablation.csv").unlink()
    with pytest.raises(UsageError, match="the ablation table cannot be read"):
        tried(data, tensors, 2)


def test_choosing_inside_folds_is_not_hopeful_about_noise():
    units = units_of(patients=60)
    table = ScoreTable.of_units(units)
    for number in range(20):
        table = table.added(f"{number}", units, np.random.default_rng(number).random(60))
    chosen = chosen_inside(table)
    assert chosen["best_auc"] > 0.58  # the best of twenty coins
    assert chosen["auc"] < chosen["best_auc"] - 0.05


# the command


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert main(["evaluate", "--output", str(tmp_path)]) == 2
    assert main(["evaluate", "--external", "--output", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: DIR is missing") and errors[1].startswith("error: --data is missing")
    assert not list(tmp_path.iterdir())


def test_baselines_need_the_studys_patients():
    from GliomaGradingLib.training.baselines import _rows_of

    with pytest.raises(CaseError, match="p000 of the study is not in the training set"):
        _rows_of(small_training_set(patients=2), units_of(patients=3))
