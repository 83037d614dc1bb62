"""What docstrings name is there, and what they are about."""

from __future__ import annotations

import ast
import itertools
import re
from functools import cache
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "GliomaGrading" / "GliomaGradingLib"
FILES = sorted(LIBRARY.rglob("*.py"))
DOTTED = re.compile(r"``([a-z_]\w*(?:\.\w+)+)(?:\([^`]*\))?``")
NO_MODULES = re.compile(r"options\.|\w+\.(py|json)$")
"""Members of the worker's messages; files."""

Names = dict[str, set[str]]


def short(path: Path) -> str:
    return path.relative_to(LIBRARY).as_posix()


@cache
def dotted_names() -> dict[Path, list[str]]:
    return {path: _without_init(path.relative_to(LIBRARY).with_suffix("").parts) for path in FILES}


def _without_init(parts: tuple[str, ...]) -> list[str]:
    return [LIBRARY.name, *(part for part in parts if part != "__init__")]


def homes(parts: list[str]) -> list[Path]:
    """The modules whose dotted names end like this."""
    return [path for path, dotted in dotted_names().items() if dotted[-len(parts) :] == parts]


@cache
def names(path: Path) -> Names:
    """What a module has at its top, or gives on by ``__all__``, each with what it has itself."""
    found: Names = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        members = _members(node) if isinstance(node, ast.ClassDef) else set()
        found.update(dict.fromkeys(_named(node), members))
        if "__all__" in _named(node):
            given = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            found = {**{name: set() for name in given}, **found}
    return found


def _members(node: ast.ClassDef) -> set[str]:
    """Methods and fields, those of ``self`` too."""
    held = {name for part in node.body for name in _named(part)}
    return held | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def _named(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return {part.id for target in targets if target for part in ast.walk(target) if isinstance(part, ast.Name)}


def _is_there(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if found := homes(parts[:count]):
            return any(_has(names(path), parts[count:]) for path in found)
    return True  # of a variable, or of another package


def _has(known: Names, rest: list[str]) -> bool:
    return not rest or (rest[0] in known and set(rest[1:2]) <= known[rest[0]])


@pytest.mark.parametrize("path", FILES, ids=short)
def test_names_in_backticks_are_there(path: Path) -> None:
    found = sorted(set(DOTTED.findall(path.read_text(encoding="utf-8"))))
    assert [name for name in found if not NO_MODULES.match(name) and not _is_there(name)] == []


def test_a_text_at_the_top_of_a_module_is_of_what_stands_before() -> None:
    for path in FILES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for before, node in itertools.pairwise(body):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_of_a_name = isinstance(before, (ast.Assign, ast.AnnAssign))
            is_next = node.lineno == (before.end_lineno or 0) + 1
            assert not is_text or (is_of_a_name and is_next), f"{short(path)}:{node.lineno}"
