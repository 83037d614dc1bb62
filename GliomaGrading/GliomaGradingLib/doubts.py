"""Codes of warnings with which no decision is stood for: what the networks saw may not be what it is named."""

from __future__ import annotations

SWAPPED = ("t1-t2-swapped", "t2-flair-swapped", "t1-flair-swapped")
"""Two sequences seem to have been exchanged."""

DOUBTFUL = (
    *SWAPPED,
    "mirrored",
    "misaligned",
    "brain-doubtful",
    "mask-tiny",
    "dicom-different-patients",
)
"""Warnings about the input that hold the decision back, whatever the networks say."""
