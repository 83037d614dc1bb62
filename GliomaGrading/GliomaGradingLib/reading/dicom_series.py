"""DICOM series: which there are in a folder, and one of them as a volume.

A series is refused where slices are missing, lie at the same place or do not make a grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..errors import CaseError
from ..result import Notice
from ..volume import SILENT_SHEAR, Volume
from .dicom_header import (
    SEGMENTATION,
    Header,
    full_header,
    is_dicom,
    lacks_pixels,
    read_header,
    what_is_no_image,
)
from .files_below import files_below

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_FILES = 50_000
"""More files than any study has: a folder above it was given by mistake."""

_AGAIN = "export the whole series again"
_SAME_SPACING = 1e-3
"""Share of the pixel spacing by which it may differ between slices: it is written as text, with few digits."""


@dataclass(frozen=True, eq=False)
class Series:
    """Image files of one series, copies of the same image left out.

    Args:
        folder: where it was looked for; for messages.
        headers: of the files, in no order that means anything.
        copies: how many files were left out because they hold an image that is there already.
    """

    folder: Path
    headers: tuple[Header, ...]
    copies: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(header.path for header in self.headers)

    @property
    def first(self) -> Header:
        return self.headers[0]

    @property
    def images(self) -> int:
        """Slices, whether in a file each or in the frames of one."""
        return sum(header.frames for header in self.headers)

    @property
    def number(self) -> str:
        return self.first.text("SeriesNumber") or "?"

    def describe(self) -> str:
        """For the screen, and not for what is kept: number, description (free text) and size."""
        return f"series {self.number} '{self.first.text('SeriesDescription')}', {self.size}"

    @property
    def size(self) -> str:
        return f"{len(self.files)} files" if len(self.files) > 1 else f"{self.images} frames"


@dataclass(frozen=True, eq=False)
class Found:
    """The series of a folder, and its DICOM objects that are no images (path, what they are)."""

    series: tuple[Series, ...] = ()
    others: tuple[tuple[Path, str], ...] = ()

    @property
    def images(self) -> list[Series]:
        """The series that are no segmentations."""
        return [series for series in self.series if not is_segmentation(series.first)]


def find_series(folder: Path, is_deep: bool = False) -> Found:
    """The series whose files lie in the folder itself, or anywhere below it.

    Raises:
        CaseError: a file that should be an image cannot be read, or there are far too many files.
    """
    by_uid: dict[str, list[Header]] = {}
    others = []
    for path in dicom_files(folder, is_deep):
        what = what_is_no_image(path)
        header = None if what else _header(path)
        if header is None:
            others.append((path, what or "object without pixels"))
        else:
            by_uid.setdefault(header.text("SeriesInstanceUID"), []).append(header)
    return Found(tuple(_without_copies(folder, headers) for headers in by_uid.values()), tuple(others))


def _header(path: Path) -> Header | None:
    """An image's header; None for what has no pixels and is no image. A damaged image is an error."""
    try:
        return read_header(path)
    except CaseError:
        if lacks_pixels(path):
            return None
        raise


def dicom_files(folder: Path, is_deep: bool = False) -> Iterator[Path]:
    """The DICOM files in the folder, sorted; hidden files and folders are left out."""
    paths = []
    for path in files_below(folder) if is_deep else folder.iterdir():
        paths.append(path)
        if len(paths) > MAX_FILES:
            raise CaseError(
                f"there are more than {MAX_FILES} files below it", folder, "give the folder of one study"
            )
    for path in sorted(paths):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and is_dicom(path):
            yield path


def only_series(folder: Path, series: Sequence[Series]) -> Series:
    """The series of a folder that has one.

    Raises:
        CaseError: there are several.
    """
    if len(series) > 1:
        names = "; ".join(f"series {one.number}, {one.size}" for one in series)
        raise CaseError(
            f"there are {len(series)} DICOM series ({names})", folder, "put each in a folder of its own"
        )
    return series[0]


def check_series(series: Series) -> None:
    """The checks of ``read_series`` for which headers are enough.

    Raises:
        CaseError: as ``read_series``, but for damaged pixels.
    """
    _check_image(series)
    if len(series.files) == 1:
        _frame_order(series)
    else:
        _sorted(series)


def slice_places(series: Series) -> list[np.ndarray]:
    """(3,) LPS mm of every slice, in a file each or in the frames of one; without those that do not say."""
    places = [header.position for header in series.headers]
    if len(series.files) == 1 and series.first.frames > 1:
        path = series.files[0]
        try:
            places = _frame_places(full_header(path), path)[0]
        except (CaseError, AttributeError, TypeError, ValueError):
            return []  # reading it says what is wrong
    return [place for place in places if place.size == 3]


def read_series(series: Series) -> Volume:
    """The series as a volume, rescale slope and intercept applied.

    Raises:
        CaseError: it is a segmentation, its slices do not lie evenly behind each other, or one is damaged.
    """
    _check_image(series)
    volume = _read_frames(series) if len(series.files) == 1 else _read_slices(series)
    files = tuple(str(path) for path in series.files)
    return replace(volume, files=files, warnings=(*volume.warnings, *_copies_notice(series)))


def _check_image(series: Series) -> None:
    if is_segmentation(series.first):
        raise CaseError(
            "this is a DICOM segmentation object", series.folder, "give it as the mask, not as an image"
        )


def is_segmentation(header: Header) -> bool:
    return header.text("Modality") == "SEG" or header.text("SOPClassUID") == SEGMENTATION


def split(series: Series) -> tuple[Series, ...]:
    """A series by orientation, image size and echo time: the volumes that are in it."""
    parts: dict[Any, list[Header]] = {}
    for header in series.headers:
        key = (header.size, tuple(np.round(header.orientation, 2) + 0.0), header.text("EchoTime"))
        parts.setdefault(key, []).append(header)
    return tuple(replace(series, headers=tuple(part)) for part in parts.values())


def _without_copies(folder: Path, headers: Sequence[Header]) -> Series:
    unique = {_identity(header): header for header in reversed(headers)}
    kept = tuple(reversed(unique.values()))
    return Series(folder, kept, len(headers) - len(kept))


def _identity(header: Header) -> Any:
    """What copies of an image share: more than its UID, which careless anonymisers give to several images."""
    uid = header.text("SOPInstanceUID")
    place = tuple(np.round([*header.position, *header.orientation], 2) + 0.0)
    return (uid, place, header.text("EchoTime")) if uid else str(header.path)


def _copies_notice(series: Series) -> tuple[Notice, ...]:
    if not series.copies:
        return ()
    text = f"{series.copies} files of series {series.number} are copies of others of it and were left out"
    return (Notice("dicom-copies", text),)


def _read_slices(series: Series) -> Volume:
    headers = _sorted(series)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(header.path) for header in headers])
    scales = {(h.text("RescaleSlope") or "1", h.text("RescaleIntercept") or "0") for h in headers}
    types = {header.pixel_type for header in headers}
    if len(scales) > 1 or len(types) > 1:  # ITK takes the first slice's, which may be too narrow for the others
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError:
        raise CaseError(
            "a slice of this series is damaged or compressed in a way that cannot be read",
            series.folder,
            "export the series again, uncompressed",
        ) from None
    volume = Volume.fromImage(image, str(series.folder))
    notices = _tilt(series, headers[-1].position - headers[0].position, headers[0].orientation)
    return replace(volume, warnings=notices)


def _tilt(series: Series, ends: np.ndarray, orientation: np.ndarray) -> tuple[Notice, ...]:
    """What is said of slices that do not lie straight behind each other.

    Args:
        ends: (3,) mm from the first slice to the last.
    """
    normal = _normal(orientation)
    aside = float(np.linalg.norm(ends - (ends @ normal) * normal))
    if aside <= SILENT_SHEAR * float(np.linalg.norm(ends)):
        return ()
    text = (
        f"the slices of series {series.number} are shifted against each other, by {aside:.1f} mm from the first"
    )
    return (Notice("sheared-axes", f"{text} to the last; they are taken to lie straight behind each other"),)


def _sorted(series: Series) -> list[Header]:
    """The slices in the order of their positions, all checks done."""
    headers, folder = series.headers, series.folder
    if len({header.size for header in headers}) > 1:
        raise CaseError(
            "the slices of this series differ in size", folder, "remove localizers and derived images"
        )
    if headers[0].components != 1:
        raise CaseError("the slices of this series are in colour", folder, "give the original grey series")
    if any(header.frames > 1 for header in headers):
        raise CaseError(
            "this series is made of several multi-frame files", folder, "give one of them, or export slices"
        )
    order = sorted_slices([h.position for h in headers], [h.orientation for h in headers], folder)
    _check_spacing(headers, folder)
    return [headers[k] for k in order]


def _check_spacing(headers: Sequence[Header], folder: Path) -> None:
    """ITK takes the first slice's pixel spacing, and 1 mm where there is none."""
    spacings = [header.numbers("PixelSpacing") for header in headers]
    if any(spacing.size != 2 or not np.all(spacing > 0) for spacing in spacings):
        raise CaseError(
            "slices have no pixel spacing", folder, "export the series again, or convert it with its pixel size"
        )
    low, high = np.min(spacings, axis=0), np.max(spacings, axis=0)
    if np.any(high - low > _SAME_SPACING * high):
        raise CaseError(
            "the slices of this series differ in pixel spacing", folder, "split it, or export it again"
        )


def sorted_slices(
    positions: Sequence[np.ndarray], orientations: Sequence[np.ndarray], folder: Path
) -> list[int]:
    """The order of slices along their normal.

    Args:
        positions: (3,) LPS mm of each slice's first pixel; orientations: (6,) of rows and columns.

    Raises:
        CaseError: they have no place, are not parallel, or do not lie evenly behind each other.
    """
    if any(o.size != 6 for o in orientations) or any(p.size != 3 for p in positions):
        raise CaseError("slices have no position or orientation", folder, "export the series again")
    if max(np.abs(o - orientations[0]).max() for o in orientations) > 1e-3:
        raise CaseError("the slices of this series are not parallel", folder, "split it by orientation")
    return _check_steps(folder, np.array(positions), _normal(orientations[0]))


def _normal(orientation: np.ndarray) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def _check_steps(folder: Path, positions: np.ndarray, normal: np.ndarray) -> list[int]:
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
    return order.tolist()


def _read_frames(series: Series) -> Volume:
    """A multi-frame file (enhanced MR): SimpleITK decodes it, its frames' places say where they belong.

    SimpleITK alone neither sorts the frames nor notices a missing one.
    """
    positions, orientations, spacing, order = _frame_order(series)
    array = _frames(series.files[0])[order]
    rows, columns = orientations[0][:3], orientations[0][3:]
    normal = _normal(orientations[0])
    ends = positions[order[-1]] - positions[order[0]]
    x, y, z = positions[order[0]]
    return Volume(
        array=array,
        spacing=(spacing[1], spacing[0], float(ends @ normal) / (len(order) - 1)),
        origin=(float(x), float(y), float(z)),
        direction=np.column_stack([rows, columns, normal]),
        source=str(series.folder),
        warnings=_tilt(series, ends, orientations[0]),
    )


def _frame_order(
    series: Series,
) -> tuple[list[np.ndarray], list[np.ndarray], tuple[float, float], list[int]]:
    """Positions, orientations and pixel spacing of a file's frames, and their order along the normal."""
    path = series.files[0]
    if series.first.frames < 3:
        raise CaseError(
            "this is one 2D image, not a volume", path, "give the volume, or the folder of the series"
        )
    if series.first.components != 1:
        raise CaseError("the frames of this file are in colour", path, "give the original grey series")
    dataset = full_header(path)
    positions, orientations, spacing = _frame_places(dataset, path)
    count, placed = series.first.frames, len(positions)
    if placed != count:  # frames would be left out, and nobody knows which
        raise CaseError(f"the file has {count} frames and says of {placed} where they lie", path, _AGAIN)
    return positions, orientations, spacing, sorted_slices(positions, orientations, path)


def _frames(path: Path) -> np.ndarray:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError:
        raise CaseError("this multi-frame file is damaged", path, _AGAIN) from None


def _frame_places(
    dataset: Dataset, path: Path
) -> tuple[list[np.ndarray], list[np.ndarray], tuple[float, float]]:
    """Positions and orientations of the frames, and the spacing of rows and columns (PS3.3 C.7.6.16)."""
    try:
        shared = dataset.SharedFunctionalGroupsSequence[0]
        frames = list(dataset.PerFrameFunctionalGroupsSequence)
        positions = [_group(f, shared, "PlanePositionSequence").ImagePositionPatient for f in frames]
        turns = [_group(f, shared, "PlaneOrientationSequence").ImageOrientationPatient for f in frames]
        spacings = {tuple(_group(f, shared, "PixelMeasuresSequence").PixelSpacing) for f in frames}
    except (AttributeError, KeyError, IndexError):
        raise CaseError("the frames of this file have no position", path, _AGAIN) from None
    if len(spacings) > 1 or len(_rescales(frames, shared)) > 1:
        raise CaseError("the frames of this file differ in pixel size or scale", path, "export slices instead")
    rows, columns = spacings.pop()
    as_array = [[np.array(value, dtype=float) for value in values] for values in (positions, turns)]
    return as_array[0], as_array[1], (float(rows), float(columns))


def _rescales(frames: Sequence[Dataset], shared: Dataset) -> set[tuple[float, float]]:
    name = "PixelValueTransformationSequence"
    items = [f.get(name) or shared.get(name) for f in frames]
    return {(float(i[0].RescaleSlope), float(i[0].RescaleIntercept)) if i else (1.0, 0.0) for i in items}


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    return (frame.get(name) or shared.get(name))[0]
