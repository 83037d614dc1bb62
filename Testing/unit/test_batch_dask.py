"""The batch on Dask workers: the same results, whatever happens to a worker."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from batch_stub import ENGINE, ENVIRONMENT, make_cohort
from GliomaGradingLib.cohort.engine import Watch
from GliomaGradingLib.cohort.local import LocalRunner
from GliomaGradingLib.cohort.run import Job, run
from GliomaGradingLib.cohort.work import Settings
from GliomaGradingLib.errors import UsageError
from test_batch import environment, table, without_seconds

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (the extra 'cohort')")

from GliomaGradingLib.cohort.dask_runner import DaskRunner  # noqa: E402

NAMES = [f"case_{number:02d}" for number in range(12)]


@pytest.fixture(scope="module")
def cluster():
    """A scheduler with two workers in processes of their own, as on another machine."""
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
        Job(source, tmp_path / "one"),
        settings,
        lambda: LocalRunner(settings, engine=ENGINE, environment=ENVIRONMENT),
    )
    counts = run(Job(source, tmp_path / "two"), settings, lambda: on(address, settings)).counts
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
        Job(source, tmp_path / "out"), settings, lambda: on(address, settings), Watch(finished=kill)
    ).counts
    assert (counts.graded, counts.failed) == (12, 0)
    assert [row["case"] for row in table(tmp_path / "out")] == NAMES
    assert sorted(done) == NAMES  # none twice


def test_two_workers_of_this_machine(tmp_path):
    source, settings = make_cohort(tmp_path / "in", NAMES[:4]), Settings(timeout=30)
    runner = DaskRunner(settings, workers=2, engine=ENGINE, environment=ENVIRONMENT)
    counts = run(Job(source, tmp_path / "out"), settings, lambda: runner).counts
    assert counts.graded == 4


def test_no_scheduler_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("GliomaGradingLib.cohort.dask_runner._CONNECT_SECONDS", 1)
    source, settings = make_cohort(tmp_path / "in", NAMES[:1]), Settings()
    with pytest.raises(UsageError, match=r"there is no Dask scheduler .*tcp://127\.0\.0\.1:9"):
        run(Job(source, tmp_path / "out"), settings, lambda: on("tcp://127.0.0.1:9", settings))
