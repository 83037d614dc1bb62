"""Where a case's files are: the layouts of public glioma sets, where one folder is one case."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import CaseError
from .imaging import volume_suffix
from .words import SEQUENCES

ROLES = (*SEQUENCES, "mask")

_CONTRAST = {"ce", "gd", "gado", "gad", "post", "postcontrast", "contrast", "enhanced", "km"}
_CONTRAST_T1 = re.compile(
    r"(^|[-_ ])t1w?[-_ ]?(ce|c|gd|gado|gad|post|contrast|\+c|km)$|(^|[-_ ])(ce|gd|post)[-_ ]?t1$"
)
_NO_TUMOUR = {"brain", "parenchyma", "skull", "bet", "head", "wm", "gm", "white", "grey", "gray", "csf"}


@dataclass(frozen=True)
class Layout:
    """One data set's way to name the files of a case.

    Args:
        name: what ``--layout`` calls it.
        endings: by role (T1, T2, FLAIR, mask) the endings of a file name without its suffix, lower case,
            the preferred one first; one without a leading separator is the whole name.
        mask_folders: further folders for the mask, relative to the case's; ``{case}`` is its name.
    """

    name: str
    endings: Mapping[str, tuple[str, ...]]
    mask_folders: tuple[str, ...] = ()


def _layout(name: str, t1: str, t2: str, flair: str, mask: str, folders: tuple[str, ...] = ()) -> Layout:
    endings = (tuple(text.split()) for text in (t1, t2, flair, mask))
    return Layout(name, dict(zip(ROLES, endings, strict=True)), folders)


def _anyhow(words: str) -> str:
    """Each word as a whole name and as an ending after either separator."""
    return " ".join(f"{word} _{word} -{word}" for word in words.split())


LAYOUTS = (
    _layout("brats", "_t1", "_t2", "_flair", "_seg"),
    _layout("brats2023", "-t1n", "-t2w", "-t2f", "-seg"),
    _layout("ucsf-pdgm", "_t1 _t1_bias", "_t2 _t2_bias", "_flair _flair_bias", "_tumor_segmentation"),
    _layout(
        "upenn-gbm",
        "_t1",
        "_t2",
        "_flair",
        "_segm _automated_approx_segm",
        (
            "../../images_segm",
            "../../automated_segm",
            "../../images_segm/{case}",
            "../../automated_segm/{case}",
            "../images_segm",
            "../automated_segm",
        ),
    ),
    _layout("tcga-glistrboost", "_t1", "_t2", "_flair", "_glistrboost_manuallycorrected _glistrboost"),
    _layout(
        "utsw",
        "brain_t1 brain_t1_ants",
        "brain_t2 brain_t2_ants",
        "brain_fl brain_fl_ants",
        "tumorseg_manual_correction tumorseg_manual_correction_ants tumorseg_fets",
    ),
    _layout("egd", "t1", "t2", "flair", "mask"),
    _layout(
        "plain",
        _anyhow("t1 t1w t1n t1wi t1_bias"),
        _anyhow("t2 t2w t2wi t2_bias"),
        _anyhow("flair t2f fla fl flair_bias"),
        _anyhow(
            "seg mask segmentation label labels labelmap roi tumor tumour tumor_segmentation "
            "tumour_segmentation tumor_mask tumour_mask segm tumorseg tumor_seg"
        ),
    ),
)
"""Tried in this order; the first that finds all four files is taken."""


@dataclass(frozen=True)
class CaseFiles:
    """The four files or DICOM folders of a case, and the name of the layout they were found by."""

    paths: Mapping[str, Path]
    layout: str


def find_case_files(folder: Path, layout: str = "auto") -> CaseFiles:
    """The files of the case in ``folder``.

    Args:
        layout: ``auto``, or the name of one of ``LAYOUTS``.

    Raises:
        CaseError: no such folder, a sequence or the mask is missing, or two files could be one of them.
    """
    candidates = _candidates(folder)
    layouts = [item for item in LAYOUTS if layout in ("auto", item.name)]
    if not layouts:
        known = ", ".join(item.name for item in LAYOUTS)
        raise CaseError(f"there is no layout '{layout}'", "", f"choose auto or one of {known}")
    tried = []
    for item in layouts:
        paths = _match(folder, candidates, item)
        if len(paths) == len(ROLES):
            return CaseFiles(paths, item.name)
        tried.append((len(paths), item, paths))
    # the last layout, the plain one, knows the most names: where nothing fits, it says what is missing
    _, best, found = max(tried, key=lambda entry: entry[0] + (entry[1].name == "plain") * 0.5)
    raise _missing(folder, candidates, best, found)


def case_identifier(folder: Path) -> str:
    """The folder's name, without the ``_nifti`` that UCSF-PDGM adds; a link has its own name."""
    name = Path(os.path.abspath(folder)).name  # noqa: PTH100 - "." and ".." get names, and links are not followed
    return name.removesuffix("_nifti") or str(folder)


def stem(path: Path) -> str:
    """A file name in lower case without the ending that makes it a volume; a folder's name in lower case."""
    name = path.name.lower()
    return name[: len(name) - len(volume_suffix(path))] if volume_suffix(path) else name


def _candidates(folder: Path) -> list[Path]:
    """Volume files and sub-folders (DICOM series), in a fixed order."""
    try:
        if not folder.is_dir():
            what = "this is a file, not the folder of a case" if folder.exists() else "there is no such folder"
            raise CaseError(what, folder, "give the folder that holds T1, T2, FLAIR and the mask")
        entries = sorted(folder.iterdir())
    except PermissionError:
        raise CaseError("no permission to read the folder", folder, "change its permissions") from None
    return [p for p in entries if not p.name.startswith(".") and (volume_suffix(p) or p.is_dir())]


def _match(folder: Path, candidates: list[Path], layout: Layout) -> dict[str, Path]:
    paths = {}
    for role in ROLES:
        places = candidates
        found = _best(places, role, layout.endings[role])
        if not found and role == "mask":
            places = _mask_candidates(folder, layout)
            found = _best(places, role, layout.endings[role])
        if len(found) > 1:
            names = " and ".join(sorted(p.name for p in found))
            raise CaseError(
                f"{names} could both be the {role}", folder, "remove one, or name the files one by one"
            )
        if found:
            paths[role] = found[0]
    return paths


def _mask_candidates(folder: Path, layout: Layout) -> list[Path]:
    case = case_identifier(folder)
    places = [folder / text.format(case=case) for text in layout.mask_folders]
    files = [p for place in places if place.is_dir() for p in sorted(place.iterdir()) if volume_suffix(p)]
    return [p for p in files if stem(p).startswith(case.lower())]


def _best(candidates: list[Path], role: str, endings: tuple[str, ...]) -> list[Path]:
    """The candidates for the most preferred ending that has any; a name counts for its longest ending only."""
    longest = {p: max((e for e in endings if _has_ending(stem(p), e)), key=len, default="") for p in candidates}
    for ending in endings:
        found = [p for p in candidates if longest[p] == ending and _may_be(stem(p), role, ending)]
        if found:
            return found
    return []


def _has_ending(name: str, ending: str) -> bool:
    return name.endswith(ending) if ending[0] in "_-" else name == ending


def _may_be(name: str, role: str, ending: str) -> bool:
    """False for what only looks like it: a T1 with contrast, a brain mask."""
    before = re.split(r"[-_ .]+", name.removesuffix(ending))[-1]
    if role == "T1":
        return before not in _CONTRAST
    if role == "mask":
        return before not in _NO_TUMOUR
    return not (role == "T2" and before == "flair")


def _missing(folder: Path, candidates: list[Path], layout: Layout, found: dict[str, Path]) -> CaseError:
    lacking = [role for role in ROLES if role not in found]
    looked = "; ".join(f"{role}: {_names(layout.endings[role])}" for role in lacking)
    contrast = [p.name for p in candidates if _CONTRAST_T1.search(stem(p))]
    remark = (
        f" ({contrast[0]} is with contrast and is not taken for T1)" if "T1" in lacking and contrast else ""
    )
    return CaseError(
        f"{' and '.join(lacking)} not found{remark}",
        folder,
        f"looked for {looked} as .nii, .nii.gz, .nrrd, .mha or a DICOM folder; or name the files one by one",
    )


def _names(endings: tuple[str, ...]) -> str:
    return ", ".join(f"*{e}" if e[0] in "_-" else e for e in endings[:4])
