"""Engines that meet with an accident: slow at everything, short of memory, on a full disk, at odd times."""

from __future__ import annotations

import io
import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.worker import arrays
from GliomaGradingLib.worker.engine import GradingEngine
from worker_fake_engine import FakeEngine

from Testing.robustness.full_disk import FullDisk


class FaultEngine(FakeEngine):
    """``explain`` takes as long as it is told to, and may find the disk full; the clock may jump."""

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]:
        loaded = super().load(bundle, device, progress)
        if bundle and bundle.startswith("clock "):
            shift, real = float(bundle.split()[1]), time.time
            time.time = lambda: real() + shift  # type: ignore[assignment]
        return loaded

    def explain(self, volumes: Mapping[str, Any], options: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        if not volumes and options["graded"] != self.graded:
            raise CaseError("another case")
        end = time.monotonic() + options.get("seconds", 30.0 if self.bundle == "thoughtful" else 0.0)
        progress("saliency T1", 0.0)
        while time.monotonic() < end:
            time.sleep(0.01)
            progress("saliency T1", 0.5)
        if "room" in options:
            FullDisk(Path(options["disk"]), options["room"]).__enter__()
            arrays.os.fdopen = io.open  # type: ignore[assignment]
        return {"arrays": {"maps": np.full((2, 3), 7.0)}}


class SqueezedEngine(GradingEngine):
    """The real one, with so many megabytes more than it has when the work begins."""

    def grade(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        with Squeezed(options.get("megabytes")):
            return super().grade(volumes, options, progress)

    def explain(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        with Squeezed(options.get("megabytes")):
            return super().explain(volumes, options, progress)


class Squeezed:
    """Address space of this process as it is now and ``megabytes`` more; None for no limit."""

    def __init__(self, megabytes: int | None) -> None:
        self.megabytes = megabytes

    def __enter__(self) -> None:
        if self.megabytes is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            size = pages * os.sysconf("SC_PAGE_SIZE") + (self.megabytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
