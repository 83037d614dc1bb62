"""The child's side of dying with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_SYNCHRONIZE = 0x00100000
_INFINITE = 0xFFFFFFFF


def die_with_parent() -> None:
    """Asks Linux to kill this process when the thread that started it ends; elsewhere nothing.

    It works even while native code holds the interpreter's lock. The client asks for it only from
    its main thread: any other thread may end long before the process does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def watch_parent(client: int, leave: Callable[[int], object], interval: float = 0.5) -> None:
    """Calls ``leave(0)`` from a thread of its own when the parent or the client has gone.

    Args:
        client: process id of the client, which is not the parent where a launcher stands between.
    """
    threading.Thread(target=_watch, args=(client, leave, interval), name="watch-parent", daemon=True).start()


def _watch(client: int, leave: Callable[[int], object], interval: float) -> None:
    if sys.platform == "win32":
        _wait_for_end_on_windows(client)
    else:
        _wait_for_end(client, interval)
    leave(0)


def _wait_for_end(client: int, interval: float) -> None:
    parent = os.getppid()
    while os.getppid() == parent and _is_alive(client):
        time.sleep(interval)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


if sys.platform == "win32":

    def _wait_for_end_on_windows(client: int) -> None:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = ctypes.c_void_p
        kernel.WaitForSingleObject.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        handle = kernel.OpenProcess(_SYNCHRONIZE, False, client)
        if handle:
            kernel.WaitForSingleObject(handle, _INFINITE)
        else:
            threading.Event().wait()  # the end of standard input has to do
