"""How fast the three networks are, beside the multiply-adds that they need and beside torchvision's network.

python -m Testing.benchmarks.inference [--threads N] [--rounds N] [--output DIR]

Everything is timed in turn within one process. The bound is the time that this machine's best float32 matrix
product of several sizes needs for the multiply-adds of the same convolutions, counted as is usual: with those
of zeros of the padding (which a good convolution leaves out), without the banded sums of the local response
normalisation. MONAI's DenseNet121 is timed too where MONAI is installed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from .measure import described, in_turn, machine, parser, ratio, table, use_repository, write

use_repository()

import torch  # noqa: E402
from GliomaGradingLib.networks.bundle import open_bundle  # noqa: E402
from GliomaGradingLib.networks.convolutions import ReluConvolution  # noqa: E402
from GliomaGradingLib.networks.inference import FusedModel  # noqa: E402
from GliomaGradingLib.networks.network import TransferModel  # noqa: E402
from GliomaGradingLib.networks.readers import Readers  # noqa: E402
from GliomaGradingLib.words import SEQUENCES, SLICE_COUNT  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torchvision.models import googlenet  # noqa: E402

PRODUCTS = (256, 512, 768, 1024, 1536)
USUAL_PIXELS = 224
CASES = (1, 2, 4, 8)


def convolutions(model: nn.Module, *inputs: Tensor) -> list[dict[str, int]]:
    """Multiply-adds and float32 bytes (input, weights, output) of every convolution of a run."""
    found = []

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        conv = module if isinstance(module, nn.Conv2d) else module.conv
        macs = output.numel() * conv.weight[0].numel()
        size = 4 * (given[0].numel() + conv.weight.numel() + output.numel())
        inside = _inside(given[0], conv, output)
        found.append({"macs": macs, "bytes": size, "macs_inside": round(macs * inside)})

    blocks = [m for m in model.modules() if isinstance(getattr(m, "conv", None), nn.Conv2d)]
    within = {block.conv for block in blocks}  # a block may compute with its convolution's weights alone
    alone = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m not in within]
    hooks = [module.register_forward_hook(note) for module in (*blocks, *alone)]
    with torch.inference_mode():
        model(*inputs)
    for hook in hooks:
        hook.remove()
    return found


def _inside(given: Tensor, module: nn.Conv2d, output: Tensor) -> float:
    """Share of a convolution's multiply-adds that do not meet the padding."""
    share = 1.0
    for axis in range(2):
        kernel, stride = module.kernel_size[axis], module.stride[axis]
        first = torch.arange(output.shape[2 + axis])[:, None] * stride - int(module.padding[axis])
        position = first + torch.arange(kernel)
        share *= float(((position >= 0) & (position < given.shape[2 + axis])).float().mean())
    return share


def monai_classifier() -> nn.Module | None:
    """The classifier of MONAI's tutorials; None where MONAI is not installed."""
    try:
        from monai.networks.nets import DenseNet121
    except ImportError:
        return None
    return DenseNet121(spatial_dims=2, in_channels=3, out_channels=2).eval()


def products() -> dict[str, Callable[[], object]]:
    pairs = {n: (torch.randn(n, n), torch.randn(n, n)) for n in PRODUCTS}
    return {f"product {n}": lambda a=a, b=b: torch.mm(a, b) for n, (a, b) in pairs.items()}


def inputs(pixels: int, count: int = SLICE_COUNT) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = 60 * torch.randn(count, 3, pixels, pixels, generator=generator)
    tumour = (torch.rand(count, pixels, pixels, generator=generator) > 0.7).float()
    return images, tumour


def eagerly(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """What a user would write: one sequence after another through torchvision's network."""

    def run() -> None:
        with torch.inference_mode():
            for _ in SEQUENCES:
                network(images)

    return run


def plainly(models: dict[str, TransferModel], images: Tensor, tumour: Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            for model in models.values():
                model(images, tumour)

    return run


def fused(models: dict[str, FusedModel], images: Tensor, tumour: Tensor) -> Callable[[], None]:
    """As a grading does it."""
    readers = Readers(models)
    given = dict.fromkeys(models, lambda: (images, tumour))

    def judge(sequence: str, pooled: Tensor) -> Tensor:
        return models[sequence].output(pooled)

    def run() -> None:
        for _ in readers.judged(given, judge):
            pass

    return run


def largest_difference(
    plain: dict[str, TransferModel], quick: dict[str, FusedModel], images: Tensor, tumour: Tensor
) -> float:
    """Of the probabilities of the slices of the three sequences."""
    with torch.inference_mode():
        pairs = [(plain[s](images, tumour), quick[s](images, tumour)) for s in SEQUENCES]
        return max(float((torch.sigmoid(a) - torch.sigmoid(b)).abs().max()) for a, b in pairs)


def scaling(models: dict[str, FusedModel], pixels: int, rounds: int, clock: str, most: int) -> list[dict]:
    """Seconds of the three networks by slices and threads."""
    rows = []
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        for count in (5, 10, SLICE_COUNT, 2 * SLICE_COUNT, 4 * SLICE_COUNT):
            seconds = in_turn({"run": fused(models, *inputs(pixels, count))}, max(3, rounds // 3), clock)["run"]
            median = statistics.median(seconds)
            rows.append({"threads": threads, "slices": 3 * count, "ms": round(1000 * median, 1)})
            rows[-1]["ms_per_slice"] = round(1000 * median / (3 * count), 2)
    torch.set_num_threads(most)
    return rows


def cases_in_a_row(
    models: dict[str, FusedModel], pixels: int, rounds: int, clock: str
) -> list[dict[str, float]]:
    """Seconds of the three networks for several cases, one after another, as a batch grades them."""
    run = fused(models, *inputs(pixels))

    def several(count: int) -> Callable[[], None]:
        def repeat() -> None:
            for _ in range(count):
                run()

        return repeat

    seconds = in_turn({str(n): several(n) for n in CASES}, max(3, rounds // 3), clock)
    medians = {int(name): 1000 * statistics.median(values) for name, values in seconds.items()}
    return [{"cases": n, "ms": round(ms, 1), "ms_per_case": round(ms / n, 1)} for n, ms in medians.items()]


def layers(
    model: FusedModel, images: Tensor, tumour: Tensor, rounds: int, clock: str
) -> list[dict[str, float]]:
    """Rate and intensity of every convolution of a fused model, by itself."""
    seen: list[tuple[ReluConvolution, Tensor, Tensor]] = []

    def note(module: ReluConvolution, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((module, given[0], output))

    found = [m for m in model.modules() if isinstance(m, ReluConvolution)]
    hooks = [m.register_forward_hook(note) for m in found]
    model(images, tumour)
    for hook in hooks:
        hook.remove()
    rows = []
    with torch.inference_mode():
        for module, given, output in seen:
            seconds = in_turn({"run": lambda m=module, x=given: m(x)}, rounds, clock)["run"]
            macs = output.numel() * module.kernel_elements
            size = 4 * (given.numel() + output.numel() + module.kernel_elements * output.shape[1])
            rows.append({"macs": macs, "bytes": size, "seconds": statistics.median(seconds)})
    return rows


def bandwidth(rounds: int, clock: str) -> float:
    """Bytes a second of copying what fits in no cache."""
    source = torch.rand(1 << 25)
    target = torch.empty_like(source)
    seconds = in_turn({"copy": lambda: target.copy_(source)}, rounds, clock)["copy"]
    return 2 * 4 * source.numel() / statistics.median(seconds)


def draw(path: Any, rows: list[dict[str, float]], rate: float, bytes_a_second: float, whole: dict) -> None:
    """The roofline: what each convolution reaches below what products and memory allow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", yscale="log")
    intensity = [row["macs"] / row["bytes"] for row in rows]
    ends = [min(*intensity, 1.0) / 1.5, max(intensity) * 1.5]
    points = sorted([*ends, rate / bytes_a_second])
    roof = [min(rate, bytes_a_second * x) / 1e9 for x in points]
    axes.plot(points, roof, color="black", label=f"one thread: best product {rate / 1e9:.0f} G/s, memory")
    share = [row["macs"] for row in rows]
    axes.scatter(
        intensity,
        [row["macs"] / row["seconds"] / 1e9 for row in rows],
        s=[6 + 250 * macs / sum(share) for macs in share],
        alpha=0.6,
        label="a convolution (area: its multiply-adds, those of padding too)",
    )
    axes.axhline(whole["macs"] / whole["seconds"] / 1e9, ls="--", color="tab:red", label="one network whole")
    axes.set_xlabel("multiply-adds per byte (input, weights, output)")
    axes.set_ylabel("10^9 multiply-adds per second")
    figure.legend(loc="outside lower center", fontsize=8)
    figure.savefig(path, dpi=120)


def roofline(options: Any, model: FusedModel, given: tuple[Tensor, Tensor], macs: int) -> None:
    """Drawn of one sequence on one thread, which is how the networks are run."""
    torch.set_num_threads(1)
    seconds = in_turn({"whole": lambda: model(*given), **products()}, options.rounds, options.clock)
    rate = max(n**3 / min(seconds[f"product {n}"]) for n in PRODUCTS)
    rounds = max(3, options.rounds // 2)
    rows = layers(model, *given, rounds, options.clock)
    whole_run = {"macs": macs, "seconds": statistics.median(seconds["whole"])}
    draw(options.output / "roofline.png", rows, rate, bandwidth(rounds, options.clock), whole_run)
    torch.set_num_threads(options.threads)


def measure(options: Any) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    bundle = open_bundle()
    pixels = bundle.imageForm().pixels
    plain = {s: m.to(memory_format=torch.channels_last) for s, m in bundle.models().items()}
    quick = {s: FusedModel(m, pixels) for s, m in plain.items()}
    usual = googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    given = inputs(pixels)
    counted = convolutions(plain["T1"], *given)
    macs = 3 * sum(c["macs"] for c in counted)
    macs_inside = 3 * sum(c["macs_inside"] for c in counted)
    functions = {
        "fused": fused(quick, *given),
        "plain": plainly(plain, *given),
        "torchvision": eagerly(usual, given[0]),
        **products(),
    }
    if other := monai_classifier():
        functions["monai"] = eagerly(other, given[0])
    seconds = in_turn(functions, options.rounds, options.clock)
    usual_images = inputs(USUAL_PIXELS)[0]
    large = in_turn(
        {"fused": functions["fused"], "torchvision": eagerly(usual, usual_images)},
        max(2, options.rounds // 4),
        options.clock,
    )
    rates = {n: n**3 / min(seconds[f"product {n}"]) for n in PRODUCTS}
    rate = max(rates.values())
    # against the best product within each round, then the median: both see the same machine
    best = [min(seconds[f"product {n}"][i] / n**3 for n in PRODUCTS) * macs for i in range(options.rounds)]
    options.output.mkdir(parents=True, exist_ok=True)
    roofline(options, quick["T1"], given, macs // len(SEQUENCES))
    usual_macs = 3 * sum(c["macs"] for c in convolutions(usual, given[0]))
    return {
        "machine": machine(options.threads, options.clock),
        "pixels": pixels,
        "slices": 3 * SLICE_COUNT,
        "multiply_adds": macs,
        "multiply_adds_without_padding": macs_inside,
        "multiply_adds_torchvision": usual_macs,
        "ms": {name: round(1000 * statistics.median(v), 2) for name, v in seconds.items()},
        "ms_torchvision_224": round(1000 * statistics.median(large["torchvision"]), 1),
        "product_gmacs": {str(n): round(value / 1e9, 1) for n, value in rates.items()},
        "over_bound": round(ratio(seconds["fused"], best), 3),
        "over_bound_best_of_each": round(min(seconds["fused"]) / (macs / rate), 3),
        "over_bound_without_padding": round(ratio(seconds["fused"], best) * macs / macs_inside, 3),
        "faster_than_plain": round(ratio(seconds["plain"], seconds["fused"]), 2),
        "faster_than_torchvision_same_pixels": round(ratio(seconds["torchvision"], seconds["fused"]), 2),
        "faster_than_torchvision_224": round(ratio(large["torchvision"], large["fused"]), 1),
        "largest_difference_of_probabilities": largest_difference(plain, quick, *given),
        "scaling": scaling(quick, pixels, options.rounds, options.clock, options.threads),
        "scaling_cases": cases_in_a_row(quick, pixels, options.rounds, options.clock),
    }


def report(found: dict[str, Any]) -> str:
    ms, pixels = found["ms"], found["pixels"]
    rows = [
        (
            f"time over the bound of {found['multiply_adds'] / 1e9:.2f} G multiply-adds",
            f"{found['over_bound']:.2f}",
            "at most 1.3",
        ),
        (
            f"the same, without the padding's: {found['multiply_adds_without_padding'] / 1e9:.2f} G",
            f"{found['over_bound_without_padding']:.2f}",
            "",
        ),
        (
            f"as fast as torchvision's GoogLeNet at {USUAL_PIXELS} x {USUAL_PIXELS}",
            f"{found['faster_than_torchvision_224']:.1f} times",
            "at least 3",
        ),
        (
            f"as fast as torchvision's GoogLeNet at {pixels} x {pixels}",
            f"{found['faster_than_torchvision_same_pixels']:.2f} times",
            "",
        ),
        *(
            [
                (
                    f"as fast as MONAI's DenseNet121 at {pixels} x {pixels}",
                    f"{ms['monai'] / ms['fused']:.2f} times",
                    "",
                )
            ]
            if "monai" in ms
            else []
        ),
        ("as fast as the plain transfer models", f"{found['faster_than_plain']:.2f} times", ""),
        (
            "largest difference of a slice's probability from the plain models'",
            f"{found['largest_difference_of_probabilities']:.1e}",
            "at most 1e-4",
        ),
    ]
    case_rows = [(r["cases"], r["ms"], r["ms_per_case"]) for r in found["scaling_cases"]]
    scaling_rows = [(r["threads"], r["slices"], r["ms"], r["ms_per_slice"]) for r in found["scaling"]]
    return "\n".join(
        [
            f"The three networks over {found['slices']} slices of {pixels} x {pixels}: {ms['fused']:.0f} ms "
            f"(plain models {ms['plain']:.0f}, torchvision's {ms['torchvision']:.0f} at the same size and "
            f"{found['ms_torchvision_224']:.0f} at {USUAL_PIXELS}). {described(found['machine'])}",
            "Command: `python -m Testing.benchmarks.inference`. Convolutions are counted as direct ones: in "
            "the roofline (roofline.png) those by Winograd or over whole planes, which need less than half the "
            "products, may lie above the roof.",
            "",
            table(("networks", "measured", "target"), rows),
            "What follows is measured after that, one kind after the other and in a third of the rounds: where "
            "the machine's speed changes, the same 60 slices take another time there.",
            "",
            table(("threads", "slices (three sequences)", "ms", "ms per slice"), scaling_rows),
            table(("cases, one after another", "ms", "ms per case"), case_rows),
        ]
    )


def main() -> None:
    options = parser(__doc__).parse_args()
    found = measure(options)
    write(options.output, "inference", found, report(found))


if __name__ == "__main__":
    main()
