"""A study: the three models on every split of a protocol, with what each predicts for its test part."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, reason
from ..export.tables import csv_table
from ..files import write_atomically
from ..networks.network import TransferModel
from ..words import PROTOCOLS, SEQUENCES, SLICE_COUNT
from .checks import (
    CIRCUMSTANCES,
    DATA,
    PRETRAINED,
    beginning,
    check_beginning,
    check_circumstances,
    check_grades,
    circumstances,
    fingerprint,
)
from .dataset import TrainingSet
from .equipment import BARE, Equipment
from .fit import EpochFigures, Fit, check_pretrained, keep_curves
from .probe import FrozenFeatures
from .recipe import Recipe, recipe_from_dict
from .source import SliceSource, part_logits
from .splits import Part, Split, image_split, patient_split, whole_patient_split
from .team import Team

PREDICTIONS = "predictions.csv"
STUDY = "study.json"
LOGITS = "test_logits.npy"
_ORIGIN = (DATA, PRETRAINED, *CIRCUMSTANCES)


@dataclass(frozen=True)
class Study:
    """What is trained and tested on what.

    Args:
        protocol: ``patient`` (cross-validation) or ``image`` (the paper's single split).
        whole_patients: with ``image``, the same shares but no patient is cut: what the paper's protocol gives
            once recognising a patient does not help.
        shuffled_grades: give every patient another patient's grade, as a control: what is then scored
            above chance is recognition of patients, not of grades.
    """

    protocol: str = "patient"
    folds: int = 5
    repeats: int = 1
    shuffled_grades: bool = False
    whole_patients: bool = False
    seed: int = 2022
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(
                f"there is no protocol {self.protocol!r}", remedy=f"choose one of {', '.join(PROTOCOLS)}"
            )
        if self.whole_patients and self.protocol != "image":
            raise UsageError(
                "the patient protocol keeps patients whole as it is", remedy="leave out --whole-patients"
            )
        if self.folds < 2 or self.repeats < 1:
            raise UsageError("a study needs two folds and one repeat at least", remedy="correct --folds")

    def splits(self, data: TrainingSet) -> Iterator[tuple[int, int, Split]]:
        """(repeat, fold, split) of every training run; the same for the three sequences."""
        for repeat in range(self.repeats):
            seed = self.seed + repeat
            if self.whole_patients:
                yield repeat, 0, whole_patient_split(data.grades, SLICE_COUNT, seed)
                continue
            if self.protocol == "image":
                yield repeat, 0, image_split(len(data), SLICE_COUNT, seed)
                continue
            for fold in range(self.folds):
                share = self.recipe.validation
                yield repeat, fold, patient_split(data.grades, SLICE_COUNT, fold, self.folds, share, seed)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Raw logits of HGG of tested slices, a row each; ``logits`` is (rows, 3)."""

    repeat: np.ndarray
    fold: np.ndarray
    patient: np.ndarray
    slice: np.ndarray
    grade: np.ndarray
    logits: np.ndarray

    def of_patients(self) -> Predictions:
        """Mean logits of every (repeat, patient), in the order of their first rows; ``slice`` is -1."""
        keys = np.stack([self.repeat, np.unique(self.patient, return_inverse=True)[1]], axis=1)
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        inverse = inverse.ravel()
        counts = np.bincount(inverse)
        means = [np.bincount(inverse, self.logits[:, s]) / counts for s in range(len(SEQUENCES))]
        return Predictions(
            repeat=self.repeat[first],
            fold=self.fold[first],
            patient=self.patient[first],
            slice=np.full(len(first), -1),
            grade=self.grade[first],
            logits=np.stack(means, axis=1),
        )


def run_study(
    data: TrainingSet,
    study: Study,
    folder: Path,
    equipment: Equipment = BARE,
    epoch_done: Callable[[str, EpochFigures], None] | None = None,
) -> Predictions:
    """Train and test every run that has no result in ``folder`` yet, and write all predictions.

    Raises:
        UsageError: the folder holds another study, one of other data, or an unfinished one of another version,
            device or precision, pretrained tensors are missing, or there are too few patients of a grade.
            Nothing is written then.
    """
    check_study(data, study, folder, equipment)
    team = equipment.team
    graded = _with_shuffled_grades(data, study.seed) if study.shuffled_grades else data
    parts = []
    splits = list(study.splits(graded))
    team.first(lambda: _claim(folder, study, data, equipment))
    team.first(lambda: _write_splits(folder, graded, splits))
    shared = _SharedFeatures(graded, study, team)
    for repeat, fold, split in splits:
        columns = []
        for sequence in range(len(SEQUENCES)):
            run = _run_folder(folder, repeat, fold, SEQUENCES[sequence])
            recipe = replace(study.recipe, seed=repeat_seed(study.recipe, repeat) + fold)
            features = shared.of(repeat, sequence)
            columns.append(_run(graded, sequence, split, recipe, run, equipment, epoch_done, features))
        rows = len(split.test)
        parts.append(
            Predictions(
                repeat=np.full(rows, repeat),
                fold=np.full(rows, fold),
                patient=graded.patients[split.test.patient],
                slice=split.test.slice,
                grade=graded.grades[split.test.patient],
                logits=np.stack(columns, axis=1),
            )
        )
    predictions = _joined(parts)
    text = predictions_csv(predictions).encode()
    team.first(lambda: write_atomically(folder / PREDICTIONS, text))
    return predictions


def check_study(data: TrainingSet, study: Study, folder: Path, equipment: Equipment = BARE) -> None:
    """Whether a study can be trained: enough patients, and tensors to begin with where a run is to be trained.

    Raises:
        UsageError, BundleError: as ``run_study``.
    """
    check_grades(data)
    _check_folds(study, data)
    splits = list(study.splits(data))
    if not all(len(split.train) and len(split.test) for _repeat, _fold, split in splits):
        remedy = "give more patients"
        raise UsageError(f"{len(data)} patients are too few to train on some and test on others", remedy=remedy)
    if study.recipe.patience and not all(len(split.validation) for _repeat, _fold, split in splits):
        problem = "the recipe's patience waits for a validation loss, and nothing is kept for validation"
        raise UsageError(problem, remedy="give the recipe a larger validation, or leave its patience out")
    _check_folder(folder, study, data, equipment.pretrained)
    runs = [_run_folder(folder, repeat, fold, name) for repeat, fold, _split in splits for name in SEQUENCES]
    if not all((run / LOGITS).is_file() for run in runs):
        if (folder / STUDY).is_file():
            made = circumstances(study.recipe, equipment.device)
            check_circumstances(_settings(folder / STUDY), made, "study", folder)
        check_pretrained(study.recipe, equipment.pretrained)


def _run_folder(folder: Path, repeat: int, fold: int, sequence: str) -> Path:
    return folder / "runs" / f"repeat{repeat}-fold{fold}-{sequence}"


def _check_folds(study: Study, data: TrainingSet) -> None:
    rarer = int(np.bincount(data.grades, minlength=2).min())
    if study.protocol == "patient" and study.folds > rarer:
        raise UsageError(
            f"{study.folds} folds need as many patients of each grade, and of one there are {rarer}",
            remedy="give fewer --folds",
        )


class _SharedFeatures:
    """What the folds of a repeat share; another repeat changes its training slices in other ways.

    The first repeat's changes are those of the shipped models, which are trained with the recipe's own seed.
    """

    def __init__(self, data: TrainingSet, study: Study, team: Team) -> None:
        self._data, self._study, self._team = data, study, team
        self._repeat = -1
        self._features: list[FrozenFeatures] = []

    @cached_property
    def _sources(self) -> list[SliceSource]:
        return [SliceSource(self._data, column, self._study.recipe) for column in range(len(SEQUENCES))]

    def of(self, repeat: int, sequence: int) -> FrozenFeatures | None:
        """None where a network begins anew in every fold, or nothing is probed."""
        recipe = self._study.recipe
        if not (recipe.probe and recipe.pretrained):
            return None
        if repeat != self._repeat:  # those of one repeat alone are kept: some hundred MB
            seed = repeat_seed(recipe, repeat)
            self._features = [FrozenFeatures(source, seed, self._team) for source in self._sources]
            self._repeat = repeat
        return self._features[sequence]


def repeat_seed(recipe: Recipe, repeat: int) -> int:
    """Of everything that is drawn in a repeat, but for what each fold draws for itself."""
    return recipe.seed + 100 * repeat


def read_study(folder: Path) -> tuple[Study, Predictions]:
    """A finished study and its predictions.

    Raises:
        UsageError: the folder holds none, or an unfinished one.
    """
    try:
        settings = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        with (folder / PREDICTIONS).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no finished study ({reason(error)})", folder, "run 'glioma-grading train' first"
        ) from error
    if not rows:
        raise UsageError("the study is not finished", folder, "go on with 'glioma-grading train --resume'")
    study = study_from_dict(settings)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return study, Predictions(
        repeat=np.array(columns["repeat"], dtype=int),
        fold=np.array(columns["fold"], dtype=int),
        patient=np.array(columns["patient"]),
        slice=np.array(columns["slice"], dtype=int),
        grade=np.array(columns["grade"], dtype=int),
        logits=np.array([columns[_logit_column(s)] for s in SEQUENCES], dtype=float).T,
    )


def data_of(folder: Path) -> str:
    """Fingerprint of the training set that a study is of; '' in studies that do not tell."""
    return str(_settings(folder / STUDY).get(DATA, ""))


def begun_at(folder: Path) -> str:
    """SHA-256 of the pretrained tensors that a study began at; '' where there is none, or it does not tell."""
    return str(_settings(folder / STUDY).get(PRETRAINED, "")) if (folder / STUDY).is_file() else ""


def origin_of(settings: dict[str, Any]) -> dict[str, Any]:
    """What a study's JSON form says of its training set, tensors, version, device and precision."""
    return {name: settings[name] for name in _ORIGIN if name in settings}


def study_from_dict(settings: dict[str, Any]) -> Study:
    """A study of its JSON form; what the form does not say keeps its default."""
    known = {name: value for name, value in settings.items() if name not in _ORIGIN}
    return Study(**{**known, "recipe": recipe_from_dict(known["recipe"])})


def predictions_csv(predictions: Predictions) -> str:
    columns = (predictions.repeat, predictions.fold, predictions.patient, predictions.slice, predictions.grade)
    rows = (
        [*place, *(f"{logit:.5f}" for logit in logits)]
        for *place, logits in zip(*columns, predictions.logits, strict=True)
    )
    return csv_table(["repeat", "fold", "patient", "slice", "grade", *map(_logit_column, SEQUENCES)], rows)


def _logit_column(sequence: str) -> str:
    return f"{sequence.lower()}_logit"


def _run(
    data: TrainingSet,
    sequence: int,
    split: Split,
    recipe: Recipe,
    folder: Path,
    equipment: Equipment,
    epoch_done: Callable[[str, EpochFigures], None] | None,
    features: FrozenFeatures | None,
) -> np.ndarray:
    """Logits of the test part's slices, from an earlier run or a new one."""
    team = equipment.team
    found = team.first(lambda: _stored_logits(folder))
    if found is not None:
        return found
    fit = Fit(data, sequence, split, recipe, folder / "checkpoint.pt", equipment, features)

    def done(figures: EpochFigures) -> None:
        keep_curves(folder, fit.curves)
        if epoch_done:
            epoch_done(folder.name, figures)

    model = fit.run(done if team.is_first else None)
    team.first(lambda: keep_curves(folder, fit.curves))
    return team.first(lambda: _tested(model, fit.source, split.test, folder))


def _stored_logits(folder: Path) -> np.ndarray | None:
    """Logits of an earlier run; where there are none, a folder for them."""
    stored = folder / LOGITS
    if stored.is_file():
        return np.load(stored, allow_pickle=False)
    folder.mkdir(parents=True, exist_ok=True)
    return None


def _tested(model: TransferModel, source: SliceSource, test: Part, folder: Path) -> np.ndarray:
    logits = part_logits(model, source, test)
    buffer = io.BytesIO()
    np.save(buffer, logits)
    write_atomically(folder / LOGITS, buffer.getvalue())
    (folder / "checkpoint.pt").unlink(missing_ok=True)  # 100 MB each, and not needed any more
    return logits


def _check_folder(folder: Path, study: Study, data: TrainingSet, pretrained: Path | None) -> None:
    """One study, of one training set and beginning, to a folder: what was learned of others is not these
    patients' result."""
    path = folder / STUDY
    if not path.is_file():
        return
    settings = _settings(path)
    remedy = "choose another --output, or remove it to start anew"
    if study_from_dict(settings) != study:
        raise UsageError("the folder holds another study", folder, remedy)
    if settings.get(DATA) != fingerprint(data):
        raise UsageError("the folder holds a study of other data", folder, remedy)
    check_beginning(settings, beginning(study.recipe, pretrained), "study", folder)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict) or "recipe" not in settings:
            raise ValueError("it holds no settings")
    except (OSError, ValueError) as error:
        remedy = "choose another --output, or remove the folder to start anew"
        raise UsageError(f"the study that lies here cannot be read ({reason(error)})", path, remedy) from error
    return settings


def _claim(folder: Path, study: Study, data: TrainingSet, equipment: Equipment) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    begun = beginning(study.recipe, equipment.pretrained) or begun_at(folder)
    origin = {DATA: fingerprint(data), PRETRAINED: begun}
    # what a study was begun with stays: nobody can say it for one that does not tell
    stored = origin_of(_settings(folder / STUDY)) if (folder / STUDY).is_file() else None
    made = circumstances(study.recipe, equipment.device) if stored is None else stored
    text = json.dumps({**asdict(study), **made, **origin}, indent=2) + "\n"
    write_atomically(folder / STUDY, text.encode())


def _write_splits(folder: Path, data: TrainingSet, splits: list[tuple[int, int, Split]]) -> None:
    lists: list[dict[str, Any]] = []
    for repeat, fold, split in splits:
        entry: dict[str, Any] = {"repeat": repeat, "fold": fold}
        for name in ("train", "validation", "test"):
            part = getattr(split, name)
            entry[name] = [f"{data.patients[p]}/{s}" for p, s in zip(part.patient, part.slice, strict=True)]
        lists.append(entry)
    write_atomically(folder / "splits.json", (json.dumps(lists) + "\n").encode())


def _with_shuffled_grades(data: TrainingSet, seed: int) -> TrainingSet:
    order = np.random.default_rng(seed + 1).permutation(len(data))
    return replace(data, grades=data.grades[order])


def _joined(parts: list[Predictions]) -> Predictions:
    names = ("repeat", "fold", "patient", "slice", "grade", "logits")
    return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
