"""The folder that a graded case leaves behind: result.json, report.html, slices.png."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .display import Display, display_planes
from .evidence_picture import evidence_png
from .files import all_or_nothing
from .pictures import slices_picture
from .reliability import reliability_text
from .report import SALIENCY, SLICES, report_html

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..explanation import Explanation
    from ..grading import Graded
    from ..result import GradeResult

PICTURE = "slices.png"


def write_result_folder(
    folder: Path, graded: Graded, bundle: Bundle, explanation: Explanation | None = None
) -> None:
    """Write a case's files; everything is made before the first file is written.

    Args:
        explanation: adds each network's evidence to pictures and report.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    display = display_of(graded)
    picture = slices_picture(display, graded.result, explanation)
    report = report_html(
        graded.result,
        _report_pictures(graded.result, display, explanation),
        bundle.metadata.get("figures"),
        synthetic=display.synthetic,
        rule=bundle.decisionRule(),
        reliability=reliability_text(graded.result.probability_hgg, bundle.metadata),
    )
    contents: dict[str, str | bytes] = {
        "result.json": graded.result.toJson(),
        "report.html": report,
        PICTURE: picture,
    }
    try:
        with all_or_nothing(folder) as write:
            for name, content in contents.items():
                write(name, content)
    except OSError as error:
        raise UsageError(
            f"the result cannot be written ({error.strerror})", folder, "choose a folder that you may write to"
        ) from error


def _report_pictures(
    result: GradeResult, display: Display, explanation: Explanation | None
) -> dict[str, bytes]:
    """The slices without the heading, which the page has itself, and the evidence."""
    pictures = {SLICES: slices_picture(display, result, heading=False)}
    if explanation is not None and display.region is not None:
        pictures[SALIENCY] = evidence_png(display, explanation, result)
    return pictures


def display_of(graded: Graded) -> Display:
    """The planes to show of a graded case, with the region that the networks saw."""
    return display_planes(graded.case, graded.result.slices, graded.stack.region)
