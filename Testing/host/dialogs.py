"""Modal dialogs without anybody to click: answered from a queue, never shown.

host.dialogs.answer(qt.QMessageBox.Yes)                 # the next dialog
host.dialogs.answer(lambda dialog: qt.QMessageBox.No)   # looks at it first
host.dialogs.shown[-1].text
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from PySide6 import QtWidgets

from .failures import Failures

STATIC = {  # class -> static functions that show a dialog, and what they return when it is cancelled
    QtWidgets.QMessageBox: dict.fromkeys(
        ("about", "critical", "information", "question", "warning"), QtWidgets.QMessageBox.Cancel
    ),
    QtWidgets.QFileDialog: {
        "getExistingDirectory": "",
        "getOpenFileName": ("", ""),
        "getOpenFileNames": ([], ""),
        "getSaveFileName": ("", ""),
    },
    QtWidgets.QInputDialog: {
        "getText": ("", False),
        "getInt": (0, False),
        "getDouble": (0.0, False),
        "getItem": ("", False),
    },
}


class Shown(NamedTuple):
    """A dialog that would have been shown."""

    kind: str
    title: str
    text: str


class Dialogs:
    """The queue of answers and the record of dialogs."""

    def __init__(self, failures: Failures) -> None:
        self.shown: list[Shown] = []
        self.waiting: deque[Any] = deque()
        self._failures = failures

    def answer(self, *answers: Any) -> None:
        """Queues answers: the values returned, or functions of the dialog that return them."""
        self.waiting.extend(answers)

    def clear(self) -> None:
        self.shown, self.waiting = [], deque()

    def install(self) -> None:
        """Takes the place of ``exec`` and of the static functions; for good, in this process."""
        for name in dir(QtWidgets):
            cls = getattr(QtWidgets, name)
            if isinstance(cls, type) and issubclass(cls, QtWidgets.QDialog):
                cls.exec = cls.exec_ = lambda dialog, *rest: self._exec(dialog)
        for cls, functions in STATIC.items():
            for name, cancelled in functions.items():
                setattr(cls, name, staticmethod(self._static(f"{cls.__name__}.{name}", cancelled)))

    def _exec(self, dialog: Any) -> int:
        kind = type(dialog).__name__
        text = getattr(dialog, "text", "") or " ".join(
            label.text for label in dialog.findChildren(QtWidgets.QLabel) if label.text
        )
        cancelled = QtWidgets.QMessageBox.Cancel if isinstance(dialog, QtWidgets.QMessageBox) else 0
        # A bare QDialog may close itself (slicer.util.delayDisplay): nobody needs to answer it.
        return self._settle(Shown(kind, dialog.windowTitle, text), dialog, cancelled, kind != "QDialog")

    def _static(self, kind: str, cancelled: Any) -> Callable[..., Any]:
        def show(parent: Any = None, title: str = "", text: str = "", *rest: Any, **named: Any) -> Any:
            return self._settle(Shown(kind, str(title), str(text)), None, cancelled, True)

        return show

    def _settle(self, shown: Shown, dialog: Any, cancelled: Any, needed: bool) -> Any:
        self.shown.append(shown)
        if self.waiting:
            answer = self.waiting.popleft()
            return answer(dialog) if callable(answer) else answer
        if needed:
            self._failures.add(f"a modal dialog that nobody answers: {shown}")
        return cancelled
