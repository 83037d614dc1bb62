"""Grading of a folder of cases, one after another: results.csv, and a folder a case."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..case import Case
from ..case_files import find_case_files
from ..errors import CaseError, GliomaGradingError, UsageError
from ..export.files import write_atomically
from ..export.tables import Row, failed_row, graded_row, write_results_csv
from ..result import GradeResult

RESULTS = "results.csv"
CANCELLED = 130
"""Exit status of the error that a cancelled grading ends with."""
Outcome = GradeResult | Exception


def grade_cohort(
    source: str | Path,
    output: str | Path,
    grade: Callable[[Case], GradeResult],
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Outcome]:
    """Grades every case folder of ``source``; a case that fails is a row with its error.

    Returns a result, or the error, by case. results.csv is up to date after each case.

    Raises:
        UsageError: there is no such folder, no case in it, or the output cannot be written.
        GliomaGradingError: a grading was cancelled; what was graded before stays.
    """
    folders, target = case_folders(Path(source)), Path(output)
    outcomes: dict[str, Outcome] = {}
    rows: list[Row] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for number, folder in enumerate(folders):
            if progress:
                progress(folder.name, number / len(folders))
            outcome, row = _graded(folder, grade)
            rows.append(row)
            outcomes[folder.name] = outcome
            if isinstance(outcome, GradeResult):
                _write_case(target / folder.name, outcome)
            write_results_csv(target / RESULTS, rows)
    except OSError as error:
        raise UsageError(
            f"the results cannot be written ({error.strerror})", target, "choose another folder"
        ) from error
    return outcomes


def case_folders(source: Path) -> list[Path]:
    """The folder itself where it is a case, else its subfolders by name."""
    if not source.is_dir():
        raise UsageError("there is no such folder", source, "check the path")
    if _is_case(source):
        return [source]
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise UsageError("there is no case", source, "give a folder that has a folder for each case")
    return folders


def _is_case(folder: Path) -> bool:
    try:
        find_case_files(folder)
    except (CaseError, OSError):
        return False
    return True


def _graded(folder: Path, grade: Callable[[Case], GradeResult]) -> tuple[Outcome, Row]:
    start = time.perf_counter()
    try:
        case = Case.read(folder)
        read = time.perf_counter() - start
        result = grade(case).afterReading(read, case.warnings)
        return result, graded_row(result)
    except (GliomaGradingError, OSError, ValueError, RuntimeError, MemoryError) as error:
        if getattr(error, "exit_status", 1) == CANCELLED:
            raise  # the user's wish, not the case's fault
        return error, failed_row(folder.name, error, time.perf_counter() - start)


def _write_case(folder: Path, result: GradeResult) -> None:
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "result.json", result.toJson())
