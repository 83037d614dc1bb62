"""A bundle on patients of collections that it never learned from. Nothing was or is chosen by these figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..files import write_atomically
from ..slices import stack_from_crop
from ..words import HGG, INDETERMINATE, LGG, SEQUENCES
from .dataset import TrainingSet
from .evaluate import cell
from .evidence import FIGURES, PROBABILITIES, PROBABILITY_COLUMNS, write_json
from .metrics import NAN, Interval, auc, calibration_error, wilson, with_intervals

COLUMNS = ("patient", "collection", "grade", *PROBABILITY_COLUMNS, "vote", "decision", "reasons")
ALL = "all"
NEVER = (
    "These patients taught nothing, and nothing was chosen by them: not the input, the recipe, the calibration "
    "or the rule for decisions. Only finished bundles are graded on them."
)


def run_external(
    data: TrainingSet,
    bundle: str | Path | None,
    output: Path,
    command: str,
    done: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Grade the patients of collections that the bundle does not name; writes figures and probabilities.

    Args:
        data: patients of any collections; those that may be learned from and those of collections that the
            bundle learned from are left out.

    Raises:
        UsageError: nobody is left, or the bundle does not say what it learned from.
    """
    from ..grading import Grader

    grader = Grader.load(bundle)
    rows = _external_rows(data, grader.bundle.metadata.get("training", {}).get("collections"))
    records = []
    for row in rows:
        records.append(_graded(grader, data, int(row)))
        if done:
            done()
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / PROBABILITIES, records_csv(records))
    figures = external_figures(records, grader.bundle.description(), command)
    write_json(output / FIGURES, figures)
    return figures


def external_figures(records: list[dict[str, Any]], model: dict[str, str], command: str) -> dict[str, Any]:
    """Figures of every collection and of all."""
    names = [ALL, *sorted({record["collection"] for record in records})]
    groups = {name: [r for r in records if name in (ALL, r["collection"])] for name in names}
    return {
        "schema": "glioma-grading/external/1",
        "model": model,
        "never_used_for_any_choice": NEVER,
        "intervals": "95 %: shares by Wilson's score interval, the rest by bootstrap over patients",
        "figures": {name: _group_figures(group) for name, group in groups.items()},
        "command": command,
    }


def external_table(figures: dict[str, Any]) -> str:
    """As Markdown: a row a collection."""
    lines = [
        "| collection | HGG, LGG | sensitivity | specificity | AUC of the vote | mean probability; share HGG | "
        "no decision | accuracy of decisions |",
        "|---" * 8 + "|",
    ]
    for name, values in figures["figures"].items():
        mean, share = values["mean_probability"], values["share_hgg"]
        cells = [cell(values[key]) for key in ("sensitivity", "specificity", "auc_vote")]
        cells += [f"{cell(mean)}; {share:.3f}", cell(values["indeterminate"]), cell(values["accuracy_decided"])]
        lines.append(f"| {name} | {values['hgg']}, {values['lgg']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def records_csv(records: list[dict[str, Any]]) -> str:
    """Probabilities and decisions, a row a patient."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({k: f"{v:.6f}" if isinstance(v, float) else v for k, v in record.items()})
    return text.getvalue()


def read_records(path: Path) -> list[dict[str, Any]]:
    """What ``records_csv`` wrote."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: float(v) if k in PROBABILITY_COLUMNS else v for k, v in row.items()} for row in rows]


def _external_rows(data: TrainingSet, learned: list[str] | None) -> np.ndarray:
    if not learned:
        raise UsageError(
            "the bundle does not say which collections it learned from", remedy="use another bundle"
        )
    rows = np.flatnonzero(~data.shippable & ~np.isin(data.collections, learned))
    if not len(rows):
        raise UsageError("no patient is of another collection", remedy="give a training set of all collections")
    return rows


def _graded(grader: Any, data: TrainingSet, row: int) -> dict[str, Any]:
    stack = stack_from_crop(data.images[row].astype(np.float32), data.labels[row], data.form)
    verdict = grader.judge(stack)
    single = [vote.probability_hgg for vote in verdict.votes]
    values = dict(
        zip(PROBABILITY_COLUMNS, (round(p, 6) for p in (*single, verdict.probability_hgg)), strict=True)
    )
    return {
        "patient": str(data.patients[row]),
        "collection": str(data.collections[row]),
        "grade": HGG if data.grades[row] else LGG,
        **values,
        "vote": verdict.grade,
        "decision": verdict.decision,
        "reasons": " ".join(notice.code for notice in verdict.doubts),
    }


def _group_figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    grade = np.array([int(record["grade"] == HGG) for record in records])
    vote = np.array([int(record["vote"] == HGG) for record in records])
    decided = np.array([record["decision"] != INDETERMINATE for record in records])
    right = vote == grade
    return {
        "hgg": int(grade.sum()),
        "lgg": int((1 - grade).sum()),
        "sensitivity": _share(right[grade == 1]),
        "specificity": _share(right[grade == 0]),
        "accuracy": _share(right),
        "indeterminate": _share(~decided),
        "accuracy_decided": _share(right[decided]),
        "sensitivity_decided": _share(right[decided & (grade == 1)]),
        "share_hgg": float(grade.mean()),
        **_probability_intervals(records, grade),
    }


def _probability_intervals(records: list[dict[str, Any]], grade: np.ndarray) -> dict[str, Interval]:
    table = np.array([[record[name] for name in PROBABILITY_COLUMNS] for record in records])
    columns = dict(zip((*SEQUENCES, "together"), table.T, strict=True))
    columns["vote"] = table[:, :3].mean(axis=1)

    def figures(rows: np.ndarray) -> dict[str, float]:
        together = columns["together"][rows]
        return {
            **{f"auc_{name}": auc(grade[rows], values[rows]) for name, values in columns.items()},
            "mean_probability": float(together.mean()),
            "brier": float(((together - grade[rows]) ** 2).mean()),
            "calibration_error": calibration_error(grade[rows], together) if len(rows) >= 40 else NAN,
        }

    return with_intervals(figures, np.arange(len(records)))


def _share(right: np.ndarray) -> Interval:
    return wilson(int(right.sum()), len(right))
