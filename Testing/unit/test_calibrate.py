"""``calibrate``: what a cohort's known grades make of a bundle, by figures that can be checked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from GliomaGradingLib.cli import main
from GliomaGradingLib.export.reliability import figures_note
from GliomaGradingLib.export.tables import COLUMNS, csv_text
from GliomaGradingLib.networks.bundle import METADATA, open_bundle
from GliomaGradingLib.voting import Platt, decide, sigmoid

pytest.importorskip("sklearn")
from GliomaGradingLib.cli.calibrate import summary
from GliomaGradingLib.training.recalibration import _upon, recalibrate

FILES = {"metadata.json", "t1.pt", "t2.pt", "flair.pt", "LICENSE", "ATTRIBUTION.txt"}


def logit(probability):
    return np.log(probability / (1 - probability))


def graded(case, together, *, single=None, warnings="", decision=None):
    """A row of results.csv whose three sequences agree with one another."""
    single = together if single is None else single
    grade = "HGG" if single >= 0.5 else "LGG"
    cells = {f"{s}_probability_hgg": f"{single:.6f}" for s in ("t1", "t2", "flair")}
    return {
        **dict.fromkeys(COLUMNS, ""),
        **{"case": case, "status": "graded", "grade": grade, "decision": decision or grade},
        **{"probability_hgg": f"{together:.6f}", "warnings": warnings, "agreement": "3 of 3"},
        **cells,
    }


def write_batch(folder, rows, grades, columns=("case", "grade")):
    """The files of a batch that ``calibrate`` reads, and a table of grades beside it."""
    folder.mkdir()
    model = open_bundle().description()
    (folder / "batch.json").write_text(json.dumps({"model": model}), encoding="utf-8")
    (folder / "results.csv").write_text(csv_text(rows), encoding="utf-8", newline="")
    table = folder.parent / "grades.csv"
    lines = [",".join(columns), *(",".join(row) for row in grades)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder, table


@pytest.fixture
def mostly_hgg(tmp_path):
    """40 patients, 30 HGG, whose probabilities are as right as 30 of 60 would be: too low."""
    rng = np.random.default_rng(1)
    true = np.repeat([1, 0], [30, 10])
    own = sigmoid_of(rng.normal(0, 1, 40) + np.where(true, 1.0, -1.0) - 1.5)
    rows = [graded(f"p{n:02d}", together=p) for n, p in enumerate(own)]
    return write_batch(
        tmp_path / "batch", rows, [(f"p{n:02d}", "HGG" if t else "LGG") for n, t in enumerate(true)]
    )


def sigmoid_of(values):
    return np.array([sigmoid(float(value)) for value in values])


def calibrate(batch, table, output):
    return main(["calibrate", str(batch), "--grades", str(table), "--output", str(output)])


def test_the_mean_probability_becomes_the_share_of_hgg(mostly_hgg, tmp_path, capsys):
    batch, table = mostly_hgg
    assert calibrate(batch, table, tmp_path / "ours") == 0
    shown = capsys.readouterr().out
    before, after = open_bundle().calibration(), open_bundle(tmp_path / "ours").calibration()
    rows = (batch / "results.csv").read_text(encoding="utf-8").splitlines()[1:]
    logits = np.array([logit(float(row.split(",")[5])) for row in rows])
    raw = {s: (logits - p.intercept) / p.slope for s, p in before.sequences.items()}
    for sequence, platt in after.sequences.items():
        assert platt.slope == before.sequences[sequence].slope
        made = [platt.probability(float(x)) for x in raw[sequence]]
        assert np.mean(made) == pytest.approx(0.75, abs=1e-6)
    verdicts = [decide({s: [float(x[n])] for s, x in raw.items()}, after) for n in range(len(rows))]
    assert np.mean([v.probability_hgg for v in verdicts]) == pytest.approx(0.75, abs=1e-6)
    assert "Patients       40 (30 HGG, 10 LGG)\n" in shown and "Fitted         intercepts\n" in shown
    assert "Share of HGG   0.75; mean probability before: 0.32\n" in shown
    assert "Remark" not in shown and "For research use only" in shown


def test_the_bundle_is_whole_and_says_what_it_is(mostly_hgg, tmp_path):
    batch, table = mostly_hgg
    assert calibrate(batch, table, tmp_path / "ours") == 0
    assert {path.name for path in (tmp_path / "ours").iterdir()} == FILES
    base, ours = open_bundle(), open_bundle(tmp_path / "ours")
    ours.verify()
    kept = ours.metadata["calibration"]
    assert (ours.name, ours.version, kept["of"]) == ("ours", base.version, base.description())
    assert (kept["patients"], kept["HGG"], kept["method"]) == (40, 30, "intercepts")
    assert kept["brier_after"] < kept["brier_before"]
    assert {s: w.sha256 for s, w in ours.weights.items()} == {s: w.sha256 for s, w in base.weights.items()}
    assert ours.metadata["training"] == base.metadata["training"] and ours.sha256 != base.sha256
    assert sum(b["patients"] for b in ours.metadata["reliability"]) == 40
    assert sum(b["hgg"] for b in ours.metadata["reliability"]) == 30
    note = figures_note(ours.metadata)
    assert "75 % (30 of 40)" in note and "held out of its calibration" in note
    assert "62 % (97 of 156)" in figures_note(base.metadata)


def test_with_many_patients_of_each_grade_slopes_are_fitted_too(tmp_path):
    """Probabilities twice as sure as they are right, in logits."""
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1.5, 400)
    true = rng.random(400) < sigmoid_of(x)
    rows = [graded(f"p{n}", together=p) for n, p in enumerate(sigmoid_of(2 * x))]
    grades = [(f"p{n}", "HGG" if t else "LGG") for n, t in enumerate(true)]
    batch, table = write_batch(tmp_path / "batch", rows, grades)
    assert calibrate(batch, table, tmp_path / "ours") == 0
    before, after = open_bundle().calibration(), open_bundle(tmp_path / "ours").calibration()
    ratio = after.sequences["T1"].slope / before.sequences["T1"].slope
    assert ratio == pytest.approx(0.5, abs=0.1)
    assert open_bundle(tmp_path / "ours").metadata["calibration"]["method"] == "slopes and intercepts"


def test_who_taught_the_models_and_doubtful_inputs_are_left_out(mostly_hgg, tmp_path, capsys):
    batch, table = mostly_hgg
    assert calibrate(batch, table, tmp_path / "first") == 0
    rows = (batch / "results.csv").read_text(encoding="utf-8")
    more = [
        graded("taught", 0.99, warnings="taught-the-models"),
        graded("swapped", 0.99, warnings="registered; t1-t2-swapped", decision="indeterminate"),
        graded("unlike", 0.99, warnings="near-boundary; unlike-training", decision="indeterminate"),
        graded("nobody-knows", 0.99),
    ]
    (batch / "results.csv").write_text(rows + csv_text(more).split("\n", 1)[1], encoding="utf-8", newline="")
    with table.open("a", encoding="utf-8") as stream:
        stream.write("taught,LGG\nswapped,LGG\nunlike,LGG\n")
    capsys.readouterr()
    assert calibrate(batch, table, tmp_path / "second") == 0
    assert "; 1 left out: taught the models; 2 left out: inputs doubted" in capsys.readouterr().out
    first, second = (open_bundle(tmp_path / name).calibration() for name in ("first", "second"))
    assert first == second


def test_two_scans_of_a_patient_count_once(mostly_hgg, tmp_path, capsys):
    """Each in the place of the one between them, in logits."""
    batch, table = mostly_hgg
    assert calibrate(batch, table, tmp_path / "first") == 0
    lines = (batch / "results.csv").read_text(encoding="utf-8").splitlines()
    of_one = lines[1].split(",")
    middle = logit(float(of_one[4]))
    scans = [graded(f"scan{n}", together=sigmoid(middle + shift)) for n, shift in enumerate((-1, 1))]
    rest = "\n".join([lines[0], *lines[2:]]) + "\n"
    (batch / "results.csv").write_text(rest + csv_text(scans).split("\n", 1)[1], encoding="utf-8", newline="")
    told = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()[2:]]
    names = [("case", "patient", "grade"), *((case, case, grade) for case, grade in told)]
    names += [("scan0", "p00", "HGG"), ("Scan1", "p00", "HGG")]
    table.write_text("\n".join(map(",".join, names)) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert calibrate(batch, table, tmp_path / "second") == 0
    assert "Patients       40 (30 HGG, 10 LGG)\n" in capsys.readouterr().out
    first, second = (open_bundle(tmp_path / name).calibration() for name in ("first", "second"))
    for sequence in first.sequences:
        ours, theirs = first.sequences[sequence], second.sequences[sequence]
        assert theirs.intercept == pytest.approx(ours.intercept, abs=1e-4)


def test_it_goes_on_from_a_bundle_that_was_calibrated_before(mostly_hgg, tmp_path):
    """Its probabilities are right by now: nothing is left to fit."""
    batch, table = mostly_hgg
    assert calibrate(batch, table, tmp_path / "first") == 0
    first = open_bundle(tmp_path / "first")
    base = open_bundle().calibration()
    rows = []
    for line in (batch / "results.csv").read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        x = logit(float(cells[5]))
        raw = {s: [(x - p.intercept) / p.slope] for s, p in base.sequences.items()}
        verdict = decide(raw, first.calibration())
        row = graded(cells[0], together=verdict.probability_hgg)
        rows.append(
            row | {f"{v.sequence.lower()}_probability_hgg": f"{v.probability_hgg:.6f}" for v in verdict.votes}
        )
    (batch / "results.csv").write_text(csv_text(rows), encoding="utf-8", newline="")
    (batch / "batch.json").write_text(json.dumps({"model": first.description()}), encoding="utf-8")
    more = ["calibrate", str(batch), "--grades", str(table), "--bundle", str(first.folder)]
    assert main([*more, "--output", str(tmp_path / "second")]) == 0
    second = open_bundle(tmp_path / "second").calibration()
    for sequence, platt in first.calibration().sequences.items():
        assert second.sequences[sequence].intercept == pytest.approx(platt.intercept, abs=1e-4)
    assert second.together.intercept == pytest.approx(first.calibration().together.intercept, abs=1e-4)


def test_nothing_gained_is_said(mostly_hgg, tmp_path):
    batch, table = mostly_hgg
    found = recalibrate(open_bundle(), batch, table, tmp_path / "ours")
    told = summary(found | {"brier_after": found["brier_before"]}, tmp_path)
    assert "Remark         there is nothing gained: go on with the bundle as it was\n" in told


def damage(batch, table, how, tmp_path):
    if how == "nine of a grade":
        lines = table.read_text(encoding="utf-8").splitlines()
        table.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    elif how == "another bundle":
        model = open_bundle().description() | {"sha256": "0" * 64, "name": "theirs", "version": "2"}
        (batch / "batch.json").write_text(json.dumps({"model": model}), encoding="utf-8")
    elif how == "no batch":
        (batch / "results.csv").unlink()
    elif how == "batch.json cut short":
        (batch / "batch.json").write_text("{", encoding="utf-8")
    elif how == "a cell that is no number":
        text = (batch / "results.csv").read_text(encoding="utf-8")
        (batch / "results.csv").write_text(text.replace("0.", "x.", 1), encoding="utf-8", newline="")
    elif how == "a folder of something else":
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "thesis.doc").write_text("years of work")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nine of a grade", "30 HGG and 9 LGG patients of known grade to calibrate on"),
        ("another bundle", "graded with theirs 2, not with this bundle"),
        ("no batch", "this is not the output of a batch"),
        ("batch.json cut short", "the record of the batch is damaged"),
        ("a cell that is no number", "the table of results is damaged"),
        ("a folder of something else", "holds something else than a bundle"),
    ],
)
def test_what_cannot_be_calibrated_on_is_said_and_nothing_is_written(mostly_hgg, tmp_path, capsys, how, said):
    batch, table = mostly_hgg
    damage(batch, table, how, tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert calibrate(batch, table, tmp_path / "ours") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_the_bundle_of_the_batch_is_not_written_over(mostly_hgg, tmp_path, capsys):
    batch, table = mostly_hgg
    base = open_bundle().folder
    before = (base / METADATA).read_bytes()
    assert calibrate(batch, table, base) == 2
    assert "the bundle that the batch was graded with" in capsys.readouterr().err
    assert (base / METADATA).read_bytes() == before


def test_a_fit_upon_a_fit_is_one():
    one, other = Platt(0.8, -0.3), Platt(1.5, 0.2)
    assert _upon(one, other).logit(0.7) == pytest.approx(other.logit(one.logit(0.7)))
