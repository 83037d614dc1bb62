"""Cases of a batch that say nothing of the next patient: the bundle has learned from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..export.reliability import is_recalibrated
from ..networks.bundle import open_bundle
from ..taught import named_in, public_names
from .listing import CaseEntry

_SHOWN = 3


def names_of(bundle: str | Path | None) -> list[str]:
    """What public data sets call the patients that a bundle learned from; none where it cannot be opened."""
    return public_names(_metadata(bundle))


def calibrated_on(bundle: str | Path | None) -> int:
    """How many patients of a cohort a bundle was calibrated on since it was trained; it does not tell whom."""
    metadata = _metadata(bundle)
    return int(metadata["calibration"].get("patients", 0)) if is_recalibrated(metadata) else 0


def taught(cases: Iterable[CaseEntry], names: Sequence[str]) -> list[str]:
    """Those cases whose identifier or patient holds one of the names as a whole word."""
    return [entry.case for entry in cases if named_in(names, (entry.case, entry.patient or ""))]


def taught_remarks(cases: Sequence[CaseEntry], bundle: str | Path | None) -> list[str]:
    """Remarks on how many of a batch's cases taught the models, and on whom the bundle was calibrated on."""
    remarks = []
    if found := taught(cases, names_of(bundle)):
        names = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        remarks.append(
            f"{len(found)} of {len(cases)} cases are named like patients that taught the models ({names}): how "
            "well these are graded says nothing of the next patient."
        )
    if patients := calibrated_on(bundle):
        remarks.append(
            f"The bundle was calibrated on {patients} patients of a cohort: where they are in this batch, its "
            "probabilities say nothing of the next patient."
        )
    return remarks


def _metadata(bundle: str | Path | None) -> Mapping[str, Any]:
    try:
        return open_bundle(bundle).metadata
    except BundleError:
        return {}
