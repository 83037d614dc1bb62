"""Training by several processes, or on a GPU, learns what one process on the CPU learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.training.dataset import TrainingSet
from GliomaGradingLib.training.equipment import Equipment
from GliomaGradingLib.training.fit import Fit
from GliomaGradingLib.training.recipe import Recipe, recipe_from_dict
from GliomaGradingLib.training.source import part_logits
from GliomaGradingLib.training.splits import image_split
from GliomaGradingLib.training.study import Predictions, Study, read_study, run_study
from GliomaGradingLib.training.team import ALONE, BatchDropout, Draw, Team, team_of_torchrun
from small_training import small_training_set

PRODUCT = Path(__file__).resolve().parents[2] / "GliomaGrading"
RECIPE = Recipe(
    pretrained=False,
    images_per_epoch=24,
    batch=8,
    epochs=2,
    probe_passes=2,
    learning_rate=1e-4,
    average_from=0.5,
    precision="float32",
    image=ImageForm(pixels=32),
)
TOLERANCE = 5e-4
"""Largest difference of a logit between teams, in standard deviations of the logits: sums in another order."""


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return small_training_set(8, contrast=0.6)


@pytest.fixture(scope="module")
def alone(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    study = Study(protocol="image", recipe=RECIPE)
    return run_study(data, study, tmp_path_factory.mktemp("alone"))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / expected.std())


def team_runs(data: TrainingSet, folder: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    data.write(folder / "set.npz")
    (folder / "temporary").mkdir(exist_ok=True)  # torchrun leaves a folder for logs there
    (folder / "recipe.json").write_text(json.dumps(RECIPE.to_dict()), encoding="utf-8")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    product = ["-m", "GliomaGradingLib", "train"]
    given = ["--data", folder / "set.npz", "--recipe", folder / "recipe.json"]
    wanted = ["--output", folder / "study", "--protocol", "image", "--device", "cpu", *more]
    temporary = {"TMPDIR": str(folder / "temporary")}
    return subprocess.run(
        [sys.executable, *torchrun, *product, *map(str, [*given, *wanted])],
        env={**os.environ, "PYTHONPATH": str(PRODUCT), "OMP_NUM_THREADS": "1", **temporary},
        capture_output=True,
        text=True,
        encoding="utf-8",  # a library may have set another locale in this process
        timeout=200,
    )


class Killed(Exception):
    """Ends a training run as a kill would."""


def killed_after_an_epoch(data: TrainingSet, checkpoint: Path) -> None:
    """What one process leaves that is killed after the first epoch of T1."""

    def kill(_figures: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        Fit(data, 0, image_split(len(data), 20, Study().seed), RECIPE, checkpoint).run(kill)


def test_two_processes_learn_what_one_learns_and_go_on_where_it_was_killed(data, alone, tmp_path):
    killed_after_an_epoch(data, tmp_path / "study" / "runs" / "repeat0-fold0-T1" / "checkpoint.pt")
    done = team_runs(data, tmp_path, 2, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 runs finished") == 1  # the first process alone reports
    study, found = read_study(tmp_path / "study")
    assert recipe_from_dict(RECIPE.to_dict()) == study.recipe
    assert found.patient.tolist() == alone.patient.tolist()
    assert difference(found.logits, alone.logits) < TOLERANCE
    assert alone.logits.std() > 0.1  # the comparison would see a network that had learned something else
    assert not list((tmp_path / "study").rglob("*.pt"))
    refused = team_runs(data, tmp_path, 2)
    assert refused.returncode != 0
    assert "the folder is not empty" in refused.stderr


def test_another_seed_is_beyond_the_tolerance(data, alone, tmp_path):
    """The tolerance is tight enough to notice batches that are drawn or shared out otherwise."""
    other = run_study(data, Study(protocol="image", recipe=replace(RECIPE, seed=1)), tmp_path)
    assert difference(other.logits, alone.logits) > 10 * TOLERANCE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_a_gpu_learns_what_the_cpu_learns(data):
    split = image_split(len(data), 20, seed=0)
    logits = []
    for device in ("cpu", "cuda"):
        fit = Fit(data, 1, split, RECIPE, equipment=Equipment(device=device))
        logits.append(part_logits(fit.run(), fit.source, split.test))
    assert difference(logits[1], logits[0]) < 0.02  # TF32 and other kernels


def test_parts_of_a_batch_are_disjoint_and_complete_and_hold_both_grades():
    rows = [list(range(9))[Team(rank, 3).part(9)] for rank in range(3)]
    assert rows == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert list(range(4))[ALONE.part(4)] == [0, 1, 2, 3]


def test_parts_are_joined_in_the_order_of_the_batches(monkeypatch):
    whole = torch.arange(7.0)[:, None]  # two batches: 0 1 2 3 and 4 5 6
    shares = [torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([[1.0], [3.0], [5.0]])]

    def gather(boxes, own):
        boxes[:] = shares

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    assert torch.equal(Team(1, 2).joined(shares[1], [4, 3]), whole)
    assert torch.equal(ALONE.joined(whole, [4, 3]), whole)


def test_numbers_for_a_part_are_those_drawn_for_the_whole():
    def draw(part: slice = slice(None)) -> Draw:
        return Draw(torch.Generator().manual_seed(3), 6, part)

    part = slice(1, 6, 2)
    assert draw(part).count == 3
    assert torch.equal(draw(part).uniform(), draw().uniform()[1::2])
    images, own = torch.zeros(6, 3, 2, 2), torch.zeros(3, 3, 2, 2)
    assert torch.equal(draw(part).normal(own.shape), draw().normal(images.shape)[1::2])
    assert torch.equal(draw(part).kept(own, 0.5), draw().kept(images, 0.5)[1::2])
    assert 0.3 < float(draw().kept(torch.zeros(6, 100), 0.7).mean()) < 1


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_alone_dropout_is_torchs_own(kind):
    values = torch.rand(5, 40, dtype=kind)
    found = []
    for layer in (torch.nn.Dropout(0.3), BatchDropout(0.3)):
        torch.manual_seed(8)
        found.append(layer(values))
        assert torch.equal(layer.eval()(values), values)
    assert torch.equal(found[0], found[1])
    assert (found[0] == 0).any()


def test_more_processes_than_pairs_of_images_are_refused(data):
    split = image_split(len(data), 20, seed=0)
    with pytest.raises(UsageError, match="5 processes are too many for batches of 8 images"):
        Fit(data, 0, split, RECIPE, equipment=Equipment(team=Team(0, 5)))


def test_batch_normalisation_is_refused_where_processes_cannot_share_it():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    assert ALONE.ready(model) is model
    with pytest.raises(UsageError, match="not trained by several processes on CPUs"):
        Team(0, 2).ready(model)


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # a stray variable is no torchrun
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with team_of_torchrun(torch.device("cpu")) as (team, device):
        assert team == ALONE
        assert device == torch.device("cpu")
