"""The three sequences of a case at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .words import SEQUENCES

_T = TypeVar("_T")


def by_sequence(function: Callable[[str], _T]) -> dict[str, _T]:
    """``function`` of T1, T2 and FLAIR, each in a thread: NumPy and ITK leave Python's lock while they compute.

    Matrix products are better left out: BLAS has threads of its own.

    Raises:
        Exception: that of the first sequence that has one.
    """
    with ThreadPoolExecutor(len(SEQUENCES), "sequence") as pool:
        return dict(zip(SEQUENCES, pool.map(function, SEQUENCES), strict=True))
