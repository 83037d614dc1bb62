"""The command line: ``glioma-grading COMMAND ...``, or ``python -m GliomaGradingLib COMMAND ...``."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from .. import __version__
from ..errors import GliomaGradingError
from ..words import DISCLAIMER

COMMANDS = {
    "grade": "grade one case",
    "sample": "write the synthetic sample case",
    "models": "list or verify the model bundles",
    "prepare": "make training data of patients with known grades",
    "train": "train transfer models under a protocol, or the ones of a bundle",
    "evaluate": "figures, tables and plots of a finished training study",
    "doctor": "what is installed, what is missing, what to do about it",
}
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """argparse with this project's form of an error message: one line, and what to do."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}: see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status (0 done, 1 unexpected, 2 wrong input, 3 bundle, 130 interrupted)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser(arguments).parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("error: interrupted: nothing was left half-written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; say nothing more, not even at interpreter shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except GliomaGradingError as error:
        return _failed(error, error.exit_status, options.debug)
    except Exception as error:  # whatever it is, the user gets one line
        return _failed(error, 1, options.debug)


def _failed(error: Exception, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    text = str(error) if isinstance(error, GliomaGradingError) else _unexpected(error)
    print(f"error: {text}", file=sys.stderr)
    return status


def _unexpected(error: Exception) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{what}: run again with --debug and report what it prints"


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the chosen command's module is imported, so that help and errors come at once."""
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
    return parser
