"""Slicer's own Python modules in place of those of this folder, from a checkout of its sources.

What stands in for Slicer here can be more lenient than Slicer is. A run with its own modules finds that out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import ctk
import qt
import slicer

VARIABLE = "SLICER_SOURCE"
"""Environment variable: the root of a checkout of Slicer, of which Base/Python/slicer will do."""

NAMES = ("parameterNodeWrapper", "ScriptedLoadableModule.py", "i18n.py")
_OWNERS = {"ctk": ctk, "qt": qt, "slicer": slicer}
_NAMED = re.compile(r"\b(ctk|qt|slicer)\.([A-Za-z]\w+)")


def folder_of(source: Path) -> Path:
    """A folder with links to what is taken of a checkout; it goes before this folder's own modules.

    Raises:
        FileNotFoundError: this is no such checkout.
    """
    modules = source.resolve() / "Base" / "Python" / "slicer"
    folder = Path(tempfile.mkdtemp(prefix="slicer-source-"))
    for name in NAMES:
        if not (modules / name).exists():
            raise FileNotFoundError(f"{modules / name}: set {VARIABLE} to the root of a checkout of Slicer")
        (folder / name).symlink_to(modules / name)
    _add_missing((modules / "parameterNodeWrapper").glob("*.py"))
    return folder


def _add_missing(files: Iterable[Path]) -> None:
    """Classes of widgets that are connected there, and that no panel here has."""
    for file in files:
        for owner, name in _NAMED.findall(file.read_text(encoding="utf-8")):
            if not hasattr(_OWNERS[owner], name):
                setattr(_OWNERS[owner], name, type(name, (), {}))
