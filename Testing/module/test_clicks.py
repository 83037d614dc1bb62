"""Random clicks with the real networks: whatever is clicked, the panel fits together and leads on."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs signals and /proc")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [3])
def test_random_clicks_leave_nothing_and_lead_on(host, tmp_path, seed):
    """Steps and checks: ``Testing.robustness.clicks``, where a longer run is started too."""
    from Testing.robustness.clicks import clicks

    before = tempfile.tempdir
    report = clicks(host, tmp_path, steps=18, seed=seed)
    assert sum(report.steps.values()) == 18 and len(report.steps) >= 8
    assert report.gradings >= 3 and report.most_children == 1
    assert (report.left_children, report.left_files, report.left_nodes) == (0, 0, 0)
    assert tempfile.tempdir == before


def test_a_panel_that_does_not_fit_together_is_noticed(host, tmp_path):
    """The checks see a button that is wrong, a node that nobody owns, and a result that is not the case's."""
    import slicer
    from grading_module import MODULE_FILE

    from Testing.robustness.clicks import Clicker
    from Testing.robustness.processes import children

    others = children()
    module = host.load(MODULE_FILE, enter=True)
    clicker = Clicker(host, module, Path(tmp_path), 1, others)
    clicker.step("nothing", lambda: None)
    with pytest.raises(AssertionError, match=r"seed 1, step break: Grade"):
        clicker.step("break", lambda: setattr(module.ui.gradeButton, "enabled", True))
    clicker.controller.refresh()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "stray")
    with pytest.raises(AssertionError, match=r"leaked: .*stray"):
        clicker.check()
    slicer.mrmlScene.RemoveNode(node)
    with pytest.raises(AssertionError, match="nodes after closing"):
        clicker.empty -= 1
        clicker.close_scene()
