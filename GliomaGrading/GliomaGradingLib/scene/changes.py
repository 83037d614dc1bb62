"""Changes to nodes that are the user's, and the way back, also out of a scene that was saved meanwhile."""

from __future__ import annotations

import json
import logging
from typing import Any

import slicer

_WAS = "GliomaGrading.Was."
"""Attributes that say what a property was; the value is JSON. They are saved with the scene.

Where the property is a node's id, a node reference of the same name says it as well: an id changes when
the scene is added to another, and references follow.
"""

_COLOR = "SegmentOverrideColor"
_KNOWN = {
    *("ViewArrangement", "ForegroundVolumeID", "ForegroundOpacity", "SliceIntersectionThickness", _COLOR),
    *("Visibility", "Visibility2D", "Visibility2DFill", "Visibility2DOutline"),
}
"""What may be set back out of a file, which anybody can have written."""


class Changes:
    """Sets properties of nodes and knows what they were.

    What somebody else has changed since is left as it is then: the way back undoes what was done here, no more.
    A property is called as in ``Get<name>`` and ``Set<name>``; one with an argument by ``with_argument``.
    """

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], tuple[Any, Any, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def set(self, node: Any, name: str, value: Any) -> None:
        """``node.Set<name>(value)``."""
        key = (node.GetID(), name)
        before = self._changed[key][1] if key in self._changed else _get(node, name)
        _set(node, name, value)
        _remember(node, name, before)
        self._changed[key] = (node, before, _get(node, name))

    def ours(self, node: Any, name: str) -> Any:
        """What the property was set to here; None where it was not."""
        return self._changed[node.GetID(), name][2] if (node.GetID(), name) in self._changed else None

    def isOthers(self, node: Any, name: str) -> bool:
        """Whether somebody else has changed the property since it was set here."""
        return self.ours(node, name) is not None and _get(node, name) != self.ours(node, name)

    def undo(self, node: Any = None) -> None:
        """Sets everything back, the last first; of one node where one is given."""
        mine = {key: one for key, one in self._changed.items() if node is None or one[0] is node}
        self._changed = {key: one for key, one in self._changed.items() if key not in mine}
        for (_identifier, name), (changed, before, ours) in reversed(mine.items()):
            if changed.GetScene() is not None:
                _set_back(changed, name, before, _is_there(changed, name) and _get(changed, name) == ours)

    @property
    def nodes(self) -> list[Any]:
        """What was changed, each once."""
        found: list[Any] = []
        for node, _before, _ours in self._changed.values():
            if not any(node is one for one in found):
                found.append(node)
        return found


def undo_saved() -> None:
    """Sets back what was changed when the scene that was just loaded was saved."""
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(index)
        for attribute in [one for one in node.GetAttributeNames() if one.startswith(_WAS)]:
            _undo_attribute(node, attribute)


def _undo_attribute(node: Any, attribute: str) -> None:
    """What makes no sense is taken away; the rest of the scene is no worse for it."""
    name = attribute.removeprefix(_WAS)
    try:
        if _parts(name)[0] in _KNOWN and _is_there(node, name):
            _set_back(node, name, _saved(node, attribute), True)
    except Exception:  # whatever somebody has written there
        logging.warning("GliomaGrading: %s of %s cannot be set back", name, node.GetName())
    node.RemoveAttribute(attribute)


def with_argument(name: str, argument: str) -> str:
    """The name of ``Get<name>(argument)`` and ``Set<name>(argument, ...)``, fit for an attribute of a node."""
    return f"{name}@{argument.encode().hex()}"


def _parts(name: str) -> tuple[str, list[str]]:
    plain, _at, argument = name.partition("@")
    return plain, [bytes.fromhex(argument).decode()] if argument else []


def _is_there(node: Any, name: str) -> bool:
    """Whether what the property is of is there: a segment that had a colour may have been removed."""
    plain, argument = _parts(name)
    if plain != _COLOR:
        return True
    mask = node.GetDisplayableNode()
    return mask is not None and mask.GetSegmentation().GetSegment(*argument) is not None


def _get(node: Any, name: str) -> Any:
    """The property; a colour as a list, so that it can be compared and written as JSON."""
    plain, argument = _parts(name)
    value = getattr(node, f"Get{plain}")(*argument)
    return [value[index] for index in range(3)] if hasattr(value, "GetSize") else value


def _set(node: Any, name: str, value: Any) -> None:
    plain, argument = _parts(name)
    getattr(node, f"Set{plain}")(*argument, *(value if isinstance(value, list) else [value]))


def _remember(node: Any, name: str, before: Any) -> None:
    node.SetAttribute(f"{_WAS}{name}", json.dumps(before))
    if _is_node_id(name) and before:
        node.SetNodeReferenceID(f"{_WAS}{name}", before)


def _saved(node: Any, attribute: str) -> Any:
    """What a property was, in this scene's words."""
    before = json.loads(node.GetAttribute(attribute))
    return node.GetNodeReferenceID(attribute) or before if _is_node_id(attribute) else before


def _set_back(node: Any, name: str, before: Any, is_ours: bool) -> None:
    node.RemoveAttribute(f"{_WAS}{name}")
    if _is_node_id(name):
        node.RemoveNodeReferenceIDs(f"{_WAS}{name}")
    if is_ours and not _is_gone(name, before):
        _set(node, name, before)


def _is_node_id(name: str) -> bool:
    return name.endswith("VolumeID")


def _is_gone(name: str, value: Any) -> bool:
    """A volume that was shown before and was removed from the scene meanwhile."""
    return _is_node_id(name) and bool(value) and slicer.mrmlScene.GetNodeByID(value) is None
