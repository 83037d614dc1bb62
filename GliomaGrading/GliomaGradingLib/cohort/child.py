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
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..result import Notice
from ..worker.arrays import ArrayVolume
from ..worker.engine import GradingEngine
from .store import RESULT
from .thumbnail import NAME as THUMBNAIL
from .thumbnail import thumbnail
from .work import STRANGENESS

if TYPE_CHECKING:
    from ..explanation import Explanation
    from ..grading import Graded

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
        self,
        volumes: Mapping[str, ArrayVolume],
        options: Mapping[str, Any],
        progress: Callable[..., None],
        cancelled: Callable[[], bool],
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

        started = time.perf_counter()
        paths = {role: Path(path) for role, path in task["files"].items()}
        case = read_paths(paths, task["maskLabels"], task["case"], task["found"])
        read = time.perf_counter() - started
        graded = self._engine.grader.gradeInDetail(case, task["vote"], task["register"])
        graded = replace(graded, result=graded.result.afterReading(read))
        graded, files = self._extras(graded, task)
        own = {RESULT: json_bytes(graded.result.toJson()), THUMBNAIL: thumbnail(graded)}
        return {**graded.result.toDict(), STRANGENESS: _rounded(graded.strangeness)}, {**files, **own}

    def _extras(self, graded: Graded, task: Mapping[str, Any]) -> tuple[Graded, Files]:
        """What ``grade --output`` writes beside result.json, as far as it was asked for."""
        from ..export.dicom_sources import is_from_dicom

        as_dicom = task["dicom"] and is_from_dicom(graded.case)
        if not (task["reports"] or as_dicom):
            return graded, {}
        explanation = self._engine.grader.explain(graded)
        files: Files = {}
        if as_dicom:
            graded, files = _dicom_files(graded, explanation)
        if task["reports"]:
            from ..export.folder import result_files

            files = {**files, **result_files(graded, self._engine.grader.bundle, explanation)}
        return graded, files


def _dicom_files(graded: Graded, explanation: Explanation) -> tuple[Graded, Files]:
    """result.dcm and overlay.dcm of a case from DICOM; why there are none is a warning of its result."""
    from ..export.dicom_outputs import dicom_result_files

    made = dicom_result_files(graded, explanation)
    notices = [Notice("no-dicom-output", made.problem)] if made.problem else []
    result = replace(graded.result, warnings=(*graded.result.warnings, *notices))
    return replace(graded, result=result), dict(made.contents)


def _rounded(value: float | None) -> float | None:
    """JSON knows no infinity and no not-a-number; the warnings of such a case say what it is."""
    return round(value, 4) if value is not None and math.isfinite(value) else None


def json_bytes(text: str) -> bytes:
    """UTF-8; what no UTF-8 can hold (half of a surrogate pair, out of a file's name) as JSON's escape."""
    return text.encode("utf-8", "backslashreplace")


def _await(futures: list[Future[Any]], progress: Callable[..., None]) -> None:
    """Waits; ``progress`` raises where the work was cancelled."""
    while wait(futures, timeout=_TURN).not_done:
        progress("grading", 0.5)


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def _key(task: Mapping[str, Any]) -> str:
    return json.dumps([task["case"], task["files"]], sort_keys=True)
