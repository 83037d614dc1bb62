"""Going through a folder for the cases below it, without opening a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .layouts import LAYOUTS, Folder, Found, Layout, find_in

MAX_DEPTH = 12
"""Folders below each other that are looked into; public sets have at most 7."""


@dataclass(frozen=True)
class Skipped:
    """A folder (or a scan in it) that is no case to grade, and why."""

    path: Path
    reason: str


@dataclass
class Walk:
    """What going through a folder finds: cases with their layouts by path, tables, and the rest.

    Args:
        left_out: a folder that is not looked into, whatever path leads there.
        tables: CSV, TSV and Excel files in folders above cases, nearest to the start first.
    """

    layouts: tuple[Layout, ...] = LAYOUTS
    left_out: Path | None = None
    found: list[tuple[Layout, Found]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    _closed: tuple[int, int] | None = None

    def through(self, start: Path) -> Walk:
        if self.left_out and self.left_out.is_dir():
            self._closed = _identity(self.left_out)
        self._enter(start, ())
        return self

    def _enter(self, path: Path, above: tuple[tuple[int, int], ...]) -> bool:
        """Look into a folder; says whether there was a case in it or below it."""
        try:
            identity = _identity(path)
            if identity in above:
                self.skipped.append(Skipped(path, "a link back to a folder above it"))
                return False
            if identity == self._closed:
                return False
            folder = Folder.read(path)
        except OSError as error:
            self.skipped.append(Skipped(path, _unreadable(error)))
            return False
        self.tables += [path / table for table in folder.tables]
        result = find_in(folder, self.layouts)
        if result:
            self.found += [(result[0], found) for found in result[1]]
            return True
        return self._below(folder, (*above, identity))

    def _below(self, folder: Folder, above: tuple[tuple[int, int], ...]) -> bool:
        before = len(self.skipped)
        inner = [child for child in folder.folders if not any(item.is_support(child) for item in LAYOUTS)]
        if len(above) >= MAX_DEPTH:
            self.skipped.append(Skipped(folder.path, f"it lies more than {MAX_DEPTH} folders deep"))
            return False
        found = [self._enter(folder.path / child, above) for child in inner]
        if not any(found) and len(self.skipped) == before:
            self.skipped.append(Skipped(folder.path, _nothing_in(folder)))
        return any(found)


def cases_below(start: Path, layouts: tuple[Layout, ...] = LAYOUTS, left_out: Path | None = None) -> Walk:
    """Every case in a folder and below it, but what is left out. A case's folder is not searched further."""
    return Walk(layouts, left_out).through(start)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _unreadable(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read the folder"
    if isinstance(error, FileNotFoundError):
        return "a link to nowhere"
    return f"it cannot be read ({error.strerror or error})"


def _nothing_in(folder: Folder) -> str:
    if folder.volumes:
        return f"no T1, T2 or FLAIR among its files ({_some(folder.volumes)})"
    if folder.others:
        return f"no volumes ({_some(folder.others)})"
    return "nothing in it" if not folder.folders else "no case in it"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
