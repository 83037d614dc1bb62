"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write a file beside its place and move it there, so that no reader ever sees half of it.

    Text is UTF-8 with the line ends that it has. The folder must exist. What stood there before stays
    if anything fails, and nothing else is left behind. File and name are on the disk when this returns.

    Raises:
        OSError: as the file system says.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    part = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}.part"
    try:
        write_durably(part, data)
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def all_or_nothing(folder: Path) -> Iterator[Callable[[str, bytes | str], None]]:
    """A function that writes a file (name, content) into a folder, which is made where it is missing.

    On an error inside, the files that it wrote go again, and the folders that had to be made for them.

    Raises:
        OSError: as the file system says.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield lambda name, content: written.append(write_atomically(folder / name, content))
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        for place in made:
            with contextlib.suppress(OSError):  # somebody else's file is in it by now
                place.rmdir()
        raise


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file; its content is on the disk when this returns, its name may not be (``sync_folder``)."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can: after that a rename outlives a power cut."""
    if os.name != "posix":
        return  # Windows opens no folders; NTFS journals its names
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse, and have no more to offer
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
