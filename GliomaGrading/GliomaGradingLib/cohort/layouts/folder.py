"""What lies in a folder, read once: one scan, no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...files import absolute
from ...reading.dicom_header import is_dicom
from ...reading.imaging import VOLUME_SUFFIXES, volume_suffix
from ...reading.sequence_names import sequence_of

TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx")
_LOOKED_AT = 20
"""Files of a folder that are looked at for DICOM."""
_DEPTH = 3
_JUNK = {
    "__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found",
    "#recycle", "@recycle", "@eadir", "#snapshot", "@recently-snapshot",
}  # fmt: skip
"""Folders that systems and network storage make: what has been deleted must not come back."""


class Candidate:
    """A file or folder that may be a sequence or the mask; its stem is lower case, without its ending.

    ``written`` is the whole of it as it was written: capitals tell where words of contrast begin (``mKM``).
    """

    __slots__ = ("path", "stem", "written")

    @classmethod
    def called(cls, path: Path, name: str) -> Candidate:
        """A file as if this were its stem."""
        candidate = cls(path)
        candidate.stem = name
        return candidate

    def __init__(self, path: Path, is_folder: bool = False) -> None:
        self.path = path
        self.written = path.name if is_folder else _written_stem(path)
        self.stem = self.written.lower()


def stem(path: Path) -> str:
    """A file name in lower case without the ending that makes it a volume; a folder's name in lower case."""
    return _written_stem(path).lower()


def _written_stem(path: Path) -> str:
    return path.name[: len(path.name) - len(volume_suffix(path))]


@dataclass(frozen=True)
class Folder:
    """Names in a folder, sorted; hidden ones are left out.

    Args:
        volumes: files that SimpleITK may read as volumes. tables: CSV, TSV and Excel files.
        others: the remaining files (DICOM files have any name). folders: sub-folders and links to folders.
        dangling: links to nowhere that are not called as volumes or tables: what they led to may be a folder,
            or DICOM.
    """

    path: Path
    volumes: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()

    @cached_property
    def files(self) -> tuple[Candidate, ...]:
        """The volumes, made once for all layouts that look at them."""
        return tuple(Candidate(self.path / name) for name in self.volumes)

    @cached_property
    def places(self) -> tuple[Candidate, ...]:
        """The sub-folders, which may each hold a DICOM series."""
        return tuple(Candidate(self.path / name, is_folder=True) for name in self.folders)

    @cached_property
    def name(self) -> str:
        """Its own name, whatever path it was reached by: "." and ".." get names, links are not followed."""
        return absolute(self.path).name or str(self.path)

    @classmethod
    def read(cls, path: Path) -> Folder:
        """Scan a folder.

        Raises:
            OSError: as the file system says.
        """
        volumes, tables, others, folders, dangling = [], [], [], [], []
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name.lower() in _JUNK:
                    continue
                if _is_dir(entry):
                    folders.append(name)
                elif name.lower().endswith(VOLUME_SUFFIXES):
                    volumes.append(name)
                elif name.lower().endswith(TABLE_SUFFIXES):
                    tables.append(name)
                elif _leads_nowhere(entry):
                    dangling.append(name)
                else:
                    others.append(name)
        return cls(path, *(tuple(sorted(names)) for names in (volumes, tables, others, folders, dangling)))


def holds_one_image(place: Path) -> bool:
    """Whether a folder may be given for an image: it holds a DICOM series or one volume.

    A series may also lie in a folder below, but not where the folders there are called after several
    sequences: then the folder is a scan of its own, taken at a time called T1 or T2.
    """
    try:
        inside = Folder.read(place)
    except OSError:
        return True  # whoever reads it says why it cannot be read
    if len(inside.volumes) == 1 or _has_dicom(inside):
        return True
    return not inside.volumes and len(_sequences(inside.folders)) < 2 and _has_series_below(inside, _DEPTH)


def _has_dicom(folder: Folder) -> bool:
    return any(is_dicom(folder.path / name) for name in folder.others[:_LOOKED_AT])


def _sequences(names: Iterable[str]) -> set[str]:
    return {sequence_of(name) for name in names} - {""}


def _has_series_below(folder: Folder, depth: int) -> bool:
    for name in folder.folders[:_LOOKED_AT] if depth else ():
        try:
            inside = Folder.read(folder.path / name)
        except OSError:
            continue
        if _has_dicom(inside) or _has_series_below(inside, depth - 1):
            return True
    return False


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to where we may not look
        return True  # whoever enters it says why it cannot be read


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - a Path for each would cost
