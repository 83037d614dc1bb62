"""Pictures for the repository get small, and keep the colours that mean something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from GliomaGradingLib import palette
from GliomaGradingLib.export import drawing, evidence_picture
from GliomaGradingLib.palette import GRADE_COLORS, OUTLINE_COLOR, SEQUENCE_COLORS
from PIL import Image, ImageColor

from Testing import smaller

LINES = [*SEQUENCE_COLORS.values(), *GRADE_COLORS.values(), OUTLINE_COLOR]


def screenshot() -> np.ndarray:
    """Like a screenshot: slices as grey noise, a ramp of evidence colours, and thin lines in every colour."""
    rng = np.random.default_rng(1)
    pixels = np.full((600, 900, 3), 240, np.uint8)
    pixels[:400, :600] = rng.integers(0, 256, (400, 600, 1))
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    pixels[100:300, 100:300] = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 255 - ramp), axis=-1)
    pixels[100:300, 300:420] = ramp[:120, None] // [1, 2, 3]  # frequent colours that mean nothing
    for k, colour in enumerate(LINES):
        pixels[420 + 20 * k, 50 : 350 - 40 * k] = ImageColor.getrgb(colour)
    return pixels


def test_thin_lines_keep_their_colours_and_the_file_is_small(tmp_path: Path) -> None:
    before, path = screenshot(), tmp_path / "a.png"
    Image.fromarray(before).save(path)
    larger = path.stat().st_size
    smaller.shrink(path)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        after = np.asarray(picture.convert("RGB"))
    assert path.stat().st_size < 0.7 * larger and path.stat().st_size <= smaller.LARGEST
    for k, colour in enumerate(LINES):
        assert tuple(after[420 + 20 * k, 60]) == ImageColor.getrgb(colour), colour
    difference = np.abs(after.astype(int) - before).max(-1)
    assert difference[100:300, 100:300].mean() < 16 and difference[:100].mean() < 5
    assert (np.ptp(after[:90, :600].astype(int), axis=-1) <= 16).all(), "grey stays grey"
    assert difference[420:].max() == 0


def test_every_colour_of_a_grade_is_the_palettes_and_of_its_hue() -> None:
    """Blue for LGG and orange for HGG, on whatever ground."""
    assert palette.pixel(OUTLINE_COLOR) == drawing.OUTLINE
    pixels = {
        grade: [
            palette.pixel(GRADE_COLORS[grade]),
            drawing.TONES[grade],
            evidence_picture.TONES[grade],
            *palette.EVIDENCE_RAMPS[grade],
        ]
        for grade in ("LGG", "HGG")
    }
    assert drawing.TONES["HGG"] == palette.pixel(palette.LIGHT_GRADE_COLORS["HGG"])
    assert evidence_picture.TONES["LGG"] == palette.pixel(palette.EVIDENCE_COLORS["LGG"])
    assert all(red < green < blue for red, green, blue in pixels["LGG"])
    assert all(red > green > blue for red, green, blue in pixels["HGG"])


def test_a_small_picture_with_a_palette_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("P", (8, 8)).save(path)
    before = path.read_bytes()
    smaller.shrink(path)
    assert path.read_bytes() == before
