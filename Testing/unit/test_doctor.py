"""``glioma-grading doctor`` says what is missing and what to do about it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from GliomaGradingLib.bundle import find_bundles
from GliomaGradingLib.cli import doctor, main


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
    assert "scikit-learn is not installed (only training and evaluation need it)" in said


def test_missing_and_damaged_bundles_are_found(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, "find_bundles", lambda: [])
    assert main(["doctor"]) == 1
    assert "no model bundle" in capsys.readouterr().out
    (shipped,) = find_bundles()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in Path(shipped).iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".pt":
            content[1000] ^= 1
        (damaged / path.name).write_bytes(content)
    monkeypatch.setattr(doctor, "find_bundles", lambda: [damaged])
    assert main(["doctor"]) == 1
    assert "is damaged (SHA-256 differs)" in capsys.readouterr().out


@pytest.mark.parametrize(("found", "text"), [((3, 9, 1), "use Python 3.10 or later"), ((3, 12, 0), "")])
def test_an_old_python_is_said(found, text, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", found)
    (finding,) = doctor._python()
    assert text in str(finding)
