"""A bundle on patients of collections that it never learned from. Nothing was or is chosen by these figures."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..export.reliability import is_recalibrated
from ..export.tables import PROBABILITY_COLUMNS, csv_text
from ..files import all_or_nothing
from ..preparation.slices import stack_from_crop
from ..taught import named_in, public_names
from ..words import HGG, INDETERMINATE, LGG, SEQUENCES
from .dataset import TrainingSet
from .evaluate import cell
from .evidence import FIGURES, PROBABILITIES, json_text
from .metrics import NAN, Interval, auc, auc_of_pairs, brier, calibration_error, wilson, with_intervals

COLUMNS = ("patient", "collection", "grade", *PROBABILITY_COLUMNS, "vote", "decision", "reasons")
ALL = "all"
WHOLE = "whole-slice"
FEWEST = 5
"""Patients of either grade that an AUC is worth: with one, no draw of patients says how far it may be off."""
NEVER = (
    "These patients taught nothing, and nothing was chosen by them: not the input, the recipe, the calibration "
    "or the rule for decisions. Only finished bundles are graded on them. What is graded are ready-made crops "
    "of the tumour: reading whole heads, finding the brain, registration and the checks for swapped or "
    "misaligned sequences are not tested by them."
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
        data: tumour regions of patients of any collections; those of collections that the bundle learned from
            are left out, and those who are named like patients that taught it.

    Raises:
        UsageError: nobody is left, the bundle does not say what it learned from or was calibrated on whom, or
            slices are whole.
    """
    from ..grading import Grader

    grader = Grader.load(bundle)
    rows = _external_rows(data, grader.bundle.metadata)
    records = []
    for row in rows:
        records.append(_graded(grader, data, int(row)))
        if done:
            done()
    figures = external_figures(records, grader.bundle.description(), command)
    with all_or_nothing(output) as write:
        write(PROBABILITIES, records_csv(records))
        write(FIGURES, json_text(figures))
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
        "pairs_of_collections": _pairs(records),
        "reasons": dict(Counter(reason for record in records for reason in record["reasons"].split())),
        "command": command,
    }


def external_table(figures: dict[str, Any]) -> str:
    """As Markdown: a row a collection."""
    lines = [
        "| collection | HGG, LGG | sensitivity | specificity | AUC of the soft vote | "
        "mean probability; share HGG | no decision | accuracy of decisions |",
        "|---" * 8 + "|",
    ]
    for name, values in figures["figures"].items():
        mean, share = values["mean_probability"], values["share_hgg"]
        cells = [cell(values[key]) for key in ("sensitivity", "specificity", "auc_vote")]
        cells += [f"{cell(mean)}; {share:.3f}", cell(values["indeterminate"]), cell(values["accuracy_decided"])]
        lines.append(f"| {name} | {values['hgg']}, {values['lgg']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", pairs_sentence(figures), reasons_sentence(figures), ""])


def pairs_sentence(figures: dict[str, Any]) -> str:
    """How much of the AUC over all collections may be told by the collection alone."""
    within, enough, across = (
        figures["pairs_of_collections"][name] for name in ("within", "within_enough", "across")
    )
    rule = f"AUC is given from {FEWEST} patients of each grade on."
    if not (within["count"] and across["count"]):
        return rule
    of_one = f"{within['auc']:.3f}"
    if 0 < enough["count"] < within["count"]:
        of_one += f" ({enough['auc']:.3f} in the {enough['count']} of collections with {FEWEST} of each grade)"
    return (
        f"{rule} That over all collections compares {within['count'] + across['count']} pairs of an HGG and an "
        f"LGG patient. In {across['count']} of them the two are of different collections (AUC "
        f"{across['auc']:.3f}), so that scanners and patients differ as well as the grade; in the "
        f"{within['count']} pairs of one collection it is {of_one}."
    )


def reasons_sentence(figures: dict[str, Any]) -> str:
    """Why decisions were withheld, the most frequent reason first."""
    reasons = sorted(figures["reasons"].items(), key=lambda reason: -reason[1])
    told = ", ".join(f"{name} ({count})" for name, count in reasons)
    return f"Reasons for no decision (patients): {told or 'none'}."


def records_csv(records: list[dict[str, Any]]) -> str:
    """Probabilities and decisions, a row a patient."""
    rows = ({k: f"{v:.6f}" if isinstance(v, float) else v for k, v in record.items()} for record in records)
    return csv_text(rows, COLUMNS)


def read_records(path: Path) -> list[dict[str, Any]]:
    """What ``records_csv`` wrote."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: float(v) if k in PROBABILITY_COLUMNS else v for k, v in row.items()} for row in rows]


def _external_rows(data: TrainingSet, metadata: Mapping[str, Any]) -> np.ndarray:
    """Rows of whoever is new to a bundle; whether a patient may teach what is shipped does not matter."""
    learned = metadata.get("training", {}).get("collections")
    if not learned:
        raise UsageError(
            "the bundle does not say which collections it learned from", remedy="use another bundle"
        )
    if is_recalibrated(metadata):
        raise UsageError(
            "the bundle was calibrated on a cohort, and does not tell who these patients are",
            remedy="use the bundle that it was made of",
        )
    if WHOLE in (data.form.kind, metadata.get("input", {}).get("region", {}).get("kind")):
        raise UsageError(
            "patients or bundle have whole slices, and tumour regions are graded here",
            remedy="grade their cases with 'glioma-grading batch'",
        )
    names = [f"{name} {public}" for name, public in zip(data.patients, data.public_names, strict=True)]
    taught = named_in(public_names(metadata), names)
    rows = np.flatnonzero(~np.isin(data.collections, learned) & ~np.isin(names, taught))
    if not len(rows):
        raise UsageError(
            "every patient is of a collection of the bundle's, or named like one who taught it",
            remedy="give patients of another collection, whose name 'prepare --collection' takes",
        )
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

    has_enough = min(np.count_nonzero(grade == 1), np.count_nonzero(grade == 0)) >= FEWEST

    def area(name: str, rows: np.ndarray) -> float:
        return auc(grade[rows], columns[name][rows]) if has_enough else NAN

    def figures(rows: np.ndarray) -> dict[str, float]:
        together = columns["together"][rows]
        return {
            **{f"auc_{name}": area(name, rows) for name in columns},
            "mean_probability": float(together.mean()),
            "brier": brier(grade[rows], together),
            "calibration_error": calibration_error(grade[rows], together) if len(rows) >= 40 else NAN,
        }

    return with_intervals(figures, np.arange(len(records)))


def _pairs(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Pairs of an HGG and an LGG of one collection and of two, with the AUC of the soft vote over them."""
    grade = np.array([int(record["grade"] == HGG) for record in records])
    vote = np.array([[record[name] for name in PROBABILITY_COLUMNS[:3]] for record in records]).mean(axis=1)
    collection = np.array([record["collection"] for record in records])
    counts = {name: np.bincount(grade[collection == name], minlength=2) for name in np.unique(collection)}
    enough = np.array([counts[name].min() >= FEWEST for name in collection])
    of_enough = auc_of_pairs(grade[enough], vote[enough], collection[enough])
    return {**auc_of_pairs(grade, vote, collection), "within_enough": of_enough["within"]}


def _share(right: np.ndarray) -> Interval:
    return wilson(int(right.sum()), len(right))
