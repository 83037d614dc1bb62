"""What Slicer packages is what there is: CMake's lists against the tree, and the three descriptions agree."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "GliomaGrading"
S4EXT_KEYS = [
    "scm", "scmurl", "scmrevision", "depends", "recommends", "build_subdirectory", "homepage", "contributors",
    "category", "iconurl", "status", "tier", "description", "screenshoturls", "enabled", "dicom_support_rule",
    "keywords",
]  # fmt: skip
# The catalogue's schema v1.0.2: name, type, whether required. No other key is allowed.
CATALOGUE = {
    "$schema": (str, True),
    "category": (str, True),
    "scm_url": (str, True),
    "scm_revision": (str, False),
    "scm_type": (str, False),
    "build_dependencies": (list, False),
    "dicom_support_rule": (str, False),
    "build_subdirectory": (str, False),
    "enabled": (bool, False),
    "tier": (int, False),
}


def listed(variable: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    block = re.search(rf"set\({variable}\n(.*?)\n  \)", text, re.DOTALL)
    assert block, variable
    return [line.strip().replace("${MODULE_NAME}", "GliomaGrading") for line in block[1].splitlines()]


def in_tree(paths) -> list[str]:
    found = (path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path.relative_to(MODULE).as_posix() for path in found)


def cmake_values() -> dict[str, str]:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', text))


def s4ext() -> dict[str, str]:
    lines = (REPOSITORY / "GliomaGrading.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _space, value in pairs}


@pytest.fixture
def catalogue() -> dict:
    return json.loads((REPOSITORY / "GliomaGrading.json").read_text(encoding="utf-8"))


def test_every_python_file_is_packaged():
    scripts = listed("MODULE_PYTHON_SCRIPTS")
    assert sorted(scripts) == in_tree(MODULE.rglob("*.py"))
    assert len(scripts) == len(set(scripts))


def test_every_resource_is_packaged():
    assert sorted(listed("MODULE_PYTHON_RESOURCES")) == in_tree((MODULE / "Resources").rglob("*"))


def test_nothing_lies_in_the_module_that_would_not_be_packaged():
    assert in_tree(MODULE.rglob("*")) == sorted(
        [*listed("MODULE_PYTHON_SCRIPTS"), *listed("MODULE_PYTHON_RESOURCES"), "CMakeLists.txt"]
    )


def test_no_package_is_called_testing():
    assert not [name for name in in_tree(MODULE.rglob("*")) if "Testing" in name]


def test_catalogue_entry_follows_its_schema(catalogue):
    assert set(catalogue) <= set(CATALOGUE)
    assert {key for key, (_kind, is_needed) in CATALOGUE.items() if is_needed} <= set(catalogue)
    for key, value in catalogue.items():
        assert type(value) is CATALOGUE[key][0], key
    assert catalogue["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert catalogue["scm_type"] in ("git", "local")
    assert 1 <= catalogue["tier"] <= 5
    assert all(type(one) is str for one in catalogue["build_dependencies"])


def test_the_catalogue_clones_no_history(catalogue):
    """With a revision its check takes the whole history, and without the key Slicer's build stops."""
    assert catalogue["scm_revision"] == ""


def test_a_clone_without_history_is_small_enough_for_the_catalogue():
    """The packed copy in .git is no larger than the files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no clone of the repository")
    paths = (REPOSITORY / name for name in listed.stdout.decode().split("\0") if name)
    assert 2 * sum(path.stat().st_size for path in paths if path.is_file()) < 100 << 20


def test_descriptions_agree(catalogue):
    cmake, described = cmake_values(), s4ext()
    project = re.search(r"project\((\w+)\)", (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert project[1] == "GliomaGrading"
    assert list(described) == S4EXT_KEYS
    same = {
        "category": (cmake["CATEGORY"], catalogue["category"]),
        "depends": (cmake["DEPENDS"], " ".join(catalogue["build_dependencies"])),
        "homepage": (cmake["HOMEPAGE"],),
        "contributors": (cmake["CONTRIBUTORS"],),
        "description": (cmake["DESCRIPTION"],),
        "status": (cmake["STATUS"],),
        "keywords": (cmake["KEYWORDS"],),
        "iconurl": (cmake["ICONURL"],),
        "screenshoturls": (cmake["SCREENSHOTURLS"],),
        "scm": (catalogue["scm_type"],),
        "scmurl": (catalogue["scm_url"],),
        "scmrevision": (catalogue["scm_revision"] or "main",),
        "tier": (str(catalogue["tier"]),),
        "enabled": (str(int(catalogue["enabled"])),),
        "build_subdirectory": (catalogue["build_subdirectory"],),
    }
    for key, values in same.items():
        assert all(value == described[key] for value in values), key


def test_requirements_are_those_of_the_python_package():
    demanded = {
        line.strip()
        for line in (MODULE / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    }
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert demanded == {"torch>=2.4", "torchvision>=0.19"}
    assert all(f'"{one}"' in project for one in demanded)


@pytest.mark.parametrize(
    "path", ["Resources/GliomaGrading.png", "GliomaGrading/Resources/Icons/GliomaGrading.png"]
)
def test_icons_are_128_pixels(path):
    data = (REPOSITORY / path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


def test_the_version_is_one() -> None:
    from GliomaGradingLib import __version__

    said = {"pyproject.toml": f'version = "{__version__}"', "CITATION.cff": f"version: {__version__}"}
    for file, line in said.items():
        assert line in (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
