"""overlay.dcm: the graded slices as a multi-frame colour secondary capture, in the study that was graded.

A frame per slice, foot to head: T1, T2 and FLAIR side by side with the tumour's outline; below them, where
there is an explanation, the same with each network's evidence in colour and what the colours mean. "Research
use only" is burned into every frame; nothing that identifies the patient is.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import CaseError
from ..explanation import SALIENCY_NOTE
from ..reading.dicom_header import INSTALL
from ..result import GradeResult
from ..wording import probability_text
from ..words import SEQUENCES
from . import dicom_codes as codes
from .dicom_report import coded, file_bytes, stamp
from .dicom_sources import PATIENT, STUDY, Sources
from .display import Display, grey_window
from .drawing import GROUND, OUTLINE, TEXT, decision_text, slice_cell, write_text
from .evidence_picture import heat_of
from .telling import slice_text

if TYPE_CHECKING:
    from PIL import Image
    from pydicom.dataset import Dataset

    from ..explanation import Explanation

DESCRIPTION = "GliomaGrading slices, research use only"
SERIES_NUMBER = 9902
BURNED_IN = "RESEARCH USE ONLY - not for diagnosis"
LEGEND = "Grad-CAM: orange towards HGG, blue towards LGG; not a localisation; research use only"
"""Burned in below the evidence: a viewer may show the pixels alone."""
CELL, STRIP = 256, 26
"""Width of a sequence's picture, and height of the lines above and below, in pixels."""

_CLASS = "1.2.840.10008.5.1.4.1.1.7.4"  # Multi-frame True Color Secondary Capture Image Storage
_JPEG = "1.2.840.10008.1.2.4.50"  # Baseline: every viewer has it
_QUALITY = 93


def overlay_bytes(
    result: GradeResult, sources: Sources, display: Display, explanation: Explanation | None = None
) -> bytes:
    """The secondary capture as a file.

    Raises:
        CaseError: highdicom (and with it pydicom) is not installed.
    """
    return file_bytes(secondary_capture(result, sources, display, explanation))


def secondary_capture(
    result: GradeResult, sources: Sources, display: Display, explanation: Explanation | None = None
) -> Dataset:
    """A pydicom data set of class Multi-frame True Color Secondary Capture, JPEG compressed."""
    frames = list(pictures(result, display, explanation))
    dataset = _new_object(sources)
    stamp(dataset, result, DESCRIPTION)
    _describe_image(dataset, frames, display, sources)
    _add_pixels(dataset, frames)
    return dataset


def pictures(
    result: GradeResult, display: Display, explanation: Explanation | None = None
) -> Iterator[Image.Image]:
    """An RGB picture per slice, foot to head, all of one size, sides even."""
    from PIL import Image

    height = round(CELL * display.images.shape[2] / display.images.shape[3])
    maps = explanation.maps / explanation.strength if explanation is not None and display.region else None
    size = (CELL * len(SEQUENCES), 2 * STRIP + height + (0 if maps is None else height + STRIP))
    size = (size[0], size[1] + size[1] % 2)
    windows = [grey_window(planes) for planes in display.images]
    for plane in range(len(display.positions_mm)):
        picture = Image.new("RGB", size, GROUND)
        for row, window in enumerate(windows):
            cell = slice_cell(display, row, plane, window, (CELL, height))
            picture.paste(cell, (row * CELL, STRIP))
            if maps is not None:
                heat = heat_of(maps[row, plane])
                cell = slice_cell(display, row, plane, window, (CELL, height), heat)
                picture.paste(cell, (row * CELL, STRIP + height))
        _write_lines(picture, result, display, plane)
        if maps is not None:
            _write_legend(picture, STRIP + 2 * height + STRIP // 2)
        yield picture


def _write_lines(picture: Image.Image, result: GradeResult, display: Display, plane: int) -> None:
    """Above: each sequence's vote. Below: what this is not for, the decision, and where the slice lies."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    for column, vote in enumerate(result.votes):
        said = f"{vote.sequence}: {vote.grade}, P(HGG) {probability_text(vote.probability_hgg)}"
        write_text(pen, (column * CELL + 6, STRIP // 2), said, 13, TEXT)
    bottom = picture.height - STRIP // 2
    write_text(pen, (6, bottom), BURNED_IN, 13, OUTLINE)
    place = f"{decision_text(result)}   {slice_text(plane, display.positions_mm)}"
    write_text(pen, (picture.width // 2, bottom), place, 13, TEXT)


def _write_legend(picture: Image.Image, middle: int) -> None:
    from PIL import ImageDraw

    write_text(ImageDraw.Draw(picture), (6, middle), LEGEND, 13, TEXT)


def _new_object(sources: Sources) -> Dataset:
    """Patient and study of the sources; a new series and instance of today."""
    try:
        import pydicom
        from highdicom import UID
    except ImportError:
        raise CaseError("writing DICOM needs pydicom and highdicom", "", INSTALL) from None
    dataset = pydicom.Dataset()
    for keyword in (*PATIENT, *STUDY):
        if keyword in sources.first:
            dataset[keyword] = sources.first[keyword]
    time = datetime.datetime.now()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = UID(_CLASS), UID(), UID()
    dataset.Modality, dataset.ConversionType, dataset.SeriesNumber = "OT", "WSD", SERIES_NUMBER
    dataset.BodyPartExamined = "BRAIN"  # no paired organ, so that no laterality is asked for
    dataset.InstanceNumber, dataset.ReferringPhysicianName, dataset.PatientOrientation = 1, "", ""
    dataset.ContentDate, dataset.ContentTime = time.strftime("%Y%m%d"), time.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.ContentDate, dataset.ContentTime
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(_JPEG)
    dataset.file_meta.MediaStorageSOPClassUID = UID(_CLASS)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _describe_image(dataset: Dataset, frames: list[Image.Image], display: Display, sources: Sources) -> None:
    import pydicom

    dataset.ImageType = ["DERIVED", "SECONDARY"]
    # by its definition this asks for what identifies the patient, and there is none of that in the pixels
    dataset.BurnedInAnnotation = "NO"
    dataset.DerivationDescription = "T1, T2, FLAIR resampled to axial; tumour outline; text; network evidence"
    dataset.ImageComments = f"{BURNED_IN}. {SALIENCY_NOTE}"
    items = []
    for source in sources.images.values():
        for header, numbers in source.nearest(display.positions_mm):
            item = pydicom.Dataset()
            item.ReferencedSOPClassUID = header.SOPClassUID
            item.ReferencedSOPInstanceUID = header.SOPInstanceUID
            if numbers:
                item.ReferencedFrameNumber = numbers
            item.PurposeOfReferenceCodeSequence = pydicom.Sequence([coded(codes.SOURCE_IMAGE)])
            items.append(item)
    dataset.SourceImageSequence = pydicom.Sequence(items)
    dataset.NumberOfFrames = len(frames)
    dataset.FrameIncrementPointer = 0x00182005  # Slice Location Vector
    dataset.SliceLocationVector = [f"{position:.3f}" for position in display.positions_mm]


def _add_pixels(dataset: Dataset, frames: list[Image.Image]) -> None:
    from pydicom.encaps import encapsulate

    width, height = frames[0].size
    dataset.Rows, dataset.Columns = height, width
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    coded_frames = [_jpeg(frame) for frame in frames]
    ratio = width * height * 3 * len(frames) / sum(map(len, coded_frames))
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
    dataset.PixelData = encapsulate(coded_frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _jpeg(frame: Image.Image) -> bytes:
    stream = io.BytesIO()
    frame.save(stream, "JPEG", quality=_QUALITY, subsampling=1)
    return stream.getvalue()
