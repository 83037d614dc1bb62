"""``glioma-grading prepare``: training data of patients with known grades, in the project's own form."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..case import Case
    from ..slices import InputForm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crops", type=Path, metavar="NPZ", help="tumour crops already in the form of the input"
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="the crops' patients: patient, grade, collection, shippable"
    )
    parser.add_argument(
        "--cases", type=Path, metavar="DIR", help="folder with HGG/ and LGG/, each of case folders"
    )
    parser.add_argument(
        "--form",
        choices=("tumour-region", "whole-slice"),
        default="tumour-region",
        help="what models will see of --cases",
    )
    parser.add_argument("--pixels", type=int, default=224, help="side of a whole slice, in points over 240 mm")
    parser.add_argument("--output", type=Path, required=True, metavar="NPZ", help="training set to write")


def run(options: argparse.Namespace) -> int:
    from ..training.crops import training_set_from_cases, training_set_from_crops

    if options.crops and options.table:
        data = training_set_from_crops(options.crops, options.table)
    elif options.cases:
        data = training_set_from_cases(_graded_cases(options.cases), form=_form(options))
    else:
        raise UsageError("no patients are given", remedy="give --crops with --table, or --cases")
    data.write(options.output)
    hgg = int(data.grades.sum())
    print(f"{options.output}: {len(data)} patients ({hgg} HGG, {len(data) - hgg} LGG)")
    return 0


def _form(options: argparse.Namespace) -> InputForm:
    from ..slices import InputForm

    return InputForm() if options.form == "tumour-region" else InputForm.wholeSlice(options.pixels)


def _graded_cases(folder: Path) -> Iterator[tuple[Case, str]]:
    from ..case import Case
    from ..words import HGG, LGG

    for grade in (HGG, LGG):
        for case in sorted(path for path in (folder / grade).glob("*") if path.is_dir()):
            yield Case.read(case), grade
