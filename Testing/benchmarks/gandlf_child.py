"""GaNDLF in a process of its own: it is asked over a pipe to grade a case, and answers when it has.

GaNDLF pins torch, numpy and forty others to versions that the project does not use, hence another Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

PEER = Path(__file__).with_name("gandlf_peer.py")


class GandlfChild:
    """A running ``gandlf_peer.py``.

    Args:
        python: of an environment with GaNDLF. pixels: side of its patches.
    """

    def __init__(self, python: Path, threads: int, pixels: int) -> None:
        self._command = [str(python), str(PEER), str(pixels)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
        self._process: subprocess.Popen[str] | None = None
        self._about: dict[str, Any] = {}
        # not a pipe: it writes more than one holds
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def start(self) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it cannot be started; the last line that it wrote.
        """
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=self._environment,
        )
        self._about = self._answer()

    def grade(self, paths: Mapping[str, str]) -> float:
        """Mean probability of HGG of a case's files."""
        assert self._process and self._process.stdin
        self._process.stdin.write(json.dumps(dict(paths)) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["probability"])

    def described(self) -> dict[str, Any]:
        words = f"GaNDLF {self._about['gandlf']}'s inference, {self._about['architecture']}"
        return {"words": words, "pixels": self._about["pixels"], "ms": {}, **self._about}

    def _answer(self) -> dict[str, Any]:
        """The next line that it writes."""
        assert self._process and self._process.stdout
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        raise RuntimeError(said[-1] if said else f"ended with status {self._process.returncode}")

    def __enter__(self) -> GandlfChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
