"""Changes to nodes that are the user's, and the way back, also out of a scene that was saved meanwhile."""

from __future__ import annotations

import json
import logging
import math
import weakref
from typing import Any

import slicer

from .names import name_of

_WAS = "GliomaGrading.Was."
"""Attributes that say what a property was and what it was set to here; the value is JSON, ``[was, ours]``.

Versions before this one wrote ``was`` alone. They are saved with the scene.
"""

_OURS = "GliomaGrading.Ours."
"""Node references: where the property is a node's id, one of each name says it as well.

An id changes when the scene is added to another, and references follow.
"""

_COLOR = "SegmentOverrideColor"
_KNOWN = {
    *("ViewArrangement", "ForegroundVolumeID", "ForegroundOpacity", "SliceIntersectionThickness", _COLOR),
    *("Visibility", "Visibility2D", "Visibility2DFill", "Visibility2DOutline", "Opacity", "Opacity2DOutline"),
    *("SegmentVisibility", "SegmentVisibility2DOutline", "SegmentOpacity2DOutline", "ViewNodeIDs"),
}
"""What may be set back out of a file, which anybody can have written."""

_ROUNDING = 1e-4
"""Of a number that was saved with a scene: six digits are."""


class Changes:
    """Sets properties of nodes and knows what they were.

    What somebody else has changed since is left as it is then: the way back undoes what was done here, no more.
    A property is called as in ``Get<name>`` and ``Set<name>``; one with an argument by ``with_argument``.
    """

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], tuple[Any, Any, Any]] = {}
        _live.add(self)

    def __bool__(self) -> bool:
        return bool(self._changed)

    def set(self, node: Any, name: str, value: Any) -> None:
        """``node.Set<name>(value)``."""
        key = (node.GetID(), name)
        before = self._changed[key][1] if key in self._changed else _get(node, name)
        _set(node, name, value)
        ours = _get(node, name)
        _remember(node, name, before, ours)
        self._changed[key] = (node, before, ours)

    def holds(self, node: Any, name: str) -> bool:
        """Whether the property is changed at present, and will be set back from here."""
        key = (node.GetID(), name)
        return key in self._changed and self._changed[key][0] is node

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


_live: weakref.WeakSet[Changes] = weakref.WeakSet()


def undo_saved(kind: str = "vtkMRMLNode") -> None:
    """Sets back what was changed when the scene that was just loaded was saved, or a node was cloned.

    What somebody has changed since is left as it is then, and what is changed at present is nobody's past.

    Args:
        kind: of the nodes that are looked at.
    """
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(index)
        if node.IsA(kind):
            for attribute in [one for one in node.GetAttributeNames() if one.startswith(_WAS)]:
                _undo_attribute(node, attribute)


def _undo_attribute(node: Any, attribute: str) -> None:
    """What makes no sense is taken away; the rest of the scene is no worse for it."""
    name = attribute.removeprefix(_WAS)
    if any(changes.holds(node, name) for changes in _live):
        return
    try:
        if _parts(name)[0] in _KNOWN and _is_there(node, name):
            _set_back(node, name, *_saved(node, name))
    except Exception:  # whatever somebody has written there
        logging.warning("GliomaGrading: %s of %s cannot be set back", name, name_of(node))
    node.RemoveAttribute(attribute)


def with_argument(name: str, argument: str) -> str:
    """The name of ``Get<name>(argument)`` and ``Set<name>(argument, ...)``, fit for an attribute of a node."""
    return f"{name}@{argument.encode().hex()}"


def _parts(name: str) -> tuple[str, list[str]]:
    plain, _at, argument = name.partition("@")
    return plain, [bytes.fromhex(argument).decode()] if argument else []


def _is_there(node: Any, name: str) -> bool:
    """Whether what the property is of is there: a segment that had a colour may have been removed."""
    _plain, argument = _parts(name)
    if not argument:
        return True
    mask = node.GetDisplayableNode()
    return mask is not None and mask.GetSegmentation().GetSegment(*argument) is not None


def _get(node: Any, name: str) -> Any:
    """The property; several values as a list, so that they can be compared and written as JSON."""
    plain, argument = _parts(name)
    value = getattr(node, f"Get{plain}")(*argument)
    if hasattr(value, "GetSize"):
        return [value[index] for index in range(3)]
    return list(value) if isinstance(value, tuple) else value


def _set(node: Any, name: str, value: Any) -> None:
    plain, argument = _parts(name)
    getattr(node, f"Set{plain}")(*argument, *(value if plain == _COLOR else [value]))


def _remember(node: Any, name: str, before: Any, ours: Any) -> None:
    node.SetAttribute(f"{_WAS}{name}", json.dumps([before, ours]))
    for role, identifier in ((_WAS, before), (_OURS, ours)):
        if _is_node_id(name) and identifier:
            node.SetNodeReferenceID(f"{role}{name}", identifier)


def _saved(node: Any, name: str) -> tuple[Any, bool]:
    """What a property was, in this scene's words; and whether it is still what it was set to here."""
    known = json.loads(node.GetAttribute(f"{_WAS}{name}"))
    is_told = isinstance(known, list) and len(known) == 2  # colours have three values
    before, ours = known if is_told else (known, None)
    if _is_node_id(name):
        before = node.GetNodeReferenceID(f"{_WAS}{name}") or before
        ours = node.GetNodeReferenceID(f"{_OURS}{name}") or ours
    return before, not is_told or _is_same(_get(node, name), ours) or _has_lost(node, name, ours)


def _is_same(value: Any, other: Any) -> bool:
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if isinstance(value, float) and isinstance(other, (float, int)):
        return math.isclose(value, other, abs_tol=_ROUNDING)
    return bool(value == other)


def _has_lost(node: Any, name: str, ours: Any) -> bool:
    """Whether nothing is shown where a volume was that did not come with the scene."""
    return not _get(node, name) and _is_gone(name, ours)


def _set_back(node: Any, name: str, before: Any, is_ours: bool) -> None:
    node.RemoveAttribute(f"{_WAS}{name}")
    if _is_node_id(name):
        for role in (_WAS, _OURS):
            node.RemoveNodeReferenceIDs(f"{role}{name}")
    if is_ours and not _is_gone(name, before):
        _set(node, name, before)


def _is_node_id(name: str) -> bool:
    """Whether it is one id, of which a reference tells, too; views keep theirs in any scene."""
    return name.endswith("VolumeID")


def _is_gone(name: str, value: Any) -> bool:
    """A volume that was shown before and was removed from the scene meanwhile."""
    return _is_node_id(name) and bool(value) and slicer.mrmlScene.GetNodeByID(value) is None
