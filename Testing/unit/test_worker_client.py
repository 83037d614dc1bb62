"""The client and a real child process with an engine that misbehaves on demand; no torch."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.errors import BundleError, CaseError, UsageError
from GliomaGradingLib.networks.bundle import METADATA, find_bundles
from GliomaGradingLib.worker import process as worker_process
from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume
from GliomaGradingLib.worker.client import Job, Request, WorkerClient
from GliomaGradingLib.worker.process import PACKAGE_PARENT, ChildProcess, Launch, crash_error, default_python
from GliomaGradingLib.worker.protocol import (
    MAX_LINE,
    GradingCancelled,
    ProtocolError,
    UnexpectedError,
    WorkerError,
    encode,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
ENGINE = "worker_fake_engine:FakeEngine"
SECONDS = 60.0
"""Bound of every wait: long for a busy machine, and still an end."""

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


def make_client(**options: Any) -> WorkerClient:
    environment = {"PYTHONPATH": str(HERE), **options.pop("environment", {})}
    return WorkerClient(environment=environment, engine=ENGINE, **options)


@pytest.fixture
def fresh() -> Iterator[WorkerClient]:
    """A client that has not been started."""
    made = make_client()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared_client() -> Iterator[WorkerClient]:
    with make_client() as made:
        yield made


@pytest.fixture
def client(shared_client: WorkerClient) -> WorkerClient:
    """A client whose child is ready; whatever the test before did to it, it has to recover."""
    shared_client.start()
    until(lambda: shared_client.isReady and shared_client.state == "ready", shared_client)
    return shared_client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A temporary folder as some users have it; a test ends with nothing in it."""
    path = tmp_path / "Größe mit Leer 'zeichen' 脳"
    path.mkdir()
    return path


def volumes(shift: int = 0) -> dict[str, ArrayVolume]:
    base = np.arange(4 * 5 * 6, dtype="int16").reshape(4, 5, 6)
    images = {name: ArrayVolume(base + shift + i, (1, 2, 3)) for i, name in enumerate(("T1", "T2", "FLAIR"))}
    return {**images, "mask": ArrayVolume((base > 60).astype("uint8"))}


def request(folder: Path, do: str = "describe", shift: int = 0, timeout: float = 60, **options: Any) -> Request:
    return Request(ArrayFile(volumes(shift), folder), {"do": do, **options}, timeout=timeout)


def grade(
    client: WorkerClient, folder: Path, do: str = "describe", shift: int = 0, **options: Any
) -> dict[str, Any]:
    return client.wait(client.submit(request(folder, do, shift, **options)), SECONDS)


def until(condition: Callable[[], object], client: WorkerClient | None = None) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        if client is not None:
            client.poll()
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


# Values


def test_a_grading_has_the_voxels_and_the_geometry(client: WorkerClient, folder: Path) -> None:
    result = grade(client, folder, shift=10)
    t1, mask = result["T1"], result["mask"]
    assert t1["mean"] == 10 + 59.5 and result["FLAIR"]["mean"] == 12 + 59.5
    assert (t1["dtype"], t1["shape"], t1["spacing"]) == ("<i2", [4, 5, 6], [1.0, 2.0, 3.0])
    assert (mask["sum"], mask["dtype"]) == (59.0, "|u1")
    assert t1["writeable"] is False
    assert is_empty(folder)


def test_loading_says_what_was_loaded(folder: Path) -> None:
    bundle = folder / "my bundle"
    bundle.mkdir()
    with make_client(bundle=os.path.relpath(bundle), device="cpu") as client:
        until(lambda: client.isReady, client)
        assert client.info["bundle"] == str(bundle) and client.info["device"] == "cpu"
        assert client.state == "ready" and client.pid == client.info["pid"]


def test_start_and_submit_return_before_the_child_is_up(fresh: WorkerClient, folder: Path) -> None:
    fresh.load("slow")
    job = fresh.submit(request(folder))
    assert not fresh.isReady and job.state == "waiting" and fresh.state == "starting"
    assert fresh.wait(job, SECONDS)["T2"]["mean"] == 60.5


def test_callbacks_come_in_order_and_only_from_poll(client: WorkerClient, folder: Path) -> None:
    calls: list[tuple[str, Any]] = []
    threads: set[int] = set()

    def record(kind: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            calls.append((kind, arguments))
            threads.add(threading.get_ident())

        return call

    job = client.submit(
        request(folder), record("progress"), record("result"), record("error"), record("cancelled")
    )
    until(lambda: client.isReady, client)
    calls_before = list(calls)
    time.sleep(0.3)  # the answer is here by now, and nobody polled
    assert calls == calls_before
    client.wait(job, SECONDS)
    assert [kind for kind, _ in calls] == ["progress"] * 4 + ["result"]
    stages = [arguments[:2] for kind, arguments in calls if kind == "progress"]
    assert stages == [("read T1", 0.0), ("read T2", 0.25), ("read FLAIR", 0.5), ("read mask", 0.75)]
    assert calls[-1][1] == (job.result,) and threads == {threading.get_ident()}


def test_fifty_gradings_in_a_row_in_one_child(client: WorkerClient, folder: Path) -> None:
    pids = set()
    for index in range(50):
        assert grade(client, folder, shift=index)["T1"]["mean"] == index + 59.5
        pids.add(client.pid)
    assert len(pids) == 1 and is_empty(folder)


def test_jobs_wait_for_each_other(client: WorkerClient, folder: Path) -> None:
    order: list[int] = []
    jobs = [client.submit(request(folder, shift=i), onResult=lambda _, i=i: order.append(i)) for i in range(5)]
    results = [client.wait(job, SECONDS) for job in reversed(jobs)]
    assert [result["T1"]["mean"] for result in results] == [63.5, 62.5, 61.5, 60.5, 59.5]
    assert order == [0, 1, 2, 3, 4]


def test_explain_brings_arrays_back(client: WorkerClient, folder: Path) -> None:
    job = client.submit(Request(ArrayFile(volumes(), folder), {"target": "HGG"}, kind="explain"))
    result = client.wait(job, SECONDS)
    assert result["target"] == "HGG" and is_empty(folder)
    assert np.array_equal(result["arrays"]["T2"], 2.0 * volumes()["T2"].array)


def test_the_last_graded_case_is_explained_without_sending_it_again(
    client: WorkerClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    first, second = (client.submit(request(folder, shift=k)) for k in range(2))
    client.wait(second, SECONDS)
    seen: list[Any] = []
    result = client.wait(client.explain(second, onResult=seen.append), SECONDS)
    assert np.array_equal(result["arrays"]["maps"], np.full((2, 3), 7.0)) and seen == [result]
    assert result["graded"] == second.id
    with pytest.raises(CaseError, match="another case"):
        client.wait(client.explain(first), SECONDS)
    assert is_empty(folder)


def test_an_explain_that_waits_can_be_cancelled(client: WorkerClient, folder: Path) -> None:
    graded = client.submit(request(folder, "sleep", seconds=0.3))
    job = client.explain(graded)
    client.cancel(job)
    with pytest.raises(GradingCancelled):
        client.wait(job, SECONDS)
    assert client.wait(graded, SECONDS) == {"slept": 0.3}


def test_another_bundle_is_loaded_into_the_same_child(client: WorkerClient, folder: Path) -> None:
    grade(client, folder)
    pid = client.pid
    loaded = client.wait(client.load("second", "cpu"), SECONDS)
    assert (loaded["bundle"], client.pid, client.info["bundle"]) == ("second", pid, "second")
    grade(client, folder)


def test_a_folder_named_like_the_shipped_bundle_is_not_taken_for_it(
    client: WorkerClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name means the same models as in this process; other bundles are where they are from here."""
    shipped = next(iter(find_bundles()))
    (folder / shipped.name).mkdir()
    shutil.copy(shipped / METADATA, folder / shipped.name)
    shutil.copytree(folder / shipped.name, folder / "other")
    monkeypatch.chdir(folder)
    long = "x" * 5000
    for name, sent in ((shipped.name, shipped.name), ("other", str(folder / "other")), (long, long)):
        assert client.wait(client.load(name), SECONDS)["bundle"] == sent
    shutil.rmtree(folder / "other")
    shutil.rmtree(folder / shipped.name)


def test_odd_fractions_and_numbers_of_numpy(client: WorkerClient, folder: Path) -> None:
    fractions: list[float] = []
    job = client.submit(request(folder, "odd_progress"), onProgress=lambda s, f, m: fractions.append(f))
    assert client.wait(job, SECONDS) == {"number": 0.5, "count": 3, "flag": True}
    assert fractions == [0.0, 0.0, 0.0, 0.25, 1.0]


def test_a_flood_of_progress_is_thinned(client: WorkerClient, folder: Path) -> None:
    seen: list[float] = []
    job = client.submit(request(folder, "flood", count=20_000), onProgress=lambda s, f, m: seen.append(f))
    client.wait(job, SECONDS)
    assert 1 <= len(seen) < 2_000 and seen == sorted(seen)


def test_the_child_has_its_environment_and_the_client_needs_little(folder: Path) -> None:
    with make_client(threads=3, environment={"FAKE": "ü 1", "PYTHONPATH": str(HERE)}) as client:
        told = grade(client, folder, "tell")
    assert told["environment"] == {"OMP_NUM_THREADS": "3", "PYTHONNOUSERSITE": "1", "FAKE": "ü 1"}
    heavy = {"torch", "torchvision", "SimpleITK", "slicer", "qt", "ctk", "vtk"}
    assert not heavy & set(told["modules"])
    code = "import sys, GliomaGradingLib.worker.client; print('\\n'.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "numpy" in loaded.stdout.split() and not heavy & set(loaded.stdout.split())


def test_a_package_in_a_folder_with_spaces_and_other_letters(folder: Path) -> None:
    module = folder / "Slicer Erweiterung: Ж"
    shutil.copytree(
        PACKAGE_PARENT / "GliomaGradingLib",
        module / "GliomaGradingLib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    with make_client(modulePath=module) as client:
        assert grade(client, folder, shift=1)["T1"]["mean"] == 60.5
        assert client.info["folder"] == str(module)


# Noise


def test_prints_of_the_child_do_no_harm(client: WorkerClient, folder: Path) -> None:
    assert grade(client, folder, "print") == {"printed": True, "stdin": ""}
    assert grade(client, folder, shift=2)["T1"]["mean"] == 61.5
    said = client._child.lastWords()  # type: ignore[union-attr]
    assert any("from C" in line for line in said) or any("from a grandchild" in line for line in said)


def test_prints_before_the_child_takes_its_streams_do_no_harm(folder: Path) -> None:
    noise = "import os\nprint('hello\\n{broken')\nos.write(1, b'no newline')\n"
    (folder / "sitecustomize.py").write_text(noise)
    with make_client(environment={"PYTHONPATH": os.pathsep.join((str(folder), str(HERE)))}) as client:
        assert grade(client, folder.parent)["T1"]["mean"] == 59.5
        assert any("{broken" in line for line in client._child.lastWords())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answer", "word"), [("nan", "JSON"), ("big", "bytes"), ("list", "list"), ("object", "JSON")]
)
def test_an_answer_that_cannot_be_sent_is_an_error(
    client: WorkerClient, folder: Path, answer: str, word: str
) -> None:
    with pytest.raises(WorkerError, match=word):
        grade(client, folder, "answer", answer=answer)
    assert grade(client, folder)["T1"]["mean"] == 59.5


@pytest.mark.parametrize("forever", [False, True])
def test_an_engine_that_keeps_the_images_does_no_harm(
    client: WorkerClient, folder: Path, forever: bool
) -> None:
    for index in range(3):
        assert grade(client, folder, "keep", forever=forever) == {"kept": (index + 1) * forever}
    assert is_empty(folder)


# Errors that the child reports


@pytest.mark.parametrize(
    ("error", "cls", "words"),
    [
        ("case", CaseError, "the mask is empty, in mask.nii: draw a tumour"),
        ("narrow", CaseError, "the mask is narrow, in mask.nii: draw a wider tumour"),
        ("value", UnexpectedError, "ValueError: no such thing as 0"),
        ("memory", UnexpectedError, "memory ran out"),
        ("torch", UnexpectedError, "memory ran out"),
        ("graphics", UnexpectedError, "unspecified launch failure.*choose the device cpu"),
        ("exit", UnexpectedError, "SystemExit: 3"),
        ("interrupt", UnexpectedError, "KeyboardInterrupt"),
    ],
)
def test_an_error_reaches_the_caller_and_the_next_grading_works(
    client: WorkerClient, folder: Path, error: str, cls: type[Exception], words: str
) -> None:
    errors: list[Exception] = []
    grade(client, folder)
    pid = client.pid
    job = client.submit(request(folder, "raise", error=error), onError=errors.append)
    with pytest.raises(cls, match=words) as caught:
        client.wait(job, SECONDS)
    assert errors == [caught.value] and job.state == "failed" and type(caught.value) is cls
    assert grade(client, folder)["T1"]["mean"] == 59.5
    # who met what nobody foresaw may meet it ever after: a graphics card that was lost, memory half taken
    assert (client.pid == pid) == (cls is CaseError) and is_empty(folder)


def test_a_traceback_comes_when_debugging(folder: Path) -> None:
    with make_client(debug=True) as client, pytest.raises(WorkerError) as caught:
        grade(client, folder, "raise", error="value")
    assert any("do_raise" in line for line in caught.value.details)


def test_a_bundle_that_cannot_be_loaded_fails_the_jobs_and_another_one_helps(
    fresh: WorkerClient, folder: Path
) -> None:
    states: list[str] = []
    fresh.onStateChanged = states.append
    fresh.load("no such bundle")
    with pytest.raises(BundleError, match="choose another"):
        grade(fresh, folder)
    assert fresh.state == "failed" and isinstance(fresh.problem, BundleError) and not fresh.isReady
    with pytest.raises(BundleError):
        grade(fresh, folder)
    fresh.load("good")
    assert grade(fresh, folder)["T1"]["mean"] == 59.5
    assert fresh.problem is None and fresh.state == "ready" and is_empty(folder)
    assert states[:3] == ["starting", "loading", "failed"] and states[-1] == "ready"


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [
        ("no such bundle", "no bundle of that name"),
        ("dies", "exit code 7"),
        ("hangs", "did not finish loading"),
        ("needs more memory", "memory ran out"),
    ],
)
def test_a_bundle_that_was_given_up_for_another_fails_no_job_of_that_one(
    folder: Path, bundle: str, problem: str
) -> None:
    """A wrong folder was chosen, graded with and taken back, all before it was tried."""
    with make_client(loadTimeout=1.5) as client:
        client.load(bundle)
        wrong = client.submit(request(folder))
        client.load("good")
        right = client.submit(request(folder))
        assert client.wait(right, SECONDS)["T1"]["mean"] == 59.5
        assert wrong.state == "failed" and problem in str(wrong.error)
        assert client.problem is None and client.info["bundle"] == "good" and is_empty(folder)


def test_a_python_that_does_not_exist_is_an_error(folder: Path) -> None:
    client = make_client(python="/no/such/python")
    job = client.submit(request(folder))
    assert client.state == "failed"
    with pytest.raises(WorkerError, match=r"cannot be started.*no/such/python"):
        client.wait(job, SECONDS)
    assert is_empty(folder)
    client.stop()
    assert client.state == "stopped"


def test_an_engine_that_does_not_exist_is_an_error(folder: Path) -> None:
    with WorkerClient(engine="GliomaGradingLib.nothing:Engine") as client:
        with pytest.raises(WorkerError, match=r"GliomaGradingLib\.nothing"):
            grade(client, folder)
        assert is_empty(folder)


def test_options_that_are_no_json_are_refused_at_once(client: WorkerClient, folder: Path) -> None:
    with pytest.raises(ProtocolError):
        client.submit(request(folder, volume=object()))
    with pytest.raises(ProtocolError):
        client.submit(request(folder, text="x" * MAX_LINE))
    assert is_empty(folder)


# Crashes


@posix
@pytest.mark.parametrize(
    ("do", "options", "words"),
    [
        ("exit", {"status": 3}, 'exit code 3; its last words: "I am going home now"'),
        ("exit", {"status": 0}, "exit code 0"),
        ("exit", {"status": 137}, "memory runs out"),
        ("kill", {"signal": "SIGKILL"}, "SIGKILL, as the system does when memory runs out"),
        ("kill", {"signal": "SIGTERM"}, "SIGTERM"),
        ("crash_natively", {}, "SIGSEGV"),
    ],
)
def test_a_crash_is_explained_and_the_next_grading_works(
    client: WorkerClient, folder: Path, do: str, options: dict[str, Any], words: str
) -> None:
    grade(client, folder)
    first = client.pid
    job = client.submit(request(folder, do, **options))
    queued = client.submit(request(folder, shift=5))
    with pytest.raises(WorkerError, match=words) as caught:
        client.wait(job, SECONDS)
    assert "while grading" in str(caught.value) and caught.value.remedy
    assert client.wait(queued, SECONDS)["T1"]["mean"] == 64.5, "what waited must not be lost"
    assert client.pid != first and client.isReady and is_empty(folder)


@posix
def test_a_native_crash_shows_where(client: WorkerClient, folder: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        grade(client, folder, "crash_natively")
    assert any("do_crash_natively" in line for line in caught.value.details)


@posix
@pytest.mark.parametrize("stage", ["starting", "loading", "idle", "reading", "grading"])
def test_killed_at_any_stage_the_client_recovers(fresh: WorkerClient, folder: Path, stage: str) -> None:
    if stage == "loading":
        fresh.load("slow")
    fresh.start()
    pid = fresh.pid
    assert pid is not None
    if stage == "loading":
        until(lambda: fresh.state == "loading", fresh)
    if stage in ("idle", "reading", "grading"):
        until(lambda: fresh.isReady, fresh)
    job = fresh.submit(request(folder, "sleep", seconds=20)) if stage in ("reading", "grading") else None
    if job and stage == "grading":
        until(lambda: job.stage == "sleeping", fresh)
    os.kill(pid, signal.SIGKILL)
    if job:
        with pytest.raises(WorkerError, match="SIGKILL"):
            fresh.wait(job, SECONDS)
    else:
        until(lambda: fresh.pid != pid, fresh)
    assert grade(fresh, folder, shift=3)["T1"]["mean"] == 62.5
    assert is_empty(folder)
    until(lambda: not is_alive(pid))


@posix
def test_a_child_that_dies_while_loading_is_not_started_again_and_again(folder: Path) -> None:
    with make_client(bundle="dies") as client:
        jobs = [client.submit(request(folder)) for _ in range(2)]
        for job in jobs:
            with pytest.raises(WorkerError, match=r"while loading the model \(exit code 7"):
                client.wait(job, SECONDS)
        assert client.pid is None and client.state == "failed"
        client.load("good")
        assert grade(client, folder)["T1"]["mean"] == 59.5


@posix
def test_three_crashes_in_a_row_are_enough(fresh: WorkerClient, folder: Path) -> None:
    jobs = [fresh.submit(request(folder, "exit", status=1)) for _ in range(5)]
    for job in jobs:
        with pytest.raises(WorkerError, match="exit code 1"):
            fresh.wait(job, SECONDS)
    assert fresh.pid is None and is_empty(folder)
    assert grade(fresh, folder)["T1"]["mean"] == 59.5, "the next submit tries again"


def test_a_child_whose_memory_ran_out_is_replaced(client: WorkerClient, folder: Path) -> None:
    """Libraries may keep what they had half done, and fail with it ever after."""
    grade(client, folder)
    pid = client.pid
    jobs = [client.submit(request(folder, "raise", error="memory"))]
    jobs += [client.submit(request(folder)) for _ in range(2)]
    with pytest.raises(WorkerError, match="memory ran out"):
        client.wait(jobs[0], SECONDS)
    assert [client.wait(job, SECONDS)["T1"]["mean"] for job in jobs[1:]] == [59.5, 59.5]
    assert client.pid != pid and client.problem is None and is_empty(folder)


def test_a_pytorch_that_cannot_be_loaded_is_tried_again_in_a_new_child(folder: Path) -> None:
    """Half of it stays in a child that failed to import it; it may have been repaired since."""
    with make_client(bundle="half installed") as client:
        pids = []
        for _ in range(2):
            with pytest.raises(WorkerError, match="libcudart"):
                grade(client, folder)
            pids.append(client.pid)
        assert pids == [None, None] and client.state == "failed" and is_empty(folder)


@posix
def test_work_is_done_with_the_bundle_that_it_was_submitted_for(folder: Path) -> None:
    """Also where the child dies after another bundle was asked for."""
    with make_client(bundle="first") as client:
        running = client.submit(request(folder, "sleep", seconds=30, step=0.1))
        until(lambda: running.stage == "sleeping", client)
        waiting = client.submit(request(folder, "bundle"))
        client.load("second")
        last = client.submit(request(folder, "bundle"))
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        assert client.wait(waiting, SECONDS)["bundle"] == "first"
        assert client.wait(last, SECONDS)["bundle"] == "second"


def test_a_launcher_that_hides_the_signal_is_seen_through() -> None:
    said = ("error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.",)
    assert "memory" in crash_error(1, "grading", said).remedy
    assert "memory" not in crash_error(1, "grading", ("Traceback",)).remedy
    assert "0xc0000005" in crash_error(0xC0000005, "grading", ()).problem
    assert "memory ran out" in crash_error(0xC0000017, "grading", ()).problem


# Limits


def test_a_job_that_takes_too_long_is_ended(client: WorkerClient, folder: Path) -> None:
    grade(client, folder)
    pid = client.pid
    job = client.submit(request(folder, "sleep", seconds=60, timeout=0.3))
    with pytest.raises(WorkerError, match=r"did not finish grading within 0\.3 s"):
        client.wait(job)
    assert grade(client, folder)["T1"]["mean"] == 59.5
    assert client.pid != pid and is_empty(folder)


def test_a_load_that_hangs_is_ended(folder: Path) -> None:
    with make_client(bundle="hangs", loadTimeout=0.3) as client:
        with pytest.raises(WorkerError, match="did not finish loading the model"):
            grade(client, folder)
        assert client.pid is None and client.state == "failed" and is_empty(folder)


@posix
def test_a_child_that_never_says_hello_is_ended(folder: Path) -> None:
    mute = folder / "mute python"
    mute.write_text("#!/bin/sh\nexec sleep 60\n")
    mute.chmod(0o700)
    with make_client(python=str(mute), startTimeout=0.3) as client:
        with pytest.raises(WorkerError, match="did not finish starting"):
            grade(client, folder.parent)
        assert client.pid is None


@pytest.mark.parametrize("are_read", ["at once", "in pauses only"])
def test_an_answer_that_nobody_fetched_in_time_is_no_late_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, are_read: str
) -> None:
    """The panel was left; or it is in Slicer, whose loop gives the threads that read no turn."""
    with make_client() as client:
        hello, child, pid, pauses, sleep = client._current, client._child, client.pid, [], time.sleep
        assert hello is not None and child is not None
        until(lambda: child._events.qsize())
        hello._deadline = time.monotonic() - 1000
        if are_read == "in pauses only":
            fetch = child.nextEvent
            monkeypatch.setattr(child, "nextEvent", lambda: fetch() if pauses else None)
            monkeypatch.setattr(time, "sleep", lambda seconds: (pauses.append(seconds), sleep(seconds)))
        client.poll()
        assert hello.state == "done" and client.pid == pid
        assert grade(client, folder)["T1"]["mean"] == 59.5 and client.pid == pid


def test_a_computer_that_slept_takes_nothing_from_a_jobs_time(client: WorkerClient, folder: Path) -> None:
    job = client.submit(request(folder, "sleep", seconds=1))
    until(lambda: job.stage == "sleeping", client)
    job._deadline, client._polledAt = time.monotonic() - 1, time.monotonic() - 3600
    assert client.wait(job, SECONDS) == {"slept": 1}


def test_a_pause_before_a_job_adds_nothing_to_its_time(client: WorkerClient, folder: Path) -> None:
    client._polledAt = time.monotonic() - 3600
    job = client.submit(request(folder, "sleep", seconds=30, timeout=0.5))
    with pytest.raises(WorkerError, match=r"within 0\.5 s"):
        client.wait(job, SECONDS)


def test_a_job_that_takes_too_long_is_ended_however_much_it_says(client: WorkerClient, folder: Path) -> None:
    job = client.submit(request(folder, "flood", count=10**9, timeout=0.3))
    with pytest.raises(WorkerError, match=r"did not finish grading within 0\.3 s"):
        client.wait(job)
    assert is_empty(folder)


def test_a_wait_that_is_over_cancels_the_job(client: WorkerClient, folder: Path) -> None:
    job = client.submit(request(folder, "sleep", seconds=60))
    with pytest.raises(WorkerError, match=r"no result within 0\.2 s"):
        client.wait(job, 0.2)
    assert job.state == "cancelled" and is_empty(folder)


@pytest.mark.parametrize("who", ["pump", "callback"])
@pytest.mark.parametrize("state", ["starting", "sleeping"])
def test_a_wait_that_is_broken_off_ends_the_job(folder: Path, who: str, state: str) -> None:
    def fail(*_: object) -> None:
        if who == "callback" or client.state == "starting" or job.stage:
            raise KeyboardInterrupt

    with make_client() as client:
        if state == "sleeping":
            until(lambda: client.isReady, client)
        tell = fail if who == "callback" else None
        job = client.submit(request(folder, "sleep", seconds=60), tell, onCancelled=lambda: told.append(1))
        told: list[int] = []
        with pytest.raises(KeyboardInterrupt):
            client.wait(job, SECONDS, fail if who == "pump" else None)
        assert job.state == "cancelled" and not told and is_empty(folder)
        client.poll()
        assert told and client.state != "busy"
        assert grade(client, folder)["T1"]["mean"] == 59.5


def test_wait_pumps(client: WorkerClient, folder: Path) -> None:
    pumped: list[int] = []
    client.wait(client.submit(request(folder, "sleep", seconds=0.2)), SECONDS, pump=lambda: pumped.append(1))
    assert len(pumped) > 5


@posix
def test_a_frozen_child_does_not_freeze_the_client(client: WorkerClient, folder: Path) -> None:
    grade(client, folder)
    pid = client.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    jobs = [client.submit(request(folder, note="x" * 200_000)) for _ in range(3)]
    client.cancel(jobs[0])
    with pytest.raises(GradingCancelled):
        client.wait(jobs[0], SECONDS)
    assert client.wait(jobs[1], SECONDS)["T1"]["mean"] == 59.5 and client.pid != pid


# Cancel


def running(client: WorkerClient, folder: Path, do: str = "sleep", **options: Any) -> tuple[Job, list[str]]:
    calls: list[str] = []
    job = client.submit(
        request(folder, do, **options),
        onResult=lambda _: calls.append("result"),
        onError=lambda _: calls.append("error"),
        onCancelled=lambda: calls.append("cancelled"),
    )
    until(lambda: job.stage, client)
    return job, calls


@pytest.mark.parametrize(
    ("do", "options", "lives"),
    [
        ("sleep", {"seconds": 60, "step": 0.02}, True),
        ("swallow", {}, True),
        ("sleep", {"seconds": 60}, False),
        pytest.param("stick", {}, False, marks=posix),
    ],
    ids=[
        "between stages",
        "through a library that swallows it",
        "in the middle of a stage",
        "in native code",
    ],
)
def test_cancel(client: WorkerClient, folder: Path, do: str, options: dict[str, Any], lives: bool) -> None:
    job, calls = running(client, folder, do, **options)
    pid, start = client.pid, time.monotonic()
    client.cancel(job)
    client.cancel(job)
    until(lambda: job.isDone, client)
    assert time.monotonic() - start < 10, "half a second is meant, the work takes a minute"
    client.poll()
    assert job.state == "cancelled" and job.result is None and job.error is None
    assert calls == ["cancelled"] and is_empty(folder)
    with pytest.raises(GradingCancelled):
        client.wait(job, SECONDS)
    assert grade(client, folder)["T1"]["mean"] == 59.5
    assert (client.pid == pid) == lives


def test_cancel_of_a_job_that_waits_leaves_the_running_one_alone(client: WorkerClient, folder: Path) -> None:
    first, calls = running(client, folder, seconds=0.3)
    second = client.submit(request(folder))
    client.cancel(second)
    assert second.state == "cancelled" and client.wait(first, SECONDS) == {"slept": 0.3}
    assert calls == ["result"] and is_empty(folder)


def test_cancel_before_the_child_is_ready_leaves_the_child_alone(fresh: WorkerClient, folder: Path) -> None:
    job = fresh.submit(request(folder))
    pid = fresh.pid
    fresh.cancel(job)
    assert job.state == "cancelled" and is_empty(folder)
    until(lambda: fresh.isReady, fresh)
    assert fresh.pid == pid


def test_cancel_of_a_job_that_is_done_changes_nothing(client: WorkerClient, folder: Path) -> None:
    job = client.submit(request(folder))
    result = client.wait(job, SECONDS)
    client.cancel(job)
    assert job.state == "done" and job.result is result


def test_a_job_of_another_client_is_not_cancelled(
    client: WorkerClient, fresh: WorkerClient, folder: Path
) -> None:
    job, _calls = running(client, folder, seconds=0.3)
    fresh.cancel(job)
    assert client.wait(job, SECONDS) == {"slept": 0.3}


@pytest.mark.parametrize("kind", ["load", "cancel", "shutdown", "bake"])
def test_a_request_of_another_kind_is_refused_and_leaves_nothing(
    client: WorkerClient, folder: Path, kind: str
) -> None:
    with pytest.raises(UsageError, match="choose one of grade, explain, report"):
        client.submit(Request(ArrayFile(volumes(), folder), {}, kind))
    assert is_empty(folder) and client.state == "ready"


def test_a_result_that_crosses_with_the_cancel_is_not_shown(client: WorkerClient, folder: Path) -> None:
    job, calls = running(client, folder, seconds=0.05)
    time.sleep(0.3)  # the answer waits to be polled
    client.cancel(job)
    until(lambda: job.isDone, client)
    client.poll()
    assert job.state == "cancelled" and calls == ["cancelled"]


def test_callbacks_may_submit_and_raise(client: WorkerClient, folder: Path) -> None:
    later: list[Job] = []

    def again(_: Any) -> None:
        later.append(client.submit(request(folder, shift=1)))
        raise LookupError("from a callback")

    job = client.submit(request(folder), onResult=again)
    with pytest.raises(LookupError):
        client.wait(job, SECONDS)
    assert job.state == "done" and client.wait(later[0], SECONDS)["T1"]["mean"] == 60.5


# The end


def test_stop_ends_the_child_and_cancels_what_runs(fresh: WorkerClient, folder: Path) -> None:
    job, calls = running(fresh, folder, seconds=60)
    waiting = fresh.submit(request(folder))
    pid = fresh.pid
    assert pid is not None
    fresh.stop()
    assert (job.state, waiting.state, calls) == ("cancelled", "cancelled", ["cancelled"])
    assert fresh.state == "stopped" and fresh.pid is None and is_empty(folder)
    until(lambda: not is_alive(pid))
    fresh.stop()
    assert grade(fresh, folder)["T1"]["mean"] == 59.5, "it can be started again"


def test_an_idle_child_ends_by_itself_when_asked(fresh: WorkerClient) -> None:
    fresh.start()
    until(lambda: fresh.isReady, fresh)
    child = fresh._child
    assert child is not None
    fresh.stop()
    assert child.nextEvent() == {"event": "bye"}
    assert child.nextEvent() == {"event": "end", "status": 0}


@posix
def test_no_thread_outlives_its_child(fresh: WorkerClient, folder: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(WorkerError):
        grade(fresh, folder, "exit", status=1)
    grade(fresh, folder)
    assert len(set(threading.enumerate()) - before) >= 4
    fresh.stop()
    until(lambda: not set(threading.enumerate()) - before)


@posix
def test_a_client_that_is_dropped_takes_its_child_along(folder: Path) -> None:
    client = make_client()
    job, _ = running(client, folder, seconds=60)
    pid = client.pid
    assert pid is not None
    del client, job
    gc.collect()
    until(lambda: not is_alive(pid))
    until(lambda: is_empty(folder))


PARENT = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume
    from GliomaGradingLib.worker.client import Request, WorkerClient
    folder, do, how = sys.argv[1:]
    client = WorkerClient(engine="worker_fake_engine:FakeEngine")
    client.start()
    while not client.isReady:
        client.poll()
    if do != "idle":
        arrays = ArrayFile({"T1": ArrayVolume(np.ones((3, 3, 3)))}, folder)
        job = client.submit(Request(arrays, {"do": do, "seconds": 60}))
        while not job.stage:
            client.poll()
    print(client.info["pid"], flush=True)
    if how == "exit":
        sys.exit(0)
    time.sleep(60)
"""


@posix
@pytest.mark.parametrize("do", ["idle", "sleep", "stick"])
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_the_child_dies_with_its_parent(folder: Path, do: str, how: str) -> None:
    if do == "stick" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a process whose interpreter is stuck")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PACKAGE_PARENT), str(HERE)))}
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(folder), do, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert how == "exit" or is_alive(pid)
        if how == "kill":
            parent.kill()
        parent.wait(SECONDS)
        until(lambda: not is_alive(pid))
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left == [], "no image stays behind, even if everybody is killed"
    assert how == "kill" or is_empty(folder)


@posix
@pytest.mark.parametrize("way", ["input ends", "client gone", "parent gone"])
def test_each_way_to_notice_the_end_works_alone(way: str) -> None:
    """Standard input, the watch on the client and the watch on the parent, one at a time."""
    client = subprocess.Popen(["sleep", "60"])
    middle = """
        import subprocess, sys, time
        child = subprocess.Popen(sys.argv[1:], stdin=0)
        print(child.pid, flush=True)
        time.sleep(60)
    """
    target = client.pid if way == "client gone" else os.getpid()
    command = [sys.executable, "-m", "GliomaGradingLib.worker", "--engine", ENGINE, "--client", str(target)]
    if way == "parent gone":
        command = [sys.executable, "-c", textwrap.dedent(middle), *command]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as started:  # type: ignore[call-overload]
        pid = int(started.stdout.readline()) if way == "parent gone" else started.pid
        started.stdin.write(encode({"kind": "ping", "id": 1}))
        started.stdin.flush()
        until(lambda: b"busy" in started.stdout.readline())
        assert is_alive(pid)
        {"input ends": started.stdin.close, "client gone": client.kill, "parent gone": started.kill}[way]()
        client.wait() if way == "client gone" else None
        until(lambda: not is_alive(pid))
        with contextlib.suppress(OSError):
            started.stdin.close()
    client.kill()
    client.wait()


@posix
def test_a_launcher_in_between_is_ended_with_its_program(folder: Path) -> None:
    """PythonSlicer is such a launcher: it starts the real interpreter and waits for it."""
    real, launcher = folder / "python-real", folder / "PythonSlicer"
    for script, program in ((real, sys.executable), (launcher, real)):
        script.write_text(f'#!/bin/sh\n"{program}" "$@"\nexit $?\n', encoding="utf-8")
        script.chmod(0o700)
    with make_client(python=str(launcher)) as client:
        job, _ = running(client, folder.parent, "stick")  # so it cannot end by itself
        inner, outer = client.info["pid"], client.pid
        assert outer is not None and inner != outer and is_alive(inner)
        client.cancel(job)
        until(lambda: job.isDone, client)
        until(lambda: not is_alive(inner) and not is_alive(outer))
        assert job.state == "cancelled"
        assert grade(client, folder.parent)["T1"]["mean"] == 59.5


def test_which_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "slicer", raising=False)  # the embedded Slicer of other tests
    monkeypatch.setenv("PATH", os.defpath)
    assert default_python() == sys.executable
    tool = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert default_python() == sys.executable, "outside Slicer nobody asks for PythonSlicer"
    monkeypatch.setitem(sys.modules, "slicer", sys)
    assert default_python() == str(tool)
    monkeypatch.delitem(sys.modules, "slicer")
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    with pytest.raises(WorkerError, match="PythonSlicer"):
        default_python()


def test_only_the_main_thread_asks_to_be_followed_into_death() -> None:
    commands: list[list[str]] = [Launch().command()]
    thread = threading.Thread(target=lambda: commands.append(Launch().command()))
    thread.start()
    thread.join()
    assert [("--die-with-parent" in command) for command in commands] == [True, False]


def test_the_tail_is_bounded() -> None:
    tail = worker_process._Tail()
    for index in range(1000):
        tail.add(f"line {index}\n" + "x" * 5000)
    lines = tail.lines()
    assert len(lines) <= 201 and max(map(len, lines)) <= 1000


# Fuzz against a living child


@pytest.fixture(scope="module")
def raw_child() -> Iterator[ChildProcess]:
    child = ChildProcess(Launch(engine=ENGINE, environment={"PYTHONPATH": str(HERE)}))
    yield child
    child.stop()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300) | st.just(b"x" * (MAX_LINE + 5)), max_size=4), st.integers(0, 1 << 40))
def test_random_lines_get_errors_and_the_child_lives(
    raw_child: ChildProcess, lines: list[bytes], probe: int
) -> None:
    sent = [line.replace(b"\n", b"") + b"\n" for line in lines]
    for line in sent:
        raw_child._requests.put(line)
    raw_child.send({"kind": "ping", "id": probe})
    events: list[dict[str, Any]] = []
    end = time.monotonic() + SECONDS
    while not events or events[-1]["event"] != "result":
        assert time.monotonic() < end and raw_child.isAlive
        event = raw_child.nextEvent()
        events += [event] if event else []
        time.sleep(0 if event else 0.001)
    assert events[-1] == {"event": "result", "id": probe, "result": {"busy": False}}
    assert len(events) == len(sent) + 1 and all(event["event"] == "error" for event in events[:-1])
    assert json.dumps(events)
