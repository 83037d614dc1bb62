"""UTSW-Glioma of the University of Texas Southwestern."""

from __future__ import annotations

import re

from .base import GradeSource, Layout, by_role


class Utsw(Layout):
    """``BT0001/brain_t1.nii.gz``, ``brain_flair.nii.gz`` (or ``brain_fl_ants.nii.gz``), three masks.

    Source: UTSW-Glioma at The Cancer Imaging Archive; names of files and columns as public loaders have
    them. Of the masks, ``rtumorseg_manual_correction`` is the corrected one on the grid of the images. The
    same without ``r`` is cut out and, so two loaders report, off the images' grid in 158 of 362 patients: it
    is the last choice, after the automatic ``tumorseg_FeTS``.
    """

    name = "utsw"
    title = "UTSW-Glioma"
    example = "BT0001/brain_{t1,t1ce,t2,flair}.nii.gz, rtumorseg_manual_correction.nii.gz"
    source = "UTSW-Glioma, The Cancer Imaging Archive"
    labels = "1, 2, 4 as BraTS; corrected masks also have 3 and 5, undocumented: every label is tumour"
    endings = by_role(
        "brain_t1 brain_t1_ants",
        "brain_t2 brain_t2_ants",
        "brain_flair brain_fl brain_flair_ants brain_fl_ants",
        "rtumorseg_manual_correction tumorseg_fets tumorseg_manual_correction tumorseg_manual_correction_ants",
    )
    folder = re.compile(r"BT\d{4}", re.IGNORECASE)
    grades = (GradeSource("utsw_glioma_metadata*", ("Tumor Grade",), ("Subject ID",)),)
