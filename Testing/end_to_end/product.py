"""The product's command in a process of its own, as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def run(
    *arguments: object,
    folder: Path | None = None,
    threads: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """``glioma-grading`` with these arguments; ``threads`` as a batch's grading process has one."""
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading"), "PYTHONIOENCODING": "utf-8"}
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    return subprocess.run(
        [sys.executable, "-m", "GliomaGradingLib", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**variables, **(environment or {})},
        timeout=240,
        check=False,
    )
