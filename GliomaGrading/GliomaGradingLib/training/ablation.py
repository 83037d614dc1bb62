"""Ideas tried, each against another, on the same patients in the same folds: what helped, and what did not.

Most ideas are tried with frozen ImageNet features and the ridge probe, which takes minutes instead of hours;
whole studies are added as they are trained. An idea's score is its soft vote, calibrated across folds as the
product's is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit

from ..errors import UsageError, reason
from ..files import all_or_nothing
from ..networks.image_form import ImageForm
from ..words import SEQUENCES, SLICE_COUNT
from .checks import DATA, PRETRAINED, beginning, check_beginning, fingerprint
from .dataset import TrainingSet
from .evaluate import cell, unit_probabilities
from .evidence import json_text, units_of
from .features import frozen_features
from .metrics import Figures, auc
from .paired import ScoreTable
from .probe import EVERY, ridge, thinned
from .recipe import Augmentation, Recipe
from .splits import Part
from .study import Predictions, Study
from .targets import part_targets

JSON, CSV, TABLE = "ablation.json", "ablation.csv", "ablation.md"
REPEATS = "repeats"
"""Key of ablation.json, beside those of ``checks``."""
LEVELS = ("3b", "4c", "4e", "5b", "3b tumour")
CLOSENESS = 1e-3
GAIN = 3.0
"""As ``training.probe`` and its recipe have them."""
BASE = "probe"
"""The idea that frozen ideas begin at."""

Pool = Callable[[np.ndarray], np.ndarray]
"""(patients, slices) logits to (patients,) logits."""


@dataclass(frozen=True)
class Probe:
    """A ridge probe on frozen features.

    Args:
        train: forms that the training slices are looked at in. test: forms whose logits are averaged in
            testing. pool: how slices become a patient. enhancement: its share of what a slice is taught.
    """

    levels: tuple[str, ...] = LEVELS
    train: tuple[str, ...] = ("plain",)
    test: tuple[str, ...] = ("plain",)
    penalty: float = 3.0
    pool: str = "mean"
    enhancement: float = 0.0


@dataclass(frozen=True)
class Idea:
    """What was tried, against what, and what became of it; ``together``: scored by the calibrated stack."""

    name: str
    probe: Probe
    kept: bool
    why: str
    against: str = BASE
    together: bool = False


GENTLE = Augmentation(
    rotation=0.4, zoom=0.18, aspect=0.08, shift=0.15, contrast=0.25, brightness=0.3, mirror=True, redraw=0.2
)
"""Changes that a head in a scanner could show; the recipe's own go as far as turning it round."""
LOOKS = 8
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"form": ImageForm()},
    "quarters": {"form": ImageForm(turned=True)},
    "quarters, shifted": {"form": ImageForm(turned=True, shifted=8)},
    "same": {"form": ImageForm(channels="same")},
    "96 pixels": {"form": ImageForm(pixels=96)},
    "mirrored": {"form": ImageForm(), "mirrored": True},
    "changed": {"form": ImageForm(), "augmented": 1, "augmentation": GENTLE},
    **{
        f"changed {n}": {"form": ImageForm(), "augmented": n, "augmentation": GENTLE}
        for n in range(2, LOOKS + 1)
    },
    **{f"turned {n}": {"form": ImageForm(), "augmented": n} for n in range(1, LOOKS + 1)},
}
CHANGED = ("plain", "changed", *(f"changed {n}" for n in range(2, LOOKS + 1)))
TURNED = ("plain", *(f"turned {n}" for n in range(1, LOOKS + 1)))
QUARTERS = ("quarters", *TURNED[1:])
SHIFTED = ("quarters, shifted", *TURNED[1:])
POOLS: dict[str, Pool] = {
    "mean": lambda logits: logits.mean(axis=1),
    "mean of probabilities": lambda logits: logit(expit(logits).mean(axis=1)),
    "highest half": lambda logits: np.sort(logits, axis=1)[:, logits.shape[1] // 2 :].mean(axis=1),
    "highest": lambda logits: logits.max(axis=1),
}
ALL_TUMOUR = (*LEVELS, "4c tumour", "4e tumour", "5b tumour")
IDEAS = (
    Idea(BASE, Probe(), True, "five poolings of four blocks, mean of the slices' logits", ""),
    Idea(
        "last block only",
        Probe(levels=("5b",)),
        False,
        "what the ImageNet classifier reads; earlier blocks add to it, not beyond noise on their own",
    ),
    Idea(
        "block 4e only",
        Probe(levels=("4e",)),
        False,
        "the best single block; within noise of all five poolings with a quarter of the numbers",
    ),
    Idea("block 4c only", Probe(levels=("4c",)), False, "worse"),
    Idea("block 3b only", Probe(levels=("3b",)), False, "worse"),
    Idea(
        "no pooling over the tumour",
        Probe(levels=LEVELS[:4]),
        False,
        "within noise; pooling over the tumour is kept, as it makes the mask count",
    ),
    Idea(
        "every block over the tumour too",
        Probe(levels=ALL_TUMOUR),
        False,
        "no gain for half as many numbers more",
    ),
    Idea(
        "one slice in three channels",
        Probe(train=("same",), test=("same",)),
        False,
        "worse: the neighbouring slices as channels are kept",
    ),
    Idea(
        "images of 96 pixels",
        Probe(train=("96 pixels",), test=("96 pixels",)),
        False,
        "no gain at more than twice the time",
    ),
    Idea("ridge 1", Probe(penalty=1.0), False, "no difference"),
    Idea("ridge 10", Probe(penalty=10.0), False, "no difference"),
    Idea(
        "a second, changed look at training slices",
        Probe(train=("plain", "changed")),
        False,
        "no difference: eight of them do more",
    ),
    Idea(
        "eight changed looks, ridge 0.3",
        Probe(train=CHANGED, penalty=0.3),
        False,
        "a gain, but less than where they are turned all round as well",
    ),
    Idea("eight turned looks", Probe(train=TURNED), False, "the usual ridge holds back what they teach"),
    Idea(
        "eight turned looks, ridge 0.3",
        Probe(train=TURNED, penalty=0.3),
        True,
        "the largest gain: turned all round, a tumour shows what is its own; the looks are kept, the ridge "
        "can be weaker still",
    ),
    Idea(
        "eight turned looks, ridge 0.03",
        Probe(train=TURNED, penalty=0.03),
        False,
        "a little more; the enhancement is needed for more than that",
        "eight turned looks, ridge 0.3",
    ),
    Idea(
        "enhancement taught, ridge 0.3",
        Probe(train=TURNED, penalty=0.3, enhancement=0.3),
        False,
        "each slice is taught how much of its tumour enhances, too: such a target bears a weaker ridge",
        "eight turned looks, ridge 0.3",
    ),
    Idea(
        "enhancement taught, ridge 0.03",
        Probe(train=TURNED, penalty=0.03, enhancement=0.3),
        True,
        "what the masks know of contrast enhancement is a figure for each slice, where the grade is one "
        "for a patient",
        "eight turned looks, ridge 0.3",
    ),
    Idea(
        "each slice turned a quarter further",
        Probe(train=QUARTERS, test=("quarters",), penalty=0.03, enhancement=0.3),
        True,
        "no difference here; it hangs less on which looks were drawn, and on how the mask was",
        "enhancement taught, ridge 0.03",
    ),
    Idea(
        "each slice shifted too, by up to 8 pixels",
        Probe(train=SHIFTED, test=("quarters, shifted",), penalty=0.03, enhancement=0.3),
        True,
        "the slices together see more of what lies between the pixels that a network looks at: no difference "
        "here, but the probability moves a third less in the median when image or mask are changed",
        "each slice turned a quarter further",
    ),
    Idea(
        "enhancement alone, ridge 0.03",
        Probe(train=TURNED, penalty=0.03, enhancement=1.0),
        False,
        "no grade is taught at all, as a control: the grade is still needed",
        "enhancement taught, ridge 0.03",
    ),
    Idea(
        "mirrored view averaged",
        Probe(test=("plain", "mirrored")),
        False,
        "no gain at twice the time of grading",
    ),
    Idea("mean of slices' probabilities", Probe(pool="mean of probabilities"), False, "no difference"),
    Idea("mean of the highest half of slices", Probe(pool="highest half"), False, "no gain"),
    Idea("highest slice", Probe(pool="highest"), False, "no gain"),
    Idea(
        "calibrated stack of the three",
        Probe(),
        True,
        "as good as the mean of three, and calibrated: the product's probability",
        together=True,
    ),
)


def run_ablation(
    data: TrainingSet,
    pretrained: Path,
    output: Path,
    command: str,
    repeats: int = 3,
    ideas: tuple[Idea, ...] = IDEAS,
    features_of: Callable[..., dict[str, np.ndarray]] = frozen_features,
) -> dict[str, Any]:
    """Try the frozen ideas; writes ablation.json, .csv and .md. Ideas added as studies stay.

    An idea that the table in ``output`` has already is not tried again; remove the table to begin anew.

    Args:
        features_of: gives the features of a form; for tests.

    Raises:
        UsageError: the table in ``output`` is of other patients, pretrained tensors or repeats.
    """
    study = Study(repeats=repeats)
    stored, table = _stored(output)
    if table is not None:
        _check_table(stored, table, data, study, pretrained, output)
    origin = _origin_of(stored) if stored else _origin(data, study, pretrained)
    earlier = {entry["name"]: _described(entry) for entry in stored.get("ideas", ())}
    missing = tuple(idea for idea in ideas if idea.name not in earlier)
    looks = {name: features_of(data, pretrained, every=EVERY, **FORMS[name]) for name in _forms_of(missing)}
    cache: dict[Probe, Predictions] = {}
    for idea in missing:
        if idea.probe not in cache:
            cache[idea.probe] = probe_units(data, study, idea.probe, looks)
        units = cache[idea.probe]
        probabilities = unit_probabilities(study, units)
        scores = probabilities[:, 3] if idea.together else probabilities[:, :3].mean(axis=1)
        table = (table or ScoreTable.of_units(units)).added(idea.name, units, scores)
    assert table is not None
    entries = [{"name": i.name, "against": i.against, "kept": i.kept, "why": i.why} for i in ideas]
    own = {idea.name for idea in ideas}
    entries += [entry for name, entry in earlier.items() if name not in own]
    output.mkdir(parents=True, exist_ok=True)
    return _write(output, table, entries, command if missing else stored["command"], origin)


def add_idea(output: Path, name: str, against: str | None, study: Path, kept: bool, why: str) -> dict[str, Any]:
    """Put a study's soft vote into the ablation table, or put it there anew.

    Raises:
        UsageError: there is no table yet, no idea ``against``, or the study has other folds.
    """
    try:
        stored, table = _read(output)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no ablation table ({reason(error)})",
            output,
            "run 'glioma-grading evaluate --ablation' first",
        ) from error
    if against not in table.columns or against == name:
        known = ", ".join(key for key in table.columns if key != name)
        raise UsageError(f"there is no idea {against!r} to compare with", remedy=f"choose one of: {known}")
    settings, units = units_of(study)
    table.columns.pop(name, None)
    table = table.added(name, units, unit_probabilities(settings, units)[:, :3].mean(axis=1))
    entries = [entry for entry in stored["ideas"] if entry["name"] != name]
    entries.append({"name": name, "against": against, "kept": kept, "why": why})
    return _write(output, table, entries, stored["command"], _origin_of(stored))


def ablation_figures(
    table: ScoreTable, entries: list[dict[str, Any]], command: str, draws: int = 1000
) -> dict[str, Any]:
    """AUC of every idea, and its difference to the one that it is compared with."""
    ideas = []
    for entry in entries:
        name, against = entry["name"], entry["against"]
        rows = table.rows_with([name])
        ideas.append(
            {
                **{key: entry[key] for key in ("name", "against", "kept", "why")},
                "repeats": len(np.unique(table.repeat[rows])),
                **table.figures(_auc, name, draws),
                "difference": table.difference(_auc, name, against, draws)["auc"] if against else None,
            }
        )
    return {
        "schema": "glioma-grading/ablation/1",
        "ideas": ideas,
        "chosen_inside": chosen_inside(table),
        "command": command,
    }


def chosen_inside(table: ScoreTable) -> dict[str, Any]:
    """What choosing the best idea gives where the choice does not look at the patients that it is scored on.

    For each fold the idea with the best AUC on the repeat's other folds is taken. Its AUC, beside that of the
    idea that looks best when everybody is looked at, says how hopeful the choice has made the figures; not
    all of it, since the models that gave the other folds' scores have learned from this fold's patients.
    """
    names = [name for name in table.columns if len(table.rows_with([name])) == len(table.repeat)]
    scores = np.empty(len(table.repeat))
    for test, others in _folds(table):
        best = max(names, key=lambda name: auc(table.grade[others], table.columns[name][others]))
        scores[test] = table.columns[best][test]
    means = {name: _mean_auc(table, table.columns[name]) for name in names}
    best = max(means, key=lambda name: means[name])
    return {"auc": _mean_auc(table, scores), "best": best, "best_auc": means[best], "ideas": len(names)}


def ablation_table(figures: dict[str, Any]) -> str:
    """As Markdown: a row an idea."""
    lines = ["| idea | against | repeats | AUC | difference | kept | why |", "|---" * 7 + "|"]
    for idea in figures["ideas"]:
        difference = "" if idea["difference"] is None else cell(idea["difference"], sign="+")
        kept = "yes" if idea["kept"] else "no"
        repeats = str(idea["repeats"])
        cells = [idea["name"], idea["against"], repeats, cell(idea["auc"]), difference, kept, idea["why"]]
        lines.append("| " + " | ".join(cells) + " |")
    inside = figures["chosen_inside"]
    lines += [
        "",
        "A difference is over the repeats that both have. "
        f"Choosing the best of {inside['ideas']} ideas for each fold by the other folds gives an AUC of "
        f"{inside['auc']:.3f}; the idea that looks best over all folds (*{inside['best']}*) has "
        f"{inside['best_auc']:.3f}.",
    ]
    return "\n".join(lines) + "\n"


def probe_units(
    data: TrainingSet, study: Study, probe: Probe, looks: dict[str, dict[str, np.ndarray]]
) -> Predictions:
    """Out-of-fold logits of the patients, of ridge probes of the three sequences."""
    forms = {form: _joined(looks[form], probe.levels) for form in {*probe.train, *probe.test}}
    parts = []
    for repeat, fold, split in study.splits(data):
        train, test = split.train.patients(), split.test.patients()
        taught = _taught(data, train, probe)
        columns = [
            _patient_logits(forms, probe, column, train, test, taught) for column in range(len(SEQUENCES))
        ]
        parts.append((repeat, fold, test, np.stack(columns, axis=1)))
    rows = np.concatenate([test for _, _, test, _ in parts])
    return Predictions(
        repeat=np.concatenate([np.full(len(test), repeat) for repeat, _, test, _ in parts]),
        fold=np.concatenate([np.full(len(test), fold) for _, fold, test, _ in parts]),
        patient=data.patients[rows],
        slice=np.full(len(rows), -1),
        grade=data.grades[rows],
        logits=np.concatenate([logits for *_, logits in parts]),
    )


Taught = tuple[np.ndarray, np.ndarray]
"""Targets of the training slices, and which are of HGG."""


def _taught(data: TrainingSet, train: np.ndarray, probe: Probe) -> Taught:
    part = thinned(Part.of_patients(train, SLICE_COUNT))
    return part_targets(data, part, Recipe(enhancement=probe.enhancement)), data.grades[part.patient] > 0


def _patient_logits(
    forms: dict[str, np.ndarray],
    probe: Probe,
    column: int,
    train: np.ndarray,
    test: np.ndarray,
    taught: Taught,
) -> np.ndarray:
    looks = [forms[form][column, train] for form in probe.train]
    rows = torch.from_numpy(np.concatenate(looks)).flatten(0, 1)
    targets, is_hgg = (torch.from_numpy(np.tile(values, len(looks))) for values in taught)
    mean, deviation = rows.mean(dim=0), rows.std(dim=0)
    deviation = deviation + CLOSENESS * deviation.mean()
    weights = ridge((rows - mean) / deviation, targets.float(), is_hgg, probe.penalty).float()
    logits = [
        ((torch.from_numpy(forms[form][column, test]) - mean) / deviation @ weights).numpy()
        for form in probe.test
    ]
    return POOLS[probe.pool](GAIN * np.stack(logits).mean(axis=0, dtype=np.float64))


def _joined(look: dict[str, np.ndarray], levels: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([look[level] for level in levels], axis=-1)


def _forms_of(ideas: tuple[Idea, ...]) -> list[str]:
    return sorted({form for idea in ideas for form in (*idea.probe.train, *idea.probe.test)})


def _read(output: Path) -> tuple[dict[str, Any], ScoreTable]:
    return json.loads((output / JSON).read_text(encoding="utf-8")), ScoreTable.read(output / CSV)


def _stored(output: Path) -> tuple[dict[str, Any], ScoreTable | None]:
    """The table that stands in a folder; nothing where there is none."""
    if not (output / JSON).is_file():
        return {}, None
    try:
        return _read(output)
    except (OSError, ValueError) as error:
        remedy = "remove it to try all ideas anew, or choose another --output"
        raise UsageError(f"the ablation table cannot be read ({reason(error)})", output, remedy) from error


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An idea without its figures."""
    return {key: entry[key] for key in ("name", "against", "kept", "why")}


def _origin(data: TrainingSet, study: Study, pretrained: Path) -> dict[str, Any]:
    """What a table's scores were made of."""
    return {
        DATA: fingerprint(data),
        PRETRAINED: beginning(study.recipe, pretrained),
        REPEATS: study.repeats,
    }


def _origin_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """As a table says; those of earlier versions do not tell, and nobody can say it for them."""
    return {key: stored[key] for key in (DATA, PRETRAINED, REPEATS) if key in stored}


def _check_table(
    stored: Mapping[str, Any],
    table: ScoreTable,
    data: TrainingSet,
    study: Study,
    pretrained: Path,
    output: Path,
) -> None:
    """Scores of others are not these patients'. A table that does not tell what it was made of has to have
    the same patients with the same grades in the same folds."""
    remedy = "choose another --output, or remove the table to try all ideas anew"
    if (repeats := len(np.unique(table.repeat))) != study.repeats:
        problem = f"the ablation table is of {repeats} repeats, not {study.repeats}"
        raise UsageError(problem, output, f"give --repeats {repeats}, or {remedy}")
    theirs = sorted(zip(table.repeat, table.fold, table.patient, table.grade, strict=True))
    if theirs != sorted(_rows(data, study)) or stored.get(DATA) not in (None, fingerprint(data)):
        raise UsageError("the ablation table is of other data", output, remedy)
    check_beginning(stored, beginning(study.recipe, pretrained), "ablation table", output)


def _rows(data: TrainingSet, study: Study) -> Iterator[tuple[int, int, str, int]]:
    """Repeat, fold, patient and grade of everybody who is tested."""
    for repeat, fold, split in study.splits(data):
        for patient in split.test.patients():
            yield repeat, fold, str(data.patients[patient]), int(data.grades[patient])


def _write(
    output: Path, table: ScoreTable, entries: list[dict[str, Any]], command: str, origin: Mapping[str, Any]
) -> dict[str, Any]:
    table = replace(table, columns={entry["name"]: table.columns[entry["name"]] for entry in entries})
    figures = {**ablation_figures(table, entries, command), **origin}
    with all_or_nothing(output) as write:
        write(CSV, table.csv())
        write(TABLE, ablation_table(figures))
        write(JSON, json_text(figures))
    return figures


def _auc(grades: np.ndarray, scores: np.ndarray) -> Figures:
    return {"auc": auc(grades, scores)}


def _mean_auc(table: ScoreTable, scores: np.ndarray) -> float:
    parts = [table.repeat == repeat for repeat in np.unique(table.repeat)]
    return float(np.mean([auc(table.grade[part], scores[part]) for part in parts]))


def _folds(table: ScoreTable) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for repeat in np.unique(table.repeat):
        ours = table.repeat == repeat
        for fold in np.unique(table.fold[ours]):
            yield ours & (table.fold == fold), ours & (table.fold != fold)
