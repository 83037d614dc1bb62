"""What DICOM headers say about cases that nobody has read yet: for the dry run. No pixel is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import CaseError
from ..reading.dicom_series import Series, check_series
from ..reading.dicom_study import pick_series, resolve
from ..result import Notice
from ..words import SEQUENCES
from .entry import CaseEntry
from .layouts import ROLES
from .listing import Cohort


def with_headers_checked(cohort: Cohort) -> Cohort:
    """The cohort; cases with DICOM folders have the problems and doubts that reading them would meet."""
    return replace(cohort, cases=tuple(map(_checked, cohort.cases)))


def _checked(entry: CaseEntry) -> CaseEntry:
    if entry.problem or not any(path.is_dir() for path in entry.files.values()):
        return entry
    try:
        is_study = len(set(entry.files.values())) == 1
        return _of_study(entry) if is_study else _of_folders(entry)
    except CaseError as error:
        return replace(entry, problem=error.problem, remedy=error.remedy)
    except OSError as error:
        return replace(entry, problem=f"it cannot be read ({error.strerror or error})", remedy="check the path")


def _of_study(entry: CaseEntry) -> CaseEntry:
    """All that is missing in a study at once, where reading it would stop at the first."""
    picks = pick_series(next(iter(entry.files.values())), is_strict=False)
    problems = [*([picks.problem] if picks.problem else []), *_damage(picks.chosen)]
    mask = picks.paths.get("mask")
    return _with(entry, problems, picks.warnings, picks.chosen, mask)


def _of_folders(entry: CaseEntry) -> CaseEntry:
    inputs = resolve({role: entry.files[role] for role in ROLES}, ROLES if entry.isFound else ())
    series = {name: item for name, item in inputs.images.items() if isinstance(item, Series)}
    return _with(entry, list(_damage(series)), inputs.notices, series, inputs.mask)


def _damage(series: Mapping[str, Series]) -> Iterator[str]:
    for name, one in series.items():
        try:
            check_series(one)
        except CaseError as error:
            yield f"{name}, series {one.number}: {error.problem}"


def _with(
    entry: CaseEntry,
    problems: list[str],
    notices: tuple[Notice, ...],
    series: Mapping[str, Series],
    mask: Path | None,
) -> CaseEntry:
    chosen = [f"{name} series {series[name].number}" for name in SEQUENCES if name in series]
    shown = ", ".join([*chosen, *([mask.name] if mask else [])])
    remedy = "export what is missing, or name the four inputs one by one" if problems else ""
    doubts = tuple(dict.fromkeys([*entry.doubts, *(notice.message for notice in notices)]))
    return replace(entry, problem="; ".join(problems), remedy=remedy, doubts=doubts, shown=shown)
