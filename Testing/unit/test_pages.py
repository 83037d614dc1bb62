"""Pages that are made from the code, or that speak of it, say what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import GliomaGradingLib
import pytest

from Testing import api_page

REPOSITORY = Path(__file__).resolve().parents[2]
RESOURCES = REPOSITORY / "Resources"


def declared() -> dict[str, set[str]]:
    """Package names by extra ('' for what is always needed), from pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    project = text.split("[project]", 1)[1].split("[project.scripts]")[0]
    lists = {"": re.search(r"^dependencies = \[(.*?)^\]", project, re.S | re.M)}
    extras = project.split("[project.optional-dependencies]")[1]
    found = {extra: match.group(1) for extra, match in lists.items() if match}
    found.update(re.findall(r"^(\w+) = \[(.*?)\]\s*$", extras, re.S | re.M))
    return {extra: _names(listed) for extra, listed in found.items()}


def _names(listed: str) -> set[str]:
    names = re.findall(r'"([A-Za-z0-9_.-]+)', re.sub(r'"glioma-grading\[[^"]*"', "", listed))
    return {name.lower() for name in names}


def documented() -> set[str]:
    rows = (RESOURCES / "Dependencies.md").read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in row.split("|")[1:-1]] for row in rows if row.startswith("| ")][1:]
    assert all(len(row) == 7 and all(row[2:]) for row in cells)
    return {row[0].lower() for row in cells}


def test_every_dependency_is_justified_and_no_other() -> None:
    names = set().union(*declared().values())
    assert names - documented() == set(), "give it a row in Resources/Dependencies.md"
    library = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "GliomaGrading").rglob("*.py"))
    unused = {name for name in documented() - names if not re.search(rf"(import|from) {name}\b", library)}
    assert unused == set(), "nobody uses it"


def test_what_is_always_needed_is_little() -> None:
    assert declared()[""] == {"numpy", "simpleitk", "torch", "torchvision", "pillow"}


def test_every_dependency_has_a_lower_bound() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for extra in ("dependencies", "train", "host"):
        listed = re.search(rf"^{extra} = \[(.*?)\]\s*$", text, re.S | re.M)
        assert listed
        for requirement in re.findall(r'"([^"]+)"', listed.group(1)):
            assert re.search(r"[>=]=", requirement) or requirement.startswith("glioma-grading["), requirement


def test_the_page_of_the_interface_is_current() -> None:
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page(), "run: python -m Testing.api_page"


def test_what_the_package_gives_is_on_the_page_of_the_interface() -> None:
    page = api_page.PAGE.read_text(encoding="utf-8")
    for name in GliomaGradingLib.__all__:
        assert getattr(GliomaGradingLib, name).__name__ == name
        assert f"\n## {name}\n" in page and f"`{name}`" in page.split("\n## ")[0], name
    assert {*GliomaGradingLib.__all__} == {*GliomaGradingLib._HOMES}


def test_the_page_of_the_interface_lists_what_a_result_holds() -> None:
    part = api_page.page().split("\n## GradeResult\n")[1].split("\n## ")[0]
    assert all(f"\n{field.name}: " in part for field in dataclasses.fields(GliomaGradingLib.GradeResult))
    assert "### GradeResult.toJson" in part


@pytest.mark.parametrize("path", sorted((RESOURCES / "Decisions").glob("[0-9]*.md")), ids=lambda p: p.stem)
def test_a_decision_says_what_else_was_possible_and_when_to_change_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for part in ("**Context.**", "**Decision.**", "**Instead of.**", "**Price.**", "**Change it when**"):
        assert part in text
    assert f"({path.name})" in (path.parent / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert list(REPOSITORY.glob(f"*/**/{name}")), f"{name} is gone"


def test_the_table_of_bad_inputs_is_the_one_that_is_tested() -> None:
    from Testing.robustness.bad_inputs import BAD_INPUTS
    from Testing.robustness.report import END, START

    page = (RESOURCES / "Robustness.md").read_text(encoding="utf-8")
    text = page.split(START)[1].split(END)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]
    cells = {_unescaped(row[0]): (row[1].strip(), _unescaped(row[2])) for row in rows if len(row) == 3}
    cells.pop("input", None)
    if not cells:
        pytest.skip("the table has not been run yet: python -m Testing.robustness.report")
    assert list(cells) == [bad.name for bad in BAD_INPUTS], "run: python -m Testing.robustness.report"
    for bad in BAD_INPUTS:
        status, message = cells[bad.name]
        assert status.strip("()") == str(bad.status), bad.name
        if status == str(bad.status) and bad.status and not message.endswith("..."):
            assert re.search(bad.words, message), bad.name


def _unescaped(cell: str) -> str:
    return re.sub(r"\\(.)", r"\1", cell).strip()


def test_every_public_method_says_what_it_does() -> None:
    silent = re.findall(r"^### (\S+)\n\n```python\n[^`]*```\n\n\n", api_page.page(), re.MULTILINE)
    assert silent == []
