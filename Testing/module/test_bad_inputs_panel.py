"""Bad nodes in the panel: a message that says what to do, no node left, and the next grading works.

The grading process checks the case as the product does, without torch (``checking_engine``).
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from grading_module import HERE, MODULE_FILE

sys.path.insert(0, str(HERE.parents[1]))

from Testing.unit.small_head import ORIGIN, SPACING, arrays

NAMES = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}


@pytest.fixture
def checking_worker(monkeypatch):
    """As ``fake_worker``, with an engine that reads and checks the case."""
    from GliomaGradingLib.worker import client

    real = client.WorkerClient
    folders = f"{HERE}:{HERE.parents[1]}"

    def checking(python=None, **options):
        options["bundle"] = options["bundle"] if options.get("bundle") else "fake"
        return real(
            sys.executable, environment={"PYTHONPATH": folders}, engine="checking_engine:Engine", **options
        )

    monkeypatch.setattr(client, "WorkerClient", checking)


def head(changes, moved=None):
    """The small head's four nodes in the scene, some with other voxels, one somewhere else."""
    import slicer
    import vtk

    nodes = []
    for role, name in NAMES.items():
        array = changes.get(role, arrays()[role])
        kind = "vtkMRMLLabelMapVolumeNode" if role == "mask" else "vtkMRMLScalarVolumeNode"
        matrix = vtk.vtkMatrix4x4()
        offset = 900.0 if role == moved else 0.0
        for axis, sign in enumerate((-1, -1, 1)):  # LPS to RAS
            matrix.SetElement(axis, axis, sign * SPACING[axis])
            matrix.SetElement(axis, 3, sign * ORIGIN[axis] + offset)
        nodes.append(
            slicer.util.addVolumeFromArray(
                np.ascontiguousarray(array), ijkToRAS=matrix, name=f"head_{name}", nodeClassName=kind
            )
        )
    return nodes


def changed(role, edit):
    array = arrays()[role].astype(np.float32)
    return {role: edit(array)}


def with_share(value, share):
    def edit(array):
        array.reshape(-1)[: int(array.size * share)] = value
        return array

    return edit


WRONG = {
    "empty mask": ({"mask": np.zeros_like(arrays()["mask"])}, None, "mask|tumour"),
    "everything in the mask": ({"mask": np.ones_like(arrays()["mask"])}, None, "more than any tumour"),
    "NaN": (changed("FLAIR", with_share(np.nan, 0.2)), None, "NaN or infinite"),
    "infinite": (changed("T2", with_share(np.inf, 0.2)), None, "NaN or infinite"),
    "constant": ({"T1": np.full_like(arrays()["T1"], 7)}, None, "constant"),
    "a label map for an image": ({"FLAIR": arrays()["mask"].astype(np.int16)}, None, "label map|constant"),
    "the same image twice": ({"T2": arrays()["T1"]}, None, "same image"),
    "mask of somebody else": ({}, "mask", "overlap"),
    "an image of somebody else": ({}, "T2", "overlap"),
    "too thin": (
        {name: arrays()[name][38:42] for name in NAMES},
        None,
        "axial slices of 1 mm, and 20 are needed",
    ),
    "values without end": (changed("T2", lambda a: a.astype(np.float64) * 1e300), None, "values up to"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_nodes_get_a_message_and_leave_nothing(host, checking_worker, scene, name):
    import slicer
    from GliomaGradingLib.errors import CaseError

    changes, moved, words = WRONG[name]
    module = host.load(MODULE_FILE, enter=True)
    nodes = head(changes, moved)
    before = scene.ids()
    with pytest.raises(CaseError, match=words) as caught:
        module.logic.process(*nodes)
    assert caught.value.remedy and "\n" not in str(caught.value)
    assert scene.ids() == before and not scene.results()
    for node in nodes:
        slicer.mrmlScene.RemoveNode(node)
    assert module.logic.process(*head({})).grade in ("LGG", "HGG")
