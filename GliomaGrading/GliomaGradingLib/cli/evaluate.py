"""``glioma-grading evaluate``: figures, tables and plots of a finished study."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="DIR", help="folder that 'train' has finished")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the evidence")


def run(options: argparse.Namespace) -> int:
    from ..training.evaluate import evaluate_study, table

    command = f"glioma-grading evaluate STUDY --output {options.output}"
    print(table(evaluate_study(options.study, options.output, command)), end="")
    return 0
