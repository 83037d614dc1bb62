"""Whether data can be trained on, and whether what lies in a folder was made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import UsageError
from ..words import HGG, LGG
from .dataset import TrainingSet
from .recipe import Recipe
from .source import uses_bfloat16

DATA, PRETRAINED = "data", "pretrained_sha256"
"""Keys of study.json and of a checkpoint that tell of which training set and pretrained tensors they are."""
CIRCUMSTANCES = {"glioma-grading": "version", "device": "device", "precision": "precision"}
"""More such keys, each with what it is called: on what else the numbers of a training hang."""
_TAUGHT = ("images", "labels", "first", "grades", "patients")


@lru_cache(maxsize=2)
def fingerprint(data: TrainingSet) -> str:
    """What tells one training set from another: SHA-256 of all that is learned from, and of whom it is."""
    digest = hashlib.sha256(json.dumps({"plane_mm": data.plane_mm, "form": asdict(data.form)}).encode())
    for name in _TAUGHT:
        array = getattr(data, name)
        array = np.array(list(map(str, array)), dtype="U64") if array.dtype.kind in "OUS" else array
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def beginning(recipe: Recipe, pretrained: Path | None) -> str:
    """What tells one file of pretrained tensors from another: its SHA-256; '' where a recipe needs none."""
    if pretrained is None or not recipe.pretrained or recipe.backbone != "googlenet-2014":
        return ""
    try:
        return hashlib.sha256(pretrained.read_bytes()).hexdigest()
    except OSError:
        return ""  # whoever reads its tensors says why


def check_beginning(settings: Mapping[str, Any], ours: str, what: str, where: Path | None) -> None:
    """Of a study or a checkpoint; those of earlier versions do not tell, and need not have a file any more.

    Raises:
        UsageError: it began at other pretrained tensors.
    """
    theirs = settings.get(PRETRAINED, "")
    if ours and theirs and theirs != ours:
        problem = f"the {what} began at other pretrained tensors"
        remedy = "name the same file with --pretrained, or choose another output folder"
        raise UsageError(problem, where, remedy)


def circumstances(recipe: Recipe, device: str) -> dict[str, str]:
    """Program version, kind of device, and what the recipe's precision comes to on it."""
    kind = torch.device(device)
    precision = "bfloat16" if uses_bfloat16(recipe.precision, kind) else "float32"
    return dict(zip(CIRCUMSTANCES, (__version__, kind.type, precision), strict=True))


def check_circumstances(
    settings: Mapping[str, Any], ours: Mapping[str, str], what: str, where: Path | None
) -> None:
    """Of a study or a checkpoint; those of earlier versions do not tell.

    Raises:
        UsageError: it was made by another version, on another kind of device or in another precision.
    """
    for key, name in CIRCUMSTANCES.items():
        theirs = settings.get(key, ours[key])
        if theirs != ours[key]:
            problem = f"the {what} was made with {name} {theirs}, not {ours[key]}"
            remedy = f"go on with {name} {theirs}, or choose another output folder"
            raise UsageError(problem, where, remedy)


def check_grades(data: TrainingSet) -> None:
    """Nothing can be learned of one grade alone.

    Raises:
        UsageError: there is no patient to learn from, or all have one grade.
    """
    if not len(data):
        remedy = "set 'shippable' for those who may be learned from, or add --patients all"
        raise UsageError("the training set has no patient that may be learned from", remedy=remedy)
    counts = {LGG: int((data.grades == 0).sum()), HGG: int((data.grades == 1).sum())}
    for grade, count in counts.items():
        if not count:
            raise UsageError(f"no patient has {grade}: of one grade alone nothing is learned", remedy=_BOTH)


_BOTH = "give patients of both grades"
