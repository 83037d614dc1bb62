"""One folder a sequence: ``T1`` with the T1 of every case, and the same for T2, FLAIR and the mask."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...reading.sequence_names import has_contrast
from ...words import SEQUENCES
from .base import CONTRAST_T1, ROLES, Candidate, Found, Layout, longest_ending, own_name, without_case
from .folder import Folder
from .plain import Plain

_MASK_FOLDERS = ("masks", "segmentations", "segs", "rois", "tumors", "tumours")


class BySequence(Layout):
    """``T1/p1.nii.gz``, ``T2/p1.nii.gz``, ``FLAIR/p1.nii.gz``, ``mask/p1.nii.gz``, ``T1/p2.nii.gz`` ...

    A case is what is called alike in all four, but for the sequence at the end (``T1/p1_t1.nii.gz``).

    Source: no data set; what some preprocessing scripts write.
    """

    name = "by-sequence"
    title = "a folder for each sequence"
    example = "T1/p1.nii.gz T2/p1.nii.gz FLAIR/p1.nii.gz mask/p1.nii.gz T1/p2.nii.gz ..."
    source = "no data set"
    labels = "every label is tumour"
    endings = Plain.endings

    def find(self, folder: Folder) -> list[Found]:
        """The cases, where the folder has one for each sequence with the volumes of several; else none."""
        places = {role: self._place(role, folder.places) for role in ROLES}
        files = {role: _files(place) for role, place in places.items() if place}
        if any(len(files.get(role, ())) < 2 for role in SEQUENCES):
            return []
        named = {role: self._by_case(role, volumes) for role, volumes in files.items()}
        contrast = [volume for volume in files["T1"] if self._has_contrast(volume)]
        cases = sorted({*named["T1"], *named["T2"], *named["FLAIR"]})
        found = [self._case(case, folder, named, contrast) for case in cases]
        if all(len(case.paths) < 2 for case in found):
            what = "the folders T1, T2 and FLAIR hold several volumes each, of which no two are called alike"
            remedy = "call each case's files alike in all of them, or list the cases in a manifest"
            return [Found(self.identifier(folder.name), folder.path, {}, what, remedy)]
        return found

    def _place(self, role: str, places: Iterable[Candidate]) -> Candidate | None:
        """The only folder that is called like the role and no more."""
        names = {ending for ending in self.endings[role] if ending[0] not in "_-"}
        names |= {*_MASK_FOLDERS} if role == "mask" else set()
        fitting = [place for place in places if place.stem in names]
        return fitting[0] if len(fitting) == 1 else None

    def _by_case(self, role: str, volumes: Iterable[Candidate]) -> dict[str, list[Candidate]]:
        """Files by what they are called before the sequence; a T1 with contrast is no case's."""
        cases: dict[str, list[Candidate]] = {}
        for volume in volumes:
            case = self._case_of(volume, role)
            if case and not (role == "T1" and self._has_contrast(volume)):
                cases.setdefault(case, []).append(volume)
        return cases

    def _case_of(self, volume: Candidate, role: str) -> str:
        ending = longest_ending(volume.stem, self.endings[role])
        return volume.path.name[: len(volume.stem) - len(ending)]

    def _has_contrast(self, volume: Candidate) -> bool:
        """Whether a volume of the T1's folder is with contrast; its case may be called like an agent."""
        own = own_name(self._case_of(volume, "T1"))
        return bool(CONTRAST_T1.search(volume.stem)) or has_contrast(without_case(volume.written, own))

    def _case(
        self,
        case: str,
        folder: Folder,
        named: dict[str, dict[str, list[Candidate]]],
        contrast: Iterable[Candidate],
    ) -> Found:
        chosen = {role: [one.path for one in files.get(case, ())] for role, files in named.items()}
        paths = {role: files[0] for role, files in chosen.items() if len(files) == 1}
        doubtful = [role for role, files in chosen.items() if len(files) > 1]
        if doubtful:
            names = " and ".join(sorted(path.name for path in chosen[doubtful[0]])[:4])
            problem = f"{names} could both be the {doubtful[0]}"
            return Found(case, folder.path, paths, problem, "remove one", unclear=tuple(doubtful))
        lacking = [role for role in ROLES if role not in paths]
        if not lacking:
            return Found(case, folder.path, paths)
        remedy = "call its files alike in the folders T1, T2, FLAIR and mask, or list them in a manifest"
        start = re.compile(rf"{re.escape(case.lower())}([-_ .]|$)")
        other = next((one.path.name for one in contrast if start.match(one.stem)), "")
        remark = f" ({other} is with contrast and is not taken for T1)" if "T1" in lacking and other else ""
        return Found(case, folder.path, paths, f"{' and '.join(lacking)} not found{remark}", remedy)


def _files(place: Candidate) -> tuple[Candidate, ...]:
    try:
        return Folder.read(place.path).files
    except OSError:
        return ()
