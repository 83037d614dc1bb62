"""A picture of the slices that a case was graded on: T1, T2 and FLAIR one under the other, tumour outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..explanation import Explanation
from ..result import GradeResult
from ..wording import probability_text, volume_text
from ..words import DISCLAIMER, INDETERMINATE, SEQUENCES
from .display import Display, grey_window, representative
from .drawing import (
    CELL,
    GAP,
    GROUND,
    LABEL,
    QUIET,
    TEXT,
    TONES,
    badge,
    dashed,
    decision_text,
    fitted,
    font,
    picture_png,
    picture_width,
    slice_cell,
    write_column_label,
    write_row_label,
    write_text,
)
from .evidence_picture import evidence_block
from .telling import vote_summary

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

TOP, BOTTOM = 104, 62


def slices_picture(
    display: Display,
    result: GradeResult | None = None,
    explanation: Explanation | None = None,
    heading: bool = True,
) -> bytes:
    """PNG: five of the slices in three rows (T1, T2, FLAIR), with outline, positions, votes and decision.

    With an explanation three more rows show each network's evidence, where ``display`` knows its region.
    Without heading there is neither case nor decision nor disclaimer, for a page that has them itself.
    """
    from PIL import Image, ImageDraw

    chosen = representative(len(display.positions_mm), display.largest)
    height = round(CELL * display.images.shape[2] / display.images.shape[3])
    evidence = _evidence(display, explanation, result)
    start = TOP if heading else GAP
    end = start + len(SEQUENCES) * (height + GAP) + 18
    bottom = BOTTOM if heading else BOTTOM // 2
    size = (picture_width(), end + (evidence.height if evidence else 0) + bottom)
    picture = Image.new("RGB", size, GROUND)
    if evidence:
        picture.paste(evidence, (0, end))
    pen = ImageDraw.Draw(picture)
    for row, name in enumerate(SEQUENCES):
        top = start + 18 + row * (height + GAP)
        write_row_label(pen, (14, top), name, result, height)
        window = grey_window(display.images[row])
        for column, plane in enumerate(chosen):
            left = LABEL + column * (CELL + GAP)
            picture.paste(slice_cell(display, row, plane, window, (CELL, height)), (left, top))
            if row == 0:
                write_column_label(pen, (left, top - 18), display, plane)
    if heading:
        _header(pen, size[0], display, result)
        write_text(pen, (14, size[1] - 20), fitted(DISCLAIMER, font(16), size[0] - 28), 16, TEXT)
    _footer(pen, size[1] - bottom + 18, display)
    return picture_png(picture)


def _evidence(
    display: Display, explanation: Explanation | None, result: GradeResult | None
) -> Image.Image | None:
    if explanation is None or display.region is None:
        return None
    return evidence_block(display, explanation, result)


def _header(pen: ImageDraw.ImageDraw, width: int, display: Display, result: GradeResult | None) -> None:
    right = width - 14
    if display.synthetic:
        right = badge(pen, right, 14, "SYNTHETIC - NO PATIENT") - 14
    name = result.case if result else display.case
    write_text(pen, (14, 26), fitted(f"Case {name}", font(18), right - 14), 18, TEXT)
    if result is None:
        return
    tone = TONES.get(result.decision, TEXT)
    box = (14, 46, 14 + 28 + round(font(26).getlength(decision_text(result))), 90)
    if result.decision == INDETERMINATE:
        dashed(pen, box, tone)
        write_text(pen, (28, 68), decision_text(result), 26, tone)
    else:
        pen.rectangle(box, fill=tone)
        write_text(pen, (28, 68), decision_text(result), 26, GROUND)
    facts = f"P(HGG) {probability_text(result.probability_hgg)}    {vote_summary(result)}"
    write_text(pen, (box[2] + 18, 60), fitted(facts, font(18), width - box[2] - 32), 18, TEXT)
    model = f"model {result.model.get('name', '?')} {result.model.get('version', '')}"
    extra = f"{model}    tumour {volume_text(result.tumour_ml)}    warnings: {len(result.warnings)}"
    write_text(pen, (box[2] + 18, 82), fitted(extra, font(14), width - box[2] - 32), 14, QUIET)


def _footer(pen: ImageDraw.ImageDraw, middle: int, display: Display) -> None:
    legend = "Seen from the feet: the patient's right (R) is on the left.  Yellow: tumour mask"
    legend += ".  Blue corners: region the networks see." if display.region is not None else "."
    write_text(pen, (14, middle), legend, 14, QUIET)
