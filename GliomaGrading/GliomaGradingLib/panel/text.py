"""What the panel says: stages, results, errors. Text only, so that tests need no window."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slicer.i18n import tr as _

from ..doubts import NO_DECISION, are_inputs_doubted, is_taught, reasons
from ..errors import GliomaGradingError
from ..result import GradeResult, Notice, Vote
from ..scene.charts import medians
from ..voting import SOFT
from ..wording import height_text, probability_text, sentence, volume_text
from ..words import HGG, INDETERMINATE, LGG

_LONGEST = 28
_LONGEST_IN_VIEW = 20
_LONGEST_IN_BANNER = 60
_BREAK, _TIE = "\u200b", "\u00a0"
_LONG_WORD, _LONG_PART = 16, 24
"""Characters from which on a word, and a part of one without a place to break at, is broken."""

_UNITS = re.compile(r"(?<=\d) (?=(?:%|mm²?|ml|s)(?!\w))|(?<=\b[SI]) (?=\d)|(?<=[▲▼]) ")
"""Spaces that no line shall end at."""


def stage_text(stage: str, seconds: float) -> str:
    """``Aligning the sequences · 3 s``."""
    name, _space, sequence = stage.partition(" ")
    stages = {
        "images": _("Handing over the images"),
        "starting": _("Starting the grading process"),
        "loading": _("Loading the models"),
        "alignment": _("Aligning the sequences"),
        "slices": _("Choosing the slices"),
        "network": _("Asking the {sequence} network").format(sequence=sequence),
        "saliency": _("Mapping the evidence"),
        "report": _("Drawing the report"),
        "done": _("Finishing"),
        "cancelling": _("Cancelling"),
    }
    return _("{stage} · {seconds} s").format(stage=stages.get(name, stage), seconds=int(seconds))


def decision_text(result: GradeResult) -> str:
    """The banner's headline; its sign tells the three apart without colour."""
    return {
        HGG: _("▲ HGG – high grade"),
        LGG: _("▼ LGG – lower grade"),
        INDETERMINATE: _("? Indeterminate"),
    }.get(result.decision, result.decision)


def grade_text(grade: str) -> str:
    """A grade with its sign."""
    return {HGG: "▲ HGG", LGG: "▼ LGG"}.get(grade, grade)


def case_text(result: GradeResult) -> str:
    return _("Case: {case}").format(case=breakable(shortened(result.case, _LONGEST_IN_BANNER)))


def summary_text(result: GradeResult) -> str:
    votes_for, votes_of = result.agreement
    majority = _(
        "Vote: {grade}, {votes_for} of {votes_of} sequences agree {dots}\nProbability of HGG: {probability}"
    )
    by_mean = _(
        "Vote by mean probability: {grade}, {votes_for} of {votes_of} sequences vote so {dots}\n"
        "Probability of HGG: {probability}"
    )
    return (by_mean if result.vote == SOFT else majority).format(
        grade=result.grade,
        votes_for=votes_for,
        votes_of=votes_of,
        dots="●" * votes_for + "○" * (votes_of - votes_for),
        probability=probability_text(result.probability_hgg),
    )


def reliability_text(result: GradeResult, known: str) -> str:
    """What is known of how often such a probability is right; of doubted inputs and known patients nothing is.

    Args:
        known: what the model's card says; '' for nothing.
    """
    if are_inputs_doubted(result):
        return _("How often test patients had HGG does not apply: the inputs are doubtful.")
    if is_taught(result):
        return _("How often test patients had HGG does not apply: this patient taught the models.")
    return tied(known)


def slices_text(vote: Vote) -> str:
    return _("{count}/{total}").format(count=vote.slices_hgg, total=len(vote.slice_probabilities))


def measures_text(result: GradeResult) -> str:
    info = result.slices
    told = _("Tumour {volume}{seen} · slices {first} to {last} mm · largest cross-section {area} mm²")
    seen = "" if result.seen_ml is None else _(", of which the networks saw {seen}")
    return tied(
        told.format(
            volume=volume_text(result.tumour_ml),
            seen=seen.format(seen=volume_text(result.seen_ml or 0)),
            first=height_text(info.positions_mm[0]),
            last=height_text(info.positions_mm[-1]),
            area=f"{info.largest_area_mm2:.0f}",
        )
    )


def result_warnings_text(result: GradeResult, isOutdated: bool = False) -> str:
    """A result's warnings, a line each: that it is of other inputs than are there now, why no grade is stood
    for, the rest."""
    first = [_("The inputs have changed since: grade again.")] * isOutdated
    why = reasons(result)
    rest = [notice.message for notice in result.warnings if notice not in why]
    return _lines([*first, *map(_with_prefix, why), *rest])


def warnings_text(warnings: Iterable[Notice]) -> str:
    """One line each."""
    return _lines(notice.message for notice in warnings)


def _with_prefix(notice: Notice) -> str:
    if notice.message.startswith(NO_DECISION):
        return notice.message
    is_plain = notice.message[1:2].islower()  # and not T1
    first = notice.message[:1].lower() if is_plain else notice.message[:1]
    return f"{NO_DECISION} {first}{notice.message[1:]}"


def _lines(messages: Iterable[str]) -> str:
    return "\n".join(tied(f"⚠ {breakable(sentence(message))}") for message in messages)


def options_text(known: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    """Says where options are chosen now that the result was not graded with; '' where they are the same.

    Args:
        known: what the result was graded with, as far as that is known.
    """
    is_other = any(chosen.get(name, value) != value for name, value in known.items())
    return _("The options have changed since: grade again to apply them.") if is_other else ""


def model_text(result: GradeResult) -> str:
    name, version, backbone, sha256 = (
        str(result.model.get(key, "?")) for key in ("name", "version", "backbone", "sha256")
    )
    return _("Model {name} {version} ({backbone}, {hash}) · GliomaGrading {software} · {seconds} s").format(
        name=breakable(name),
        version=version,
        backbone=backbone,
        hash=sha256[:8],
        software=result.software.get("glioma-grading", "?"),
        seconds=f"{result.seconds.get('total', 0.0):.1f}",
    )


def annotation_text(result: GradeResult, isOutdated: bool = False) -> str:
    """What stands in the corner of a view: three lines, since a view can be narrow."""
    return _("{case}\n{decision}, P(HGG) {probability}\n{note}").format(
        case=shortened(result.case, _LONGEST_IN_VIEW),
        decision=result.decision,
        probability=probability_text(result.probability_hgg),
        note=_view_note(isOutdated),
    )


def vote_text(result: GradeResult, vote: Vote, isOutdated: bool = False) -> str:
    """One sequence's vote, for its own slice view; never a grade alone where the result stands for none."""
    held_back = _("{case}\nindeterminate ({sequence} votes {grade}, {probability})\n{note}")
    plain_vote = _("{case}\n{sequence}: {grade}, P(HGG) {probability}\n{note}")
    return (held_back if result.decision == INDETERMINATE else plain_vote).format(
        case=shortened(result.case, _LONGEST_IN_VIEW),
        sequence=vote.sequence,
        grade=vote.grade,
        probability=probability_text(vote.probability_hgg),
        note=_view_note(isOutdated),
    )


def moved_text(result: GradeResult, sequence: str) -> str:
    """That a view shows a sequence where its file puts it, not where it was graded; '' where both are one."""
    entry = result.registration.get("sequences", {}).get(sequence, {})
    if not entry.get("applied"):
        return ""
    return _("outline and map {mm} mm off: {sequence} was registered").format(
        mm=f"{entry.get('translation_mm', 0):.0f}", sequence=sequence
    )


def _view_note(isOutdated: bool) -> str:
    return _("inputs changed · research use only") if isOutdated else _("research use only")


def slice_text(result: GradeResult, index: int) -> str:
    """What is known of the ``index``-th graded slice (from foot to head, 0 first)."""
    info = result.slices
    ones = [f"{vote.sequence} {probability_text(vote.slice_probabilities[index])}" for vote in result.votes]
    largest = _(", the largest") if index == info.largest_place else ""
    told = _("{number} of {total} ({position} mm{largest}): {grade}\n{probabilities}")
    return tied(
        told.format(
            number=index + 1,
            total=len(info.indices),
            position=height_text(info.positions_mm[index]),
            largest=largest,
            grade=grade_text(HGG if medians(result)[index] >= 0.5 else LGG),
            probabilities=" · ".join(ones),
        )
    )


def elsewhere_text(result: GradeResult, height: float) -> str:
    """What stands in place of a slice's probabilities where the views show none that was graded."""
    told = _("{position} mm is none of the {total} slices that were graded.\nMove the slider to come back.")
    return tied(told.format(position=height_text(height), total=len(result.slices.indices)))


def saving_text(stage: str, seconds: float) -> str:
    return _("{stage}. Cancel ends it.").format(stage=stage_text(stage, seconds))


def saved_text(folder: str, names: Iterable[str]) -> str:
    return _("Saved in {folder}: {names}.").format(folder=breakable(folder), names=", ".join(names))


def report_of(case: str, message: str) -> str:
    """What became of a report, where another result is shown by now."""
    return _("Report of {case}: {message}").format(case=breakable(shortened(case)), message=message)


def grade_tip(reason: str, is_busy: bool, is_installing: bool) -> str:
    """What the Grade button does, or why it does nothing now."""
    if is_busy:
        return _("Grading is under way.")
    if is_installing:
        return _("PyTorch is being installed.")
    return reason or _("Grade the glioma by the votes of the three sequences.")


def save_tip(isBusy: bool, isOutdated: bool) -> str:
    if isBusy:
        return _("Something is under way.")
    if isOutdated:
        return _("The inputs have changed since: grade again.")
    return _("Writes report.html, slices.png and result.json of this result into a folder of your choice.")


def mapping_text(stage: str, seconds: float) -> str:
    return _("{stage}. Untick to cancel.").format(stage=stage_text(stage, seconds))


def map_legend() -> str:
    """What the colours of the maps mean, in words."""
    return _(
        "Blue: evidence for LGG. Orange: evidence for HGG. Clear: little of either. "
        "Outside the square around the tumour: not looked at."
    )


def map_tip(is_busy: bool) -> str:
    if is_busy:
        return _("Something is under way.")
    return _(
        "Lays an evidence map of each network over the images (Grad-CAM): which places moved the network's "
        "output. It is no localisation of tumour. Untick to take it away again."
    )


def opacity_text(percent: int) -> str:
    return _("Opacity {percent} %:").format(percent=percent)


def layout_tip(is_shown: bool, is_possible: bool) -> str:
    if is_shown:
        return _("Restores your layout, and the segmentation as you had it drawn.")
    if not is_possible:
        return _("There are no views here.")
    return _("Shows the three sequences with the tumour's outline, and the plot of the 20 slices.")


def error_text(error: GliomaGradingError) -> str:
    place = _(" ({where})").format(where=breakable(error.where)) if error.where else ""
    advice = f"\n{sentence(error.remedy)}" if error.remedy else ""
    return f"✖ {sentence(error.problem + place)}{advice}"


def shortened(name: str, longest: int = _LONGEST) -> str:
    """A long name with its middle left out: beginnings and ends of node names tell the most."""
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def breakable(text: str) -> str:
    """The text with places to break long words at, so that a narrow panel stays narrow; ``plain`` undoes it."""
    return re.sub(rf"\S{{{_LONG_WORD},}}", lambda word: _broken(word[0]), text)


def tied(text: str) -> str:
    """The text with no line end between a number and its unit; ``plain`` undoes it."""
    return _UNITS.sub(_TIE, text)


def plain(text: str) -> str:
    """The text as it can be pasted elsewhere: a path with places to break at is another path."""
    return text.replace(_BREAK, "").replace(_TIE, " ")


def _broken(word: str) -> str:
    """With places to break at after what separates its parts, in no number; in the middle of a long part."""
    parts = re.split(r"(?<=[/\\_])(?=.)|(?<=[-.,])(?=\D)|(?<=\D[-.,])(?=.)", word)
    return _BREAK.join(part[at : at + _LONG_PART] for part in parts for at in range(0, len(part), _LONG_PART))
