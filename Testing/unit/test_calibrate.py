"""``calibrate``: what a cohort's known grades make of a bundle, by figures that can be checked by hand."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from GliomaGradingLib import __version__
from GliomaGradingLib.cli import main
from GliomaGradingLib.cohort.case_table import COLUMNS as CASE_COLUMNS
from GliomaGradingLib.cohort.grades import read_grades
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.export.reliability import figures_note
from GliomaGradingLib.export.tables import COLUMNS, csv_text
from GliomaGradingLib.networks.bundle import METADATA, open_bundle
from GliomaGradingLib.voting import Platt, decide, sigmoid

pytest.importorskip("sklearn")
from GliomaGradingLib.cli.calibrate import summary
from GliomaGradingLib.training.recalibration import _folds, _upon, by_patient, recalibrate

KNOWN = {f"p{n:02d}": "HGG" if n < 30 else "LGG" for n in range(40)}
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


def write_batch(folder, rows, known, patients=None):
    """The files of a batch that ``calibrate`` reads: known grades by case, and whose scan it is."""
    folder.mkdir(exist_ok=True)
    record = {"model": open_bundle().description(), "glioma-grading": __version__}
    (folder / "batch.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "results.csv").write_text(csv_text(rows), encoding="utf-8", newline="")
    patients = patients or {}
    cases = [
        {**dict.fromkeys(CASE_COLUMNS, ""), "case": row["case"], "known_grade": known.get(row["case"], "")}
        | {"patient": patients.get(row["case"], row["case"])}
        for row in rows
    ]
    (folder / "cases.csv").write_text(csv_text(cases, CASE_COLUMNS), encoding="utf-8", newline="")
    return folder


def rows_of(batch):
    with (batch / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def mostly_hgg(tmp_path):
    """40 patients, 30 HGG, whose probabilities are as right as 30 of 60 would be: too low."""
    rng = np.random.default_rng(1)
    true = np.repeat([1, 0], [30, 10])
    own = sigmoid_of(rng.normal(0, 1, 40) + np.where(true, 1.0, -1.0) - 1.5)
    rows = [graded(f"p{n:02d}", together=p) for n, p in enumerate(own)]
    return write_batch(tmp_path / "batch", rows, KNOWN)


def sigmoid_of(values):
    return np.array([sigmoid(float(value)) for value in values])


def calibrate(batch, output, *more):
    return main(["calibrate", str(batch), "--output", str(output), *more])


def test_the_mean_probability_becomes_the_share_of_hgg(mostly_hgg, tmp_path, capsys):
    batch = mostly_hgg
    assert calibrate(batch, tmp_path / "ours") == 0
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
    batch = mostly_hgg
    assert calibrate(batch, tmp_path / "ours") == 0
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
    known = {f"p{n}": "HGG" if t else "LGG" for n, t in enumerate(true)}
    batch = write_batch(tmp_path / "batch", rows, known)
    assert calibrate(batch, tmp_path / "ours") == 0
    before, after = open_bundle().calibration(), open_bundle(tmp_path / "ours").calibration()
    ratio = after.sequences["T1"].slope / before.sequences["T1"].slope
    assert ratio == pytest.approx(0.5, abs=0.1)
    assert open_bundle(tmp_path / "ours").metadata["calibration"]["method"] == "slopes and intercepts"


@pytest.mark.parametrize(
    ("taught", "without", "remedy"),
    [
        (0, "40 (inputs doubted)", "mend the inputs that results.csv has warnings of"),
        (
            3,
            "3 (taught the models) and 37 (inputs doubted)",
            "grade patients who did not teach the models, mend the inputs that results.csv has warnings of",
        ),
    ],
)
def test_grades_that_are_known_and_left_out_are_not_called_unknown(mostly_hgg, taught, without, remedy):
    rows = [
        row | {"decision": "indeterminate", "warnings": "slices-not-reached"} for row in rows_of(mostly_hgg)
    ]
    for row in rows[:taught]:
        row["warnings"] = "taught-the-models"
    write_batch(mostly_hgg, rows, KNOWN)
    with pytest.raises(UsageError) as refused:
        recalibrate(open_bundle(), mostly_hgg, mostly_hgg.parent / "ours")
    left = "0 HGG and 0 LGG patients are left to calibrate on, without the known grades of"
    assert refused.value.problem == f"{left} {without}"
    needed = "10 or more of each are needed: "
    assert refused.value.remedy == f"{needed}{remedy}, or run it again with --resume --grades TABLE"


def test_who_taught_the_models_and_doubtful_inputs_are_left_out(mostly_hgg, tmp_path, capsys):
    batch = mostly_hgg
    assert calibrate(batch, tmp_path / "first") == 0
    more = [
        graded("taught", 0.99, warnings="taught-the-models"),
        graded("swapped", 0.99, warnings="registered; t1-t2-swapped", decision="indeterminate"),
        graded("unlike", 0.99, warnings="near-boundary; unlike-training", decision="indeterminate"),
        graded("nobody-knows", 0.99),
        {**dict.fromkeys(COLUMNS, ""), "case": "bad", "status": "failed"},
    ]
    more.append(graded("case7", 0.99))
    known = KNOWN | dict.fromkeys(("taught", "swapped", "unlike", "bad", "case7"), "LGG")
    write_batch(batch, [*rows_of(batch), *more], known, patients={"case7": "TCGA-02-0009"})
    capsys.readouterr()
    assert calibrate(batch, tmp_path / "second") == 0
    assert "; 2 left out: taught the models; 2 left out: inputs doubted" in capsys.readouterr().out
    first, second = (open_bundle(tmp_path / name).calibration() for name in ("first", "second"))
    assert first == second


def test_two_scans_of_a_patient_count_once(mostly_hgg, tmp_path, capsys):
    """Each in the place of the one between them, in logits; whose they are, the batch knows."""
    batch = mostly_hgg
    assert calibrate(batch, tmp_path / "first") == 0
    first_row, *rest = rows_of(batch)
    middle = logit(float(first_row["probability_hgg"]))
    scans = [graded(f"scan{n}", together=sigmoid(middle + shift)) for n, shift in enumerate((-1, 1))]
    write_batch(
        batch, [*rest, *scans], KNOWN | {"scan0": "HGG", "scan1": "HGG"}, {"scan0": "p00", "scan1": "p00"}
    )
    capsys.readouterr()
    assert calibrate(batch, tmp_path / "second") == 0
    assert "Patients       40 (30 HGG, 10 LGG)\n" in capsys.readouterr().out
    first, second = (open_bundle(tmp_path / name).calibration() for name in ("first", "second"))
    for sequence in first.sequences:
        ours, theirs = first.sequences[sequence], second.sequences[sequence]
        assert theirs.intercept == pytest.approx(ours.intercept, abs=1e-4)


def test_separated_patients_have_an_auc_with_an_interval(tmp_path):
    rows = [graded(f"p{n}", 0.9 if n < 12 else 0.2) for n in range(24)]
    batch = write_batch(tmp_path / "batch", rows, {f"p{n}": "HGG" if n < 12 else "LGG" for n in range(24)})
    assert calibrate(batch, tmp_path / "ours") == 0
    found = open_bundle(tmp_path / "ours").metadata["figures"]["AUC of the probability"]
    assert found == {"value": 1.0, "low": 0.758, "high": 1.0}  # of twelve pairs without a common patient


def test_a_patient_whose_grade_has_changed_is_in_one_fold():
    rows = [(graded(f"s{n}", 0.5), "HGG" if n % 2 else "LGG", f"p{n // 2}") for n in range(40)]
    made = by_patient(rows, {})
    folds = _folds(made)
    assert made.counts == (20, 20)
    assert all(len({*folds[made.patients == patient]}) == 1 for patient in made.patients)
    assert {*folds} == {*range(10)}


def test_it_goes_on_from_a_bundle_that_was_calibrated_before(mostly_hgg, tmp_path, capsys):
    """Its probabilities are right by now: nothing is left to fit."""
    batch = mostly_hgg
    assert calibrate(batch, tmp_path / "first") == 0
    first, base = open_bundle(tmp_path / "first"), open_bundle().calibration()
    rows = []
    for before in rows_of(batch):
        x = logit(float(before["t1_probability_hgg"]))
        verdict = decide(
            {s: [(x - p.intercept) / p.slope] for s, p in base.sequences.items()}, first.calibration()
        )
        single = {f"{v.sequence.lower()}_probability_hgg": f"{v.probability_hgg:.6f}" for v in verdict.votes}
        rows.append(graded(before["case"], together=verdict.probability_hgg) | single)
    write_batch(batch, rows, KNOWN)
    record = {"model": first.description(), "glioma-grading": "0.1"}
    (batch / "batch.json").write_text(json.dumps(record), encoding="utf-8")
    capsys.readouterr()
    assert calibrate(batch, tmp_path / "second", "--bundle", str(first.folder)) == 0
    assert "Remark         the batch was graded by version 0.1, and this is" in capsys.readouterr().out
    second = open_bundle(tmp_path / "second").calibration()
    for sequence, platt in first.calibration().sequences.items():
        assert second.sequences[sequence].intercept == pytest.approx(platt.intercept, abs=1e-4)
    assert second.together.intercept == pytest.approx(first.calibration().together.intercept, abs=1e-4)
    assert main(["models", "--bundle", str(tmp_path / "second")]) == 0
    assert "40 patients (30 HGG) of a cohort, from first" in capsys.readouterr().out


def test_nothing_gained_is_said(mostly_hgg, tmp_path):
    batch = mostly_hgg
    found = recalibrate(open_bundle(), batch, tmp_path / "ours")
    told = summary(found | {"brier_after": found["brier_before"]}, tmp_path)
    assert "Remark         there is nothing gained: go on with the bundle as it was\n" in told


def damage(batch, how, ours):
    if how == "nine of a grade":
        write_batch(batch, rows_of(batch)[:-1], KNOWN)
    elif how == "another bundle":
        model = open_bundle().description() | {"sha256": "0" * 64, "name": "theirs", "version": "2"}
        record = {"model": model, "glioma-grading": __version__}
        (batch / "batch.json").write_text(json.dumps(record), encoding="utf-8")
    elif how == "no batch":
        (batch / "results.csv").unlink()
    elif how == "not ended":
        (batch / "cases.csv").unlink()
    elif how == "batch.json cut short":
        (batch / "batch.json").write_text("{", encoding="utf-8")
    elif how == "a folder of something else":
        ours.mkdir()
        (ours / "thesis.doc").write_text("years of work")
    elif how == "a bundle that was trained":
        shutil.copytree(open_bundle().folder, ours)
        metadata = json.loads((ours / METADATA).read_text(encoding="utf-8")) | {"version": "mine"}
        (ours / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    else:
        text = (batch / "results.csv").read_text(encoding="utf-8")
        spoilt = {
            "no number": text.replace("0.", "x.", 1),
            "not a number": re.sub(r"0\.\d{6}", "nan", text, count=1),
            "cut short": text[:-30],
            "a cell more": text.rstrip("\n") + ",,,,,\n",
            "a row less": text.rsplit("\n", 2)[0] + "\n",
        }
        (batch / "results.csv").write_text(spoilt[how], encoding="utf-8", newline="")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nine of a grade", "knows the grade of 30 HGG and 9 LGG patients to calibrate on"),
        ("another bundle", "graded with theirs 2, not with this bundle"),
        ("no batch", "this is not the output of a batch"),
        ("not ended", "the batch has not come to its end"),
        ("batch.json cut short", "the record of the batch is damaged"),
        *((how, "a table of the batch is damaged") for how in ("no number", "not a number", "cut short")),
        *((how, "a table of the batch is damaged") for how in ("a cell more", "a row less")),
        ("a folder of something else", "holds something else than a bundle"),
        ("a bundle that was trained", "the folder holds a bundle that was trained"),
    ],
)
def test_what_cannot_be_calibrated_on_is_said_and_nothing_is_written(mostly_hgg, tmp_path, capsys, how, said):
    damage(mostly_hgg, how, tmp_path / "ours")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert calibrate(mostly_hgg, tmp_path / "ours") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 201, "no short name"),
        ("two\nlines", "no short name"),
        (open_bundle().folder.name, "a bundle that ships is called like this"),
    ],
)
def test_names_that_no_bundle_can_have(mostly_hgg, tmp_path, capsys, name, said):
    assert calibrate(mostly_hgg, tmp_path / name) == 2
    assert said in capsys.readouterr().err and not (tmp_path / name).exists()


def test_the_bundle_of_the_batch_is_not_written_over(mostly_hgg, capsys):
    base = open_bundle().folder
    before = (base / METADATA).read_bytes()
    assert calibrate(mostly_hgg, base) == 2
    assert "the bundle that the batch was graded with" in capsys.readouterr().err
    assert (base / METADATA).read_bytes() == before


def test_what_was_calibrated_before_is_calibrated_anew(mostly_hgg, tmp_path):
    assert calibrate(mostly_hgg, tmp_path / "ours") == 0
    write_batch(mostly_hgg, rows_of(mostly_hgg), KNOWN | {"p00": "LGG"})
    assert calibrate(mostly_hgg, tmp_path / "ours") == 0
    assert open_bundle(tmp_path / "ours").metadata["calibration"]["HGG"] == 29


def test_a_fit_upon_a_fit_is_one():
    one, other = Platt(0.8, -0.3), Platt(1.5, 0.2)
    assert _upon(one, other).logit(0.7) == pytest.approx(other.logit(one.logit(0.7)))


@pytest.mark.parametrize("file", ["results.csv", "cases.csv"])
def test_a_batchs_votes_are_not_known_grades(mostly_hgg, file):
    """``batch --grades`` of its own tables: the column grade is the vote."""
    path = mostly_hgg / file
    if file == "results.csv":
        with pytest.raises(UsageError, match="votes of a batch"):
            read_grades(path)
    else:
        assert read_grades(path).told("p35").grade == "LGG" and read_grades(path).told("p05").grade == "HGG"


@pytest.mark.parametrize(
    "columns", ["decision", "probability_hgg", "agreement", "votes_for,votes_of", "Flair probability HGG"]
)
def test_votes_are_known_by_any_column_that_is_left_of_the_batchs(tmp_path, columns):
    """``cut -f1,3,4 results.csv``"""
    path = tmp_path / "cut.csv"
    path.write_text(f"case,grade,{columns}\np1,HGG,HGG\np2,LGG,LGG\n")
    with pytest.raises(UsageError, match=r"votes of a batch, in .*, or call its column of them known_grade"):
        read_grades(path)
    path.write_text(f"case,grade,known_grade,{columns}\np1,HGG,LGG,HGG\n")
    assert read_grades(path).told("p1").grade == "LGG"


def test_known_grades_joined_to_the_votes_are_the_grades(mostly_hgg, tmp_path):
    """A clinical table joined to results.csv: whatever stands first, ``grade`` is the vote."""
    votes = "case,grade,decision,probability_hgg"
    for column in ("known_grade", "WHO grade"):
        joined = tmp_path / "joined.csv"
        joined.write_text(f"{votes},{column}\np1,HGG,HGG,0.9,LGG\np2,LGG,LGG,0.1,\n")
        table = read_grades(joined)
        assert table.told("p1").grade == "LGG" and table.told("p2").grade is None
        assert table.columns == (column,)
