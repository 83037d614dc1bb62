"""Many cases in one folder, told apart by what stands before the sequence in their files' names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...reading.sequence_names import tells_of_the_same
from ..visit_names import is_visit
from .base import (
    ROLES,
    Candidate,
    Found,
    Layout,
    best,
    by_role,
    longest_ending,
    missing,
    own_name,
    shortened,
)
from .folder import Folder
from .plain import Plain

_CONTRAST = tuple(f"{mark}{word}" for mark in "_-" for word in ("t1ce", "t1c", "t1gd", "t1_ce", "t1_gd"))
_MASKS = "_glistrboost_manuallycorrected _glistrboost _automated_approx_segm"


def _after_a_separator(role: str) -> str:
    return " ".join(ending for ending in Plain.endings[role] if ending[0] in "_-")


def _whose(case: str, found: dict[str, Found]) -> str:
    """The case that a group of files belongs to, such as ``p1_brain_mask`` to p1; '' for a case of its own.

    That is one of two sequences and more, or of one and a visit's name (``pre``, ``post`` tell of contrast).
    """
    if found[case].sequences > 1:
        return ""
    whole = [(start, rest) for start, rest in _parts(case) if start in found and found[start].sequences > 1]
    start, rest = whole[-1] if whole else ("", "")
    is_later = found[case].sequences and is_visit(rest) and not re.fullmatch("pre|post", rest, re.IGNORECASE)
    return "" if is_later else start


def _again(case: str, found: dict[str, Found]) -> str:
    """The whole case whose images a case has once more, as ``p1_reg`` those of p1; '' for one of its own."""
    whole = (start for start, rest in _parts(case) if tells_of_the_same(rest))
    return next((start for start in whole if start in found and not found[start].problem), "")


def _parts(case: str) -> list[tuple[str, str]]:
    """A name as two, at each place where it may be so."""
    return [(case[: mark.start()], case[mark.end() :]) for mark in re.finditer(r"[-_ .]", case)]


class Flat(Layout):
    """``cohort/p1_t1.nii.gz, p1_t2.nii.gz, p1_flair.nii.gz, p1_seg.nii.gz, p2_t1.nii.gz ...``

    Where a case lacks one, a file of it with words behind that say nothing of the sequence is taken, as in
    folders of one's own (``p1_T1_GRE``).

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
        """Every case of the folder, where two at least are whole; otherwise it is no flat folder.

        Cases that lack the T1 without contrast alone, or the mask alone, count as whole: each tells of its own.
        """
        if len(folder.volumes) < 2 * len(ROLES):
            return []
        found = list(self._cases(folder))
        lacking = [{*ROLES} - {*case.paths} for case in found if not case.unclear]
        return found if any(sum(one <= {role} for one in lacking) > 1 for role in ("T1", "mask")) else []

    def _cases(self, folder: Folder) -> Iterator[Found]:
        groups, others = self._groups(folder)
        found = {case: self._case(folder, case, files, files) for case, files in groups.items()}
        whose = {case: _whose(case, found) for case in found}
        there: dict[str, list[Candidate]] = {case: [*files] for case, files in groups.items()}
        for case, files in groups.items():
            if whose[case]:
                there[whose[case]] += files
        for other in others:
            start = next((start for start, _rest in reversed(_parts(other.written)) if start in found), "")
            if start:
                there[whose[start] or start].append(other)
        for case in found:
            if not whose[case]:
                made = self._case(folder, case, groups[case], there[case])
                yield replace(made, again=_again(case, found))

    def _case(self, folder: Folder, case: str, files: list[Candidate], there: list[Candidate]) -> Found:
        """The case that files of one beginning make; what else is ``there`` is told where one is missing."""
        chosen = {role: self._best(role, files, own_name(case)) for role in ROLES}
        paths = {role: paths[0] for role, paths in chosen.items() if len(paths) == 1}
        doubtful = [role for role, paths in chosen.items() if len(paths) > 1]
        if doubtful:
            names = " and ".join(sorted(path.name for path in chosen[doubtful[0]])[:4])
            problem = f"{names} could both be the {doubtful[0]}"
            return Found(case, folder.path, paths, problem, "remove one", unclear=tuple(doubtful))
        return Found(case, folder.path, paths, *missing(paths, there, self.endings, own_name(case)))

    def _best(self, role: str, files: list[Candidate], case: str) -> list[Path]:
        """The files that are called so, or where none is, those with idle words behind."""
        endings = self.endings[role]
        return best(files, role, endings, case) or best(
            [shortened(one, role) for one in files], role, endings, case
        )

    def _groups(self, folder: Folder) -> tuple[dict[str, list[Candidate]], list[Candidate]]:
        """Files by the name of their case, and those of none; a T1 with contrast belongs to its case too.

        Names with idle words behind make no case of their own, which a template would be (``MNI_T1_1mm``).
        """
        every = (*_CONTRAST, *(ending for role in ROLES for ending in self.endings[role]))
        groups: dict[str, list[Candidate]] = {}
        others = []
        for candidate in folder.files:
            ending = longest_ending(candidate.stem, every)
            case = candidate.written[: len(candidate.stem) - len(ending)]
            if ending and case:
                groups.setdefault(case, []).append(candidate)
            elif not ending:
                others.append(candidate)
        behind = [next(filter(groups.__contains__, self._starts(one)), "") for one in others]
        for case, one in zip(behind, others, strict=True):
            if case:
                groups[case].append(one)
        return groups, [one for case, one in zip(behind, others, strict=True) if not case]

    def _starts(self, candidate: Candidate) -> Iterator[str]:
        """What stands before the sequence, or before the mask, in a name with idle words behind."""
        for role in ROLES:
            name = shortened(candidate, role).stem
            ending = longest_ending(name, self.endings[role])
            if ending:
                yield candidate.written[: len(name) - len(ending)]
