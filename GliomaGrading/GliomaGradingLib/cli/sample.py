"""``glioma-grading sample``: the synthetic sample case."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to make; it becomes the case folder")
    parser.add_argument("--preset", choices=("hgg", "lgg"), default="hgg", help="what the tumour looks like")


def run(options: argparse.Namespace) -> int:
    from ..sample import write_sample_case

    print(write_sample_case(options.folder, options.preset))
    return 0
