"""Faults around the work: a full disk at every write, little memory, clocks that jump, random cancels."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib import files as whole_files
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.files import all_or_nothing, write_atomically
from GliomaGradingLib.volume import Volume

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
        monkeypatch.setattr(whole_files.os, "fsync", full)
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
        "child.py: grade",  # of work that has ended
    }
    found = set()
    for path in (*(LIBRARY / "worker").glob("*.py"), *(LIBRARY / "cohort").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
                name = getattr(call.func, "attr", "")
                waits = name in ("wait", "join", "acquire", "communicate", "result")
                if waits and not call.args and not call.keywords:
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
    assert "memory" in done.stderr and "close other programs" in done.stderr, done.stderr


def test_a_sample_that_itk_wrote_half_of_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk ITK writes what there is room for, and says nothing."""
    from GliomaGradingLib import sample

    kinds = {"T1": np.int16, "mask": np.uint8}
    small = {
        name: Volume(np.ones((3, 4, 5), kind), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3), "a")
        for name, kind in kinds.items()
    }
    monkeypatch.setattr(sample, "sample_volumes", lambda preset: small)
    whole = sample.write_sample_case(tmp_path / "whole")
    assert len(list(whole.iterdir())) == 3
    written = sitk.WriteImage

    def half(image: sitk.Image, path: str) -> None:
        written(image, path)
        if image.GetPixelID() == sitk.sitkUInt8:  # the second of the two
            os.truncate(path, Path(path).stat().st_size - 1)

    monkeypatch.setattr(sitk, "WriteImage", half)
    with pytest.raises(UsageError, match="No space left"):
        sample.write_sample_case(tmp_path / "new" / "half")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["whole"]


def test_a_folder_that_was_there_stays_when_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(OSError, match="full"), all_or_nothing(tmp_path) as write:
        write("a.txt", "a")
        raise OSError("full")
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
