"""Intervals of shares, for whoever shows how often something was right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NORMAL_95 = 1.959964


def wilson(count: float, total: int) -> tuple[float, float]:
    """95 % score interval of the share ``count / total``; holds for few patients and for 0 or 100 %.

    Wilson, J Am Stat Assoc 1927;22:209. ``total`` is above 0.
    """
    share, spread = count / total, NORMAL_95**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


@dataclass(frozen=True)
class ReliabilityBin:
    """Test patients whose probability of HGG lay from ``low`` to ``high``, and how many of them had one."""

    low: float
    high: float
    patients: int
    hgg: int

    @property
    def share(self) -> float:
        return self.hgg / self.patients

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share."""
        return wilson(self.hgg, self.patients)


def reliability_bin(probability: float, metadata: Mapping[str, Any]) -> ReliabilityBin | None:
    """The bin of a probability; None where the bundle's metadata have none (``reliability`` lists them), or it
    is empty or broken."""
    try:
        bins = [ReliabilityBin(**entry) for entry in metadata.get("reliability", ())]
        found = next(one for one in bins if one.low <= probability <= one.high)
        return found if 0 <= int(found.hgg) <= int(found.patients) > 0 else None
    except (StopIteration, KeyError, TypeError, ValueError):
        return None
