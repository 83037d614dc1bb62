"""Folders that people name themselves: t1, t2, flair and mask in any of the usual spellings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...reading.imaging import volume_suffix
from .base import MASKS, Candidate, Layout, anyhow, by_role, shortened


class Plain(Layout):
    """One folder a case, the files called after their sequence, alone or after the case's name.

    Where none is called so, one with words behind that say nothing of the sequence is taken (``T1_brain``,
    ``t1_pre``), or with spaces between the words (``p1 t1``). Of folders these tell nothing: a DICOM study is
    sorted by its headers.

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
        " ".join(MASKS),
    )

    def _otherwise(
        self, role: str, folder: Path, case: str, candidates: list[Candidate]
    ) -> Iterable[Candidate]:
        yield from super()._otherwise(role, folder, case, candidates)
        yield from (shortened(one, role) for one in candidates if volume_suffix(one.path))
