"""A disk that is full at the n-th write, for every n: nothing half-written stays, nothing old is lost."""

from __future__ import annotations

import ast
import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from batch_stub import SHA, make_cohort, result
from GliomaGradingLib import cli, files
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.export import folder as result_folder
from GliomaGradingLib.export.outputs import write_result_folder
from GliomaGradingLib.files import all_or_nothing, write_atomically
from GliomaGradingLib.networks.bundle import METADATA, open_bundle, write_bundle
from GliomaGradingLib.words import SEQUENCES

from Testing.robustness.full_disk import FullDisk, contents, full_disks

LIBRARY = Path(__file__).resolve().parents[2] / "GliomaGrading" / "GliomaGradingLib"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
NO_ROOM = "No space left on device"


def each_full_disk(
    folder: Path, act: Callable[[], object], error: type[Exception] = OSError, least: int = 3
) -> Iterator[str]:
    """Acts on a disk that is full from the n-th write on, for every n, until there is room for all.

    Gives what was said each time it failed; ends where it succeeded.
    """
    failed = 0
    for disk in full_disks(folder):
        try:
            with disk:
                act()
        except error as caught:
            assert disk.isHit, caught
            failed += 1
            yield str(caught)
    assert failed >= least, "the disk was not written to"


# The disk itself


def test_the_full_disk_is_one(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with FullDisk(place, 1) as disk:
        with pytest.raises(OSError, match=NO_ROOM), (place / "a").open("wb") as file:
            file.write(b"0123456789")
        (tmp_path / "elsewhere").write_text("has room")
        for attempt in ((place / "b").mkdir, (place / "b").touch, lambda: (place / "a").rename(place / "c")):
            with pytest.raises(OSError, match=NO_ROOM):
                attempt()
    assert disk.isHit and contents(place) == {"a": b"01234"}
    assert (tmp_path / "elsewhere").read_text() == "has room"
    (place / "a").write_text("and now there is room")


# What a grading leaves


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A graded case whose pictures and report cost nothing to make."""
    monkeypatch.setattr(
        result_folder, "display_of", lambda graded: SimpleNamespace(synthetic=False, region=None)
    )
    monkeypatch.setattr(result_folder, "graded_inputs", lambda case: ())
    monkeypatch.setattr(result_folder, "slices_picture", lambda *_, **__: b"new picture" * 100)
    monkeypatch.setattr(result_folder, "report_html", lambda *_, **__: "new report" * 100)
    return SimpleNamespace(result=result("case", 0.9, 1.0), case=None)


def write_result(output: Path, graded: Any, bundle: Any) -> None:
    write_result_folder(output, result_folder.result_files(graded, bundle))


def test_result_folder_that_is_new(tmp_path: Path, graded: Any) -> None:
    output, bundle = tmp_path / "new" / "out", open_bundle()
    said = list(each_full_disk(tmp_path, lambda: write_result(output, graded, bundle), UsageError))
    assert all(NO_ROOM in words and "choose a folder" in words for words in said)
    assert len(said) >= 2 + 3 * 4, "two folders, three files that are made, written, flushed and moved"
    assert sorted(contents(output)) == ["report.html", "result.json", "slices.png"]


def test_a_failed_result_leaves_no_folder(tmp_path: Path, graded: Any) -> None:
    output = tmp_path / "new" / "out"
    for _ in each_full_disk(tmp_path, lambda: write_result(output, graded, open_bundle()), UsageError):
        assert contents(tmp_path) == {}


def test_a_failed_result_keeps_the_one_that_was_there(tmp_path: Path, graded: Any) -> None:
    for name in ("result.json", "report.html", "mine.txt"):  # slices.png was removed by somebody
        (tmp_path / name).write_text(f"old {name}")
    before = contents(tmp_path)
    for _ in each_full_disk(tmp_path, lambda: write_result(tmp_path, graded, open_bundle()), UsageError):
        assert contents(tmp_path) == before
    after = contents(tmp_path)
    assert sorted(after) == ["mine.txt", "report.html", "result.json", "slices.png"]
    assert after["mine.txt"] == before["mine.txt"] and after["report.html"] == b"new report" * 100


@pytest.mark.parametrize("link", ["links", "no links"])
def test_a_file_that_cannot_be_moved_takes_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "c").mkdir()  # a folder stands where the third file goes
    if link == "no links":  # as on FAT
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    before = contents(tmp_path)
    with pytest.raises(IsADirectoryError), all_or_nothing(tmp_path) as write:
        for name in "abc":
            write(name, f"new {name}")
    assert contents(tmp_path) == before
    (tmp_path / "c").rmdir()
    with all_or_nothing(tmp_path) as write:
        for name in "abc":
            write(name, f"new {name}")
        assert contents(tmp_path)["a"] == b"old a", "none is in its place before all are written"
    assert contents(tmp_path) == {name: f"new {name}".encode() for name in "abc"}


@pytest.mark.parametrize("locks", ["locks", "no locks"])
def test_two_that_write_at_once_leave_the_files_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    """The report of one grading beside the numbers of another would be believed."""
    if locks == "no locks":
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOTSUP, "no locks")))
    move, both = Path.replace, threading.Barrier(2)

    def slow(part: Path, path: Path) -> Path:
        moved = move(part, path)
        with contextlib.suppress(threading.BrokenBarrierError):  # where the other one waits for its turn
            both.wait(0.3)
        return moved

    def write_all(tag: str) -> None:
        with all_or_nothing(tmp_path / "out") as write:
            for name in "abc":
                write(name, tag)

    monkeypatch.setattr(Path, "replace", slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_all, "xy"))
    found = contents(tmp_path / "out")
    assert sorted(found) == ["a", "b", "c"]
    assert locks == "no locks" or len(set(found.values())) == 1


def test_who_moves_files_without_an_end_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TURN_SECONDS", 0.05)
    with files._turn_in(tmp_path), all_or_nothing(tmp_path) as write:
        write("a", "new")
    assert contents(tmp_path) == {"a": b"new"}


def test_a_folder_is_locked_by_one_at_a_time_and_through_no_link_where_none_is_wanted(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    descriptor = files.lock_folder(tmp_path / "link")
    with pytest.raises(BlockingIOError):
        files.lock_folder(tmp_path / "real")
    os.close(descriptor)
    os.close(files.lock_folder(tmp_path / "real"))
    with pytest.raises(OSError, match=r"directory|symbolic link"):
        files.lock_folder(tmp_path / "link", os.O_DIRECTORY | os.O_NOFOLLOW)


def test_what_no_path_can_be_is_not_there(tmp_path: Path) -> None:
    assert files.is_there(tmp_path) and not files.is_there(tmp_path, Path.is_file)
    assert not any(map(files.is_there, (tmp_path / "absent", Path("nul\0"), tmp_path / ("long" * 1000))))


@pytest.mark.parametrize("made", [("result.dcm", "overlay.dcm"), ("result.json",)])
def test_dicom_outputs(tmp_path: Path, made: tuple[str, ...]) -> None:
    """New ones take the place of the old ones; where there are none, the old ones are taken away."""
    new = {name: b"new " + name.encode() for name in made}
    for name in ("result.dcm", "overlay.dcm"):
        (tmp_path / name).write_bytes(b"old report")
    before = contents(tmp_path)
    for words in each_full_disk(tmp_path, lambda: write_result_folder(tmp_path, new), UsageError):
        assert contents(tmp_path) == before
        assert NO_ROOM in words and "the result cannot be written" in words
    assert contents(tmp_path) == new


@pytest.mark.parametrize("link", ["links", "no links"])
def test_an_interruption_at_any_line_leaves_the_old_result_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """A DICOM report of an earlier grade beside the new one would be believed, too."""
    if link == "no links":
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    old = dict.fromkeys(("result.json", "result.dcm", "overlay.dcm"), b"old")
    new = dict.fromkeys(("result.json", "report.html"), b"new")
    seen = []
    for number in range(1000):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in old.items():
            (folder / name).write_bytes(content)
        with _interrupted_at(number) as interruption, contextlib.suppress(KeyboardInterrupt):
            write_result_folder(folder, new)
        left = {name: data for name, data in contents(folder).items() if not name.startswith(".")}
        assert left in (old, new), interruption.line
        seen.append(left == new)
        if not interruption.line:
            break
    assert 30 < number < 1000 and seen == sorted(seen), "once it is the new one, it stays"
    assert seen[0] is False and contents(folder) == new


@contextlib.contextmanager
def _interrupted_at(number: int) -> Iterator[SimpleNamespace]:
    """Ctrl+C before the n-th line that the functions which bring files to their places run."""
    interruption = SimpleNamespace(line="", left=number)

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename != files.__file__ or code.co_name not in ("all_or_nothing", "_move_all", "_kept"):
            return None
        if event == "line" and not interruption.line:
            interruption.left -= 1
            if interruption.left < 0:
                interruption.line = f"{code.co_name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield interruption
    finally:
        sys.settrace(before)


def test_a_result_does_not_take_away_the_dicom_outputs_of_one_that_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has none and is about to remove an earlier one's, when the second comes with some."""
    unlink, is_removing = Path.unlink, threading.Event()

    def slow(path: Path, missing_ok: bool = False) -> None:
        if path.name == "result.dcm":
            is_removing.set()
            time.sleep(0.3)
        unlink(path, missing_ok)

    def write_all(tag: bytes, *names: str) -> None:
        write_result_folder(tmp_path, dict.fromkeys(("result.json", *names), tag))

    write_all(b"old", "result.dcm", "overlay.dcm")
    monkeypatch.setattr(Path, "unlink", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(write_all, b"first")
        assert is_removing.wait(5)
        write_all(b"second", "result.dcm", "overlay.dcm")
        first.result()
    assert contents(tmp_path) == dict.fromkeys(("overlay.dcm", "result.dcm", "result.json"), b"second")


def test_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from GliomaGradingLib import sample

    monkeypatch.setattr(sample, "sample_volumes", lambda preset: dict.fromkeys((*SEQUENCES, "mask")))
    monkeypatch.setattr(sample, "_nifti", lambda volume: b"volume")
    arguments = ["sample", str(tmp_path / "new" / "sample")]
    for n, disk in enumerate(full_disks(tmp_path)):
        with disk:
            status = cli.main(arguments)
        assert status == (2 if disk.isHit and contents(tmp_path) == {} else 0), n
    assert len(contents(tmp_path / "new" / "sample")) == 5


# What is printed


@pytest.mark.parametrize("arguments", [["models"], ["--version"], ["train", "--help"]])
def test_printing_onto_a_full_disk_is_told_in_a_line(tmp_path: Path, arguments: list[str]) -> None:
    """Standard output is buffered: little is written before the end, where Python would say it in its words."""
    with Path("/dev/full").open("w") as full:
        done = printed(arguments, tmp_path, full)
    room = "error: no space left on device, in standard output: make room there, or choose another place\n"
    assert (done.returncode, done.stderr) == (2, room)
    assert contents(tmp_path) == {}


def test_what_was_wrong_before_is_all_that_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = printed(["models", "--bundle", "absent"], tmp_path, full)
    assert done.returncode == 3 and done.stderr.startswith("error: there is no model bundle, in absent: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = printed(["models"], tmp_path, pipe)
    assert (done.returncode, done.stderr) == (1, "")


def printed(arguments: list[str], folder: Path, output: Any) -> subprocess.CompletedProcess[str]:
    paths = {**os.environ, "PYTHONPATH": str(LIBRARY.parent)}
    paths.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "GliomaGradingLib", *arguments]
    return subprocess.run(
        command, cwd=folder, env=paths, stdout=output, stderr=subprocess.PIPE, encoding="utf-8", check=False
    )


# What training leaves


def test_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from GliomaGradingLib.networks import bundle as bundle_module

    monkeypatch.setattr(bundle_module, "pack_state", lambda state: {"weights": torch.zeros(4)})
    model: Any = SimpleNamespace(state_dict=dict, backbone_name="googlenet-2014")
    metadata = {**open_bundle().metadata, "name": "exported"}
    folder, texts = tmp_path / "Models" / "exported", {"LICENSE": "ours\n"}

    def export() -> object:
        return write_bundle(folder, dict.fromkeys(SEQUENCES, model), metadata, texts)

    for _ in each_full_disk(tmp_path, export, least=15):
        assert contents(tmp_path) == {}
    assert sorted(contents(folder)) == ["LICENSE", "flair.pt", METADATA, "t1.pt", "t2.pt"]
    open_bundle(folder).verify()
    before, metadata["version"] = contents(folder), "9"
    for _ in each_full_disk(tmp_path, export, least=15):
        assert contents(folder) == before, "the bundle that was there is a bundle still"
    assert open_bundle(folder).version == "9"


def test_training_set(tmp_path: Path) -> None:
    from GliomaGradingLib.training.dataset import TrainingSet
    from small_training import small_training_set

    data, path = small_training_set(2), tmp_path / "data" / "set.npz"
    for words in each_full_disk(tmp_path, lambda: data.write(path)):
        assert not [name for name, content in contents(tmp_path).items() if content is not None]
        assert str(path) in words or str(path.parent) in words
    before = contents(path.parent)
    for _ in each_full_disk(tmp_path, lambda: small_training_set(3).write(path)):
        assert contents(path.parent) == before
    assert len(TrainingSet.read(path)) == 3


def test_the_command_line_says_which_file_there_was_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from GliomaGradingLib.training import crops
    from small_training import small_training_set

    data = small_training_set(2)
    monkeypatch.setattr(crops, "training_set_from_crops", lambda *_: data)
    output = tmp_path / "set.npz"
    arguments = ["prepare", "--crops", "a.npz", "--table", "a.csv", "--output", str(output)]
    for disk in full_disks(tmp_path):
        with disk:
            status = cli.main(arguments)
        said = capsys.readouterr().err
        if not output.exists():
            assert status == 2 and said == f"error: no space left on device, in {output}: {ROOM}\n", said
    assert status == 0 and len(contents(tmp_path)) == 1


ROOM = "make room there, or choose another place"


def test_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from GliomaGradingLib.networks.image_form import ImageForm
    from GliomaGradingLib.training.fit import Fit
    from GliomaGradingLib.training.recipe import Recipe
    from GliomaGradingLib.training.splits import patient_split
    from small_training import small_training_set

    data = small_training_set()
    recipe = Recipe(pretrained=False, probe=False, epochs=1, image=ImageForm(pixels=32))
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    fit = Fit(data, 0, split, recipe, checkpoint)
    states = [b"state 1" * 1000, b"state 2" * 1000]  # a real one has 70 MB
    monkeypatch.setattr(torch, "save", lambda state, buffer: buffer.write(states[0]))
    for _ in each_full_disk(tmp_path, fit._save):
        assert not [name for name, content in contents(tmp_path).items() if content is not None]
    assert contents(checkpoint.parent) == {"checkpoint.pt": states.pop(0)}
    for _ in each_full_disk(tmp_path, fit._save):
        assert contents(checkpoint.parent) == {"checkpoint.pt": b"state 1" * 1000}, "the last epoch's is whole"
    assert contents(checkpoint.parent) == {"checkpoint.pt": states[0]}


def test_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a full disk ends, the same command goes on, and its predictions are those of a quiet run."""
    from GliomaGradingLib.training import study as study_module
    from GliomaGradingLib.training.fit import EpochFigures
    from GliomaGradingLib.training.recipe import Recipe
    from GliomaGradingLib.training.study import Study, read_study, run_study
    from small_training import small_training_set

    class Fit:
        """No network: the logits are the grades, and the sequence's number."""

        def __init__(self, data: Any, sequence: int, *_: object) -> None:
            self.source, self.curves = (data.grades, sequence), [EpochFigures(1, 0.1, 0.5, 1.0)]

        def run(self, done: Any) -> None:
            if done:
                done(self.curves[0])

    monkeypatch.setattr(study_module, "Fit", Fit)
    monkeypatch.setattr(
        study_module,
        "part_logits",
        lambda _model, source, part: source[0][part.patient] + 10.0 * source[1] + 0.01 * part.slice,
    )
    data, study = small_training_set(4), Study(folds=2, recipe=Recipe(pretrained=False))
    quiet = run_study(data, study, tmp_path / "quiet")
    place, failures = tmp_path / "disk", 0
    place.mkdir()
    for disk in full_disks(place):
        try:
            with disk:
                run_study(data, study, place / "study")
        except OSError:
            failures += 1
            assert not list(place.rglob("*.part"))
            for path in place.rglob("*.json"):
                json.loads(path.read_text(encoding="utf-8"))
            for path in place.rglob("*.npy"):
                assert np.load(path).shape == (40,)
            with pytest.raises(UsageError, match="no finished study"):
                read_study(place / "study")
    assert failures >= 10
    np.testing.assert_allclose(read_study(place / "study")[1].logits, quiet.logits, atol=1e-5)
    assert read_study(place / "study")[1].logits[:, 2].min() >= 20


def test_the_curve_of_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint got to the disk and the row did not: on resume no epoch is left that would write it."""
    from GliomaGradingLib.training import fit as fit_module
    from GliomaGradingLib.training import study as study_module
    from GliomaGradingLib.training.fit import EpochFigures, curves_csv
    from GliomaGradingLib.training.recipe import Recipe
    from GliomaGradingLib.training.study import Study, run_study
    from small_training import small_training_set

    both = [EpochFigures(1, 0.1, 0.5, 1.0), EpochFigures(2, 0.05, 0.6, 0.9)]

    class Fit:
        """Two epochs; those of the checkpoint are not made again."""

        def __init__(self, _data: Any, _sequence: int, _split: Any, _recipe: Any, checkpoint: Path, *_: object):
            self.checkpoint, self.source = checkpoint, None
            self.curves = both[: int(checkpoint.read_text())] if checkpoint.exists() else []

        def run(self, done: Any) -> None:
            for figures in both[len(self.curves) :]:
                self.curves = [*self.curves, figures]
                self.checkpoint.write_text(str(len(self.curves)))
                done(figures)

    def no_room(path: Path, content: bytes) -> None:
        if path.name == "curves.csv" and content == curves_csv(both).encode():
            raise OSError(errno.ENOSPC, NO_ROOM)
        write_atomically(path, content)

    monkeypatch.setattr(study_module, "Fit", Fit)
    monkeypatch.setattr(study_module, "part_logits", lambda _model, _source, part: 0.0 * part.patient)
    data, study = small_training_set(4), Study(folds=2, recipe=Recipe(pretrained=False))
    with monkeypatch.context() as full:
        for module in (fit_module, study_module):
            full.setattr(module, "write_atomically", no_room)
        with pytest.raises(OSError, match=NO_ROOM):
            run_study(data, study, tmp_path)
    run_study(data, study, tmp_path)
    curves = [path.read_text() for path in tmp_path.rglob("curves.csv")]
    assert curves == [curves_csv(both)] * 6


# What a batch leaves


class Instant:
    """A runner without a process: the T1's first byte is the probability in per cent."""

    window = 2

    def __init__(self) -> None:
        self.queue: list[Any] = []

    def start(self) -> dict[str, str]:
        return {"name": "stub", "version": "1", "backbone": "none", "sha256": SHA}

    def submit(self, task: Any) -> None:
        self.queue.append(task)

    def collect(self) -> list[Any]:
        from GliomaGradingLib.cohort.work import Outcome

        task = self.queue.pop()
        made = result(task.case, Path(task.files["T1"]).read_bytes()[0] / 100, 1.0)
        files = {"result.json": made.toJson().encode(), "thumbnail.png": b"picture"}
        return [Outcome(task, made.toDict(), files, seconds=1.0)]

    def close(self) -> None: ...


def test_batch(tmp_path: Path) -> None:
    """What was reported is whole; --resume does the rest, and the end is that of a quiet batch."""
    from GliomaGradingLib.cohort.batch import Watch
    from GliomaGradingLib.cohort.run import BatchJob, run
    from GliomaGradingLib.cohort.work import BatchStopped, Settings
    from GliomaGradingLib.errors import GliomaGradingError

    source = make_cohort(tmp_path / "in", ["anna", "berta"])
    run(BatchJob(source, tmp_path / "quiet"), Settings(), Instant)
    quiet = contents(tmp_path / "quiet")
    for n, disk in enumerate(full_disks(tmp_path / f"disk {0}" / "out")):
        place = tmp_path / f"disk {n}"
        disk.folder, reported = str(place), []
        watch = Watch(finished=lambda case, counts, reported=reported: reported.append(case))
        try:
            with disk:
                run(BatchJob(source, place / "out"), Settings(), Instant, watch)
        except (BatchStopped, UsageError) as caught:
            assert NO_ROOM in str(caught), n
            for case in reported:
                found = (place / "out" / "cases" / case / "result.json").read_bytes()
                assert found == quiet[f"cases/{case}/result.json"]
            for path in (place / "out").rglob("result.json") if place.exists() else ():
                assert path.read_bytes() == quiet[path.relative_to(place / "out").as_posix()], n
        except GliomaGradingError as other:
            raise AssertionError(f"{n}: {other}") from other
        assert not list(place.rglob("*.part")), n
        run(BatchJob(source, place / "out", resume=True), Settings(), Instant)
        assert same(contents(place / "out")) == same(quiet), n
    assert n > 15


def same(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Without what the order of cases or the moment decides."""
    return {name: content for name, content in found.items() if name not in ("journal.jsonl", "batch.lock")}


# What goes to the grading process and back


def test_images_on_their_way(tmp_path: Path) -> None:
    from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume
    from GliomaGradingLib.worker.protocol import WorkerError

    volumes = {name: ArrayVolume(np.ones((3, 4, 5))) for name in (*SEQUENCES, "mask")}
    sent: list[Any] = []

    def send() -> None:
        sent.append(ArrayFile(volumes, tmp_path))
        sent[-1].write()

    for words in each_full_disk(tmp_path, send, WorkerError):
        assert contents(tmp_path) == {}
        assert NO_ROOM in words and "set TMPDIR" in words
    assert sent[-1].isComplete and sent[-1].remove() and contents(tmp_path) == {}


def test_maps_on_their_way_back(tmp_path: Path) -> None:
    from GliomaGradingLib.worker.arrays import write_output
    from GliomaGradingLib.worker.protocol import WorkerError

    def answer() -> None:
        (tmp_path / "output.raw").unlink(missing_ok=True)
        write_output(str(tmp_path / "output.raw"), {"maps": np.ones((3, 20, 10, 12), np.float32)})

    for words in each_full_disk(tmp_path, answer, WorkerError, least=2):
        assert NO_ROOM in words and "set TMPDIR" in words


# Everything else


def test_every_file_is_written_whole_or_not_at_all() -> None:
    """Files of results come from ``files``, but for those that have another way to be whole."""
    known = {
        "files.py": "what the others use",
        "cohort/journal.py": "a record that is not whole is cut off when the journal is opened again",
        "cohort/lock.py": "holds no results",
        "cohort/dask_worker.py": "a private folder of a worker, checked by its hashes",
        "sample.py": "ITK's, in a private folder that goes at once",
    }
    found = {
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _writes(node)
    }
    assert found <= set(known), "write by write_atomically or all_or_nothing"


def _writes(call: ast.Call) -> bool:
    """Whether a call writes a file, or opens one to write in; what is given a buffer does not."""
    name = getattr(call.func, "attr", "")
    if name in ("write_text", "write_bytes", "WriteImage", "tofile", "copyfile", "truncate", "touch"):
        return True
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    if name in ("savefig", "savez", "savez_compressed", "save_as", "savetxt", "save"):
        return not any(isinstance(v, ast.Name) and v.id in ("buffer", "stream", "figure") for v in values)
    texts = {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    opens = bool(texts & {"w", "wb", "x", "xb", "a", "ab", "r+b"}) or any(
        "O_CREAT" in ast.unparse(v) for v in values
    )
    return name == "open" and opens


def test_a_write_that_fails_names_its_file(tmp_path: Path) -> None:
    for words in each_full_disk(tmp_path, lambda: write_atomically(tmp_path / "a.txt", "text")):
        assert "a.txt" in words and NO_ROOM in words
