"""Volumes to and from SimpleITK, through arrays."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

__all__ = ["PullVolumeFromSlicer", "PushVolumeToSlicer"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def PullVolumeFromSlicer(nodeObjectOrName):
    node = slicer.util.getNode(nodeObjectOrName) if isinstance(nodeObjectOrName, str) else nodeObjectOrName
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    lps = LPS @ slicer.util.arrayFromVTKMatrix(matrix)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(slicer.util.arrayFromVolume(node))
    image.SetSpacing([float(one) for one in spacing])
    image.SetOrigin([float(one) for one in lps[:3, 3]])
    image.SetDirection([float(one) for one in (lps[:3, :3] / spacing).ravel()])
    return image


def PushVolumeToSlicer(sitkimage, targetNode=None, name=None, className="vtkMRMLScalarVolumeNode"):
    node = targetNode or slicer.mrmlScene.AddNewNodeByClass(className, name or className)
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(sitkimage))
    lps = np.eye(4)
    lps[:3, :3] = np.array(sitkimage.GetDirection()).reshape(3, 3) * np.array(sitkimage.GetSpacing())
    lps[:3, 3] = sitkimage.GetOrigin()
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(LPS @ lps))
    return node
