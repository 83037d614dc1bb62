"""Runs the table of bad inputs and writes what came of it into Resources/Robustness.md.

python -m Testing.robustness.report
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY)]

from GliomaGradingLib.cli import main as command_line  # noqa: E402

from Testing.robustness.bad_inputs import BAD_INPUTS, BadInput, Place  # noqa: E402
from Testing.robustness.files import case_template  # noqa: E402

PAGE = REPOSITORY / "Resources" / "Robustness.md"
START, END = "<!-- bad inputs: made by python -m Testing.robustness.report -->", "<!-- /bad inputs -->"
_LONGEST = 230


@dataclass(frozen=True)
class Outcome:
    """What one bad input ended with; ``status`` None where it was not run here."""

    bad: BadInput
    status: int | None
    message: str
    seconds: float

    def row(self) -> str:
        status = "" if self.status is None else str(self.status)
        cells = (self.bad.name, status or f"({self.bad.status})", self.message)
        return (
            "| " + " | ".join(re.sub(r"[|<>`*_\\]", lambda m: f"\\{m.group()}", cell) for cell in cells) + " |"
        )


def run(bad: BadInput, template: Path) -> Outcome:
    """One row through the command line in this process."""
    if bad.alone or (bad.needs and not importlib.util.find_spec(bad.needs)):
        return Outcome(bad, None, "tested in a process of its own", 0.0)
    with tempfile.TemporaryDirectory(prefix="bad-") as made:
        folder = Path(made)
        arguments = bad.make(Place(folder, template))
        output, errors = io.StringIO(), io.StringIO()
        started = time.process_time()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = command_line(arguments)
        seconds = time.process_time() - started
        message = errors.getvalue().strip() or _warnings(folder / "out" / "result.json")
        return Outcome(bad, status, _plain(message, folder), seconds)


def _warnings(path: Path) -> str:
    import json

    codes = (
        [w["code"] for w in json.loads(path.read_text(encoding="utf-8"))["warnings"]] if path.is_file() else []
    )
    return f"graded; warnings: {', '.join(codes)}" if codes else "graded"


def _plain(message: str, folder: Path) -> str:
    """Without what differs from run to run and from machine to machine."""
    text = message.replace(f"{folder}/", "").replace(str(REPOSITORY), "").removeprefix("error: ")
    text = re.sub(r"(aaaa|bbbb|xxxx)\w+(/[ab]+(\.nii)?)*", r"\1...", re.sub(r"/tmp/[\w-]+", "", text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def table(outcomes: list[Outcome]) -> str:
    ran = [o for o in outcomes if o.status is not None]
    right = sum(o.status == o.bad.status for o in ran)
    slowest = max(ran, key=lambda o: o.seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        START,
        f"{len(outcomes)} inputs; {len(ran)} run here, {right} of them with the right exit status. The slowest "
        f"took {slowest.seconds:.1f} s of one core ({slowest.bad.name}); the process, torch with it, peaked at "
        f"{peak:.0f} MB.",
        "",
        "| input | exit status | message |",
        "|---|---|---|",
        *(outcome.row() for outcome in outcomes),
        END,
    ]
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        template = case_template(Path(made))
        outcomes = []
        for bad in BAD_INPUTS:
            outcomes.append(run(bad, template))
            last = outcomes[-1]
            if last.status not in (None, bad.status):
                print(f"WRONG {bad.name}: {last.status} instead of {bad.status}: {last.message}", flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START, 1)
    PAGE.write_text(before + table(outcomes) + rest.split(END, 1)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
