"""How long the module keeps the main thread: the gaps of a 10 ms timer that runs while the panel grades.

python -m Testing.benchmarks.event_loop [CASE_DIR ...] [--output FILE.json]

Without a case it is the synthetic sample. The first grading starts the grading process and loads the models.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..panel_picture import MODULE_FILE, grade_by_click, load_case

TARGET_MS = 100
INTERVAL_MS = 10


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(MODULE_FILE.parent))
    from ..host import start

    host = start()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            case.name: measure(host, case, options.runs) for case in options.cases or [_sample(Path(folder))]
        }
    for case, runs in results.items():
        for number, run in enumerate(runs, 1):
            print(f"{case} run {number}: {run}")
    longest = max(run["longest_ms"] for runs in results.values() for run in runs)
    print(f"longest gap {longest} ms (target under {TARGET_MS} ms)")
    if options.output:
        processor = platform.processor() or platform.machine()
        machine = f"{processor}, {platform.system()}, Python {platform.python_version()}"
        options.output.write_text(
            json.dumps({"machine": machine, "cases": results}, indent=2) + "\n", encoding="utf-8"
        )
    return 0


def _sample(folder: Path) -> Path:
    from GliomaGradingLib.sample import write_sample_case

    return write_sample_case(folder / "synthetic-hgg")


if __name__ == "__main__":
    raise SystemExit(main())
