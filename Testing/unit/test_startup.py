"""What starts at once imports little: nobody waits for torch who only asks for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "GliomaGrading"
HEAVY = (
    "torch",
    "torchvision",
    "SimpleITK",
    "numpy",
    "PIL",
    "scipy",
    "sklearn",
    "matplotlib",
    "pydicom",
    "dask",
)
RUN_HELP = (
    "import runpy, contextlib\nwith contextlib.suppress(SystemExit): runpy.run_module('GliomaGradingLib')"
)


def heavy_modules(program: str, *arguments: str) -> set[str]:
    """Which heavy packages a program has imported when it ends."""
    report = "import sys; print('\\n' + ' '.join(sys.modules))"
    code = f"import sys; sys.argv[1:] = {list(arguments)!r}\n{program}\n{report}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=MODULE, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.splitlines()[-1].split()) & set(HEAVY)


def test_importing_the_library_imports_nothing_heavy():
    assert heavy_modules("import GliomaGradingLib") == set()


@pytest.mark.parametrize("arguments", (["--help"], ["--version"], ["grade", "--help"], ["nonsense"]))
def test_help_and_wrong_commands_import_nothing_heavy(arguments):
    assert heavy_modules(RUN_HELP, *arguments) == set()


def test_reading_a_case_does_not_import_torch():
    assert heavy_modules("from GliomaGradingLib import Case") <= {"numpy", "SimpleITK"}


def test_a_client_of_the_grading_process_does_not_import_torch():
    assert "torch" not in heavy_modules("from GliomaGradingLib.worker import client")


def test_loading_the_models_imports_no_torchvision():
    """It takes as long as torch itself, brings PyTorch's compiler along, and only its backbone needs it."""
    loaded = "from GliomaGradingLib import Grader; Grader.load(device='cpu')"
    assert heavy_modules(loaded) == {"torch", "numpy", "SimpleITK"}
