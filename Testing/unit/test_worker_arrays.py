"""Images on their way to the child: every voxel arrives, nobody else reads them, nothing stays."""

from __future__ import annotations

import gc
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.worker import arrays as exchange
from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume, MappedFile, open_request, write_output
from GliomaGradingLib.worker.protocol import ProtocolError, WorkerError, decode, encode

TYPES = ["bool", "int8", "uint8", ">i2", "<i2", "uint16", ">i4", "int64", "uint64", "float16", ">f4", "f8"]


def ramp(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (np.arange(int(np.prod(shape))).reshape(shape) % 117).astype(dtype)


def crossed(file: ArrayFile) -> tuple[dict[str, ArrayVolume], MappedFile]:
    """What the child sees of a written file."""
    mapped = MappedFile()
    return open_request(mapped, decode(encode(file.toMessage()))), mapped


@pytest.mark.parametrize("dtype", TYPES)
def test_every_voxel_type_arrives(tmp_path: Path, dtype: str) -> None:
    sent = ramp((3, 5, 7), dtype)
    with ArrayFile({"T1": ArrayVolume(sent), "mask": ArrayVolume(sent[::-1])}, tmp_path) as file:
        file.write()
        volumes, mapped = crossed(file)
        assert np.array_equal(volumes["T1"].array, sent) and np.array_equal(volumes["mask"].array, sent[::-1])
        assert volumes["T1"].array.dtype == np.dtype(dtype).newbyteorder("<")
        assert not volumes["T1"].array.flags.writeable
        del volumes
        assert mapped.close()


def test_geometry_arrives(tmp_path: Path) -> None:
    direction = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    array = ramp((2, 3, 4), "int16")
    sent = ArrayVolume(array, (0.7, 1.0, 5.0), (-12.5, 3.0, 1e-3), direction, "Köpf 1.nrrd")
    with ArrayFile({"FLAIR": sent}, tmp_path) as file:
        file.write()
        volumes, mapped = crossed(file)
        got = volumes["FLAIR"]
        assert (got.spacing, got.origin, got.source) == (sent.spacing, sent.origin, sent.source)
        assert np.array_equal(got.direction, direction)
        del volumes, got
        mapped.close()


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, ::-1, ::-1],
    "strided": lambda a: a[:, ::2, ::3],
    "fortran": np.asfortranarray,
    "one plane": lambda a: a[:1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_in_any_memory_order_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sent = VIEWS[name](ramp((6, 10, 15), "int32"))
    monkeypatch.setattr(exchange._blocks, "__defaults__", (100,))
    with ArrayFile({"T2": ArrayVolume(sent)}, tmp_path) as file:
        file.write()
        volumes, mapped = crossed(file)
        assert np.array_equal(volumes["T2"].array, sent)
        del volumes
        mapped.close()


@pytest.mark.parametrize("shape", [(1,), (50,), (3, 7), (5, 4, 3), (2, 40, 30), (1, 1, 500)])
@pytest.mark.parametrize("limit", [8, 64, 1000])
def test_blocks_are_small_and_whole(shape: tuple[int, ...], limit: int) -> None:
    array = ramp(shape, "int64")
    blocks = list(exchange._blocks(array, limit))
    assert max(block.nbytes for block in blocks) <= limit
    assert np.array_equal(np.concatenate([block.ravel() for block in blocks]), array.ravel())


def test_writing_goes_in_steps_to_the_end(tmp_path: Path) -> None:
    volumes = {name: ArrayVolume(np.ones((40, 256, 256), "float32")) for name in ("T1", "T2", "FLAIR")}
    with ArrayFile(volumes, tmp_path) as file:
        fractions = []
        for fraction in file.write_steps():
            fractions.append(fraction)
            assert file.isComplete == (fraction == 1)
        size = 3 * 40 * 256 * 256 * 4
        assert len(fractions) == -(-size // 3 // exchange.STEP_BYTES) * 3
        assert fractions == sorted(fractions) and fractions[-1] == 1
        assert file.path.stat().st_size == size


def test_writing_goes_on_where_it_was_left(tmp_path: Path) -> None:
    array = ramp((40, 256, 256), "float32")
    with ArrayFile({"T1": ArrayVolume(array), "T2": ArrayVolume(array + 1)}, tmp_path) as file:
        first = next(file.write_steps())
        second = next(file.write_steps())
        assert 0 < first < second < 1 and not file.isComplete
        file.write()
        volumes, mapped = crossed(file)
        assert np.array_equal(volumes["T1"].array, array) and np.array_equal(volumes["T2"].array, array + 1)
        del volumes
        mapped.close()
        assert list(file.write_steps()) == []


def test_what_was_removed_half_way_is_not_complete(tmp_path: Path) -> None:
    file = ArrayFile({"T1": ArrayVolume(np.zeros((30, 256, 256), "float32"))}, tmp_path)
    next(file.write_steps())
    assert file.remove()
    file.write()
    with pytest.raises(WorkerError, match="not written yet"):
        file.toMessage()
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_enter(tmp_path: Path) -> None:
    with ArrayFile({"T1": ArrayVolume(ramp((2, 2, 2), "uint8"))}, tmp_path) as file:
        file.write()
        if os.name == "posix":
            assert stat.S_IMODE(file.folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert file.folder.parent == tmp_path


def test_the_name_goes_as_soon_as_the_file_is_mapped(tmp_path: Path) -> None:
    with ArrayFile({"T1": ArrayVolume(ramp((2, 2, 2), "uint8"))}, tmp_path) as file:
        file.write()
        volumes, mapped = crossed(file)
        assert file.path.exists() == (os.name != "posix")
        assert int(volumes["T1"].array.sum()) == 28
        del volumes
        mapped.close()


@pytest.mark.parametrize("how", ["remove", "with", "collected", "stopped half way", "wrong input"])
def test_nothing_stays(tmp_path: Path, how: str) -> None:
    volume = ArrayVolume(np.zeros((30, 256, 256), "float32"))
    if how == "wrong input":
        with pytest.raises(CaseError):
            ArrayFile({"T1": volume, "T2": ArrayVolume(np.array([object()]))}, tmp_path)
    else:
        file = ArrayFile({"T1": volume}, tmp_path)
        steps = file.write_steps()
        next(steps)
        assert len(list(tmp_path.rglob("*.raw"))) == 1
        _end(how, file, steps)
        del file, steps
        gc.collect()
    assert list(tmp_path.iterdir()) == []


def _end(how: str, file: ArrayFile, steps: Any) -> None:
    if how == "with":
        with file:
            pass
    elif how == "remove":
        assert file.remove() and file.remove()
    elif how == "stopped half way":
        steps.close()
        with pytest.raises(WorkerError, match="not written yet"):
            file.toMessage()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 4, 4)), "no voxels"),
        (np.array([["a"]]), "not numbers"),
        (np.array([1j]), "not numbers"),
        (np.array([None]), "not numbers"),
        (np.zeros(3, "datetime64[s]"), "not numbers"),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, array: np.ndarray, words: str) -> None:
    with pytest.raises(CaseError, match=f"T1 .*{words}.*scan.nii"):
        ArrayFile({"T1": ArrayVolume(array, source="scan.nii")}, tmp_path)


def test_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no images"):
        ArrayFile({}, tmp_path)


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(WorkerError, match="TMPDIR") as caught:
        ArrayFile({"T1": ArrayVolume(np.zeros((2, 2, 2)))}, tmp_path)
    assert "full" in caught.value.problem and list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_an_error_and_nothing_stays(tmp_path: Path) -> None:
    file = ArrayFile({"T1": ArrayVolume(np.zeros((30, 256, 256), "float32"))}, tmp_path)
    steps = file.write_steps()
    next(steps)
    with pytest.raises(WorkerError, match="cannot be handed"):
        steps.throw(OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no such folder"):
        ArrayFile({"T1": ArrayVolume(np.zeros((2, 2, 2)))}, tmp_path / "no such folder")


def test_an_incomplete_file_is_noticed(tmp_path: Path) -> None:
    with ArrayFile({"T1": ArrayVolume(ramp((4, 4, 4), "float32"))}, tmp_path) as file:
        file.write()
        os.truncate(file.path, 100)
        with pytest.raises(ProtocolError, match="incomplete"):
            crossed(file)


def test_a_view_that_somebody_holds_keeps_the_file_open(tmp_path: Path) -> None:
    with ArrayFile({"T1": ArrayVolume(ramp((4, 4, 4), "float32"))}, tmp_path) as file:
        file.write()
        volumes, mapped = crossed(file)
        assert not mapped.close()
        del volumes
        assert mapped.close() and mapped.close()


def test_arrays_come_back(tmp_path: Path) -> None:
    sent = {"T1": ramp((3, 4, 5), "float32"), "odd": ramp((7,), ">u2"), "flags": ramp((2, 2), "bool")}
    with ArrayFile({"T1": ArrayVolume(np.zeros((1, 1, 1)))}, tmp_path) as file:
        described = decode(encode(write_output(str(file.outputPath), sent)))
        got = file.readOutput(described)
        assert got.keys() == sent.keys()
        assert all(np.array_equal(got[name], sent[name]) for name in sent)
        got["T1"][0] = -1  # a copy: the file may go
        with pytest.raises(ProtocolError):
            file.readOutput({"T1": {"dtype": "<f4", "shape": [999], "offset": 0}})


def test_folders_of_killed_processes_are_swept(tmp_path: Path) -> None:
    old, new = (tmp_path / f"{exchange.PREFIX}exchange-{letter}" for letter in "ab")
    other = tmp_path / "other"
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "volumes.raw").write_bytes(b"patient")
    for folder in (old, other):
        os.utime(folder, (time.time() - 90_000,) * 2)
    exchange.sweep_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, other.name]
