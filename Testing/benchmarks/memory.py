"""Memory of the grading process over many gradings: does it stay what it was?

python -m Testing.benchmarks.memory [CASE_DIR ...] [--gradings N] [--threads N] [--output DIR]

The real grading process, with the shipped models and the client that Slicer has: every grading sends four
volumes and goes the whole way to a result. The cases take turns; without one it is the synthetic sample.
Linux only.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import described, machine, parser, sample, table, use_repository, write

use_repository()

from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume  # noqa: E402
from GliomaGradingLib.worker.client import Request, WorkerClient  # noqa: E402

MARKS = 11
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident(process: int) -> float:
    """MB of a process in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGE / 1e6


def volumes_of(case: Case) -> dict[str, ArrayVolume]:
    return {
        name: ArrayVolume(v.array, v.spacing, v.origin, v.direction)
        for name, v in {**case.images, "mask": case.mask}.items()
    }


def grade(client: WorkerClient, case: Case) -> dict[str, Any]:
    return client.wait(client.submit(Request(ArrayFile(volumes_of(case)))))


def loaded(client: WorkerClient) -> int:
    """Waits for the models; the process id of the grading process."""
    client.start()
    while not client.isReady:
        client.poll()
        if client.problem:
            raise SystemExit(str(client.problem))
        time.sleep(0.01)
    assert client.pid is not None
    return client.pid


def measure(cases: list[Case], options: Any) -> dict[str, Any]:
    client = WorkerClient(device="cpu", threads=options.threads)
    try:
        process = loaded(client)
        start = resident(process)
        grade(client, cases[0])
        step = max(1, options.gradings // (MARKS - 1))
        marks = [resident(process)]
        began = time.perf_counter()
        for number in range(1, options.gradings + 1):
            grade(client, cases[number % len(cases)])
            if number % step == 0:
                marks.append(resident(process))
        seconds = time.perf_counter() - began
        if client.pid != process:
            raise SystemExit("the grading process was another one in the end")
    finally:
        client.stop()
    return {
        "machine": machine(options.threads, options.clock),
        "cases": len(cases),
        "gradings": options.gradings,
        "mb_loaded": round(start),
        "mb_every": step,
        "mb": [round(value, 1) for value in marks],
        "mb_growth_second_half": round(marks[-1] - marks[len(marks) // 2], 1),
        "seconds": round(seconds, 1),
    }


def report(found: dict[str, Any]) -> str:
    rows = [(n * found["mb_every"], value) for n, value in enumerate(found["mb"])]
    return "\n".join(
        [
            f"{found['gradings']} gradings in the grading process, each from four volumes to the result, of "
            f"{found['cases']} case(s) in turn: {found['mb'][-1]:.0f} MB at the end, "
            f"{found['mb_growth_second_half']:+.1f} MB over the second half ({found['mb_loaded']} MB with the "
            f"models loaded, the first row after one grading). {described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.memory CASE_DIR ...`.",
            "",
            table(("gradings", "resident MB"), rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("cases", nargs="*", type=Path)
    found.add_argument("--gradings", type=int, default=1000)
    options = found.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case.read(path) for path in options.cases or [sample(Path(folder))]]
    content = measure(cases, options)
    write(options.output, "memory", content, report(content))


if __name__ == "__main__":
    main()
