"""What the model card says about how often such a result is right: the bundle's metadata, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..errors import BundleError
from ..networks.bundle import METADATA, Bundle, find_bundles
from ..networks.bundle_files import read_json
from ..proportions import reliability_bin
from ..result import GradeResult


def reliability_text(result: GradeResult, bundle: str = "") -> str:
    """One line on the evidence behind the probability; '' where the bundle's card has none.

    Args:
        bundle: the folder that was chosen as model; '' where it is one of those that ship.
    """
    metadata = metadata_of(result.model.get("sha256", ""), bundle)
    return _bin_text(result.probability_hgg, metadata) or _accuracy_text(metadata) if metadata else ""


@lru_cache(maxsize=8)
def metadata_of(sha256: str, bundle: str = "") -> Mapping[str, Any] | None:
    """The metadata of the bundle that graded, known by its hash; None where it is not there any more."""
    for folder in _folders(bundle):
        metadata = _read(folder / METADATA)
        if metadata is not None and Bundle(folder, metadata, {}).sha256 == sha256:
            return metadata
    return None


def _folders(bundle: str) -> Iterator[Path]:
    if bundle and Path(bundle).is_dir():
        yield Path(bundle)
    yield from find_bundles()


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        metadata = read_json(path)
    except BundleError:
        return None
    return metadata if isinstance(metadata, dict) else None


def _bin_text(probability: float, metadata: Mapping[str, Any]) -> str:
    """How many patients with such a probability had an HGG."""
    found = reliability_bin(probability, metadata)
    if found is None:
        return ""
    low, high = found.interval
    return _(
        "Of {total} test patients with a probability of {p_low} to {p_high}, {share} % had HGG "
        "(95 % interval {low} to {high} %)."
    ).format(
        total=found.patients,
        p_low=f"{found.low:.1f}",
        p_high=f"{found.high:.1f}",
        share=round(100 * found.share),
        low=round(100 * low),
        high=round(100 * high),
    )


def _accuracy_text(metadata: Mapping[str, Any]) -> str:
    figures = metadata.get("figures")
    found = (
        [one for name, one in figures.items() if name == "accuracy of the vote"]
        if isinstance(figures, dict)
        else []
    )
    try:
        value, low, high = (round(100 * float(found[0][key])) for key in ("value", "low", "high"))
    except (IndexError, KeyError, TypeError, ValueError):
        return ""
    return _(
        "In cross-validation the vote was right in {value} % of the patients (95 % interval {low} to {high} %)."
    ).format(value=value, low=low, high=high)
