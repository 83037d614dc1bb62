"""The class decorator ``parameterNodeWrapper``."""

from __future__ import annotations

import typing
import weakref

import qt
import slicer
import vtk

from .default import Default, extractDefault
from .guiConnectors import GuiConnector, createGuiConnector
from .serializers import createSerializer
from .util import splitAnnotations

__all__ = [
    "SlicerParameterNamePropertyName",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
SlicerParameterNamePropertyName = "SlicerParameterName"


class ParameterInfo(typing.NamedTuple):
    basename: str
    serializer: typing.Any
    default: Default
    unalteredType: typing.Any


class _Parameter:
    """One parameter in one node; its value is kept and read anew when the node changes."""

    def __init__(self, info, node, prefix):
        self.info, self.node, self.name = info, node, f"{prefix or ''}{info.basename}"
        if not info.serializer.isIn(node, self.name):
            self.write(info.default.value)
        self._cached = info.serializer.supportsCaching()
        if self._cached:
            self._value = self._load()
            self._observe()

    def _observe(self):
        weak = weakref.ref(self)  # an observer must not keep this object alive

        def update(caller, event):
            if (alive := weak()) is not None:
                alive._value = alive._load()

        tag = self.node.AddObserver(vtk.vtkCommand.ModifiedEvent, update)
        weakref.finalize(self, self.node.RemoveObserver, tag)

    def _load(self):
        if not self.info.serializer.isIn(self.node, self.name):
            self.info.serializer.write(self.node, self.name, self.info.default.value)
        return self.info.serializer.read(self.node, self.name)

    def read(self):
        return self._value if self._cached else self._load()

    def write(self, value):
        with slicer.util.NodeModify(self.node):  # observers are told after the value is read back
            self.info.serializer.write(self.node, self.name, value)
            self._value = self._load()


def _parameter_info(classtype, name, datatype):
    plain, annotations = splitAnnotations(datatype)
    default, annotations = extractDefault(annotations)
    serializer, _ = createSerializer(plain, annotations)
    if name in vars(classtype):
        default = Default(vars(classtype)[name])
    return ParameterInfo(name, serializer, default or Default(generator=serializer.default), datatype)


class _Methods:
    """What the decorator adds to the class."""

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode = parameterNode
        self._parameters = {
            name: _Parameter(info, parameterNode, prefix) for name, info in self.allParameters.items()
        }
        self._guis = {}
        self._nextGuiTag = 0
        self._updatingGUIFromParameterNode = False

    def _parameter(self, name):
        if name not in self._parameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self._parameters[name]

    def default(self, name):
        return self._parameter(name).info.default

    def isCached(self, name):
        return self._parameter(name)._cached

    def getValue(self, name):
        return self._parameter(name).read()

    def setValue(self, name, value):
        self._parameter(name).write(value)

    def connectGui(self, gui):
        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else vars(gui).values()
        named = ((widget.property(SlicerParameterNamePropertyName), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping):
        connectors = {
            name: one if isinstance(one, GuiConnector) else createGuiConnector(one, self.dataType(name))
            for name, one in mapping.items()
        }
        tag = self._nextGuiTag
        self._nextGuiTag += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._guiCallback(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._updateGUI())
        return tag

    def _guiCallback(self, name, connector):
        def callback():
            if not self._updatingGUIFromParameterNode:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return callback

    def _updateGUI(self):
        if self._updatingGUIFromParameterNode:
            return
        self._updatingGUIFromParameterNode = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in list(self._guis.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updatingGUIFromParameterNode = False

    def disconnectGui(self, guiTag):
        for connector in self._guis.pop(guiTag, {}).values():
            connector.onChanged(None)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()


def _property(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _wrap(classtype):
    hints = typing.get_type_hints(classtype, include_extras=True)
    infos = {name: _parameter_info(classtype, name, datatype) for name, datatype in hints.items()}
    for name in infos:
        setattr(classtype, name, _property(name))
    for name, member in vars(_Methods).items():
        if not name.startswith("__") or name == "__init__":
            if name != "__init__" and hasattr(classtype, name):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, member)
    classtype.allParameters = infos
    classtype.dataType = staticmethod(lambda name: infos[name].unalteredType)
    classtype._is_parameter_node_wrapper = True
    return classtype


def parameterNodeWrapper(classtype=None):
    """Class decorator: the annotated members become typed parameters of a vtkMRMLScriptedModuleNode."""
    return _wrap if classtype is None else _wrap(classtype)


def isParameterNodeWrapper(classOrObj):
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    children = widget.findChildren(qt.QWidget)
    return next((one for one in children if one.property(SlicerParameterNamePropertyName) == parameter), None)
