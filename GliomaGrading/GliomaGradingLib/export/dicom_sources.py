"""What the DICOM output refers to: the images and the segmentation that a case was read from.

Of a source's header only what the output needs is kept: identity of patient and study, so that both land in the
same study, and what images are referred to by. Nothing else personal can pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..coarse import transformed
from ..errors import CaseError
from ..reading.dicom_header import INSTALL, SEGMENTATION, full_header, keep_quiet_about_headers, sop_class
from ..reading.dicom_segmentation import read_segmentation
from ..words import SEQUENCES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..case import Case
    from ..volume import Volume

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
_REFERENCE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "FrameOfReferenceUID"),
    *("Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", *STUDY[1:])
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
_SEX, _SHORT = re.compile(r"[MFO]"), re.compile(r"[^\\\x00-\x1f]{0,16}")


def _is_date(text: str) -> bool:
    """Whether there is such a day; what was not known is often filled with zeros."""
    try:
        return bool(re.fullmatch(r"[0-9]{8}", text) and datetime.strptime(text, "%Y%m%d"))
    except ValueError:
        return False


_FORMS: dict[str, tuple[str, Callable[[str], object]]] = {
    "PatientBirthDate": (".", _is_date),
    "PatientSex": ("", _SEX.fullmatch),
    "StudyDate": (".", _is_date),
    "StudyTime": (":", _TIME.fullmatch),
    "StudyID": ("", _SHORT.fullmatch),
    "AccessionNumber": ("", _SHORT.fullmatch),
}
"""Values of the standard (PS3.5, 6.2), and the marks that older dates and times have between their numbers.

A number that is too long is left out and not cut: what is left of it could be another examination's.
"""

_UID = re.compile(r"(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_IDENTIFYING = {
    "PatientID": re.compile(r"[^\\\x00-\x1f]{0,64}"),
    **dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"), _UID),
}
"""What says whose the output is and what it refers to: it stays as it is, whatever its form."""


@dataclass(frozen=True, eq=False)
class Source:
    """One image series: its headers, reduced, and patient S in mm of the middle of each image or frame.

    A sequence that was registered lies elsewhere than its headers say: heights are those where it was graded.
    """

    sequence: str
    headers: tuple[Dataset, ...]
    heights: tuple[tuple[float, ...], ...]

    def nearest(self, positions: Iterable[float]) -> list[tuple[Dataset, list[int]]]:
        """The images nearest to the axial positions (patient S, mm), with frame numbers where they have any.

        Of images that are not axial every one crosses these positions.
        """
        flat = [(s, n, f) for n, frames in enumerate(self.heights) for f, s in enumerate(frames)]
        if not flat:
            return [(header, []) for header in self.headers]
        heights = np.array([s for s, _n, _f in flat])
        found: dict[int, set[int]] = {}
        for position in positions:
            _s, image, frame = flat[int(np.abs(heights - position).argmin())]
            found.setdefault(image, set()).add(frame + 1)
        is_single = {n: len(frames) == 1 for n, frames in enumerate(self.heights)}
        return [
            (self.headers[n], [] if is_single[n] else sorted(frames)) for n, frames in sorted(found.items())
        ]


@dataclass(frozen=True, eq=False)
class Sources:
    """All that a case came from.

    Args:
        images: by sequence.
        segmentation: the mask's SEG; None where the mask is no DICOM object.
        segments: numbers of the segments that make up the tumour.
    """

    images: Mapping[str, Source]
    segmentation: Dataset | None = None
    segments: tuple[int, ...] = ()

    @property
    def evidence(self) -> list[Dataset]:
        """Everything that is referred to, each once."""
        headers = [header for source in self.images.values() for header in source.headers]
        objects = [*headers, *([self.segmentation] if self.segmentation is not None else [])]
        return list({str(item.SOPInstanceUID): item for item in objects}.values())

    @property
    def first(self) -> Dataset:
        return self.images[SEQUENCES[0]].headers[0]

    @property
    def malformed(self) -> tuple[str, ...]:
        """Keywords of what identifies, was copied, and does not have the standard's form."""
        return tuple(
            keyword
            for keyword, form in _IDENTIFYING.items()
            if any(not form.fullmatch(str(item.get(keyword) or "0")) for item in self.evidence)
        )


def is_from_dicom(case: Case) -> bool:
    """True if all three sequences were read from DICOM."""
    return all(case.images[name].files for name in SEQUENCES)


def sources_of(case: Case) -> Sources:
    """Reads the headers of what the case came from.

    Raises:
        CaseError: pydicom is missing, a file is gone, the sequences are not of one patient and study, or the
            mask is of another patient.
    """
    images = {name: _source(name, case.images[name]) for name in SEQUENCES}
    headers = [source.headers[0] for source in images.values()]
    for keyword, what in (("PatientID", "patient"), ("StudyInstanceUID", "study")):
        if len({str(header.get(keyword, "")) for header in headers}) > 1:
            raise CaseError(f"the sequences are not of one {what}", "", "give sequences of one study")
    segmentation, segments = _segmentation(case)
    patients = {str(item.get("PatientID", "") or "") for item in (segmentation, headers[0]) if item is not None}
    if len(patients - {""}) > 1:
        raise CaseError("sequences and mask are not of one patient", "", "give a mask that was drawn on them")
    if not headers[0].StudyInstanceUID:
        raise CaseError("the series have no study to belong to", case.images["T1"].source, "export them again")
    return Sources(images, segmentation, segments)


def _source(name: str, volume: Volume) -> Source:
    headers = [reduced(Path(path)) for path in volume.files]
    to_place = np.eye(4) if volume.motion is None else volume.motion
    middles = [np.array(_middles(header)).reshape(-1, 3) for header in headers]
    heights = [tuple(transformed(to_place, points)[:, 2].tolist()) for points in middles]
    pairs = list(zip(headers, heights, strict=True))
    pairs.sort(key=lambda pair: pair[1])
    return Source(name, tuple(_slim(h) for h, _s in pairs), tuple(s for _h, s in pairs))


def reduced(path: Path) -> Dataset:
    """A file's header with no more than the output may carry; what must be there but may be empty, is empty."""
    try:
        import pydicom
    except ImportError:
        raise CaseError("writing DICOM needs pydicom and highdicom", "", INSTALL) from None
    keep_quiet_about_headers()
    wanted = (*PATIENT, *STUDY, *_REFERENCE)
    try:
        whole = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SpecificCharacterSet", *wanted])
    except (OSError, pydicom.errors.InvalidDicomError):
        raise CaseError("this DICOM file cannot be read again", path, "leave the series where it is") from None
    kept = pydicom.Dataset()
    for keyword in wanted:
        if keyword in whole:
            kept[keyword] = whole[keyword]
    for keyword in _MAY_BE_EMPTY:
        kept.setdefault(keyword, "")
    # decoded with the source's character set, so that it can be written in another
    kept.PatientName = str(kept.PatientName)
    for keyword, (mark, is_standard) in _FORMS.items():
        value = str(kept[keyword].value).replace(mark, "") if kept[keyword].VM == 1 else ""
        kept[keyword].value = value if is_standard(value) else ""  # what is written follows the standard
    return kept


def _slim(header: Dataset) -> Dataset:
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in header:
            del header[keyword]
    return header


def _middles(header: Dataset) -> list[np.ndarray]:
    """LPS in mm of the middle of the image, or of each frame; none for an image that is not axial."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return _middle(header, header, header, header)
    shared = header.SharedFunctionalGroupsSequence[0]
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    places = [[(frame.get(name) or shared.get(name))[0] for name in names] for frame in frames]
    middles = [_middle(header, *place) for place in places]
    return [point for one in middles for point in one] if all(middles) else []


def _middle(header: Dataset, place: Dataset, turn: Dataset, measures: Dataset) -> list[np.ndarray]:
    position, directions = place.get("ImagePositionPatient"), turn.get("ImageOrientationPatient")
    spacing = measures.get("PixelSpacing") or (1.0, 1.0)
    if (
        not position
        or not directions
        or abs(directions[0] * directions[4] - directions[1] * directions[3]) < 0.7
    ):
        return []
    along_row, along_column = np.array(directions, dtype=float).reshape(2, 3)
    across = along_row * float(spacing[1]) * (header.Columns - 1) / 2
    down = along_column * float(spacing[0]) * (header.Rows - 1) / 2
    return [np.array(position, dtype=float) + across + down]


def _segmentation(case: Case) -> tuple[Dataset | None, tuple[int, ...]]:
    """The mask's SEG and which of its segments make up the mask.

    A segment that was not chosen may lie within one that was: where labels were chosen, only they count.
    """
    mask = case.mask
    if not mask.files or sop_class(Path(mask.files[0])) != SEGMENTATION:
        return None, ()
    path = Path(mask.files[0])
    layers = [layer.array for layer in read_segmentation(path, takes_all=case.maskLabels is not None)]
    inside = mask.array != 0
    within = [int(a.max()) for a in layers if a.any() and not (a.astype(bool) & ~inside).any()]
    return full_header(path), tuple(n for n in within if case.maskLabels is None or n in case.maskLabels)
