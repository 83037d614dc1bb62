"""The words that the whole package shares: sequences, grades, and what they mean."""

from __future__ import annotations

SEQUENCES = ("T1", "T2", "FLAIR")
"""The three sequences, in the order of every array, table and vote."""

LGG, HGG, INDETERMINATE = "LGG", "HGG", "indeterminate"

UNDECIDED = (0.4, 0.6)
"""Probabilities of HGG between which no grade is stood for, unless a bundle has others."""

SLICE_COUNT = 20
"""Adjacent axial slices a case is graded on (the paper's Methods)."""

DEVICES = ("auto", "cpu", "cuda")
"""What grading and training compute on; auto: CUDA where there is one."""

REGISTER_MODES = ("auto", "always", "never")
"""When sequences are aligned to the one the mask was drawn on; auto: where they need it."""

PROTOCOLS = ("patient", "image")
"""How patients are split for training and test: the honest way, and the paper's."""

GRADE_MEANING = (
    "LGG and HGG are the classes of the BraTS data: LGG is WHO grade II and III (TCGA-LGG), "
    "HGG is glioblastoma, WHO grade IV. They are not the WHO 2021 integrated diagnosis, "
    "which needs tissue and molecular markers."
)

DISCLAIMER = "For research use only. Not a medical device; not for diagnosis or treatment decisions."
