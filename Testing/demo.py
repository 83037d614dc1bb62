"""``make demo``: grade the sample case, or the user's own, and leave what a reader should see."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--case", type=Path, help="folder of a case; default: the synthetic sample")
    options = parser.parse_args()
    case = options.case or _sample(options.output / "synthetic-hgg")
    from GliomaGradingLib.cli import main as command_line

    return command_line(["grade", str(case), "--output", str(options.output)])


def _sample(folder: Path) -> Path:
    from GliomaGradingLib.sample import write_sample_case

    if not any(folder.glob("*_seg.nii.gz")):
        write_sample_case(folder, "hgg")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
