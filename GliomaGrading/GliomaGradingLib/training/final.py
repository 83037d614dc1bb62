"""The bundle that ships: three models of all patients, calibrated on a study's out-of-fold predictions."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import UsageError
from ..networks.bundle import Bundle, check_target, write_bundle
from ..networks.network import TransferModel
from ..voting import Calibration, DecisionRule
from ..words import GRADE_MEANING, SEQUENCES, SLICE_COUNT
from .checks import PRETRAINED, beginning, check_beginning, check_grades, fingerprint
from .dataset import TrainingSet
from .equipment import BARE, Equipment
from .evaluate import calibrate, evidence_of_grades, own_probabilities, unit_probabilities
from .fit import Fit, check_pretrained, keep_curves
from .metrics import auc
from .recipe import Recipe
from .splits import Part, Split
from .study import begun_at, data_of, read_study
from .targets import teach_enhancement
from .usual import learn_usual

LICENSE = """\
These weights are licensed under the Apache License, Version 2.0
(http://www.apache.org/licenses/LICENSE-2.0). They are for research use only; they are not a medical
device and not for diagnosis or treatment decisions.
"""
TCGA = ("TCGA-GBM", "TCGA-LGG")
TCGA_PATIENTS = """\
- Patients: TCGA-GBM and TCGA-LGG of The Cancer Imaging Archive with the BraTS-TCGA segmentations
  (Bakas et al. 2017, doi 10.1038/sdata.2017.117, licensed CC BY 3.0), as packaged by the BraTS challenge
  (Menze et al. 2015, doi 10.1109/TMI.2014.2377694; Bakas et al. 2018, arXiv 1811.02629).
"""
ATTRIBUTION = """\
What the weights have learned from
{patients}{start}- Method: Chin J Med Imaging Technol 2022;38(11):1715, three transfer networks that vote.
"""
STARTS = {
    "googlenet-2014": """\
- Starting point: the BVLC reference GoogLeNet, trained on ImageNet and released for unrestricted use
  (Szegedy et al. 2015, doi 10.1109/CVPR.2015.7298594; Jia et al. 2014, arXiv 1408.5093). {since}
""",
    "googlenet-torchvision": """\
- Starting point: torchvision's GoogLeNet, trained on ImageNet (weights IMAGENET1K_V1; Szegedy et al. 2015,
  doi 10.1109/CVPR.2015.7298594). {since}
""",
}
FINE_TUNED = """Every layer has
  been fine-tuned since."""
PROBED = """The
  output module alone has learned from the patients."""
FROM_SCRATCH = "- Starting point: random weights.\n"

OWN_LICENSE = """\
Who trained these weights says what may be done with them; the terms of the patients' data hold too. They
are for research use only; they are not a medical device and not for diagnosis or treatment decisions.
"""

FEWEST_PATIENTS = 6
"""Fewer have no spread of what is unlike them, each being judged by the others."""
NOBODY = Part(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def train_bundle(
    data: TrainingSet,
    recipe: Recipe,
    folder: Path,
    work: Path,
    study: Path | None,
    equipment: Equipment = BARE,
    seeds: int = 1,
    name: str = "",
) -> Bundle:
    """Train the three models on every patient of ``data`` and write their bundle.

    Args:
        folder: the bundle's folder; its name is the bundle's unless ``name`` is given.
        work: holds checkpoints, so that a killed run goes on.
        study: finished study whose out-of-fold predictions calibrate the probabilities; without one they
            stay as the networks give them.
        seeds: runs with other seeds whose weights are averaged (all start from the same ImageNet weights).

    Raises:
        UsageError: as ``check_final``; nothing is trained then.
    """
    team = equipment.team
    team.first(lambda: check_final(data, recipe, folder, study, equipment.pretrained))
    models = {
        sequence: _averaged(
            [
                _trained(data, column, replace(recipe, seed=recipe.seed + 100 * seed), work, equipment)
                for seed in range(seeds)
            ]
        )
        for column, sequence in enumerate(SEQUENCES)
    }

    def written() -> Bundle:
        metadata = _metadata(data, recipe, seeds, name or folder.absolute().name, study)
        metadata["familiarity"] = asdict(learn_usual(data, models, recipe))
        return write_bundle(folder, models, metadata, _texts(data, recipe))

    return team.first(written)


def check_final(
    data: TrainingSet, recipe: Recipe, folder: Path, study: Path | None, pretrained: Path | None
) -> None:
    """What would hinder a bundle once its models are trained.

    Raises:
        UsageError: there are too few patients, the recipe would stop early, the folder holds something else, or
            the study says nothing of models that this recipe makes of these patients.
    """
    if recipe.patience:
        raise UsageError(
            "the recipe's patience waits for a validation loss, and a bundle learns from every patient",
            remedy="train study and bundle for a fixed number of epochs, with a patience of 0",
        )
    check_grades(data)
    if len(data) < FEWEST_PATIENTS:
        remedy = f"give {FEWEST_PATIENTS} or more"
        raise UsageError(f"{len(data)} patients are too few to tell what is usual among them", remedy=remedy)
    check_target(folder, "choose another --final")
    check_pretrained(recipe, pretrained)
    if study is not None:
        _check_evidence(data, recipe, study, pretrained)


def _check_evidence(data: TrainingSet, recipe: Recipe, folder: Path, pretrained: Path | None) -> None:
    """Calibration and figures are those of a study: they hold for its own recipe, patients and beginning."""
    study, predictions = read_study(folder)
    units = predictions.of_patients()
    tested = {(str(name), int(grade)) for name, grade in zip(units.patient, units.grade, strict=True)}
    wanted = {(str(name), int(grade)) for name, grade in zip(data.patients, data.grades, strict=True)}
    remedy = "train the patient protocol with this recipe on these patients, or leave out --study"
    if study.protocol != "patient":
        raise UsageError("the study is split by image: it tests nothing new", folder, remedy)
    if study.shuffled_grades:
        raise UsageError("the study has shuffled grades", folder, remedy)
    if study.recipe != recipe:
        raise UsageError("the study was made with another recipe", folder, remedy)
    if tested != wanted or data_of(folder) not in ("", fingerprint(data)):
        raise UsageError("the study is of other data", folder, remedy)
    check_beginning({PRETRAINED: begun_at(folder)}, beginning(recipe, pretrained), "study", folder)
    found = auc(units.grade, own_probabilities(units).mean(axis=1))
    if not found > 0.5:
        raise UsageError(
            f"the study ranks patients no better than chance (AUC {found:.2f})",
            folder,
            "look at grades and images; a bundle of such models says nothing",
        )


def _texts(data: TrainingSet, recipe: Recipe) -> dict[str, str]:
    """Licence and attribution: the shipped patients' for these, only what is known for anybody else's."""
    is_shipped = _is_shipped(data)
    patients = TCGA_PATIENTS if is_shipped else f"- Patients: {len(data)} of {', '.join(_collections(data))}\n"
    start = FROM_SCRATCH
    if recipe.pretrained:
        start = STARTS[recipe.backbone].format(since=FINE_TUNED if recipe.epochs else PROBED)
    attribution = ATTRIBUTION.format(patients=patients, start=start)
    return {"LICENSE": LICENSE if is_shipped else OWN_LICENSE, "ATTRIBUTION.txt": attribution}


def _origin(data: TrainingSet) -> dict[str, str]:
    """Licence and card in the metadata: whoever trained other weights says what may be done with them."""
    if _is_shipped(data):
        return {"license": "Apache-2.0", "card": "Resources/ModelCard.md"}
    return {"license": "LICENSE"}


def _is_shipped(data: TrainingSet) -> bool:
    """Somebody's own patients may be called a TCGA collection's, and have none of its public names."""
    return set(_collections(data)) <= set(TCGA) and all(map(str.strip, map(str, data.public_names)))


def _collections(data: TrainingSet) -> list[str]:
    return sorted(set(map(str, data.collections)))


def _trained(data: TrainingSet, column: int, recipe: Recipe, work: Path, equipment: Equipment) -> TransferModel:
    run = work / f"final-{SEQUENCES[column]}-seed{recipe.seed}"
    everyone = Part.of_patients(np.arange(len(data)), SLICE_COUNT)
    split, checkpoint = Split(everyone, NOBODY, NOBODY), run / "checkpoint.pt"
    fit = Fit(data, column, split, recipe, checkpoint, equipment)
    model = fit.run()
    equipment.team.first(lambda: keep_curves(run, fit.curves))
    return model


def _averaged(models: list[TransferModel]) -> TransferModel:
    """The model of the mean weights."""
    states = [model.state_dict() for model in models]
    mean = {key: torch.stack([state[key].float() for state in states]).mean(0) for key in states[0]}
    models[0].load_state_dict(mean)
    return models[0].cpu()


def _metadata(data: TrainingSet, recipe: Recipe, seeds: int, name: str, study: Path | None) -> dict[str, Any]:
    calibration = calibrate(read_study(study)[1].of_patients()) if study else Calibration.identity()
    hgg = int(data.grades.sum())
    fitted_on = "out-of-fold predictions by patient" if study else "nothing"
    if study and seeds > 1:
        fitted_on += f" of single models, and not of the mean weights of {seeds}"
    return {
        "name": name,
        "version": __version__,
        "sequences": list(SEQUENCES),
        "classes": {"LGG": 0, "HGG": 1},
        "meaning": GRADE_MEANING,
        "input": {"region": asdict(data.form), "image": asdict(recipe.image)},
        "calibration": {
            "sequences": {s: asdict(platt) for s, platt in calibration.sequences.items()},
            "together": asdict(calibration.together),
            "fitted_on": fitted_on,
        },
        "decision": asdict(DecisionRule()),
        **_origin(data),
        **_evidence(study),
        "training": {
            "patients": len(data),
            "HGG": hgg,
            "LGG": len(data) - hgg,
            "collections": _collections(data),
            "patients_with_enhancement": teach_enhancement(data, recipe),
            "public_names": sorted(set(" ".join(map(str, data.public_names)).split())),
            "recipe": recipe.to_dict(),
            "seeds": seeds,
        },
    }


def _evidence(study: Path | None) -> dict[str, Any]:
    """What to expect of a grade: what the study says."""
    if study is None:
        return {"figures": {}}
    settings, predictions = read_study(study)
    units = predictions.of_patients()
    return evidence_of_grades(units, unit_probabilities(settings, units))
