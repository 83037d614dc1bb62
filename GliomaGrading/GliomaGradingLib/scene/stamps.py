"""Whether what was graded is still what it was: when voxels were changed last, and where they lie.

Kept for as long as Slicer runs: of a result out of a file nobody knows more than it was saved with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .mask import LABELMAP, graded_segments
from .volumes import ijk_to_ras, linear_to_world, transform_matrix

Stamp = tuple[Any, ...]

_kept: list[tuple[Any, Stamp]] = []
"""Text nodes of results with the stamps of their inputs."""


def stamp_of(nodes: list[Any], segment_id: str | None = None) -> Stamp:
    """Equal to a former stamp where the same nodes' voxels are the same as then."""
    return tuple(_stamp(node, segment_id) for node in nodes)


def keep(text: Any, stamp: Stamp) -> None:
    """Remembers what a result was made of, and forgets the results that have left their scenes."""
    _kept[:] = [(one, known) for one, known in _kept if one.GetScene() is not None and one is not text]
    _kept.append((text, stamp))


def kept(text: Any) -> Stamp | None:
    """The stamp of a result's inputs; None where it came from a file."""
    return next((stamp for one, stamp in _kept if one is text), None)


def _stamp(node: Any, segment_id: str | None) -> Stamp:
    if node.IsA("vtkMRMLSegmentationNode"):
        return node.GetID(), _place(node), *_segment_times(node, segment_id)
    image = node.GetImageData()
    return node.GetID(), _place(node), ijk_to_ras(node).tolist(), image and image.GetMTime()


def _segment_times(node: Any, segment_id: str | None) -> Iterator[Any]:
    """Of the representation that was drawn: others are made of it whenever a view wants them.

    In a labelmap that segments share, the label says which voxels are whose; only where it was drawn, since
    one that is made for a view gives labels of its own.
    """
    segmentation = node.GetSegmentation()
    drawn = segmentation.GetSourceRepresentationName()
    for identifier in graded_segments(node, segment_id):
        segment = segmentation.GetSegment(identifier)
        representation = segment.GetRepresentation(drawn)
        label = segment.GetLabelValue() if drawn == LABELMAP else None
        yield identifier, label, representation and representation.GetMTime()


def _place(node: Any) -> Any:
    """Where the parent transforms put it."""
    matrix = linear_to_world(node)
    return matrix.tolist() if matrix is not None else list(_transforms(node))


def _transforms(node: Any) -> Iterator[Any]:
    """Each parent up to the world: its matrix where it is linear, else when it was changed last."""
    while (node := node.GetParentTransformNode()) is not None:
        if node.IsLinear():
            yield node.GetID(), transform_matrix(node).tolist()
        else:
            yield node.GetID(), node.GetTransformToParent().GetMTime()
