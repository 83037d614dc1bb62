"""How long things take to start: the library, help, torch, the grading process with its models.

python -m Testing.benchmarks.startup [--rounds N] [--output DIR]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Any

from .measure import REPOSITORY, described, machine, parser, table, use_repository, write

use_repository()

LIBRARY = REPOSITORY / "GliomaGrading"
PROGRAMS = {
    "bare": ["-c", "pass"],
    "library": ["-c", "import GliomaGradingLib"],
    "help": ["-m", "GliomaGradingLib", "--help"],
    "torch": ["-c", "import torch"],
    "network": ["-c", "import GliomaGradingLib.networks.network"],
}
WORDS = {
    "bare": ("Python alone", ""),
    "library": ("import GliomaGradingLib", "0.15"),
    "help": ("glioma-grading --help", "0.3"),
    "torch": ("import torch", ""),
    "network": ("import torch and torchvision's GoogLeNet", ""),
    "worker": ("grading process: start to first answer", ""),
    "loaded": ("grading process: start to models loaded (hidden behind entering the module)", ""),
}


def run(arguments: list[str], clock: str) -> float:
    before = os.times()
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=LIBRARY, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used if clock == "cpu" else wall


def start_worker() -> tuple[float, float]:
    """Seconds until the grading process answers, and until its models are loaded."""
    from GliomaGradingLib.worker.process import ChildProcess, Launch
    from GliomaGradingLib.worker.protocol import VERSION

    start = time.perf_counter()
    child = ChildProcess(Launch())
    try:
        child.send({"kind": "hello", "id": 1, "version": VERSION})
        child.send({"kind": "load", "id": 2, "bundle": None, "device": "cpu"})
        return _until(child, "ready", start), _until(child, "result", start)
    finally:
        child.stop()


def _until(child: Any, wanted: str, start: float) -> float:
    while time.perf_counter() < start + 120:
        event = child.nextEvent()
        if event is None:
            time.sleep(0.002)
        elif event["event"] == wanted:
            return time.perf_counter() - start
        elif event["event"] in ("error", "end"):
            raise SystemExit(f"the grading process did not start: {event}")
    raise SystemExit("the grading process did not answer in two minutes")


def measure(options: Any) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in WORDS}
    for number in range(options.rounds + 1):
        found = {name: run(arguments, options.clock) for name, arguments in PROGRAMS.items()}
        found["worker"], found["loaded"] = start_worker()
        for name, value in found.items():
            if number:
                seconds[name].append(value)
    return {
        "machine": machine(options.threads, options.clock),
        "rounds": options.rounds,
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
    }


def report(found: dict[str, Any]) -> str:
    rows = [(*WORDS[name][:1], value, WORDS[name][1]) for name, value in found["seconds"].items()]
    return "\n".join(
        [
            f"Medians of {found['rounds']} starts of a process, files in the system's cache. "
            f"{described(found['machine'])} The grading process is in wall time.",
            "Command: `python -m Testing.benchmarks.startup`.",
            "",
            table(("start", "s", "at most"), rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.set_defaults(rounds=5)
    options = found.parse_args()
    content = measure(options)
    write(options.output, "startup", content, report(content))


if __name__ == "__main__":
    main()
