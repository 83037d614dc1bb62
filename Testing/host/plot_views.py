"""Plot views: the chart that a plot view node names, drawn by VTK's charts as in Slicer."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from .slice_views import START_SIZE, ctkVTKAbstractView
from .standins import STANDINS, standin

MARKERS = {
    "MarkerStyleNone": vtk.vtkPlotPoints.NONE,
    "MarkerStyleCross": vtk.vtkPlotPoints.CROSS,
    "MarkerStylePlus": vtk.vtkPlotPoints.PLUS,
    "MarkerStyleSquare": vtk.vtkPlotPoints.SQUARE,
    "MarkerStyleCircle": vtk.vtkPlotPoints.CIRCLE,
    "MarkerStyleDiamond": vtk.vtkPlotPoints.DIAMOND,
}
LINES = {
    "LineStyleNone": vtk.vtkPen.NO_PEN,
    "LineStyleSolid": vtk.vtkPen.SOLID_LINE,
    "LineStyleDash": vtk.vtkPen.DASH_LINE,
    "LineStyleDot": vtk.vtkPen.DOT_LINE,
    "LineStyleDashDot": vtk.vtkPen.DASH_DOT_LINE,
    "LineStyleDashDotDot": vtk.vtkPen.DASH_DOT_DOT_LINE,
}
SERIES = slicer.vtkMRMLPlotSeriesNode


class OffscreenChart:
    """A chart without a window; ``image`` is what ``OffscreenRenderer.image`` is for views."""

    def __init__(self) -> None:
        self.view = vtk.vtkContextView()
        self.window = self.view.GetRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(START_SIZE, START_SIZE)
        self.chart = vtk.vtkChartXY()
        self.view.GetScene().AddItem(self.chart)
        self.managers: list[Any] = []

    def show(self, chart: Any) -> None:
        """What a vtkMRMLPlotChartNode says; nothing where it is None."""
        self.chart.ClearPlots()
        self.chart.SetVisible(chart is not None)
        if chart is None:
            return
        self.chart.SetTitle(chart.GetTitle() if chart.GetTitleVisibility() else "")
        self.chart.SetShowLegend(chart.GetLegendVisibility())
        self._show_axes(chart)
        for index in range(chart.GetNumberOfPlotSeriesNodes()):
            self._add(chart.GetNthPlotSeriesNode(index))

    def _show_axes(self, chart: Any) -> None:
        for axis, letter in ((vtk.vtkAxis.BOTTOM, "X"), (vtk.vtkAxis.LEFT, "Y")):
            shown = self.chart.GetAxis(axis)
            shown.SetTitle(getattr(chart, f"Get{letter}AxisTitle")() or "")
            if not getattr(chart, f"Get{letter}AxisRangeAuto")():
                shown.SetBehavior(vtk.vtkAxis.FIXED)
                shown.SetRange(*getattr(chart, f"Get{letter}AxisRange")())

    def _add(self, series: Any) -> None:
        table = series.GetTableNode() if series is not None else None
        if table is None:
            return
        line = series.GetPlotType() in (SERIES.PlotTypeLine, SERIES.PlotTypeScatter)
        plot = self.chart.AddPlot(vtk.vtkChart.LINE if line else vtk.vtkChart.BAR)
        names = [table.GetTable().GetColumnName(i) for i in range(table.GetTable().GetNumberOfColumns())]
        columns = [names.index(name) for name in (series.GetXColumnName(), series.GetYColumnName())]
        plot.SetInputData(table.GetTable(), *columns)
        plot.SetLabel(series.GetName())
        red, green, blue = (round(255 * one) for one in series.GetColor())
        plot.SetColor(red, green, blue, 255)
        plot.SetWidth(series.GetLineWidth())
        if line:
            plot.SetMarkerStyle(_named(MARKERS, series.GetMarkerStyle()))
            plot.SetMarkerSize(series.GetMarkerSize())
            plot.GetPen().SetLineType(_named(LINES, series.GetLineStyle()))

    def image(self, width: int, height: int) -> Any:
        from .slice_views import grabbed

        self.window.SetSize(width, height)
        self.window.Render()
        return grabbed(self.window)

    def release(self) -> None:
        self.chart.ClearPlots()
        self.window.Finalize()


def _named(styles: dict[str, int], number: int) -> int:
    return next((style for name, style in styles.items() if getattr(SERIES, name) == number), 0)


@standin
class qMRMLPlotView(ctkVTKAbstractView):
    """The picture of a chart; redrawn whenever it is looked at."""

    dataSelected = Signal(object, object)
    _node: Any = None
    _selected: Any = None

    def _show(self, node: Any) -> None:
        self._node = node
        self._selected = {}
        self._start(OffscreenChart())
        node.AddObserver("ModifiedEvent", lambda caller, event: self.update())

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def picture(self) -> Any:
        self._offscreen.show(self._node.GetPlotChartNode())
        return super().picture()

    def fitToContent(self) -> None:
        self.update()

    def RemovePlotSelections(self) -> None:
        self._selected.clear()
        self._tell()

    def click(self, series: Any, point: int) -> None:
        """What a user's click on a point tells: VTK's chart says that the selection changes before it does, and
        once more after it has; what was selected on other curves stays. Not in Slicer."""
        self._tell()
        self._selected[series.GetID()] = point
        self._tell()

    def _tell(self) -> None:
        """All selected points, in the order of the chart's curves."""
        names, points = vtk.vtkStringArray(), vtk.vtkCollection()
        chart = self._node.GetPlotChartNode()
        count = chart.GetNumberOfPlotSeriesNodes() if chart else 0
        curves = [chart.GetNthPlotSeriesNodeID(n) for n in range(count)]
        for curve in (one for one in curves if one in self._selected):
            rows = vtk.vtkIdTypeArray()
            rows.InsertNextValue(self._selected[curve])
            names.InsertNextValue(curve)
            points.AddItem(rows)
        self.dataSelected.emit(names, points)


@standin
class qMRMLPlotWidget(STANDINS["qMRMLAbstractViewWidget"]):
    """A plot view."""

    def _show(self, node: Any) -> None:
        self._node = node
        self._view = qMRMLPlotView(self)
        self._view._show(node)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def plotView(self) -> Any:
        return self._view
