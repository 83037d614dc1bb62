"""``qt.QUiLoader``: a ``.ui`` file into widgets, stand-ins included."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .api_check import FORM_PROPERTIES
from .pythonqt import qt, while_loading
from .standins import STANDINS, lineage, slot_of


class QUiLoader(QtUiTools.QUiLoader):
    """Qt's loader; knows the stand-ins and wires the connections that name MRML types itself."""

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        device.seek(0)
        tree = ET.fromstring(device.readAll().data())
        for name in _known_classes(tree):
            self.registerCustomWidget(STANDINS[name])
        _spell_out_enumerations(tree)
        connections = _take_mrml_connections(tree)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(tree))
        buffer.open(QtCore.QIODevice.ReadOnly)
        with while_loading():
            widget = super().load(buffer, parent)
        for connection in connections:
            _wire(widget, connection)
        _refuse_unknown_properties(widget, tree)
        return widget


def _known_classes(tree: ET.Element) -> set[str]:
    """The stand-ins among its widgets, declared or not."""
    named = {element.text or "" for element in tree.iterfind("customwidgets/customwidget/class")}
    if unknown := sorted(named - set(STANDINS)):
        raise RuntimeError(f"the embedded Slicer has no stand-in for {', '.join(unknown)}")
    return named | {element.get("class", "") for element in tree.iter("widget")} & set(STANDINS)


def _spell_out_enumerations(tree: ET.Element) -> None:
    """Numbers for the enumerations of the stand-ins' own properties, whose names Qt does not know."""
    for widget in tree.iter("widget"):
        own = {name for entry in lineage(widget.get("class", "")) for name in entry["properties"]}
        for declared in widget.iterfind("property"):
            for element in declared if declared.get("name") in own else ():
                if element.tag in ("enum", "set"):
                    element.text = str(sum(map(_enumerator, element.text.split("|"))))
                    element.tag = "number"


def _enumerator(name: str) -> int:
    owner, _, member = name.strip().rpartition("::")
    cls = STANDINS.get(owner) or getattr(QtWidgets, owner, None) or getattr(QtCore, owner, None)
    return int(getattr(cls, member))


def _take_mrml_connections(tree: ET.Element) -> list[ET.Element]:
    # QUiLoader cannot match C++ pointer types such as vtkMRMLScene* with Python's.
    parent = tree.find("connections")
    taken = [
        one for one in (parent if parent is not None else ()) if "vtkMRML" in (one.findtext("signal") or "")
    ]
    for one in taken:
        parent.remove(one)
    return taken


def _wire(root: QtWidgets.QWidget, connection: ET.Element) -> None:
    sender, receiver = (_named(root, connection.findtext(end)) for end in ("sender", "receiver"))
    sender.connect(connection.findtext("signal"), slot_of(receiver, connection.findtext("slot")))


def _named(root: QtWidgets.QWidget, name: str | None) -> Any:
    return root if root.objectName == name else root.findChild(QtCore.QObject, name)


def _refuse_unknown_properties(root: QtWidgets.QWidget, tree: ET.Element) -> None:
    """Qt would keep a misspelt property as a dynamic one and say nothing."""
    for element in tree.iter("widget"):
        widget = _named(root, element.get("name"))
        for declared in element.iterfind("property"):
            name = declared.get("name")
            known = type(widget).staticMetaObject if widget and name not in FORM_PROPERTIES else None
            if known and declared.get("stdset") != "0" and known.indexOfProperty(name) < 0:
                raise RuntimeError(f"{element.get('class')} {element.get('name')} has no property {name}")


qt.QUiLoader = QUiLoader
