"""A result in the scene: a text node with result.json, tables, a plot and maps, in a folder of the case's name.

The text node refers to all the others by roles; so a scene that was saved and loaded again has its results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..errors import CaseError
from ..explanation import Explanation, check_same_images
from ..grid import voxels_of
from ..result import GradeResult
from ..volume import Volume
from ..words import SEQUENCES
from .charts import VOTES, add_charts
from .folders import folder_of, new_folder, parent_of, put_into, remove_if_empty, remove_node
from .inputs import Inputs
from .maps import COLORS, add_maps, map_role
from .names import name_of
from .stamps import Stamp, keep, kept

RESULT = "GliomaGrading.Result"
"""Attribute of the text node that holds a result; its value is the case's name."""

SEGMENT = "GliomaGrading.Segment"
"""Attribute of the same node: the id of the segment that was the mask, '' for all of them."""

CENTER = "GliomaGrading.Center"
"""Attribute of the same node: the tumour's middle on its largest slice, RAS mm."""

OPTIONS = {"vote": "GliomaGrading.Vote", "bundle": "GliomaGrading.Bundle"}
"""Attributes of the same node: what was chosen for the grading and does not stand in the result itself."""

OUTDATED = "GliomaGrading.Outdated"
"""Attribute of the same node, where an input was changed since: it is there to be saved with the scene."""

INPUT_ROLES = (*SEQUENCES, "mask")
"""Roles from the text node to what was graded; all its other roles are the result's own nodes."""

MAP_ROLES = (*map(map_role, SEQUENCES), COLORS)


@dataclass(frozen=True, eq=False)
class Published:
    """The nodes of one result.

    ``node(role)``: ``result`` (the text node), ``votes``, ``slices``, ``chart``, ``series.T1`` ...,
    ``shown``, ``map.T1`` ..., ``colours``, and the inputs ``T1``, ``T2``, ``FLAIR``, ``mask``.
    """

    text: Any

    @property
    def table(self) -> Any:
        return self.node(VOTES)

    @property
    def result(self) -> GradeResult | None:
        return read_result(self.text)

    def node(self, role: str) -> Any:
        """The node in a role; None where there is none."""
        return self.text if role == "result" else self.text.GetNodeReference(role)

    @property
    def nodes(self) -> dict[str, Any]:
        """All nodes by role, those that were removed left out."""
        found = {role: self.node(role) for role in ("result", *_role_names(self.text))}
        return {role: node for role, node in found.items() if node is not None}

    @property
    def center(self) -> tuple[float, float, float] | None:
        """RAS mm of the tumour's middle on its largest slice; None where it is not known."""
        try:
            right, anterior, superior = map(float, (self.text.GetAttribute(CENTER) or "").split())
        except ValueError:
            return None
        return right, anterior, superior

    @property
    def hasMaps(self) -> bool:
        return all(self.node(role) is not None for role in MAP_ROLES)

    @property
    def isOutdated(self) -> bool:
        """Whether an input was changed since, or had been when the result was saved in a scene."""
        known = kept(self.text)
        if known is None:
            return bool(self.text.GetAttribute(OUTDATED))
        return known != inputs_of(self).stamp

    @property
    def options(self) -> dict[str, str]:
        """What it was graded with, as far as that is known: vote, bundle, register."""
        chosen = {name: self.text.GetAttribute(attribute) for name, attribute in OPTIONS.items()}
        if (result := self.result) is not None:
            chosen["register"] = result.registration.get("mode")
        return {name: value for name, value in chosen.items() if value is not None}


def text_of(published: Published | None) -> Any:
    """The text node that tells one result from another; None for none."""
    return published.text if published is not None else None


def publish(
    result: GradeResult,
    inputs: Inputs,
    center: tuple[float, float, float] | None = None,
    stamp: Stamp | None = None,
    options: Mapping[str, str] | None = None,
) -> Published:
    """Adds a result to the scene in place of the former result of the same three volumes, under its names.

    Its folder lies where the former one lay.

    Takes back what it added if it fails; the former result then stays.

    Args:
        center: ``largest_slice_position`` of the result.
        stamp: of the inputs when they were read; by default as they are now.
        options: ``vote`` and ``bundle`` that were chosen for it.
    """
    stamp = inputs.stamp if stamp is None else stamp
    former = [node for node in result_nodes() if _has_roles(node, inputs.sequences)]
    names = {role: name_of(node) for one in former for role, node in Published(one).nodes.items()}
    with _undo_on_error() as added:
        name = _node_name(result, _("result"), names.get("result"))
        text = added(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", name))
        text.SetText(result.toJson())
        text.SetAttribute(RESULT, result.case)
        text.SetAttribute(SEGMENT, inputs.segmentId or "")
        for option, value in (options or {}).items():
            if option in OPTIONS:
                text.SetAttribute(OPTIONS[option], str(value))
        if center is not None:
            text.SetAttribute(CENTER, " ".join(f"{value:.3f}" for value in center))
        for role, node in _roles(inputs):
            text.SetNodeReferenceID(role, node.GetID())
        own = [text]

        def add(role: str, kind: str, what: str) -> Any:
            name = _node_name(result, what, names.get(role))
            node = added(slicer.mrmlScene.AddNewNodeByClass(kind, name))
            text.SetNodeReferenceID(role, node.GetID())
            own.append(node)
            return node

        add_charts(result, add)
        place = parent_of(folder_of(former[-1])) if former else 0
        _put_into_folder(own, result.case, place)
    for node in former:
        remove(node)
    keep(text, stamp)
    mark_outdated()
    return Published(text)


def mark_outdated(changed: Any = None) -> None:
    """Writes on every result in the scene whether an input was changed since, where that is known.

    Args:
        changed: an input, or what it holds of segments: only results that were made of it are looked at.
    """
    for text in result_nodes():
        if kept(text) is None or not (changed is None or _is_made_of(text, changed)):
            continue
        if Published(text).isOutdated:
            text.SetAttribute(OUTDATED, "1")
        elif text.GetAttribute(OUTDATED):
            text.RemoveAttribute(OUTDATED)


def _is_made_of(text: Any, thing: Any) -> bool:
    nodes = inputs_of(Published(text)).nodes
    return any(thing is node or thing is getattr(node, "GetSegmentation", lambda: None)() for node in nodes)


def as_graded(result: GradeResult) -> dict[str, Any]:
    """Options with which the images are aligned as they were when they were graded."""
    return {"register": result.registration.get("mode", "auto")}


def _check_model(result: GradeResult | None, model: Mapping[str, Any]) -> None:
    sha256 = model.get("sha256")  # an engine of a test's own has none
    if result is not None and sha256 and sha256 != result.model.get("sha256"):
        raise CaseError(
            _("it was graded with another model ({name} {version})").format(
                name=result.model.get("name", "?"), version=result.model.get("version", "?")
            ),
            result.case,
            _("choose that model under Advanced, or grade the case again"),
        )


def publish_maps(explanation: Explanation, published: Published, model: Mapping[str, Any]) -> None:
    """Adds the maps of a result to its nodes, in place of former ones; takes them back if it fails.

    Args:
        model: what the grading process says of the one that it holds.

    Raises:
        CaseError: the maps are not of what was graded (other images, another model), or the result is gone.
    """
    result, text = published.result, published.text
    _check_model(result, model)
    if text.GetScene() is None:
        problem = _("its result was removed from the scene while it was explained")
        raise CaseError(problem, text.GetAttribute(RESULT) or "", _("grade the case again"))
    if result is not None:
        check_same_images(result, explanation.indices, explanation.probabilities)
    remove_maps(published)
    with _undo_on_error() as added:
        own: list[Any] = []

        def keep(role: str, node: Any) -> Any:
            own.append(added(node))
            text.SetNodeReferenceID(role, node.GetID())
            return node

        add_maps(explanation, text.GetAttribute(RESULT), keep)
        put_into(folder_of(text) or new_folder(text.GetAttribute(RESULT)), own)


def remove_maps(published: Published) -> None:
    """Takes the maps of a result away, if it has any."""
    _remove_roles(published.text, MAP_ROLES)


def remove(text: Any) -> None:
    """Removes a result's nodes, and its folder where nothing is left in it."""
    folder = folder_of(text)
    _remove_roles(text, [role for role in _role_names(text) if role not in INPUT_ROLES])
    remove_node(text)
    remove_if_empty(folder)


def own_nodes(published: Published) -> list[Any]:
    """What a result has besides its text node: tables, plot and maps, and not what it was made of."""
    return [node for role, node in published.nodes.items() if role not in ("result", *INPUT_ROLES)]


def _remove_roles(text: Any, roles: Iterable[str]) -> None:
    for role in roles:
        node = text.GetNodeReference(role)
        if node is not None:
            remove_node(node)  # first: whoever shows it has to know it for one of the result's
        text.RemoveNodeReferenceIDs(role)


def result_nodes() -> list[Any]:
    """The text nodes of all results in the scene, the oldest first."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLTextNode") if node.GetAttribute(RESULT)]


def published_for(inputs: Inputs) -> Published | None:
    """The result of exactly these inputs, if there is one: also after a scene was loaded."""
    for text in reversed(result_nodes()):
        if _is_of(text, inputs) and read_result(text) is not None:
            return Published(text)
    return None


def latest() -> Published | None:
    """The result that was added last; None where there is none."""
    nodes = result_nodes()
    return Published(nodes[-1]) if nodes else None


def inputs_of(published: Published | None) -> Inputs:
    """What a result was made from.

    Raises:
        CaseError: there is no result.
    """
    if published is None:
        raise CaseError(_("there is no result"), remedy=_("grade a case first"))
    t1, t2, flair, mask = (published.node(role) for role in INPUT_ROLES)
    return Inputs(t1, t2, flair, mask, published.text.GetAttribute(SEGMENT) or None)


def result_of(published: Published | None) -> GradeResult:
    """The result of its nodes.

    Raises:
        CaseError: there is none.
    """
    result = published.result if published is not None else None
    if result is None:
        raise CaseError(_("there is no result"), remedy=_("grade a case first"))
    return result


def check_current(published: Published | None) -> None:
    """Raises CaseError where an input was changed since: what it shows now is not what the result is of."""
    if published is not None and published.isOutdated:
        raise CaseError(
            _("its images or its mask were changed since it was graded"),
            published.text.GetAttribute(RESULT) or "",
            _("grade the case again"),
        )


def read_result(text: Any) -> GradeResult | None:
    """The result that a text node holds; None where somebody changed it into something else."""
    try:
        return GradeResult.fromDict(json.loads(text.GetText() or ""))
    except (ValueError, RecursionError):  # the latter of brackets within brackets
        return None


def largest_slice_position(result: GradeResult, mask: Volume) -> tuple[float, float, float]:
    """RAS mm of the tumour's middle on its largest slice."""
    info = result.slices
    height = info.positions_mm[0] + (info.largest_index - info.indices[0]) * info.spacing_mm
    index = voxels_of(mask.array).T[::-1]
    points = mask.affine[:3, :3] @ index + mask.affine[:3, 3:]
    distance = np.abs(points[2] - height)
    left, posterior, _height = points[:, distance <= distance.min() + 0.5 * info.spacing_mm].mean(axis=1)
    return -float(left), -float(posterior), float(height)


@contextmanager
def _undo_on_error() -> Iterator[Any]:
    nodes: list[Any] = []

    def added(node: Any) -> Any:
        nodes.append(node)
        return node

    try:
        yield added
    except BaseException:
        for node in reversed(nodes):
            remove_node(node)
        raise


def _roles(inputs: Inputs) -> list[tuple[str, Any]]:
    pairs = [*inputs.sequences.items(), ("mask", inputs.mask)]
    return [(role, node) for role, node in pairs if node is not None and node.GetScene() is not None]


def _is_of(text: Any, inputs: Inputs) -> bool:
    is_same_segment = (text.GetAttribute(SEGMENT) or "") == (inputs.segmentId or "")
    return is_same_segment and _has_roles(text, {**inputs.sequences, "mask": inputs.mask})


def _has_roles(text: Any, nodes: Mapping[str, Any]) -> bool:
    return all(node is not None and text.GetNodeReference(role) is node for role, node in nodes.items())


def _node_name(result: GradeResult, what: str, former: str | None = None) -> str:
    """A name of its own, or that of the node whose place it takes."""
    name = f"{result.case} {what}"
    if former and re.fullmatch(rf"{re.escape(name)}(_\d+)?", former):
        return former
    return slicer.mrmlScene.GenerateUniqueName(name)


def _put_into_folder(nodes: list[Any], name: str, parent: int = 0) -> None:
    put_into(new_folder(name, parent), nodes)


def _role_names(text: Any) -> list[str]:
    names = [text.GetNthNodeReferenceRole(index) for index in range(text.GetNumberOfNodeReferenceRoles())]
    return [name for name in names if name != "storage"]
