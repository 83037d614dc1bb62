"""The result in the panel: banner with the case and the warnings first, three votes, measures, model line."""

from __future__ import annotations

from typing import Any

from ..palette import GRADE_COLORS
from ..result import GradeResult
from ..words import SEQUENCES
from . import card, text

_BAR = "QProgressBar::chunk { background: #868e96; }"
"""Grey: the palette's highlight is blue on most systems, and blue stands for LGG."""

_HEADLINE = 1.6
"""Size of the headline, in that of the panel's text."""

_BORDER = {grade: f"6px solid {color}" for grade, color in GRADE_COLORS.items()}


class ResultView:
    """Shows one result in the widgets of the panel's .ui file, or none."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        ui.researchLabel.setStyleSheet("font-weight: bold;")
        for sequence in SEQUENCES:
            getattr(ui, f"{sequence.lower()}ProbabilityBar").setStyleSheet(_BAR)
        self.show(None)

    def show(
        self, result: GradeResult | None, bundle: str = "", isOutdated: bool = False, options: str = ""
    ) -> None:
        """Shows a result.

        Args:
            bundle: the chosen model's folder, where its card is looked for.
            isOutdated: an input was changed since.
            options: what is to be said of options that were changed since.
        """
        self._ui.resultFrame.visible = self._ui.modelLabel.visible = result is not None
        if result is None:
            return
        reliability = text.reliability_text(result, card.reliability_text(result, bundle))
        self._show_banner(result, reliability, isOutdated)
        for sequence, vote in zip(SEQUENCES, result.votes, strict=True):
            name = sequence.lower()
            getattr(self._ui, f"{name}VoteLabel").text = text.grade_text(vote.grade)
            getattr(self._ui, f"{name}ProbabilityBar").value = round(100 * vote.probability_hgg)
            getattr(self._ui, f"{name}ProbabilityLabel").text = text.probability_text(vote.probability_hgg)
            getattr(self._ui, f"{name}SlicesLabel").text = text.slices_text(vote)
        self._ui.optionsLabel.text = options
        self._ui.optionsLabel.visible = bool(options)
        self._ui.measuresLabel.text = text.measures_text(result)
        self._ui.modelLabel.text = text.model_text(result)

    def _show_banner(self, result: GradeResult, reliability: str, isOutdated: bool) -> None:
        is_certain = result.decision in _BORDER and not isOutdated
        border = f"border-left: {_BORDER[result.decision]};" if is_certain else "border: 2px dashed #868e96;"
        self._ui.bannerFrame.setStyleSheet(f"QFrame#bannerFrame {{ {border} background: palette(base); }}")
        style = "font-weight: bold;" if is_certain else "font-style: italic;"
        self._ui.decisionLabel.setStyleSheet(f"{_headline_size(self._ui.resultFrame)} {style}")
        self._ui.caseLabel.text = text.case_text(result)
        self._ui.decisionLabel.text = text.decision_text(result)
        self._ui.summaryLabel.text = text.summary_text(result)
        self._ui.warningsLabel.text = text.result_warnings_text(result, isOutdated)
        self._ui.warningsLabel.visible = bool(self._ui.warningsLabel.text)
        self._ui.reliabilityLabel.text = reliability
        self._ui.reliabilityLabel.visible = bool(reliability)


def _headline_size(frame: Any) -> str:
    """As style sheet: of the font that the user has chosen, which may be a large one, or be given in pixels."""
    font = frame.font
    points = font.pointSizeF()
    return (
        f"font-size: {_HEADLINE * points:.1f}pt;"
        if points > 0
        else f"font-size: {_HEADLINE * font.pixelSize():.0f}px;"
    )
