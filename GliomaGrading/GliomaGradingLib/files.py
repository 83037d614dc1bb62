"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Move = tuple[Path, Path]
"""From where, to where."""

_TURN_SECONDS = 10.0
"""How long to wait for another process that moves its files into the same folder; a move takes milliseconds."""


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write a file beside its place and move it there, so that no reader ever sees half of it.

    Text is UTF-8 with the line ends that it has. The folder must exist. What stood there before stays
    if anything fails, and nothing else is left behind. File and name are on the disk when this returns.

    Raises:
        OSError: as the file system says; its ``filename`` is ``path``.
    """
    path = Path(path)
    part = _write_part(path, content)
    try:
        _move_all([(part, path)])
    finally:
        part.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def all_or_nothing(folder: Path, removed: Sequence[str] = ()) -> Iterator[Callable[[str, bytes | str], None]]:
    """A function that writes a file (name, content) into a folder, which is made where it is missing.

    The files come to their places together, at the end. On an error or an interruption, inside or then, none of
    them does: what stood there before stays, and the folders that had to be made go again. Of two that write at
    once, the files of one come to their places after those of the other: never some of each.

    Args:
        removed: names of files that go when the new ones come.

    Raises:
        OSError: as the file system says; its ``filename`` is the file that cannot be written or removed.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    moves: list[Move] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield lambda name, content: moves.append((_write_part(folder / name, content), folder / name))
        with _turn_in(folder):
            _move_all(moves, [folder / name for name in removed])
    except BaseException:
        for part, _path in moves:
            part.unlink(missing_ok=True)
        for place in made:
            with contextlib.suppress(OSError):  # somebody else's file is in it by now
                place.rmdir()
        raise


def is_there(path: Path, look: Callable[[Path], bool] = Path.exists) -> bool:
    """What ``look`` says of a path; False where it cannot be looked at, or no path can be like this."""
    try:
        return look(path)
    except (OSError, ValueError):
        return False


def absolute(path: Path) -> Path:
    """The path from the root; no link is followed, so that a link keeps its own name."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _part_of(path: Path) -> Path:
    return path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}.part"


def _write_part(path: Path, content: bytes | str) -> Path:
    """The content in a file beside ``path``, on the disk."""
    part = _part_of(path)
    try:
        with _errors_name(path):
            write_durably(part, content.encode("utf-8") if isinstance(content, str) else content)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


@contextlib.contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """A full disk does not say where, and nobody knows the file that was to become ``path``."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _move_all(moves: Sequence[Move], removed: Sequence[Path] = ()) -> None:
    """Move files to their places and take others away, for good; put back all that stood there if one of them
    cannot be moved or taken away, or somebody interrupts."""
    steps: list[tuple[Path, Path, Path | None]] = []  # what is gone once a step is taken, its place, its spare
    spares: list[Path] = []
    try:
        # last come the removals, which need no room on a disk that is full, with nothing between them
        removals = [(path, path, _kept(path, spares)) for path in removed if os.path.lexists(path)]
        for part, path in moves:
            steps.append((part, path, _kept(path, spares)))
            with _errors_name(path):
                part.replace(path)
        folders = {path.parent: path for _part, path in moves}
        for folder, path in folders.items():
            with _errors_name(path):
                sync_folder(folder)
        for removal in removals:
            steps.append(removal)
            with _errors_name(removal[1]):
                removal[1].unlink(missing_ok=True)
        if removals:
            with contextlib.suppress(OSError):  # the new files are on the disk, and nothing can be put back now
                sync_folder(removals[0][1].parent)
    except BaseException:
        for source, path, spare in reversed(steps):
            if not os.path.lexists(source):
                spare.replace(path) if spare else path.unlink(missing_ok=True)
        raise
    finally:
        for spare in spares:
            spare.unlink(missing_ok=True)


def _kept(path: Path, spares: list[Path]) -> Path | None:
    """What a file can be put back from, noted in ``spares`` before it is there; None where there is no file."""
    if not path.is_file():
        return None
    spare = _part_of(path)
    spares.append(spare)
    with _errors_name(path):
        _second_name(path, spare)
    return spare


@contextlib.contextmanager
def _turn_in(folder: Path) -> Iterator[None]:
    """Waits until nobody else moves files into the folder, and has others wait.

    Where the file system has no locks, and where another does not come to an end, it goes on without.
    """
    descriptor = _turn(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            _give_up(descriptor)


def _turn(folder: Path) -> int | None:
    end = time.monotonic() + _TURN_SECONDS
    while True:
        try:
            return lock_folder(folder)
        except (BlockingIOError, FileExistsError):
            if time.monotonic() > end:
                return None
            time.sleep(0.01)
        except OSError:
            return None


if sys.platform == "win32":

    def lock_folder(folder: Path, flags: int = 0) -> int:
        """A folder cannot be opened: a file in it, which is there while it is open, and for one at a time."""
        try:
            return os.open(folder / ".moving", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_TEMPORARY)
        except PermissionError as error:  # it is about to go
            raise FileExistsError(*error.args) from None

    def _give_up(descriptor: int) -> None:
        os.close(descriptor)

else:
    import fcntl

    def lock_folder(folder: Path, flags: int = 0) -> int:
        """Locks a folder until the descriptor is closed, or this process ends.

        Raises:
            BlockingIOError: somebody else has locked it. OSError: it cannot be opened, or has no locks.
        """
        descriptor = os.open(folder, os.O_RDONLY | flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _give_up(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process forked meanwhile has the descriptor, too
        os.close(descriptor)


def _second_name(path: Path, spare: Path) -> None:
    try:
        os.link(path, spare)
    except OSError:  # FAT and some network file systems have one name a file
        shutil.copyfile(path, spare)


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file; its content is on the disk when this returns, its name may not be (``sync_folder``)."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES)
"""What file systems that flush no folders answer (some network ones); a full or broken disk says otherwise."""


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can: after that a rename outlives a power cut.

    Raises:
        OSError: there is no room, or the disk fails.
    """
    if os.name != "posix":
        return  # Windows opens no folders; NTFS journals its names
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
