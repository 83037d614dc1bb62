"""What the benchmarks share: timing things in turn, naming the machine, writing tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BENCHMARKS = REPOSITORY / "Resources" / "Benchmarks"
PAUSE = 0.02
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--output", type=Path, default=BENCHMARKS, help="folder of the tables")
    found.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    found.add_argument("--rounds", type=int, default=10, help="times that everything is done in turn")
    found.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: processor time, for one thread of a busy machine"
    )
    return found


def in_turn(
    functions: Mapping[str, Callable[[], object]], rounds: int, clock: str = "wall"
) -> dict[str, list[float]]:
    """Seconds of every function, each once a round, so that all see the same machine; one round warms up.

    Between two there is a pause, in which threads that spin after their work leave the cores to the next.
    """
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            time.sleep(PAUSE)
            start = now()
            function()
            if number:
                seconds[name].append(now() - start)
    return seconds


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 100) * len(ordered) // 100) - 1))]


def milliseconds(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f}"


def machine(threads: int, clock: str) -> dict[str, Any]:
    """What the figures were taken on. Imports nothing: torch is not for the process with Qt in it."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "clock": clock,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def described(found: Mapping[str, Any]) -> str:
    threads = "1 thread" if found["threads"] == 1 else f"{found['threads']} threads"
    time_of = "processor time" if found["clock"] == "cpu" else "wall time"
    return f"{found['processor']}, {threads}, torch {found['torch']}, Python {found['python']}; {time_of}."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(output: Path, name: str, content: Mapping[str, Any], text: str) -> None:
    """``name.json`` and ``name.md``; the text is printed too."""
    from GliomaGradingLib.files import write_atomically

    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / f"{name}.json", json.dumps(content, indent=2) + "\n")
    write_atomically(output / f"{name}.md", text)
    print(text, flush=True)


def use_repository() -> None:
    """The library of this repository, whatever is installed."""
    path = str(REPOSITORY / "GliomaGrading")
    if path not in sys.path:
        sys.path.insert(0, path)


def sample(folder: Path) -> Path:
    """The synthetic sample, for want of a case; imports no torch, as that is not for the process with Qt."""
    from GliomaGradingLib.sample import write_sample_case

    return write_sample_case(folder / "synthetic-hgg")
