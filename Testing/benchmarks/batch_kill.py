"""kill -9 of a batch at random moments, resumed each time: the output must be that of an undisturbed run.

::

    python Testing/benchmarks/batch_kill.py INPUT --work FOLDER [--kills 20] [--workers N] [--seed 0]

Each kill takes the batch and all that it started, as a reboot does. Most come a random time after the run has
made its first case durable, every fourth a random time after its start. A run that ends before its kill is no
kill: its output is compared, and the next one begins anew. Ends with status 1 where a file differs in more than
its seconds, or a reported case was done again; with a message where a run ends otherwise than the undisturbed.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    options.work.mkdir(parents=True, exist_ok=True)
    whole = undisturbed(options)
    found = killed_again_and_again(options, whole)
    print(json.dumps({key: value for key, value in found.items() if key != "at_kills"}))
    if options.json:
        options.json.write_text(json.dumps(found))
    return 1 if found["differ"] or found["done_twice"] else 0


@dataclass(frozen=True)
class Ended:
    """How a run ended: its status, None where it was killed; cases that were done before it and at its end."""

    status: int | None
    before: int
    done: int
    seconds: float

    def isMidWork(self, cases: int) -> bool:
        """Whether it was killed after its own first case and before the last of all."""
        return self.status is None and self.before < self.done < cases


def undisturbed(options: argparse.Namespace) -> Ended:
    """The run to compare with, and how it ended; it is done once."""
    whole, kept = options.work / "whole", options.work / "whole.json"
    if not (kept.is_file() and (whole / "cohort.html").is_file()):
        shutil.rmtree(whole, ignore_errors=True)
        kept.write_text(json.dumps(asdict(run(options, whole, None, False))))
    return Ended(**json.loads(kept.read_text()))


def killed_again_and_again(options: argparse.Namespace, whole: Ended) -> dict[str, Any]:
    out, draw = options.work / "killed", random.Random(options.seed)
    shutil.rmtree(out, ignore_errors=True)
    kills: list[Ended] = []
    wrong: set[str] = set()
    twice: set[str] = set()
    rounds = 1
    while len(kills) < options.kills:
        at_start = len(kills) % 4 == 3
        share = whole.seconds / max(options.kills, 1)
        ended = run(options, out, draw.uniform(0.2, 8.0) if at_start else draw.uniform(0.0, share), at_start)
        if ended.status is None:
            kills.append(ended)
            print(f"kill {len(kills)} after {ended.seconds:.1f} s: {ended.done} cases done", flush=True)
            continue
        rounds += 1
        note(options, out, ended, whole, wrong, twice)
        shutil.rmtree(out)
    note(options, out, run(options, out, None, False), whole, wrong, twice)
    return {
        "kills": len(kills),
        "kills_in_mid_work": sum(kill.isMidWork(whole.done) for kill in kills),
        "rounds": rounds,
        "files": len(contents(options.work / "whole")),
        "differ": sorted(wrong),
        "done_twice": sorted(twice),
        "at_kills": [asdict(kill) for kill in kills],
    }


def note(
    options: argparse.Namespace, out: Path, ended: Ended, whole: Ended, wrong: set[str], twice: set[str]
) -> None:
    """What is wrong with the output of a batch that came to its end."""
    if ended.status != whole.status:
        raise SystemExit(f"a resumed batch ended with {ended.status}, the undisturbed one with {whole.status}")
    wrong.update(differences(options.work / "whole", out))
    twice.update(reported_twice(out))


def command(options: argparse.Namespace, out: Path) -> list[str]:
    words = ["batch", options.input, "--output", out, "--resume", "--quiet", "--workers", options.workers]
    return [sys.executable, "-m", "GliomaGradingLib", *map(str, words)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")}


def run(options: argparse.Namespace, out: Path, wait: float | None, at_start: bool) -> Ended:
    """One run, killed ``wait`` seconds after its start or after its first case; None lets it end by itself."""
    before, begun = cases_in(out), time.monotonic()
    process = subprocess.Popen(
        command(options, out), env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    while wait is not None and not at_start and process.poll() is None and cases_in(out) == before:
        time.sleep(0.01)
    try:
        status: int | None = process.wait(wait)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        status = None
    if status not in (None, 0, 1):
        raise SystemExit(f"the batch ended with {status}")
    return Ended(status, before, cases_in(out), time.monotonic() - begun)


def cases_in(out: Path) -> int:
    """Cases that are done, by the journal's lines."""
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
