"""A bundle's calibration fitted anew to a site's own patients, whom a batch has graded.

What the networks see is the same everywhere; how often an HGG is behind it is not. The weights stay as they
are, and so do the limits of what is unlike the training patients: only the four calibrations change. With few
patients their intercepts do, which hold the share of HGG; with many, their slopes as well (Van Calster et al.
2019, doi 10.1186/s12916-019-1466-7).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from .. import __version__
from ..cohort.finish import read_rows
from ..cohort.store import BATCH, CASE_TABLE, RESULTS
from ..doubts import DOUBTFUL, TAUGHT, UNFAMILIAR
from ..errors import UsageError
from ..export.reliability import is_recalibrated
from ..export.tables import GRADED, PROBABILITY_COLUMNS
from ..files import is_there
from ..networks.bundle import Bundle, check_target, is_bundle, open_bundle, write_variant
from ..taught import named_in, public_names
from ..voting import Calibration, Platt, mean_logit
from ..words import HGG, INDETERMINATE, LGG, SEQUENCES
from .evaluate import calibrated, evidence_of_grades
from .metrics import bounded_logits, brier, fit_platt
from .study import Predictions

FEWEST_OF_A_GRADE = 10
"""With fewer patients of one grade, the share of HGG among the next ones could be nearly anything."""
FEWEST_FOR_SLOPES = 50
"""Patients of the rarer grade from which on the slopes are fitted, too."""
FOLDS = 10
"""Each has patients of both grades, see ``FEWEST_OF_A_GRADE``."""
FARTHEST = 60.0
"""An intercept that takes any probability to 0 or 1."""
TAUGHT_THEM, DOUBTED = LEFT_OUT = ("taught the models", "inputs doubted")
_NEEDED = f"{FEWEST_OF_A_GRADE} or more of each are needed"
_MORE_GRADES = "run it again with --resume --grades TABLE"
_REMEDIES = {
    TAUGHT_THEM: "grade patients who did not teach the models",
    DOUBTED: "mend the inputs that results.csv has warnings of",
}
GRADE_AGAIN = "run 'batch' with this bundle, or name the other one with --bundle"
ANOTHER = "choose another --output"


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


def recalibrate(bundle: Bundle, batch: Path, output: Path) -> dict[str, Any]:
    """Write the bundle of the same networks that is calibrated on a graded batch.

    Args:
        bundle: the one that the batch was graded with.
        batch: folder of that batch, which knows the grades of its cases.
        output: folder of the new bundle, whose name it gets.

    Returns:
        The ``calibration`` entry of its metadata, with ``mean_before``, ``left_out`` and ``remarks``.

    Raises:
        UsageError: there is no such batch, it was graded with another bundle, fewer than ten patients of a
            grade are known, or the folder holds something else. BundleError: a weight file is damaged.
    """
    _check_output(bundle, output)
    remarks = list(_remarks(bundle, batch))
    graded = read_graded(batch, public_names(bundle.metadata))
    _check_enough(graded, batch)
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
        "brier_before": brier(graded.grades, graded.together),
        "brier_after": brier(graded.grades, unseen[:, -1]),
        "of": bundle.description(),
    }
    evidence = evidence_of_grades(units, unseen)
    write_variant(bundle, output, {"name": output.absolute().name, "calibration": entry, **evidence})
    mean = float(graded.together.mean())
    return {**entry, "mean_before": mean, "left_out": dict(graded.left_out), "remarks": remarks}


def read_graded(batch: Path, taught: Sequence[str] = ()) -> Graded:
    """The graded patients of known grade, without those who say nothing of the site's next patient.

    A patient's scans of one grade count as one, by their mean logits; whose scan a case is, the batch says.

    Args:
        taught: names of the patients that taught the models; a case may bear another, and its patient this one.

    Raises:
        UsageError: a table of the batch is damaged.
    """
    try:
        rows, cases = (read_rows(batch / name) for name in (RESULTS, CASE_TABLE))
        if [row["case"] for row in rows] != [case["case"] for case in cases]:
            raise ValueError(f"{RESULTS} and {CASE_TABLE} are of other cases")
        told = [
            (row, case["known_grade"], case["patient"])
            for row, case in zip(rows, cases, strict=True)
            if row["status"] == GRADED and case["known_grade"] in (LGG, HGG)
        ]
        named = set(named_in(taught, [patient for _row, _grade, patient in told]))
        reasons = [TAUGHT_THEM if patient in named else why_left_out(row) for row, _grade, patient in told]
        kept = [one for one, reason in zip(told, reasons, strict=True) if not reason]
        return by_patient(kept, {reason: reasons.count(reason) for reason in LEFT_OUT})
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        remedy = "run the batch again"
        raise UsageError(f"a table of the batch is damaged ({error})", batch, remedy) from None


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
    fold = _folds(graded)
    probabilities = np.empty((count, len(SEQUENCES) + 1))
    for number in np.unique(fold):
        test = fold == number
        change = fitted(together, graded.logits[~test], grades[~test], has_slopes)
        probabilities[test] = [calibrated(change, row) for row in graded.logits[test]]
    units = Predictions(np.zeros(count, int), fold, graded.patients, np.full(count, -1), grades, graded.logits)
    return units, probabilities


def _folds(graded: Graded) -> np.ndarray:
    """The fold of each row; a patient whose grade has changed is in one."""
    fold: dict[str, int] = {}
    for grade in (0, 1):
        for patient in graded.patients[graded.grades == grade]:
            fold.setdefault(str(patient), len(fold) % FOLDS)
    return np.array([fold[str(patient)] for patient in graded.patients])


def _check_output(bundle: Bundle, output: Path) -> None:
    """Only what was calibrated goes for another: a bundle that was trained took hours, and may be the base."""
    check_target(output, ANOTHER)
    if output.resolve() == bundle.folder.resolve():
        raise UsageError("this is the bundle that the batch was graded with", output, ANOTHER)
    if is_bundle(output) and not is_recalibrated(open_bundle(output).metadata):
        raise UsageError("the folder holds a bundle that was trained", output, ANOTHER)


def _remarks(bundle: Bundle, batch: Path) -> Iterator[str]:
    """What the reader has to know of batch and bundle.

    Raises:
        UsageError: this is no batch, it has not ended, or had another bundle.
    """
    if not all(is_there(batch / name, Path.is_file) for name in (BATCH, RESULTS)):
        raise UsageError("this is not the output of a batch", batch, "name the folder of 'batch --output'")
    if not is_there(batch / CASE_TABLE, Path.is_file):
        raise UsageError("the batch has not come to its end", batch, "run it again with --resume")
    try:
        record = json.loads((batch / BATCH).read_text(encoding="utf-8"))
        model, version = record["model"], str(record["glioma-grading"])
        named, sha256 = f"{model['name']} {model['version']}", model["sha256"]
    except (KeyError, TypeError, ValueError):
        raise UsageError("the record of the batch is damaged", batch / BATCH, "run the batch again") from None
    if sha256 != bundle.sha256:
        raise UsageError(f"the batch was graded with {named}, not with this bundle", batch, GRADE_AGAIN)
    if version != __version__:
        yield f"the batch was graded by version {version}, and this is {__version__}, which may grade otherwise"
    if not public_names(bundle.metadata):
        yield "the bundle does not tell whom it learned from: such patients must not be in the batch"


def _check_enough(graded: Graded, batch: Path) -> None:
    if min(graded.counts) >= FEWEST_OF_A_GRADE:
        return
    hgg, lgg = graded.counts
    left_out = {why: number for why, number in graded.left_out.items() if number}
    if not left_out:
        problem = f"the batch knows the grade of {hgg} HGG and {lgg} LGG patients to calibrate on"
        raise UsageError(problem, batch, f"{_NEEDED}: {_MORE_GRADES}")
    cases = " and ".join(f"{number} ({why})" for why, number in left_out.items())
    remedies = ", ".join(_REMEDIES[why] for why in left_out)
    raise UsageError(
        f"{hgg} HGG and {lgg} LGG patients are left to calibrate on, without the known grades of {cases}",
        batch,
        f"{_NEEDED}: {remedies}, or {_MORE_GRADES}",
    )


def why_left_out(row: Mapping[str, str]) -> str:
    """Why a row of results.csv says nothing of the next patient; '' where it does."""
    codes = set(row["warnings"].split("; "))
    if TAUGHT in codes:
        return TAUGHT_THEM
    is_doubted = row["decision"] == INDETERMINATE and codes & {*DOUBTFUL, *UNFAMILIAR}
    return DOUBTED if is_doubted else ""


def by_patient(kept: Sequence[tuple[Mapping[str, str], str, str]], left_out: Mapping[str, int]) -> Graded:
    """Rows of results.csv with their known grades and patients, one for all scans of a patient and grade.

    Raises:
        ValueError: a probability is none.
    """
    scans: dict[tuple[str, str], list[np.ndarray]] = {}
    for row, grade, patient in kept:
        shares = np.array([float(row[name]) for name in PROBABILITY_COLUMNS])
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"{row['case']} has no probability")
        scans.setdefault((patient, grade), []).append(bounded_logits(shares))
    means = np.array([np.mean(logits, axis=0) for logits in scans.values()]).reshape(
        -1, len(PROBABILITY_COLUMNS)
    )
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
