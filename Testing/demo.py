"""``make demo``: grade the sample case, or the user's own, and leave what a reader should see."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))


LEFT = ("result.json", "report.html", "slices.png", "panel.png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--case", type=Path, help="folder of a case; default: the synthetic sample")
    options = parser.parse_args()
    for name in LEFT:  # of another case, and nobody should take it for this one's
        (options.output / name).unlink(missing_ok=True)
    case = options.case or _sample(options.output / "synthetic-hgg")
    from GliomaGradingLib.cli import main as command_line

    status = command_line(["grade", str(case), "--output", str(options.output)])
    if status == 0:
        _panel_picture(case, options.output / "panel.png")
    return status


def _panel_picture(case: Path, picture: Path) -> None:
    """The Slicer module on the same case. In a process of its own: torch is in this one."""
    command = [sys.executable, "-m", "Testing.panel_picture", str(case.resolve()), str(picture.resolve())]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", errors="replace")
    if picture.is_file():
        print(f"Panel        {picture}")
    if done.returncode:
        print(f"The Slicer module could not be shown: {done.stderr.strip()}", file=sys.stderr)


def _sample(folder: Path) -> Path:
    from GliomaGradingLib.sample import write_sample_case

    if not any(folder.glob("*_seg.nii.gz")):
        write_sample_case(folder, "hgg")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
