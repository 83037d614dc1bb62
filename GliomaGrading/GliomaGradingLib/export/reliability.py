"""How often such a probability was right, in the words of a reader; from a bundle's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..doubts import are_inputs_doubted, is_taught
from ..proportions import reliability_bin

if TYPE_CHECKING:
    from ..result import GradeResult

ELSEWHERE = "How such models did on patients of other collections stands in the model card"


def reliability_of(result: GradeResult, metadata: Mapping[str, Any]) -> str:
    """What is known of how often such a result was right, or why the test patients say nothing of it."""
    if are_inputs_doubted(result):
        return f"{_SUCH_PATIENTS} does not apply: the inputs are doubtful."
    if is_taught(result):
        return f"{_SUCH_PATIENTS} does not apply: this case is named like a patient that taught the models."
    return alike_text(result.probability_hgg, metadata)


_SUCH_PATIENTS = "How often test patients had HGG"


def alike_text(probability: float, metadata: Mapping[str, Any]) -> str:
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


def prevalence_text(metadata: Mapping[str, Any]) -> str:
    """The share of HGG behind the probabilities; '' where the bundle does not tell.

    Args:
        metadata: ``training`` in it counts the patients (``patients``, ``HGG``) that the models, and their
            calibration, were fitted to; ``calibration`` does so where that was fitted to others since.
    """
    try:
        counted = metadata["calibration" if is_recalibrated(metadata) else "training"]
        patients, hgg = (int(counted[key]) for key in ("patients", "HGG"))
    except (KeyError, TypeError, ValueError):
        return ""
    if not 0 <= hgg <= patients > 0:
        return ""
    return f"the share of HGG among those patients was {100 * hgg / patients:.0f} % ({hgg} of {patients})"


def figures_note(metadata: Mapping[str, Any]) -> str:
    """What the figures of a bundle are to be read with: whom they are of, and whom they are not of."""
    prevalence = prevalence_text(metadata)
    whom = f"; {prevalence}. Where HGG is rarer or commoner, the probabilities are off." if prevalence else "."
    card = None if is_recalibrated(metadata) else metadata.get("card")  # its figures are of before
    elsewhere = f" {ELSEWHERE} ({card})." if isinstance(card, str) and card else ""
    return f"{_RECALIBRATED if is_recalibrated(metadata) else _MEASURED}{whom}{elsewhere}"


def is_recalibrated(metadata: Mapping[str, Any]) -> bool:
    """Whether a bundle was calibrated on a cohort since it was trained: ``of`` names what it was before."""
    calibration = metadata.get("calibration")
    return isinstance(calibration, Mapping) and "of" in calibration


_MEASURED = (
    "By cross-validation: models of the same recipe, on patients held out of their training; 95 % intervals"
)
_RECALIBRATED = (
    "By cross-validation: these models, on patients of one cohort who were held out of its calibration; 95 % "
    "intervals"
)
