"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import locale
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch  # noqa: F401  # before the embedded Slicer: the other way round its native libraries crash the process

with contextlib.suppress(ImportError):  # torch without CUDA comes without it
    import triton  # noqa: F401  # for the same reason: torch's optimisers import it when they are first made

if TYPE_CHECKING:
    from GliomaGradingLib.grading import Grader

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
def sample_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the higher-grade sample, as the command writes it: made once, and nobody's to change."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sample" / "synthetic-hgg"
    if not (folder / "SYNTHETIC.txt").is_file():
        done = subprocess.run(
            [sys.executable, "-m", "GliomaGradingLib", "sample", str(folder)],
            cwd=REPOSITORY / "GliomaGrading",
            capture_output=True,
            encoding="utf-8",
            timeout=200,
            check=False,
        )
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(folder), "")
    return folder


@cache
def _once(load: Callable[[], Grader]) -> Grader:
    return load()


@pytest.fixture(scope="session")
def shipped_grader() -> Grader:
    """The shipped models, loaded once."""
    from GliomaGradingLib.grading import Grader

    return _once(Grader.load)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process take the same models each time that they ask for the shipped ones."""
    from GliomaGradingLib.grading import Grader

    load = Grader.load

    def given(bundle: str | Path | None = None, device: str = "auto") -> Grader:
        return _once(load) if (bundle, device) == (None, "auto") else load(bundle, device)

    monkeypatch.setattr(Grader, "load", given)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals by 50 draws, where nobody looks at them."""
    from GliomaGradingLib.training import metrics

    draw = metrics.bootstrap_rows
    monkeypatch.setattr(
        metrics, "bootstrap_rows", lambda groups, repeats, draws, seed=0: draw(groups, repeats, 50, seed)
    )


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
