"""What a layout is: the names one data set gives to the files of a case, and what else it says about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from ...reading.imaging import volume_suffix
from ...reading.segment_names import is_other_structure, names_tumour
from ...reading.sequence_names import has_contrast, is_contrast_t1, tells_of_another, without_idle_words
from ...wording import some_of
from ...words import SEQUENCES
from .folder import Candidate, Folder, holds_one_image, stem

__all__ = ["ROLES", "Candidate", "Found", "GradeSource", "Layout", "best", "by_role", "stem"]

ROLES = (*SEQUENCES, "mask")

CONTRAST_T1 = re.compile(
    r"(^|[-_ ])t1w?[-_ ]?\+? ?(ce|c|gd|gado|gad|post|contrast|km|mdc|civ|inj|enh)([-_ ](bias|ants))?$"
    r"|(^|[-_ ])(ce|gd|post)[-_ ]?t1$"
)
"""Stems of T1 volumes with contrast medium, as the layouts have them: a folder with one is a case's."""

_SHOWN = 6
"""Files that a message names."""
_SHOWN_ENDINGS = 9
"""Endings of a role that it names."""
_NO_TUMOUR = {"brain", "parenchyma", "skull", "bet", "head", "wm", "gm", "white", "grey", "gray", "csf"}
_NO_TUMOUR |= {"hdbet", "synthstrip"}
_MARKS = "-_ ."
_GAP = re.compile(rf"[{_MARKS}]+")
_SEQUENCE = re.compile(rf"(^|[{_MARKS}])(t1|t2|fl)[a-z0-9]*$")
"""Stems that end in a sequence, with or without contrast."""


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
        again: the case that it is once more, such as registered, and is not graded beside; '' for none.
        unclear: roles that several files would do for, and none is taken.
    """

    case: str
    folder: Path
    paths: Mapping[str, Path] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""
    patient: str = ""
    subject: str = ""
    again: str = ""
    unclear: tuple[str, ...] = ()

    @property
    def sequences(self) -> int:
        return sum(name in self.paths for name in SEQUENCES)


ENHANCING = 4
"""The label of enhancing tumour in BraTS up to 2021, and in training sets."""


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
        mask_labels: the labels that are tumour where not every label is. enhancing: the label of what takes up
            contrast agent, where a mask has several.
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
    enhancing = ENHANCING
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

    def unfit(self, found: Found, source: Path) -> str:
        """Why a case of this name, or in this place, is not to be graded (a follow-up scan), or ''.

        Args:
            source: the folder that the user has given; what lies outside is nothing to him.
        """
        return ""

    def note_on(self, case: str) -> str:
        """What everybody who uses the data set of a case has to know, or ''."""
        return self.note if self.owns(case) else ""

    def is_support(self, folder: str) -> bool:
        """Whether a folder of this name belongs to the data set, but holds no cases."""
        return False

    def grade_of(self, found: Found) -> str | None:
        """The grade that the place of a case tells."""
        return None

    def find(self, folder: Folder) -> list[Found]:
        """The cases that lie in the folder itself; an incomplete one says what is missing."""
        case = self.identifier(folder.name)
        found = self._matched(folder.path, case, folder.files, folder.places)
        is_case = found.sequences or {*found.unclear} & {*SEQUENCES} or _has_contrast_t1(folder, case)
        return [found] if is_case else []

    def _matched(
        self, folder: Path, case: str, files: Sequence[Candidate], places: Sequence[Candidate] = ()
    ) -> Found:
        """The case that files and folders make; a folder is taken where no file is called so."""
        paths, doubt, candidates = {}, "", [*files, *places]
        unclear: list[str] = []
        for role in ROLES:
            endings = self.endings[role]
            chosen = (
                best(files, role, endings, case)
                or best(_of_images(places, endings), role, endings, case)
                or best(self._otherwise(role, folder, case, candidates), role, endings, case)
            )
            if role == "mask" and len(chosen) == 1 and not self.owns(case):
                chosen = self._with_rivals(chosen[0], files, case)
            if len(chosen) == 1:
                paths[role] = chosen[0]
            elif chosen:
                names = " and ".join(sorted(p.name for p in chosen)[:4])
                doubt = doubt or f"{names} could both be the {role}"
                unclear.append(role)
        if doubt:
            remedy = "remove one, or name the files one by one"
            return Found(case, folder, paths, doubt, remedy, unclear=tuple(unclear))
        return Found(case, folder, paths, *missing(paths, candidates, self.endings, case))

    def _with_rivals(self, chosen: Path, files: Sequence[Candidate], case: str) -> list[Path]:
        """A mask, with those beside it that other layouts would take as well or rather.

        The names are one's own here, and say less than a data set's rules: ``p1_seg`` is the tumour's unless
        there is a ``p1_mask`` or a ``p1_tumor_mask``.
        """
        own = self.endings["mask"]
        if not _is_bare(longest_ending(stem(chosen), own)):
            return [chosen]
        usual = [one for one in files if (ending := longest_ending(one.stem, own)) == "" or ending in MASKS]
        return list(dict.fromkeys([chosen, *best(usual, "mask", MASKS, case)]))

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


MASKS = tuple(
    anyhow(
        "seg mask segmentation label labels labelmap roi tumor tumour tumor_segmentation "
        "tumour_segmentation tumor_mask tumour_mask segm tumorseg tumor_seg tumour_seg tumourseg segmentations "
        "tumormask tumourmask"
    ).split()
)
"""Endings of masks in folders of one's own."""


def best(candidates: Iterable[Candidate], role: str, endings: tuple[str, ...], case: str) -> list[Path]:
    """The candidates for the most preferred ending that has any; a name counts for its longest ending only.

    Of masks those are preferred that say tumour; between "seg", "mask" and the like nobody can choose.

    Args:
        case: what names of the case's files may begin with; it says nothing about the sequence.
    """
    candidates = list(candidates)
    named = [(longest_ending(candidate.stem, endings), candidate) for candidate in candidates]
    is_any = any(ending for ending, _candidate in named)
    shared = shared_beginning(tuple(one.stem for one in candidates)) if is_any else ""
    ranks = _ranks(role, endings)
    by_rank: dict[int, list[Path]] = {}
    for ending, candidate in named:
        if not ending or _is_given(candidate, role, case):
            continue
        if may_be(candidate.stem, role, ending, case, shared):
            by_rank.setdefault(ranks[ending], []).append(candidate.path)
    return by_rank[min(by_rank)] if by_rank else []


@lru_cache(256)
def _ranks(role: str, endings: tuple[str, ...]) -> dict[str, int]:
    """How far each ending is from the preferred one; those of one rank are as good as each other."""
    if role != "mask":
        return {ending: rank for rank, ending in enumerate(endings)}
    ordered = sorted(endings, key=lambda ending: not names_tumour(ending))
    bare = next((rank for rank, ending in enumerate(ordered) if _is_bare(ending)), 0)
    return {ending: bare if _is_bare(ending) else rank for rank, ending in enumerate(ordered)}


def _is_bare(ending: str) -> bool:
    """Whether the ending of a mask says no more than that it is one."""
    return ending in MASKS and not names_tumour(ending)


@lru_cache(16)  # a folder is asked for each role and layout
def shared_beginning(names: tuple[str, ...]) -> str:
    """What the names of all sequences in a folder begin with, and the folder's own may not: the case's name."""
    stems = [name for name in names if _SEQUENCE.search(without_idle_words(name.replace(" ", "_")))]
    if len(stems) < 2:
        return ""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(min(stems), max(stems), strict=False))
    common = "".join(letter for letter, _same in alike)
    return common[: 1 + max(common.rfind(mark) for mark in _MARKS)]


def _of_images(places: Iterable[Candidate], endings: tuple[str, ...]) -> list[Candidate]:
    """The folders of a name with one of the endings that hold one image each."""
    return [one for one in places if longest_ending(one.stem, endings) and holds_one_image(one.path)]


def longest_ending(name: str, endings: tuple[str, ...]) -> str:
    """The longest of the endings that the name has, or ''."""
    if not name.endswith(endings):  # most have none, and this is the quick way to know
        return ""
    fitting = [e for e in endings if name.endswith(e) and (e[0] in "_-" or name == e)]
    return max(fitting, key=len, default="")


def shortened(candidate: Candidate, role: str) -> Candidate:
    """It as if called without the words behind that do not tell what it is: ``p1_t1`` for ``p1 T1_ax``."""
    name = candidate.stem.replace(" ", "_")
    return Candidate.called(candidate.path, without_idle_words(name, role == "mask"))


def _is_given(candidate: Candidate, role: str, case: str) -> bool:
    """Whether it is a T1 with contrast, by any word of its name."""
    return role == "T1" and has_contrast(without_case(candidate.written, case))


def may_be(name: str, role: str, ending: str, case: str, shared: str = "") -> bool:
    """False for what only looks like it: a brain mask, ``t1_to_flair`` for FLAIR.

    Args:
        shared: what the names of the case's sequences begin with.
    """
    before = _GAP.split(name.removesuffix(ending))[-1]
    rest = _beyond(name, case, shared)
    if role == "mask":
        is_other = before in _NO_TUMOUR and not names_tumour(ending)
        return not (is_other or is_other_structure(rest) or _is_anothers(name, case, shared))
    if before in ("to", "onto") or (role == "T2" and before == "flair"):
        return False
    words = _GAP.split(rest[: max(0, len(rest) - len(ending))])
    is_t1_flair = role == "FLAIR" and words[-1] in ("t1", "t1w", "t1wi")  # another contrast altogether
    return not (is_t1_flair or tells_of_another(words, role))


def _beyond(name: str, case: str, shared: str) -> str:
    """A file's name without what its case is called, by the folder or by the names of all its sequences.

    A folder called T1 is a time point, and says nothing of who else may be called so.
    """
    own = [shared] if name.startswith(shared) else []
    if not _SEQUENCE.fullmatch(case.lower()):
        own += [start for mark in _MARKS if name.startswith(start := case.lower() + mark)]
    return name[max(map(len, own), default=0) :]


def _is_anothers(name: str, case: str, shared: str) -> bool:
    """Whether a name begins like the case's with another number: ``p2_seg`` beside ``p1_t1``."""
    own = case.lower()
    if shared and not shared.startswith(tuple(own + mark for mark in _MARKS)):
        own = shared.rstrip(_MARKS)
    if _SEQUENCE.fullmatch(own) or not re.search(r"[^\W\d_]", own):  # a mere number is no name
        return False
    alike = re.match(r"(\d+)".join(map(re.escape, re.split(r"\d+", own))) + rf"(?=[{_MARKS}])", name)
    return alike is not None and [*map(int, alike.groups())] != [*map(int, re.findall(r"\d+", own))]


def own_name(case: str) -> str:
    """What of all that stands before the sequence is surely the case's own name: up to its first number.

    The rest may tell of it: ``p1_post``. What begins with letters and a number of several digits is a name,
    though the letters may be a contrast agent's: ``GD012``.
    """
    parts = re.split(r"(?<=[-_ .])", case)
    if re.match(r"[a-z]+\d{2,}(?![a-z\d])", parts[0], re.IGNORECASE):
        return parts[0].rstrip(_MARKS)
    numbered = (n for n, part in enumerate(parts) if re.search(r"(?<!t)\d", part) and not has_contrast(part))
    return "".join(parts[: next(numbered, -1) + 1]).rstrip(_MARKS)


def without_case(name: str, case: str) -> str:
    """A file's name without its case's, which may be ``post_001``; a case called ``post`` alone is a time."""
    rest = name[len(case) :] if name.lower().startswith(case.lower()) else name
    is_apart = rest[:1] in ("", "-", "_", " ", ".") and any(character.isdigit() for character in case)
    return rest if is_apart or not has_contrast(case) else name


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
    there = f"; there is {some_of(sorted(rest), _SHOWN)}" if rest else ""
    kinds = "as .nii, .nii.gz, .nrrd, .mha or a DICOM folder"
    return (
        f"{' and '.join(lacking)} not found{remark}",
        f"looked for {looked} {kinds}{there}; or name the files one by one",
    )


def _has_contrast_t1(folder: Folder, case: str) -> bool:
    """Whether the folder has a T1 with contrast: then it is a case's, whatever else is missing."""
    places = (one for one in folder.places if CONTRAST_T1.search(one.stem) and holds_one_image(one.path))
    return bool(_contrast([*folder.files, *places], case, is_sure=True))


def _contrast(candidates: Iterable[Candidate], case: str, is_sure: bool = False) -> str:
    """The name of the first T1 with contrast, or ''; ``is_sure`` leaves out those with words in between."""
    for candidate in candidates:
        written = without_case(candidate.written, case)
        if CONTRAST_T1.search(candidate.stem) or (not is_sure and is_contrast_t1(written)):
            return candidate.path.name
    return ""


def _names(endings: Sequence[str]) -> str:
    """Endings for people; what may stand alone and after either separator is one name."""
    words = [one for one in endings if {one, f"_{one}", f"-{one}"} <= {*endings}]
    told = {form for word in words for form in anyhow(word).split()}
    names = [*words, *(f"*{one}" if one[0] in "_-" else one for one in endings if one not in told)]
    more = ", ..." if len(names) > _SHOWN_ENDINGS else ""
    return ", ".join(names[:_SHOWN_ENDINGS]) + more + (" (alone, or after _, - or a space)" if words else "")
