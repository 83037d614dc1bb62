"""What installs the packages that only some tasks need, by their names: those of pyproject.toml's extras.

The project itself is on no index, so that its extras are of use in a checkout only.
"""

from __future__ import annotations

INSTALL_TRAIN = "pip install scikit-learn scipy matplotlib tqdm"
INSTALL_COHORT = "pip install dask distributed openpyxl scikit-learn scipy tqdm"
INSTALL_DICOM = "pip install pydicom highdicom"
INSTALL_DICOM_IN_SLICER = 'slicer.util.pip_install("pydicom>=3.0.1 highdicom>=0.27")'
"""pip in a shell serves another Python than Slicer's; with versions, as Slicer 5.10 brings an older pydicom."""


def packages_of(command: str) -> tuple[str, ...]:
    """The packages that such a command installs."""
    return tuple(command.split()[2:])
