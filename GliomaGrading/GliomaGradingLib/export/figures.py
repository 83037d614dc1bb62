"""Figures of an evaluation, as JSON takes them."""

from __future__ import annotations

from typing import Any

import numpy as np


def rounded(value: Any) -> Any:
    """Figures all through dicts and lists: six decimals, None where one is not defined, as JSON knows no NaN.

    NumPy's numbers become Python's, tuples lists.
    """
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
