"""Grad-CAM as a picture: the tumour's surroundings with each network's evidence in colour, and its legend."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..palette import EVIDENCE_COLORS, pixel
from ..words import HGG, LGG, SEQUENCES
from .display import Display, grey_window, representative
from .drawing import (
    CELL,
    GAP,
    GROUND,
    LABEL,
    QUIET,
    TEXT,
    picture_png,
    picture_width,
    slice_cell,
    write_column_label,
    write_row_label,
    write_text,
)

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from ..explanation import Explanation
    from ..result import GradeResult

MARGIN_MM = 14
"""Shown around the region that the networks see."""
HEAD, LEGEND = 58, 74
"""Height of the lines above and below the pictures, in pixels."""
OPACITY = 0.75
"""Of the strongest evidence; none where there is no evidence."""
TONES = {grade: pixel(color) for grade, color in EVIDENCE_COLORS.items()}


def evidence_png(display: Display, explanation: Explanation, result: GradeResult | None = None) -> bytes:
    """PNG of ``evidence_block``."""
    return picture_png(evidence_block(display, explanation, result))


def evidence_block(
    display: Display, explanation: Explanation, result: GradeResult | None = None
) -> Image.Image:
    """The evidence on the slices that ``slices_picture`` shows, three rows and a legend; its width is the same.

    Raises:
        ValueError: the display does not know where the networks looked.
    """
    from PIL import Image, ImageDraw

    close = close_up(display)
    height = round(CELL * close.images.shape[2] / close.images.shape[3])
    picture = Image.new("RGB", (picture_width(), HEAD + len(SEQUENCES) * (height + GAP) + LEGEND), GROUND)
    pen = ImageDraw.Draw(picture)
    write_text(pen, (14, 18), "Where each network found its evidence (Grad-CAM), close up", 18, TEXT)
    for row, name in enumerate(SEQUENCES):
        top = HEAD + row * (height + GAP)
        write_row_label(pen, (14, top), name, result, height)
        window = grey_window(display.images[row])
        for column, plane in enumerate(representative(len(close.positions_mm), close.largest)):
            left = LABEL + column * (CELL + GAP)
            maps = explanation.map_of(name)[plane] / explanation.strength
            picture.paste(slice_cell(close, row, plane, window, (CELL, height), heat_of(maps)), (left, top))
            if row == 0:
                write_column_label(pen, (left, top - 18), close, plane)
    _legend(picture, pen, picture.height - LEGEND, explanation)
    return picture


def close_up(display: Display) -> Display:
    """The region that the networks see and ``MARGIN_MM`` around it, square where the display has the room."""
    if display.region is None:
        raise ValueError("this display does not know where the networks looked")
    height, width = display.images.shape[2:]
    left, top, right, bottom = (round(edge) for edge in display.region)
    rows = slice(max(top - MARGIN_MM, 0), max(min(bottom + MARGIN_MM, height), 1))
    columns = slice(max(left - MARGIN_MM, 0), max(min(right + MARGIN_MM, width), 1))
    shift = np.array([columns.start, rows.start, columns.start, rows.start])
    return replace(
        display,
        images=display.images[:, :, rows, columns],
        mask=display.mask[:, rows, columns],
        region=tuple((np.asarray(display.region) - shift).tolist()),
    )


def heat_of(share: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 colour and opacity of evidence from -1 (LGG) to 1 (HGG)."""
    share = np.clip(share, -1, 1)[..., None]
    tone = np.where(share > 0, np.array(TONES[HGG]), np.array(TONES[LGG]))
    return np.concatenate([tone, 255 * OPACITY * np.abs(share)], axis=-1).round().astype(np.uint8)


def _legend(picture: Image.Image, pen: ImageDraw.ImageDraw, top: int, explanation: Explanation) -> None:
    from PIL import Image

    width, height, left = 3 * CELL, 16, LABEL
    scale = np.repeat(np.linspace(-1, 1, width)[None], height, axis=0)
    grey = Image.new("RGB", (width, height), (110, 110, 110))
    heat = Image.fromarray(heat_of(scale))
    grey.paste(heat, (0, 0), heat)
    picture.paste(grey, (left, top + 6))
    ends = f"{explanation.strength:.1f}"
    middle = top + 6 + height / 2
    write_text(pen, (left - 8, middle), f"for {LGG} -{ends}", 14, TEXT, "rm")
    clear = "clear within the blue corners: little of either"
    write_text(pen, (left + width + 8, middle), f"+{ends} for {HGG}   {clear}", 14, TEXT)
    unit = (
        "Unit: logits of HGG; the mean over the region within the blue corners, plus a constant, is the "
        f"slice's logit. Finest detail {explanation.detail_mm:.1f} mm."
    )
    write_text(pen, (14, top + 38), unit, 14, QUIET)
    limits = "Outside the blue corners: not looked at. Not a localisation of tumour."
    write_text(pen, (14, top + 58), limits, 14, TEXT)
