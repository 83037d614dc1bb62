"""A case's folder among the results of a batch: what batches write there comes and goes, others' files stay."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterable
from pathlib import Path

from ..export.outputs import DICOM, PICTURE, RESULT
from ..export.outputs import PAGE as REPORT
from ..files import sync_folder
from .names import folder_names
from .thumbnail import NAME as THUMBNAIL

FILES = (RESULT, REPORT, PICTURE, *DICOM, THUMBNAIL)
"""Names of all that a batch may write of a case."""

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before a move is tried again that somebody forbids."""


def put_in_place(part: Path, folder: Path) -> None:
    """Make ``part``, with the new files of a case, its folder, in place of what an earlier batch wrote.

    Where there is a file of somebody else, the new ones are moved beside it one by one: a batch that is killed
    in between has not said that the case is done, and the next one writes it anew.

    Raises:
        FileExistsError: no folder, but somebody's file stands there. OSError: as the file system says.
    """
    remove_results(folder, [path.name for path in part.iterdir()])
    if not folder.exists():
        _rename(part, folder)
        return
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "a file stands where the folder goes", str(folder))
    for path in list(part.iterdir()):
        _rename(path, folder / path.name)
    part.rmdir()
    sync_folder(folder)


def _rename(path: Path, target: Path) -> None:
    """A virus scanner or an indexer of Windows holds for a moment what is new, and nobody can move it then."""
    for seconds in _PAUSES:
        try:
            path.rename(target)
            return
        except PermissionError:
            time.sleep(seconds)
    path.rename(target)


def remove_results(folder: Path, names: Iterable[str] = ()) -> None:
    """Take away what a batch wrote of a case, and the folder where nothing else is in it.

    Args:
        names: of files, beside those that a batch of this version writes.
    """
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for path in (folder / name for name in {*FILES, *names}):
            if path.is_symlink() or path.is_file():
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def is_of_a_case(folder: Path) -> bool:
    """Whether a batch made the folder, which the journal may not know of where the batch was killed just then.

    Somebody's copy of a result has a name of its own.
    """
    try:
        case = json.loads((folder / RESULT).read_text(encoding="utf-8"))["case"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
    return isinstance(case, str) and folder.name in folder_names([case, case])
