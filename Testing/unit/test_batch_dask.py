"""The batch on Dask workers: the same results, whatever happens to a worker."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from asyncio import all_tasks
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_stub import ENGINE, ENVIRONMENT, HERE, make_cohort
from GliomaGradingLib.cohort.batch import Watch
from GliomaGradingLib.cohort.local import LocalRunner
from GliomaGradingLib.cohort.run import BatchJob, run
from GliomaGradingLib.cohort.work import BatchStopped, Outcome, Settings, Task
from GliomaGradingLib.errors import UsageError
from test_batch import environment, table, without_seconds

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (the extra 'cohort')")

from GliomaGradingLib.cohort import dask_runner, dask_worker  # noqa: E402
from GliomaGradingLib.cohort.dask_runner import DaskRunner  # noqa: E402

NAMES = [f"case_{number:02d}" for number in range(12)]


@pytest.fixture(scope="module")
def cluster():
    """A scheduler with two workers in processes of their own, as on another machine."""
    yield from running_cluster()


def running_cluster():
    paths = environment()
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen(
        [*command, "--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--no-jupyter"],
        env=paths, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = _address(scheduler)
    started = [scheduler]
    for _ in range(2):
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
        started.append(subprocess.Popen([*worker, "--no-dashboard"], env=paths, stderr=subprocess.DEVNULL))
    yield address, started
    for process in started:
        process.kill()
        process.wait()


def _address(scheduler):
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            return line.split()[-1]
    raise AssertionError("the scheduler did not start")


def on(address, settings):
    return DaskRunner(settings, scheduler=address, engine=ENGINE, environment=ENVIRONMENT)


def test_output_does_not_depend_on_where_it_was_graded(tmp_path, cluster):
    address, _processes = cluster
    source = make_cohort(tmp_path / "in", [*NAMES, "x_bad", "y_segfault"])
    settings = Settings(timeout=30)
    run(
        BatchJob(source, tmp_path / "one"),
        settings,
        lambda: LocalRunner(settings, engine=ENGINE, environment=ENVIRONMENT),
    )
    counts = run(BatchJob(source, tmp_path / "two"), settings, lambda: on(address, settings)).counts
    assert (counts.graded, counts.failed) == (12, 2)
    assert without_seconds(tmp_path / "two") == without_seconds(tmp_path / "one")
    assert "killed by SIGSEGV" in table(tmp_path / "two")[13]["error"]


def test_cases_of_a_killed_worker_go_elsewhere(tmp_path, cluster):
    address, (_scheduler, _first, second) = cluster
    source, settings = make_cohort(tmp_path / "in", NAMES), Settings(timeout=30)
    done = []

    def kill(case, counts):
        done.append(case)
        if len(done) == 4:
            second.send_signal(signal.SIGKILL)

    counts = run(
        BatchJob(source, tmp_path / "out"), settings, lambda: on(address, settings), Watch(finished=kill)
    ).counts
    assert (counts.graded, counts.failed) == (12, 0)
    assert [row["case"] for row in table(tmp_path / "out")] == NAMES
    assert sorted(done) == NAMES  # none twice


def test_two_workers_of_this_machine(tmp_path):
    source, settings = make_cohort(tmp_path / "in", NAMES[:4]), Settings(timeout=30)
    runner = DaskRunner(settings, workers=2, engine=ENGINE, environment=ENVIRONMENT)
    counts = run(BatchJob(source, tmp_path / "out"), settings, lambda: runner).counts
    assert counts.graded == 4


def test_a_cluster_of_this_machine_changes_nothing_for_others_in_its_process():
    """Slicer's console may have clusters of its own."""
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 7}):
        runner = DaskRunner(Settings(), engine=ENGINE, environment=ENVIRONMENT)
        before = dask.config.get("temporary-directory", None)
        cluster = runner._local_cluster()
        try:
            assert cluster.scheduler.allowed_failures == 1
            assert dask.config.get("distributed.scheduler.allowed-failures") == 7
            assert dask.config.get("temporary-directory", None) == before
        finally:
            cluster.close()
            runner.close()


def test_no_scheduler_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("GliomaGradingLib.cohort.dask_runner._CONNECT_SECONDS", 1)
    source, settings = make_cohort(tmp_path / "in", NAMES[:1]), Settings()
    with pytest.raises(UsageError, match=r"there is no Dask scheduler .*tcp://127\.0\.0\.1:9"):
        run(BatchJob(source, tmp_path / "out"), settings, lambda: on("tcp://127.0.0.1:9", settings))


@pytest.mark.parametrize(
    "address", ["foo", "tcp://host", "127.0.0.1", "host:", "a b:8786", "", "tcp://host:port"]
)
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(UsageError) as refused:
        DaskRunner(Settings(), scheduler=address)
    told = f"{address!r} is no address of a Dask scheduler: give its host and port, such as tcp://host:8786"
    assert str(refused.value) == told


@pytest.mark.parametrize(
    "address", ["host:8786", "tcp://10.0.0.1:8786", "tls://head.cluster:1", "tcp://[::1]:80/"]
)
def test_addresses_of_schedulers(address):
    assert DaskRunner(Settings(), scheduler=address)._scheduler == address


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("tcp://127.0.0.1:9", "there is no Dask scheduler (OSError: Timed out trying to connect"),
        ("ftp://127.0.0.1:9", "there is no Dask scheduler (ValueError: unknown address scheme 'ftp'"),
        ("tls://127.0.0.1:9", "there is no Dask scheduler (TypeError: TLS expects"),
    ],
)
def test_a_client_that_cannot_connect_is_closed(tmp_path, address, text):
    """What is left of it at the end of the process would wait for a minute and print a traceback."""
    code = (
        "import sys; from GliomaGradingLib import cli; from GliomaGradingLib.cohort import dask_runner; "
        "dask_runner._CONNECT_SECONDS = 1; sys.exit(cli.main(sys.argv[1:]))"
    )
    source = make_cohort(tmp_path / "in", NAMES[:1])
    words = ["batch", str(source), "--output", str(tmp_path / "out"), "--scheduler", address]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment(), capture_output=True, text=True, timeout=100
    )
    assert time.monotonic() - begun < 30
    assert done.returncode == 2 and done.stderr.startswith(f"error: {text}")
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_cluster_of_this_machine_leaves_nothing_behind(tmp_path):
    source = make_cohort(tmp_path / "in", NAMES[:2])
    (tmp_path / "tmp").mkdir()
    words = [str(HERE / "batch_stub.py"), str(source), str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run(
        [sys.executable, *words],
        env=environment(TMPDIR=str(tmp_path / "tmp")),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("2 done, 0 earlier\n", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def slow_task(key: str, task: Task) -> Outcome:
    time.sleep(1.5)
    return Outcome(task, {"case": task.case}, seconds=1.5)


def quick_task(key: str, task: Task) -> Outcome:
    return Outcome(task, {"case": task.case}, {"result.json": b"x" * 100}, seconds=0.001)


def tasks(number):
    return [Task(n, f"case-{n}", {"T1": "a"}, None, Settings()) for n in range(number)]


@pytest.fixture
def idle(cluster, monkeypatch):
    """A runner that is connected, with tasks that need no grading process."""
    runner = DaskRunner(Settings(), scheduler=cluster[0])
    runner._connect()
    runner._client.wait_for_workers(1, timeout=30)
    yield runner
    runner.close()


def collected(runner, number, seconds=30):
    outcomes, end = [], time.monotonic() + seconds
    while len(outcomes) < number and time.monotonic() < end:
        outcomes += runner.collect()
    return outcomes


def test_waiting_leaves_nothing_behind_in_dasks_event_loop(idle, monkeypatch):
    """Each look used to leave a coroutine for each task: 640 tasks and a look for each were 400,000."""
    monkeypatch.setattr(dask_runner, "grade_on_worker", slow_task)
    for task in tasks(4):
        idle.submit(task)
    idle.collect()
    before = len(all_tasks(idle._client.loop.asyncio_loop))
    for _ in range(5):
        idle.collect()
    assert len(all_tasks(idle._client.loop.asyncio_loop)) <= before + 2  # Dask has its own at times
    assert sorted(outcome.task.number for outcome in collected(idle, 4)) == [0, 1, 2, 3]


def test_quick_tasks_are_given_away_further_ahead_and_many_in_a_message(idle, monkeypatch):
    monkeypatch.setattr(dask_runner, "grade_on_worker", quick_task)
    assert idle.window == 2 * idle._threads  # as long as nothing is known of them
    first, most = tasks(60), 16 * idle._threads
    for task in first:
        idle.submit(task)
    outcomes = collected(idle, len(first))
    assert idle.window == most
    sent, give = [], idle._client.map
    monkeypatch.setattr(idle._client, "map", lambda *a, **k: sent.append(len(a[2])) or give(*a, **k))
    for number in range(60, 60 + most):
        idle.submit(replace(first[0], number=number, case=f"case-{number}"))
    outcomes += collected(idle, most)
    assert sent == [most]
    assert {outcome.task.number: outcome.result for outcome in outcomes} == {
        n: {"case": f"case-{n}"} for n in range(60 + most)
    }


def test_a_cancelled_task_is_given_away_again_and_no_fault_of_its_case(idle, monkeypatch):
    """As when the connection to the scheduler breaks and comes back."""
    monkeypatch.setattr(dask_runner, "grade_on_worker", slow_task)
    for task in tasks(2):
        idle.submit(task)
    idle._send()
    idle._client.cancel([future for future, _task in idle._given.values()])
    outcomes = collected(idle, 2)
    assert sorted(outcome.task.number for outcome in outcomes) == [0, 1]
    assert all(outcome.result and not outcome.error and not outcome.task.tries for outcome in outcomes)


def test_a_task_that_raises_is_the_fault_of_its_case_or_worker(idle, monkeypatch):
    monkeypatch.setattr(dask_runner, "grade_on_worker", lambda key, task: 1 // task.number)
    idle.submit(tasks(1)[0])
    (outcome,) = collected(idle, 1)
    assert outcome.mayRetry and "ZeroDivisionError" in outcome.error


def test_workers_lost_under_a_case_read_the_same_each_time(idle):
    """The exception has a random key and a worker's address."""
    from types import SimpleNamespace

    error = distributed.KilledWorker("grade-0-5a1d", SimpleNamespace(address="tcp://10.0.0.7:4711"), 1)
    future = SimpleNamespace(key="k", status="error", result=raising(error), cancelled=lambda: False)
    idle._given["k"] = future, tasks(1)[0]
    (outcome,) = idle._outcomes([future])
    assert (outcome.error, outcome.mayRetry) == ("the Dask workers that graded it were lost", True)


def raising(error):
    def raises(timeout=None):
        raise error

    return raises


@pytest.mark.parametrize(("status", "is_lost"), [("finished", True), ("error", False)])
def test_a_connection_that_breaks_before_the_result_is_fetched_is_no_fault_of_the_case(idle, status, is_lost):
    """It is one of the case where the task itself has raised it."""
    from types import SimpleNamespace

    error = distributed.comm.CommClosedError("in <TCP>: Stream is closed")
    future = SimpleNamespace(key="k", status=status, result=raising(error), cancelled=lambda: False)
    assert isinstance(idle._answer(future), BatchStopped) == is_lost


def test_a_client_that_has_closed_meanwhile_is_a_scheduler_that_is_gone(idle):
    idle._lookAgain = 0.0
    idle._client.close()
    with pytest.raises(BatchStopped, match="the Dask scheduler is gone"):
        _ = idle.window


def test_the_grading_processes_of_a_killed_batch_end_when_the_next_begins(cluster):
    address, _processes = cluster
    alive, killed, following = (on(address, Settings()) for _ in range(3))
    alive.start()
    killed.start()
    killed._client.close()  # as the scheduler sees a client that was killed
    following.start()
    names = following._client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.worker_plugins])
    plugins = sorted(name for name in names if name.startswith("glioma-grading-"))
    assert plugins == sorted([alive._key, following._key])
    known = following._client.run(gradings)
    assert known and all(sorted(keys) == plugins for keys in known.values())
    for runner in (alive, following):
        runner.close()


def gradings():
    from GliomaGradingLib.cohort.dask_worker import _gradings

    return list(_gradings)


def test_what_never_answers_is_given_up(monkeypatch):
    never = threading.Event()
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer in 0 s"):
        dask_runner._within(0.05, never.wait)
    monkeypatch.setattr(dask_runner, "_ANSWER_SECONDS", 0.05)
    dask_runner._quietly(never.wait)
    assert time.monotonic() - start < 5
    never.set()
    assert dask_runner._within(5, lambda: "an answer") == "an answer"
    with pytest.raises(ZeroDivisionError):
        dask_runner._within(5, lambda: 1 // 0)


def test_a_batch_takes_its_bundle_off_the_workers_disks(tmp_path):
    """Workers may live for months; each batch left a copy of the weights with them."""
    from GliomaGradingLib.cohort.dask_plugin import GradingPlugin

    worker = SimpleNamespace(local_directory=str(tmp_path))
    plugin = GradingPlugin("glioma-grading-x", Settings(), {"metadata.json": b"{}"}, ENGINE, {})
    (tmp_path / "kept").touch()
    plugin.setup(worker)
    assert (tmp_path / "glioma-grading-x" / "metadata.json").read_bytes() == b"{}"
    plugin.teardown(worker)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_worker_that_knows_nothing_of_the_batch_is_a_fault_of_the_machine(monkeypatch):
    monkeypatch.setattr(dask_worker, "PAUSE_AFTER_FAULT", 0)
    assert isinstance(dask_worker.grade_on_worker("none", tasks(1)[0]), BatchStopped)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")
def test_a_grading_process_has_not_what_dask_sets_for_its_workers_memory(monkeypatch):
    """It took twice the time: each image went back to the system, and the next came from there page by page."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    grading = dask_worker.Grading(Settings(), ENGINE, {**ENVIRONMENT, "OURS": "there"})
    try:
        grading.load()
        (runner,) = grading._all
        set_there = Path(f"/proc/{runner._client.pid}/environ").read_bytes().split(b"\0")
        assert b"OURS=there" in set_there
        assert not [one for one in set_there if one.startswith(b"MALLOC_TRIM_THRESHOLD_")]
    finally:
        grading.close()


def test_a_batch_whose_scheduler_dies_ends_and_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_runner, "_CONNECT_SECONDS", 2)
    source, settings = make_cohort(tmp_path / "in", NAMES), Settings(timeout=30)
    clusters = running_cluster()
    address, (scheduler, *_workers) = next(clusters)
    done = []

    def kill(case, counts):
        done.append(case)
        if len(done) == 3:
            scheduler.kill()

    with pytest.raises(BatchStopped, match=r"the Dask scheduler is gone.* run again with --resume"):
        run(BatchJob(source, tmp_path / "out"), settings, lambda: on(address, settings), Watch(finished=kill))
    next(clusters, None)
    job = BatchJob(source, tmp_path / "out", resume=True)
    again = run(job, settings, lambda: LocalRunner(settings, engine=ENGINE, environment=ENVIRONMENT)).counts
    assert (again.graded, again.failed) == (12, 0) and again.earlier >= 3
