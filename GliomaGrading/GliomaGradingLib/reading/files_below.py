"""The files below a folder, as data sets lie on disks that many share: folders may be links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_OF_SYSTEMS = ("thumbs.db", "desktop.ini")
"""What Windows writes into folders that somebody has looked at; other systems hide theirs (``.DS_Store``)."""


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below the folder, in no order; those of a folder that several links lead to once.

    Hidden ones are left out, and what systems write into a folder that somebody has opened.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)  # noqa: PTH116 - os.walk gives text
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # by which link a folder is come to hangs on nothing else
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (path for name in files if _is_ours(name) and (path := Path(place, name)).is_file())


def _is_ours(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _OF_SYSTEMS
