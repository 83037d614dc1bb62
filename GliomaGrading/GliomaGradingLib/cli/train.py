"""``glioma-grading train``: a study under a protocol, or (``--final``) the three models of a bundle.

Several GPUs or machines train together when torchrun starts it:
``torchrun --nproc-per-node 2 -m GliomaGradingLib train ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..words import PROTOCOLS
from .options import add_device, count, first_given

if TYPE_CHECKING:
    from ..training.dataset import TrainingSet
    from ..training.equipment import Equipment
    from ..training.recipe import Recipe


_FOLDS, _REPEATS = 5, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="NPZ", help="training set, made by 'prepare'"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the study")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default=PROTOCOLS[0],
        help="patient: folds of whole patients; image: the paper's split of slices (default %(default)s)",
    )
    parser.add_argument(
        "--folds", type=count, metavar="N", help=f"folds of the patient protocol (default {_FOLDS})"
    )
    parser.add_argument(
        "--repeats", type=count, metavar="N", help=f"repeats with other folds and seeds (default {_REPEATS})"
    )
    parser.add_argument(
        "--patients", choices=("shippable", "all"), help="default: shippable; image protocol: all"
    )
    parser.add_argument("--shuffle-grades", action="store_true", help="control: grades shuffled among patients")
    parser.add_argument(
        "--whole-patients", action="store_true", help="with the image protocol: the same shares, no patient cut"
    )
    parser.add_argument("--recipe", type=Path, metavar="JSON", help="settings that differ from the defaults")
    parser.add_argument("--pretrained", type=Path, metavar="FILE", help="the 2014 GoogLeNet's ImageNet tensors")
    add_device(parser)
    parser.add_argument("--resume", action="store_true", help="go on in a folder that holds this study already")
    parser.add_argument(
        "--final", type=Path, metavar="BUNDLE_DIR", help="train on every one of the patients, write a bundle"
    )
    parser.add_argument(
        "--seeds",
        type=count,
        metavar="N",
        help="with --final: models whose weights are averaged (default 1); --study calibrates single ones",
    )
    parser.add_argument("--study", type=Path, metavar="DIR", help="with --final: study to calibrate on")


def run(options: argparse.Namespace) -> int:
    from ..grading import choose_device
    from ..training.dataset import TrainingSet
    from ..training.equipment import Equipment
    from ..training.team import team_of_torchrun

    _check_options(options)
    data = _chosen(TrainingSet.read(options.data), options)
    recipe = _recipe(options)
    train = _final if options.final else _study
    with team_of_torchrun(choose_device(options.device)) as (team, device):
        team.first(lambda: _check_output(options))
        train(options, data, recipe, Equipment(options.pretrained, str(device), team))
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """A bundle's models learn from everybody, and have no folds; a study averages no models."""
    from ..errors import UsageError

    of_study = first_given(options, ("folds", "repeats", "shuffle_grades", "whole_patients"))
    of_bundle = first_given(options, ("seeds", "study"))
    if options.final and of_study:
        raise UsageError(
            f"{of_study} is of a study, and --final makes a bundle", remedy=f"leave out {of_study}"
        )
    if of_bundle and not options.final:
        raise UsageError(
            f"{of_bundle} is of a bundle", remedy=f"add --final BUNDLE_DIR, or leave out {of_bundle}"
        )
    if options.folds and options.protocol == "image":
        raise UsageError("the image protocol has no folds", remedy="leave out --folds")


def _tell_of_enhancement(data: TrainingSet, recipe: Recipe) -> None:
    """A part of the recipe needs masks that say what enhances; without them another recipe is trained."""
    import sys

    from ..training.targets import teach_enhancement

    count = teach_enhancement(data, recipe)
    if recipe.enhancement and count < len(data):
        label = f"label {recipe.enhancing_label} (enhancing tumour)"
        rest = "the grade alone is taught" + (" of the others" if count else "")
        print(f"{count} of {len(data)} masks tell what enhances, by {label}: {rest}", file=sys.stderr)


def _check_output(options: argparse.Namespace) -> None:
    from ..errors import UsageError

    if not options.resume and options.output.is_dir() and any(options.output.iterdir()):
        raise UsageError("the folder is not empty", options.output, "add --resume, or choose another --output")


def _study(options: argparse.Namespace, data: TrainingSet, recipe: Recipe, equipment: Equipment) -> None:
    from tqdm import tqdm

    from ..training.study import Study, check_study, run_study

    study = Study(
        protocol=options.protocol,
        folds=options.folds or _FOLDS,
        repeats=options.repeats or _REPEATS,
        shuffled_grades=options.shuffle_grades,
        whole_patients=options.whole_patients,
        recipe=recipe,
    )
    check_study(data, study, options.output, equipment)  # before a bar is shown
    team = equipment.team
    team.first(lambda: _tell_of_enhancement(data, recipe))
    runs = 3 * sum(1 for _ in study.splits(data))
    # a recipe without epochs has none to count
    epochs, is_silent = runs * recipe.epochs, not (team.is_first and recipe.epochs)
    with tqdm(total=epochs, unit="epoch", dynamic_ncols=True, disable=is_silent) as bar:

        def epoch_done(name: str, figures: Any) -> None:
            bar.update()
            bar.set_postfix_str(f"{name} loss {figures.train_loss:.3f} accuracy {figures.train_accuracy:.3f}")

        run_study(data, study, options.output, equipment, epoch_done)
    if team.is_first:
        following = f"glioma-grading evaluate {options.output} --output DIR"
        print(f"{options.output}: {runs} runs finished; next: {following}")


def _final(options: argparse.Namespace, data: TrainingSet, recipe: Recipe, equipment: Equipment) -> None:
    from ..training.final import check_final, train_bundle

    check_final(data, recipe, options.final, options.study, equipment.pretrained)
    equipment.team.first(lambda: _tell_of_enhancement(data, recipe))
    bundle = train_bundle(
        data, recipe, options.final, options.output, options.study, equipment, options.seeds or 1
    )
    if equipment.team.is_first:
        print(f"{bundle.folder}: bundle {bundle.name} {bundle.version}, sha256 {bundle.sha256}")


def _chosen(data: TrainingSet, options: argparse.Namespace) -> TrainingSet:
    is_usual = options.patients is None and options.protocol == "image" and not options.final
    return data if options.patients == "all" or is_usual else data.subset(data.shippable)


def _recipe(options: argparse.Namespace) -> Recipe:
    from ..training.recipe import PAPER_RECIPE, Recipe, read_recipe

    if options.recipe:
        return read_recipe(options.recipe)
    return PAPER_RECIPE if options.protocol == "image" else Recipe()
