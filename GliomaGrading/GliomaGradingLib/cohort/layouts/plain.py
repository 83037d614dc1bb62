"""Folders that people name themselves: t1, t2, flair and mask in any of the usual spellings."""

from __future__ import annotations

from .base import Layout, anyhow, by_role


class Plain(Layout):
    """One folder a case, the files called after their sequence, alone or after the case's name.

    Source: the names that users of the layouts beside this one write, without a data set behind them.
    """

    name = "plain"
    title = "one folder a case"
    example = "CASE/t1.nii.gz t2.nii.gz flair.nii.gz mask.nii.gz, or CASE/CASE_t1w.nrrd ..."
    source = "no data set: the usual spellings"
    labels = "every label is tumour"
    endings = by_role(
        anyhow("t1 t1w t1n t1wi t1_bias"),
        anyhow("t2 t2w t2wi t2_bias"),
        anyhow("flair t2f t2flair fla fl flair_bias"),
        anyhow(
            "seg mask segmentation label labels labelmap roi tumor tumour tumor_segmentation "
            "tumour_segmentation tumor_mask tumour_mask segm tumorseg tumor_seg"
        ),
    )
