"""Every speed benchmark, one after another, each in a process of its own: ``python -m Testing.benchmarks``.

python -m Testing.benchmarks [--shared DIR] [--data SET.npz] [--threads N] [--output DIR] [--only NAME ...]

DIR is the folder with real patients (``cases/``) and the pretrained tensors; what needs it, or the training
set, is left out where it is absent. Ends with status 1 where a benchmark failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from .measure import BENCHMARKS, REPOSITORY

REAL_CASES = 3


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    cases = [str(path) for path in sorted(options.shared.glob("cases/*/*")) if path.is_dir()]
    some = cases[:: max(1, len(cases) // REAL_CASES)][:REAL_CASES]
    found = {
        "inference": ["--rounds", "8"],
        "preparation": [*some, "--rounds", "5"],
        "peers": [*some, "--rounds", "3"],
        "startup": ["--rounds", "3"],
        "memory": [*some, "--gradings", "1000"],
        "click_to_grade": [*some, "--clicks", "10"],
        "event_loop": [*some, "--runs", "3"],
    }
    pretrained = options.shared / "bvlc_googlenet.pt"
    if options.data.is_file() and pretrained.is_file():
        given = ["--data", str(options.data), "--pretrained", str(pretrained)]
        found["training_speed"] = [*given, "--rounds", "8"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=REPOSITORY / "build" / "data" / "tumour-region.npz")
    parser.add_argument("--output", type=Path, default=BENCHMARKS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    failed = []
    for name, arguments in commands(options).items():
        if options.only and name not in options.only:
            continue
        start = time.perf_counter()
        whole = [*arguments, "--output", str(options.output.resolve()), "--threads", str(options.threads)]
        done = subprocess.run([sys.executable, "-m", f"Testing.benchmarks.{name}", *whole], cwd=REPOSITORY)
        failed += [name] if done.returncode else []
        print(f"{name}: {time.perf_counter() - start:.0f} s, status {done.returncode}\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
