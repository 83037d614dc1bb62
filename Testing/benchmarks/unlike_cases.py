"""What does not belong: is the decision withheld, and with which reason?

Usage: python Testing/benchmarks/unlike_cases.py --cases DIR [--output Resources/Benchmarks]
DIR holds HGG/ and LGG/ with real patients at full resolution. Writes unlike_cases.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))

from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.doubts import DOUBTFUL  # noqa: E402
from GliomaGradingLib.errors import GliomaGradingError  # noqa: E402
from GliomaGradingLib.files import write_atomically  # noqa: E402
from GliomaGradingLib.grading import Grader  # noqa: E402
from GliomaGradingLib.words import INDETERMINATE, SEQUENCES  # noqa: E402

Change = Callable[[Case], Case]
BALL_MM = 15
ENHANCING_Z = 3.0
"""How much brighter enhancing tumour is made on T1, in standard deviations of the brain."""


def brain(case: Case) -> np.ndarray:
    return case.images["T1"].array > 0


def with_images(case: Case, **arrays: np.ndarray) -> Case:
    changed = {name: replace(case.images[name], array=array) for name, array in arrays.items()}
    return replace(case, images={**case.images, **changed})


def with_mask(case: Case, mask: np.ndarray) -> Case:
    return replace(case, mask=replace(case.mask, array=mask.astype(np.uint8)))


def each(change: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """A change of every sequence from its voxels, the brain and random numbers; outside the brain stays 0."""

    def changed(case: Case) -> Case:
        inside, rng = brain(case), np.random.default_rng(0)
        arrays = {
            name: (change(volume.array.astype(np.float32), inside, rng) * inside).astype(np.float32)
            for name, volume in case.images.items()
        }
        return with_images(case, **arrays)

    return changed


def swapped(first: str, second: str) -> Change:
    return lambda case: with_images(
        case, **{first: case.images[second].array, second: case.images[first].array}
    )


def flipped(name: str) -> Change:
    """The voxels of one sequence from left to right, its header as it was."""
    return lambda case: with_images(case, **{name: np.flip(case.images[name].array, axis=2)})


def one_voxel(case: Case) -> Case:
    """A mask of the voxel in the tumour that is nearest to its centre."""
    points = np.argwhere(case.mask.array > 0)
    mask = np.zeros(case.mask.array.shape, bool)
    mask[tuple(points[np.abs(points - points.mean(0)).sum(1).argmin()])] = True
    return with_mask(case, mask)


def mirrored_mask(case: Case) -> Case:
    """The mask on the healthy side."""
    mask = case.mask.array > 0
    return with_mask(case, np.flip(mask, axis=2) & brain(case) & ~mask)


def ball_on_healthy_brain(offset: tuple[int, int, int]) -> Change:
    """A ball of 15 mm beside the tumour; ``offset`` in voxels (K, J, I) from the brain's centre."""

    def changed(case: Case) -> Case:
        inside = brain(case)
        centre = np.argwhere(inside).mean(0) + offset
        distance = np.indices(inside.shape) - centre[:, None, None, None]
        return with_mask(case, ((distance**2).sum(0) < BALL_MM**2) & inside & ~(case.mask.array > 0))

    return changed


def white_noise(_: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.abs(rng.normal(100, 30, inside.shape))


def smooth_noise(_: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(100 + 400 * smoothed(rng.normal(0, 1, inside.shape), 2.0), 1, None)


def like_ct(case: Case, names: tuple[str, ...] = SEQUENCES) -> Case:
    """Soft tissue within some ten Hounsfield units, oedema darker than it, with noise as large."""
    t1, inside, rng = case.images["T1"].array.astype(np.float32), brain(case), np.random.default_rng(0)
    tissue = 30 + 8 * (t1 - t1[inside].mean()) / t1[inside].std()
    ct = {name: np.clip(tissue + rng.normal(0, 6, t1.shape), 1, None) * inside for name in names}
    return with_images(case, **{name: array.astype(np.float32) for name, array in ct.items()})


def blurred(array: np.ndarray, *_: object) -> np.ndarray:
    return smoothed(array, 4.0)


def inverted(array: np.ndarray, inside: np.ndarray, _: object) -> np.ndarray:
    return array[inside].max() + 1 - array


def smoothed(array: np.ndarray, sigma: float) -> np.ndarray:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, sigma**2))


def with_contrast_agent(labels: np.ndarray, case: Case) -> Case | None:
    """T1 whose enhancing tumour (label 4) is bright; None where there is too little of it to show."""
    enhancing = labels == 4
    if enhancing.sum() < 5000:
        return None
    t1 = case.images["T1"].array.astype(np.float32)
    gain = ENHANCING_Z * t1[brain(case)].std()
    return with_images(case, T1=t1 + gain * smoothed(enhancing.astype(np.float32), 1.0))


def changes() -> Iterator[tuple[str, Change]]:
    yield "as it is", lambda case: case
    for first, second in (("T1", "T2"), ("T2", "FLAIR"), ("T1", "FLAIR")):
        yield f"{first} and {second} swapped", swapped(first, second)
    for name in SEQUENCES:
        yield f"{name} flipped left to right", flipped(name)
    yield "mask a single voxel of the tumour", one_voxel
    yield "mask mirrored onto healthy brain", mirrored_mask
    yield "mask a ball in healthy brain, front", ball_on_healthy_brain((0, -45, 0))
    yield "mask a ball in healthy brain, left", ball_on_healthy_brain((15, 10, 35))
    yield "mask a ball in healthy brain, right", ball_on_healthy_brain((15, 10, -35))
    yield "white noise", each(white_noise)
    yield "smooth noise", each(smooth_noise)
    yield "all three like CT", like_ct
    yield "FLAIR like CT", lambda case: like_ct(case, ("FLAIR",))
    yield "all three inverted", each(inverted)
    yield "all three blurred (4 mm)", each(blurred)


def outcome(grader: Grader, case: Case) -> tuple[str, ...]:
    """What holds the decision back: codes of doubts, ``refused``, or nothing."""
    try:
        result = grader.grade(checked(case))
    except GliomaGradingError:
        return ("refused",)
    if result.decision != INDETERMINATE:
        return ()
    return tuple(w.code for w in result.warnings if w.code in DOUBTFUL or w.message.startswith("Indeterminate"))


def checked(case: Case) -> Case:
    """The case as if it had been read, with the checks of reading."""
    images = case.images
    return Case.fromArrays(t1=images["T1"], t2=images["T2"], flair=images["FLAIR"], mask=case.mask)


def row(name: str, outcomes: list[tuple[str, ...]]) -> dict:
    reasons = Counter(code for codes in outcomes for code in codes)
    return {
        "change": name,
        "cases": len(outcomes),
        "withheld": sum(bool(codes) for codes in outcomes),
        "reasons": dict(reasons.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Benchmarks")
    parser.add_argument("--bundle", default=None)
    options = parser.parse_args()
    grader = Grader.load(options.bundle)
    folders = [path for path in sorted(options.cases.glob("*/*")) if path.is_dir()]
    cases = [Case.read(path) for path in folders]
    rows = []
    for name, change in changes():
        rows.append(row(name, [outcome(grader, change(case)) for case in cases]))
        print(rows[-1], flush=True)
    bright = [with_contrast_agent(labels_of(path), case) for path, case in zip(folders, cases, strict=True)]
    rows.append(row("T1 with contrast agent", [outcome(grader, case) for case in bright if case]))
    print(rows[-1], flush=True)
    content = {"model": grader.bundle.description(), "rows": rows}
    write_atomically(options.output / "unlike_cases.json", json.dumps(content, indent=2) + "\n")
    write_atomically(options.output / "unlike_cases.md", table(rows))


def labels_of(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*_seg.nii*")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def table(rows: list[dict]) -> str:
    lines = [
        "Cases that do not belong, made from real patients: how often the decision is withheld, and why.",
        "Command: `python Testing/benchmarks/unlike_cases.py --cases DIR`.",
        "",
        "| change | cases | decision withheld | reasons (cases) |",
        "|---|---|---|---|",
    ]
    for entry in rows:
        reasons = ", ".join(f"{code} ({count})" for code, count in entry["reasons"].items())
        lines.append(f"| {entry['change']} | {entry['cases']} | {entry['withheld']} | {reasons} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
