"""Whether what was graded is still what it was: images not changed since, the same drawn, all where it lay.

Kept for as long as Slicer runs: of a result out of a file nobody knows more than it was saved with, and what is
changed from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .mask import LABELMAP, graded_segments
from .volumes import ijk_to_ras, linear_to_world, transform_matrix

Stamp = tuple[Any, ...]

_kept: list[tuple[Any, Stamp]] = []
"""Text nodes of results with the stamps of their inputs."""

_SAME = 1e-6
"""Of a matrix in mm: what is lost when a transform is hardened is far less, what anybody sees far more."""


@dataclass(frozen=True, eq=False)
class _Matrix:
    """From voxels to the world; equal to one that differs by rounding only.

    Not rounded itself: 0.9765625 mm, a usual pixel, lies just between two numbers of six digits.
    """

    values: np.ndarray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Matrix) and np.allclose(self.values, other.values, rtol=0, atol=_SAME)

    __hash__ = None  # type: ignore[assignment]  # what is only nearly equal cannot be looked up


@dataclass(frozen=True)
class _Shape:
    """The voxels of one segment, cut out of its labelmap, and the index (I, J, K) where they begin."""

    digest: str
    first: tuple[int, int, int]


_shapes: dict[tuple[Any, str], tuple[tuple[Any, ...], _Shape | None]] = {}
"""What was last seen in each segment (node and segment id), and what its labelmap was then."""


def stamp_of(nodes: list[Any], segment_id: str | None = None) -> Stamp:
    """Equal to a former stamp where the same nodes' voxels are the same as then."""
    return tuple(_stamp(node, segment_id) for node in nodes)


def keep(text: Any, stamp: Stamp) -> None:
    """Remembers what a result was made of, and forgets the results that have left their scenes."""
    _kept[:] = [(one, known) for one, known in _kept if one.GetScene() is not None and one is not text]
    _kept.append((text, stamp))


def kept(text: Any) -> Stamp | None:
    """The stamp of a result's inputs; None where it came from a file and was outdated, or nobody has looked."""
    return next((stamp for one, stamp in _kept if one is text), None)


def _stamp(node: Any, segment_id: str | None) -> Stamp:
    to_world = linear_to_world(node)
    bent = list(_transforms(node)) if to_world is None else None
    above = np.eye(4) if to_world is None else to_world
    if node.IsA("vtkMRMLSegmentationNode"):
        return node.GetID(), bent, *_segments(node, segment_id, above)
    image = node.GetImageData()
    return node.GetID(), bent, _Matrix(above @ ijk_to_ras(node)), image and image.GetMTime()


def _segments(node: Any, segment_id: str | None, to_world: np.ndarray) -> Iterator[Any]:
    """Of the representation that was drawn: others are made of it whenever a view wants them.

    A segment in which nothing is drawn adds nothing to a mask.
    """
    segmentation = node.GetSegmentation()
    drawn = segmentation.GetSourceRepresentationName()
    for identifier in graded_segments(node, segment_id):
        segment = segmentation.GetSegment(identifier)
        representation = segment.GetRepresentation(drawn)
        if representation is not None and drawn == LABELMAP:
            shape = _shape((node.GetID(), identifier), representation, segment.GetLabelValue())
            if shape is not None:
                yield identifier, shape.digest, _Matrix(to_world @ _from(shape.first, representation))
        elif representation is not None and representation.GetNumberOfPoints():
            yield identifier, representation.GetMTime(), _Matrix(to_world)


def _shape(segment: tuple[Any, str], labelmap: Any, label: int) -> _Shape | None:
    """What is drawn in a segment; None where that is nothing.

    Neither the labelmap nor its time or label tells it: Slicer puts segments into other layers whenever it
    saves them, and a stroke in one segment is a change of the labelmap of all that share it. The voxels do, and
    they are looked at once after each change.
    """
    state = labelmap.GetAddressAsString(""), labelmap.GetMTime(), label
    known = _shapes.get(segment)
    if known is None or known[0] != state:
        known = _shapes[segment] = state, _shape_of(labelmap, label)
    return known[1]


def _shape_of(labelmap: Any, label: int) -> _Shape | None:
    scalars = labelmap.GetPointData().GetScalars()
    if min(labelmap.GetDimensions()) < 1 or scalars is None:
        return None
    drawn = vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1]) == label
    first = list(labelmap.GetExtent()[0::2])
    for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
        places = np.flatnonzero(drawn.any(axis=others))
        if not places.size:
            return None
        drawn = drawn[(slice(None),) * axis + (slice(places[0], places[-1] + 1),)]
        first[2 - axis] += int(places[0])
    digest = hashlib.sha256(str(drawn.shape).encode() + np.packbits(drawn).tobytes()).hexdigest()
    return _Shape(digest, (first[0], first[1], first[2]))


def _from(first: tuple[int, int, int], image: Any) -> np.ndarray:
    """The 4 x 4 matrix of a vtkOrientedImageData (RAS) for indices that count from one of its voxels."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    affine[:3, 3] = (affine @ [*first, 1.0])[:3]
    return affine


def _transforms(node: Any) -> Iterator[Any]:
    """Each parent up to the world: its matrix where it is linear, else when it was changed last."""
    while (node := node.GetParentTransformNode()) is not None:
        if node.IsLinear():
            yield node.GetID(), transform_matrix(node).tolist()
        else:
            yield node.GetID(), node.GetTransformToParent().GetMTime()
