"""``glioma-grading sample``: the synthetic sample case."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to make; it becomes the case folder")
    parser.add_argument("--preset", choices=("hgg", "lgg"), default="hgg", help="what the tumour looks like")


def run(options: argparse.Namespace) -> int:
    from ..sample import write_sample_case

    _check_folder(options.folder, options.preset)
    print(write_sample_case(options.folder, options.preset))
    return 0


def _check_folder(folder: Path, preset: str) -> None:
    """Two cases in one folder could neither of them be graded."""
    from ..errors import UsageError
    from ..sample import file_names

    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    others = sorted(names - {*file_names(preset)})
    if others:
        raise UsageError(
            f"the folder holds other files ({others[0]})", folder, "give an empty folder, or one to be made"
        )
