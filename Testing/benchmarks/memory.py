"""Memory of the grading process over many gradings: does it stay what it was?

python -m Testing.benchmarks.memory [--gradings N] [--threads N] [--output DIR]

The engine of the grading process runs in this process, with the shipped models. Most gradings are of the
slices of the synthetic sample (the networks and the vote); every 50th goes the whole way from volumes to
result. Linux only.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import described, machine, parser, table, use_repository, write
from .preparation import sample

use_repository()

import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.worker.arrays import ArrayVolume  # noqa: E402
from GliomaGradingLib.worker.engine import GradingEngine  # noqa: E402

WHOLE_EVERY = 50
MARKS = 11
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident() -> float:
    """MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGE / 1e6


def silent(*_: object) -> None:
    pass


def grade_whole(engine: GradingEngine, case: Case) -> dict[str, Any]:
    volumes = {
        name: ArrayVolume(v.array, v.spacing, v.origin, v.direction)
        for name, v in {**case.images, "mask": case.mask}.items()
    }
    return engine.grade(volumes, {}, silent, lambda: False)


def measure(options: Any) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    start = resident()
    engine = GradingEngine()
    engine.load(None, "cpu", silent)
    loaded = resident()
    with tempfile.TemporaryDirectory() as folder:
        case = Case.read(sample(Path(folder)))
    stack = engine._grader.gradeInDetail(case).stack
    grade_whole(engine, case)
    step = max(1, options.gradings // (MARKS - 1))
    marks = [resident()]
    began = time.perf_counter()
    for number in range(1, options.gradings + 1):
        if number % WHOLE_EVERY == 0:
            grade_whole(engine, case)
        else:
            engine._grader.judge(stack)
        if number % step == 0:
            marks.append(resident())
    return {
        "machine": machine(options.threads, options.clock),
        "gradings": options.gradings,
        "whole": options.gradings // WHOLE_EVERY,
        "mb_imported": round(start),
        "mb_loaded": round(loaded),
        "mb_every": step,
        "mb": [round(value, 1) for value in marks],
        "mb_growth_second_half": round(marks[-1] - marks[len(marks) // 2], 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def report(found: dict[str, Any]) -> str:
    rows = [(n * found["mb_every"], value) for n, value in enumerate(found["mb"])]
    return "\n".join(
        [
            f"{found['gradings']} gradings with the shipped models, {found['whole']} of them from volumes to "
            f"result: {found['mb'][-1]:.0f} MB at the end, {found['mb_growth_second_half']:+.1f} MB over the "
            f"second half ({found['mb_imported']} MB with the libraries, {found['mb_loaded']} MB with the "
            f"models). "
            f"{described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.memory`.",
            "",
            table(("gradings", "resident MB"), rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("--gradings", type=int, default=1000)
    options = found.parse_args()
    content = measure(options)
    write(options.output, "memory", content, report(content))


if __name__ == "__main__":
    main()
