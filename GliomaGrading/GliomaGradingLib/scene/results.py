"""A result in the scene: a text node with result.json and a table of votes, in a folder of the case's name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..imaging import Volume
from ..result import GradeResult
from .inputs import Inputs

RESULT = "GliomaGrading.Result"
"""Attribute of the text node that holds a result; its value is the case's name."""

SEGMENT = "GliomaGrading.Segment"
"""Attribute of the same node: the id of the segment that was the mask, '' for all of them."""

VOTES_ROLE = "votes"
"""Node reference role from the text node to the table of votes."""


@dataclass(frozen=True, eq=False)
class Published:
    """The nodes of one result."""

    text: Any
    table: Any

    @property
    def result(self) -> GradeResult | None:
        return read_result(self.text)


def publish(result: GradeResult, inputs: Inputs) -> Published:
    """Adds a result to the scene in place of the former result of the same three volumes.

    Takes back what it added if it fails; the former result then stays.
    """
    former = [node for node in result_nodes() if _has_roles(node, inputs.sequences)]
    with _undo_on_error() as added:
        text = added(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", _node_name(result, _("result"))))
        text.SetText(result.toJson())
        text.SetAttribute(RESULT, result.case)
        text.SetAttribute(SEGMENT, inputs.segmentId or "")
        table = added(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _node_name(result, _("votes"))))
        _fill_table(table, result)
        text.SetNodeReferenceID(VOTES_ROLE, table.GetID())
        for role, node in _roles(inputs):
            text.SetNodeReferenceID(role, node.GetID())
        _put_into_folder([text, table], result.case)
    for node in former:
        remove(node)
    return Published(text, table)


def remove(text: Any) -> None:
    """Removes a result's nodes, and its folder where nothing is left in it."""
    hierarchy = _hierarchy()
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(text))
    for node in (text.GetNodeReference(VOTES_ROLE), text):
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
    if folder and folder != hierarchy.GetSceneItemID() and not hierarchy.GetNumberOfItemChildren(folder):
        hierarchy.RemoveItem(folder)


def result_nodes() -> list[Any]:
    """The text nodes of all results in the scene, the oldest first."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLTextNode") if node.GetAttribute(RESULT)]


def published_for(inputs: Inputs) -> Published | None:
    """The result of exactly these inputs, if there is one: also after a scene was loaded."""
    for text in reversed(result_nodes()):
        if _is_of(text, inputs) and read_result(text) is not None:
            return Published(text, text.GetNodeReference(VOTES_ROLE))
    return None


def read_result(text: Any) -> GradeResult | None:
    """The result that a text node holds; None where somebody changed it into something else."""
    try:
        return GradeResult.fromDict(json.loads(text.GetText() or ""))
    except (ValueError, AttributeError):
        return None


def jump_to_largest_slice(result: GradeResult, mask: Volume) -> None:
    """All slice views go to the middle of the tumour on the slice where it is largest."""
    right, anterior, superior = largest_slice_position(result, mask)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByCentering(right, anterior, superior)


def largest_slice_position(result: GradeResult, mask: Volume) -> tuple[float, float, float]:
    """RAS mm of the tumour's middle on its largest slice."""
    info = result.slices
    height = info.positions_mm[0] + (info.largest_index - info.indices[0]) * info.spacing_mm
    index = np.array(np.nonzero(mask.array))[::-1]
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
            slicer.mrmlScene.RemoveNode(node)
        raise


def _roles(inputs: Inputs) -> list[tuple[str, Any]]:
    pairs = [*inputs.sequences.items(), ("mask", inputs.mask)]
    return [(role, node) for role, node in pairs if node is not None and node.GetScene() is not None]


def _is_of(text: Any, inputs: Inputs) -> bool:
    is_same_segment = (text.GetAttribute(SEGMENT) or "") == (inputs.segmentId or "")
    return is_same_segment and _has_roles(text, {**inputs.sequences, "mask": inputs.mask})


def _has_roles(text: Any, nodes: Mapping[str, Any]) -> bool:
    return all(node is not None and text.GetNodeReference(role) is node for role, node in nodes.items())


def _node_name(result: GradeResult, what: str) -> str:
    return slicer.mrmlScene.GenerateUniqueName(f"{result.case} {what}")


def _fill_table(node: Any, result: GradeResult) -> None:
    votes = result.votes
    columns = (
        (_("Sequence"), vtk.vtkStringArray(), [vote.sequence for vote in votes]),
        (_("Vote"), vtk.vtkStringArray(), [vote.grade for vote in votes]),
        (_("Probability of HGG"), vtk.vtkDoubleArray(), [vote.probability_hgg for vote in votes]),
        (_("Slices for HGG"), vtk.vtkIntArray(), [vote.slices_hgg for vote in votes]),
        (_("Slices"), vtk.vtkIntArray(), [len(vote.slice_probabilities) for vote in votes]),
    )
    for name, array, values in columns:
        array.SetName(name)
        for value in values:
            array.InsertNextValue(value)
        node.AddColumn(array)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)


def _hierarchy() -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def _put_into_folder(nodes: list[Any], name: str) -> None:
    hierarchy = _hierarchy()
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node)
