"""How often such a probability was right, in the words of a reader; from a bundle's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..proportions import reliability_bin


def reliability_text(probability: float, metadata: Mapping[str, Any]) -> str:
    """How many test patients with such a probability had an HGG; '' where the bundle does not say.

    Args:
        metadata: ``reliability`` in it is a list of bins with ``low``, ``high``, ``patients`` and ``hgg``.
    """
    found = reliability_bin(probability, metadata)
    if found is None:
        return ""
    low, high = found.interval
    return (
        f"Of {found.patients} test patients with a probability of {found.low:.1f} to {found.high:.1f}, "
        f"{100 * found.share:.0f} % had HGG (95 % interval {100 * low:.0f} to {100 * high:.0f} %)."
    )
