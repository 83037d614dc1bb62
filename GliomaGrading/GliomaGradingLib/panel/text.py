"""What the panel says: stages, results, errors. Text only, so that tests need no window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..result import GradeResult, Notice, Vote
from ..scene.charts import medians
from ..words import HGG, INDETERMINATE, LGG

_LONGEST = 28
_LONGEST_IN_VIEW = 20
_BREAK = "\u200b"


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
        LGG: _("▼ LGG – low grade"),
        INDETERMINATE: _("? Indeterminate"),
    }.get(result.decision, result.decision)


def grade_text(grade: str) -> str:
    """A grade with its sign."""
    return {HGG: "▲ HGG", LGG: "▼ LGG"}.get(grade, grade)


def summary_text(result: GradeResult) -> str:
    votes_for, votes_of = result.agreement
    return _(
        "Vote: {grade}, {votes_for} of {votes_of} sequences agree {dots}\nProbability of HGG: {probability}"
    ).format(
        grade=result.grade,
        votes_for=votes_for,
        votes_of=votes_of,
        dots="●" * votes_for + "○" * (votes_of - votes_for),
        probability=probability_text(result.probability_hgg),
    )


def probability_text(probability: float) -> str:
    """Two decimals that never round to certainty."""
    if 0.995 <= probability < 1:
        return "> 0.99"
    return "< 0.01" if 0 < probability < 0.005 else f"{probability:.2f}"


def slices_text(vote: Vote) -> str:
    return _("{count} of {total}").format(count=vote.slices_hgg, total=len(vote.slice_probabilities))


def measures_text(result: GradeResult) -> str:
    info = result.slices
    return _("Tumour {volume} ml · slices {first} to {last} mm · largest cross-section {area} mm²").format(
        volume=f"{result.tumour_ml:.1f}",
        first=height_text(info.positions_mm[0]),
        last=height_text(info.positions_mm[-1]),
        area=f"{info.largest_area_mm2:.0f}",
    )


def height_text(position: float) -> str:
    """``S 4`` above the origin, ``I 18`` below it: mm and direction, in Slicer's letters."""
    rounded = round(position)
    return f"I {-rounded}" if rounded < 0 else f"S {rounded}"


def warnings_text(warnings: Iterable[Notice], isOutdated: bool = False) -> str:
    """One line each; the first says that the result is of other inputs than are there now, where it is."""
    first = [_("The inputs have changed since: grade again.")] * isOutdated
    return "\n".join(f"⚠ {breakable(line)}" for line in (*first, *(notice.message for notice in warnings)))


def options_text(known: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    """Says where options are chosen now that the result was not graded with; '' where they are the same.

    Args:
        known: what the result was graded with, as far as that is known.
    """
    is_other = any(chosen.get(name, value) != value for name, value in known.items())
    return _("The options have changed since: grade again to apply them.") if is_other else ""


def model_text(result: GradeResult) -> str:
    return _("Model {name} {version} ({backbone}, {hash}) · GliomaGrading {software} · {seconds} s").format(
        name=breakable(result.model["name"]),
        version=result.model["version"],
        backbone=result.model["backbone"],
        hash=result.model["sha256"][:8],
        software=result.software["glioma-grading"],
        seconds=f"{result.seconds.get('total', 0.0):.1f}",
    )


def annotation_text(result: GradeResult, isOutdated: bool = False) -> str:
    """The one line in the corner of the 3D view."""
    return _("{case}: {decision}, P(HGG) {probability} - {note}").format(
        case=shortened(result.case),
        decision=result.decision,
        probability=probability_text(result.probability_hgg),
        note=_view_note(isOutdated),
    )


def short_annotation_text(result: GradeResult, isOutdated: bool = False) -> str:
    """The same for a slice view, which can be narrow."""
    return _("{case}\n{decision}, P(HGG) {probability}\n{note}").format(
        case=shortened(result.case, _LONGEST_IN_VIEW),
        decision=result.decision,
        probability=probability_text(result.probability_hgg),
        note=_view_note(isOutdated),
    )


def vote_text(result: GradeResult, vote: Vote, isOutdated: bool = False) -> str:
    """One sequence's vote, for its own slice view."""
    return _("{case}\n{sequence}: {grade}, P(HGG) {probability}\n{note}").format(
        case=shortened(result.case, _LONGEST_IN_VIEW),
        sequence=vote.sequence,
        grade=vote.grade,
        probability=probability_text(vote.probability_hgg),
        note=_view_note(isOutdated),
    )


def _view_note(isOutdated: bool) -> str:
    return _("inputs changed since") if isOutdated else _("research use only")


def slice_text(result: GradeResult, index: int) -> str:
    """What is known of the ``index``-th graded slice (from foot to head, 0 first)."""
    info = result.slices
    ones = [f"{vote.sequence} {probability_text(vote.slice_probabilities[index])}" for vote in result.votes]
    largest = _(", the largest") if index == info.largest_place else ""
    return _("{number} of {total} ({position} mm{largest}): {grade}\n{probabilities}").format(
        number=index + 1,
        total=len(info.indices),
        position=height_text(info.positions_mm[index]),
        largest=largest,
        grade=grade_text(HGG if medians(result)[index] >= 0.5 else LGG),
        probabilities=" · ".join(ones),
    )


def saving_text(stage: str, seconds: float) -> str:
    return _("{stage}. Cancel ends it.").format(stage=stage_text(stage, seconds))


def saved_text(folder: str, names: Iterable[str]) -> str:
    return _("Saved in {folder}: {names}.").format(folder=breakable(folder), names=", ".join(names))


def report_of(case: str, message: str) -> str:
    """What became of a report, where another result is shown by now."""
    return _("Report of {case}: {message}").format(case=breakable(shortened(case)), message=message)


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
    return _("Blue: evidence for LGG. Orange: evidence for HGG. Clear: little of either.")


def map_tip(is_busy: bool) -> str:
    if is_busy:
        return _("Grading is under way.")
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
    advice = f"\n{_sentence(error.remedy)}" if error.remedy else ""
    return f"✖ {_sentence(error.problem + place)}{advice}"


def shortened(name: str, longest: int = _LONGEST) -> str:
    """A long name with its middle left out: beginnings and ends of node names tell the most."""
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def breakable(text: str) -> str:
    """The text with places to break long words at, so that a narrow panel stays narrow; ``plain`` undoes it."""
    return "".join(f"{character}{_BREAK}" if character in "/\\_-.," else character for character in text)


def plain(text: str) -> str:
    """The text as it can be pasted elsewhere: a path with places to break at is another path."""
    return text.replace(_BREAK, "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
