"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import locale
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch  # noqa: F401  # before the embedded Slicer: the other way round its native libraries crash the process

with contextlib.suppress(ImportError):  # torch without CUDA comes without it
    import triton  # noqa: F401  # for the same reason: torch's optimisers import it when they are first made

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))

hypothesis.settings.register_profile(  # a busy machine is no fault of what is tested
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _the_same_encoding() -> Iterator[None]:
    """Slicer's libraries set the locale to C; programs that later tests run would be read as ASCII."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real patients, where there is one; it is never part of the project."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "tumour_crops.npz").is_file():
        pytest.skip(f"needs real patients in {folder}, which are not part of the project")
    return folder


@pytest.fixture(scope="session")
def real_cases(shared_data: Path) -> list[Path]:
    """Folders of the real patients at full resolution, in a fixed order."""
    cases = sorted(path for path in (shared_data / "cases").glob("*/*") if path.is_dir())
    if not cases:
        pytest.skip(f"needs full-resolution patients in {shared_data / 'cases'}")
    return cases


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: two processes that collect the tests must agree on every name."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
