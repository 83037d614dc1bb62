"""A case of a cohort: where its files are and what the data set says of it. Nothing is read yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CaseError
from .layouts import LAYOUTS, ROLES
from .layouts.base import ENHANCING

if TYPE_CHECKING:
    from ..case import Case


MANIFEST = "manifest"
"""The layout of cases whose files a table names."""


@dataclass(frozen=True)
class CaseEntry:
    """A case to grade.

    Args:
        case: unique in its cohort, whether or not case matters.
        files: file or folder of a DICOM series by role (T1, T2, FLAIR, mask); without what is missing.
        layout: name of the layout it was found by. folder: where it lies.
        mask_labels: labels that are tumour; None for every label.
        grade: LGG or HGG, where a table or a folder tells. patient: what scans of one patient share.
        problem: why it cannot be graded, or ''.
        doubts: what its user should know: of its grade, and what a dry run has found in headers.
        shown: what a dry run shows of it rather than the names of files, or ''.
    """

    case: str
    files: Mapping[str, Path]
    layout: str
    folder: Path
    mask_labels: tuple[int, ...] | None = None
    grade: str | None = None
    patient: str = ""
    problem: str = ""
    remedy: str = ""
    doubts: tuple[str, ...] = ()
    shown: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The roles that have no file."""
        return tuple(role for role in ROLES if role not in self.files)

    @property
    def isFound(self) -> bool:
        """Whether its files were found by their names, and not named in a table."""
        return self.layout != MANIFEST

    def labels(self, given: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """The labels that are tumour: those that were given, though there be none among them, or its own."""
        return self.mask_labels if given is None else given

    def read(self, maskLabels: tuple[int, ...] | None = None, withParts: bool = False) -> Case:
        """Read its files.

        Args:
            maskLabels: labels that are tumour, rather than those of the data set.
            withParts: keep the labels of the tumour (``Case.parts``); what enhances has ``ENHANCING``, whatever
                its data set has for it.

        Raises:
            CaseError: it has a problem, or its files have.
        """
        from ..case import read_paths

        if self.problem:
            raise CaseError(self.problem, self.folder if self.isFound else "", self.remedy)
        found = ROLES if self.isFound else ()
        case = read_paths(self.files, self.labels(maskLabels), self.case, found, withParts)
        known = {layout.name: layout.enhancing for layout in LAYOUTS}.get(self.layout, ENHANCING)
        if case.parts is None or known == ENHANCING:
            return case
        parts = np.where(case.parts.array == known, ENHANCING, case.parts.array).astype(np.uint8)
        return replace(case, parts=replace(case.parts, array=parts))


def clean_name(name: str) -> str:
    """A case's name without line ends, other control characters, slashes and undecodable bytes."""
    return "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name).strip() or "_"
