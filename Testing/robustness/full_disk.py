"""A disk that is full from the n-th thing on that needs room there.

Python's own calls under one folder are counted: making a file or folder, each write, fsync, link, and a rename
to a name that is new. From number ``room + 1`` on every one of them fails with "No space left on device", a
write after half of its bytes; reading and removing go on, as they do on a real disk. What native libraries do
is not seen.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

_MAKES = set("wxa+")


class FullDisk:
    """``with FullDisk(folder, room) as disk``: afterwards ``disk.isHit`` says whether anything failed.

    Args:
        folder: what lies in it is on the full disk.
        room: how many things there is room for.
    """

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room, self.calls = str(folder.resolve()), room, 0
        self._real = {name: getattr(os, name) for name in _BY_PATH + _BY_DESCRIPTOR + ("open",)}
        self._open = io.open
        self._patches: list[Any] = []

    @property
    def isHit(self) -> bool:
        return self.calls > self.room

    def __enter__(self) -> FullDisk:
        changes: list[tuple[Any, str, Any]] = [(io, "open", self._opened), (builtins, "open", self._opened)]
        changes += [(os, name, self._by_path(name)) for name in _BY_PATH]
        changes += [(os, name, self._by_descriptor(name)) for name in _BY_DESCRIPTOR]
        changes.append((os, "open", self._opened_by_number))
        if accessor := getattr(pathlib, "_NormalAccessor", None):  # Python 3.10's pathlib keeps what it calls
            changes.append((accessor, "open", self._opened))
            changes += [(accessor, name, staticmethod(self._by_path(name))) for name in _BY_PATH]
        self._patches = [mock.patch.object(*change) for change in changes]
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in reversed(self._patches):
            patch.stop()

    def take(self, path: Any = None) -> None:
        """Room for one thing more, or OSError."""
        self.calls += 1
        if self.isHit:
            name = None if path is None else os.fspath(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def concerns(self, path: Any) -> bool:
        """Whether a path, or an open file's number, is of this disk."""
        try:
            text = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else os.fspath(path)
        except (OSError, TypeError):
            return False
        text = os.fsdecode(text)
        return os.path.abspath(text).startswith(self.folder)  # noqa: PTH100 - a removed folder has no resolve

    def _opened(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not _MAKES & set(mode) or not self.concerns(file):
            return self._open(file, mode, *arguments, **options)
        if not isinstance(file, int):
            self.take(file)
        return _File(self._open(file, mode, *arguments, **options), self)

    def _opened_by_number(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT and self.concerns(path):
            self.take(path)
        return int(self._real["open"](path, flags, *arguments, **options))

    def _by_path(self, name: str) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            has_name = name in ("rename", "replace") and os.path.lexists(arguments[0])
            if self.concerns(path) and not has_name:
                self.take(path)
            return self._real[name](path, *arguments, **options)

        return call

    def _by_descriptor(self, name: str) -> Callable[..., Any]:
        def call(descriptor: int, *arguments: Any) -> Any:
            if self.concerns(descriptor):
                self._take_half(descriptor, *arguments)
            return self._real[name](descriptor, *arguments)

        return call

    def _take_half(self, descriptor: int, data: Any = b"") -> None:
        try:
            self.take()
        except OSError:
            if data:
                self._real["write"](descriptor, bytes(data)[: len(data) // 2])
            raise


_BY_PATH = ("mkdir", "rename", "replace", "link", "symlink")
_BY_DESCRIPTOR = ("write", "fsync")


class _File:
    """An open file of the full disk."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: Any) -> int:
        try:
            self._disk.take()
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        return int(self._file.write(data))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def full_disks(folder: Path, longest: int = 500) -> Iterator[FullDisk]:
    """Disks with room for nothing, for one thing, two ...; the last is the first that was large enough.

    Raises:
        AssertionError: there is no end to it.
    """
    for room in range(longest):
        disk = FullDisk(folder, room)
        yield disk
        if not disk.isHit:
            return
    raise AssertionError(f"more than {longest} things were written")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes by name, None for folders: to see that nothing changed."""
    found = sorted(folder.rglob("*")) if folder.is_dir() else []
    return {p.relative_to(folder).as_posix(): None if p.is_dir() else p.read_bytes() for p in found}
