"""cohort.html: a batch as one page that needs no network and no other file, and works without its script.

The script sorts and filters the table. Everything that comes from the input is escaped, and the page's policy
lets only that one script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from ..export.tables import GRADED, PROBABILITY_COLUMNS
from ..palette import PAGE_COLORS, SEQUENCE_COLORS
from ..wording import probability_text, volume_text
from ..words import DISCLAIMER, GRADE_MEANING, HGG, INDETERMINATE, LGG, SEQUENCES
from .charts import calibration_svg, roc_svg
from .evaluation import FIGURES, Known
from .listing import Cohort
from .look import Look

MOST_ROWS = 10_000
MOST_PICTURES = 1_000
FEW_CASES = 30
"""Of either grade: the bootstrap knows no patient that is not there."""
Row = Mapping[str, str]

_STYLE = (
    PAGE_COLORS
    + """\
*{box-sizing:border-box}body{margin:0 auto;padding:20px;max-width:1300px;background:var(--ground);
color:var(--text);font:15px/1.45 system-ui,"Segoe UI",Roboto,Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:20px;margin:0 0 6px}h2{font-size:17px;margin:28px 0 8px}h3{font-size:14px;margin:14px 0 6px}
p{margin:6px 0}.quiet{color:var(--quiet)}.use{font-weight:600}a{color:var(--lgg)}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:12px 0}.tiles div{background:var(--panel);padding:8px 16px;
border-radius:6px}.tiles b{display:block;font-size:21px}.tiles span{color:var(--quiet);font-size:13px}
table{border-collapse:collapse;width:100%}th,td{padding:4px 9px;text-align:left;border-bottom:1px solid
var(--line);font-size:14px;vertical-align:middle}th{color:var(--quiet);font-size:13px}
.cases th{position:sticky;top:0;background:var(--ground)}.cases th button{all:unset;cursor:pointer;
font-weight:600}.cases th button:focus-visible{outline:2px solid var(--lgg)}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
.cases th:not([aria-sort]) button::after{content:" \\2195";opacity:.45}.cases th{white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
td.c,th[scope=row]{white-space:nowrap}.n small{color:var(--quiet);font-size:12px}
.cases td:nth-child(2){min-width:8em}.cases td:last-child{min-width:12em}
.cases td:nth-child(4){white-space:nowrap}
.figures{margin-bottom:10px;width:auto}.figures td,.figures th{padding-right:18px}
.HGG{color:var(--hgg)}.LGG{color:var(--lgg)}
.indeterminate,.failed{color:var(--unsure)}b.HGG,b.LGG,b.indeterminate{font-weight:700}
img{display:block;height:64px;width:auto;border-radius:3px;background:#0d0f12}
.looks{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(290px,100%),1fr));gap:10px}
.looks div{background:var(--panel);border-radius:6px;padding:8px;display:flex;gap:10px;font-size:13px}
.looks img{height:96px}.charts{display:flex;flex-wrap:wrap;gap:16px 32px}figure{margin:10px 0;max-width:100%}
figcaption{font-weight:600;font-size:14px;margin-bottom:4px}.charts svg{width:370px;max-width:100%}
svg line,svg polyline{fill:none;stroke-width:1.8}svg text{fill:var(--quiet);font-size:12px}
svg .grid{stroke:var(--line);stroke-width:1}
.s3{stroke:var(--text)}.dot{fill:var(--text)}input{font:inherit;padding:4px 8px;margin-bottom:6px;
width:22em;max-width:100%}
footer{margin-top:24px;padding-top:10px;border-top:1px solid var(--line);font-weight:600}
@media(max-width:1140px){.wide{overflow-x:auto}.cases{min-width:1080px}.cases th{position:static}}
@media(max-width:600px){body{padding:12px}td,th{padding:4px 6px}}
@media print{.cases th button::after{content:""}input{display:none}body{max-width:none;font-size:11px}}
"""
)

_STYLE += "".join(f".s{k}{{stroke:{SEQUENCE_COLORS[name]}}}" for k, name in enumerate(SEQUENCES)) + "\n"

_SCRIPT = """
'use strict';
const table = document.querySelector('table.cases'), body = table.tBodies[0], rows = [...body.rows];
const value = (row, column) => {
  const cell = row.cells[column], text = cell.dataset.v ?? cell.textContent.trim(), number = parseFloat(text);
  return text === '' ? null : isNaN(number) || cell.dataset.v === undefined ? text : number;
};
const compare = (a, b) => a === null ? (b === null ? 0 : 1) : b === null ? -1
  : typeof a === 'number' && typeof b === 'number' ? a - b
  : String(a).localeCompare(String(b), undefined, {numeric: true});
[...table.tHead.rows[0].cells].forEach((head, column) => {
  if (!head.textContent) return;
  const button = document.createElement('button');
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const key = new Map(rows.map(row => [row, value(row, column)]));
    rows.sort((a, b) => {
      const x = key.get(a), y = key.get(b);
      return x === null || y === null ? compare(x, y) : down ? compare(y, x) : compare(x, y);
    });
    body.append(...rows);
  });
});
const box = document.createElement('input');
box.type = 'search';
box.placeholder = 'show rows that contain ...';
box.setAttribute('aria-label', box.placeholder);
box.addEventListener('input', () => {
  const wanted = box.value.toLowerCase();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
table.parentNode.before(box);
"""


def cohort_page(
    cohort: Cohort,
    rows: Sequence[Row],
    known: Known,
    evaluation: Mapping[str, Any] | None,
    looks: Sequence[Look],
    picture: Callable[[int], bytes | None],
    link: Callable[[int], str | None],
    model: Mapping[str, Any],
    remarks: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        rows: results.csv, in the cohort's order.
        picture: a PNG by the case's place. link: a path, relative to the page, by the case's place.
        remarks: what the reader has to know.
    """
    pictures = _Pictures(picture)
    body = [
        f"<h1>GliomaGrading: cohort of {_counted(len(rows), 'case')}</h1>",
        f'<p class="use">{escape(DISCLAIMER)}</p>',
        f'<p class="quiet">{escape(_model_words(model))}; layout {escape(cohort.layout)} '
        f"({escape(cohort.why)})</p>",
        _tiles(rows),
        _list("Remarks", [*remarks, *cohort.notices]),
        _evaluated(known, evaluation),
        _looks(cohort, looks, pictures, link),
        _cases(cohort, rows, pictures, link),
        _list("Skipped", [f"{item.path}: {item.reason}" for item in cohort.skipped], most=200),
        f'<p class="quiet">{escape(GRADE_MEANING)}</p><footer>{escape(DISCLAIMER)}</footer>',
        f"<script>{_SCRIPT}</script>",
    ]
    return f'<!DOCTYPE html>\n<html lang="en"><head>{_head()}</head><body>{"".join(body)}</body></html>\n'


class _Pictures:
    """Pictures inside the page; the most that a browser should be asked for."""

    def __init__(self, picture: Callable[[int], bytes | None]) -> None:
        self._picture = picture
        self._left = MOST_PICTURES

    def of(self, place: int, name: str) -> str:
        data = self._picture(place) if self._left > 0 else None
        if not data:
            return ""
        self._left -= 1
        return (
            f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}">'
        )


def _head() -> str:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>GliomaGrading: cohort</title><style>{_STYLE}</style>"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _model_words(model: Mapping[str, Any]) -> str:
    return f"model {model.get('name')} {model.get('version')}, sha256 {str(model.get('sha256'))[:12]}"


def _tiles(rows: Sequence[Row]) -> str:
    graded = [row for row in rows if row["status"] == GRADED]
    counts = {"cases": len(rows), "graded": len(graded), "failed": len(rows) - len(graded)}
    counts |= {f"decided {name}": sum(r["decision"] == name for r in graded) for name in (LGG, HGG)}
    counts[INDETERMINATE] = sum(row["decision"] == INDETERMINATE for row in graded)
    tiles = "".join(f"<div><b>{count}</b><span>{name}</span></div>" for name, count in counts.items())
    return f'<div class="tiles">{tiles}</div>'


def _list(title: str, lines: Sequence[str], most: int | None = None) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in [*lines[:most], *_beyond(lines, most)])
    state = " open" if len(lines) < 6 else ""
    return f"<details{state}><summary>{title}: {len(lines)}</summary><ul>{items}</ul></details>"


def _beyond(lines: Sequence[object], most: int | None) -> list[str]:
    """How many lines more there are than are shown, in words; nothing where all are."""
    return [f"{len(lines) - most} more"] if most is not None and len(lines) > most else []


def _evaluated(known: Known, evaluation: Mapping[str, Any] | None) -> str:
    if not len(known.grades):
        return ""
    both = 0 < known.grades.sum() < len(known.grades)
    roc = _figure("ROC", roc_svg(known)) if both else ""
    calibration = _figure("Calibration, the three together", calibration_svg(known))
    charts = f'<div class="charts">{roc}{calibration}</div>'
    hgg, lgg = known.grades.sum(), (1 - known.grades).sum()
    counted = f"{_counted(hgg + lgg, 'graded case')} with a known grade: {hgg} HGG, {lgg} LGG"
    figures = _figures(evaluation) + _decisions(evaluation) if evaluation else ""
    return f"<h2>Against the known grades</h2><p>{counted}.</p>{figures}{charts}"


def _figure(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def _table(name: str, head: str, lines: str) -> str:
    """A table that is moved sideways by itself where it is wider than the page."""
    body = f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="wide"><table class="{name}">{body}</table></div>'


def _figures(evaluation: Mapping[str, Any]) -> str:
    head = "".join(f'<th class="n">{_figure_name(name)}</th>' for name in FIGURES)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="n">{_interval(figures.get(figure))}</td>' for figure in FIGURES)
        + "</tr>"
        for name, figures in evaluation["figures"].items()
    ]
    note = (
        f"95 % intervals by bootstrap over patients, {evaluation['draws']} draws; where a share or an AUC is 0 "
        "or 1, by Wilson's score."
    )
    if min(evaluation[LGG], evaluation[HGG]) < FEW_CASES:
        note += f" With fewer than {FEW_CASES} cases of a grade they are narrower than what is known."
    return f'{_table("figures", f"<th></th>{head}", "".join(lines))}<p class="quiet">{note}</p>'


def _figure_name(name: str) -> str:
    return {"auc": "AUC", "brier": "Brier"}.get(name, name.replace("_", " "))


def _interval(value: Mapping[str, float | None] | None) -> str:
    if not value or value["value"] is None:
        return ""
    low, high = value.get("low"), value.get("high")
    around = f" <small>({low:.3f} to {high:.3f})</small>" if low is not None and high is not None else ""
    return f"{value['value']:.3f}{around}"


def _decisions(evaluation: Mapping[str, Any]) -> str:
    names = (LGG, HGG, INDETERMINATE)
    head = "".join(f'<th class="n">decided {name}</th>' for name in names)
    lines = "".join(
        f'<tr><th scope="row">known {grade}</th>'
        + "".join(f'<td class="n">{counts[n]}</td>' for n in names)
        + "</tr>"
        for grade, counts in evaluation["decisions"].items()
    )
    kept = evaluation["decided"]
    withheld, right = (_interval(kept[name]) for name in ("withheld", "accuracy_of_decisions"))
    words = f"Decision withheld: {withheld}" + (f"; accuracy of decisions: {right}" if right else "")
    return f"{_table('figures', f'<th></th>{head}', lines)}<p>{words}.</p>"


def _looks(
    cohort: Cohort, looks: Sequence[Look], pictures: _Pictures, link: Callable[[int], str | None]
) -> str:
    if not looks:
        return ""
    cards = []
    for reason in dict.fromkeys(look.reason for look in looks):
        ours = [look for look in looks if look.reason == reason]
        inner = "".join(
            f"<div>{pictures.of(look.place, name)}"
            f"<span><b>{_linked(name, link(look.place))}</b><br>{escape(look.words)}</span></div>"
            for look in ours
            for name in (cohort.cases[look.place].case,)
        )
        cards.append(f'<h3>{escape(reason.capitalize())}</h3><div class="looks">{inner}</div>')
    return f"<h2>Most worth a look</h2>{''.join(cards)}"


_HEADS = (
    "", "Case", "Known", "Decision", "Vote", "P(HGG)", *SEQUENCES, "Agreement", "Tumour, ml",
    "Warnings or error",
)  # fmt: skip


def _cases(cohort: Cohort, rows: Sequence[Row], pictures: _Pictures, link: Callable[[int], str | None]) -> str:
    head = "".join(f'<th scope="col"{_number_class(k)}>{name}</th>' for k, name in enumerate(_HEADS))
    lines = "".join(
        _case(entry.case, entry.grade or "", row, pictures.of(place, ""), link(place))
        for place, (entry, row) in enumerate(zip(cohort.cases[:MOST_ROWS], rows[:MOST_ROWS], strict=True))
    )
    rest = "".join(f'<p class="quiet">{more} rows are in results.csv.</p>' for more in _beyond(rows, MOST_ROWS))
    return f"<h2>All cases</h2>{_table('cases', head, lines)}{rest}"


def _case(case: str, grade: str, row: Row, picture: str, link: str | None) -> str:
    decision = row["decision"] or row["status"]
    numbers = [row["probability_hgg"], *(row[column] for column in PROBABILITY_COLUMNS[:3])]
    cells = [
        f"<td>{picture}</td><td>{_linked(case, link)}</td>",
        f'<td class="{escape(grade)}">{escape(grade)}</td>',
        f'<td><b class="{escape(decision)}">{escape(decision)}</b></td><td>{escape(row["grade"])}</td>',
        *map(_probability, numbers),
        f'<td class="c">{escape(row["agreement"])}</td>{_volume(row["tumour_ml"])}',
        f"<td>{escape(row['error'] or row['warnings'])}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _probability(cell: str) -> str:
    return _number(cell, lambda value: probability_text(value, 3))


def _volume(cell: str) -> str:
    return _number(cell, lambda value: volume_text(value, unit=""))


def _number(cell: str, words: Callable[[float], str]) -> str:
    """A number of results.csv in words, and as it is for sorting."""
    if not cell:
        return '<td class="n"></td>'
    return f'<td class="n" data-v="{float(cell)}">{escape(words(float(cell)))}</td>'


def _number_class(column: int) -> str:
    return ' class="n"' if _HEADS[column] in ("P(HGG)", *SEQUENCES, "Tumour, ml") else ""


def _linked(name: str, link: str | None) -> str:
    return f'<a href="{escape(quote(link))}">{escape(name)}</a>' if link else escape(name)
