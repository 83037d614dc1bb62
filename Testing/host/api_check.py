"""Which names of Slicer a module uses, and whether Slicer 5.12 has them.

The embedded Slicer answers to whatever it has been taught; the list in ``slicer_api.json`` (names and
signatures read from Slicer's headers) is what the application really has. Nothing of Slicer, Qt or VTK is
needed to run the check; where slicer-core and PySide6 are installed, MRML's and Qt's own names are looked up
in them, too.

    python -m Testing.host.api_check GliomaGrading/GliomaGrading.py GliomaGrading/Resources/UI/GliomaGrading.ui
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

API_FILE = Path(__file__).with_name("slicer_api.json")
ROOTS = ("slicer", "ctk", "qt", "SampleData", "DICOMLib", "sitkUtils")
PYTHON_MODULES = {"SampleData": "SampleData.SampleData"}
PROXIES = {"slicer.app": "qSlicerApplication"}  # objects of the module slicer -> their class
RETURNS = {  # method -> class of what it returns
    "layoutManager": "qSlicerLayoutManager",
    "sliceWidget": "qMRMLSliceWidget",
    "sliceView": "qMRMLSliceView",
    "sliceController": "qMRMLSliceControllerWidget",
    "threeDWidget": "qMRMLThreeDWidget",
    "threeDView": "qMRMLThreeDView",
    "tableWidget": "qMRMLTableWidget",
    "tableView": "qMRMLTableView",
    "plotWidget": "qMRMLPlotWidget",
    "plotView": "qMRMLPlotView",
    "moduleManager": "qSlicerModuleManager",
    "factoryManager": "qSlicerModuleFactoryManager",
    "coreIOManager": "qSlicerCoreIOManager",
    "ioManager": "qSlicerIOManager",
    "mainWindow": "qSlicerMainWindow",
    "moduleSelector": "qSlicerModuleSelectorToolBar",
    "commandOptions": "qSlicerCommandOptions",
}
# Names that PythonQt gives every object, and Python's own.
EVERY_OBJECT = {"connect", "disconnect", "name", "className", "delete"}
FORM_PROPERTIES = {"buddy"}
"""What Qt's form builder knows besides the properties of the widgets."""
SLICER_CORE = {"mrmlScene", "modules", "moduleNames", "selfTests"}  # set by the application, not listed
NEW_IN_5_12 = {
    "slicer.packaging": "new in 5.12",
    "slicer.util.launchConsoleProcess(blocking=)": "new in 5.12",
    "slicer.util.launchConsoleProcess(logCallback=)": "new in 5.12",
    "slicer.util.launchConsoleProcess(completedCallback=)": "new in 5.12",
}


class Use(NamedTuple):
    """A name of Slicer's in a file. ``owner`` is a module or class, ``member`` what is used of it."""

    kind: str  # "python", "class", "member", "signal", "slot", "property"
    owner: str
    member: str
    where: str

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.member}" if self.member else self.owner


class Verdict(NamedTuple):
    use: Use
    ok: bool
    stands: str  # where the name stands, or why it does not


@cache
def load_api() -> dict[str, Any]:
    return json.loads(API_FILE.read_text(encoding="utf-8"))


# -- what a .ui file uses -------------------------------------------------------------------------------------


def _ui_uses(path: Path) -> Iterator[Use]:
    tree = ET.parse(path).getroot()
    for widget in tree.iter("widget"):
        cls, where = widget.get("class", ""), f"{path.name}:{widget.get('name')}"
        yield Use("class", cls, "", where)
        for declared in widget.iterfind("property"):
            if declared.get("stdset") != "0":
                yield Use("property", cls, declared.get("name", ""), where)
    classes = _widget_classes(path)
    for connection in tree.iterfind("connections/connection"):
        for end, kind in (("sender", "signal"), ("receiver", "slot")):
            name = connection.findtext(end) or ""
            yield Use(kind, classes.get(name, ""), connection.findtext(kind) or "", f"{path.name}:{name}")


def _widget_classes(path: Path) -> dict[str, str]:
    """Object name -> class, of the widgets and actions of a .ui file."""
    tree = ET.parse(path).getroot()
    found = {one.get("name", ""): one.get("class", "") for one in tree.iter("widget")}
    return {**found, **{one.get("name", ""): "QAction" for one in tree.iter("action")}}


# -- what a .py file uses -------------------------------------------------------------------------------------


class _Reader(ast.NodeVisitor):
    """Follows names from their import or assignment to the members that are used of them."""

    def __init__(self, path: Path, widgets: dict[str, str]) -> None:
        self.file = path.name
        self.widgets = widgets
        self.names: dict[str, str] = {}  # local name -> dotted name of Slicer, or "<class>" of an object
        self.uses: list[Use] = []

    def _add(self, node: ast.AST, kind: str, owner: str, member: str) -> None:
        self.uses.append(Use(kind, owner, member, f"{self.file}:{getattr(node, 'lineno', 0)}"))

    # imports

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            if one.name.split(".")[0] in ROOTS:
                first = one.name.split(".")[0]
                self.names[one.asname or first] = one.name if one.asname else first
                self._add(node, "python", one.name, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and (node.module or "").split(".")[0] in ROOTS:
            for one in node.names:
                self._add(node, "python", node.module, "" if one.name == "*" else one.name)
                self.names[one.asname or one.name] = f"{node.module}.{one.name}"

    # functions: their names are their own

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer = dict(self.names)
        arguments = node.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self.names.pop(one.arg, None)
        self.generic_visit(node)
        self.names = outer

    # assignments: a name keeps what it was given last

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        meaning = self._meaning(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names.pop(target.id, None)
                if meaning:
                    self.names[target.id] = meaning

    # uses

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        owner = self._meaning(node.value)
        if owner.startswith("<"):
            self._add(node, "member", owner[1:-1], node.attr)
        elif owner and self._is_module(owner) and f"{owner}.{node.attr}" not in PROXIES:
            self._add(node, "python", owner, node.attr)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in ("connect", "disconnect") and node.args:
            self._connection(node, function)
        called = self._meaning(function)
        if called and not called.startswith("<"):
            for keyword in node.keywords:
                if keyword.arg:
                    self._add(node, "keyword", called, keyword.arg)

    def _connection(self, node: ast.Call, function: ast.Attribute) -> None:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and "(" in first.value:
            owner = self._meaning(function.value)
            self._add(node, "signal", owner[1:-1] if owner.startswith("<") else "", first.value)

    # meanings

    def _is_module(self, dotted: str) -> bool:
        api = load_api()["python"]
        return dotted in ROOTS or PYTHON_MODULES.get(dotted, dotted) in api

    def _meaning(self, node: ast.AST) -> str:
        """Dotted name of a module member, "<Class>" of an object, or ""."""
        if isinstance(node, ast.Name):
            return _proxied(self.names.get(node.id, ""))
        if isinstance(node, ast.Attribute):
            return self._attribute_meaning(node)
        if isinstance(node, ast.Call):
            return self._call_meaning(node)
        return ""

    def _attribute_meaning(self, node: ast.Attribute) -> str:
        if _is_ui(node.value) and node.attr in self.widgets:
            return f"<{self.widgets[node.attr]}>"
        owner = self._meaning(node.value)
        if owner and not owner.startswith("<"):
            return _proxied(f"{owner}.{node.attr}")
        return ""

    def _call_meaning(self, node: ast.Call) -> str:
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in RETURNS
            and self._meaning(node.func.value)
        ):
            return f"<{RETURNS[node.func.attr]}>"
        called = self._meaning(node.func)
        last = called.rpartition(".")[2]
        is_class = called.startswith(("ctk.", "qt.Q", "slicer.q")) and called.count(".") == 1
        return f"<{last}>" if is_class else ""


def _proxied(dotted: str) -> str:
    return f"<{PROXIES[dotted]}>" if dotted in PROXIES else dotted


def _is_ui(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_") == "ui"


def names_used(py_files: Iterable[str | Path], ui_files: Iterable[str | Path]) -> list[Use]:
    """Every name of Slicer, ctk and qMRML in the files, once per place."""
    uses: list[Use] = []
    widgets: dict[str, str] = {}
    for ui in map(Path, ui_files):
        uses.extend(_ui_uses(ui))
        widgets.update(_widget_classes(ui))
    for source in map(Path, py_files):
        reader = _Reader(source, widgets)
        reader.visit(ast.parse(source.read_text(encoding="utf-8"), str(source)))
        uses.extend(reader.uses)
    return list(dict.fromkeys(uses))


# -- the verdict ----------------------------------------------------------------------------------------------


def check_against(uses: Iterable[Use], api: dict[str, Any] | None = None) -> list[Verdict]:
    """A verdict for each use, missing names first."""
    api = api or load_api()
    return sorted((_judge(use, api) for use in uses), key=lambda one: (one.ok, one.use))


def missing(verdicts: Iterable[Verdict]) -> list[str]:
    """``name (where): why`` of every name that Slicer does not have."""
    return [f"{one.use.name} ({one.use.where}): {one.stands}" for one in verdicts if not one.ok]


def _judge(use: Use, api: dict[str, Any]) -> Verdict:
    judges = {"python": _judge_python, "keyword": _judge_keyword, "class": _judge_class}
    ok, stands = judges.get(use.kind, _judge_member)(use, api)
    return Verdict(use, ok, stands)


def _judge_python(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    module = api["python"].get(PYTHON_MODULES.get(use.owner, use.owner))
    if use.owner in ("slicer", "ctk"):
        return _judge_top_level(use, api)
    if use.owner == "qt":
        return _judge_qt(use.member)
    if module is None:
        return use.owner in ROOTS, f"module {use.owner}" if use.owner in ROOTS else "no such module"
    if not use.member or use.member in module["classes"] or use.member in _functions(module):
        return True, f"list: module {use.owner}"
    if f"{use.owner}.{use.member}" in api["python"]:
        return True, f"list: module {use.owner}.{use.member}"
    if any(use.member in _exports(api, name) for name in api["python"] if name.startswith(f"{use.owner}.")):
        return True, f"list: exported by {use.owner}"  # a package hands on what its modules define
    return _in_slicer_core(use)


def _exports(api: dict[str, Any], name: str) -> set[str]:
    module = api["python"][name]
    return set(module["classes"]) | set(_functions(module))


def _functions(module: dict[str, Any]) -> dict[str, str]:
    return {one.partition("(")[0]: one for one in module["functions"]}


def _judge_top_level(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    if not use.member or use.member in api["widgets"]:
        return True, "list: widgets"
    if use.owner == "slicer" and (use.member in SLICER_CORE or f"slicer.{use.member}" in api["python"]):
        return True, "module slicer"
    if use.owner == "slicer" and use.member.startswith("vtk"):
        return _in_slicer_core(use)
    return False, "not in the list"


def _in_slicer_core(use: Use) -> tuple[bool, str]:
    """VTK's and MRML's classes, and constants of modules: not in the list; slicer-core has them."""
    module = _imported(use.owner)
    if module is None:
        known = use.owner == "slicer"
        return known, "MRML class; slicer-core is not here to ask" if known else "not in the list"
    found = hasattr(module, use.member)
    return found, "slicer-core" if found else "neither in the list nor in slicer-core"


def _judge_qt(name: str) -> tuple[bool, str]:
    if not name or _qt_class(name) is not None or not _qt_modules():
        return True, "Qt's own"
    return name == "QUiLoader", "Qt's own" if name == "QUiLoader" else "not in Qt"


def _judge_keyword(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    owner, _, called = use.owner.rpartition(".")
    module = api["python"].get(PYTHON_MODULES.get(owner, owner))
    signature = _functions(module).get(called) if module else None
    if signature is None:
        return True, "signature not listed"
    arguments = {one.strip(" *=?") for one in signature.partition("(")[2].rstrip(")").split(",")}
    found = use.member in arguments or any(one in signature for one in ("**", "kwargs"))
    return found, f"list: {signature}" if found else f"no such argument: {signature}"


def _judge_class(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    if use.owner in api["widgets"]:
        return True, "list: widgets"
    found = _qt_class(use.owner) is not None or not _qt_modules()
    return found and use.owner.startswith("Q"), "Qt's own" if found else "not in the list"


def _lineage(name: str, api: dict[str, Any]) -> Iterator[str]:
    """A class and its bases, as far as the list goes, then the Qt class below."""
    yield name
    for base in api["widgets"].get(name, {}).get("bases", ()):
        yield from _lineage(base, api)


def _judge_member(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    if use.kind == "signal" and not use.owner:
        return _judge_loose_signal(use, api)
    if use.kind == "member" and use.member in EVERY_OBJECT:
        return True, "PythonQt"
    if use.kind == "property" and use.member in FORM_PROPERTIES:
        return True, "Qt's form builder"
    for cls in _lineage(use.owner, api):
        entry = api["widgets"].get(cls)
        if entry and (found := _in_entry(use, entry)):
            return True, f"list: {cls} {found}"
        if not entry and cls.startswith("Q") and (not _qt_modules() or _in_qt(use, cls)):
            return True, f"Qt's own: {cls}"
    return False, f"not a {use.kind} of {use.owner}"


def _in_entry(use: Use, entry: dict[str, Any]) -> str:
    if use.kind == "property":
        return "property" if use.member in entry["properties"] else ""
    if use.kind in ("signal", "slot"):
        listed = (*entry["signals"], *(entry["methods"] if use.kind == "slot" else ()))
        return use.kind if _plain(use.member) in map(_plain, listed) else ""
    for kind, key in (("property", "properties"), ("signal", "signals"), ("method", "methods")):
        if use.member in {one.partition("(")[0] for one in entry[key]}:
            return kind
    return ""


def _plain(signature: str) -> str:
    """A signature without spaces and marks of optional arguments."""
    return "".join(signature.replace("const ", "").replace("&", "").replace("?", "").split())


def _judge_loose_signal(use: Use, api: dict[str, Any]) -> tuple[bool, str]:
    """A signal of an object whose class is not known: some class must have it."""
    wanted = _plain(use.member)
    for name, entry in api["widgets"].items():
        if wanted in map(_plain, entry["signals"]):
            return True, f"list: {name} signal, for one"
    unknown = not _qt_modules() and "vtk" not in wanted
    if unknown or any(wanted in _qt_signatures(name) for name in _qt_names()):
        return True, "Qt's own"
    return False, "no class has this signal"


# -- Qt and slicer-core, where they are installed -------------------------------------------------------------


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@cache
def _qt_modules() -> tuple[Any, ...]:
    found = tuple(_imported(f"PySide6.{name}") for name in ("QtCore", "QtGui", "QtWidgets"))
    return () if None in found else found  # QtCore alone comes up where system libraries are missing


def _qt_class(name: str) -> Any:
    return next((getattr(one, name) for one in _qt_modules() if hasattr(one, name)), None)


@cache
def _qt_names() -> list[str]:
    return [name for one in _qt_modules() for name in dir(one) if name.startswith("Q")]


@cache
def _qt_signatures(cls: str) -> frozenset[str]:
    meta = getattr(_qt_class(cls), "staticMetaObject", None)
    if meta is None:
        return frozenset()
    methods = (meta.method(index) for index in range(meta.methodCount()))
    return frozenset(_plain(one.methodSignature().data().decode()) for one in methods)


def _in_qt(use: Use, cls: str) -> bool:
    found = _qt_class(cls)
    meta = getattr(found, "staticMetaObject", None)
    if use.kind in ("signal", "slot"):
        return _plain(use.member) in _qt_signatures(cls)
    if meta is not None and meta.indexOfProperty(use.member) >= 0:
        return True
    return use.kind == "member" and (hasattr(found, use.member) or use.member == "exec_")


# -- the table ------------------------------------------------------------------------------------------------


def table(verdicts: Iterable[Verdict]) -> str:
    """One line a name: name, kind, where it stands, the files that use it."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in verdicts:
        stands = one.stands if one.ok else f"MISSING: {one.stands}"
        name = f"{one.use.owner}({one.use.member}=)" if one.use.kind == "keyword" else one.use.name
        since = next((text for new, text in NEW_IN_5_12.items() if name.startswith(new)), "")
        files = rows.setdefault((name, one.use.kind, f"{stands}; {since}" if since else stands), [])
        files.append(one.use.where.partition(":")[0])
    lines = ["| name | kind | stands in | used in |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {kind} | {stands} | {', '.join(dict.fromkeys(files))} |"
        for (name, kind, stands), files in rows.items()
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Prints the table of the files (or of all files in the folders) given; 1 where a name is missing."""
    files = [one for argument in arguments for one in module_files(Path(argument))]
    verdicts = check_against(
        names_used(
            [one for one in files if one.suffix == ".py"],
            [one for one in files if one.suffix == ".ui"],
        )
    )
    print(table(verdicts))
    lost = missing(verdicts)
    print(f"\n{len(verdicts)} uses, {len(lost)} missing", *lost, sep="\n")
    return 1 if lost else 0


def module_files(path: Path) -> list[Path]:
    """The file itself, or every Python file and form in a folder."""
    return sorted([*path.rglob("*.py"), *path.rglob("*.ui")]) if path.is_dir() else [path]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
