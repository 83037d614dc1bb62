"""Stand-ins for the widgets of CTK that scripted modules use most."""

from __future__ import annotations

import sys
import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal

from .standins import STANDINS, plain, standin, value

HEADER = 24  # height of a collapsible button's header, px


def tight(layout: QtWidgets.QLayout) -> QtWidgets.QLayout:
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


class Folding:
    """Hides a container's children while it is collapsed, and shows again those it has hidden."""

    def __init__(self, container: QtWidgets.QWidget) -> None:
        self.container = container
        self.hidden: list[QtWidgets.QWidget] = []

    def fold(self) -> None:
        shown = [child for child in self.container.findChildren(QtWidgets.QWidget) if self._own(child)]
        for child in shown:
            child.hide()
        self.hidden += shown

    def unfold(self) -> None:
        for child in self.hidden:
            child.show()
        self.hidden = []

    def _own(self, child: QtWidgets.QWidget) -> bool:
        return child.parentWidget() is self.container and not child.isHidden() and not child.isWindow()


@standin
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that folds its contents away; checked means unfolded."""

    contentsCollapsed = Signal(bool)
    _folding: Folding | None = None

    def __init__(self, *arguments: Any) -> None:
        parents = [one for one in arguments if isinstance(one, QtWidgets.QWidget)]
        super().__init__(*parents)
        self._folding = Folding(self)
        self.setText(next((one for one in arguments if isinstance(one, str)), ""))
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.MinimumExpanding, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.toggled.connect(lambda opened: self._apply(not opened))

    def _apply(self, collapsed: bool) -> None:
        if collapsed:
            self._folding.fold()
        else:
            self._folding.unfold()
        self.setMaximumHeight(HEADER if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, fold: self.setChecked(not fold))

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        if not self.isChecked():  # children that came after collapsed was set, as from a .ui file
            self._folding.fold()
        super().showEvent(event)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < HEADER

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        inner = layout.totalMinimumSize() if layout and self.isChecked() else QtCore.QSize(0, HEADER)
        return inner.expandedTo(QtCore.QSize(0, HEADER))

    def sizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        hint = layout.totalSizeHint() if layout else QtCore.QSize(120, HEADER)
        return QtCore.QSize(hint.width(), hint.height() if self.isChecked() else HEADER)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.width, HEADER)
        painter.fillRect(header, self.palette.color(QtGui.QPalette.Button))
        arrow = QtWidgets.QStyleOption()
        arrow.rect = QtCore.QRect(5, 6, 12, 12)
        arrow.palette = self.palette
        style = QtWidgets.QStyle
        element = style.PE_IndicatorArrowDown if self.isChecked() else style.PE_IndicatorArrowRight
        self.style().drawPrimitive(element, arrow, painter)
        painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(header.adjusted(23, 0, -4, 0), Qt.AlignVCenter | Qt.AlignLeft, self.text)
        painter.end()


@standin
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box whose check box folds it."""

    _folding: Folding | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folding = Folding(self)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda opened: self._apply(opened))

    def _apply(self, opened: bool) -> None:
        if opened:
            self._folding.unfold()
        else:
            self._folding.fold()
        self.setMaximumHeight(16777215 if opened else HEADER)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        if not self.isChecked():
            self._folding.fold()
        super().showEvent(event)

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, fold: self.setChecked(not fold))


@standin
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider beside a spin box, on floating point numbers."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    _slider: QtWidgets.QSlider | None = None
    _box: QtWidgets.QDoubleSpinBox | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(Qt.Horizontal, self)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = tight(QtWidgets.QHBoxLayout(self))
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._slider.valueChanged.connect(lambda step: self.setValue(self._to_value(step)))
        self._box.valueChanged.connect(lambda new: self._on_value(new))
        self._rescale()

    def _to_value(self, step: int) -> float:
        return self._box.minimum + step * self._box.singleStep

    def _rescale(self) -> None:
        span = self._box.maximum - self._box.minimum
        self._slider.setMaximum(round(span / self._box.singleStep) if self._box.singleStep else 0)
        self._show_on_slider()

    def _show_on_slider(self) -> None:
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round((self._box.value - self._box.minimum) / (self._box.singleStep or 1)))
        self._slider.blockSignals(blocked)

    def _on_value(self, new: float) -> None:
        self._show_on_slider()
        self.valueIsChanging.emit(new)
        self.valueChanged.emit(new)

    def setValue(self, new: float) -> None:
        self._box.setValue(float(new))

    def setDecimals(self, count: int) -> None:
        self._box.setDecimals(count)

    def _set_on_box(self, setter: str, new: Any) -> None:
        getattr(self._box, setter)(new)
        self._rescale()

    value = Property(float, lambda self: self._box.value, setValue)
    decimals = Property(int, lambda self: self._box.decimals, setDecimals)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._set_on_box("setMinimum", v))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._set_on_box("setMaximum", v))
    singleStep = Property(
        float, lambda self: self._box.singleStep, lambda self, v: self._set_on_box("setSingleStep", v)
    )
    suffix = Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))
    prefix = Property(str, lambda self: self._box.prefix, lambda self, v: self._box.setPrefix(v))


@standin
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path in an editable combo box with a browse button."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    # ctkPathLineEdit::Filter
    Dirs, Drives, Files, Readable, Writable, Executable, Hidden = 0x1, 0x4, 0x2, 0x10, 0x20, 0x40, 0x100
    filters = value(int, "filters", 0)
    nameFilters = value("QStringList", "nameFilters", ())
    settingKey = value(str, "settingKey", "")
    _combo: QtWidgets.QComboBox | None = None
    _browse: QtWidgets.QToolButton | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(one for one in arguments if isinstance(one, QtWidgets.QWidget)))
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)
        self._combo.setMinimumWidth(60)
        self._browse = QtWidgets.QToolButton(self)
        self._browse.setText("...")
        layout = tight(QtWidgets.QHBoxLayout(self))
        layout.addWidget(self._combo, 1)
        layout.addWidget(self._browse)
        self._combo.editTextChanged.connect(lambda path: self.currentPathChanged.emit(path))
        self._browse.clicked.connect(lambda *_: self.browse())

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(str(path))

    def browse(self) -> None:
        directories = bool(self.filters & self.Dirs)
        dialog = QtWidgets.QFileDialog
        found = dialog.getExistingDirectory(self) if directories else dialog.getOpenFileName(self)[0]
        if found:
            self.setCurrentPath(found)

    def addCurrentPathToHistory(self) -> None:
        self._combo.insertItem(0, self.currentPath)

    def retrieveHistory(self) -> None:
        pass

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    currentPath = Property(str, lambda self: self._combo.currentText, setCurrentPath)
    showBrowseButton = Property(
        bool, lambda self: not self._browse.isHidden(), lambda self, on: self._browse.setVisible(on)
    )


@standin
class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a directory."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    directory = value(str, "directory", "", signal="directoryChanged", changed="_show")
    _button: QtWidgets.QPushButton | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(one for one in arguments if isinstance(one, QtWidgets.QWidget)))
        self._button = QtWidgets.QPushButton(self)
        tight(QtWidgets.QHBoxLayout(self)).addWidget(self._button)
        self._button.clicked.connect(lambda *_: self.browse())

    def _show(self) -> None:
        self._button.setText(self.directory)

    def browse(self) -> None:
        found = QtWidgets.QFileDialog.getExistingDirectory(self)
        if found:
            self.directory = found
            self.directorySelected.emit(found)


@standin
class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A spin box on floating point numbers."""

    valueChanged = Signal(float)
    editingFinished = Signal()
    _box: QtWidgets.QDoubleSpinBox | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        tight(QtWidgets.QHBoxLayout(self)).addWidget(self._box)
        self._box.valueChanged.connect(lambda new: self.valueChanged.emit(new))
        self._box.editingFinished.connect(lambda: self.editingFinished.emit())

    def setValue(self, new: float) -> None:
        self._box.setValue(new)

    def setDecimals(self, count: int) -> None:
        self._box.setDecimals(count)

    value = Property(float, lambda self: self._box.value, setValue)
    decimals = Property(int, lambda self: self._box.decimals, setDecimals)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._box.setMinimum(v))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._box.setMaximum(v))
    singleStep = Property(float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v))
    suffix = Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))


@standin
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    def heightForWidth(self, width: int) -> int:
        document = self.document().clone()
        document.setTextWidth(width - 2 * self.frameWidth)
        return int(document.size().height()) + 2 * self.frameWidth

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, self.heightForWidth(max(self.viewport().width, 120)))

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(60, self.sizeHint().height())


@standin
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a default text for no choice."""

    defaultText = value(str, "defaultText", "", changed="_show_default")

    def _show_default(self) -> None:
        self.setPlaceholderText(self.defaultText)

    def setCurrentUserDataAsString(self, data: str) -> None:
        self.setCurrentIndex(self.findData(data))

    currentUserDataAsString = Property(
        str, lambda self: str(self.currentData or ""), setCurrentUserDataAsString
    )


plain("ctkCheckBox", QtWidgets.QCheckBox)
plain("ctkMessageBox", QtWidgets.QMessageBox)
plain("ctkPushButton", QtWidgets.QPushButton)
plain("ctkCheckablePushButton", STANDINS["ctkPushButton"])
plain("ctkMenuButton", QtWidgets.QPushButton)
plain("ctkExpandableWidget", QtWidgets.QFrame)

ctk = types.ModuleType("ctk", "Stand-ins for the Common Toolkit's widgets.")
for _name, _class in STANDINS.items():
    if _name.startswith("ctk"):
        setattr(ctk, _name, _class)
sys.modules["ctk"] = ctk
