"""The child's main loop: requests in, events out, work on the main thread (protocol: ``protocol``)."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

from . import parent
from .arrays import ArrayVolume, MappedFile, open_request, write_output
from .protocol import (
    VERSION,
    WORK,
    ProtocolError,
    WorkerError,
    check_request,
    decode,
    encode,
    error_event,
    memory_error,
    read_lines,
    request_id,
)

_MAX_WAITING = 16
_PROGRESS_SECONDS = 0.05

Progress = Callable[..., None]
"""``progress(stage, fraction, message="")``; raises where the work has been cancelled."""


class Engine(Protocol):
    """What the child serves. ``explain`` and ``report`` are optional, with the manners of ``grade``.

    A result may have a member ``arrays``, numpy arrays by name; they travel in a file.
    """

    def load(self, bundle: str | None, device: str, progress: Progress) -> dict[str, Any] | None: ...

    def grade(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]: ...


class WorkCancelled(BaseException):
    """Leaves the engine from inside ``progress``; no ``except Exception`` on the way stops it."""


class Channel:
    """Events out, one at a time, from any thread."""

    def __init__(self, stream: BinaryIO, leave: Callable[[int], object]) -> None:
        self._stream = stream
        self._leave = leave
        self._lock = threading.Lock()

    def send(self, event: Mapping[str, Any]) -> None:
        line = _encoded(event)
        try:
            with self._lock:
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError):
            self._leave(0)  # nobody listens any more


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return encode(event)
    except ProtocolError as error:
        return encode(error_event(error, request_id(event)))


class Server:
    """Serves one client.

    Args:
        makeEngine: called at the first load, because it may import a lot.
        requests: lines from the client.
        channel: events to the client.
        leave: ends the process with a status; called from any thread.
        debug: puts tracebacks into errors.
    """

    def __init__(
        self,
        makeEngine: Callable[[], Engine],
        requests: BinaryIO,
        channel: Channel,
        leave: Callable[[int], object],
        debug: bool = False,
    ) -> None:
        self._makeEngine = makeEngine
        self._engine: Engine | None = None
        self._isLoaded = False
        self._requests = requests
        self._send = channel.send
        self._leave = leave
        self._debug = debug
        self._work: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._open: set[int] = set()
        self._cancelled: set[int] = set()

    def run(self) -> None:
        """Works until ``stop``; requests are read on a thread of their own, so that cancel gets through."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (message := self._work.get()) is not None:
            self._serve(message)

    def stop(self) -> None:
        self._work.put(None)

    # On the reading thread

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in read_lines(self._requests):
                self._receive(line)
        self._leave(0)

    def _receive(self, line: bytes | None) -> None:
        message: dict[str, Any] = {}
        try:
            if line is None:
                raise ProtocolError("a line is too long")
            message = decode(line)
            check_request(message)
            self._dispatch(message)
        except ProtocolError as error:
            self._send(error_event(error, request_id(message), self._debug))

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind in WORK:
            self._accept(message)
        elif kind == "hello":
            self._hello(message)
        elif kind == "ping":
            self._send({"event": "result", "id": message["id"], "result": {"busy": bool(self._open)}})
        elif kind == "cancel":
            self._cancel(message["id"])
        else:
            self._send({"event": "bye"})
            self._leave(0)

    def _hello(self, message: dict[str, Any]) -> None:
        if message["version"] != VERSION:
            raise ProtocolError(
                f"the client speaks protocol {message['version']} and the grading process {VERSION}",
                remedy="install the module again, and restart Slicer",
            )
        python = ".".join(map(str, sys.version_info[:3]))
        known = {"version": VERSION, "pid": os.getpid(), "python": python}
        self._send({"event": "ready", "id": message["id"], **known})

    def _accept(self, message: dict[str, Any]) -> None:
        if message["id"] in self._open:
            raise ProtocolError(f"the id {message['id']} is in use")
        if len(self._open) >= _MAX_WAITING:
            raise ProtocolError("too many requests wait")
        self._open.add(message["id"])
        self._work.put(message)

    def _cancel(self, identifier: int) -> None:
        if identifier in self._open:
            self._cancelled.add(identifier)

    # On the main thread

    def _serve(self, message: dict[str, Any]) -> None:
        identifier, mapped = message["id"], MappedFile()
        event = self._outcome(message, mapped)
        _close(mapped)
        self._open.discard(identifier)
        self._cancelled.discard(identifier)
        self._send(event)

    def _outcome(self, message: dict[str, Any], mapped: MappedFile) -> dict[str, Any]:
        identifier = message["id"]
        try:
            self._check(identifier)
            event = self._perform(message, mapped)
            self._check(identifier)
            return {"event": "result", "id": identifier, **event}
        except BaseException as error:
            # SystemExit and the like of a library must not end the process either. What an engine
            # makes of the cancellation that progress raised is a cancellation all the same.
            if identifier in self._cancelled:
                return {"event": "cancelled", "id": identifier}
            return error_event(error, identifier, self._debug)

    def _check(self, identifier: int) -> None:
        if identifier in self._cancelled:
            raise WorkCancelled

    def _perform(self, message: dict[str, Any], mapped: MappedFile) -> dict[str, Any]:
        progress = _Reporter(message["id"], self._send, self._check)
        if message["kind"] == "load":
            return {"result": self._load(message, progress)}
        method = self._method(message["kind"])
        arrays = message.get("arrays")  # an explain may have none
        volumes = open_request(mapped, arrays) if arrays is not None else {}
        return _answer(method(volumes, message["options"], progress), message["output"])

    def _load(self, message: dict[str, Any], progress: Progress) -> dict[str, Any]:
        self._isLoaded = False
        if self._engine is None:
            self._engine = self._makeEngine()
        loaded = self._engine.load(message["bundle"], message["device"], progress)
        self._isLoaded = True
        return loaded if isinstance(loaded, dict) else {}

    def _method(self, kind: str) -> Callable[..., Any]:
        if self._engine is None or not self._isLoaded:
            raise WorkerError("no model is loaded in the grading process", remedy="load one first")
        method = getattr(self._engine, kind, None)
        if method is None:
            raise WorkerError(f"this engine has no {kind}")
        return cast("Callable[..., Any]", method)


def _answer(result: Any, output: str) -> dict[str, Any]:
    if not isinstance(result, dict):
        raise WorkerError(f"the engine answered with {type(result).__name__} and not with a dictionary")
    arrays = result.get("arrays")
    if isinstance(arrays, Mapping) and arrays and all(isinstance(a, np.ndarray) for a in arrays.values()):
        rest = {key: value for key, value in result.items() if key != "arrays"}
        return {"result": rest, "arrays": write_output(output, arrays)}
    return {"result": result}


def _close(mapped: MappedFile) -> None:
    """Lets go of the images before the answer; an engine's reference cycles may hold on to views."""
    if not mapped.close():
        gc.collect()
        mapped.close()


class _Reporter:
    """Sends progress, not more often than anybody can see it, and looks for a cancellation."""

    def __init__(
        self, identifier: int, send: Callable[[Mapping[str, Any]], None], check: Callable[[int], None]
    ) -> None:
        self._identifier = identifier
        self._send = send
        self._check = check
        self._stage = ""
        self._next = 0.0

    def __call__(self, stage: str, fraction: float = 0.0, message: str = "") -> None:
        self._check(self._identifier)
        now = time.monotonic()
        if stage == self._stage and now < self._next and fraction < 1:
            return
        self._stage, self._next = stage, now + _PROGRESS_SECONDS
        event = {"event": "progress", "id": self._identifier, "stage": str(stage), "message": str(message)}
        self._send({**event, "fraction": _bounded(fraction)})


def _bounded(fraction: float) -> float:
    value = float(fraction)
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def import_engine(name: str) -> Engine:
    """The engine of a dotted name, ``package.module:factory``.

    Raises:
        WorkerError: there is no such thing.
    """
    module, _, factory = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError, ValueError) as error:
        problem = f"the engine {name} cannot be loaded ({error})"
        raise memory_error(str(error)) or WorkerError(problem, remedy="install the module again") from error
    return cast("Engine", made)


def take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output as private binary streams; 0 is empty from now on and 1 goes to 2.

    Prints of Python and of native libraries then cannot get between two events, and nobody else
    can read a request away. The new descriptors are not inherited by processes started from here.
    """
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the child; ``python -m GliomaGradingLib.worker``."""
    requests, answers = take_streams()
    options = _parser().parse_args(arguments)
    if options.die_with_parent:
        parent.die_with_parent()
    if options.client:
        parent.watch_parent(options.client, os._exit)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which then decides
    answers.write(b"\n")  # ends whatever was printed before this process took the stream
    channel = Channel(answers, os._exit)
    # os._exit: interpreters that hold torch can take seconds to end, or hang.
    Server(lambda: import_engine(options.engine), requests, channel, os._exit, options.debug).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m GliomaGradingLib.worker", description=__doc__)
    parser.add_argument("--engine", required=True, help="dotted name, package.module:factory")
    parser.add_argument("--client", type=int, default=0, help="process id of the client")
    parser.add_argument("--die-with-parent", action="store_true", help="be killed with the parent (Linux)")
    parser.add_argument("--debug", action="store_true", help="tracebacks in errors")
    return parser
