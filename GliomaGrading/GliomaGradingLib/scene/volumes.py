"""Volume nodes as Volumes in world coordinates, parent transforms included."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import CaseError
from ..preparation.background import background_value
from ..volume import Volume
from .names import name_of

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FLAT = 1e-6
"""Volume of a voxel whose edges are 1 long, below which its axes lie in one plane: nothing can be looked up."""


def volume_of(node: Any) -> Volume:
    """The voxels of a scalar volume or labelmap node, where its parent transforms put them.

    A linear transform changes the geometry alone, and the array is a view of the node's; others resample.
    The first voxel is the image's first: its extent need not start at 0.

    Raises:
        CaseError: the node has no voxels, or several values in each, or they have no extent.
    """
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise CaseError(_("this volume has no voxels"), name_of(node), _("load it again, or choose another"))
    if (count := components(node)) != 1:
        raise CaseError(
            _("this volume has {count} components").format(count=count),
            name_of(node),
            _("choose a volume with one, or make one in the Vector to Scalar Volume module"),
        )
    to_world = linear_to_world(node)
    if to_world is None:
        return _resampled(node)
    affine = _from_first_voxel(LPS_FROM_RAS @ to_world @ ijk_to_ras(node), node.GetImageData())
    is_plain = np.array_equal(to_world, np.eye(4))
    spacing = np.abs(node.GetSpacing()) if is_plain else np.linalg.norm(affine[:3, :3], axis=0)
    return volume_from(slicer.util.arrayFromVolume(node), affine, spacing, name_of(node))


def components(node: Any) -> int:
    """How many values each voxel of a volume node has: 3 in a picture in colours; 0 where there is no voxel."""
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    return int(scalars.GetNumberOfComponents()) if scalars is not None else 0


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
    if _is_flat(affine):
        raise CaseError(
            _("its spacing or its transform leaves its voxels without extent"),
            source,
            _("correct the spacing in the Volumes module, or the transform, and grade again"),
        )
    steps = tuple(float(value) for value in spacing)
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = affine[:3, :3] / steps
    origin = tuple(map(float, affine[:3, 3]))
    return Volume(array, steps, origin, direction, shown_source(source))  # type: ignore[arg-type]


def shown_source(name: str | None) -> str:
    """A node's name as a Volume's source, of which reports and warnings tell what follows the last slash."""
    return (name or "").replace("/", "-").replace("\\", "-")


def _is_flat(affine: np.ndarray) -> bool:
    """Whether voxels have no volume: an axis without length, or three axes in one plane."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not lengths.all():
        return True
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) < _FLAT)


def _from_first_voxel(affine: np.ndarray, image: Any) -> np.ndarray:
    """The matrix for indices that count from the first voxel of an image, of one for indices of its extent."""
    shifted = affine.copy()
    shifted[:3, 3] = (affine @ [*image.GetExtent()[0::2], 1.0])[:3]
    return shifted


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
    affine = _from_first_voxel(LPS_FROM_RAS @ slicer.util.arrayFromVTKMatrix(matrix), image)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return volume_from(array, affine, image.GetSpacing(), source)


def ijk_to_ras(node: Any) -> np.ndarray:
    """The 4 x 4 matrix of a volume node itself, without its transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def apply_transforms(node: Any, image: Any, is_smooth: bool = False, around: float = 0.0) -> None:
    """Brings a vtkOrientedImageData from the node's coordinates to the world.

    Args:
        is_smooth: whether voxels are interpolated where a transform is not linear.
        around: the value of voxels that nothing was moved to.

    Raises:
        CaseError: the transforms cannot be applied.
    """
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.ApplyParentTransformToOrientedImageData(node, image, is_smooth, [around] * 4):
        raise CaseError(
            _("its transform cannot be applied"),
            name_of(node),
            _("harden the transform and grade again"),
        )


def _resampled(node: Any) -> Volume:
    """A copy that a non-linear transform has been applied to; the scene is left alone."""
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(node.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    is_image = not node.IsA("vtkMRMLLabelMapVolumeNode")
    air = _air(slicer.util.arrayFromVolume(node)) if is_image else 0.0
    apply_transforms(node, image, is_image, air)
    volume = oriented_volume(image, name_of(node))
    if volume.array.dtype.kind == "f":  # what is between two voxels of air is air but for rounding in float64
        volume.array[np.isclose(volume.array, air, rtol=1e-9, atol=0)] = air
    return volume


def _air(array: np.ndarray) -> float:
    """The value around the head. Any other one around the image would count as a part of the head."""
    background = background_value(array)
    if background is not None:
        return background
    known = array[np.isfinite(array)]
    return float(np.percentile(known, 1)) if known.size else 0.0
