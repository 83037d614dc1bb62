"""``glioma-grading train``: a study under a protocol, or (``--final``) the three models of a bundle.

Several GPUs or machines train together when torchrun starts it:
``torchrun --nproc-per-node 2 -m GliomaGradingLib train ...``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..words import PROTOCOLS
from .options import add_device, count

if TYPE_CHECKING:
    from ..training.dataset import TrainingSet
    from ..training.recipe import Recipe
    from ..training.team import Team


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="NPZ", help="training set, made by 'prepare'"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the study")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--folds", type=count, default=5, help="folds of the patient protocol")
    parser.add_argument("--repeats", type=count, default=1, help="repeats with other folds and seeds")
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
        "--final", type=Path, metavar="BUNDLE_DIR", help="train on all patients and write a bundle"
    )
    parser.add_argument(
        "--seeds", type=count, default=1, help="with --final: models whose weights are averaged"
    )
    parser.add_argument("--study", type=Path, metavar="DIR", help="with --final: study to calibrate on")


def run(options: argparse.Namespace) -> int:
    from ..grading import choose_device
    from ..training.dataset import TrainingSet
    from ..training.team import team_of_torchrun

    data = _chosen(TrainingSet.read(options.data), options)
    recipe = _recipe(options)
    train = _final if options.final else _study
    with team_of_torchrun(choose_device(options.device)) as (team, device):
        team.first(lambda: _check_output(options))
        train(options, data, recipe, str(device), team)
    return 0


def _check_output(options: argparse.Namespace) -> None:
    from ..errors import UsageError

    if not options.resume and options.output.is_dir() and any(options.output.iterdir()):
        raise UsageError("the folder is not empty", options.output, "add --resume, or choose another --output")


def _study(options: argparse.Namespace, data: TrainingSet, recipe: Recipe, device: str, team: Team) -> None:
    from tqdm import tqdm

    from ..training.study import Study, check_study, run_study

    study = Study(
        protocol=options.protocol,
        folds=options.folds,
        repeats=options.repeats,
        shuffled_grades=options.shuffle_grades,
        whole_patients=options.whole_patients,
        recipe=recipe,
    )
    check_study(data, study, options.output, options.pretrained)  # before a bar is shown
    runs = 3 * sum(1 for _ in study.splits(data))
    with tqdm(total=runs * recipe.epochs, unit="epoch", dynamic_ncols=True, disable=not team.is_first) as bar:

        def epoch_done(name: str, figures: Any) -> None:
            bar.update()
            bar.set_postfix_str(f"{name} loss {figures.train_loss:.3f} accuracy {figures.train_accuracy:.3f}")

        run_study(data, study, options.output, options.pretrained, device, epoch_done, team)
    if team.is_first:
        following = f"glioma-grading evaluate {options.output} --output DIR"
        print(f"{options.output}: {runs} runs finished; next: {following}")


def _final(options: argparse.Namespace, data: TrainingSet, recipe: Recipe, device: str, team: Team) -> None:
    from ..training.final import train_bundle

    bundle = train_bundle(
        data,
        recipe,
        options.final,
        options.output,
        options.study,
        options.pretrained,
        options.seeds,
        device,
        team=team,
    )
    if team.is_first:
        print(f"{bundle.folder}: bundle {bundle.name} {bundle.version}, sha256 {bundle.sha256}")


def _chosen(data: TrainingSet, options: argparse.Namespace) -> TrainingSet:
    everyone = options.patients == "all" or (options.patients is None and options.protocol == "image")
    return data if everyone and not options.final else data.subset(data.shippable)


def _recipe(options: argparse.Namespace) -> Recipe:
    from ..training.recipe import PAPER_RECIPE, Recipe, read_recipe

    if options.recipe:
        return read_recipe(options.recipe)
    return PAPER_RECIPE if options.protocol == "image" else Recipe()
