"""Cases that are one, or may be: the same images under two names, several scans of one patient, a shared file.

Each is graded all the same; figures over such a cohort count some patients twice, so that its reader has to
know. A batch goes by which files they are, links included, and reads none; a dry run compares contents where
sizes agree, first samples of them and then all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from ..reading.files_below import files_below
from ..reading.text_headers import data_files
from ..wording import some_of
from ..words import SEQUENCES
from .entry import CaseEntry

_SHOWN, _SHOWN_NAMES = 10, 5
_BLOCK = 1 << 16
_READ = 1 << 20

Group = tuple[CaseEntry, ...]
Key = Callable[[CaseEntry], Hashable]


def duplicate_notices(cases: Sequence[CaseEntry], reads: bool = False) -> list[str]:
    """What to tell of cases that have the same T1, T2 and FLAIR, or the same patient, or a file in common.

    Args:
        reads: also find copies, by their contents.
    """
    copies = same_images(cases) if reads else _alike(cases, _places)
    known = {_names(group, ", ") for group in copies}
    patients = _alike(cases, lambda entry: entry.patient or None)
    patients = [group for group in patients if _names(group, ", ") not in known]
    return [
        *_told("the same images under several names, each of which is graded", copies, " = "),
        *_told("several cases of one patient, by its id", patients, ", "),
        *_cut("the same file for several cases", list(_shared_files(cases, copies))),
    ]


def same_images(cases: Iterable[CaseEntry]) -> list[Group]:
    """Groups of cases whose three sequences are the same, byte for byte."""
    groups = [tuple(cases)]
    for key in (_sizes, _sampled, _contents):
        groups = [part for group in groups for part in _alike(group, key)]
    return groups


def _alike(cases: Iterable[CaseEntry], key: Key) -> list[Group]:
    """Groups of two and more with the same key; None is like nothing."""
    found: dict[Hashable, list[CaseEntry]] = {}
    for entry in cases:
        value = key(entry)
        if value is not None:
            found.setdefault(value, []).append(entry)
    return [tuple(group) for group in found.values() if len(group) > 1]


def _shared_files(cases: Iterable[CaseEntry], copies: Sequence[Group]) -> Iterator[str]:
    """Files that a table names in several rows, as a slip of the hand does; of copies it is known."""
    uses: dict[Hashable, dict[str, str]] = {}
    for entry in cases:
        for role, path in entry.files.items() if not entry.isFound else ():
            if place := _place(path):
                uses.setdefault(place, {}).setdefault(entry.case, f"{entry.case} ({role})")
    known = [{entry.case for entry in group} for group in copies]
    for use in uses.values():
        if len(use) > 1 and not any(use.keys() <= group for group in known):
            yield some_of([*use.values()], _SHOWN_NAMES, " = ")


def _told(what: str, groups: Sequence[Group], between: str) -> Iterator[str]:
    return _cut(what, [_names(group, between) for group in groups])


def _cut(what: str, told: Sequence[str]) -> Iterator[str]:
    if told:
        more = f"; and {len(told) - _SHOWN} times more" if len(told) > _SHOWN else ""
        yield f"{what}: {'; '.join(told[:_SHOWN])}{more}"


def _names(group: Group, between: str) -> str:
    return some_of([entry.case for entry in group], _SHOWN_NAMES, between)


def _places(entry: CaseEntry) -> Hashable:
    """Which files or folders the sequences are, whatever path leads there."""
    found = [_place(entry.files[name]) for name in SEQUENCES if name in entry.files]
    return tuple(found) if len(found) == len(SEQUENCES) and None not in found else None


def _place(path: Path) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _sizes(entry: CaseEntry) -> Hashable:
    return _by_sequence(entry, lambda files: tuple(sorted(file.stat().st_size for file in files)))


def _sampled(entry: CaseEntry) -> Hashable:
    return _by_sequence(entry, lambda files: tuple(map(_sample, _first_middle_last(files))))


def _contents(entry: CaseEntry) -> Hashable:
    return _by_sequence(entry, lambda files: tuple(sorted(map(_digest, files))))


def _by_sequence(entry: CaseEntry, of_files: Callable[[list[Path]], Hashable]) -> Hashable:
    """A value for each distinct file or folder of the sequences; None where something is missing."""
    if any(name not in entry.files for name in SEQUENCES):
        return None
    try:
        paths = dict.fromkeys(Path(entry.files[name]) for name in SEQUENCES)
        return tuple(of_files(_files(path)) for path in paths)
    except OSError:
        return None  # whoever reads the case says why


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(files_below(path))
    return [path, *data_files(path)]


def _first_middle_last(files: list[Path]) -> list[Path]:
    return [files[k] for k in sorted({0, len(files) // 2, len(files) - 1})] if files else []


def _sample(path: Path) -> bytes:
    """A digest of a file's beginning, middle and end."""
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as stream:
        for start in sorted({0, max(size // 2, 0), max(size - _BLOCK, 0)}):
            stream.seek(start)
            digest.update(stream.read(_BLOCK))
    return digest.digest()


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ):
            digest.update(block)
    return digest.digest()
