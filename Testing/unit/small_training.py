"""A small training set whose grade can be seen: HGG tumours are bright."""

from __future__ import annotations

import numpy as np
from GliomaGradingLib.preparation.slices import InputForm
from GliomaGradingLib.training.dataset import TrainingSet

FORM = InputForm()


def small_training_set(patients: int = 12, contrast: float = 3.0, seed: int = 0) -> TrainingSet:
    """Every second patient is HGG; its tumour is ``contrast`` z-scores brighter than LGG's."""
    rng = np.random.default_rng(seed)
    shape = (patients, 3, 32, 32, 32)
    images = rng.normal(0, 0.5, shape)
    labels = np.zeros((patients, 32, 32, 32), np.uint8)
    labels[:, 4:28, 10:22, 10:22] = 1
    grades = np.arange(patients) % 2
    images += contrast * grades[:, None, None, None, None] * labels[:, None]
    return TrainingSet(
        images=images.astype(np.float16),
        labels=labels,
        first=np.full(patients, 6 / FORM.plane_mm),
        grades=grades,
        patients=np.array([f"patient-{i:02d}" for i in range(patients)]),
        collections=np.array(["one"] * patients),
        shippable=np.array([True] * patients),
        public_names=np.array([f"open-{i:02d} OPEN-{i:02d}-X" for i in range(patients)]),
        plane_mm=FORM.plane_mm,
        form=FORM,
    )
