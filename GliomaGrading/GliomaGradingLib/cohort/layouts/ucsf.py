"""UCSF-PDGM, the preoperative diffuse glioma MRI of the University of California, San Francisco."""

from __future__ import annotations

import re
from pathlib import Path

from .base import Found, GradeSource, Layout, by_role

_FOLLOW_UP = {"0138": "0429", "0175": "0396", "0181": "0409", "0278": "0431", "0289": "0391", "0315": "0433"}
"""What the six follow-up scans were called before version 5, and whose they are."""


class UcsfPdgm(Layout):
    """``UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_T1.nii.gz``; the sequences without bias correction are preferred.

    Source: Calabrese et al. 2022, doi 10.1148/ryai.220058, and the collection's page at The Cancer Imaging
    Archive (doi 10.7937/tcia.bdgf-8v37); that identifiers have three digits in the table and four in folder
    names, and which six scans are follow-ups (``_FU003d``), as public loaders of version 5 have it. Labels
    1, 2, 4 likewise.
    """

    name = "ucsf-pdgm"
    title = "UCSF-PDGM"
    example = "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{T1,T1c,T2,FLAIR,tumor_segmentation}.nii.gz"
    source = "Calabrese et al. 2022, doi 10.1148/ryai.220058"
    labels = "1 necrosis, 2 oedema, 4 enhancing"
    endings = by_role("_t1 _t1_bias", "_t2 _t2_bias", "_flair _flair_bias", "_tumor_segmentation")
    folder = re.compile(r"UCSF-PDGM-\d{3,4}(_FU\d+d)?", re.IGNORECASE)
    grades = (GradeSource("ucsf-pdgm-metadata*", ("WHO CNS Grade",), ("ID",)),)
    note = "many UCSF-PDGM patients are also in BraTS 2021 and 2023 (column 'BraTS21 ID' of its table)"

    def patient(self, case: str) -> str:
        number = re.sub(r"_FU\d+d$", "", case, flags=re.IGNORECASE)
        return number[:-4] + _FOLLOW_UP.get(number[-4:], number[-4:])

    def unfit(self, found: Found, source: Path) -> str:
        case = found.case
        is_follow_up = "_FU" in case.upper() or case[-4:] in _FOLLOW_UP
        return f"a follow-up scan of {self.patient(case)}" if self.owns(case) and is_follow_up else ""
