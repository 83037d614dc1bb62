"""Which series of a DICOM study are T1, T2 and FLAIR, and where its tumour mask is.

A series is chosen by its description and its acquisition (``sequence_names``). What is chosen with a doubt
comes with a notice; notices name series by number only, for descriptions are free text.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import CaseError
from ..result import Notice
from ..words import SEQUENCES
from .dicom_header import LABEL_MAP, Header, agent_in_items, full_header, is_dicom, read_header, sop_class
from .dicom_segmentation import is_segmentation_file, segments_of
from .dicom_series import Found, Series, check_series, find_series, is_segmentation, slice_places, split
from .files_below import files_below
from .imaging import volume_suffix
from .sequence_names import (
    CONTRAST,
    Reading,
    denies_contrast,
    has_agent,
    has_contrast,
    is_mask_name,
    read_sequence,
)

_FEWEST_SLICES, _LEAST_MM = 10, 60.0
"""A series with fewer slices, or that reaches less far, is a localizer or a part."""

_UNKNOWN = "unknown"
"""Comes after every date and time."""

_LOOK_AT = 40
"""Folder entries that ``looks_like_study`` opens before it says no."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A series, or the part of one with a single echo and orientation, what its header says, and of what."""

    series: Series
    reading: Reading
    values: Mapping[str, str]

    @property
    def header(self) -> Header:
        return self.series.first


@dataclass(frozen=True, eq=False)
class Picks:
    """What was chosen in a study.

    Args:
        folder: the study's.
        chosen: the series by T1, T2 and FLAIR.
        paths: what to give to ``Case.fromFiles``: a series' own folder where it is alone in it, else the
            study's folder, out of which ``Case`` picks again; and the mask's file.
        reasons: by sequence, why it was taken; for the screen.
        warnings: for the result.
        problem: what is missing, and what was found instead; '' where all four are there.
    """

    folder: Path
    chosen: Mapping[str, Series]
    paths: Mapping[str, Path]
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What to read of a case: a series or a path by sequence, the mask's file, and what was noticed."""

    images: Mapping[str, Path | Series]
    mask: Path
    notices: tuple[Notice, ...]


def looks_like_study(folder: Path, depth: int = 3) -> bool:
    """True if there are DICOM files in the folder or up to ``depth`` folders below; only a few are opened."""
    if not folder.is_dir():
        return False
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))[:_LOOK_AT]
    if any(is_dicom(path) for path in entries):
        return True
    return depth > 0 and any(looks_like_study(path, depth - 1) for path in entries if path.is_dir())


def pick_series(folder: Path, is_strict: bool = True) -> Picks:
    """The study's series for T1, T2 and FLAIR, and its mask: a SEG, or a NIfTI, NRRD or MHA file.

    Args:
        is_strict: raise where something is missing; otherwise it is said in ``problem``.

    Raises:
        CaseError: there is no DICOM series, there are several patients or studies, or something is missing.
    """
    found = find_series(folder, is_deep=True)
    images = found.images
    if not images:
        raise CaseError("there is no DICOM series", folder, "give the folder of one study")
    _check_one_study(folder, images)
    candidates = list(_candidates(images))
    ranked = {name: _ranked(name, candidates) for name in SEQUENCES}
    chosen = {name: ranking[0] for name, ranking in ranked.items() if ranking}
    mask, mask_problem = _find_mask(folder, found.series, found.others)
    lacking = [_lacking(name, candidates) for name in SEQUENCES if name not in chosen]
    problem = "; ".join([*lacking, *([mask_problem] if mask_problem else [])])
    if problem and is_strict:
        names = ", ".join(map(_named, images))
        raise CaseError(f"{problem} (there are {names})", folder, "name the four inputs one by one")
    paths = {name: _path(one.series, folder) for name, one in chosen.items()}
    return Picks(
        folder=folder,
        chosen={name: one.series for name, one in chosen.items()},
        paths={**paths, **({"mask": mask} if mask else {})},
        reasons={name: _reason(one) for name, one in chosen.items()},
        warnings=tuple(_notices(ranked)),
        problem=problem,
    )


def resolve(paths: Mapping[str, Path], found_roles: Collection[str] = ()) -> Inputs:
    """The given inputs with each DICOM folder replaced by what it is meant for.

    A folder with several series gives each sequence its own, and the mask its segmentation. What the headers
    say against an input, or about its patient, comes as notices.

    Args:
        paths: by T1, T2, FLAIR and mask.
        found_roles: which of them were found by their names; what a user has named himself is taken with a
            notice.

    Raises:
        CaseError: as ``pick_series``; or what was found is of several patients or studies, or its T1 is with
            contrast by its header.
    """
    notices: list[Notice] = []
    studies: dict[Path, Found] = {}
    images: dict[str, Path | Series] = {}
    for name in SEQUENCES:
        found = _study_at(paths[name], studies)
        images[name] = _series_for(name, paths[name], found.images, notices) if found else paths[name]
    series = [one for one in images.values() if isinstance(one, Series)]
    by_name = [one for name in images if name in found_roles and isinstance(one := images[name], Series)]
    if by_name:
        _check_one_study(_folder_of([paths[role] for role in found_roles]), by_name)
    if "T1" in found_roles:
        _check_no_contrast(images["T1"])
    mask = _mask_at(paths["mask"], studies)
    notices += _against_one_origin([one.first for one in series], _mask_header(mask))
    return Inputs(images, mask, tuple(dict.fromkeys(notices)))


def _study_at(path: Path, studies: dict[Path, Found]) -> Found | None:
    """The series in a DICOM folder or file; None where it is none. Each folder is looked through once."""
    if path not in studies and _is_dicom_folder(path):
        studies[path] = find_series(path, is_deep=not _has_dicom(path) or _has_folders(path))
    elif path not in studies and _is_dicom_file(path):
        studies[path] = Found((Series(path, (read_header(path),)),))
    return studies.get(path)


def _folder_of(paths: Sequence[Path]) -> Path:
    """The folder that all of a case lies in."""
    return Path(os.path.commonpath([path.absolute() for path in paths]))


def _mask_at(path: Path, studies: dict[Path, Found]) -> Path:
    if is_segmentation_folder(path):
        return next(p for p in sorted(path.iterdir()) if is_segmentation_file(p))
    if not path.is_dir() or not _is_dicom_folder(path):
        return path
    found = _study_at(path, studies) or Found()
    mask, problem = _find_mask(path, found.series, found.others)
    if mask is None:
        raise CaseError(problem, path, "name the mask's file")
    return mask


def is_segmentation_folder(path: Path) -> bool:
    """True for a folder with exactly one segmentation object in it."""
    try:
        return path.is_dir() and sum(is_segmentation_file(p) for p in path.iterdir()) == 1
    except OSError:
        return False  # whoever reads it says why


def _is_dicom_folder(path: Path) -> bool:
    """True for DICOM files in the folder, or below it where no volume lies in it but perhaps the mask."""
    try:
        if not path.is_dir():
            return False
        volumes = [p for p in path.iterdir() if volume_suffix(p) and p.is_file()]
        return _has_dicom(path) or (all(map(_is_mask, volumes)) and looks_like_study(path))
    except OSError:
        return False  # whoever reads it says why


def _is_mask(path: Path) -> bool:
    return is_mask_name(path.name[: -len(volume_suffix(path))])


def _is_dicom_file(path: Path) -> bool:
    return path.is_file() and not volume_suffix(path) and bool(sop_class(path)) and is_dicom(path)


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.iterdir())


def _has_dicom(folder: Path) -> bool:
    return any(is_dicom(path) for path in folder.iterdir())


def _series_for(name: str, folder: Path, images: Sequence[Series], notices: list[Notice]) -> Series:
    """The only series, whatever it is called, or the volume of several that is this sequence."""
    if not images:
        raise CaseError("there is no DICOM series of images", folder, "name the folder of the series")
    if len(images) == 1 and sum(map(_is_volume, _volumes_of(images[0]))) <= 1:  # odd slices are told in reading
        notices += _against(name, images[0])
        return images[0]
    _check_one_study(folder, images)
    candidates = list(_candidates(images))
    ranking = _ranked(name, candidates)
    if not ranking and len(images) == 1:
        return images[0]  # reading it says that it holds several volumes
    if not ranking:
        names = "; ".join(map(_named, images))
        what = f"{_lacking(name, candidates)}, there are {len(images)} DICOM series ({names})"
        raise CaseError(what, folder, "put each in a folder of its own")
    notices += _notices({name: ranking})
    return ranking[0].series


def _against(name: str, series: Series) -> Iterator[Notice]:
    """What the header says against a series that the user gave for this sequence."""
    reading = _read(series)
    if reading.sequence == CONTRAST and name == "T1":
        text = f"the series given as T1 (number {series.number}) is with contrast by its header"
        yield Notice("dicom-t1-contrast", text)
    elif reading.sequence and reading.sequence != name:
        text = f"the series given as {name} (number {series.number}) is {reading.sequence} by its header"
        yield Notice("dicom-sequence-doubtful", text)
    elif reading.doubt:
        yield _doubt(name, series, reading)


def _check_no_contrast(t1: Path | Series) -> None:
    if isinstance(t1, Series) and _is_contrast_t1(t1):
        raise CaseError(
            f"the only T1 (series {t1.number}) is with contrast by its header",
            t1.folder,
            "give a T1 before contrast; if the header is wrong, name the four inputs one by one",
        )


def _is_contrast_t1(series: Series) -> bool:
    """By agent, description or timing; an agent counts also where nothing else tells the sequence."""
    sequence = _read(series).sequence
    return sequence == CONTRAST or (not sequence and has_agent(_values(series)))


def _candidates(images: Sequence[Series]) -> Iterator[Candidate]:
    for series in images:
        for part in _volumes_of(series):
            if part.first.text("Modality") in ("MR", "") and part.first.components == 1 and _is_volume(part):
                values = _values(part)
                yield Candidate(part, _read(part, values), values)


def _volumes_of(series: Series) -> tuple[Series, ...]:
    """The volumes that are in a series: itself where its slices make one, however their headers differ."""
    parts = split(series)
    if len(parts) == 1:
        return parts
    try:
        check_series(series)
    except CaseError:
        return parts
    return (series,)


def _read(series: Series, values: Mapping[str, str] | None = None) -> Reading:
    header = series.first
    texts = (header.text("SeriesDescription"), header.text("ProtocolName"))
    return read_sequence(texts, _values(series) if values is None else values)


def _values(series: Series) -> Mapping[str, str]:
    """Its header's; the agent of an enhanced object stands in a sequence, which SimpleITK does not show."""
    header = series.first
    if header.frames == 1 or header.text("ContrastBolusAgent"):
        return header.values
    return {**header.values, "ContrastBolusAgent": agent_in_items(header.path)}


def _is_volume(series: Series) -> bool:
    if series.images < _FEWEST_SLICES:
        return False
    positions = [header.position for header in series.headers]
    if len(positions) == 1 or any(p.size != 3 for p in positions):
        return True  # its frames say where they are, or reading will say that they do not
    return float(np.linalg.norm(np.ptp(np.array(positions), axis=0))) >= _LEAST_MM


def _ranked(name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates for a sequence, the best first."""
    fitting = [one for one in candidates if one.reading.sequence == name]
    if len(fitting) < 2:
        return fitting  # a key may need a file's whole header
    key = partial(_native_first, day=_only_day(fitting)) if name == "T1" else _fine_first
    return sorted(fitting, key=key)


def _only_day(candidates: Sequence[Candidate]) -> str:
    """The day of those whose header does not tell it: where all others are of one, it is that, or makes no
    difference."""
    days = {one.header.moment[0] for one in candidates} - {""}
    return days.pop() if len(days) == 1 else _UNKNOWN


def _native_first(one: Candidate, day: str) -> tuple[bool, bool, bool, str, str, float]:
    """A T1 taken earlier is the more surely one before contrast; one of unknown time may be any."""
    date, time = one.header.moment
    when = (date or day, time or _UNKNOWN)
    return (bool(one.reading.doubt), _is_derived(one), not _is_native(one), *when, _number(one))


def _fine_first(one: Candidate) -> tuple[bool, bool, bool, float, float, float]:
    """Of two echoes of a series the later is the T2."""
    step = float(np.rint(_slice_step(one.series)))
    echo = one.header.numbers("EchoTime")
    later = -float(echo[0]) if echo.size else 0.0
    return (bool(one.reading.doubt), _is_derived(one), _tells_of_contrast(one), step, _number(one), later)


def _tells_of_contrast(one: Candidate) -> bool:
    return has_agent(one.values) or has_contrast(one.header.text("SeriesDescription"))


def _is_derived(one: Candidate) -> bool:
    return "DERIVED" in one.header.text("ImageType").upper()


def _is_native(one: Candidate) -> bool:
    """True if the header says in words that no contrast agent was given."""
    agent = one.values.get("ContrastBolusAgent", "")
    said = bool(agent) and not has_agent(one.values)
    description = one.header.text("SeriesDescription")
    return said or (denies_contrast(description) and not has_contrast(description))


def _number(one: Candidate) -> float:
    number = one.header.numbers("SeriesNumber")
    return float(number[0]) if number.size else float("inf")


def _slice_step(series: Series) -> float:
    places = slice_places(series)
    if len(places) < 2:
        return float("inf")  # reading it would fail
    return float(np.linalg.norm(np.ptp(np.array(places), axis=0))) / (len(places) - 1)


def _notices(ranked: Mapping[str, Sequence[Candidate]]) -> Iterator[Notice]:
    for name, ranking in ranked.items():
        if not ranking:
            continue
        best, others = ranking[0], ranking[1:]
        if best.reading.doubt:
            yield _doubt(name, best.series, best.reading)
        if others:
            left = ", ".join(dict.fromkeys(_told_apart(one, ranking) for one in others))
            taken = _told_apart(best, ranking)
            text = f"several series could be the {name}: number {taken} was taken, not {left}"
            yield Notice("dicom-series-choice", text)
            if name == "T1" and not _is_native(best):
                what = f"nothing in series {best.series.number} says that it was taken before contrast"
                yield Notice("dicom-t1-contrast-unknown", f"{what}; it is the first T1 of the study")


def _told_apart(one: Candidate, ranking: Sequence[Candidate]) -> str:
    """A series' number, and its echo where it has several."""
    number = one.series.number
    is_split = sum(other.series.number == number for other in ranking) > 1
    echo = one.header.numbers("EchoTime")
    return f"{number} (echo {echo[0]:g} ms)" if is_split and echo.size else number


def _doubt(name: str, series: Series, reading: Reading) -> Notice:
    text = f"series {series.number} is called {name}, but {reading.doubt} ({reading.reason})"
    return Notice("dicom-sequence-doubtful", text)


def _named(series: Series) -> str:
    """For an error, which a batch keeps: what the series was read as, and not what it is called."""
    return f"series {series.number}: {_read(series).sequence or 'neither T1, T2 nor FLAIR'}, {series.size}"


def _reason(one: Candidate) -> str:
    agent = "contrast agent" if has_agent(one.values) else "no contrast agent"
    return ", ".join(filter(None, (one.series.describe(), one.reading.reason, agent)))


def _lacking(name: str, candidates: Sequence[Candidate]) -> str:
    contrast = [one.series.number for one in candidates if one.reading.sequence == CONTRAST]
    if name == "T1" and contrast:
        return f"no T1 without contrast (series {', '.join(contrast)} is with contrast)"
    return f"no {name}"


def _path(series: Series, study: Path) -> Path:
    """The series' own folder where it is alone in it, else the study's."""
    folders = {path.parent for path in series.files}
    own = folders.pop()
    if folders:
        return study
    is_alone = len([path for path in own.iterdir() if is_dicom(path)]) == len(series.files) + series.copies
    return own if is_alone else study


def _check_one_study(folder: Path, images: Sequence[Series]) -> None:
    patients = {one.first.text("PatientID") for one in images}
    studies = {one.first.text("StudyInstanceUID") for one in images}
    if len(patients) > 1 or len(studies) > 1:
        what = f"{len(patients)} patients" if len(patients) > 1 else f"{len(studies)} studies of one patient"
        remedy = "give the folder of one study, or name the four inputs one by one"
        raise CaseError(f"these are {what}", folder, remedy)


def _mask_header(mask: Path) -> Header | None:
    """The header of a mask that is a segmentation object."""
    return read_header(mask) if mask.is_file() and is_segmentation_file(mask) else None


def _against_one_origin(sequences: Sequence[Header], mask: Header | None) -> Iterator[Notice]:
    """Where the sequences, or the sequences and their mask, are not of one patient, study and place."""
    for keyword, what, many, code in (
        ("PatientID", "patient", "patient ids", "dicom-different-patients"),
        ("StudyInstanceUID", "study", "studies", "dicom-different-studies"),
    ):
        values = {header.text(keyword) for header in sequences}
        if len(values) > 1:
            yield Notice(code, f"the sequences come from {len(values)} different {many}")
            return
        if mask and _differs(mask.text(keyword), values):
            yield Notice(code, f"the mask is of another {what} than the sequences, by its header")
            return
    frames = {header.text("FrameOfReferenceUID") for header in sequences}
    if mask and _differs(mask.text("FrameOfReferenceUID"), frames):
        text = "the mask was drawn on images with a frame of reference that none of the sequences has"
        yield Notice("dicom-mask-frame", text)


def _differs(value: str, known: set[str]) -> bool:
    """What a header leaves empty is like nothing and unlike nothing."""
    return bool(value and known - {""}) and value not in known


def _find_mask(
    folder: Path, series: Sequence[Series], others: Sequence[tuple[Path, str]]
) -> tuple[Path | None, str]:
    """The mask's file, or what is wrong with what there is."""
    objects = [path for one in series if is_segmentation(one.first) for path in one.files]
    masks = [path for path in objects if _has_tumour(path)] + [p for p in _volumes(folder) if _is_mask(p)]
    if not masks and len(objects) == 1:
        masks = objects  # reading it says that it is no tumour, unless labels were chosen
    if len(masks) == 1:
        return masks[0], ""
    if masks:
        return None, f"{' and '.join(sorted(path.name for path in masks))} could all be the tumour mask"
    if any(what == "RTSTRUCT" for _path, what in others):
        return None, "the tumour is given as RTSTRUCT contours, which are not read: export it as SEG or NIfTI"
    if any(what == LABEL_MAP for _path, what in others):
        return (
            None,
            f"the tumour is a {LABEL_MAP}, which is not read: export it as binary SEG or NIfTI",
        )
    return None, "no tumour mask (a DICOM SEG, or a NIfTI, NRRD or MHA file named seg or mask)"


def _has_tumour(path: Path) -> bool:
    return any(segment.is_tumour for segment in segments_of(full_header(path)))


def _volumes(folder: Path) -> Iterator[Path]:
    for path in sorted(files_below(folder)):
        if volume_suffix(path) and not path.name.startswith("."):
            yield path
