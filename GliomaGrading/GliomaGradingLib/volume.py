"""A volume: an array, and where it lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from .result import Notice

SILENT_SHEAR = 1e-3
"""Cosine between two axes up to which it is rounding, and nothing is said of it."""

LEAST_VALUE = 1e-30
"""Below, what grey values are divided by has no place in float32; no scanner gives such values."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume in patient coordinates.

    Args:
        array: (K, J, I) voxels as stored, any real or integer type; not to be changed while the volume is
            in use, since what was found in it is remembered.
        spacing: mm between voxels along I, J, K.
        origin: LPS position in mm of voxel (0, 0, 0).
        direction: 3 x 3; its columns are the unit vectors of I, J and K in LPS.
        source: the file, folder or node it came from, for messages.
        warnings: what was noticed while it was read.
        files: the DICOM files it was read from; empty where it came from elsewhere.
        motion: 4 x 4 LPS, from where its files say that it lies to where it lies; None where that is the same.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    source: str = ""
    warnings: tuple[Notice, ...] = ()
    files: tuple[str, ...] = ()
    motion: np.ndarray | None = None

    @classmethod
    def fromImage(cls, image: sitk.Image, source: str = "") -> Volume:
        """SimpleITK's image; ``source`` is the file that it came from, for messages."""
        return cls(
            array=sitk.GetArrayFromImage(image),
            spacing=tuple(image.GetSpacing()),
            origin=tuple(image.GetOrigin()),
            direction=np.asarray(image.GetDirection(), dtype=float).reshape(3, 3),
            source=source,
        )

    def toImage(self) -> sitk.Image:
        """The same as SimpleITK's image, its voxels a copy."""
        image = sitk.GetImageFromArray(itk_array(self.array))
        image.SetSpacing(tuple(map(float, self.spacing)))
        image.SetOrigin(tuple(map(float, self.origin)))
        image.SetDirection(tuple(map(float, np.asarray(self.direction).ravel())))
        return image

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along I, J and K."""
        k, j, i = self.array.shape
        return i, j, k

    @property
    def affine(self) -> np.ndarray:
        """4 x 4 matrix from a voxel index (I, J, K, 1) to its LPS position in mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def corners(self) -> np.ndarray:
        """(8, 3) LPS positions of the outer corners of the corner voxels."""
        index = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.size])).reshape(3, 8).T
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def moved(self, transform: np.ndarray) -> Volume:
        """The same voxels elsewhere: a rigid 4 x 4 LPS transform is put before its geometry."""
        # no BLAS: its last digits vary between processes, and a result must not
        transform = np.asarray(transform)
        affine = (transform[:, :, None] * self.affine[None]).sum(axis=1)
        return replace(
            self,
            origin=(float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3])),
            direction=affine[:3, :3] / np.asarray(self.spacing),
            motion=transform if self.motion is None else transform @ self.motion,
        )


def itk_array(array: np.ndarray) -> np.ndarray:
    """The array in a type that ITK has: bool as uint8, half float as float32, long double as float64."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
