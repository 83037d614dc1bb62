"""The packages that commands need, and how to get one that is missing."""

from __future__ import annotations

from ..errors import GliomaGradingError, UsageError

NEEDED = ("numpy", "SimpleITK", "torch", "torchvision", "pillow")
EXTRAS = {
    "train": ("training and evaluation", ("scikit-learn", "matplotlib", "tqdm")),
    "cohort": ("batches on several processes, Excel tables", ("dask", "distributed", "openpyxl")),
    "dicom": ("DICOM segmentations, reports and overlays", ("pydicom", "highdicom")),
}
"""By extra of this package: what it is for, and what it installs."""
_IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}


def command_for(package: str) -> str:
    """What installs a package: the extra that it belongs to, else the package itself."""
    extra = next((name for name, (_, packages) in EXTRAS.items() if package in packages), "")
    return f"pip install 'glioma-grading[{extra}]'" if extra else f"pip install {package}"


def missing(error: ModuleNotFoundError) -> GliomaGradingError | None:
    """What an import that failed tells the user; None where it is no package that a command may lack."""
    module = (error.name or "").split(".")[0]
    packages = (*NEEDED, *(package for _, some in EXTRAS.values() for package in some))
    package = next((p for p in packages if _IMPORTED_AS.get(p, p) == module), "")
    return UsageError(f"{package} is not installed", remedy=command_for(package)) if package else None
