"""The batch: what it keeps, what it refuses, and that no case stops it. Nothing is graded by a network here."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from batch_stub import ENGINE, ENVIRONMENT, HERE, SHA, make_cohort, reply, result
from GliomaGradingLib.cohort import journal, lock, store
from GliomaGradingLib.cohort.batch import Watch
from GliomaGradingLib.cohort.local import LocalRunner
from GliomaGradingLib.cohort.lock import FolderLock
from GliomaGradingLib.cohort.names import folder_names
from GliomaGradingLib.cohort.run import BatchJob, list_cases, run
from GliomaGradingLib.cohort.store import Store
from GliomaGradingLib.cohort.work import BatchInterrupted, BatchStopped, Outcome, Settings, fingerprint
from GliomaGradingLib.errors import BundleError, CaseError, GliomaGradingError, UsageError
from GliomaGradingLib.reading.text_headers import data_files

NAMES = [f"case_{number:02d}" for number in range(6)]
MODEL = {"name": "stub", "version": "1", "backbone": "none", "sha256": SHA, "device": "cpu"}


class Instant:
    """A runner that needs no process; ``answers`` by case, else the T1's first byte decides."""

    window = 3

    def __init__(self, answers=None, model=MODEL):
        self.answers, self.model, self.seen, self.queue = answers or {}, model, [], []

    def start(self):
        return self.model

    def submit(self, task):
        self.queue.append(task)

    def collect(self):
        if not self.queue:
            return []
        task = self.queue.pop()  # not in order
        self.seen.append(task.case)
        answer = self.answers.get(task.case, Path(task.files["T1"]).read_bytes()[0] / 100)
        if isinstance(answer, float):
            made = result(task.case, answer)
            return [Outcome(task, reply(made), {"result.json": made.toJson().encode()}, seconds=1.0)]
        return [Outcome(task, error=str(answer), mayRetry=not isinstance(answer, UsageError), seconds=1.0)]

    def close(self):
        pass


class NeverStarted(Instant):
    """A runner that is not needed: models take seconds to load."""

    def start(self):
        pytest.fail("the models were loaded before it was known that they are not needed")


class NeverSubmitted(Instant):
    """A runner that has nothing to do."""

    def submit(self, task):
        pytest.fail(f"{task.case} is done")


def grade(source, output, runner=None, settings=None, watch=None, **options):
    runner = runner or Instant()
    done = run(BatchJob(source, output, **options), settings or Settings(), lambda: runner, watch)
    return done.counts, done.outcomes


def table(output):
    with (output / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def without_seconds(output):
    """Every file's content by name, but for what took how long and for who locked."""
    contents = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if path.is_dir() or name in ("batch.lock", "journal.jsonl"):
            continue
        text = path.read_text(encoding="utf-8")
        if name == "results.csv":
            text = re.sub(r",[0-9.]*$", ",", text, flags=re.MULTILINE)
        elif path.suffix == ".json":
            text = re.sub(r'"seconds": \{[^}]*\}', "", text)
        contents[name] = text
    return contents


@pytest.fixture
def source(tmp_path):
    return make_cohort(tmp_path / "in", NAMES)


# What a batch leaves


def test_rows_are_in_the_order_of_the_input_and_say_what_was_found(source, tmp_path):
    counts, outcomes = grade(source, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["case"] for row in rows] == NAMES
    assert [row["probability_hgg"] for row in rows] == [f"{7 * k / 100:.6f}" for k in range(6)]
    assert (counts.cases, counts.graded, counts.failed, counts.indeterminate) == (6, 6, 0, 0)
    assert list(outcomes) == NAMES and outcomes["case_05"].probability_hgg == 0.35
    kept = json.loads((tmp_path / "out" / "cases" / "case_05" / "result.json").read_text(encoding="utf-8"))
    assert kept["probability_hgg"] == 0.35


@pytest.mark.parametrize("typed", ["in", "./in", "../{here}/in", "list.csv"])
def test_results_do_not_hang_on_how_the_input_is_typed(source, tmp_path, monkeypatch, typed):
    """The paths in the errors are absolute, as those of cases that fail when they are read."""
    (source / "case_02" / "case_02_flair.nii.gz").unlink()
    roles = [f"in/{{0}}/{{0}}_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg")]
    rows = [",".join([name, *(role.format(name) for role in roles)]) for name in NAMES]
    (tmp_path / "list.csv").write_text("\n".join(["case,t1,t2,flair,mask", *rows]))
    monkeypatch.chdir(tmp_path)
    given = Path(typed.format(here=tmp_path.name))
    grade(given, Path("relative"))
    grade(given.resolve(), tmp_path / "absolute")
    assert without_seconds(tmp_path / "relative") == without_seconds(tmp_path / "absolute")
    assert str(source / "case_02") in table(tmp_path / "relative")[2]["error"]
    grade(given.resolve(), tmp_path / "relative", NeverSubmitted(), resume=True)


def test_a_case_without_all_files_is_a_failed_row(source, tmp_path):
    (source / "case_02" / "case_02_flair.nii.gz").unlink()
    runner = Instant()
    counts, outcomes = grade(source, tmp_path / "out", runner)
    row = table(tmp_path / "out")[2]
    assert (row["case"], row["status"], counts.failed) == ("case_02", "failed", 1)
    assert row["error"].startswith("FLAIR not found")
    assert "case_02" not in runner.seen and isinstance(outcomes["case_02"], GliomaGradingError)
    assert not (tmp_path / "out" / "cases" / "case_02").exists()


def test_an_output_inside_the_input_is_not_graded(source):
    grade(source, source / "out")
    counts, _ = grade(source, source / "out", resume=True)
    assert counts.cases == 6 and counts.earlier == 6


def test_a_cell_is_no_formula(tmp_path):
    make_cohort(tmp_path / "in", ["=cmd|x", "plain"])
    grade(tmp_path / "in", tmp_path / "out", Instant({"plain": UsageError("@SUM(A1)")}))
    rows = table(tmp_path / "out")
    assert rows[0]["case"] == "'=cmd|x" and rows[1]["error"] == "'@SUM(A1)"


def test_folder_names_are_safe_and_different():
    given = ["a", "A", "../x", "a/b", "a_b", "con", "", "é", "e\u0301", "-rf", "x" * 300, "a\nb", "\udc80"]
    names = folder_names(given)
    assert names[0] == "a" and names[4] == "a_b"
    assert len({name.casefold() for name in names}) == len(given)
    assert all(re.fullmatch(r"[^/\\\n:*?\"<>|]+", name) and len(name.encode()) < 240 for name in names)
    assert not any(name.startswith(("-", ".")) or name.endswith((".", " ")) for name in names)
    assert folder_names(given) == names


# Trying again


def test_what_may_be_the_machines_fault_is_tried_twice_and_the_cases_own_fault_once(source, tmp_path):
    runner = Instant({"case_01": "crashed", "case_03": UsageError("empty mask")})
    grade(source, tmp_path / "out", runner)
    rows = table(tmp_path / "out")
    assert (runner.seen.count("case_01"), runner.seen.count("case_03")) == (2, 1)
    assert rows[1]["error"] == "given up after 2 tries: crashed"
    assert rows[3]["error"] == "empty mask"


# Resume


def test_resume_does_the_rest_and_nothing_twice(source, tmp_path):
    grade(source, tmp_path / "whole")
    with pytest.raises(BatchInterrupted, match=r"2 of 6 cases are done.*--resume") as caught:
        grade(source, tmp_path / "out", watch=stopping_after(2))
    assert caught.value.exit_status == 130
    assert len(table(tmp_path / "out")) == 2
    runner = Instant()
    counts, _ = grade(source, tmp_path / "out", runner, resume=True)
    assert counts.earlier == 2 and len(runner.seen) == 4
    assert without_seconds(tmp_path / "out") == without_seconds(tmp_path / "whole")
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True)
    assert runner.seen == []


class Interrupted(Instant):
    """A runner that is interrupted before its first answer."""

    def collect(self):
        raise KeyboardInterrupt


FIGURES = ("evaluation.json", "cases.csv", "cohort.html")


@pytest.mark.usefixtures("few_draws")
def test_figures_of_fewer_cases_do_not_outlive_the_first_new_one(source, tmp_path):
    """An interrupted resume leaves more rows than they are of; one with nothing to do leaves them alone."""
    grades = tmp_path / "g.csv"
    grades.write_text("case,grade\n" + "".join(f"case_{k:02d},{'HGG' if k % 2 else 'LGG'}\n" for k in range(9)))
    out = tmp_path / "out"
    grade(source, out, grades=grades)
    assert all((out / name).exists() for name in FIGURES)
    make_cohort(source, [f"case_{k:02d}" for k in (6, 7, 8)])
    with pytest.raises(BatchInterrupted):
        grade(source, out, Interrupted(), grades=grades, resume=True)
    assert len(table(out)) == 6 and all((out / name).exists() for name in FIGURES)
    with pytest.raises(BatchInterrupted):
        grade(source, out, watch=stopping_after(1), grades=grades, resume=True)
    assert len(table(out)) == 7 and not any((out / name).exists() for name in FIGURES)
    grade(source, out, grades=grades, resume=True)
    assert len(table(out)) == 9 and all((out / name).exists() for name in FIGURES)


@pytest.mark.parametrize("content", [b"\0", b"[", b"\xff"])
def test_a_result_whose_content_is_lost_is_made_again(source, tmp_path, content):
    """As a file system that has lost power leaves it: of its length, and zeros."""
    grade(source, tmp_path / "out")
    path = tmp_path / "out" / "cases" / "case_03" / "result.json"
    whole = path.read_bytes()
    path.write_bytes(content * len(whole))
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True)
    assert runner.seen == ["case_03"]
    assert json.loads(path.read_bytes())["probability_hgg"] == json.loads(whole)["probability_hgg"]


def test_a_result_that_is_lost_meanwhile_is_that_cases_error(source, tmp_path):
    _, outcomes = grade(source, tmp_path / "out")
    path = tmp_path / "out" / "cases" / "case_03" / "result.json"
    path.write_bytes(bytes(path.stat().st_size))
    assert isinstance(outcomes["case_03"], CaseError) and outcomes["case_02"].grade
    assert "the result of case_03 cannot be read" in str(outcomes["case_03"])


def stopping_after(count):
    done = []
    return Watch(finished=lambda case, counts: done.append(case), cancelled=lambda: len(done) >= count)


def test_a_batch_is_not_begun_where_one_is_unless_asked(source, tmp_path):
    grade(source, tmp_path / "out")
    with pytest.raises(UsageError, match=r"holds the results of a batch.*--resume.*--overwrite"):
        grade(source, tmp_path / "out")
    runner = Instant()
    grade(source, tmp_path / "out", runner, overwrite=True)
    assert sorted(runner.seen) == NAMES


def test_what_is_not_ours_is_never_overwritten(source, tmp_path):
    (tmp_path / "out" / "cases").mkdir(parents=True)
    (tmp_path / "out" / "cases" / "mine.txt").write_text("keep")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UsageError, match="no batch of this program wrote"):
            grade(source, tmp_path / "out", **options)
    assert (tmp_path / "out" / "cases" / "mine.txt").read_text() == "keep"


def test_to_start_anew_removes_what_a_batch_wrote_and_nothing_else(source, tmp_path):
    out, cases = tmp_path / "out", tmp_path / "out" / "cases"
    grade(source, out)
    shutil.copytree(cases / "case_04", cases / "case_04 as it was")
    shutil.copytree(cases / "case_05", cases / "case_77")
    text = (cases / "case_77" / "result.json").read_text(encoding="utf-8")
    (cases / "case_77" / "result.json").write_text(text.replace("case_05", "case_77"), encoding="utf-8")
    mine = [
        out / "mine.txt",
        cases / "my_review.txt",
        cases / "case_03" / "notes.docx",
        cases / "old" / "x.txt",
    ]
    (cases / "old").mkdir()
    for path in mine:
        path.write_text("keep")
    (cases / "case_03" / "slices.png").write_text("of a batch with reports")
    (source / "case_05" / "case_05_t1.nii.gz").write_bytes(b"\x50")
    shutil.rmtree(source / "case_00")
    shutil.rmtree(source / "case_03")
    grade(source, out, overwrite=True)
    assert [path.read_text() for path in mine] == ["keep"] * 4
    assert (cases / "case_04 as it was" / "result.json").is_file(), "somebody's copy"
    left = ["case_01", "case_02", "case_03", "case_04", "case_04 as it was", "case_05", "my_review.txt", "old"]
    assert sorted(path.name for path in cases.iterdir()) == left, "case_77 was of a batch that was killed"
    assert [path.name for path in (cases / "case_03").iterdir()] == ["notes.docx"]
    assert [row["case"] for row in table(out)] == ["case_01", "case_02", "case_04", "case_05"]
    assert json.loads((cases / "case_05" / "result.json").read_bytes())["probability_hgg"] == 0.8


@pytest.mark.parametrize("again", ["overwrite", "resume"])
def test_a_new_result_comes_beside_somebodys_own_file(source, tmp_path, again):
    grade(source, tmp_path / "out")
    folder = tmp_path / "out" / "cases" / "case_03"
    (folder / "notes.docx").write_text("keep")
    (folder / "result.json").write_text("cut short")
    (folder / "report.html").write_text("of an earlier result")
    runner = Instant()
    grade(source, tmp_path / "out", runner, **{again: True})
    assert sorted(runner.seen) == (["case_03"] if again == "resume" else NAMES)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.docx", "result.json"]
    assert (folder / "notes.docx").read_text() == "keep"
    assert json.loads((folder / "result.json").read_bytes())["probability_hgg"] == 0.21
    assert not list(folder.parent.glob(".*"))
    grade(source, tmp_path / "out", NeverSubmitted(), resume=True)


def test_a_case_that_fails_or_goes_leaves_somebodys_own_file(source, tmp_path):
    grade(source, tmp_path / "out")
    cases = tmp_path / "out" / "cases"
    for name in ("case_02", "case_04"):
        (cases / name / "notes.docx").write_text("keep")
    shutil.rmtree(source / "case_02")
    os.utime(source / "case_04" / "case_04_t1.nii.gz", (1, 1))
    runner = Instant({"case_04": UsageError("empty mask")})
    grade(source, tmp_path / "out", runner, resume=True, retryChanged=True)
    for name in ("case_02", "case_04"):
        assert [path.name for path in (cases / name).iterdir()] == ["notes.docx"]


def test_somebodys_own_file_where_a_cases_folder_goes_is_named(source, tmp_path):
    grade(source, tmp_path / "out")
    folder = tmp_path / "out" / "cases" / "case_03"
    shutil.rmtree(folder)
    folder.write_text("keep")
    with pytest.raises(BatchStopped) as stopped:
        grade(source, tmp_path / "out", resume=True)
    assert str(stopped.value) == (
        f"a file that no batch wrote stands where the results of a case go, in {folder}: "
        "move it away, then run again with --resume; what was reported is safe"
    )
    assert folder.read_text() == "keep"
    folder.unlink()
    assert grade(source, tmp_path / "out", resume=True)[0].earlier == 5


def test_a_result_that_does_not_get_beside_somebodys_own_file_is_made_again(source, tmp_path, monkeypatch):
    """The disk fails between the first file of a case and its second."""
    grade(source, tmp_path / "out")
    folder = tmp_path / "out" / "cases" / "case_03"
    (folder / "notes.docx").write_text("keep")
    (folder / "result.json").unlink()
    real = Path.rename

    def failing(path, target):
        if Path(target).parent == folder:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(BatchStopped, match=os.strerror(errno.EIO)):
        grade(source, tmp_path / "out", resume=True)
    monkeypatch.undo()
    assert [path.name for path in folder.iterdir()] == ["notes.docx"] and not list(folder.parent.glob(".*"))
    assert grade(source, tmp_path / "out", resume=True)[0].earlier == 5
    assert sorted(path.name for path in folder.iterdir()) == ["notes.docx", "result.json"]


def test_what_a_batch_writes_of_a_case_is_known_by_name():
    """What is not would stay beside the result of the next batch."""
    from GliomaGradingLib.cohort.case_folder import FILES

    assert {"result.json", "report.html", "slices.png", "result.dcm", "overlay.dcm", "thumbnail.png"} == {
        *FILES
    }


@pytest.mark.parametrize(
    ("runner", "settings", "words"),
    [
        (Instant(model={**MODEL, "sha256": "6" * 64}), Settings(), "bundle stub 1 .sha256 555"),
        (
            Instant(model={**MODEL, "device": "cuda"}),
            Settings(),
            "made with device cpu, and this batch is with device cuda",
        ),
        (NeverStarted(), Settings(vote="soft"), "with --vote majority, and this batch is with --vote soft"),
        (
            NeverStarted(),
            Settings(maskLabels=(1, 4)),
            "without --mask-labels, and this batch is with --mask-labels 1,4",
        ),
        (
            NeverStarted(),
            Settings(reports=True),
            "made without --reports, and .* with --reports, in .*: run it without",
        ),
        (NeverStarted(), Settings(register="never"), "--register"),
    ],
)
def test_results_of_another_bundle_or_other_options_do_not_mix(source, tmp_path, runner, settings, words):
    grade(source, tmp_path / "out")
    before = without_seconds(tmp_path / "out")
    with pytest.raises(UsageError, match=words):
        grade(source, tmp_path / "out", runner, settings, resume=True)
    assert runner.seen == [] and without_seconds(tmp_path / "out") == before


@pytest.mark.parametrize("labels", [(1, 2, 4), (4, 2, 1), (1, 2, 2, 4)])
def test_the_same_labels_in_another_order_are_the_same_options(source, tmp_path, labels):
    out = tmp_path / "out"
    grade(source, out, settings=Settings(maskLabels=(4, 1, 2)))
    assert json.loads((out / "batch.json").read_text())["options"]["mask_labels"] == [1, 2, 4]
    assert grade(source, out, NeverSubmitted(), Settings(maskLabels=labels), resume=True)[0].earlier == 6
    record = json.loads((out / "batch.json").read_text())
    record["options"]["mask_labels"] = [4, 2, 2, 1]  # as batches kept them once
    (out / "batch.json").write_text(json.dumps(record))
    assert grade(source, out, NeverSubmitted(), Settings(maskLabels=labels), resume=True)[0].earlier == 6
    with pytest.raises(UsageError, match="with --mask-labels 1,2,4, and this batch is with --mask-labels 1,4"):
        grade(source, out, NeverStarted(), Settings(maskLabels=(4, 1)), resume=True)


def test_a_switch_is_told_in_words_both_ways(source, tmp_path):
    settings = Settings(reports=True, dicom=True, maskLabels=(1, 4))
    grade(source, tmp_path / "out", settings=settings)
    with pytest.raises(UsageError) as refused:
        grade(source, tmp_path / "out", settings=Settings(reports=True, maskLabels=(1, 4)), resume=True)
    assert str(refused.value) == (
        f"the results here were made with --dicom, and this batch is without --dicom, in {tmp_path / 'out'}: "
        "run it with --dicom, use --overwrite to start anew, or choose another --output"
    )


def test_a_changed_input_is_refused_and_named(source, tmp_path):
    grade(source, tmp_path / "out")
    (source / "case_04" / "case_04_t2.nii.gz").write_bytes(b"another image")
    with pytest.raises(UsageError, match="the input of case_04 has changed since it was graded"):
        grade(source, tmp_path / "out", NeverStarted(), resume=True)


def test_a_case_that_failed_may_go(source, tmp_path):
    grade(source, tmp_path / "out", Instant({"case_02": UsageError("it is damaged")}))
    shutil.rmtree(source / "case_02")
    counts, _ = grade(source, tmp_path / "out", NeverSubmitted(), resume=True)
    assert (counts.cases, counts.earlier, counts.failed) == (5, 5, 0)


def test_cases_that_others_give_another_name_are_told_so(tmp_path):
    make_cohort(tmp_path / "in" / "siteA", ["p1", "p2"])
    grade(tmp_path / "in", tmp_path / "out")
    make_cohort(tmp_path / "in" / "siteB", ["p1"])
    with pytest.raises(UsageError) as refused:
        grade(tmp_path / "in", tmp_path / "out", NeverStarted(), resume=True)
    told = "p1 was graded here, and is called siteA_p1 since others have joined the input"
    assert refused.value.problem == told and "a folder of their own" in refused.value.remedy


def plain_cohort(folder, *names):
    """Cases that are called as their folders."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for role in ("t1", "t2", "flair", "seg"):
            (folder / name / f"{role}.nii.gz").write_bytes(b"\x20")
    return folder


def renamed(folder, before, after):
    """By another name, as what ignores case cannot do it at once."""
    (folder / before).rename(folder / "aside")
    (folder / "aside").rename(folder / after)


@pytest.mark.parametrize(("name", "joins"), [("P2", ["p9"]), ("P2", []), ("other", [])])
def test_a_case_with_another_name_is_told_so(tmp_path, name, joins):
    source = plain_cohort(tmp_path / "in", "p1", "p2")
    grade(source, tmp_path / "out")
    renamed(source, "p2", name)
    plain_cohort(source, *joins)
    with pytest.raises(UsageError) as refused:
        grade(source, tmp_path / "out", NeverStarted(), resume=True)
    assert refused.value.problem == f"p2 was graded here, and is called {name} now"
    assert "give it its name back, add --retry-changed to grade it again, or" in refused.value.remedy
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True, retryChanged=True)
    assert sorted(runner.seen) == sorted([name, *joins])


def test_cases_that_are_all_renamed_are_not_told_to_be_dropped(tmp_path):
    source = plain_cohort(tmp_path / "in", "p1", "p2")
    grade(source, tmp_path / "out")
    for name in ("p1", "p2"):
        renamed(source, name, name.upper())
    with pytest.raises(UsageError, match="p1 was graded here, and is called P1 now") as refused:
        grade(source, tmp_path / "out", NeverStarted(), resume=True)
    assert refused.value.remedy == "give it its name back, or use --overwrite to start anew"


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_a_batch_without_its_record_is_told_so(source, tmp_path, choice):
    grade(source, tmp_path / "out")
    (tmp_path / "out" / "batch.json").unlink()
    before = without_seconds(tmp_path / "out")
    with pytest.raises(UsageError) as refused:
        grade(source, tmp_path / "out", NeverStarted(), **{choice: True})
    assert refused.value.problem == "the folder holds the results of a batch, and its batch.json is missing"
    assert refused.value.remedy == "restore batch.json, choose another --output, or move the folder away"
    assert without_seconds(tmp_path / "out") == before


def test_a_table_that_another_program_shows_stops_nothing_before_the_end(source, tmp_path, monkeypatch):
    """Windows lets nobody replace a file that Excel has open."""
    write = store.write_atomically

    def held(path, content):
        if path.name == "results.csv":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return write(path, content)

    monkeypatch.setattr(store, "write_atomically", held)
    monkeypatch.setattr("GliomaGradingLib.cohort.batch._TABLE_SECONDS", 0.0)
    monkeypatch.setattr("GliomaGradingLib.cohort.batch._TABLE_SHARE", 0)
    with pytest.raises(BatchStopped, match=r"results.csv: close the program that has the file open") as stopped:
        grade(source, tmp_path / "out")
    assert "what was reported is safe" in stopped.value.remedy
    monkeypatch.setattr(store, "write_atomically", write)
    counts, _ = grade(source, tmp_path / "out", NeverSubmitted(), resume=True)
    assert counts.earlier == 6


def test_who_interrupts_while_models_are_loaded_hears_what_is_done(source, tmp_path, monkeypatch):
    grade(source, tmp_path / "out")
    runner = Instant()
    monkeypatch.setattr(runner, "start", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(BatchInterrupted, match="6 of 6 cases are done"):
        grade(source, tmp_path / "out", runner, resume=True)


def test_a_case_that_is_gone_is_refused_and_a_new_one_is_graded(source, tmp_path):
    grade(source, tmp_path / "out")
    make_cohort(source, ["case_99"])
    counts, _ = grade(source, tmp_path / "out", resume=True)
    assert (counts.cases, counts.earlier) == (7, 6)
    (source / "case_99").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="case_99 was graded here and is no longer in the input"):
        grade(source, tmp_path / "out", resume=True)


def test_a_failed_case_is_tried_again_when_mended_or_asked_for(source, tmp_path):
    broken = Instant({"case_01": UsageError("empty mask"), "case_02": UsageError("empty mask")})
    grade(source, tmp_path / "out", broken)
    (source / "case_01" / "case_01_seg.nii.gz").write_bytes(b"a mended mask")
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True)
    assert runner.seen == ["case_01"]
    runner = Instant()
    counts, _ = grade(source, tmp_path / "out", runner, resume=True, retryFailed=True)
    assert runner.seen == ["case_02"] and counts.failed == 0
    assert [row["status"] for row in table(tmp_path / "out")] == ["graded"] * 6


def test_changed_cases_are_graded_again_and_those_that_are_gone_dropped_where_asked_for(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output)
    shutil.rmtree(source / "case_02")
    os.utime(source / "case_04" / "case_04_seg.nii.gz", (1, 1))
    with pytest.raises(UsageError, match=r"case_02 was graded here .*: restore the input, add --retry-changed"):
        grade(source, output, NeverStarted(), resume=True)
    (output / "cases" / "case_04" / "report.html").write_text("of the earlier input")
    with pytest.raises(BatchInterrupted):  # what was dropped stays dropped
        grade(source, output, Instant(), None, Watch(cancelled=lambda: True), resume=True, retryChanged=True)
    runner = Instant()
    done = run(BatchJob(source, output, resume=True, retryChanged=True), Settings(), lambda: runner)
    assert set(runner.seen) <= {"case_04"} and done.counts.cases == done.counts.graded == 5
    assert [row["case"] for row in table(output)] == [name for name in NAMES if name != "case_02"]
    assert sorted(path.name for path in (output / "cases").iterdir()) == [n for n in NAMES if n != "case_02"]
    assert not (output / "cases" / "case_04" / "report.html").exists()
    grade(source, output, NeverSubmitted(), resume=True)
    grade(source, tmp_path / "anew")
    assert without_seconds(output) == without_seconds(tmp_path / "anew")


def test_what_was_done_about_a_changed_input_is_told(source, tmp_path):
    grade(source, tmp_path / "out")
    for name in ("case_02", "case_03"):
        shutil.rmtree(source / name)
    os.utime(source / "case_04" / "case_04_seg.nii.gz", (1, 1))
    done = run(BatchJob(source, tmp_path / "out", resume=True, retryChanged=True), Settings(), Instant)
    assert done.remarks[:2] == [
        "Tried again, the input having changed: 1 (case_04)",
        "Dropped with their results, being no longer in the input: 2 (case_02, case_03)",
    ]
    assert (
        run(BatchJob(source, tmp_path / "out", resume=True, retryChanged=True), Settings(), Instant).remarks
        == []
    )
    other = make_cohort(tmp_path / "other", ["x1"])
    with pytest.raises(
        UsageError, match="none of the 4 cases that were graded here are in the input, which lacks"
    ):
        grade(other, tmp_path / "out", NeverStarted(), resume=True, retryChanged=True)
    assert len(table(tmp_path / "out")) == 4


def test_a_changed_case_keeps_its_result_until_there_is_a_new_one(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output)
    before = without_seconds(output)
    for name in NAMES:
        (source / name / f"{name}_t1.nii.gz").write_bytes(bytes([90]))
    seen = []

    def one_is_done():
        return len(seen) == 1

    watch = Watch(finished=lambda case, counts: seen.append((case, counts.done)), cancelled=one_is_done)
    with pytest.raises(BatchInterrupted, match="1 of 6 cases are done"):
        grade(source, output, Instant(), None, watch, resume=True, retryChanged=True)
    ((new, done),) = seen
    assert done == 1
    after = without_seconds(output)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {f"cases/{new}/result.json", "results.csv"}
    assert [row["case"] for row in table(output)] == NAMES
    assert {row["case"]: row["probability_hgg"] for row in table(output)}[new] == "0.900000"
    runner, begun = Instant(), []
    grade(source, output, runner, None, Watch(begun=begun.append), resume=True)  # as the interrupted one says
    assert sorted(runner.seen) == [name for name in NAMES if name != new] and begun[0].earlier == 1
    assert {row["probability_hgg"] for row in table(output)} == {"0.900000"}
    grade(source, output, NeverSubmitted(), resume=True)
    grade(source, tmp_path / "anew")
    assert without_seconds(output) == without_seconds(tmp_path / "anew")


def test_a_changed_case_whose_new_result_finds_no_room_has_none(source, tmp_path, monkeypatch):
    output = tmp_path / "out"
    grade(source, output)
    os.utime(source / "case_04" / "case_04_seg.nii.gz", (1, 1))

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_durably", full)
        with pytest.raises(BatchStopped, match="No space left on device"):
            grade(source, output, resume=True, retryChanged=True)
    others = [name for name in NAMES if name != "case_04"]
    assert [row["case"] for row in table(output)] == others
    assert sorted(path.name for path in (output / "cases").iterdir()) == others
    runner = Instant()
    grade(source, output, runner, resume=True)
    assert runner.seen == ["case_04"] and [row["case"] for row in table(output)] == NAMES


def test_a_changed_case_that_fails_has_no_result_any_more(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output)
    os.utime(source / "case_04" / "case_04_seg.nii.gz", (1, 1))
    counts, _ = grade(
        source, output, Instant({"case_04": UsageError("empty mask")}), resume=True, retryChanged=True
    )
    assert (counts.done, counts.failed) == (6, 1) and not (output / "cases" / "case_04").exists()
    assert [row["status"] for row in table(output)] == ["graded"] * 4 + ["failed", "graded"]


def test_a_case_that_was_outdated_and_is_gone_is_told_as_any_other(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output)
    os.utime(source / "case_04" / "case_04_seg.nii.gz", (1, 1))
    with pytest.raises(BatchInterrupted):
        grade(source, output, Instant(), None, Watch(cancelled=lambda: True), resume=True, retryChanged=True)
    shutil.rmtree(source / "case_04")
    with pytest.raises(UsageError, match="case_04 was graded here and is no longer in the input"):
        grade(source, output, NeverStarted(), resume=True)
    counts, _ = grade(source, output, NeverSubmitted(), resume=True, retryChanged=True)
    assert counts.cases == counts.done == 5 and not (output / "cases" / "case_04").exists()


def test_a_part_of_the_input_drops_no_results_of_the_rest(source, tmp_path):
    grade(source, tmp_path / "out")
    before = without_seconds(tmp_path / "out")
    with pytest.raises(UsageError) as refused:
        grade(source / "case_03", tmp_path / "out", NeverStarted(), resume=True, retryChanged=True)
    problem = "only 1 of the 6 cases that were graded here are in the input, which lacks case_00"
    assert refused.value.problem == problem
    assert refused.value.remedy.startswith("give the whole input of this batch, use --overwrite for a batch of")
    assert without_seconds(tmp_path / "out") == before
    for name in ("case_00", "case_01", "case_02"):
        shutil.rmtree(source / name)
    counts, _ = grade(source, tmp_path / "out", NeverSubmitted(), resume=True, retryChanged=True)
    assert counts.cases == len(table(tmp_path / "out")) == 3


def test_failed_cases_whose_new_try_was_interrupted_are_tried_when_it_goes_on(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output, Instant(dict.fromkeys(NAMES[1:5], UsageError("the share is away"))))
    told = []
    watch = Watch(finished=lambda case, counts: told.append(case), cancelled=lambda: len(told) == 1)
    with pytest.raises(BatchInterrupted, match="3 of 6 cases are done"):
        grade(source, output, Instant(), None, watch, resume=True, retryFailed=True)
    rows = {row["case"]: row["status"] for row in table(output)}
    assert list(rows) == NAMES  # whose first try failed keeps its row until the next
    assert sorted(case for case in NAMES if rows[case] == "failed") == sorted({*NAMES[1:5]} - {*told})
    runner = Instant()
    counts, _ = grade(source, output, runner, resume=True)
    assert sorted(runner.seen) == sorted({*NAMES[1:5]} - {*told})
    assert (counts.done, counts.failed, counts.earlier) == (6, 0, 3)


@pytest.mark.parametrize("retryChanged", [False, True])
def test_results_whose_images_are_away_stay(source, tmp_path, retryChanged):
    output = tmp_path / "out"
    grade(source, output)
    before = without_seconds(output)
    image = source / "case_04" / "case_04_flair.nii.gz"
    image.rename(tmp_path / "away")
    image.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError) as refused:
        grade(source, output, NeverStarted(), resume=True, retryChanged=retryChanged)
    why = "case_04: No such file or directory"
    assert refused.value.problem == f"the input of case_04, graded here, cannot be looked at now ({why})"
    assert refused.value.remedy.startswith("connect what is away (a disk, a share, the data behind links)")
    assert without_seconds(output) == before
    image.unlink()
    (tmp_path / "away").rename(image)
    counts, _ = grade(source, output, NeverSubmitted(), resume=True)
    assert counts.earlier == 6


def test_a_failed_case_whose_images_are_away_hinders_no_other(source, tmp_path):
    """It has no result that could be lost."""
    output, image = tmp_path / "out", source / "case_01" / "case_01_flair.nii.gz"
    image.unlink()
    image.symlink_to(tmp_path / "nowhere")
    away = {"case_01": UsageError("it cannot be read")}
    grade(source, output, Instant({**away, "case_02": UsageError("the share is away")}))
    with pytest.raises(BatchInterrupted):
        grade(source, output, Instant(away), None, Watch(cancelled=lambda: True), resume=True, retryFailed=True)
    counts, _ = grade(source, output, Instant(away), resume=True)
    assert (counts.done, counts.failed, counts.earlier) == (6, 1, 5)


def test_a_result_that_was_to_be_made_again_stays_while_its_images_are_away(source, tmp_path):
    output = tmp_path / "out"
    grade(source, output)
    image = source / "case_04" / "case_04_seg.nii.gz"
    os.utime(image, (1, 1))
    with pytest.raises(BatchInterrupted):
        grade(source, output, Instant(), None, Watch(cancelled=lambda: True), resume=True, retryChanged=True)
    image.unlink()
    image.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="the input of case_04, graded here, cannot be looked at now"):
        grade(source, output, NeverStarted(), resume=True)
    assert (output / "cases" / "case_04" / "result.json").is_file()


@pytest.mark.parametrize("retryChanged", [False, True])
def test_results_of_a_site_that_is_away_stay(tmp_path, capsys, retryChanged):
    site = make_cohort(tmp_path / "mounted", ["b_1", "b_2"])
    source = make_cohort(tmp_path / "in", NAMES)
    (source / "site").symlink_to(site)
    output = tmp_path / "out"
    assert grade(source, output)[0].graded == 8
    site.rename(tmp_path / "away")
    with pytest.raises(UsageError) as refused:
        grade(source, output, NeverStarted(), resume=True, retryChanged=retryChanged)
    why = f"{source / 'site'}: a link to nowhere"
    assert refused.value.problem == f"the input of b_1 and 1 more, graded here, cannot be looked at now ({why})"
    assert len(list((output / "cases").iterdir())) == 8
    (source / "site").unlink()
    counts, _ = grade(source, output, NeverSubmitted(), resume=True, retryChanged=True)
    assert counts.cases == 6


def test_a_part_of_the_input_that_cannot_be_read_is_told_and_is_no_success(
    source, tmp_path, capsys, monkeypatch
):
    from GliomaGradingLib.cli import batch

    (source / "site").symlink_to(tmp_path / "nowhere")
    (source / "circle").symlink_to(source)  # nothing can be in it that is not there anyway
    monkeypatch.setattr(batch, "_runner", lambda options, settings: Instant())
    from GliomaGradingLib import cli

    words = ["batch", str(source), "--output", str(tmp_path / "out"), "--quiet"]
    assert cli.main(words) == 1
    told = capsys.readouterr().out.splitlines()
    place = f"Not read       {source / 'site'} (a link to nowhere)"
    assert f"{place}: there may be cases, which are not in these counts" in told
    assert "Skipped        1 that are no cases to grade: --dry-run names them" in told
    (source / "site").unlink()
    assert cli.main([*words, "--resume"]) == 0
    assert "Not read" not in capsys.readouterr().out


def test_many_links_to_nowhere_are_told_once(source, tmp_path):
    (source / "study").mkdir()
    for number in range(200):
        (source / "study" / f"IM{number:04d}").symlink_to(tmp_path / "nowhere")
    cohort = list_cases(BatchJob(source))
    assert [(item.path, item.reason) for item in cohort.unread] == [(source / "study", "200 links to nowhere")]


def test_a_dry_run_says_which_case_cannot_be_read(source, tmp_path):
    from GliomaGradingLib.cohort.headers import with_headers_checked

    image = source / "case_02" / "case_02_t2.nii.gz"
    image.unlink()
    image.symlink_to(tmp_path / "nowhere")
    cohort = with_headers_checked(list_cases(BatchJob(source), isDryRun=True))
    told = {entry.case: entry.problem for entry in cohort.cases}
    assert told.pop("case_02") == "its files cannot be looked at (No such file or directory)"
    assert set(told.values()) == {""}


def test_a_move_that_somebody_forbids_for_a_moment_is_tried_again(source, tmp_path, monkeypatch):
    rename, held = Path.rename, {"times": 3}

    def hold(path, target):
        if path.name.endswith(".part") and held["times"]:
            held["times"] -= 1
            raise PermissionError(errno.EACCES, "a virus scanner reads it", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", hold)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    counts, _ = grade(source, tmp_path / "out")
    assert counts.graded == 6 and held["times"] == 0
    held["times"] = 100
    with pytest.raises(BatchStopped, match="the results cannot be written"):
        grade(source, tmp_path / "other")


@pytest.mark.parametrize("retry", ["--retry-failed", "--retry-changed"])
def test_trying_cases_again_is_not_starting_anew(source, tmp_path, capsys, retry):
    from GliomaGradingLib import cli

    grade(source, tmp_path / "out")
    before = without_seconds(tmp_path / "out")
    words = ["batch", str(source), "--output", str(tmp_path / "out"), "--overwrite", retry]
    assert cli.main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: --overwrite and {retry} are given: give {retry} alone to keep")
    assert without_seconds(tmp_path / "out") == before


def test_a_removed_result_is_graded_again(source, tmp_path):
    grade(source, tmp_path / "out")
    (tmp_path / "out" / "cases" / "case_03" / "result.json").unlink()
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True)
    assert runner.seen == ["case_03"]


@pytest.mark.parametrize("name", ["result.json", "report.html"])
def test_a_file_that_was_cut_short_or_removed_is_made_again(source, tmp_path, name):
    class Reporting(Instant):
        def collect(self):
            return [replace(o, files={**o.files, "report.html": b"<p>report</p>"}) for o in super().collect()]

    settings = Settings(reports=True)
    grade(source, tmp_path / "out", Reporting(), settings)
    path = tmp_path / "out" / "cases" / "case_03" / name
    for damage in (lambda: path.write_bytes(path.read_bytes()[:10]), path.unlink):
        damage()
        runner = Reporting()
        grade(source, tmp_path / "out", runner, settings, resume=True)
        assert runner.seen == ["case_03"] and path.stat().st_size > 10


def test_the_fingerprint_does_not_see_what_systems_write_into_a_folder_they_show(tmp_path):
    """Who looks at the input with a file manager can still resume."""
    (tmp_path / "a" / "s1").mkdir(parents=True)
    (tmp_path / "a" / "s1" / "1.dcm").write_bytes(b"1")
    before = fingerprint({"T1": tmp_path / "a"})
    for name in (".DS_Store", "s1/._1.dcm", "s1/Thumbs.db", "desktop.ini", ".cache/1.dcm"):
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"x")
        assert fingerprint({"T1": tmp_path / "a"}) == before, name


def test_the_fingerprint_sees_size_time_and_every_file_of_a_series(tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"1")
    files = {"T1": series}
    before = fingerprint(files)
    (series / "2.dcm").write_bytes(b"2")
    more = fingerprint(files)
    os.utime(series / "1.dcm", ns=(0, 1))
    assert len({before, more, fingerprint(files), fingerprint({"T2": series})}) == 4
    assert fingerprint({"T1": tmp_path / "absent"}) != fingerprint({})


@pytest.mark.parametrize(
    ("name", "voxels"), [("a.mhd", "a.raw"), ("a.mhd", "a.zraw"), ("a.nhdr", "a.raw.gz"), ("a.hdr", "a.img")]
)
def test_the_fingerprint_sees_voxels_in_a_file_beside_the_header(tmp_path, name, voxels):
    """A corrected mask is written over the old one, and its header stays what it was."""
    is_packed = voxels in ("a.zraw", "a.raw.gz")
    write_volume(tmp_path / name, is_packed)
    states = [fingerprint({"mask": tmp_path / name})]
    (tmp_path / "beside.raw").write_bytes(b"another volume's")
    states.append(fingerprint({"mask": tmp_path / name}))
    assert states[0] == states[1]
    os.utime(tmp_path / voxels, ns=(0, 1))
    states.append(fingerprint({"mask": tmp_path / name}))
    (tmp_path / voxels).unlink()
    states.append(fingerprint({"mask": tmp_path / name}))
    assert len(set(states)) == 3


def test_the_fingerprint_of_voxels_sees_their_header(tmp_path):
    write_volume(tmp_path / "a.hdr", False)
    before = fingerprint({"mask": tmp_path / "a.img"})
    os.utime(tmp_path / "a.hdr", ns=(0, 1))
    assert fingerprint({"mask": tmp_path / "a.img"}) != before


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii.gz", "empty.mhd", "binary.nhdr", "huge.nrrd"])
def test_the_fingerprint_of_one_file_needs_no_other(tmp_path, name):
    if name.startswith("a."):
        write_volume(tmp_path / name, True)
    else:
        content = {"empty.mhd": b"", "binary.nhdr": b"NRRD0004\n\0\1\xff", "huge.nrrd": bytes(2 << 20)}[name]
        (tmp_path / name).write_bytes(content)
    assert data_files(tmp_path / name) == ()
    assert len(fingerprint({"mask": tmp_path / name})) == 32


def write_volume(path, is_packed):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=is_packed)


def test_other_labels_of_a_mask_are_another_input(source, tmp_path):
    def manifest(labels):
        files = ",".join(f"in/case_01/case_01_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg"))
        (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask,mask_labels\na,{files},{labels}\n")

    manifest("1 4")
    grade(tmp_path / "list.csv", tmp_path / "out")
    manifest("1")
    with pytest.raises(UsageError, match="the input of a has changed since it was graded"):
        grade(tmp_path / "list.csv", tmp_path / "out", resume=True)
    manifest("4 1")
    assert grade(tmp_path / "list.csv", tmp_path / "out", resume=True)[0].earlier == 1


def test_another_file_of_the_same_name_size_and_time_is_another_input(tmp_path):
    names = ("t1", "t2", "flair", "seg")
    for place in ("one", "two"):
        for name in names:
            path = tmp_path / place / f"{name}.nii"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"\7" if place == "one" else b"\1")
            os.utime(path, ns=(5, 5))
    header = "case,t1,t2,flair,mask\n"
    (tmp_path / "list.csv").write_text(header + "a," + ",".join(f"one/{name}.nii" for name in names))
    grade(tmp_path / "list.csv", tmp_path / "out")
    (tmp_path / "list.csv").write_text(header + "a," + ",".join(f"two/{name}.nii" for name in names))
    with pytest.raises(UsageError, match="the input of a has changed since it was graded"):
        grade(tmp_path / "list.csv", tmp_path / "out", resume=True)


@pytest.mark.parametrize("place", ["study", "study/out", "study/a/out", "link/out"])
def test_an_output_among_the_images_of_a_case_is_refused(tmp_path, place):
    """Its files would be a change of the case's: the batch could never be resumed."""
    (tmp_path / "study" / "a").mkdir(parents=True)
    (tmp_path / "study" / "a" / "1.dcm").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "study", target_is_directory=True)
    (tmp_path / "list.csv").write_text("case,t1,t2,flair,mask\np1,study,study,study,study\n")
    problem = r"^the output folder lies among the images of a case of the input \(p1\), in .*: choose another"
    with pytest.raises(UsageError, match=problem):
        grade(tmp_path / "list.csv", tmp_path / place)
    assert sorted(path.name for path in (tmp_path / "study").rglob("*")) == ["1.dcm", "a"]
    assert len(list_cases(BatchJob(tmp_path / "list.csv", tmp_path / "out")).cases) == 1


def test_a_case_whose_row_was_mended_is_graded_when_the_batch_is_resumed(source, tmp_path):
    """The files are as they were: what was wrong stood in the table."""
    row = ",".join(f"in/case_05/case_05_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg"))
    for labels, status in (("all", "failed"), ("", "graded")):
        (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask,mask_labels\na,{row},{labels}\n")
        grade(tmp_path / "list.csv", tmp_path / "out", resume=True)
        assert [line["status"] for line in table(tmp_path / "out")] == [status]


def test_a_cohort_that_was_moved_as_a_whole_is_the_same_input(source, tmp_path):
    grade(source, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    moved = source.rename(tmp_path / "elsewhere" / "moved")
    assert grade(moved, tmp_path / "out", resume=True)[0].earlier == 6


def test_a_study_that_is_for_every_sequence_is_looked_through_once(tmp_path, monkeypatch):
    (tmp_path / "study" / "s1" / "deep").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "study" / "s1" / "deep" / f"{number}.dcm").touch()
    looked, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(Path(path).name) or scandir(path))
    all_four = fingerprint(dict.fromkeys(("T1", "T2", "FLAIR", "mask"), tmp_path / "study"))
    assert looked == ["study", "s1", "deep"]
    assert fingerprint(dict.fromkeys(("T1", "T2", "FLAIR"), tmp_path / "study")) != all_four


def test_a_batch_of_an_earlier_form_is_refused_as_such(source, tmp_path):
    grade(source, tmp_path / "out")
    path = tmp_path / "out" / "batch.json"
    path.write_text(path.read_text().replace("glioma-grading/batch/2", "glioma-grading/batch/1"))
    with pytest.raises(UsageError, match=r"the earlier batch cannot be read .it is not of schema"):
        grade(source, tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "x"], "argument --workers: 'x' is no number of 1 or more"),
        (["--workers", "0"], "argument --workers: '0' is no number of 1 or more"),
        (["--timeout", "x"], "argument --timeout: 'x' is no time for a case in seconds, such as 900"),
        (["--timeout", "nan"], "argument --timeout: 'nan' is no time for a case in seconds, such as 900"),
    ],
)
def test_numbers_that_are_none_are_told(source, tmp_path, capsys, words, told):
    from GliomaGradingLib import cli

    assert cli.main(["batch", str(source), "--output", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err == f"error: {told}: see 'glioma-grading batch --help'\n"


def test_a_case_with_an_odd_grade_is_graded(source, tmp_path):
    files = ",".join(f"in/case_01/case_01_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg"))
    (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask,grade\na,{files},GBM\n")
    done = run(BatchJob(tmp_path / "list.csv", tmp_path / "out"), Settings(), Instant)
    assert (done.counts.graded, done.counts.failed) == (1, 0)
    assert done.cohort.notices[0].startswith("'GBM' in list.csv is no grade that counts")
    assert "GBM" in (tmp_path / "out" / "cohort.html").read_text()


# The output among the input


def test_an_output_that_is_a_case_of_the_input_is_refused(source, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for output in (source / "case_02", source / "case_00" / ".." / "case_02"):
        with pytest.raises(UsageError) as refused:
            grade(source, output)
        assert str(refused.value) == (
            f"the output folder is a case of the input, in {output}: choose another --output"
        )
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_with_cases_of_the_input_below_it_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match=r"the output folder holds a case \(case_00\) of the input, in .*/in:"):
        grade(tmp_path, source)
    assert not (source / "batch.lock").exists()


def test_an_output_below_a_case_or_with_an_earlier_batch_is_taken(source, tmp_path):
    for output in (source / "case_02" / "out", source / "out"):
        counts, _ = grade(source, output)
        assert counts.graded == 6
        assert grade(source, output, resume=True)[0].earlier == 6


# What a refused batch leaves


def leaves_nothing(source, output, match, runner=None):
    """A batch is refused with this text, and everything is as before."""
    before = sorted(source.parent.rglob("*"))
    with pytest.raises(GliomaGradingError, match=match):
        run(BatchJob(source, output), Settings(), runner or Instant)
    assert sorted(source.parent.rglob("*")) == before


def refusing(error):
    class Refusing(Instant):
        def start(self):
            raise error

    return Refusing


def test_a_batch_without_its_bundle_or_device_leaves_nothing(source, tmp_path, monkeypatch):
    from GliomaGradingLib.grading import choose_device

    no_bundle = refusing(BundleError("there is no bundle 'x'", remedy="choose another"))
    leaves_nothing(source, tmp_path / "new" / "out", "there is no bundle", no_bundle)
    (tmp_path / "there").mkdir()
    leaves_nothing(source, tmp_path / "there", "there is no bundle", no_bundle)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError) as no_cuda:
        choose_device("cuda")
    leaves_nothing(source, tmp_path / "new", "no CUDA that torch can use", refusing(no_cuda.value))


def test_a_batch_that_is_refused_for_what_lies_there_leaves_it_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("mine")
    leaves_nothing(source, tmp_path / "out", "holds a results.csv that no batch of this program wrote")
    assert (tmp_path / "out" / "results.csv").read_text() == "mine"


def test_a_file_system_without_locks_is_left_as_it_was(source, tmp_path, monkeypatch):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_lock", no_locks)
    told = "the file system cannot lock the folder .*: choose another --output"
    leaves_nothing(source, tmp_path / "new" / "out", told)
    (tmp_path / "there").mkdir()
    leaves_nothing(source, tmp_path / "there", told)
    (tmp_path / "there" / "batch.lock").write_text("of an earlier batch")
    leaves_nothing(source, tmp_path / "there", told)
    assert (tmp_path / "there" / "batch.lock").read_text() == "of an earlier batch"


def test_a_folder_that_could_not_be_locked_or_flushed_goes_again(source, tmp_path, monkeypatch):
    def no_room(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(lock.os, "open", no_room)
        leaves_nothing(source, tmp_path / "new" / "out", "the results cannot be written .No space left")
    monkeypatch.setattr(store, "sync_folder", no_room)
    leaves_nothing(source, tmp_path / "new" / "out", "the results cannot be written .No space left")


def test_the_lock_of_an_earlier_batch_stays(source, tmp_path):
    grade(source, tmp_path / "out")
    inode = (tmp_path / "out" / "batch.lock").stat().st_ino
    leaves_nothing(source, tmp_path / "out", "holds the results of a batch")
    no_bundle = refusing(BundleError("there is no bundle 'x'"))
    with pytest.raises(BundleError):
        run(BatchJob(source, tmp_path / "out", resume=True), Settings(), no_bundle)
    assert (tmp_path / "out" / "batch.lock").stat().st_ino == inode


def test_a_file_of_somebody_else_in_a_new_folder_stays(source, tmp_path):
    def start(self):
        (tmp_path / "new" / "theirs.txt").write_text("keep")
        raise BundleError("there is no bundle 'x'")

    with pytest.raises(BundleError):
        run(BatchJob(source, tmp_path / "new" / "out"), Settings(), type("Late", (Instant,), {"start": start}))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["theirs.txt"]


# The journal


def test_a_torn_line_counts_as_never_written(source, tmp_path):
    grade(source, tmp_path / "out")
    path = tmp_path / "out" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:40])
    whole = without_seconds(tmp_path / "out")
    runner = Instant()
    grade(source, tmp_path / "out", runner, resume=True)
    assert len(runner.seen) == 2 and without_seconds(tmp_path / "out") == whole
    assert len(list(journal.read(path))) == 6


@pytest.mark.parametrize("damage", [b"\0" * 70, b'{"case":"x"}', b"zzzzzzzz {}", b"00000000 {}", b"\xff\xfe"])
def test_a_damaged_line_is_left_out(tmp_path, damage):
    path = tmp_path / "journal"
    good = journal.encode({"case": "a"})
    path.write_bytes(good + damage + b"\n" + good)
    assert list(journal.read(path)) == [{"case": "a"}] * 2


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "journal"
    line = bytearray(journal.encode({"case": "a", "row": {"grade": "LGG"}}))
    line[line.index(b"LGG")] = ord("H")
    path.write_bytes(line)
    assert list(journal.read(path)) == []


# One at a time


def test_a_second_batch_on_the_same_output_is_refused(source, tmp_path):
    (tmp_path / "out").mkdir()
    words = rf"another batch writes here \(process {os.getpid()} on "
    with FolderLock(tmp_path / "out"), pytest.raises(UsageError, match=words):
        grade(source, tmp_path / "out")
    grade(source, tmp_path / "out")


def test_the_lock_of_a_killed_process_is_free(source, tmp_path):
    (tmp_path / "out").mkdir()
    code = (
        "import sys, time; from pathlib import Path; from GliomaGradingLib.cohort.lock import FolderLock; "
        "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"process {holder.pid}"):
        Store(tmp_path / "out")
    holder.kill()
    holder.wait()
    grade(source, tmp_path / "out")


def environment(**more):
    paths = [str(HERE.parents[1] / "GliomaGrading"), str(HERE)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


CONTENDER = """
import os, sys
from pathlib import Path
from GliomaGradingLib.cohort.lock import FolderLock
from GliomaGradingLib.errors import UsageError
folder, held = Path(sys.argv[1]), 0
while held < 150:
    try:
        lock = FolderLock(folder)
    except UsageError:
        continue
    alone = os.open(folder / "alone", os.O_CREAT | os.O_EXCL)  # fails where another holds the lock too
    (folder / "alone").unlink()
    os.close(alone)
    lock.discard()
    held += 1
"""


def test_two_processes_never_both_hold_a_lock_that_is_discarded(tmp_path):
    command = [sys.executable, "-c", CONTENDER, str(tmp_path)]
    contenders = [subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) for _ in range(3)]
    told = [contender.communicate(timeout=120)[1].decode() for contender in contenders]
    assert told == [""] * 3 and [contender.returncode for contender in contenders] == [0] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_discarded_while_another_comes_is_not_the_others(tmp_path, monkeypatch):
    """Between the other's opening of the file and its locking: it would hold a file that nobody else finds."""
    first = FolderLock(tmp_path)
    real = lock._lock

    def late(descriptor):
        first.discard()
        real(descriptor)

    monkeypatch.setattr(lock, "_lock", late)
    second = FolderLock(tmp_path)
    monkeypatch.setattr(lock, "_lock", real)
    assert os.path.samestat(os.fstat(second._descriptor), (tmp_path / "batch.lock").stat())
    with pytest.raises(UsageError, match="another batch writes here"):
        FolderLock(tmp_path)
    first.discard()  # is over, and takes nothing from the second
    assert (tmp_path / "batch.lock").exists()
    second.release()


# A full disk


class FullDisk:
    """``os.write`` of a disk that has room for so many bytes."""

    def __init__(self, room):
        self.room, self.write = room, os.write

    def __call__(self, descriptor, data):
        if len(data) > self.room:
            self.write(descriptor, bytes(data)[: self.room])  # half a line gets there
            self.room = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.write(descriptor, data)


@pytest.mark.parametrize("room", [100, 900, 1500])
def test_a_full_disk_ends_the_batch_with_a_word_and_resume_completes_it(source, tmp_path, monkeypatch, room):
    grade(source, tmp_path / "whole")
    monkeypatch.setattr(journal.os, "write", FullDisk(room))
    with pytest.raises(BatchStopped, match=r"No space left on device.*--resume"):
        grade(source, tmp_path / "out")
    done = len(list(journal.read(tmp_path / "out" / "journal.jsonl")))
    assert done < 6
    monkeypatch.undo()
    counts, _ = grade(source, tmp_path / "out", resume=True)
    assert counts.earlier == done
    assert without_seconds(tmp_path / "out") == without_seconds(tmp_path / "whole")


def test_a_disk_too_full_for_a_result_leaves_no_part_of_it(source, tmp_path, monkeypatch):
    from GliomaGradingLib.cohort import store

    def full(path, content):
        path.write_bytes(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "write_durably", full)
    with pytest.raises(BatchStopped, match="No space left"):
        grade(source, tmp_path / "out")
    assert list((tmp_path / "out" / "cases").iterdir()) == []


@pytest.mark.parametrize("what", ["batch.json", "cases", "journal.jsonl"])
def test_a_batch_that_ends_in_its_first_moments_is_in_nobodys_way(source, tmp_path, monkeypatch, what):
    """As a kill or a full disk ends it, just before something of the folder is made."""
    from GliomaGradingLib.cohort import store

    def ends(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mkdir = Path.mkdir
    if what == "batch.json":
        monkeypatch.setattr(store, "write_atomically", ends)
    elif what == "cases":
        monkeypatch.setattr(Path, "mkdir", lambda p, **o: ends() if p.name == "cases" else mkdir(p, **o))
    else:
        monkeypatch.setattr(store.journal, "Journal", ends)
    with pytest.raises(UsageError, match="No space left"):
        grade(source, tmp_path / "out")
    monkeypatch.undo()
    assert grade(source, tmp_path / "out", resume=True)[0].graded == 6


def test_only_leftovers_of_this_program_are_swept(source, tmp_path):
    grade(source, tmp_path / "out")
    out = tmp_path / "out"
    theirs = [out / ".download.part", out / "cases" / ".tree.part", out / ".x.0123456789AB.part"]
    ours = [out / ".results.csv.0123456789ab.part", out / "cases" / ".case_01.fedcba987654.part"]
    for path in (*theirs, *ours):
        path.mkdir()
        (path / "file").write_text("content")
    grade(source, out, resume=True)
    assert [path.exists() for path in theirs] == [True] * 3
    assert [path.exists() for path in ours] == [False] * 2


@pytest.mark.skipif(os.name != "posix", reason="Windows opens no folders")
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EINVAL])
def test_a_folder_that_cannot_be_flushed(source, tmp_path, monkeypatch, code):
    """A broken or full disk ends the batch; a file system that does not know how is no reason to."""
    fsync = os.fsync

    def failing(descriptor):
        if (tmp_path / "out" / "cases").is_dir() and Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    if code == errno.EINVAL:
        assert grade(source, tmp_path / "out")[0].graded == 6
        return
    with pytest.raises(GliomaGradingError, match=os.strerror(code)):
        grade(source, tmp_path / "out")


@pytest.mark.skipif(os.name != "posix", reason="Windows opens no folders")
def test_every_new_folder_above_the_results_is_flushed(source, tmp_path, monkeypatch):
    from GliomaGradingLib.cohort import store

    flushed = []
    monkeypatch.setattr(store, "sync_folder", flushed.append)
    Store(tmp_path / "new" / "out").close()
    assert flushed == [tmp_path / "new", tmp_path]


# The grading process


def local(settings):
    return LocalRunner(settings, engine=ENGINE, environment=ENVIRONMENT)


def test_the_device_that_the_models_came_to_is_kept(source, tmp_path):
    runner = local(Settings())
    assert runner.start() == MODEL
    runner.close()


def test_no_case_stops_the_batch(tmp_path):
    names = ["a", "b_segfault", "c_bad", "d_hang", "e_memory", "f_odd", "g_once", "h"]
    make_cohort(tmp_path / "in", names)
    settings = Settings(timeout=1.0)
    counts, _ = grade(tmp_path / "in", tmp_path / "out", local(settings), settings)
    errors = {row["case"]: row["error"] for row in table(tmp_path / "out")}
    assert (counts.graded, counts.failed) == (3, 5)
    assert errors["a"] == errors["g_once"] == errors["h"] == ""
    assert errors["c_bad"].startswith("the mask is empty, in ") and "given up" not in errors["c_bad"]
    assert re.match(r"given up after 2 tries: .*killed by SIGSEGV", errors["b_segfault"])
    assert re.match(r"given up after 2 tries: .*did not finish grading within 1 s", errors["d_hang"])
    assert re.match(r"given up after 2 tries: memory ran out", errors["e_memory"])
    assert re.match(r"given up after 2 tries: .*ZeroDivisionError: nobody foresaw this", errors["f_odd"])


def test_a_bundle_that_cannot_be_loaded_is_an_error_and_not_a_row(source, tmp_path):
    settings = Settings(bundle="absent")
    with pytest.raises(GliomaGradingError, match="SystemExit"):
        grade(source, tmp_path / "out", local(settings), settings)
    assert not (tmp_path / "out" / "results.csv").exists()
    grade(source, tmp_path / "out")  # nothing is in the way of the next try


def test_killed_at_any_moment_and_resumed_gives_what_an_undisturbed_run_gives(tmp_path):
    """kill -9 of the batch, three times; the fourth run finishes."""
    source = make_cohort(tmp_path / "in", [f"case_{k:02d}" for k in range(40)])
    command = [sys.executable, str(HERE / "batch_stub.py"), str(source), str(tmp_path / "out"), "--resume"]
    draw = random.Random(4)
    done = 0
    for _ in range(3):
        process = subprocess.Popen(command, env=environment(STUB_SECONDS="0.05"), stdout=subprocess.DEVNULL)
        target = done + draw.randint(3, 9)
        end = time.monotonic() + 60
        while done < target and time.monotonic() < end:
            done = len(list(journal.read(tmp_path / "out" / "journal.jsonl")))
            time.sleep(draw.uniform(0.0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = len(list(journal.read(tmp_path / "out" / "journal.jsonl")))
    assert 9 <= done < 40
    last = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=True)
    assert last.stdout == f"40 done, {done} earlier\n"
    settings = Settings()
    grade(source, tmp_path / "whole", local(settings), settings)
    assert without_seconds(tmp_path / "out") == without_seconds(tmp_path / "whole")
