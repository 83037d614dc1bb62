"""Training sets from tumour crops that are already in the form of the input, and from full-resolution cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..case import Case
from ..cohort.tables import read_table
from ..errors import CaseError, reason
from ..preparation.registration import register
from ..preparation.slices import AXIAL_MM, InputForm, crop, prepare_labelled, stack_from_crop
from ..words import HGG, LGG, SEQUENCES
from .dataset import UNREADABLE, TrainingSet, checked, read_arrays

PUBLIC_NAMES = ("patient", "brats2019_id", "tcga_id")
"""Columns of a table of crops with what BraTS 2020, BraTS 2018 and 2019, and TCGA call a patient."""
_COLUMNS = ("patient", "grade", "collection", "shippable")
_YES, _NO = ("true", "1", "yes", "y"), ("false", "0", "no", "n", "")
_GRADE_WORDS = {"0": LGG, "1": HGG}
"""Grades of the arrays may be numbers, as a training set has them."""


def training_set_from_crops(arrays: Path, table: Path) -> TrainingSet:
    """A training set from a file of crops and its table of patients.

    Args:
        arrays: .npz of ``images`` (N, 3, 32, 32, 32), ``segmentations``, ``patients``, ``sequences`` and, if
            it has them, ``grades`` (LGG or 0, HGG or 1).
        table: CSV or Excel with a row a patient in the same order: patient, grade, collection, shippable (true
            or false), and perhaps other public names of the patient (``PUBLIC_NAMES``).

    Raises:
        CaseError: the crops cannot be read, the two do not tell of the same patients or of other grades, a mask
            has a label that is none, or a patient cannot be learned from (``dataset.checked``).
        UsageError: the table cannot be read.
    """
    names = ("images", "segmentations", "patients", "sequences", "grades")
    try:
        content = read_arrays(arrays, names, optional="grades")
        patients = list(map(str, content["patients"]))
        with np.errstate(over="ignore"):  # what is too large for float16 is told with its patient's name
            images = content["images"].astype(np.float16)
        labels = _labels(content["segmentations"], patients, arrays)
        sequences = tuple(map(str, content["sequences"]))
        stored = _stored_grades(content.get("grades"), patients, arrays)
    except UNREADABLE as error:
        raise CaseError(
            f"the crops cannot be read ({reason(error)})", arrays, "see 'make data' in the README"
        ) from error
    rows = _rows(table)
    if [row["patient"] for row in rows] != patients or sequences != SEQUENCES:
        raise CaseError("crops and table do not tell of the same patients", table, "take both from one source")
    grades = [row["grade"] for row in rows]
    _check_same_grades(patients, grades, stored, table)
    form = InputForm()
    data = TrainingSet(
        images=images,
        labels=labels,
        first=np.zeros(len(rows)),
        grades=_as_numbers(grades),
        patients=np.array(patients, dtype=str),
        collections=np.array([row["collection"] for row in rows], dtype=str),
        shippable=np.array([_is_yes(row, table) for row in rows], dtype=bool),
        public_names=np.array([_public_names(row) for row in rows], dtype=str),
        plane_mm=form.plane_mm,
        form=form,
    )
    checked(data, arrays)
    first = [_first_plane(i, m, form) for i, m in zip(content["images"], labels, strict=True)]
    return replace(data, first=np.array(first, dtype=float))


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
    data = TrainingSet(
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
    return checked(data, "")


def _planes_of(case: Case, form: InputForm) -> tuple[np.ndarray, np.ndarray, float]:
    """Images (3, P, H, W), mask (P, H, W) and the plane of the first slice."""
    if form.kind == "tumour-region":
        images, labels = crop(case, form)
        return images, labels, _first_plane(images, labels, form)
    stack, labels = prepare_labelled(case, form)
    return stack.planes, labels, float(stack.first)


def _first_plane(images: np.ndarray, labels: np.ndarray, form: InputForm) -> float:
    """Where the 20 slices of a crop begin, in planes."""
    return stack_from_crop(images, labels, form).info.indices[0] * AXIAL_MM / form.plane_mm


def _rows(table: Path) -> list[dict[str, str]]:
    found = read_table(table)
    if lacking := [name for name in _COLUMNS if name not in found.columns]:
        raise CaseError(
            f"the table of crops has no column {lacking[0]!r}", table, f"the columns are {', '.join(_COLUMNS)}"
        )
    return [cells for _number, cells in found.rows]


def _is_yes(row: dict[str, str], table: Path) -> bool:
    word = row["shippable"].casefold()
    if word not in (*_YES, *_NO):
        told = f"shippable is {row['shippable']!r} for patient {row['patient']}"
        raise CaseError(told, table, "give true or false")
    return word in _YES


def _public_names(row: dict[str, str]) -> str:
    return " ".join(row[name] for name in PUBLIC_NAMES if row.get(name))


def _labels(stored: np.ndarray, patients: Sequence[str], arrays: Path) -> np.ndarray:
    """Masks with a byte a voxel; what does not fit into one would become another label, or none."""
    with np.errstate(invalid="ignore"):
        labels = stored.astype(np.uint8)
    for name, told, kept in zip(patients, stored, labels, strict=False):  # their number is for ``checked``
        if (lost := told[told != kept]).size:
            problem = f"the mask of patient {name} has the value {lost.flat[0]:g}"
            raise CaseError(problem, arrays, "give labels from 0 (no tumour) to 255")
    return labels


def _stored_grades(stored: np.ndarray | None, patients: Sequence[str], arrays: Path) -> list[str]:
    """The grades that the crops have themselves, one for each patient, or none."""
    if stored is None:
        return []
    grades = [_GRADE_WORDS.get(str(grade), str(grade)) for grade in stored]
    if len(grades) != len(patients):
        problem = f"the crops have {len(grades)} grades of {len(patients)} patients"
        raise CaseError(problem, arrays, "give each patient one, or leave 'grades' out")
    return grades


def _check_same_grades(
    patients: Sequence[str], told: Sequence[str], stored: Sequence[str], table: Path
) -> None:
    """Where the crops have grades of their own, those of the table have to be the same."""
    for name, here, there in zip(patients, told, stored or told, strict=True):
        if {here, there} == {LGG, HGG}:
            raise CaseError(
                f"patient {name} is {here} in the table and {there} in the crops",
                table,
                "find out which is right, and correct the other",
            )


def _as_numbers(grades: list[str]) -> np.ndarray:
    if unknown := sorted(set(grades) - {LGG, HGG}):
        raise CaseError(f"grade {unknown[0]!r} is neither LGG nor HGG", remedy="correct the table of grades")
    return np.array([int(grade == HGG) for grade in grades])
