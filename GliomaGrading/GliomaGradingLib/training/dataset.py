"""The project's own form of training data: the tumour region (or whole slices) of many patients in one file."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import CaseError, reason
from ..slices import InputForm
from ..words import SLICE_COUNT

DATASET_SCHEMA = "glioma-grading/training-set/1"
_REMEDY = "make it with 'glioma-grading prepare' (that of the shipped models: 'make data')"
_ARRAYS = ("images", "labels", "first", "grades", "patients", "collections", "shippable", "public_names")


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
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def write(self, path: Path) -> None:
        from ..files import write_atomically

        buffer = io.BytesIO()
        meta = {"schema": DATASET_SCHEMA, "plane_mm": self.plane_mm, "form": asdict(self.form)}
        np.savez_compressed(
            buffer,
            meta=np.array(json.dumps(meta)),
            **{name: getattr(self, name) for name in _ARRAYS},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> TrainingSet:
        """Read a file that ``write`` made.

        Raises:
            CaseError: it is missing or of another schema.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                content = {name: arrays[name] for name in arrays.files}
            meta = json.loads(str(content.pop("meta")))
        except (OSError, ValueError, KeyError) as error:
            raise CaseError(f"the training set cannot be read ({reason(error)})", path, _REMEDY) from error
        if meta.get("schema") != DATASET_SCHEMA:
            raise CaseError(f"the training set is not of schema {DATASET_SCHEMA}", path, _REMEDY)
        content.setdefault("public_names", np.full(len(content["patients"]), ""))  # files of before 0.6
        return cls(**content, plane_mm=float(meta["plane_mm"]), form=InputForm(**meta["form"]))
