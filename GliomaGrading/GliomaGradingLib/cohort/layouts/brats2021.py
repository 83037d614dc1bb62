"""BraTS 2021: the names of 2020 with other identifiers, and no grades."""

from __future__ import annotations

import re

from .base import Layout, by_role


class Brats2021(Layout):
    """``BraTS2021_00000/BraTS2021_00000_t1.nii.gz``.

    Source: Baid et al. 2021, arXiv 2107.02314; the crosswalk ``BraTS2021_MappingToTCIA.xlsx`` of The Cancer
    Imaging Archive names the collection of every patient. The set itself has no grades.
    """

    name = "brats2021"
    title = "BraTS 2021"
    example = "BraTS2021_00000/BraTS2021_00000_{t1,t1ce,t2,flair,seg}.nii.gz"
    source = "Baid et al. 2021, arXiv 2107.02314"
    labels = "1 necrosis, 2 oedema, 4 enhancing"
    endings = by_role("_t1", "_t2", "_flair", "_seg")
    folder = re.compile(r"BraTS2021_\d+", re.IGNORECASE)
    only_own_names = True
    note = (
        "BraTS 2021 has no grades, and contains patients of TCGA, UCSF-PDGM and UPENN-GBM: before calling it "
        "external, take out those a model has learned from (BraTS2021_MappingToTCIA.xlsx names them)"
    )
