"""The product's colours, as hex strings: one for each sequence, each grade, and the tumour's outline.

The sequences' colours keep clear of the blue and orange that stand for LGG and HGG. All pairs among them are
told apart in the common kinds of colour blindness, too, and each has a contrast of 3 to 1 or more with white
and with a dark panel (#2b2b2b).
"""

from __future__ import annotations

from collections.abc import Mapping

from .words import HGG, LGG

SEQUENCE_COLORS: Mapping[str, str] = {"T1": "#944dff", "T2": "#13aa31", "FLAIR": "#bd5192"}
"""Violet, green, magenta; by sequence."""

GRADE_COLORS: Mapping[str, str] = {LGG: "#1c7ed6", HGG: "#d9480f"}
"""Blue and orange; by grade."""

OUTLINE_COLOR = "#ffd640"
"""Yellow: the tumour's outline on images."""


def rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1 of ``#rrggbb``."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue
