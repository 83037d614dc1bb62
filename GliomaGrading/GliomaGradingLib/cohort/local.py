"""Grading in one process of this machine, which survives whatever a case does to it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import CaseError, GliomaGradingError, UsageError
from ..worker.arrays import ArrayFile, ArrayVolume
from ..worker.client import Job, Request
from .work import BatchStopped, Outcome, Settings, Task

ENGINE = "GliomaGradingLib.cohort.child:CohortEngine"
_TURN = 0.1
_STARTS = 3
"""How often the grading process may fail to start in a row before the batch ends."""
_LAST_WORDS = re.compile(r'; its last words: ".*"\)')
"""What a crashed process said last is different each time, and results.csv is not."""
_NO_ROOM = ("No space left", "[Errno 28]", "Disk quota exceeded", "[Errno 122]", "Read-only file system")


class LocalRunner:
    """One grading process: the models are loaded once, the next case is read while one is inferred.

    A case that crashes the process, hangs or fills the memory ends the process and not the batch; the next case
    gets a new one. Use it from one thread.

    Args:
        python: interpreter of the process; by default PythonSlicer inside Slicer, else this one.
        engine: dotted name of the engine.
        environment: variables for the process.
        pump: called again and again, to keep a graphical program alive.
        threads: of numerical libraries. One: quickest for many cases, and the same figures on every machine.
    """

    window = 2

    def __init__(
        self,
        settings: Settings,
        python: str | None = None,
        engine: str = ENGINE,
        environment: Mapping[str, str | None] | None = None,
        pump: Callable[[], object] | None = None,
        threads: int | None = 1,
    ) -> None:
        from ..worker import client

        self._client = client.WorkerClient(
            python,
            environment=environment,
            bundle=settings.bundle,
            device=settings.device,
            engine=engine,
            threads=threads,
        )
        self._pump = pump or (lambda: None)
        self._queue: deque[Task] = deque()
        self._task: Task | None = None
        self._job: Job | None = None
        self._since = 0.0

    @property
    def pid(self) -> int | None:
        """Process id of the grading process."""
        return self._client.pid

    def start(self) -> dict[str, str]:
        """Starts the process and loads the models; gives their description and the kind of device they are on.

        Raises:
            BundleError: there is no such bundle, or it is damaged.
            GliomaGradingError: the process cannot be started, or has no torch.
        """
        self._client.start()
        while not self._client.isReady:
            if self._client.problem:
                raise self._client.problem
            self._turn()
        info = self._client.info
        return {**info.get("model", {}), "device": str(info.get("device", "")).split(":")[0]}

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def collect(self) -> list[Outcome]:
        """What is finished after a tenth of a second at most.

        Raises:
            BatchStopped: the process cannot be started any more, or the temporary folder is full.
        """
        end = time.monotonic() + _TURN
        while time.monotonic() < end:
            if self._job is None and self._queue:
                self._give(self._queue.popleft())
            if self._job is None:
                break
            self._turn()
            if self._job.isDone:
                return [self._outcome()]
        return []

    def close(self) -> None:
        self._queue.clear()
        self._job = self._task = None
        self._client.stop()

    def _turn(self) -> None:
        self._client.poll()
        self._pump()
        time.sleep(0.002)

    def _give(self, task: Task) -> None:
        following = self._queue[0] if self._queue and not task.isAlone else None
        ahead = following.toMessage() if following and not following.isAlone else None
        nothing = ArrayFile({"none": ArrayVolume(np.zeros((1, 1, 1), np.uint8))})
        options = {"task": task.toMessage(), "ahead": ahead}
        self._task, self._since = task, time.perf_counter()
        self._job = self._client.submit(Request(nothing, options, timeout=task.settings.timeout))

    def _outcome(self) -> Outcome:
        task, job = self._task, self._job
        assert task is not None and job is not None
        self._task = self._job = None
        seconds = time.perf_counter() - self._since
        if job.result is None:
            return self._failure(task, job.error, seconds)
        values: Any = job.result
        files = {name: array.tobytes() for name, array in values["arrays"].items()}
        return Outcome(task, values["result"], files, seconds=seconds)

    def _failure(self, task: Task, error: GliomaGradingError | None, seconds: float) -> Outcome:
        text = str(error or "the grading was cancelled")
        if any(words in text for words in _NO_ROOM):
            raise BatchStopped(text, remedy="make room, then run again with --resume")
        is_of_the_case = isinstance(error, (CaseError, UsageError))
        if not is_of_the_case:
            self._make_ready()
        error_text = _LAST_WORDS.sub(")", text)
        return Outcome(task, error=error_text, mayRetry=not is_of_the_case, seconds=seconds)

    def _make_ready(self) -> None:
        """A process with its models, after one that may have ended: if there is none, no case can be graded."""
        for attempt in range(1, _STARTS + 1):
            self._client.start()
            while not self._client.isReady and self._client.problem is None:
                self._turn()
            if self._client.isReady:
                return
            if attempt == _STARTS:
                assert self._client.problem is not None
                raise self._client.problem


def grade_one(runner: LocalRunner, task: Task) -> Outcome:
    """Grade a case and wait for it."""
    runner.submit(task)
    while True:
        for outcome in runner.collect():
            return outcome
