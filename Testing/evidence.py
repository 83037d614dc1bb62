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
DOCUMENTS = (REPOSITORY / "README.md", REPOSITORY / "Resources" / "ModelCard.md")
QUOTE = re.compile(r"(<!-- evidence: ([a-z-]+) -->\n)(.*?)(<!-- /evidence -->)", re.DOTALL)


def figures_of(protocol: str) -> dict[str, Any]:
    return json.loads((EVALUATION / protocol / "figures.json").read_text(encoding="utf-8"))


def patient_table() -> str:
    from GliomaGradingLib.training.evaluate import table

    return table(figures_of("patient"))


def paper_table() -> str:
    """The paper's figures beside ours under the same protocol, and ours by patient."""
    image, patient = figures_of("image"), figures_of("patient")
    lines = [
        "| AUC, accuracy | paper, by image | ours, by image (326 patients) | ours, by patient (156) |",
        "|---|---|---|---|",
    ]
    for ours, theirs in (("T1", "T1"), ("T2", "T2"), ("FLAIR", "FLAIR"), ("vote", "vote")):
        paper = image["paper"][theirs]
        cells = [f"{paper['auc']:.4f}, {paper['accuracy']:.4f}"]
        cells += [_auc_and_accuracy(figures["figures"], ours) for figures in (image, patient)]
        lines.append(f"| {ours} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _auc_and_accuracy(figures: dict[str, Any], name: str) -> str:
    """Of a sequence, or of the vote: the AUC of the mean probability, the accuracy of the majority."""
    by_score, by_call = ("soft", "majority") if name == "vote" else (name, name)
    return f"{figures[by_score]['auc']['value']:.4f}, {figures[by_call]['accuracy']['value']:.4f}"


def invariance_table() -> str:
    return (BENCHMARKS / "input_invariance.md").read_text(encoding="utf-8")


def decision_sentence() -> str:
    """How many patients got no decision, and how often the vote was right with and without one."""
    from GliomaGradingLib.bundle import open_bundle
    from GliomaGradingLib.training.evaluate import read_probabilities

    units, probabilities = read_probabilities(EVALUATION / "patient" / "probabilities.csv")
    rule, together = open_bundle().decisionRule(), probabilities[:, 3]
    vote = (probabilities[:, :3] >= 0.5).sum(axis=1) >= 2
    withheld = ((together > rule.low) & (together < rule.high)) | (vote != (together >= 0.5))
    right = vote == (units.grade == 1)
    inside, outside = 100 * right[withheld].mean(), 100 * right[~withheld].mean()
    return (
        f"The decision was withheld for {withheld.sum()} of {len(withheld)} patients, of whose votes "
        f"{inside:.0f} % were right; of the others' votes {outside:.0f} % were right.\n"
    )


QUOTES: dict[str, Callable[[], str]] = {
    "patient": patient_table,
    "decision": decision_sentence,
    "paper": paper_table,
    "invariance": invariance_table,
}


def with_quotes(text: str) -> str:
    """A document's text with everything it quotes made anew."""
    return QUOTE.sub(lambda found: found[1] + QUOTES[found[2]]() + found[4], text)


def main() -> None:
    for path in DOCUMENTS:
        path.write_text(with_quotes(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
