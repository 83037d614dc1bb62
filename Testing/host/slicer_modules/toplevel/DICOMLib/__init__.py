"""As much of DICOMLib as a module can import without a DICOM database."""

from . import DICOMUtils

__all__ = ["DICOMUtils"]
