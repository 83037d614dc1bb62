"""Fixtures of the module's tests: the embedded Slicer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from grading_module import fake_worker, grade, module, scene  # noqa: E402

from Testing.host.fixtures import embedded_slicer, host  # noqa: E402

__all__ = ["embedded_slicer", "fake_worker", "grade", "host", "module", "probe_file", "scene"]


@pytest.fixture(scope="session")
def probe_file() -> Path:
    """A small scripted module that exercises the embedded Slicer."""
    return Path(__file__).parent / "fixtures" / "HostProbe" / "HostProbe.py"
