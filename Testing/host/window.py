"""The embedded Slicer's window: the module's panel beside the slice views; and pictures of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Qt

from .standins import standin, value

PALETTES = {
    "light": {"window": "#efefef", "base": "#ffffff", "text": "#000000", "button": "#e3e3e3"},
    "dark": {"window": "#323232", "base": "#242424", "text": "#f0f0f0", "button": "#3f3f3f"},
}


def palette(name: str) -> QtGui.QPalette:
    """Colours close to Slicer's light and dark styles."""
    color = {role: QtGui.QColor(code) for role, code in PALETTES[name].items()}
    made = QtGui.QPalette(color["button"], color["window"])
    roles = QtGui.QPalette
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.ToolTipText):
        made.setColor(role, color["text"])
    made.setColor(roles.Base, color["base"])
    made.setColor(roles.AlternateBase, color["window"])
    made.setColor(roles.ToolTipBase, color["base"])
    made.setColor(roles.Highlight, QtGui.QColor("#308cc6"))
    made.setColor(roles.HighlightedText, QtGui.QColor("#ffffff"))
    faded = QtGui.QColor(color["text"])
    faded.setAlphaF(0.5)
    made.setColor(roles.PlaceholderText, faded)
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        made.setColor(roles.Disabled, role, faded)
    return made


@standin
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Chooses the module whose panel is shown."""

    selectedModule = value(str, "selectedModule", "")
    _window: Any = None

    def selectModule(self, name: str) -> None:
        self._window._show_module(slicer.util.getModule(name))
        self.selectedModule = name


@standin
class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Panel on the left, views on the right, status bar below."""

    _selector: Any = None
    _scroll: QtWidgets.QScrollArea | None = None
    _panel: Any = None

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("Embedded Slicer")
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._selector._window = self
        self._scroll = QtWidgets.QScrollArea(self)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAsNeeded)
        center = QtWidgets.QWidget(self)
        layout = QtWidgets.QHBoxLayout(center)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(self._scroll)
        layout.addWidget(slicer.app.layoutManager().viewport(), 1)
        self.setCentralWidget(center)
        self.statusBar()

    def moduleSelector(self) -> Any:
        return self._selector

    def pythonConsole(self) -> None:
        return None

    def _show_module(self, module: Any) -> None:
        panel = module.widgetRepresentation()
        if panel is self._panel:
            return
        if self._panel is not None:
            self._panel.exit()
            self._scroll.takeWidget()
        self._panel = panel
        self._scroll.setWidget(panel)
        panel.enter()

    def _release(self) -> None:
        """Gives panel and views back, so that the window can go."""
        if self._panel is not None:
            self._panel.exit()
            self._scroll.takeWidget()
        self._panel = None
        slicer.app.layoutManager().viewport().setParent(None)


def open_window(
    module: Any, width: int = 400, size: tuple[int, int] = (1280, 860), colors: str = "light"
) -> Any:
    """A window with the module's panel ``width`` px wide. ``module`` is what ``Host.load`` returns."""
    slicer.app.setPalette(palette(colors))
    window = qSlicerMainWindow()
    window._scroll.setFixedWidth(width)
    window.resize(*size)
    window.setWindowTitle(f"Embedded Slicer - {module.title}")
    try:
        window._selector.selectModule(module.name)
    except Exception:
        window._release()  # the views outlive the window
        raise
    window.show()
    slicer.app.processEvents()
    return window


def save_picture(widget: Any, path: str | Path) -> Path:
    """A widget as PNG, after its pending events."""
    slicer.app.processEvents()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"cannot write {path}")
    return Path(path)
