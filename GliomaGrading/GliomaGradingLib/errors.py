"""Errors whose message says what is wrong, in which file, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|(can.t|cannot|failed to|unable to) allocate|bad_alloc|bad allocation"
    r"|MemoryError|memory allocation (still )?failed|can.t start new thread|paging file is too small"
    r"|failed to map segment(?!.*not permitted)"  # of a library, while it is loaded
    r"|could not create a (primitive|memory)",  # oneDNN's, of a convolution that has run before
    re.I,
)


class GliomaGradingError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        problem: what is wrong, without a full stop.
        where: the file, folder or array it is wrong in; empty where there is none.
        remedy: what the user can do about it, without a full stop.

    ``str(error)`` is one line: ``PROBLEM, in WHERE: REMEDY``.
    """

    exit_status = 1

    def __init__(self, problem: str, where: object = "", remedy: str = "") -> None:
        self.problem = problem
        self.where = str(where)
        self.remedy = remedy
        place = f", in {self.where}" if self.where else ""
        advice = f": {remedy}" if remedy else ""
        # one line, whatever a file's name or a library's text contains
        super().__init__(printable(f"{problem}{place}{advice}", " "))

    def __reduce__(self) -> tuple[type[GliomaGradingError], tuple[str, str, str]]:
        return type(self), (self.problem, self.where, self.remedy)


class UsageError(GliomaGradingError):
    """The command, an option or an argument is wrong."""

    exit_status = 2


class CaseError(GliomaGradingError):
    """A volume, a mask or a case cannot be graded as it is."""

    exit_status = 2


class BundleError(GliomaGradingError):
    """A model bundle is missing, damaged or made for another version."""

    exit_status = 3


def printable(text: str, instead: str = "?") -> str:
    """One line, without control characters and broken names, which a terminal would obey or refuse."""
    return "".join(c if c.isprintable() else instead for c in text)


def reason(error: BaseException) -> str:
    """What went wrong, for a message: of the operating system's errors the words and the file, no number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    name = f": {Path(error.filename).name}" if isinstance(error.filename, (str, Path)) else ""
    return error.strerror[:1].lower() + error.strerror[1:] + name


def tells_of_no_memory(text: str) -> bool:
    """Whether a message is one of too little memory, whichever library or system it came from."""
    return bool(_NO_MEMORY.search(text))
