"""The result as one page of HTML that needs nothing else: no network, no script, no other file.

It follows the reader's light or dark setting and prints on two A4 pages, on three where there are many
warnings. Of the patient it says nothing but the case's identifier and the names of the files that were graded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..explanation import SALIENCY_NOTE
from ..palette import PAGE_COLORS, SEQUENCE_COLORS
from ..result import GradeResult, SliceInfo, Vote
from ..sample import is_synthetic
from ..voting import SOFT, DecisionRule, mean_probability
from ..wording import probability_text, sentence, threshold_text, volume_text
from ..words import DISCLAIMER, GRADE_MEANING, HGG, INDETERMINATE, LGG, SEQUENCES
from .display import representative
from .telling import (
    held_back_text,
    registration_text,
    rule_text,
    seen_text,
    slice_text,
    span_text,
    vote_fact,
)

LIMITS = (
    "It is the opinion of three networks on 20 slices of one examination. It does not see contrast "
    "enhancement, diffusion, age, symptoms or molecular markers.",
    "A probability says how often cases that look like this to the networks were HGG among the patients "
    "they were calibrated on. It is no certainty about this patient.",
    "Anything that is not a glioma is graded as if it were one. The tumour mask is taken as it was given.",
)

SLICES, SALIENCY = "slices", "saliency"
"""Names of the pictures that have titles, captions and descriptions of their own."""

TITLES = {SLICES: "Slices", SALIENCY: "Where the networks looked"}
CAPTIONS = {
    SLICES: "Five of the 20 slices per sequence; the patient's right is on the left. Yellow: tumour mask.",
    SALIENCY: "Orange speaks for HGG, blue for LGG; the same scale for all three. Clear within the blue "
    f"corners: little of either. Outside them: not looked at. {SALIENCY_NOTE}",
}

_SHAPES = ("circle", "square", "triangle")
_STYLE = (
    PAGE_COLORS
    + """\
*{box-sizing:border-box}
body{margin:0 auto;padding:20px;max-width:1000px;background:var(--ground);color:var(--text);
font:15px/1.45 system-ui,"Segoe UI",Roboto,Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:19px;margin:0 0 12px}h2{font-size:16px;margin:22px 0 8px}p{margin:6px 0}
.banner{display:flex;flex-wrap:wrap;gap:8px 26px;align-items:center;padding:14px 18px;border-radius:8px;
background:var(--panel);border:3px solid var(--tone)}
.banner.HGG{--tone:var(--hgg)}.banner.LGG{--tone:var(--lgg)}
.banner.unsure{--tone:var(--unsure);border-style:dashed;background:repeating-linear-gradient(135deg,
var(--panel) 0 14px,transparent 14px 28px)}
.decision{font-size:31px;font-weight:700;line-height:1.15;color:var(--tone)}
.decision small{display:block;font-size:14px;font-weight:400;color:var(--text)}
.facts{display:flex;flex-wrap:wrap;gap:6px 26px}.facts b{display:block;font-size:20px}
.facts span{color:var(--quiet);font-size:13px}
.notice{margin:10px 0;padding:9px 14px;border-left:5px solid var(--unsure);background:var(--warn)}
.notice ul{margin:4px 0;padding-left:20px}.none{color:var(--quiet);font-size:12px}
.research{flex-basis:100%;margin:0;font-size:13px;font-weight:600}
.legend{display:flex;flex-wrap:wrap;gap:2px 22px;list-style:none;margin:4px 0;padding:0;font-size:13px}
.legend svg{display:inline-block;width:34px;height:14px;margin-right:8px;vertical-align:middle}
.synthetic{display:inline-block;margin-left:10px;padding:1px 9px;border:2px solid var(--unsure);
color:var(--unsure);font-size:13px;font-weight:700;border-radius:4px}
caption{caption-side:bottom;text-align:left;color:var(--quiet);font-size:13px;padding-top:4px}
.reliability{margin:8px 0 0;color:var(--quiet)}
table{border-collapse:collapse;width:100%}th,td{padding:5px 10px;text-align:left;
border-bottom:1px solid var(--line)}
th{color:var(--quiet);font-weight:600;font-size:13px}td.number,th.number{text-align:right;
font-variant-numeric:tabular-nums}thead th,td b{overflow-wrap:break-word}
.small td,.small th{font-size:13px;padding:3px 10px;vertical-align:top}.small th{width:34%}
.scroll{overflow-x:auto}figure{margin:0}figure img{width:100%;height:auto;display:block;border-radius:4px;
background:#0d0f12}
figcaption{color:var(--quiet);font-size:13px;margin-top:4px}
.plot .scroll>svg{min-width:620px}
svg{width:100%;height:auto;display:block}svg text{fill:var(--quiet);font-size:12px}
svg .strong{fill:var(--text)}
.curve{fill:none;stroke:var(--tone);stroke-width:2}.mark{fill:var(--ground);stroke:var(--tone);
stroke-width:1.6}
.band{fill:var(--panel);stroke:var(--line)}.together{fill:var(--text)}
.grid{stroke:var(--line)}.threshold{stroke:var(--text);stroke-dasharray:6 4}
footer{margin-top:22px;padding-top:10px;border-top:1px solid var(--line);font-weight:600}
@page{size:A4;margin:11mm 11mm 15mm}
@media print{
:root{color-scheme:light;--ground:#fff;--panel:#f4f6f8;--text:#000;--quiet:#444;--line:#bbb;--hgg:#9a2a08;
--lgg:#064d86;
--unsure:#6b4b00;--warn:#fff4d6}
body{padding:0;font-size:11px;max-width:none}h2{font-size:13px;margin:10px 0 4px}.decision{font-size:24px}
.facts b{font-size:15px}
h1{font-size:15px;margin:0 0 4px}.banner{padding:7px 14px}th{font-size:10.5px}
.small td,.small th,figcaption{font-size:10px}td,th{padding:2px 8px}
figure,.banner,.notice,tr,section.keep{break-inside:avoid}h2{break-after:avoid}
figure img{width:auto;max-width:100%;margin:auto}.slices img,.saliency img{max-height:67mm}
.other img{max-height:150mm}caption{font-size:10px}
.facts2{display:grid;grid-template-columns:4fr 5fr;gap:0 8mm}
.banner,.notice,figure img{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.plot svg{max-height:52mm}ul{margin:4px 0}p{margin:3px 0}.decision small{font-size:11px}
.facts span{font-size:10px}footer{margin-top:6px;padding-top:4px}.research,.legend{font-size:11px}
.plot .scroll>svg{min-width:0}}
"""
)
# on every sheet of paper: one may go without the other
_STYLE += (
    f'@page{{@bottom-left{{content:"{DISCLAIMER}";font:600 8pt sans-serif;color:#000;white-space:nowrap}}\n'
    '@bottom-right{content:counter(page) " / " counter(pages);font:8pt sans-serif;color:#000}}\n'
)
_STYLE += "".join(f".s{k}{{--tone:{SEQUENCE_COLORS[name]}}}" for k, name in enumerate(SEQUENCES)) + "\n"


def report_html(
    result: GradeResult,
    pictures: Mapping[str, bytes],
    card: Mapping[str, Any] | None = None,
    synthetic: bool = False,
    rule: DecisionRule | None = None,
    reliability: str = "",
    inputs: Iterable[tuple[str, str]] = (),
    measured: str = "",
) -> str:
    """The page.

    Args:
        pictures: PNG by name; ``slices`` and ``saliency`` have captions of their own, others their name.
        card: figures of the model, by name: a number, a text, or ``{"value", "low", "high"}``.
        synthetic: no patient is behind the case (also taken from the sample's name).
        rule: the probabilities between which no decision is stood for, to mark in the plot.
        reliability: a sentence on how often such a probability was right.
        inputs: what was graded: the name of each sequence and of the mask.
        measured: whom the card's figures are of.
    """
    synthetic = synthetic or is_synthetic(result.case)
    body = [
        _title(result, synthetic),
        _warnings(result),
        _banner(result),
        _remarks(reliability, seen_text(result)),
        _votes(result),
        *(_picture(name, png, result.slices) for name, png in pictures.items()),
        _plot_section(result, rule),
        _meaning(),
        _facts(result, tuple(inputs), card or {}, measured),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<meta name="referrer" content="no-referrer"><title>{escape(_plain_title(result))}</title>'
        f"<style>{_STYLE}</style>"
    )
    content = "\n".join(part for part in body if part)
    footer = f"<footer>{escape(DISCLAIMER)}</footer>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n'
        f"<body>\n<main>\n{content}\n</main>\n{footer}\n</body></html>\n"
    )


def _plain_title(result: GradeResult) -> str:
    return f"Glioma grading: {result.case}"


def _title(result: GradeResult, synthetic: bool) -> str:
    badge = '<span class="synthetic">SYNTHETIC: NO PATIENT</span>' if synthetic else ""
    return f"<h1>Glioma grading &middot; case {escape(result.case)}{badge}</h1>"


def _banner(result: GradeResult) -> str:
    unsure = result.decision == INDETERMINATE
    style = "unsure" if unsure else (result.decision if result.decision in (HGG, LGG) else "unsure")
    word, below = (
        ("? INDETERMINATE", held_back_text(result))
        if unsure
        else (result.decision, _GRADE_NAMES.get(result.decision, ""))
    )
    facts = (
        (probability_text(result.probability_hgg), "probability of HGG"),
        vote_fact(result),
        (volume_text(result.tumour_ml), "tumour"),
    )
    return (
        f'<div class="banner {style}" role="status"><div class="decision">{escape(word)}'
        f'<small>{escape(below)}</small></div><div class="facts">'
        + "".join(f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for value, label in facts)
        + f'</div><p class="research">{escape(DISCLAIMER)}</p></div>'
    )


def _remarks(*texts: str) -> str:
    told = " ".join(filter(None, texts))
    return f'<p class="reliability">{escape(told)}</p>' if told else ""


_GRADE_NAMES = {HGG: "high-grade glioma", LGG: "lower-grade glioma"}


def _warnings(result: GradeResult) -> str:
    if not result.warnings:
        return '<p class="none">No warnings.</p>'
    rows = "".join(
        f'<li data-code="{escape(warning.code)}">{escape(sentence(warning.message))}</li>'
        for warning in result.warnings
    )
    return f'<div class="notice" role="alert"><b>Warnings</b><ul>{rows}</ul></div>'


def _votes(result: GradeResult) -> str:
    head = (
        '<thead><tr><th scope="col">Sequence</th><th scope="col">Vote</th>'
        '<th scope="col" class="number">Probability of HGG</th>'
        '<th scope="col" class="number">Slices for HGG</th></tr></thead>'
    )
    rows = "".join(_vote_row(vote) for vote in result.votes)
    caption = f"<caption>{escape(_votes_caption(result))}</caption>"
    return f'<section class="keep"><h2>Votes</h2><table>{caption}{head}<tbody>{rows}</tbody></table></section>'


def _votes_caption(result: GradeResult) -> str:
    each = "One network per sequence; each gives its vote on the mean of its slices."
    if result.vote != SOFT:
        return each
    mean = probability_text(mean_probability(result.votes))
    return f"{each} The grade is not that of most votes, but that of the mean of their probabilities, {mean}."


def _vote_row(vote: Vote) -> str:
    slices = f"{vote.slices_hgg} of {len(vote.slice_probabilities)}"
    return (
        f'<tr><th scope="row">{escape(vote.sequence)}</th><td><b>{escape(vote.grade)}</b></td>'
        f'<td class="number">{escape(probability_text(vote.probability_hgg))}</td>'
        f'<td class="number">{slices}</td></tr>'
    )


def _picture(name: str, png: bytes, info: SliceInfo) -> str:
    name = name.removesuffix(".png")
    caption = escape(CAPTIONS.get(name, name))
    title = escape(TITLES.get(name, name.capitalize()))
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<section><h2>{title}</h2><figure class="{name if name in CAPTIONS else "other"}">'
        f'<img alt="{escape(_description(name, info))}" src="data:image/png;base64,{source}">'
        f"<figcaption>{caption}</figcaption></figure></section>"
    )


def _description(name: str, info: SliceInfo) -> str:
    """What a picture shows, for those who do not see it."""
    if name not in CAPTIONS:
        return name
    shown = representative(len(info.indices), info.largest_place)
    slices = f"{', '.join(str(k + 1) for k in shown)} of {len(info.indices)}"
    what = {
        SLICES: "outlined tumour on axial slices",
        SALIENCY: "Grad-CAM in colour over the tumour and what is around it, on axial slices",
    }[name]
    largest = slice_text(info.largest_place, info.positions_mm)
    return f"Three rows, T1, T2 and FLAIR: {what} {slices}, foot to head; largest area on {largest}."


def _meaning() -> str:
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in LIMITS)
    return (
        '<section class="keep"><h2>What it means, and what it does not</h2>'
        f"<p>{escape(GRADE_MEANING)}</p><ul>{limits}</ul></section>"
    )


# ---------------------------------------------------------------- plot

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 940, 300, 62, 72, 34, 44


def plot_svg(result: GradeResult, rule: DecisionRule | None = None) -> str:
    """The slices' probabilities of HGG, a curve per sequence, with threshold and largest slice.

    Args:
        rule: marks the band of probabilities (of the three together) without a decision.
    """
    title = "Probability of HGG of each slice, from foot to head, for each sequence"
    parts = [_plot_band(rule), _plot_grid(), _plot_ticks(result), _plot_largest(result)]
    parts.append(_plot_together(result))
    parts += [_curve(vote, k) for k, vote in enumerate(result.votes)]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>'
        f"<desc>{escape(_plot_description(result))}</desc>" + "".join(parts) + "</svg>"
    )


def _plot_section(result: GradeResult, rule: DecisionRule | None) -> str:
    caption = (
        "Dashed line: HGG above, LGG below. A slice's probability is no grade of that slice; the vote is on "
        "the mean of its sequence."
    )
    if rule is not None:
        caption += (
            f" Shaded: no decision where the probability of the three together is between "
            f"{threshold_text(rule.low)} and {threshold_text(rule.high)}."
        )
    return (
        f'<section class="keep plot"><h2>Slice by slice</h2><figure>{plot_legend(result)}'
        f'<div class="scroll">{plot_svg(result, rule)}</div>'
        f"<figcaption>{caption}</figcaption></figure></section>"
    )


def _plot_description(result: GradeResult) -> str:
    parts = [
        f"{vote.sequence}: {vote.slices_hgg} of {len(vote.slice_probabilities)} slices above 0.5, "
        f"from {probability_text(min(vote.slice_probabilities, default=0))} "
        f"to {probability_text(max(vote.slice_probabilities, default=0))}"
        for vote in result.votes
    ]
    return f"{'; '.join(parts)}. The three together: {probability_text(result.probability_hgg)}."


def _plot_band(rule: DecisionRule | None) -> str:
    if rule is None:
        return ""
    top, bottom = _y(rule.high), _y(rule.low)
    width = _WIDTH - _LEFT - _RIGHT
    return f'<path class="band" d="M{_LEFT} {top:.1f}h{width}v{bottom - top:.1f}h-{width}z"/>'


def _plot_together(result: GradeResult) -> str:
    """A pointer at the right edge: where the three together are."""
    x, y = _WIDTH - _RIGHT, _y(result.probability_hgg)
    probability = escape(probability_text(result.probability_hgg))
    return (
        f'<path class="together" d="M{x} {y:.1f}l11 -6v12z"/>'
        f'<text class="strong" x="{x + 14}" y="{y + 4:.1f}">{probability}</text>'
        f'<text x="{x + 14}" y="{y + 17:.1f}">together</text>'
    )


def _x(k: int, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (k + 0.5) / max(count, 1)


def _y(probability: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - min(max(probability, 0.0), 1.0))


def _plot_grid() -> str:
    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(p):.1f}" y2="{_y(p):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{_y(p) + 4:.1f}" text-anchor="end">{p:g}</text>'
        for p in (0, 0.25, 0.75, 1)
    )
    half = _y(0.5)
    return lines + (
        f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{half:.1f}" y2="{half:.1f}"/>'
        f'<text class="strong" x="{_LEFT - 8}" y="{half + 4:.1f}" text-anchor="end">0.5</text>'
        f'<text transform="translate(13 {half:.1f}) rotate(-90)" text-anchor="middle">'
        "probability of HGG</text>"
    )


def _plot_ticks(result: GradeResult) -> str:
    info, count = result.slices, len(result.slices.indices)
    base = _HEIGHT - _BOTTOM
    ticks = "".join(
        f'<text x="{_x(k, count):.1f}" y="{base + 16}" text-anchor="middle">{k + 1}</text>'
        for k in range(0, count, 2)
    )
    where = f" ({span_text(info)})" if info.positions_mm else ""
    label = f"slice of {count}, foot to head{where}"
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return ticks + f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{label}</text>'


def _plot_largest(result: GradeResult) -> str:
    info = result.slices
    x = _x(info.largest_place, len(info.indices))
    return (
        f'<line class="grid" stroke-dasharray="2 3" x1="{x:.1f}" x2="{x:.1f}" '
        f'y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text x="{x:.1f}" y="{_TOP - 8}" text-anchor="middle">largest area</text>'
    )


def _curve(vote: Vote, k: int) -> str:
    count = len(vote.slice_probabilities)
    points = [(_x(i, count), _y(p)) for i, p in enumerate(vote.slice_probabilities)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(_mark(x, y, k) for x, y in points)
    return f'<g class="s{k % 3}"><polyline class="curve"{_dash(k)} points="{line}"/>{marks}</g>'


def _dash(k: int) -> str:
    return ("", ' stroke-dasharray="7 3"', ' stroke-dasharray="2 3"')[k % 3]


def _mark(x: float, y: float, k: int) -> str:
    shape = _SHAPES[k % 3]
    if shape == "circle":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'
    if shape == "square":
        return f'<rect class="mark" x="{x - 3.3:.1f}" y="{y - 3.3:.1f}" width="6.6" height="6.6"/>'
    return f'<path class="mark" d="M{x:.1f} {y - 4.4:.1f}l4.4 7.6h-8.8z"/>'


def plot_legend(result: GradeResult) -> str:
    """Whose curve is whose, as text that wraps where the page is narrow and covers no curve."""
    entries = "".join(
        f'<li class="s{k % 3}"><svg viewBox="0 0 34 14" aria-hidden="true">'
        f'<line class="curve"{_dash(k)} x1="0" x2="34" y1="7" y2="7"/>{_mark(17, 7, k)}</svg>'
        f"{escape(vote.sequence)}: {escape(vote.grade)}, P(HGG) "
        f"{escape(probability_text(vote.probability_hgg))}</li>"
        for k, vote in enumerate(result.votes)
    )
    return f'<ul class="legend">{entries}</ul>'


# ---------------------------------------------------------------- where it comes from


def _facts(
    result: GradeResult, inputs: Sequence[tuple[str, str]], card: Mapping[str, Any], measured: str
) -> str:
    figures = [(str(name), _figure(value)) for name, value in card.items() if _is_figure(value)]
    tables = [
        _table("What was graded", inputs, _INPUTS) if inputs else "",
        _table("How well such models did", figures, measured or _FIGURES) if figures else "",
    ]
    made = _table("How it was made", _making(result), "Vote, model, slices and software behind this result.")
    return f'<div class="facts2"><div>{"".join(tables)}</div>{made}</div>'


_INPUTS = "Names of the files or volumes."
_FIGURES = "Figures of the model bundle's card."


def _making(result: GradeResult) -> list[tuple[str, str]]:
    registration = registration_text(result)
    return [
        ("rule of the vote", rule_text(result)),
        *([("registration", registration)] if registration else []),
        *_moved(result),
        *_slice_facts(result),
        *((f"model {key}", str(value)) for key, value in result.model.items()),
        ("software", ", ".join(f"{name} {version}" for name, version in result.software.items())),
        ("seconds", ", ".join(f"{name} {value:.1f}" for name, value in result.seconds.items())),
    ]


def _slice_facts(result: GradeResult) -> list[tuple[str, str]]:
    info = result.slices
    numbers = f"{len(info.indices)}: {span_text(info)}, {info.spacing_mm:g} mm apart"
    grid = f"{info.indices[0]} to {info.indices[-1]} of the case's axial grid, counted from 0"
    largest = slice_text(info.largest_place, info.positions_mm)
    area = f"{info.largest_area_mm2:.0f} mm\N{SUPERSCRIPT TWO} on slice {largest}"
    seen = seen_text(result).removeprefix("The networks saw ").removesuffix(".")
    return [
        ("slices", f"{numbers} ({grid})"),
        ("largest tumour area", area),
        *([("seen by the networks", seen)] if seen else []),
    ]


def _moved(result: GradeResult) -> list[tuple[str, str]]:
    """What co-registration did, a row per sequence that it moved."""
    sequences = result.registration.get("sequences", {})
    return [
        (
            f"{name} was moved onto {result.registration.get('reference', 'the reference')}",
            f"{entry.get('translation_mm', 0):.1f} mm, {entry.get('rotation_deg', 0):.1f} degrees",
        )
        for name, entry in sequences.items()
        if entry.get("applied")
    ]


def _table(title: str, rows: Iterable[tuple[str, str]], caption: str = "") -> str:
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<section class="keep"><h2>{escape(title)}</h2>'
        f'<table class="small">{above}<tbody>{cells}</tbody></table></section>'
    )


def _is_figure(value: Any) -> bool:
    return isinstance(value, (str, int, float)) or (isinstance(value, Mapping) and "value" in value)


def _figure(value: Any) -> str:
    """A figure for people, with its interval where it has one."""
    if isinstance(value, Mapping):
        known = {"low", "high"} <= set(value)
        interval = f" ({_figure(value['low'])} to {_figure(value['high'])})" if known else ""
        return _figure(value["value"]) + interval
    return f"{value:.3f}" if isinstance(value, float) else str(value)
