"""Pictures for the repository in 256 colours: ``python -m Testing.smaller PNG ...``, a quarter of the bytes.

The palette is made for each picture, and its coloured and its grey parts have a share each: most of one is
grey, and a palette of all in one turns the thin coloured lines of plots and legends into their neighbours.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from GliomaGradingLib.files import write_atomically
from GliomaGradingLib.palette import GRADE_COLORS, OUTLINE_COLOR, SEQUENCE_COLORS, pixel
from PIL import Image

COLOURS = 256
GREYS = (128, 96, 64, 48, 32)
"""How many of them are grey: the first that makes the file small enough, for noise is what costs."""

LARGEST = 300_000
"""Bytes of a picture in the repository."""

_GREY = 16
"""Difference between the channels up to which a pixel counts as grey."""

_KEPT = 0.5
"""Share of a palette that goes to colours exactly as they are: what has a meaning, then the most frequent."""

_COLORS = (*GRADE_COLORS.values(), *SEQUENCE_COLORS.values(), OUTLINE_COLOR)
_MEANING = np.array([pixel(color) for color in _COLORS])


def shrink(path: Path) -> None:
    """Rewrite a PNG with a palette, unless it has one and is small enough."""
    with Image.open(path) as picture:
        if picture.mode == "P" and path.stat().st_size <= LARGEST:
            return
        whole = picture.convert("RGB")
    write_atomically(path, smallest(whole))


def smallest(picture: Image.Image) -> bytes:
    """The PNG with the most greys that is at most ``LARGEST``, else the one with the fewest."""
    content = b""
    for greys in GREYS:
        stream = io.BytesIO()
        with_palette(picture, greys).save(stream, "PNG", optimize=True)
        content = stream.getvalue()
        if len(content) <= LARGEST:
            break
    return content


def with_palette(picture: Image.Image, greys: int) -> Image.Image:
    """Every pixel in the nearest of 256 colours, ``greys`` of which are grey."""
    pixels = np.asarray(picture)
    colours, which, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    is_grey = np.ptp(colours.astype(int), axis=1) <= _GREY
    parts = [(is_grey, greys), (~is_grey, COLOURS - greys)]
    palette = np.concatenate([_chosen(colours[part], counts[part], number) for part, number in parts])
    made = Image.fromarray(_nearest(colours, palette)[which.ravel()].reshape(pixels.shape[:2]))
    made.putpalette(palette.astype(np.uint8).tobytes())
    return made


def _chosen(colours: np.ndarray, counts: np.ndarray, number: int) -> np.ndarray:
    """So many colours for these: those with a meaning and the most frequent themselves, means of the others."""
    if len(colours) <= number:
        return colours
    has_meaning = (colours[:, None] == _MEANING).all(axis=-1).any(axis=1)
    order = np.lexsort((-counts, ~has_meaning))
    kept = int(number * _KEPT)
    rest = order[kept:]
    # each colour once and not as often as it occurs: a rare line counts as much as the ground
    row = Image.fromarray(colours[rest][None])
    means = row.quantize(number - kept, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).getpalette() or []
    return np.concatenate([colours[order[:kept]], np.reshape(means, (-1, 3))[: number - kept]])


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """For each colour the palette's nearest, as its place."""
    found = np.empty(len(colours), np.uint8)
    for start in range(0, len(colours), 4096):
        part = colours[start : start + 4096, None].astype(np.int32)
        found[start : start + 4096] = ((part - palette[None].astype(np.int32)) ** 2).sum(-1).argmin(1)
    return found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        shrink(Path(name))
