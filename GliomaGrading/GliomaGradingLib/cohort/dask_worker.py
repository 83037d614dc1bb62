"""What runs on a Dask worker: its grading processes, and the tasks that they are given."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import GliomaGradingError
from .local import LocalRunner, grade_one
from .work import BatchStopped, Outcome, Settings, Task

PAUSE_AFTER_FAULT = 5.0
"""Seconds before a machine that cannot grade says so, so that it does not draw all cases to it."""


_NOT_DASKS = {"MALLOC_TRIM_THRESHOLD_": None}
"""What Dask's nanny sets for its workers, and a grading process shall not have: with it the C library gives
every image back to the system and gets the next from there page by page, which takes half of the time."""


class Grading:
    """The grading processes of one Dask worker, one for each thread at work, with the models loaded."""

    def __init__(self, settings: Settings, engine: str, environment: Mapping[str, str | None]) -> None:
        self._settings, self._engine = settings, engine
        self._environment: dict[str, str | None] = {**_NOT_DASKS, **environment}
        self._lock = threading.Lock()
        self._free: list[LocalRunner] = []
        self._all: list[LocalRunner] = []

    def load(self) -> dict[str, str]:
        runner = self._take()
        try:
            return runner.start()
        finally:
            self._give_back(runner)

    def grade(self, task: Task) -> Outcome:
        runner = self._take()
        try:
            return grade_one(runner, task)
        finally:
            self._give_back(runner)

    def close(self) -> None:
        with self._lock:
            runners, self._all, self._free = self._all, [], []
        for runner in runners:
            runner.close()

    def _take(self) -> LocalRunner:
        with self._lock:
            if self._free:
                return self._free.pop()
            runner = LocalRunner(self._settings, engine=self._engine, environment=self._environment)
            self._all.append(runner)
            return runner

    def _give_back(self, runner: LocalRunner) -> None:
        with self._lock:
            self._free.append(runner)


_gradings: dict[str, Grading] = {}
"""By the key of the plugin that made it; in the worker's process."""


def set_up(key: str, grading: Grading) -> None:
    _gradings[key] = grading


def tear_down(key: str) -> None:
    grading = _gradings.pop(key, None)
    if grading is not None:
        grading.close()


def load_on_worker(key: str) -> dict[str, str]:
    """The description of the bundle, loaded."""
    return _grading(key).load()


def _grading(key: str) -> Grading:
    if key not in _gradings:  # a scheduler that was started anew does not know the plugin
        raise BatchStopped("a Dask worker was not told what to do", remedy="run again with --resume")
    return _gradings[key]


def grade_on_worker(key: str, task: Task) -> Outcome | GliomaGradingError:
    """The outcome of a task, or the error for which no case can be graded here."""
    try:
        return _grading(key).grade(task)
    except GliomaGradingError as error:
        time.sleep(PAUSE_AFTER_FAULT)
        return error


def write_bundle_files(folder: Path, content: Mapping[str, bytes]) -> None:
    """The bundle on a worker's own disk; its hashes are checked when it is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / Path(name).name).write_bytes(data)
