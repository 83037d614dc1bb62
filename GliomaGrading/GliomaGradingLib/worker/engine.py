"""The engine of the product: ``Grader`` behind the worker's protocol. Only the child imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..case import Case
from ..errors import CaseError
from ..explanation import check_same_images
from ..result import GradeResult
from ..volume import Volume
from ..words import SEQUENCES
from .arrays import ArrayVolume
from .protocol import SlicesGone, WorkerError, memory_error
from .server import Progress

if TYPE_CHECKING:
    from ..grading import Graded
    from ..preparation.slices import SliceStack

_NAMES = (*SEQUENCES, "mask")


class GradingEngine:
    """Holds one loaded bundle and grades cases with it.

    Options of ``grade``: ``vote`` (majority, soft), ``register`` (auto, always, never),
    ``maskLabels`` (list of whole numbers, or none for every label), ``caseId``, ``job`` (the number by
    which ``explain`` may ask for the case again). The slices of the last case stay, and no more of it.
    """

    def __init__(self) -> None:
        self._grader: Any = None
        self._last: tuple[Any, SliceStack] | None = None

    @property
    def grader(self) -> Any:
        """The Grader that was loaded last; None before."""
        return self._grader

    def load(self, bundle: str | None, device: str, progress: Progress) -> dict[str, Any]:
        """Loads the weights onto the device.

        Raises:
            BundleError: there is no such bundle, or it is damaged.
            WorkerError: PyTorch is missing or does not work.
        """
        progress("torch", 0.0)
        try:
            import torch  # noqa: F401  # here, because it takes most of the time of loading

            from ..grading import Grader
        except (ImportError, OSError) as error:  # the latter where a library of it cannot be loaded
            raise _no_torch(error) from error
        _reserve_workspace()
        progress("weights", 0.7)
        self._last = None
        grader = Grader.load(bundle=bundle, device=device)
        self._grader = grader
        progress("weights", 1.0)
        return {"model": grader.bundle.description(), "device": str(grader.device)}

    def grade(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """``GradeResult.toDict()`` of the four volumes T1, T2, FLAIR and mask.

        Raises:
            CaseError: the images cannot be graded.
        """
        graded = self._graded(volumes, options, progress)
        self._last = options.get("job"), graded.stack
        return graded.result.toDict()

    def explain(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """``Explanation.toDict()`` of the case sent, or without images of the one graded by job ``graded``.

        Raises:
            CaseError: the images cannot be graded.
            SlicesGone: no images were sent, and that case is not the one that was graded last.
        """
        if volumes:
            return self._grader.explain(self._graded(volumes, options, progress), progress).toDict()
        job, stack = self._last or (None, None)
        if stack is None or job != options.get("graded"):
            raise SlicesGone("the slices of this case are gone", remedy="grade the case again")
        return self._grader.explain(stack, progress).toDict()

    def report(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """The report of a result that was given before: under ``arrays`` the bytes of its files, by name.

        ``options.result`` is that result, ``GradeResult.toDict()``; the images show what it says, so they are
        prepared and read once more.

        Raises:
            CaseError: the images cannot be graded, or are not those of the result; or its model was another.
        """
        from ..export.folder import result_files

        given = _given_result(options)
        self._check_model(given)
        graded = self._graded(volumes, options, lambda stage, part: progress(stage, 0.6 * part))
        found = graded.result
        check_same_images(given, found.slices.indices, [vote.slice_probabilities for vote in found.votes])
        explanation = self._grader.explain(graded, lambda stage, part: progress(stage, 0.6 + 0.3 * part))
        progress("report", 0.9)
        files = result_files(replace(graded, result=given), self._grader.bundle, explanation)
        return {"arrays": {name: np.frombuffer(content, np.uint8) for name, content in files.items()}}

    def _check_model(self, given: GradeResult) -> None:
        if given.model.get("sha256") != self._grader.bundle.sha256:
            name, version = (given.model.get(key, "?") for key in ("name", "version"))
            raise CaseError(
                f"it was graded with another model ({name} {version})",
                given.case,
                "choose that model under Advanced, or grade the case again",
            )

    def _graded(
        self, volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any], progress: Progress
    ) -> Graded:
        return self._grader.gradeInDetail(
            _case(volumes, options),
            vote=options.get("vote", "majority"),
            registerMode=options.get("register", "auto"),
            progress=progress,
        )


def _given_result(options: Mapping[str, Any]) -> GradeResult:
    try:
        return GradeResult.fromDict(options["result"])
    except (KeyError, AttributeError, ValueError) as error:
        raise CaseError(f"its result is damaged ({error})", remedy="grade the case again") from error


def _reserve_workspace() -> None:
    """Has numpy's linear algebra take its workspace now, which it keeps.

    OpenBLAS before numpy 2.3 asks for it again and again where there is no memory left, without end.
    """
    square = np.random.default_rng(0).random((64, 64))
    np.linalg.inv(square @ square.T + np.eye(64))


def _case(volumes: Mapping[str, ArrayVolume], options: Mapping[str, Any]) -> Case:
    missing = [name for name in _NAMES if name not in volumes]
    if missing:
        raise WorkerError(f"the request has no {', '.join(missing)}")
    images = {name: _plain_volume(volumes[name]) for name in _NAMES}
    return Case.fromArrays(
        t1=images["T1"],
        t2=images["T2"],
        flair=images["FLAIR"],
        mask=images["mask"],
        maskLabels=options.get("maskLabels"),
        caseId=options.get("caseId") or "case",
    )


def _plain_volume(volume: ArrayVolume) -> Volume:
    return Volume(volume.array, volume.spacing, volume.origin, volume.direction, volume.source)


def _no_torch(error: ImportError | OSError) -> WorkerError:
    by = "in Slicer by the PyTorch extension, elsewhere by pip install torch torchvision"
    problem = f"PyTorch cannot be used ({error})"
    if known := memory_error(str(error)):
        return known
    if isinstance(error, ImportError):
        return WorkerError(problem, remedy=f"install it: {by}")
    return WorkerError(
        problem, remedy=f"install it again ({by}), on Windows Microsoft's Visual C++ runtime, too"
    )
