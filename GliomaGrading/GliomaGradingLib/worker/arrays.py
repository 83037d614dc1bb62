"""Images on their way to the child: a raw file in a private folder, mapped read-only over there.

A file rather than a pipe because the child needs no second copy of it, and written rather than
mapped on this side because a full disk then is an error with a message and not a bus error.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from ..errors import CaseError
from ..files import lock_folder
from .protocol import ProtocolError, WorkerError

PREFIX = "glioma-grading-"
STEP_BYTES = 4 << 20
"""Bytes written between two returns to the caller: some milliseconds."""

_ALIGNMENT = 64
_STALE_SECONDS = 24 * 3600
_DTYPES = frozenset(("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"))
_MAX_DIMENSIONS = 4
_JUST_MADE = 60.0
"""Seconds in which a folder's maker may not have come to lock it yet."""
_in_use: dict[Path, int | None] = {}
"""Folders of this process's requests and their locks: a clock that jumps, or a computer that sleeps, makes them
look old."""


class VolumeLike(Protocol):
    """What a volume has to have: see ``volume.Volume``, which this module must not import."""

    @property
    def array(self) -> np.ndarray: ...
    @property
    def spacing(self) -> tuple[float, float, float]: ...
    @property
    def origin(self) -> tuple[float, float, float]: ...
    @property
    def direction(self) -> np.ndarray: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True, eq=False)
class ArrayVolume:
    """A (K, J, I) array in patient coordinates: mm, LPS, columns of ``direction`` for I, J, K."""

    array: np.ndarray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: np.ndarray = field(default_factory=lambda: np.eye(3))
    source: str = ""


class AnswerFile:
    """A private folder for the arrays of an answer, and what a request says of its own arrays: none.

    Args:
        base: where the private folder is made; the system's temporary folder by default.

    Raises:
        WorkerError: the folder cannot be made, or the disk has no room.

    The folder goes with ``remove()``, at the end of a ``with`` block, when the object is collected
    and when the interpreter ends.
    """

    def __init__(self, base: str | Path | None = None, size: int = 0) -> None:
        parent = Path(base) if base is not None else Path(tempfile.gettempdir())
        sweep_stale(parent)
        self.folder = _private_folder(parent, size)
        self.outputPath = self.folder / "output.raw"
        _in_use[self.folder] = _locked(self.folder)
        self._finalizer = weakref.finalize(self, _remove_folder, self.folder)

    def write(self) -> None:
        """Nothing is to be written."""

    def toMessage(self) -> dict[str, Any] | None:
        """``arrays`` of a request."""
        return None

    def readOutput(self, described: Any) -> dict[str, np.ndarray]:
        """Arrays that the child answered with, as copies.

        Raises:
            ProtocolError: file and description do not fit.
        """
        mapped = MappedFile()
        try:
            return {name: view.copy() for name, view in mapped.open(self.outputPath, described).items()}
        finally:
            mapped.close()

    def remove(self) -> bool:
        """Removes file and folder; False where the system holds on to them (call again later)."""
        _remove_folder(self.folder)
        return not self.folder.exists()

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class ArrayFile(AnswerFile):
    """Volumes of one request, in a file of their own that nobody else may read.

    Args:
        volumes: by name (T1, T2, FLAIR, mask); arrays of any real, integer or boolean type, which
            must not change until they are written.
        base: as for ``AnswerFile``.

    Raises:
        CaseError: an array holds no voxels or no numbers.
        WorkerError: the folder cannot be made, or the disk has no room.
    """

    def __init__(self, volumes: Mapping[str, VolumeLike], base: str | Path | None = None) -> None:
        self._volumes = dict(volumes)
        self._entries, self._size = _layout(self._volumes)
        self._written = 0
        self._blocks: Generator[int] | None = None
        super().__init__(base, self._size)
        self.path = self.folder / "volumes.raw"

    @property
    def isComplete(self) -> bool:
        """Everything has been written."""
        return self._written >= self._size

    def write(self) -> None:
        """Writes what is not written yet, without a pause."""
        for _ in self.write_steps():
            pass

    def write_steps(self) -> Iterator[float]:
        """Writes about ``STEP_BYTES`` at a time, from where it was left on; yields the fraction that is done.

        Raises:
            WorkerError: the disk is full or fails; the folder is gone then.
        """
        if self.isComplete:
            return
        if self._blocks is None:
            self._blocks = _write_blocks(self.path, self._volumes, self._entries)
        try:
            for end in self._blocks:
                self._written = end
                yield end / self._size
        except OSError as error:
            self.remove()
            raise _disk_error(error, self.folder, self._size) from error
        self._volumes.clear()

    def toMessage(self) -> dict[str, Any]:
        """``arrays`` of a request."""
        if not self.isComplete:
            raise WorkerError("the images are not written yet", self.path, "run all of write_steps()")
        return {"path": str(self.path), "size": self._size, "volumes": self._entries}

    def remove(self) -> bool:
        """Removes file and folder; False where the system holds on to them (call again later)."""
        if self._blocks is not None:
            self._blocks.close()  # and the file with it, which Windows would not remove
        self._volumes.clear()
        return super().remove()

    def __enter__(self) -> ArrayFile:
        return self


class MappedFile:
    """A file mapped read-only, and arrays that are views of it."""

    def __init__(self) -> None:
        self._mapping: mmap.mmap | None = None

    def open(self, path: str | Path, described: Any, size: int | None = None) -> dict[str, np.ndarray]:
        """Views by name, (K, J, I), read-only, valid until ``close``.

        Raises:
            ProtocolError: the file cannot be opened, or the description leaves it.
        """
        entries = _checked_entries(described)
        try:
            with Path(path).open("rb") as file:
                self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ProtocolError(f"the images cannot be opened ({error})", path, "grade again") from None
        if size is not None and size != len(self._mapping):
            raise ProtocolError("the file of the images is incomplete", path, "grade again")
        return {name: _view(self._mapping, name, entry) for name, entry in entries.items()}

    def close(self) -> bool:
        """True when nothing is mapped any more; False while somebody still holds a view."""
        if self._mapping is not None:
            try:
                self._mapping.close()
            except BufferError:
                return False
        self._mapping = None
        return True


def open_request(mapped: MappedFile, message: Mapping[str, Any]) -> dict[str, ArrayVolume]:
    """The volumes of a request, in the child; their file loses its name where the system allows it."""
    path, described = message.get("path"), message.get("volumes")
    if not isinstance(path, str) or not isinstance(described, dict):
        raise ProtocolError("arrays has no path or no volumes")
    views = mapped.open(path, described, message.get("size"))
    _take_name_away(Path(path))
    return {name: _volume(view, described[name]) for name, view in views.items()}


def write_output(path: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Writes a result's arrays, in the child, and describes them for the answer.

    Raises:
        WorkerError: the disk is full or fails.
    """
    entries, size = _layout({name: ArrayVolume(np.asarray(array)) for name, array in arrays.items()})
    try:
        with _create(Path(path)) as file:
            for name, array in arrays.items():
                file.seek(entries[name]["offset"])
                stored = np.ascontiguousarray(array, dtype=entries[name]["dtype"])
                file.write(stored.reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise _disk_error(error, Path(path).parent, size) from error
    keys = ("dtype", "shape", "offset")
    return {name: {key: entry[key] for key in keys} for name, entry in entries.items()}


def sweep_stale(base: Path, age: float = _STALE_SECONDS) -> None:
    """Removes folders that killed processes left behind: images of patients do not belong there."""
    for folder in _exchange_folders(base):
        if folder.absolute() in _in_use:
            continue
        try:
            seconds = time.time() - folder.lstat().st_mtime
            is_link = folder.is_symlink()
        except OSError:
            continue
        if not is_link and (seconds > age or (seconds > _JUST_MADE and _is_given_up(folder))):
            shutil.rmtree(folder, ignore_errors=True)


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if (descriptor := _in_use.pop(folder, None)) is not None:
        os.close(descriptor)


if sys.platform == "win32":

    def _locked(folder: Path) -> int | None:
        """Nothing: Windows has no lock for a folder, and a locked file in it would keep it there."""

    def _is_given_up(folder: Path) -> bool:
        """Nobody can tell."""
        return False

else:

    def _locked(folder: Path) -> int | None:
        """Locks a folder until this process ends, however it ends; None where the system cannot."""
        try:
            return lock_folder(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None

    def _is_given_up(folder: Path) -> bool:
        """Whether the process that made a folder has ended, so that its lock is free."""
        descriptor = _locked(folder)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True


def _exchange_folders(base: Path) -> list[Path]:
    try:
        return [path for path in base.glob(f"{PREFIX}exchange-*") if path.is_dir()]
    except OSError:
        return []


def _layout(volumes: Mapping[str, VolumeLike]) -> tuple[dict[str, dict[str, Any]], int]:
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name, volume in volumes.items():
        entry = _entry(name, volume, offset=-(-end // _ALIGNMENT) * _ALIGNMENT)
        end = entry["offset"] + volume.array.nbytes
        entries[name] = entry
    if not entries:
        raise CaseError("there are no images to grade", remedy="choose T1, T2, FLAIR and a tumour mask")
    return entries, end


def _entry(name: str, volume: VolumeLike, offset: int) -> dict[str, Any]:
    dtype = volume.array.dtype.newbyteorder("<").str
    if dtype not in _DTYPES:
        problem = f"{name} holds {volume.array.dtype}, not numbers"
        raise CaseError(problem, volume.source, "convert it to float32")
    if volume.array.size == 0:
        raise CaseError(f"{name} has no voxels", volume.source, "choose another volume")
    return {
        "dtype": dtype,
        "shape": list(volume.array.shape),
        "offset": offset,
        "spacing": [float(v) for v in volume.spacing],
        "origin": [float(v) for v in volume.origin],
        "direction": np.asarray(volume.direction, dtype=float).reshape(3, 3).tolist(),
        "source": str(volume.source),
    }


def _write_blocks(
    path: Path, volumes: Mapping[str, VolumeLike], entries: Mapping[str, Mapping[str, Any]]
) -> Generator[int]:
    """Writes a block and yields where it ends, again and again. Holds no ArrayFile, whose end is its own."""
    with _create(path) as file:
        for name, volume in volumes.items():
            file.seek(entries[name]["offset"])
            for block in _blocks(volume.array):
                stored = np.ascontiguousarray(block, dtype=entries[name]["dtype"])
                file.write(stored.reshape(-1).view(np.uint8).data)
                file.flush()
                yield file.tell()


def _blocks(array: np.ndarray, limit: int = STEP_BYTES) -> Iterator[np.ndarray]:
    """Parts of an array in C order, of at most ``limit`` bytes each."""
    if array.nbytes <= limit or array.ndim == 0:
        yield array
        return
    row = array.nbytes // len(array)
    if row > limit:
        for part in array:
            yield from _blocks(part, limit)
        return
    step = limit // row
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _private_folder(parent: Path, size: int) -> Path:
    try:
        if shutil.disk_usage(parent).free < size:
            raise OSError("the disk is full")
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}exchange-", dir=parent)).absolute()
    except OSError as error:
        raise _disk_error(error, parent, size) from error


def _disk_error(error: OSError, folder: Path, size: int) -> WorkerError:
    return WorkerError(
        f"the images cannot be handed to the grading process ({error})",
        folder,
        f"free {size / 1e6:.0f} MB there, or set TMPDIR to a folder with more room",
    )


def _create(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o600), "w+b")


def _take_name_away(path: Path) -> None:
    """Only inside a folder of our own making: a request must not be able to remove anything else."""
    if os.name == "posix" and path.parent.name.startswith(f"{PREFIX}exchange-"):
        path.unlink(missing_ok=True)


def _checked_entries(described: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(described, dict) or not described:
        raise ProtocolError("the description of the images is no object")
    for name, entry in described.items():
        if not isinstance(entry, dict) or not _is_layout(entry):
            raise ProtocolError(f"the description of {name!r} is not one of an array")
    return described


def _is_layout(entry: dict[str, Any]) -> bool:
    shape, dtype = entry.get("shape"), entry.get("dtype")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        return False
    is_counted = _is_count(entry.get("offset"), 0) and all(_is_count(extent, 1) for extent in shape)
    return is_counted and isinstance(dtype, str) and dtype in _DTYPES


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 48


def _view(mapping: mmap.mmap, name: str, entry: dict[str, Any]) -> np.ndarray:
    dtype, count = np.dtype(entry["dtype"]), 1
    for extent in entry["shape"]:
        count *= extent
    if entry["offset"] + count * dtype.itemsize > len(mapping):
        raise ProtocolError(f"{name!r} reaches beyond the end of its file")
    return np.frombuffer(mapping, dtype, count, entry["offset"]).reshape(entry["shape"])


def _volume(view: np.ndarray, entry: dict[str, Any]) -> ArrayVolume:
    try:
        spacing, origin = (tuple(float(v) for v in entry[key]) for key in ("spacing", "origin"))
        direction = np.asarray(entry["direction"], dtype=float).reshape(3, 3)
        if len(spacing) != 3 or len(origin) != 3:
            raise ValueError("three numbers are needed")
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"spacing, origin or direction of an image is wrong ({error})") from None
    return ArrayVolume(view, spacing, origin, direction, str(entry.get("source", "")))  # type: ignore[arg-type]
