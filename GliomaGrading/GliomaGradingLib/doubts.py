"""Codes of warnings with which no decision is stood for: what the networks saw may not be what it is named.

And why a result stands for no grade: a close call between the grades, or inputs that are doubted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .words import INDETERMINATE

if TYPE_CHECKING:
    from .result import GradeResult, Notice

SWAPPED = ("t1-t2-swapped", "t2-flair-swapped", "t1-flair-swapped")
"""Two sequences seem to have been exchanged."""

PLACELESS = "orientation-unknown"
"""A file does not say how its volume lies in the patient: it was taken for axial."""

OUT_OF_REACH = "slices-not-reached"
"""A sequence shows nothing in some of the slices that are graded; the networks vote on them all the same."""

SINGLE_SLICES = "mask-single-slices"
"""Most of the mask lies on single slices, and what lies between them is not known."""

DOUBTFUL = (
    *SWAPPED,
    PLACELESS,
    OUT_OF_REACH,
    "mirrored",
    "misaligned",
    "brain-doubtful",
    "mask-tiny",
    SINGLE_SLICES,
    "dicom-different-patients",
)
"""Warnings about the input that hold the decision back, whatever the networks say."""

UNLIKE_TRAINING = "unlike-training"
NOT_TUMOUR = "mask-not-tumour"
T1_BRIGHT = "t1-bright"
UNFAMILIAR = (UNLIKE_TRAINING, NOT_TUMOUR, T1_BRIGHT)
"""Reasons to hold a decision back that the images give: the case is unlike those of the training patients."""

NEAR_BOUNDARY = "near-boundary"
AT_ODDS = "models-at-odds"
CLOSE_CALLS = (NEAR_BOUNDARY, AT_ODDS)
"""Reasons to hold a decision back that lie in the numbers alone: the inputs are as good as any."""

TAUGHT = "taught-the-models"
"""The case is named like a patient that the models learned from."""

NO_DECISION = "Indeterminate:"
"""What the messages of the networks' own reasons begin with."""


def reasons(result: GradeResult) -> list[Notice]:
    """Why a result stands for no grade; none where it does."""
    if result.decision != INDETERMINATE:
        return []
    return [one for one in result.warnings if one.code in (*DOUBTFUL, *UNFAMILIAR, *CLOSE_CALLS)]


def are_inputs_doubted(result: GradeResult) -> bool:
    """Whether no grade is stood for because of what was graded, be it a close call or not."""
    return any(reason.code not in CLOSE_CALLS for reason in reasons(result))


def is_taught(result: GradeResult) -> bool:
    return any(warning.code == TAUGHT for warning in result.warnings)
