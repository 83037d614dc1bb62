"""The files below a folder, as data sets lie on disks that many share: folders may be links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below the folder, in no order; those of a folder that several links lead to once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)  # noqa: PTH116 - os.walk gives text
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()  # by which link a folder is come to hangs on nothing else
        yield from (path for name in files if (path := Path(place, name)).is_file())
