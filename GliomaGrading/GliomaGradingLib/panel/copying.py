"""Copying what labels say: the plain text, without the places that were put in to break long paths at."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from . import text


def offer_copy(label: Any) -> None:
    """A menu entry and the usual keys; they copy what is selected, or all of it, in place of Qt's own."""
    action = qt.QAction(_("Copy"), label)
    action.setShortcut(qt.QKeySequence(qt.QKeySequence.Copy))
    action.setShortcutContext(qt.Qt.WidgetShortcut)
    action.connect("triggered(bool)", lambda *_checked: copy(label))
    label.addAction(action)
    label.setContextMenuPolicy(qt.Qt.ActionsContextMenu)


def copy(label: Any) -> None:
    qt.QApplication.clipboard().setText(text.plain(label.selectedText or label.text))
