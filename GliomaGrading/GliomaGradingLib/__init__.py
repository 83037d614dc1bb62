"""Grading of glioma from T1, T2 and FLAIR by three voting GoogLeNet transfer models.

For research use only; not for diagnosis. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Case
    from .errors import BundleError, CaseError, GliomaGradingError, UsageError
    from .grading import Grader
    from .result import GradeResult
    from .volume import Volume

__version__ = "0.13.0"

_HOMES = {
    "Case": "case",
    "Grader": "grading",
    "GradeResult": "result",
    "Volume": "volume",
    "GliomaGradingError": "errors",
    "CaseError": "errors",
    "BundleError": "errors",
    "UsageError": "errors",
}
__all__ = [
    "BundleError",
    "Case",
    "CaseError",
    "GliomaGradingError",
    "GradeResult",
    "Grader",
    "UsageError",
    "Volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
