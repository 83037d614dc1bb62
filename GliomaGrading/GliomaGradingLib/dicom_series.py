"""One DICOM series of a folder as a volume, refused where slices are missing or do not make a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import CaseError
from .imaging import Volume

_POSITION, _ORIENTATION = "0020|0032", "0020|0037"
_SLOPE, _INTERCEPT = "0028|1053", "0028|1052"
_MODALITY, _DESCRIPTION, _NUMBER = "0008|0060", "0008|103e", "0020|0011"


def series_in(folder: Path) -> tuple[str, ...]:
    """The identifiers of the DICOM series whose files lie in the folder itself."""
    if not any(_looks_like_dicom(path) for path in sorted(folder.iterdir())):
        return ()
    return tuple(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))


def read_series(folder: Path, series: Sequence[str]) -> Volume:
    """The only series of the folder, rescale slope and intercept applied.

    Raises:
        CaseError: there are several series, or the slices do not lie evenly behind each other.
    """
    if len(series) > 1:
        names = "; ".join(_describe(folder, uid) for uid in series)
        raise CaseError(
            f"there are {len(series)} DICOM series ({names})", folder, "put each in a folder of its own"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    headers = [_header(Path(name)) for name in files]
    if headers[0].get(_MODALITY, "").strip() == "SEG":
        raise CaseError("this is a DICOM segmentation object", folder, "export it as NIfTI, NRRD or MHA")
    if len(files) == 1:
        return _read_one(Path(files[0]), folder)
    _check_slices(folder, headers)
    return _read_slices(folder, files, headers)


def _looks_like_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")


def _header(path: Path) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise CaseError("this DICOM file cannot be read", path, "export the series again") from None
    wanted = (_POSITION, _ORIENTATION, _SLOPE, _INTERCEPT, _MODALITY, _DESCRIPTION, _NUMBER)
    tags = {key: reader.GetMetaData(key) for key in wanted if reader.HasMetaDataKey(key)}
    return {**tags, "size": str(reader.GetSize()[:2]), "components": str(reader.GetNumberOfComponents())}


def _describe(folder: Path, uid: str) -> str:
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
    header = _header(Path(files[0]))
    number = header.get(_NUMBER, "?").strip()
    return f"series {number} '{header.get(_DESCRIPTION, '').strip()}', {len(files)} files"


def _numbers(header: dict[str, str], key: str) -> np.ndarray:
    return np.array([float(x) for x in header.get(key, "").split("\\") if x.strip()])


def _check_slices(folder: Path, headers: Sequence[dict[str, str]]) -> None:
    if len({h["size"] for h in headers}) > 1:
        raise CaseError(
            "the slices of this series differ in size", folder, "remove localizers and derived images"
        )
    if headers[0]["components"] != "1":
        raise CaseError("the slices of this series are in colour", folder, "give the original grey series")
    orientations = [_numbers(h, _ORIENTATION) for h in headers]
    positions = [_numbers(h, _POSITION) for h in headers]
    if any(o.size != 6 for o in orientations) or any(p.size != 3 for p in positions):
        raise CaseError("slices have no position or orientation", folder, "export the series again")
    if max(np.abs(o - orientations[0]).max() for o in orientations) > 1e-3:
        raise CaseError("the slices of this series are not parallel", folder, "split it by orientation")
    _check_steps(folder, np.array(positions), np.cross(orientations[0][:3], orientations[0][3:]))


def _check_steps(folder: Path, positions: np.ndarray, normal: np.ndarray) -> None:
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    step = float(np.median(steps))
    if steps.min() < 1e-3:
        raise CaseError(
            "several slices of this series lie at the same place",
            folder,
            "it holds several volumes (echoes, time points): split it",
        )
    if np.abs(steps - step).max() > max(0.1 * step, 0.02):
        missing = int(np.rint(steps / step - 1).clip(0).sum())
        what = f"{missing} slices are missing" if missing else "the slices are not evenly spaced"
        raise CaseError(
            f"{what} ({steps.min():.2f} to {steps.max():.2f} mm apart)", folder, "export the whole series"
        )
    shifts = np.diff(positions[order], axis=0) - np.outer(steps, normal)
    if np.abs(shifts).max() > 0.02 * step + 0.01:
        raise CaseError(
            "the slices are shifted against each other (gantry tilt)", folder, "resample the series"
        )


def _read_slices(folder: Path, files: Sequence[str], headers: Sequence[dict[str, str]]) -> Volume:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(files)
    scales = {(h.get(_SLOPE, "1").strip(), h.get(_INTERCEPT, "0").strip()) for h in headers}
    if len(scales) > 1:  # ITK takes the pixel type of the first slice, which may be too narrow for the others
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError:
        raise CaseError("a slice of this series is damaged", folder, "export the series again") from None
    return Volume.fromImage(image, str(folder))


def _read_one(path: Path, folder: Path) -> Volume:
    from .imaging import _read_file

    layers = _read_file(path, "GDCMImageIO")
    if len(layers) != 1:
        raise CaseError(
            "this multi-frame file is no single grey volume", folder, "export it as NIfTI, NRRD or MHA"
        )
    return layers[0]
