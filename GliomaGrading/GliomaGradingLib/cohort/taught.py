"""Cases of a batch that say nothing of the next patient: the bundle has learned from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError
from ..export.reliability import is_recalibrated
from ..networks.bundle import open_bundle
from ..taught import named_in, public_names
from .listing import CaseEntry

_SHOWN = 3
_NOT_KNOWN = (
    "It is not known whom the models have learned from: how well these patients are graded, where they are in "
    "this batch, says nothing of the next one."
)


@dataclass(frozen=True)
class Teachers:
    """Whom a bundle has learned from.

    Args:
        names: what public data sets call the patients that taught its networks; none where it does not tell.
        calibrated_on: how many patients of a cohort it was calibrated on since; it does not tell whom. None
            where that is not known.
    """

    names: tuple[str, ...] = ()
    calibrated_on: int | None = 0

    @classmethod
    def of(cls, bundle: str | Path | None) -> Teachers:
        """As a bundle's metadata tells; nothing is known where it cannot be opened."""
        try:
            metadata = open_bundle(bundle).metadata
        except BundleError:
            return cls((), None)
        patients = metadata["calibration"].get("patients", 0) if is_recalibrated(metadata) else 0
        return cls(tuple(public_names(metadata)), int(patients))

    def among(self, cases: Iterable[CaseEntry]) -> list[str]:
        """Those cases whose identifier or patient holds one of the names as a whole word."""
        return [entry.case for entry in cases if named_in(self.names, (entry.case, entry.patient or ""))]

    def count_among(self, cases: Iterable[CaseEntry]) -> int | None:
        """How many cases taught the models; None where that is not known."""
        return len(self.among(cases)) if self.names else None

    def remarks(self, cases: Sequence[CaseEntry]) -> list[str]:
        """How many of a batch's cases taught the models, and on whom the bundle was calibrated."""
        remarks = [] if self.names else [_NOT_KNOWN]
        if found := self.among(cases):
            names = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            remarks.append(
                f"{len(found)} of {len(cases)} cases are named like patients that taught the models ({names}): "
                "how well these are graded says nothing of the next patient."
            )
        if self.calibrated_on:
            remarks.append(
                f"The bundle was calibrated on {self.calibrated_on} patients of a cohort: where they are in "
                "this batch, its probabilities say nothing of the next patient."
            )
        return remarks
