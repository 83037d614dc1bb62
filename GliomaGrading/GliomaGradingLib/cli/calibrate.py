"""``glioma-grading calibrate``: a batch with known grades in, a bundle with their share of HGG out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import printable
from ..words import DISCLAIMER, HGG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "batch", type=Path, metavar="BATCH", help="what 'batch --output' has written, of known grades"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the new bundle")
    parser.add_argument(
        "--bundle", metavar="NAME_OR_DIR", help="the bundle of the batch; default: the shipped one"
    )


def run(options: argparse.Namespace) -> int:
    from ..networks.bundle import open_bundle
    from ..training.recalibration import recalibrate

    found = recalibrate(open_bundle(options.bundle), options.batch, options.output)
    print(summary(found, options.output), end="")
    return 0


def summary(found: Mapping[str, Any], output: Path) -> str:
    """What a terminal shows at the end."""
    patients, hgg = found["patients"], found[HGG]
    rest = [f"{count} left out: {why}" for why, count in found["left_out"].items() if count]
    before, after = found["brier_before"], found["brier_after"]
    lines = [
        f"Patients       {patients} ({hgg} HGG, {patients - hgg} LGG){'; ' * bool(rest)}{'; '.join(rest)}",
        f"Fitted         {found['method']}",
        f"Share of HGG   {hgg / patients:.2f}; mean probability before: {found['mean_before']:.2f}",
        f"Brier score    {before:.3f} before, {after:.3f} after, each patient by a calibration on the others",
    ]
    if after >= before:
        lines.append("Remark         there is nothing gained: go on with the bundle as it was")
    lines += [f"Remark         {remark}" for remark in found["remarks"]]
    lines += [f"Bundle         {output}: use it with --bundle, or as the model in the panel", "", DISCLAIMER]
    return "".join(f"{printable(line)}\n" for line in lines)
