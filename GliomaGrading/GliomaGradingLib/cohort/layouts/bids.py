"""BIDS: sequences under ``anat``, the tumour's mask beside them or in the derivatives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...reading.imaging import volume_suffix
from ...reading.segment_names import is_other_structure
from ...reading.sequence_names import has_contrast, names_agent
from ...words import SEQUENCES
from .base import Found, GradeSource, Layout, by_role
from .folder import Folder

_SUFFIXES = {"T1w": "T1", "T2w": "T2", "FLAIR": "FLAIR"}
_MASKS = ("dseg", "mask", "roi")
_TUMOUR = re.compile(r"tumou?r|lesion|glioma|gtv|wholetumou?r|\bwt\b|seg$", re.IGNORECASE)
_OTHER_MASKS = re.compile(
    r"brain(?!tumou?r|lesion)|aseg|aparc|tissue|skull|head|\b[cgw]m\b|csf|ribbon|deface|\b(hd)?bet\b|synthstrip",
    re.IGNORECASE,
)
_NO_WORDS = ("sub", "ses", "space")
"""Entities whose values are names."""
_TISSUE_PIPELINES = re.compile(r"fmriprep|smriprep|freesurfer|mriqc|fastsurfer|synthseg", re.IGNORECASE)
_BRAIN_PIPELINES = re.compile(
    r"(?<![a-z])((hd|fsl)[-_ ]?)?bet2?(?![a-z])|synthstrip|robex|brain[-_ ]?(extract|mask)|skull", re.IGNORECASE
)
"""Of these only what says tumour is one: their bare mask is the brain's."""
_OWN_SPACES = {"", "t1w", "t2w", "flair", "orig", "individual", "scanner", "native"}


@dataclass(frozen=True)
class BidsFile:
    """A file's name taken apart: ``sub-01_ses-1_ce-gad_T1w`` has entities sub, ses, ce and the suffix T1w."""

    path: Path
    entities: dict[str, str]
    suffix: str

    @classmethod
    def of(cls, path: Path) -> BidsFile:
        name = path.name[: len(path.name) - len(volume_suffix(path))]
        parts = [part for part in name.split("_") if part]
        entities = dict(part.split("-", 1) for part in parts if "-" in part)
        return cls(path, entities, parts[-1] if parts and "-" not in parts[-1] else "")

    @property
    def has_contrast(self) -> bool:
        """By its entities: ``ce-gad``, ``acq-postGd``, ``run-post``; not ``ce-none``, ``acq-preGd``."""
        told = (text for key, text in self.entities.items() if key not in (*_NO_WORDS, "ce"))
        return names_agent(self.entities.get("ce", "")) or any(map(has_contrast, told))

    @property
    def role(self) -> str:
        """T1, T2 or FLAIR; '' for anything else, a T1 with contrast too."""
        role = _SUFFIXES.get(self.suffix, "")
        if role == "T2" and "flair" in self.entities.get("acq", "").lower():
            return "FLAIR"
        return "" if self.has_contrast else role

    @property
    def space(self) -> str:
        return self.entities.get("space", "")

    @property
    def may_be_tumour(self) -> bool:
        told = [self.entities.get(key, "") for key in ("label", "desc", "atlas")]
        is_other = any(_OTHER_MASKS.search(text) or is_other_structure(text) for text in told)
        return self.suffix in _MASKS and not is_other

    @property
    def says_tumour(self) -> bool:
        return any(_TUMOUR.search(self.entities.get(key, "")) for key in ("label", "desc"))


class Bids(Layout):
    """``sub-01[/ses-1]/anat/sub-01_T1w.nii.gz`` with ``derivatives/NAME/sub-01/.../*_{dseg,mask}.nii.gz``.

    Source: BIDS specification 1.10 (bids-specification.readthedocs.io): anatomical data, entity ``ce``
    (contrast), derivatives (masks, discrete segmentations). It has no rule for tumour masks: one that says
    so (``label-tumor``, ``desc-lesion``) is preferred; those of the brain, of tissues and of other
    structures, and whatever a tissue pipeline such as fMRIPrep wrote, are never taken, nor is a mask that a
    pipeline for brain masks wrote, unless it says tumour. A mask in the space of a template goes with
    sequences in that space. A case is a subject, or a session of one. Grades: a column of ``participants.tsv``.
    """

    name = "bids"
    title = "BIDS with derivatives"
    example = "sub-01/anat/sub-01_{T1w,T2w,FLAIR}.nii.gz, derivatives/NAME/sub-01/anat/sub-01_dseg.nii.gz"
    source = "BIDS specification, doi 10.1038/sdata.2016.44"
    labels = "every label is tumour"
    endings = by_role("_T1w", "_T2w", "_FLAIR", "_dseg _mask _roi")
    folder = re.compile(r"sub-[a-zA-Z0-9+]+(_ses-[a-zA-Z0-9+]+)?")
    grades = (
        GradeSource("participants", ("grade", "who_grade", "tumor_grade", "tumour_grade"), ("participant_id",)),
    )

    def patient(self, case: str) -> str:
        return case.split("_ses-")[0]

    def data_set(self, found: Found) -> str:
        """``sub-01`` of another data set is another patient."""
        subject = _subject_folder(found.folder)
        return str(subject.parent) if subject else ""

    def is_support(self, folder: str) -> bool:
        return folder in ("derivatives", "sourcedata", "code", "stimuli")

    def find(self, folder: Folder) -> list[Found]:
        """The case of an ``anat`` folder, or of a subject's folder without one."""
        place = folder.path
        subject = _subject_folder(place)
        images = [BidsFile.of(place / name) for name in folder.volumes if name.startswith("sub-")]
        if subject is None or not any(item.suffix in _SUFFIXES for item in images):
            return []
        session = next((p.name for p in (place, place.parent) if p.name.startswith("ses-")), "")
        case = "_".join(filter(None, (subject.name, session)))
        return [_case(case, place, images, list(_masks(subject, session, images)))]


def _subject_folder(place: Path) -> Path | None:
    return next((p for p in (place, *place.parents[:2]) if p.name.startswith("sub-")), None)


def _case(case: str, place: Path, images: list[BidsFile], masks: list[BidsFile]) -> Found:
    """The best mask, with the sequences that lie in its space."""
    mask, rivals = _only(_preferred_masks(masks))
    doubt = rivals and f"{rivals} could both be the mask"
    unclear = ["mask"] if rivals else []
    beside = images if mask is None else _beside(mask)
    space = "" if mask is None or mask.space.lower() in _OWN_SPACES else mask.space
    near = [item for item in beside if item.space == space] if space or beside is not images else []
    pool = near if len({item.role for item in near} - {""}) == len(SEQUENCES) else images
    paths: dict[str, Path] = {}
    for role in SEQUENCES:
        chosen, rivals = _only(_plainest([item for item in pool if item.role == role]))
        doubt = doubt or (rivals and f"{rivals} could both be the {role}")
        unclear += [role] if rivals else []
        if chosen:
            paths[role] = chosen.path
    if mask:
        paths["mask"] = mask.path
    if space and pool is images and not all(item.space == space for item in _at(images, paths)):
        doubt = doubt or f"the mask {mask and mask.path.name} is in space {space}, and the sequences are not"
    if doubt:
        remedy = "name the files one by one, or list them in a manifest"
        return Found(case, place, paths, doubt, remedy, unclear=tuple(unclear))
    return Found(case, place, paths, *_missing(paths, images))


def _at(images: list[BidsFile], paths: dict[str, Path]) -> list[BidsFile]:
    return [item for item in images if item.path in paths.values()]


def _masks(subject: Path, session: str, images: list[BidsFile]) -> Iterator[BidsFile]:
    """Masks of the subject that may be the tumour's, beside the images and in every derivative."""
    yield from (item for item in images if item.may_be_tumour)
    derivatives = subject.parent / "derivatives"
    for derivative in (derivatives, *_folders(derivatives)):  # some write without a folder for the pipeline
        if _TISSUE_PIPELINES.search(derivative.name):
            continue
        is_of_brain = _BRAIN_PIPELINES.search(derivative.name)
        of_subject = derivative / subject.name
        for place in (of_subject / session, of_subject / session / "anat"):
            files = (item for item in _files(place) if item.may_be_tumour)
            yield from (item for item in files if item.says_tumour or not is_of_brain)


def _folders(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []


def _files(place: Path) -> list[BidsFile]:
    if not place.is_dir():
        return []
    return [BidsFile.of(p) for p in sorted(place.iterdir()) if volume_suffix(p) and p.name.startswith("sub-")]


def _beside(mask: BidsFile) -> list[BidsFile]:
    return _files(mask.path.parent)


def _preferred_masks(masks: list[BidsFile]) -> list[BidsFile]:
    told = [item for item in masks if item.says_tumour]
    return _plainest(told or masks)


def _plainest(files: list[BidsFile]) -> list[BidsFile]:
    """Those with the fewest entities: the one that its makers saw no need to tell apart."""
    fewest = min((len(item.entities) for item in files), default=0)
    return [item for item in files if len(item.entities) == fewest]


def _only(files: list[BidsFile]) -> tuple[BidsFile | None, str]:
    if len(files) > 1:
        return None, " and ".join(item.path.name for item in files[:4])
    return (files[0] if files else None), ""


def _missing(paths: Iterable[str], images: list[BidsFile]) -> tuple[str, str]:
    lacking = [role for role in (*SEQUENCES, "mask") if role not in paths]
    if not lacking:
        return "", ""
    contrast = next((i.path.name for i in images if i.suffix == "T1w" and i.has_contrast), "")
    remark = f" ({contrast} is with contrast and is not taken for T1)" if "T1" in lacking and contrast else ""
    wanted = "a T1w, T2w and FLAIR without contrast, and a tumour mask (_dseg or _mask) in derivatives"
    return f"{' and '.join(lacking)} not found{remark}", f"looked for {wanted}"
