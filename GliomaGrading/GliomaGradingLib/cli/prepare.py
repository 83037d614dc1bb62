"""``glioma-grading prepare``: training data of patients with known grades, in the project's own form."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CaseError, UsageError, printable
from .options import add_layout, first_given, new_bar

if TYPE_CHECKING:
    from ..case import Case
    from ..cohort.listing import CaseEntry, Cohort
    from ..preparation.slices import InputForm
    from ..training.dataset import TrainingSet

Failed = Callable[[str, CaseError], None]
_FORMS = ("tumour-region", "whole-slice")
_PIXELS, _FEWEST_PIXELS, _MOST_PIXELS = 224, 32, 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", nargs="?", type=Path, metavar="INPUT", help="folder of graded cases, or a CSV table of them"
    )
    add_layout(parser)
    parser.add_argument("--grades", type=Path, metavar="TABLE", help="grades: a table with case and grade")
    parser.add_argument("--collection", metavar="NAME", help="name of the data; default: the layout's")
    parser.add_argument(
        "--cases", type=Path, metavar="DIR", help="the same as INPUT: a folder with HGG/ and LGG/, say"
    )
    parser.add_argument(
        "--crops", type=Path, metavar="NPZ", help="tumour crops already in the form of the input"
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="the crops' patients: patient, grade, collection, shippable"
    )
    parser.add_argument(
        "--form",
        choices=_FORMS,
        default=_FORMS[0],
        help="what models will see of the cases",
    )
    parser.add_argument(
        "--pixels",
        type=_pixels,
        metavar="N",
        help=f"with whole-slice: its side, in points over 240 mm; default: {_PIXELS}",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="NPZ", help="training set to write")


def run(options: argparse.Namespace) -> int:
    _check_options(options)
    _check_output(options.output)
    source = options.input or options.cases
    failures: list[str] = []
    if source:
        data = _of_cohort(source, options, failures)
    elif options.crops and options.table:
        from ..training.crops import training_set_from_crops

        data = training_set_from_crops(options.crops, options.table)
    else:
        raise UsageError(
            "no patients are given", remedy="give a folder or a table of cases, or --crops with --table"
        )
    data.write(options.output)
    hgg = int(data.grades.sum())
    print(f"{options.output}: {len(data)} patients ({hgg} HGG, {len(data) - hgg} LGG)")
    return 1 if failures else 0


def _check_options(options: argparse.Namespace) -> None:
    if (options.input or options.cases) and (options.crops or options.table):
        raise UsageError("cases and crops are given", remedy="give one or the other")
    of_cases = first_given(options, ("form", "grades", "layout", "collection"), unset=(None, _FORMS[0], "auto"))
    if options.crops and of_cases:
        raise UsageError(f"{of_cases} is of cases, and crops are given", remedy=f"leave out {of_cases}")
    if options.input and options.cases:
        raise UsageError("INPUT and --cases are given", remedy="give one: they are the same")
    if options.pixels and options.form != "whole-slice":
        raise UsageError("--pixels is given without --form whole-slice", remedy="add it, or leave --pixels out")


def _check_output(output: Path) -> None:
    """Before hours of reading, what would keep the training set from being written after them."""
    if output.is_dir():
        raise UsageError("this is a folder", output, "name the file to write, such as training.npz")
    above = next(place for place in output.absolute().parents if place.exists())
    if not above.is_dir():
        raise UsageError("this is a file, and no folder for the training set", above, "choose another --output")
    if not os.access(above, os.W_OK):
        raise UsageError("no permission to write there", above, "choose another --output")


def _pixels(text: str) -> int:
    if not text.isdecimal() or not _FEWEST_PIXELS <= int(text) <= _MOST_PIXELS:
        what = f"{text!r} is no side of a slice: give {_FEWEST_PIXELS} to {_MOST_PIXELS} points"
        raise argparse.ArgumentTypeError(what)
    return int(text)


def _of_cohort(source: Path, options: argparse.Namespace, failures: list[str]) -> TrainingSet:
    """The graded cases of a cohort, one scan a patient; who is left out is told on stderr."""
    from ..cohort.listing import check_cases, find_cohort
    from ..training.crops import training_set_from_cases

    cohort = find_cohort(source, options.layout, options.grades)
    check_cases(cohort)
    entries = _one_scan_a_patient(cohort)
    _check_both_grades(cohort, entries)

    collection = options.collection or cohort.layout
    bar = new_bar(len(entries))

    def failed(case: str, error: CaseError) -> None:
        failures.append(case)
        if bar is not None:
            bar.clear()
        _tell(f"{case} is left out: {error}")

    with bar or nullcontext():
        data = training_set_from_cases(_read(entries, failed, bar), collection, _form(options), failed)
    _check_both_grades(cohort, [e for e in entries if e.case in set(data.patients)])
    return data


def _one_scan_a_patient(cohort: Cohort) -> list[CaseEntry]:
    """The first graded scan of each patient: two would come to lie on both sides of a split."""
    chosen: dict[str, CaseEntry] = {}
    for entry in cohort.cases:
        if entry.problem:
            _tell(f"{entry.case} is left out: {entry.problem}")
        elif not entry.grade:
            _tell(f"{entry.case} is left out: {'; '.join(entry.doubts) or 'its grade is not known'}")
        elif entry.patient in chosen:
            _tell(f"{entry.case} is left out: {chosen[entry.patient].case} is of the same patient")
        else:
            chosen[entry.patient] = entry
    return _without_copies(list(chosen.values()))


def _without_copies(entries: list[CaseEntry]) -> list[CaseEntry]:
    """The first of those that have the same images: whatever they are called, they are one patient."""
    from ..cohort.duplicates import same_images

    copies = set()
    for first, *others in same_images(entries):
        for entry in others:
            graded = f", there with grade {first.grade}" if entry.grade != first.grade else ""
            _tell(f"{entry.case} is left out: {first.case} has the same images{graded}")
            copies.add(entry.case)
    return [entry for entry in entries if entry.case not in copies]


def _check_both_grades(cohort: Cohort, entries: list[CaseEntry]) -> None:
    from ..words import HGG, LGG

    counts = {grade: sum(entry.grade == grade for entry in entries) for grade in (LGG, HGG)}
    if not all(counts.values()):
        found = " and ".join(f"{number} {grade}" for grade, number in counts.items())
        notices = "".join(f"; {notice}" for notice in cohort.gradeNotices)
        raise CaseError(
            f"there are {found} to learn from{notices}",
            cohort.source,
            "give cases of both grades, with --grades TABLE where the data set has no table of them",
        )


def _read(entries: list[CaseEntry], failed: Failed, bar: Any) -> Iterator[tuple[Case, str]]:
    for entry in entries:
        try:
            case = entry.read(withParts=True)
        except CaseError as error:
            failed(entry.case, error)
        else:
            yield case, entry.grade or ""
        if bar is not None:
            bar.update()


def _tell(text: str) -> None:
    print(printable(text), file=sys.stderr)


def _form(options: argparse.Namespace) -> InputForm:
    from ..preparation.slices import InputForm

    return InputForm() if options.form == "tumour-region" else InputForm.wholeSlice(options.pixels or _PIXELS)
