"""TCGA-GBM and TCGA-LGG with the segmentations of Bakas et al. 2017."""

from __future__ import annotations

import re

from ...words import HGG, LGG
from .base import Found, GradeSource, Layout, by_role


class Tcga(Layout):
    """``TCGA-02-0006/TCGA-02-0006_1996.08.23_t1.nii.gz``; the corrected mask is preferred.

    Source: Bakas et al. 2017, doi 10.1038/sdata.2017.117. The collection, and so the grade as BraTS has it
    (TCGA-LGG is WHO II and III), stands in the name of a folder above
    (``Pre-operative_TCGA_LGG_NIfTI_and_Segmentations``).
    """

    name = "tcga-glistrboost"
    title = "TCGA-GBM, TCGA-LGG (Bakas 2017)"
    example = "TCGA-02-0006/TCGA-02-0006_1996.08.23_{t1,t1Gd,t2,flair,GlistrBoost}.nii.gz"
    source = "Bakas et al. 2017, doi 10.1038/sdata.2017.117"
    labels = "1 necrosis and non-enhancing, 2 oedema, 4 enhancing"
    endings = by_role("_t1", "_t2", "_flair", "_glistrboost_manuallycorrected _glistrboost")
    folder = re.compile(r"TCGA-\w\w-\w{4}(_[\d.]+)?", re.IGNORECASE)
    grades = (
        GradeSource("name_mapping*", ("Grade",), ("TCGA_TCIA_subject_ID",)),
        GradeSource("*clinical*", ("neoplasm_histologic_grade",), ("bcr_patient_barcode", "submitter_id")),
    )
    note = "TCGA patients are also in BraTS 2018 to 2021, and the shipped models have learned from many of them"

    def patient(self, case: str) -> str:
        return case[:12]

    def grade_of(self, found: Found) -> str | None:
        text = "/".join(found.folder.parts[-5:]).upper().replace("-", "_")
        named = [grade for grade, word in ((LGG, "TCGA_LGG"), (HGG, "TCGA_GBM")) if word in text]
        return named[0] if len(named) == 1 else None
