"""What the header of a DICOM file says: text by keyword, read with SimpleITK alone.

What SimpleITK does not show (items of sequences, objects that are no images) is read by ``full_header``, which
needs pydicom.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..errors import CaseError
from ..extras import INSTALL_DICOM, INSTALL_DICOM_IN_SLICER
from .dicom_lengths import check_lengths, is_without_pixels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

INSTALL = (
    f"install what reads it: in Slicer's Python console {INSTALL_DICOM_IN_SLICER}, elsewhere {INSTALL_DICOM}"
)

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

_TAGS = {
    "0008|0005": "SpecificCharacterSet",
    "0008|0008": "ImageType",
    "0008|0016": "SOPClassUID",
    "0008|0018": "SOPInstanceUID",
    "0008|0021": "SeriesDate",
    "0008|0022": "AcquisitionDate",
    "0008|0023": "ContentDate",
    "0008|002a": "AcquisitionDateTime",
    "0008|0031": "SeriesTime",
    "0008|0032": "AcquisitionTime",
    "0008|0033": "ContentTime",
    "0008|0060": "Modality",
    "0008|103e": "SeriesDescription",
    "0008|9209": "AcquisitionContrast",
    "0010|0020": "PatientID",
    "0018|0010": "ContrastBolusAgent",
    "0018|0020": "ScanningSequence",
    "0018|0024": "SequenceName",
    "0018|0080": "RepetitionTime",
    "0018|0081": "EchoTime",
    "0018|0082": "InversionTime",
    "0018|1030": "ProtocolName",
    "0018|1040": "ContrastBolusRoute",
    "0018|1041": "ContrastBolusVolume",
    "0018|1044": "ContrastBolusTotalDose",
    "0020|000d": "StudyInstanceUID",
    "0020|000e": "SeriesInstanceUID",
    "0020|0011": "SeriesNumber",
    "0020|0032": "ImagePositionPatient",
    "0020|0037": "ImageOrientationPatient",
    "0020|0052": "FrameOfReferenceUID",
    "0028|0008": "NumberOfFrames",
    "0028|0030": "PixelSpacing",
    "0028|1052": "RescaleIntercept",
    "0028|1053": "RescaleSlope",
}

LABEL_MAP = "segmentation as a label map"
"""A class of 2023, which ITK does not read."""

_NO_IMAGES = {
    "88.": "structured report or key object",
    "481.3": "RTSTRUCT",
    "481.": "radiotherapy object",
    "11.": "presentation state",
    "66.4": "",  # a segmentation is an image
    "66.7": LABEL_MAP,
    "66.": "registration, fiducials or raw data",
    "104.": "document",
    "9.": "waveform",
    "4.2": "spectroscopy",
    "1.3.12.2.1107.5.9.1.": "Siemens CSA Non-Image",
    "30.": "parametric map",  # of floating point numbers most often, which GDCM does not read
}
"""By the end of the storage SOP class (PS3.6 annex A), the first that fits."""

_IMAGES = (
    *("1.", "2.", "3.", "4.", "5.", "6.", "7.", "12.", "13.", "14.", "20."),
    *("66.4.", "77.", "81.", "128.", "130."),
)
"""The standard's other storage classes have no pixels, and new ones come with every year."""

_CLASS_STEM = "1.2.840.10008.5.1.4.1.1."
_CLASS_IN_META = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Header:
    """One image file's header.

    Args:
        values: attributes by keyword, stripped text, several values separated by a backslash.
        size: columns and rows.
        components: samples of a pixel; 3 for colour.
        pixel_type: SimpleITK's number of the type of a pixel, rescaled.
    """

    path: Path
    values: Mapping[str, str]
    size: tuple[int, int]
    components: int
    pixel_type: int = 0

    def text(self, keyword: str) -> str:
        return self.values.get(keyword, "")

    def numbers(self, keyword: str) -> np.ndarray:
        """The values as numbers; empty where there are none, or what is there is no number."""
        try:
            return np.array([float(x) for x in self.text(keyword).split("\\") if x.strip()])
        except ValueError:
            return np.empty(0)

    @property
    def moment(self) -> tuple[str, str]:
        """When it was taken, (``YYYYMMDD``, ``HHMMSS.FFFFFF``), as exactly as is told; '' for what is not.

        Both are of one source: a date of the series and the time of a slice may lie on two sides of midnight.
        """
        told = [
            self._told_by("Acquisition"),
            _split_moment(self.text("AcquisitionDateTime")),
            self._told_by("Series"),
            self._told_by("Content"),
        ]
        return max(told, key=lambda moment: (all(moment), bool(moment[1]), bool(moment[0])))

    def _told_by(self, what: str) -> tuple[str, str]:
        return self.text(f"{what}Date"), self.text(f"{what}Time")

    @property
    def frames(self) -> int:
        count = self.numbers("NumberOfFrames")
        return int(count[0]) if count.size else 1

    @property
    def position(self) -> np.ndarray:
        """(3,) LPS mm; empty where it is not at the top level."""
        return self.numbers("ImagePositionPatient")

    @property
    def orientation(self) -> np.ndarray:
        """(6,) directions of rows and columns in LPS; empty where they are not at the top level."""
        return self.numbers("ImageOrientationPatient")


def _split_moment(text: str) -> tuple[str, str]:
    """Date and time of a DICOM date and time, without the offset of its time zone."""
    local = re.split(r"[+-]", text)[0]
    return local[:8], local[8:]


def is_dicom(path: Path) -> bool:
    """True for what starts as a DICOM file or is named as one; a DICOMDIR only lists others."""
    if not path.is_file() or path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")


def sop_class(path: Path) -> str:
    """The storage SOP class of the file's meta information; '' where it has none."""
    try:
        with path.open("rb") as stream:
            found = _CLASS_IN_META.search(stream.read(1024))
    except OSError:
        return ""
    return found.group(1).decode("ascii") if found else ""


def what_is_no_image(path: Path) -> str:
    """What a DICOM object that is known to be no image is, in words; '' for what should be read as one."""
    ending = sop_class(path).removeprefix(_CLASS_STEM)
    return next((what for start, what in _NO_IMAGES.items() if f"{ending}.".startswith(start)), "")


def lacks_pixels(path: Path) -> bool:
    """True for an object that has none and need not: vendors store protocols in classes of their own.

    An image without pixels is a damaged one.

    Raises:
        CaseError: the file is cut off.
    """
    kind = sop_class(path)
    is_image = kind.startswith(_CLASS_STEM) and f"{kind.removeprefix(_CLASS_STEM)}.".startswith(_IMAGES)
    return bool(kind) and not is_image and is_without_pixels(path)


def read_header(path: Path) -> Header:
    """The header of an image.

    Raises:
        CaseError: the file cannot be read.
    """
    check_lengths(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        if what := what_is_no_image(path):
            remedy = "give a series of images, or a mask as SEG, NIfTI, NRRD or MHA"
            raise CaseError(f"this DICOM file is a {what}, which is not read", path, remedy) from None
        raise CaseError("this DICOM file cannot be read", path, "export the series again") from None
    keys = [key for key in _TAGS if reader.HasMetaDataKey(key)]
    charset = reader.GetMetaData("0008|0005") if "0008|0005" in keys else ""
    values = {_TAGS[key]: _text(reader.GetMetaData(key), charset) for key in keys}
    columns, rows = reader.GetSize()[:2]
    return Header(path, values, (columns, rows), reader.GetNumberOfComponents(), reader.GetPixelID())


def keep_quiet_about_headers() -> None:
    """pydicom and highdicom warn of odd values, and quote them: a patient's name would stand in a log."""
    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\b")


def full_header(path: Path) -> Dataset:
    """Everything but the pixels.

    Raises:
        CaseError: pydicom is not installed, or the file cannot be read.
    """
    try:
        import pydicom
    except ImportError:
        raise CaseError("this kind of DICOM object needs pydicom", path, INSTALL) from None
    keep_quiet_about_headers()
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # pydicom raises what its parser meets
        raise CaseError("this DICOM file cannot be read", path, "export the series again") from None


def agent_in_items(path: Path) -> str:
    """The contrast agents that an enhanced object lists, in words; '' where it lists none.

    Raises:
        CaseError: as ``full_header``.
    """
    items = full_header(path).get("ContrastBolusAgentSequence") or ()
    return ", ".join(str(item.get("CodeMeaning", "")) or "contrast agent" for item in items)


_ENCODINGS = {
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "ISO_IR 13": "shift_jis",
    **{f"ISO_IR {n}": f"iso8859-{part}" for n, part in ((100, 1), (101, 2), (109, 3), (110, 4), (144, 5))},
    **{f"ISO_IR {n}": f"iso8859-{part}" for n, part in ((127, 6), (126, 7), (138, 8), (148, 9), (166, 11))},
    **{f"ISO 2022 IR {n}": "iso2022_jp_2" for n in (13, 87, 159)},
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
}
"""Python's names of DICOM's character sets (PS3.3 C.12.1.1.2); of several, the last is that of the letters."""
_ESCAPES = re.compile(rb"\x1b\$\)[AC]")
"""Say that Korean or Chinese letters follow, which they do in any text with these."""


def _text(value: str, charset: str = "") -> str:
    """Decoded, and stripped of the padding that DICOM puts behind, and of bytes that no text has.

    SimpleITK takes all texts for UTF-8, and keeps what is none as it was.
    """
    raw = value.encode("utf-8", "surrogateescape")
    encoding = _ENCODINGS.get(charset.split("\\")[-1].strip(" \0"), "utf-8")
    if encoding in ("euc_kr", "gb2312"):
        raw = _ESCAPES.sub(b"", raw)
    return raw.decode(encoding, "replace").strip(" \0\r\n\t")
