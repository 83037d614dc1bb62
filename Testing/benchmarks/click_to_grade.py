"""From the click on Grade to the grade on the panel, and from the next one to the evidence maps in the views.

In the embedded Slicer with the grading process running.

python -m Testing.benchmarks.click_to_grade [CASE_DIR ...] [--clicks N] [--output DIR]

The first click of all starts the grading process where entering the module has not done so, and is given apart.
Without a case it is the synthetic sample.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import described, machine, parser, percentile, sample, table, use_repository, write

TARGET_SECONDS = 1.0
MAP_TARGET_SECONDS = 1.0
HEAD = ("case", "clicks", "grade: median s", "longest s", "maps: median s", "longest s")


def measure(options: Any) -> dict[str, Any]:
    use_repository()
    from GliomaGradingLib.case import Case

    from ..host import start
    from ..panel_picture import MODULE_FILE, grade_by_click, load_case

    host = start()
    first, warm, maps = 0.0, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for path in options.cases or [sample(Path(folder))]:
            host.reset()
            module = host.load(MODULE_FILE, enter=True)
            load_case(Case.read(path))
            host.pump(0.5)
            seconds, mapped = [], []
            for _ in range(options.clicks + 1):
                began = time.perf_counter()
                problem = grade_by_click(host, module)
                if problem:
                    raise SystemExit(problem)
                seconds.append(time.perf_counter() - began)
                mapped.append(maps_by_click(host, module))
            first = first or seconds[0]
            warm[path.name], maps[path.name] = seconds[1:], mapped[1:]
    together = [value for values in warm.values() for value in values]
    all_maps = [value for values in maps.values() for value in values]
    return {
        "machine": machine(options.threads, "wall"),
        "clicks": len(together),
        "first_seconds": round(first, 2),
        "median_seconds": round(statistics.median(together), 3),
        "p95_seconds": round(percentile(together, 0.95), 3),
        "maps_median_seconds": round(statistics.median(all_maps), 3),
        "maps_p95_seconds": round(percentile(all_maps, 0.95), 3),
        "cases": {name: [round(value, 3) for value in values] for name, values in warm.items()},
        "maps": {name: [round(value, 3) for value in values] for name, values in maps.items()},
    }


def maps_by_click(host: Any, module: Any) -> float:
    """Seconds from ticking the box to the maps of the grade in the views; the box is as before afterwards."""
    began = time.perf_counter()
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 120)
    seconds = time.perf_counter() - began
    if not module.logic.published.hasMaps:
        raise SystemExit(f"no maps: {module.ui.mapLabel.text}")
    module.ui.mapCheckBox.click()
    return seconds


def report(found: dict[str, Any]) -> str:
    rows = [
        (name, len(values), *_said(values), *_said(found["maps"][name]))
        for name, values in found["cases"].items()
    ]
    return "\n".join(
        [
            f"Click to grade, warm: median {found['median_seconds']:.2f} s, 95 % within "
            f"{found['p95_seconds']:.2f} s of {found['clicks']} clicks (target: {TARGET_SECONDS:.1f} s). The "
            f"first click, half a second after entering the module: {found['first_seconds']:.1f} s. "
            f"Evidence maps (Grad-CAM) after the grade: median {found['maps_median_seconds']:.2f} s, 95 % "
            f"within {found['maps_p95_seconds']:.2f} s (target: {MAP_TARGET_SECONDS:.1f} s more). "
            f"{described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.click_to_grade CASE_DIR ...`.",
            "",
            table(HEAD, rows),
        ]
    )


def _said(values: list[float]) -> tuple[str, str]:
    return f"{statistics.median(values):.2f}", f"{max(values):.2f}"


def main() -> None:
    found = parser(__doc__)
    found.add_argument("cases", nargs="*", type=Path)
    found.add_argument("--clicks", type=int, default=10, help="of every case")
    options = found.parse_args()
    content = measure(options)
    write(options.output, "click_to_grade", content, report(content))
    os._exit(0)  # nothing is left to do, and the host's end can take seconds


if __name__ == "__main__":
    main()
