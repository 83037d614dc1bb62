"""Grader: a case in, a GradeResult out."""

from __future__ import annotations

import math
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .doubts import DOUBTFUL, TAUGHT
from .errors import BundleError, UsageError, tells_of_no_memory
from .networks.bundle import Bundle, open_bundle
from .networks.bundle_files import INSTALL_AGAIN
from .result import GradeResult, Notice
from .taught import named_in, public_names
from .voting import Verdict, check_rule, decide
from .words import DEVICES, SEQUENCES, SLICE_COUNT

if TYPE_CHECKING:
    import torch

    from .case import Case
    from .explanation import Explanation
    from .networks.network import TransferModel
    from .preparation.slices import SliceStack

LEAST_SEEN = 0.6
"""Share of the tumour's largest slice within the region, below which its reader is told."""

SPECK = 4
"""Lattice squares; what is smaller may lie between the lattice's points and not beyond its square."""

Progress = Callable[[str, float], None]
"""Called with a stage's name and the fraction of the whole that is done."""


@dataclass(frozen=True, eq=False)
class Graded:
    """A result with what it was made from: the case with its sequences aligned, and its slices.

    ``strangeness``: see ``Verdict``.
    """

    result: GradeResult
    case: Case
    stack: SliceStack
    strangeness: float | None = None


class Grader:
    """Three transfer models of a bundle, ready to grade cases one after another.

    Use ``Grader.load()``; the models stay in memory for as long as the grader lives. Threads may share a
    grader: they prepare side by side, and take turns at the networks.
    """

    def __init__(self, bundle: Bundle, models: Mapping[str, TransferModel], device: torch.device) -> None:
        import torch

        from .networks.inference import FusedModel
        from .networks.readers import Readers

        self.bundle = bundle
        self.device = device
        self._form = bundle.inputForm()
        self._image_form = bundle.imageForm()
        self._calibration = bundle.calibration()
        self._rule = bundle.decisionRule()
        self._familiarity = bundle.familiarity()
        self._models: dict[str, FusedModel] = {}
        for sequence in SEQUENCES:
            trained = models[sequence].to(device).to(memory_format=torch.channels_last).eval()
            self._models[sequence] = FusedModel(trained, self._image_form.pixels)
        self._readers = Readers(self._models)
        self._turn = threading.Lock()

    @classmethod
    def load(cls, bundle: str | Path | None = None, device: str = "auto") -> Grader:
        """Load a bundle's models.

        Args:
            bundle: name of a shipped bundle, a bundle's folder, or None for the default one.
            device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

        Raises:
            BundleError: the bundle is missing or damaged.
            UsageError: there is no such device.
        """
        opened = open_bundle(bundle)
        return cls(opened, opened.models(), choose_device(device))

    def grade(
        self,
        case: Case,
        vote: str = "majority",
        registerMode: str = "auto",
        progress: Progress | None = None,
    ) -> GradeResult:
        """Grade a case.

        Args:
            vote: ``majority`` (the paper's) or ``soft``.
            registerMode: ``auto``, ``always`` or ``never`` register sequences to the mask's.
            progress: called with a stage's name and the fraction done.

        Raises:
            CaseError: the case cannot be graded as it is.
            UsageError: there is no such vote or register mode.
        """
        return self.gradeInDetail(case, vote, registerMode, progress).result

    def gradeInDetail(
        self,
        case: Case,
        vote: str = "majority",
        registerMode: str = "auto",
        progress: Progress | None = None,
    ) -> Graded:
        """As ``grade``, with what the grade was made from: the registered case and its slices."""
        from .preparation.registration import register
        from .preparation.slices import prepare

        check_rule(vote)  # before the work, not after it
        report = progress or (lambda stage, fraction: None)
        clock = _Clock()
        report("alignment", 0.0)
        registered, registration = register(case, registerMode)
        clock.mark("register")
        report("slices", 0.3)
        stack = prepare(registered, self._form)
        clock.mark("prepare")
        verdict = self.judge(stack, vote, lambda stage, fraction: report(stage, 0.6 + 0.4 * fraction))
        clock.mark("infer")
        report("done", 1.0)
        seen_ml, beyond = self._seen(stack)
        notices = (*verdict.doubts, *stack.warnings, *beyond, *self._taught_by(case))
        result = GradeResult(
            case=case.identifier,
            grade=verdict.grade,
            decision=verdict.decision,
            probability_hgg=verdict.probability_hgg,
            votes=verdict.votes,
            slices=stack.info,
            tumour_ml=_rounded_ml(stack.tumour_ml),
            warnings=tuple(dict.fromkeys(notices)),
            model=self.bundle.description(),
            software=software_versions(),
            seconds={"read": 0.0, **clock.seconds()},
            registration=registration,
            vote=vote,
            seen_ml=round(seen_ml, 4),
        )
        return Graded(result, registered, stack, verdict.strangeness)

    def _seen(self, stack: SliceStack) -> tuple[float, tuple[Notice, ...]]:
        """ml of the tumour that the networks see, and a notice where that is little of the largest slice."""
        form = self._form
        areas = stack.mask.sum(axis=(1, 2), dtype=float)[stack.first :][:SLICE_COUNT] * form.pixel_mm**2
        seen_ml = min(float(areas.sum()) * stack.info.spacing_mm / 1000, stack.tumour_ml)
        largest = stack.info.indices.index(stack.info.largest_index)
        share = areas[largest] / max(stack.info.largest_area_mm2, 1e-9)
        is_speck = stack.info.largest_area_mm2 < SPECK * form.pixel_mm**2
        if share >= LEAST_SEEN or is_speck:
            return seen_ml, ()
        text = (
            f"the networks see a square of {form.pixels * form.pixel_mm:.0f} mm, in which {100 * share:.0f} % "
            "of the tumour's largest slice lies"
        )
        return seen_ml, (Notice("tumour-beyond-region", text),)

    def _taught_by(self, case: Case) -> tuple[Notice, ...]:
        if not named_in(public_names(self.bundle.metadata), [case.identifier]):
            return ()
        text = (
            "this case is named like a patient that taught the models: how well it is graded says nothing of "
            "the next patient"
        )
        return (Notice(TAUGHT, text),)

    def judge(self, stack: SliceStack, vote: str = "majority", progress: Progress | None = None) -> Verdict:
        """Votes, grade and decision of a prepared slice stack; its warnings can hold the decision back."""
        with self._turn:
            return self._judge(stack, vote, progress)

    def _judge(self, stack: SliceStack, vote: str, progress: Progress | None) -> Verdict:
        logits, unexplained = {}, {}
        reading = self._read(stack, SEQUENCES)
        for done, sequence in enumerate(SEQUENCES):
            if progress:
                progress(f"network {sequence}", done / len(SEQUENCES))
            logits[sequence], unexplained[sequence] = next(reading)
            self._check_logits(sequence, logits[sequence])
        doubts = tuple(warning for warning in stack.warnings if warning.code in DOUBTFUL)
        strangeness = None
        if self._familiarity:
            doubts += self._familiarity.doubts(stack, unexplained)
            strangeness = self._familiarity.strangeness(unexplained)
        verdict = decide(logits, self._calibration, vote, self._rule, doubts)
        return replace(verdict, strangeness=strangeness)

    def _check_logits(self, sequence: str, logits: Sequence[float]) -> None:
        """Raises BundleError where a network gave no numbers, of which a grade would be made."""
        if not all(map(math.isfinite, logits)):
            problem = f"the {sequence} model gives no number for these images: its weights are too large"
            raise BundleError(problem, self.bundle.folder / self.bundle.weights[sequence].file, INSTALL_AGAIN)

    def explain(self, graded: Graded | SliceStack, progress: Progress | None = None) -> Explanation:
        """Where the networks found the evidence for what they say of a graded case, or of a slice stack."""
        from .networks.saliency import explain

        stack = graded.stack if isinstance(graded, Graded) else graded
        with self._turn:
            return explain(stack, self._models, self._image_form, self._calibration, progress)

    def slice_logits(self, stack: SliceStack, sequence: str) -> list[float]:
        """The raw logits of HGG of a sequence's 20 slices, from foot to head."""
        with self._turn:
            return next(self._read(stack, [sequence]))[0]

    def _read(self, stack: SliceStack, sequences: Sequence[str]) -> Iterator[tuple[list[float], float]]:
        """Each sequence's logits, and how much of its features the training patients do not explain."""
        import torch

        from .networks.images import stack_input, without_gaps

        mask = without_gaps(torch.from_numpy(stack.mask)).to(self.device)

        def input_of(sequence: str) -> tuple[torch.Tensor, torch.Tensor]:
            planes = torch.from_numpy(stack.planes[SEQUENCES.index(sequence)]).to(self.device)
            return stack_input(planes, mask, stack.first, SLICE_COUNT, self._image_form)

        def judge(sequence: str, pooled: torch.Tensor) -> tuple[list[float], float]:
            output = self._models[sequence].output
            return output(pooled).double().cpu().tolist(), float(output.unexplained(pooled))

        inputs = {sequence: partial(input_of, sequence) for sequence in sequences}
        for _, found in self._readers.judged(inputs, judge):
            yield found


def _rounded_ml(volume: float) -> float:
    """To 0.1 mm3; what is smaller is still not nothing."""
    return round(volume, 4) or float(f"{volume:.2g}")


class _Clock:
    """Seconds of the stages of one grading."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._stages: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        now = time.perf_counter()
        self._stages[stage] = now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        stages = {**self._stages, "total": self._last - self._start}
        return {stage: round(value, 4) for stage, value in stages.items()}


def choose_device(name: str) -> torch.device:
    """The torch device of ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: the name is none of these, or this machine has no CUDA.
    """
    import torch

    if name not in DEVICES:
        raise UsageError(f"there is no device {name!r}", remedy="choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "this machine has no CUDA that torch can use",
            remedy="choose the device cpu: under Advanced in the panel, by --device cpu on the command line",
        )
    is_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available() and _cuda_computes())
    return torch.device("cuda" if is_cuda else "cpu")


def _cuda_computes() -> bool:
    """Whether torch was built for the card that there is: it says so with the first computation only."""
    import torch

    try:
        one = torch.ones(1, 1, 1, 1, device="cuda")
        return bool(torch.nn.functional.conv2d(one, one).item() == 1.0)
    except Exception as error:  # torch has many kinds for this
        return tells_of_no_memory(str(error))  # a card that is full at the moment computes


def software_versions() -> dict[str, Any]:
    """Versions of what graded a case."""
    import numpy
    import SimpleITK
    import torch

    from . import __version__

    return {
        "glioma-grading": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "SimpleITK": SimpleITK.Version.VersionString(),
    }
