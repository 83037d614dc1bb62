"""The page of a batch as a picture: ``python -m Testing.cohort_picture OUT.png``.

Nine synthetic heads that differ by seed and tumour, with made-up grades; the last has no FLAIR. No patient is
in them, and the figures on the page mean nothing.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from .browser import NEEDED, find_browser, photograph

GRADES = ("LGG", "LGG", "HGG", "LGG", "HGG", "LGG", "HGG", "HGG", "LGG")
"""Made up."""

WIDTH, TALLEST = 1280, 4000
"""Of the window, in pixels; what is empty below the page is cut off."""

MARGIN = 12


def main(picture: Path) -> None:
    browser = find_browser()
    if not browser:
        sys.exit(f"a picture of a page {NEEDED}")
    with tempfile.TemporaryDirectory() as folder:
        cohort, output = Path(folder) / "cohort", Path(folder) / "graded"
        write_heads(cohort)
        command = [sys.executable, "-m", "GliomaGradingLib", "batch", "cohort", "--output", output]
        found = subprocess.run([*map(str, command)], cwd=folder)
        if found.returncode != 1:  # the head without FLAIR
            sys.exit(f"the batch ended with {found.returncode}")
        whole = Path(folder) / "page.png"
        photograph(browser, output / "cohort.html", whole, (WIDTH, TALLEST))
        cut_off(Image.open(whole).convert("RGB")).save(picture)


def write_heads(folder: Path) -> None:
    """Nine cases in the layout of BraTS 2020, with a table of grades."""
    import SimpleITK as sitk
    from GliomaGradingLib.sample import PRESETS, head_volumes

    rng = np.random.default_rng(5)
    rows = [("BraTS_2020_subject_ID", "Grade")]
    for number, grade in enumerate(GRADES, start=1):
        lesion = PRESETS["lgg" if number in (2, 4, 6, 8) else "hgg"]
        x, y, z = lesion.centre
        centre = (x * float(rng.choice((-1, 1))), y * rng.uniform(0.6, 1.2), z * rng.uniform(0.8, 1.2))
        lesion = replace(lesion, centre=centre, radius=lesion.radius * rng.uniform(0.7, 1.1))
        name = f"synthetic_{number:02d}"
        (folder / name).mkdir(parents=True)
        for role, volume in head_volumes(lesion, number, name).items():
            if (role, number) != ("FLAIR", len(GRADES)):
                ending = "seg" if role == "mask" else role.lower()
                sitk.WriteImage(volume.toImage(), str(folder / name / f"{name}_{ending}.nii.gz"))
        rows.append((name, grade))
    with (folder / "name_mapping.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def cut_off(picture: Image.Image) -> Image.Image:
    """Without the rows below the page, which are of one colour."""
    pixels = np.asarray(picture)
    used = np.flatnonzero((pixels != pixels[-1, -1]).any(axis=(1, 2)))
    return picture.crop((0, 0, picture.width, min(int(used[-1]) + MARGIN, picture.height)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
