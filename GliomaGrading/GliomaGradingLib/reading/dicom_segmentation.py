"""A DICOM segmentation object (SEG) as the layers of a mask, one per segment that may be tumour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CaseError
from ..result import Notice
from ..volume import Volume
from .dicom_header import INSTALL, SEGMENTATION, full_header, is_dicom, sop_class
from .segment_names import is_other_structure, left_out

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SAME_GAP = 0.01
"""Of a slice: by how much gaps differ that are the same but for rounding."""

_SAME_PLACE_MM = 0.01

_SEPARATE = "give a segmentation of the tumour"


@dataclass(frozen=True)
class Segment:
    """One segment: its number, and whether it may be tumour by its label and its coded type."""

    number: int
    label: str
    is_tumour: bool


def is_segmentation_file(path: Path) -> bool:
    """True for a DICOM file of storage class Segmentation."""
    return is_dicom(path) and sop_class(path) == SEGMENTATION


def segments_of(dataset: Dataset) -> tuple[Segment, ...]:
    """The segments that a SEG's header lists."""
    return tuple(_segment(item) for item in dataset.get("SegmentSequence", ()))


def check_segmentation(path: Path, takes_all: bool = False) -> None:
    """The checks of ``read_segmentation`` for which the header is enough.

    Raises:
        CaseError: no segment may be tumour, or the header cannot be read.
    """
    _taken(path, takes_all)


def read_segmentation(path: Path, takes_all: bool = True) -> tuple[Volume, ...]:
    """A layer per segment: (K, J, I) uint8 or uint16, its segment number inside and 0 outside.

    A fractional segmentation is cut at one half.

    Args:
        takes_all: also those that are no tumour by their names.

    Raises:
        CaseError: highdicom is not installed, the file is damaged, or no segment may be tumour.
    """
    segments, taken = _taken(path, takes_all)
    others = [segment.number for segment in segments if segment not in taken]
    volume, guessed = _volume(path)
    notices = (*([left_out(others)] if others else []), *guessed)
    layers = [_layer(volume, segments.index(segment), segment.number) for segment in taken]
    spacing, origin, direction = _place(volume)
    files = (str(path),)
    return tuple(Volume(array, spacing, origin, direction, str(path), notices, files) for array in layers)


def _taken(path: Path, takes_all: bool) -> tuple[tuple[Segment, ...], list[Segment]]:
    """All segments, and those that count as tumour."""
    segments = segments_of(full_header(path))
    taken = [segment for segment in segments if segment.is_tumour or takes_all]
    if not taken:
        labels = ", ".join(segment.label for segment in segments) or "none"
        raise CaseError(f"no segment of it is a tumour ({labels})", path, _SEPARATE)
    return segments, taken


def _segment(item: Dataset) -> Segment:
    label = str(item.get("SegmentLabel", "")).strip()
    names = [label, _meaning(item, "SegmentedPropertyTypeCodeSequence")]
    number = int(item.get("SegmentNumber") or 0)  # it has to be there, and reading will say where it is not
    return Segment(number, label, not any(is_other_structure(name) for name in names if name))


def _meaning(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword)
    return str(codes[0].get("CodeMeaning", "")) if codes else ""


def _volume(path: Path):  # type: ignore[no-untyped-def] # highdicom's Volume; highdicom is optional
    """The voxels and where they lie, and what is to be told of that."""
    try:
        import highdicom
        import pydicom
    except ImportError:
        raise CaseError("this DICOM segmentation needs highdicom", path, INSTALL) from None
    try:
        dataset = pydicom.dcmread(path)
        notices = _with_slice_spacing(dataset)
        segmentation = highdicom.seg.Segmentation.from_dataset(dataset, copy=False)
        return segmentation.get_volume(combine_segments=False), notices
    except Exception as error:  # highdicom, pydicom and their decoders each raise their own
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CaseError(
            f"this DICOM segmentation cannot be read ({reason})", path, "export it again, or as NIfTI or NRRD"
        ) from None


def _with_slice_spacing(dataset: Dataset) -> tuple[Notice, ...]:
    """Puts SpacingBetweenSlices where it is missing: slices without tumour may have been left out.

    Without it highdicom takes the smallest gap between the frames that are there, and 1 mm for one frame.
    """
    groups = [*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence]
    measures = [item for group in groups for item in group.get("PixelMeasuresSequence", ())]
    if not measures or all("SpacingBetweenSlices" in item for item in measures):
        return ()
    gaps = _gaps(dataset)
    thickness = float(measures[0].get("SliceThickness") or 0)
    spacing = _slice_spacing(gaps, thickness)
    if not spacing:
        return ()
    for item in measures:
        item.SpacingBetweenSlices = spacing
    if gaps.size and np.allclose(gaps, thickness, rtol=_SAME_GAP):
        return ()  # slices as thick as they are apart
    text = f"the segmentation does not say how far its slices are apart; {spacing:.3g} mm was taken, by their"
    return (Notice("mask-slice-spacing", f"{text} {'thickness' if spacing == thickness else 'smallest gap'}"),)


def _slice_spacing(gaps: np.ndarray, thickness: float) -> float:
    """The slices' thickness where the frames lie on such a grid, else their smallest gap; 0 if unknown."""
    steps = gaps / thickness if thickness > 0 else gaps
    if thickness > 0 and np.allclose(steps, np.rint(steps), atol=_SAME_GAP) and np.all(np.rint(steps) >= 1):
        return thickness
    return float(gaps.min()) if gaps.size else 0.0


def _gaps(dataset: Dataset) -> np.ndarray:
    """mm between one frame and the next along their normal, those at one place counted once."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = dataset.PerFrameFunctionalGroupsSequence
    turn = (shared.get("PlaneOrientationSequence") or frames[0].PlaneOrientationSequence)[0]
    axes = np.array(turn.ImageOrientationPatient, dtype=float)
    places = [(f.get("PlanePositionSequence") or shared.PlanePositionSequence)[0] for f in frames]
    positions = np.array([place.ImagePositionPatient for place in places], dtype=float)
    gaps = np.diff(np.sort(positions @ np.cross(axes[:3], axes[3:])))
    return gaps[gaps > _SAME_PLACE_MM]


def _layer(volume, channel: int, number: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    inside = np.asarray(volume.array)[..., channel] >= 0.5
    return inside.astype(np.uint8 if number < 256 else np.uint16) * number


def _place(volume) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:  # type: ignore[no-untyped-def]
    """Spacing and origin in mm and directions, for I, J, K: highdicom's axes are K, J, I."""
    affine = np.asarray(volume.affine, dtype=float)
    axes = affine[:3, 2::-1]
    spacing = np.linalg.norm(axes, axis=0)
    x, y, z = affine[:3, 3]
    return (spacing[0], spacing[1], spacing[2]), (float(x), float(y), float(z)), axes / spacing
