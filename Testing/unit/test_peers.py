"""The benchmark beside other libraries: every job takes the same slices, and what is missing is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.benchmarks import gandlf_child, peers
from Testing.benchmarks.gandlf_child import GandlfChild

LARGEST = 17


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """24 x 24 x 30 voxels of 1 mm, the tumour largest on one plane."""
    folder = tmp_path / "small"
    folder.mkdir()
    values = np.random.default_rng(0).integers(100, 200, (30, 24, 24)).astype(np.int16)
    mask = np.zeros(values.shape, np.uint8)
    mask[12:20, 10:13, 10:13] = 1
    mask[LARGEST, 8:16, 8:16] = 1
    for name, array in (("t1", values), ("t2", values), ("flair", values), ("seg", mask)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"small_{name}.nii.gz"))
    return folder


@pytest.mark.parametrize(
    ("areas", "first", "count"),
    [([0] * 30 + [5] + [0] * 30, 20, 20), ([9] + [1] * 40, 0, 20), ([1] * 40 + [9], 21, 20), ([1, 2, 3], 0, 3)],
)
def test_the_slices_lie_around_the_largest_area_and_within_the_volume(areas, first, count):
    chosen = peers.usual_slices(np.array(areas))
    assert (chosen[0], len(chosen)) == (first, count)
    assert (np.diff(chosen) == 1).all()


@pytest.mark.parametrize("make", [peers.plain, peers.monai])
def test_a_peer_does_the_whole_job(make, case):
    if make is peers.monai:
        pytest.importorskip("monai")
    run = peers.Run(make(32), case, "wall")
    run()
    assert run.first == LARGEST - 10
    assert 0 < run.probability < 1
    assert {stage: len(seconds) for stage, seconds in run.seconds.items()} == dict.fromkeys(peers.STAGES, 1)


def test_a_job_takes_its_stages_one_after_another():
    job = peers.Job(
        words="",
        pixels=1,
        read=lambda path: [path.name],
        prepare=lambda found: peers.Slices(3, [*found, "slices"]),
        infer=lambda slices: len(slices.images) / 4,
    )
    run = peers.Run(job, Path("case"), "wall")
    run()
    assert (run.first, run.probability) == (3, 0.5)


ENTRY = {"words": "ours", "pixels": 64, "ms": dict(zip(peers.STAGES, (1.0, 2.0, 3.0), strict=True))}


def test_the_table_says_what_was_left_out_and_whose_slices_differ():
    found = {
        "jobs": {
            "ours": {**ENTRY, "total_ms": 6.0, "times_ours": 1.0},
            "gandlf": {"words": "GaNDLF", "pixels": 64, "ms": {}, "total_ms": 60.0, "times_ours": 10.04},
        },
        "cases": 1,
        "rounds": 2,
        "same_slices": False,
        "skipped": {"MONAI": "not installed"},
        "machine": {"processor": "P", "threads": 1, "torch": "2", "python": "3", "clock": "wall"},
    }
    text = peers.report(found)
    assert "Left out: MONAI, not installed." in text
    assert "Not all took the same slices" in text
    assert "| ours | 64 | 1.0 | 2.0 | 3.0 | 6.0 | 1.0 |" in text
    assert "| GaNDLF | 64 |  |  |  | 60.0 | 10.0 |" in text


ANSWERING = """
import json, sys
print(json.dumps({"gandlf": "0", "architecture": "net", "pixels": int(sys.argv[1])}), flush=True)
print("x" * 200_000, file=sys.stderr, flush=True)
for line in sys.stdin:
    print(json.dumps({"probability": len(json.loads(line)) / 8}), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a script in the place of ``gandlf_peer.py``."""

    def put(text: str) -> GandlfChild:
        script = tmp_path / "peer.py"
        script.write_text(text)
        monkeypatch.setattr(gandlf_child, "PEER", script)
        return GandlfChild(Path(sys.executable), 1, 64)

    return put


def test_the_child_answers_every_case_and_ends(stand_in):
    child = stand_in(ANSWERING)
    child.start()
    with child:
        assert [child.grade({"T1": "a"}), child.grade({"T1": "a", "T2": "b"})] == [1 / 8, 2 / 8]
        assert child.described()["words"] == "GaNDLF 0's inference, net"
    assert child._process.returncode == 0


def test_a_child_that_cannot_start_says_why(stand_in):
    with pytest.raises(RuntimeError, match="No module named 'there_is_no'"):
        stand_in("import there_is_no").start()


def test_a_peer_that_does_not_start_is_left_out(stand_in, tmp_path):
    stand_in("raise SystemExit('no GaNDLF here')")
    options = type("Options", (), {"gandlf": Path(sys.executable), "threads": 1, "clock": "wall"})
    with peers.gandlf(options, 64) as (child, why):
        assert (child, why) == (None, {"GaNDLF": "no GaNDLF here"})


def test_a_result_can_be_written_as_json():
    assert json.dumps(peers.described_job(peers.Job("w", 8, print, print, print), {"read": [0.001]})) == (
        '{"words": "w", "pixels": 8, "ms": {"read": 1.0}}'
    )
