"""How panel, pictures and report write numbers and sentences: the same in every language."""

from __future__ import annotations

import math


def probability_text(probability: float) -> str:
    """Two decimals that never round to certainty."""
    if 0.995 <= probability < 1:
        return "> 0.99"
    return "< 0.01" if 0 < probability < 0.005 else f"{probability:.2f}"


def height_text(position: float) -> str:
    """``S 4`` above the origin, ``I 18`` below it: mm along the patient's axis, in Slicer's letters."""
    rounded = math.floor(position + 0.5)  # halves all one way: slices 1 mm apart have names 1 mm apart
    return f"I {-rounded}" if rounded < 0 else f"S {rounded}"


def sentence(text: str) -> str:
    """With a capital and a full stop; a name stays as it is."""
    first = text[:1].upper() if text.split(" ")[0].isalpha() else text[:1]
    return f"{first}{text[1:]}{'' if text.endswith('.') else '.'}"


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both with as many digits as show that one is not the other, from one after the point on."""
    for digits in range(1, 7):
        shown = f"{value:.{digits}f}", f"{limit:.{digits}f}"
        if shown[0] != shown[1]:
            break
    return shown
