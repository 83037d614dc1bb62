"""Many cases in one folder, told apart by what stands before the sequence in their files' names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...sequence_names import has_contrast
from .base import ROLES, Candidate, Found, Layout, best, by_role, longest_ending, missing
from .folder import Folder
from .plain import Plain

_CONTRAST = tuple(f"{mark}{word}" for mark in "_-" for word in ("t1ce", "t1c", "t1gd", "t1_ce", "t1_gd"))
_MASKS = "_glistrboost_manuallycorrected _glistrboost _automated_approx_segm"


def _after_a_separator(role: str) -> str:
    return " ".join(ending for ending in Plain.endings[role] if ending[0] in "_-")


def _number(case: str) -> str:
    """What of the beginning of its files' names is surely the case's own name: up to its first number.

    All before the sequence counts as the case, and may say ``p1_post``.
    """
    parts = re.split(r"(?<=[-_ .])", case)
    numbered = (n for n, part in enumerate(parts) if re.search(r"(?<!t)\d", part) and not has_contrast(part))
    return "".join(parts[: next(numbered, -1) + 1]).rstrip("-_ .")


class Flat(Layout):
    """``cohort/p1_t1.nii.gz, p1_t2.nii.gz, p1_flair.nii.gz, p1_seg.nii.gz, p2_t1.nii.gz ...``

    Source: no data set; what remains where the files of BraTS-like cases are put into one folder.
    """

    name = "flat"
    title = "all cases in one folder"
    example = "p1_t1.nii.gz p1_t2.nii.gz p1_flair.nii.gz p1_seg.nii.gz p2_t1.nii.gz ..."
    source = "no data set"
    labels = "every label is tumour"
    endings = by_role(
        _after_a_separator("T1"),
        _after_a_separator("T2"),
        _after_a_separator("FLAIR"),
        f"{_after_a_separator('mask')} {_MASKS}",
    )

    def find(self, folder: Folder) -> list[Found]:
        """Every case of the folder, where two at least are whole; otherwise it is no flat folder."""
        if len(folder.volumes) < 2 * len(ROLES):
            return []
        found = list(self._cases(folder))
        return found if sum(not case.problem for case in found) > 1 else []

    def _cases(self, folder: Folder) -> Iterator[Found]:
        for case, candidates in self._groups(folder).items():
            chosen = {role: best(candidates, role, self.endings[role], _number(case)) for role in ROLES}
            paths = {role: files[0] for role, files in chosen.items() if len(files) == 1}
            doubtful = [role for role, files in chosen.items() if len(files) > 1]
            if doubtful:
                names = " and ".join(sorted(path.name for path in chosen[doubtful[0]])[:4])
                yield Found(case, folder.path, paths, f"{names} could both be the {doubtful[0]}", "remove one")
            else:
                yield Found(case, folder.path, paths, *missing(paths, candidates, self.endings, _number(case)))

    def _groups(self, folder: Folder) -> dict[str, list[Candidate]]:
        """Files by the name of their case; a T1 with contrast belongs to its case too."""
        every = (*_CONTRAST, *(ending for role in ROLES for ending in self.endings[role]))
        groups: dict[str, list[Candidate]] = {}
        for candidate in folder.files:
            ending = longest_ending(candidate.stem, every)
            case = candidate.path.name[: len(candidate.stem) - len(ending)]
            if ending and case:
                groups.setdefault(case, []).append(candidate)
        return groups
