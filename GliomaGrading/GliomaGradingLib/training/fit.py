"""Fitting one transfer model: probe, schedule, curves at every epoch, a checkpoint that resumes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn

from ..errors import UsageError
from ..export.tables import csv_text
from ..files import write_atomically
from ..networks.network import TransferModel, load_imagenet_2014, load_imagenet_torchvision
from .checks import (
    DATA,
    PRETRAINED,
    beginning,
    check_beginning,
    check_circumstances,
    circumstances,
    fingerprint,
)
from .dataset import TrainingSet
from .equipment import BARE, Equipment
from .probe import FrozenFeatures, fit_probe
from .recipe import Recipe
from .source import SliceBatch, SliceSource, autocast, part_logits
from .splits import Split
from .targets import SliceTargets
from .team import BatchDropout, Draw

EpochDone = Callable[["EpochFigures"], None]
NAN = float("nan")


@dataclass(frozen=True)
class EpochFigures:
    """A row of the curves. Validation is over slices, by the weights as they are (not yet averaged)."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float = NAN
    validation_accuracy: float = NAN


class Fit:
    """One sequence's model being trained on one split.

    Args:
        sequence: column of ``TrainingSet.images``: 0 T1, 1 T2, 2 FLAIR. The order in which patients and
            planes are drawn does not depend on it.
        checkpoint: file that holds the state after every epoch; training goes on from it where it exists.
        features: of the pretrained network, where other folds have them already.
    """

    def __init__(
        self,
        data: TrainingSet,
        sequence: int,
        split: Split,
        recipe: Recipe,
        checkpoint: Path | None = None,
        equipment: Equipment = BARE,
        features: FrozenFeatures | None = None,
    ) -> None:
        team = equipment.team
        if team.size > recipe.batch // 2:
            raise UsageError(
                f"{team.size} processes are too many for batches of {recipe.batch} images",
                remedy="start fewer with torchrun, or set a larger batch in the recipe",
            )
        self.data, self.split, self.recipe = data, split, recipe
        self.checkpoint = checkpoint
        self._beginning = beginning(recipe, equipment.pretrained)
        self.team, self.device = team, torch.device(equipment.device)
        self._circumstances = circumstances(recipe, equipment.device)
        self.source = features.source if features else SliceSource(data, sequence, recipe)
        self._targets = SliceTargets.of(data, split.train, recipe)
        model = new_model(recipe, equipment.pretrained)
        model = model.to(self.device).to(memory_format=torch.channels_last)
        model.output.dropout = self._dropout = BatchDropout(recipe.dropout)
        self.model = team.ready(model)
        if recipe.probe and not team.first(self._has_checkpoint):
            fit_probe(self.model, features or FrozenFeatures(self.source, recipe.seed, team), split.train)
        self._shared = team.wrapped(self.model)
        self.average = AveragedModel(self.model, multi_avg_fn=_averaged, use_buffers=True)
        self.optimizer = self._new_optimizer()
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            [group["lr"] for group in self.optimizer.param_groups],
            total_steps=max(1, self._total_steps),
            pct_start=_warm_up(recipe.warm_up, max(1, self._total_steps)),
        )
        self.curves: list[EpochFigures] = []

    @property
    def steps_per_epoch(self) -> int:
        if self.recipe.sampling == "images":
            return max(1, len(self.split.train) // self.recipe.batch)
        return max(1, self.recipe.images_per_epoch // self.recipe.batch)

    def run(self, epoch_done: EpochDone | None = None) -> TransferModel:
        """Train to the end, or from the checkpoint to the end; gives the (averaged) model."""
        self._resume()
        while len(self.curves) < self.recipe.epochs and not self._stopped_early():
            self.curves.append(self._epoch(len(self.curves)))
            if self.team.is_first:
                self._save()
            if epoch_done:
                epoch_done(self.curves[-1])
        return self.result()

    def result(self) -> TransferModel:
        """The averaged weights where averaging has begun, else the last ones."""
        averaged = int(self.average.n_averaged) > 0
        model: Any = self.average.module if averaged else self.model
        return model.eval()

    @property
    def _total_steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    def _new_optimizer(self) -> torch.optim.Optimizer:
        rate = self.recipe.learning_rate
        groups = [
            {"params": list(self.model.backbone.parameters()), "lr": rate},
            {"params": list(self.model.output.parameters()), "lr": rate * self.recipe.head_factor},
        ]
        # fused: one pass over the weights, half the time; it has the same rule
        return torch.optim.AdamW(groups, lr=rate, weight_decay=self.recipe.weight_decay, fused=True)

    def _epoch(self, epoch: int) -> EpochFigures:
        # Seeded by epoch, so that a resumed run draws what an undisturbed one would have drawn.
        seed = self.recipe.seed * 1000 + epoch
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.model.train()
        sums = torch.zeros(2, self.steps_per_epoch, dtype=torch.float64)
        for step, batch in enumerate(self._batches(np.random.default_rng(seed))):
            sums[:, step] = torch.tensor(self._step(batch, generator))
            if self.scheduler.last_epoch > self.recipe.average_from * self._total_steps:
                self.average.update_parameters(self.model)
        train_loss, train_accuracy = self.team.summed(sums).mean(dim=1).tolist()
        return EpochFigures(
            epoch=epoch + 1,
            learning_rate=float(self.scheduler.get_last_lr()[0]),
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            **self.team.first(self._validate),
        )

    def _step(self, batch: SliceBatch, generator: torch.Generator) -> tuple[float, float]:
        """Learn from a batch; gives this process's shares of the batch's mean loss and accuracy."""
        rows = self.team.part(len(batch))
        own = batch.part(rows)
        share = len(own) / len(batch)
        images, tumour = self.source.augmented(own, Draw(generator, len(batch), rows))
        self._dropout.draw = Draw(None, len(batch), rows)
        is_hgg = torch.from_numpy(self.data.grades[own.patient] > 0).to(self.device)
        taught = (1 + self._targets.at(self.data, own.patient, own.plane)) / 2
        target = torch.from_numpy(taught.astype(np.float32)).clamp(0, 1).to(self.device)
        with autocast(self.recipe.precision, self.device):
            logits = self._shared(images.to(self.device), tumour.to(self.device))
        logits = logits.float()
        smooth = target * (1 - 2 * self.recipe.label_smoothing) + self.recipe.label_smoothing
        loss = functional.binary_cross_entropy_with_logits(logits, smooth)
        self.optimizer.zero_grad()
        # The team averages gradients; scaled like this, they add up to the batch's, however it was parted.
        (loss * share * self.team.size if self.team.size > 1 else loss).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        right = float(((logits > 0) == is_hgg).float().mean())
        return loss.item() * share, right * share

    def _batches(self, rng: np.random.Generator) -> Iterator[SliceBatch]:
        draw = self._all_images if self.recipe.sampling == "images" else self._balanced_patients
        return draw(rng)

    def _all_images(self, rng: np.random.Generator) -> Iterator[SliceBatch]:
        train, size = self.split.train, self.recipe.batch
        order = rng.permutation(len(train))
        for start in range(0, self.steps_per_epoch * size, size):
            rows = order[start : start + size]
            patient = train.patient[rows]
            yield SliceBatch(patient, self.data.positions(patient, train.slice[rows]))

    def _balanced_patients(self, rng: np.random.Generator) -> Iterator[SliceBatch]:
        patients = self.split.train.patients()
        by_grade = [patients[self.data.grades[patients] == grade] for grade in (0, 1)]
        half = self.recipe.batch // 2
        for _ in range(self.steps_per_epoch):
            patient = np.concatenate([rng.choice(rows, half) for rows in by_grade])
            plane = self.data.first[patient] + rng.random(len(patient)) * self.data.span_planes()
            yield SliceBatch(patient, plane)

    def _validate(self) -> dict[str, float]:
        part = self.split.validation
        if not len(part):
            return {}
        logits = part_logits(self.model, self.source, part)
        target = self.data.grades[part.patient]
        loss = functional.binary_cross_entropy_with_logits(
            torch.from_numpy(logits), torch.from_numpy(target.astype(np.float32))
        )
        accuracy = float(((logits > 0) == (target > 0)).mean())
        return {"validation_loss": loss.item(), "validation_accuracy": accuracy}

    def _stopped_early(self) -> bool:
        patience = self.recipe.patience
        losses = [figures.validation_loss for figures in self.curves]
        if not patience or len(losses) <= patience:
            return False
        return min(losses[-patience:]) > min(losses[:-patience])

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "curves": [asdict(figures) for figures in self.curves],
            "recipe": self.recipe.to_dict(),
            DATA: fingerprint(self.data),
            PRETRAINED: self._beginning,
            **self._circumstances,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.checkpoint, buffer.getvalue())

    def _has_checkpoint(self) -> bool:
        return self.checkpoint is not None and self.checkpoint.is_file()

    def _stored(self) -> dict[str, Any] | None:
        if self.checkpoint is None or not self._has_checkpoint():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        return state

    def _resume(self) -> None:
        state = self.team.first(self._stored)
        if state is None:
            return
        remedy = "choose another output folder, or remove it to start anew"
        if state["recipe"] != self.recipe.to_dict():
            raise UsageError("the checkpoint was made with another recipe", self.checkpoint, remedy)
        if state.get(DATA) != fingerprint(self.data):
            raise UsageError("the checkpoint was made of other data", self.checkpoint, remedy)
        check_beginning(state, self._beginning, "checkpoint", self.checkpoint)
        check_circumstances(state, self._circumstances, "checkpoint", self.checkpoint)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.curves = [EpochFigures(**row) for row in state["curves"]]


def _averaged(averaged: Any, current: Any, count: Any) -> None:
    """Running means of numbers of one type; a count (of the batches that a normalisation saw) has none."""
    if averaged[0].is_floating_point():
        get_swa_multi_avg_fn()(averaged, current, count)
    else:
        for mean, value in zip(averaged, current, strict=True):
            mean.copy_(value)


def _warm_up(share: float, steps: int) -> float:
    """The share of the steps in which the rate rises; of exactly one step PyTorch would divide by zero."""
    return share - 1e-9 if share * steps == 1 else share


def new_model(recipe: Recipe, pretrained: Path | None) -> TransferModel:
    """A model with the recipe's backbone, from ImageNet or (the control) from random weights.

    Raises:
        UsageError: the 2014 backbone's pretrained tensors are not given.
    """
    tensors = _tensors_of_2014(recipe, pretrained)
    torch.manual_seed(recipe.seed)
    model = TransferModel(recipe.backbone, dropout=recipe.dropout)
    if not recipe.pretrained:
        _initialise(model)
    elif tensors is None:
        load_imagenet_torchvision(model)
    else:
        load_imagenet_2014(model, tensors)
    return model


def check_pretrained(recipe: Recipe, pretrained: Path | None) -> None:
    """Whether a network can begin as the recipe says, before anything is made for it.

    Raises:
        UsageError: the 2014 backbone's pretrained tensors are not given.
        BundleError: they cannot be used.
    """
    if tensors := _tensors_of_2014(recipe, pretrained):
        load_imagenet_2014(TransferModel(recipe.backbone), tensors)


def _tensors_of_2014(recipe: Recipe, pretrained: Path | None) -> Path | None:
    """The file of the 2014 network's tensors, where the recipe needs them."""
    if not recipe.pretrained or recipe.backbone == "googlenet-torchvision":
        return None
    if pretrained is None:
        raise UsageError(
            "the 2014 GoogLeNet's ImageNet tensors are needed", remedy="name their file with --pretrained"
        )
    return pretrained


def keep_curves(run: Path, curves: list[EpochFigures]) -> None:
    """Write ``curves.csv`` beside a run's checkpoint; nothing where there were no epochs.

    A run that was ended between a checkpoint and its row, as by a full disk, has the row from the checkpoint:
    so write them once more when ``Fit.run`` has come to its end.
    """
    if curves:
        write_atomically(run / "curves.csv", curves_csv(curves).encode())


def curves_csv(curves: list[EpochFigures]) -> str:
    """The curves as CSV, a row an epoch."""
    rows = ({k: v if k == "epoch" else f"{v:.6g}" for k, v in asdict(figures).items()} for figures in curves)
    return csv_text(rows, [entry.name for entry in fields(EpochFigures)])


def _initialise(model: TransferModel) -> None:
    """He initialisation, for the control that is trained from scratch."""
    for module in model.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
