"""Hundreds of gradings in a row with cancels and kills at random moments, and what is left of them.

    python -m Testing.robustness.soak --gradings 500

Runs a stub engine (no torch), so that it is the client, the child and the files that are tried. Prints as JSON
how each grading ended, the processes and files that are left, and memory and threads before and after.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY)]

import numpy as np  # noqa: E402
from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume  # noqa: E402
from GliomaGradingLib.worker.client import Request, WorkerClient  # noqa: E402
from GliomaGradingLib.worker.protocol import GradingCancelled, WorkerError  # noqa: E402

LONGEST = 60.0


@dataclass(frozen=True)
class Left:
    """What the soak run left behind."""

    endings: dict[str, int]
    children: int
    files: int
    threads_before: int
    threads_after: int
    megabytes_before: float
    megabytes_after: float
    descriptors_before: int
    descriptors_after: int
    slowest_seconds: float


def soak(gradings: int, seed: int = 1, folder: Path | None = None) -> Left:
    """Grades again and again; about a third is cancelled at a random moment, one in twenty loses its child."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as made:
        place = folder or Path(made)
        client = WorkerClient(
            environment={"PYTHONPATH": str(REPOSITORY / "Testing" / "unit")},
            engine="worker_fake_engine:FakeEngine",
        )
        with client:
            for _ in range(3):
                _one(client, place, random.Random(0), Counter())  # what is made once is made now
            before, pids, endings, slowest = _state(), set(), Counter[str](), 0.0
            for _ in range(gradings):
                started = time.monotonic()
                _one(client, place, rng, endings)
                pids.add(client.pid)
                slowest = max(slowest, time.monotonic() - started)
        gc.collect()
        _settled(before)
        after = _state()
        left = len(list(place.iterdir()))
    alive = sum(1 for pid in pids if pid and Path(f"/proc/{pid}").exists())
    return Left(
        dict(sorted(endings.items())),
        alive,
        left,
        before[0],
        after[0],
        before[1],
        after[1],
        before[2],
        after[2],
        round(slowest, 2),
    )


def _one(client: WorkerClient, place: Path, rng: random.Random, endings: Counter[str]) -> None:
    moment = rng.random() * 0.03
    fate = rng.choices(("graded", "cancelled", "killed"), (13, 6, 1))[0]
    options = {"do": "sleep", "seconds": 0.02, "step": 0.005} if fate != "graded" else {"do": "describe"}
    job = client.submit(Request(ArrayFile(_volumes(rng.randrange(100)), place), options))
    end = time.monotonic() + moment
    while fate != "graded" and time.monotonic() < end:
        client.poll()
        time.sleep(0.001)
    if fate == "cancelled":
        client.cancel(job)
    elif fate == "killed" and client.pid and not job.isDone:
        os.kill(client.pid, signal.SIGKILL)
    try:
        client.wait(job, LONGEST)
        endings["graded"] += 1
    except GradingCancelled:
        endings["cancelled"] += 1
    except WorkerError as error:
        endings["lost its process" if "ended unexpectedly" in str(error) else f"other: {error}"] += 1


def _volumes(shift: int) -> dict[str, ArrayVolume]:
    image = np.arange(30 * 30 * 30, dtype=np.int16).reshape(30, 30, 30) + np.int16(shift)
    return {name: ArrayVolume(image) for name in ("T1", "T2", "FLAIR", "mask")}


def _state() -> tuple[int, float, int]:
    """Threads, resident megabytes, open descriptors of this process."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    megabytes = pages * resource.getpagesize() / 1e6
    folder = Path("/proc/self/fd")
    return threading.active_count(), round(megabytes, 1), len(list(folder.iterdir())) if folder.exists() else 0


def _settled(before: tuple[int, float, int]) -> None:
    """Waits a moment for the threads of the last child, which end with it."""
    end = time.monotonic() + 10
    while threading.active_count() > before[0] and time.monotonic() < end:
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gradings", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(asdict(soak(options.gradings, options.seed)), indent=2))


if __name__ == "__main__":
    main()
