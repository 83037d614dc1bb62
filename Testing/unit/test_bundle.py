"""Model bundles: 8-bit weights, hashes, and what a damaged or hostile one is answered with."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import pytest
import torch
from GliomaGradingLib.errors import BundleError
from GliomaGradingLib.networks.bundle import (
    METADATA,
    find_bundles,
    open_bundle,
    pack_state,
    unpack_state,
    write_bundle,
)
from GliomaGradingLib.networks.bundle_files import check_archive, check_pickle
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
    check_archive(saved({"a": tensor, "b": tensor[0], "c": tensor.half()}))
    with pytest.raises(ValueError, match="lack a value for TUPLE2"):
        check_pickle(b"\x80\x02K\x01\x86.")
    with pytest.raises(ValueError, match="lack a value for SETITEM"):
        check_pickle(b"\x80\x02}(K\x01s.")
