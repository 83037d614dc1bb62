"""A picture of the slices that a case was graded on: T1, T2 and FLAIR one under the other, tumour outlined.

Axial slices are shown as radiologists have them: seen from the feet, the patient's right on the left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..result import GradeResult, SliceInfo, Vote
from ..sample import is_synthetic
from ..volume import Volume
from ..words import DISCLAIMER, HGG, INDETERMINATE, LGG, SEQUENCES

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    from ..case import Case
    from ..explanation import Explanation
    from ..grid import Lattice

COLUMNS = 5
MARGIN_MM = 6
CELL = 232
"""Width of one slice in the picture, in pixels."""
LABEL, GAP, TOP, BOTTOM = 178, 6, 104, 62

GROUND, TEXT, QUIET = (13, 15, 18), (238, 240, 243), (160, 167, 177)
OUTLINE = (255, 214, 64)
REGION = (92, 200, 255)
TONES = {HGG: (255, 138, 101), LGG: (129, 212, 250), INDETERMINATE: (255, 224, 130)}


@dataclass(frozen=True, eq=False)
class Display:
    """Axial planes to show, 1 mm in plane, foot to head.

    Args:
        images: (3, N, H, W) float32, sequences as in ``SEQUENCES``; rows front to back, columns from the
            patient's right to left.
        mask: (N, H, W), tumour where not 0.
        positions_mm: patient S of each plane.
        numbers: each plane's number on the case's axial grid.
        largest: which of the N planes has the largest tumour area.
        region: what the networks see, in pixels: left, top, right, bottom; None where it is not known.
        case: the case's identifier.
        synthetic: no patient is behind it.
    """

    images: np.ndarray
    mask: np.ndarray
    positions_mm: tuple[float, ...]
    numbers: tuple[int, ...]
    largest: int = 0
    region: tuple[float, float, float, float] | None = None
    case: str = ""
    synthetic: bool = False


def display_planes(case: Case, info: SliceInfo, region: Lattice | None = None) -> Display:
    """The planes of ``info`` through the whole head, with a little air around it.

    Args:
        case: with its sequences where the grading had them (after co-registration).
        region: where the networks looked, in patient coordinates (``SliceStack.region``).
    """
    frame = _frame(case, info)
    window = _head_box(frame.sample(case.images["T1"]), frame.sample(_as_float(case.mask)) > 0.5)
    frame = frame.cut(window)
    return Display(
        images=np.stack([frame.sample(case.images[name]) for name in SEQUENCES]),
        mask=(frame.sample(_as_float(case.mask), sitk.sitkNearestNeighbor) > 0.5).astype(np.uint8),
        positions_mm=tuple(info.positions_mm),
        numbers=tuple(info.indices),
        largest=_position_of(info.largest_index, info.indices),
        region=frame.pixels_of(region) if region is not None else None,
        case=case.identifier,
        synthetic=is_synthetic(case.identifier, *case.sources.values()),
    )


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
        write_text(pen, (14, size[1] - 20), _fitted(DISCLAIMER, _font(16), size[0] - 28), 16, TEXT)
    _footer(pen, size[1] - bottom + 18, display)
    return picture_png(picture)


def picture_width() -> int:
    """Width of the picture in pixels."""
    return LABEL + COLUMNS * (CELL + GAP) + 8


def _evidence(
    display: Display, explanation: Explanation | None, result: GradeResult | None
) -> Image.Image | None:
    if explanation is None or display.region is None:
        return None
    from .evidence_picture import evidence_block

    return evidence_block(display, explanation, result)


def representative(count: int, largest: int) -> tuple[int, ...]:
    """Up to five planes from first to last, evenly spread; the largest replaces the nearest to it."""
    chosen = [round(k) for k in np.linspace(0, count - 1, min(COLUMNS, count))]
    inner = range(1, len(chosen) - 1) if len(chosen) > 2 and 0 < largest < count - 1 else range(len(chosen))
    nearest = min(inner, key=lambda k: abs(chosen[k] - largest))
    chosen[nearest] = largest
    return tuple(dict.fromkeys(sorted(chosen)))


def grey_window(planes: np.ndarray) -> tuple[float, float]:
    """Grey values to show as black and as white: robust against a few bright voxels and much background."""
    low, high = np.percentile(planes, (1, 99.8))
    inside = planes[planes > low + 0.08 * (high - low)]
    if inside.size == 0:
        return float(low), float(low) + 1.0
    top = float(np.percentile(inside, 99))
    return float(low), max(top, float(low) + 1e-6)


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of a 2D mask that have a neighbour (above, below or beside) outside it."""
    inside = np.pad(mask.astype(bool), 1)
    middle = inside[1:-1, 1:-1]
    around = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return middle & ~around


# ---------------------------------------------------------------- planes


@dataclass(frozen=True)
class _Frame:
    """Axial planes at 1 mm: LPS position of the first pixel, size (x, y), planes' S and their distance."""

    x: float
    y: float
    size: tuple[int, int]
    bottom: float
    step: float
    count: int

    def sample(self, volume: Volume, interpolator: int = sitk.sitkLinear) -> np.ndarray:
        grid = sitk.ResampleImageFilter()
        grid.SetSize((*self.size, self.count))
        grid.SetOutputOrigin((self.x, self.y, self.bottom))
        grid.SetOutputSpacing((1.0, 1.0, self.step))
        grid.SetInterpolator(interpolator)
        grid.SetOutputPixelType(sitk.sitkFloat32)
        grid.SetDefaultPixelValue(float(volume.array.min()))
        return sitk.GetArrayFromImage(grid.Execute(volume.toImage()))

    def cut(self, box: tuple[int, int, int, int]) -> _Frame:
        left, top, right, bottom = box
        size = (right - left, bottom - top)
        return _Frame(self.x + left, self.y + top, size, self.bottom, self.step, self.count)

    def pixels_of(self, region: Lattice) -> tuple[float, float, float, float]:
        half = [0.5 * step for step in region.step]
        ends = [s + step * (n - 1) for s, step, n in zip(region.start, region.step, region.size, strict=True)]
        return (
            region.start[0] - half[0] - self.x,
            region.start[1] - half[1] - self.y,
            ends[0] + half[0] - self.x,
            ends[1] + half[1] - self.y,
        )


def _frame(case: Case, info: SliceInfo) -> _Frame:
    """Everything that T1 and the mask cover in plane."""
    corners = np.concatenate([_corners(case.images["T1"]), _corners(case.mask)])
    low, high = np.ceil(corners.min(0)), np.floor(corners.max(0))
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    count = len(info.positions_mm)
    return _Frame(float(low[0]), float(low[1]), size, info.positions_mm[0], info.spacing_mm, count)


def _corners(volume: Volume) -> np.ndarray:
    """(8, 3) LPS positions of the centres of the corner voxels."""
    index = np.array(np.meshgrid(*[(0, n - 1) for n in volume.array.shape[::-1]])).reshape(3, 8).T
    return index * np.asarray(volume.spacing) @ np.asarray(volume.direction).T + np.asarray(volume.origin)


def _as_float(mask: Volume) -> Volume:
    return Volume((mask.array != 0).astype(np.float32), mask.spacing, mask.origin, mask.direction)


def _head_box(planes: np.ndarray, tumour: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of head and tumour on any plane, with a margin."""
    low, high = grey_window(planes)
    inside = ((planes > low + 0.12 * (high - low)).sum(0) >= max(1, len(planes) // 5)) | tumour.any(0)
    rows, columns = _span(_busy(inside, 1)), _span(_busy(inside, 0))
    height, width = inside.shape
    return (
        max(columns[0] - MARGIN_MM, 0),
        max(rows[0] - MARGIN_MM, 0),
        min(columns[1] + MARGIN_MM, width),
        min(rows[1] + MARGIN_MM, height),
    )


def _busy(inside: np.ndarray, axis: int) -> np.ndarray:
    """Rows or columns with more than a stray pixel or two."""
    counts = inside.sum(axis)
    return counts >= min(3, max(int(counts.max()), 1))


def _span(flags: np.ndarray) -> tuple[int, int]:
    found = np.flatnonzero(flags)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(flags))


def _position_of(number: int, numbers: Sequence[int]) -> int:
    return min(range(len(numbers)), key=lambda k: abs(numbers[k] - number))


# ---------------------------------------------------------------- drawing


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
    write_text(pen, (left, middle), vote_text(vote), 19, TONES.get(vote.grade, TEXT))
    slices = f"({vote.slices_hgg} of {len(vote.slice_probabilities)} slices HGG)"
    write_text(pen, (left, middle + 24), slices, 13, QUIET)


def vote_text(vote: Vote) -> str:
    """The vote and the probability of HGG behind it, whichever way it went."""
    return f"{vote.grade}  P(HGG) {vote.probability_hgg:.2f}"


def write_column_label(pen: ImageDraw.ImageDraw, place: tuple[int, int], display: Display, plane: int) -> None:
    """A slice's number and position."""
    left, top = place
    largest = "   largest area" if plane == display.largest else ""
    label = f"slice {display.numbers[plane]}   S {display.positions_mm[plane]:+.1f} mm{largest}"
    write_text(pen, (left + 2, top + 8), label, 13, TEXT if largest else QUIET)


def _header(pen: ImageDraw.ImageDraw, width: int, display: Display, result: GradeResult | None) -> None:
    right = width - 14
    if display.synthetic:
        right = _badge(pen, right, 14, "SYNTHETIC - NO PATIENT") - 14
    name = result.case if result else display.case
    write_text(pen, (14, 26), _fitted(f"Case {name}", _font(18), right - 14), 18, TEXT)
    if result is None:
        return
    tone = TONES.get(result.decision, TEXT)
    box = (14, 46, 14 + 28 + round(_font(26).getlength(decision_text(result))), 90)
    if result.decision == INDETERMINATE:
        _dashed(pen, box, tone)
        write_text(pen, (28, 68), decision_text(result), 26, tone)
    else:
        pen.rectangle(box, fill=tone)
        write_text(pen, (28, 68), decision_text(result), 26, GROUND)
    votes_for, votes_of = result.agreement
    facts = f"P(HGG) {result.probability_hgg:.2f}    {votes_for} of {votes_of} sequences vote {result.grade}"
    write_text(pen, (box[2] + 18, 60), facts, 18, TEXT)
    model = f"model {result.model.get('name', '?')} {result.model.get('version', '')}"
    extra = f"{model}    tumour {result.tumour_ml:.1f} ml    warnings: {len(result.warnings)}"
    write_text(pen, (box[2] + 18, 82), _fitted(extra, _font(14), width - box[2] - 32), 14, QUIET)


def decision_text(result: GradeResult) -> str:
    """What the product stands for, with the bare vote where it does not stand for it."""
    if result.decision == INDETERMINATE:
        return f"INDETERMINATE (vote {result.grade})"
    return result.decision


def _footer(pen: ImageDraw.ImageDraw, middle: int, display: Display) -> None:
    legend = "Seen from the feet: the patient's right (R) is on the left.  Yellow: tumour mask"
    legend += ".  Blue corners: region the networks see." if display.region is not None else "."
    write_text(pen, (14, middle), legend, 14, QUIET)


def _badge(pen: ImageDraw.ImageDraw, right: int, top: int, text: str) -> int:
    """A framed word at the right; returns its left edge."""
    left = right - round(_font(15).getlength(text)) - 20
    pen.rectangle((left, top, right, top + 26), outline=TONES[INDETERMINATE], width=2)
    write_text(pen, (left + 10, top + 13), text, 15, TONES[INDETERMINATE])
    return left


def _dashed(pen: ImageDraw.ImageDraw, box: Sequence[int], tone: tuple[int, int, int]) -> None:
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
    pen.text(place, text, tone, _font(size), anchor, stroke_width=int(halo), stroke_fill=0)


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> str:
    """The text, or its beginning and three dots."""
    text = "".join(c if c.isprintable() else " " for c in text[:400])
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _vote_of(result: GradeResult | None, sequence: str) -> Vote | None:
    return next((vote for vote in result.votes if vote.sequence == sequence), None) if result else None


def picture_png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=False)
    return stream.getvalue()
