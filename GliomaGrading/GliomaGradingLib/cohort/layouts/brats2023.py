"""BraTS 2023 GLI and, after treatment, BraTS 2024 GLI: the same names, other times of imaging."""

from __future__ import annotations

import re
from pathlib import Path

from ..visit_names import AFTER_TREATMENT
from .base import Found, Layout, by_role

_TREATED = re.compile(r"(BraTS-GLI-\d{5})-1\d\d", re.IGNORECASE)
_NOT_BEFORE_TREATMENT = (
    f"BraTS 2024 GLI is {AFTER_TREATMENT}: --layout brats2024 takes it all the same, "
    "without the resection cavity"
)
_NO_GLIOMA = {"MEN": "meningioma", "MET": "metastases"}
_OTHERS = re.compile(rf"BraTS-({'|'.join(_NO_GLIOMA)})-.+", re.IGNORECASE)
"""Challenges of the same year and with the same names, of other tumours."""

_NO_GLIOMAS = re.compile(r"(\d+[-_ ]*)?other[-_ ]?neoplasms?", re.IGNORECASE)
"""The folder of BraTS-Africa beside the one of its gliomas."""


class Brats2023(Layout):
    """``BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1n.nii.gz``: identifier, patient and time point.

    Source: the challenge's data page (Synapse syn51156910); that ``-000`` and ``-001`` are two scans of one
    patient follows from public loaders that split the data by patient. The set has no grades. BraTS-Africa
    (Adewole et al. 2023, arXiv 2305.19369) has its names with ``SSA`` for ``GLI``, the patients in the folders
    ``95_Glioma`` and ``51_OtherNeoplasms``, of which the latter are left out.
    """

    name = "brats2023"
    title = "BraTS 2023 GLI"
    example = "BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz"
    source = "BraTS 2023, Synapse syn51156910"
    labels = "1 necrosis, 2 oedema, 3 enhancing"
    enhancing = 3
    endings = by_role("-t1n", "-t2w", "-t2f", "-seg")
    folder = re.compile(rf"BraTS-(GLI|SSA)-\d{{5}}-0\d\d|{_OTHERS.pattern}", re.IGNORECASE)
    note = "BraTS 2023 GLI has no grades, and its patients are those of BraTS 2021 under other names"

    def patient(self, case: str) -> str:
        return re.sub(r"-\d{3}$", "", case)

    def unfit(self, found: Found, source: Path) -> str:
        """Why a case of 2024, or of another tumour, is not to be graded."""
        return _NOT_BEFORE_TREATMENT if _TREATED.fullmatch(found.case) else _unfit(found)

    def note_on(self, case: str) -> str:
        """Of BraTS 2023 GLI: BraTS-Africa has the same names, and patients of its own."""
        return super().note_on(case) if case.upper().startswith("BRATS-GLI-") else ""


class Brats2024(Brats2023):
    """Its names are those of 2023 with time points from ``-100`` on: after surgery and radiation.

    Source: de Verdier et al. 2024, arXiv 2405.18368 (post-treatment glioma; label 4 is the resection
    cavity); the time points as public loaders have them (``BraTS-GLI-02062-100``). Nothing of it is listed
    unless it is asked for by name, and then the cavity is no tumour.
    """

    name = "brats2024"
    title = "BraTS 2024 GLI (after treatment)"
    example = "BraTS-GLI-02062-100/BraTS-GLI-02062-100-{t1n,t1c,t2w,t2f,seg}.nii.gz"
    source = "de Verdier et al. 2024, arXiv 2405.18368"
    labels = "1 non-enhancing core, 2 oedema, 3 enhancing, 4 resection cavity (left out)"
    folder = _TREATED
    mask_labels = (1, 2, 3)
    only_own_names = True
    on_request = _NOT_BEFORE_TREATMENT
    note = on_request.split(":")[0]

    def unfit(self, found: Found, source: Path) -> str:
        """Asked for by name, it is graded; other tumours are not."""
        return _unfit(found)


def _unfit(found: Found) -> str:
    """Why a case of another challenge of BraTS, or of another tumour in BraTS-Africa, is not to be graded."""
    if other := _OTHERS.fullmatch(found.case):
        return f"BraTS-{other[1].upper()} is {_NO_GLIOMA[other[1].upper()]}, and no glioma"
    place = found.folder.absolute()
    of_others = next((name for name in (place.name, place.parent.name) if _NO_GLIOMAS.fullmatch(name)), None)
    return f"the folder {of_others} of BraTS-Africa holds other tumours than gliomas" if of_others else ""
