"""``slicer.app.layoutManager()``: three slice views and a 3D view, in the arrangements that are asked for."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Property, QObject, Signal

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
class qMRMLPlotWidget(QtWidgets.QWidget):
    """The view node of a plot; nothing is drawn."""

    _node: Any = None

    def _show(self, node: Any) -> None:
        self._node = node

    def mrmlPlotViewNode(self) -> Any:
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
    _plot: Any = None
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
        self._slices = {}
        for position, arguments in enumerate(SLICES):
            widget = qMRMLSliceWidget(self._viewport)
            widget._show(*arguments)
            self._slices[arguments[0]] = widget
            self._grid.addWidget(widget, *divmod((0, 2, 3)[position], 2))
        self._three_d = qMRMLThreeDWidget(self._viewport)
        self._three_d._show("1")
        self._grid.addWidget(self._three_d, 0, 1)
        for one in (0, 1):
            self._grid.setRowStretch(one, 1)
            self._grid.setColumnStretch(one, 1)

    def _release(self) -> None:
        """Takes the views down, in the order that VTK survives."""
        for widget in (*self._slices.values(), self._three_d):
            widget.viewWidget()._offscreen.release()
            widget._logic.SetMRMLScene(None)
        self._viewport.hide()

    def _describe(self, layout: int) -> None:
        if not self._node.IsLayoutDescription(layout):
            self._node.AddLayoutDescription(layout, "<layout/>")  # the arrangement itself is made in setLayout

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
        if self._plot is None and index == 0:
            self._plot = qMRMLPlotWidget()
            self._plot._show(slicer.mrmlScene.AddNode(_singleton("vtkMRMLPlotViewNode", "PlotView1")))
        return self._plot

    def setLayout(self, layout: int) -> None:
        shown = ARRANGEMENTS.get(layout, ALL)
        for name, widget in {**self._slices, "3D": self._three_d}.items():
            widget.setVisible(name in shown)
        self._describe(layout)
        if layout != self.layout:
            self._node.SetViewArrangement(layout)
            self.layoutChanged.emit(layout)

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
    plotViewCount = Property(int, lambda self: 0 if self._plot is None else 1)


def _singleton(class_name: str, tag: str) -> Any:
    node = slicer.mrmlScene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetSingletonTag(tag)
    node.SetName(tag)
    return node
