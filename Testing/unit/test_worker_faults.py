"""Accidents of the grading process: killed at any moment, out of memory, a full disk, a clock that jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib import cli
from GliomaGradingLib.errors import GliomaGradingError
from GliomaGradingLib.worker import arrays as worker_arrays
from GliomaGradingLib.worker.arrays import AnswerFile, ArrayFile, ArrayVolume
from GliomaGradingLib.worker.client import Job, Request, WorkerClient
from GliomaGradingLib.worker.process import crash_error
from GliomaGradingLib.worker.protocol import WorkerError, error_event, memory_error

from Testing.robustness.processes import children
from Testing.unit.small_head import volumes as head

HERE = Path(__file__).resolve().parent
PATHS = os.pathsep.join((str(HERE), str(HERE.parents[1])))
SECONDS = 60.0
"""Bound of every wait."""
OLD_TORCH = tuple(map(int, version("torch").split(".")[:2])) < (2, 6)
"""It crashes where a network's memory is not to be had; newer ones say so."""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs signals, limits and /proc")


def make_client(engine: str = "FaultEngine", **options: Any) -> WorkerClient:
    return WorkerClient(environment={"PYTHONPATH": PATHS}, engine=f"worker_fault_engine:{engine}", **options)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all images on their way lie; a test ends with nothing in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[WorkerClient]:
    with make_client() as made:
        yield made


def request(kind: str = "grade", shift: int = 0, **options: Any) -> Request:
    base = np.arange(120, dtype="int16").reshape(4, 5, 6) + np.int16(shift)
    images = {name: ArrayVolume(base) for name in ("T1", "T2", "FLAIR", "mask")}
    return Request(ArrayFile(images), options, kind)


def grade(client: WorkerClient, shift: int = 0) -> float:
    return float(client.wait(client.submit(request(shift=shift)), SECONDS)["T1"]["mean"])


def until(condition: Any, client: WorkerClient | None = None) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        if client is not None:
            client.poll()
        time.sleep(0.002)


# Killed


def at_explaining(client: WorkerClient) -> Job:
    """Explains the slices that the child has kept."""
    client.load("thoughtful")
    graded = client.submit(request())
    client.wait(graded, SECONDS)
    job = client.explain(graded)
    until(lambda: job.stage == "saliency T1", client)
    return job


def at_explaining_with_images(client: WorkerClient) -> Job:
    job = client.submit(request("explain", seconds=30.0))
    until(lambda: job.stage == "saliency T1", client)
    return job


def at_explaining_that_waits(client: WorkerClient) -> Job:
    """The grading before it is the one that loses its process; the explanation then has nothing to explain."""
    graded = client.submit(request(do="sleep", seconds=30.0))
    job = client.explain(graded)
    until(lambda: graded.stage == "sleeping", client)
    return job


def at_another_bundle(client: WorkerClient) -> Job:
    grade(client)
    job = client.load("slow")
    until(lambda: job.stage == "weights", client)
    return job


def at_answering(client: WorkerClient) -> Job:
    """The answer is on its way: whoever is first."""
    job = client.submit(request(do="sleep", seconds=0.01))
    until(lambda: job.stage == "sleeping", client)
    time.sleep(0.01)
    return job


MOMENTS = [
    at_explaining,
    at_explaining_with_images,
    at_explaining_that_waits,
    at_another_bundle,
    at_answering,
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_killed_at_any_moment_the_client_recovers(client: WorkerClient, folder: Path, moment: Any) -> None:
    before = len(children())
    job = moment(client)
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.isDone, client)
    if job.state == "failed":
        words = "another case" if moment is at_explaining_that_waits else "SIGKILL"
        with pytest.raises(GliomaGradingError, match=words):
            client.wait(job, SECONDS)
    else:
        assert moment is at_answering and job.state == "done"
    wait_for_end(client, pid)
    client.load("good")
    assert grade(client, shift=4) == 63.5
    assert client.pid != pid and client.isReady and client.problem is None
    assert "Z" not in children().values() and len(children()) == before
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.1, 0.2, 0.3])
def test_killed_while_it_starts(client: WorkerClient, folder: Path, moment: float) -> None:
    job = client.submit(request(shift=1))
    pid = client.pid
    end = time.monotonic() + moment
    until(lambda: time.monotonic() >= end, client)
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.isDone, client)
    assert (job.state == "failed") == (job.error is not None)
    wait_for_end(client, pid)  # its answer may have come just before; the next job must not go to it
    assert grade(client, shift=2) == 61.5
    assert "Z" not in children().values() and list(folder.iterdir()) == []


def wait_for_end(client: WorkerClient, pid: int) -> None:
    """Until a killed child has ended; nobody polls meanwhile."""
    end = time.monotonic() + SECONDS
    while client._child is not None and client._child.pid == pid and client._child.isAlive:
        assert time.monotonic() < end
        time.sleep(0.002)


def test_killed_while_nobody_looks(client: WorkerClient, folder: Path) -> None:
    """By the system, say, which needs the memory: the next grading is no worse for it."""
    for shift in range(4):
        assert grade(client, shift) == 59.5 + shift
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        wait_for_end(client, pid)
    assert grade(client) == 59.5 and client.problem is None
    assert "Z" not in children().values() and list(folder.iterdir()) == []


# Out of memory


@pytest.mark.parametrize("megabytes", [30, 100, 300, 1300])
def test_too_little_memory_to_start_with_is_called_so(folder: Path, tmp_path: Path, megabytes: int) -> None:
    """Wherever the child fails: in numpy, a thread, SimpleITK or torch. It is no matter of installing again."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -v {megabytes << 10}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o700)
    with WorkerClient(str(python), threads=1, environment={"OPENBLAS_NUM_THREADS": "1"}) as client:
        job = client.submit(Request(ArrayFile(head())))
        with pytest.raises(WorkerError, match="memory ran out") as caught:
            client.wait(job, SECONDS)
        assert caught.value.remedy.startswith("close other programs")
        assert client.pid is None
    python.unlink()
    until(lambda: "Z" not in children().values())
    assert list(folder.iterdir()) == []


def test_memory_that_ends_in_the_middle_is_said_and_the_next_grading_works(folder: Path) -> None:
    """The real engine with only so many megabytes more than it has when the work begins."""
    endings: list[str] = []
    with make_client("SqueezedEngine", threads=1, device="cpu") as client:
        for kind, megabytes in (("grade", 0), ("explain", 0), ("grade", 30)):
            options = {"caseId": "a", "megabytes": megabytes}
            job = client.submit(Request(ArrayFile(head()), options, kind))
            until(lambda job=job: job.isDone, client)
            endings.append(job.state)
            if job.state == "done" or ("SIGSEGV" in str(job.error) and OLD_TORCH):
                continue
            assert memory_error(str(job.error)), job.error
            assert job.error.remedy.startswith("close other programs")
        calm = [client.wait(client.submit(Request(ArrayFile(head()), {})), SECONDS) for _ in range(2)]
    assert "failed" in endings[:2], "there was memory enough"
    assert calm[0]["probability_hgg"] == pytest.approx(calm[1]["probability_hgg"], abs=1e-6)
    until(lambda: "Z" not in children().values())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "Cannot allocate memory",
        "RuntimeError: can't start new thread",
        "libtorch_cpu.so: failed to map segment from shared object",
        "[WinError 1455] The paging file is too small for this operation to complete",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1.00 TiB",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: could not create a primitive",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_messages_of_too_little_memory(text: str) -> None:
    error = memory_error(text)
    assert error is not None and text in error.problem and "close other programs" in error.remedy
    assert "memory ran out" in crash_error(1, "starting", ("before", text)).problem
    assert (
        error_event(ImportError(text), 1)["problem"]
        == f"memory ran out in the grading process (ImportError: {text})"
    )


@pytest.mark.parametrize(
    "text",
    ["No module named 'torch'", "a.so: failed to map segment from shared object: Operation not permitted", ""],
)
def test_messages_of_something_else(text: str) -> None:
    assert memory_error(text) is None and "--debug" in cli._unexpected(ImportError(text))
    assert "memory" not in crash_error(1, "starting", ("memory ran out long ago: bad_alloc", text)).problem


def test_numpy_tells_the_cause_before_its_advice() -> None:
    cause, advice = "Original error was: libopenblas.so: failed to map segment from shared object", "exit"
    assert "memory ran out" in crash_error(1, "starting", ("Traceback", cause, "", advice)).problem
    assert "memory" not in crash_error(1, "starting", ("Original error was: no such file", advice)).problem


# A full disk in the child


@pytest.mark.parametrize("room", [0, 1])
def test_no_room_for_the_maps_is_said_and_the_next_one_works(
    client: WorkerClient, folder: Path, room: int
) -> None:
    job = client.submit(request("explain", room=room, disk=str(folder)))
    with pytest.raises(WorkerError, match="No space left on device") as caught:
        client.wait(job, SECONDS)
    assert "set TMPDIR to a folder with more room" in caught.value.remedy
    assert list(folder.iterdir()) == []
    client.stop()
    assert grade(client) == 59.5 and list(folder.iterdir()) == []


# Clocks


@pytest.mark.parametrize("shift", [-1e6, 1e6], ids=["back", "forward"])
def test_a_clock_that_jumps_changes_nothing(
    client: WorkerClient, folder: Path, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    """By eleven days, on both sides, while the case is graded and its maps are made."""
    real = time.time
    client.load(f"clock {shift}")
    graded = client.submit(request(do="sleep", seconds=0.3, step=0.02))
    until(lambda: graded.stage == "sleeping", client)
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    assert client.wait(graded, SECONDS) == {"slept": 0.3}
    job = client.submit(request("explain", seconds=0.2))
    until(lambda: job.stage == "saliency T1", client)
    monkeypatch.setattr(time, "time", lambda: real() - shift)
    other = client.submit(request(shift=1))  # which sweeps what is old
    assert client.wait(job, SECONDS)["arrays"]["maps"].sum() == 42.0
    assert client.wait(other, SECONDS)["T1"]["mean"] == 60.5
    assert client.state == "ready" and list(folder.iterdir()) == []


def test_what_is_in_use_is_not_swept_however_late_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer that slept over the weekend in the middle of a grading."""
    forgotten = tmp_path / f"{worker_arrays.PREFIX}exchange-killed"
    forgotten.mkdir()
    with AnswerFile(tmp_path) as mine:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3 * 24 * 3600)
        with AnswerFile(tmp_path):
            assert mine.folder.is_dir() and not forgotten.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_within_minutes(tmp_path: Path) -> None:
    """And not after a day only: images of patients lie in it. What another process is at stays."""
    code = (
        "import sys; from GliomaGradingLib.worker.arrays import AnswerFile; "
        "made = AnswerFile(sys.argv[1]); print(made.folder, flush=True); sys.stdin.read()"
    )

    def start() -> tuple[subprocess.Popen[bytes], Path]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=pipe, stdout=pipe)
        assert process.stdout
        made = Path(process.stdout.readline().decode().strip())
        os.utime(made, (time.time() - 90, time.time() - 90))
        return process, made

    killed, left = start()
    killed.kill()
    killed.communicate()
    living, kept = start()
    fresh = tmp_path / f"{worker_arrays.PREFIX}exchange-made-just-now"
    fresh.mkdir()
    try:
        with AnswerFile(tmp_path):
            assert not left.exists() and kept.is_dir() and fresh.is_dir()
    finally:
        living.kill()
        living.communicate()
