"""``slicer.app.layoutManager()``: three slice views and a 3D view, in the arrangements that are asked for.

The layouts that Slicer brings along show these four views, or one of them; a layout that a module describes
itself (``vtkMRMLLayoutNode.AddLayoutDescription``) is built as described, with views of its own.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Property, QObject, Qt, Signal

from .plot_views import qMRMLPlotWidget
from .slice_views import qMRMLSliceWidget, qMRMLThreeDWidget
from .standins import standin
from .widgets_ctk import tight
from .widgets_qmrml import qMRMLTableView

SLICES = (
    ("Red", "Axial", "R", "#f34a4a"),
    ("Green", "Coronal", "G", "#6eb04b"),
    ("Yellow", "Sagittal", "Y", "#edd54c"),
)
_layout = slicer.vtkMRMLLayoutNode
BUILT_IN = "<layout/>"
ALL = ("Red", "3D", "Green", "Yellow")
ARRANGEMENTS = {  # layout -> views shown; all others show the four
    _layout.SlicerLayoutOneUpRedSliceView: ("Red",),
    _layout.SlicerLayoutOneUpYellowSliceView: ("Yellow",),
    _layout.SlicerLayoutOneUpGreenSliceView: ("Green",),
    _layout.SlicerLayoutOneUp3DView: ("3D",),
}


@standin
class qMRMLTableWidget(QtWidgets.QWidget):
    """The view of the active table."""

    _view: Any = None
    _node: Any = None

    def _show(self, node: Any) -> None:
        self._node = node
        self._view = qMRMLTableView(self)
        tight(QtWidgets.QVBoxLayout(self)).addWidget(self._view)

    def tableView(self) -> Any:
        return self._view

    def mrmlTableViewNode(self) -> Any:
        return self._node


@standin
class qSlicerLayoutManager(QObject):
    """Owns the views. ``viewport()`` is the widget that shows them."""

    layoutChanged = Signal(int)
    _viewport: Any = None
    _grid: Any = None
    _slices: dict[str, Any] | None = None
    _three_d: Any = None
    _table: Any = None
    _plots: dict[str, Any] | None = None
    _custom: Any = None
    _node: Any = None

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        app_logic, scene = slicer.app.applicationLogic(), slicer.mrmlScene
        app_logic.SetSliceLogics(vtk.vtkCollection())
        app_logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        self._node = scene.AddNode(_singleton("vtkMRMLLayoutNode", "vtkMRMLLayoutNode"))
        for name in dir(_layout):
            if name.startswith("SlicerLayout") and isinstance(getattr(_layout, name), int):
                self._describe(getattr(_layout, name))
        self._viewport = QtWidgets.QWidget()
        self._grid = tight(QtWidgets.QGridLayout(self._viewport))
        self._grid.setSpacing(2)
        self._slices, self._plots = {}, {}
        for position, arguments in enumerate(SLICES):
            widget = self._add_slice(*arguments)
            self._grid.addWidget(widget, *divmod((0, 2, 3)[position], 2))
        self._three_d = qMRMLThreeDWidget(self._viewport)
        self._three_d._show("1")
        self._grid.addWidget(self._three_d, 0, 1)
        self._node.AddObserver("ModifiedEvent", lambda caller, event: self._follow())
        for one in (0, 1):
            self._grid.setRowStretch(one, 1)
            self._grid.setColumnStretch(one, 1)

    def _release(self) -> None:
        """Takes the views down, in the order that VTK survives."""
        for widget in (*self._slices.values(), self._three_d):
            widget.viewWidget()._offscreen.release()
            widget._logic.SetMRMLScene(None)
        for widget in self._plots.values():
            widget.plotView()._offscreen.release()
        self._viewport.hide()

    def _describe(self, layout: int) -> None:
        if not self._node.IsLayoutDescription(layout):
            self._node.AddLayoutDescription(layout, BUILT_IN)  # the arrangement itself is made in setLayout

    def _add_slice(self, *arguments: str) -> Any:
        widget = qMRMLSliceWidget(self._viewport)
        widget._show(*arguments)
        self._slices[arguments[0]] = widget
        return widget

    def viewport(self) -> Any:
        return self._viewport

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        return slicer.app.applicationLogic().GetViewLogics()

    def threeDWidget(self, which: int | str) -> Any:
        return self._three_d if which in (0, "1", "View1") else None

    def activeMRMLThreeDViewNode(self) -> Any:
        return self._three_d.mrmlViewNode()

    def tableWidget(self, index: int) -> Any:
        if self._table is None and index == 0:
            self._table = qMRMLTableWidget()
            self._table._show(slicer.mrmlScene.AddNode(_singleton("vtkMRMLTableViewNode", "TableView1")))
        return self._table

    def plotWidget(self, index: int) -> Any:
        if not self._plots and index == 0:
            self._add_plot("PlotView1")
        return next(iter([*self._plots.values()][index:]), None)

    def _add_plot(self, tag: str) -> Any:
        widget = self._plots[tag] = qMRMLPlotWidget(self._viewport)
        node = slicer.mrmlScene.AddNode(_singleton("vtkMRMLPlotViewNode", tag))
        node.SetLayoutName(tag)
        widget._show(node)
        widget.hide()
        return widget

    def viewWidget(self, node: Any) -> Any:
        widgets = (*self._slices.values(), self._three_d, *self._plots.values())
        return next((one for one in widgets if one.mrmlAbstractViewNode() is node), None)

    def setLayout(self, layout: int) -> None:
        self._describe(layout)
        if layout != self.layout:
            self._node.SetViewArrangement(layout)  # _follow hears of it

    _shown = 0

    def _follow(self) -> None:
        """Shows what the layout node says; scripts set it, too."""
        layout = self.layout
        if layout == self._shown:
            return
        self._shown = layout
        self._take_down()
        text = self._node.GetLayoutDescription(layout) or BUILT_IN
        if text == BUILT_IN:
            self._show_four(ARRANGEMENTS.get(layout, ALL))
        else:
            self._build(ET.fromstring(text))
        self.layoutChanged.emit(layout)

    def _show_four(self, shown: tuple[str, ...]) -> None:
        for name, widget in {**self._slices, "3D": self._three_d}.items():
            widget.setVisible(name in shown)

    def _take_down(self) -> None:
        """Gives the views of a described layout back."""
        if self._custom is None:
            return
        for widget in (*self._slices.values(), self._three_d, *self._plots.values()):
            if self._custom.isAncestorOf(widget):
                widget.hide()
                widget.setParent(self._viewport)
        self._grid.removeWidget(self._custom)
        self._custom.deleteLater()
        self._custom = None
        self._grid.addWidget(self._three_d, 0, 1)
        for position, arguments in enumerate(SLICES):
            self._grid.addWidget(self._slices[arguments[0]], *divmod((0, 2, 3)[position], 2))

    def _build(self, element: ET.Element) -> None:
        self._show_four(())
        self._custom = self._made(element)
        self._grid.addWidget(self._custom, 0, 0, 2, 2)
        self._custom.show()

    def _made(self, element: ET.Element) -> Any:
        """The widget of a <layout> or <view> element."""
        if element.tag == "view":
            return self._view_of(element)
        box = QtWidgets.QSplitter(_direction(element), self._viewport)
        box.setChildrenCollapsible(False)
        items = element.findall("item")
        for item in items:
            child = self._made(item[0])
            box.addWidget(child)
            child.show()
        box.setSizes([int(item.get("splitSize", "500")) for item in items])
        return box

    def _view_of(self, element: ET.Element) -> Any:
        tag, kind = element.get("singletontag"), element.get("class")
        said = {one.get("name"): (one.text or "").strip() for one in element.findall("property")}
        if kind == "vtkMRMLViewNode":
            return self._three_d
        if kind == "vtkMRMLPlotViewNode":
            return self._plots.get(tag) or self._add_plot(tag)
        made = self._slices.get(tag) or self._add_slice(
            tag, said.get("orientation", "Axial"), said.get("viewlabel", tag), said.get("viewcolor", "#888888")
        )
        made.mrmlSliceNode().SetViewGroup(int(said.get("viewgroup", "0")))
        return made

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        self._three_d.threeDView().resetFocalPoint()

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    layout = Property(
        int, lambda self: self._node.GetViewArrangement(), lambda self, value: self.setLayout(value)
    )
    threeDViewCount = Property(int, lambda self: 1)
    tableViewCount = Property(int, lambda self: 0 if self._table is None else 1)
    plotViewCount = Property(int, lambda self: len(self._plots))


def _direction(element: ET.Element) -> Any:
    return Qt.Vertical if element.get("type") == "vertical" else Qt.Horizontal


def _singleton(class_name: str, tag: str) -> Any:
    node = slicer.mrmlScene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetSingletonTag(tag)
    node.SetName(tag)
    return node
