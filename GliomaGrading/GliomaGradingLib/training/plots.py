"""Plots of a study, in one look: accuracy and loss curves, ROC, reliability, risk against coverage.

Colours are the product's (``palette``), which colour-blind readers tell apart; lines differ in style as well.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..palette import GRADE_COLORS, SEQUENCE_COLORS
from ..words import HGG, LGG, SEQUENCES
from .evidence import Evidence, read_curves
from .metrics import CALIBRATION_BINS, auc, bootstrap_rows, risk_coverage, wilson
from .selective import majority_hgg, withheld
from .study import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..voting import DecisionRule

COLOURS = {
    **SEQUENCE_COLORS,
    "soft": "#000000",
    "together": "#a6761d",
    "grey": "#6b6b6b",
}
STYLES = {"T1": "-", "T2": "--", "FLAIR": "-.", "soft": "-", "together": (0, (4, 1, 1, 1))}
LABELS = {"soft": "soft (mean of the three)", "together": "together (calibrated)"}
LOOK: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11,
    "legend.fontsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
BELOW: Any = {"loc": "outside lower center", "ncols": 3}
"""Of a legend: below the panels, where it covers nothing."""

GRID = np.linspace(0, 1, 201)
DRAWS = 400


def plots_of(evidence: Evidence, probabilities: np.ndarray, figures: dict[str, Any]) -> dict[str, bytes]:
    """roc.png, reliability.png and risk_coverage.png; curves.png where there were epochs."""
    from ..voting import DecisionRule

    units = evidence.units
    rule = {key: figures["decision"]["rule"][key] for key in ("low", "high")}
    with look():
        return {
            **({"curves.png": png(curves_plot(evidence.curves))} if evidence.curves else {}),
            "roc.png": png(roc_plot(units, probabilities)),
            "reliability.png": png(reliability_plot(units, probabilities, figures)),
            "risk_coverage.png": png(risk_coverage_plot(units, probabilities, DecisionRule(**rule))),
        }


def look() -> Any:
    """The style that all plots share, as a context."""
    import matplotlib

    return matplotlib.rc_context(LOOK)


def png(figure: Figure) -> bytes:
    """A PNG that is the same byte for byte for the same content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def new_figure(columns: int = 1, width: float = 5.0, height: float = 4.4) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side, sizes of one panel in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def curves_plot(curves: str) -> Figure:
    """Accuracy and loss by epoch: mean over the runs of a sequence and their spread; validation dotted."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(2)
    rows = read_curves(curves)
    for axis, what in zip(axes, ("accuracy", "loss"), strict=True):
        for sequence in SEQUENCES:
            for part, style in (("train", "-"), ("validation", ":")):
                _draw_runs(axis, _runs(rows, sequence, f"{part}_{what}"), sequence, part, style)
    last = max(int(row["epoch"]) for row in rows)
    for axis, label in zip(axes, ("Accuracy of slices", "Loss (cross-entropy)"), strict=True):
        axis.set(xlabel="Epoch", ylabel=label, xlim=(0.5, last + 0.5) if last < 3 else None)
        axis.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axis.locator_params(axis="x", integer=True)
    if axes[0].lines:
        several = len({(row["repeat"], row["fold"]) for row in rows}) > 1
        title = "mean of the runs, lowest to highest" if several else None
        figure.legend(*axes[0].get_legend_handles_labels(), title=title, title_fontsize=9.5, **BELOW)
    return figure


def roc_plot(units: Predictions, probabilities: np.ndarray) -> Figure:
    """Left: the sequences and the soft vote. Right: the soft vote with its 95 % band."""
    figure, (left, right) = new_figure(2)
    scores = dict(zip((*SEQUENCES, "soft"), _columns(probabilities), strict=True))
    for name, values in scores.items():
        mean, area = _mean_roc(units, values)
        left.plot(GRID, mean, ls=STYLES[name], color=COLOURS[name], label=f"{name}: AUC {area:.3f}")
    mean, area = _mean_roc(units, scores["soft"])
    low, high = _roc_band(units, scores["soft"])
    right.fill_between(GRID, low, high, color="#bbbbbb", alpha=0.6, lw=0, label="95 %, bootstrap over patients")
    right.plot(GRID, mean, color=COLOURS["soft"], label=f"soft: AUC {area:.3f}")
    for axis in (left, right):
        axis.plot([0, 1], [0, 1], color=COLOURS["grey"], lw=0.9, ls=":")
        axis.set(xlabel="1 - specificity (LGG called HGG)", ylabel="Sensitivity (HGG called HGG)")
        axis.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        axis.legend(loc="lower right")
    return figure


def reliability_plot(units: Predictions, probabilities: np.ndarray, figures: dict[str, Any]) -> Figure:
    """Share of HGG against the probability of the three together, and how often each probability occurs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 6.0), layout="constrained")
    axis, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    scores = probabilities[:, -1]
    repeats = len(np.unique(units.repeat))
    for group in np.array_split(np.argsort(scores, kind="stable"), min(CALIBRATION_BINS, len(scores))):
        _draw_group(axis, scores[group].mean(), units.grade[group], repeats)
    axis.plot([0, 1], [0, 1], color=COLOURS["grey"], lw=0.9, ls=":")
    axis.set(ylabel="Share that is HGG (95 %)", xlim=(0, 1), ylim=(-0.02, 1.02))
    axis.text(0.03, 0.97, _calibration_text(figures), va="top", transform=axis.transAxes, fontsize=9.5)
    bins = np.linspace(0, 1, 21)
    parts = [scores[units.grade == 0], scores[units.grade == 1]]
    weights = [np.full(len(part), 1 / repeats) for part in parts]
    # a list, for a tuple of two is a colour and its opacity to matplotlib 3.8
    colours = [GRADE_COLORS[LGG], GRADE_COLORS[HGG]]
    below.hist(parts, bins, weights=weights, stacked=True, color=colours, label=(LGG, HGG))
    below.set(xlabel="Probability of HGG, the three together", ylabel=f"{figures['unit'].capitalize()}s")
    below.legend(loc="upper left")
    return figure


def risk_coverage_plot(units: Predictions, probabilities: np.ndarray, rule: DecisionRule) -> Figure:
    """Share of all patients that get a wrong grade against the share that gets one, the least sure left out."""
    figure, (axis,) = new_figure(1, 5.6)
    scores = dict(zip((*SEQUENCES, "soft"), _columns(probabilities), strict=True))
    for name, values in {**scores, "together": probabilities[:, 3]}.items():
        risk, area = _mean_risk(units, values)
        label = f"{LABELS.get(name, name)}: AUGRC {area:.3f}"
        axis.plot(GRID, risk, ls=STYLES[name], color=COLOURS[name], label=label)
    kept = ~withheld(probabilities, rule)
    wrong = majority_hgg(probabilities) != (units.grade == 1)
    place = kept.mean(), (kept & wrong).mean()
    axis.plot(*place, "o", ms=9, mfc="white", mec="black", mew=1.8, label="with decisions withheld")
    axis.set(xlim=(0, 1), ylim=(0, None))
    axis.set(xlabel="Coverage: share that gets a grade", ylabel="Share of all that gets a wrong grade")
    axis.legend(loc="upper left")
    return figure


def _columns(probabilities: np.ndarray) -> list[np.ndarray]:
    return [*probabilities[:, :3].T, probabilities[:, :3].mean(axis=1)]


def _runs(rows: list[dict[str, Any]], sequence: str, what: str) -> np.ndarray:
    """(runs, epochs) values, cut to the shortest run."""
    runs: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        if row["sequence"] == sequence:
            runs.setdefault((row["repeat"], row["fold"]), []).append(row[what])
    shortest = min(map(len, runs.values()), default=0)
    return np.array([run[:shortest] for run in runs.values()])


def _draw_runs(axis: Axes, values: np.ndarray, sequence: str, part: str, style: str) -> None:
    if not values.size or not np.isfinite(values).any():
        return
    epochs = np.arange(values.shape[1]) + 1.0
    if len(epochs) == 1:  # points side by side, in place of lines and areas
        epochs += 0.05 * (SEQUENCES.index(sequence) - 1)
    mark = "o" if values.shape[1] < 6 else None
    axis.plot(
        epochs, values.mean(0), style, color=COLOURS[sequence], label=f"{sequence} {part}", marker=mark, ms=4
    )
    if len(values) > 1:
        axis.fill_between(epochs, values.min(0), values.max(0), color=COLOURS[sequence], alpha=0.12, lw=0)
        if len(epochs) == 1:
            axis.vlines(epochs, values.min(0), values.max(0), color=COLOURS[sequence], alpha=0.5)


def _mean_roc(units: Predictions, scores: np.ndarray) -> tuple[np.ndarray, float]:
    parts = [units.repeat == repeat for repeat in np.unique(units.repeat)]
    curves = [_sensitivity_on_grid(units.grade[part], scores[part]) for part in parts]
    return np.mean(curves, axis=0), float(np.mean([auc(units.grade[part], scores[part]) for part in parts]))


def _roc_band(units: Predictions, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    drawn = [
        np.mean([_sensitivity_on_grid(units.grade[rows], scores[rows]) for rows in parts], axis=0)
        for parts in bootstrap_rows(units.patient, units.repeat, DRAWS)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return low, high


def _sensitivity_on_grid(grades: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Sensitivity at every 1 - specificity of ``GRID``."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hgg, lgg = np.cumsum(grades[order] == 1)[last], np.cumsum(grades[order] == 0)[last]
    false = np.concatenate([[0.0], lgg / max(lgg[-1], 1)])
    true = np.concatenate([[0.0], hgg / max(hgg[-1], 1)])
    return np.interp(GRID, false, true)


def _mean_risk(units: Predictions, scores: np.ndarray) -> tuple[np.ndarray, float]:
    curves = [
        np.interp(GRID, *risk_coverage(units.grade[part], scores[part]))
        for part in (units.repeat == repeat for repeat in np.unique(units.repeat))
    ]
    mean = np.mean(curves, axis=0)
    return mean, float(np.sum(np.diff(GRID) * (mean[1:] + mean[:-1]) / 2))


def _draw_group(axis: Axes, mean: float, grades: np.ndarray, repeats: int) -> None:
    """A group's share of HGG; its interval counts patients, not their repeats."""
    count = max(1, round(len(grades) / repeats))
    share = wilson(round(float(grades.mean()) * count), count)
    middle = float(grades.mean())
    error = [[max(0.0, middle - share["low"])], [max(0.0, share["high"] - middle)]]
    axis.errorbar(mean, middle, yerr=error, fmt="o", color=COLOURS["together"], capsize=3, ms=6)
    axis.annotate(str(count), (mean, middle), xytext=(6, -12), textcoords="offset points", fontsize=8.5)


def _calibration_text(figures: dict[str, Any]) -> str:
    together = figures["figures"]["together"]
    chance = figures["calibration_error_by_chance"]["together"]
    slope, intercept = (together[f"calibration_{name}"]["value"] for name in ("slope", "intercept"))
    line = f"slope {slope:.2f}, intercept {intercept:+.2f}\n" if np.isfinite([slope, intercept]).all() else ""
    return (
        f"{line}"
        f"calibration error {together['calibration_error']['value']:.3f}\n"
        f"({chance:.3f} if perfect, with so few {figures['unit']}s)\n"
        f"Brier score {together['brier']['value']:.3f}"
    )
