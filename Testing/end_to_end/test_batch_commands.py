"""``glioma-grading batch`` as users run it, on a small made-up head."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Testing" / "unit"))

from small_head import write_case  # noqa: E402

ENDINGS = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "GliomaGradingLib", "batch", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading"), "PYTHONIOENCODING": "utf-8"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(),
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A case in HGG, one in LGG, one whose FLAIR is cut off, one without T2; and a folder with no case."""
    folder = tmp_path_factory.mktemp("cohort")
    for name in ("HGG/a", "LGG/b", "LGG/c cut", "LGG/d"):
        short = name.split("/")[1]
        write_case(folder / name, {role: f"{short}_{end}.nii.gz" for role, end in ENDINGS.items()})
    cut = folder / "LGG" / "c cut" / "c cut_flair.nii.gz"
    cut.write_bytes(cut.read_bytes()[:5000])
    (folder / "LGG" / "d" / "d_t2.nii.gz").unlink()
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no images here")
    return folder


@pytest.fixture(scope="module")
def graded(source, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = tmp_path_factory.mktemp("graded") / "out"
    return run(source, "--output", output), output


def table(output: Path) -> list[dict[str, str]]:
    with (output / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_batch_grades_what_it_can_and_says_what_it_could_not(graded):
    done, output = graded
    assert done.returncode == 1
    assert "Graded         2" in done.stdout and "Failed         2" in done.stdout
    assert "For research use only" in done.stdout.splitlines()[-1]
    rows = {row["case"]: row for row in table(output)}
    assert list(rows) == ["a", "b", "c cut", "d"]
    assert [row["status"] for row in rows.values()] == ["graded", "graded", "failed", "failed"]
    assert "c cut_flair.nii.gz" in rows["c cut"]["error"] and "T2 not found" in rows["d"]["error"]
    assert "Traceback" not in done.stderr


def test_a_case_of_a_batch_is_graded_as_the_case_alone(source, graded):
    alone = subprocess.run(
        [sys.executable, "-m", "GliomaGradingLib", "grade", str(source / "HGG" / "a"), "--json"],
        capture_output=True, text=True, encoding="utf-8", env=environment(), timeout=240, check=True,
    )  # fmt: skip
    alone_result = json.loads(alone.stdout)
    kept = json.loads((graded[1] / "cases" / "a" / "result.json").read_text(encoding="utf-8"))
    assert kept["probability_hgg"] == pytest.approx(alone_result["probability_hgg"], abs=1e-4)
    assert kept["grade"] == alone_result["grade"] and kept["slices"] == alone_result["slices"]


def test_a_second_run_is_refused_and_a_resumed_one_changes_nothing(source, graded):
    output = graded[1]
    before = (output / "results.csv").read_bytes()
    refused = run(source, "--output", output)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: the folder holds the results of a batch")
    again = run(source, "--output", output, "--resume", "--quiet")
    assert again.returncode == 1 and "4 of them done before" in again.stdout
    assert (output / "results.csv").read_bytes() == before
    assert (output / "cohort.html").stat().st_size > 5000


def test_a_dry_run_lists_the_cases_and_grades_nothing(source, tmp_path):
    done = run(source, "--dry-run", "--output", tmp_path / "out")
    assert done.returncode == 0 and not (tmp_path / "out").exists()
    assert "T2 not found" in done.stdout and "notes" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("absent", "--output", "out"), 2, "there is no such folder"),
        (("{source}",), 2, "there is no --output"),
        (("{source}", "--output", "out", "--layout", "nonsense"), 2, "nonsense"),
        (("{source}", "--output", "out", "--bundle", "nonsense"), 3, "there is no model bundle"),
        (("{source}", "--output", "out", "--workers", "2", "--scheduler", "tcp://x:1"), 2, "give one"),
        (("{source}", "--output", "out", "--resume", "--overwrite"), 2, "not allowed with"),
    ],
)
def test_what_is_wrong_from_the_start_is_one_line(source, tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    done = run(*(str(part).format(source=source) for part in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "results.csv").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends programs without a word")
def test_a_terminated_batch_says_how_to_go_on(source, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        command(source, "--output", output, "--quiet"), env=environment(), stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (output / "journal.jsonl").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 4 cases are done" in said and "run again with --resume" in said and said.count("\n") == 1
