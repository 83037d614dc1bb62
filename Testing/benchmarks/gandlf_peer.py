"""Grades cases with GaNDLF's inference, one a line of its input; for a Python that has GaNDLF.

    PYTHON gandlf_peer.py PIXELS

A line is an object of paths (T1, T2, FLAIR, mask); the answer is a line with the probability. Each sequence has
a network of its own (densenet121, untrained) and 20 patches of one slice around the tumour: GaNDLF's way to
classify by a mask, which draws them at random and calls the network on one after another. As at its command
line, the network is loaded anew for every run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

SEQUENCES = ("T1", "T2", "FLAIR")
ARCHITECTURE = "densenet121"
PATCHES = 20

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the pipeline prints is no answer

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from GANDLF.config_manager import ConfigManager  # noqa: E402
from GANDLF.inference_manager import InferenceManager  # noqa: E402
from GANDLF.models import get_model  # noqa: E402
from GANDLF.utils import populate_header_in_parameters  # noqa: E402
from GANDLF.version import __version__  # noqa: E402

HEADERS = {"subjectIDHeader": 0, "channelHeaders": [1], "labelHeader": 2, "predictionHeaders": [3]}


def configuration(pixels: int) -> dict[str, Any]:
    return {
        "version": {"minimum": __version__, "maximum": __version__},
        "modality": "rad",
        "problem_type": "classification",
        "patch_size": [pixels, pixels, 1],
        "model": {
            "architecture": ARCHITECTURE,
            "dimension": 2,
            "class_list": [0, 1],
            "num_channels": 1,
            "final_layer": "softmax",
            "norm_type": "batch",
            "amp": False,
            "print_summary": False,
        },
        "loss_function": "cel",
        "metrics": ["accuracy"],
        "nested_training": {"testing": 1, "validation": 1},
        "patch_sampler": {"type": "label", "enable_padding": False},
        "q_samples_per_volume": PATCHES,
        "q_num_workers": 0,
        "num_workers_dataloader": 0,
        "prefetch_factor_dataloader": None,
        "data_preprocessing": {"resample": {"resolution": [1.0, 1.0, 1.0]}, "normalize_nonZero": None},
        "batch_size": 1,
        "num_epochs": 1,
        "accelerator": "cpu",
        "devices": 1,
    }


class Pipeline:
    """GaNDLF's inference of the three sequences' networks, saved once."""

    def __init__(self, folder: Path, pixels: int) -> None:
        self.folder, self.pixels = folder, pixels
        torch.manual_seed(0)
        for name in SEQUENCES:
            self._save_model(folder / name)

    def _save_model(self, folder: Path) -> None:
        parameters = populate_header_in_parameters(ConfigManager(configuration(self.pixels)), HEADERS)
        folder.mkdir()
        content = {
            "epoch": 0,
            "model_state_dict": get_model(parameters).state_dict(),
            "optimizer_state_dict": {},
            "loss": 1.0,
            **dict.fromkeys(("timestamp", "timestamp_hash", "git_hash"), ""),
            "version": __version__,
        }
        torch.save(content, folder / f"{ARCHITECTURE}_best.pth.tar")

    def grade(self, paths: dict[str, str]) -> float:
        found = [self._grade_sequence(name, paths[name], paths["mask"]) for name in SEQUENCES]
        return sum(found) / len(found)

    def _grade_sequence(self, name: str, image: str, mask: str) -> float:
        parameters = populate_header_in_parameters(ConfigManager(configuration(self.pixels)), HEADERS)
        table = pd.DataFrame([["case", image, mask, 1]])
        with tempfile.TemporaryDirectory(dir=self.folder) as output:
            InferenceManager(table, str(self.folder / name), parameters, output)
            written = pd.read_csv(Path(output) / "final_preds_and_avg_probs.csv")
        return float(written["1"].iloc[0])


def answer(**content: Any) -> None:
    print(json.dumps(content), file=answers, flush=True)


def main() -> None:
    pixels = int(sys.argv[1])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder), pixels)
        answer(gandlf=__version__, torch=str(torch.__version__), architecture=ARCHITECTURE, pixels=pixels)
        for line in sys.stdin:
            answer(probability=pipeline.grade(json.loads(line)))


if __name__ == "__main__":
    main()
