"""The panel in the embedded Slicer: one grading after another, and everything that can come in between."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from grading_module import MODULE_FILE
from test_viewer import show

ROLES = ("t1", "t2", "flair", "mask")


def statuses(module):
    return module.ui.statusLabel.text, module.ui.messageLabel.text


def test_grade_puts_the_result_into_panel_and_scene(host, module, scene, grade):
    import slicer

    nodes = scene.case()
    before = scene.ids()
    grade()
    assert statuses(module) == ("Ready.", "")
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"
    assert module.ui.summaryLabel.text == ("Vote: HGG, 3 of 3 sequences agree ●●●\nProbability of HGG: 0.90")
    assert [getattr(module.ui, f"{s}VoteLabel").text for s in ("t1", "t2", "flair")] == ["▲ HGG"] * 3
    assert module.ui.flairProbabilityBar.value == 90
    assert module.ui.t2SlicesLabel.text == "20/20"
    assert module.ui.t1ProbabilityLabel.text == "0.90"
    assert "fake 1 (none, 00000000)" in module.ui.modelLabel.text.replace("\u200b", "")
    (text,) = scene.results()
    table = text.GetNodeReference("votes")
    own = module.logic.published.nodes
    inputs = {node.GetID() for node in nodes}
    assert scene.ids() - before == {node.GetID() for node in own.values()} - inputs
    assert [text.GetNodeReference(role) for role in ("T1", "T2", "FLAIR", "mask")] == list(nodes)
    assert [table.GetCellText(row, 0) for row in range(3)] == ["T1", "T2", "FLAIR"]
    assert float(table.GetCellText(2, 2)) == pytest.approx(0.9, abs=1e-6)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(text))
    assert hierarchy.GetItemName(folder) == "case"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == folder


def test_slice_views_go_to_the_largest_slice(host, module, scene, grade):
    import slicer

    scene.case()
    grade()
    offsets = {
        name: slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().GetSliceOffset()
        for name in ("Red", "Green", "Yellow")
    }
    assert {name: abs(offset) for name, offset in offsets.items()} == {"Red": 4.0, "Green": 4.5, "Yellow": 6.0}


def test_corner_of_the_3d_view(host, module, scene, grade):
    import slicer
    import vtk

    corner = slicer.app.layoutManager().threeDWidget(0).threeDView().cornerAnnotation()
    nodes = scene.case()
    grade()
    assert not corner.GetText(vtk.vtkCornerAnnotation.UpperLeft)  # no view shows anything of the case yet
    show(nodes[0], "Red")
    line = corner.GetText(vtk.vtkCornerAnnotation.UpperLeft)
    assert line == "case\nHGG, P(HGG) 0.90\nresearch use only"
    host.close_scene()
    assert not corner.GetText(vtk.vtkCornerAnnotation.UpperLeft)


def test_no_3d_view_keeps_a_line_where_their_order_changes(host, module, scene, grade, monkeypatch):
    """The layout manager numbers them by where they lie in memory: a second one may become the first."""
    from types import SimpleNamespace

    import slicer
    import vtk

    def view(name):
        corner = vtk.vtkCornerAnnotation()
        own = SimpleNamespace(cornerAnnotation=lambda: corner, scheduleRender=lambda: None)
        node = SimpleNamespace(GetLayoutName=lambda: name)
        return SimpleNamespace(threeDView=lambda: own, mrmlViewNode=lambda: node, corner=corner)

    first, second = view("1"), view("2")
    views = [first]
    manager = type(slicer.app.layoutManager())
    nodes = scene.case()
    grade()
    monkeypatch.setattr(manager, "threeDViewCount", property(lambda self: len(views)))
    monkeypatch.setattr(manager, "threeDWidget", lambda self, index: views[index])
    show(nodes[0], "Red")
    assert first.corner.GetText(vtk.vtkCornerAnnotation.UpperLeft).startswith("case\nHGG")
    views.insert(0, second)
    host.close_scene()
    assert not any(one.corner.GetText(vtk.vtkCornerAnnotation.UpperLeft) for one in views)


@pytest.mark.parametrize(
    ("value", "headline", "border"),
    [
        (0.9, "▲ HGG – high grade", "solid"),
        (0.1, "▼ LGG – lower grade", "solid"),
        (0.5, "? Indeterminate", "dashed"),
    ],
)
def test_decisions_look_different_without_colour(host, module, scene, grade, value, headline, border):
    scene.case(value=value)
    grade()
    assert module.ui.decisionLabel.text == headline
    assert border in module.ui.bannerFrame.styleSheet


def test_the_next_run_replaces_the_result(host, module, scene, grade):
    import slicer

    scene.case(value=0.9)
    grade()
    first = scene.ids()
    slicer.util.arrayFromVolume(module.ui.t1Selector.currentNode())[:] = 0.1
    grade()
    assert len(scene.results()) == 1
    assert len(scene.ids()) == len(first)
    assert module.ui.decisionLabel.text == "▼ LGG – lower grade"
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), "case")


def test_two_patients_keep_their_results_and_the_panel_shows_the_right_one(host, module, scene, grade):
    first = scene.case("anna", 0.9)
    grade()
    second = scene.case("berta", 0.1)
    for box, node in zip(("t1", "t2", "flair", "mask"), second, strict=True):
        getattr(module.ui, f"{box}Selector").setCurrentNode(node)
    assert module.ui.resultFrame.isHidden()
    grade()
    assert [node.GetAttribute("GliomaGrading.Result") for node in scene.results()] == ["anna", "berta"]
    assert module.ui.decisionLabel.text == "▼ LGG – lower grade"
    for box, node in zip(("t1", "t2", "flair", "mask"), first, strict=True):
        getattr(module.ui, f"{box}Selector").setCurrentNode(node)
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"


def test_one_segment_of_several(host, module, scene, grade):
    scene.sequences()
    scene.segmentation(segments=("necrosis", "oedema"))
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    grade()
    assert "Tumour 80.0\u00a0ml" in module.ui.measuresLabel.text
    module.ui.segmentSelector.setCurrentIndex(2)
    assert module.ui.resultFrame.isHidden()
    grade()
    assert "Tumour 60.0\u00a0ml" in module.ui.measuresLabel.text


def test_labelmap_as_mask_and_options(host, module, scene, grade):
    import json

    scene.sequences()
    scene.labelmap()
    module.ui.voteSelector.currentIndex = 1
    module.ui.registrationSelector.currentIndex = 2
    grade()
    software = json.loads(scene.results()[0].GetText())["software"]
    assert (software["vote"], software["register"], software["caseId"]) == ("soft", "never", "case")


def test_cancel_leaves_nothing(host, module, scene):
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    before = scene.ids()
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    assert not module.ui.progressBar.isHidden() and 30 <= module.ui.progressBar.value < 100
    assert not module.ui.gradeButton.enabled and not module.ui.inputsCollapsibleButton.enabled
    module.ui.cancelButton.click()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert statuses(module) == ("Ready.", "Cancelled.")
    assert scene.ids() == before
    assert module.ui.progressBar.isHidden() and not module.ui.cancelButton.enabled


def test_error_of_the_grading_is_said_and_the_next_one_works(host, module, scene, grade):
    import slicer

    scene.sequences()
    mask = scene.labelmap(box=(slice(0, 0),))
    grade()
    message = module.ui.messageLabel.text.replace("\u200b", "")
    assert message == "✖ The mask is empty (case_seg).\nDraw the tumour."
    assert scene.results() == []
    slicer.util.arrayFromVolume(mask)[2:5] = 1
    grade()
    assert module.ui.messageLabel.text == ""
    assert len(scene.results()) == 1


def test_an_error_is_over_when_a_script_has_graded_the_same_inputs(host, module, scene, grade):
    nodes = scene.case("die")
    grade()
    assert module.ui.messageLabel.text.startswith("✖ The grading process ended")
    for node, name in zip(nodes, ("t1", "t2", "flair", "seg"), strict=True):
        node.SetName(f"better_{name}")
    host.pump(0.2)
    assert module.ui.messageLabel.text.startswith("✖ The grading process ended")
    module.logic.process(*nodes)
    host.pump(0.1)
    assert "HGG" in module.ui.decisionLabel.text and module.ui.messageLabel.text == ""


def test_a_grading_process_that_dies_is_said_and_replaced(host, module, scene, grade):
    nodes = scene.case("die")
    grade()
    assert module.ui.messageLabel.text.startswith("✖ The grading process ended")
    for node, name in zip(nodes, ("t1", "t2", "flair", "seg"), strict=True):
        node.SetName(f"better_{name}")
    grade()
    assert module.ui.messageLabel.text == ""
    assert scene.results()[0].GetAttribute("GliomaGrading.Result") == "better"


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_killed_in_the_middle(host, module, scene, grade):
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    os.kill(module.logic.worker().pid, signal.SIGKILL)
    host.wait(lambda: module.widget.controller.run is None, 10)
    assert module.ui.messageLabel.text.startswith("✖ The grading process ")
    assert scene.results() == []


def test_scene_close_in_the_middle(host, module, scene):
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    host.close_scene()
    host.pump(1.0)
    assert scene.results() == []
    assert statuses(module) == ("Choose T1, T2, FLAIR, tumour mask.", "")
    assert not module.ui.cancelButton.enabled


def test_voxels_leave_the_memory_with_the_scene(host, module, scene, grade):
    """As many cases as a reader likes, one after another: Slicer's own mixin would keep them all."""

    def graded_and_closed() -> list[object]:
        *volumes, segmentation = scene.case()
        grade()
        host.close_scene()
        return [*(node.GetImageData() for node in volumes), segmentation.GetSegmentation()]

    first = graded_and_closed()
    graded_and_closed()  # views may hold what they showed last
    gc.collect()
    assert [thing.GetReferenceCount() for thing in first] == [1] * 4, "somebody holds them, not this test alone"


def test_removal_of_an_input_in_the_middle(host, module, scene):
    import slicer

    _t1, t2, _flair, _mask = scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    slicer.mrmlScene.RemoveNode(t2)
    host.pump(0.8)
    assert statuses(module) == ("Choose T2.", "Cancelled: pause_t2 was removed.")
    assert scene.results() == []


def test_removal_while_the_images_are_read(host, module, scene):
    import slicer

    _t1, _t2, flair, _mask = scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    slicer.mrmlScene.RemoveNode(flair)
    host.pump(0.3)
    assert module.ui.statusLabel.text == "Choose FLAIR."


def test_another_module_in_the_middle(host, module, scene):
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    module.panel.exit()
    host.wait(lambda: module.widget.controller.run is None, 60)
    assert len(scene.results()) == 1
    module.panel.enter()
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"


def test_a_worker_that_starts_is_heard_after_the_panel_was_left(host, fake_worker):
    from GliomaGradingLib.panel.controller import BUSY_MS, IDLE_MS

    module = host.load(MODULE_FILE)
    module.panel.enter()
    controller = module.widget.controller
    client, timer = controller._client, controller._timer
    assert client.state == "starting" and timer.interval == BUSY_MS
    module.panel.exit()
    assert timer.isActive()
    host.wait(lambda: client.state == "ready", 30)
    host.wait(lambda: not timer.isActive(), 5)
    module.panel.enter()
    assert timer.isActive() and timer.interval == IDLE_MS


def test_no_two_widgets_have_one_name():
    """Slicer's ``childWidgetVariables`` would give one of them, and leave the other as it is."""
    panel = (MODULE_FILE.parent / "Resources" / "UI" / "GliomaGrading.ui").read_text(encoding="utf-8")
    names = re.findall(r'<widget class="[^"]+" name="([^"]+)"', panel)
    assert len(names) > 30 and sorted(names) == sorted({*names})


def test_models_that_nobody_comes_back_to_leave_the_memory(host, module, scene, grade):
    scene.case("pause")
    controller = module.widget.controller
    client, leaving = controller._client, controller._leaving
    host.wait(lambda: module.ui.gradeButton.enabled and client.state == "ready", 30)
    leaving.setInterval(50)
    module.panel.exit()
    module.panel.enter()
    host.pump(0.3)
    assert client.state == "ready"
    module.ui.gradeButton.click()
    module.panel.exit()
    host.wait(lambda: client.state == "busy", 10)
    host.pump(0.3)
    assert client.state == "busy"  # what is under way goes on
    host.wait(lambda: client.state == "stopped", 60)
    assert len(scene.results()) == 1 and client.pid is None
    module.panel.enter()
    host.wait(lambda: client.state == "ready", 30)
    grade()
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"


def test_reload_in_the_middle(host, module, scene):
    import slicer

    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    before = scene.ids()
    slicer.util.reloadScriptedModule("GliomaGrading")
    host.pump(0.5)
    module.panel.enter()
    assert scene.ids() == before
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert module.ui.t1Selector.currentNode().GetName() == "pause_t1"


def test_the_end_of_the_panel_leaves_no_observer(host, module, scene, grade):
    nodes = scene.case()
    grade()
    widget, calls = module.widget, []
    widget.controller.onInputsChanged = lambda *_: calls.append(1)
    nodes[0].Modified()
    assert calls == [1] and widget.controller.viewer.published is not None
    widget.cleanup()
    for node in nodes:
        node.Modified()
    assert calls == [1] and widget._inputObservers._observed == widget._parameterObservers._observed == []


def test_a_panel_in_a_window_of_its_own(host, module, scene):
    widget = type(module.widget)()
    scene.case()
    widget.controller.fill()
    assert widget.controller.inputs.isValid() == (True, "") and widget.ui.gradeButton.enabled
    host.close_scene()
    assert widget.controller.inputs.nodes == []
    widget._onModuleAboutToBeUnloaded(widget.moduleName)
    assert widget._inputObservers._observed == []
    widget.layout.itemAt(0).widget().setMRMLScene(None)  # its boxes shall not hear of the next test's scene


def test_saved_scene_brings_choices_and_result_back(host, module, scene, grade, tmp_path):
    import slicer

    scene.case()
    module.ui.voteSelector.currentIndex = 1
    grade()
    text = scene.results()[0].GetText()
    saved = tmp_path / "Bündel 1.mrb"
    assert slicer.util.saveScene(str(saved))
    host.close_scene()
    assert module.ui.resultFrame.isHidden()
    slicer.util.loadScene(str(saved))
    host.pump(0.3)
    assert [module.ui.t1Selector.currentNode().GetName(), module.ui.maskSelector.currentNode().GetName()] == [
        "case_t1",
        "case_seg",
    ]
    assert module.ui.voteSelector.currentText == "soft"
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"
    assert not module.ui.resultFrame.isHidden()
    assert scene.results()[0].GetText() == text
    grade()
    assert len(scene.results()) == 1


@pytest.fixture
def other_scene(host, tmp_path):
    """A scene file that knows nothing of this module."""
    import slicer

    other = slicer.vtkMRMLScene()
    other.AddNewNodeByClass("vtkMRMLTextNode", "other")
    other.SetURL(str(tmp_path / "other.mrml"))
    other.Commit()
    return other.GetURL()


def add_scene(host, path):
    """File > Add data."""
    import slicer

    slicer.util.loadScene(str(path), {"clear": False})
    host.pump(0.3)


def test_a_scene_that_is_added_leaves_the_inputs_as_they_are(host, module, scene, grade, other_scene):
    import slicer

    nodes = list(scene.case())
    grade()
    add_scene(host, other_scene)
    assert slicer.util.getNode("other") is not None
    assert module.widget.controller.inputs.nodes == nodes
    assert [getattr(module.ui, f"{one}Selector").currentNode() for one in ROLES] == nodes
    assert not module.ui.resultFrame.isHidden() and module.ui.gradeButton.enabled


def test_an_input_that_the_user_took_out_stays_out_when_a_scene_is_added(host, module, scene, other_scene):
    nodes = list(scene.case())
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.t1Selector.setCurrentNode(None)
    add_scene(host, other_scene)
    assert module.widget.controller.inputs.nodes == nodes[1:]


def test_empty_choices_of_a_scene_that_is_added_are_not_the_users(host, module, scene, tmp_path):
    """They replace those of the panel, as there is one set of them in a scene; what is plain is filled in."""
    import slicer

    assert slicer.util.saveScene(str(tmp_path / "empty.mrb"))
    nodes = list(scene.case())
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    add_scene(host, tmp_path / "empty.mrb")
    assert module.widget.controller.inputs.nodes == nodes


def test_failing_publication_takes_everything_back(host, module, scene, monkeypatch):
    import fake_grading
    from GliomaGradingLib.scene import results
    from GliomaGradingLib.scene.inputs import Inputs

    inputs = Inputs(*scene.case())
    made = fake_grading.result("case", 0.9, {}, np.ones(1))
    results.publish(made, inputs)
    before = scene.ids()

    def fail(*_):
        raise RuntimeError("no folder")

    monkeypatch.setattr(results, "_put_into_folder", fail)
    with pytest.raises(RuntimeError, match="no folder"):
        results.publish(made, inputs)
    assert scene.ids() == before


def long_named(scene):
    name = "Krankenhaus_Musterstadt_Neuroradiologie_2026_11_23_Patient_0815"
    nodes = scene.case(name)
    nodes[3].GetSegmentation().GetNthSegment(0).SetName(f"{name}_ganzer_Tumor_mit_Oedem")
    return nodes


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_panel_at_320_pixels_with_long_names(host, module, scene, grade, colors, tmp_path):
    long_named(scene)
    module.ui.advancedCollapsibleButton.collapsed = False
    window = host.window(module, width=320, colors=colors)
    grade()
    host.pump(0.1)
    assert module.ui.t1Selector.toolTip.startswith(
        "Krankenhaus_Musterstadt_Neuroradiologie_2026_11_23_Patient_0815_t1\n"
    )
    assert module.panel.minimumSizeHint().width() <= 300
    assert module.panel.width <= 320
    labels = [getattr(module.ui, name) for name in vars(module.ui) if name.endswith("Label")]
    for label in (one for one in labels if one.visible and one.text):
        needed = label.heightForWidth(label.width) if label.wordWrap else label.sizeHint().height()
        assert label.height >= needed, label.objectName
        if not label.wordWrap:
            assert label.width >= label.sizeHint().width(), label.objectName
    assert host.picture(window, tmp_path / f"panel-{colors}.png").stat().st_size > 10_000


def test_notice_is_always_there(host, module):
    assert module.ui.noticeLabel.text.startswith("For research use only.")
    assert not module.ui.noticeLabel.isHidden()
    assert module.ui.noticeLabel.parentWidget() is not module.ui.resultFrame


# what Slicer's Python lacks


@pytest.fixture
def without_torch(monkeypatch):
    from GliomaGradingLib.panel import dependencies

    state = {"missing": ["torch", "torchvision"]}
    monkeypatch.setattr(dependencies, "missing", lambda *_: list(state["missing"]))
    return state


def test_what_an_interrupted_installation_left_is_no_package(host):
    """Python finds a folder without ``__init__.py``, as a package of its own kind."""
    from GliomaGradingLib.panel import dependencies

    found = {"torch": types.SimpleNamespace(origin=None), "torchvision": types.SimpleNamespace(origin="x.py")}
    assert dependencies.missing(found.get) == ["torch"]
    assert dependencies.missing(lambda name: None) == ["torch", "torchvision"]


def test_pytorch_that_is_too_old_is_said(host, monkeypatch):
    """Another extension may have installed it: it is there, and grading would end in an error of its own."""
    from importlib import metadata

    from GliomaGradingLib.errors import GliomaGradingError
    from GliomaGradingLib.panel import dependencies

    versions = {"torch": "2.10.0+cpu", "torchvision": "0.19"}
    monkeypatch.setattr(dependencies, "missing", list)
    monkeypatch.setattr(metadata, "version", versions.__getitem__)
    assert dependencies.ensure()
    versions["torch"] = "2.3.1+cu121"
    with pytest.raises(GliomaGradingError, match=r"torch 2.3.1\+cu121 is installed.*needs >=2.4") as raised:
        dependencies.ensure()
    assert "Uninstall PyTorch in the module PyTorch Utils" in raised.value.remedy
    assert "pip" not in raised.value.remedy  # by hand, a build for another card could take its place


@pytest.mark.parametrize(
    ("machine", "installed", "is_told"),
    [
        ("x86_64", {}, True),
        ("x86_64", {"torch": "2.2.2", "torchvision": "0.17.2"}, True),  # the newest that there is
        ("x86_64", {"torch": "2.4.0", "torchvision": "0.19.0"}, False),  # somebody has built it
        ("arm64", {}, False),
    ],
)
def test_a_mac_for_which_no_pytorch_fits_is_told_so_before_any_question(
    host, monkeypatch, pytorch_extension, without_torch, machine, installed, is_told
):
    """Slicer's packages for macOS are Intel's, also on Apple silicon."""
    import platform
    from importlib import metadata

    import qt
    from GliomaGradingLib.errors import GliomaGradingError
    from GliomaGradingLib.panel import dependencies

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(metadata, "version", version)
    without_torch["missing"] = [name for name in ("torch", "torchvision") if name not in installed]
    with host.testing_mode(False):
        host.dialogs.answer(qt.QMessageBox.Ok)
        if is_told:
            with pytest.raises(GliomaGradingError, match="does not exist for Slicer's Intel build") as raised:
                dependencies.ensure()
            assert "Windows or Linux" in raised.value.remedy and "pip" not in str(raised.value)
        else:
            assert dependencies.ensure()
    assert len(host.dialogs.shown) == (not is_told and not installed)
    assert len(pytorch_extension) == (not is_told and not installed)


def test_nothing_starts_and_nothing_is_asked_before_grade(host, fake_worker, without_torch, scene):
    from grading_module import MODULE_FILE

    module = host.load(MODULE_FILE, enter=True)
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert host.dialogs.shown == []
    assert module.logic.worker().pid is None


def test_without_the_pytorch_extension_the_way_is_told(host, module, scene, grade, without_torch):
    scene.case()
    grade()
    message = module.ui.messageLabel.text
    assert message.startswith("✖ PyTorch is not installed, and neither is Slicer's PyTorch extension")
    assert "Extensions Manager" in message and "--no-index" in message


@pytest.fixture
def pytorch_extension(monkeypatch, without_torch):
    calls = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options):
            calls.append(options)
            without_torch["missing"] = []

    utils = types.ModuleType("PyTorchUtils")
    utils.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
    return calls


@pytest.fixture
def agree_and_grade(host, grade):
    """Clicks Grade and says yes to the installation."""
    import qt

    def click():
        with host.testing_mode(False):
            host.dialogs.answer(qt.QMessageBox.Ok)
            grade()

    return click


def test_one_question_then_installation_then_grading(host, module, scene, pytorch_extension, agree_and_grade):
    scene.case()
    agree_and_grade()
    assert len(host.dialogs.shown) == 1
    assert pytorch_extension == [
        {
            "askConfirmation": False,
            "torchVersionRequirement": ">=2.4",
            "torchvisionVersionRequirement": ">=0.19",
        }
    ]
    assert len(scene.results()) == 1


def test_a_test_installs_nothing(host, module, scene, grade, pytorch_extension, monkeypatch):
    """With --testing Slicer's questions are answered with yes, by what their documentation says."""
    import slicer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: slicer.app.testingEnabled())
    scene.case()
    grade()
    message = module.ui.messageLabel.text
    assert message.startswith("✖ PyTorch is not installed, and a test installs nothing.\nClick Install PyTorch")
    assert pytorch_extension == [] and scene.results() == []


@pytest.fixture
def importing_extension(monkeypatch, pytorch_extension, tmp_path):
    """An extension that, as Slicer's, imports torch when it is installed; what that does, the test says."""
    for name in ("torch", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is taken out, or put back, in the end
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    logic = sys.modules["PyTorchUtils"].PyTorchUtilsLogic
    install = logic.installTorch

    def install_and_import(self, **options):
        install(self, **options)
        import torch

        return torch

    monkeypatch.setattr(logic, "installTorch", install_and_import)
    return tmp_path / "torch.py"


@pytest.mark.parametrize("content", ["", "raise OSError('DLL load failed')"])
def test_torch_is_not_loaded_into_slicer_when_it_is_installed(
    host, module, scene, importing_extension, agree_and_grade, content
):
    importing_extension.write_text(content, encoding="utf-8")
    scene.case()
    agree_and_grade()
    assert not {"torch", "torchvision"} & sys.modules.keys()
    assert module.ui.messageLabel.text == "" and len(scene.results()) == 1


def test_what_failed_before_anything_was_installed_is_told(
    host, module, scene, pytorch_extension, agree_and_grade, monkeypatch
):
    def fail(self, **options):
        raise RuntimeError("pip found no wheel")

    monkeypatch.setattr(sys.modules["PyTorchUtils"].PyTorchUtilsLogic, "installTorch", fail)
    scene.case()
    agree_and_grade()
    assert module.ui.messageLabel.text.startswith("✖ PyTorch could not be installed (pip found no wheel)")


def test_no_is_an_answer(host, module, scene, grade, pytorch_extension):
    import qt

    scene.case()
    with host.testing_mode(False):
        host.dialogs.answer(qt.QMessageBox.Cancel)
        grade()
    assert pytorch_extension == []
    assert module.ui.messageLabel.text == "Cancelled: PyTorch was not installed."
    assert module.ui.gradeButton.enabled


@pytest.fixture
def while_installing(monkeypatch):
    """Has something done while PyTorch is installed, as by clicks that Slicer handles meanwhile."""
    from GliomaGradingLib.panel import dependencies

    calls = []

    def install(action):
        def ensure():
            calls.append(1)
            if len(calls) == 1:
                action()
            return True

        monkeypatch.setattr(dependencies, "ensure", ensure)
        return calls

    return install


def test_nothing_can_be_started_while_pytorch_is_installed(host, module, scene, grade, while_installing):
    scene.case()
    grade()
    ui, seen = module.ui, []

    def click_everything():
        starters = (ui.gradeButton, ui.reportButton, ui.mapCheckBox, ui.inputsCollapsibleButton)
        seen.extend((ui.statusLabel.text, ui.statusLabel.isHidden(), [one.enabled for one in starters]))
        ui.gradeButton.click()
        module.widget.controller.grade()
        ui.reportButton.click()
        ui.mapCheckBox.click()

    installed = while_installing(click_everything)
    grade()
    assert seen == ["Installing PyTorch: some minutes.", False, [False] * 4]
    assert installed == [1] and host.dialogs.shown == []
    assert ui.messageLabel.text == "" and len(scene.results()) == 1
    assert ui.statusLabel.text == "Ready." and ui.gradeButton.enabled and ui.inputsCollapsibleButton.enabled
    assert not ui.mapCheckBox.checked and module.widget.controller.viewer.run is None


def test_a_result_stays_in_the_panel_while_pytorch_is_installed(host, module, scene, grade, while_installing):
    scene.case()
    grade()
    told = []
    while_installing(lambda: told.append(module.ui.decisionLabel.text))
    module.ui.gradeButton.click()
    assert told == ["▲ HGG – high grade"]


def test_another_module_while_pytorch_is_installed(host, module, scene, grade, while_installing, caplog):
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    while_installing(module.panel.exit)
    module.ui.gradeButton.click()
    assert module.widget.controller.run is None and scene.results() == []
    module.panel.enter()
    assert module.ui.messageLabel.text == "Cancelled." and caplog.text == ""
    grade()
    assert module.ui.messageLabel.text == "" and len(scene.results()) == 1


def test_scene_close_while_pytorch_is_installed(host, module, scene, grade, while_installing, caplog):
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    while_installing(host.close_scene)
    module.ui.gradeButton.click()
    assert module.widget.controller.run is None and caplog.text == ""
    assert module.ui.statusLabel.text.startswith("Choose T1, T2, FLAIR")
    scene.case("next")
    grade()
    assert module.ui.messageLabel.text == "" and len(scene.results()) == 1


@pytest.mark.parametrize("starter", ["gradeButton", "mapCheckBox", "reportButton"])
def test_a_module_that_is_reloaded_while_pytorch_is_installed_starts_nothing(
    host, module, scene, grade, while_installing, caplog, tmp_path, starter
):
    import slicer

    class Deleted:
        """Widgets of a panel that is gone: in Slicer they are no more, and touching one is an error."""

        def __getattr__(self, name):
            raise ValueError(f"trying to access {name} of a destroyed widget")

    def reload():
        slicer.util.reloadScriptedModule("GliomaGrading")
        owners = (old.controller, old.controller.choices, old.controller.viewer, old.controller.report)
        for owner in owners:
            owner._ui = Deleted()

    scene.case()
    grade()
    old = module.widget
    while_installing(reload)
    with host.testing_mode(False):
        host.dialogs.answer(str(tmp_path))
        getattr(module.ui, starter).click()
    assert (
        old.controller.run is None and old.controller.viewer.run is None and old.controller.report.run is None
    )
    assert caplog.text == "" and host.dialogs.shown.count("error") == 0 and list(tmp_path.iterdir()) == []


def test_another_case_than_was_asked_for_is_not_graded(host, module, scene, while_installing):
    def load_another():
        host.close_scene()
        scene.case("another")
        module.widget.controller.fill()

    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    while_installing(load_another)
    module.ui.gradeButton.click()
    assert module.widget.controller.inputs.isValid() == (True, "")
    assert module.widget.controller.run is None and module.ui.messageLabel.text == "Cancelled."


def test_a_map_of_what_is_no_longer_shown_is_not_made(host, module, scene, grade, while_installing, caplog):
    scene.case()
    grade()
    while_installing(module.panel.exit)
    module.ui.mapCheckBox.click()
    assert module.widget.controller.viewer.run is None and not module.ui.mapCheckBox.checked
    module.panel.enter()
    assert module.ui.mapLabel.text == "Cancelled." and module.ui.mapCheckBox.enabled and caplog.text == ""


@pytest.mark.parametrize("is_scene_closed", [False, True])
def test_a_report_of_what_is_no_longer_shown_is_not_made(
    host, module, scene, grade, while_installing, caplog, tmp_path, is_scene_closed
):
    scene.case()
    grade()
    while_installing(host.close_scene if is_scene_closed else module.panel.exit)
    with host.testing_mode(False):
        host.dialogs.answer(str(tmp_path))
        module.ui.reportButton.click()
    assert module.widget.controller.report.run is None
    module.panel.enter()
    assert module.ui.reportLabel.text == "Cancelled." and caplog.text == ""
    assert module.ui.reportButton.enabled is not is_scene_closed and list(tmp_path.iterdir()) == []


# what the panel says


def test_an_error_does_not_stand_below_ready(host, module, scene, grade):
    scene.sequences()
    scene.labelmap(box=(slice(0, 0),))
    grade()
    assert module.ui.messageLabel.text.startswith("✖ The mask is empty")
    assert module.ui.statusLabel.isHidden() and "bold" in module.ui.messageLabel.styleSheet
    module.ui.t1Selector.setCurrentNode(None)
    assert module.ui.statusLabel.text == "Choose T1." and not module.ui.statusLabel.isHidden()


def test_cancel_stays_off_while_it_cancels(host, module, scene):
    scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    module.ui.cancelButton.click()
    module.widget.controller.refresh()
    assert not module.ui.cancelButton.enabled and module.ui.statusLabel.text.startswith("Cancelling")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert module.ui.messageLabel.text == "Cancelled."


def test_reliability_is_said_in_words(host):
    from GliomaGradingLib.panel import card

    bins = [{"low": 0.8, "high": 1.0, "patients": 50, "hgg": 45}]
    told = card._bin_text(0.9, {"reliability": bins})
    assert told.startswith("Of 50 test patients with a probability of 0.8 to 1.0, 90 % had HGG (95 % interval ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_place_of_a_card_keeps_nobody_waiting(host, tmp_path):
    from GliomaGradingLib.panel import card

    os.mkfifo(tmp_path / "metadata.json")
    writer = subprocess.Popen(["sh", "-c", f"sleep 5; exec 3> '{tmp_path}/metadata.json'"])
    try:
        begun = time.monotonic()
        assert card.metadata_of("0" * 64, str(tmp_path)) is None
        assert time.monotonic() - begun < 4
    finally:
        writer.kill()
        writer.wait()


def test_a_map_by_another_model_is_refused_as_such(host, module, scene, grade):
    scene.case()
    grade()
    model = {"name": "other", "version": "2", "sha256": "1" * 64}
    worker = module.logic.worker()
    worker.info = {"model": model}
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 30)
    told = module.ui.mapLabel.text.replace("\u200b", "")
    assert told.startswith(
        "✖ It was graded with another model (fake 1) (case).\nChoose that model under Advanced"
    )


def test_whatever_goes_wrong_with_the_sample_is_said(host, module, monkeypatch, tmp_path, caplog):
    from GliomaGradingLib.scene import sample_data

    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(sample_data, "sample_folder", lambda preset: tmp_path / "sample")
    monkeypatch.setattr(sample_data, "write_sample_case", fail)
    module.ui.sampleButton.click()
    told = module.ui.messageLabel.text
    assert told.startswith("✖ Memory ran out in Slicer (MemoryError: no room).\nClose other programs")
    assert module.ui.sampleButton.enabled
    assert "unexpected error" in caplog.text and "in fail" in caplog.text  # the log has the traceback


def test_errors_of_the_inputs_are_translated(host, scene, monkeypatch):
    from GliomaGradingLib.errors import CaseError
    from GliomaGradingLib.scene import mask, volumes

    for one in (mask, volumes):
        monkeypatch.setattr(one, "_", lambda text: f"<{text}>")
    segmentation = scene.segmentation()
    with pytest.raises(CaseError, match="<there is no segment 'gone'>"):
        list(mask.mask_steps(segmentation, "gone", []))
    empty = scene.volume("case_t1")
    empty.SetAndObserveImageData(None)
    with pytest.raises(CaseError, match="<this volume has no voxels>"):
        volumes.volume_of(empty)


# Several patients from Python


def test_a_script_gets_what_it_asked_for_whatever_the_panel_shows(host, module, scene, tmp_path):
    import json

    logic = module.logic
    first = scene.case("anna", 0.9)
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    logic.process(*first)
    logic.saveReport(tmp_path / "anna")
    anna = logic.node("result")
    second = scene.case("berta", 0.1)
    host.pump(0.2)
    assert module.ui.t1Selector.currentNode() is first[0]
    assert logic.process(*second).case == "berta"
    logic.saveReport(tmp_path / "berta")
    saved = json.loads((tmp_path / "berta" / "result.json").read_text(encoding="utf-8"))
    assert (saved["case"], saved["grade"]) == ("berta", "LGG")
    assert logic.result.case == "berta" and logic.published.node("T1") is second[0]
    logic.explain()
    assert logic.node("map.T1").GetName().startswith("berta") and anna.GetNodeReference("map.T1") is None
    logic.explain(anna)
    assert anna.GetNodeReference("map.T1").GetName().startswith("anna")
    assert logic.published.node("T1") is second[0]


def test_a_grading_keeps_its_model_whatever_a_script_grades_meanwhile(host, module, scene, grade):
    anna = scene.case("anna")
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    berta = scene.case("berta")
    module.ui.gradeButton.click()
    controller = module.widget.controller
    assert controller.run.job is None  # its images are still to be read
    module.logic.process(*berta, bundle="other")
    host.wait(lambda: controller.run is None, 30)
    results = [json.loads(one.GetText()) for one in scene.results()]
    models = {one["case"]: one["model"]["name"] for one in results}
    assert models == {"anna": "fake", "berta": "other"}
    assert controller.viewer.published.node("T1") is anna[0]
    module.ui.mapCheckBox.click()
    host.wait(lambda: controller.viewer.run is None, 30)
    assert controller.viewer.published.hasMaps


@pytest.mark.parametrize("what", ["map", "report"])
def test_maps_and_reports_keep_their_model_too(host, module, scene, grade, tmp_path, monkeypatch, what):
    import qt

    scene.case("anna")
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    berta = scene.case("berta")
    grade()
    controller = module.widget.controller
    controller._graded = None  # the images are handed over once more
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "anna"))
    (module.ui.mapCheckBox if what == "map" else module.ui.reportButton).click()
    run = controller.viewer.run if what == "map" else controller.report.run
    assert run.job is None
    loaded, submit = {}, type(run.worker).submit

    def watched(worker, request, *callbacks):
        loaded[request.kind] = module.logic._loaded[0]
        return submit(worker, request, *callbacks)

    monkeypatch.setattr(type(run.worker), "submit", watched)
    module.logic.process(*berta, bundle="other")
    host.wait(lambda: run.isDone, 30)
    assert loaded == {"grade": "other", run.kind: ""}


def test_a_result_that_is_gone_is_not_the_scripts(host, module, scene, grade):
    from GliomaGradingLib.scene.results import remove

    first = scene.case("anna", 0.9)
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.logic.process(*scene.case("berta", 0.1))
    assert module.logic.result.case == "berta"
    remove(module.logic.node("result"))
    assert module.logic.published is None
    module.logic.process(*scene.case("clara", 0.1))
    grade()  # the panel's inputs: now that is what was asked for last
    assert module.logic.node("T1") is first[0]


def test_maps_are_asked_for_as_the_result_was_graded(host, module, scene, grade, monkeypatch):
    scene.case()
    controller = module.widget.controller
    controller.parameters.registration = "never"
    grade()
    controller.parameters.registration = "always"
    controller._graded = None
    module.ui.mapCheckBox.click()
    assert controller.viewer.run._options == {"register": "never"}
    host.wait(lambda: controller.viewer.run is None, 20)
    asked = []
    real = module.logic._ask
    monkeypatch.setattr(
        module.logic,
        "_ask",
        lambda kind, prepared, options, *rest: asked.append(options) or real(kind, prepared, options, *rest),
    )
    module.logic.explain()
    module.logic.explain(register="auto")
    assert [one["register"] for one in asked] == ["never", "auto"]


# What nobody foresaw


def fail_with(error):
    def fail(*_arguments, **_options):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            MemoryError("Unable to allocate 3 GiB"),
            "✖ Memory ran out in Slicer (MemoryError: Unable to allocate",
        ),
        (AttributeError("no segment"), "✖ Something unexpected went wrong (AttributeError: no segment)."),
        (StopIteration(), "✖ Something unexpected went wrong (RuntimeError: generator raised StopIteration)."),
    ],
)
def test_an_unforeseen_error_ends_the_grading(host, module, scene, grade, monkeypatch, caplog, error, told):
    from GliomaGradingLib.scene import inputs

    scene.case()
    before = scene.ids()
    monkeypatch.setattr(inputs, "volume_of", fail_with(error))
    grade()
    assert module.ui.messageLabel.text.replace("\u200b", "").startswith(told)
    assert "\n" in module.ui.messageLabel.text and "Traceback" in caplog.text
    assert module.ui.gradeButton.enabled and not module.ui.cancelButton.enabled and scene.ids() == before
    monkeypatch.undo()


def test_steps_that_end_too_early_are_an_error(host, module, scene, grade, monkeypatch):
    from GliomaGradingLib.panel import run

    monkeypatch.setattr(run.WorkerRun, "_prepare", lambda self: iter(()))
    scene.case()
    grade()
    assert module.ui.messageLabel.text.startswith("✖ Something unexpected went wrong (StopIteration)")


def test_an_unforeseen_error_of_publishing_is_said(host, module, scene, grade, monkeypatch):
    from GliomaGradingLib.scene import results

    scene.case()
    before = scene.ids()
    monkeypatch.setattr(results, "add_charts", fail_with(RuntimeError("no charts")))
    grade()
    assert module.ui.messageLabel.text.startswith(
        "✖ Something unexpected went wrong (RuntimeError: no charts)."
    )
    assert scene.ids() == before and module.ui.gradeButton.enabled


def test_an_unforeseen_error_of_maps_and_reports_is_said(host, module, scene, grade, monkeypatch, tmp_path):
    from GliomaGradingLib.panel import report, viewer

    scene.case()
    grade()
    monkeypatch.setattr(viewer, "publish_maps", fail_with(RuntimeError("no maps")))
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 20)
    assert module.ui.mapLabel.text.startswith("✖ Something unexpected went wrong (RuntimeError: no maps).")
    assert not module.ui.mapCheckBox.checked
    monkeypatch.setattr(report, "write_report", fail_with(RuntimeError("no disk")))
    with host.testing_mode(False):
        host.dialogs.answer(str(tmp_path))
        module.ui.reportButton.click()
    host.wait(lambda: module.widget.controller.report.run is None, 20)
    assert module.ui.reportLabel.text.startswith("✖ Something unexpected went wrong (RuntimeError: no disk).")


def test_cancel_counts_even_when_the_answer_is_there(host, module, scene):
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    controller = module.widget.controller
    module.ui.gradeButton.click()
    controller._timer.stop()
    run = controller.run
    while run.job is None:
        run._advance()  # a tick would look for an answer as well, which is there at once on a busy machine
    while not run.job.isDone:
        run.worker._step()  # takes the answer in, and leaves the callback for the next time
    module.ui.cancelButton.click()
    controller._timer.start()
    host.wait(lambda: controller.run is None, 10)
    assert scene.results() == [] and statuses(module) == ("Ready.", "Cancelled.")


# Scenes, samples, reloads


def test_a_volume_that_is_removed_leaves_the_memory(host, module, scene, grade):
    import slicer

    nodes = scene.case()
    grade()
    assert module.widget.controller._graded is not None
    slicer.mrmlScene.RemoveNode(nodes[0])
    assert module.widget.controller._graded is None


def test_regrading_keeps_the_names(host, module, scene, grade):
    scene.case()
    grade()

    def names():
        return {role: node.GetName() for role, node in module.logic.published.nodes.items()}

    before = names()
    assert before["result"] == "case result" and before["votes"] == "case votes"
    for _time in range(2):
        grade()
        assert names() == before


def test_a_scene_of_another_machine_shows_its_unusual_choices(host, module, scene, tmp_path):
    import slicer

    section = module.ui.advancedCollapsibleButton

    def loaded(**choices):
        for name, value in choices.items():
            setattr(module.widget.controller.parameters, name, value)
        assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
        host.close_scene()
        section.collapsed = True
        slicer.util.loadScene(str(tmp_path / "scene.mrb"))
        host.pump(0.2)
        return not section.collapsed

    scene.case()
    assert not loaded()
    assert not loaded(bundle="glioma-tcga")
    assert loaded(device="cuda")
    assert loaded(device="auto", bundle="/somewhere/else")
    module.panel.exit()
    section.collapsed = True
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert section.collapsed
    module.panel.enter()
    assert not section.collapsed


def test_choices_that_this_version_does_not_know_go_back_to_the_usual(host, module, scene, tmp_path):
    import slicer

    scene.case()
    module.widget.controller.parameters.bundle = "glioma-tcga"
    node = module.widget.controller.parameters.parameterNode
    module.panel.exit()
    for name, value in (("vote", "weighted"), ("device", "mps"), ("registration", "always")):
        node.SetParameter(name, value)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    module.panel.enter()
    chosen = module.widget.controller.parameters
    assert (chosen.vote, chosen.device, chosen.registration) == ("majority", "auto", "always")
    assert chosen.bundle == "glioma-tcga" and module.ui.deviceSelector.currentText == "auto"
    assert module.ui.gradeButton.enabled


def test_a_damaged_sample_is_made_once_more(host, module, monkeypatch, tmp_path):
    import slicer
    from GliomaGradingLib.scene import sample_data
    from test_viewer import _small_sample

    made = []
    monkeypatch.setattr(sample_data, "sample_folder", lambda preset: tmp_path)
    monkeypatch.setattr(
        sample_data, "write_sample_case", lambda *given: made.append(given) or _small_sample(*given)
    )
    for path in sample_data._files(tmp_path, "hgg"):
        path.write_bytes(b"\x1f\x8b trunc")
    module.ui.sampleButton.click()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    assert len(made) == 1 and module.ui.messageLabel.text == ""
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 3


def test_a_sample_that_is_damaged_again_is_said(host, module, scene, monkeypatch, tmp_path):
    from GliomaGradingLib.scene import sample_data
    from test_viewer import _small_sample

    def damaged(folder, preset):
        _small_sample(folder, preset)
        (folder / "synthetic-hgg_t2.nii.gz").write_bytes(b"\x1f\x8b trunc")

    monkeypatch.setattr(sample_data, "sample_folder", lambda preset: tmp_path)
    monkeypatch.setattr(sample_data, "write_sample_case", damaged)
    before = scene.ids()
    module.ui.sampleButton.click()
    assert module.ui.messageLabel.text.startswith("✖ Something unexpected went wrong (")
    assert "t2" in module.ui.messageLabel.text and module.ui.sampleButton.enabled
    assert scene.ids() == before


def test_a_reloaded_panel_goes_on_filling_in(host, module, scene):
    import slicer

    slicer.util.reloadScriptedModule("GliomaGrading")
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert module.ui.t1Selector.currentNode().GetName() == "case_t1"


@pytest.mark.parametrize(("position", "told"), [(-18.4, "I 18"), (-0.2, "S 0"), (0.0, "S 0"), (3.0, "S 3")])
def test_heights_are_not_to_be_mistaken(host, position, told):
    from GliomaGradingLib.panel.text import height_text

    assert height_text(position) == told


def test_measures_and_bars(host, module, scene, grade):
    scene.case()
    grade()
    measures = module.ui.measuresLabel.text.replace("\u00a0", " ")
    assert measures == "Tumour 60.0 ml · slices S 0 to S 19 mm · largest cross-section 25 mm²"
    assert "#868e96" in module.ui.t1ProbabilityBar.styleSheet


# Results that somebody has edited


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(votes=[]),
        lambda one: one["votes"].pop(),
        lambda one: one["slices"].update(indices=[], positions_mm=[]),
        lambda one: one["votes"][0].update(grade="III"),
        lambda one: one["votes"][0].update(probability_hgg=float("nan")),
        lambda one: one.update(seconds={"total": "long"}),
    ],
)
def test_a_result_that_is_none_any_more_is_not_shown(host, module, scene, grade, change):
    scene.case()
    grade()
    node = module.logic.node("result")
    stored = json.loads(node.GetText())
    change(stored)
    node.SetText(json.dumps(stored))
    module.widget.controller.refresh()
    assert module.ui.resultFrame.isHidden() and module.ui.viewFrame.isHidden()
    grade()
    assert not module.ui.resultFrame.isHidden()


def test_a_result_without_its_model_is_shown(host, module, scene, grade):
    scene.case()
    grade()
    node = module.logic.node("result")
    node.SetText(json.dumps({**json.loads(node.GetText()), "model": {"sha256": 5}, "software": {}}))
    module.widget.controller.refresh()
    assert "Model ? ? (?, 5) · GliomaGrading ?" in module.ui.modelLabel.text.replace("\u200b", "")


# A Slicer that is too old


def test_a_slicer_with_an_older_python_is_told_so(host, monkeypatch):
    """Slicer 5.8 has Python 3.9, in which the library cannot be imported; no traceback says what is wrong."""
    import slicer
    from grading_module import MODULE_FILE

    for name in [name for name in sys.modules if name.split(".")[0] == "GliomaGradingLib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "GliomaGradingLib", None)
    monkeypatch.setattr(sys, "version_info", (3, 9, 10, "final", 0))
    module = host.load(MODULE_FILE, enter=True)
    said = [label.text for label in slicer.util.findChildren(module.panel, className="QLabel")]
    assert "Glioma Grading needs Slicer 5.10 or later." in said
    host.close_scene()
    module.panel.exit()
    module.panel.enter()
    slicer.util.reloadScriptedModule("GliomaGrading")
    host.close_scene()
    host.unload("GliomaGrading")  # what is raised in any of these fails the test


def test_the_help_says_what_is_decided_and_where_to_learn_more(host, module):
    import slicer

    said = slicer.modules.gliomagrading.helpText
    assert "T1 without contrast agent" in said and "indeterminate: treat such a case as not graded" in said
    assert said.endswith(
        'See the <a href="https://github.com/GliomaGrading/GliomaGrading#tutorial">tutorial</a>.'
    )
