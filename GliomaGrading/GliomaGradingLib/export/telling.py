"""How pictures and report put a result into words; the panel has the same words in its own language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..doubts import are_inputs_doubted
from ..reading.dicom_header import SEGMENTATION, sop_class
from ..voting import MAJORITY, SOFT
from ..wording import height_text, volume_text
from ..words import SEQUENCES

if TYPE_CHECKING:
    from ..case import Case
    from ..result import GradeResult, SliceInfo
    from ..volume import Volume

_RULES = {
    MAJORITY: "majority: the grade that most of the three sequences vote for",
    SOFT: "soft: the grade of the mean of the three sequences' probabilities",
}


def slice_text(place: int, positions_mm: Sequence[float]) -> str:
    """``11 of 20 (S 100 mm)``: a slice among those that were graded, foot to head, 0 first."""
    return f"{place + 1} of {len(positions_mm)} ({height_text(positions_mm[place])} mm)"


def span_text(info: SliceInfo) -> str:
    """``S 90 to S 109 mm``."""
    return f"{height_text(info.positions_mm[0])} to {height_text(info.positions_mm[-1])} mm"


def votes_text(result: GradeResult) -> str:
    """``2 of 3 sequences vote HGG``."""
    votes_for, votes_of = result.agreement
    return f"{votes_for} of {votes_of} {_voting(votes_for)} {result.grade}"


def vote_summary(result: GradeResult) -> str:
    """How the vote came out; by which rule, where that is not the one that the counts tell."""
    if result.vote == SOFT:
        return f"Vote by mean probability: {result.grade} ({votes_text(result)})"
    return votes_text(result)


def vote_fact(result: GradeResult) -> tuple[str, str]:
    """The same in two: what is large in a banner, and what is written below it."""
    if result.vote == SOFT:
        return result.grade, f"vote by mean probability ({votes_text(result)})"
    votes_for, votes_of = result.agreement
    return f"{votes_for} of {votes_of}", f"{_voting(votes_for)} {result.grade}"


def rule_text(result: GradeResult) -> str:
    """The rule of the vote."""
    return _RULES.get(result.vote, result.vote)


def seen_text(result: GradeResult) -> str:
    """How much of the tumour the networks were shown; '' in results that do not tell."""
    if result.seen_ml is None or not result.tumour_ml:
        return ""
    share = 100 * result.seen_ml / result.tumour_ml
    return f"The networks saw {volume_text(result.seen_ml)} ({share:.0f} %) of the tumour."


def held_back_text(result: GradeResult) -> str:
    """Why an indeterminate result stands for no grade, in one line."""
    why = "the input is doubtful" if are_inputs_doubted(result) else "the evidence is too thin to stand for it"
    return f"the vote is {result.grade}, but {why}"


def registration_text(result: GradeResult) -> str:
    """Whether sequences were registered, by the mode that was chosen; '' where it is not known."""
    mode = str(result.registration.get("mode", ""))
    return f"{mode}{_MODES[mode]}" if mode in _MODES else mode


_MODES = {
    "auto": ": sequences that do not lie on the mask's are moved onto it",
    "always": ": all sequences are aligned to the mask's",
    "never": ": no sequence is moved",
}


def graded_inputs(case: Case) -> Iterator[tuple[str, str]]:
    """What was graded: the name of each sequence and of the mask, never a folder, which may be a patient's."""
    for name in SEQUENCES:
        yield name, _shown(case.images[name])
    yield "tumour mask", _shown(case.mask) + _labels_text(case.maskLabels)


def _shown(volume: Volume) -> str:
    if not volume.files:
        return Path(volume.source).name or "a volume"
    is_mask = len(volume.files) == 1 and sop_class(Path(volume.files[0])) == SEGMENTATION
    return "a DICOM segmentation" if is_mask else "a DICOM volume"


def _labels_text(labels: Sequence[int] | None) -> str:
    if labels is None:
        return ""
    return f" ({'label' if len(labels) == 1 else 'labels'} {', '.join(map(str, labels))})"


def _voting(count: int) -> str:
    return "sequences votes" if count == 1 else "sequences vote"
