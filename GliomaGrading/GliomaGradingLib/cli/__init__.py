"""The command line: ``glioma-grading COMMAND ...``, or ``python -m GliomaGradingLib COMMAND ...``."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn, TextIO

from .. import __version__
from ..errors import GliomaGradingError, UsageError, printable, tells_of_no_memory
from ..words import DISCLAIMER
from .packages import missing

COMMANDS = {
    "grade": "grade one case",
    "batch": "grade a cohort: a folder of cases in a known layout, or a table of them",
    "sample": "write the synthetic sample case",
    "calibrate": "fit a bundle's probabilities to a graded cohort of your own with known grades",
    "models": "list or verify the model bundles",
    "prepare": "make training data of patients with known grades",
    "train": "train transfer models under a protocol, or the ones of a bundle",
    "evaluate": "figures, tables and plots of a finished training study",
    "doctor": "what is installed, what is missing, what to do about it",
}
INTERRUPTED = 130
LONGEST_PATH = 1000
"""Characters of a path that a message shows."""


class Parser(argparse.ArgumentParser):
    """argparse with this project's form of an error message: one line, and what to do.

    Options have to be written in full: another command's option, cut short, would be taken for one of ours.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        print(f"error: {printable(message)}: see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status (0 done, 1 unexpected, 2 wrong input, 3 bundle, 130 interrupted)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if any("\0" in argument for argument in arguments):
        print("error: an argument has a null character: give a path without one", file=sys.stderr)
        return UsageError.exit_status
    debug = "--debug" in arguments
    _make_streams_usable()
    return _written_out(_run(arguments, debug), debug)


def _run(arguments: Sequence[str], debug: bool) -> int:
    try:
        options = _options(arguments)
        with native_silence(debug):
            return int(options.run(options))
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("error: interrupted: nothing was left half-written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _say_nothing_more()
        return 1
    except GliomaGradingError as error:
        return _failed(error, error.exit_status, debug)
    except OSError as error:
        known = _file_error(error)
        return _failed(known or error, known.exit_status if known else 1, debug)
    except ModuleNotFoundError as error:
        return _failed(missing(error) or error, 1, debug)
    except Exception as error:  # whatever it is, the user gets one line
        return _failed(error, 1, debug)


def _written_out(status: int, debug: bool) -> int:
    """The exit status once standard output has all that was printed, which may still lie in its buffer.

    Where that fails when the interpreter ends, Python says so in its own words and with its own status.
    """
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _say_nothing_more()
        return status or 1
    except OSError as error:
        _say_nothing_more()
        if status:
            return status  # what was wrong has been said
        error.filename = "standard output"
        known = _file_error(error)
        return _failed(known or error, known.exit_status if known else 1, debug)
    return status


def _say_nothing_more() -> None:
    """Not even at interpreter shutdown: standard output has no reader, or no room."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _make_streams_usable() -> None:
    """Texts may have letters that standard output has no code for; and standard error may be closed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


@contextmanager
def native_silence(debug: bool = False) -> Iterator[None]:
    """Nothing but Python writes to standard error: libraries in C++ print their own errors there.

    ITK's readers do so with every damaged file, beside the one line that the user is promised.
    """
    if debug:
        yield
        return
    sys.stderr.flush()
    if not _is_open(2):
        yield
        return
    kept, python = os.dup(2), sys.stderr
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    if _writes_to(python, 2):
        copy = os.dup(kept)
        sys.stderr = os.fdopen(copy, "w", encoding=python.encoding, errors="backslashreplace", buffering=1)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python
        os.dup2(kept, 2)
        os.close(kept)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _writes_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        return False


def _file_error(error: OSError) -> GliomaGradingError | None:
    """What the file system refuses, in words; None for what is no such thing."""
    remedies = {
        errno.EACCES: "change its permissions, or choose another place",
        errno.EPERM: "change its permissions, or choose another place",
        errno.EROFS: "choose a place that you may write to",
        errno.ENOSPC: "make room there, or choose another place",
        errno.EDQUOT: "make room there, or choose another place",
        errno.EFBIG: "make room there, or choose another place",
        errno.ENAMETOOLONG: "choose a shorter path",
        errno.ELOOP: "remove the link that leads back to itself",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
        errno.EISDIR: "give a file, not a folder",
        errno.EEXIST: "choose another name",
        errno.EIO: "check the disk",
    }
    if error.errno not in remedies:
        return None
    where = str(error.filename or "")
    problem = str(error.strerror or error)
    return UsageError(problem[:1].lower() + problem[1:], where[:LONGEST_PATH], remedies[error.errno])


def _failed(error: Exception, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    text = str(error) if isinstance(error, GliomaGradingError) else _unexpected(error)
    print(f"error: {text}", file=sys.stderr)
    return status


def _unexpected(error: Exception) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    if tells_of_no_memory(what):
        return f"memory ran out ({what}): close other programs, and try again"
    return f"{what}: run again with --debug and report what it prints"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser, commands = _parser(arguments)
    options, rest = parser.parse_known_args(arguments)
    if rest:  # argparse would point to the help that lists the commands, not to that of this one
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser(arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, Any]:
    """The parser and its commands; only the chosen one's module is imported: help and errors come at once."""
    parser = Parser(
        prog="glioma-grading",
        description=f"Grade glioma (LGG or HGG) from T1, T2 and FLAIR. {DISCLAIMER}",
    )
    parser.add_argument("--version", action="version", version=f"glioma-grading {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}. {DISCLAIMER}")
        command.add_argument("--debug", action="store_true", help="print a traceback with an error")
        if name == chosen:
            module = import_module(f".{name}", __name__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser, commands
