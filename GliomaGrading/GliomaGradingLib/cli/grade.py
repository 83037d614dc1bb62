"""``glioma-grading grade``: one case in, the vote on the screen, result files where asked for."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, printable
from ..wording import probability_text, sentence, volume_text
from ..words import DISCLAIMER
from .options import add_grading

if TYPE_CHECKING:
    from ..case import Case
    from ..grading import Graded, Grader
    from ..result import GradeResult

FILE_OPTIONS = ("t1", "t2", "flair", "mask")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="?", type=Path, metavar="CASE_DIR", help="folder of a case")
    for name in FILE_OPTIONS:
        what = "tumour mask" if name == "mask" else f"{name.upper()} volume"
        place = "a file, or a DICOM folder; with CASE_DIR in place of what it has"
        parser.add_argument(f"--{name}", type=Path, metavar="F", help=f"{what}: {place}")
    parser.add_argument(
        "--layout", default="auto", metavar="NAME", help="of CASE_DIR: auto, or one that 'batch' knows"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write result.json, report.html, slices.png; from DICOM result.dcm, overlay.dcm too",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON and nothing else")
    add_grading(parser)
    parser.add_argument("--case-id", metavar="ID", help="name of the case; default: the folder's")


def run(options: argparse.Namespace) -> int:
    import secrets  # noqa: F401  # before the images: where no memory is left, hashlib complains in lines of its own

    if options.output:
        from ..export.outputs import check_result_folder

        check_result_folder(options.output)
    started = time.perf_counter()
    case = _read_case(options)
    read = time.perf_counter() - started
    from ..export.reliability import reliability_of
    from ..grading import Grader

    grader = Grader.load(options.bundle, options.device)
    graded = grader.gradeInDetail(case, options.vote, options.register)
    result = graded.result.afterReading(read)
    if options.output:
        result = _write(options.output, grader, replace(graded, result=result))
    if options.json:
        print(_as_output_can_hold(result.toJson()), end="")
    else:
        reliability = reliability_of(result, grader.bundle.metadata)
        print(summary(result, options.output, reliability), end="")
    return 0


def _as_output_can_hold(text: str) -> str:
    """JSON with escapes in place of letters, where standard output has no code for them."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), indent=2) + "\n"
    return text


def _write(folder: Path, grader: Grader, graded: Graded) -> GradeResult:
    """The result as it is written: with a warning where a case from DICOM has no DICOM outputs."""
    from ..export.folder import case_outputs
    from ..export.outputs import write_result_folder

    graded, files = case_outputs(graded, grader)
    write_result_folder(folder, files)
    return graded.result


def summary(result: GradeResult, output: Path | None = None, reliability: str = "") -> str:
    """The result for a terminal, in the report's words; ``reliability``: how often such a one was right."""
    from ..export.telling import span_text, vote_summary

    lines = [
        f"Case         {printable(result.case)}",
        f"Grade        {result.grade}",
        f"Vote         {vote_summary(result)}",
        f"Decision     {result.decision}",
        f"Probability  {probability_text(result.probability_hgg)} of HGG, the three together",
        *([f"Reliability  {reliability}"] if reliability else []),
        "",
        "Sequence  Vote  P(HGG)  Slices for HGG",
    ]
    lines += [
        f"{vote.sequence:<8}  {vote.grade:<4}  {probability_text(vote.probability_hgg):>6}"
        f"  {vote.slices_hgg} of {len(vote.slice_probabilities)}"
        for vote in result.votes
    ]
    lines += [
        "",
        f"Slices       {span_text(result.slices)}; "
        f"largest tumour area {result.slices.largest_area_mm2:.0f} mm2",
        f"Tumour       {volume_text(result.tumour_ml)}",
        f"Model        {result.model['name']} {result.model['version']} ({result.model['backbone']})",
        f"Time         {result.seconds['total']:.2f} s",
    ]
    lines += [f"Warning      {printable(sentence(warning.message))}" for warning in result.warnings]
    lines += [f"Files        {printable(str(output))}"] if output else []
    return "\n".join([*lines, "", DISCLAIMER, ""])


def _read_case(options: argparse.Namespace) -> Case:
    from ..case import Case
    from ..case_files import ROLES

    files = {name: getattr(options, name) for name in FILE_OPTIONS}
    if options.case is not None:
        return Case.read(
            options.case,
            maskLabels=options.mask_labels,
            caseId=options.case_id,
            layout=options.layout,
            given={role: files[role.lower()] for role in ROLES if files[role.lower()] is not None},
        )
    missing = [f"--{name}" for name, path in files.items() if path is None]
    if options.layout != "auto":
        raise UsageError(
            "--layout is given without a case folder", remedy="give the folder, or leave --layout out"
        )
    if missing:
        raise UsageError(f"{', '.join(missing)} missing", remedy="give a case folder, or all four files")
    return Case.fromFiles(**files, maskLabels=options.mask_labels, caseId=options.case_id)
