"""The result's line in the views: at the top of the slice views, and in the corner of the 3D view.

A slice view has it while it shows a volume of the result's, the 3D view while any view does or the mask is seen
in 3D; and in it the name of the case: a grade must not stand on another patient's images. The Data Probe writes
into the four corners of slice views; their upper edge is nobody's.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..result import GradeResult
from ..scene.results import Published
from ..scene.views import is_shown, shown_sequence, slice_view
from . import text

_GROUND = 0.5
"""How dark the ground of a line is, at least: 1 hides what lies behind."""
_CORNER, _EDGE = vtk.vtkCornerAnnotation.UpperLeft, vtk.vtkCornerAnnotation.UpperEdge


class CornerText:
    """Writes lines into views and takes them away again; what somebody else wrote there stays."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}
        self._looks: dict[str, tuple[int, float]] = {}

    def annotate(
        self, published: Published | None, result: GradeResult | None, isOutdated: bool = False
    ) -> None:
        """Writes a result's line into the views that show it, in place of the last one; None takes it away."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        is_seen = published is not None and result is not None and is_shown(published)
        line = text.annotation_text(result, isOutdated) if result is not None and is_seen else ""
        for index in range(manager.threeDViewCount):
            widget = manager.threeDWidget(index)
            if widget is not None:
                name = f"3D {widget.mrmlViewNode().GetLayoutName()}"  # which index a view has, changes
                self._write(name, widget.threeDView(), _CORNER, line)
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            if widget is not None:
                line = _line(name, widget, published, result, isOutdated)
                self._write(name, widget.sliceView(), _EDGE, line)

    def _write(self, name: str, view: Any, place: int, line: str) -> None:
        corner = view.cornerAnnotation()
        before = corner.GetText(place) or ""
        if before == line or before != self._written.get(name, ""):
            return
        corner.SetText(place, line)
        self._written[name] = line
        self._shade(name, corner.GetTextProperty(), bool(line))
        view.scheduleRender()

    def _shade(self, name: str, look: Any, is_ours: bool) -> None:
        """White on a bright skull cannot be read without a dark ground; the other corners share the look."""
        before = self._looks.setdefault(name, (look.GetShadow(), look.GetBackgroundOpacity()))
        shadow, ground = (True, max(_GROUND, before[1])) if is_ours else before
        look.SetShadow(shadow)
        look.SetBackgroundOpacity(ground)
        if not is_ours:
            del self._looks[name]


def _line(
    name: str, widget: Any, published: Published | None, result: GradeResult | None, isOutdated: bool
) -> str:
    if published is None or result is None:
        return ""
    sequence = shown_sequence(published, widget.mrmlSliceCompositeNode())
    vote = next((one for one in result.votes if one.sequence == sequence), None)
    if vote is None:
        return ""
    is_own = name == slice_view(sequence)
    line = text.vote_text(result, vote, isOutdated) if is_own else text.annotation_text(result, isOutdated)
    return "\n".join(filter(None, (line, text.moved_text(result, sequence))))
