"""Going through a folder for the cases below it, without opening a file."""

from __future__ import annotations

import errno
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from ..wording import some_of
from .layouts import LAYOUTS, WITHOUT_DICOM, Folder, Found, Layout, find_in, owner
from .visits import lies_as_visit

MAX_DEPTH = 12
"""Folders below each other that are looked into; public sets have at most 7."""
_NAMED_LINKS = 3
INSIDE = 3
"""Of these below a case's own: visits are that near, and trees of what was computed from it are large."""

_Above = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Skipped:
    """A folder (or a scan in it) that is no case to grade, and why.

    ``isUnread``: it could not be looked into, so that there may be cases in it.
    """

    path: Path
    reason: str
    isUnread: bool = False


@dataclass
class Walk:
    """What going through a folder finds: cases with their layouts by path, tables, and the rest.

    Args:
        left_out: a folder that is not looked into, whatever path leads there.
        deepest: how many folders below each other are looked into.
        tables: CSV, TSV and Excel files in folders above cases, nearest to the start first.
        inside: whole cases in the folders of others, which are not graded.
    """

    layouts: tuple[Layout, ...] = LAYOUTS
    left_out: Path | None = None
    deepest: int = MAX_DEPTH
    found: list[tuple[Layout, Found]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    inside: list[Skipped] = field(default_factory=list)
    _closed: tuple[int, int] | None = None

    def through(self, start: Path) -> Walk:
        if self.left_out and self.left_out.is_dir():
            self._closed = _identity(self.left_out)
        self._enter(start, ())
        self.skipped += self.inside
        return self

    def _enter(self, path: Path, above: _Above) -> bool:
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
            self.skipped.append(Skipped(path, _unreadable(error), isUnread=error.errno != errno.ELOOP))
            return False
        self.tables += [path / table for table in folder.tables]
        result = find_in(folder, self.layouts)
        if not result:
            return self._below(folder, (*above, identity))
        if any(not case.problem for case in result[1]):
            self._take_whole(folder, *result, (*above, identity))
        else:
            self.skipped += _dangling(folder)
            self._take_incomplete(folder, *result, (*above, identity))
        return True

    def _below(self, folder: Folder, above: _Above) -> bool:
        before = len(self.skipped)
        if len(above) >= self.deepest:
            self.skipped.append(Skipped(folder.path, f"it lies more than {MAX_DEPTH} folders deep"))
            return False
        self.skipped += _dangling(folder)
        found = [self._enter(folder.path / child, above) for child in self._inner(folder, above)]
        if not any(found) and len(self.skipped) == before:
            self.skipped.append(Skipped(folder.path, _nothing_in(folder)))
        return any(found)

    def _take_whole(self, folder: Folder, layout: Layout, cases: list[Found], above: _Above) -> None:
        """A folder's cases, and those below it that are others: a patient's later visits, cases beside many."""
        self.found += [(owner(layout, case), case) for case in cases]
        walk = self._inside(folder, cases, above, self._without_dicom(), len(above) + INSIDE)
        cases = [case for case in cases if not case.again]
        names = {case.case.casefold(): case.case for case in reversed(cases)}
        for found_by, inner in walk.found:
            if inner.problem:
                if _is_another(cases, names, found_by, inner):
                    reason = f"it lies below a whole case and is incomplete: {inner.problem}"
                    self.inside.append(Skipped(inner.folder, reason))
            elif _is_another(cases, names, found_by, inner):
                self.found.append((found_by, inner))
            else:
                outer = names.get(inner.case.casefold(), cases[0].case)
                self.inside.append(Skipped(inner.folder, f"a case inside the case {outer}"))
        self.inside += walk.inside
        self.tables += walk.tables

    def _take_incomplete(self, folder: Folder, layout: Layout, cases: list[Found], above: _Above) -> None:
        """A folder's cases; or, where whole ones lie below, those: a stray volume must not hide a cohort."""
        walk = Walk()
        if not layout.only_own_names:
            is_stray = _is_stray(cases) and layout in WITHOUT_DICOM
            layouts = self.layouts if is_stray else self._without_dicom()
            walk = self._inside(folder, cases, above, layouts, self.deepest)
        if not _are_whole(walk.found):
            self.found += [(owner(layout, case), case) for case in cases]
            return
        self.found += walk.found
        reason = f"there are cases below it, and it is none itself: {cases[0].problem}"
        self.skipped += [*walk.skipped, Skipped(folder.path, reason)]
        self.inside += walk.inside
        self.tables += walk.tables

    def _inside(
        self, folder: Folder, cases: list[Found], above: _Above, layouts: tuple[Layout, ...], deepest: int
    ) -> Walk:
        """What lies in the folders of a folder of cases, but for those that are their files."""
        walk = Walk(layouts, deepest=min(deepest, self.deepest), _closed=self._closed)
        if layouts and len(above) < walk.deepest:
            used = {path for case in cases for path in case.paths.values()}
            used |= {path.parent for path in used}  # the folder of a sequence, with the volumes of many cases
            for child in walk._inner(folder, above):
                if folder.path / child not in used:
                    walk._enter(folder.path / child, above)
        return walk

    def _inner(self, folder: Folder, above: _Above) -> list[str]:
        """The folders in a folder that are looked into, and a word on cases in one that is not.

        What belongs to a data set holds no cases of it; a folder that is called so by chance may.
        """
        support = [child for child in folder.folders if any(layout.is_support(child) for layout in LAYOUTS)]
        if not any(child.startswith("sub-") for child in folder.folders):
            self.skipped += filter(None, (self._passed_over(folder.path / child, above) for child in support))
        return [child for child in folder.folders if child not in support]

    def _passed_over(self, place: Path, above: _Above) -> Skipped | None:
        walk = Walk(self._without_dicom(), deepest=len(above) + INSIDE, _closed=self._closed)
        walk._enter(place, above)
        whole = sum(not case.problem for _layout, case in walk.found)
        if not whole:
            return None
        reason = "a folder of this name belongs to a data set, and is not looked into"
        return Skipped(place, f"{reason}: give it as the input for its cases ({whole} at least)")

    def _without_dicom(self) -> tuple[Layout, ...]:
        """A series of a case would be one itself."""
        return tuple(layout for layout in self.layouts if layout in WITHOUT_DICOM)


def cases_below(start: Path, layouts: tuple[Layout, ...] = LAYOUTS, left_out: Path | None = None) -> Walk:
    """Every case in a folder and below it, but what is left out.

    What lies in the folder of a case is skipped with the reason, unless it is a later visit of the patient or
    has a name of its own.
    """
    return Walk(layouts, left_out).through(start)


def _is_stray(cases: list[Found]) -> bool:
    """Whether a folder's only volume may have nothing to do with what lies below it."""
    return len(cases) == 1 and len(cases[0].paths) < 2 and not any(p.is_dir() for p in cases[0].paths.values())


def _are_whole(found: list[tuple[Layout, Found]]) -> bool:
    """Whether cases are there; one that only DICOM files make may be a series of the case above."""
    whole = [layout for layout, case in found if not case.problem]
    return len(whole) > 1 or any(layout in WITHOUT_DICOM for layout in whole)


def _is_another(cases: list[Found], names: Container[str], layout: Layout, inner: Found) -> bool:
    """Whether a case below others is not one of them once more, such as registered or resampled.

    Args:
        names: of the others, without regard to capitals.
    """
    if inner.case.casefold() in names:
        return False
    if len(cases) > 1 or layout.owns(inner.case):
        return True
    return not cases[0].patient and lies_as_visit(inner.folder, cases[0].folder)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _dangling(folder: Folder) -> list[Skipped]:
    """The links to nowhere, each by its name where they are few."""
    if len(folder.dangling) > _NAMED_LINKS:
        return [Skipped(folder.path, f"{len(folder.dangling)} links to nowhere", isUnread=True)]
    return [Skipped(folder.path / name, "a link to nowhere", isUnread=True) for name in folder.dangling]


def _unreadable(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read the folder"
    if isinstance(error, FileNotFoundError):
        return "a link to nowhere"
    return f"it cannot be read ({error.strerror or error})"


def _nothing_in(folder: Folder) -> str:
    if folder.volumes:
        return f"no T1, T2 or FLAIR among its files ({some_of(folder.volumes)})"
    if folder.others:
        return f"no volumes ({some_of(folder.others)})"
    return "nothing in it" if not folder.folders else "no case in it"
