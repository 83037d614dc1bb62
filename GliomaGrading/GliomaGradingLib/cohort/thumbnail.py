"""A small picture of a graded case for the page of its cohort."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..grading import Graded

NAME = "thumbnail.png"
HEIGHT = 96
"""Pixels."""
_COLOURS = 64


def thumbnail(graded: Graded) -> bytes:
    """PNG: FLAIR where the tumour's area is largest, tumour outlined; the patient's right on the left."""
    from PIL import Image

    from ..export.display import display_planes, edge_of, grey_window
    from ..export.drawing import OUTLINE

    info = graded.result.slices
    place = info.largest_place
    one = replace(info, indices=(info.indices[place],), positions_mm=(info.positions_mm[place],))
    display = display_planes(graded.case, one, sequences=("FLAIR",))
    plane = display.images[0, 0]
    low, high = grey_window(plane)
    grey = np.clip((plane - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    size = (max(round(HEIGHT * grey.shape[1] / grey.shape[0]), 1), HEIGHT)
    pixels = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB"))
    mask = Image.fromarray(((display.mask[0] != 0) * 255).astype(np.uint8))
    pixels[edge_of(np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) > 127)] = OUTLINE
    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(_COLOURS).save(stream, "PNG", optimize=False)
    return stream.getvalue()
