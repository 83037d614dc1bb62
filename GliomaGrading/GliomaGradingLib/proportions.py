"""Intervals of shares, for whoever shows how often something was right."""

from __future__ import annotations

import math

NORMAL_95 = 1.959964


def wilson(count: float, total: int) -> tuple[float, float]:
    """95 % score interval of the share ``count / total``; holds for few patients and for 0 or 100 %.

    Wilson, J Am Stat Assoc 1927;22:209. ``total`` is above 0.
    """
    share, spread = count / total, NORMAL_95**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
