"""What the benchmarks count and summarise, on numbers known beforehand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from Testing.benchmarks.inference import convolutions
from Testing.benchmarks.measure import REPOSITORY, in_turn, percentile, ratio, table
from Testing.benchmarks.training_speed import WINDOW, differences, smoothed


def test_the_multiply_adds_of_a_convolution():
    conv = nn.Conv2d(3, 8, 3, padding=1)
    found = convolutions(nn.Sequential(conv), torch.zeros(2, 3, 4, 4))
    assert [c["macs"] for c in found] == [2 * 8 * 16 * 27]
    # per axis 4 x 3 positions, of which the first and the last meet the padding
    assert [c["macs_inside"] for c in found] == [2 * 8 * 3 * 10 * 10]
    assert [c["bytes"] for c in found] == [4 * (2 * 3 * 16 + 8 * 27 + 2 * 8 * 16)]


def test_a_strided_convolution_without_padding_meets_none():
    found = convolutions(nn.Sequential(nn.Conv2d(1, 1, 3, stride=2)), torch.zeros(1, 1, 7, 7))
    assert found[0]["macs"] == found[0]["macs_inside"] == 9 * 9


def test_functions_are_timed_in_turn_after_one_round_of_warming_up():
    order: list[str] = []
    seconds = in_turn({name: lambda n=name: order.append(n) for name in "ab"}, rounds=2)
    assert "".join(order) == "ababab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(("share", "expected"), [(0.95, 19), (0.5, 10), (1.0, 20), (0.01, 1)])
def test_a_percentile_is_a_value_that_occurred(share, expected):
    assert percentile(range(20, 0, -1), share) == expected


def test_a_ratio_is_the_median_of_the_rounds():
    assert ratio([2, 30, 8], [1, 10, 2]) == 3


def test_a_table():
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n|---|---|\n| 1 | x |\n"


def test_naming_the_machine_imports_no_torch():
    """Imported into the process that has Qt, it ended it."""
    code = "import sys; from Testing.benchmarks.measure import machine; m = machine(2, 'wall'); "
    code += "print(m['torch'], m['threads'], 'torch' in sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", code], cwd=REPOSITORY, text=True).split()
    assert said[0].split("+")[0] == torch.__version__.split("+")[0] and said[1:] == ["2", "False"]


def test_losses_are_compared_as_running_means():
    losses = [float(n) for n in range(10)]
    assert smoothed(losses) == [n + (WINDOW - 1) / 2 for n in range(11 - WINDOW)]
    assert smoothed([2.0, 4.0]) == [3.0]
    assert differences([1.0, 2.0], [0.5, 4.0]) == [0.5, 2.0]


def test_every_case_of_the_table_is_a_whole_run(monkeypatch):
    from Testing.benchmarks import inference

    runs = []
    monkeypatch.setattr(inference, "fused", lambda *_: lambda: runs.append(1))
    monkeypatch.setattr(inference, "inputs", lambda pixels: (None, None))
    rows = inference.cases_in_a_row({}, 8, rounds=3, clock="wall")
    assert [row["cases"] for row in rows] == [1, 2, 4, 8] and len(runs) == 4 * (1 + 2 + 4 + 8)


def test_all_benchmarks_of_speed_are_run(tmp_path):
    from argparse import Namespace

    from Testing.benchmarks.__main__ import commands
    from Testing.evidence import SPEED

    options = Namespace(shared=tmp_path, data=tmp_path / "none.npz")
    elsewhere = {"batch", "training_speed"}  # its own command; needs data that is not there
    assert set(SPEED) - elsewhere <= set(commands(options))
