"""A result stands only on the images that it is of, and says so when they are not what was graded any more."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from test_viewer import LAYOUT, OWN, composites, graded, line, show, slice_nodes, with_map

__all__ = ["graded"]
DOUBT = "The inputs have changed since: grade again."


def plain(label):
    return label.text.replace("\u200b", "")


# The line in the views


def test_a_grade_is_not_written_on_another_patient(host, module, graded, scene):
    show(graded[0])
    assert line("Red") == "case\nHGG, P(HGG) 0.90\nresearch use only"
    other = scene.volume("berta_t2")
    show(other, "Red")
    assert line("Red") == "" and line("Green").startswith("case\nHGG")
    show(graded[2], "Red")
    assert line("Red").startswith("case\nHGG")
    show(None)
    assert [line(name) for name in ("Red", "Green", "Yellow")] == ["", "", ""]


def test_another_patient_in_the_foreground_counts(host, module, graded, scene):
    show(graded[0])
    composites()["Red"].SetForegroundVolumeID(scene.volume("berta_t1").GetID())
    composites()["Red"].SetForegroundOpacity(0.5)
    assert line("Red") == "" and line("Yellow").startswith("case\n")
    composites()["Red"].SetForegroundOpacity(0.0)
    assert line("Red").startswith("case\n")


def test_side_by_side_has_each_vote_on_its_own_sequence(host, module, graded, scene):
    module.ui.layoutButton.click()
    assert line(OWN[2]) == "case\nFLAIR: HGG, P(HGG) 0.90\nresearch use only"
    composites()[OWN[2]].SetBackgroundVolumeID(graded[0].GetID())
    assert line(OWN[2]) == "case\nHGG, P(HGG) 0.90\nresearch use only"
    composites()[OWN[2]].SetBackgroundVolumeID(scene.volume("berta_flair").GetID())
    assert line(OWN[2]) == ""


def test_the_name_of_the_case_is_shortened(host, module, scene, grade):
    nodes = scene.case("Krankenhaus_Musterstadt_Neuroradiologie_0815", 0.1)
    grade()
    show(nodes[1])
    assert line("Red").splitlines() == ["Krankenha…ogie_0815", "LGG, P(HGG) 0.10", "research use only"]


def test_a_map_is_not_laid_over_another_patient(host, module, graded, scene):
    show(graded[0])
    other = scene.volume("berta_t1")
    show(other, "Green")
    with_map(host, module)
    shown = module.logic.node("map.T1").GetID()
    assert [composites()[name].GetForegroundVolumeID() for name in ("Red", "Green")] == [shown, None]
    show(other, "Red")
    assert composites()["Red"].GetForegroundVolumeID() is None
    show(graded[1], "Green")
    assert composites()["Green"].GetForegroundVolumeID() == shown
    module.ui.mapCheckBox.click()
    assert composites()["Green"].GetForegroundVolumeID() is None


# Another module is opened


def test_views_keep_line_and_map_while_another_module_is_open(host, module, graded):
    show(graded[0])
    with_map(host, module)
    shown = module.logic.node("map.T1").GetID()
    module.panel.exit()
    assert line("Red").startswith("case\nHGG")
    assert composites()["Red"].GetForegroundVolumeID() == shown
    module.panel.enter()
    assert composites()["Red"].GetForegroundVolumeID() == shown and module.ui.mapCheckBox.checked


def test_a_result_that_goes_meanwhile_takes_line_and_map_along(host, module, graded):
    from GliomaGradingLib.scene.results import remove

    show(graded[0])
    with_map(host, module)
    module.panel.exit()
    remove(module.logic.node("result"))
    assert line("Red") == "" and composites()["Red"].GetForegroundVolumeID() is None


def test_closing_the_scene_in_another_module_clears_the_views(host, module, graded):
    import slicer
    import vtk

    show(graded[0])
    module.panel.exit()
    host.close_scene()
    corner = slicer.app.layoutManager().threeDWidget(0).threeDView().cornerAnnotation()
    assert line("Red") == "" and not corner.GetText(vtk.vtkCornerAnnotation.UpperLeft)


def test_the_end_of_the_panel_clears_the_views(host, module, graded):
    show(graded[0])
    module.panel.exit()
    module.widget.cleanup()
    assert line("Red") == ""
    module.widget.controller = None  # it is gone; the host would end it once more


# Voxels that change


def erase(node, segment):
    """Takes one voxel out of a segment, as a brush of one voxel does."""
    from vtk.util.numpy_support import vtk_to_numpy

    one = node.GetSegmentation().GetNthSegment(segment)
    labelmap = one.GetRepresentation("Binary labelmap")
    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    voxels[np.flatnonzero(voxels == one.GetLabelValue())[0]] = 0
    labelmap.Modified()


def test_an_edited_mask_makes_the_result_doubtful(host, module, graded):

    show(graded[0])
    erase(graded[3], 0)
    assert plain(module.ui.warningsLabel) == f"⚠ {DOUBT}"
    assert "dashed" in module.ui.bannerFrame.styleSheet and "italic" in module.ui.decisionLabel.styleSheet
    assert line("Red") == "case\nHGG, P(HGG) 0.90\ninputs changed · research use only"
    assert not module.ui.reportButton.enabled


def test_an_edited_image_makes_the_result_doubtful_until_it_is_graded(host, module, graded, grade):
    import slicer

    slicer.util.arrayFromVolume(graded[1])[:] = 0.3
    slicer.util.arrayFromVolumeModified(graded[1])
    assert DOUBT in plain(module.ui.warningsLabel)
    grade()
    assert module.ui.warningsLabel.text == "" and "solid" in module.ui.bannerFrame.styleSheet


def test_a_moved_image_makes_the_result_doubtful(host, module, graded):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    graded[2].SetAndObserveTransformNodeID(transform.GetID())
    assert module.ui.warningsLabel.text == ""
    matrix = np.eye(4)
    matrix[0, 3] = 5.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    assert DOUBT in plain(module.ui.warningsLabel)


def test_an_edit_while_it_is_graded_counts(host, module, scene):
    import slicer

    nodes = scene.case("pause")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.gradeButton.click()
    host.wait(lambda: "Choosing" in module.ui.statusLabel.text, 30)
    slicer.util.arrayFromVolumeModified(nodes[0])
    host.wait(lambda: module.widget.controller.run is None, 60)
    assert DOUBT in plain(module.ui.warningsLabel)


def test_looking_at_a_result_does_not_make_it_old(host, module, graded):
    import slicer

    module.ui.layoutButton.click()
    with_map(host, module)
    graded[3].CreateClosedSurfaceRepresentation()
    for name in ("Red", *OWN):
        slicer.app.layoutManager().sliceWidget(name).sliceView().forceRender()
    module.widget.controller.refresh()
    assert module.ui.warningsLabel.text == "" and not module.logic.published.isOutdated


def saved_and_loaded(host, path):
    import slicer

    assert slicer.util.saveScene(str(path))
    host.close_scene()
    slicer.util.loadScene(str(path))
    host.pump(0.3)


def test_a_result_out_of_a_file_is_as_doubtful_as_it_was(host, module, graded, grade, tmp_path):
    import slicer

    saved_and_loaded(host, tmp_path / "fine.mrb")
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"
    assert module.ui.warningsLabel.text == "" and module.ui.reportButton.enabled
    grade()
    slicer.util.arrayFromVolumeModified(module.logic.node("T2"))
    saved_and_loaded(host, tmp_path / "changed.mrb")
    assert plain(module.ui.warningsLabel).startswith(f"⚠ {DOUBT}")
    assert "dashed" in module.ui.bannerFrame.styleSheet and not module.ui.reportButton.enabled
    saved_and_loaded(host, tmp_path / "changed again.mrb")
    assert DOUBT in plain(module.ui.warningsLabel)
    grade()
    assert module.ui.warningsLabel.text == ""
    saved_and_loaded(host, tmp_path / "graded.mrb")
    assert module.ui.warningsLabel.text == ""


def outdated():
    """Of each case in the scene: what a file would say of its result, and what is said now."""
    from GliomaGradingLib.scene.results import Published, result_nodes

    return {
        text.GetAttribute("GliomaGrading.Result"): (
            text.GetAttribute("GliomaGrading.Outdated"),
            Published(text).isOutdated,
        )
        for text in result_nodes()
    }


OLD, NEW = ("1", True), (None, False)


def redraw(node, image):
    """Takes one slice out of the first segment as Slicer's own editor does, which tells of it in any case."""
    import slicer

    segment = node.GetSegmentation().GetNthSegmentID(0)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, image)
    array[2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment, image)


def test_a_change_after_loading_makes_a_result_out_of_a_file_doubtful(host, module, graded, tmp_path):
    import slicer

    saved_and_loaded(host, tmp_path / "fine.mrb")
    for name in ("Red", "Green"):
        slicer.app.layoutManager().sliceWidget(name).sliceView().forceRender()
    assert outdated() == {"case": NEW} and module.ui.warningsLabel.text == ""
    redraw(module.logic.node("mask"), module.logic.node("T1"))
    assert outdated() == {"case": OLD} and DOUBT in plain(module.ui.warningsLabel)
    saved_and_loaded(host, tmp_path / "changed.mrb")
    assert outdated() == {"case": OLD} and DOUBT in plain(module.ui.warningsLabel)


def test_a_scene_that_was_loaded_before_the_module_is_opened_is_watched(host, module, graded, tmp_path):
    import slicer
    from GliomaGradingLib.scene import stamps, watch
    from grading_module import MODULE_FILE

    assert slicer.util.saveScene(str(tmp_path / "fine.mrb"))
    host.unload("GliomaGrading")
    host.close_scene()
    watch.stop_watching()
    slicer.util.loadScene(str(tmp_path / "fine.mrb"))
    text = slicer.util.getNode("case result")
    assert stamps.kept(text) is None
    module = host.load(MODULE_FILE, enter=True)
    redraw(module.logic.node("mask"), module.logic.node("T1"))
    assert outdated() == {"case": OLD}


@pytest.mark.parametrize("has_panel", [True, False], ids=["another case in the panel", "no panel"])
def test_any_result_whose_images_were_changed_is_saved_as_outdated(
    host, module, scene, tmp_path, has_panel, request
):
    import slicer

    logic = module.logic if has_panel else module.python.GliomaGradingLogic()
    request.addfinalizer(logic.close)
    if not has_panel:
        host.unload("GliomaGrading")
    anna, berta = scene.case("anna", 0.9), scene.case("berta", 0.1)
    for nodes in (anna, berta):
        logic.process(*nodes)
    if has_panel:
        for name, node in zip(("t1", "t2", "flair", "mask"), berta, strict=True):
            setattr(module.widget.controller.parameters, name, node)
    assert outdated() == {"anna": NEW, "berta": NEW}
    erase(anna[3], 0)
    assert outdated() == {"anna": OLD, "berta": NEW}
    assert slicer.util.saveScene(str(tmp_path / "both.mrb"))
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "both.mrb"))
    assert outdated() == {"anna": OLD, "berta": NEW}


def test_only_the_results_of_what_was_changed_are_looked_at(host, module, scene, monkeypatch):
    """Drawing is many changes of one mask, and a scene may have the results of many cases."""
    from GliomaGradingLib.scene import inputs

    anna, berta = scene.case("anna", 0.9), scene.case("berta", 0.1)
    for nodes in (anna, berta):
        module.logic.process(*nodes)
    real, looks = inputs.stamp_of, set()
    monkeypatch.setattr(
        inputs, "stamp_of", lambda nodes, *given: looks.add(nodes[0].GetName()) or real(nodes, *given)
    )
    erase(anna[3], 0)
    assert looks == {anna[0].GetName()} and outdated() == {"anna": OLD, "berta": NEW}
    looks.clear()
    berta[1].Modified()
    assert looks == {berta[0].GetName()} and outdated() == {"anna": OLD, "berta": NEW}


@contextmanager
def batch():
    import slicer

    scene = slicer.mrmlScene
    scene.StartState(scene.BatchProcessState)
    yield
    scene.EndState(scene.BatchProcessState)


def settled(host):
    """What was about to be looked at anyway has been."""
    host.pump(0.2)


def test_a_change_in_a_batch_is_seen_at_its_end(host, module, graded):
    settled(host)
    with batch():
        erase(graded[3], 0)
    assert outdated() == {"case": OLD}
    assert DOUBT in plain(module.ui.warningsLabel) and not module.ui.reportButton.enabled


def test_a_change_of_voxels_in_a_batch_is_said_in_the_views_of_another_module(host, module, graded):
    import slicer

    show(graded[0])
    module.panel.exit()
    settled(host)
    with batch():
        slicer.util.updateVolumeFromArray(graded[0], np.full((8, 10, 12), 0.1, np.float32))
    assert outdated() == {"case": OLD} and line("Red").endswith("inputs changed · research use only")


def test_segments_that_come_and_go_in_a_batch_are_listed(host, module, scene):
    nodes = scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    settled(host)
    box, segmentation = module.ui.segmentSelector, nodes[3].GetSegmentation()
    with batch():
        segmentation.AddEmptySegment("more", "more")
        segmentation.GetNthSegment(0).SetName("whole")
    assert [box.itemText(row) for row in range(box.count)] == ["All segments together", "whole", "more"]
    module.widget.controller.parameters.segmentId = "more"
    with batch():
        segmentation.RemoveSegment("more")
    assert [box.itemText(row) for row in range(box.count)] == ["All segments together", "whole"]


def test_a_segment_in_which_nothing_is_drawn_changes_no_mask(host, module, graded, grade):
    """What a click on Add in the Segment Editor leaves."""
    segmentation = graded[3].GetSegmentation()
    added = segmentation.AddEmptySegment("", "Segment_2")
    settled(host)
    assert outdated() == {"case": NEW} and module.ui.reportButton.enabled
    grade()
    segmentation.RemoveSegment(added)
    settled(host)
    assert outdated() == {"case": NEW}
    erase(graded[3], 0)
    assert outdated() == {"case": OLD}


def test_another_segmentation_in_the_same_node_is_listened_to(host, module, graded):
    """By scripts, and by Slicer itself where it restores one."""
    import slicer

    before = graded[3].GetSegmentation()
    other = slicer.vtkSegmentation()
    other.DeepCopy(before)
    graded[3].SetAndObserveSegmentation(other)
    assert outdated() == {"case": NEW}
    other.GetNthSegment(0).SetName("renamed")
    box = module.ui.segmentSelector
    assert [box.itemText(row) for row in range(box.count)] == ["All segments together", "renamed"]
    erase(graded[3], 0)
    assert outdated() == {"case": OLD} and DOUBT in plain(module.ui.warningsLabel)
    before.GetNthSegment(0).SetName("nobody's")
    assert box.itemText(1) == "renamed"


def test_what_a_result_was_made_of_is_let_go_of(host, module, graded, grade):
    """Whatever is observed stays in the memory, with all its voxels."""
    import slicer
    from GliomaGradingLib.scene.results import remove
    from GliomaGradingLib.scene.watch import _watch

    def observed():
        return {thing.GetID() for thing, _event in _watch._inputs._observed if hasattr(thing, "GetID")}

    ids = [node.GetID() for node in graded]
    assert observed() == set(ids)
    slicer.mrmlScene.RemoveNode(graded[1])
    assert observed() == {ids[0], *ids[2:]}
    remove(slicer.util.getNode("case result"))
    assert observed() == set()
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "case_t2")
    second.CopyContent(graded[0])
    module.logic.process(graded[0], second, *graded[2:])
    assert observed() == {ids[0], second.GetID(), *ids[2:]}
    host.close_scene()
    assert observed() == set()


def test_drawing_in_another_module_makes_the_result_doubtful(host, module, graded, tmp_path):
    import slicer

    show(graded[0])
    module.panel.exit()
    slicer.util.arrayFromVolumeModified(graded[1])
    assert line("Red") == "case\nHGG, P(HGG) 0.90\ninputs changed · research use only"
    assert module.logic.node("result").GetAttribute("GliomaGrading.Outdated") == "1"
    slicer.mrmlScene.RemoveNode(graded[1])
    assert module.widget._inputObservers._observed == []


def test_what_was_moved_back_is_not_outdated(host, module, graded):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    graded[2].SetAndObserveTransformNodeID(transform.GetID())
    moved = np.eye(4)
    moved[0, 3] = 5.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    assert module.logic.node("result").GetAttribute("GliomaGrading.Outdated") == "1"
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
    assert module.logic.node("result").GetAttribute("GliomaGrading.Outdated") is None


APART = [(slice(2, 4), slice(3, 8), slice(4, 9)), (slice(4, 6), slice(4, 6), slice(5, 7))]
WITHIN = [(slice(2, 6), slice(3, 8), slice(4, 9)), (slice(3, 5), slice(4, 6), slice(5, 7))]


@pytest.fixture
def two_segments(host, module, scene, grade):
    """Grades the first of two segments, each drawn in a layer of its own."""

    def graded_of(boxes):
        scene.sequences()
        node = scene.segmentation(segments=("whole tumour", "core"), boxes=boxes)
        assert node.GetSegmentation().GetNumberOfLayers() == 2
        host.wait(lambda: module.ui.gradeButton.enabled, 10)
        module.widget.controller.parameters.segmentId = node.GetSegmentation().GetNthSegmentID(0)
        grade()
        assert not module.logic.published.isOutdated
        return node

    return graded_of


@pytest.mark.parametrize(("boxes", "layers"), [(APART, 1), (WITHIN, 2)])
def test_saving_segments_is_no_change_of_them(host, module, two_segments, tmp_path, boxes, layers):
    """Slicer brings segments into as few layers as possible, with other labels, whenever it writes them."""
    import slicer

    node = two_segments(boxes)
    first = node.GetSegmentation().GetNthSegment(0)
    before = first.GetRepresentation("Binary labelmap"), node.GetSegmentation().GetMTime()
    assert slicer.util.saveNode(node, str(tmp_path / "case.seg.nrrd"))
    host.pump(0.3)
    assert node.GetSegmentation().GetNumberOfLayers() == layers
    assert (first.GetRepresentation("Binary labelmap"), node.GetSegmentation().GetMTime()) != before
    assert not module.logic.published.isOutdated and module.ui.warningsLabel.text == ""
    assert module.logic.node("result").GetAttribute("GliomaGrading.Outdated") is None
    erase(node, 0)
    assert module.logic.published.isOutdated and DOUBT in plain(module.ui.warningsLabel)


def test_drawing_in_a_segment_that_was_not_graded_is_no_change(host, module, two_segments):
    node = two_segments(APART)
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    erase(node, 1)
    assert not module.logic.published.isOutdated and module.ui.warningsLabel.text == ""
    erase(node, 0)
    assert module.logic.published.isOutdated and DOUBT in plain(module.ui.warningsLabel)


def test_what_is_drawn_is_looked_at_once_after_each_change(host, module, graded, monkeypatch):
    from GliomaGradingLib.scene import stamps

    real, looks = stamps._shape_of, []
    monkeypatch.setattr(stamps, "_shape_of", lambda *given: looks.append(1) or real(*given))
    for _again in range(3):
        assert not module.logic.published.isOutdated
    assert looks == []
    graded[3].GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").Modified()
    for _again in range(3):
        assert not module.logic.published.isOutdated
    assert looks == [1]


def test_hardening_a_transform_is_no_change(host, module, scene, grade):
    import slicer

    nodes = scene.case()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turn, shift = np.radians(7.0), (5.1, -3.3, 0.7)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = shift
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in nodes[:3]:
        node.SetSpacing(0.9765625, 0.9765625, 1.5)
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())
    grade()
    assert not module.logic.published.isOutdated
    for node in nodes:
        node.HardenTransform()
        assert node.GetParentTransformNode() is None
    assert not module.logic.published.isOutdated and module.ui.warningsLabel.text == ""
    nodes[3].SetAndObserveTransformNodeID(transform.GetID())
    assert module.logic.published.isOutdated and DOUBT in plain(module.ui.warningsLabel)


def grid_transform(shift):
    """A warp that moves everything by ``shift`` mm along R."""
    import slicer
    import vtk

    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.SetOrigin(-60, -60, -60)
    image.SetSpacing(60, 60, 60)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    image.GetPointData().GetScalars().Fill(0)
    image.GetPointData().GetScalars().FillComponent(0, shift)
    warp = slicer.vtkOrientedGridTransform()
    warp.SetDisplacementGridData(image)
    return warp


def test_a_warp_above_the_first_parent_counts(host, module, scene, grade, capfd):
    import slicer

    nodes = scene.case()
    first = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    above = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    above.SetAndObserveTransformToParent(grid_transform(0.0))
    first.SetAndObserveTransformNodeID(above.GetID())
    nodes[0].SetAndObserveTransformNodeID(first.GetID())
    grade()
    assert module.ui.messageLabel.text == "" and module.ui.warningsLabel.text == ""
    assert not module.logic.published.isOutdated
    above.SetAndObserveTransformToParent(grid_transform(4.0))
    assert module.logic.published.isOutdated and DOUBT in plain(module.ui.warningsLabel)
    assert "ERR|" not in "".join(capfd.readouterr())


# Options that change


def test_options_that_were_changed_since_are_said(host, module, graded, grade):
    label = module.ui.optionsLabel
    assert label.isHidden() and label.text == ""
    text = module.logic.node("result")
    assert (text.GetAttribute("GliomaGrading.Vote"), text.GetAttribute("GliomaGrading.Bundle")) == (
        "majority",
        "",
    )
    parameters = module.widget.controller.parameters
    for name, other, before in (
        ("vote", "soft", "majority"),
        ("registration", "never", "auto"),
        ("bundle", "/another/model", ""),
    ):
        setattr(parameters, name, other)
        assert label.text == "The options have changed since: grade again to apply them.", name
        assert not label.isHidden()
        setattr(parameters, name, before)
        assert label.isHidden()
    parameters.device = "cpu"
    assert label.isHidden()
    parameters.vote = "soft"
    grade()
    assert label.isHidden()
    assert module.logic.node("result").GetAttribute("GliomaGrading.Vote") == "soft"


def test_a_result_without_options_claims_nothing(host, module, graded):
    text = module.logic.node("result")
    for name in ("Vote", "Bundle"):
        text.RemoveAttribute(f"GliomaGrading.{name}")
    module.widget.controller.parameters.vote = "soft"
    assert module.ui.optionsLabel.isHidden()


# Messages of another patient


def test_an_error_does_not_stand_beside_another_patient(host, module, scene, grade):
    scene.sequences("anna")
    scene.labelmap("anna_seg", box=(slice(0, 0),))
    grade()
    assert module.ui.messageLabel.text.startswith("✖ The mask is empty")
    module.panel.exit()
    module.panel.enter()
    assert module.ui.messageLabel.text.startswith("✖ The mask is empty")
    other = scene.case("berta")
    module.ui.t1Selector.setCurrentNode(other[0])
    assert module.ui.messageLabel.text == "" and not module.ui.statusLabel.isHidden()


def test_an_error_goes_with_its_scene(host, module, scene, grade):
    scene.sequences("anna")
    scene.labelmap("anna_seg", box=(slice(0, 0),))
    grade()
    assert module.ui.messageLabel.text != ""
    host.close_scene()
    assert module.ui.messageLabel.text == ""


# What others wrote, and 3D


def corner_3d():
    import slicer

    return slicer.app.layoutManager().threeDWidget(0).threeDView().cornerAnnotation()


def test_what_another_module_wrote_stays(host, module, graded):
    import vtk

    place = vtk.vtkCornerAnnotation.UpperLeft
    corner_3d().SetText(place, "volume 3 of 10")
    show(graded[0], "Red")
    module.widget.controller.viewer.leave()
    assert corner_3d().GetText(place) == "volume 3 of 10"
    corner_3d().SetText(place, "")
    module.widget.controller.refresh()
    assert corner_3d().GetText(place) == "case\nHGG, P(HGG) 0.90\nresearch use only"
    look = corner_3d().GetTextProperty()
    assert look.GetShadow() and look.GetBackgroundOpacity() == 0.5  # white on a bright skull is read so
    module.widget.controller.viewer.leave()
    assert not look.GetShadow() and look.GetBackgroundOpacity() == 0
    corner_3d().SetText(place, "")


def test_the_3d_line_goes_with_the_images(host, module, graded, scene):
    import vtk

    place = vtk.vtkCornerAnnotation.UpperLeft
    show(graded[0])
    assert corner_3d().GetText(place).startswith("case\nHGG")
    show(scene.volume("berta_t1"))
    assert not corner_3d().GetText(place)
    graded[3].CreateDefaultDisplayNodes()
    graded[3].CreateClosedSurfaceRepresentation()
    module.widget.controller.refresh()
    assert corner_3d().GetText(place).startswith("case\nHGG")  # its tumour is seen in 3D
    graded[3].GetDisplayNode().SetVisibility(False)
    assert not corner_3d().GetText(place)


# Scenes that were saved as the module had them


def test_a_scene_is_undone_when_the_module_is_opened_after_it(host, fake_worker, scene, tmp_path):
    import slicer
    from grading_module import MODULE_FILE

    module = host.load(MODULE_FILE, enter=True)
    nodes = scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.ui.gradeButton.click()
    host.wait(lambda: module.widget.controller.run is None, 60)
    nodes[3].CreateDefaultDisplayNodes()
    nodes[3].GetDisplayNode().SetVisibility2DFill(True)
    show(nodes[0])
    composites()["Red"].SetForegroundVolumeID(nodes[1].GetID())
    module.ui.layoutButton.click()
    with_map(host, module)
    assert slicer.util.saveScene(str(tmp_path / "fall.mrb"))
    host.close_scene()
    module.widget.removeObservers()  # as if it had never been opened
    slicer.util.loadScene(str(tmp_path / "fall.mrb"))
    assert slicer.app.layoutManager().layout == LAYOUT
    module.widget.cleanup()
    again = host.load(MODULE_FILE, enter=True)
    assert slicer.app.layoutManager().layout != LAYOUT
    red = composites()["Red"]
    assert red.GetForegroundVolumeID() == again.logic.node("T2").GetID()
    display = again.logic.node("mask").GetDisplayNode()
    assert display.GetVisibility2DFill() == 1
    segment = again.logic.node("mask").GetSegmentation().GetNthSegmentID(0)
    assert display.GetSegmentOverrideColor(segment)[0] == -1
    scene_nodes = [slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes())]
    names = [name for node in scene_nodes for name in node.GetAttributeNames()]
    assert [name for name in names if name.startswith("GliomaGrading.Was.")] == []


def test_the_layout_is_known_from_the_start(host):
    import slicer
    from GliomaGradingLib.scene.views import register_layout

    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    register_layout()
    assert "GliomaGradingFLAIR" in node.GetLayoutDescription(LAYOUT)


def test_startup_registers_the_layout_whatever_becomes_of_the_samples(host, monkeypatch):
    from GliomaGradingLib.scene import sample_data, views
    from grading_module import MODULE_FILE

    called = []

    def fail(*_):
        raise RuntimeError("no samples")

    monkeypatch.setattr(views, "register_layout", lambda: called.append(True))
    monkeypatch.setattr(sample_data, "register", fail)
    host.load(MODULE_FILE)
    assert called == [True]
    (problem,) = host.problems()
    assert "no samples" in problem


def test_ids_that_change_on_import_are_followed(host, scene):
    from GliomaGradingLib.scene.changes import Changes, undo_saved

    before, other = scene.volume("before"), scene.volume("map")
    red = composites()["Red"]
    red.SetForegroundVolumeID(before.GetID())
    Changes().set(red, "ForegroundVolumeID", other.GetID())
    red.SetAttribute(
        "GliomaGrading.Was.ForegroundVolumeID", '"vtkMRMLScalarVolumeNode77"'
    )  # as in another scene
    undo_saved()
    assert red.GetForegroundVolumeID() == before.GetID()
    assert red.GetNodeReferenceID("GliomaGrading.Was.ForegroundVolumeID") is None


# Plot and colours


def test_other_modules_plots_move_nothing(host, module, graded):
    import slicer

    view = plot_view(module)
    stranger = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "pharmacokinetics")
    view.click(stranger, 15)
    assert module.ui.sliceSlider.value == 4 and slice_nodes()["Red"].GetSliceOffset() == 4.0
    view.click(module.logic.node("series.FLAIR"), 15)
    assert module.ui.sliceSlider.value == 15


def test_the_legend_has_room_beside_the_curves(host, module, graded):
    """VTK lays the legend over the right upper corner: nothing may be drawn there."""
    chart = module.logic.node("chart")
    low, high = chart.GetXAxisRange()
    assert low == -1.0 and high == pytest.approx(19 + 0.6 * 19)
    view = plot_view(module)
    view._offscreen.show(chart)
    view._offscreen.image(560, 300)  # side by side on a small screen
    drawn = view._offscreen.chart
    legend = drawn.GetLegend().GetBoundingRect(view._offscreen.view.GetContext()).GetX()
    axis = drawn.GetAxis(1)
    start, end = axis.GetPoint1()[0], axis.GetPoint2()[0]
    assert start + (end - start) * (19.0 - low) / (high - low) < legend


def plot_view(module):
    """The plot of the side-by-side layout."""
    import slicer

    module.ui.layoutButton.click()
    manager = slicer.app.layoutManager()
    views = [manager.plotWidget(i).plotView() for i in range(manager.plotViewCount)]
    (view,) = [one for one in views if one.mrmlPlotViewNode().GetSingletonTag() == "GliomaGradingPlot"]
    return view


def test_sequences_have_colours_of_their_own(host, module, graded):
    from GliomaGradingLib.palette import GRADE_COLORS, OUTLINE_COLOR, SEQUENCE_COLORS, rgb
    from GliomaGradingLib.scene.views import layout_description

    for name, color in SEQUENCE_COLORS.items():
        assert module.logic.node(f"series.{name}").GetColor() == pytest.approx(rgb(color), abs=1e-3)
        assert color in layout_description()
    assert not set(SEQUENCE_COLORS.values()) & set(GRADE_COLORS.values())
    assert GRADE_COLORS["HGG"] in module.ui.bannerFrame.styleSheet
    display = graded[3].GetDisplayNode()
    segment = graded[3].GetSegmentation().GetNthSegmentID(0)
    module.ui.layoutButton.click()
    display = graded[3].GetDisplayNode()
    assert [display.GetSegmentOverrideColor(segment)[i] for i in range(3)] == pytest.approx(rgb(OUTLINE_COLOR))
    module.ui.layoutButton.click()
    assert display.GetSegmentOverrideColor(segment)[0] == -1
    assert module.ui.probabilityHeader.text == "P(HGG)"


@pytest.mark.parametrize("segments", [("tumour", "necrosis"), ("oedema", "Right ventricle")])
def test_only_what_was_graded_is_outlined_in_the_tumours_colour(host, module, scene, grade, segments):
    """One segment that was chosen; all but those that are no tumour by their names."""
    from GliomaGradingLib.palette import OUTLINE_COLOR, rgb

    scene.sequences()
    mask = scene.segmentation(segments=segments)
    grade()
    module.ui.layoutButton.click()
    display = mask.GetDisplayNode()
    first, second = mask.GetSegmentation().GetSegmentIDs()
    assert [display.GetSegmentOverrideColor(first)[i] for i in range(3)] == pytest.approx(rgb(OUTLINE_COLOR))
    assert display.GetSegmentOverrideColor(second)[0] == -1


@pytest.mark.parametrize("ground", ["#ffffff", "#2b2b2b"])
def test_sequences_are_seen_on_light_and_dark(host, ground):
    from GliomaGradingLib.palette import SEQUENCE_COLORS, rgb

    def light(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(color)]
        return float(np.dot((0.2126, 0.7152, 0.0722), linear))

    for color in SEQUENCE_COLORS.values():
        low, high = sorted((light(color), light(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3.0, color


# Folders


def test_a_folder_of_the_users_is_not_removed(host, module, graded, grade):
    import slicer

    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    mine = tree.CreateFolderItem(tree.GetSceneItemID(), "my results")
    for role in ("result", "votes", "slices", "chart", "shown"):
        tree.SetItemParent(tree.GetItemByDataNode(module.logic.node(role)), mine)
    grade()
    assert tree.GetItemName(mine) == "my results" and tree.GetItemParent(mine) == tree.GetSceneItemID()
    assert tree.GetItemChildWithName(tree.GetSceneItemID(), "case")


def test_a_result_stays_where_the_user_has_put_its_folder(host, module, graded, grade):
    import slicer

    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = tree.CreateFolderItem(tree.GetSceneItemID(), "study of May")

    def folder():
        return tree.GetItemParent(tree.GetItemByDataNode(module.logic.node("result")))

    tree.SetItemParent(folder(), study)
    before = folder()
    grade()
    assert folder() != before and tree.GetItemParent(folder()) == study
    assert tree.GetItemName(folder()) == "case" and tree.GetNumberOfItemChildren(study) == 1
    assert not tree.GetItemChildWithName(tree.GetSceneItemID(), "case")


# Nobody has opened the panel


def test_a_change_is_seen_in_a_loaded_scene_before_the_panel_is_opened(host, module, graded, tmp_path):
    """Slicer makes a module's widget when it is opened first; the scene may be saved again before."""
    import slicer
    from GliomaGradingLib.scene.watch import stop_watching

    path = str(tmp_path / "graded.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    module.panel.exit()
    module.widget.cleanup()
    module.widget.controller = None  # it is gone; the host would end it once more
    stop_watching()
    module.python.GliomaGrading.watchResults(None)  # as at the start of Slicer
    slicer.util.loadScene(path)
    assert outdated() == {"case": NEW}
    slicer.util.arrayFromVolumeModified(slicer.util.getNode("case_t1"))
    assert outdated() == {"case": OLD}


# A result that somebody deletes


def test_the_rest_of_a_result_goes_with_its_text(host, module, scene, grade):
    import slicer

    nodes = scene.case(value=0.9)
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    before, tree = scene.ids(), slicer.mrmlScene.GetSubjectHierarchyNode()
    items = tree.GetNumberOfItems()
    grade()
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 30)
    assert module.logic.node("map.T1") is not None
    slicer.mrmlScene.RemoveNode(scene.results()[0])
    settled(host)
    kinds = {slicer.mrmlScene.GetNodeByID(one).GetClassName() for one in scene.ids() - before}
    assert kinds <= {"vtkMRMLScalarVolumeDisplayNode", "vtkMRMLSegmentationDisplayNode"}  # of the images
    assert tree.GetNumberOfItems() == items and all(node.GetScene() is not None for node in nodes)


def test_a_result_that_is_deleted_takes_its_nodes_and_its_folder_along(host, module, scene, grade):
    """Slicer takes a node out of the subject hierarchy before modules hear that it goes."""
    import slicer

    from Testing.host.subject_hierarchy import drop_item

    scene.case()
    before = scene.ids()
    grade()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemByName("case")
    about_to_go = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent
    tag = slicer.mrmlScene.AddObserver(about_to_go, drop_item, 0.5)  # it began to look before any module
    slicer.mrmlScene.RemoveNode(scene.results()[0])
    slicer.mrmlScene.RemoveObserver(tag)
    host.pump(0.2)
    assert scene.ids() == before
    assert not hierarchy.GetItemByName("case")
