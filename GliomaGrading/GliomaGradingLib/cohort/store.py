"""The output folder of a batch: what is in it, what may be added, and that all of it outlives a power cut.

::

    batch.json      the bundle, options and software that all results share
    journal.jsonl   a line for each case that is done (``journal``)
    batch.lock      held by the batch that writes here (``lock``)
    cases/NAME/     result.json and thumbnail.png of a graded case; with reports also report.html, slices.png;
                    and whatever somebody else has put there (``case_folder``)
    results.csv     a row per case; during the run the rows that there are
    cases.csv       at the end, what results.csv has no column for (``case_table``)
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..errors import GliomaGradingError, UsageError
from ..export.outputs import RESULT
from ..export.tables import COLUMNS, GRADED, Row, csv_line, plain
from ..files import sync_folder, write_atomically, write_durably
from ..wording import some_of
from . import journal
from .case_folder import is_of_a_case, put_in_place, remove_results
from .lock import FolderLock
from .work import BatchStopped

SCHEMA = "glioma-grading/batch/2"
BATCH, JOURNAL, CASES, RESULTS = "batch.json", "journal.jsonl", "cases", "results.csv"
PAGE, EVALUATION, CASE_TABLE = "cohort.html", "evaluation.json", "cases.csv"
_OURS = (BATCH, JOURNAL, CASES, RESULTS, CASE_TABLE, PAGE, EVALUATION)
_PART = ".part"
_SHOWN_NAMES = 5
_OTHER_INPUT = (
    "restore the input, add --retry-changed to grade what has changed again and drop what is gone, "
    "use --overwrite to start anew, or choose another --output"
)
_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{12}\.part", re.DOTALL)
"""Names of what is not written to its end, as ``_write_case`` and ``files`` make them."""


class Done(NamedTuple):
    """What memory keeps of a case that is done: its input's fingerprint and its line of results.csv.

    ``sizes``: of its files in bytes, by name. ``strangeness``: of ``Verdict``; None where it is not known.
    """

    fingerprint: str
    status: str
    decision: str
    error: str
    line: str
    folder: str
    sizes: Mapping[str, int]
    strangeness: float | None


class Changes(NamedTuple):
    """Cases that an earlier batch graded and that count no more: their input has changed, or they are gone."""

    changed: Mapping[str, Done]
    gone: Mapping[str, Done]

    def told(self) -> list[str]:
        """What was done about either, with the number of cases and some names."""
        return [
            f"{what}: {len(cases)} ({some_of(list(cases), _SHOWN_NAMES)})"
            for cases, what in (
                (self.changed, "Tried again, the input having changed"),
                (self.gone, "Dropped with their results, being no longer in the input"),
            )
            if cases
        ]


class Inputs(NamedTuple):
    """What an input is now.

    Args:
        fingerprint: of a case's files. outOfReach: why they cannot be looked at; '' where they can be.
        unread: what else could not be looked into, and why; cases may lie there.
    """

    cases: Sequence[str]
    fingerprint: Callable[[str], str]
    outOfReach: Callable[[str], str]
    unread: Sequence[str]


class Store:
    """Holds the output folder; from the moment it is made until ``close`` nobody else writes there.

    ``done``: what there is of cases. ``outdated``: those of them that have to be done again.

    Args:
        resume: go on with what is there.
        overwrite: remove what an earlier batch left, and nothing else.

    Raises:
        UsageError: the folder holds a batch and neither was asked for, holds something else that would be
            overwritten, cannot be written to, or another batch writes there.
    """

    def __init__(self, folder: Path, resume: bool = False, overwrite: bool = False) -> None:
        self.folder = folder
        self.done: dict[str, Done] = {}
        self.outdated: set[str] = set()
        self.model: dict[str, str] = {}
        self._resume, self._overwrite = resume, overwrite
        self._journal: journal.Journal | None = None
        self._is_retired = False
        self._made: list[Path] = []
        try:
            self._made += [place for place in (folder, *folder.parents) if not place.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            for place in self._made:
                sync_folder(place.parent)
            self._lock = FolderLock(folder)
        except OSError as error:
            self._remove_made()
            raise _unwritable(error, folder) from error
        except BaseException:
            self._remove_made()
            raise
        try:
            self._earlier = self._inspect()
        except BaseException:
            self.close()
            raise

    def recall(self, options: Mapping[str, Any]) -> None:
        """Take up what an earlier batch has done; all of it that needs no models, which take seconds to load.

        Raises:
            UsageError: the earlier batch had other options or another version.
        """
        if not self._earlier or self._overwrite:
            return
        _check_same(_other_options(self._earlier, options), self.folder)
        try:
            for record in journal.read(self.folder / JOURNAL):
                case = record["case"]
                if record.get("outdated"):
                    self.outdated.add(case)
                    continue
                self.outdated.discard(case)
                if record.get("dropped"):
                    self.done.pop(case, None)
                else:
                    self.done[case] = _done(record)
        except OSError as error:
            raise _unwritable(error, self.folder) from error

    def open(self, model: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Begin, or go on where an earlier batch ended (after ``recall``).

        Raises:
            UsageError: the earlier batch had another bundle, or was graded on another device.
        """
        self.model = dict(model)
        identity = {"model": dict(model), "options": dict(options), "glioma-grading": __version__}
        try:
            if self._earlier and self._overwrite:
                self._clear()
            elif self._earlier:
                _check_same(_other_model(self._earlier, model), self.folder)
            if not self._earlier or self._overwrite:  # first of all: without it nothing here is known as ours
                text = json.dumps({"schema": SCHEMA, **identity}, indent=2, ensure_ascii=False)
                write_atomically(self.folder / BATCH, text + "\n")
            (self.folder / CASES).mkdir(exist_ok=True)
            self._sweep()
            self._journal = journal.Journal(self.folder / JOURNAL)
        except OSError as error:
            raise _unwritable(error, self.folder) from error

    def keep(
        self,
        case: str,
        name: str,
        fingerprint: str,
        row: Row,
        files: Mapping[str, bytes],
        strangeness: float | None = None,
    ) -> None:
        """Make a case's outcome durable; when this returns, it may be reported.

        Raises:
            BatchStopped: there is no room, or the disk fails. Nothing of the case is left then.
        """
        assert self._journal is not None
        self.done.pop(case, None)  # a result that is replaced; where that fails, it is none either
        record = {
            "case": case, "input": fingerprint, "folder": name, "row": row,
            "sizes": {file: len(content) for file, content in files.items()}, "strangeness": strangeness,
        }  # fmt: skip
        try:
            self._retire()
            self._write_case(name, files)
            self._journal.append(record)
        except OSError as error:
            raise no_room(error, self.folder) from error
        self.done[case] = _done(record)
        self.outdated.discard(case)

    def outdate(self, cases: Iterable[str]) -> None:
        """Have cases done again, for good; what an earlier batch made of them stays until then.

        Raises:
            BatchStopped: there is no room, or the disk fails.
        """
        assert self._journal is not None
        try:
            for case in cases:
                self._journal.append({"case": case, "outdated": True})
                self.outdated.add(case)
        except OSError as error:
            raise no_room(error, self.folder) from error

    def isDone(self, case: str) -> bool:
        """Whether a case need not be done (again)."""
        return case in self.done and case not in self.outdated

    def drop(self, cases: Mapping[str, Done]) -> None:
        """Remove what an earlier batch made of cases, for good.

        Raises:
            BatchStopped: there is no room, or the disk fails.
        """
        assert self._journal is not None
        try:
            for case, done in cases.items():
                self._retire()
                remove_results(self.folder / CASES / done.folder, done.sizes)
                self._journal.append({"case": case, "dropped": True})
        except OSError as error:
            raise no_room(error, self.folder) from error

    def isWhole(self, case: str) -> bool:
        """Whether the files of a case that is done are there, none of them cut short, its result readable."""
        done = self.done[case]
        folder = self.folder / CASES / done.folder
        if any(_size(folder / name) != size for name, size in done.sizes.items()):
            return False
        try:
            return RESULT not in done.sizes or bool(self.result(case))
        except UsageError:  # a file system that lost power may leave zeros in it
            return False

    def write_table(self, cases: Iterable[str]) -> None:
        """results.csv with the rows that there are, in this order of cases.

        Raises:
            BatchStopped: there is no room, or the disk fails.
        """
        lines = [self.done[case].line for case in cases if case in self.done]
        try:
            write_atomically(self.folder / RESULTS, "".join([",".join(COLUMNS) + "\n", *lines]))
        except OSError as error:
            raise no_room(error, self.folder) from error

    def result(self, case: str) -> dict[str, Any]:
        """result.json of a graded case.

        Raises:
            UsageError: it cannot be read.
        """
        path = self.folder / CASES / self.done[case].folder / RESULT
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("it is no object")
        except (OSError, ValueError, RecursionError) as error:
            problem = f"the result of {case} cannot be read ({error})"
            raise UsageError(problem, path, "run again with --resume, which grades the case again") from error
        return values

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._lock.isNew and not (self.folder / BATCH).exists():  # nothing was begun, nothing stays
            self._lock.discard()
            self._remove_made()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remove_made(self) -> None:
        for place in self._made:
            with contextlib.suppress(OSError):  # somebody else's file is in it by now
                place.rmdir()

    def _inspect(self) -> dict[str, Any]:
        """batch.json of the earlier batch; empty where there was none."""
        ours = [name for name in _OURS if os.path.lexists(self.folder / name)]
        if not ours:
            return {}
        if BATCH not in ours:
            self._check_has_record()
            problem = f"the folder holds a {ours[0]} that no batch of this program wrote"
            raise UsageError(problem, self.folder, "choose an empty folder")
        if not (self._resume or self._overwrite):
            remedy = "add --resume to go on with it, --overwrite to start anew, or choose another folder"
            raise UsageError("the folder holds the results of a batch", self.folder, remedy)
        return _read_batch(self.folder / BATCH, self._overwrite)

    def _check_has_record(self) -> None:
        if next(journal.read(self.folder / JOURNAL), None) is not None:
            raise UsageError(
                "the folder holds the results of a batch, and its batch.json is missing",
                self.folder,
                "restore batch.json, choose another --output, or move the folder away",
            )

    def _retire(self) -> None:
        """Removes, before the first new outcome, what an earlier batch wrote at its end of fewer cases."""
        if not self._is_retired:
            for name in (CASE_TABLE, PAGE, EVALUATION):
                (self.folder / name).unlink(missing_ok=True)
            self._is_retired = True

    def _clear(self) -> None:
        self._clear_cases()
        for name in (RESULTS, CASE_TABLE, PAGE, EVALUATION, JOURNAL):
            (self.folder / name).unlink(missing_ok=True)

    def _clear_cases(self) -> None:
        if not (self.folder / CASES).is_dir():
            return
        records = journal.read(self.folder / JOURNAL)
        written = {record["folder"]: record["sizes"] for record in records if "folder" in record}
        for folder in list((self.folder / CASES).iterdir()):
            if folder.name in written or is_of_a_case(folder):
                remove_results(folder, written.get(folder.name, ()))

    def _sweep(self) -> None:
        """Removes what a killed batch had begun to write."""
        for path in (*_leftovers(self.folder / CASES), *_leftovers(self.folder)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write_case(self, name: str, files: Mapping[str, bytes]) -> None:
        cases = self.folder / CASES
        target = cases / name
        if not files:
            remove_results(target)
            return
        part = cases / f".{name}.{secrets.token_hex(6)}{_PART}"
        try:
            part.mkdir()
            for file, content in files.items():
                write_durably(part / file, content)
            sync_folder(part)
            put_in_place(part, target)
            sync_folder(cases)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            with contextlib.suppress(OSError):
                remove_results(target)  # where only its name did not get to the disk
            raise


def check_inputs(store: Store, inputs: Inputs, retryChanged: bool = False) -> Changes:
    """Refuses to go on where the input of a graded case has changed or is gone; or gives these to the caller.

    Cases that had failed are done again if their input has changed; new cases are welcome.

    Raises:
        UsageError: says which; with ``retryChanged`` only where most cases of the earlier batch are gone, and
            where the input of some cannot be looked at: their results are still good.
    """
    known = set(inputs.cases)
    for case in [case for case, done in store.done.items() if case not in known and done.status != GRADED]:
        del store.done[case]  # nothing was made of it
    gone = [case for case in store.done if case not in known]
    if gone and inputs.unread:
        raise _away(store, gone, inputs.unread[0])
    if retryChanged:
        _check_some_left(store, gone)
    elif gone:
        _check_names(store, gone, {c: inputs.fingerprint(c) for c in inputs.cases if c not in store.done})
    done = [case for case in inputs.cases if store.isDone(case)]
    changed = [case for case in done if inputs.fingerprint(case) != store.done[case].fingerprint]
    failed = {case for case in changed if store.done[case].status != GRADED}
    for case in failed:
        del store.done[case]
    changed = [case for case in changed if case not in failed]
    graded = {case for case, earlier in store.done.items() if earlier.status == GRADED}
    again = {*changed, *(store.outdated & graded)}
    if away := [case for case in inputs.cases if case in again and inputs.outOfReach(case)]:
        raise _away(store, away, f"{away[0]}: {inputs.outOfReach(away[0])}")
    if retryChanged:
        return Changes(
            {case: store.done[case] for case in changed}, {case: store.done.pop(case) for case in gone}
        )
    if gone:
        were, are = ("was", "is") if len(gone) == 1 else ("were", "are")
        problem = f"{some_of(gone, 1)} {were} graded here and {are} no longer in the input"
        raise UsageError(problem, store.folder, _OTHER_INPUT)
    if changed:
        problem = f"the input of {some_of(changed, 1)} has changed since it was graded"
        raise UsageError(problem, store.folder, _OTHER_INPUT)
    return Changes({}, {})


def _away(store: Store, cases: Sequence[str], why: str) -> UsageError:
    return UsageError(
        f"the input of {some_of(cases, 1)}, graded here, cannot be looked at now ({why})",
        store.folder,
        "connect what is away (a disk, a share, the data behind links) or allow to read it, then run again; "
        "where it is gone for good, take it out of the input, and --retry-changed drops its results",
    )


def _check_some_left(store: Store, gone: Sequence[str]) -> None:
    """An input that has few of the cases is another input, or a part of it, and not this one without some."""
    if not _are_most_gone(store, gone):
        return
    graded = len(store.done)
    which = f"none of the {graded}" if len(gone) == graded else f"only {graded - len(gone)} of the {graded}"
    raise UsageError(
        f"{which} cases that were graded here are in the input, which lacks {min(gone)}",
        store.folder,
        "give the whole input of this batch, use --overwrite for a batch of another one, "
        "or choose another --output",
    )


def _are_most_gone(store: Store, gone: Sequence[str]) -> bool:
    return 2 * len(gone) > len(store.done)


def _check_names(store: Store, gone: Sequence[str], joined: Mapping[str, str]) -> None:
    """Cases are called otherwise where others have joined them: ``p1`` is ``siteA_p1`` beside ``siteB_p1``.

    Args:
        joined: the inputs of cases that are new.
    """
    names = {inputs: case for case, inputs in joined.items()}
    renamed = {case: now for case in sorted(gone) if (now := names.get(store.done[case].fingerprint))}
    have_others_joined = not joined.keys() <= set(renamed.values())
    for case, now in renamed.items():
        if have_others_joined and now.casefold() != case.casefold():
            raise UsageError(
                f"{case} was graded here, and is called {now} since others have joined the input",
                store.folder,
                "grade the others into a folder of their own, or use --overwrite to start anew",
            )
        again = "" if _are_most_gone(store, gone) else "add --retry-changed to grade it again, "
        raise UsageError(
            f"{case} was graded here, and is called {now} now",
            store.folder,
            f"give it its name back, {again}or use --overwrite to start anew",
        )


def no_room(error: OSError, folder: Path) -> BatchStopped:
    if isinstance(error, PermissionError):
        return BatchStopped(
            f"the results cannot be written ({error.strerror or error})",
            Path(error.filename) if isinstance(error.filename, str) else folder,
            "close the program that has the file open, then run again with --resume; what was reported is safe",
        )
    if isinstance(error, FileExistsError):
        return BatchStopped(
            "a file that no batch wrote stands where the results of a case go",
            Path(error.filename),
            "move it away, then run again with --resume; what was reported is safe",
        )
    return BatchStopped(
        f"the results cannot be written ({error.strerror or error})",
        folder,
        "make room or mend the disk, then run again with --resume; what was reported is safe",
    )


def _unwritable(error: OSError, folder: Path) -> GliomaGradingError:
    problem = f"the results cannot be written ({error.strerror or error})"
    return UsageError(problem, folder, "choose a folder that you may write to")


def _read_batch(path: Path, is_overwritten: bool) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise ValueError(f"it is not of schema {SCHEMA}")
    except (OSError, ValueError) as error:
        if is_overwritten and isinstance(error, ValueError):
            return {"schema": SCHEMA}
        raise UsageError(f"the earlier batch cannot be read ({error})", path, "use --overwrite") from error
    return values


_Differences = Iterator[tuple[str, Any, Any]]
"""What is not as it was, with its value then and now."""


def _check_same(differences: _Differences, folder: Path) -> None:
    for what, before, after in differences:
        made = _with(what, before)
        raise UsageError(
            f"the results here were made {made}, and this batch is {_with(what, after)}",
            folder,
            f"run it {made}, use --overwrite to start anew, or choose another --output",
        )


def _with(what: str, value: Any) -> str:
    """A setting in words: a switch, and an option that was not given, have no value to show."""
    if value is None or value is False:
        return f"without {what}"
    if value is True:
        return f"with {what}"
    return f"with {what} {','.join(map(str, value)) if isinstance(value, list) else value}"


def _other_model(earlier: Mapping[str, Any], model: Mapping[str, Any]) -> _Differences:
    before = earlier.get("model", {})
    if before.get("sha256") != model.get("sha256"):
        yield "bundle", _named(before), _named(model)
    if before.get("device") != model.get("device"):  # which one ``--device auto`` came to
        yield "device", before.get("device"), model.get("device")


def _other_options(earlier: Mapping[str, Any], options: Mapping[str, Any]) -> _Differences:
    for key in sorted({*earlier.get("options", {}), *options}):
        old, new = (_in_order(of.get(key)) for of in (earlier.get("options", {}), options))
        if old != new:
            yield f"--{key.replace('_', '-')}", old, new
    if earlier.get("glioma-grading") != __version__:
        yield "version", earlier.get("glioma-grading"), __version__


def _in_order(value: Any) -> Any:
    """Labels of masks may be given, and were once kept, in any order."""
    return sorted(set(value)) if isinstance(value, list) else value


def _named(model: Mapping[str, Any]) -> str:
    return f"{model.get('name')} {model.get('version')} (sha256 {str(model.get('sha256'))[:12]})"


def _done(record: Mapping[str, Any]) -> Done:
    row, strangeness = record["row"], record.get("strangeness")
    told = row["status"], row["decision"], plain(row["error"])
    return Done(record["input"], *told, csv_line(row), record["folder"], record["sizes"], strangeness)


def _size(path: Path) -> int:
    """-1 where there is no such file."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError:
        return -1


def _leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]
