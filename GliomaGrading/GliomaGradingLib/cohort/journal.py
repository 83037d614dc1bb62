"""The journal of a batch: a line for each case that is done, on the disk before anybody hears of it.

A line is the CRC-32 of its record in eight hexadecimal digits, a space, and the record as JSON. What a crash or
a power cut leaves of a line fails that check and counts as never written: its case is graded again.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import sync_folder

Record = dict[str, Any]


class Journal:
    """Appends to a journal; ``append`` returns when the record is on the disk.

    Raises:
        OSError: as the file system says.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        _cut_torn_line(path, self._file.fileno())
        sync_folder(path.parent)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record. Where that fails, what got there is cut off when the journal is opened again.

        Raises:
            OSError: the disk is full or fails; nothing may be appended after that.
        """
        _write_all(self._file.fileno(), encode(record))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def encode(record: Mapping[str, Any]) -> bytes:
    """A record's line."""
    text = json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read(path: Path) -> Iterator[Record]:
    """The records of a journal in the order of writing; damaged lines are left out. No file is no records."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            record = _decoded(line)
            if record is not None:
                yield record


def _decoded(line: bytes) -> Record | None:
    check, _space, text = line.rstrip(b"\n").partition(b" ")
    try:
        if not line.endswith(b"\n") or int(check, 16) != zlib.crc32(text):
            return None
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _cut_torn_line(path: Path, descriptor: int) -> None:
    """Removes what follows the last line end, so that the next record starts a line of its own."""
    size = os.fstat(descriptor).st_size
    with path.open("rb") as file:
        kept = size
        while kept:
            start = max(kept - 65536, 0)
            file.seek(start)
            end = file.read(kept - start).rfind(b"\n")
            if end >= 0:
                kept = start + end + 1
                break
            kept = start
    if kept < size:
        os.ftruncate(descriptor, kept)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
