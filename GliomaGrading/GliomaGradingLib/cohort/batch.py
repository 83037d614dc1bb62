"""The batch: gives cases to a runner, makes each outcome durable, and never stops for one case."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import GliomaGradingError
from ..export.tables import GRADED, Row, failed_row, graded_row
from ..result import GradeResult
from ..words import INDETERMINATE
from .listing import CaseEntry
from .names import folder_names
from .store import Changes, Inputs, Store, check_inputs
from .work import (
    TRIES,
    BatchInterrupted,
    BatchStopped,
    Outcome,
    Runner,
    Settings,
    Task,
    fingerprint,
    out_of_reach,
)

_TABLE_SHARE = 20
"""results.csv is written again after this many times the time that it took: at most 5 % of the run."""
_TABLE_SECONDS = 2.0


@dataclass(frozen=True)
class Counts:
    """How far a batch is. ``earlier`` of the done cases were done before this run."""

    cases: int
    done: int = 0
    failed: int = 0
    indeterminate: int = 0
    earlier: int = 0

    @property
    def graded(self) -> int:
        return self.done - self.failed


@dataclass(frozen=True)
class Watch:
    """What the caller of a batch is told and asked.

    Args:
        begun: called once, when it is known what earlier runs have done.
        finished: called with a case's name when its outcome is durable.
        cancelled: asked all the time; where it says True, the batch ends and keeps what is done.
    """

    begun: Callable[[Counts], object] = lambda counts: None
    finished: Callable[[str, Counts], object] = lambda case, counts: None
    cancelled: Callable[[], bool] = lambda: False


class Batch:
    """One run over a cohort; use ``run``.

    Args:
        retryFailed: try cases again that an earlier run gave up.
        retryChanged: grade cases again whose input has changed, and drop those that are gone from it.
        unread: what of the input could not be looked into, and why; cases may lie there.

    ``changes``: after ``run``, the cases that ``retryChanged`` was about.
    """

    def __init__(
        self,
        cases: Sequence[CaseEntry],
        store: Store,
        runner: Runner,
        settings: Settings,
        watch: Watch | None = None,
        retryFailed: bool = False,
        retryChanged: bool = False,
        unread: Sequence[str] = (),
    ) -> None:
        self.cases, self.store, self.runner, self.settings = cases, store, runner, settings
        self.watch = watch or Watch()
        self.retryFailed, self.retryChanged, self.unread = retryFailed, retryChanged, unread
        self.changes = Changes({}, {})
        self._counts = Counts(len(cases))
        self._names: dict[str, str] = {}  # a folder's, by case
        self._waiting: deque[int] = deque()
        self._again: deque[Task] = deque()
        self._given: dict[int, tuple[Task, str]] = {}  # what the runner has, each with its input's fingerprint
        self._isOpen = False
        self._nextTable = 0.0

    def run(self) -> Counts:
        """Grade what is not done yet.

        Raises:
            UsageError: the folder's results were made with another bundle, other options or another input.
            BatchStopped: no room on the disk, or no grading process.
            BatchInterrupted: it was cancelled.
            BundleError: the bundle is missing or damaged.
        """
        try:
            self._open()
            self.watch.begun(self._counts)
            self._loop()
        except BaseException as error:
            self.runner.close()
            with contextlib.suppress(BatchStopped):  # what went wrong first is what to tell
                self._write_table()
            if isinstance(error, KeyboardInterrupt):
                raise interrupted(self.store.folder, self._counts) from None
            raise
        self.runner.close()
        self._write_table()
        return self._counts

    def _open(self) -> None:
        identity, entries = self.settings.identity(), {entry.case: entry for entry in self.cases}
        self.store.recall(identity)
        inputs = Inputs(
            list(entries),
            lambda case: self._fingerprint(entries[case]),
            lambda case: self._out_of_reach(entries[case]),
            self.unread,
        )
        self.changes = check_inputs(self.store, inputs, self.retryChanged)
        self._counts = _counted(self.store, len(entries))
        self.store.open(self.runner.start(), identity)
        self._isOpen = True
        self.store.drop(self.changes.gone)
        self.store.outdate(self.changes.changed)
        self._forget()
        self._names = dict(zip(entries, folder_names(entries), strict=True))
        self._counts = _counted(self.store, len(entries))
        self._waiting = deque(n for n, entry in enumerate(self.cases) if not self.store.isDone(entry.case))

    def _forget(self) -> None:
        """Cases that have to be done again: their files are gone, or they failed and shall have another try."""
        for case in [case for case in self.store.done if not self.store.isWhole(case)]:
            del self.store.done[case]
        if self.retryFailed:
            self.store.outdate([case for case, done in self.store.done.items() if done.status != GRADED])

    def _loop(self) -> None:
        while self._waiting or self._again or self._given:
            self._fill()
            for outcome in self.runner.collect():
                self._take(outcome)
            if self.watch.cancelled():
                raise KeyboardInterrupt

    def _fill(self) -> None:
        while len(self._given) < self.runner.window and (self._again or self._waiting):
            if self._again:
                self._give(self._again.popleft())
                continue
            number = self._waiting.popleft()
            entry = self.cases[number]
            if entry.problem:
                row = failed_row(entry.case, _problem(entry))
                self._keep(entry.case, self._fingerprint(entry), row, {})
            else:
                self._give(Task.of(number, entry, self.settings))

    def _give(self, task: Task) -> None:
        self._given[task.number] = task, self._fingerprint(self.cases[task.number])
        self.runner.submit(task)

    def _fingerprint(self, entry: CaseEntry) -> str:
        return fingerprint(entry.files, entry.folder, entry.labels(self.settings.maskLabels), entry.problem)

    def _out_of_reach(self, entry: CaseEntry) -> str:
        """Why a case's files cannot be looked at; what it lacks may be among what was not looked into."""
        return out_of_reach(entry.files) or (self.unread[0] if entry.problem and self.unread else "")

    def _take(self, outcome: Outcome) -> None:
        task, inputs = self._given.pop(outcome.task.number)
        if outcome.mayRetry and task.tries + 1 < TRIES:
            self._again.append(replace(task, tries=task.tries + 1))
            return
        self._keep(task.case, inputs, _row(task, outcome), outcome.files, outcome.strangeness)

    def _keep(
        self,
        case: str,
        inputs: str,
        row: Row,
        files: Mapping[str, bytes],
        strangeness: float | None = None,
    ) -> None:
        self.store.keep(case, self._names[case], inputs, row, files, strangeness)
        self._counts = _with(self._counts, row["status"], row["decision"])
        self.watch.finished(case, self._counts)
        self._keep_table()

    def _keep_table(self) -> None:
        """The table of what there is, now and then."""
        now = time.monotonic()
        if now >= self._nextTable:
            try:
                self._write_table()
            except BatchStopped as error:  # Excel keeps others from a table that it shows: later, then
                if not isinstance(error.__cause__, PermissionError):
                    raise
            end = time.monotonic()
            self._nextTable = end + max(_TABLE_SECONDS, _TABLE_SHARE * (end - now))

    def _write_table(self) -> None:
        if self._isOpen:
            self.store.write_table(entry.case for entry in self.cases)


def interrupted(folder: Path, counts: Counts) -> BatchInterrupted:
    return BatchInterrupted(
        f"the batch was interrupted; {counts.done} of {counts.cases} cases are done",
        folder,
        "run again with --resume to do the rest",
    )


def _row(task: Task, outcome: Outcome) -> Row:
    if outcome.result is not None:
        return graded_row(GradeResult.fromDict(outcome.result))
    # a case's own fault reads the same whether or not a neighbour's crash cost it its first try
    given_up = f"given up after {task.tries + 1} tries: " if outcome.mayRetry else ""
    return failed_row(task.case, given_up + outcome.error, outcome.seconds)


def _problem(entry: CaseEntry) -> str:
    try:
        entry.read()
    except GliomaGradingError as error:
        return str(error)
    return entry.problem


def _counted(store: Store, cases: int) -> Counts:
    counts = Counts(cases)
    for done in (done for case, done in store.done.items() if store.isDone(case)):
        counts = _with(counts, done.status, done.decision)
    return replace(counts, earlier=counts.done)


def _with(counts: Counts, status: str, decision: str) -> Counts:
    return replace(
        counts,
        done=counts.done + 1,
        failed=counts.failed + (status != GRADED),
        indeterminate=counts.indeterminate + (decision == INDETERMINATE),
    )
