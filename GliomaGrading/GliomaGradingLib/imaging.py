"""Volumes: an array, where it lies in the patient, and how to read one from a file or a folder."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from . import nifti_check
from .errors import CaseError
from .result import Notice

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
"""Endings of the files that a folder is searched for (lower case, longest first)."""

MAX_VOXELS = 600_000_000
"""About a whole head at 0.3 mm. A header that claims more is damaged, or not of a head."""

MAX_NONFINITE = 0.01
"""Share of NaN or infinite voxels up to which a volume is repaired rather than refused."""

_SILENT_SHEAR, _MAX_SHEAR = 1e-3, 0.02
"""Cosine between two axes: below the first it is rounding, beyond the second (1 degree) it is refused."""

_READERS = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".hdr": "NiftiImageIO",
    ".seg.nrrd": "NrrdImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".dcm": "GDCMImageIO",
}
_ATTACHED = (".nrrd", ".seg.nrrd", ".mha")
_EXPORT = "export it as NIfTI, NRRD or MHA"
_BYTES = {
    getattr(sitk, f"{kind}{name}"): size
    for kind in ("sitk", "sitkVector")
    for name, size in {
        "Int16": 2,
        "UInt16": 2,
        "Int32": 4,
        "UInt32": 4,
        "Float32": 4,
        "Int64": 8,
        "Float64": 8,
    }.items()
}
_environment = threading.Lock()


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume in patient coordinates.

    Args:
        array: (K, J, I) voxels as stored, any real or integer type.
        spacing: mm between voxels along I, J, K.
        origin: LPS position in mm of voxel (0, 0, 0).
        direction: 3 x 3; its columns are the unit vectors of I, J and K in LPS.
        source: the file, folder or node it came from, for messages.
        warnings: what was noticed while it was read.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    source: str = ""
    warnings: tuple[Notice, ...] = ()

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
        affine = (np.asarray(transform)[:, :, None] * self.affine[None]).sum(axis=1)
        return replace(
            self,
            origin=(float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3])),
            direction=affine[:3, :3] / np.asarray(self.spacing),
        )


def itk_array(array: np.ndarray) -> np.ndarray:
    """The array in a type that ITK has: bool as uint8, half float as float32, long double as float64."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Reads a scalar volume from a file that SimpleITK knows, or from a folder with one DICOM series.

    Raises:
        CaseError: there is no such file, it is damaged, or it holds no single scalar 3D volume.
    """
    layers = _read_layers(Path(path))
    if len(layers) > 1:
        raise CaseError(
            f"this volume has {len(layers)} frames or components, where one is needed",
            path,
            "choose one frame and save it alone",
        )
    return finite(layers[0])


def read_layers(path: str | os.PathLike[str]) -> tuple[Volume, ...]:
    """Reads a mask as stored: one Volume per layer (a ``.seg.nrrd`` with overlapping segments has several).

    Raises:
        CaseError: as ``read_volume``.
    """
    return tuple(finite(layer) for layer in _read_layers(Path(path)))


def volume_suffix(path: Path) -> str:
    """The ending that makes it a volume file (``.nii.gz`` ...), or ''."""
    name = path.name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES if name.endswith(suffix)), "")


def finite(volume: Volume) -> Volume:
    """The volume without NaN and infinity: few are replaced by its smallest value, many are refused.

    Raises:
        CaseError: more than ``MAX_NONFINITE`` of the voxels are no numbers.
    """
    if volume.array.dtype.kind != "f" or np.isfinite(volume.array.sum(dtype=np.float64)):
        return volume  # a sum is finite only if all of its terms are
    good = np.isfinite(volume.array)
    bad = int(good.size - np.count_nonzero(good))
    if bad == 0:
        return volume
    if bad > MAX_NONFINITE * good.size:
        raise CaseError(
            f"{100 * bad / good.size:.1f} % of the voxels are NaN or infinite",
            volume.source,
            "set them to 0 (where they are the background), or export the volume again",
        )
    notice = Notice(
        "non-finite-voxels", f"{bad} NaN or infinite voxels in {volume.source} were set to its minimum"
    )
    array = np.where(good, volume.array, volume.array[good].min())
    return replace(volume, array=array, warnings=(*volume.warnings, notice))


def rectified(volume: Volume) -> Volume:
    """The volume with axes at right angles; a shear of up to about 1 degree is taken out, more is refused.

    Raises:
        CaseError: spacing or directions are impossible, or the axes are sheared.
    """
    _check_geometry(volume.spacing, volume.origin, volume.direction, volume.source)
    shear = float(np.abs(volume.direction.T @ volume.direction - np.eye(3)).max())
    if shear <= _SILENT_SHEAR:
        return volume
    u, _, vt = np.linalg.svd(volume.direction)
    notice = Notice(
        "sheared-axes", f"the axes of {volume.source} are not at right angles; the nearest rotation is used"
    )
    return replace(volume, direction=u @ vt, warnings=(*volume.warnings, notice))


def _read_layers(path: Path) -> tuple[Volume, ...]:
    sitk.ProcessObject.GlobalWarningDisplayOff()
    _check_readable(path)
    if path.is_dir():
        return _read_folder(path)
    suffix = volume_suffix(path) or path.suffix.lower()
    if suffix in (".nii", ".nii.gz", ".hdr"):
        return _read_nifti(path)
    return _read_file(path, _READERS.get(suffix, ""))


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif path.stat().st_size == 0:
            raise CaseError("the file is empty", path, "copy or export it again")
        else:
            with path.open("rb") as stream:
                stream.read(1)
    except FileNotFoundError:
        raise CaseError("there is no such file or folder", path, "check the path") from None
    except PermissionError:
        raise CaseError("no permission to read it", path, "change its permissions, or copy it") from None
    except OSError as error:
        raise CaseError(
            f"it cannot be read ({error.strerror or error})", path, "check the disk and the path"
        ) from None


def _read_folder(folder: Path) -> tuple[Volume, ...]:
    from .dicom_series import read_series, series_in

    series = series_in(folder)
    if series:
        return (rectified(read_series(folder, series)),)
    files = sorted(
        p for p in folder.iterdir() if p.is_file() and volume_suffix(p) and not p.name.startswith(".")
    )
    if len(files) == 1:
        return _read_layers(files[0])
    if files:
        names = ", ".join(p.name for p in files[:4])
        raise CaseError(f"there are {len(files)} volumes ({names} ...)", folder, "name one of the files")
    raise CaseError(
        "there is no DICOM series and no volume", folder, "name a file, or a folder with one series"
    )


def _read_nifti(path: Path) -> tuple[Volume, ...]:
    if path.suffix.lower() == ".nii" and nifti_check._is_gzip(path):
        raise CaseError("this file is compressed, but named .nii", path, "rename it to end in .nii.gz")
    header = nifti_check.read_header(path)
    voxels = int(np.prod([float(n) for n in header.dim]))
    _check_voxels(path, voxels)
    nifti_check.check_complete(path, header)
    sheared = header.sform_code > 0 and header.shear > 1e-6
    if sheared and header.qform_code <= 0 and header.shear > _MAX_SHEAR:
        raise _sheared(path)
    with _permissive_sform() if sheared and header.qform_code <= 0 else contextlib.nullcontext():
        layers = _read_file(path, "NiftiImageIO")
    return tuple(replace(v, warnings=(*v.warnings, *_nifti_notices(path, header))) for v in layers)


def _nifti_notices(path: Path, header: nifti_check.NiftiHeader) -> Iterator[Notice]:
    if header.sform_code <= 0 and header.qform_code <= 0:
        yield Notice(
            "orientation-unknown", f"{path} has no orientation (no sform, no qform): it was taken for axial"
        )
    elif header.sform_code > 0 and header.shear > _SILENT_SHEAR:
        used = "its qform is used instead" if header.qform_code > 0 else "the nearest rotation is used"
        yield Notice("sheared-axes", f"the affine of {path} is sheared; {used}")


@contextlib.contextmanager
def _permissive_sform() -> Iterator[None]:
    """ITK refuses the slightest shear in an sform, unless the environment has it take the rotation."""
    with _environment:
        before = os.environ.get("ITK_NIFTI_SFORM_PERMISSIVE")
        os.environ["ITK_NIFTI_SFORM_PERMISSIVE"] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ["ITK_NIFTI_SFORM_PERMISSIVE"]
            else:
                os.environ["ITK_NIFTI_SFORM_PERMISSIVE"] = before


def _read_file(path: Path, image_io: str) -> tuple[Volume, ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(image_io)
    try:
        reader.ReadImageInformation()
        _check_header(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from None
    notices = _nrrd_notices(path, reader, image_io)
    return tuple(
        rectified(replace(Volume.fromImage(layer, str(path)), warnings=notices))
        for layer in _layers(path, image)
    )


def _nrrd_notices(path: Path, reader: sitk.ImageFileReader, image_io: str) -> tuple[Notice, ...]:
    if image_io != "NrrdImageIO" or reader.HasMetaDataKey("NRRD_space"):
        return ()
    return (
        Notice("orientation-unknown", f"{path} has no orientation (no space field): it was taken for axial"),
    )


def _check_header(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuses what cannot be a volume before a voxel of it is read."""
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise CaseError("the voxels are complex numbers", path, "save the magnitude image")
    if reader.HasMetaDataKey("0008|0060") and reader.GetMetaData("0008|0060").strip() == "SEG":
        raise CaseError("this is a DICOM segmentation object", path, _EXPORT)
    if len(size) < 3 or sum(n > 1 for n in size) < 3:
        raise CaseError(
            "this is one 2D image, not a volume", path, "give the volume, or the folder of the series"
        )
    _check_voxels(path, int(np.prod([float(n) for n in (*size, components)])))
    _check_plausible(path, float(np.prod([float(n) for n in (*size, components)])), reader.GetPixelID())
    direction = np.asarray(reader.GetDirection(), dtype=float).reshape(len(size), len(size))[:3, :3]
    _check_geometry(reader.GetSpacing()[:3], reader.GetOrigin()[:3], direction, str(path))


def _check_voxels(path: Path, voxels: int) -> None:
    if voxels > MAX_VOXELS:
        raise CaseError(
            f"the header claims {voxels:.3g} voxels",
            path,
            "export it again; a head at 0.3 mm has at most 6e8",
        )


def _check_plausible(path: Path, voxels: float, pixel_id: int) -> None:
    """Compression gains a factor of about 1000 at most, so a tiny file holds no large volume."""
    if volume_suffix(path) not in _ATTACHED:
        return
    expected = voxels * _BYTES.get(pixel_id, 1)
    with path.open("rb") as stream:
        head = stream.read(1 << 16).lower()
    plain = b"elementdatafile = local" in head and b"compresseddata = true" not in head
    if expected > path.stat().st_size * (1.0 if plain else 1100.0):
        raise CaseError(
            f"the file is cut off: its header claims {voxels:.4g} voxels", path, "copy or export it again"
        )


def _check_geometry(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray, source: str
) -> None:
    remedy = "repair the header, or export the volume again"
    if not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise CaseError(f"the voxel size {tuple(spacing)} mm is impossible", source, remedy)
    if not np.isfinite(origin).all() or not np.isfinite(direction).all():
        raise CaseError("the position or orientation is not a number", source, remedy)
    if abs(np.linalg.det(direction)) < 1e-3:
        raise CaseError("the directions of the axes are singular", source, remedy)
    if np.abs(direction.T @ direction - np.eye(3)).max() > _MAX_SHEAR:
        raise _sheared(source)


def _sheared(path: object) -> CaseError:
    return CaseError(
        "the axes are not at right angles (sheared)", path, "resample it onto a grid without shear"
    )


def _layers(path: Path, image: sitk.Image) -> list[sitk.Image]:
    """Scalar 3D images: the components of a vector image, the frames of a 4D one."""
    if image.GetDimension() > 4:
        raise CaseError(f"this volume has {image.GetDimension()} dimensions", path, "save one 3D volume of it")
    frames = [image] if image.GetDimension() == 3 else [image[:, :, :, t] for t in range(image.GetSize()[3])]
    if "vector" not in image.GetPixelIDTypeAsString():
        return frames
    count = image.GetNumberOfComponentsPerPixel()
    return [sitk.VectorIndexSelectionCast(frame, c) for frame in frames for c in range(count)]


def _unreadable(path: Path, message: str) -> CaseError:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "")
    reason = re.sub(r"^\w+\(0x\w+\): ", "", reason.split("ERROR:")[-1].strip()).rstrip(".: ")
    if "Unable to determine ImageIO" in message:
        return CaseError("this is not an image that can be read", path, f"{_EXPORT}, or give a DICOM folder")
    if "spacing" in reason.lower() or "direction" in reason.lower():
        return CaseError(
            "the voxel size or the axes are impossible", path, "repair the header, or export it again"
        )
    return CaseError(f"it cannot be read ({reason[:160]})", path, f"copy it again, or {_EXPORT}")
