"""The files that a graded case leaves in a folder: their names, and how they are written.

Needs nothing but the disk: in Slicer the contents come from the grading process, and are written here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from ..errors import UsageError
from ..files import all_or_nothing
from ..result import GradeResult

RESULT, PAGE, PICTURE = "result.json", "report.html", "slices.png"
DICOM_REPORT, DICOM_OVERLAY = "result.dcm", "overlay.dcm"
DICOM = (DICOM_REPORT, DICOM_OVERLAY)
"""There are none where the case is not from DICOM; beside another result they would say another grade."""
_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""A file that is to go needs room for a moment, in which it could be put back."""


def write_result_folder(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write a case's files (by name), all of them or none; gives their paths.

    With them go the DICOM outputs of an earlier result, where there are no new ones.

    Raises:
        UsageError: the folder cannot be made or written to, or an earlier DICOM output cannot be removed; what
            was in the folder is in it still.
    """
    outdated = [name for name in DICOM if name not in contents]
    try:
        with all_or_nothing(folder, removed=outdated) as write:
            for name, content in contents.items():
                write(name, content)
    except OSError as error:
        for name in outdated:
            if error.filename == str(folder / name) and error.errno not in _NO_ROOM:
                raise _cannot_be_removed(folder / name, error) from error
        raise _cannot_be_written(folder, error) from error
    return [folder / name for name in contents]


def check_result_folder(folder: Path) -> None:
    """Whether results can be written to a folder, tried before the work they cost; leaves all as it was.

    The folder itself is not made: another grading that writes there would find it gone again.

    Raises:
        UsageError: the folder cannot be made or written to, or another folder stands where a file goes.
    """
    try:
        with suppress(FileNotFoundError):
            folder.lstat()  # which says what is wrong with the path
        for name in (RESULT, PAGE, PICTURE, *DICOM):
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
        nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        Path(mkdtemp(prefix=".", dir=nearest)).rmdir()
    except OSError as error:
        raise _cannot_be_written(folder, error) from error


def _cannot_be_written(folder: Path, error: OSError) -> UsageError:
    problem = f"the result cannot be written ({error.strerror or error})"
    return UsageError(problem, folder, "choose a folder that you may write to")


def _cannot_be_removed(path: Path, error: OSError) -> UsageError:
    problem = f"the DICOM output of an earlier result cannot be removed ({error.strerror or error})"
    return UsageError(
        problem, path, "remove it: it says another grade than the new result, which is not written"
    )


def result_json(result: GradeResult) -> bytes:
    """UTF-8; what no UTF-8 can hold (half of a surrogate pair, out of a file's name) as JSON's escape."""
    return result.toJson().encode("utf-8", "backslashreplace")
