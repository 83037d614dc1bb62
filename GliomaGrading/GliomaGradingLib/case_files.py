"""Where a case's files are: in a folder of any layout that the package knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .cohort.layouts import LAYOUTS, PLAIN, ROLES, Folder, Found, Layout, chosen_layouts, find_in
from .cohort.layouts.base import missing
from .cohort.visits import with_patient_named
from .cohort.walk import cases_below
from .errors import CaseError

__all__ = ["LAYOUTS", "ROLES", "CaseFiles", "case_identifier", "find_case_files"]


_NONE: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True)
class CaseFiles:
    """The four files or DICOM folders of a case, and the name of the layout they were found by.

    Args:
        case: what the layout calls the case.
        mask_labels: labels that are tumour, None for every label, as in a mask that was given.
        doubt: why the data set would not have it graded (a follow-up scan), or ''.
    """

    paths: Mapping[str, Path]
    layout: str
    case: str = ""
    mask_labels: tuple[int, ...] | None = None
    doubt: str = ""


def find_case_files(folder: Path, layout: str = "auto", given: Mapping[str, Path] = _NONE) -> CaseFiles:
    """The files of the only case in ``folder`` or below it.

    Args:
        layout: ``auto``, or the name of one of ``LAYOUTS``.
        given: by role, what to take whatever the folder has for it.

    Raises:
        CaseError: no such folder, a sequence or the mask is missing, two files could be one of them, or
            there are several cases.
    """
    layouts = chosen_layouts(layout)
    found_by, found = _only_case(folder, layouts)
    paths = {**found.paths, **given}
    if found.problem and (not given or any(role not in paths for role in ROLES)):
        raise CaseError(found.problem, found.folder, found.remedy)
    doubt = found_by.note if found_by.on_request else found_by.unfit(found, folder)  # named, it is asked for
    case = with_patient_named(found_by, found).case
    labels = None if "mask" in given else found_by.mask_labels
    return CaseFiles(paths, found_by.name, case, labels, doubt)


def case_identifier(folder: Path) -> str:
    """The folder's name, without the ``_nifti`` that UCSF-PDGM adds; a link has its own name."""
    return Folder(folder).name.removesuffix("_nifti") or str(folder)


def _only_case(folder: Path, layouts: tuple[Layout, ...]) -> tuple[Layout, Found]:
    result = find_in(_scanned(folder), layouts)
    found = [(result[0], case) for case in result[1]] if result else []
    if all(case.problem for _layout, case in found):  # there may be a whole one below
        found = cases_below(folder, layouts).found
    found = [(found_by, case) for found_by, case in found if not case.again]
    if not found:
        problem, remedy = missing({}, (), PLAIN.endings)
        raise CaseError(problem, folder, remedy)
    if len(found) > 1:
        names = ", ".join(case.case for _layout, case in found[:3])
        remedy = "give the folder of one, or use 'glioma-grading batch'"
        raise CaseError(f"there are {len(found)} cases ({names} ...)", folder, remedy)
    return found[0]


def _scanned(folder: Path) -> Folder:
    try:
        if not folder.is_dir():
            what = "this is a file, not the folder of a case" if folder.exists() else "there is no such folder"
            raise CaseError(what, folder, "give the folder that holds T1, T2, FLAIR and the mask")
        return Folder.read(folder)
    except PermissionError:
        raise CaseError("no permission to read the folder", folder, "change its permissions") from None
    except OSError as error:
        raise CaseError(
            f"the folder cannot be read ({error.strerror or error})", folder, "check the path"
        ) from None
