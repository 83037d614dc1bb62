"""Keeps README and model card equal to the evidence: ``python -m Testing.evidence`` rewrites what they quote.

A document quotes between ``<!-- evidence: NAME -->`` and ``<!-- /evidence -->``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))
EVALUATION = REPOSITORY / "Resources" / "Evaluation"
BENCHMARKS = REPOSITORY / "Resources" / "Benchmarks"
DOCUMENTS = tuple(REPOSITORY / name for name in ("README.md", "Resources/ModelCard.md", "Resources/Batch.md"))
QUOTE = re.compile(r"(<!-- evidence: ([a-z-]+) -->\n)(.*?)(<!-- /evidence -->)", re.DOTALL)


def figures_of(protocol: str) -> dict[str, Any]:
    return json.loads((EVALUATION / protocol / "figures.json").read_text(encoding="utf-8"))


def patient_table() -> str:
    from GliomaGradingLib.training.evaluate import table

    return table(figures_of("patient"))


def summary() -> str:
    """The figures that a reader takes away, of the vote that is shown where nothing else is asked for."""
    figures = figures_of("patient")
    vote, soft = figures["figures"]["majority"], figures["figures"]["soft"]
    of_100 = {name: round(100 * vote[name]["value"]) for name in ("accuracy", "sensitivity", "specificity")}
    low, high = (100 * vote["accuracy"][end] for end in ("low", "high"))
    return (
        "**In short:** of the patients whom its models had not seen the vote graded "
        f"{of_100['accuracy']} % rightly (95 % interval {low:.0f} to {high:.0f} %). It recognised "
        f"{of_100['sensitivity']} % of HGG and {of_100['specificity']} % of LGG. The AUC of the mean of the "
        "three probabilities is "
        f"{soft['auc']['value']:.3f}.\n"
    )


def optimism() -> str:
    """What the figures by patient leave out, on either side."""
    inside = json.loads((EVALUATION / "ablation.json").read_text(encoding="utf-8"))["chosen_inside"]
    learning = figures_of("learning")
    most = learning["studies"][-1]
    (usual,) = (study for study in learning["studies"] if study["folds"] == learning["compared_with"])
    return (
        "The recipe was chosen on these same patients, so that the figures are optimistic: where each fold "
        "takes the idea that is best on the other folds, the AUC of the soft vote is "
        f"{inside['auc']:.3f} ([ideas tried](Resources/ModelCard.md#ideas-tried)); some optimism stays in it, "
        "as the models that were scored on the other folds had learned from that fold. On the other side it is "
        f"{most['auc']['value']:.3f} where the models learn from {most['learned_from']} of the patients in "
        f"place of {usual['learned_from']} ([{most['folds']} folds]"
        "(Resources/ModelCard.md#more-patients-to-learn-from)); those that ship have learned from all "
        f"{learning['patients']}.\n"
    )


def ranking_rows() -> str:
    from GliomaGradingLib.training.evaluate import ranking_table

    return ranking_table(figures_of("patient"))


def calibration_table() -> str:
    """Slope, intercept, errors and AUGRC of every probability, by patient."""
    from GliomaGradingLib.training.evaluate import SCORED, cell

    figures = figures_of("patient")
    names = ("calibration_slope", "calibration_intercept", "brier")
    lines = [
        "| | slope | intercept | Brier score | calibration error | if perfect | AUGRC |",
        "|---" * 7 + "|",
    ]
    for row in SCORED:
        values, chance = figures["figures"][row], figures["calibration_error_by_chance"][row]
        cells = [cell(values[name]) for name in names]
        error = f"{values['calibration_error']['value']:.3f}"  # drawn patients would only make it larger
        cells += [error, f"{chance:.3f}", cell(values["augrc"])]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def delong_sentence() -> str:
    """The soft vote against the best single sequence."""
    found = figures_of("patient")["vote_against_best_sequence"]
    soft, together = found["soft"], found["together"]
    return (
        f"By DeLong's test the soft vote's AUC (mean probability) of {soft['first']:.3f} differs from the best "
        f"single sequence's ({found['sequence']}, {soft['second']:.3f}) by "
        f"{soft['first'] - soft['second']:+.3f} (z {soft['z']:.2f}, p {soft['p']:.3f}); "
        f"that of the three calibrated together ({together['first']:.3f}) by "
        f"{together['first'] - together['second']:+.3f} (z {together['z']:.2f}, p {together['p']:.3f}).\n"
    )


def paper_table() -> str:
    """The paper's figures beside ours under its protocol, by patient, and both with shuffled grades."""
    from GliomaGradingLib.training.protocols import protocol_table

    return protocol_table(figures_of("protocols"))


def leakage_sentence() -> str:
    return figures_of("protocols")["sentence"]


def baseline_rows() -> str:
    from GliomaGradingLib.training.baselines import baseline_table

    return baseline_table(figures_of("baselines"))


def external_rows() -> str:
    from GliomaGradingLib.training.external import external_table

    figures = figures_of("external")
    return f"{external_table(figures)}\n{figures['never_used_for_any_choice']}\n"


def recalibrated_rows() -> str:
    """What ``calibrate`` makes of collections with patients enough, each patient by a calibration on others."""
    import csv

    from GliomaGradingLib.networks.bundle import open_bundle
    from GliomaGradingLib.training import recalibration as ours
    from GliomaGradingLib.training.metrics import brier

    with (EVALUATION / "external" / "probabilities.csv").open(encoding="utf-8", newline="") as stream:
        rows = [{**row, "warnings": row["reasons"].replace(" ", "; ")} for row in csv.DictReader(stream)]
    rows = [row for row in rows if not ours.why_left_out(row)]
    collections = sorted({row["collection"] for row in rows})
    lines = [
        "| collection | HGG, LGG | share of HGG | mean probability before | after | Brier score before "
        "| after | of the share alone |",
        "|---" * 8 + "|",
    ]
    for name, members in (("all", collections), *((one, [one]) for one in collections)):
        kept = [(row, row["grade"], row["patient"]) for row in rows if row["collection"] in members]
        graded = ours.by_patient(kept, {})
        if min(graded.counts) < ours.FEWEST_OF_A_GRADE:
            continue
        after = ours.held_out(open_bundle().calibration().together, graded, has_slopes=False)[1][:, -1]
        share = graded.grades.mean()
        means = (share, graded.together.mean(), after.mean())
        errors = (*(brier(graded.grades, p) for p in (graded.together, after)), share * (1 - share))
        cells = [f"{value:.3f}" for value in (*means, *errors)]
        lines.append(f"| {name} | {', '.join(map(str, graded.counts))} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def subgroup_rows() -> str:
    from GliomaGradingLib.training.subgroups import subgroup_table

    return subgroup_table(figures_of("subgroups"))


def learning_rows() -> str:
    from GliomaGradingLib.training.learning import learning_table

    return learning_table(figures_of("learning"))


def learning_sentence() -> str:
    """What the study with the most patients to learn from says beside the usual one."""
    figures = figures_of("learning")
    (usual,) = (study for study in figures["studies"] if study["folds"] == figures["compared_with"])
    most = figures["studies"][-1]
    less = most["auc_less_the_compared"]
    return (
        f"In {most['folds']} folds, whose models have learned from {most['learned_from']} patients and not "
        f"from {usual['learned_from']}, the AUC of the soft vote is {most['auc']['value']:.3f}, and "
        f"{most['own_auc']['value']:.3f} from the networks' own probabilities, which is {less['value']:+.3f} "
        f"({less['low']:+.3f} to {less['high']:+.3f}) beside {usual['folds']} folds; the models that ship have "
        f"learned from all {figures['patients']}.\n"
    )


def ablation_rows() -> str:
    return (EVALUATION / "ablation.md").read_text(encoding="utf-8")


def benchmark(name: str) -> Callable[[], str]:
    """The table that a benchmark has left."""
    return lambda: (BENCHMARKS / f"{name}.md").read_text(encoding="utf-8")


def batch_rows() -> str:
    """The tables of the batches, one heading lower and with the plot's place as seen from Resources."""
    _title, text = benchmark("batch")().split("\n", 1)
    return text.replace("\n## ", "\n### ").replace("](batch.png)", "](Benchmarks/batch.png)").lstrip()


def decision_sentence() -> str:
    """How many patients got no decision, and how often the vote was right with and without one."""
    from GliomaGradingLib.networks.bundle import open_bundle
    from GliomaGradingLib.training.evidence import read_probabilities
    from GliomaGradingLib.training.selective import decision_figures

    units, probabilities = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    repeats = len(set(units.repeat))
    parts = [units.repeat == repeat for repeat in sorted(set(units.repeat))]
    rule = open_bundle().decisionRule()
    tables = [decision_figures(units.grade[part], probabilities[part], rule) for part in parts]
    mean = {name: 100 * sum(table[name] for table in tables) / repeats for name in tables[0]}
    patients = len(units.patient) / repeats
    over = f" (mean of {repeats} repeats)" if repeats > 1 else ""
    return (
        f"The decision was withheld for {patients * (1 - mean['coverage'] / 100):.0f} of {patients:.0f} "
        f"patients{over}. For these, the vote was right in {mean['accuracy_withheld']:.0f} %; for the patients "
        f"who got a decision, in {mean['accuracy_decided']:.0f} %.\n"
    )


def measured(name: str) -> dict[str, Any]:
    """A benchmark's figures; none where it has not been run yet."""
    path = BENCHMARKS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def speed_table() -> str:
    """What a user waits for, and how near it is to what the machine can do: a row for each target."""
    lines = ["| | measured | target | processor |", "|---|---|---|---|"]
    for name, rows in SPEED.items():
        if found := measured(name):
            where = _processor(found["machine"])
            lines += [
                f"| [{what}](Resources/Benchmarks/{name}.md) | {said} | {aim} | {where} |"
                for what, say, aim in rows
                if (said := _said(say, found))
            ]
    return "\n".join([*lines, "", "Measured on 2 cores without a GPU; wall time.", ""])


def _processor(machine: dict[str, Any] | str) -> str:
    """A benchmark's processor; the batch's table has a sentence in place of it."""
    return machine.rpartition(" of ")[2].partition(",")[0] if isinstance(machine, str) else machine["processor"]


def _said(say: Callable[[dict[str, Any]], str], found: dict[str, Any]) -> str:
    """A row's figure; '' where the benchmark was run before it took that figure."""
    try:
        return say(found)
    except KeyError:
        return ""


def _rate(batch: dict[str, Any], step: str) -> float:
    return float(batch["steps"][step]["cases_per_minute"])


Row = tuple[str, Callable[[dict[str, Any]], str], str]
SPEED: dict[str, list[Row]] = {
    "click_to_grade": [
        (
            "click to grade in the module, full resolution, 95 % of clicks",
            lambda f: f"{f['p95_seconds']:.2f} s",
            "1.0 s",
        ),
        (
            "the first click, half a second after entering the module",
            lambda f: f"{f['first_seconds']:.1f} s",
            "",
        ),
        (
            "Grad-CAM of all three sequences, after the grade, 95 % of clicks",
            lambda f: f"{f['maps_p95_seconds']:.2f} s",
            "1.0 s",
        ),
    ],
    "event_loop": [
        (
            "longest that the module kept Slicer's main thread",
            lambda f: f"{f['longest_ms']:.0f} ms",
            "under 100 ms",
        ),
    ],
    "inference": [
        ("60 slices through the three networks", lambda f: f"{f['ms']['fused']:.0f} ms", ""),
        (
            "time of the networks, as a multiple of the bare multiply-adds'",
            lambda f: f"{f['over_bound']:.2f} times",
            "at most 1.3",
        ),
        (
            "speed relative to torchvision's GoogLeNet at 224 x 224",
            lambda f: f"{f['faster_than_torchvision_224']:.0f} times",
            "at least 3",
        ),
    ],
    "preparation": [
        (
            "time to prepare the images, as a share of the networks'",
            lambda f: f"{f['prepare_over_networks_alone']:.2f}",
            "at most 0.5",
        ),
    ],
    "startup": [
        ("`import GliomaGradingLib`", lambda f: f"{f['seconds']['library']:.2f} s", "0.15 s"),
        ("`glioma-grading --help`", lambda f: f"{f['seconds']['help']:.2f} s", "0.3 s"),
    ],
    "memory": [
        (
            "memory of the grading process",
            lambda f: f"{f['mb'][-1]:.0f} MB after {f['gradings']:,} gradings",
            "",
        ),
        (
            "its growth over the second half of the gradings",
            lambda f: f"{f['mb_growth_second_half']:.1f} MB",
            "flat",
        ),
    ],
    "batch": [
        (
            "cases a minute in a batch of 1,000 small heads (2 mm), read from disk",
            lambda f: f"{_rate(f, 'batch'):.0f}",
            "",
        ),
        (
            "cases a minute in a batch of heads at 1 mm with skull",
            lambda f: f"{_rate(f, 'full_size'):.0f}",
            "",
        ),
        (
            "speed of a batch relative to calling `grade` for each case",
            lambda f: f"{_rate(f, 'batch') / _rate(f, 'naive_processes'):.0f} times",
            "",
        ),
    ],
    "training_speed": [
        (
            "speed of training relative to a plain PyTorch loop",
            lambda f: f"{f['faster_than_plain']:.1f} times",
            "at least 2",
        ),
    ],
}
"""By benchmark: what was measured, how to say it, and what was to be reached."""


QUOTES: dict[str, Callable[[], str]] = {
    "patient": patient_table,
    "summary": summary,
    "optimism": optimism,
    "ranking": ranking_rows,
    "calibration": calibration_table,
    "delong": delong_sentence,
    "decision": decision_sentence,
    "paper": paper_table,
    "leakage": leakage_sentence,
    "baselines": baseline_rows,
    "external": external_rows,
    "recalibrated": recalibrated_rows,
    "subgroups": subgroup_rows,
    "learning": learning_rows,
    "learning-sentence": learning_sentence,
    "ablation": ablation_rows,
    "invariance": benchmark("input_invariance"),
    "invariance-held-out": benchmark("input_invariance_held_out"),
    "unlike": benchmark("unlike_cases"),
    "saliency": benchmark("saliency_checks"),
    "click-to-grade": benchmark("click_to_grade"),
    "inference": benchmark("inference"),
    "batch": batch_rows,
    "speed": speed_table,
}


def with_quotes(text: str) -> str:
    """A document's text with everything it quotes made anew."""
    return QUOTE.sub(lambda found: found[1] + QUOTES[found[2]]() + found[4], text)


def main() -> None:
    for path in DOCUMENTS:
        path.write_text(with_quotes(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
