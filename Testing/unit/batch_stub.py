"""A cohort without images, and a grading process that needs no torch; what a case does is in its name."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from GliomaGradingLib.cohort.child import CohortEngine
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.export.outputs import result_json
from GliomaGradingLib.result import GradeResult, Notice, SliceInfo, Vote
from GliomaGradingLib.words import SEQUENCES

HERE = Path(__file__).resolve().parent
ENGINE = "batch_stub:engine"
ENVIRONMENT = {"PYTHONPATH": str(HERE)}
ROLES = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
SHA = "5" * 64


def engine() -> CohortEngine:
    return CohortEngine(Stub())


class Stub:
    """``CaseGrader``: the T1's first byte is the probability in per cent."""

    def load(self, bundle, device, progress):
        if bundle == "absent":
            raise SystemExit("no such thing")
        model = {"name": bundle or "stub", "version": "1", "backbone": "none", "sha256": SHA}
        return {"model": model, "device": "cpu:0"}

    def grade(self, task):
        misbehave(task["case"], Path(task["files"]["T1"]))
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        made = result(task["case"], Path(task["files"]["T1"]).read_bytes()[0] / 100)
        return reply(made), {"result.json": result_json(made), "thumbnail.png": b"not a picture"}


def misbehave(case: str, t1: Path) -> None:
    if "segfault" in case:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in case:
        time.sleep(600)
    if "memory" in case:
        raise MemoryError("not enough memory for this array")
    if "bad" in case:
        raise CaseError("the mask is empty", t1, "draw the tumour")
    if "odd" in case:
        raise ZeroDivisionError("nobody foresaw this")
    if "once" in case and not t1.with_name("tried").exists():
        t1.with_name("tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def result(case: str, probability: float, seconds: float | None = None) -> GradeResult:
    grade = "HGG" if probability >= 0.5 else "LGG"
    spread = (probability, min(probability + 0.1, 1.0), max(probability - 0.1, 0.0))
    votes = tuple(
        Vote(s, "HGG" if p >= 0.5 else "LGG", p, (p,) * 20, 20 if p >= 0.5 else 0)
        for s, p in zip(SEQUENCES, spread, strict=True)
    )
    info = SliceInfo(tuple(range(20)), tuple(map(float, range(20))), 1.0, 4, 25.0)
    doubt = (Notice("doubt", "thin evidence"),) if 0.4 < probability < 0.6 else ()
    decision = "indeterminate" if doubt else grade
    took = time.perf_counter() % 1 if seconds is None else seconds
    model = {"name": "stub", "version": "1", "backbone": "none", "sha256": SHA}
    return GradeResult(case, grade, decision, probability, votes, info, 3.5, doubt, model, {}, {"total": took})


def reply(made: GradeResult) -> dict:
    """What comes back of a result: as strange as it is sure."""
    return {**made.toDict(), "strangeness": 10 * abs(made.probability_hgg - 0.5)}


def make_cohort(folder: Path, names: Iterable[str]) -> Path:
    """A BraTS folder for each name; case number k has the probability (7 k mod 100) %."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for role, ending in ROLES.items():
            content = bytes([7 * number % 100]) if role == "T1" else ending.encode()
            (folder / name / f"{name}_{ending}.nii.gz").write_bytes(content)
    return folder


def main() -> None:
    """``python batch_stub.py INPUT OUTPUT [--resume] [--workers N]``: a batch with the stub, to be killed."""
    from GliomaGradingLib.cohort.run import BatchJob, run
    from GliomaGradingLib.cohort.work import Settings

    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    job, settings = BatchJob(options.input, options.output, resume=options.resume), Settings(timeout=20)

    def runner():
        if options.workers > 1:
            from GliomaGradingLib.cohort.dask_runner import DaskRunner

            return DaskRunner(settings, options.workers, engine=ENGINE, environment=ENVIRONMENT)
        from GliomaGradingLib.cohort.local import LocalRunner

        return LocalRunner(settings, engine=ENGINE, environment=ENVIRONMENT)

    counts = run(job, settings, runner).counts
    print(f"{counts.done} done, {counts.earlier} earlier")


if __name__ == "__main__":
    main()
