"""Cases of a batch that taught the models, known by public names: they say nothing of the next patient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..bundle import open_bundle
from ..errors import BundleError
from .listing import CaseEntry

_CHALLENGE = re.compile(r"brats\d{2}_(?!training)", re.IGNORECASE)
"""BraTS 2018 and 2019 gave one patient the same name but for the year before it."""
_SHOWN = 3


def public_names(bundle: str | Path | None) -> list[str]:
    """What public data sets call the patients that a bundle learned from; none where it does not tell."""
    try:
        names = open_bundle(bundle).metadata.get("training", {}).get("public_names", ())
    except (BundleError, AttributeError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def taught(cases: Iterable[CaseEntry], names: Sequence[str]) -> list[str]:
    """Those cases whose identifier or patient holds one of the names as a whole word."""
    if not names:
        return []
    bare = sorted({_CHALLENGE.sub("", name) for name in names}, key=len, reverse=True)
    found = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, bare))})(?![^\W_])", re.IGNORECASE)
    return [entry.case for entry in cases if found.search(entry.case) or found.search(entry.patient or "")]


def taught_remarks(cases: Sequence[CaseEntry], bundle: str | Path | None) -> list[str]:
    """A remark on how many of a batch's cases taught the models, if any did."""
    found = taught(cases, public_names(bundle))
    if not found:
        return []
    names = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    return [
        f"{len(found)} of {len(cases)} cases are named like patients that taught the models ({names}): how "
        "well these are graded says nothing of the next patient."
    ]
