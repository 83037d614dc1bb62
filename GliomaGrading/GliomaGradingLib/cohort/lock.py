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
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._descriptor)
        except OSError as error:
            holder = _holder(self.path)
            os.close(self._descriptor)
            raise _refusal(error, folder, holder) from error
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the text
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Lets go; the file stays, because to remove it would let two others in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


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
