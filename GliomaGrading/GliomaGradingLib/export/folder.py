"""What a graded case leaves behind: result.json, report.html, slices.png, DICOM outputs.

``outputs`` has the files' names and writes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..result import Notice
from .dicom_outputs import dicom_result_files
from .dicom_sources import is_from_dicom
from .display import Display, display_planes
from .evidence_picture import evidence_png
from .outputs import PAGE, PICTURE, RESULT, result_json
from .pictures import slices_picture
from .reliability import figures_note, reliability_of
from .report import SALIENCY, SLICES, report_html
from .telling import graded_inputs

if TYPE_CHECKING:
    from ..explanation import Explanation
    from ..grading import Graded, Grader
    from ..networks.bundle import Bundle
    from ..result import GradeResult


def case_outputs(
    graded: Graded, grader: Grader, reports: bool = True, dicom: bool = True
) -> tuple[Graded, dict[str, bytes]]:
    """The contents by name of all that a case leaves behind, and the case as they have it.

    Why there are no DICOM outputs of a case from DICOM is a warning of its result, in every file of it; what is
    wrong with them is a warning of the other files.

    Args:
        reports: report.html and slices.png, too. dicom: the DICOM outputs, too, of a case from DICOM.
    """
    as_dicom = dicom and is_from_dicom(graded.case)
    if not (reports or as_dicom):
        return graded, {RESULT: result_json(graded.result)}
    explanation = grader.explain(graded)
    files: dict[str, bytes] = {}
    if as_dicom:
        graded, files = _with_dicom(graded, explanation)
    if reports:
        files |= result_files(graded, grader.bundle, explanation)
    return graded, {RESULT: result_json(graded.result), **files}


def _with_dicom(graded: Graded, explanation: Explanation) -> tuple[Graded, dict[str, bytes]]:
    made = dicom_result_files(graded, explanation)
    notices = [Notice("no-dicom-output", made.problem)] if made.problem else []
    if made.malformed:
        names = ", ".join(made.malformed)
        text = f"the DICOM output has identifiers that break the standard, as the series do: {names}"
        notices.append(Notice("dicom-output-malformed", text))
    result = replace(graded.result, warnings=(*graded.result.warnings, *notices))
    return replace(graded, result=result), dict(made.contents)


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
        reliability=reliability_of(graded.result, bundle.metadata),
        inputs=graded_inputs(graded.case),
        measured=figures_note(bundle.metadata),
    )
    return {
        RESULT: result_json(graded.result),
        PAGE: report.encode("utf-8", "replace"),
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
