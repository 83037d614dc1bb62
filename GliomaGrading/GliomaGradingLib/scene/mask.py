"""The tumour mask out of a segmentation or a labelmap node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import CaseError
from ..reading.segment_names import is_other_structure
from ..result import Notice
from ..volume import Volume
from .names import name_of
from .volumes import LPS_FROM_RAS, apply_transforms, oriented_volume, shown_source, volume_of

LABELMAP = "Binary labelmap"  # vtkSegmentationConverter::GetBinaryLabelmapRepresentationName()
_TOLERANCE = 1e-3
"""Of a voxel: what header rounding adds up to over a head."""
_MOST_NAMED = 8
"""Segments that a message names: a segmentation of a whole body has more than anybody reads."""


def mask_steps(node: Any, segment_id: str | None, references: Sequence[Volume]) -> Iterator[Volume | None]:
    """The mask of a labelmap node, or of one segment (``graded_segments`` where none is named).

    It is read segment by segment; the last thing yielded is the mask. It has voxels of its own: where the
    result is shown is looked up in them after the grading, in which somebody may have gone on drawing.
    Segments count whether they are shown or hidden. The mask comes on the grid of the first of the
    ``references`` on whose voxel centres the segmentation lies; otherwise on its own.

    Raises:
        CaseError: there is no such segment, or nothing is drawn.
    """
    if not node.IsA("vtkMRMLSegmentationNode"):
        volume = volume_of(node)
        yield replace(volume, array=volume.array.copy())
        return
    drawn = []
    for one in _labelmaps(node, _chosen(node, segment_id), references):
        if one is not None and one.array.any():
            drawn.append(one)
        yield None
    if not drawn:
        raise CaseError(
            _("nothing is drawn"),
            describe(node, segment_id),
            _("draw the tumour, or choose another segment"),
        )
    yield _united(drawn, references, shown_source(describe(node, segment_id)))


def describe(node: Any, segment_id: str | None) -> str:
    """The mask's name for people: SEGMENTATION, or SEGMENTATION / SEGMENT."""
    segment = node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    return f"{name_of(node)} / {name_of(segment)}" if segment else name_of(node)


def segments_of(node: Any) -> list[tuple[str, str]]:
    """(id, name) of the segments; none where the node is no segmentation."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return []
    segmentation = node.GetSegmentation()
    return [(one, name_of(segmentation.GetSegment(one))) for one in segmentation.GetSegmentIDs()]


def graded_segments(node: Any, segment_id: str | None) -> list[str]:
    """The ids of the segments that make up the mask; none where the node is no segmentation.

    Where none is chosen these are all but the ones that are no tumour by their names, as in a DICOM
    segmentation; all, where nothing would be left.
    """
    if segment_id:
        return [one for one, _name in segments_of(node) if one == segment_id]
    taken, left_out = _by_names(node)
    return [one for one, _name in taken or left_out]


def mask_notices(node: Any, segment_id: str | None) -> tuple[Notice, ...]:
    """What the reader of a result has to know of which segments were taken for the tumour."""
    if segment_id:
        return ()
    taken, left_out = _by_names(node)
    if not left_out:
        return ()
    names = _listed([name for _one, name in left_out])
    if not taken:
        text = _("no segment is a tumour by its name, and all count ({names}): check the segmentation")
        return (Notice("mask-segments-doubtful", text.format(names=names)),)
    text = _("segments that are no tumour by their names do not count: {names}")
    return (Notice("mask-segments-left-out", text.format(names=names)),)


def _by_names(node: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(id, name) of the segments that may be tumour, and of the others."""
    known = segments_of(node)
    others = [segment for segment in known if is_other_structure(segment[1])]
    return [segment for segment in known if segment not in others], others


def check_segment(node: Any, segment_id: str | None) -> None:
    """Refuses what is no id of a segment: its name, for one.

    Raises:
        CaseError: says which segments there are.
    """
    known = segments_of(node)
    if segment_id and known and segment_id not in dict(known):
        problem = _("there is no segment {segment}").format(segment=repr(segment_id))
        names = _listed([f"{one} = {name}" for one, name in known])
        remedy = _("choose one of its segments by its id ({segments})").format(segments=names)
        raise CaseError(problem, name_of(node), remedy)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + ", …" * (len(names) > _MOST_NAMED)


def _chosen(node: Any, segment_id: str | None) -> list[str]:
    if not segments_of(node):
        raise CaseError(_("there is no segment"), name_of(node), _("draw the tumour as a segment"))
    check_segment(node, segment_id)
    return graded_segments(node, segment_id)


def _labelmaps(node: Any, identifiers: list[str], references: Sequence[Volume]) -> Iterator[Volume | None]:
    """Each segment in world coordinates, on its own grid; None for an empty one."""
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(LABELMAP):
        segmentation = _converted(node, identifiers, _finest(references))
        yield None
    yield from (_labelmap(segmentation, node, one) for one in identifiers)


def _labelmap(segmentation: Any, node: Any, identifier: str) -> Volume | None:
    """A segment of the node's segmentation, or of a copy of it.

    Segments that do not overlap share one labelmap, in which each has a value of its own.
    """
    segment = segmentation.GetSegment(identifier)
    shared = segment.GetRepresentation(LABELMAP)
    if shared is None:
        raise CaseError(
            _("this segment cannot be read"),
            describe(node, identifier),
            _("save and load the segmentation"),
        )
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(shared)
    if min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        return None
    voxels = vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[:] = voxels == segment.GetLabelValue()
    apply_transforms(node, image)
    return oriented_volume(image, describe(node, identifier))


def _converted(node: Any, identifiers: list[str], reference: Volume) -> Any:
    """Closed surfaces drawn onto voxels like the reference's, in a copy: the user's node stays as it is."""
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(node.GetSegmentation().GetSourceRepresentationName())
    for one in identifiers:
        copy.CopySegmentFromSegmentation(node.GetSegmentation(), one)
    converter = slicer.vtkSegmentationConverter
    geometry = converter.SerializeImageGeometry(_oriented(reference))
    copy.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), geometry)
    if not copy.CreateRepresentation(LABELMAP):
        raise CaseError(
            _("this surface cannot be turned into voxels"),
            describe(node, identifiers[0] if len(identifiers) == 1 else None),
            _("create its binary labelmap in the Segmentations module"),
        )
    return copy


def _oriented(volume: Volume) -> Any:
    """The geometry of a Volume as a vtkOrientedImageData (RAS) without voxels."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(bound for size in volume.size for bound in (0, size - 1)))
    affine = LPS_FROM_RAS @ volume.affine
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    return image


def _united(parts: Sequence[Volume], references: Sequence[Volume], source: str) -> Volume:
    for grid in references:
        if all(_fits(part, grid) for part in parts):
            return _pasted(parts, grid, source)
    lattice = parts[0]
    if all(_offset(part, lattice) is not None for part in parts):
        return _pasted(parts, _around(parts, lattice), source)
    return _resampled(parts, _around(parts, _finest(parts)), source)


def _finest(volumes: Sequence[Volume]) -> Volume:
    """The one in which the least is lost: in thick slices a thin structure is none, or too thick."""
    return min(volumes, key=lambda volume: (max(volume.spacing), float(np.prod(volume.spacing))))


def _offset(part: Volume, grid: Volume) -> np.ndarray | None:
    """Where the part's first voxel lies on the grid (I, J, K); None where their voxels do not coincide."""
    relative = np.linalg.inv(grid.affine) @ part.affine
    if np.abs(relative[:3, :3] - np.eye(3)).max() * max(part.size) > _TOLERANCE * 10:
        return None
    shift = np.rint(relative[:3, 3])
    return shift.astype(int) if np.abs(relative[:3, 3] - shift).max() < _TOLERANCE * 10 else None


def _fits(part: Volume, grid: Volume) -> bool:
    offset = _offset(part, grid)
    return offset is not None and bool(
        (offset >= 0).all() and (offset + np.array(part.size) <= np.array(grid.size)).all()
    )


def _pasted(parts: Sequence[Volume], grid: Volume, source: str) -> Volume:
    array = np.zeros(grid.array.shape, np.uint8)
    for part in parts:
        offset = _offset(part, grid)
        assert offset is not None
        window = tuple(slice(o, o + n) for o, n in zip(offset[::-1], part.array.shape, strict=True))
        np.maximum(array[window], part.array != 0, out=array[window], casting="unsafe")
    return Volume(array, grid.spacing, grid.origin, grid.direction, source)


def _around(parts: Sequence[Volume], lattice: Volume) -> Volume:
    """A grid with the lattice's voxels around all parts; its array has no memory of its own."""
    inverse = np.linalg.inv(lattice.affine)
    corners = np.concatenate([part.corners for part in parts]) @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.floor(corners.min(axis=0) + 0.5 + _TOLERANCE * 20).astype(int)
    high = np.ceil(corners.max(axis=0) - 0.5 - _TOLERANCE * 20).astype(int)
    origin = (lattice.affine @ [*low, 1.0])[:3]
    array = np.broadcast_to(np.uint8(0), tuple((high - low + 1)[::-1]))
    return Volume(array, lattice.spacing, tuple(map(float, origin)), lattice.direction)  # type: ignore[arg-type]


def _resampled(parts: Sequence[Volume], grid: Volume, source: str) -> Volume:
    """Segments that were drawn on different grids, each voxel of the grid asking for the nearest of each."""
    array = np.zeros(grid.array.shape, np.uint8)
    reference = Volume(array, grid.spacing, grid.origin, grid.direction).toImage()
    for part in parts:
        image = Volume((part.array != 0).astype(np.uint8), part.spacing, part.origin, part.direction).toImage()
        found = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        np.maximum(array, sitk.GetArrayViewFromImage(found), out=array)
    return Volume(array, grid.spacing, grid.origin, grid.direction, source)
