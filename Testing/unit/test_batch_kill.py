"""The benchmark that kills batches: what counts as a kill, and that a run that ends wrongly is told."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest

from Testing.benchmarks import batch_kill
from Testing.benchmarks.batch import command_line, killed_in_words, output_in_words
from Testing.benchmarks.batch_kill import Ended, note, run

pytest.importorskip("psutil", reason="needs psutil (the extra 'cohort')")
JOURNAL = "import sys, time, pathlib; pathlib.Path(sys.argv[1], 'journal.jsonl').open('a').write('x\\n'); "


@pytest.fixture
def batch(monkeypatch, tmp_path):
    """Runs a few words of Python in place of a batch; its output is a folder with a journal."""

    def runs(code: str, wait: float | None, at_start: bool = True) -> Ended:
        monkeypatch.setattr(
            batch_kill, "command", lambda _options, out: [sys.executable, "-c", JOURNAL + code, str(out)]
        )
        return run(Namespace(), tmp_path, wait, at_start)

    return runs


def test_a_run_that_ends_before_its_moment_is_no_kill(batch):
    ended = batch("", 30.0)
    assert (ended.status, ended.before, ended.done) == (0, 0, 1)


def test_a_kill_comes_after_the_first_case_of_its_own_run(batch):
    batch("", None)
    ended = batch("time.sleep(60)", 0.0, at_start=False)
    assert (ended.status, ended.before, ended.done) == (None, 1, 2)
    assert ended.isMidWork(3) and not ended.isMidWork(2)
    assert not Ended(None, 2, 2, 1.0).isMidWork(3)


def test_a_run_that_ends_with_an_error_is_told(batch):
    with pytest.raises(SystemExit, match="ended with 3"):
        batch("sys.exit(3)", 30.0)


def test_a_resumed_batch_that_ends_otherwise_is_told(tmp_path: Path):
    with pytest.raises(SystemExit, match="a resumed batch ended with 1, the undisturbed one with 0"):
        note(Namespace(work=tmp_path), tmp_path, Ended(1, 0, 3, 1.0), Ended(0, 0, 3, 1.0), set(), set())


def test_what_the_table_says():
    found = {
        "cases": 6, "kills": 2, "kills_in_mid_work": 1, "rounds": 3, "files": 20, "differ": [],
        "done_twice": [], "at_kills": [{"done": 4}, {"done": 2}],
    }  # fmt: skip
    text = killed_in_words(found)
    assert "at 2 random moments (2 to 4 cases done; 1 while it was grading" in text and "in 3 run(s)" in text
    words = [output_in_words(one) for one in ({}, {"differs_from_batch": []}, {"differs_from_batch": ["a"]})]
    assert words == ["", "the same", "1 files DIFFER"]


def test_the_command_is_kept_without_where_the_patients_lie():
    options = Namespace(cases=9, naive=3, cores=2, real=Path("/a/b"))
    expected = "python Testing/benchmarks/batch.py --cases 9 --naive 3 --cores 2 --real FOLDER"
    assert command_line(options) == expected
