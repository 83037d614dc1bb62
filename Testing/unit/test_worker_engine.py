"""The engine of the product hands to Grader what the client sent. Without torch: Grader is a double."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.errors import BundleError, CaseError, UsageError
from GliomaGradingLib.result import RESULT_SCHEMA
from GliomaGradingLib.worker.arrays import ArrayVolume
from GliomaGradingLib.worker.engine import GradingEngine
from GliomaGradingLib.worker.protocol import SlicesGone, WorkerError


class GraderDouble:
    calls: list[dict[str, Any]] = []
    bundle = SimpleNamespace(description=lambda: {"name": "shipped", "version": "1"})
    device = "cpu"

    @classmethod
    def load(cls, bundle: str | None = None, device: str = "auto") -> GraderDouble:
        if bundle == "missing":
            raise BundleError("there is no such bundle", bundle)
        return cls()

    def gradeInDetail(self, case: Any, **options: Any) -> Any:
        options["progress"]("prepare", 0.5)
        self.calls.append({"case": case, **options})
        result = SimpleNamespace(toDict=lambda: {"grade": "HGG", "case": case.identifier})
        return SimpleNamespace(result=result, case=case, stack=f"slices of {case.identifier}")

    def explain(self, graded: Any, progress: Any = None) -> Any:
        progress("saliency T1", 0.0)
        return SimpleNamespace(toDict=lambda: {"of": getattr(graded, "stack", graded)})


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> type[GraderDouble]:
    grading = ModuleType("GliomaGradingLib.grading")
    grading.Grader = GraderDouble  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "GliomaGradingLib.grading", grading)
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.setattr(GraderDouble, "calls", [])
    return GraderDouble


def progress(*_: object) -> None:
    pass


def volumes() -> dict[str, ArrayVolume]:
    """A bright head with a tumour in 40 slices, 1 mm."""
    noise = np.random.default_rng(0)
    images = {}
    for name in ("T1", "T2", "FLAIR"):
        array = np.zeros((40, 64, 64), "int16")
        array[:, 8:56, 8:56] = noise.integers(200, 900, (40, 48, 48))
        images[name] = ArrayVolume(array, (1.0, 1.0, 1.0), (1.0, 2.0, 3.0), source=f"{name}.nrrd")
    mask = np.zeros((40, 64, 64), "uint8")
    mask[10:30, 20:40, 20:40] = 2
    return {**images, "mask": ArrayVolume(mask, (1.0, 1.0, 1.0), (1.0, 2.0, 3.0))}


def test_loading_names_the_model_and_the_device(grader: type[GraderDouble]) -> None:
    stages: list[str] = []
    loaded = GradingEngine().load(None, "auto", lambda stage, fraction: stages.append(stage))
    assert loaded == {"model": {"name": "shipped", "version": "1"}, "device": "cpu"}
    assert stages == ["torch", "weights", "weights"]


def test_a_missing_bundle_stays_a_bundle_error(grader: type[GraderDouble]) -> None:
    with pytest.raises(BundleError):
        GradingEngine().load("missing", "auto", progress)


def test_missing_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(WorkerError, match="PyTorch extension"):
        GradingEngine().load(None, "auto", progress)


def test_images_and_options_reach_the_grader(grader: type[GraderDouble]) -> None:
    engine, sent = GradingEngine(), volumes()
    engine.load(None, "cpu", progress)
    options = {"vote": "soft", "register": "never", "maskLabels": [2], "caseId": "Köhler 7"}
    assert engine.grade(sent, options, progress) == {"grade": "HGG", "case": "Köhler 7"}
    (call,) = grader.calls
    assert (call["vote"], call["registerMode"], call["progress"]) == ("soft", "never", progress)
    case = call["case"]
    for name in ("T1", "T2", "FLAIR"):
        assert np.array_equal(case.images[name].array, sent[name].array)
        assert case.images[name].origin == (1.0, 2.0, 3.0)
    assert int(np.count_nonzero(case.mask.array)) == 20 * 20 * 20


def test_options_have_the_defaults_of_the_grader(grader: type[GraderDouble]) -> None:
    engine = GradingEngine()
    engine.load(None, "cpu", progress)
    assert engine.grade(volumes(), {}, progress)["case"] == "case"
    assert (grader.calls[0]["vote"], grader.calls[0]["registerMode"]) == ("majority", "auto")


def test_a_case_is_named_by_a_text(grader: type[GraderDouble]) -> None:
    engine = GradingEngine()
    engine.load(None, "cpu", progress)
    with pytest.raises(UsageError, match="the case's name is 5: give a text"):
        engine.grade(volumes(), {"caseId": 5}, progress)


@pytest.mark.parametrize("given", [None, [], {}, {"schema": RESULT_SCHEMA, "case": "a"}])
def test_a_report_of_a_damaged_result_is_refused(grader: type[GraderDouble], given: object) -> None:
    engine = GradingEngine()
    engine.load(None, "cpu", progress)
    with pytest.raises(CaseError, match=r"its result is damaged .*: grade the case again"):
        engine.report(volumes(), {"result": given}, progress)


def test_a_request_without_a_sequence_is_refused(grader: type[GraderDouble]) -> None:
    engine, sent = GradingEngine(), volumes()
    engine.load(None, "cpu", progress)
    del sent["T2"]
    with pytest.raises(WorkerError, match="T2"):
        engine.grade(sent, {}, progress)


def graded_engine(job: int = 7) -> GradingEngine:
    engine = GradingEngine()
    engine.load(None, "cpu", progress)
    engine.grade(volumes(), {"caseId": "Ann", "job": job}, progress)
    return engine


def test_the_case_graded_last_is_explained_without_its_images(grader: type[GraderDouble]) -> None:
    engine, stages = graded_engine(), []
    explained = engine.explain({}, {"graded": 7}, lambda *stage: stages.append(stage))
    assert explained == {"of": "slices of Ann"} and stages == [("saliency T1", 0.0)]
    assert len(grader.calls) == 1


def test_images_that_are_sent_are_explained(grader: type[GraderDouble]) -> None:
    engine = graded_engine()
    assert engine.explain(volumes(), {"caseId": "Ben"}, progress) == {"of": "slices of Ben"}
    assert engine.explain({}, {"graded": 7}, progress) == {"of": "slices of Ann"}


def test_no_other_case_is_explained_than_the_one_asked_for(grader: type[GraderDouble]) -> None:
    engine = graded_engine()
    engine.grade(volumes(), {"caseId": "Ben", "job": 8}, progress)
    with pytest.raises(SlicesGone, match="grade the case again"):
        engine.explain({}, {"graded": 7}, progress)
    engine.load(None, "cpu", progress)  # perhaps another bundle, whose slices have another form
    with pytest.raises(SlicesGone, match="grade the case again"):
        engine.explain({}, {"graded": 8}, progress)
    with pytest.raises(SlicesGone, match="grade the case again"):
        engine.explain({}, {}, progress)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ImportError("no module torch"), "install it: in Slicer"),
        (OSError(22, "c10.dll"), "install it again (in Slicer"),
    ],
)
def test_a_pytorch_that_cannot_be_used_says_what_to_install(monkeypatch, error, advice) -> None:
    """Of what a half installation or a virus scanner has left, Windows says nothing but an OSError."""

    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torch":
                raise error

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(WorkerError, match="PyTorch cannot be used") as caught:
        GradingEngine().load(None, "cpu", progress)
    assert advice in str(caught.value) and ("Visual C++" in str(caught.value)) == isinstance(error, OSError)
