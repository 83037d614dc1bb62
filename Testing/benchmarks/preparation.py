"""How long a case in memory takes to become slices, beside the networks and beside a usual pipeline.

python -m Testing.benchmarks.preparation [CASE_DIR ...] [--threads N] [--rounds N] [--output DIR]

Without a case it is the synthetic sample. MONAI's transforms (LoadImage, Orientation, Spacing,
NormalizeIntensity) are timed beside reading and preparing where MONAI is installed.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .inference import fused, inputs
from .measure import (
    described,
    in_turn,
    machine,
    milliseconds,
    parser,
    ratio,
    sample,
    table,
    use_repository,
    write,
)

use_repository()

import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.case_files import find_case_files  # noqa: E402
from GliomaGradingLib.grading import Grader  # noqa: E402
from GliomaGradingLib.preparation.registration import register  # noqa: E402
from GliomaGradingLib.preparation.slices import prepare  # noqa: E402

STAGES = {
    "read": "reading four files and checking them",
    "check": "checking a case in memory",
    "register auto": "alignment, auto",
    "register never": "alignment, only looked at",
    "prepare": "one grid, normalisation, slices",
    "network": "the three networks alone, on made-up images of the same size",
    "judge": "images for the networks, the networks, familiarity, vote",
    "monai": "MONAI: reading, orientation, 1 mm, normalisation",
}


def stages(folder: Path, grader: Grader) -> dict[str, Callable[[], object]]:
    case = Case.read(folder)
    aligned, _ = register(case, "auto")
    stack = prepare(aligned, grader.bundle.inputForm())
    images = {name.lower(): volume for name, volume in case.images.items()}
    found: dict[str, Callable[[], object]] = {
        "read": lambda: Case.read(folder),
        "check": lambda: Case.fromArrays(**images, mask=case.mask),
        "register auto": lambda: register(case, "auto"),
        "register never": lambda: register(case, "never"),
        "prepare": lambda: prepare(aligned, grader.bundle.inputForm()),
        "network": fused(grader._models, *inputs(grader.bundle.imageForm().pixels)),
        "judge": lambda: grader.judge(stack),
    }
    usual = monai_pipeline(folder)
    return {**found, "monai": usual} if usual else found


def monai_pipeline(folder: Path) -> Callable[[], object] | None:
    """What MONAI's examples do before a classifier; None where MONAI is not installed."""
    try:
        from monai.transforms import Compose, LoadImaged, NormalizeIntensityd, Orientationd, Spacingd
    except ImportError:
        return None
    paths = {name: str(path) for name, path in find_case_files(folder, "auto").paths.items()}
    keys = list(paths)
    sequences = [key for key in keys if key != "mask"]
    transform = Compose(
        [
            LoadImaged(keys, ensure_channel_first=True),
            Orientationd(keys, axcodes="LPS"),
            Spacingd(keys, pixdim=(1.0, 1.0, 1.0), mode=["bilinear"] * len(sequences) + ["nearest"]),
            NormalizeIntensityd(sequences, nonzero=True),
        ]
    )
    return lambda: transform(paths)


def measure(folders: list[Path], options: Any) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    grader = Grader.load(device="cpu")
    gathered: dict[str, list[float]] = {}
    for folder in folders:
        for name, seconds in in_turn(stages(folder, grader), options.rounds, options.clock).items():
            gathered.setdefault(name, []).extend(seconds)
    memory = [sum(parts) for parts in zip(gathered["check"], gathered["prepare"], strict=True)]
    return {
        "machine": machine(options.threads, options.clock),
        "cases": len(folders),
        "rounds": options.rounds,
        "ms": {name: float(milliseconds(seconds)) for name, seconds in gathered.items()},
        "prepare_over_networks_alone": round(ratio(gathered["prepare"], gathered["network"]), 2),
        "register_over_networks_alone": round(ratio(gathered["register auto"], gathered["network"]), 2),
        "check_and_prepare_over_networks_alone": round(ratio(memory, gathered["network"]), 2),
        "total_ms": round(1000 * statistics.median(map(sum, zip(*_warm(gathered), strict=True))), 1),
    }


def _warm(gathered: dict[str, list[float]]) -> list[list[float]]:
    """What a click costs once the models are loaded."""
    return [gathered[name] for name in ("check", "register auto", "prepare", "judge")]


def report(found: dict[str, Any]) -> str:
    rows = [(STAGES[name], value) for name, value in found["ms"].items()]
    ratios = [
        (
            "preparing a case in memory (one grid, normalisation, slices)",
            found["prepare_over_networks_alone"],
            "at most 0.5",
        ),
        ("aligning it (auto)", found["register_over_networks_alone"], ""),
        ("preparing it, with its checks", found["check_and_prepare_over_networks_alone"], ""),
    ]
    return "\n".join(
        [
            f"Medians over {found['cases']} case(s) and {found['rounds']} rounds. "
            f"Check, alignment (auto), preparation and reading by the networks together: "
            f"{found['total_ms']:.0f} ms. "
            f"{described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.preparation CASE_DIR ...`.",
            "",
            table(("stage", "ms"), rows),
            f"Ratios are over the time of the three networks alone ({found['ms']['network']:.0f} ms), as in "
            "inference.md, within each round.",
            "",
            table(("over the networks alone", "measured", "target"), ratios),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("cases", nargs="*", type=Path)
    options = found.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content = measure(options.cases or [sample(Path(folder))], options)
    write(options.output, "preparation", content, report(content))


if __name__ == "__main__":
    main()
