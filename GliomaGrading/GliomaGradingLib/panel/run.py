"""One piece of the worker's work, seen from the panel: nodes to arrays, arrays to the worker, its answer back.

No Qt here. Everything happens in ``tick``, which a timer calls on the main thread. It reads a node or writes a
block at a time: milliseconds each, but for what has to be resampled or drawn onto voxels first (a volume below
a warp, closed surfaces), which takes a second or so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..explanation import Explanation
from ..result import GradeResult
from ..scene.failures import explained
from ..scene.inputs import Inputs, Prepared
from ..scene.report import files_of, report_options
from ..worker.arrays import ArrayFile
from ..worker.client import (
    EXPLAIN_SECONDS,
    GRADE_SECONDS,
    REPORT_SECONDS,
    SLICES_WENT,
    Job,
    Request,
    WorkerClient,
)

_BUDGET = 0.02
"""Seconds of the main thread that a tick may take for writing images."""

_WRITING, _STARTING = 0.1, 0.3
"""Where the bar stands when the images are written, and when the worker is ready."""


class Listener(Protocol):
    """What a run tells, always out of ``tick`` or ``cancel``; exactly one of the last three ends it."""

    def onProgress(self, stage: str, fraction: float) -> None: ...
    def onResult(self, result: Any, prepared: Prepared | None) -> None: ...
    def onError(self, error: GliomaGradingError) -> None: ...
    def onCancelled(self) -> None: ...


Connect = Callable[[], WorkerClient]
"""Gives the worker with the run's own bundle and device, whatever a script has loaded since."""


class WorkerRun:
    """Gives ``inputs`` to a worker and tells a listener; subclasses say what for.

    Args:
        connect: asked at the beginning, so that the worker starts while images are read, and once more when
            they are handed over.
        options: vote and register, for the engine.
        makeArrays: where the images are handed over; a test's own.
    """

    kind = ""
    timeout = GRADE_SECONDS

    def __init__(
        self,
        connect: Connect,
        inputs: Inputs,
        options: Mapping[str, Any],
        listener: Listener,
        makeArrays: Callable[[Mapping[str, Any]], ArrayFile] = ArrayFile,
    ) -> None:
        self.inputs = inputs
        self.isDone = self.isCancelling = False
        self.job: Job | None = None
        self.worker = connect()
        self._connect = connect
        self._options, self._listener = dict(options), listener
        self._makeArrays = makeArrays
        self._start = time.monotonic()
        self._prepared: Prepared | None = None
        self._arrays: ArrayFile | None = None
        self._read = 0.0
        self._steps = self._prepare()

    def decode(self, answer: dict[str, Any]) -> Any:
        """What the worker's answer says.

        Raises:
            ValueError: it is of another schema, or incomplete.
        """
        raise NotImplementedError

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def tick(self) -> None:
        """Does a piece of work and tells what there is to tell."""
        if self.job is None and not self.isDone:
            self._advance()
        self.worker.poll()
        if self.job is not None and not self.job.isDone and self.worker.state in ("starting", "loading"):
            self._tell(self.worker.state, _WRITING + 0.5 * (_STARTING - _WRITING))

    def cancel(self) -> None:
        """Ends the run; the listener hears of it at once where no job runs yet, else within half a second."""
        self.isCancelling = True
        self._stop()
        if self.job is None:
            self._end(self._listener.onCancelled)

    def abandon(self) -> None:
        """Ends the run without a word: its nodes or its panel are gone."""
        self.isDone = True
        self._stop()

    def _stop(self) -> None:
        if self.job is not None:
            self.worker.cancel(self.job)
        else:
            self._steps.close()
            self._remove_arrays()

    def _advance(self) -> None:
        end = time.monotonic() + _BUDGET
        try:
            while self.job is None and time.monotonic() < end:
                self._tell("images", _WRITING * next(self._steps))
        except Exception as error:  # in a timer nobody else would see it, and the run would never end
            self._remove_arrays()
            self._fail(explained(error))

    def _prepare(self) -> Generator[float, None, None]:
        for prepared in self.inputs.prepare_steps():
            self._prepared = prepared
            yield 0.1
        assert self._prepared is not None
        self._arrays = self._makeArrays(self._prepared.volumes)
        for fraction in self._arrays.write_steps():
            yield 0.1 + 0.9 * fraction
        self._submit(self._prepared, self._arrays)
        yield 1.0  # so that steps which end before the images are handed over are an error

    def _submit(self, prepared: Prepared, arrays: ArrayFile) -> None:
        self._read = self.seconds
        options = {**self._options, "caseId": prepared.case}
        request = Request(arrays, options, kind=self.kind, timeout=self.timeout)
        self.worker = self._connect()
        self.job = self.worker.submit(
            request, self._on_progress, self._on_answer, self._fail, self._on_cancelled
        )

    def _on_progress(self, stage: str, fraction: float, message: str = "") -> None:
        self._tell(stage, _STARTING + (1 - _STARTING) * fraction)

    def _on_answer(self, answer: dict[str, Any]) -> None:
        if self.isCancelling:
            self._on_cancelled()  # it was there already, and nobody had looked
            return
        try:
            result = self.decode(answer)
        except ValueError as error:
            self._fail(GliomaGradingError(str(error), remedy=_("install the module again")))
            return
        except Exception as error:
            self._fail(explained(error))
            return
        self._end(self._listener.onResult, result, self._prepared)

    def _fail(self, error: GliomaGradingError) -> None:
        self._end(self._listener.onError, error)

    def _on_cancelled(self) -> None:
        self._end(self._listener.onCancelled)

    def _end(self, tell: Callable[..., None], *arguments: Any) -> None:
        if not self.isDone:
            self.isDone = True
            tell(*arguments)

    def _tell(self, stage: str, fraction: float) -> None:
        if not (self.isDone or self.isCancelling):
            self._listener.onProgress(stage, fraction)

    def _remove_arrays(self) -> None:
        if self._arrays is not None:
            self._arrays.remove()


class GradingRun(WorkerRun):
    """Grades the inputs; the result is a GradeResult."""

    kind = "grade"

    def decode(self, answer: dict[str, Any]) -> GradeResult:
        result = GradeResult.fromDict(answer).afterReading(self._read)
        return self._prepared.noted(result) if self._prepared is not None else result


class MapRun(WorkerRun):
    """Asks where the networks looked; the result is an Explanation.

    Args:
        graded: the job that graded these inputs, where the worker may still have its slices. Where it has
            not, or ends meanwhile, the images are handed over once more.
    """

    kind = "explain"
    timeout = EXPLAIN_SECONDS

    def __init__(
        self,
        connect: Connect,
        inputs: Inputs,
        options: Mapping[str, Any],
        listener: Listener,
        graded: Job | None = None,
    ) -> None:
        super().__init__(connect, inputs, options, listener)
        if graded is not None:
            self.job = self.worker.explain(
                graded, self._on_progress, self._on_answer, self._on_failed, self._on_cancelled
            )

    def decode(self, answer: dict[str, Any]) -> Explanation:
        return Explanation.fromDict(answer)

    @property
    def model(self) -> Mapping[str, Any]:
        """What the grading process says of the model that it holds."""
        return dict(self.worker.info.get("model") or {})

    def _on_failed(self, error: GliomaGradingError) -> None:
        """Without the worker's slices; what else goes wrong would go wrong with the images, too."""
        if self.isCancelling:
            self._on_cancelled()
        elif isinstance(error, SLICES_WENT):
            self.job = None  # the next tick prepares the images
        else:
            self._fail(error)


class ReportRun(WorkerRun):
    """Makes the report of a result; the outcome is the files' contents by name.

    Args:
        result: what was published for these inputs: the report says that, or there is none.
    """

    kind = "report"
    timeout = REPORT_SECONDS

    def __init__(self, connect: Connect, inputs: Inputs, result: GradeResult, listener: Listener) -> None:
        super().__init__(connect, inputs, report_options(result), listener)

    def decode(self, answer: dict[str, Any]) -> dict[str, bytes]:
        return files_of(answer)
