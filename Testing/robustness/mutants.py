"""Mutation testing: small errors are put into a module one by one, and the tests have to notice each.

    python -m Testing.robustness.mutants voting result [--sample 40 --seed 1]

``calibration`` are the functions of training/metrics.py that fit and judge it.

Each mutant is a process forked from one that has imported everything already, so that a mutant takes about as
long as the tests alone. Prints every survivor with its line, and the score.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import signal
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "GliomaGrading" / "GliomaGradingLib"
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY), str(REPOSITORY / "Testing" / "unit")]

TESTS = {
    "voting": ("test_voting.py", "test_invariants.py"),
    "result": ("test_invariants.py", "test_export.py", "test_bounds.py"),
    "slices": ("test_slices.py", "test_bounds.py"),
    "familiarity": ("test_familiarity.py", "test_bounds.py"),
    "nifti_check": ("test_imaging.py", "test_bad_inputs_found.py"),
    "calibration": ("test_evaluate.py", "test_bounds.py"),
}
WANTED = {
    "voting": "not slices_do_not",
    "result": "not slices_do_not",
    "slices": "not RealPatients",
    "calibration": "calibration or calibrated or platt",
}
"""Of those tests, by pytest's ``-k``: the ones that can notice something, and are quick."""

FILES = {
    "calibration": "training/metrics",
    "slices": "preparation/slices",
    "nifti_check": "reading/nifti_check",
}
FUNCTIONS = {
    "calibration": {
        "calibration_error",
        "calibration_error_by_chance",
        "calibration_slope",
        "calibration_intercept",
        "fit_platt",
        "_logistic",
        "_logits",
    }
}
"""Only these functions of a module get mutants; all where it is not named."""
LONGEST = 120

_OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.USub: ast.UAdd, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.FloorDiv: ast.Div,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    line: int
    what: str
    tree: ast.Module


def mutants(source: str, functions: set[str] | None = None) -> Iterator[Mutant]:
    """Every place where an operator, a number or a branch can be another; texts and annotations stay."""
    whole = ast.parse(source)
    chosen = [n for n in whole.body if functions is None or getattr(n, "name", "") in functions]
    inside = {id(node) for top in chosen for node in ast.walk(top)}
    for number, node in enumerate(ast.walk(whole)):
        for what in _changes(node) if id(node) in inside else ():
            tree = copy.deepcopy(whole)
            twin = next(n for i, n in enumerate(ast.walk(tree)) if i == number)
            _apply(twin, what)
            yield Mutant(getattr(node, "lineno", 0), what, ast.fix_missing_locations(tree))


def _changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OTHERS:
        yield "comparison"
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.UnaryOp)) and type(node.op) in _OTHERS:
        yield "operator"
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "number"
    elif isinstance(node, ast.IfExp):
        yield "branches"
    elif isinstance(node, ast.If):
        yield "condition"


def _apply(node: ast.AST, what: str) -> None:
    if isinstance(node, ast.Compare):
        node.ops = [_OTHERS[type(node.ops[0])]()]  # type: ignore[list-item]
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.UnaryOp)):
        node.op = _OTHERS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1  # type: ignore[operator]
    elif isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
    elif isinstance(node, ast.If):
        node.test = ast.UnaryOp(ast.Not(), node.test)


def is_killed(module: str, mutant: Mutant | None) -> bool:
    """Whether the tests fail with the mutant (or, without one, at all), in a process of its own."""
    child = os.fork()
    if child == 0:
        _become(module, mutant)
    _, status = os.waitpid(child, 0)
    return status != 0


def _become(module: str, mutant: Mutant | None) -> None:
    import pytest

    signal.alarm(LONGEST)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        if mutant is not None:
            _put(module, mutant)
        files = [str(REPOSITORY / "Testing" / "unit" / name) for name in TESTS[module]]
        wanted = ["-k", WANTED[module]] if module in WANTED else []
        status = int(
            pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", *wanted, *files])
        )
    except BaseException:
        status = 1
    os._exit(1 if status else 0)


def _put(module: str, mutant: Mutant) -> None:
    """The mutant in place of the module; what has imported names of it is imported anew."""
    name = f"GliomaGradingLib.{_file(module).replace('/', '.')}"
    kept = {"GliomaGradingLib", "GliomaGradingLib.words", "GliomaGradingLib.errors"}
    for known in [n for n in sys.modules if n.startswith("GliomaGradingLib") and n not in kept]:
        del sys.modules[known]
    package, _, short = name.rpartition(".")
    made = types.ModuleType(name)
    made.__package__, made.__file__ = package, str(LIBRARY / f"{_file(module)}.py")
    setattr(importlib.import_module(package), short, made)
    sys.modules[name] = made
    exec(compile(mutant.tree, made.__file__, "exec"), made.__dict__)


def _file(module: str) -> str:
    return FILES.get(module, module)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", choices=sorted(TESTS))
    parser.add_argument("--sample", type=int, help="try so many mutants of each module, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of that choice")
    options = parser.parse_args()
    for name in (
        "hypothesis",
        "numpy",
        "SimpleITK",
        "pytest",
        "torch",
        "GliomaGradingLib",
        "GliomaGradingLib.preparation.slices",
    ):
        importlib.import_module(name)
    for module in options.modules:
        source = (LIBRARY / f"{_file(module)}.py").read_text(encoding="utf-8")
        if is_killed(module, None):
            sys.exit(f"the tests of {module} fail as it is")
        made = list(mutants(source, FUNCTIONS.get(module)))
        size = min(options.sample or len(made), len(made))
        tried = random.Random(options.seed).sample(made, size) if options.sample else made
        survivors = []
        for mutant in tried:
            if not is_killed(module, mutant):
                survivors.append(mutant)
                line = source.splitlines()[mutant.line - 1].strip()
                print(f"{_file(module)}.py:{mutant.line}: {mutant.what} survived: {line}", flush=True)
        noticed = f"{len(tried) - len(survivors)} of {len(tried)} mutants were noticed"
        print(f"{module}: {noticed}; {len(made)} are possible", flush=True)


if __name__ == "__main__":
    main()
