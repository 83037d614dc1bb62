"""Exceptions that nobody caught: in slots, observers, timers, threads. Slicer prints them; a test must fail."""

from __future__ import annotations

import sys
import threading
import traceback
from types import TracebackType


class Failures:
    """Collects what reaches the interpreter's exception hooks."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._previous = (sys.excepthook, threading.excepthook)

    def install(self) -> None:
        sys.excepthook = self._on_exception
        threading.excepthook = lambda one: self._on_exception(one.exc_type, one.exc_value, one.exc_traceback)

    def uninstall(self) -> None:
        sys.excepthook, threading.excepthook = self._previous

    def add(self, text: str) -> None:
        self.found.append(text)

    def take(self) -> list[str]:
        """What was found since the last call."""
        found, self.found = self.found, []
        return found

    def _on_exception(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(text, file=sys.stderr)
        self.add(text)
