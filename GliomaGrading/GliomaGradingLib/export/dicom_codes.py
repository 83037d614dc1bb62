"""Codes of the DICOM output, as (value, scheme, meaning); needs nothing.

Standard codes come from DICOM PS3.16 (DCM, UCUM) and SNOMED CT (SCT). What neither of them has is coded in a
private scheme, which every object that uses it declares as such (PS3.3 C.12.1, Coding Scheme Identification).
"""

from __future__ import annotations

from ..words import HGG, INDETERMINATE, LGG

Code = tuple[str, str, str]

PRIVATE = "99GLIOMAGRADING"
"""Designator of the private scheme: 99 is what DICOM reserves for such (PS3.16 chapter 8)."""

PRIVATE_NAME = "GliomaGrading private codes (no standard; research use only)"
PRIVATE_OWNER = "GliomaGrading project"

PREDICTED_GRADE: Code = ("PREDGRADE", PRIVATE, "Predicted glioma grade class, by vote of the sequences")
DECISION: Code = ("DECISION", PRIVATE, "Decision on the predicted glioma grade class")
SEQUENCE_VOTE: Code = ("SEQVOTE", PRIVATE, "Predicted glioma grade class, by one sequence")
PROBABILITY_OF: Code = ("PROBOF", PRIVATE, "Class that the probability is of")
VOTES_FOR: Code = ("VOTESFOR", PRIVATE, "Number of votes for the predicted class")
VOTES: Code = ("VOTES", PRIVATE, "Number of votes")
SLICES_HIGH: Code = ("SLICESHIGH", PRIVATE, "Number of slices called high grade")
SLICES: Code = ("SLICES", PRIVATE, "Number of slices graded")

LOW_GRADE: Code = ("1155708003", "SCT", "Low histologic grade")
HIGH_GRADE: Code = ("1155707008", "SCT", "High histologic grade")
UNDECIDED: Code = ("82334004", "SCT", "Indeterminate")
NEOPLASM: Code = ("108369006", "SCT", "Neoplasm")
BRAIN: Code = ("12738006", "SCT", "Brain")
VOLUME: Code = ("118565006", "SCT", "Volume")

PROBABILITY: Code = ("122157", "DCM", "Probability")
ALGORITHM_FAMILY: Code = ("111000", "DCM", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE: Code = ("123110", "DCM", "Artificial Intelligence")
COMMENT: Code = ("121106", "DCM", "Comment")
SOURCE_IMAGE: Code = ("121322", "DCM", "Source image for image processing operation")
MRI_BRAIN: Code = ("24590-2", "LN", "Brain MRI")

NO_UNITS: Code = ("1", "UCUM", "no units")
VOTES_UNIT: Code = ("{votes}", "UCUM", "votes")
SLICES_UNIT: Code = ("{slices}", "UCUM", "slices")
MILLILITRE: Code = ("mL", "UCUM", "mL")

GRADE_CODES: dict[str, Code] = {LGG: LOW_GRADE, HGG: HIGH_GRADE, INDETERMINATE: UNDECIDED}
