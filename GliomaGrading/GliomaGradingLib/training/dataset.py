"""The project's own form of training data: the tumour region (or whole slices) of many patients in one file."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import CaseError, reason
from ..preparation.slices import InputForm
from ..words import SEQUENCES, SLICE_COUNT

DATASET_SCHEMA = "glioma-grading/training-set/1"
_REMEDY = "make it with 'glioma-grading prepare' (that of the shipped models: 'make data')"
_KINDS = {
    "images": "f",
    "labels": "iu",
    "first": "f",
    "grades": "iu",
    "patients": "U",
    "collections": "U",
    "shippable": "b",
    "public_names": "U",
}
"""The arrays by name, each with the kinds of numpy's that its values may be of."""
_LATER = "public_names"
"""An array that files of before 0.6 lack."""
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and its archives raise where a file is truncated, empty, encrypted or of another origin."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Prepared patients, a row each.

    Args:
        images: (N, 3, P, H, W) float16, z-scored over the brain; axis 1 is T1, T2, FLAIR; P from foot to head.
        labels: (N, P, H, W) uint8, the mask's labels.
        first: (N,) float64, the plane (fractional) of the first of the 20 slices, which lie 1 mm apart.
        grades: (N,) int, 0 LGG, 1 HGG.
        patients, collections: (N,) names. shippable: (N,) bool, may be learned from in what is shipped.
        public_names: (N,) what public data sets call the patient, several with a space between; empty where
            nothing may be told.
        plane_mm: distance of the planes.
    """

    images: np.ndarray
    labels: np.ndarray
    first: np.ndarray
    grades: np.ndarray
    patients: np.ndarray
    collections: np.ndarray
    shippable: np.ndarray
    public_names: np.ndarray
    plane_mm: float
    form: InputForm

    def __len__(self) -> int:
        return len(self.patients)

    def positions(self, patient: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Planes (fractional) of slice numbers 0..19 of patient rows."""
        return self.first[patient] + number / self.plane_mm

    def numbers(self, patient: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """The slice numbers nearest to planes (fractional) of patient rows: ``positions`` the other way."""
        return np.rint((plane - self.first[patient]) * self.plane_mm).astype(int)

    def span_planes(self) -> float:
        """Distance, in planes, of the first and the last of the 20 slices."""
        return (SLICE_COUNT - 1) / self.plane_mm

    def subset(self, rows: np.ndarray) -> TrainingSet:
        """The patients of a boolean or index array."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _KINDS})

    def write(self, path: Path) -> None:
        from ..files import write_atomically

        buffer = io.BytesIO()
        meta = {"schema": DATASET_SCHEMA, "plane_mm": self.plane_mm, "form": asdict(self.form)}
        np.savez_compressed(
            buffer,
            meta=np.array(json.dumps(meta)),
            **{name: getattr(self, name) for name in _KINDS},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> TrainingSet:
        """Read a file that ``write`` made.

        Raises:
            CaseError: it is missing, damaged or of another schema, or a patient in it cannot be learned from.
        """
        try:
            content = read_arrays(path, ("meta", *_KINDS), optional=_LATER)
            meta = dict(json.loads(str(content.pop("meta"))))
            if meta.get("schema") != DATASET_SCHEMA:
                raise CaseError(f"the training set is not of schema {DATASET_SCHEMA}", path, _REMEDY)
            content.setdefault(_LATER, np.full(len(content["patients"]), ""))
            data = cls(**content, plane_mm=float(meta["plane_mm"]), form=InputForm(**meta["form"]))
        except UNREADABLE as error:
            raise CaseError(f"the training set cannot be read ({reason(error)})", path, _REMEDY) from error
        return checked(data, path)


def read_arrays(path: Path, names: Iterable[str], optional: str = "") -> dict[str, np.ndarray]:
    """Arrays of an .npz by name; the one that is ``optional`` may be missing.

    Raises:
        UNREADABLE: the file is missing, damaged, no .npz or lacks an array.
    """
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):  # numpy would advise to load it unsafely
            raise ValueError("it is damaged, or no .npz file")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as arrays:
            known = [name for name in names if name != optional or name in arrays.files]
            return {name: np.asarray(arrays[name]) for name in known}


def checked(data: TrainingSet, where: object) -> TrainingSet:
    """The training set as it is, if every patient in it can be learned from.

    Raises:
        CaseError: an array is of a wrong kind or shape, or a patient (who is named) is there twice, has no
            tumour or images that are no numbers.
    """
    _check_forms(data, where)
    if not len(data):
        raise CaseError("there are no cases to learn from", where, "give a cohort with grades")
    names, counts = np.unique(data.patients, return_counts=True)
    if len(names) < len(data):
        raise CaseError(
            f"patient {names[counts > 1][0]} is there twice",
            where,
            "give every patient one row: two would come to lie on both sides of a split",
        )
    if not np.isin(data.grades, (0, 1)).all():
        raise CaseError("grades are not all 0 (LGG) or 1 (HGG)", where, _REMEDY)
    for name, images, labels, first in zip(data.patients, data.images, data.labels, data.first, strict=True):
        if not (np.isfinite(images).all() and np.isfinite(first)):
            raise CaseError(
                f"the images of patient {name} have values that are no numbers",
                where,
                "leave the patient out, or correct the images",
            )
        if not labels.any():
            raise CaseError(
                f"the mask of patient {name} is empty", where, "leave the patient out, or draw the tumour"
            )
    return data


def _check_forms(data: TrainingSet, where: object) -> None:
    """Whether all arrays have a row a patient, and images and masks the size of the input."""
    side = data.form.pixels
    planes = data.labels.shape[1] if data.form.kind == "whole-slice" and data.labels.ndim > 1 else side
    volume = (planes, side, side)
    shapes = {"images": (len(SEQUENCES), *volume), "labels": volume}
    for name, kinds in _KINDS.items():
        array, shape = getattr(data, name), (data.patients.size, *shapes.get(name, ()))
        if array.dtype.kind not in kinds or array.shape != shape:
            raise CaseError(
                f"{name} are {array.dtype} {array.shape} in place of a number or text for each of {shape}",
                where,
                "give every patient a row, and images and masks of the size of the input",
            )
