"""The result's line in the views: at the top of the slice views, and in the corner of the 3D view.

A slice view has it while it shows a volume of the result's, and in it the name of the case: a grade must not
stand on another patient's images. The Data Probe writes into the four corners of slice views; their upper edge
is nobody's.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..result import GradeResult
from ..scene.results import Published
from ..scene.views import shown_sequence, slice_view
from . import text

_CORNER, _EDGE = vtk.vtkCornerAnnotation.UpperLeft, vtk.vtkCornerAnnotation.UpperEdge


def annotate(published: Published | None, result: GradeResult | None, isOutdated: bool = False) -> None:
    """Writes a result's line into the views that show it, in place of the one before; None takes it away."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    line = text.annotation_text(result, isOutdated) if result else ""
    for index in range(manager.threeDViewCount):
        _write(manager.threeDWidget(index), "threeDView", _CORNER, line)
    for name in manager.sliceViewNames():
        widget = manager.sliceWidget(name)
        if widget is not None:
            _write(widget, "sliceView", _EDGE, _line(name, widget, published, result, isOutdated))


def _line(
    name: str, widget: Any, published: Published | None, result: GradeResult | None, isOutdated: bool
) -> str:
    if published is None or result is None:
        return ""
    sequence = shown_sequence(published, widget.mrmlSliceCompositeNode())
    vote = next((one for one in result.votes if one.sequence == sequence), None)
    if vote is None:
        return ""
    if name == slice_view(sequence):
        return text.vote_text(result, vote, isOutdated)
    return text.short_annotation_text(result, isOutdated)


def _write(widget: Any, view_name: str, place: int, line: str) -> None:
    if widget is None:
        return
    view = getattr(widget, view_name)()
    if (view.cornerAnnotation().GetText(place) or "") != line:
        view.cornerAnnotation().SetText(place, line)
        view.scheduleRender()
