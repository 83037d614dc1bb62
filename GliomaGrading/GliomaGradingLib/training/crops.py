"""Training sets from tumour crops that are already in the form of the input, and from full-resolution cases."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..case import Case
from ..errors import CaseError, reason
from ..registration import register
from ..slices import AXIAL_MM, InputForm, crop, prepare, stack_from_crop
from ..words import HGG, LGG, SEQUENCES
from .dataset import TrainingSet

PUBLIC_NAMES = ("patient", "brats2019_id", "tcga_id")
"""Columns of a table of crops with what BraTS 2020, BraTS 2018 and 2019, and TCGA call a patient."""


def training_set_from_crops(arrays: Path, table: Path) -> TrainingSet:
    """A training set from a file of crops and its table of patients.

    Args:
        arrays: .npz of ``images`` (N, 3, 32, 32, 32), ``segmentations``, ``patients``, ``grades``.
        table: CSV with a row a patient in the same order: patient, grade, collection, shippable, and perhaps
            other public names of the patient (``PUBLIC_NAMES``).

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
            f"the crops cannot be read ({reason(error)})", arrays, "see 'make data' in the README"
        ) from error
    if [row["patient"] for row in rows] != list(patients) or tuple(sequences) != SEQUENCES:
        raise CaseError("crops and table do not tell of the same patients", table, "take both from one source")
    form = InputForm()
    return TrainingSet(
        images=images.astype(np.float16),
        labels=labels.astype(np.uint8),
        first=np.array([_first_plane(i, m, form) for i, m in zip(images, labels, strict=True)]),
        grades=_as_numbers([row["grade"] for row in rows]),
        patients=patients,
        collections=np.array([row["collection"] for row in rows]),
        shippable=np.array([row["shippable"] == "True" for row in rows]),
        public_names=np.array([" ".join(row[name] for name in PUBLIC_NAMES if row.get(name)) for row in rows]),
        plane_mm=form.plane_mm,
        form=form,
    )


def training_set_from_cases(
    cases: Iterable[tuple[Case, str]],
    collection: str = "own",
    form: InputForm | None = None,
    failed: Callable[[str, CaseError], None] | None = None,
) -> TrainingSet:
    """A training set from cases and their grades, of tumour regions or of whole slices as ``form`` says.

    Every case is registered first, as it is for grading.

    Args:
        failed: is told of a case (by its name) that cannot be graded as it is, which is then left out.

    Raises:
        CaseError: there are no cases, a grade is unknown, or (without ``failed``) a case cannot be graded.
    """
    form = form or InputForm()
    names, grades, images, labels, first = [], [], [], [], []
    for case, grade in cases:
        try:
            picture, mask, start = _planes_of(register(case, "auto")[0], form)
        except CaseError as error:
            if failed is None:
                raise
            failed(case.identifier, error)
            continue
        names.append(case.identifier)
        grades.append(grade)
        images.append(picture.astype(np.float16))
        labels.append(mask)
        first.append(start)
    if not names:
        raise CaseError("there are no cases to learn from", remedy="give a cohort with grades")
    return TrainingSet(
        images=np.stack(images),
        labels=np.stack(labels),
        first=np.array(first, dtype=float),
        grades=_as_numbers(grades),
        patients=np.array(names),
        collections=np.array([collection] * len(names)),
        shippable=np.ones(len(names), dtype=bool),
        public_names=np.full(len(names), ""),  # whoever trains on a cohort publishes nobody's name
        plane_mm=form.plane_mm if form.kind == "tumour-region" else AXIAL_MM,
        form=form,
    )


def _planes_of(case: Case, form: InputForm) -> tuple[np.ndarray, np.ndarray, float]:
    """Images (3, P, H, W), mask (P, H, W) and the plane of the first slice."""
    if form.kind == "tumour-region":
        images, labels = crop(case, form)
        return images, labels, _first_plane(images, labels, form)
    stack = prepare(case, form)
    return stack.planes, stack.mask, float(stack.first)


def _first_plane(images: np.ndarray, labels: np.ndarray, form: InputForm) -> float:
    """Where the 20 slices of a crop begin, in planes."""
    return stack_from_crop(images, labels, form).info.indices[0] * AXIAL_MM / form.plane_mm


def _as_numbers(grades: list[str]) -> np.ndarray:
    if unknown := sorted(set(grades) - {LGG, HGG}):
        raise CaseError(f"grade {unknown[0]!r} is neither LGG nor HGG", remedy="correct the table of grades")
    return np.array([int(grade == HGG) for grade in grades])
