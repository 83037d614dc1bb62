"""Volume nodes as Volumes in world coordinates, parent transforms included."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import CaseError
from ..volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_of(node: Any) -> Volume:
    """The voxels of a scalar volume or labelmap node, where its parent transforms put them.

    A linear transform changes the geometry alone, and the array is a view of the node's; others resample.

    Raises:
        CaseError: the node has no voxels, or they have no extent.
    """
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise CaseError(_("this volume has no voxels"), node.GetName(), _("load it again, or choose another"))
    to_world = linear_to_world(node)
    if to_world is None:
        return _resampled(node)
    affine = LPS_FROM_RAS @ to_world @ ijk_to_ras(node)
    spacing = (
        node.GetSpacing() if np.array_equal(to_world, np.eye(4)) else np.linalg.norm(affine[:3, :3], axis=0)
    )
    return volume_from(slicer.util.arrayFromVolume(node), affine, spacing, node.GetName())


def add_volume(volume: Volume, name: str, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    """A new node with a Volume's voxels where they lie in the patient; the array is copied."""
    return slicer.util.addVolumeFromArray(
        volume.array, ijkToRAS=LPS_FROM_RAS @ volume.affine, name=name, nodeClassName=kind
    )


def volume_from(array: np.ndarray, affine: np.ndarray, spacing: Any, source: str) -> Volume:
    """A Volume of an array (K, J, I) and its 4 x 4 matrix from (I, J, K) to LPS.

    Raises:
        CaseError: its voxels have no extent.
    """
    if not np.isfinite(affine).all() or not np.linalg.norm(affine[:3, :3], axis=0).all():
        raise CaseError(
            _("its spacing or its transform leaves its voxels without extent"),
            source,
            _("correct the spacing in the Volumes module, or the transform, and grade again"),
        )
    steps = tuple(float(value) for value in spacing)
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = affine[:3, :3] / steps
    return Volume(array, steps, tuple(map(float, affine[:3, 3])), direction, source)  # type: ignore[arg-type]


def linear_to_world(node: Any) -> np.ndarray | None:
    """The 4 x 4 matrix of all parent transforms (RAS); None where one of them is not linear."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def transform_matrix(node: Any) -> np.ndarray:
    """The 4 x 4 matrix of one linear transform (RAS), without its parents."""
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def oriented_volume(image: Any, source: str) -> Volume:
    """A vtkOrientedImageData (RAS) as a Volume; the extent need not start at 0."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = LPS_FROM_RAS @ slicer.util.arrayFromVTKMatrix(matrix)
    extent = image.GetExtent()
    affine[:3, 3] = (affine @ [extent[0], extent[2], extent[4], 1.0])[:3]
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return volume_from(array, affine, image.GetSpacing(), source)


def ijk_to_ras(node: Any) -> np.ndarray:
    """The 4 x 4 matrix of a volume node itself, without its transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _resampled(node: Any) -> Volume:
    """A copy that a non-linear transform has been applied to; the scene is left alone."""
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(node.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    is_smooth = not node.IsA("vtkMRMLLabelMapVolumeNode")
    if not logic.ApplyParentTransformToOrientedImageData(node, image, is_smooth):
        raise CaseError(
            _("its transform cannot be applied"),
            node.GetName(),
            _("harden the transform and grade again"),
        )
    return oriented_volume(image, node.GetName())
