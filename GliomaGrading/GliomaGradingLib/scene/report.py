"""The report of a result: what the grading process is asked for, and its files on the disk.

Pages and pictures are made in the grading process; here are only their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..export.outputs import DICOM, PAGE, PICTURE, RESULT, write_result_folder
from ..result import GradeResult
from .results import as_graded

FILES = (PAGE, PICTURE, RESULT)


def report_options(result: GradeResult) -> dict[str, Any]:
    """Options of a ``report`` request: the images are aligned as they were when they were graded."""
    return {**as_graded(result), "result": result.toDict()}


def files_of(answer: Mapping[str, Any]) -> dict[str, bytes]:
    """The contents by name that the grading process answered with.

    Raises:
        ValueError: one is missing.
    """
    arrays = answer.get("arrays") or {}
    missing = [name for name in FILES if name not in arrays]
    if missing:
        raise ValueError(_("the report is incomplete ({names})").format(names=", ".join(missing)))
    return {name: arrays[name].tobytes() for name in FILES}


def present_in(folder: Path) -> list[str]:
    """Names of what a folder has already and would lose: a report, the DICOM outputs of another result."""
    return [name for name in (*FILES, *DICOM) if (folder / name).exists()]


def write_report(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Writes the files, all of them or none, in place of those of an earlier report and its DICOM outputs.

    Raises:
        UsageError: the folder cannot be made or written to, or an earlier DICOM output cannot be removed.
    """
    return write_result_folder(folder, files)
