"""Writes Resources/Api.md from the docstrings of the public names: ``python -m Testing.api_page``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODULE = REPOSITORY / "GliomaGrading"
PAGE = REPOSITORY / "Resources" / "Api.md"

PUBLIC = (
    ("GliomaGradingLib/case.py", ("Case",)),
    ("GliomaGradingLib/volume.py", ("Volume",)),
    ("GliomaGradingLib/grading.py", ("Grader", "Graded")),
    ("GliomaGradingLib/result.py", ("GradeResult", "Vote", "SliceInfo", "Notice")),
    ("GliomaGradingLib/errors.py", ("GliomaGradingError", "CaseError", "BundleError", "UsageError")),
    ("GliomaGradingLib/preparation/slices.py", ("SliceStack",)),
    ("GliomaGradingLib/grid.py", ("Lattice",)),
    ("GliomaGradingLib/voting.py", ("Verdict",)),
    ("GliomaGradingLib/explanation.py", ("Explanation",)),
    ("GliomaGradingLib/worker/client.py", ("WorkerClient", "Request", "Job")),
    ("GliomaGradingLib/worker/arrays.py", ("ArrayFile", "AnswerFile")),
    ("GliomaGradingLib/worker/protocol.py", ("WorkerError", "SlicesGone", "GradingCancelled")),
    ("GliomaGrading.py", ("GliomaGradingLogic",)),
)
HEAD = """# Python API

Made from the docstrings by `python -m Testing.api_page`; a test keeps it current.

`Case`, `Volume`, `Grader`, `GradeResult` and the errors `GliomaGradingError`, `CaseError`, `BundleError` and
`UsageError` come from `GliomaGradingLib`, everything else from the module that stands below its name. Arrays
are in the order K, J, I; positions are LPS in mm. `Progress` is a function of a stage's name and the fraction
done, `PathText` a path or its text.

Others may build on what stands here, on the command line, and on the files of a result and their keys. Until
version 1.0 these change at most with the second number of the version; everything else may change with any.
"""


def page() -> str:
    parts = [HEAD]
    for file, names in PUBLIC:
        tree = ast.parse((MODULE / file).read_text(encoding="utf-8"))
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        module = file.removesuffix(".py").replace("/", ".")
        for name in names:
            parts.append("\n".join(_class(classes[name], module)))
    return "\n".join(parts)


def _class(node: ast.ClassDef, module: str) -> Iterator[str]:
    yield f"## {node.name}\n\n`{module}`\n\n{_text(node)}\n"
    if fields := [ast.unparse(field).replace("'", '"') for field in _fields(node)]:  # as ruff writes it
        yield "Fields:\n\n```python\n" + "\n".join(fields) + "\n```\n"
    for function in _methods(node):
        head = f"### {node.name}.{function.name}\n\n```python\n{_signature(function)}\n```"
        yield f"{head}\n\n{_text(function)}\n"


def _fields(node: ast.ClassDef) -> Iterator[ast.AnnAssign]:
    """What a dataclass holds."""
    if any(ast.unparse(decorator).startswith("dataclass") for decorator in node.decorator_list):
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
                yield item


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            yield item


def _signature(function: ast.FunctionDef) -> str:
    decorators = "".join(f"@{ast.unparse(d)}\n" for d in function.decorator_list)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{decorators}def {function.name}({ast.unparse(function.args)}){returns}"


def _text(node: ast.ClassDef | ast.FunctionDef) -> str:
    """The docstring; its indented parts (Args, Raises) as lists."""
    lines = []
    for line in inspect.cleandoc(ast.get_docstring(node) or "").splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            lines += [f"{line}", ""]
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        elif line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines).replace("``", "`")


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
