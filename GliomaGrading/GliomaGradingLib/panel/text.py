"""What the panel says: stages, results, errors. Text only, so that tests need no window."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..result import GradeResult, Vote
from ..words import HGG, INDETERMINATE, LGG

_LONGEST = 28


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


def summary_text(result: GradeResult) -> str:
    votes_for, votes_of = result.agreement
    return _("Vote: {grade}, {votes_for} of {votes_of} sequences\nProbability of HGG: {probability}").format(
        grade=result.grade,
        votes_for=votes_for,
        votes_of=votes_of,
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
    return _("Tumour {volume} ml · slices S {first} to {last} mm · largest {area} mm²").format(
        volume=f"{result.tumour_ml:.1f}",
        first=f"{info.positions_mm[0]:.0f}",
        last=f"{info.positions_mm[-1]:.0f}",
        area=f"{info.largest_area_mm2:.0f}",
    )


def warnings_text(result: GradeResult) -> str:
    return "\n".join(f"⚠ {breakable(notice.message)}" for notice in result.warnings)


def model_text(result: GradeResult) -> str:
    return _("Model {name} {version} ({backbone}, {hash}) · GliomaGrading {software} · {seconds} s").format(
        name=breakable(result.model["name"]),
        version=result.model["version"],
        backbone=result.model["backbone"],
        hash=result.model["sha256"][:8],
        software=result.software["glioma-grading"],
        seconds=f"{result.seconds.get('total', 0.0):.1f}",
    )


def annotation_text(result: GradeResult) -> str:
    """The one line in the corner of the 3D view."""
    return _("{case}: {decision}, P(HGG) {probability} - research use only").format(
        case=shortened(result.case),
        decision=result.decision,
        probability=probability_text(result.probability_hgg),
    )


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
    """The text with places to break long words at, so that a narrow panel stays narrow."""
    return "".join(f"{character}\u200b" if character in "/\\_-.," else character for character in text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
