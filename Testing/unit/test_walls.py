"""Who may import whom, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "GliomaGrading"
LIBRARY = MODULE / "GliomaGradingLib"
SLICER = {"slicer", "qt", "ctk", "vtk", "PythonQt", "SampleData", "sitkUtils"}
TORCH = {"torch", "torchvision"}
WITH_TORCH = (
    *("networks/googlenet", "networks/network", "networks/convolutions", "networks/inference"),
    *("networks/images", "networks/readers", "networks/saliency", "training/"),
)
WITHOUT_TORCH_IN_NETWORKS = ("bundle", "bundle_files", "image_form")
PURE = (
    *("case", "case_files", "case_checks", "blank_ends", "skipped_slices", "coarse", "grid"),
    *("voting", "result", "words", "errors"),
)
VALUES = {"coarse", "doubts", "errors", "extras", "grid", "result", "volume", "words"}
AT_FILE_SCOPE = {"slicer", "vtk", "numpy", "SimpleITK"}


def imports(path: Path, is_file_scope: bool = False) -> Iterator[tuple[str, int]]:
    """(absolute dotted name, line); those for type checkers only do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _statements(tree, is_file_scope):
        if isinstance(node, ast.Import):
            yield from ((one.name, node.lineno) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            yield base, node.lineno
            yield from ((f"{base}.{one.name}", node.lineno) for one in node.names)


def _statements(tree: ast.AST, is_file_scope: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if is_file_scope and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        yield node
        yield from _statements(node, is_file_scope)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(MODULE).with_suffix("").parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def roots(path: Path, is_file_scope: bool = False) -> set[str]:
    return {name.split(".")[0] for name, _line in imports(path, is_file_scope)}


def rooms(path: Path) -> set[str]:
    """Second parts of what is imported of the library: ``scene``, ``worker``, ``case`` ..."""
    names = (name.split(".") for name, _line in imports(path))
    return {parts[1] for parts in names if parts[0] == "GliomaGradingLib" and len(parts) > 1}


def below(path: Path, room: str) -> set[str]:
    """What is imported of a room, by the names of its files."""
    names = (name.split(".") for name, _line in imports(path))
    return {parts[2] for parts in names if parts[:2] == ["GliomaGradingLib", room] and len(parts) > 2}


def files(room: str = "") -> list[Path]:
    return sorted((LIBRARY / room).rglob("*.py"))


def short(path: Path) -> str:
    return path.relative_to(MODULE).as_posix()


PURE_FILES = [*files("reading"), *files("preparation"), *(LIBRARY / f"{name}.py" for name in PURE)]


@pytest.mark.parametrize("path", PURE_FILES, ids=short)
def test_what_goes_in_and_comes_out_knows_no_torch_and_no_slicer(path):
    assert not roots(path) & (SLICER | TORCH)
    assert not rooms(path) & {"scene", "panel", "worker", "networks", "training", "cli"}


@pytest.mark.parametrize("path", files("reading"), ids=short)
def test_reading_knows_nothing_of_cases_and_what_becomes_of_them(path):
    assert rooms(path) <= VALUES | {"reading"}


@pytest.mark.parametrize("path", files("preparation"), ids=short)
def test_preparation_knows_the_case_and_no_file(path):
    assert rooms(path) <= VALUES | {"preparation", "case", "case_checks"}


@pytest.mark.parametrize("path", files("networks"), ids=short)
def test_networks_see_slices_and_never_the_case(path):
    assert not rooms(path) & {"case", "case_files", "case_checks", "reading", "grading", "cohort", "export"}


@pytest.mark.parametrize("path", files("scene"), ids=short)
def test_scene_knows_slicer_and_no_qt(path):
    assert not roots(path) & ({"qt", "ctk", "PythonQt"} | TORCH)
    assert not rooms(path) & {"panel", "worker", "networks", "training", "grading", "cli"}


@pytest.mark.parametrize("path", files("panel"), ids=short)
def test_panel_knows_qt_scene_and_the_workers_client_but_no_torch(path):
    assert not roots(path) & TORCH
    assert not rooms(path) & {"training", "grading", "cli"}
    assert not {name for name in below(path, "networks") if name not in WITHOUT_TORCH_IN_NETWORKS}
    worker = {name for name, _line in imports(path) if name.startswith("GliomaGradingLib.worker.")}
    allowed = ("GliomaGradingLib.worker.client", "GliomaGradingLib.worker.arrays")
    assert all(name.startswith(allowed) for name in worker), worker


@pytest.mark.parametrize("path", files(), ids=short)
def test_only_scene_and_panel_know_slicer(path):
    if path.relative_to(LIBRARY).parts[0] not in ("scene", "panel"):
        assert not roots(path) & SLICER
        assert not rooms(path) & {"scene", "panel"}


@pytest.mark.parametrize("path", files(), ids=short)
def test_nobody_imports_what_the_product_does_not_need(path):
    forbidden = {"monai", "requests"}
    if path.relative_to(LIBRARY).parts[0] not in ("training", "cli"):
        forbidden |= {"scipy", "sklearn", "matplotlib", "tqdm"}
    assert not roots(path) & forbidden


def test_the_module_file_imports_nothing_heavy_at_file_scope():
    path = MODULE / "GliomaGrading.py"
    assert roots(path, is_file_scope=True) - set(sys.stdlib_module_names) <= AT_FILE_SCOPE
    assert not roots(path) & TORCH


def test_the_module_file_runs_nothing_at_file_scope():
    tree = ast.parse((MODULE / "GliomaGrading.py").read_text(encoding="utf-8"))
    allowed = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
    first, *others = tree.body
    assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    assert all(isinstance(node, allowed) for node in others)


@pytest.mark.parametrize("path", files(), ids=short)
def test_torch_is_never_imported_before_it_is_needed(path):
    """Whoever imports the library, or a module of it for its words, pays for no torch."""
    named = short(path).removeprefix("GliomaGradingLib/")
    if not named.startswith(WITH_TORCH):
        assert not roots(path, is_file_scope=True) & TORCH
