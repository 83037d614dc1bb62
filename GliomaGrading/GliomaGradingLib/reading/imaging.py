"""How a volume is read from a file or a folder, and what is repaired or refused in it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .. import coarse
from ..doubts import PLACELESS
from ..errors import CaseError
from ..result import Notice
from ..volume import SILENT_SHEAR, Volume
from . import nifti_check, text_headers
from .dicom_header import read_header, sop_class
from .dicom_lengths import check_lengths
from .dicom_segmentation import is_segmentation_file, read_segmentation
from .dicom_series import Series, find_series, only_series, read_series
from .nrrd_segments import tumour_layers

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
"""Endings of the files that a folder is searched for (lower case, longest first)."""

MAX_VOXELS = 600_000_000
"""About a whole head at 0.3 mm. A header that claims more is damaged, or not of a head."""

MAX_VALUE = 1e15
"""Beyond, sums of squares leave float32; no scanner gives such grey values."""

MAX_NONFINITE = 0.01
"""Share of NaN or infinite voxels up to which a volume is repaired rather than refused."""

_MAX_SHEAR = 0.02
"""Cosine between two axes (1 degree) beyond which a volume is refused."""

_CONFLICT_MM = 1.0
"""How far apart the two affines of a NIfTI file may place a corner: of rounding, not of another place."""

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
_HEADER_CHECKS = {
    "MetaImageIO": text_headers.check_meta_image,
    "NrrdImageIO": text_headers.check_nrrd,
    "GDCMImageIO": check_lengths,
}
"""What ITK would not survive, or takes all memory for."""

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
_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"
_environment = threading.Lock()
_one_at_a_time = threading.Lock()
"""Holds every file reader of ITK. Two threads in the library for HDF5 and MINC end the process, and where many
damaged files had been read before, two that read NIfTI did so once in some thousand cases."""
_registering = threading.Lock()


def make_readers_known() -> None:
    """Has ITK register its readers in one thread, and keep silent: processes aborted while four read files."""
    with _registering:
        _registered_readers()


@cache
def _registered_readers() -> tuple[str, ...]:
    sitk.ProcessObject.GlobalWarningDisplayOff()  # of all threads: not to be set while others read
    return tuple(sitk.ImageFileReader().GetRegisteredImageIOs())


def read_volume(path: str | os.PathLike[str] | Series) -> Volume:
    """Reads a scalar volume from a file that SimpleITK knows, a folder with one DICOM series, or a series.

    Raises:
        CaseError: there is no such file, it is damaged, or it holds no single scalar 3D volume.
    """
    if isinstance(path, Series):
        return finite(_read_dicom(path))
    layers = _read_layers(Path(path))
    if len(layers) > 1:
        raise CaseError(
            f"this volume has {len(layers)} frames or components, where one is needed",
            path,
            "choose one frame and save it alone",
        )
    return finite(layers[0])


def read_layers(path: str | os.PathLike[str], are_labels_chosen: bool = False) -> tuple[Volume, ...]:
    """Reads a mask: one Volume per layer (a ``.seg.nrrd`` with overlapping segments has several, a DICOM SEG
    has one for each segment).

    Args:
        are_labels_chosen: somebody has said which labels are tumour; otherwise segments that are none by their
            names are left out.

    Raises:
        CaseError: as ``read_volume``.
    """
    _check_readable(Path(path))
    if is_segmentation_file(Path(path)):
        return tuple(rectified(layer) for layer in read_segmentation(Path(path), are_labels_chosen))
    layers = tuple(finite(layer) for layer in _read_layers(Path(path)))
    return layers if are_labels_chosen else tumour_layers(Path(layers[0].source), layers)


def volume_suffix(path: Path) -> str:
    """The ending that makes it a volume file (``.nii.gz`` ...), or ''."""
    name = path.name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES if name.endswith(suffix)), "")


def finite(volume: Volume) -> Volume:
    """The volume without NaN and infinity: few are replaced by its background, many are refused.

    Raises:
        CaseError: more than ``MAX_NONFINITE`` of the voxels are no numbers.
    """
    if volume.array.dtype.kind != "f":
        return volume
    with np.errstate(over="ignore", invalid="ignore"):  # numpy would warn beside the one error line
        total = volume.array.sum(dtype=np.float64)
    if np.isfinite(total):  # a sum is finite only if all of its terms are
        return _of_usual_size(volume)
    good = np.isfinite(volume.array)
    bad = int(good.size - np.count_nonzero(good))
    if bad == 0:
        return _of_usual_size(volume)
    if bad > MAX_NONFINITE * good.size:
        raise CaseError(
            f"{100 * bad / good.size:.1f} % of the voxels are NaN or infinite",
            volume.source,
            "set them to 0 (where they are the background), or export the volume again",
        )
    notice = Notice(
        "non-finite-voxels", f"{bad} NaN or infinite voxels in {_shown(volume)} were set to its background"
    )
    array = np.where(good, volume.array, coarse.background(volume.array).astype(volume.array.dtype))
    return _of_usual_size(replace(volume, array=array, warnings=(*volume.warnings, notice)))


def _of_usual_size(volume: Volume) -> Volume:
    """The volume itself; numbers whose squares have no place in float32 are no grey values."""
    largest = max(float(volume.array.max()), -float(volume.array.min()))
    if largest > MAX_VALUE:
        raise CaseError(
            f"it has values up to {largest:.3g}", volume.source, "export it again with values below 1e15"
        )
    return volume


def rectified(volume: Volume) -> Volume:
    """The volume with axes at right angles; a shear of up to about 1 degree is taken out, more is refused.

    Raises:
        CaseError: spacing or directions are impossible, or the axes are sheared.
    """
    _check_geometry(volume.spacing, volume.origin, volume.direction, volume.source)
    shear = float(np.abs(volume.direction.T @ volume.direction - np.eye(3)).max())
    if shear <= SILENT_SHEAR:
        return volume
    u, _, vt = np.linalg.svd(volume.direction)
    notice = Notice(
        "sheared-axes", f"the axes of {_shown(volume)} are not at right angles; the nearest rotation is used"
    )
    return replace(volume, direction=u @ vt, warnings=(*volume.warnings, notice))


def _shown(volume: Volume) -> str:
    """What a warning calls a volume: results are passed on, and folders may be named after patients."""
    return "a DICOM volume" if volume.files else Path(volume.source).name or "a volume"


def _read_layers(path: Path) -> tuple[Volume, ...]:
    make_readers_known()
    _check_readable(path)
    if path.is_dir():
        return _read_folder(path)
    suffix = volume_suffix(path) or path.suffix.lower()
    if not volume_suffix(path) and sop_class(path):
        return (_read_dicom(Series(path, (read_header(path),))),)
    if header := nifti_check.header_beside(path):  # only what is read by its header is checked
        return _read_layers(header)
    if suffix in (".nii", ".nii.gz", ".hdr"):
        return _read_nifti(path)
    return _read_file(path, _READERS.get(suffix, ""))


def _check_readable(path: Path) -> None:
    try:
        str(path).encode("utf-8")  # ITK ends the process on a name that is no UTF-8
        if path.is_dir():
            next(path.iterdir(), None)
        elif not stat.S_ISREG((status := path.stat()).st_mode):
            raise CaseError("this is no file but a device or a pipe", path, "give a file or a folder")
        elif status.st_size == 0:
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
    except ValueError:
        raise CaseError("the path has characters that are no text", path, "rename the file") from None


def _read_folder(folder: Path) -> tuple[Volume, ...]:
    series = find_series(folder).series
    if series:
        return (_read_dicom(only_series(folder, series)),)
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


def _read_dicom(series: Series) -> Volume:
    _check_voxels(series.folder, int(np.prod([float(n) for n in (*series.first.size, series.images)])))
    try:
        volume = read_series(series)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        problem = f"the header is damaged ({reason})"
        raise CaseError(problem, series.folder, "export the series again") from error
    _check_geometry(volume.spacing, volume.origin, volume.direction, volume.source)
    return rectified(volume)


def _read_nifti(path: Path) -> tuple[Volume, ...]:
    if path.suffix.lower() == ".nii" and nifti_check.is_gzip(path):
        raise CaseError("this file is compressed, but named .nii", path, "rename it to end in .nii.gz")
    nifti_check.check_ending(path, volume_suffix(path))
    header = nifti_check.read_header(path)
    voxels = int(np.prod([float(n) for n in header.dim]))
    _check_voxels(path, voxels)
    nifti_check.check_complete(path, header)
    sheared = header.sform_code > 0 and header.shear > 1e-6
    if sheared and header.qform_code <= 0 and header.shear > _MAX_SHEAR:
        raise _sheared(path)
    nifti_check.check_sizes(path, header)
    with _reading_sheared(header.qform_code <= 0) if sheared else contextlib.nullcontext():
        layers = _read_file(path, "NiftiImageIO")
    return tuple(replace(v, warnings=(*v.warnings, *_nifti_notices(path, header, v))) for v in layers)


def _nifti_notices(path: Path, header: nifti_check.NiftiHeader, volume: Volume) -> Iterator[Notice]:
    if header.sform_code <= 0 and header.qform_code <= 0:
        yield Notice(
            PLACELESS,
            f"{path.name} has no orientation (no sform, no qform): it was taken for axial",
        )
    elif header.is_singular:
        yield Notice("orientation-conflict", f"the sform of {path.name} is empty; its qform is used instead")
    elif header.sform_code > 0 and header.shear > SILENT_SHEAR:
        used = "its qform is used instead" if header.qform_code > 0 else "the nearest rotation is used"
        yield Notice("sheared-axes", f"the affine of {path.name} is sheared; {used}")
    elif header.sform_code > 0 and header.qform_code > 0:
        yield from _conflict(path, header, volume)


def _conflict(path: Path, header: nifti_check.NiftiHeader, volume: Volume) -> Iterator[Notice]:
    """Where the two affines of a header contradict each other: which of them the volume lies by."""
    by_sform, by_qform = header.corners(header.sform), header.corners(header.qform)
    apart = _farthest(by_sform, by_qform)
    if apart > _CONFLICT_MM:
        used = "sform" if _farthest(volume.corners, by_sform) < _farthest(volume.corners, by_qform) else "qform"
        yield Notice(
            "orientation-conflict",
            f"the two affines of {path.name} place it up to {apart:.0f} mm apart; its {used} is used, as in "
            "Slicer (SPM, FSL and nibabel take the sform)",
        )


def _farthest(corners: np.ndarray, others: np.ndarray) -> float:
    return float(np.linalg.norm(corners - others, axis=1).max())


@contextlib.contextmanager
def _reading_sheared(isRotationTaken: bool) -> Iterator[None]:
    """Reads files with a sheared sform one at a time, since the environment says what ITK makes of them.

    Args:
        isRotationTaken: the rotation nearest to the sform, where ITK would refuse the file; else, as without
            this variable, its qform.
    """
    with _environment:
        before = os.environ.pop(_PERMISSIVE, None)
        if isRotationTaken:
            os.environ[_PERMISSIVE] = "1"
        try:
            yield
        finally:
            os.environ.pop(_PERMISSIVE, None)
            if before is not None:
                os.environ[_PERMISSIVE] = before


def _read_file(path: Path, image_io: str) -> tuple[Volume, ...]:
    if image_io in _HEADER_CHECKS:
        _HEADER_CHECKS[image_io](path)
    try:
        with _one_at_a_time:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.SetImageIO(image_io)
            reader.ReadImageInformation()
            _check_header(path, reader)
            image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from None
    notices = _orientation_notices(path, image_io)
    return tuple(
        rectified(replace(Volume.fromImage(layer, str(path)), warnings=notices))
        for layer in _layers(path, image)
    )


def _orientation_notices(path: Path, image_io: str) -> tuple[Notice, ...]:
    if image_io not in ("NrrdImageIO", "MetaImageIO") or text_headers.has_orientation(path):
        return ()
    field = "no space of a patient" if image_io == "NrrdImageIO" else "no TransformMatrix, no Offset"
    return (Notice(PLACELESS, f"{path.name} has no orientation ({field}): it was taken for axial"),)


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
    there = sum(file.stat().st_size for file in (path, *text_headers.data_files(path)))
    with path.open("rb") as stream:
        head = stream.read(1 << 16).lower()
    plain = b"elementdatafile = local" in head and b"compresseddata = true" not in head
    if expected > there * (1.0 if plain else 1100.0):
        raise CaseError(
            f"the file is cut off: its header claims {voxels:.4g} voxels", path, "copy or export it again"
        )


def _check_geometry(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray, source: str
) -> None:
    remedy = "repair the header, or export the volume again"
    if not np.isfinite(spacing).all() or not 1e-3 <= min(spacing) <= max(spacing) <= 1e3:
        raise CaseError(f"the voxel size {tuple(spacing)} mm is impossible", source, remedy)
    if not np.abs(origin).max() <= 1e6 or not np.isfinite(direction).all():
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
