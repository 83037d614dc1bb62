"""The page's two charts, as SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..words import SEQUENCES
from .evaluation import TOGETHER, Known, calibration_groups, roc_points

_SIZE, _LEFT, _TOP, _RIGHT, _BOTTOM = 340, 60, 12, 12, 44
_MOST_POINTS = 400
_DASHES = ("", "7 3", "2 3", "")


def roc_svg(known: Known) -> str:
    """Sensitivity against 1 - specificity of each sequence and of the three together."""
    names = (*SEQUENCES, TOGETHER)
    curves = [
        _line(_thinned(roc_points(known.grades, known.probabilities[:, k])), f"s{k}", _DASHES[k])
        for k in range(len(names))
    ]
    legend = [
        f'<line class="s{k}" stroke-dasharray="{_DASHES[k]}" x1="{_x(0.55):.0f}" x2="{_x(0.65):.0f}" '
        f'y1="{_y(0.3 - 0.075 * k):.0f}" y2="{_y(0.3 - 0.075 * k):.0f}"/>'
        f'<text x="{_x(0.68):.0f}" y="{_y(0.3 - 0.075 * k) + 4:.0f}">{name}</text>'
        for k, name in enumerate(names)
    ]
    return _chart("ROC", "1 - specificity (LGG called HGG)", "sensitivity (HGG called HGG)", [*curves, *legend])


def calibration_svg(known: Known) -> str:
    """Share of HGG among groups of equally many cases against their mean probability (the three together)."""
    marks = []
    for mean, share, low, high in calibration_groups(known.grades, known.probabilities[:, 3]):
        x = f"{_x(mean):.1f}"
        marks.append(f'<line class="s3" x1="{x}" x2="{x}" y1="{_y(low):.1f}" y2="{_y(high):.1f}"/>')
        marks.append(f'<circle class="dot" cx="{x}" cy="{_y(share):.1f}" r="4"/>')
    return _chart("Calibration", "mean probability of HGG", "share that is HGG (95 %)", marks)


def _chart(title: str, below: str, beside: str, marks: Iterable[str]) -> str:
    ticks = "".join(
        f'<text text-anchor="middle" x="{_x(v):.0f}" y="{_y(0) + 16:.0f}">{v:g}</text>'
        f'<text text-anchor="end" x="{_x(0) - 6:.0f}" y="{_y(v) + 4:.0f}">{v:g}</text>'
        f'<line class="grid" x1="{_x(0)}" x2="{_x(1)}" y1="{_y(v):.0f}" y2="{_y(v):.0f}"/>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    middle = (_x(0) + _x(1)) / 2
    return (
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{title}"><title>{title}</title>{ticks}'
        f"{_line([(0, 0), (1, 1)], 'grid', '3 3')}{''.join(marks)}"
        f'<text text-anchor="middle" x="{middle:.0f}" y="{_SIZE - 8}">{below}</text>'
        f'<text text-anchor="middle" transform="translate(12 {(_y(0) + _y(1)) / 2:.0f}) rotate(-90)">'
        f"{beside}</text>"
        "</svg>"
    )


def _line(points: Iterable[tuple[float, float]], name: str, dash: str) -> str:
    text = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class="{name}" stroke-dasharray="{dash}" points="{text}"/>'


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _MOST_POINTS:
        return points
    return [points[k] for k in np.linspace(0, len(points) - 1, _MOST_POINTS).round().astype(int)]


def _x(value: float) -> float:
    return _LEFT + (_SIZE - _LEFT - _RIGHT) * value


def _y(value: float) -> float:
    return _TOP + (_SIZE - _TOP - _BOTTOM) * (1 - value)
