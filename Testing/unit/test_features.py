"""Frozen features, and the commands that compare methods with them, on a network with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from GliomaGradingLib.cli import main
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.networks.network import TransferModel, caffe_name, load_imagenet_2014
from GliomaGradingLib.training.features import frozen_features
from GliomaGradingLib.training.protocols import CELLS
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.source import SliceSource
from GliomaGradingLib.training.splits import Part
from GliomaGradingLib.words import SLICE_COUNT
from small_training import small_training_set
from test_comparisons import stored_cell, study_folder, units_of

FORM = ImageForm(pixels=32)
NAMES = ("3b", "4c", "4e", "5b")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the 2014 network's tensors, with random numbers in them."""
    torch.manual_seed(0)
    model = TransferModel("googlenet-2014")
    state = model.backbone.state_dict()
    tensors = {caffe_name(name): torch.randn(t.shape) * (2 / t[0].numel()) ** 0.5 for name, t in state.items()}
    path = tmp_path_factory.mktemp("pretrained") / "tensors.pt"
    torch.save(tensors, path)
    return path


def test_frozen_features_are_the_pooled_blocks_of_the_pretrained_network(pretrained):
    data = small_training_set(patients=2)
    found = frozen_features(data, pretrained, FORM)
    model = TransferModel("googlenet-2014").eval()
    load_imagenet_2014(model, pretrained)
    source = SliceSource(data, 1, Recipe(image=FORM))
    (batch,) = source.batches(Part.of_patients([0, 1], SLICE_COUNT), 40)
    with torch.no_grad():
        images, tumour = source.plain(batch)
        pooled = model.pooled(images, tumour).reshape(2, SLICE_COUNT, -1).numpy()
    ours = np.concatenate([found[name][1] for name in (*NAMES, "3b tumour")], axis=-1)
    assert ours.shape == pooled.shape and np.abs(pooled).max() > 0.1
    assert np.allclose(ours, pooled, atol=0.03 * np.abs(pooled).max())  # bfloat16, where there is one
    inside, everywhere = found["3b tumour"], found["3b"]
    assert inside.shape == everywhere.shape and np.abs(inside - everywhere).max() > 0.01 * np.abs(inside).max()


def test_fewer_slices_are_every_second_of_all(pretrained):
    data = small_training_set(patients=2)
    every, second = (frozen_features(data, pretrained, FORM, every=n) for n in (1, 2))
    assert second["5b"].shape[2] == SLICE_COUNT // 2
    assert np.allclose(second["5b"], every["5b"][:, :, ::2], atol=0.02 * np.abs(every["5b"]).max())


def test_a_mirrored_look_is_that_of_the_mirrored_patient(pretrained):
    data = small_training_set(patients=2)
    turned = replace(data, images=data.images[..., ::-1].copy(), labels=data.labels[..., ::-1].copy())
    found = frozen_features(data, pretrained, FORM, mirrored=True)
    expected, plain = (frozen_features(each, pretrained, FORM) for each in (turned, data))
    for name in (*NAMES, "3b tumour"):
        size = np.abs(expected[name]).max()
        assert np.allclose(found[name], expected[name], atol=0.02 * size)
    assert np.abs(found["3b"] - plain["3b"]).max() > 0.02 * np.abs(plain["3b"]).max()


def test_a_changed_look_hangs_on_its_seed_alone(pretrained):
    data = small_training_set(patients=1)
    first, again, other = (frozen_features(data, pretrained, FORM, augmented=seed)["4e"] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other, rtol=0.01)


@pytest.mark.usefixtures("few_draws")
def test_baselines_are_fitted_in_the_studys_folds_by_the_command(pretrained, tmp_path, capsys):
    units = units_of(patients=24)
    data = small_training_set(patients=24)
    bright = data.images + 3 * np.where(units.grade, 1, -1)[:, None, None, None, None]  # p000 ... are these
    data = replace(data, images=bright.astype(np.float16), grades=units.grade, patients=units.patient)
    data.write(tmp_path / "data.npz")
    study = study_folder(tmp_path / "study", units, recipe=Recipe(image=FORM))
    arguments = ["--data", str(tmp_path / "data.npz"), "--pretrained", str(pretrained)]
    output = ["--output", str(tmp_path / "out")]
    assert main(["evaluate", str(study), "--baselines", *arguments, *output]) == 0
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    methods = figures["figures"]
    assert set(methods) == {"ours", "frozen", "frozen T1", "frozen T2", "frozen FLAIR", "radiomics", "volume"}
    assert methods["radiomics"]["auc"]["value"] > 0.95  # the grade can be read off the brightness
    assert methods["volume"]["auc"]["value"] < 0.8  # and not off the size
    assert "| frozen FLAIR | " in capsys.readouterr().out


def test_subgroups_protocols_and_ideas_go_by_the_command(tmp_path, capsys):
    units = units_of(patients=24)
    study = study_folder(tmp_path / "study", units)
    rows = [
        f"{name},TCGA-{'06' if n % 3 else 'DU'}-{n:04d},{1000 * (n + 1)}"
        for n, name in enumerate(units.patient)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["patient,tcga_id,lesion_voxels", *rows]) + "\n")
    output = ["--output", str(tmp_path / "out")]
    assert main(["evaluate", str(study), "--subgroups", "--table", str(tmp_path / "t.csv"), *output]) == 0
    assert "| centre DU | 0, 8 |" in capsys.readouterr().out
    assert main(["evaluate", str(study), "--idea", "mine", "--why", "to see", *output]) == 2
    assert "there is no ablation table" in capsys.readouterr().err
    stored_cell(tmp_path, CELLS[0], 0.9)
    assert main(["evaluate", str(tmp_path), "--protocols", "--output", str(tmp_path / "compared")]) == 0
    assert "has not been run" in capsys.readouterr().out
