"""Fixtures of the module's tests: the module with a grading process that needs no torch, and small nodes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
MODULE_FILE = HERE.parents[1] / "GliomaGrading" / "GliomaGrading.py"
RESULT = "GliomaGrading.Result"


@pytest.fixture
def fake_worker(monkeypatch):
    """Every WorkerClient that the module makes runs the engine of ``fake_grading``."""
    from GliomaGradingLib.worker import client

    real = client.WorkerClient

    def fake(python=None, **options: Any):
        options["bundle"] = options["bundle"] if options.get("bundle") else "fake"
        is_batch = str(options.pop("engine", "")).endswith("CohortEngine")
        engine = "fake_grading:cohort_engine" if is_batch else "fake_grading:Engine"
        options["environment"] = {"PYTHONPATH": str(HERE)}
        return real(sys.executable, engine=engine, **options)

    monkeypatch.setattr(client, "WorkerClient", fake)


@pytest.fixture
def module(host, fake_worker):
    return host.load(MODULE_FILE, enter=True)


@dataclass
class Scene:
    """What tests do with nodes."""

    host: Any

    def volume(self, name, value=0.9, shape=(8, 10, 12), ijk_to_ras=None, kind="vtkMRMLScalarVolumeNode"):
        import slicer

        array = np.full(shape, value, np.float32 if kind == "vtkMRMLScalarVolumeNode" else np.uint8)
        return slicer.util.addVolumeFromArray(array, ijkToRAS=ijk_to_ras, name=name, nodeClassName=kind)

    def sequences(self, prefix="case", value=0.9, **options):
        return [self.volume(f"{prefix}_{name}", value, **options) for name in ("t1", "t2", "flair")]

    def labelmap(self, name="case_seg", box=(slice(2, 5), slice(3, 7), slice(4, 9)), like=None):
        import slicer

        node = self.volume(name, 0, kind="vtkMRMLLabelMapVolumeNode")
        slicer.util.arrayFromVolume(node)[box] = 1
        slicer.util.arrayFromVolumeModified(node)
        if like is not None:
            node.CopyOrientation(like)
        return node

    def segmentation(self, name="case_seg", segments=("tumour",), boxes=None, like=None):
        """Each segment a box; the node knows its labelmap geometry."""
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        boxes = boxes or [(slice(2 + i, 5 + i), slice(3, 7), slice(4, 9)) for i in range(len(segments))]
        for segment, box in zip(segments, boxes, strict=True):
            label = self.labelmap("label", box, like)
            slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, node)
            identifier = node.GetSegmentation().GetNthSegmentID(
                node.GetSegmentation().GetNumberOfSegments() - 1
            )
            node.GetSegmentation().GetSegment(identifier).SetName(segment)
            slicer.mrmlScene.RemoveNode(label)
        return node

    def case(self, prefix="case", value=0.9):
        return (*self.sequences(prefix, value), self.segmentation(f"{prefix}_seg"))

    def results(self):
        import slicer

        return [n for n in slicer.util.getNodesByClass("vtkMRMLTextNode") if n.GetAttribute(RESULT)]

    def ids(self):
        """Every node of the scene, to see what came and went."""
        import slicer

        return {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}


@pytest.fixture
def scene(host) -> Scene:
    return Scene(host)


@pytest.fixture
def grade(host, module):
    """Clicks Grade and waits for the end."""

    def click_and_wait():
        host.wait(lambda: module.ui.gradeButton.enabled, 10)
        module.ui.gradeButton.click()
        host.wait(lambda: module.widget.controller.run is None, 60)

    return click_and_wait
