"""What the pictures of a case are drawn with: slices, outlines, labels, badges, one set of colours.

Axial slices are shown as radiologists have them: seen from the feet, the patient's right on the left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import printable
from ..palette import LIGHT_GRADE_COLORS, OUTLINE_COLOR, pixel
from ..result import GradeResult, Vote
from ..wording import probability_text
from ..words import INDETERMINATE
from .display import COLUMNS, Display, edge_of
from .telling import slice_text

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

CELL = 232
"""Width of one slice in the picture, in pixels."""
LABEL, GAP = 178, 6
VOTE_SIZE = 17
"""Of the letters of a vote, which end before the first slice even where it says < 0.01."""

GROUND, TEXT, QUIET = (13, 15, 18), (238, 240, 243), (160, 167, 177)
OUTLINE = pixel(OUTLINE_COLOR)
REGION = (92, 200, 255)
TONES = {decision: pixel(color) for decision, color in LIGHT_GRADE_COLORS.items()}


def picture_width() -> int:
    """Width of the picture in pixels."""
    return LABEL + COLUMNS * (CELL + GAP) + 8


def slice_cell(
    display: Display,
    row: int,
    plane: int,
    window: tuple[float, float],
    size: tuple[int, int],
    heat: np.ndarray | None = None,
) -> Image.Image:
    """One slice of sequence ``row`` with its outline; ``heat``: (H, W, 4) colours over the region, if any."""
    from PIL import Image, ImageDraw

    low, high = window
    grey = np.clip((display.images[row, plane] - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    scale = size[0] / display.images.shape[3]
    region = [edge * scale for edge in display.region] if display.region is not None else None
    if heat is not None and region is not None:
        _paste_heat(image, heat, [round(edge) for edge in region])
    pixels = np.asarray(image).copy()
    pixels[_large_outline(display.mask[plane], size)] = OUTLINE
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    if region is not None:
        _corner_marks(pen, region, size)
    _side_marks(pen, size)
    return image


def _paste_heat(image: Image.Image, heat: np.ndarray, box: Sequence[int]) -> None:
    """Colour and opacity, smoothly enlarged; opacity goes along with the colour, so that no edge turns grey."""
    from PIL import Image

    left, top, right, bottom = box
    size = (max(right - left, 1), max(bottom - top, 1))
    opacity = heat[..., 3:].astype(float) / 255
    layers = np.concatenate([heat[..., :3] * opacity, opacity], axis=-1).astype(np.float32)
    large = np.stack(
        [np.asarray(Image.fromarray(layers[..., k]).resize(size, Image.Resampling.BILINEAR)) for k in range(4)],
        axis=-1,
    )
    part = np.asarray(image.crop((left, top, right, bottom)), dtype=np.float32)
    mixed = part * (1 - large[..., 3:]) + large[..., :3]
    image.paste(Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)), (left, top))


def _large_outline(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask's edge at the size of the picture, its steps rounded."""
    from PIL import Image

    white = Image.fromarray((mask.astype(bool) * 255).astype(np.uint8))
    return edge_of(np.asarray(white.resize(size, Image.Resampling.BILINEAR)) > 127)


def _corner_marks(pen: ImageDraw.ImageDraw, box: Sequence[float], size: tuple[int, int]) -> None:
    left, top, right, bottom = (
        min(max(round(edge), 0), limit - 1) for edge, limit in zip(box, (*size, *size), strict=True)
    )
    arm = 10
    for x, dx in ((left, arm), (right, -arm)):
        for y, dy in ((top, arm), (bottom, -arm)):
            pen.line([(x + dx, y), (x, y), (x, y + dy)], fill=REGION, width=1)


def _side_marks(pen: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    width, height = size
    marks = (("R", (3, height / 2), "lm"), ("L", (width - 3, height / 2), "rm"))
    for text, place, anchor in (*marks, ("A", (width / 2, 2), "mt"), ("P", (width / 2, height - 2), "mb")):
        write_text(pen, place, text, 12, (205, 210, 216), anchor, halo=True)


def write_row_label(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], name: str, result: GradeResult | None, height: int
) -> None:
    """A sequence's name, and its vote where there is a result."""
    left, top = place
    vote = _vote_of(result, name)
    middle = top + height / 2
    write_text(pen, (left, middle - 34), name, 26, TEXT)
    if vote is None:
        return
    write_text(pen, (left, middle), vote_text(vote), VOTE_SIZE, TONES.get(vote.grade, TEXT))
    slices = f"({vote.slices_hgg} of {len(vote.slice_probabilities)} slices HGG)"
    write_text(pen, (left, middle + 24), slices, 13, QUIET)


def vote_text(vote: Vote) -> str:
    """The vote and the probability of HGG behind it, whichever way it went."""
    return f"{vote.grade}  P(HGG) {probability_text(vote.probability_hgg)}"


def write_column_label(pen: ImageDraw.ImageDraw, place: tuple[int, int], display: Display, plane: int) -> None:
    """A slice's place among those that were graded, and its position."""
    left, top = place
    largest = "   largest area" if plane == display.largest else ""
    label = f"{slice_text(plane, display.positions_mm)}{largest}"
    write_text(pen, (left + 2, top + 8), label, 13, TEXT if largest else QUIET)


def decision_text(result: GradeResult) -> str:
    """What the product stands for, with the bare vote where it does not stand for it."""
    if result.decision == INDETERMINATE:
        return f"INDETERMINATE (vote {result.grade})"
    return result.decision


def badge(pen: ImageDraw.ImageDraw, right: int, top: int, text: str) -> int:
    """A framed word at the right; returns its left edge."""
    left = right - round(font(15).getlength(text)) - 20
    pen.rectangle((left, top, right, top + 26), outline=TONES[INDETERMINATE], width=2)
    write_text(pen, (left + 10, top + 13), text, 15, TONES[INDETERMINATE])
    return left


def dashed(pen: ImageDraw.ImageDraw, box: Sequence[int], tone: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 12):
        for y in (top, bottom):
            pen.line([(x, y), (min(x + 7, right), y)], fill=tone, width=2)
    for y in range(top, bottom, 12):
        for x in (left, right):
            pen.line([(x, y), (x, min(y + 7, bottom))], fill=tone, width=2)


def write_text(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    tone: tuple[int, int, int],
    anchor: str = "lm",
    halo: bool = False,
) -> None:
    """One line of text."""
    pen.text(place, text, tone, font(size), anchor, stroke_width=int(halo), stroke_fill=0)


def fitted(text: str, face: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> str:
    """The text, or its beginning and three dots."""
    text = printable(text[:400], " ")
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _vote_of(result: GradeResult | None, sequence: str) -> Vote | None:
    return next((vote for vote in result.votes if vote.sequence == sequence), None) if result else None


def picture_png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=3)  # a third of the time of 6, and hardly larger
    return stream.getvalue()
