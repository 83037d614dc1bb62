"""kill -9 of a batch at random moments, resumed each time: the output must be that of an undisturbed run.

::

    python Testing/benchmarks/batch_kill.py INPUT --work FOLDER [--kills 20] [--workers N] [--seed 0]

Each kill comes after a random number of seconds and takes the batch and all that it started, as a reboot does.
Ends with status 1 where a file differs in more than its seconds, or a reported case was done again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what was found into this file")
    options = parser.parse_args()
    out, whole = options.work / "killed", options.work / "whole"
    shutil.rmtree(out, ignore_errors=True)
    if not (whole / "cohort.html").is_file():
        shutil.rmtree(whole, ignore_errors=True)
        seconds = finish(options, whole)
        (options.work / "seconds.json").write_text(json.dumps(seconds))
    seconds = json.loads((options.work / "seconds.json").read_text())
    draw = random.Random(options.seed)
    done = []
    for kill in range(1, options.kills + 1):
        # a start takes its time, so that a share of the whole run's seconds also hits starts and ends
        wait = draw.uniform(0.2, max(2.2 * seconds / options.kills, 8.0))
        done.append(disturb(options, out, wait))
        print(f"kill {kill} after {wait:.1f} s: {done[-1]} cases done", flush=True)
    finish(options, out)
    wrong = differences(whole, out)
    twice = reported_twice(out)
    print(f"{len(wrong)} files differ: {wrong[:5]}; {len(twice)} cases done twice: {twice[:5]}")
    if options.json:
        found = {"kills": options.kills, "cases_done_at_kills": done, "files": len(contents(whole))}
        options.json.write_text(json.dumps({**found, "differ": wrong, "done_twice": twice}))
    return 1 if wrong or twice else 0


def command(options: argparse.Namespace, out: Path) -> list[str]:
    words = ["batch", options.input, "--output", out, "--resume", "--quiet", "--workers", options.workers]
    return [sys.executable, "-m", "GliomaGradingLib", *map(str, words)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")}


def finish(options: argparse.Namespace, out: Path) -> float:
    start = time.monotonic()
    done = subprocess.run(command(options, out), env=environment(), stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"the batch ended with {done.returncode}")
    return time.monotonic() - start


def disturb(options: argparse.Namespace, out: Path, wait: float) -> int:
    process = subprocess.Popen(
        command(options, out), env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        kill_tree(process)
    journal = out / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """The batch first, so that it cannot notice; then what it had started."""
    import psutil

    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for child in children:
        try:
            child.kill()
        except psutil.Error:
            continue


def differences(first: Path, second: Path) -> list[str]:
    one, two = contents(first), contents(second)
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is there to be read, but for what it says of seconds."""
    return {
        path.relative_to(folder).as_posix(): without_seconds(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("batch.lock", "journal.jsonl")
    }


def without_seconds(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == "results.csv":
        return re.sub(rb",[0-9.]*$", b",", data, flags=re.MULTILINE)
    if path.suffix == ".json":
        return re.sub(rb'"seconds": \{[^}]*\}', b"", data)
    return data


def reported_twice(out: Path) -> list[str]:
    from GliomaGradingLib.cohort import journal

    cases = [record["case"] for record in journal.read(out / "journal.jsonl")]
    return sorted({case for case in cases if cases.count(case) > 1})


if __name__ == "__main__":
    sys.exit(main())
