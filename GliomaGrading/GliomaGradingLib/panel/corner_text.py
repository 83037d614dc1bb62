"""The result's line in the views: at the top of the slice views, and in the corner of the 3D view.

The Data Probe writes into the four corners of slice views; their upper edge is nobody's.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..result import GradeResult
from ..scene.views import slice_view
from . import text

_CORNER, _EDGE = vtk.vtkCornerAnnotation.UpperLeft, vtk.vtkCornerAnnotation.UpperEdge


def annotate(result: GradeResult | None) -> None:
    """Writes a result's line into all views, in place of the one before; None takes it away."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    line = text.annotation_text(result) if result else ""
    for index in range(manager.threeDViewCount):
        _write(manager.threeDWidget(index), "threeDView", _CORNER, line)
    short = text.short_annotation_text(result) if result else ""
    own = {slice_view(vote.sequence): text.vote_text(vote) for vote in result.votes} if result else {}
    for name in manager.sliceViewNames():
        _write(manager.sliceWidget(name), "sliceView", _EDGE, own.get(name, short))


def _write(widget: Any, view_name: str, place: int, line: str) -> None:
    if widget is None:
        return
    view = getattr(widget, view_name)()
    if (view.cornerAnnotation().GetText(place) or "") != line:
        view.cornerAnnotation().SetText(place, line)
        view.scheduleRender()
