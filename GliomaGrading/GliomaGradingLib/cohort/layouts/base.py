"""What a layout is: the names one data set gives to the files of a case, and what else it says about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...imaging import volume_suffix
from ...sequence_names import has_contrast, is_contrast_t1
from ...words import SEQUENCES
from .folder import Candidate, Folder, stem

__all__ = ["ROLES", "Candidate", "Found", "GradeSource", "Layout", "best", "by_role", "stem"]

ROLES = (*SEQUENCES, "mask")

CONTRAST_T1 = re.compile(
    r"(^|[-_ ])t1w?[-_ ]?(ce|c|gd|gado|gad|post|contrast|\+c|km)([-_ ](bias|ants))?$"
    r"|(^|[-_ ])(ce|gd|post)[-_ ]?t1$"
)
"""Stems of T1 volumes with contrast medium, as the layouts have them: a folder with one is a case's."""

_SHOWN = 6
"""Files that a message names."""
_SHOWN_ENDINGS = 9
"""Endings of a role that it names."""
_NO_TUMOUR = {"brain", "parenchyma", "skull", "bet", "head", "wm", "gm", "white", "grey", "gray", "csf"}


@dataclass(frozen=True)
class GradeSource:
    """A table that a data set keeps its grades in.

    Args:
        pattern: of the file's name, lower case, without its ending (csv, tsv, xlsx).
        grade: names of the column with the grade. cases: of those that name cases; ``*`` is any text.
            Names are compared without case, spaces and punctuation.
    """

    pattern: str
    grade: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A case that a layout has found.

    Args:
        case: what it is called.
        folder: where it lies.
        paths: file or DICOM folder by role; without what is missing.
        problem: why it cannot be graded, or ''. remedy: what to do about it.
        patient: what scans of one patient share, where the files tell; else the layout says. It is not shown.
        subject: what the patient's folder is called, where the case is one of his visits.
    """

    case: str
    folder: Path
    paths: Mapping[str, Path] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""
    patient: str = ""
    subject: str = ""

    @property
    def sequences(self) -> int:
        return sum(name in self.paths for name in SEQUENCES)


class Layout:
    """One data set's way to name the files of a case: one folder a case, unless a subclass says otherwise.

    Attributes:
        name: what ``--layout`` calls it. title: the data set. example: how its files are called.
        source: where the names, labels and grades are described.
        labels: what the labels of its masks mean, for the documentation.
        endings: by role (T1, T2, FLAIR, mask) the endings of a file name without its suffix, lower case,
            the preferred one first; one without a leading separator is the whole name.
        folder: what the names of its cases look like; None where they can be anything.
        mask_folders: further folders for the mask, relative to the case's; ``{case}`` is its name.
        mask_labels: the labels that are tumour where not every label is.
        grades: tables that tell grades. every_grade: the grade of every case, where there is only one.
        note: what everybody who uses the data set has to know.
        only_own_names: its files are called like another layout's, so it is for names that it owns, and for
            these alone.
        on_request: why its cases are left out unless the layout is asked for by name, or ''.
    """

    name = ""
    title = ""
    example = ""
    source = ""
    labels = ""
    endings: Mapping[str, tuple[str, ...]] = {}
    folder: re.Pattern[str] | None = None
    mask_folders: tuple[str, ...] = ()
    mask_labels: tuple[int, ...] | None = None
    grades: tuple[GradeSource, ...] = ()
    every_grade: str | None = None
    note = ""
    only_own_names = False
    on_request = ""

    def owns(self, case: str) -> bool:
        """Whether a case of this name is the data set's, whatever is missing of it."""
        return self.folder is not None and self.folder.fullmatch(case) is not None

    def identifier(self, folder: str) -> str:
        """What the case in a folder of this name is called."""
        return folder.removesuffix("_nifti")

    def patient(self, case: str) -> str:
        """What scans of one patient share."""
        return case

    def data_set(self, found: Found) -> str:
        """What tells a patient's data set where ids are its own; '' for those that are the layout's."""
        return ""

    def unfit(self, case: str) -> str:
        """Why a case of this name is not to be graded (a follow-up scan), or ''."""
        return ""

    def is_support(self, folder: str) -> bool:
        """Whether a folder of this name belongs to the data set, but holds no cases."""
        return False

    def grade_of(self, found: Found) -> str | None:
        """The grade that the place of a case tells."""
        return None

    def find(self, folder: Folder) -> list[Found]:
        """The cases that lie in the folder itself; an incomplete one says what is missing."""
        candidates = [*folder.files, *folder.places]
        case = self.identifier(folder.name)
        found = Found(case, folder.path, *self._matched(folder.path, case, candidates))
        is_case = found.sequences or unclear(found) or _contrast(candidates, case, is_sure=True)
        return [found] if is_case else []

    def _matched(
        self, folder: Path, case: str, candidates: list[Candidate]
    ) -> tuple[dict[str, Path], str, str]:
        paths, doubt = {}, ""
        for role in ROLES:
            chosen = best(candidates, role, self.endings[role], case)
            if not chosen:
                others = self._otherwise(role, folder, case, candidates)
                chosen = best(others, role, self.endings[role], case)
            if len(chosen) == 1:
                paths[role] = chosen[0]
            elif chosen:
                names = " and ".join(sorted(p.name for p in chosen)[:4])
                doubt = doubt or f"{names} could both be the {role}"
        if doubt:
            return paths, doubt, "remove one, or name the files one by one"
        return (paths, *missing(paths, candidates, self.endings, case))

    def _otherwise(
        self, role: str, folder: Path, case: str, candidates: list[Candidate]
    ) -> Iterable[Candidate]:
        """What may be a role's file where none is called so."""
        return self._elsewhere(folder, case) if role == "mask" else ()

    def _elsewhere(self, folder: Path, case: str) -> list[Candidate]:
        """Masks of the case in other folders of the data set."""
        places = [folder / text.format(case=case) for text in self.mask_folders]
        files = [p for place in places if place.is_dir() for p in sorted(place.iterdir()) if volume_suffix(p)]
        return [c for c in map(Candidate, files) if c.stem.startswith(case.lower())]


def by_role(t1: str, t2: str, flair: str, mask: str) -> dict[str, tuple[str, ...]]:
    """Endings by role from words."""
    return dict(zip(ROLES, (tuple(text.split()) for text in (t1, t2, flair, mask)), strict=True))


def anyhow(words: str) -> str:
    """Each word as a whole name and as an ending after either separator."""
    return " ".join(f"{word} _{word} -{word}" for word in words.split())


def best(candidates: Iterable[Candidate], role: str, endings: tuple[str, ...], case: str) -> list[Path]:
    """The candidates for the most preferred ending that has any; a name counts for its longest ending only.

    Args:
        case: what names of the case's files may begin with; it says nothing about the sequence.
    """
    by_ending: dict[str, list[Path]] = {}
    for candidate in candidates:
        ending = longest_ending(candidate.stem, endings)
        if ending and may_be(candidate.stem, role, ending, case):
            by_ending.setdefault(ending, []).append(candidate.path)
    return next((by_ending[ending] for ending in endings if ending in by_ending), [])


def longest_ending(name: str, endings: tuple[str, ...]) -> str:
    """The longest of the endings that the name has, or ''."""
    if not name.endswith(endings):  # most have none, and this is the quick way to know
        return ""
    fitting = [e for e in endings if name.endswith(e) and (e[0] in "_-" or name == e)]
    return max(fitting, key=len, default="")


def may_be(name: str, role: str, ending: str, case: str) -> bool:
    """False for what only looks like it: a T1 with contrast, a brain mask, ``t1_to_flair`` for FLAIR."""
    if role == "T1" and has_contrast(without_case(name, case)):
        return False
    before = re.split(r"[-_ .]+", name.removesuffix(ending))[-1]
    if role == "mask":
        return before not in _NO_TUMOUR
    return before not in ("to", "onto") and not (role == "T2" and before == "flair")


def without_case(name: str, case: str) -> str:
    """A file's name without its case's, which may be ``post_001``; a case called ``post`` alone is a time."""
    rest = name.removeprefix(case.lower())
    is_apart = rest[:1] in ("-", "_", " ", ".") and any(character.isdigit() for character in case)
    return rest if is_apart or not has_contrast(case) else name


def unclear(found: Found) -> bool:
    """Whether two files could be the same sequence."""
    return any(found.problem.endswith(f"could both be the {name}") for name in SEQUENCES)


def missing(
    paths: Mapping[str, Path],
    candidates: Iterable[Candidate],
    endings: Mapping[str, tuple[str, ...]],
    case: str = "",
) -> tuple[str, str]:
    """(problem, remedy) of a case that lacks a role, ('', '') of a whole one."""
    lacking = [role for role in ROLES if role not in paths]
    if not lacking:
        return "", ""
    contrast = _contrast(candidates, case)
    remark = f" ({contrast} is with contrast and is not taken for T1)" if "T1" in lacking and contrast else ""
    looked = "; ".join(f"{role}: {_names(endings[role])}" for role in lacking)
    rest = [candidate.path.name for candidate in candidates if candidate.path not in paths.values()]
    there = f"; there is {_some(rest)}" if rest else ""
    kinds = "as .nii, .nii.gz, .nrrd, .mha or a DICOM folder"
    return (
        f"{' and '.join(lacking)} not found{remark}",
        f"looked for {looked} {kinds}{there}; or name the files one by one",
    )


def _contrast(candidates: Iterable[Candidate], case: str, is_sure: bool = False) -> str:
    """The name of the first T1 with contrast, or ''; ``is_sure`` leaves out those with words in between."""
    for candidate in candidates:
        stem = without_case(candidate.stem, case)
        if CONTRAST_T1.search(candidate.stem) or (not is_sure and is_contrast_t1(stem)):
            return candidate.path.name
    return ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def _names(endings: Sequence[str]) -> str:
    """Endings for people; what may stand alone and after either separator is one name."""
    words = [one for one in endings if {one, f"_{one}", f"-{one}"} <= {*endings}]
    told = {form for word in words for form in anyhow(word).split()}
    names = [*words, *(f"*{one}" if one[0] in "_-" else one for one in endings if one not in told)]
    more = ", ..." if len(names) > _SHOWN_ENDINGS else ""
    return ", ".join(names[:_SHOWN_ENDINGS]) + more + (" (alone, or after _, - or a space)" if words else "")
