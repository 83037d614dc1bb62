"""``glioma-grading evaluate``: figures, tables and plots, of studies and of what they are compared with."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..words import PROTOCOLS
from .options import count, first_given

if TYPE_CHECKING:
    from ..training.dataset import TrainingSet

MODES = ("protocols", "baselines", "subgroups", "learning", "external", "ablation", "idea")
_REPEATS = 3
_OF_STUDY = ("study", "protocol", "folds")
_TAKES: dict[str, tuple[str, ...]] = {
    "": _OF_STUDY,
    "protocols": ("study",),
    "baselines": (*_OF_STUDY, "data", "pretrained", "scratch"),
    "subgroups": (*_OF_STUDY, "table"),
    "learning": _OF_STUDY,
    "external": ("data", "bundle"),
    "ablation": ("data", "pretrained", "repeats"),
    "idea": (*_OF_STUDY, "against", "dropped", "why"),
}
"""The options of each mode; any other would do nothing in it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="folder that 'train' has finished, or that an earlier evaluation has written",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the evidence")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="what the study has to be; DIR may be a folder of both",
    )
    parser.add_argument("--folds", type=count, metavar="N", help="the study has to have so many folds")
    parser.add_argument("--resume", action="store_true", help="for scripts: an evaluation is always made anew")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--protocols",
        action="store_true",
        help="instead: the paper's protocol beside the one by patient, DIR holding a folder of each",
    )
    modes.add_argument(
        "--baselines", action="store_true", help="instead: simpler methods in the folds of the study DIR"
    )
    modes.add_argument(
        "--subgroups", action="store_true", help="instead: the study DIR by centre and by tumour volume"
    )
    modes.add_argument(
        "--learning",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="instead: the study DIR beside the same with other --folds",
    )
    modes.add_argument(
        "--external", action="store_true", help="instead: a bundle on collections that it never learned from"
    )
    modes.add_argument(
        "--ablation", action="store_true", help="instead: ideas tried with frozen features, on --data"
    )
    modes.add_argument("--idea", metavar="NAME", help="instead: add the study DIR to the ablation table")
    parser.add_argument("--data", type=Path, metavar="NPZ", help="training set, made by 'prepare'")
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="--subgroups: patient, tcga_id, lesion_voxels"
    )
    parser.add_argument("--pretrained", type=Path, metavar="FILE", help="the 2014 GoogLeNet's ImageNet tensors")
    parser.add_argument(
        "--bundle", metavar="NAME_OR_DIR", help="--external: the bundle; default: the shipped one"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="--baselines: study of untrained beginnings"
    )
    parser.add_argument("--against", metavar="NAME", help="--idea: the idea that it is compared with")
    parser.add_argument("--dropped", action="store_true", help="--idea: it was not kept")
    parser.add_argument("--why", default="", metavar="TEXT", help="--idea: one line why it was kept or dropped")
    parser.add_argument(
        "--repeats", type=count, metavar="N", help=f"--ablation: repeats of the cross-validation ({_REPEATS})"
    )


def run(options: argparse.Namespace) -> int:
    import matplotlib  # noqa: F401  # what is missing is told before the work, which ends in plots
    import sklearn  # noqa: F401

    from ..training.evidence import check_output

    mode = next((name for name in MODES if getattr(options, name)), "")
    _check_options(options, mode)
    check_output(options.output)
    print(_TASKS[mode](options), end="")
    return 0


def _check_options(options: argparse.Namespace, mode: str) -> None:
    from ..errors import UsageError

    others = [name for names in _TAKES.values() for name in names if name not in _TAKES[mode]]
    if option := first_given(options, others).replace("--study", "DIR"):
        what = f"with --{mode}" if mode else "for the figures of one study"
        raise UsageError(f"{option} has no use {what}", remedy=f"leave out {option}")


def _study(options: argparse.Namespace) -> str:
    from ..training.evaluate import evaluate_study, table

    return table(evaluate_study(_study_folder(options), options.output, _command(options, "STUDY")))


def _study_folder(options: argparse.Namespace) -> Path:
    """The study that is given, which has to be what --protocol and --folds say."""
    folder = _needed(options, "study")
    inside = folder / (options.protocol or "")
    folder = inside if inside.is_dir() else folder
    if options.protocol or options.folds is not None:
        _check_study(options, folder)
    return folder


def _check_study(options: argparse.Namespace, folder: Path) -> None:
    from ..errors import UsageError
    from ..training.evidence import units_of

    study, _ = units_of(folder)
    if options.protocol not in (None, study.protocol):
        raise UsageError(
            f"the study is of the {study.protocol} protocol",
            folder,
            f"give one of the {options.protocol} protocol",
        )
    if options.folds not in (None, study.folds):
        raise UsageError(f"the study has {study.folds} folds", folder, f"give one of {options.folds} folds")


def _protocols(options: argparse.Namespace) -> str:
    from ..training.protocols import compare_protocols, protocol_table

    figures = compare_protocols(
        _needed(options, "study"), options.output, _command(options, "EVALUATION --protocols")
    )
    return protocol_table(figures) + figures["sentence"]


def _baselines(options: argparse.Namespace) -> str:
    from ..training.baselines import baseline_table, run_baselines

    command = _command(options, "STUDY --baselines --data NPZ --pretrained FILE --scratch SCRATCH")
    study, pretrained = _study_folder(options), _needed(options, "pretrained")
    return baseline_table(
        run_baselines(_shippable(options), study, pretrained, options.output, command, options.scratch)
    )


def _subgroups(options: argparse.Namespace) -> str:
    from ..training.subgroups import run_subgroups, subgroup_table

    command = _command(options, "STUDY --subgroups --table CSV")
    return subgroup_table(
        run_subgroups(_study_folder(options), _needed(options, "table"), options.output, command)
    )


def _learning(options: argparse.Namespace) -> str:
    from ..training.learning import learning_table, run_learning

    command = _command(options, "STUDY --learning STUDY ...")
    return learning_table(run_learning(_study_folder(options), options.learning, options.output, command))


def _external(options: argparse.Namespace) -> str:
    from ..training.dataset import TrainingSet
    from ..training.external import external_table, run_external

    data = TrainingSet.read(_needed(options, "data"))
    command = _command(options, "--external --data NPZ --bundle BUNDLE")
    return external_table(run_external(data, options.bundle, options.output, command))


def _ablation(options: argparse.Namespace) -> str:
    from ..training.ablation import ablation_table, run_ablation

    command = _command(options, "--ablation --data NPZ --pretrained FILE")
    return ablation_table(
        run_ablation(
            _shippable(options),
            _needed(options, "pretrained"),
            options.output,
            command,
            options.repeats or _REPEATS,
        )
    )


def _idea(options: argparse.Namespace) -> str:
    from ..training.ablation import ablation_table, add_idea

    study = _study_folder(options)
    return ablation_table(
        add_idea(options.output, options.idea, options.against, study, not options.dropped, options.why)
    )


_TASKS: dict[str, Callable[[argparse.Namespace], str]] = {
    "": _study,
    "protocols": _protocols,
    "baselines": _baselines,
    "subgroups": _subgroups,
    "learning": _learning,
    "external": _external,
    "ablation": _ablation,
    "idea": _idea,
}


def _shippable(options: argparse.Namespace) -> TrainingSet:
    from ..training.dataset import TrainingSet

    data = TrainingSet.read(_needed(options, "data"))
    return data.subset(data.shippable)


def _needed(options: argparse.Namespace, name: str) -> Path:
    from ..errors import UsageError

    value = getattr(options, name)
    if value is None:
        what = "DIR" if name == "study" else f"--{name}"
        raise UsageError(f"{what} is missing", remedy="see 'glioma-grading evaluate --help'")
    return Path(value)


def _command(options: argparse.Namespace, what: str) -> str:
    return f"glioma-grading evaluate {what} --output {options.output}"
