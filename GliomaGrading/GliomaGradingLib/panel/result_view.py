"""The result in the panel: banner, three votes, warnings, model line; and its line in the 3D view."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..result import GradeResult
from ..words import HGG, LGG, SEQUENCES
from . import text

_BORDER = {HGG: "6px solid #d9480f", LGG: "6px solid #1c7ed6"}
_CORNER = vtk.vtkCornerAnnotation.UpperLeft
"""Of the 3D view: the Data Probe writes into the corners of slice views only."""


class ResultView:
    """Shows one result in the widgets of the panel's .ui file, or none."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.show(None)

    def show(self, result: GradeResult | None) -> None:
        self._ui.resultFrame.visible = result is not None
        annotate(text.annotation_text(result) if result else "")
        if result is None:
            return
        self._show_banner(result)
        for sequence, vote in zip(SEQUENCES, result.votes, strict=True):
            name = sequence.lower()
            getattr(self._ui, f"{name}VoteLabel").text = vote.grade
            getattr(self._ui, f"{name}ProbabilityBar").value = round(100 * vote.probability_hgg)
            getattr(self._ui, f"{name}ProbabilityLabel").text = text.probability_text(vote.probability_hgg)
            getattr(self._ui, f"{name}SlicesLabel").text = text.slices_text(vote)
        self._ui.measuresLabel.text = text.measures_text(result)
        self._ui.warningsLabel.text = text.warnings_text(result)
        self._ui.warningsLabel.visible = bool(result.warnings)
        self._ui.modelLabel.text = text.model_text(result)

    def _show_banner(self, result: GradeResult) -> None:
        is_certain = result.decision in _BORDER
        border = f"border-left: {_BORDER[result.decision]};" if is_certain else "border: 2px dashed #868e96;"
        self._ui.bannerFrame.setStyleSheet(f"QFrame#bannerFrame {{ {border} background: palette(base); }}")
        style = "font-weight: bold;" if is_certain else "font-style: italic;"
        self._ui.decisionLabel.setStyleSheet(f"font-size: 15pt; {style}")
        self._ui.decisionLabel.text = text.decision_text(result)
        self._ui.summaryLabel.text = text.summary_text(result)


def annotate(line: str) -> None:
    """Writes a line into the corner of the first 3D view, in place of the one before."""
    manager = slicer.app.layoutManager()
    widget = manager.threeDWidget(0) if manager and manager.threeDViewCount else None
    if widget is None:
        return
    view = widget.threeDView()
    if (view.cornerAnnotation().GetText(_CORNER) or "") != line:
        view.cornerAnnotation().SetText(_CORNER, line)
        view.scheduleRender()
