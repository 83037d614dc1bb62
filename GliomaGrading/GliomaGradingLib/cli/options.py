"""Options that several commands have, and what their values may be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable
from typing import Any

from ..voting import VOTING_RULES
from ..words import DEVICES, REGISTER_MODES


def add_grading(parser: argparse.ArgumentParser) -> None:
    """How cases are graded, one or many."""
    add_device(parser)
    parser.add_argument("--bundle", metavar="NAME_OR_DIR", help="model bundle; default: the shipped one")
    parser.add_argument(
        "--vote",
        choices=VOTING_RULES,
        default="majority",
        help="majority: two of three sequences decide; soft: their mean probability (default %(default)s)",
    )
    parser.add_argument(
        "--mask-labels",
        type=labels,
        metavar="1,2,4",
        help="labels that are tumour; default: the layout's, or all",
    )
    parser.add_argument(
        "--register",
        choices=REGISTER_MODES,
        default="auto",
        help="align sequences to the one the mask was drawn on; auto: where they need it",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto: a graphics card where torch can use one"
    )


def add_layout(parser: argparse.ArgumentParser) -> None:
    from ..cohort.layouts import NAMES

    parser.add_argument("--layout", default="auto", metavar="NAME", help=f"auto, manifest, {', '.join(NAMES)}")


def first_given(
    options: argparse.Namespace, names: Iterable[str], unset: Collection[object] = (None, False, "")
) -> str:
    """The first of the options that has another value than where it is left out, as ``--its-name``; else ''."""
    given = (name for name in names if getattr(options, name) not in unset)
    return next((f"--{name.replace('_', '-')}" for name in given), "")


def labels(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of labels such as 1,2,4") from None
    if any(label <= 0 for label in found):
        raise argparse.ArgumentTypeError("labels of the tumour are 1 or more; 0 is background")
    return found


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def new_bar(cases: int, done: int = 0) -> Any:
    """A progress bar of cases on stderr; None where tqdm is missing."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    is_seen = sys.stderr.isatty()
    return tqdm(
        total=cases,
        initial=done,
        unit="case",
        mininterval=0.2 if is_seen else 30,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {remaining} left{postfix}]",
    )
