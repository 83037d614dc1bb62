"""Faults around the work: a full disk at every write, little memory, clocks that jump, random cancels."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from GliomaGradingLib.export import files as export_files
from GliomaGradingLib.export.files import write_atomically

LIBRARY = Path(__file__).resolve().parents[2] / "GliomaGrading" / "GliomaGradingLib"
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits")


@posix
def test_fifty_gradings_with_random_cancels_leave_nothing(tmp_path: Path) -> None:
    from Testing.robustness.soak import soak

    left = soak(50, seed=3, folder=tmp_path)
    assert set(left.endings) == {"graded", "cancelled", "lost its process"}, left
    assert sum(left.endings.values()) == 50
    assert (left.children, left.files) == (0, 0), left
    assert left.threads_after <= left.threads_before
    assert left.descriptors_after <= left.descriptors_before + 2
    assert left.megabytes_after < left.megabytes_before + 30


@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace"])
def test_a_full_disk_at_any_step_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open
    if at == "open":
        monkeypatch.setattr(
            Path, "open", lambda self, mode="r", **o: full() if "x" in mode else real(self, mode, **o)
        )
    elif at == "write":
        monkeypatch.setattr(
            Path, "open", lambda self, mode="r", **o: _Full(real(self, mode, **o)) if "x" in mode else None
        )
    elif at == "fsync":
        monkeypatch.setattr(export_files.os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


class _Full:
    """A file on a disk that is full."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_every_wait_is_by_the_clock_that_does_not_jump() -> None:
    """The wall clock is for dates only: a leap or a change of time must not end or prolong a wait."""
    allowed = {"arrays.py": {"sweep_stale"}}
    found = []
    for path in (LIBRARY / "worker").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            calls = [ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)]
            if {"time.time", "datetime.now"} & set(calls) and function.name not in allowed.get(path.name, ()):
                found.append(f"{path.name}: {function.name}")
    assert found == []


def test_no_wait_is_without_an_end() -> None:
    """``wait``, ``join`` and the like get a limit, but in the threads that end with the child's process."""
    endless = {
        "process.py: _await_end",  # ends with the child, which stop() and kill() end
        "parent.py: _wait_for_end_on_windows",
    }
    found = set()
    for path in (LIBRARY / "worker").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
                name = getattr(call.func, "attr", "")
                if name in ("wait", "join", "acquire", "communicate") and not call.args and not call.keywords:
                    found.add(f"{path.name}: {function.name}")
    assert found <= endless


_LITTLE_MEMORY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from GliomaGradingLib.cli import main
sys.exit(main(["grade", sys.argv[2], "--output", sys.argv[3]]))
"""


@posix
@pytest.mark.parametrize("megabytes", [700, 1100])
def test_too_little_memory_is_an_error_and_no_crash(tmp_path: Path, megabytes: int) -> None:
    from Testing.robustness.files import case_template

    case = case_template(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _LITTLE_MEMORY, str(megabytes << 20), str(case), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(LIBRARY.parent),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        timeout=120,
        check=False,
    )
    assert done.returncode in (1, 2, 3), done.stderr  # and not killed by a signal
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
