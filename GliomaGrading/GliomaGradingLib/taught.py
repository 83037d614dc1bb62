"""Patients that taught the models, known by the names that public data sets have for them.

How well such a patient is graded says nothing of the next one; who tries the product first tries it on these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

_CHALLENGE = re.compile(r"brats\d{2}_(?!training)", re.IGNORECASE)
"""BraTS 2018 and 2019 gave one patient the same name but for the year before it."""


def public_names(metadata: Mapping[str, Any]) -> list[str]:
    """What public data sets call the patients that a bundle learned from; none where it does not tell."""
    training = metadata.get("training")
    names = training.get("public_names") if isinstance(training, Mapping) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def named_in(names: Sequence[str], texts: Iterable[str]) -> list[str]:
    """Those texts that hold one of the names as a whole word."""
    if not names:
        return []
    found = _any_of(tuple(names))
    return [text for text in texts if found.search(text)]


@lru_cache(4)  # hundreds of names, and a cohort asks for each of its cases
def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    bare = sorted({_CHALLENGE.sub("", name) for name in names}, key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, bare))})(?![^\W_])", re.IGNORECASE)
