"""Figures of probabilities against grades, and their intervals by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from .. import proportions
from ..voting import Platt

Figures = dict[str, float]
Interval = dict[str, float]
NAN = float("nan")
CALIBRATION_BINS = 8
SHARES = (
    *("accuracy", "sensitivity", "specificity"),
    *("coverage", "accuracy_all", "accuracy_decided", "accuracy_withheld"),
    *("sensitivity_decided", "specificity_decided"),
)
"""Figures that are a share of patients; balanced accuracy is the mean of two shares, and none itself."""
WITHOUT_INTERVAL = ("calibration_error",)
"""Figures that drawing patients again changes by itself: the value may lie outside of all that is drawn."""


def auc(grades: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one grade is present.

    By the rank sum, which takes a tenth of the time of scikit-learn's, and thousands of draws are made.
    """
    hgg = int(np.count_nonzero(grades))
    lgg = len(grades) - hgg
    if not hgg or not lgg:
        return NAN
    rank_sum = rankdata(scores)[grades == 1].sum()
    return float((rank_sum - hgg * (hgg + 1) / 2) / (hgg * lgg))


def auc_of_pairs(grades: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> dict[str, dict[str, float]]:
    """Pairs of an HGG and an LGG ``within`` one group and ``across`` two: their count and the AUC over them."""
    hgg, lgg = np.flatnonzero(grades == 1), np.flatnonzero(grades == 0)
    above, below = scores[hgg][:, None], scores[lgg][None]
    ordered = (above > below) + 0.5 * (above == below)
    same = groups[hgg][:, None] == groups[lgg][None]
    return {
        name: {"count": int(pairs.sum()), "auc": float(ordered[pairs].mean()) if pairs.any() else NAN}
        for name, pairs in (("within", same), ("across", ~same))
    }


def classification_figures(grades: np.ndarray, called_hgg: np.ndarray) -> Figures:
    """Accuracy, balanced accuracy, sensitivity (HGG called HGG) and specificity (LGG called LGG)."""
    hgg, lgg = grades == 1, grades == 0
    sensitivity = float(called_hgg[hgg].mean()) if hgg.any() else NAN
    specificity = float((~called_hgg[lgg]).mean()) if lgg.any() else NAN
    return {
        "accuracy": float((called_hgg == hgg).mean()),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def probability_figures(grades: np.ndarray, probabilities: np.ndarray) -> Figures:
    """AUC, the figures at a threshold of one half, calibration and AUGRC."""
    return {
        "auc": auc(grades, probabilities),
        **classification_figures(grades, probabilities >= 0.5),
        "brier": brier(grades, probabilities),
        "calibration_error": calibration_error(grades, probabilities),
        "calibration_slope": calibration_slope(grades, probabilities),
        "calibration_intercept": calibration_intercept(grades, probabilities),
        "augrc": augrc(*risk_coverage(grades, probabilities)),
    }


def brier(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean square of what the probabilities are off by."""
    return float(((probabilities - grades) ** 2).mean())


def majority_figures(grades: np.ndarray, votes_for_hgg: np.ndarray) -> Figures:
    """AUC of the number of votes for HGG (0 to 3), and the figures of the grade that has two of them."""
    return {"auc": auc(grades, votes_for_hgg), **classification_figures(grades, votes_for_hgg >= 2)}


def calibration_error(grades: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over ``bins`` groups of equally many rows.

    It is above 0 for perfect probabilities too, the more so the fewer rows there are:
    :func:`calibration_error_by_chance` says by how much.
    """
    gaps = (grades - probabilities)[np.argsort(probabilities, kind="stable")]
    return float(sum(abs(group.sum()) for group in np.array_split(gaps, bins)) / len(grades))


def calibration_error_by_chance(probabilities: np.ndarray, draws: int = 500, seed: int = 0) -> float:
    """The mean calibration error of these probabilities if they were exactly right."""
    rng = np.random.default_rng(seed)
    rows = (rng.random(len(probabilities)) < probabilities for _ in range(draws))  # together they may be large
    return float(np.mean([calibration_error(grades.astype(int), probabilities) for grades in rows]))


def calibration_slope(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Slope of the grade's logit on the probability's: 1 is right, below 1 the probabilities are too bold."""
    return _logistic(grades, bounded_logits(probabilities), np.zeros(len(grades)))[1]


def calibration_intercept(grades: np.ndarray, probabilities: np.ndarray) -> float:
    """Calibration in the large: what must be added to every logit, the slope being 1; 0 is right."""
    return _logistic(grades, None, bounded_logits(probabilities))[0]


def risk_coverage(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and generalised risk where the least sure are turned away first.

    Coverage is the share of rows that get a grade, generalised risk the share of all rows that get a wrong
    one; rows that are equally sure enter together. Both begin at 0 and have one entry a level of sureness.
    """
    wrong = (probabilities >= 0.5) != (grades == 1)
    sureness = np.round(np.abs(probabilities - 0.5), 12)
    order = np.argsort(-sureness, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sureness[order]) != 0, True))
    share = 1 / len(grades)
    coverage = np.concatenate([[0.0], (last + 1) * share])
    return coverage, np.concatenate([[0.0], np.cumsum(wrong[order])[last] * share])


def augrc(coverage: np.ndarray, risk: np.ndarray) -> float:
    """Area under the generalised risk-coverage curve (Traub 2024, arXiv 2407.01032): lower is better."""
    return float(np.sum(np.diff(coverage) * (risk[1:] + risk[:-1]) / 2))


def with_intervals(
    figures: Callable[[np.ndarray], Figures],
    groups: np.ndarray,
    draws: int = 1000,
    seed: int = 0,
    repeats: np.ndarray | None = None,
    shares: Collection[str] = SHARES,
    grades: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Figures with 95 % percentile intervals by bootstrap over groups (patients).

    As many patients as there are are drawn with replacement; each brings all its rows of every repeat, and a
    draw's figure is the mean over the repeats of the figure of one repeat's rows, as is the value itself.
    The same seed draws the same patients, whatever the figures.

    Every draw of patients who were all right has all of them right: where a share is 0 or 1, its interval is
    Wilson's of the patients that it is of, and not of no width. Draws for which a figure is not defined (of one
    grade alone) do not count for it. Figures of ``WITHOUT_INTERVAL`` have none. One patient is the same in
    every draw, which tells nothing of others: his figures have no interval.

    Args:
        figures: the figures of an index array of rows.
        groups: the patient of every row. repeats: the repeat of every row; one repeat if left out.
        shares: names of the figures that are a share of patients.
        grades: of every row. With them an AUC of 0 or 1 has Wilson's interval, of as many pairs without a
            common patient as there can be, one for each patient of the rarer grade.
    """
    numbers = np.zeros(len(groups), dtype=int) if repeats is None else repeats
    value = _mean_figures(figures, [np.flatnonzero(numbers == r) for r in np.unique(numbers)])
    drawn: dict[str, list[float]] = {name: [] for name in value}
    for parts in bootstrap_rows(groups, numbers, draws if len(np.unique(groups)) > 1 else 0, seed):
        for name, figure in _mean_figures(figures, parts).items():
            drawn[name].append(figure)
    drawn |= {name: [] for name in WITHOUT_INTERVAL if name in drawn}
    intervals = {name: {"value": figure, **_interval(drawn[name])} for name, figure in value.items()}
    if extreme := [name for name in value if name in shares and value[name] in (0.0, 1.0)]:
        alone = [figures(np.flatnonzero(groups == group)) for group in np.unique(groups)]
        for name in extreme:
            count = sum(bool(np.isfinite(found[name])) for found in alone)
            intervals[name] = wilson(value[name] * count, count)
    if grades is not None and value.get("auc") in (0.0, 1.0):
        pairs = min(len(np.unique(groups[grades == grade])) for grade in (0, 1))
        intervals["auc"] = wilson(value["auc"] * pairs, pairs)
    return intervals


def bootstrap_rows(
    groups: np.ndarray, repeats: np.ndarray, draws: int, seed: int = 0
) -> Iterator[list[np.ndarray]]:
    """For every draw of patients, the rows of each repeat, patient by patient."""
    names, group = np.unique(groups, return_inverse=True)
    parts = []
    for repeat in np.unique(repeats):
        rows = np.flatnonzero(repeats == repeat)
        counts = np.bincount(group[rows], minlength=len(names))
        parts.append((rows[np.argsort(group[rows], kind="stable")], counts, np.cumsum(counts) - counts))
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        yield [sorted_rows[_runs(first[chosen], counts[chosen])] for sorted_rows, counts, first in parts]


def _runs(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers from each of ``first`` on, so many as ``counts`` says, one run behind the other."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(first - before, counts)


def wilson(successes: float, count: int) -> Interval:
    """A share with its 95 % score interval (Wilson 1927), which holds for few patients and for 0 or 100 %."""
    if not count:
        return {"value": NAN, "low": NAN, "high": NAN}
    low, high = proportions.wilson(successes, count)
    return {"value": successes / count, "low": low, "high": high}


def fit_platt(logits: np.ndarray, grades: np.ndarray) -> Platt:
    """Logistic calibration of logits (Platt 1999), with scikit-learn's default ridge against separable data.

    The slope is never below 0. Where chance has a network rank patients the wrong way round it says nothing,
    and the share of HGG is all that is known: turned round, it would vote against what it sees.
    """
    model = LogisticRegression().fit(np.asarray(logits, dtype=float)[:, None], grades)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Platt(slope, intercept) if slope >= 0 else Platt(0.0, float(logit(np.mean(grades))))


def _mean_figures(figures: Callable[[np.ndarray], Figures], parts: list[np.ndarray]) -> Figures:
    tables = [figures(rows) for rows in parts]
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def _interval(drawn: list[float]) -> Interval:
    finite = np.array([figure for figure in drawn if np.isfinite(figure)])
    if not len(finite):
        return {"low": NAN, "high": NAN}
    low, high = np.percentile(finite, (2.5, 97.5))
    return {"low": float(low), "high": float(high)}


def bounded_logits(probabilities: np.ndarray) -> np.ndarray:
    """Logits of probabilities; of 0 and 1 as of the nearest that six decimals can tell from them."""
    return logit(np.clip(probabilities, 1e-6, 1 - 1e-6))


def _logistic(grades: np.ndarray, slopes: np.ndarray | None, offset: np.ndarray) -> tuple[float, float]:
    """Intercept and slope (1 without ``slopes``) of maximum likelihood, by Newton's method; NaN if none."""
    if not 0 < np.count_nonzero(grades) < len(grades):
        return NAN, NAN
    intercept, slope = 0.0, 1.0 if slopes is None else 0.0
    values = offset if slopes is None else slopes
    for _ in range(50):
        fitted = expit(intercept + slope * values)
        steps = _newton_steps(fitted * (1 - fitted), grades - fitted, slopes)
        if steps is None:
            return NAN, NAN
        intercept += min(max(steps[0], -5.0), 5.0)
        slope += min(max(steps[1], -5.0), 5.0)
        if max(map(abs, steps)) < 1e-8:
            return intercept, slope
    return NAN, NAN


def _newton_steps(
    weights: np.ndarray, missing: np.ndarray, slopes: np.ndarray | None
) -> tuple[float, float] | None:
    """Of intercept and slope; None where they cannot be told apart.

    The two equations are solved by hand: for a library the call takes longer than all the rest.
    """
    w, g = float(weights.sum()), float(missing.sum())
    if slopes is None:
        return (g / w, 0.0) if w > 0 else None
    weighted = weights * slopes
    wx, wxx, gx = float(weighted.sum()), float(weighted @ slopes), float(missing @ slopes)
    determinant = w * wxx - wx * wx
    if not determinant > 1e-13 * w * wxx:
        return None
    return (wxx * g - wx * gx) / determinant, (w * gx - wx * g) / determinant
