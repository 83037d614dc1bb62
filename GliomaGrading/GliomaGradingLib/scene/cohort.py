"""A batch from Slicer's console: the cohort's engine, a grading process of its own, a window that lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer

from ..cohort.batch import Counts, Watch
from ..cohort.local import LocalRunner
from ..cohort.run import BatchJob, CaseOutcome, run
from ..cohort.work import Settings
from .application import worker_python

_TURN = 0.02
"""Seconds between two looks at Slicer's events; the grading process does the work meanwhile."""


def grade_cohort(
    source: str | Path,
    output: str | Path,
    settings: Settings,
    progress: Callable[[str, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    **choices: Any,
) -> Mapping[str, CaseOutcome]:
    """Grade every case of a cohort; a case that fails is a row with its error.

    Reading, preparing and inference happen in the grading process. This thread lists folders, writes the
    results and handles Slicer's events. To be called on the main thread.

    Args:
        progress: called with a case's name and the fraction of the cohort done, when the case is done.
        choices: of ``cohort.run.BatchJob``: layout, grades, resume, overwrite, retryFailed, retryChanged.

    Returns a result, or the error, by case in the order of the input.

    Raises:
        UsageError: there is no such folder, no case in it, or the output cannot be written or holds a batch.
        GliomaGradingError: the batch was cancelled, or cannot go on; what was graded before stays.
    """

    is_cancelled = cancelled or (lambda: False)

    def finished(case: str, counts: Counts) -> None:
        if progress:
            progress(case, counts.done / counts.cases)

    def runner() -> LocalRunner:
        return LocalRunner(settings, python=worker_python(), pump=_Pump(is_cancelled))

    return run(
        BatchJob(Path(source), Path(output), **choices), settings, runner, Watch(finished=finished)
    ).outcomes


class _Pump:
    """Handles Slicer's events, not more often than is of use, and ends the batch where it is cancelled."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            slicer.app.processEvents()
            self._next = time.monotonic() + _TURN
        if self._cancelled():
            raise KeyboardInterrupt
