"""The packages that commands need, and how to get one that is missing."""

from __future__ import annotations

from ..errors import GliomaGradingError, UsageError
from ..extras import INSTALL_COHORT, INSTALL_DICOM, INSTALL_TRAIN, packages_of

NEEDED = ("numpy", "SimpleITK", "torch", "torchvision", "pillow")
EXTRAS = {
    "train": ("training and evaluation", INSTALL_TRAIN),
    "cohort": ("batches on several processes, Excel tables", INSTALL_COHORT),
    "dicom": ("DICOM segmentations, reports and overlays", INSTALL_DICOM),
}
"""By extra of this package: what it is for, and what installs the same."""
_IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}


def optional() -> dict[str, str]:
    """What each package is for that not every command needs; by its first extra, where it is in several."""
    found: dict[str, str] = {}
    for purpose, command in EXTRAS.values():
        for package in packages_of(command):
            found.setdefault(package, purpose)
    return found


def command_for(package: str) -> str:
    """What installs a package: together with the others of its extra, where it belongs to one."""
    commands = (command for _, command in EXTRAS.values() if package in packages_of(command))
    return next(commands, f"pip install {package}")


def missing(error: ModuleNotFoundError) -> GliomaGradingError | None:
    """What an import that failed tells the user; None where it is no package that a command may lack."""
    module = (error.name or "").split(".")[0]
    package = next((p for p in (*NEEDED, *optional()) if _IMPORTED_AS.get(p, p) == module), "")
    return UsageError(f"{package} is not installed", remedy=command_for(package)) if package else None
