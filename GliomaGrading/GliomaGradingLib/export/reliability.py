"""How often such a probability was right, in the words of a reader; from a bundle's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..proportions import wilson


def reliability_text(probability: float, metadata: Mapping[str, Any]) -> str:
    """How many test patients with such a probability had an HGG; '' where the bundle does not say.

    Args:
        metadata: ``reliability`` in it is a list of bins with ``low``, ``high``, ``patients`` and ``hgg``.
    """
    try:
        bins = [one for one in metadata.get("reliability", ()) if one["low"] <= probability <= one["high"]]
        if not bins or int(bins[0]["patients"]) < 1:
            return ""
        one = bins[0]
        low, high = wilson(int(one["hgg"]), int(one["patients"]))
        return (
            f"Of {int(one['patients'])} test patients with a probability of {one['low']:.1f} "
            f"to {one['high']:.1f}, "
            f"{100 * int(one['hgg']) / int(one['patients']):.0f} % had HGG "
            f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)."
        )
    except (KeyError, TypeError, ValueError):
        return ""
