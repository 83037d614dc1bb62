"""The page and the evaluation of a cohort: figures by hand, escaping, and what is worth a look."""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.cli.batch import summary
from GliomaGradingLib.cohort.evaluation import (
    Known,
    _draws,
    calibration_groups,
    decisions,
    evaluate,
    in_a_line,
    known_cases,
    roc_points,
)
from GliomaGradingLib.cohort.look import ODDS, UNUSUAL, WRONG, worth_a_look
from GliomaGradingLib.cohort.page import _case
from GliomaGradingLib.cohort.run import BatchJob, run
from GliomaGradingLib.cohort.work import BatchStopped, Settings
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.export.tables import COLUMNS
from test_batch import Instant, grade, table


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("GliomaGradingLib.cohort.evaluation._DRAWS", 20)
    monkeypatch.setattr("GliomaGradingLib.cohort.evaluation._FEWEST_DRAWS", 20)


RIGHT = {"h": "HGG", "l": "LGG"}
EVIL = "<img src=x onerror=alert(1)>&\"'"


@pytest.fixture
def cohort(tmp_path):
    """Six cases, three of each grade; probabilities 0.9 0.8 0.3 (HGG) and 0.1 0.2 0.85 (LGG)."""
    from batch_stub import make_cohort

    names = ["h1", "h2", "h3", "l1", "l2", "l3"]
    source = make_cohort(tmp_path / "in", names)
    grades = tmp_path / "grades.csv"
    grades.write_text("case,grade\n" + "".join(f"{n},{'HGG' if n[0] == 'h' else 'LGG'}\n" for n in names))
    answers = dict(zip(names, (0.9, 0.8, 0.3, 0.1, 0.2, 0.85), strict=True))
    return source, grades, answers


def test_evaluation_has_the_figures_of_the_known_grades(cohort, tmp_path):
    pytest.importorskip("sklearn")
    source, grades, answers = cohort
    grade(source, tmp_path / "out", Instant(answers), grades=grades)
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    together = kept["figures"]["together"]
    assert (kept["cases"], kept["HGG"], kept["LGG"]) == (6, 3, 3)
    assert together["auc"]["value"] == pytest.approx(7 / 9, abs=1e-6)  # of 9 pairs, 0.3 and 0.8 lose to 0.85
    assert together["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-6)
    assert kept["figures"]["majority"]["sensitivity"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    error = together["calibration_error"]
    assert error["value"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.1 + 0.2 + 0.85) / 6)  # in groups of one
    assert error["low"] is error["high"] is None
    by_chance = (2 * 0.18 + 2 * 0.32 + 0.42 + 0.255) / 6  # the mean of 2p(1 - p)
    assert kept["calibration_error_by_chance"]["together"] == pytest.approx(by_chance, abs=0.02)
    assert kept["decisions"] == {
        "LGG": {"LGG": 2, "HGG": 1, "indeterminate": 0},
        "HGG": {"LGG": 1, "HGG": 2, "indeterminate": 0},
    }
    assert 0 <= together["auc"]["low"] <= together["auc"]["value"] <= together["auc"]["high"] <= 1
    assert kept["decided"]["withheld"] == {"value": 0.0, "low": 0.0, "high": 0.390334}  # of six, by Wilson
    assert "where a share or an AUC is 0 or 1, by Wilson's score" in page(tmp_path / "out")


def test_an_auc_of_one_has_an_interval_of_as_many_pairs_as_the_rarer_grade_has_patients(cohort, tmp_path):
    """Every draw of separated patients is separated: by bootstrap, six of them would seem to prove it."""
    pytest.importorskip("sklearn")
    source, grades, answers = cohort
    told = answers | {"h3": 0.9, "l3": 0.1}
    grade(source, tmp_path / "out", Instant(told), grades=grades)
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))["figures"]
    of_three = {"value": 1.0, "low": 0.438503, "high": 1.0}
    assert figures["together"]["auc"] == figures["majority"]["auc"] == of_three


def test_cases_of_one_patient_have_no_interval():
    """All draws of one patient are him: an interval without width would be the surest of all."""
    pytest.importorskip("sklearn")
    grades, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    for patients, expected in (([0] * 4, (None, None)), ([0, 1, 2, 3], (0.333333, 0.25))):
        votes = (scores > 0.5).astype(int)
        columns = np.column_stack([scores] * 4)
        known = Known(np.arange(4), grades, np.array(patients), columns, 3 * votes, votes, ("HGG",) * 4)
        figures = evaluate(known)
        assert figures["figures"]["together"]["auc"]["value"] == 0.75
        told = figures["figures"]["together"]["auc"], figures["vote"]["accuracy"]
        assert tuple(figure["low"] for figure in told) == expected


def test_a_large_cohort_has_no_fewer_draws(monkeypatch):
    """What chance does to the ends of an interval, measured by its width, hangs on the draws alone."""
    monkeypatch.undo()
    assert [_draws(cases) for cases in (0, 200, 2000, 5000, 10_000, 10**6)] == [
        1000,
        1000,
        1000,
        1000,
        500,
        400,
    ]


def test_decisions_are_counted_among_those_that_were_made():
    pytest.importorskip("sklearn")
    grades, votes = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 0, 1, 1])
    decided = ("HGG", "HGG", "LGG", "LGG", "LGG", "indeterminate", "indeterminate", "HGG")
    columns = np.column_stack([0.2 + 0.6 * votes] * 4)
    figures = evaluate(Known(np.arange(8), grades, np.arange(8), columns, 3 * votes, votes, decided))["decided"]
    assert figures["withheld"]["value"] == 0.25
    assert figures["accuracy_of_decisions"]["value"] == pytest.approx(4 / 6, abs=1e-6)


def test_without_grades_there_is_no_evaluation(cohort, tmp_path):
    source, _grades, answers = cohort
    grade(source, tmp_path / "none", Instant(answers))
    assert not (tmp_path / "none" / "evaluation.json").exists()
    assert "Against the known grades" not in page(tmp_path / "none")


@pytest.mark.parametrize(("known", "defined"), [("HGG", "sensitivity"), ("LGG", "specificity")])
def test_cases_of_one_grade_are_evaluated_by_what_is_defined(cohort, tmp_path, known, defined):
    pytest.importorskip("sklearn")
    source, grades, answers = cohort
    grades.write_text(f"case,grade\nh1,{known}\nh2,{known}\nh3,{known}\nl3,{known}\n")
    grade(source, tmp_path / "out", Instant({**answers, "h2": 0.5}), grades=grades)
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    vote = kept["figures"]["majority"]
    assert vote[defined]["value"] is not None and vote["auc"]["value"] is None
    assert kept["decided"]["withheld"]["value"] == pytest.approx(1 / 4)
    right = 2 / 3 if known == "HGG" else 1 / 3
    assert kept["decided"]["accuracy_of_decisions"]["value"] == pytest.approx(right, abs=1e-6)
    text = page(tmp_path / "out")
    assert f"All known grades are {known}, so that there is no AUC" in text
    assert "Decision withheld: 0.250" in text and "nan" not in text.split("<script>")[0].lower()
    line = in_a_line(kept)
    assert "AUC" not in line and f"{defined} " in line and line.count("withheld 0.250") == 1


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)], ids=str)
def test_what_a_batch_leaves_at_its_end_is_of_one_run(cohort, tmp_path, monkeypatch, first, second):
    """Grades are given, taken back, or others: where a file cannot be written, all stay as they were."""
    source, grades, answers = cohort
    others = tmp_path / "others.csv"
    others.write_text("case,grade\nh1,LGG\nl1,HGG\n")
    out, names = tmp_path / "out", ("cases.csv", "cohort.html", "evaluation.json")
    grade(source, out, Instant(answers), grades=grades if first else None)
    before = {name: (out / name).read_bytes() for name in names if (out / name).exists()}
    assert len(before) == 2 + first
    again = {"grades": others if second else None, "resume": True}
    real = Path.replace

    def failing(path, target):
        if Path(target).name == "cohort.html" and path.suffix == ".part" and not failed:
            failed.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, target)

    failed = []
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(BatchStopped, match="No space left on device"):
        grade(source, out, Instant(answers), **again)
    assert {name: (out / name).read_bytes() for name in names if (out / name).exists()} == before
    grade(source, out, Instant(answers), **again)
    after = {name: (out / name).read_bytes() for name in names if (out / name).exists()}
    assert len(after) == 2 + second and not {*after.values()} & {*before.values()}


def test_the_batch_ends_with_its_evaluation_in_a_line(cohort, tmp_path):
    pytest.importorskip("sklearn")
    source, grades, answers = cohort
    job = BatchJob(source, tmp_path / "out", grades=grades)
    done = run(job, Settings(), lambda: Instant(answers))
    lines = [line for line in summary(done, tmp_path / "out").splitlines() if line.startswith("Evaluation")]
    assert lines == [
        "Evaluation     AUC 0.778, accuracy of the vote 0.667, sensitivity 0.667, specificity 0.667, "
        "withheld 0.000, accuracy of decisions 0.667 (3 HGG, 3 LGG): intervals are in evaluation.json"
    ]
    without = run(BatchJob(source, tmp_path / "none"), Settings(), lambda: Instant(answers))
    assert "Evaluation" not in summary(without, tmp_path / "none")


def test_the_vote_that_is_evaluated_is_the_batchs_own(cohort, tmp_path):
    pytest.importorskip("sklearn")

    class Soft(Instant):
        """As if the mean of the probabilities were right where each sequence is wrong."""

        def collect(self):
            return [replace(o, result={**o.result, "grade": RIGHT[o.task.case[0]]}) for o in super().collect()]

    source, grades, answers = cohort
    job = BatchJob(source, tmp_path / "out", grades=grades)
    done = run(job, Settings(vote="soft"), lambda: Soft(answers))
    assert "accuracy of the vote 1.000, sensitivity 1.000" in in_a_line(done.evaluation)
    assert done.evaluation["figures"]["majority"]["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-6)


def test_a_second_table_has_what_the_first_has_no_column_for(cohort, tmp_path):
    source, grades, answers = cohort
    (source / "l1").rename(source / "=l1")
    grades.write_text("case,patient,grade\nh1,P,HGG\nh2,P,HGG\n=l1,-Q,LGG\n")
    answers = {**answers, "=l1": 0.1, "l3": UsageError("=damaged\nfile")}
    grade(source, tmp_path / "out", Instant(answers), grades=grades)
    with (tmp_path / "out" / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["'=l1", "h1", "h2", "h3", "l2", "l3"]
    assert [rows[c]["patient"] for c in rows] == ["'-Q", "P", "P", "h3", "l2", "l3"]
    assert [rows[c]["known_grade"] for c in rows] == ["LGG", "HGG", "HGG", "", "", ""]
    whole = {"grade": "HGG", "decision": "HGG", "votes_of": "3", "probability_hgg": "0.900000"}
    assert {name: rows["h1"][name] for name in whole} == whole and rows["h1"]["layout"]
    assert rows["l3"]["messages"] == "'=damaged file" and rows["l3"]["grade"] == ""
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as stream:
        first = [row["warnings"] for row in csv.DictReader(stream)]
    assert [row["warnings"] for row in rows.values()] == first
    for case, row in rows.items():
        path = tmp_path / "out" / "cases" / case / "result.json"
        if path.is_file():
            told = [warning["message"] for warning in json.loads(path.read_text())["warnings"]]
            assert row["messages"] == "; ".join(told)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_a_name_that_is_no_text_costs_no_table(tmp_path):
    from batch_stub import make_cohort

    source = make_cohort(tmp_path / "in", ["P1"])
    folder = tmp_path / "in" / os.fsdecode(b"M\xfcller") / "2020-01-01"
    folder.parent.mkdir()
    shutil.copytree(source / "P1", folder)
    grade(source, tmp_path / "out")
    table = (tmp_path / "out" / "cases.csv").read_text(encoding="utf-8")
    assert [row.split(",")[1] for row in table.splitlines()] == ["patient", "M_ller", "P1"]
    assert (tmp_path / "out" / "cohort.html").is_file()


def test_failed_cases_are_not_evaluated(cohort, tmp_path):
    source, grades, answers = cohort
    grade(source, tmp_path / "out", Instant({**answers, "l3": UsageError("empty")}), grades=grades)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["cases"] == 5


def test_page_and_terminal_show_an_error_without_the_tables_apostrophe(cohort, tmp_path):
    source, grades, answers = cohort
    wrong = UsageError("-1 is no label")
    _counts, outcomes = grade(source, tmp_path / "out", Instant({**answers, "l3": wrong}), grades=grades)
    assert table(tmp_path / "out")[5]["error"] == "'-1 is no label"
    assert "<td>-1 is no label</td>" in page(tmp_path / "out")
    assert outcomes.failures() == [("l3", "-1 is no label")]


def test_roc_runs_from_corner_to_corner_and_takes_equal_scores_together():
    points = roc_points(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert points == [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_calibration_groups_are_of_equal_size_with_wilsons_interval():
    grades, scores = np.array([0] * 6 + [1] * 6), np.linspace(0, 1, 12)
    groups = calibration_groups(grades, scores, 2)
    assert [round(group[0], 3) for group in groups] == [0.227, 0.773]
    assert groups[0][1:] == pytest.approx((0.0, 0.0, 0.3903), abs=1e-3)
    assert groups[1][1:] == pytest.approx((1.0, 0.6097, 1.0), abs=1e-3)


def test_worth_a_look_are_the_wrong_and_sure_the_divided_and_the_unusual(cohort, tmp_path):
    from GliomaGradingLib.cohort.listing import find_cohort

    source, grades, answers = cohort
    grade(source, tmp_path / "out", Instant({**answers, "l2": 0.45}), grades=grades)
    rows = table(tmp_path / "out")
    rows[1]["flair_probability_hgg"] = "0.100000"
    entries = find_cohort(source, "auto", grades).cases
    strangeness = [-0.4, 2.5, 1.9, 3.25, 0.0, None]
    found = [(look.reason, entries[look.place].case) for look in worth_a_look(entries, rows, strangeness)]
    assert found == [(WRONG, "l3"), (WRONG, "h3"), (ODDS, "h2"), (UNUSUAL, "l1"), (UNUSUAL, "h2")]
    assert sum(decisions(known_cases(entries, rows))["LGG"].values()) == 3


def test_probabilities_are_rounded_neither_to_certainty_nor_across_a_threshold(cohort, tmp_path):
    from GliomaGradingLib.cohort.listing import find_cohort

    source, grades, answers = cohort
    grade(source, tmp_path / "out", Instant({**answers, "h1": 0.99996, "h2": 0.49996}), grades=grades)
    text = page(tmp_path / "out")
    assert '<td class="n" data-v="0.99996">&gt; 0.999</td>' in text and ">1.000</td>" not in text
    assert '<td class="n" data-v="0.49996">&lt; 0.500</td>' in text and ">0.500</td>" not in text
    rows = table(tmp_path / "out")
    rows[1] |= {"t1_probability_hgg": "0.999990", "flair_probability_hgg": "0.000010"}
    rows[5]["probability_hgg"] = "1.000000"
    looks = worth_a_look(find_cohort(source, "auto", grades).cases, rows, [None] * 6)
    assert [look.words for look in looks if look.reason == ODDS] == [
        "P(HGG) T1 > 0.99, T2 < 0.60, FLAIR < 0.01"
    ]
    assert "known LGG, decided HGG, P(HGG) > 0.99" in [look.words for look in looks]


def test_a_speck_of_a_tumour_is_not_nothing_on_the_page():
    row = dict.fromkeys(COLUMNS, "") | {"status": "graded", "probability_hgg": "0.900000"}
    cells = [_case("a", "", {**row, "tumour_ml": cell}, "", None) for cell in ("0.000008", "62.140000", "")]
    assert '<td class="n" data-v="8e-06">&lt; 0.1</td>' in cells[0]
    assert '<td class="n" data-v="62.14">62.1</td>' in cells[1]
    assert cells[2].count('<td class="n"></td>') == 4  # the sequences' probabilities, too


def test_unusual_is_what_is_unlike_the_training_patients_and_not_what_has_many_warnings(cohort, tmp_path):
    from GliomaGradingLib.cohort.listing import find_cohort

    source, grades, answers = cohort
    grade(source, tmp_path / "out", Instant(answers), grades=grades)
    rows = table(tmp_path / "out")
    for place, warnings in enumerate(("a; b; c; d", "", "a; unlike-training", "")):
        rows[place]["warnings"] = warnings
    entries = find_cohort(source, "auto", grades).cases
    looks = worth_a_look(entries, rows, [1.0, 2.0, None, 7.5, None, 1.99])
    assert [(look.place, look.words) for look in looks if look.reason == UNUSUAL] == [
        (2, "immeasurably far from the mean of the training patients; a; unlike-training"),
        (3, "7.5 standard deviations from the mean of the training patients"),
        (1, "2.0 standard deviations from the mean of the training patients"),
    ]


def test_how_unusual_a_case_is_comes_from_its_result_and_outlives_an_interruption(cohort, tmp_path):
    source, _grades, answers = cohort
    output = tmp_path / "out"
    grade(source, output, Instant(answers))  # the stub's strangeness: 10 |P - 0.5|
    for _ in range(2):
        text = page(output)
        unusual = text[text.index("<h3>Unusual") : text.index("All cases")]
        found = re.findall(r">(h\d|l\d)</a></b><br>(\d\.\d) standard", unusual)
        assert found == [
            ("h1", "4.0"),
            ("l1", "4.0"),
            ("l3", "3.5"),
            ("h2", "3.0"),
            ("l2", "3.0"),
            ("h3", "2.0"),
        ]
        (output / "cohort.html").unlink()
        grade(source, output, Instant(), resume=True)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.outside = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [
            (tag, name, value)
            for name, value in attributes
            if name in ("src", "href", "srcset") and not value.startswith(("data:image/png;base64,", "cases/"))
        ]
        self.outside += [(tag, name, value) for name, value in attributes if name.startswith("on")]


def page(output):
    return (output / "cohort.html").read_text(encoding="utf-8")


def test_the_page_is_of_one_piece_and_escapes_what_comes_from_outside(tmp_path):
    from batch_stub import make_cohort

    source = make_cohort(tmp_path / "in", ["plain", "bad"])
    (tmp_path / "list.csv").write_text(
        "case,t1,t2,flair,mask,grade\n"
        + "".join(
            '"{}",{}\n'.format(name.replace('"', '""'), ",".join(files))
            for name, files in (
                (EVIL, [f"in/plain/plain_{end}.nii.gz" for end in ("t1", "t2", "flair", "seg")] + ["HGG"]),
                ("two", [f"in/bad/bad_{end}.nii.gz" for end in ("t1", "t2", "flair", "seg")] + ["LGG"]),
            )
        )
    )
    runner = Instant({"two": UsageError(f"</td><script>alert(2)</script>{EVIL}")})
    run(BatchJob(tmp_path / "list.csv", tmp_path / "out"), Settings(), lambda: runner)
    text = page(tmp_path / "out")
    seen = Links()
    seen.feed(text)
    assert seen.outside == []
    assert seen.tags.count("script") == 1 and "img" not in seen.tags
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in text and "<img src=x" not in text
    assert source.is_dir()


def test_the_pages_policy_lets_its_own_script_run_and_no_other(cohort, tmp_path):
    source, _grades, answers = cohort
    grade(source, tmp_path / "out", Instant(answers))
    text = page(tmp_path / "out")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text


def test_evaluate_survives_a_cohort_of_one_grade():
    pytest.importorskip("sklearn")
    from GliomaGradingLib.cohort.evaluation import Known

    probabilities = np.tile(np.array([[0.7], [0.6], [0.4]]), (1, 4))
    three, votes = np.arange(3), np.array([3, 3, 0])
    known = Known(three, np.ones(3, int), three, probabilities, votes, votes // 3, ("HGG", "HGG", "LGG"))
    assert evaluate(known)["figures"]["together"]["auc"]["value"] is None
