"""How panel, pictures and report write numbers and sentences: the same in every language."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .words import UNDECIDED


def probability_text(probability: float, digits: int = 2, undecided: tuple[float, float] = UNDECIDED) -> str:
    """Two decimals that round neither to certainty nor across a threshold: 0.497 of an LGG is ``< 0.50``.

    A probability of 1 is said to be above 0.99, too: it is what a float has made of one that is nearly so.

    Args:
        undecided: the band of probabilities without a decision, whose ends are such thresholds.
    """
    least = 10.0**-digits
    if probability >= 1 - least / 2:
        return f"> {1 - least:.{digits}f}"
    if probability < least / 2:
        return f"< {least:.{digits}f}"
    text = f"{probability:.{digits}f}"
    if _sides(float(text), undecided) == _sides(probability, undecided):
        return text
    return f"{'<' if probability < float(text) else '>'} {text}"


def _sides(probability: float, undecided: tuple[float, float]) -> tuple[bool, bool, bool]:
    """On which side of each threshold, as ``voting`` has it."""
    low, high = undecided
    return probability > low, probability >= 0.5, probability >= high


def threshold_text(probability: float) -> str:
    """Two decimals, or as many as it has."""
    text = f"{probability:.2f}"
    return text if float(text) == probability else f"{probability:g}"


def volume_text(millilitres: float, unit: str = " ml") -> str:
    """One decimal that never rounds what is there to nothing."""
    text = "< 0.1" if 0 < millilitres < 0.05 else f"{millilitres:.1f}"
    return f"{text}{unit}"


def height_text(position: float) -> str:
    """``S 4`` above the origin, ``I 18`` below it: mm along the patient's axis, in Slicer's letters."""
    rounded = math.floor(position + 0.5)  # halves all one way: slices 1 mm apart have names 1 mm apart
    return f"I {-rounded}" if rounded < 0 else f"S {rounded}"


def some_of(names: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """The first names, and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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
