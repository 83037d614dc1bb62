"""The product's colours, as hex strings: for each sequence, each grade on each ground, the tumour's outline.

The sequences' colours keep clear of the blue and orange that stand for LGG and HGG. All pairs among them are
told apart in the common kinds of colour blindness, too, and each has a contrast of 3 to 1 or more with white
and with a dark panel (#2b2b2b).
"""

from __future__ import annotations

from collections.abc import Mapping

from .words import HGG, INDETERMINATE, LGG

SEQUENCE_COLORS: Mapping[str, str] = {"T1": "#944dff", "T2": "#13aa31", "FLAIR": "#bd5192"}
"""Violet, green, magenta; by sequence."""

GRADE_COLORS: Mapping[str, str] = {LGG: "#1c7ed6", HGG: "#d9480f"}
"""Blue and orange; by grade. They go with a light and a dark panel, and are the hue of all that follow."""

LIGHT_GRADE_COLORS: Mapping[str, str] = {LGG: "#81d4fa", HGG: "#ff8a65", INDETERMINATE: "#ffe082"}
"""By decision, for letters on black."""

EVIDENCE_COLORS: Mapping[str, str] = {LGG: "#2896ff", HGG: "#ff7010"}
"""By grade: the strongest evidence over a grey image; weaker evidence is more transparent."""

EVIDENCE_RAMPS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    LGG: ((0.05, 0.10, 0.30), (0.45, 0.85, 1.0)),
    HGG: ((0.30, 0.08, 0.0), (1.0, 0.65, 0.15)),
}
"""Weak and strong evidence, rgb, where it cannot be more transparent: brighter is stronger, because slice views
blend with one opacity for all."""

PAGE_COLORS = """
:root{color-scheme:light dark;--ground:#fff;--panel:#f4f6f8;--text:#14181d;--quiet:#56606c;--line:#d3d9e0;
--hgg:#b3320b;--lgg:#075a9c;--unsure:#7a5600;--warn:#fff4d6}
@media (prefers-color-scheme:dark){:root{--ground:#101317;--panel:#191d23;--text:#e9edf1;--quiet:#a2adb9;
--line:#353d47;--hgg:#ff9d7d;--lgg:#8fcbff;--unsure:#ffd76a;--warn:#3a2f10}}
"""
"""Of the pages of a case and of a cohort, as CSS: for letters, by the reader's light or dark setting."""

OUTLINE_COLOR = "#ffd640"
"""Yellow: the tumour's outline on images."""


def pixel(color: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 of ``#rrggbb``."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1 of ``#rrggbb``."""
    red, green, blue = pixel(color)
    return red / 255, green / 255, blue / 255
