"""How long the module keeps the main thread: the gaps of a 10 ms timer that runs while the panel grades.

python -m Testing.benchmarks.event_loop [CASE_DIR ...] [--runs N] [--output DIR]

Without a case it is the synthetic sample. The first grading starts the grading process and loads the models.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ..panel_picture import MODULE_FILE, grade_by_click, load_case
from .measure import described, machine, parser, sample, table, use_repository, write

TARGET_MS = 100
INTERVAL_MS = 10
HEAD = ("case", "run", "longest ms", "second ms", "median ms", "over 50 ms", "ticks")


class Gaps:
    """Times between the ticks of a timer, in ms."""

    def __init__(self) -> None:
        import qt

        self.values: list[float] = []
        self._last = 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def __enter__(self) -> Gaps:
        self._last = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.values.append(1000 * (now - self._last))
        self._last = now

    def summary(self) -> dict[str, float]:
        ordered = sorted(self.values)
        return {
            "longest_ms": round(ordered[-1], 1),
            "second_ms": round(ordered[-2], 1),
            "median_ms": round(ordered[len(ordered) // 2], 1),
            "over_50_ms": sum(value > 50 for value in ordered),
            "ticks": len(ordered),
        }


def measure(host: Any, folder: Path, runs: int) -> list[dict[str, float]]:
    from GliomaGradingLib.case import Case

    host.reset()
    module = host.load(MODULE_FILE, enter=True)
    load_case(Case.read(folder))
    host.pump(0.5)
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        with Gaps() as gaps:
            problem = grade_by_click(host, module)
        if problem:
            raise SystemExit(problem)
        found.append({**gaps.summary(), "seconds": round(time.perf_counter() - start, 2)})
    return found


def report(found: dict[str, Any]) -> str:
    rows = [
        (case, number, run["longest_ms"], run["second_ms"], run["median_ms"], run["over_50_ms"], run["ticks"])
        for case, runs in found["cases"].items()
        for number, run in enumerate(runs, 1)
    ]
    return "\n".join(
        [
            f"The longest that the main thread was kept while a case was graded and shown: "
            f"{found['longest_ms']:.0f} ms (target: under {TARGET_MS} ms), by the gaps of a timer of "
            f"{INTERVAL_MS} ms. {described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.event_loop CASE_DIR ...`.",
            "",
            table(HEAD, rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("cases", nargs="*", type=Path)
    found.add_argument("--runs", type=int, default=3, help="gradings of every case")
    options = found.parse_args()
    use_repository()
    from ..host import start

    host = start()
    with tempfile.TemporaryDirectory() as folder:
        cases = options.cases or [sample(Path(folder))]
        results = {case.name: measure(host, case, options.runs) for case in cases}
    content = {
        "machine": machine(options.threads, "wall"),
        "longest_ms": max(run["longest_ms"] for runs in results.values() for run in runs),
        "cases": results,
    }
    write(options.output, "event_loop", content, report(content))
    os._exit(0)  # nothing is left to do, and the host's end can take seconds


if __name__ == "__main__":
    main()
