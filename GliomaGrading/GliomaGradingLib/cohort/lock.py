"""One batch at a time in a folder: an advisory lock of the system, gone with the process that held it.

``flock`` on POSIX, which Linux turns into a byte-range lock of the server on NFS; ``msvcrt.locking`` on
Windows. A killed process lets go at once, a machine that vanished from an NFS lock when its lease at the server
ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from pathlib import Path

from ..errors import UsageError

NAME = "batch.lock"
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK)
_FIRST_BYTE = 1 << 30
"""Where Windows locks: beyond the text, which others have to be able to read."""


class FolderLock:
    """Holds a folder until ``release`` or the end of the process.

    Raises:
        UsageError: another batch holds it, or its file system cannot lock.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.isNew = not self.path.exists()
        self._descriptor = self._held(folder)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the text
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _held(self, folder: Path) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(descriptor)
            except OSError as error:
                holder = _holder(self.path)
                os.close(descriptor)
                if self.isNew and error.errno not in _BUSY:  # nobody else can have locked it either
                    with contextlib.suppress(OSError):
                        self.path.unlink()
                raise _refusal(error, folder, holder) from error
            if _is_at(self.path, descriptor):
                return descriptor
            os.close(descriptor)  # somebody took it away between our opening and our locking it

    def discard(self) -> None:
        """Lets go and takes the file away, as if nobody had come; what was let go before may be another's."""
        if self._descriptor < 0:
            return
        if sys.platform == "win32":  # which removes nothing that is open
            self.release()
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.release()

    def release(self) -> None:
        """Lets go; the file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _FIRST_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())[:120]
    except OSError:
        return ""


def _refusal(error: OSError, folder: Path, holder: str) -> UsageError:
    if error.errno in _BUSY:
        who = f" ({holder})" if holder else ""
        return UsageError(
            f"another batch writes here{who}", folder, "wait for it to end, or choose another --output"
        )
    return UsageError(
        f"the file system cannot lock the folder ({error.strerror})", folder, "choose another --output"
    )
