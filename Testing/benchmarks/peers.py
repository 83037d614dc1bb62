"""The whole job, from four files to one probability, beside what a user would write with other libraries.

python -m Testing.benchmarks.peers [CASE_DIR ...] [--gandlf PYTHON] [--threads N] [--rounds N] [--output DIR]

The job: read the four files of a case, bring them to one grid of 1 mm, normalise the brain, take the 20 slices
around the largest tumour area of three sequences, run three networks over them and average. Every job runs in
turn, once a round, on the same files, threads and slices (those that each took are compared). Speed alone is
compared: the peers' networks are untrained.

Without a case it is the synthetic sample. MONAI is timed where it is installed (the extra ``bench``). GaNDLF
demands versions of torch and of numpy of its own, so that it is timed in a child process of another Python,
that of ``--gandlf`` (see ``gandlf_peer.py``). What is missing is left out, and the table says so.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .gandlf_child import GandlfChild
from .measure import (
    CLOCKS,
    REPOSITORY,
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

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from GliomaGradingLib.case import Case  # noqa: E402
from GliomaGradingLib.case_files import find_case_files  # noqa: E402
from GliomaGradingLib.grading import Grader  # noqa: E402
from GliomaGradingLib.preparation.registration import register  # noqa: E402
from GliomaGradingLib.preparation.slices import SliceStack, prepare  # noqa: E402
from GliomaGradingLib.words import SEQUENCES, SLICE_COUNT  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torchvision.models import googlenet  # noqa: E402

MASK = "mask"
STAGES = ("read", "prepare", "network")
USUAL_PIXELS = 224
GRADES = 2
CROP_MARGIN = 10  # voxels around the tumour: enough for 20 slices of the smallest
GANDLF_PYTHON = REPOSITORY / "build" / "gandlf" / "bin" / "python"


@dataclass(frozen=True)
class Slices:
    """What the networks are given, and the plane (from the foot) of the first of the 20 slices."""

    first: int
    images: Any


@dataclass(frozen=True)
class Job:
    """One way to do the work: each stage takes what the one before gives.

    Args:
        words: what stands in the table. pixels: side of what the networks see.
        infer: gives the mean probability of HGG over the slices.
    """

    words: str
    pixels: int
    read: Callable[[Path], Any]
    prepare: Callable[[Any], Slices]
    infer: Callable[[Slices], float]


class Run:
    """A job on one case, which notes what its stages took and which slices they were."""

    def __init__(self, job: Job, folder: Path, clock: str) -> None:
        self.job, self.folder, self._now = job, folder, CLOCKS[clock]
        self.seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.first = -1
        self.probability = float("nan")

    def __call__(self) -> None:
        found = self._timed("read", self.job.read, self.folder)
        slices = self._timed("prepare", self.job.prepare, found)
        self.probability = self._timed("network", self.job.infer, slices)
        self.first = slices.first

    def _timed(self, stage: str, function: Callable[[Any], Any], given: Any) -> Any:
        start = self._now()
        found = function(given)
        self.seconds[stage].append(self._now() - start)
        return found


def case_paths(folder: Path) -> dict[str, str]:
    return {name: str(path) for name, path in find_case_files(folder, "auto").paths.items()}


def usual_slices(areas: np.ndarray) -> np.ndarray:
    """The planes of the 20 slices around the largest area, as a user would choose them."""
    first = int(np.clip(int(np.argmax(areas)) - SLICE_COUNT // 2, 0, max(0, len(areas) - SLICE_COUNT)))
    return np.arange(first, min(first + SLICE_COUNT, len(areas)))


def ours() -> Job:
    grader = Grader.load(device="cpu")

    def prepared(case: Case) -> Slices:
        stack = prepare(register(case, "auto")[0], grader.bundle.inputForm())
        return Slices(stack.info.indices[0], stack)

    def judged(slices: Slices) -> float:
        stack: SliceStack = slices.images
        return float(grader.judge(stack).probability_hgg)

    pixels = grader.bundle.imageForm().pixels
    return Job("ours (with checks, alignment, calibration)", pixels, Case.read, prepared, judged)


def plain(pixels: int) -> Job:
    """SimpleITK and torchvision, as one writes it first."""
    networks = untrained(_googlenet)

    def read(folder: Path) -> dict[str, sitk.Image]:
        return {name: sitk.ReadImage(path) for name, path in case_paths(folder).items()}

    def prepared(images: dict[str, sitk.Image]) -> Slices:
        grid = images[SEQUENCES[0]]
        voxels = {
            name: sitk.GetArrayFromImage(
                sitk.Resample(
                    image,
                    grid,
                    sitk.Transform(),
                    sitk.sitkNearestNeighbor if name == MASK else sitk.sitkLinear,
                )
            )
            for name, image in images.items()
        }
        chosen = usual_slices((voxels[MASK] > 0).sum((1, 2)))
        pictures = {
            name: _colours(torch.from_numpy(_normalised(voxels[name])[chosen]), pixels) for name in SEQUENCES
        }
        return Slices(int(chosen[0]), pictures)

    return Job("torchvision's GoogLeNet, SimpleITK", pixels, read, prepared, averaging(networks))


def _googlenet() -> nn.Module:
    network = googlenet(weights=None, aux_logits=False, init_weights=False)
    network.fc = nn.Linear(network.fc.in_features, GRADES)
    return network


def _normalised(voxels: np.ndarray) -> np.ndarray:
    found = voxels.astype(np.float32)
    brain = found[found != 0]
    return np.where(found != 0, (found - brain.mean()) / brain.std(), 0)


def _colours(slices: Tensor, pixels: int) -> Tensor:
    """(N, 3, pixels, pixels) of (N, H, W)."""
    resized = functional.interpolate(slices[:, None], size=(pixels, pixels), mode="bilinear")
    return resized.expand(-1, 3, -1, -1).contiguous()


def monai(pixels: int) -> Job:
    """MONAI's dictionary transforms and its DenseNet121, a slice a sample, as its tutorials have it.

    ``SliceInferer`` is for networks whose output has the input's shape; a classifier is called on the slices.
    """
    from monai.networks.nets import DenseNet121
    from monai.transforms import (
        Compose,
        CropForegroundd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        Resize,
        Spacingd,
    )

    keys = [*SEQUENCES, MASK]
    load = LoadImaged(keys, ensure_channel_first=True)
    change = Compose(
        [
            Orientationd(keys, axcodes="LPS", labels=None),
            Spacingd(keys, pixdim=(1.0, 1.0, 1.0), mode=["bilinear"] * len(SEQUENCES) + ["nearest"]),
            NormalizeIntensityd(SEQUENCES, nonzero=True),
            CropForegroundd(keys, source_key=MASK, margin=CROP_MARGIN),
        ]
    )
    resize = Resize((pixels, pixels), mode="bilinear")
    networks = untrained(lambda: DenseNet121(spatial_dims=2, in_channels=1, out_channels=GRADES))

    def prepared(loaded: Any) -> Slices:
        found = change(loaded)
        chosen = usual_slices((found[MASK][0] > 0).sum((0, 1)).numpy())
        pictures = {}
        for name in SEQUENCES:
            slices = found[name].as_tensor()[0, :, :, chosen].permute(2, 1, 0)
            pictures[name] = resize(slices).as_tensor()[:, None]
        return Slices(int(found["foreground_start_coord"][2]) + int(chosen[0]), pictures)

    words = "MONAI's transforms and DenseNet121"
    return Job(words, pixels, lambda folder: load(case_paths(folder)), prepared, averaging(networks))


def untrained(make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: make().eval() for name in SEQUENCES}


def averaging(networks: Mapping[str, nn.Module]) -> Callable[[Slices], float]:
    """Mean probability of HGG over the slices of the sequences, one sequence after another."""

    def infer(slices: Slices) -> float:
        with torch.inference_mode():
            found = [torch.softmax(networks[name](slices.images[name]), dim=1)[:, 1] for name in SEQUENCES]
        return float(torch.cat(found).mean())

    return infer


def jobs() -> tuple[dict[str, Job], dict[str, str]]:
    """Jobs that can be done in this process, and why others cannot."""
    own = ours()
    sizes = sorted({own.pixels, USUAL_PIXELS}, reverse=True)
    found = {"ours": own, **{f"torchvision {n}": plain(n) for n in sizes}}
    if importlib.util.find_spec("monai") is None:
        return found, {"MONAI": "not installed (extra bench)"}
    return {**found, **{f"monai {n}": monai(n) for n in sizes}}, {}


@contextmanager
def gandlf(options: Any, pixels: int) -> Iterator[tuple[GandlfChild | None, dict[str, str]]]:
    """GaNDLF's inference in its own process; None, and why, where it does not run."""
    if not options.gandlf.is_file() or options.clock != "wall":
        yield None, {"GaNDLF": "timed with the wall's clock and a Python that has it (--gandlf)"}
        return
    child = GandlfChild(options.gandlf, options.threads, pixels)
    try:
        child.start()
    except RuntimeError as error:
        yield None, {"GaNDLF": str(error)}
        return
    with child:
        yield child, {}


def measure(folders: list[Path], options: Any) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    found, skipped = jobs()
    seconds: dict[str, list[float]] = {}
    stages: dict[str, dict[str, list[float]]] = {name: {stage: [] for stage in STAGES} for name in found}
    firsts: list[dict[str, int]] = []
    with gandlf(options, found["ours"].pixels) as (child, why):
        for folder in folders:
            runs = {name: Run(job, folder, options.clock) for name, job in found.items()}
            functions: dict[str, Callable[[], object]] = dict(runs)
            if child:
                functions["gandlf"] = lambda folder=folder: child.grade(case_paths(folder))
            for name, values in in_turn(functions, options.rounds, options.clock).items():
                seconds.setdefault(name, []).extend(values)
            for name, run in runs.items():
                for stage in STAGES:
                    stages[name][stage] += run.seconds[stage][1:]  # the first round warms up
            firsts.append({name: run.first for name, run in runs.items()})
        described_child = {"gandlf": child.described()} if child else {}
    content = {name: described_job(job, stages[name]) for name, job in found.items()}
    for name, entry in {**content, **described_child}.items():
        entry["total_ms"] = float(milliseconds(seconds[name]))
        entry["times_ours"] = round(ratio(seconds[name], seconds["ours"]), 2)
    return {
        "machine": machine(options.threads, options.clock),
        "cases": len(folders),
        "rounds": options.rounds,
        "versions": {
            name: version(name) for name in ("torchvision", *(["monai"] if "MONAI" not in skipped else []))
        },
        "jobs": {**content, **described_child},
        "first_slices": firsts,
        "same_slices": all(len(set(first.values())) == 1 for first in firsts),
        "skipped": {**skipped, **why},
    }


def described_job(job: Job, stages: Mapping[str, list[float]]) -> dict[str, Any]:
    ms = {stage: float(milliseconds(values)) for stage, values in stages.items()}
    return {"words": job.words, "pixels": job.pixels, "ms": ms}


def report(found: dict[str, Any]) -> str:
    rows = []
    for entry in found["jobs"].values():
        cells = [entry["ms"].get(stage, "") for stage in STAGES]
        rows.append((entry["words"], entry["pixels"], *cells, entry["total_ms"], f"{entry['times_ours']:.1f}"))
    slices = "All took the same slices" if found["same_slices"] else "Not all took the same slices"
    left_out = "".join(f" Left out: {name}, {why}." for name, why in found["skipped"].items())
    head = ("from four files to one probability", "pixels", "read ms", "prepare ms", "networks ms", "whole ms")
    return "\n".join(
        [
            f"Medians over {found['cases']} case(s) and {found['rounds']} rounds, all jobs in turn, "
            f"{3 * SLICE_COUNT} slices. {slices}; the peers' networks are untrained, as speed alone is "
            f"compared.{left_out} {described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.peers CASE_DIR ...`.",
            "",
            table((*head, "times ours"), rows),
        ]
    )


def main() -> None:
    found = parser(__doc__)
    found.add_argument("cases", nargs="*", type=Path)
    found.add_argument("--gandlf", type=Path, default=GANDLF_PYTHON, help="Python that has GaNDLF")
    options = found.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content = measure(options.cases or [sample(Path(folder))], options)
    write(options.output, "peers", content, report(content))


if __name__ == "__main__":
    main()
