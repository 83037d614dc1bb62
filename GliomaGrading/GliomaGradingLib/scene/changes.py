"""Changes to nodes that are the user's, and the way back, also out of a scene that was saved meanwhile."""

from __future__ import annotations

import json
from typing import Any

import slicer

_WAS = "GliomaGrading.Was."
"""Attributes that say what a property was; the value is JSON. They are saved with the scene."""


class Changes:
    """Sets properties of nodes and knows what they were.

    What somebody else has changed since is left as it is then: the way back undoes what was done here, no more.
    """

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], tuple[Any, Any, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def set(self, node: Any, name: str, value: Any) -> None:
        """``node.Set<name>(value)``."""
        key = (node.GetID(), name)
        before = self._changed[key][1] if key in self._changed else getattr(node, f"Get{name}")()
        getattr(node, f"Set{name}")(value)
        node.SetAttribute(f"{_WAS}{name}", json.dumps(before))
        self._changed[key] = (node, before, getattr(node, f"Get{name}")())

    def undo(self) -> None:
        """Sets everything back, the last first."""
        changed, self._changed = self._changed, {}
        for (_identifier, name), (node, before, ours) in reversed(changed.items()):
            if node.GetScene() is not None:
                _set_back(node, name, before, getattr(node, f"Get{name}")() == ours)


def undo_saved() -> None:
    """Sets back what was changed when the scene that was just loaded was saved."""
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(index)
        for attribute in [one for one in node.GetAttributeNames() if one.startswith(_WAS)]:
            _set_back(node, attribute.removeprefix(_WAS), json.loads(node.GetAttribute(attribute)), True)


def _set_back(node: Any, name: str, before: Any, is_ours: bool) -> None:
    node.RemoveAttribute(f"{_WAS}{name}")
    if is_ours and not _is_gone(name, before):
        getattr(node, f"Set{name}")(before)


def _is_gone(name: str, value: Any) -> bool:
    """A volume that was shown before and was removed from the scene meanwhile."""
    return name.endswith("VolumeID") and bool(value) and slicer.mrmlScene.GetNodeByID(value) is None
