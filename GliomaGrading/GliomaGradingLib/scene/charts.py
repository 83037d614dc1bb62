"""A result as tables and as a plot: the three votes; the probability of HGG on each of the 20 slices.

The plot's thick line is the median of the three sequences' probabilities: it lies above the threshold on
exactly those slices on which two of the three sequences say HGG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..palette import SEQUENCE_COLORS, rgb
from ..result import GradeResult
from ..words import DISCLAIMER, HGG, LGG

Add = Callable[[str, str, str], Any]
"""Adds a node: its role, its class, and the end of its name."""

THRESHOLD = 0.5
POSITION, MEDIAN, LIMIT = "S (mm)", "Majority (median)", "Threshold"
VOTES, SLICES, CHART, SHOWN, SHOWN_SERIES = "votes", "slices", "chart", "shown", "series.shown"

_INK = (0.1, 0.1, 0.1)
_LOOKS: dict[str, tuple[tuple[float, float, float], str, str, float]] = {
    "T1": (rgb(SEQUENCE_COLORS["T1"]), "Solid", "Circle", 1.5),
    "T2": (rgb(SEQUENCE_COLORS["T2"]), "Solid", "Square", 1.5),
    "FLAIR": (rgb(SEQUENCE_COLORS["FLAIR"]), "Solid", "Diamond", 1.5),
    MEDIAN: (_INK, "Solid", "None", 4.0),
    LIMIT: ((0.45, 0.45, 0.45), "Dash", "None", 1.5),
}
"""Colour, line, marker and width of each series."""

_LEGEND_ROOM = 0.6
"""Of the slices' extent, kept free at the right: there VTK's charts lay the legend over what is drawn."""


def add_charts(result: GradeResult, add: Add) -> None:
    """Adds the table of votes, the table of slices, and the plot of it."""
    fill_votes(add(VOTES, "vtkMRMLTableNode", _("votes")), result)
    slices = add(SLICES, "vtkMRMLTableNode", _("slices"))
    fill_slices(slices, result)
    chart = add(CHART, "vtkMRMLPlotChartNode", _("slice probabilities"))
    for name, look in _LOOKS.items():
        series = add(f"series.{name.split()[0]}", "vtkMRMLPlotSeriesNode", name)
        series.SetName(name)  # the legend's text
        _dress(series, slices, POSITION, name, look)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    _describe(chart, result)
    _mark(result, chart, add)


def fill_votes(node: Any, result: GradeResult) -> None:
    """A row for each sequence, each with what the case's decision is."""
    votes = result.votes
    _fill(
        node,
        (_("Sequence"), vtk.vtkStringArray(), [vote.sequence for vote in votes]),
        (_("Vote"), vtk.vtkStringArray(), [vote.grade for vote in votes]),
        (_("Probability of HGG"), vtk.vtkDoubleArray(), [vote.probability_hgg for vote in votes]),
        (_("Slices for HGG"), vtk.vtkIntArray(), [vote.slices_hgg for vote in votes]),
        (_("Slices"), vtk.vtkIntArray(), [len(vote.slice_probabilities) for vote in votes]),
        (_("Decision of the case"), vtk.vtkStringArray(), [result.decision] * len(votes)),
        (_("Probability of HGG of the case"), vtk.vtkDoubleArray(), [result.probability_hgg] * len(votes)),
        _note(len(votes)),
    )


def fill_slices(node: Any, result: GradeResult) -> None:
    """A row for each slice, from foot to head. Column names stay English: the plot's series refer to them."""
    info = result.slices
    middle = medians(result)
    columns = [(vote.sequence, vtk.vtkDoubleArray(), vote.slice_probabilities) for vote in result.votes]
    _fill(
        node,
        (POSITION, vtk.vtkDoubleArray(), info.positions_mm),
        *columns,
        (MEDIAN, vtk.vtkDoubleArray(), middle),
        (LIMIT, vtk.vtkDoubleArray(), [THRESHOLD] * len(middle)),
        ("Majority", vtk.vtkStringArray(), [HGG if value >= THRESHOLD else LGG for value in middle]),
        ("Index", vtk.vtkIntArray(), info.indices),
        _note(len(middle)),
    )


def medians(result: GradeResult) -> list[float]:
    """Of the three sequences, slice by slice: from one half on where the majority says HGG."""
    return [median(values) for values in zip(*(v.slice_probabilities for v in result.votes), strict=True)]


def _note(rows: int) -> tuple[str, Any, list[str]]:
    """A column with what has to be said beside every grade: tables are saved and copied away from the rest."""
    return "Note", vtk.vtkStringArray(), [DISCLAIMER] * rows


def mark_slice(table: Any, position: float) -> None:
    """Moves the plot's upright line to a slice; ``table`` is the node in the role ``shown``."""
    for row in range(2):
        table.GetTable().SetValueByName(row, POSITION, vtk.vtkVariant(float(position)))
    table.GetTable().Modified()
    table.Modified()


def _fill(node: Any, *columns: tuple[str, Any, Iterable[Any]]) -> None:
    for name, array, values in columns:
        array.SetName(name)
        for value in values:
            array.InsertNextValue(value)
        node.AddColumn(array)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)


def _mark(result: GradeResult, chart: Any, add: Add) -> None:
    """The upright line at the slice that is shown: at first, the largest."""
    info = result.slices
    table = add(SHOWN, "vtkMRMLTableNode", _("shown slice"))
    _fill(
        table,
        (POSITION, vtk.vtkDoubleArray(), [info.positions_mm[info.largest_place]] * 2),
        ("Shown", vtk.vtkDoubleArray(), [0.0, 1.0]),
    )
    series = add(SHOWN_SERIES, "vtkMRMLPlotSeriesNode", _("Shown slice"))
    series.SetName(_("Shown slice"))
    _dress(series, table, POSITION, "Shown", ((0.45, 0.45, 0.45), "Dot", "None", 2.0))
    chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _dress(series: Any, table: Any, x: str, y: str, look: tuple[Any, str, str, float]) -> None:
    color, line, marker, width = look
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetXColumnName(x)
    series.SetYColumnName(y)
    series.SetColor(*color)
    series.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, f"LineStyle{line}"))
    series.SetLineWidth(width)
    series.SetMarkerStyle(getattr(slicer.vtkMRMLPlotSeriesNode, f"MarkerStyle{marker}"))
    series.SetMarkerSize(7)


def _describe(chart: Any, result: GradeResult) -> None:
    positions = result.slices.positions_mm
    chart.SetTitle(_("{case}: probability of HGG, slice by slice (research use only)").format(case=result.case))
    chart.SetXAxisTitle(_("Position, from foot to head (mm)"))
    chart.SetYAxisTitle(_("Probability of HGG"))
    chart.SetXAxisRangeAuto(False)
    low, high = min(positions), max(positions)
    chart.SetXAxisRange(low - 1.0, high + max(1.0, _LEGEND_ROOM * (high - low)))
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
