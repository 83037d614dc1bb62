"""The folder that a graded case leaves behind: result.json, report.html, slices.png, DICOM outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..files import all_or_nothing
from .dicom_outputs import OVERLAY, REPORT
from .display import Display, display_planes
from .evidence_picture import evidence_png
from .pictures import slices_picture
from .reliability import reliability_text
from .report import SALIENCY, SLICES, report_html

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..explanation import Explanation
    from ..grading import Graded
    from ..result import GradeResult

RESULT, PAGE, PICTURE = "result.json", "report.html", "slices.png"


def write_result_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a case's files (by name), all of them or none.

    Takes away the DICOM outputs of an earlier result, where there are no new ones: they would say another
    grade than the files beside them.

    Raises:
        UsageError: the folder cannot be made or written to, and what was in it is in it still; or everything
            is written, and an earlier DICOM output cannot be removed.
    """
    try:
        with all_or_nothing(folder) as write:
            for name, content in contents.items():
                write(name, content)
    except OSError as error:
        raise UsageError(
            f"the result cannot be written ({error.strerror})", folder, "choose a folder that you may write to"
        ) from error
    # last, as it needs no room on the disk: a result that could not be written has lost nothing
    for name in {REPORT, OVERLAY} - set(contents):
        _remove(folder / name)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        problem = f"the DICOM output of an earlier result cannot be removed ({error.strerror})"
        raise UsageError(problem, path, "remove it: the new result beside it has none") from error


def result_files(graded: Graded, bundle: Bundle, explanation: Explanation | None = None) -> dict[str, bytes]:
    """The contents of result.json, report.html and slices.png.

    Args:
        explanation: adds each network's evidence to pictures and report.
    """
    display = display_of(graded)
    report = report_html(
        graded.result,
        _report_pictures(graded.result, display, explanation),
        bundle.metadata.get("figures"),
        synthetic=display.synthetic,
        rule=bundle.decisionRule(),
        reliability=reliability_text(graded.result.probability_hgg, bundle.metadata),
    )
    return {
        RESULT: graded.result.toJson().encode("utf-8"),
        PAGE: report.encode("utf-8"),
        PICTURE: slices_picture(display, graded.result, explanation),
    }


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
