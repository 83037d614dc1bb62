"""What the application around the scene offers: the Python for the grading process, a folder for its files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import slicer


def worker_python() -> str:
    """The interpreter for the grading process: PythonSlicer of this Slicer, else this Python.

    ``sys.executable`` inside Slicer is Slicer itself, which would open another window.
    """
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    beside = Path(slicer.app.slicerHome or "") / "bin" / name
    return str(beside) if beside.is_file() else shutil.which("PythonSlicer") or sys.executable
