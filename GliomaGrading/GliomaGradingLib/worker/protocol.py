"""The protocol between Slicer's process (the client) and the grading process (the child).

Version 1. JSON lines: one JSON object a line, UTF-8 (written as ASCII with escapes, so that file
names in any encoding survive), at most ``MAX_LINE`` bytes with its newline, no NaN and no Infinity.
Requests go to the child's standard input, events come from its standard output; there are no
sockets. The child moves its standard output out of the way of ``print`` and of libraries before it
imports anything large, so whatever they print goes to standard error. The client skips lines that
are no events. Nothing is ever pickled.

Requests, by ``kind``; ``id`` is a whole number that the client has not used before:

========  ===================================  ===================================================
kind      members                              answer
========  ===================================  ===================================================
hello     id, version                          ready {id, version, pid, python}, or error
load      id, bundle (text or null), device    result {id, result: what the engine says of itself}
grade     id, arrays, output, options          result {id, result[, arrays]}
explain   id, arrays, output, options          result {id, result[, arrays]} (saliency)
report    id, arrays, output, options          result {id, result, arrays: bytes of files by name}
cancel    id of the request to end             that request's answer; nothing for an unknown id
ping      id                                   result {id, result: {"busy": bool}}, at any time
shutdown  none                                 bye, then the child ends
========  ===================================  ===================================================

``arrays`` of explain may be null: then the case is meant whose grade request had the id
``options.graded``, if that is the last one graded and its ``options.job`` said so.

Every request with an id ends in exactly one of ready, result, error or cancelled, after any number
of progress events. Load, grade, explain and report are done one after the other, in the order of arrival.

Events, by ``event``:

=========  =======================================================================================
event      members
=========  =======================================================================================
ready      id, version, pid, python
progress   id, stage (a short stable word), fraction (0 to 1, of the whole), message (for people)
result     id, result (object), arrays (object, see below; only where there are some)
error      id (null where the request had none), kind (class of the error), problem, where, remedy,
           exit_status (of the command line for such an error), traceback (only with --debug)
cancelled  id
bye        none
=========  =======================================================================================

Arrays: ``arrays`` of a request is ``{"path": FILE, "size": BYTES, "volumes": {NAME: VOLUME}}`` with
``VOLUME = {"dtype": "<i2", "shape": [K, J, I], "offset": BYTES, "spacing": [3, mm along I, J, K],
"origin": [3, mm, LPS], "direction": [[3], [3], [3]], "source": TEXT}``. FILE holds the voxels raw,
little-endian, in C order, in a folder that only this user may enter. The child maps it read-only and
has closed it before it answers; the client removes file and folder, whatever happens. Where the
system allows it, the child takes the file's name away as soon as it is mapped, so that no image
stays on the disk even if both processes are killed. Arrays of a result are written by the child to
the file ``output``, which the client named, and described by ``arrays`` of the event:
``{NAME: {"dtype", "shape", "offset"}}``.

The child ends when its standard input ends or when its parent is gone. A request to cancel is
looked at between two stages of the work; the client kills a child that does not get there in time.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ..errors import BundleError, CaseError, GliomaGradingError, UsageError, tells_of_no_memory

VERSION = 1
MAX_LINE = 1 << 20
"""Bytes of the longest line, with its newline."""

WORK = ("load", "grade", "explain", "report")
"""Requests that are done one after the other."""

KINDS = ("hello", *WORK, "cancel", "ping", "shutdown")
EVENTS = ("ready", "progress", "result", "error", "cancelled", "bye")
ANSWERS = ("ready", "result", "error", "cancelled")
"""Events that end a request."""

_GRAPHICS = re.compile(r"cuda|cudnn|cublas|device-side|no kernel image|accelerator", re.I)
"""What errors of graphics cards say. Most of them make every later computation fail, too."""

_MAX_TEXT = 4_000
_MAX_TRACEBACK = 20_000


class WorkerError(GliomaGradingError):
    """The grading process could not be started, ended, or did not answer.

    ``details`` are the last lines that it wrote to its standard error, oldest first.
    """

    details: tuple[str, ...] = ()


class ProcessEnded(WorkerError):
    """The grading process ended by itself, and what it kept ended with it."""


class SlicesGone(WorkerError):
    """The grading process no longer keeps the slices of the case that is to be explained."""


class UnexpectedError(WorkerError):
    """The grading process met an error that nobody foresaw: who knows what it is still good for."""


class ProtocolError(WorkerError):
    """A line is no message of the protocol."""


class GradingCancelled(WorkerError):
    """Somebody cancelled the work that is waited for."""

    exit_status = 130


_KNOWN_ERRORS: dict[str, type[GliomaGradingError]] = {
    cls.__name__: cls
    for cls in (GliomaGradingError, UsageError, CaseError, BundleError, WorkerError, SlicesGone, ProtocolError)
}


def encode(message: Mapping[str, Any]) -> bytes:
    """One line of the protocol.

    Raises:
        ProtocolError: the message holds something that JSON cannot, or is too long.
    """
    try:
        text = json.dumps(message, allow_nan=False, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"the message cannot be written as JSON ({error})") from None
    line = text.encode("ascii") + b"\n"
    if len(line) > MAX_LINE:
        raise ProtocolError(f"the message has {len(line)} bytes and may have {MAX_LINE}")
    return line


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's; known by their manners, so that this module needs no numpy."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def decode(line: bytes) -> dict[str, Any]:
    """The message of one line.

    Raises:
        ProtocolError: the line is not one JSON object in UTF-8, or holds NaN or Infinity.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a line is not JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise ProtocolError("a line is not a JSON object")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def read_lines(stream: BinaryIO, limit: int = MAX_LINE) -> Iterator[bytes | None]:
    """Lines until the stream ends; None stands for one that is longer than ``limit`` bytes."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit:
            yield line
        else:
            _skip_line(stream, line, limit)
            yield None


def _skip_line(stream: BinaryIO, line: bytes, limit: int) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(limit)


def check_request(message: Mapping[str, Any]) -> None:
    """Refuses a request whose members are not those of its kind.

    Raises:
        ProtocolError: says which member is wrong.
    """
    kind = message.get("kind")
    if kind not in KINDS:
        raise ProtocolError(f"kind is {_shown(kind)} and not one of {', '.join(KINDS)}")
    if kind != "shutdown" and request_id(message) is None:
        raise ProtocolError(f"id of {kind} is {_shown(message.get('id'))} and not a whole number")
    for name, allowed in _MEMBERS.get(kind, {}).items():
        if not isinstance(message.get(name), allowed):
            raise ProtocolError(f"{name} of {kind} is {_shown(message.get(name))}")


_MEMBERS: dict[str, dict[str, tuple[type, ...]]] = {
    "hello": {"version": (int,)},
    "load": {"bundle": (str, type(None)), "device": (str,)},
    "grade": {"arrays": (dict,), "output": (str,), "options": (dict,)},
    "explain": {"arrays": (dict, type(None)), "output": (str,), "options": (dict,)},
    "report": {"arrays": (dict,), "output": (str,), "options": (dict,)},
}


def request_id(message: Mapping[str, Any]) -> int | None:
    value = message.get("id")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def error_event(error: BaseException, identifier: int | None, debug: bool = False) -> dict[str, Any]:
    """The event that tells the client about ``error``."""
    known = error if isinstance(error, GliomaGradingError) else _explained(error)
    event = {
        "event": "error",
        "id": identifier,
        "kind": _class_name(error),
        "problem": known.problem[:_MAX_TEXT],
        "where": known.where[:_MAX_TEXT],
        "remedy": known.remedy[:_MAX_TEXT],
        "exit_status": known.exit_status,
    }
    if debug:
        event["traceback"] = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    return event


def _class_name(error: BaseException) -> str:
    """The class that the client knows it by: a CaseError stays one, whatever it is called here."""
    names = [cls.__name__ for cls in type(error).__mro__]
    return next((name for name in names if name in _KNOWN_ERRORS), names[0])


def _explained(error: BaseException) -> WorkerError:
    """Says what a user can do about an error that nobody foresaw."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if known := memory_error(text):
        return known
    problem = f"the grading process met an unexpected error ({text})"
    if _GRAPHICS.search(text):
        remedy = "grade again; if it comes back, choose the device cpu: under Advanced, or by --device cpu"
        return WorkerError(problem, remedy=remedy)
    return WorkerError(problem, remedy="grade again; if it comes back, report it with this message")


def memory_error(text: str) -> WorkerError | None:
    """What to say where a message is one of too little memory, whoever it came from; None where it is not."""
    if not tells_of_no_memory(text):
        return None
    return WorkerError(
        f"memory ran out in the grading process ({text})",
        remedy="close other programs, or choose the CPU instead of a graphics card, and grade again",
    )


def error_from_event(event: Mapping[str, Any]) -> GliomaGradingError:
    """The error that ``error_event`` described; of an unknown class it becomes an UnexpectedError."""
    cls = _KNOWN_ERRORS.get(str(event.get("kind")), UnexpectedError)
    problem, where, remedy = (str(event.get(name, "")) for name in ("problem", "where", "remedy"))
    error = cls(problem or "the grading process reports an error without words", where, remedy)
    if isinstance(error, WorkerError) and event.get("traceback"):
        error.details = tuple(str(event["traceback"]).splitlines())
    return error
