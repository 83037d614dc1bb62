"""Model bundles: 8-bit weights, hashes, and what a damaged or hostile one is answered with."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from GliomaGradingLib.errors import BundleError
from GliomaGradingLib.networks import bundle as bundle_module
from GliomaGradingLib.networks import bundle_files
from GliomaGradingLib.networks.bundle import (
    DEFAULT_BUNDLE,
    METADATA,
    find_bundles,
    open_bundle,
    pack_state,
    unpack_state,
    write_bundle,
)
from GliomaGradingLib.networks.bundle_files import check_pickle, read_weights
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.networks.network import TransferModel
from GliomaGradingLib.preparation.slices import InputForm
from GliomaGradingLib.voting import Calibration, DecisionRule, Platt
from GliomaGradingLib.words import SEQUENCES

from Testing.robustness.bad_bundles import doubled, doubled_behind_a_step, nested, saved


@pytest.fixture(scope="module")
def models() -> dict[str, TransferModel]:
    torch.manual_seed(0)
    made = {sequence: TransferModel("googlenet-2014").eval() for sequence in SEQUENCES}
    for model in made.values():
        torch.nn.init.normal_(model.output.linear.weight)
        model.output.mean.uniform_(-1, 1)
    return made


@pytest.fixture()
def folder(models, tmp_path):
    metadata = {
        "name": "test",
        "version": "1.2.3",
        "input": {"region": asdict(InputForm()), "image": asdict(ImageForm(pixels=96))},
        "calibration": {
            "sequences": {s: asdict(Platt(2.0, -0.5)) for s in SEQUENCES},
            "together": asdict(Platt(1.5, 0.1)),
        },
        "decision": asdict(DecisionRule(0.3, 0.7)),
    }
    write_bundle(tmp_path / "bundle", models, metadata, {"LICENSE": "ours\n"})
    return tmp_path / "bundle"


def change(folder, **values):
    path = folder / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_was_written_is_read(folder):
    bundle = open_bundle(folder)
    assert (bundle.name, bundle.version, bundle.backbone) == ("test", "1.2.3", "googlenet-2014")
    assert bundle.imageForm() == ImageForm(pixels=96)
    assert bundle.inputForm() == InputForm()
    assert bundle.calibration() == Calibration({s: Platt(2.0, -0.5) for s in SEQUENCES}, Platt(1.5, 0.1))
    assert bundle.decisionRule() == DecisionRule(0.3, 0.7)
    assert (folder / "LICENSE").read_text() == "ours\n"
    bundle.verify()


def test_eight_bits_are_within_half_a_step_of_each_channel():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(7, 80, 5, 5, generator=generator) * torch.logspace(-3, 3, 7)[:, None, None, None]
    state = {
        "early": torch.randn(290, 1000, generator=generator),
        "w": weight,
        "b": torch.randn(7, generator=generator),
        "small": torch.randn(1, 50),
    }
    packed = pack_state(state)
    assert packed["early"].dtype == torch.float16
    assert packed["w.q8"].dtype == torch.int8
    back = unpack_state(packed)
    step = weight.flatten(1).abs().amax(1) / 127
    assert ((back["w"] - weight).abs().flatten(1).amax(1) <= step * 0.5001).all()
    assert torch.equal(back["b"], state["b"])
    assert torch.equal(back["small"], state["small"])
    torch.testing.assert_close(back["early"], state["early"], rtol=1e-3, atol=1e-6)


def test_a_scale_that_is_not_of_its_channels_is_not_multiplied():
    """Their product would have the square of the file's size."""
    packed = {"w.q8": torch.zeros(1, 50, dtype=torch.int8), "w.scale": torch.ones(50)}
    with pytest.raises(ValueError, match="the scale of w is not of its channels"):
        unpack_state(packed)


def test_loaded_models_compute_what_the_packed_ones_do(folder, models):
    loaded = open_bundle(folder).models()
    for sequence in SEQUENCES:
        expected = unpack_state(pack_state(models[sequence].state_dict()))
        state = loaded[sequence].state_dict()
        assert set(state) == set(expected)
        assert all(torch.equal(state[name], value) for name, value in expected.items())
        assert not loaded[sequence].training


def test_a_flipped_bit_is_found_and_the_file_is_named(folder):
    path = folder / "t2.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    bundle = open_bundle(folder)
    with pytest.raises(BundleError, match=r"SHA-256 differs.*t2\.pt"):
        bundle.verify()
    with pytest.raises(BundleError, match=r"t2\.pt"):
        bundle.models()


def test_a_truncated_or_missing_file_is_named(folder):
    (folder / "t1.pt").write_bytes((folder / "t1.pt").read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"1000 bytes instead of \d+.*t1\.pt"):
        open_bundle(folder).verify()
    (folder / "t1.pt").unlink()
    with pytest.raises(BundleError, match=r"cannot be read.*t1\.pt"):
        open_bundle(folder).verify()


@pytest.mark.parametrize("name", ["../evil.pt", "/etc/passwd", "a/b.pt", "..", "", "a\\b.pt", 3])
def test_a_weight_file_outside_the_folder_is_refused(folder, name):
    weights = json.loads((folder / METADATA).read_text())["weights"]
    weights["T1"]["file"] = name
    change(folder, weights=weights)
    with pytest.raises(BundleError, match=METADATA):
        open_bundle(folder)


def test_a_pickle_that_runs_code_is_not_run(folder, tmp_path):
    import hashlib
    import os

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    data = pickle.dumps(Evil())
    (folder / "t1.pt").write_bytes(data)
    weights = json.loads((folder / METADATA).read_text())["weights"]
    weights["T1"].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    change(folder, weights=weights)
    with pytest.raises(BundleError, match=r"do not fit.*t1\.pt"):
        open_bundle(folder).models()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"schema": "other/1"},
        {"input": {"region": {}, "image": {"pixels": "64"}}},
        {"input": {"region": {}, "image": {"channels": "neighbors"}}},
        {"input": {"region": {}, "image": {"sides": 64}}},
        {"input": []},
        {"calibration": {}},
        {"decision": {"low": True, "high": 0.6}},
        {"weights": {"T1": {}}},
    ],
)
def test_damaged_metadata_is_refused_with_its_name(folder, values):
    change(folder, **values)
    with pytest.raises(BundleError, match=METADATA):
        open_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\udcff"])
def test_metadata_that_is_no_json_object_is_refused(folder, text):
    (folder / METADATA).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=METADATA):
        open_bundle(folder)


def test_metadata_as_large_as_a_volume_is_not_read(folder):
    (folder / METADATA).write_bytes(b" " * (2 << 20))
    with pytest.raises(BundleError, match="too large"):
        open_bundle(folder)


def test_an_unknown_bundle_lists_the_shipped_ones(tmp_path):
    with pytest.raises(BundleError, match="name a shipped bundle"):
        open_bundle(tmp_path / "none")


def test_any_change_of_metadata_or_weights_changes_the_bundles_hash(folder):
    before = open_bundle(folder).sha256
    change(folder, decision={"low": 0.31, "high": 0.7})
    assert open_bundle(folder).sha256 != before


@pytest.mark.parametrize("others", [["aaa"], ["zzz"], ["aaa", "default", "zzz"]])
def test_a_further_bundle_does_not_become_the_default_one(folder, tmp_path, monkeypatch, others):
    for name in [DEFAULT_BUNDLE, *others]:
        shutil.copytree(folder, tmp_path / "Models" / name)
    places = list(find_bundles(tmp_path / "Models"))
    monkeypatch.setattr(bundle_module, "find_bundles", lambda: iter(places))
    assert open_bundle().folder.name == DEFAULT_BUNDLE
    monkeypatch.setattr(bundle_module, "find_bundles", lambda: iter(places[:1]))
    assert open_bundle().folder == places[0]


def test_shipped_bundles_are_whole_and_small():
    folders = list(find_bundles())
    assert folders, "no bundle ships with the module"
    for folder in folders:
        bundle = open_bundle(folder)
        bundle.verify()
        assert sum(weights.bytes for weights in bundle.weights.values()) <= 20_000_000
        assert (folder / "LICENSE").is_file()


@pytest.mark.parametrize(
    "pickled", [doubled(60), doubled_behind_a_step(60), nested(900_000), b"\x80\x02}q\x00(K\x01h\x00uq\x01."]
)
def test_a_pickle_builds_nothing_twice_and_nothing_deep(pickled: bytes) -> None:
    """Such keys took 2^60 steps to hash, or ended the process: neither can be stopped from Python."""
    with pytest.raises(ValueError, match=r"use one value in two places|more than 16 deep"):
        check_pickle(pickled)


def test_what_torch_writes_is_no_such_pickle() -> None:

    tensor = torch.arange(6.0).reshape(2, 3)
    state = {"a": tensor, "b": tensor[0], "c": tensor.half(), "d": tensor.T, "e": tensor[:, 1], "f": tensor[:0]}
    found = read_weights(saved(state), Path("t1.pt"))
    assert found.keys() == state.keys()
    assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in state.items())
    with pytest.raises(ValueError, match="lack a value for TUPLE2"):
        check_pickle(b"\x80\x02K\x01\x86.")
    with pytest.raises(ValueError, match="lack a value for SETITEM"):
        check_pickle(b"\x80\x02}(K\x01s.")


def two_in_one(first: bytes, second: bytes) -> bytes:
    """An archive in front of another: where torch looks is the first, zipfile finds the second."""
    return first + second


def tables_of_two(first: bytes, second: bytes) -> bytes:
    """Two archives with one end that says where the table of the first begins; zipfile takes the last table."""

    def parts(data: bytes) -> tuple[bytes, bytearray]:
        plain = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(plain, "w") as made:
            for entry in source.infolist():
                made.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
        data = plain.getvalue()
        size, offset = struct.unpack("<LL", data[-10:-2])
        return data[:offset], bytearray(data[offset : offset + size])

    (seen, its_table), (hidden, table) = parts(first), parts(second)
    assert len(its_table) == len(table)
    place, count = 0, 0
    while place < len(table):
        (at,) = struct.unpack_from("<L", table, place + 42)
        struct.pack_into("<L", table, place + 42, at + len(seen) - len(hidden))
        place, count = place + 46 + sum(struct.unpack_from("<HHH", table, place + 28)), count + 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(table), len(seen), 0)
    return seen + its_table + hidden + bytes(table) + end


@pytest.mark.parametrize("join", [two_in_one, tables_of_two])
def test_a_file_that_is_two_archives_shows_the_one_that_was_checked(join) -> None:
    """torch's own reader takes the other one, of which nothing has been looked at."""
    other = torch.nn.Parameter(torch.ones(40, dtype=torch.float64))
    legacy = io.BytesIO()
    torch.save({"w": other}, legacy, _use_new_zipfile_serialization=False)
    first = legacy.getvalue() if join is two_in_one else saved({"w": other})
    made = join(first, saved({"w": torch.zeros(3)}))
    assert torch.equal(read_weights(made, Path("t1.pt"))["w"], torch.zeros(3))
    found = torch.load(io.BytesIO(made), weights_only=True)["w"]
    assert found.dtype == torch.float64  # if torch ever agrees with zipfile, nothing is lost


def test_a_storage_has_as_many_numbers_as_it_says() -> None:
    """torch before 2.10 reads what lies behind it."""
    whole, short = saved({"w": torch.zeros(1000)}), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(short, "w") as made:
        for entry in source.infolist():
            content = source.read(entry)
            made.writestr(entry.filename, content[:4] if entry.filename.endswith("data/0") else content)
    with pytest.raises(BundleError, match="a storage is not as long as it says"):
        read_weights(short.getvalue(), Path("t1.pt"))


@pytest.mark.parametrize(
    ("offset", "size", "stride", "said"),
    [
        (0, (7,), (1,), "more numbers"),
        (4, (3,), (1,), "more numbers"),
        (0, (2, 2), (5, 1), "more numbers"),
        (0, (1 << 40,), (0,), "more numbers"),
        (-1, (2,), (1,), "no shape"),
        (0, (2,), (-1,), "no shape"),
        (0, (2, 3), (1,), "no shape"),
        (0, (True,), (1,), "no shape"),
    ],
)
def test_a_tensor_lies_within_its_storage(offset, size, stride, said) -> None:
    with zipfile.ZipFile(io.BytesIO(saved({}))) as archive:
        weights = bundle_files._Weights(archive, bundle_files.check_archive(archive, 1 << 20), 1 << 20)
        with pytest.raises(ValueError, match=said):
            weights._tensor(np.arange(6.0), offset, size, stride)


def pickled_in_an_archive(pickled: bytes, extra: dict[str, bytes] | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in {"data.pkl": pickled, **(extra or {})}.items():
            archive.writestr(f"archive/{name}", content)
    return made.getvalue()


def test_a_place_far_off_takes_no_memory() -> None:
    """A hundred bytes that have the unpickler make a list of 10^8 places: it took two gigabytes."""
    pickled = b"\x80\x02}r" + struct.pack("<I", 10**8) + b"."
    with pytest.raises(BundleError, match="in a place far off"):
        read_weights(pickled_in_an_archive(pickled), Path("t1.pt"))


def test_tensors_of_one_storage_have_no_more_numbers_than_the_file() -> None:
    """Each is a copy: 500 of a storage of 4 MB took 2.5 GB before they were added up."""
    shared = torch.zeros(1000)
    with pytest.raises(BundleError, match="claims more numbers than"):
        read_weights(saved({f"w{n}": shared[:999] for n in range(3)}), Path("t1.pt"))
    assert read_weights(saved({"w": shared[:999]}), Path("t1.pt"))["w"].shape == (999,)


def test_an_archive_has_few_entries() -> None:
    """Each takes 2 kB of memory before anything can be looked at."""
    many = pickled_in_an_archive(b"\x80\x02}.", {f"data/{n}": b"" for n in range(5000)})
    with pytest.raises(BundleError, match="more than 4096 entries"):
        read_weights(many, Path("t1.pt"))


def test_nothing_can_be_put_into_a_tensor() -> None:
    """An instruction for dictionaries, given a tensor: torch before 2.10 writes where it should not."""
    with zipfile.ZipFile(io.BytesIO(saved({"w": torch.zeros(3)}))) as archive:
        pickled = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    tensor = pickled[pickled.index(b"X") :].split(b"s.")[0]  # its name and itself
    spoilt = io.BytesIO()
    with zipfile.ZipFile(spoilt, "w") as made:
        made.writestr("archive/data.pkl", pickled[: pickled.index(b"X")] + tensor + b"K\x00K\x01ss.")
        made.writestr("archive/data/0", bytes(12))
    with pytest.raises(BundleError, match="does not support item assignment"):
        read_weights(spoilt.getvalue(), Path("t1.pt"))
