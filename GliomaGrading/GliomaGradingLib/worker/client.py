"""The client of the grading process: for Slicer's own process, for scripts and for tests.

Everything here is to be called from one thread (in Slicer: the main thread) and returns at once,
except ``wait`` and ``stop``. Callbacks come only out of ``poll``, ``wait`` and ``stop``, on the
caller's thread. A graphical program calls ``poll`` from a timer::

    client = WorkerClient()
    client.start()                                   # when the module is entered
    timer.connect("timeout()", client.poll)          # every 20 ms or so
    arrays = ArrayFile({"T1": t1, "T2": t2, "FLAIR": flair, "mask": mask})
    for fraction in arrays.write_steps():
        slicer.app.processEvents()
    job = client.submit(Request(arrays, {"vote": "majority"}), onResult=show, onError=explain)
    client.cancel(job)                               # at any time
    client.stop()                                    # when the module goes away

and a script::

    with WorkerClient() as client:
        result = client.wait(client.submit(Request(ArrayFile(volumes))))
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BundleError, GliomaGradingError, UsageError, tells_of_no_memory
from ..files import is_there
from ..networks.bundle import find_bundles
from .arrays import AnswerFile
from .process import PACKAGE_PARENT, ChildProcess, Launch, crash_error
from .protocol import (
    ANSWERS,
    VERSION,
    WORK,
    GradingCancelled,
    ProcessEnded,
    SlicesGone,
    UnexpectedError,
    WorkerError,
    encode,
    error_from_event,
)

KILL_AFTER = 0.3
"""Seconds that a cancelled child has to reach the end of a stage before it is killed."""

GRADE_SECONDS = 900.0
EXPLAIN_SECONDS = 300.0
REPORT_SECONDS = GRADE_SECONDS + EXPLAIN_SECONDS
LOAD_SECONDS = 300.0
START_SECONDS = 90.0

SLICES_WENT = (SlicesGone, ProcessEnded)
"""Errors of an ``explain`` without images, after which it is worth while to send them."""

KINDS_OF_WORK = tuple(kind for kind in WORK if kind != "load")
"""What a request may be; another bundle is asked for by ``WorkerClient.load``."""

_MAX_STRIKES = 3
_PAUSE = 0.005
_ASLEEP = 10.0
"""Seconds between two polls that count as the computer's sleep, which takes nothing from a job's time."""
_LAST_LOOK = 0.05
"""Seconds in which a job whose time is over may turn out to have been answered: nobody may have looked."""

_DOING = {"hello": "starting", "load": "loading the model", "grade": "grading"}
_DOING |= {"explain": "explaining", "report": "making the report"}


@dataclass(frozen=True, eq=False)
class Request:
    """Work for the child. The client owns ``arrays`` from ``submit`` on, and removes them.

    Args:
        arrays: T1, T2, FLAIR and mask; written by ``submit`` where that is not done yet. An
            ``AnswerFile`` for an explain without images: see ``WorkerClient.explain``.
        options: plain JSON values for the engine (``engine.GradingEngine``).
        kind: ``grade``, ``explain`` or ``report``.
        timeout: seconds after which the child counts as hung and is killed.
    """

    arrays: AnswerFile
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "grade"
    timeout: float = GRADE_SECONDS


class Job:
    """Work that was given to the client. Read it; only the client changes it.

    ``state`` is waiting, running, done, failed or cancelled. ``result`` is the engine's dictionary
    (its ``arrays``: numpy arrays by name), ``error`` a GliomaGradingError.
    """

    def __init__(self, kind: str, identifier: int, timeout: float) -> None:
        self.kind = kind
        self.id = identifier
        self.timeout = timeout
        self.state = "waiting"
        self.stage = ""
        self.fraction = 0.0
        self.message = ""
        self.result: dict[str, Any] | None = None
        self.error: GliomaGradingError | None = None
        self.isCancelling = False
        self.callbacks: dict[str, Callable[..., object] | None] = {}
        self._fields: dict[str, Any] = {}
        self._model: dict[str, str | None] = {}  # the bundle and the device that it was submitted for
        self._arrays: AnswerFile | None = None
        self._deadline = float("inf")
        self._killAt = float("inf")

    @property
    def isDone(self) -> bool:
        """It has its result, has failed, or was cancelled."""
        return self.state in ("done", "failed", "cancelled")

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.kind} {self.state} {self.stage} {self.fraction:.0%}>"


class WorkerClient:
    """Keeps one child with a loaded model, and gives it one job at a time.

    Args:
        python: interpreter of the child; PythonSlicer inside Slicer, else this one.
        environment: variables for the child, None takes one away.
        modulePath: the folder that contains GliomaGradingLib.
        bundle: name or folder of a model bundle; None for the default.
        device: auto, cpu or cuda.
        engine: dotted name of the child's engine.
        threads: of numerical libraries in the child; None leaves it to them.
        debug: tracebacks of the child in ``error.details``.

    A child that ends by itself fails the running job with a WorkerError and is started anew, as is one
    whose memory ran out or that met an error that nobody foresaw; after three such ends in a row, or one
    while starting or loading, only the next ``submit`` or ``start`` tries again, or what waits for another
    bundle.
    """

    def __init__(
        self,
        python: str | None = None,
        environment: Mapping[str, str | None] | None = None,
        modulePath: str | Path | None = None,
        bundle: str | Path | None = None,
        device: str = "auto",
        engine: str = "GliomaGradingLib.worker.engine:GradingEngine",
        *,
        threads: int | None = None,
        debug: bool = False,
        startTimeout: float = START_SECONDS,
        loadTimeout: float = LOAD_SECONDS,
    ) -> None:
        path = Path(modulePath).resolve() if modulePath else PACKAGE_PARENT
        self._launch = Launch(python or "", path, engine, dict(environment or {}), threads, debug)
        self._bundle, self._device = _absolute(bundle), device
        self._startTimeout, self._loadTimeout = startTimeout, loadTimeout
        self._child: ChildProcess | None = None
        self._current: Job | None = None
        self._queue: deque[Job] = deque()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._leftovers: list[AnswerFile] = []
        self._isLoaded = False
        self._strikes = 0
        self._lastId = 0
        self._polledAt = float("inf")
        self._lastState = "stopped"
        self._guard: weakref.finalize | None = None
        self.problem: GliomaGradingError | None = None
        self.info: dict[str, Any] = {}
        self.onStateChanged: Callable[[str], object] | None = None

    # What there is to see

    @property
    def isReady(self) -> bool:
        """The child lives and its model is loaded."""
        return self._child is not None and self._isLoaded

    @property
    def state(self) -> str:
        """stopped, starting, loading, ready, busy, or failed (then ``problem`` says why)."""
        if self._current is not None:
            return {"hello": "starting", "load": "loading"}.get(self._current.kind, "busy")
        if self.isReady:
            return "ready"
        return "failed" if self.problem else "stopped"

    @property
    def pid(self) -> int | None:
        """Process id of the child (of its launcher, where there is one)."""
        return self._child.pid if self._child else None

    # What there is to do

    def start(self) -> None:
        """Starts the child and loads the model, in the background. Does nothing where there is one."""
        if self._child is not None and self._current is None and not self._child.isAlive:
            self._forget_child()  # it ended while nobody polled: no fault of what comes next
        if self._child is None:
            self._launch_child()
        self._advance()

    def load(self, bundle: str | Path | None = None, device: str = "auto") -> Job:
        """Changes to another bundle or device; jobs submitted later are graded with it."""
        self._bundle, self._device = _absolute(bundle), device
        job = self._new_load(self._model)
        self._queue.append(job)
        self.start()
        return job

    def submit(
        self,
        request: Request,
        onProgress: Callable[[str, float, str], object] | None = None,
        onResult: Callable[[dict[str, Any]], object] | None = None,
        onError: Callable[[GliomaGradingError], object] | None = None,
        onCancelled: Callable[[], object] | None = None,
    ) -> Job:
        """Queues work; starts the child where none runs.

        Raises:
            WorkerError: the images cannot be written, or the options are no JSON.
            UsageError: there is no such kind of work.
        """
        job = self._new_job(request.kind, request.timeout)
        job.callbacks = {
            "progress": onProgress,
            "done": onResult,
            "failed": onError,
            "cancelled": onCancelled,
        }
        try:
            _check_kind(request.kind)
            request.arrays.write()
            job._fields = _work_fields(request, job.id)
            encode({"kind": job.kind, "id": job.id, **job._fields})
        except BaseException:
            request.arrays.remove()
            raise
        job._arrays, job._model = request.arrays, self._model
        self._queue.append(job)
        self.start()
        return job

    def explain(
        self,
        graded: Job,
        onProgress: Callable[[str, float, str], object] | None = None,
        onResult: Callable[[dict[str, Any]], object] | None = None,
        onError: Callable[[GliomaGradingError], object] | None = None,
        onCancelled: Callable[[], object] | None = None,
    ) -> Job:
        """Queues the saliency of the case that was graded last; ``Explanation.fromDict`` reads the result.

        Args:
            graded: that case's job. Its images are not sent again: the child has kept its slices.

        The job fails with SlicesGone where another case was graded, another bundle was loaded or the child
        was started anew since. An explain with images of its own goes through ``submit``.
        """
        request = Request(AnswerFile(), {"graded": graded.id}, "explain", EXPLAIN_SECONDS)
        return self.submit(request, onProgress, onResult, onError, onCancelled)

    def cancel(self, job: Job) -> None:
        """Ends a job within half a second: between two stages, or by killing the child."""
        if job.isDone or job.isCancelling:
            return
        if job is self._current and self._child is not None:
            job.isCancelling = True
            job._killAt = time.monotonic() + KILL_AFTER
            self._child.send({"kind": "cancel", "id": job.id})
        elif job in self._queue:  # and not another client's
            self._queue.remove(job)
            self._finish(job, "cancelled")

    def poll(self, budget: float = 0.02) -> None:
        """Handles what has come in, for at most about ``budget`` seconds, and makes the callbacks."""
        self._forgive_sleep()
        end = time.monotonic() + budget
        while self._step() and time.monotonic() < end:
            pass
        self._enforce_limits()
        self._tell_state()
        self._clean_up()

    def _forgive_sleep(self) -> None:
        """Windows' clock goes on while the computer sleeps; the child does not."""
        before, self._polledAt = self._polledAt, time.monotonic()
        if self._current is not None and self._polledAt - before > _ASLEEP:
            self._current._deadline += self._polledAt - before

    def wait(
        self, job: Job, timeout: float | None = None, pump: Callable[[], object] | None = None
    ) -> dict[str, Any]:
        """Waits for a job and gives its result.

        Args:
            timeout: seconds; the job is cancelled after them. None: the job's own limit holds.
            pump: called again and again, to keep a graphical program alive.

        Raises:
            GliomaGradingError: what went wrong with the job.
            GradingCancelled: the job was cancelled.
            WorkerError: the time is over.
        """
        try:
            is_late = self._wait(job, timeout, pump)
        except BaseException:  # of a callback or the pump, or Ctrl-C: nobody waits for the job any more
            self._withdraw(job)
            raise
        return _outcome(job, timeout if is_late else None)

    def _wait(self, job: Job, timeout: float | None, pump: Callable[[], object] | None) -> bool:
        """Waits until a job has ended and its callbacks are made; whether it was cancelled as too slow."""
        end = time.monotonic() + timeout if timeout is not None else float("inf")
        while not job.isDone and time.monotonic() < end:
            self._turn(pump)
        is_late = not job.isDone
        if is_late:
            self.cancel(job)
        while not job.isDone or self._calls:
            self._turn(pump)
        return is_late

    def _withdraw(self, job: Job) -> None:
        """Cancels a job and sees to it that it ends, without a callback: one of them may be what failed."""
        self.cancel(job)
        while not job.isDone:
            self._listen(job, _PAUSE)
            self._enforce_limits()

    def stop(self) -> None:
        """Cancels all jobs and ends the child. The client can be started again."""
        is_busy = self._current is not None
        for job in [self._current, *self._queue]:
            if job is not None:
                self._finish(job, "cancelled")
        self._current = None
        self._queue.clear()
        child = self._forget_child()
        if child is not None:
            child.stop(grace=0.0 if is_busy else 1.0)
        self.problem = None
        while self._calls:
            self._call()
        self._tell_state()
        self._clean_up()

    def __enter__(self) -> WorkerClient:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Child

    def _launch_child(self) -> None:
        self.problem = None
        try:
            child = ChildProcess(self._launch)
        except WorkerError as error:
            self._fail_all(error)
            return
        self._child = child
        self._guard = weakref.finalize(self, child.kill)
        hello = self._new_job("hello", self._startTimeout)
        hello._fields = {"version": VERSION}
        if not any(job.kind == "load" for job in self._queue):
            self._queue.appendleft(self._new_load(self._model))
        self._queue.appendleft(hello)

    def _forget_child(self) -> ChildProcess | None:
        child, self._child, self._isLoaded, self.info = self._child, None, False, {}
        if self._guard is not None:
            self._guard.detach()
            self._guard = None
        return child

    def _child_ended(self, status: int) -> None:
        child, job = self._forget_child(), self._current
        doing = _DOING.get(job.kind, job.kind) if job else "idle"
        error = crash_error(status, doing, child.lastWords() if child else ())
        self._strikes += 1
        if job is not None:
            self._end_current("cancelled" if job.isCancelling else "failed", error=error)
        self._go_on_after(job.kind if job else "", error)

    def _replace_child(self, kind: str, error: GliomaGradingError) -> None:
        """Kills the child, which was at work of this kind: the way out where it hangs or has no memory left."""
        child = self._forget_child()
        if child is not None:
            child.kill()
        self._strikes += 1
        self._go_on_after(kind, error)

    def _go_on_after(self, kind: str, error: GliomaGradingError) -> None:
        """Gives what waits to a new child, except what would meet the same error again."""
        if kind == "hello" or self._strikes >= _MAX_STRIKES:
            self._fail_all(error)
            return
        if kind == "load":
            self._fail_waiting(error)
        if kind != "load" or self._queue:
            self.start()

    def _fail_all(self, error: GliomaGradingError) -> None:
        self.problem = error
        while self._queue:
            self._finish(self._queue.popleft(), "failed", error=error)

    def _fail_waiting(self, error: GliomaGradingError) -> None:
        """Fails what was to be graded with a bundle that could not be loaded, up to the next bundle's turn."""
        while self._queue and self._queue[0].kind != "load":
            self._finish(self._queue.popleft(), "failed", error=error)
        if not self._queue:
            self.problem = error

    # Jobs

    def _new_job(self, kind: str, timeout: float) -> Job:
        self._lastId += 1
        return Job(kind, self._lastId, timeout)

    def _new_load(self, model: Mapping[str, str | None]) -> Job:
        job = self._new_job("load", self._loadTimeout)
        job._fields = dict(model)
        return job

    @property
    def _model(self) -> dict[str, str | None]:
        return {"bundle": self._bundle, "device": self._device}

    def _advance(self) -> None:
        """Gives the child the next job, if it has none."""
        if self._child is None or self._current is not None or not self._queue:
            return
        if self._queue[0].kind not in ("hello", "load") and not self._isLoaded:
            self._queue.appendleft(self._new_load(self._queue[0]._model))
        job = self._current = self._queue.popleft()
        self._isLoaded = self._isLoaded and job.kind != "load"
        self._polledAt = time.monotonic()  # a pause before it is none of its time
        job.state, job._deadline = "running", self._polledAt + job.timeout
        self._child.send({"kind": job.kind, "id": job.id, **job._fields})

    def _end_current(self, state: str, **outcome: Any) -> None:
        job, self._current = self._current, None
        if job is not None:
            self._finish(job, state, **outcome)

    def _finish(
        self,
        job: Job,
        state: str,
        result: dict[str, Any] | None = None,
        error: GliomaGradingError | None = None,
    ) -> None:
        job.state, job.result, job.error = state, result, error if state == "failed" else None
        if job._arrays is not None and not job._arrays.remove():
            self._leftovers.append(job._arrays)
        arguments = {"done": (job.result,), "failed": (job.error,)}.get(state, ())
        self._post(job.callbacks.get(state), *arguments)
        job.callbacks = {}  # they hold on to what the job was for: whoever keeps the job keeps no images

    def _enforce_limits(self) -> None:
        job = self._current
        if job is None or time.monotonic() < min(job._deadline, job._killAt):
            return
        self._listen(job, _LAST_LOOK)
        if self._current is not job:
            return
        state = "cancelled" if job.isCancelling else "failed"
        if self._child is not None:
            self._child.kill()  # first, so that Windows lets the job's files go
        error = _late(job)
        self._end_current(state, error=error)
        self._replace_child(job.kind if state == "failed" else "", error)

    # Events

    def _step(self) -> bool:
        if self._calls:
            self._call()
            return True
        event = self._child.nextEvent() if self._child else None
        if event is None:
            return False
        self._handle(event)
        return True

    def _listen(self, job: Job, seconds: float) -> None:
        """Handles what the child says of its job, for ``seconds`` at most; callbacks wait for the next step.

        The pauses are what counts: in Slicer the threads that read get their turn only while this one sleeps.
        """
        end = time.monotonic() + seconds
        while self._child is not None and self._current is job and time.monotonic() < end:
            event = self._child.nextEvent()
            if event is not None:
                self._handle(event)
            else:
                time.sleep(_PAUSE)

    def _handle(self, event: dict[str, Any]) -> None:
        job = self._current
        if event["event"] == "end":
            self._child_ended(event["status"])
        elif job is not None and event.get("id") == job.id:
            if event["event"] == "progress":
                self._report(job, event)
            elif event["event"] in ANSWERS:
                self._answer(job, event)
                self._advance()

    def _report(self, job: Job, event: dict[str, Any]) -> None:
        if not job.isCancelling:
            job.stage, job.message = str(event.get("stage", "")), str(event.get("message", ""))
            job.fraction = float(event.get("fraction", 0.0))
            self._post(job.callbacks.get("progress"), job.stage, job.fraction, job.message)

    def _answer(self, job: Job, event: dict[str, Any]) -> None:
        kind = event["event"]
        if job.isCancelling or kind == "cancelled":
            self._end_current("cancelled")
        elif kind == "error":
            self._failed(job, error_from_event(event))
        else:
            self._succeeded(job, event)

    def _failed(self, job: Job, error: GliomaGradingError) -> None:
        self._end_current("failed", error=error)
        # what libraries keep from an allocation that failed may fail all that comes after it; so may a graphics
        # card that was lost while the computer slept, and the half of a PyTorch that is repaired by now
        is_unusable = isinstance(error, UnexpectedError) or tells_of_no_memory(error.problem)
        is_half_loaded = job.kind == "load" and not isinstance(error, (BundleError, UsageError))
        if job.kind == "hello" or is_unusable or is_half_loaded:
            self._replace_child(job.kind, error)
        elif job.kind == "load":
            self._fail_waiting(error)

    def _succeeded(self, job: Job, event: dict[str, Any]) -> None:
        if job.kind == "hello":
            assert self._child is not None
            self._child.innerPid = int(event.get("pid", 0))
            self._end_current("done", result=event)
            return
        try:
            result = _result(job, event)
        except GliomaGradingError as error:
            self._failed(job, error)
            return
        if job.kind == "load":
            self._isLoaded, self.info, self.problem = True, result, None
        else:
            self._strikes = 0
        self._end_current("done", result=result)

    # Callbacks and cleaning

    def _post(self, function: Callable[..., object] | None, *arguments: Any) -> None:
        if function is not None:
            self._calls.append((function, arguments))

    def _call(self) -> None:
        function, arguments = self._calls.popleft()
        function(*arguments)

    def _tell_state(self) -> None:
        state = self.state
        if state != self._lastState:
            self._lastState = state
            if self.onStateChanged is not None:
                self.onStateChanged(state)

    def _turn(self, pump: Callable[[], object] | None) -> None:
        self.poll()
        if pump is not None:
            pump()
        time.sleep(_PAUSE)

    def _clean_up(self) -> None:
        """Windows lets go of a dead process's files a moment later."""
        if self._leftovers:
            self._leftovers = [arrays for arrays in self._leftovers if not arrays.remove()]


def _absolute(bundle: str | Path | None) -> str | None:
    """A folder's name must hold in the child's current folder too; a shipped bundle's name comes first."""
    if bundle is None:
        return None
    is_shipped = any(path.name == str(bundle) for path in find_bundles())
    return str(bundle) if is_shipped or not is_there(Path(bundle)) else str(Path(bundle).resolve())


def _check_kind(kind: str) -> None:
    if kind not in KINDS_OF_WORK:
        raise UsageError(f"there is no request {kind!r}", remedy=f"choose one of {', '.join(KINDS_OF_WORK)}")


def _work_fields(request: Request, identifier: int) -> dict[str, Any]:
    return {
        "arrays": request.arrays.toMessage(),
        "output": str(request.arrays.outputPath),
        "options": {**request.options, "job": identifier},
    }


def _result(job: Job, event: Mapping[str, Any]) -> dict[str, Any]:
    result = event.get("result")
    if not isinstance(result, dict):
        raise WorkerError("the grading process answered without a result", remedy="grade again")
    if "arrays" in event and job._arrays is not None:
        result["arrays"] = job._arrays.readOutput(event["arrays"])
    return result


def _late(job: Job) -> WorkerError:
    return WorkerError(
        f"the grading process did not finish {_DOING.get(job.kind, job.kind)} within {job.timeout:g} s",
        remedy="close other programs and try again; it has been ended",
    )


def _outcome(job: Job, late_after: float | None) -> dict[str, Any]:
    if late_after is not None:
        remedy = "wait longer, or close other programs"
        raise WorkerError(f"there was no result within {late_after:g} s", remedy=remedy)
    if job.error is not None:
        raise job.error
    if job.result is None:
        raise GradingCancelled("the grading was cancelled")
    return job.result
