"""A whole batch from a folder to its results, for the command line and for Slicer's console alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CaseError, GliomaGradingError, UsageError
from ..export.tables import GRADED
from ..files import absolute
from ..result import GradeResult
from .batch import Batch, Counts, Watch
from .duplicates import duplicate_notices
from .finish import finish
from .listing import Cohort, check_cases, find_cohort
from .store import BATCH, CASES, Store
from .taught import Teachers
from .walk import cases_below
from .work import Runner, Settings

CaseOutcome = GradeResult | GliomaGradingError


@dataclass(frozen=True)
class BatchJob:
    """What to grade, and where to write it.

    Args:
        source: a folder of cases, or a manifest. output: a dry run needs none.
        grades: a table of known grades.
        resume, overwrite: what to do where the folder holds an earlier batch; neither: refuse.
        retryFailed: with ``resume``, try cases again that were given up.
        retryChanged: with ``resume``, grade cases again whose input has changed since, and drop the results of
            those that are no longer in the input.
    """

    source: Path
    output: Path | None = None
    layout: str = "auto"
    grades: Path | None = None
    resume: bool = False
    overwrite: bool = False
    retryFailed: bool = False
    retryChanged: bool = False


@dataclass(frozen=True)
class Finished:
    """What a batch came to: counts, outcomes by case, the cohort as it was listed, remarks on the end, and what
    evaluation.json has, where grades are known."""

    counts: Counts
    outcomes: Outcomes
    cohort: Cohort
    remarks: list[str]
    evaluation: Mapping[str, Any] | None = None


def list_cases(job: BatchJob, isDryRun: bool = False) -> Cohort:
    """The cohort, without what an earlier batch wrote where the output lies inside the input.

    Its notices name the cases that are there twice.

    Args:
        isDryRun: find copies by their contents, which takes its time, and not only files that are named twice.

    Raises:
        UsageError: there is no case, the output is one, or ``find_cohort`` says so.
    """
    cohort = find_cohort(job.source, job.layout, job.grades, _ours(job))
    check_cases(cohort)
    _check_in_no_case(job.output, cohort)
    return replace(cohort, notices=(*cohort.notices, *duplicate_notices(cohort.cases, isDryRun)))


def _ours(job: BatchJob) -> Path | None:
    """The folder in the input that holds a batch's results: the output, or its cases where it is the input."""
    if job.output is None:
        return None
    output, source = absolute(job.output).resolve(), absolute(job.source).resolve()
    results = job.output / CASES if (job.output / BATCH).is_file() else None
    if output == source:
        return results
    if output.is_relative_to(source) or absolute(job.output).is_relative_to(absolute(job.source)):
        _check_no_case_in(job.output, results)
    return job.output


def _check_no_case_in(output: Path, results: Path | None) -> None:
    """The output is not looked into for cases: one that lies in it would be left out silently."""
    found = cases_below(output, left_out=results).found
    if found:
        _layout, case = found[0]
        what = "is a case" if case.folder == output else f"holds a case ({case.case})"
        raise UsageError(f"the output folder {what} of the input", output, "choose another --output")


def _check_in_no_case(output: Path | None, cohort: Cohort) -> None:
    """What is written into the folder of a DICOM study would count as a change of it: no batch could resume."""
    if output is None:
        return
    absolute_output = absolute(output)
    above = {place for path in (absolute_output, absolute_output.resolve()) for place in (path, *path.parents)}
    for entry in cohort.cases:
        if any(absolute(path) in above for path in entry.files.values()):
            problem = f"the output folder lies among the images of a case of the input ({entry.case})"
            raise UsageError(problem, output, "choose another --output")


def run(
    job: BatchJob, settings: Settings, makeRunner: Callable[[], Runner], watch: Watch | None = None
) -> Finished:
    """Grade a cohort. A bad case is a row with its error; whatever else goes wrong, what is done stays.

    Raises:
        GliomaGradingError: as ``batch.Batch.run``, ``store.Store`` and ``list_cases``.
    """
    if job.output is None:
        raise UsageError("there is no --output", remedy="name the folder for the results")
    # what the results say of paths does not hang on how the input was typed, or from where
    grades = None if job.grades is None else absolute(job.grades)
    cohort = list_cases(replace(job, source=absolute(job.source), grades=grades))
    with ExitStack() as stack:
        store = stack.enter_context(Store(job.output, job.resume, job.overwrite))
        teachers = Teachers.of(settings.bundle)
        runner = makeRunner()
        stack.callback(runner.close)
        unread = [f"{item.path}: {item.reason}" for item in cohort.unread]
        batch = Batch(cohort.cases, store, runner, settings, watch, job.retryFailed, job.retryChanged, unread)
        counts = batch.run()
        remarks, evaluation = finish(store, cohort, teachers)
        outcomes = Outcomes(store, [entry.case for entry in cohort.cases])
        return Finished(counts, outcomes, cohort, [*batch.changes.told(), *remarks], evaluation)


class Outcomes(Mapping[str, CaseOutcome]):
    """A GradeResult, or the error, by case in the order of the input; read from the disk when asked for."""

    def __init__(self, store: Store, cases: list[str]) -> None:
        self._store = store
        self._cases = cases

    def __getitem__(self, case: str) -> CaseOutcome:
        done = self._store.done[case]
        if done.status != GRADED:
            return CaseError(done.error)
        try:
            return GradeResult.fromDict(self._store.result(case))
        except UsageError as error:  # somebody has removed it since
            return CaseError(error.problem, case, "grade the case again")
        except ValueError as error:  # or edited it
            return CaseError(f"its result cannot be read any more ({error})", case, "grade the case again")

    def __iter__(self) -> Iterator[str]:
        return iter(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def failures(self) -> list[tuple[str, str]]:
        """Cases that failed, each with its reason."""
        done = self._store.done
        return [(case, done[case].error) for case in self._cases if done[case].status != GRADED]
