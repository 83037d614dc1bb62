"""Volumes: an array, where it lies in the patient, and how to read one from a file or a folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume in patient coordinates.

    Args:
        array: (K, J, I) voxels as stored, any real or integer type.
        spacing: mm between voxels along I, J, K.
        origin: LPS position in mm of voxel (0, 0, 0).
        direction: 3 x 3; its columns are the unit vectors of I, J and K in LPS.
        source: the file, folder or node it came from, for messages.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    source: str = ""

    @classmethod
    def fromImage(cls, image: sitk.Image, source: str = "") -> Volume:
        return cls(
            array=sitk.GetArrayFromImage(image),
            spacing=tuple(image.GetSpacing()),
            origin=tuple(image.GetOrigin()),
            direction=np.asarray(image.GetDirection(), dtype=float).reshape(3, 3),
            source=source,
        )

    def toImage(self) -> sitk.Image:
        image = sitk.GetImageFromArray(self.array)
        image.SetSpacing(tuple(map(float, self.spacing)))
        image.SetOrigin(tuple(map(float, self.origin)))
        image.SetDirection(tuple(map(float, np.asarray(self.direction).ravel())))
        return image
