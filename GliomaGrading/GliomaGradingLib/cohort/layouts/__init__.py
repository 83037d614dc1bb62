"""The layouts of public glioma sets: one small class a module; a new one is added to ``LAYOUTS`` alone."""

from __future__ import annotations

from ...errors import CaseError
from .base import ROLES, Found, Layout
from .bids import Bids
from .brats import Brats
from .brats2021 import Brats2021
from .brats2023 import Brats2023, Brats2024
from .by_sequence import BySequence
from .dicom import Dicom
from .egd import Egd
from .flat import Flat
from .folder import Folder
from .plain import Plain
from .remind import Remind
from .tcga import Tcga
from .ucsf import UcsfPdgm
from .upenn import UpennGbm
from .utsw import Utsw

LAYOUTS: tuple[Layout, ...] = (
    Flat(),
    BySequence(),
    Remind(),
    Bids(),
    Brats2021(),
    Brats(),
    Brats2024(),
    Brats2023(),
    UcsfPdgm(),
    UpennGbm(),
    Tcga(),
    Utsw(),
    Egd(),
    Plain(),
    Dicom(),
)
"""Tried in this order; the first that finds a whole case is taken. ``Dicom`` opens files: it is last."""

PLAIN = next(layout for layout in LAYOUTS if isinstance(layout, Plain))
"""Knows the most names: what it says is missing is what a user should hear."""

WITHOUT_DICOM = tuple(layout for layout in LAYOUTS if not isinstance(layout, Dicom))

AUTO = "auto"
NAMES = tuple(layout.name for layout in LAYOUTS)
"""What ``--layout`` takes beside ``auto`` and ``manifest``."""


def chosen_layouts(name: str) -> tuple[Layout, ...]:
    """All layouts for ``auto``, or the one of that name.

    Raises:
        CaseError: there is none of that name.
    """
    chosen = LAYOUTS if name == AUTO else tuple(item for item in LAYOUTS if item.name == name)
    if not chosen:
        raise CaseError(f"there is no layout '{name}'", "", f"choose auto or one of {', '.join(NAMES)}")
    return chosen


def owner(layout: Layout, found: Found) -> Layout:
    """The layout whose rules hold for a case: of one beside others in a folder, that of its name's data set."""
    if not isinstance(layout, Flat):
        return layout
    return next((other for other in LAYOUTS if other.owns(found.case)), layout)


def find_in(folder: Folder, layouts: tuple[Layout, ...] = LAYOUTS) -> tuple[Layout, list[Found]] | None:
    """The cases that lie in the folder itself, by the layout that explains it best, or None.

    The first layout that finds a whole case wins, or that is for names of its own, which the case has.
    Where none does, the one whose names the case has wins, then the one that finds the most, then the plain
    one, which can say best what is missing.
    """
    incomplete: list[tuple[tuple[int, int, int], Layout, list[Found]]] = []
    for number, layout in enumerate(layouts):
        found = layout.find(folder)
        is_own = bool(found) and layout.owns(found[0].case)
        if not found or (len(layouts) > 1 and layout.only_own_names and not is_own):
            continue
        if any(not case.problem for case in found) or (layout.only_own_names and is_own):
            return layout, found
        case = found[0]
        score = (int(is_own), len(case.paths) * 2 + (layout is PLAIN), -number)
        incomplete.append((score, layout, found))
    if not incomplete:
        return None
    _, layout, found = max(incomplete, key=lambda entry: entry[0])
    return layout, found


__all__ = [
    "AUTO",
    "LAYOUTS",
    "NAMES",
    "PLAIN",
    "ROLES",
    "WITHOUT_DICOM",
    "Flat",
    "Folder",
    "Found",
    "Layout",
    "chosen_layouts",
    "find_in",
    "owner",
]
