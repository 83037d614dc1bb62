"""What a batch is about: its settings, the work for one case, and what came of it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import GliomaGradingError
from ..files import absolute
from ..reading.files_below import files_below
from ..reading.text_headers import data_files
from .listing import CaseEntry

CASE_SECONDS = 900.0
TRIES = 2
"""How often a case may crash, hang or run out of memory before it is given up."""


STRANGENESS = "strangeness"
"""Of a reply, beside what result.json has: see ``familiarity``."""


class BatchStopped(GliomaGradingError):
    """The batch cannot go on: no room on the disk, no grading process. What is done stays."""


class BatchInterrupted(GliomaGradingError):
    """Somebody ended the batch. What is done stays; it can be resumed."""

    exit_status = 130


@dataclass(frozen=True)
class Settings:
    """How the cases of a batch are graded.

    Args:
        bundle: name or folder of a model bundle; None for the default.
        maskLabels: labels that make up the tumour; None leaves it to the layout, which mostly means all.
        reports: also report.html and slices.png for each case.
        dicom: also result.dcm and overlay.dcm for each case that came from DICOM.
        timeout: seconds after which a case counts as hung.
    """

    bundle: str | None = None
    device: str = "auto"
    vote: str = "majority"
    register: str = "auto"
    maskLabels: tuple[int, ...] | None = None
    reports: bool = False
    dicom: bool = False
    timeout: float = CASE_SECONDS

    def identity(self) -> dict[str, Any]:
        """The options that results depend on: two batches that differ here do not mix."""
        labels = sorted(set(self.maskLabels)) if self.maskLabels else None
        return {
            "device": self.device,
            "vote": self.vote,
            "register": self.register,
            "mask_labels": labels,
            "reports": self.reports,
            **({"dicom": True} if self.dicom else {}),  # results without are those that they always were
        }


@dataclass(frozen=True)
class Task:
    """One case to grade, in plain values that travel anywhere.

    Args:
        number: its place in the cohort.
        files: path by T1, T2, FLAIR and mask.
        isFound: they were found by their names, and not named by the user.
        tries: how often it was tried before; a second time it is graded alone.
    """

    number: int
    case: str
    files: Mapping[str, str]
    maskLabels: tuple[int, ...] | None
    settings: Settings
    tries: int = 0
    isFound: bool = False

    @classmethod
    def of(cls, number: int, entry: CaseEntry, settings: Settings) -> Task:
        files = {role: str(absolute(path)) for role, path in entry.files.items()}
        labels = entry.labels(settings.maskLabels)
        return cls(number, entry.case, files, labels, settings, isFound=entry.isFound)

    @property
    def isAlone(self) -> bool:
        return self.tries > 0

    def toMessage(self) -> dict[str, Any]:
        """As JSON values, for the grading process."""
        settings = self.settings
        return {
            "case": self.case,
            "files": dict(self.files),
            "found": self.isFound,
            "maskLabels": list(self.maskLabels) if self.maskLabels else None,
            "vote": settings.vote,
            "register": settings.register,
            "reports": settings.reports,
            "dicom": settings.dicom,
            "alone": self.isAlone,
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a task: a result with its files, or an error.

    Args:
        result: content of result.json, and the case's strangeness; None where it failed.
        files: content by name, result.json among them.
        error: what to tell the user.
        mayRetry: the error may be the process's or the machine's, not the case's.
    """

    task: Task
    result: dict[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    error: str = ""
    mayRetry: bool = False
    seconds: float = 0.0

    @property
    def strangeness(self) -> float | None:
        return self.result.get(STRANGENESS) if self.result else None


class Runner(Protocol):
    """Where cases are graded: a grading process of this machine, or the workers of a Dask cluster."""

    def start(self) -> dict[str, str]:
        """Loads the models; gives the description of the bundle. Raises what makes every case fail."""

    @property
    def window(self) -> int:
        """How many tasks to have given away at a time."""

    def submit(self, task: Task) -> None: ...

    def collect(self) -> list[Outcome]:
        """What is finished, after a short wait at most."""

    def close(self) -> None:
        """Ends everything that was started, at once."""


def fingerprint(
    files: Mapping[str, Path | str],
    folder: Path | None = None,
    labels: Sequence[int] | None = None,
    problem: str = "",
) -> str:
    """What tells a changed input: place, size and time of change (ns) of a case's files, and the labels of its
    mask, hashed; no voxel is read.

    A DICOM folder counts with every file in it and below it, and is looked through once, whatever it is for; a
    header with the file that holds its voxels. A file that cannot be looked at counts as what is wrong with it
    (``out_of_reach`` tells it from one that has changed).

    Args:
        folder: that places are relative to, so that a cohort may be moved as a whole.
        problem: why the case cannot be graded: where a table is at fault, who mends it there touches no file.
    """
    roles: dict[str, list[str]] = {}
    for role in sorted(files):
        roles.setdefault(str(absolute(Path(files[role]))), []).append(role)
    lines = [f"labels {sorted(set(labels))}" if labels else "labels all"]
    for path, names in roles.items():
        lines.append(f"{' '.join(names)} {_place(path, folder)}")
        lines += _states(path)
    lines += [f"problem {problem}"] if problem else []
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def out_of_reach(files: Mapping[str, Path | str]) -> str:
    """Why the first of a case's files that cannot be looked at cannot: its disk or share is away, or it is gone
    itself; '' where all can be."""
    for path in files.values():
        try:
            _look_at(str(path))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _place(path: str, folder: Path | None) -> str:
    try:
        return Path(os.path.relpath(path, absolute(folder))).as_posix() if folder else Path(path).name
    except ValueError:  # on another drive of Windows
        return path


def _states(path: str) -> list[str]:
    try:
        return _look_at(path)
    except OSError as error:
        return [f"error {error.errno}"]


def _look_at(path: str) -> list[str]:
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        return sorted(_below(Path(path)))
    others = data_files(Path(path)) if stat.S_ISREG(status.st_mode) else ()
    return [_state("", status), *map(_state_of, others)]


def _state_of(path: Path) -> str:
    try:
        return _state(path.name, path.stat())
    except OSError as error:
        return f"{path.name} error {error.errno}"


def _below(folder: Path) -> Iterator[str]:
    """The state of each file below a folder."""
    for path in files_below(folder):
        yield _state(f"/{path.relative_to(folder).as_posix()}", path.stat())


def _state(name: str, status: os.stat_result) -> str:
    return f"{name} {status.st_size} {status.st_mtime_ns}"
