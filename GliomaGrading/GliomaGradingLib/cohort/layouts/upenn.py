"""UPENN-GBM, glioblastoma of the University of Pennsylvania."""

from __future__ import annotations

import re
from pathlib import Path

from ...words import HGG
from .base import Found, Layout, by_role

_STRIPPED = "images_structural"
"""The folder beside ``images_structural_unstripped``: The Cancer Imaging Archive has both of every scan."""


class UpennGbm(Layout):
    """``images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_T1.nii.gz``; masks in folders of their own.

    Source: Bakas et al. 2022, doi 10.1038/s41597-022-01560-7: ``_11`` is the scan before surgery, ``_21`` a
    follow-up; ``images_segm`` holds corrected masks, ``automated_segm`` automatic ones. All patients have
    glioblastoma.
    """

    name = "upenn-gbm"
    title = "UPENN-GBM"
    example = "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_{T1,T1GD,T2,FLAIR}.nii.gz"
    source = "Bakas et al. 2022, doi 10.1038/s41597-022-01560-7"
    labels = "1 necrosis, 2 oedema, 4 enhancing"
    endings = by_role(
        "_t1 _t1_unstripped",
        "_t2 _t2_unstripped",
        "_flair _flair_unstripped",
        "_segm _automated_approx_segm",
    )
    folder = re.compile(r"UPENN-GBM-\d{5}_\d\d", re.IGNORECASE)
    mask_folders = (
        "../../images_segm",
        "../../automated_segm",
        "../../images_segm/{case}",
        "../../automated_segm/{case}",
        "../images_segm",
        "../automated_segm",
    )
    every_grade = HGG
    note = "UPENN-GBM is glioblastoma only (every case counts as HGG), and most of it is in BraTS 2021 too"

    def patient(self, case: str) -> str:
        return re.sub(r"_\d\d$", "", case)

    def unfit(self, found: Found, source: Path) -> str:
        if self.owns(found.case) and not found.case.endswith("_11"):
            return f"a follow-up scan of {self.patient(found.case)}, after surgery"
        place = found.folder.absolute()
        stripped = place.parent.parent / _STRIPPED / place.name
        is_twice = place.parent.name.startswith(f"{_STRIPPED}_") and stripped.is_relative_to(source.absolute())
        return (
            f"the same scan as in {_STRIPPED}, with the skull" if is_twice and any(stripped.glob("*")) else ""
        )

    def is_support(self, folder: str) -> bool:
        return folder in ("images_segm", "automated_segm")
