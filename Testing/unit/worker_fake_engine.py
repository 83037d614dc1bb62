"""An engine without torch that does what it is told: the child's behaviour in good and bad times."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from GliomaGradingLib.errors import BundleError, CaseError
from GliomaGradingLib.worker.protocol import WorkerError


class NarrowCaseError(CaseError):
    """A subclass that the client does not know."""


class FakeEngine:
    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.bundle: str | None = None
        self.graded: int | None = None

    def load(self, bundle: str | None, device: str, progress: Callable[..., None]) -> dict[str, Any]:
        progress("weights", 0.5, "half way")
        if bundle == "no such bundle":
            raise BundleError("there is no bundle of that name", bundle, "choose another")
        if bundle == "dies":
            os._exit(7)
        if bundle == "needs more memory":
            raise MemoryError
        if bundle == "half installed":
            raise WorkerError("PyTorch cannot be used (libcudart.so.12)", remedy="install it again")
        if bundle == "hangs":
            time.sleep(60)
        if bundle == "slow":
            time.sleep(1)
        self.bundle = bundle
        return {"bundle": bundle, "device": device, "pid": os.getpid(), "folder": str(Path.cwd())}

    def grade(
        self,
        volumes: Mapping[str, Any],
        options: Mapping[str, Any],
        progress: Callable[..., None],
    ) -> dict[str, Any]:
        self.graded = options["job"]
        return getattr(self, "do_" + options.get("do", "describe"))(volumes, options, progress)

    def explain(self, volumes: Mapping[str, Any], options: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        if not volumes:
            if options["graded"] != self.graded:
                raise CaseError("another case")
            return {"arrays": {"maps": np.full((2, 3), 7.0)}, "graded": options["graded"]}
        maps = {name: volume.array.astype(np.float32) * 2 for name, volume in volumes.items()}
        return {"arrays": maps, "target": options.get("target")}

    def do_describe(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        for index, name in enumerate(volumes):
            progress(f"read {name}", index / len(volumes))
        return {name: _description(volume) for name, volume in volumes.items()}

    def do_bundle(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        return {"bundle": self.bundle}

    def do_sleep(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        end = time.monotonic() + options["seconds"]
        progress("sleeping", 0.0)
        while time.monotonic() < end:
            time.sleep(options.get("step", options["seconds"]))
            progress("sleeping", 0.5)
        return {"slept": options["seconds"]}

    def do_stick(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        """Native code that never lets another thread of the interpreter run."""
        progress("stuck", 0.0)
        return {"never": ctypes.PyDLL(None).sleep(300)}

    def do_swallow(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        """What SimpleITK does to an exception in a callback: another one comes out."""
        try:
            while True:
                time.sleep(0.01)
                progress("turning", 0.5)
        except BaseException as error:
            raise RuntimeError("error in callback") from error

    def do_exit(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        sys.stderr.write("first line\nI am going home now\n")
        sys.stderr.flush()
        os._exit(options["status"])

    def do_kill(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        os.kill(os.getpid(), getattr(signal, options["signal"]))
        time.sleep(60)
        return {}

    def do_crash_natively(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        return {"never": ctypes.string_at(0)}

    def do_raise(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        view = volumes["T1"].array  # in the traceback's frame, as in any engine
        errors = {
            "case": CaseError("the mask is empty", "mask.nii", "draw a tumour"),
            "narrow": NarrowCaseError("the mask is narrow", "mask.nii", "draw a wider tumour"),
            "value": ValueError(f"no such thing as {view.flat[0]}"),
            "memory": MemoryError(),
            "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 999 bytes"),
            "graphics": RuntimeError("CUDA error: unspecified launch failure"),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
        }
        raise errors[options["error"]]

    def do_print(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        """Everything that writes to standard output without asking."""
        event = {"event": "result", "result": {"forged": True}}
        forged = [json.dumps({**event, "id": identifier}) + "\n" for identifier in range(1_000)]
        print("".join(forged))
        os.write(1, "".join(forged).encode())
        print("no newline", end="")
        os.write(1, b'\xff\xfe\x00 raw bytes\n{"event": "bye"}\n' + b"x" * 100_000)
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run([sys.executable, "-c", "print('from a grandchild')"], check=True)
        return {"printed": True, "stdin": sys.stdin.read()}

    def do_flood(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        for index in range(options["count"]):
            progress("flooding", index / options["count"])
        return {}

    def do_odd_progress(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        for index, fraction in enumerate((-1.0, float("nan"), float("inf"), np.float32(0.25), 7)):
            progress(f"stage {index}", fraction)
        return {"number": np.float64(0.5), "count": np.int64(3), "flag": np.bool_(True)}

    def do_answer(self, volumes: Any, options: Any, progress: Any) -> Any:
        answers = {
            "nan": {"probability": float("nan")},
            "big": {"text": "x" * (1 << 21)},
            "list": [1, 2],
            "object": {"engine": self},
        }
        return answers[options["answer"]]

    def do_keep(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        cycle: list[Any] = [volumes]
        cycle.append(cycle)
        if options.get("forever"):
            self.kept.append(volumes)
        return {"kept": len(self.kept)}

    def do_tell(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "PYTHONNOUSERSITE", "FAKE")}
        return {"pid": os.getpid(), "environment": threads, "modules": sorted(sys.modules)}


def _description(volume: Any) -> dict[str, Any]:
    return {
        "mean": float(volume.array.mean()),
        "sum": float(volume.array.sum(dtype=np.float64)),
        "dtype": volume.array.dtype.str,
        "shape": list(volume.array.shape),
        "writeable": bool(volume.array.flags.writeable),
        "spacing": list(volume.spacing),
        "origin": list(volume.origin),
        "direction": volume.direction.tolist(),
        "source": volume.source,
    }
