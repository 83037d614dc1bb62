"""Erasmus Glioma Database, as its downloader lays it out and as its archive does."""

from __future__ import annotations

import json
import re

from .base import Candidate, Found, GradeSource, Layout, by_role
from .folder import Folder

_ARCHIVE = {"T1": "1_T1", "T2": "3_T2", "FLAIR": "4_FLAIR", "mask": "5_MASK"}


class Egd(Layout):
    """``SUBJECTS/EGD-0001/T1.nii.gz`` or ``MR_EGD-0001/1_T1/NIFTI/T1.nii.gz``.

    Source: van der Voort et al. 2021, doi 10.1016/j.dib.2021.107191; folders, the columns of
    ``Genetic_and_Histological_labels.xlsx`` (Subject, IDH, 1p19q, Grade; -1 is unknown) and a patient's
    ``metadata.json``, which has the same, as public loaders read them.
    """

    name = "egd"
    title = "Erasmus Glioma Database"
    example = "SUBJECTS/EGD-0001/{T1,T1GD,T2,FLAIR,MASK}.nii.gz"
    source = "van der Voort et al. 2021, doi 10.1016/j.dib.2021.107191"
    labels = "1 tumour"
    endings = by_role("t1", "t2", "flair", "mask")
    folder = re.compile(r"(MR_)?EGD-\d{4}", re.IGNORECASE)
    only_own_names = True
    grades = (GradeSource("*genetic_and_histological_labels*", ("Grade",), ("Subject",)),)

    def identifier(self, folder: str) -> str:
        return folder.removeprefix("MR_")

    def find(self, folder: Folder) -> list[Found]:
        if not {"1_T1", "3_T2", "4_FLAIR"} & set(folder.folders):
            return super().find(folder)
        files = [folder.path / place / "NIFTI" / f"{role.upper()}.nii.gz" for role, place in _ARCHIVE.items()]
        files.append(folder.path / "2_T1GD" / "NIFTI" / "T1GD.nii.gz")
        candidates = [Candidate(path) for path in files if path.is_file()]
        case = self.identifier(folder.name)
        return [self._matched(folder.path, case, candidates)]

    def grade_of(self, found: Found) -> str | None:
        """The grade of the patient's own ``metadata.json``: WHO 2, 3 or 4, or -1."""
        path = found.folder / "metadata.json"
        if not path.is_file():
            return None
        try:
            labels = json.loads(path.read_text(encoding="utf-8-sig"))["Genetic_and_Histological_labels"]
            return str(labels["Grade"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_support(self, folder: str) -> bool:
        return folder == "METADATA"
