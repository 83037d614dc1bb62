"""What a network's images are made like: numbers alone, so that who only reads them waits for no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CHANNEL_RULES = ("neighbours", "same")
QUARTERS = 4
_PLASTIC = 1.32471795724474602596
"""Its powers spread points over a square evenly, however many there are (the R2 sequence)."""


class Views(NamedTuple):
    """How slices are looked at: ``turns`` (n,) quarters, then ``shifts`` (n, 2) pixels of rows and columns."""

    turns: np.ndarray
    shifts: np.ndarray


@dataclass(frozen=True)
class ImageForm:
    """From z-scored planes to network input; part of a model bundle.

    Args:
        channels: ``neighbours`` gives a slice and the planes one ``offset_mm`` below and above it the
            three colour channels (foot, slice, head); ``same`` repeats the slice.
        offset_mm: distance of the neighbouring planes.
        low, high: z-scores are clipped to this range.
        gain: network units per z-score. ImageNet pixels, less their mean, span about +-120.
        pixels: side of the square network input; the region is enlarged to it linearly.
        turned: each slice is turned by a quarter more than the one below. What the slices make up together
            then hangs less on how the tumour lies in its region, and on how its mask was drawn, at no cost.
        shifted: each slice is shifted by up to so many pixels along both axes, in its own way. A network looks
            at every eighth, sixteenth, ... pixel: the slices together see more of what lies between.
    """

    channels: str = "neighbours"
    offset_mm: float = 1.0
    low: float = -4.0
    high: float = 7.0
    gain: float = 50.0
    pixels: int = 64
    turned: bool = False
    shifted: int = 0

    def __post_init__(self) -> None:
        if self.channels not in CHANNEL_RULES:
            raise ValueError(f"there is no channel rule {self.channels!r}")
        if not self.low < self.high:
            raise ValueError(f"nothing lies between z-scores of {self.low:g} and {self.high:g}")
        if not 0 <= self.shifted < self.pixels:
            raise ValueError(f"images of {self.pixels} pixels cannot be shifted by {self.shifted}")

    @property
    def offsets_mm(self) -> tuple[float, float, float]:
        """Where the three channels lie relative to their slice, in mm towards the head."""
        step = self.offset_mm if self.channels == "neighbours" else 0.0
        return -step, 0.0, step

    def views(self, slices: np.ndarray) -> Views:
        """How slices are looked at; (n,) their numbers among the 20, from the foot."""
        numbers = np.asarray(slices)
        turns = numbers % QUARTERS if self.turned else np.zeros(len(numbers), int)
        places = (0.5 + numbers[:, None] / np.array([_PLASTIC**2, _PLASTIC])) % 1  # from 0 to 1, evenly
        return Views(turns, np.rint((places - 0.5) * 2 * self.shifted).astype(int))
