"""Grading on the workers of a Dask cluster: on this machine, or wherever a scheduler's workers are.

Each Dask worker keeps a grading process of its own (``local.LocalRunner``), so that a case that crashes, hangs
or fills the memory ends that process and not the worker. The bundle is sent once to each worker, which needs no
copy of it; the images have to be readable there under the same paths. Results come back as bytes, and only the
batch itself writes to the output folder.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

from ..errors import GliomaGradingError, UsageError
from ..extras import INSTALL_COHORT
from .dask_worker import grade_on_worker, load_on_worker
from .local import ENGINE
from .work import BatchStopped, Outcome, Settings, Task

_PLUGIN = "glioma-grading-"
"""Before the client's id in the name of a batch's plugin, so that others see whether the batch is alive."""
_ADDRESS = re.compile(r"([a-z]+://)?[^\s/]+:\d{1,5}/?")
_TURN = 0.2
_AHEAD, _MOST_AHEAD = 2, 16
"""Tasks given away for each thread of a worker: one that it does and the next; more where they are quick."""
_AHEAD_SECONDS = 0.5
"""Work that a thread shall have before it: many times what a message takes on a busy machine."""
_NEW = 0.1
"""Weight of the newest task in the typical time of a task."""
_CONNECT_SECONDS = 30
_WAIT_FOR_WORKERS = _LOAD_SECONDS = 300.0
_ANSWER_SECONDS = 60.0
"""For what Dask answers at once, as long as no machine is frozen; its own waits for that have no end."""
_LOOK_SECONDS = 5.0
_MOST_FAULTS = 5
"""Faults of machines in a row, beyond one for each thread, after which the batch ends."""
_LOST_WORKERS = 1
"""Workers that may be lost under a case, on this machine's cluster, before its try counts as failed."""


class DaskRunner:
    """Grades on ``workers`` processes of this machine, or on those of the scheduler at an address.

    Args:
        engine, environment: of the grading processes, see ``LocalRunner``.

    Raises:
        UsageError: Dask is not installed, or this is no address.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int | None = None,
        scheduler: str | None = None,
        engine: str = ENGINE,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        _check_address(scheduler)
        self._dask = _distributed()
        _silence()
        self._settings, self._workers, self._scheduler = settings, workers, scheduler
        self._engine, self._environment = engine, dict(environment or {})
        self._folder = ""
        self._cluster: Any = None
        self._client: Any = None
        self._key = ""
        self._unsent: list[Task] = []
        self._given: dict[str, tuple[Any, Task]] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._threads, self._lookAgain = 0, 0.0
        self._taskSeconds = _AHEAD_SECONDS
        self._faults = 0

    def start(self) -> dict[str, str]:
        """Connects, sends the bundle to the workers, and has one of them load it.

        Raises:
            BundleError: there is no such bundle, or it is damaged.
            UsageError: there is no scheduler at the address, or it has no workers.
        """
        from .dask_plugin import GradingPlugin

        content = _bundle_files(self._settings.bundle) if self._engine == ENGINE else {}
        self._connect()
        if self._cluster is None:
            _quietly(self._end_what_dead_batches_left)
        self._key = f"{_PLUGIN}{self._client.id}"
        plugin = GradingPlugin(self._key, self._settings, content, self._engine, self._environment)
        try:
            self._client.wait_for_workers(1, timeout=_WAIT_FOR_WORKERS)
            _within(_LOAD_SECONDS, lambda: self._client.register_plugin(plugin, name=self._key))
            loading = self._client.submit(load_on_worker, self._key, pure=False)
            model: dict[str, str] = loading.result(timeout=_LOAD_SECONDS)
        except GliomaGradingError:
            raise
        except Exception as error:  # of many kinds: unpickled from the worker, timeouts, connections
            problem = f"the Dask workers cannot be used ({type(error).__name__}: {error})"
            remedy = "look at their log; they need the same version of glioma-grading, dask and Python"
            raise UsageError(problem, self._scheduler or "", remedy) from error
        return model

    @property
    def window(self) -> int:
        now = time.monotonic()
        if now >= self._lookAgain:  # workers come and go
            self._check_scheduler()
            with suppress(OSError):  # no scheduler at the moment: whether it is gone is for ``collect`` to say
                self._threads = sum(_within(_ANSWER_SECONDS, self._client.nthreads).values())
            self._lookAgain = now + _LOOK_SECONDS
        ahead = round(_AHEAD_SECONDS / max(self._taskSeconds, 1e-3))
        return min(max(ahead, _AHEAD), _MOST_AHEAD) * max(self._threads, 1)

    def submit(self, task: Task) -> None:
        """Sent at the next ``collect``, in one message with what was given since the last."""
        self._unsent.append(task)

    def collect(self) -> list[Outcome]:
        """What is finished after a fifth of a second at most.

        Raises:
            BatchStopped: the scheduler is gone.
        """
        self._send()
        ended = self._ended_futures() if self._given else []
        if not ended:
            self._check_scheduler()
        return list(self._outcomes(ended))

    def close(self) -> None:
        """Forgets all tasks, and ends a cluster that this runner has made."""
        client, self._client = self._client, None
        cluster, self._cluster = self._cluster, None
        self._unsent.clear()
        self._given.clear()
        if client is not None:
            if cluster is None:  # somebody else's workers go on living
                _quietly(lambda: client.unregister_worker_plugin(self._key))
            _quietly(client.close)
        if cluster is not None:
            _quietly(cluster.close)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> None:
        if not self._scheduler:
            self._cluster = self._local_cluster()
        try:
            self._client = self._new_client()
        except (OSError, ValueError, TypeError) as error:
            problem = f"there is no Dask scheduler ({type(error).__name__}: {error})"
            raise UsageError(
                problem, self._scheduler or "", "check the address, such as tcp://host:8786"
            ) from error

    def _new_client(self) -> Any:
        kind = self._dask.Client
        client = kind.__new__(kind)  # in hand before it connects, so that one that cannot is closed at once
        try:
            client.__init__(self._cluster or self._scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except Exception:
            _quietly(client.close)
            raise
        return client

    def _local_cluster(self) -> Any:
        import dask

        self._folder = tempfile.mkdtemp(prefix="glioma-grading-dask-")
        for_scheduler = {
            "distributed.scheduler.allowed-failures": _LOST_WORKERS,
            "temporary-directory": self._folder,
        }
        with dask.config.set(for_scheduler):  # which reads it as it is made, in this process
            return self._dask.LocalCluster(
                n_workers=self._workers or 1,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,  # the grading process is what takes memory, and Dask does not see it
                local_directory=self._folder,
                silence_logs="CRITICAL",
            )

    def _end_what_dead_batches_left(self) -> None:
        """A batch that was killed could not take its plugin, and so its grading processes, off the workers."""
        prefix = _PLUGIN

        def dead(dask_scheduler: Any) -> list[str]:  # pickled whole: the scheduler may not have this program
            ours = (name for name in dask_scheduler.worker_plugins if name.startswith(prefix))
            return [name for name in ours if name[len(prefix) :] not in dask_scheduler.clients]

        for name in self._client.run_on_scheduler(dead):
            self._client.unregister_worker_plugin(name)

    def _send(self) -> None:
        tasks, self._unsent = self._unsent, []
        if not tasks:
            return
        self._check_scheduler()
        keys = [f"grade-{task.number}-{secrets.token_hex(6)}" for task in tasks]
        futures = self._client.map(grade_on_worker, [self._key] * len(tasks), tasks, key=keys, pure=False)
        for key, future, task in zip(keys, futures, tasks, strict=True):
            self._given[key] = future, task
            # tells when it ends; to ask Dask again and again leaves it something to clear up each time
            future.add_done_callback(self._ended.put)

    def _ended_futures(self) -> list[Any]:
        ended = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=_TURN))
            while True:
                ended.append(self._ended.get_nowait())
        return ended

    def _check_scheduler(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise BatchStopped(
                "the Dask scheduler is gone", self._scheduler or "", "start it, then run again with --resume"
            )

    def _outcomes(self, ended: Sequence[Any]) -> Iterator[Outcome]:
        """What came of the tasks. Those that failed without their own fault are given away again."""
        answers = self._answers([future for future in ended if future.key in self._given])
        again: list[tuple[Task, GliomaGradingError]] = []
        for future, answer in answers:
            _future, task = self._given.pop(future.key)
            if isinstance(answer, Outcome):
                self._faults = 0
                self._taskSeconds += _NEW * (answer.seconds - self._taskSeconds)
                yield replace(answer, task=task)
            elif isinstance(answer, GliomaGradingError):
                again.append((task, answer))
            else:
                yield Outcome(task, error=self._lost_worker(answer), mayRetry=True)
        for task, _fault in again:
            self.submit(task)  # elsewhere, or here again
        for fault in {str(fault): fault for _task, fault in again}.values():
            self._bear(fault)  # a lost connection takes many tasks with it, and is one fault

    def _answers(self, ended: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Futures, each with an outcome, a fault of machines, or the exception that it has instead."""
        whole = [future for future in ended if future.status not in ("error", "cancelled")]
        try:
            results = _within(_ANSWER_SECONDS, lambda: self._client.gather(whole)) if whole else []
        except Exception:  # a worker went with its results: look at each by itself
            results = []
        known = dict(zip((future.key for future in whole), results, strict=False))
        return [(f, known[f.key] if f.key in known else self._answer(f)) for f in ended]

    def _answer(self, future: Any) -> Any:
        try:
            return future.result(timeout=_ANSWER_SECONDS)
        except Exception as error:  # whatever was raised on a worker, or by the connection
            self._check_scheduler()
            is_of_connection = isinstance(error, OSError) and future.status != "error"  # not raised by the task
            return self._lost_connection() if future.cancelled() or is_of_connection else error

    def _lost_worker(self, error: Any) -> str:
        """What becomes of a case whose task failed: without keys and addresses, which are new each time."""
        if isinstance(error, self._dask.KilledWorker):
            return "the Dask workers that graded it were lost"
        return f"the Dask worker failed ({_words(error)})"

    def _lost_connection(self) -> BatchStopped:
        problem = "the connection to the Dask scheduler was lost again and again"
        return BatchStopped(problem, self._scheduler or "", "look at its log, then run again with --resume")

    def _bear(self, fault: GliomaGradingError) -> None:
        """One machine without room or torch is no reason to stop; when none works any more, the batch ends."""
        self._faults += 1
        if self._faults > _MOST_FAULTS + self._threads:
            raise fault


# Small things


def _check_address(scheduler: str | None) -> None:
    """Dask tries half a minute to reach what it cannot."""
    if scheduler is not None and not _ADDRESS.fullmatch(scheduler):
        problem = f"{scheduler!r} is no address of a Dask scheduler"
        raise UsageError(problem, remedy="give its host and port, such as tcp://host:8786")


def _distributed() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            f"Dask is not installed ({error})", remedy=f"{INSTALL_COHORT}, or leave --workers out"
        ) from error
    return distributed


def _bundle_files(bundle: str | None) -> dict[str, bytes]:
    from ..networks.bundle import METADATA, open_bundle

    opened = open_bundle(bundle)
    opened.verify()
    names = [METADATA, *(entry.file for entry in opened.weights.values())]
    return {name: (opened.folder / name).read_bytes() for name in names}


def _words(error: Any) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _silence() -> None:
    """What Dask logs of lost workers and closed connections is handled here, or told as an error."""
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _within(seconds: float, action: Callable[[], Any]) -> Any:
    """What ``action`` answers.

    Raises:
        TimeoutError: it does not in that time; it is left waiting in a thread that keeps no process alive.
    """
    answer: Future[Any] = Future()

    def act() -> None:
        try:
            answer.set_result(action())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except FutureTimeout as error:  # another class before Python 3.11
        raise TimeoutError(f"no answer in {seconds:.0f} s") from error


def _quietly(action: Callable[[], Any]) -> None:
    with suppress(Exception):
        _within(_ANSWER_SECONDS, action)
