"""What DICOM headers say about cases that nobody has read yet: for the dry run. No pixel is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import CaseError
from ..reading.dicom_segmentation import check_segmentation, is_segmentation_file
from ..reading.dicom_series import Series, check_series
from ..reading.dicom_study import pick_series, resolve
from ..result import Notice
from ..words import SEQUENCES
from .entry import CaseEntry
from .layouts import ROLES
from .listing import Cohort
from .work import out_of_reach


def with_headers_checked(cohort: Cohort, maskLabels: Sequence[int] | None = None) -> Cohort:
    """The cohort; cases with DICOM folders have the problems and doubts that reading them would meet.

    Args:
        maskLabels: labels that are tumour, rather than those of the data set.
    """
    return replace(cohort, cases=tuple(_checked(entry, maskLabels) for entry in cohort.cases))


def _checked(entry: CaseEntry, labels: Sequence[int] | None) -> CaseEntry:
    if entry.problem:
        return entry
    if why := out_of_reach(entry.files):
        return replace(entry, problem=f"its files cannot be looked at ({why})", remedy="connect what is away")
    if not any(path.is_dir() for path in entry.files.values()):
        return entry
    try:
        is_study = len(set(entry.files.values())) == 1
        return _of_study(entry, labels) if is_study else _of_folders(entry, labels)
    except CaseError as error:
        return replace(entry, problem=error.problem, remedy=error.remedy)
    except OSError as error:
        return replace(entry, problem=f"it cannot be read ({error.strerror or error})", remedy="check the path")


def _of_study(entry: CaseEntry, labels: Sequence[int] | None) -> CaseEntry:
    """All that is missing in a study at once, where reading it would stop at the first."""
    picks = pick_series(next(iter(entry.files.values())), is_strict=False)
    problems = [picks.problem] if picks.problem else []
    return _with(entry, problems, picks.warnings, picks.chosen, picks.paths.get("mask"), labels)


def _of_folders(entry: CaseEntry, labels: Sequence[int] | None) -> CaseEntry:
    inputs = resolve({role: entry.files[role] for role in ROLES}, ROLES if entry.isFound else ())
    series = {name: item for name, item in inputs.images.items() if isinstance(item, Series)}
    return _with(entry, [], inputs.notices, series, inputs.mask, labels)


def _damage(series: Mapping[str, Series], mask: Path | None, takesAll: bool) -> Iterator[str]:
    for name, one in series.items():
        try:
            check_series(one)
        except CaseError as error:
            yield f"{name}, series {one.number}: {error.problem}"
    if mask and is_segmentation_file(mask):
        try:
            check_segmentation(mask, takesAll)
        except CaseError as error:
            yield f"mask, {mask.name}: {error.problem}"


def _with(
    entry: CaseEntry,
    problems: list[str],
    notices: tuple[Notice, ...],
    series: Mapping[str, Series],
    mask: Path | None,
    labels: Sequence[int] | None,
) -> CaseEntry:
    problems = [*problems, *_damage(series, mask, bool(labels or entry.mask_labels))]
    chosen = [f"{name} series {series[name].number}" for name in SEQUENCES if name in series]
    shown = ", ".join([*chosen, *([mask.name] if mask else [])])
    remedy = "export what is missing, or name the four inputs one by one" if problems else ""
    doubts = tuple(dict.fromkeys([*entry.doubts, *(notice.message for notice in notices)]))
    return replace(entry, problem="; ".join(problems), remedy=remedy, doubts=doubts, shown=shown)
