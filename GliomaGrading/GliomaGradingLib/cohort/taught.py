"""Cases of a batch that taught the models, known by public names: they say nothing of the next patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import BundleError
from ..networks.bundle import open_bundle
from ..taught import named_in, public_names
from .listing import CaseEntry

_SHOWN = 3


def names_of(bundle: str | Path | None) -> list[str]:
    """What public data sets call the patients that a bundle learned from; none where it cannot be opened."""
    try:
        return public_names(open_bundle(bundle).metadata)
    except BundleError:
        return []


def taught(cases: Iterable[CaseEntry], names: Sequence[str]) -> list[str]:
    """Those cases whose identifier or patient holds one of the names as a whole word."""
    return [entry.case for entry in cases if named_in(names, (entry.case, entry.patient or ""))]


def taught_remarks(cases: Sequence[CaseEntry], bundle: str | Path | None) -> list[str]:
    """A remark on how many of a batch's cases taught the models, if any did."""
    found = taught(cases, names_of(bundle))
    if not found:
        return []
    names = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    return [
        f"{len(found)} of {len(cases)} cases are named like patients that taught the models ({names}): how "
        "well these are graded says nothing of the next patient."
    ]
