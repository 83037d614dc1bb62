"""Which widget shows which type, and how it is read, written and listened to."""

from __future__ import annotations

import abc
import dataclasses
import enum
import pathlib

import ctk
import qt
import slicer

from .util import findFirstAnnotation, getNodeTypes, isNodeOrUnionOfNodes, splitAnnotations, unannotatedType
from .validators import Choice, Maximum, Minimum, WithinRange

__all__ = ["Decimals", "GuiConnector", "SingleStep", "createGuiConnector", "parameterNodeGuiConnector"]
_registered = []


@dataclasses.dataclass
class Decimals:
    value: int


@dataclasses.dataclass
class SingleStep:
    value: float


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: registers a connector."""

    def register(cls):
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createGuiConnector(widget, datatype):
    for connector in _registered:
        if connector.canRepresent(widget, datatype):
            return connector.create(widget, datatype)
    raise RuntimeError(f"Unable to create GUI connector from '{datatype}' to widget type '{type(widget)}'")


class GuiConnector(abc.ABC):
    """One widget for one parameter."""

    def __init__(self):
        self._callback = None

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget, datatype):
        """Whether this connector is for the pair."""

    @staticmethod
    @abc.abstractmethod
    def create(widget, datatype):
        """A connector for the pair."""

    def onChanged(self, callback):
        if callback is None:
            self._disconnect()
        self._callback = callback
        if callback is not None:
            self._connect()

    def changed(self):
        if self._callback:
            self._callback()

    @abc.abstractmethod
    def widget(self):
        """The widget."""

    @abc.abstractmethod
    def read(self):
        """The widget's value."""

    @abc.abstractmethod
    def write(self, value):
        """Shows a value."""


class _Connector(GuiConnector):
    """A widget whose attribute ``attribute`` is the value and whose signal is ``signal``."""

    widgets = ()
    types = ()
    signal = ""
    attribute = ""

    def __init__(self, widget, datatype):
        super().__init__()
        self._widget = widget
        self._type = unannotatedType(datatype)
        self._annotations = splitAnnotations(datatype)[1]
        self._prepare()

    @classmethod
    def canRepresent(cls, widget, datatype):
        return type(widget) in cls.widgets and unannotatedType(datatype) in cls.types

    @classmethod
    def create(cls, widget, datatype):
        return cls(widget, datatype)

    def _prepare(self):
        """Sets the widget up for the type's annotations."""

    def _connect(self):
        getattr(self._widget, self.signal).connect(self._on_signal)

    def _disconnect(self):
        if self._callback:
            getattr(self._widget, self.signal).disconnect(self._on_signal)

    def _on_signal(self, *values):
        self.changed()

    def widget(self):
        return self._widget

    def read(self):
        return getattr(self._widget, self.attribute)

    def write(self, value):
        setattr(self._widget, self.attribute, value)


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(_Connector):
    widgets, types, signal, attribute = (qt.QCheckBox,), (bool,), "toggled", "checked"


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(_Connector):
    widgets, types = (qt.QPushButton, ctk.ctkCheckablePushButton), (bool,)
    signal, attribute = "toggled", "checked"

    def _prepare(self):
        self._widget.checkable = True


class _Range(_Connector):
    """A number within bounds."""

    signal, attribute = "valueChanged", "value"
    lowest, highest = -(2**31), 2**31 - 1

    def _prepare(self):
        for annotation, attribute in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            found = findFirstAnnotation(self._annotations, annotation)
            if found:
                setattr(self._widget, attribute, found.value)
        within = findFirstAnnotation(self._annotations, WithinRange)
        low = within or findFirstAnnotation(self._annotations, Minimum)
        high = within or findFirstAnnotation(self._annotations, Maximum)
        if isinstance(self._widget, (qt.QSlider, ctk.ctkSliderWidget)) and not (low and high):
            raise RuntimeError("Cannot have a connection to a slider where the number is unbounded.")
        self._widget.minimum = low.minimum if low else self.lowest
        self._widget.maximum = high.maximum if high else self.highest


@parameterNodeGuiConnector
class QSliderOrSpinBoxToIntConnector(_Range):
    widgets, types = (qt.QSlider, qt.QSpinBox), (int,)


@parameterNodeGuiConnector
class QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector(_Range):
    widgets, types = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget), (float, int)
    lowest, highest = float("-inf"), float("inf")

    def read(self):
        return self._type(self._widget.value)


@parameterNodeGuiConnector
class QComboBoxToStringableConnector(_Connector):
    widgets, types, signal = (qt.QComboBox, ctk.ctkComboBox), (int, float, str, bool), "currentIndexChanged"

    def _prepare(self):
        choice = findFirstAnnotation(self._annotations, Choice)
        if choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        self._choices = list(choice.choices)
        self._widget.clear()
        self._widget.addItems([str(one) for one in self._choices])

    def read(self):
        return self._choices[self._widget.currentIndex]

    def write(self, value):
        self._widget.currentIndex = self._choices.index(value)


@parameterNodeGuiConnector
class QComboBoxToEnumConnector(QComboBoxToStringableConnector):
    @classmethod
    def canRepresent(cls, widget, datatype):
        plain = unannotatedType(datatype)
        return type(widget) in cls.widgets and isinstance(plain, type) and issubclass(plain, enum.Enum)

    def _prepare(self):
        label = getattr(self._type, "label", lambda one: one.name)
        self._choices = list(self._type)
        self._widget.clear()
        self._widget.addItems([label(one) for one in self._choices])


@parameterNodeGuiConnector
class QLineEditToStrConnector(_Connector):
    widgets, types, signal, attribute = (qt.QLineEdit,), (str,), "textChanged", "text"


@parameterNodeGuiConnector
class QLabelToStrConnector(_Connector):
    widgets, types, attribute = (qt.QLabel,), (str,), "text"

    def _connect(self):
        pass

    _disconnect = _connect


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(_Connector):
    widgets, types, signal, attribute = (qt.QTextEdit,), (str,), "textChanged", "plainText"


PATHS = (pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(_Connector):
    widgets, types, signal, attribute = (ctk.ctkPathLineEdit,), PATHS, "currentPathChanged", "currentPath"

    def read(self):
        return self._type(super().read())

    def write(self, value):
        super().write(str(value))


@parameterNodeGuiConnector
class ctkDirectoryButtonToPathConnector(ctkPathLineEditToPathConnector):
    widgets, signal, attribute = (ctk.ctkDirectoryButton,), "directoryChanged", "directory"


@parameterNodeGuiConnector
class qMRMLNodeComboBoxToNodeConnector(_Connector):
    widgets, signal = (slicer.qMRMLNodeComboBox,), "currentNodeChanged"

    @classmethod
    def canRepresent(cls, widget, datatype):
        return type(widget) in cls.widgets and isNodeOrUnionOfNodes(datatype)

    def __init__(self, widget, datatype):
        widget.nodeTypes = getNodeTypes(datatype)
        super().__init__(widget, datatype)

    def read(self):
        return self._widget.currentNode()

    def write(self, value):
        self._widget.setCurrentNode(value)
