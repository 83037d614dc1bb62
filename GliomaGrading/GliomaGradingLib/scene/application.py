"""What the application around the scene offers: the Python for the grading process."""

from __future__ import annotations

import os
from pathlib import Path

import slicer


def worker_python() -> str | None:
    """PythonSlicer of just this Slicer; None where there is none: then ``worker.process`` looks for one."""
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    beside = Path(slicer.app.slicerHome or "") / "bin" / name
    return str(beside) if beside.is_file() else None
