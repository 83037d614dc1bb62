"""How this package writes a Python widget that stands in for a C++ widget of ctk or Slicer.

A stand-in has the behaviour that is written down in ``widgets_ctk.py`` and ``widgets_qmrml.py``. All the other
properties and signals that the API list gives the real class are added here without behaviour, so that a
``.ui`` file loads as it does in Slicer, and a name that the real class lacks is refused as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import Property, Signal

from .pythonqt import adopt

API_FILE = Path(__file__).with_name("slicer_api.json")
STANDINS: dict[str, type] = {}
SIGNAL_TYPES = {"bool": bool, "int": int, "double": float, "QString": str, "QStringList": "QStringList"}


@lru_cache(maxsize=1)
def api() -> dict[str, Any]:
    """Names and signatures of Slicer 5.12: ``{"widgets": {...}, "python": {...}}``."""
    return json.loads(API_FILE.read_text(encoding="utf-8"))


def lineage(class_name: str) -> Iterator[dict[str, Any]]:
    """The API entries of a class and of its bases, as far as the list knows them."""
    entry = api()["widgets"].get(class_name)
    if entry:
        yield entry
        for base in entry["bases"]:
            yield from lineage(base)


def standin(cls: type) -> type:
    """Class decorator: completes the class from the API list and registers it under its name."""
    completed = adopt(type(cls)(cls.__name__, (adopt(cls),), dict(_missing_members(cls))))
    STANDINS[cls.__name__] = completed
    if cls.__name__.startswith("q"):
        setattr(slicer, cls.__name__, completed)
    return completed


def plain(name: str, base: type) -> type:
    """A stand-in without behaviour of its own."""
    return standin(
        type(base)(name, (base,), {"__doc__": f"Stands in for {name}, without behaviour of its own."})
    )


def value(kind: Any, name: str, default: Any = None, *, signal: str = "", changed: str = "") -> Property:
    """A property kept in ``self._values``; emits ``signal`` and calls ``self.changed()`` when it changes."""

    def get(self: Any) -> Any:
        return (self._values or {}).get(name, default)

    def put(self: Any, new: Any) -> None:
        if get(self) == new:
            return
        self._values = {**(self._values or {}), name: new}
        if changed:
            getattr(self, changed)()
        if signal:
            getattr(self, signal).emit(new)

    return Property(kind, get, put)


def _missing_members(cls: type) -> Iterator[tuple[str, Any]]:
    yield "_values", getattr(cls, "_values", None)
    seen: set[str] = set()
    for entry in lineage(cls.__name__):
        for name, member in (*_inert_signals(entry), *_inert_properties(entry)):
            if name not in seen and not hasattr(cls, name):
                seen.add(name)
                yield name, member


def _inert_properties(entry: dict[str, Any]) -> Iterator[tuple[str, Property]]:
    for name in entry["properties"]:
        yield name, value("QVariant", name)


def _inert_signals(entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for signature in entry["signals"]:
        name, _, arguments = signature.rstrip(")").partition("(")
        yield name, Signal(*(SIGNAL_TYPES.get(one, object) for one in arguments.split(",") if one))


def slot_of(item: Any, signature: str) -> Callable:
    """The Python method behind a C++ slot signature such as ``setMRMLScene(vtkMRMLScene*)``."""
    return getattr(item, signature.split("(")[0])
