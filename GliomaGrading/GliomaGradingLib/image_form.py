"""What a network's images are made like: numbers alone, so that who only reads them waits for no torch."""

from __future__ import annotations

from dataclasses import dataclass

CHANNEL_RULES = ("neighbours", "same")


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
    """

    channels: str = "neighbours"
    offset_mm: float = 1.0
    low: float = -4.0
    high: float = 7.0
    gain: float = 50.0
    pixels: int = 64

    def __post_init__(self) -> None:
        if self.channels not in CHANNEL_RULES:
            raise ValueError(f"there is no channel rule {self.channels!r}")

    @property
    def offsets_mm(self) -> tuple[float, float, float]:
        """Where the three channels lie relative to their slice, in mm towards the head."""
        step = self.offset_mm if self.channels == "neighbours" else 0.0
        return -step, 0.0, step
