"""Oldest versions, bill of materials and audit: what is declared is what is installed, listed and looked up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.version import Version

from Testing import supply_chain

REPOSITORY = Path(__file__).resolve().parents[2]
DEPENDENCIES = REPOSITORY / "Resources" / "Dependencies.md"


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds_that_are_declared():
    bounds = supply_chain.lower_bounds()
    assert all(len(versions) == 1 for versions in bounds.values()), "two extras differ"
    assert supply_chain.minimum_versions() == {name: versions.pop() for name, versions in bounds.items()}


def test_the_table_of_dependencies_has_the_extras_and_the_bounds_of_the_project():
    rows = [
        line.split("|")[1:-1] for line in DEPENDENCIES.read_text(encoding="utf-8").splitlines() if "|" in line
    ]
    table = {supply_chain.normal(cells[0].strip()): [cell.strip() for cell in cells] for cells in rows[2:]}
    extras: dict[str, set[str]] = {}
    for extra, listed in supply_chain.requirements().items():
        for one in listed:
            extras.setdefault(supply_chain.normal(one.name), set()).add(extra)
    assert set(table) == set(extras)
    for name, cells in table.items():
        assert set(re.split(r", ", cells[1])) == extras[name], name
        assert Version(cells[2]) == supply_chain.minimum_versions()[name], name


def test_requirements_are_read_by_extra_without_the_project_itself(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "One-Two"\ndependencies = ["a>=1.0"]\n'
        '[project.optional-dependencies]\nx = ["b==2.0,!=3"]\nall = ["one_two[x]", "B>=2.0"]\n'
    )
    found = supply_chain.requirements(project)
    assert {extra: [one.name for one in listed] for extra, listed in found.items()} == {
        "": ["a"],
        "x": ["b"],
        "all": ["B"],
    }
    assert supply_chain.lower_bounds(project) == {"a": {Version("1")}, "b": {Version("2")}}


def test_what_a_package_needs_in_turn_is_found_and_tools_are_not():
    found = supply_chain.closure(["torch"])
    assert {"torch", "sympy", "mpmath"} <= found
    assert not found & {"pytest", "ruff", "torchvision", "simpleitk"}
    assert supply_chain.closure(["there-is-no-such-package"]) == set()


def test_a_bill_of_materials_is_cut_to_what_a_user_gets():
    def part(name: str) -> dict[str, str]:
        return {"bom-ref": f"{name}==1", "name": name, "version": "1+cpu"}

    bom = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [part("Torch"), part("tqdm"), part("ruff")],
        "dependencies": [
            {"ref": "root", "dependsOn": ["Torch==1", "ruff==1", "tqdm==1"]},
            {"ref": "Torch==1", "dependsOn": ["ruff==1"]},
            {"ref": "ruff==1"},
        ],
    }
    cut = supply_chain.users_part(bom, always={"torch"}, others={"torch", "tqdm"})
    assert [(one["name"], one["scope"]) for one in cut["components"]] == [
        ("Torch", "required"),
        ("tqdm", "optional"),
    ]
    assert cut["dependencies"] == [
        {"ref": "root", "dependsOn": ["Torch==1", "tqdm==1"]},
        {"ref": "Torch==1", "dependsOn": []},
    ]
    assert supply_chain.pinned(cut) == "Torch==1\ntqdm==1\n"


CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
UNSEEN = {"name": "torch", "skip_reason": "not found"}
HIT = {"name": "pillow", "version": "10.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["10.1"]}]}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ([CLEAN], 0, "1 packages looked up, 0 vulnerabilities known"),
        ([CLEAN, UNSEEN], 0, "1 packages looked up, 0 vulnerabilities known; not looked up: torch"),
        (
            [CLEAN, HIT],
            1,
            "2 packages looked up, 1 vulnerabilities known\npillow 10.0: PYSEC-1 (mended in 10.1)",
        ),
    ],
)
def test_an_audit_fails_where_something_is_known(packages, status, words):
    assert supply_chain.verdict(json.dumps({"dependencies": packages}), "") == (status, words)


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        ("", "requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded"),
        ("", "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"),
        (json.dumps({"dependencies": [UNSEEN]}), ""),
    ],
)
def test_an_audit_that_cannot_look_anything_up_says_that_it_was_skipped(output, errors):
    status, words = supply_chain.verdict(output, errors)
    assert (status, words.split(":")[0]) == (0, "audit SKIPPED")


def test_an_audit_that_breaks_for_another_reason_fails():
    status, words = supply_chain.verdict("", "No module named pip_audit")
    assert (status, words) == (
        1,
        "pip-audit has failed (is the extra 'audit' installed?): No module named pip_audit",
    )
