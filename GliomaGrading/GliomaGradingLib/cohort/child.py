"""What the grading process does in a batch: reads cases by itself, and prepares the next while it infers one.

A request's images stay empty; ``options`` name the files of the case (``task``) and of the one that comes after
it (``ahead``), which a second thread begins with. Files of the result travel as arrays of bytes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..worker.arrays import ArrayVolume
from ..worker.engine import GradingEngine
from .layouts import ROLES
from .thumbnail import NAME as THUMBNAIL
from .thumbnail import thumbnail
from .work import STRANGENESS

_TURN = 0.05
Files = dict[str, bytes]


class CaseGrader(Protocol):
    """Grades one case from its files, from any of two threads: what result.json has and how strange it is,
    and files by name."""

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]: ...

    def grade(self, task: Mapping[str, Any]) -> tuple[dict[str, Any], Files]: ...


class CohortEngine:
    """The engine of a batch's grading process (``worker.server.Engine``).

    A case that is tried again is graded alone, so that the other thread's work is not taken for its fault.
    """

    def __init__(self, grader: CaseGrader | None = None) -> None:
        self._grader = grader or FileGrader()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="case")
        self._begun: dict[str, Future[tuple[dict[str, Any], Files]]] = {}

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]:
        return self._grader.load(bundle, device, progress)

    def grade(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Callable[..., None]
    ) -> dict[str, Any]:
        """``{"result": ..., "arrays": files as bytes}`` of the task, as ``CaseGrader.grade`` gives them."""
        task, ahead = options["task"], options.get("ahead")
        if task.get("alone"):
            _await(list(self._begun.values()), progress)
        mine = self._begin(task)
        if ahead:
            self._begin(ahead)
        try:
            _await([mine], progress)
            result, files = mine.result()
        finally:
            self._begun.pop(_key(task), None)
        return {"result": result, "arrays": {name: _bytes(content) for name, content in files.items()}}

    def _begin(self, task: Mapping[str, Any]) -> Future[tuple[dict[str, Any], Files]]:
        key = _key(task)
        if key not in self._begun:
            self._begun[key] = self._pool.submit(self._grader.grade, task)
        return self._begun[key]


class FileGrader:
    """Grades with the product's Grader: two cases are read and prepared at a time, one is inferred."""

    def __init__(self) -> None:
        self._engine = GradingEngine()

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]:
        return self._engine.load(bundle, device, progress)

    def grade(self, task: Mapping[str, Any]) -> tuple[dict[str, Any], Files]:
        from ..case import read_paths
        from ..export.folder import case_outputs

        started = time.perf_counter()
        paths = {role: Path(path) for role, path in task["files"].items()}
        case = read_paths(paths, task["maskLabels"], task["case"], ROLES if task["found"] else ())
        read = time.perf_counter() - started
        graded = self._engine.grader.gradeInDetail(case, task["vote"], task["register"])
        graded = replace(graded, result=graded.result.afterReading(read))
        graded, files = case_outputs(graded, self._engine.grader, task["reports"], task["dicom"])
        files = {**files, THUMBNAIL: thumbnail(graded)}
        return {**graded.result.toDict(), STRANGENESS: _rounded(graded.strangeness)}, files


def _rounded(value: float | None) -> float | None:
    """JSON knows no infinity and no not-a-number; the warnings of such a case say what it is."""
    return round(value, 4) if value is not None and math.isfinite(value) else None


def _await(futures: list[Future[Any]], progress: Callable[..., None]) -> None:
    """Waits; ``progress`` raises where the work was cancelled."""
    while wait(futures, timeout=_TURN).not_done:
        progress("grading", 0.5)


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def _key(task: Mapping[str, Any]) -> str:
    return json.dumps([task["case"], task["files"]], sort_keys=True)
