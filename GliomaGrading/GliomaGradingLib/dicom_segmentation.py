"""A DICOM segmentation object (SEG) as the layers of a mask, one per segment that may be tumour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dicom_header import INSTALL, SEGMENTATION, full_header, is_dicom, sop_class
from .errors import CaseError
from .result import Notice
from .segment_names import is_other_structure
from .volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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


def read_segmentation(path: Path) -> tuple[Volume, ...]:
    """A layer per tumour segment: (K, J, I) uint8 or uint16, its segment number inside and 0 outside.

    A fractional segmentation is cut at one half.

    Raises:
        CaseError: highdicom is not installed, the file is damaged, or no segment may be tumour.
    """
    segments = segments_of(full_header(path))
    taken = [segment for segment in segments if segment.is_tumour]
    if not taken:
        labels = ", ".join(segment.label for segment in segments) or "none"
        raise CaseError(f"no segment of it is a tumour ({labels})", path, _SEPARATE)
    left = [segment for segment in segments if not segment.is_tumour]
    notices = (_left_out(left),) if left else ()
    volume = _volume(path)
    layers = [_layer(volume, segments.index(segment), segment.number) for segment in taken]
    spacing, origin, direction = _place(volume)
    files = (str(path),)
    return tuple(Volume(array, spacing, origin, direction, str(path), notices, files) for array in layers)


def _segment(item: Dataset) -> Segment:
    label = str(item.get("SegmentLabel", "")).strip()
    names = [label, _meaning(item, "SegmentedPropertyTypeCodeSequence")]
    return Segment(int(item.SegmentNumber), label, not any(is_other_structure(name) for name in names if name))


def _meaning(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword)
    return str(codes[0].get("CodeMeaning", "")) if codes else ""


def _left_out(segments: list[Segment]) -> Notice:
    numbers = ", ".join(str(segment.number) for segment in segments)
    return Notice(
        "mask-segments-left-out", f"segments {numbers} of the segmentation are no tumour by their names"
    )


def _volume(path: Path):  # type: ignore[no-untyped-def] # highdicom's Volume; highdicom is optional
    try:
        import highdicom
    except ImportError:
        raise CaseError("this DICOM segmentation needs highdicom", path, INSTALL) from None
    try:
        return highdicom.seg.segread(path).get_volume(combine_segments=False)
    except Exception as error:  # highdicom, pydicom and their decoders each raise their own
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CaseError(
            f"this DICOM segmentation cannot be read ({reason})", path, "export it again, or as NIfTI or NRRD"
        ) from None


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
