"""How much the probability moves when the same case is stored, sampled, moved or outlined in another way.

Usage: python Testing/benchmarks/input_invariance.py --cases DIR [--output Resources/Benchmarks]
DIR holds HGG/ and LGG/ with real patients at full resolution. Writes input_invariance.json and .md.

The shipped models have learned from these patients. What the next patient may expect is told by models that
have not: ``--held-out SET.npz TENSORS.pt`` trains such ones by the same recipe, for some minutes, and writes
input_invariance_held_out.json and .md in place of the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY / "Testing" / "unit")]

from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.files import write_atomically  # noqa: E402
from GliomaGradingLib.grading import Grader  # noqa: E402
from GliomaGradingLib.grid import cut  # noqa: E402
from GliomaGradingLib.volume import Volume  # noqa: E402
from GliomaGradingLib.words import INDETERMINATE, SEQUENCES  # noqa: E402

Change = Callable[[Case], Case]


def on_all(change: Callable[[Volume], Volume], mask: Callable[[Volume], Volume] | None = None) -> Change:
    """A change of every sequence, and of the mask by ``mask`` (default: the same)."""

    def changed(case: Case) -> Case:
        images = {name: change(volume) for name, volume in case.images.items()}
        return replace(case, images=images, mask=(mask or change)(case.mask))

    return changed


def on_sequences(change: Callable[[Volume], Volume]) -> Change:
    return on_all(change, lambda mask: mask)


def on_mask(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def changed(case: Case) -> Case:
        return replace(case, mask=replace(case.mask, array=change(case.mask.array > 0).astype(np.uint8)))

    return changed


def stored_as(order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Callable[[Volume], Volume]:
    """The same voxels at the same places in the patient, stored along other axes (I, J, K order and signs)."""

    def change(volume: Volume) -> Volume:
        array = volume.array.transpose([2 - order[2 - axis] for axis in range(3)])
        spacing = tuple(volume.spacing[axis] for axis in order)
        direction = np.asarray(volume.direction)[:, list(order)].copy()
        origin = np.asarray(volume.origin, dtype=float)
        for axis, flip in enumerate(flips):
            if flip:
                count = array.shape[2 - axis]
                array = np.flip(array, 2 - axis)
                origin = origin + direction[:, axis] * spacing[axis] * (count - 1)
                direction[:, axis] *= -1
        return replace(
            volume,
            array=np.ascontiguousarray(array),
            spacing=spacing,
            origin=tuple(origin),
            direction=direction,
        )

    return change


def values(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return on_sequences(lambda volume: replace(volume, array=change(volume.array)))


def resampled(spacing: tuple[float, float, float], interpolator: int) -> Callable[[Volume], Volume]:
    def change(volume: Volume) -> Volume:
        image = volume.toImage()
        size = [
            max(1, int(np.floor((n - 1) * s / t)) + 1)
            for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)
        ]
        grid = sitk.Image(size, image.GetPixelID())
        grid.SetSpacing(spacing)
        grid.SetOrigin(image.GetOrigin())
        grid.SetDirection(image.GetDirection())
        return Volume.fromImage(sitk.Resample(image, grid, sitk.Transform(), interpolator), volume.source)

    return change


def half_a_voxel_off(interpolator: int) -> Callable[[Volume], Volume]:
    """The same head on voxels as large that lie half a voxel further along each axis."""

    def change(volume: Volume) -> Volume:
        image = volume.toImage()
        grid = sitk.Image(image)
        grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((0.5, 0.5, 0.5)))
        return Volume.fromImage(sitk.Resample(image, grid, sitk.Transform(), interpolator), volume.source)

    return change


def oblique(interpolator: int) -> Callable[[Volume], Volume]:
    """The same head on voxels whose axes are turned by 20 and 12 degrees about its middle."""

    def change(volume: Volume) -> Volume:
        image = volume.toImage()
        middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
        turn = sitk.Euler3DTransform(middle, np.deg2rad(12.0), 0.0, np.deg2rad(20.0))
        grid = _with_header_moved(sitk.Image(image), turn)
        return Volume.fromImage(sitk.Resample(image, grid, sitk.Transform(), interpolator), volume.source)

    return change


def cut_around_the_tumour(case: Case) -> Case:
    """No more of the head than the tumour's box and 15 mm around it."""
    points = np.argwhere(case.mask.array > 0)
    low = np.maximum(points.min(0) - 15, 0)[::-1]
    high = np.minimum(points.max(0) + 16, case.mask.array.shape)[::-1]
    return on_all(lambda volume: cut(volume, low, high))(case)


def thick(volume: Volume) -> Volume:
    """1 x 1 x 5 mm: means of five planes, as a thick slice is one."""
    image = sitk.BinShrink(sitk.Cast(volume.toImage(), sitk.sitkFloat32), (1, 1, 5))
    return Volume.fromImage(image, volume.source)


def moved(case: Case, name: str, in_header: bool) -> Case:
    """One sequence acquired with the head 5 mm and 5 degrees elsewhere; the header says so, or not."""
    volume = case.images[name]
    image = volume.toImage()
    turn = sitk.Euler3DTransform()
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    turn.SetRotation(0.0, 0.0, np.deg2rad(5.0))
    turn.SetTranslation((3.0, 4.0, 0.0))
    shifted = sitk.Resample(image, image, turn, sitk.sitkLinear)
    if in_header:
        shifted = _with_header_moved(shifted, turn)
    return replace(case, images={**case.images, name: Volume.fromImage(shifted, volume.source)})


def _with_header_moved(image: sitk.Image, turn: sitk.Euler3DTransform) -> sitk.Image:
    rotation = np.asarray(turn.GetMatrix()).reshape(3, 3)
    direction = rotation @ np.asarray(image.GetDirection()).reshape(3, 3)
    image.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    image.SetDirection(direction.ravel().tolist())
    return image


def ball(mm: float) -> sitk.BinaryDilateImageFilter:
    return [round(mm)] * 3  # voxels of 1 mm


def dilated(mask: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(mask.astype(np.uint8)), ball(2)))


def eroded(mask: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(mask.astype(np.uint8)), ball(2)))


def shifted(mask: np.ndarray) -> np.ndarray:
    return np.roll(mask, 3, axis=2)


def sphere(mask: np.ndarray) -> np.ndarray:
    points = np.argwhere(mask)
    radius = (3 * len(points) / (4 * np.pi)) ** (1 / 3)
    grid = np.indices(mask.shape) - points.mean(0)[:, None, None, None]
    return (grid**2).sum(0) <= radius**2


def box(mask: np.ndarray) -> np.ndarray:
    points = np.argwhere(mask)
    filled = np.zeros_like(mask)
    filled[tuple(slice(a, b + 1) for a, b in zip(points.min(0), points.max(0), strict=True))] = True
    return filled


def every_third(mask: np.ndarray) -> np.ndarray:
    kept = np.zeros_like(mask)
    kept[::3] = mask[::3]
    return kept


def with_skull(case: Case) -> Case:
    from skull import add_skull

    return add_skull(case)


def changes() -> Iterator[tuple[str, str, Change]]:
    """(group, name, change), the 48 orientations aside."""
    nearest, linear = sitk.sitkNearestNeighbor, sitk.sitkLinear
    yield "storage", "float64, times 3.7 plus 250", values(lambda a: a.astype(np.float64) * 3.7 + 250)
    yield "storage", "float32, times 0.001", values(lambda a: (a * 0.001).astype(np.float32))
    yield "storage", "int32", values(lambda a: a.astype(np.int32))
    fine = (0.7, 0.7, 0.7)
    yield "sampling", "0.7 mm", on_all(resampled(fine, linear), resampled(fine, nearest))
    off, turned = half_a_voxel_off, oblique
    yield "sampling", "1 mm, half a voxel further", on_all(off(linear), off(nearest))
    yield "sampling", "1 mm, axes turned by 20 and 12 degrees", on_all(turned(linear), turned(nearest))
    yield "sampling", "cut to the tumour and 15 mm around it", cut_around_the_tumour
    yield "sampling", "1 x 1 x 5 mm, mask as drawn", on_sequences(thick)
    for name in ("T1", "FLAIR"):
        yield "position", f"{name} 5 mm, 5 degrees, header says so", lambda c, n=name: moved(c, n, True)
        yield "position", f"{name} 5 mm, 5 degrees, header does not", lambda c, n=name: moved(c, n, False)
    yield "skull", "skull and scalp added", with_skull
    yield "mask", "dilated by 2 mm", on_mask(dilated)
    yield "mask", "eroded by 2 mm", on_mask(eroded)
    yield "mask", "shifted by 3 mm", on_mask(shifted)
    yield "mask", "sphere of the same volume", on_mask(sphere)
    yield "mask", "bounding box", on_mask(box)
    yield "mask", "every third slice drawn", on_mask(every_third)


def orientations() -> Iterator[Change]:
    for order in permutations(range(3)):
        for flips in product((False, True), repeat=3):
            yield on_all(stored_as(order, flips))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Benchmarks")
    parser.add_argument("--crops", type=Path, help="folder of tumour_crops.npz and .csv with the same patients")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--bundle", default=None)
    models.add_argument(
        "--held-out",
        nargs=2,
        type=Path,
        metavar=("SET.npz", "TENSORS.pt"),
        help="grade by models that have learned from the set's other patients; the shipped ones' calibration",
    )
    parser.add_argument("--oriented", type=int, default=3, help="cases to store in all 48 orientations")
    options = parser.parse_args()
    cases = [Case.read(path) for path in sorted(options.cases.glob("*/*")) if path.is_dir()]
    names = [case.identifier for case in cases]
    grader = held_out(*options.held_out, names) if options.held_out else Grader.load(options.bundle)
    before = [grader.grade(case) for case in cases]
    rows = []
    if options.crops:
        rows.append(row("storage", "ready-made crop of the same patient", crop_pairs(options, grader, before)))
        print(rows[-1], flush=True)
    if options.oriented:
        pairs = [
            (grader.grade(change(case)), result)
            for case, result in list(zip(cases, before, strict=True))[: options.oriented]
            for change in orientations()
        ]
        rows.append(row("storage", f"all 48 orientations ({options.oriented} cases)", pairs))
        print(rows[-1], flush=True)
    for group, name, change in changes():
        pairs = [(grader.grade(change(case)), r) for case, r in zip(cases, before, strict=True)]
        rows.append(row(group, name, pairs))
        print(rows[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    content = {"cases": len(cases), "model": grader.bundle.description(), "rows": rows}
    name = "input_invariance_held_out" if options.held_out else "input_invariance"
    write_atomically(options.output / f"{name}.json", json.dumps(content, indent=2) + "\n")
    write_atomically(options.output / f"{name}.md", table(rows, len(cases), bool(options.held_out)))


def held_out(data: Path, pretrained: Path, names: list[str]) -> Grader:
    """Models of the shipped recipe that none of the named patients has taught, with the shipped calibration."""
    from GliomaGradingLib.training.dataset import TrainingSet
    from GliomaGradingLib.training.equipment import Equipment
    from GliomaGradingLib.training.final import train_bundle
    from GliomaGradingLib.training.recipe import Recipe

    everyone = TrainingSet.read(data)
    others = everyone.subset(everyone.shippable & ~np.isin(everyone.patients, names))
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "held-out"
        train_bundle(others, Recipe(), bundle, Path(folder) / "work", None, Equipment(pretrained))
        described = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
        described["calibration"] = Grader.load().bundle.metadata["calibration"]
        write_atomically(bundle / "metadata.json", json.dumps(described))
        return Grader.load(bundle)


def crop_pairs(options: argparse.Namespace, grader: Grader, before: list) -> list:
    """(verdict on the crop, result of the full-resolution case) of every patient."""
    from GliomaGradingLib.preparation.slices import stack_from_crop
    from GliomaGradingLib.training.crops import training_set_from_crops

    data = training_set_from_crops(options.crops / "tumour_crops.npz", options.crops / "tumour_crops.csv")
    place = {str(name): number for number, name in enumerate(data.patients)}
    pairs = []
    for result in before:
        number = place[result.case]
        stack = stack_from_crop(data.images[number].astype(np.float32), data.labels[number], data.form)
        pairs.append((grader.judge(stack), result))
        print(f"{result.case}: {pairs[-1][0].probability_hgg - result.probability_hgg:+.4f}", flush=True)
    return pairs


def row(group: str, name: str, pairs: list) -> dict:
    """How far the three together and the single sequences moved, and how many votes and decisions changed.

    A decision turns where one grade was decided before and the other after; it is given up where it is withheld
    after, and was not before.
    """
    together = [abs(a.probability_hgg - b.probability_hgg) for a, b in pairs]
    single = [
        abs(a.votes[i].probability_hgg - b.votes[i].probability_hgg)
        for a, b in pairs
        for i in range(len(SEQUENCES))
    ]
    return {
        "group": group,
        "change": name,
        "gradings": len(pairs),
        "median": round(float(np.median(together)), 4),
        "largest": round(float(np.max(together)), 4),
        "largest_of_a_sequence": round(float(np.max(single)), 4),
        "grades_changed": sum(a.grade != b.grade for a, b in pairs),
        "decisions_turned": sum({a.decision, b.decision} == {"LGG", "HGG"} for a, b in pairs),
        "decisions_given_up": sum(
            a.decision == INDETERMINATE and b.decision != INDETERMINATE for a, b in pairs
        ),
    }


def table(rows: list[dict], cases: int, held_out: bool) -> str:
    models, more = ("none of whom", " --held-out SET.npz TENSORS.pt") if held_out else ("all of whom", "")
    lines = [
        f"How far the probability of HGG moves, over {cases} real patients at full resolution, "
        f"{models} the models have learned from.",
        f"Command: `python Testing/benchmarks/input_invariance.py --cases DIR{more}`.",
        "",
        "| change | gradings | median | largest | largest of one sequence | grades changed "
        "| decisions turned, given up |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['group']}: {r['change']} | {r['gradings']} | {r['median']:.4f} | {r['largest']:.4f} "
        f"| {r['largest_of_a_sequence']:.4f} | {r['grades_changed']} "
        f"| {r['decisions_turned']}, {r['decisions_given_up']} |"
        for r in rows
    ]
    gradings, turned, given_up = (
        sum(r[key] for r in rows) for key in ("gradings", "decisions_turned", "decisions_given_up")
    )
    of_boxes = sum(r["decisions_given_up"] for r in rows if r["change"] == "bounding box")
    why = ": most of these where the mask is a box, which marks more healthy brain than tumour"
    lines += [
        "",
        f"Of {gradings} gradings, {turned} turned a decision into the other grade, and {given_up} gave one up"
        f"{why if of_boxes > given_up / 2 else ''}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
