"""Starting the child, talking to it by threads of its own, ending it: one ``ChildProcess`` is one life."""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .protocol import EVENTS, ProcessEnded, ProtocolError, WorkerError, decode, encode, memory_error, read_lines

PACKAGE_PARENT = Path(__file__).resolve().parent.parent.parent
"""The folder that contains GliomaGradingLib."""

_TAIL_LINES = 200
_TAIL_LINE_LENGTH = 1_000
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_LAUNCHER_SAYS_CRASH = "exit abnormally"
"""Slicer's launcher hides the signal that ended its program: it prints this and ends with status 1."""
_NUMPY_SAYS_CAUSE = "Original error was:"


@dataclass(frozen=True)
class Launch:
    """How to start a child.

    Args:
        python: the interpreter; ``default_python()`` when empty.
        modulePath: the folder that contains GliomaGradingLib.
        engine: dotted name of the engine, ``package.module:factory``.
        environment: variables to set, or to take away where the value is None. ``PYTHONPATH`` in
            here comes after ``modulePath``.
        threads: for numerical libraries; None leaves it to them.
        debug: tracebacks in errors.
    """

    python: str = ""
    modulePath: Path = PACKAGE_PARENT
    engine: str = "GliomaGradingLib.worker.engine:GradingEngine"
    environment: Mapping[str, str | None] = field(default_factory=dict)
    threads: int | None = None
    debug: bool = False

    def command(self) -> list[str]:
        command = [self.python or default_python(), "-m", "GliomaGradingLib.worker", "--engine", self.engine]
        command += ["--client", str(os.getpid())]
        if threading.current_thread() is threading.main_thread():
            command.append("--die-with-parent")
        return command + ["--debug"] * self.debug

    def variables(self) -> dict[str, str]:
        """The child's environment."""
        wanted: dict[str, str | None] = {**os.environ, **self.environment}
        paths = [str(self.modulePath), wanted.get("PYTHONPATH") or ""]
        wanted.update(
            PYTHONPATH=os.pathsep.join(filter(None, paths)),
            PYTHONIOENCODING="utf-8:backslashreplace",
            PYTHONUTF8="1",
            PYTHONNOUSERSITE="1",
            PYTHONSAFEPATH=None,  # the current folder is modulePath: works even with ":" in its name
        )
        if self.threads:
            wanted.update(dict.fromkeys(_THREAD_VARIABLES, str(self.threads)))
        return {name: value for name, value in wanted.items() if value is not None}


def default_python() -> str:
    """PythonSlicer inside Slicer, this interpreter anywhere else.

    Raises:
        WorkerError: this program is no Python and there is no PythonSlicer beside it.
    """
    python_slicer = shutil.which("PythonSlicer") if "slicer" in sys.modules else None
    if python_slicer:
        return python_slicer
    if Path(sys.executable or "").stem.lower().startswith("python"):
        return sys.executable
    raise WorkerError("no Python was found for the grading process", remedy="put PythonSlicer on the PATH")


class ChildProcess:
    """A running child. Nothing here waits for it but ``stop``; events queue up until they are fetched.

    Raises:
        WorkerError: the interpreter cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        self.innerPid = 0
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._tail = _Tail()
        self._process = _spawn(launch)
        self._reader = self._thread("events", self._read_events)
        self._drain = self._thread("stderr", self._drain_stderr)
        self._thread("requests", self._write_requests)
        self._thread("end", self._await_end)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def isAlive(self) -> bool:
        return not self._ended.is_set()

    def send(self, message: Mapping[str, Any]) -> None:
        """Queues a request; raises ProtocolError where it cannot be written as one."""
        self._requests.put(encode(message))

    def nextEvent(self) -> dict[str, Any] | None:
        """The next event, if there is one. The last is ``{"event": "end", "status": int}``."""
        try:
            return self._events.get_nowait()
        except queue.Empty:
            return None

    def lastWords(self) -> tuple[str, ...]:
        """The last lines on standard error, oldest first."""
        return self._tail.lines()

    def kill(self) -> None:
        """Ends the child at once, with a launcher that may stand in between; returns before it is gone."""
        self._requests.put(None)
        if self.isAlive:
            _kill_tree(self._process, self.innerPid)

    def stop(self, grace: float = 1.0) -> None:
        """Asks the child to end, kills it after ``grace`` seconds, and waits until it is gone."""
        self._requests.put(encode({"kind": "shutdown"}))
        self._requests.put(None)
        if not self._ended.wait(grace):
            self.kill()
            self._ended.wait(5.0)

    # Threads. None of them holds on to the client; all of them end with the child.

    def _thread(self, name: str, target: Any) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"grading-{name}", daemon=True)
        thread.start()
        return thread

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in read_lines(self._process.stdout):  # type: ignore[arg-type]
                self._receive(line)

    def _receive(self, line: bytes | None) -> None:
        try:
            event = decode(line) if line is not None else {}
        except ProtocolError:
            event = {}
        if event.get("event") in EVENTS:
            self._events.put(event)
        elif line is None:
            self._tail.add("(a line on standard output was too long)\n")
        else:
            self._tail.add(line.decode("utf-8", "replace"))

    def _drain_stderr(self) -> None:
        assert self._process.stderr is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._process.stderr.fileno(), 65536):
                self._tail.add(decoder.decode(chunk))

    def _write_requests(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while (line := self._requests.get()) is not None:
                self._process.stdin.write(line)
                self._process.stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def _await_end(self) -> None:
        status = self._process.wait()
        self._requests.put(None)
        self._reader.join(1.0)  # a descendant that kept the stream must not hide the end
        self._drain.join(0.5)
        self._ended.set()
        self._events.put({"event": "end", "status": status})


class _Tail:
    """The last lines of a text that comes in pieces, bounded in number and length."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._rest = ""

    def add(self, text: str) -> None:
        with self._lock:
            *lines, rest = (self._rest + text).replace("\r", "\n").split("\n")
            self._lines.extend(line[:_TAIL_LINE_LENGTH] for line in lines if line.strip())
            self._rest = rest[:_TAIL_LINE_LENGTH]

    def lines(self) -> tuple[str, ...]:
        with self._lock:
            return (*self._lines, *([self._rest] if self._rest.strip() else []))


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    command = launch.command()
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=launch.modulePath,
            env=launch.variables(),
            close_fds=True,
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"the grading process cannot be started ({error})",
            command[0],
            "install the program and the module again",
        ) from error


def _kill_tree(process: subprocess.Popen[bytes], inner: int) -> None:
    """Kills a launcher and its program: by their process group, on Windows one by one."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            process.kill()
        if inner and inner != process.pid:
            with contextlib.suppress(OSError):
                os.kill(inner, signal.SIGTERM)  # TerminateProcess there
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def crash_error(status: int, doing: str, last_words: tuple[str, ...]) -> ProcessEnded:
    """What to tell the user about a child that ended by itself.

    Args:
        status: as ``subprocess`` gives it; negative for a signal.
        doing: what the child was at, for people.
    """
    why, remedy = _reason(status, last_words)
    said = f'; its last words: "{last_words[-1]}"' if last_words else ""
    error = ProcessEnded(f"the grading process ended unexpectedly while {doing} ({why}{said})", remedy=remedy)
    error.details = last_words[-20:]
    return error


def _reason(status: int, last_words: tuple[str, ...]) -> tuple[str, str]:
    memory = "close other programs to free memory, and grade again"
    again = "grade again; if it comes back, report it with the last lines of its output"
    if status in (-9, 137):
        return "killed by SIGKILL, as the system does when memory runs out", memory
    if status & 0xFFFFFFFF in (0xC0000017, 0xC000012D):
        return "memory ran out", memory
    if any(memory_error(line) for line in last_words[-1:] + _causes(last_words)):
        return "memory ran out", memory
    if status < 0:
        return f"killed by {_signal_name(-status)}", again
    if any(_LAUNCHER_SAYS_CRASH in line for line in last_words[-5:]):
        return "it crashed or was killed, as the system does when memory runs out", memory
    return (f"exit code {status:#x}" if status > 0xFFFF else f"exit code {status}"), again


def _causes(last_words: tuple[str, ...]) -> tuple[str, ...]:
    """What numpy says of why it could not be imported, before it says what may be done about it."""
    return tuple(line for line in last_words if line.startswith(_NUMPY_SAYS_CAUSE))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
