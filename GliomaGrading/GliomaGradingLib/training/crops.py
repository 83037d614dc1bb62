"""Training sets from tumour crops that are already in the form of the input, and from full-resolution cases."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..case import Case
from ..errors import CaseError
from ..slices import InputForm, crop, stack_from_crop
from ..words import HGG, LGG, SEQUENCES
from .dataset import TrainingSet


def training_set_from_crops(arrays: Path, table: Path) -> TrainingSet:
    """A training set from a file of crops and its table of patients.

    Args:
        arrays: .npz of ``images`` (N, 3, 32, 32, 32), ``segmentations``, ``patients``, ``grades``.
        table: CSV with a row a patient in the same order: patient, grade, collection, shippable.

    Raises:
        CaseError: a file is missing, or the two do not tell of the same patients.
    """
    try:
        with np.load(arrays, allow_pickle=False) as content:
            images, labels = content["images"], content["segmentations"]
            patients, sequences = content["patients"], content["sequences"]
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, KeyError) as error:
        raise CaseError(
            f"the crops cannot be read ({error})", arrays, "see 'make data' in the README"
        ) from error
    if [row["patient"] for row in rows] != list(patients) or tuple(sequences) != SEQUENCES:
        raise CaseError("crops and table do not tell of the same patients", table, "take both from one source")
    return _training_set(
        images,
        labels,
        patients,
        grades=[row["grade"] for row in rows],
        collections=[row["collection"] for row in rows],
        shippable=[row["shippable"] == "True" for row in rows],
    )


def training_set_from_cases(
    cases: Iterable[tuple[Case, str]], collection: str = "own", form: InputForm | None = None
) -> TrainingSet:
    """A training set from cases and their grades, in the form of the tumour region."""
    names, grades, images, labels = [], [], [], []
    for case, grade in cases:
        picture, mask = crop(case, form)
        names.append(case.identifier)
        grades.append(grade)
        images.append(picture.astype(np.float16))
        labels.append(mask)
    if not names:
        raise CaseError("there are no cases to learn from", remedy="give a cohort with grades")
    return _training_set(
        np.stack(images),
        np.stack(labels),
        np.array(names),
        grades,
        collections=[collection] * len(names),
        shippable=[True] * len(names),
        form=form,
    )


def _training_set(
    images: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    grades: list[str],
    collections: list[str],
    shippable: list[bool],
    form: InputForm | None = None,
) -> TrainingSet:
    form = form or InputForm()
    if unknown := sorted(set(grades) - {LGG, HGG}):
        raise CaseError(f"grade {unknown[0]!r} is neither LGG nor HGG", remedy="correct the table of grades")
    stacks = [stack_from_crop(image, label, form) for image, label in zip(images, labels, strict=True)]
    return TrainingSet(
        images=images.astype(np.float16),
        labels=labels.astype(np.uint8),
        first=np.array([stack.info.indices[0] / form.plane_mm for stack in stacks]),
        grades=np.array([int(grade == HGG) for grade in grades]),
        patients=np.asarray(patients),
        collections=np.asarray(collections),
        shippable=np.asarray(shippable),
        plane_mm=form.plane_mm,
        form=form,
    )
