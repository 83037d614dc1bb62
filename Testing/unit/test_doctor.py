"""``glioma-grading doctor`` says what is missing and what to do about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from GliomaGradingLib import extras
from GliomaGradingLib.cli import doctor, main, packages
from GliomaGradingLib.networks import bundle
from GliomaGradingLib.networks.bundle import find_bundles

REPOSITORY = Path(__file__).resolve().parents[2]
EVIDENCE = REPOSITORY / "Resources" / "Evaluation" / "patient"


def test_a_whole_installation_is_said_to_be_whole(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert (
        "model bundle glioma-tcga" in said
        and "is whole" in said
        and f"torch {metadata.version('torch')}" in said
    )


def test_what_is_missing_is_named_with_its_command(monkeypatch, capsys):
    version = metadata.version

    def without(name: str) -> str:
        if name in ("torch", "scikit-learn"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    status = main(["doctor"])
    said = capsys.readouterr().out
    assert status == 1
    assert "torch is missing" in said and "pip install torch" in said
    training = "is not installed (for training and evaluation): pip install scikit-learn scipy matplotlib tqdm"
    assert f"scikit-learn {training}" in said and said.count("scikit-learn is not") == 1


def test_what_dicom_and_cohorts_need_is_looked_at_and_not_asked_for(monkeypatch, capsys):
    version = metadata.version
    absent = ("pydicom", "highdicom", "dask", "distributed", "openpyxl")

    def without(name: str) -> str:
        if name in absent:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    lacking = {line.split()[1]: line.rsplit(": ", 1)[1] for line in lines if line.startswith("[--]")}
    extra = dict.fromkeys(absent, extras.INSTALL_COHORT)
    assert lacking == extra | dict.fromkeys(("pydicom", "highdicom"), "pip install pydicom highdicom")


def test_the_extras_are_those_of_the_package():
    """What a message tells to install brings what is missing."""
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, (_, command) in packages.EXTRAS.items():
        wanted = {_name(one) for one in project["optional-dependencies"][extra]}
        assert {*extras.packages_of(command)} == wanted, extra
    in_slicer = re.search(r'"(.*)"', extras.INSTALL_DICOM_IN_SLICER)
    assert in_slicer and in_slicer[1].split() == project["optional-dependencies"]["dicom"]
    assert {*packages.NEEDED} == {_name(one) for one in project["dependencies"]}


def _name(requirement: str) -> str:
    return re.split(r"[><=]", requirement)[0]


NO_PACKAGE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from GliomaGradingLib.cli import main
raise SystemExit(main({arguments!r}))
"""


@pytest.mark.parametrize(
    ("package", "arguments", "status", "text"),
    [
        ("numpy", ["doctor"], 1, ""),
        ("numpy", ["grade", "x"], 1, "error: numpy is not installed: pip install numpy"),
        ("sklearn", ["evaluate", str(EVIDENCE), "--output", "out"], 1,
         "error: scikit-learn is not installed: pip install scikit-learn scipy matplotlib tqdm"),
        ("matplotlib", ["evaluate", str(EVIDENCE), "--output", "out"], 1,
         "error: matplotlib is not installed: pip install scikit-learn scipy matplotlib tqdm"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_with_its_command(package, arguments, status, text, tmp_path):
    program = NO_PACKAGE.format(package=package, arguments=arguments)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr.strip()) == (status, text)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_bundles_are_found(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bundle, "find_bundles", lambda: [])
    assert main(["doctor"]) == 3
    assert "no model bundle" in capsys.readouterr().out
    (shipped,) = find_bundles()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in Path(shipped).iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".pt":
            content[1000] ^= 1
        (damaged / path.name).write_bytes(content)
    monkeypatch.setattr(bundle, "find_bundles", lambda: [damaged])
    assert main(["doctor"]) == 3
    assert "is damaged (SHA-256 differs)" in capsys.readouterr().out


@pytest.mark.parametrize(("found", "text"), [((3, 9, 1), "use Python 3.10 or later"), ((3, 12, 0), "")])
def test_an_old_python_is_said(found, text, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", found)
    (finding,) = doctor._python()
    assert text in str(finding)


def test_an_interruption_while_modules_are_imported_is_one_line(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("GliomaGradingLib.cli.import_module", interrupted)
    assert main(["batch", "x", "--output", "y"]) == 130
    assert capsys.readouterr().err.strip() == "error: interrupted: nothing was left half-written"


def test_options_are_written_in_full(capsys):
    assert main(["models", "--bund=x"]) == 2
    assert capsys.readouterr().err.strip() == (
        "error: unrecognized arguments: --bund=x: see 'glioma-grading models --help'"
    )


@pytest.mark.parametrize(
    ("page", "command"), [("Batch.md", extras.INSTALL_COHORT), ("Dicom.md", extras.INSTALL_DICOM)]
)
def test_pages_name_the_same_packages(page, command):
    assert f"`{command}`" in (REPOSITORY / "Resources" / page).read_text(encoding="utf-8")
