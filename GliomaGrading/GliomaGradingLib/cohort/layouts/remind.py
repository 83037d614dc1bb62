"""ReMIND: recognised, so that its users are told what it is and what to do."""

from __future__ import annotations

import re

from .base import Found, GradeSource, Layout, by_role
from .folder import Folder


class Remind(Layout):
    """``ReMIND-001/DATE-NA-Preop-NUMBER/SERIES/*.dcm``: DICOM, with masks as DICOM SEG objects.

    Source: Juvekar et al. 2024, doi 10.1038/s41597-024-03295-z; folders as public loaders have them
    (``12-25-1982-NA-Preop-...``, ``...-Intraop-...``). Most cases have no T1 without contrast, every patient
    is imaged during surgery too, and the masks are SEG objects: which series to take is a person's decision.
    """

    name = "remind"
    title = "ReMIND"
    example = "ReMIND-001/12-25-1982-NA-Preop-00000/..."
    source = "Juvekar et al. 2024, doi 10.1038/s41597-024-03295-z"
    labels = "one DICOM SEG object a structure"
    endings = by_role("t1", "t2", "flair", "tumor")
    folder = re.compile(r"ReMIND-\d{3}", re.IGNORECASE)
    grades = (GradeSource("remind*", ("WHO Grade",), ("Case Number", "Subject ID", "ID")),)
    only_own_names = True
    note = "ReMIND mixes scans before and during surgery: choose the series before surgery in a manifest"

    def find(self, folder: Folder) -> list[Found]:
        if not self.owns(folder.name):
            return []
        problem = "ReMIND has scans before and during surgery and masks as DICOM SEG objects"
        remedy = "choose the series before surgery and list them in a manifest, the mask exported as NIfTI"
        return [Found(folder.name, folder.path, {}, problem, remedy)]
