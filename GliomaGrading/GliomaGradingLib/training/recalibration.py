"""A bundle's calibration fitted anew to a site's own patients, whom a batch has graded.

What the networks see is the same everywhere; how often an HGG is behind it is not. The weights stay as they
are, and so do the limits of what is unlike the training patients: only the four calibrations change. With few
patients their intercepts do, which hold the share of HGG; with many, their slopes as well (Van Calster et al.
2019, doi 10.1186/s12916-019-1466-7).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from ..cohort.finish import read_rows
from ..cohort.grades import CohortGrades, Names, key, read_grades
from ..cohort.store import BATCH, RESULTS
from ..doubts import DOUBTFUL, TAUGHT, UNFAMILIAR
from ..errors import UsageError
from ..export.tables import GRADED
from ..files import is_there
from ..networks.bundle import Bundle, check_target, write_variant
from ..voting import Calibration, Platt, mean_logit
from ..words import HGG, INDETERMINATE, SEQUENCES
from .evaluate import calibrated, evidence_of_grades
from .metrics import fit_platt
from .study import Predictions

FEWEST_OF_A_GRADE = 10
"""With fewer patients of one grade, the share of HGG among the next ones could be nearly anything."""
FEWEST_FOR_SLOPES = 50
"""Patients of the rarer grade from which on the slopes are fitted, too."""
FOLDS = 10
"""Each has patients of both grades, see ``FEWEST_OF_A_GRADE``."""
FARTHEST = 60.0
"""An intercept that takes any probability to 0 or 1."""
LEAST = 1e-6
"""Probabilities are kept with six decimals: none is nearer to 0 or 1 than this."""
TAUGHT_THEM, DOUBTED = LEFT_OUT = ("taught the models", "inputs doubted")
GRADE_AGAIN = "run 'batch' with this bundle, or name the other one with --bundle"


@dataclass(frozen=True, eq=False)
class Graded:
    """What a batch has made of the patients whose grade is known, a row each.

    Args:
        grades: (n,) 1 for HGG, 0 for LGG. patients: (n,) their names.
        logits: (n, 3) calibrated logits of HGG: T1, T2, FLAIR. together: (n,) probability of the three.
        left_out: how many graded cases of known grade are left out, by why.
    """

    grades: np.ndarray
    patients: np.ndarray
    logits: np.ndarray
    together: np.ndarray
    left_out: Mapping[str, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Patients with an HGG, and with an LGG."""
        hgg = int(self.grades.sum())
        return hgg, len(self.grades) - hgg


def recalibrate(bundle: Bundle, batch: Path, table: Path, output: Path) -> dict[str, Any]:
    """Write the bundle of the same networks that is calibrated on a graded batch.

    Args:
        bundle: the one that the batch was graded with.
        batch: folder of that batch. table: known grades, by case.
        output: folder of the new bundle, whose name it gets.

    Returns:
        The ``calibration`` entry of its metadata, with ``mean_before`` and ``left_out``.

    Raises:
        UsageError: there is no such batch, it was graded with another bundle, fewer than ten patients of a
            grade are known, or the folder holds something else. BundleError: a weight file is damaged.
    """
    check_target(output, "choose another --output")
    if output.resolve() == bundle.folder.resolve():
        raise UsageError("this is the bundle that the batch was graded with", output, "choose another --output")
    _check_bundle(bundle, batch)
    graded = read_graded(batch, table)
    _check_enough(graded, table)
    base, has_slopes = bundle.calibration(), min(graded.counts) >= FEWEST_FOR_SLOPES
    change = fitted(base.together, graded.logits, graded.grades, has_slopes)
    units, unseen = held_out(base.together, graded, has_slopes)
    entry = {
        "sequences": {s: asdict(_upon(base.sequences[s], change.sequences[s])) for s in SEQUENCES},
        "together": asdict(change.together),
        "fitted_on": "known grades of a cohort",
        "method": "slopes and intercepts" if has_slopes else "intercepts",
        "patients": len(graded.grades),
        HGG: graded.counts[0],
        "brier_before": brier(graded.together, graded.grades),
        "brier_after": brier(unseen[:, -1], graded.grades),
        "of": bundle.description(),
    }
    evidence = evidence_of_grades(units, unseen)
    write_variant(bundle, output, {"name": output.absolute().name, "calibration": entry, **evidence})
    return {**entry, "mean_before": float(graded.together.mean()), "left_out": dict(graded.left_out)}


def read_graded(batch: Path, table: Path) -> Graded:
    """The graded patients of known grade, without those who say nothing of the site's next patient.

    A patient's scans of one grade count as one, by their mean logits.

    Raises:
        UsageError: the table cannot be read, or the folder has no table of results.
    """
    results = batch / RESULTS
    known = read_grades(table)
    try:
        rows = [row for row in read_rows(results) if row["status"] == GRADED]
        grades = CohortGrades(known, [_names(row) for row in rows])
        told = [(row, grade) for row in rows if (grade := grades.told(_names(row)).grade)]
        kept = [(row, grade) for row, grade in told if not _why_left_out(row)]
        reasons = [_why_left_out(row) for row, _grade in told]
        return by_patient(kept, known.patients, {reason: reasons.count(reason) for reason in LEFT_OUT})
    except (KeyError, ValueError) as error:
        raise UsageError(f"the table of results is damaged ({error})", results, "run the batch again") from None


def fitted(together: Platt, logits: np.ndarray, grades: np.ndarray, has_slopes: bool) -> Calibration:
    """What has to be done to calibrated logits of the sequences, and then to that of their mean probability.

    Args:
        together: the calibration of that mean so far. logits: (n, 3). grades: (n,) 1 for HGG.
        has_slopes: fit the slopes, too; the intercepts alone otherwise.
    """

    def change(own: np.ndarray) -> Platt:
        if has_slopes:
            return fit_platt(own, grades)
        return Platt(1.0, brentq(lambda b: expit(own + b).sum() - grades.sum(), -FARTHEST, FARTHEST))

    changes = [change(column) for column in logits.T]
    means = [mean_logit([p.logit(float(x)) for p, x in zip(changes, row, strict=True)]) for row in logits]
    own = change(np.array([together.logit(mean) for mean in means]))
    return Calibration(dict(zip(SEQUENCES, changes, strict=True)), _upon(together, own))


def held_out(together: Platt, graded: Graded, has_slopes: bool) -> tuple[Predictions, np.ndarray]:
    """Probabilities (n, 4) of each patient by a calibration on the others; folds have equal shares of HGG."""
    grades, count = graded.grades, len(graded.grades)
    fold = np.empty(count, dtype=int)
    for grade, number in enumerate(reversed(graded.counts)):
        fold[grades == grade] = np.arange(number) % FOLDS
    probabilities = np.empty((count, len(SEQUENCES) + 1))
    for number in np.unique(fold):
        test = fold == number
        change = fitted(together, graded.logits[~test], grades[~test], has_slopes)
        probabilities[test] = [calibrated(change, row) for row in graded.logits[test]]
    units = Predictions(np.zeros(count, int), fold, np.arange(count), np.full(count, -1), grades, graded.logits)
    return units, probabilities


def _check_bundle(bundle: Bundle, batch: Path) -> None:
    if not all(is_there(batch / name, Path.is_file) for name in (BATCH, RESULTS)):
        raise UsageError("this is not the output of a batch", batch, "name the folder of 'batch --output'")
    try:
        model = json.loads((batch / BATCH).read_text(encoding="utf-8"))["model"]
        named, sha256 = f"{model['name']} {model['version']}", model["sha256"]
    except (KeyError, TypeError, ValueError):
        raise UsageError("the record of the batch is damaged", batch / BATCH, "run the batch again") from None
    if sha256 != bundle.sha256:
        raise UsageError(f"the batch was graded with {named}, not with this bundle", batch, GRADE_AGAIN)


def _check_enough(graded: Graded, table: Path) -> None:
    if min(graded.counts) < FEWEST_OF_A_GRADE:
        hgg, lgg = graded.counts
        raise UsageError(
            f"the batch has {hgg} HGG and {lgg} LGG patients of known grade to calibrate on",
            table,
            f"give the grades of {FEWEST_OF_A_GRADE} or more of each",
        )


def _names(row: Mapping[str, str]) -> Names:
    return Names((row["case"],), row["case"])


def _why_left_out(row: Mapping[str, str]) -> str:
    """'' where it is not."""
    codes = set(row["warnings"].split("; "))
    if TAUGHT in codes:
        return TAUGHT_THEM
    is_doubted = row["decision"] == INDETERMINATE and codes & {*DOUBTFUL, *UNFAMILIAR}
    return DOUBTED if is_doubted else ""


def by_patient(
    kept: Sequence[tuple[Mapping[str, str], str]], patients: Mapping[str, str], left_out: Mapping[str, int]
) -> Graded:
    """Rows of results.csv with their known grades, a patient's scans of one grade by their mean logits.

    Args:
        patients: whose scan a case is, by the ``key`` of its name; a patient of its own where it has none.
    """
    columns = (*(f"{sequence.lower()}_probability_hgg" for sequence in SEQUENCES), "probability_hgg")
    scans: dict[tuple[str, str], list[list[float]]] = {}
    for row, grade in kept:
        shares = np.clip([float(row[name]) for name in columns], LEAST, 1 - LEAST)
        patient = patients.get(key(row["case"]), row["case"])
        scans.setdefault((patient, grade), []).append(list(np.log(shares / (1 - shares))))
    means = np.array([np.mean(logits, axis=0) for logits in scans.values()]).reshape(-1, len(columns))
    return Graded(
        np.array([grade == HGG for _patient, grade in scans], dtype=int),
        np.array([patient for patient, _grade in scans], dtype=str),
        means[:, :-1],
        expit(means[:, -1]),
        left_out,
    )


def _upon(before: Platt, after: Platt) -> Platt:
    """One calibration of what another has calibrated."""
    return Platt(after.slope * before.slope, after.slope * before.intercept + after.intercept)


def brier(probabilities: np.ndarray, grades: np.ndarray) -> float:
    """Mean square of what the probabilities are off by."""
    return float(((probabilities - grades) ** 2).mean())
