"""DICOM studies of the small made-up head, as a scanner and a segmentation tool would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from small_head import ORIGIN, SPACING, arrays

NAME, PATIENT, BIRTH, PHYSICIAN = "Plantagenêt^Eleonore", "PAT-4711-XYZ", "19610317", "Whistleblower^Otto"
"""Made up, and unlike anything else in the output: whoever finds them there has found a leak."""

STUDY, FRAME = "1.2.826.0.1.3680043.10.1.7", "1.2.826.0.1.3680043.10.1.8"

SCANS: dict[str, dict[str, Any]] = {
    "T1": {
        "SeriesNumber": 3,
        "SeriesDescription": "AX T1 SE",
        "EchoTime": 12,
        "RepetitionTime": 550,
        "ScanningSequence": "SE",
    },
    "T2": {
        "SeriesNumber": 4,
        "SeriesDescription": "AX T2 TSE",
        "EchoTime": 98,
        "RepetitionTime": 4500,
        "ScanningSequence": "SE",
    },
    "FLAIR": {
        "SeriesNumber": 5,
        "SeriesDescription": "AX T2 FLAIR",
        "EchoTime": 110,
        "RepetitionTime": 9000,
        "InversionTime": 2500,
        "ScanningSequence": ["SE", "IR"],
    },
    "T1 with contrast": {
        "SeriesNumber": 7,
        "SeriesDescription": "AX T1 SE",
        "EchoTime": 12,
        "RepetitionTime": 550,
        "ScanningSequence": "SE",
        "ContrastBolusAgent": "Gadovist",
    },
}

Change = Callable[[int, Dataset], None]


def scan(folder: Path, name: str, change: Change = lambda k, ds: None, **others: Any) -> Path:
    """One of ``SCANS`` as a classic series; ``others`` are attributes to add or replace."""
    array = arrays()["T1" if name == "T1 with contrast" else name]
    if name == "T1 with contrast":
        array = np.where(arrays()["mask"] > 0, array + 400, array).astype(np.int16)
    return series(folder, array, change, **{**SCANS[name], **others})


def series(
    folder: Path,
    array: np.ndarray,
    change: Change = lambda k, ds: None,
    keep: Iterable[int] | None = None,
    **attributes: Any,
) -> Path:
    """A file per slice; file names run against the positions."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = generate_uid(entropy_srcs=[str(sorted(attributes.items())), str(array.sum())])
    for k in range(len(array)) if keep is None else keep:
        ds = _header(MRImageStorage, f"{uid[:50]}.{k + 1}", uid, attributes)
        ds.InstanceNumber, ds.Rows, ds.Columns = k + 1, array.shape[1], array.shape[2]
        ds.PixelSpacing, ds.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[2] * k]
        ds.PixelData = array[k].astype("<i2").tobytes()
        change(k, ds)
        number = attributes.get("SeriesNumber", 1)
        ds.save_as(folder / f"s{number:02d}-{999 - k}.dcm", enforce_file_format=True)
    return folder


def study(folder: Path, scans: Sequence[str] = ("T1", "T2", "FLAIR"), flat: bool = False) -> Path:
    """Series in a folder each, or all in one."""
    for name in scans:
        scan(folder if flat else folder / name.replace(" ", "_"), name)
    return folder


def segmentation(
    path: Path, of: Path, masks: dict[str, np.ndarray] | None = None, codes: dict[str, Any] | None = None
) -> Path:
    """A SEG on the series in the folder ``of``: a binary segment per name."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as known

    headers = [pydicom.dcmread(p) for p in sorted(of.glob("*.dcm"))]
    headers.sort(key=lambda ds: ds.ImagePositionPatient[2])
    masks = masks or {"tumour": arrays()["mask"]}
    described = [
        hd.seg.SegmentDescription(
            segment_number=n + 1,
            segment_label=label,
            segmented_property_category=known.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=(codes or {}).get(label, known.SCT.Neoplasm),
            algorithm_type="MANUAL",
        )
        for n, label in enumerate(masks)
    ]
    seg = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=np.stack(list(masks.values()), -1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=50,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Maker",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def enhanced(path: Path, name: str = "FLAIR", order: Iterable[int] | None = None, **attributes: Any) -> Path:
    """An enhanced MR with its frames in that order; slices left out of it are missing."""
    array, order = arrays()[name], list(range(len(arrays()[name])) if order is None else order)
    uid = generate_uid(entropy_srcs=[name, "enhanced"])
    described = {k: SCANS[name][k] for k in ("SeriesNumber", "SeriesDescription")}
    ds = _header(EnhancedMRImageStorage, f"{uid[:50]}.1", uid, {**described, **attributes})
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.InstanceNumber = len(order), *array.shape[1:], 1
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2])]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    scale = _item(RescaleSlope=2, RescaleIntercept=-5, RescaleType="US")
    shared.PixelValueTransformationSequence = [scale]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_frame(k) for k in order]
    ds.PixelData = array[order].astype("<i2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def no_image(path: Path, sop_class: str, modality: str) -> Path:
    """An object without pixels, such as an RTSTRUCT or a report."""
    ds = _header(sop_class, generate_uid(), generate_uid(), {"Modality": modality, "SeriesNumber": 90})
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    del ds.PixelRepresentation
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def _frame(k: int) -> Dataset:
    position = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[2] * k]
    return _item(PlanePositionSequence=[_item(ImagePositionPatient=position)])


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _header(sop_class: str, instance: str, uid: str, attributes: dict[str, Any]) -> Dataset:
    given = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": sop_class,
        "SOPInstanceUID": instance,
        "SeriesInstanceUID": uid,
        "StudyInstanceUID": STUDY,
        "FrameOfReferenceUID": FRAME,
        "Modality": "MR",
        "PatientName": NAME,
        "PatientID": PATIENT,
        "PatientBirthDate": BIRTH,
        "PatientSex": "F",
        "PatientAddress": "Lindwurmgasse 5",
        "OtherPatientIDs": "OTHER-9999",
        "ReferringPhysicianName": PHYSICIAN,
        "InstitutionName": "Klinikum Sonnenhang",
        "OperatorsName": "Schaltmeister^Kurt",
        "StudyDate": "20190704",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "ACC-77",
        "StudyDescription": "Kopf nativ",
        "Manufacturer": "Maker",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    ds = _item(**{**given, **attributes})
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, instance
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def segmentation_file(path: Path) -> Path:
    """The head's mask as NIfTI."""
    import SimpleITK as sitk
    from small_head import volume

    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume(arrays()["mask"]).toImage(), str(path))
    return path
