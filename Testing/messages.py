"""Every error and warning that GliomaGradingLib can give, read out of its source by ``ast``.

``python -m Testing.troubleshooting_page`` makes Resources/Troubleshooting.md of them.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = REPOSITORY / "GliomaGrading" / "GliomaGradingLib"
BASE_ERROR = "GliomaGradingError"
NOTICE = "Notice"
GAP = "…"
"""Stands where a message says something of the case at hand."""

PARAMETERS = ("problem", "where", "remedy")
TEXT = "text"
"""Kind of a message that is not raised where it is written: what a case lacks, why a folder is skipped."""

TEXT_NAMES = {"problem", "doubt", "on_request"}
TEXT_ARGUMENTS = {"Found": 3, "Skipped": 1, "ArgumentTypeError": 0, "_say": 0, "confirmOkCancelDisplay": 0}
"""Calls that take such a text, and in which place."""
PRINTED = "error: "
"""How a printed text begins that is such a one."""
TEXT_FUNCTION = re.compile(
    r"(reasons?|problem|missing|lacking|find_mask|unfit|unreadable|nothing_in|unexpected)$"
)

_MOST = 6
"""Forms of one message that are followed; a message with more choices inside is shown with a gap."""

Names = dict[str, list[ast.expr]]


@dataclass(frozen=True)
class Message:
    """One thing that can be said, with gaps.

    ``kind`` is the error's class, or Notice; ``code`` is a warning's. ``module`` is dotted, below the library.
    """

    module: str
    kind: str
    problem: str
    remedy: str = ""
    code: str = ""

    @property
    def key(self) -> str:
        """What the page calls it: a warning's code, where it has one before the program runs."""
        return self.code if self.code.strip(GAP) else self.problem


@cache
def all_messages(library: Path = LIBRARY) -> list[Message]:
    """Each message once, in the order of modules and lines."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(library.rglob("*.py"))}
    errors = error_classes(trees.values())
    shared = constants(trees.values())
    found: dict[Message, None] = {}
    for path, tree in trees.items():
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        for node, names in nodes_with_names(tree, shared):
            if isinstance(node, ast.Call):
                found.update(dict.fromkeys(_messages(node, names, errors, module)))
            for text in _told(node, names):
                found.setdefault(Message(module, TEXT, text))
    raised = {message.problem for message in found if message.kind != TEXT}
    return [one for one in found if one.kind != TEXT or one.problem not in raised]


def error_classes(trees: Iterable[ast.Module]) -> set[str]:
    """Names of GliomaGradingError and of every class made of it."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {BASE_ERROR}
    while True:
        more = {c.name for c in classes if any(getattr(base, "id", "") in found for base in c.bases)} - found
        if not more:
            return found
        found |= more


def constants(trees: Iterable[ast.Module]) -> Names:
    """What is assigned to names at the top of modules, for texts that several messages share."""
    found: Names = {}
    for tree in trees:
        found.update(_assigned(tree.body))
    return found


def nodes_with_names(tree: ast.Module, shared: Names) -> Iterator[tuple[ast.AST, Names]]:
    """Every node with the names that its function has assigned."""
    shared = {**shared, **_assigned(tree.body)}
    seen: set[int] = set()
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            nodes = list(ast.walk(function))
            names = {**shared, **_assigned(nodes)}
            is_told = bool(TEXT_FUNCTION.search(function.name))
            for node in nodes:
                if id(node) not in seen:
                    seen.add(id(node))
                    yield node, names
                    if is_told and isinstance(node, (ast.Return, ast.Yield)) and node.value is not None:
                        yield ast.Assign([ast.Name("problem")], node.value), names
    for node in ast.walk(tree):
        if id(node) not in seen:
            yield node, shared


def _told(node: ast.AST, names: Names) -> Iterator[str]:
    """Texts of one word or none are no messages."""
    value: ast.expr | None = None
    if isinstance(node, ast.Assign) and any(getattr(t, "id", "") in TEXT_NAMES for t in node.targets):
        value = node.value
    elif isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = TEXT_ARGUMENTS.get(name, len(node.args))
        value = node.args[place] if place < len(node.args) else None
        if name == "print" and node.args:
            yield from _printed(node.args[0], names)
    if value is not None:
        yield from (text for text in texts(value, names) if _is_said(text))


def _printed(value: ast.expr, names: Names) -> Iterator[str]:
    """What is printed as an error without being one of a class, such as an interruption."""
    told = (text.removeprefix(PRINTED) for text in texts(value, names) if text.startswith(PRINTED))
    yield from (text for text in told if _is_said(text))


def _is_said(text: str) -> bool:
    return re.search(r"[^\W\d]{2,}", text) is not None and " " in text


def _assigned(nodes: Iterable[ast.AST]) -> Names:
    found: Names = {}
    for node in nodes:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                found.setdefault(target.id, []).append(value)
    return found


def _messages(call: ast.Call, names: Names, errors: set[str], module: str) -> Iterator[Message]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name == NOTICE:
        for code, text in itertools.product(*(texts(argument, names) for argument in call.args[:2])):
            if text.strip(GAP + " "):
                yield Message(module, NOTICE, text, code=code)
    elif name in errors:
        given = dict(zip(PARAMETERS, call.args, strict=False)) | {k.arg: k.value for k in call.keywords}
        remedies = texts(given["remedy"], names) if "remedy" in given else [""]
        for problem in texts(given["problem"], names) if "problem" in given else []:
            if problem.strip(GAP + " "):
                yield Message(module, name, problem, " / ".join(dict.fromkeys(remedies)))


def texts(node: ast.expr, names: Names, depth: int = 0) -> list[str]:
    """The forms that a text can have, gaps for what is not known before the program runs."""
    found = list(dict.fromkeys(tidy(text) for text in _texts(node, names, depth)))
    return found if 0 < len(found) <= _MOST else [GAP]


def _texts(node: ast.expr, names: Names, depth: int) -> list[str]:
    if depth > 6:
        return [GAP]
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return _joined([texts(part, names, depth + 1) for part in node.values])
    if isinstance(node, ast.FormattedValue):
        known = texts(node.value, names, depth + 1) if isinstance(node.value, ast.Name) else [GAP]
        return known if node.format_spec is None and GAP not in known else [GAP]
    if isinstance(node, ast.IfExp):
        return [*texts(node.body, names, depth + 1), *texts(node.orelse, names, depth + 1)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([texts(node.left, names, depth + 1), texts(node.right, names, depth + 1)])
    if isinstance(node, ast.Tuple):
        return next((one for one in (texts(e, names, depth + 1) for e in node.elts) if " " in one[0]), [GAP])
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts(value, names, depth + 1)]
    if isinstance(node, ast.Name) and node.id in names and not node.id.startswith("__"):
        return [text for value in names[node.id] for text in texts(value, names, depth + 1)]
    if isinstance(node, ast.Call):
        return _called(node, names, depth)
    return [GAP]


def _called(node: ast.Call, names: Names, depth: int) -> list[str]:
    """``_("text")`` and ``_("text {name}").format(...)``; any other call is a gap."""
    if isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
        return texts(node.args[0], names, depth + 1)
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "rstrip"):
        return texts(node.func.value, names, depth + 1)
    if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return [re.sub(r"\{\w*\}", GAP, text) for text in texts(node.func.value, names, depth + 1)]
    return [GAP]


def _joined(parts: list[list[str]]) -> list[str]:
    found = ["".join(choice) for choice in itertools.islice(itertools.product(*parts), _MOST + 1)]
    if len(found) <= _MOST:
        return found
    return ["".join(part[0] if len(part) == 1 else GAP for part in parts)]


def tidy(text: str) -> str:
    """One line; gaps that touch are one."""
    return re.sub(rf"{GAP}(\s*{GAP})+", GAP, " ".join(text.split(" ")).replace("\n", " "))
