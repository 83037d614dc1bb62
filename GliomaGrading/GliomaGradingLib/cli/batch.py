"""``glioma-grading batch``: a cohort in, results.csv and a folder a case out."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cohort.evaluation import in_a_line
from ..cohort.headers import with_headers_checked
from ..cohort.listing import describe, to_dict
from ..cohort.run import BatchJob, Finished, list_cases
from ..cohort.run import run as run_batch
from ..cohort.store import EVALUATION
from ..cohort.work import CASE_SECONDS, Settings
from ..errors import UsageError, printable
from ..wording import some_of
from ..words import DISCLAIMER
from .options import add_grading, add_layout, count, first_given, new_bar

if TYPE_CHECKING:
    from ..cohort.batch import Counts
    from ..cohort.listing import Cohort
    from ..cohort.work import Runner

_SHOWN_FAILURES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="INPUT", help="folder of cases, or a CSV table of them")
    parser.add_argument("--output", type=Path, metavar="DIR", help="results.csv, cohort.html, a folder a case")
    add_layout(parser)
    parser.add_argument(
        "--grades", type=Path, metavar="TABLE", help="known grades (case, grade) to evaluate by"
    )
    parser.add_argument("--dry-run", action="store_true", help="list cases and what is missing; grade nothing")
    parser.add_argument("--json", action="store_true", help="with --dry-run: the list as JSON")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="go on where an earlier batch ended")
    earlier.add_argument("--overwrite", action="store_true", help="remove an earlier batch's results first")
    parser.add_argument("--retry-failed", action="store_true", help="resume, and try failed cases again")
    parser.add_argument(
        "--retry-changed",
        action="store_true",
        help="resume, grade changed cases again, drop those that are gone",
    )
    parser.add_argument(
        "--workers", type=count, metavar="N", help="grading processes (default 1; more by Dask)"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="grade on the workers of this Dask scheduler")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=CASE_SECONDS,
        metavar="SECONDS",
        help="after which a case counts as hung (default %(default)g)",
    )
    parser.add_argument("--reports", action="store_true", help="also report.html and slices.png for each case")
    parser.add_argument(
        "--dicom", action="store_true", help="also result.dcm and overlay.dcm for each case from DICOM"
    )
    add_grading(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    _check_options(options)
    job = BatchJob(
        options.input,
        options.output,
        options.layout,
        options.grades,
        bool(options.resume or options.retry_failed or options.retry_changed),
        options.overwrite,
        options.retry_failed,
        options.retry_changed,
    )
    if options.dry_run:
        cohort = with_headers_checked(list_cases(job, isDryRun=True), options.mask_labels)
        print(json.dumps(to_dict(cohort), indent=2) if options.json else describe(cohort), end="")
        return 0
    settings = _settings(options)
    with _terminated_as_interrupted(), _Bar(options.quiet) as bar:
        done = run_batch(job, settings, lambda: _runner(options, settings), bar.watch())
    print(summary(done, options.output), end="")
    return 1 if done.counts.failed or done.cohort.unread else 0


def _check_options(options: argparse.Namespace) -> None:
    if options.overwrite and (retry := first_given(options, ("retry_failed", "retry_changed"))):
        raise UsageError(
            f"--overwrite and {retry} are given",
            remedy=f"give {retry} alone to keep what is graded, or --overwrite alone to start anew",
        )
    if options.json and not options.dry_run:
        raise UsageError(
            "--json is given without --dry-run", remedy="add --dry-run, or read results.csv and evaluation.json"
        )
    if options.scheduler is not None and options.workers:
        raise UsageError(
            "--workers and --scheduler are given", remedy="give one: a scheduler has its own workers"
        )


def summary(done: Finished, output: Path) -> str:
    """What a terminal shows at the end."""
    counts, cohort = done.counts, done.cohort
    before = f", {counts.earlier} of them done before" if counts.earlier else ""
    lines = [
        f"Layout         {cohort.layout}, {cohort.why}",
        f"Cases          {counts.cases}{before}",
        f"Graded         {counts.graded}",
        f"Indeterminate  {counts.indeterminate}",
        f"Failed         {counts.failed}",
        *_failures(done.outcomes.failures()),
    ]
    if cohort.unread:
        lines.append(f"Not read       {_unread(cohort)}")
    if skipped := len(cohort.skipped) - len(cohort.unread):
        lines.append(f"Skipped        {skipped} that are no cases to grade: --dry-run names them")
    lines += [f"Remark         {remark}" for remark in (*cohort.notices, *done.remarks)]
    if done.evaluation:
        lines.append(f"Evaluation     {in_a_line(done.evaluation)}: intervals are in {EVALUATION}")
    lines += [f"Files          {output}", "", DISCLAIMER]
    return "".join(f"{printable(line)}\n" for line in lines)


def _unread(cohort: Cohort) -> str:
    """What of the input could not be looked into."""
    places = [f"{item.path} ({item.reason})" for item in cohort.unread]
    return f"{some_of(places, 1)}: there may be cases, which are not in these counts"


def _failures(failures: list[tuple[str, str]]) -> list[str]:
    shown = [f"  {case}: {error}" for case, error in failures[:_SHOWN_FAILURES]]
    more = len(failures) - len(shown)
    return [*shown, f"  and {more} more: see results.csv"] if more else shown


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        bundle=options.bundle,
        device=options.device,
        vote=options.vote,
        register=options.register,
        maskLabels=options.mask_labels,
        reports=options.reports,
        dicom=options.dicom,
        timeout=options.timeout,
    )


def _runner(options: argparse.Namespace, settings: Settings) -> Runner:
    if options.scheduler is not None or (options.workers or 1) > 1:
        from ..cohort.dask_runner import DaskRunner

        return DaskRunner(settings, options.workers, options.scheduler)
    from ..cohort.local import LocalRunner

    return LocalRunner(settings)


class _Bar:
    """The progress bar: cases a minute and the time left; nothing where tqdm is missing or nobody looks."""

    def __init__(self, quiet: bool) -> None:
        self._bar: Any = None
        self._isQuiet = quiet
        self._start = time.monotonic()

    def watch(self) -> Any:
        from ..cohort.batch import Watch

        return Watch(begun=self._begun, finished=self._finished)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _begun(self, counts: Counts) -> None:
        self._start = time.monotonic()
        self._bar = None if self._isQuiet else new_bar(counts.cases, counts.done)

    def _finished(self, case: str, counts: Counts) -> None:
        if self._bar is not None:
            minutes = max(time.monotonic() - self._start, 1e-3) / 60
            rate = (counts.done - counts.earlier) / minutes
            self._bar.set_postfix_str(f"{rate:.1f} cases/min, {counts.failed} failed", refresh=False)
            self._bar.update(1)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, by which schedulers and shutdowns end a program, ends the batch as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time for a case in seconds, such as 900")
    return value
