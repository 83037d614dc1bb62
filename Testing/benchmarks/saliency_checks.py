"""Sanity checks of Grad-CAM on real patients: does it depend on tumour and weights, and find what matters?

Usage: python Testing/benchmarks/saliency_checks.py --data DIR [--output Resources/Benchmarks]
DIR holds cases/HGG, cases/LGG and tumour_crops.npz with tumour_crops.csv. Writes saliency_checks.json, .md
and .png.

Checks, and where they come from: share of the map's mass within the tumour; deletion and insertion (Petsiuk
et al. 2018, arXiv 1806.07421); cascading randomisation of weights (Adebayo et al. 2018, arXiv 1810.03292); what
becomes of the probability when the tumour is blanked out.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "GliomaGrading")]

from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.files import write_atomically  # noqa: E402
from GliomaGradingLib.grading import Grader  # noqa: E402
from GliomaGradingLib.networks.images import stack_input, without_gaps  # noqa: E402
from GliomaGradingLib.networks.network import TransferModel  # noqa: E402
from GliomaGradingLib.networks.saliency import evidence  # noqa: E402
from GliomaGradingLib.preparation.slices import SliceStack, prepare, stack_from_crop  # noqa: E402
from GliomaGradingLib.words import SEQUENCES, SLICE_COUNT  # noqa: E402

SLICES = (3, 10, 17)
"""Of the 20 slices, those that the slower checks look at."""
CELLS = 8
"""Cells a side that are deleted or inserted as a whole: the maps' own detail."""
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
RANDOMISED = (
    "output",
    *(f"inception{b}" for b in ("5b", "5a", "4e", "4d", "4c", "4b", "4a", "3b", "3a")),
    "stem",
)
UNSEEN, RANDOMISED_PATIENTS = 16, 4
Seen = tuple[str, SliceStack]


@dataclass(frozen=True, eq=False)
class Input:
    """Some slices of one sequence as its network sees them, with the map (N, cells, cells) of each."""

    model: TransferModel
    fast: TransferModel
    images: Tensor
    tumour: Tensor

    @classmethod
    def of(
        cls, grader: Grader, model: TransferModel, stack: SliceStack, sequence: str, slices: tuple[int, ...]
    ) -> Input:
        mask = without_gaps(torch.from_numpy(stack.mask))
        planes = torch.from_numpy(stack.planes[SEQUENCES.index(sequence)])
        images, tumour = stack_input(planes, mask, stack.first, SLICE_COUNT, grader._image_form)
        return cls(model, grader._models[sequence], images[list(slices)], tumour[list(slices)])

    def maps(self, size: int, tumour: Tensor | None = None) -> np.ndarray:
        given = self.tumour if tumour is None else tumour
        return evidence(self.model, self.images, given, (size, size)).numpy()

    def logits(self, images: Tensor) -> np.ndarray:
        """(count, N) of images (count * N, ...)."""
        count = len(images) // len(self.tumour)
        return self.fast(images, self.tumour.repeat(count, 1, 1)).double().numpy().reshape(count, -1)


# ---------------------------------------------------------------- checks


def mass_share(given: Input) -> dict[str, float]:
    """Share of the absolute evidence inside the tumour over the tumour's share of the area (1: no preference).

    ``all`` is the map as shown; ``unaided`` that of a network which is not told where the tumour is, since one
    of its five poolings is over the mask and puts its evidence there by construction.
    """
    size = given.images.shape[-1]
    inside = given.tumour.numpy() > 0.5
    area = max(float(inside.mean()), 1e-9)
    shares = {}
    for name, maps in (("all", given.maps(size)), ("unaided", given.maps(size, 0 * given.tumour))):
        mass = np.abs(maps)
        shares[name] = float(mass[inside].sum() / mass.sum()) / area
    return {**shares, "area": area}


def erasing(given: Input, rng: np.random.Generator) -> dict[str, list[float]]:
    """Evidence left for the slice's own grade, as a share, when cells are deleted or inserted in some order.

    1 is the evidence (logit) of the untouched slices, 0 that of blurred ones; orders: by the map, and random.
    """
    blurred = blurred_images(given.images)
    whole, none = given.logits(torch.cat([given.images, blurred]))
    sign = np.sign(whole)
    span = float((sign * (whole - none)).sum())
    by_map = np.argsort(-sign[:, None] * given.maps(CELLS).reshape(len(sign), -1), axis=1)
    curves = {"span": [span]}
    for name, order in (("map", by_map), ("random", rng.permuted(by_map, axis=1))):
        for kind, start, end in (("deletion", given.images, blurred), ("insertion", blurred, given.images)):
            steps = torch.cat([mixed(start, end, order, share) for share in SHARES])
            curves[f"{kind} {name}"] = (sign * (given.logits(steps) - none)).sum(axis=1).tolist()
    return curves


def mixed(start: Tensor, end: Tensor, order: np.ndarray, share: float) -> Tensor:
    """``start`` with the first ``share`` of each image's cells taken from ``end``."""
    count = round(share * CELLS * CELLS)
    chosen = np.zeros(order.shape, np.float32)
    np.put_along_axis(chosen, order[:, :count], 1.0, axis=1)
    cells = torch.from_numpy(chosen.reshape(-1, 1, CELLS, CELLS))
    where = functional.interpolate(cells, size=start.shape[-2:], mode="nearest")
    return start * (1 - where) + end * where


def blurred_images(images: Tensor) -> Tensor:
    width = 2 * (images.shape[-1] // 8) + 1
    for _ in range(3):  # three boxes are nearly a Gaussian
        images = functional.avg_pool2d(images, width, stride=1, padding=width // 2, count_include_pad=False)
    return images


def randomisation(given: Input, generator: torch.Generator) -> list[tuple[float, float]]:
    """|Spearman| and SSIM of the map with that of the trained network, after each further block."""
    size = given.images.shape[-1] // 2
    before, model = given.maps(size), copy.deepcopy(given.model)
    likeness = []
    for block in RANDOMISED:
        for module in modules_of(model, block):
            for parameter in module.parameters():
                weights = parameter.data
                spread = float(weights.std()) if weights.numel() > 1 else 0.0
                weights.normal_(float(weights.mean()), spread, generator=generator)
        after = replace(given, model=model).maps(size)
        pairs = list(zip(before, after, strict=True))
        likeness.append(
            (
                float(np.mean([abs(spearman(a, b)) for a, b in pairs])),
                float(np.mean([ssim(a, b) for a, b in pairs])),
            )
        )
    return likeness


def modules_of(model: TransferModel, block: str) -> list[torch.nn.Module]:
    if block == "output":
        return [model.output.linear]
    if block == "stem":
        return [model.backbone.conv3, model.backbone.conv2, model.backbone.conv1]
    return [getattr(model.backbone, block)]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values.ravel())).astype(float) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two maps, each in its own deviations, in windows of 7 points."""
    x, y = (torch.from_numpy(m / max(float(m.std()), 1e-9))[None, None] for m in (a, b))

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, 7, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.06**2, 0.18**2  # (0.01 and 0.03 of a range of 6 deviations)
    value = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(value.mean())


def blanking(grader: Grader, stack: SliceStack) -> dict[str, float]:
    """How far the probability of the three together moves when the tumour, or as much elsewhere, is blanked."""
    before = grader.judge(stack).probability_hgg
    tumour = stack.mask > 0
    moved = {}
    for name, where in (("tumour", tumour), ("elsewhere", elsewhere(tumour, stack.planes))):
        moved[name] = abs(grader.judge(blanked(stack, where)).probability_hgg - before)
    return moved


def blanked(stack: SliceStack, where: np.ndarray) -> SliceStack:
    """The stack with the median of the brain outside the tumour at these points."""
    planes = stack.planes.copy()
    healthy = (stack.mask == 0) & (stack.planes != 0).all(axis=0)
    for plane in planes:
        plane[where] = np.median(plane[healthy]) if healthy.any() else 0.0
    return replace(stack, planes=planes)


def elsewhere(tumour: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """In each plane as many brain points as the tumour has, those farthest from it."""
    chosen = np.zeros_like(tumour)
    brain = (planes != 0).all(axis=0)
    rows, columns = np.indices(tumour.shape[1:])
    for plane, inside in enumerate(tumour):
        if not inside.any():
            continue
        free = np.flatnonzero((brain[plane] & ~inside).ravel())
        centre = np.argwhere(inside).mean(0)
        far = np.hypot(rows - centre[0], columns - centre[1]).ravel()[free]
        chosen[plane].ravel()[free[np.argsort(-far)[: inside.sum()]]] = True
    return chosen


# ---------------------------------------------------------------- patients


def patients(data: Path, grader: Grader) -> Iterator[tuple[str, Seen]]:
    """("seen" or "unseen", patient): the full-resolution cases, then crops of collections not trained on."""
    for path in sorted((data / "cases").glob("*/*")):
        if path.is_dir():
            yield "seen", (path.name, prepare(Case.read(path), grader._form))
    with (data / "tumour_crops.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(data / "tumour_crops.npz", allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["segmentations"]
    others = [k for k, row in enumerate(rows) if row["shippable"].lower() not in ("1", "true", "yes")]
    for k in others[:: max(1, len(others) // UNSEEN)][:UNSEEN]:
        yield (
            "unseen",
            (rows[k]["patient"], stack_from_crop(images[k].astype(np.float32), labels[k], grader._form)),
        )


def measure(data: Path, grader: Grader, part: Path) -> dict:
    """All checks; what an interrupted run with this bundle left in ``part`` is not measured again."""
    key = grader.bundle.sha256
    kept = json.loads(part.read_text(encoding="utf-8")) if part.is_file() else {}
    rows: dict[str, dict] = kept.get("rows", {}) if kept.get("bundle") == key else {}
    for number, (group, (name, stack)) in enumerate(patients(data, grader)):
        if name not in rows:
            wanted = group == "seen" and number % 3 == 0 and number // 3 < RANDOMISED_PATIENTS
            rows[name] = {"patient": name, "group": group, **checked(grader, stack, number, wanted)}
            write_atomically(part, json.dumps({"bundle": key, "rows": rows}))
            print(f"{group} {name}", flush=True)
    likeness = [values for row in rows.values() for values in row["randomisation"]]
    return {"patients": list(rows.values()), "randomisation": np.mean(likeness, axis=0).round(3).tolist()}


def checked(grader: Grader, stack: SliceStack, seed: int, is_randomised: bool) -> dict:
    """All checks of one patient."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    models = grader.bundle.models()
    inputs = {s: Input.of(grader, models[s], stack, s, SLICES) for s in SEQUENCES}
    return {
        "blanking": blanking(grader, stack),
        "sequences": {s: {"mass": mass_share(i), "erasing": erasing(i, rng)} for s, i in inputs.items()},
        "randomisation": [randomisation(i, generator) for i in inputs.values()] if is_randomised else [],
    }


# ---------------------------------------------------------------- what is written


def summary(measured: dict) -> dict:
    figures: dict = {"groups": {}, "shares": SHARES}
    for group in ("seen", "unseen"):
        rows = [row for row in measured["patients"] if row["group"] == group]
        if not rows:
            continue
        cells = [row["sequences"][s] for row in rows for s in SEQUENCES]
        spans = sum(cell["erasing"]["span"][0] for cell in cells)
        figures["groups"][group] = {
            "patients": len(rows),
            "mass": {
                s: {k: median([r["sequences"][s]["mass"][k] for r in rows]) for k in ("all", "unaided", "area")}
                for s in SEQUENCES
            },
            "preferring the tumour": round(float(np.mean([c["mass"]["all"] > 1 for c in cells])), 3),
            "curves": {
                key: (np.sum([c["erasing"][key] for c in cells], axis=0) / spans).round(3).tolist()
                for key in ("deletion map", "deletion random", "insertion map", "insertion random")
            },
            "blanking": {k: median([r["blanking"][k] for r in rows]) for k in ("tumour", "elsewhere")},
        }
        curves = figures["groups"][group]["curves"]
        figures["groups"][group]["area under curve"] = {
            key: round(float(np.trapezoid(values, SHARES)), 3) for key, values in curves.items()
        }
    figures["randomisation"] = dict(zip(RANDOMISED, measured["randomisation"], strict=True))
    return figures


def median(values: list[float]) -> float:
    return round(float(np.median(values)), 3)


def table(figures: dict, model: dict, seconds: float) -> str:
    known = "full-resolution patients, all of whom the models were trained on"
    title = {"seen": known, "unseen": "crops of collections that the models were not trained on"}
    lines = [
        f"Sanity checks of Grad-CAM, bundle {model['name']} {model['version']} ({model['sha256'][:12]}), "
        f"{seconds:.0f} s.",
        "Command: `python Testing/benchmarks/saliency_checks.py --data DIR`.",
        "",
        "Mass: share of the absolute evidence inside the tumour mask over the mask's share of the area, "
        "median; 1 is no preference. Unaided: the network is not told where the tumour is (one of its five "
        "poolings is over the mask).",
        "Deletion and insertion: area under the curve of the evidence left, by the map's order and at random; "
        "deletion should be lower by the map, insertion higher. Blanking: median change of the probability.",
        "",
        "| patients | n | mass T1 | T2 | FLAIR | unaided T1 | T2 | FLAIR | deletion map / random "
        "| insertion map / random | blanking tumour / elsewhere |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for group, values in figures["groups"].items():
        mass, area = values["mass"], values["area under curve"]
        cells = [f"{mass[s][k]:.2f}" for k in ("all", "unaided") for s in SEQUENCES]
        cells += [
            f"{area[f'{kind} map']:.2f} / {area[f'{kind} random']:.2f}" for kind in ("deletion", "insertion")
        ]
        cells.append(f"{values['blanking']['tumour']:.2f} / {values['blanking']['elsewhere']:.2f}")
        lines.append(f"| {title[group]} | {values['patients']} | {' | '.join(cells)} |")
    lines += ["", "| randomised from the output down to | abs. Spearman | SSIM |", "|---|---|---|"]
    lines += [f"| {name} | {a:.2f} | {b:.2f} |" for name, (a, b) in figures["randomisation"].items()]
    return "\n".join(lines) + "\n"


def plot(figures: dict) -> bytes:
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    groups = figures["groups"]
    for shift, (group, values) in zip((-0.2, 0.2), groups.items(), strict=False):
        bars = left.bar(np.arange(3) + shift, [values["mass"][s]["all"] for s in SEQUENCES], 0.36)
        bars.set_label(f"{group} ({values['patients']})")
    left.axhline(1, color="black", linestyle="--", linewidth=1)
    left.set_xticks(range(3), SEQUENCES)
    left.set(title="Evidence inside the tumour", ylabel="share of mass / share of area (median)")
    left.set_ylim(0, 1.45)
    left.legend(title="patients", ncols=2, loc="upper center")
    chosen = "unseen" if "unseen" in groups else "seen"
    for (key, values), style in zip(
        groups[chosen]["curves"].items(), ("C0-o", "C0--", "C1-s", "C1--"), strict=True
    ):
        middle.plot(figures["shares"], values, style, label=key)
    middle.set(title=f"Deletion and insertion ({chosen})", xlabel="share of the region", ylabel="evidence left")
    middle.set_ylim(None, 1.6)
    middle.legend(ncols=2, loc="upper center")
    likeness = np.array(list(figures["randomisation"].values()))
    right.plot(likeness[:, 0], "C0-o", label="abs. Spearman")
    right.plot(likeness[:, 1], "C1-s", label="SSIM")
    right.set_xticks(
        range(len(likeness)), [n.removeprefix("inception") for n in figures["randomisation"]], rotation=45
    )
    right.set(title="Weights randomised from the output down", ylabel="likeness to the map", ylim=(-0.1, 1))
    right.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    pyplot.close(figure)
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Benchmarks")
    parser.add_argument("--bundle", default=None)
    options = parser.parse_args()
    started = time.perf_counter()
    grader = Grader.load(options.bundle, "cpu")
    options.output.mkdir(parents=True, exist_ok=True)
    part = options.output / ".saliency_checks.part.json"
    with torch.inference_mode():
        measured = measure(options.data, grader, part)
    figures, model = summary(measured), grader.bundle.description()
    seconds = round(time.perf_counter() - started, 1)
    picture = plot(figures)
    content = {"model": model, "seconds": seconds, **figures}
    write_atomically(options.output / "saliency_checks.json", json.dumps(content, indent=2) + "\n")
    write_atomically(options.output / "saliency_checks.md", table(figures, model, seconds))
    write_atomically(options.output / "saliency_checks.png", picture)
    part.unlink()
    print(table(figures, model, seconds))


if __name__ == "__main__":
    main()
