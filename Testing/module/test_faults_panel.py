"""Accidents while the panel or a script grades: the worker is killed, the scene is closed, clocks jump."""

from __future__ import annotations

import os
import signal
import sys
import time
import types

import pytest
from fault_grading import THOUGHTFUL
from grading_module import HERE, MODULE_FILE

from Testing.robustness.processes import children

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs signals and /proc")


@pytest.fixture
def slow_worker(monkeypatch):
    """As ``fake_worker``, with a bundle that is slow to load."""
    from GliomaGradingLib.worker import client

    real = client.WorkerClient

    def fake(python=None, **options):
        options["bundle"] = options["bundle"] if options.get("bundle") else "fake"
        return real(
            sys.executable, environment={"PYTHONPATH": str(HERE)}, engine="fault_grading:Engine", **options
        )

    monkeypatch.setattr(client, "WorkerClient", fake)


@pytest.fixture
def module(host, slow_worker):
    before = set(children())
    yield host.load(MODULE_FILE, enter=True)
    host.reset()
    host.wait(lambda: set(children()) == before, 30)


def kill(host, module, condition):
    """Kills the worker the moment that the condition holds; gives its process id."""
    host.wait(condition, 20)
    pid = module.widget.controller._client.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def message(module):
    return module.ui.messageLabel.text.replace("\u200b", "")


def settled(host, module):
    controller = module.widget.controller
    host.wait(lambda: controller.run is None and controller.viewer.run is None, 30)


# Killed, panel


@pytest.mark.parametrize("stage", ["starting", "loading", "idle", "images", "alignment", "slices"])
def test_killed_while_the_panel_grades(host, slow_worker, scene, stage):
    module = host.load(MODULE_FILE)
    module.panel.enter()
    module.widget.controller.parameters.bundle = "slow" if stage == "loading" else ""
    nodes = scene.case("pause" if stage == "slices" else "case")
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    before = scene.ids()
    controller, ui = module.widget.controller, module.ui
    if stage not in ("starting", "loading"):
        host.wait(lambda: controller._client.isReady, 30)
    if stage == "starting":
        controller._client.stop()  # the one that was started on entering may be past it by now
    if stage in ("images", "alignment"):
        os.kill(controller._client.pid, signal.SIGSTOP)  # or it may have answered before anybody looks
    if stage != "idle":
        ui.gradeButton.click()
    conditions = {
        "starting": lambda: controller._client.state == "starting",
        "loading": lambda: controller._client.state == "loading",
        "idle": lambda: True,
        "images": lambda: controller.run.job is None,
        "alignment": lambda: controller.run.job is not None,
        "slices": lambda: "Choosing" in ui.statusLabel.text,
    }
    killed = kill(host, module, conditions[stage])
    if stage == "idle":
        host.pump(0.6)  # the panel polls a few times a second
    settled(host, module)
    if stage == "idle":
        ui.gradeButton.click()
        settled(host, module)
        assert message(module) == "" and len(scene.results()) == 1
        return
    if stage == "alignment" or message(module):  # else another worker was there in time, or the answer was
        assert message(module).startswith("✖ The grading process ended unexpectedly while")
        assert scene.ids() == before and scene.results() == []
    assert ui.gradeButton.enabled and not ui.cancelButton.enabled and ui.progressBar.isHidden()
    for node, name in zip(nodes, ("t1", "t2", "flair", "seg"), strict=True):
        node.SetName(f"case_{name}")
    controller.parameters.bundle = ""
    ui.gradeButton.click()
    settled(host, module)
    assert message(module) == "" and len(scene.results()) == 1
    assert controller._client.pid != killed and "Z" not in children().values()


@pytest.mark.parametrize("kept", [True, False], ids=["kept slices", "images"])
def test_killed_while_the_panel_explains(host, module, scene, grade, kept):
    """Where the slices were kept the images are sent to the next process, and the user sees but the map."""
    scene.case(value=THOUGHTFUL)
    grade()
    before, controller, ui = scene.ids(), module.widget.controller, module.ui
    if not kept:
        controller._graded = None
    ui.mapCheckBox.checked = True
    killed = kill(host, module, lambda: "Mapping the evidence" in ui.mapLabel.text)
    settled(host, module)
    if not kept:
        assert not ui.mapCheckBox.checked and scene.ids() == before
        assert "ended unexpectedly while explaining" in ui.mapLabel.text.replace("\u200b", "")
        ui.mapCheckBox.checked = True
        settled(host, module)
    assert module.logic.published.hasMaps and ui.mapCheckBox.checked and controller._client.pid != killed
    grade()
    assert message(module) == "" and len(scene.results()) == 1 and len(scene.ids()) == len(before)
    assert "Z" not in children().values()


def test_killed_twice_while_the_panel_explains(host, module, scene, grade):
    scene.case(value=THOUGHTFUL)
    grade()
    before, ui = scene.ids(), module.ui
    ui.mapCheckBox.checked = True
    host.wait(lambda: "Mapping the evidence" in ui.mapLabel.text, 20)
    run = module.widget.controller.viewer.run
    first = run.job
    kill(host, module, lambda: True)
    host.wait(lambda: run.job not in (None, first), 20)  # with the images, as the slices went with the worker
    host.wait(lambda: run.job.stage == "saliency T1", 20)
    kill(host, module, lambda: True)
    settled(host, module)
    assert scene.ids() == before and not ui.mapCheckBox.checked
    assert "ended unexpectedly while explaining" in ui.mapLabel.text.replace("\u200b", "")


class WorkerDouble:
    """Fails at once with what it is told to, or keeps the request."""

    state, info = "ready", {}

    def __init__(self, error):
        self.error, self.requests = error, []

    def explain(self, graded, onProgress, onResult, onError, onCancelled):
        self.fail = onError
        return types.SimpleNamespace(isDone=False)

    def poll(self):
        if self.error is not None:
            error, self.error = self.error, None
            self.fail(error)

    def submit(self, request, onProgress, onResult, onError, onCancelled):
        self.requests.append(request)
        return types.SimpleNamespace(isDone=False)


def errors_of_explaining():
    from GliomaGradingLib.errors import BundleError
    from GliomaGradingLib.worker.process import crash_error
    from GliomaGradingLib.worker.protocol import SlicesGone, WorkerError, error_event, error_from_event

    gone = error_from_event(error_event(SlicesGone("the slices of this case are gone"), 1))
    return [
        (gone, True),
        (crash_error(-9, "explaining", ()), True),
        (WorkerError("the grading process did not finish explaining within 300 s"), False),
        (WorkerError("memory ran out in the grading process"), False),
        (BundleError("the model was removed"), False),
    ]


@pytest.mark.parametrize("number", range(5), ids=["gone", "killed", "late", "no memory", "no model"])
def test_images_are_handed_over_again_only_where_the_slices_went(host, scene, number):
    from GliomaGradingLib.panel.run import MapRun
    from GliomaGradingLib.scene.inputs import Inputs
    from GliomaGradingLib.worker.client import EXPLAIN_SECONDS

    error, is_gone = errors_of_explaining()[number]
    told, worker = [], WorkerDouble(error)
    listener = types.SimpleNamespace(onProgress=lambda *_: None, onError=told.append)
    run = MapRun(lambda: worker, Inputs(*scene.case()), {}, listener, object())
    for _turn in range(50):
        run.tick()
    assert told == ([] if is_gone else [error]) and run.isDone != is_gone
    assert [(one.kind, one.timeout) for one in worker.requests] == [("explain", EXPLAIN_SECONDS)] * is_gone
    run._remove_arrays()


# Killed, Python


@pytest.mark.parametrize("stage", ["alignment", "slices"])
def test_killed_while_a_script_grades(host, module, scene, stage):
    from GliomaGradingLib.worker.protocol import WorkerError

    nodes = scene.case("pause")
    before, seen = scene.ids(), []

    def progress(now, fraction):
        seen.append(now)
        if now == stage and seen.count(stage) == 1:
            os.kill(module.logic._worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"ended unexpectedly while grading .*SIGKILL"):
        module.logic.process(*nodes, progress=progress)
    assert scene.ids() == before
    for node, name in zip(nodes, ("t1", "t2", "flair", "seg"), strict=True):
        node.SetName(f"case_{name}")
    assert module.logic.process(*nodes).grade == "HGG" and len(scene.results()) == 1
    assert "Z" not in children().values()


def test_killed_while_a_script_explains(host, module, scene):
    from GliomaGradingLib.worker.protocol import WorkerError

    module.logic.process(*scene.case(value=THOUGHTFUL))
    before, killed = scene.ids(), []

    def progress(stage, fraction):
        if not killed:
            killed.append(module.logic._worker.pid)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(WorkerError, match="while explaining"):
        module.logic.explain(progress=progress)
    assert scene.ids() == before and not module.logic.published.hasMaps
    assert module.logic.explain(progress=progress).maps.shape == (3, 20, 10, 12)
    assert module.logic.published.hasMaps and module.logic._worker.pid not in killed
    assert "Z" not in children().values()


# The scene is closed


def close_scene():
    import slicer

    slicer.mrmlScene.Clear(0)


def no_result_left(scene):
    import slicer

    names = [slicer.mrmlScene.GetNthNode(i).GetName() or "" for i in range(slicer.mrmlScene.GetNumberOfNodes())]
    return scene.results() == [] and not [name for name in names if name.startswith(("case", "pause"))]


def grades_again(host, module, scene):
    """The panel is as usable as at its beginning."""
    settled(host, module)
    assert not module.ui.cancelButton.enabled and message(module) == ""
    scene.case("after", 0.1)
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.ui.gradeButton.click()
    settled(host, module)
    assert message(module) == "" and module.ui.decisionLabel.text == "▼ LGG – lower grade"
    assert [node.GetAttribute("GliomaGrading.Result") for node in scene.results()] == ["after"]
    return True


@pytest.mark.parametrize("stage", ["at once", "images", "submitted", "slices"])
def test_scene_closed_while_the_panel_grades(host, module, scene, stage):
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.ui.gradeButton.click()
    run = module.widget.controller.run
    conditions = {
        "at once": lambda: True,
        "images": lambda: run._prepared is not None,
        "submitted": lambda: run.job is not None,
        "slices": lambda: "Choosing" in module.ui.statusLabel.text,
    }
    host.wait(conditions[stage], 30)
    close_scene()
    host.events()
    empty = scene.ids()
    host.pump(0.5)
    assert no_result_left(scene) and scene.ids() == empty
    assert grades_again(host, module, scene)


def test_scene_closed_while_another_module_is_open(host, module, scene):
    """A cancelled worker is given its half second, and then ended, whoever looks."""
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    controller = module.widget.controller
    client, pid = controller._client, controller._client.pid
    os.kill(pid, signal.SIGSTOP)  # it does not follow
    module.panel.exit()
    close_scene()
    assert client.state == "busy"
    host.wait(lambda: client.pid != pid, 5)
    host.wait(lambda: client.state == "ready", 30)
    host.wait(lambda: not controller._timer.isActive(), 5)
    module.panel.enter()
    assert grades_again(host, module, scene)


@pytest.mark.parametrize("kept", [True, False], ids=["kept slices", "images"])
def test_scene_closed_while_the_panel_explains(host, module, scene, grade, kept):
    scene.case(value=THOUGHTFUL)
    grade()
    if not kept:
        module.widget.controller._graded = None
    module.ui.mapCheckBox.checked = True
    host.wait(lambda: "Mapping the evidence" in module.ui.mapLabel.text, 20)
    assert module.widget.controller.viewer.run is not None
    close_scene()
    host.pump(0.5)
    assert no_result_left(scene) and module.ui.viewFrame.isHidden()
    assert not module.ui.mapCheckBox.checked
    assert grades_again(host, module, scene)


@pytest.mark.parametrize("what", ["scene", "an input"])
def test_images_that_go_while_a_script_grades(host, module, scene, what):
    """The result has nobody to belong to any more: it is an error, and no node is left."""
    import slicer
    from GliomaGradingLib import CaseError

    nodes = scene.case()

    def progress(stage, fraction):
        close_scene() if what == "scene" else slicer.mrmlScene.RemoveNode(nodes[2])

    with pytest.raises(CaseError, match="removed from the scene while"):
        module.logic.process(*nodes, progress=progress)
    assert scene.results() == [] and (what != "scene" or no_result_left(scene))
    close_scene()
    assert grades_again(host, module, scene)


@pytest.mark.parametrize("what", ["scene", "the result"])
def test_result_that_goes_while_a_script_explains(host, module, scene, what):
    import slicer
    from GliomaGradingLib import CaseError

    module.logic.process(*scene.case())
    text = scene.results()[0]

    def progress(stage, fraction):
        close_scene() if what == "scene" else slicer.mrmlScene.RemoveNode(text)

    with pytest.raises(CaseError, match="removed from the scene"):
        module.logic.explain(progress=progress)
    own = [
        *slicer.util.getNodesByClass("vtkMRMLColorTableNode"),
        *slicer.util.getNodesByClass("vtkMRMLVolumeNode"),
    ]
    assert not [node for node in own if "evidence" in node.GetName() or "looked" in node.GetName()]
    close_scene()
    assert grades_again(host, module, scene)


# Clocks


@pytest.mark.parametrize("shift", [-1e6, 1e6], ids=["back", "forward"])
def test_a_clock_that_jumps_while_the_panel_grades(host, module, scene, monkeypatch, shift):
    scene.case("case", 0.9)
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    real = time.time
    module.ui.gradeButton.click()
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    settled(host, module)
    assert message(module) == "" and module.ui.decisionLabel.text == "▲ HGG – high grade"
    assert 0 <= module.logic.result.seconds["read"] < 60
    module.ui.mapCheckBox.checked = True
    monkeypatch.setattr(time, "time", lambda: real() - shift)
    settled(host, module)
    assert module.logic.published.hasMaps
