"""slicer.app, slicer.util, files and views of the embedded Slicer."""

from __future__ import annotations

import sys

import numpy as np
import pytest


@pytest.fixture
def ball(host):
    """A bright ball of radius 20 mm around (-30, -40, 50) RAS in a dark volume of 1 x 1 x 2 mm voxels."""
    import slicer

    z, y, x = np.mgrid[0:50, 0:100, 0:80]
    inside = (x - 30) ** 2 + (y - 40) ** 2 + (2 * z - 50) ** 2 < 20**2
    array = np.where(inside, 1000, 10).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, np.diag([-1.0, -1.0, 2.0, 1.0]), "ball")
    return node, inside


def test_the_application_says_what_modules_ask(host):
    import slicer

    app = slicer.app
    assert (app.applicationName, app.majorVersion, app.minorVersion) == ("Slicer", 5, 12)
    assert app.mrmlScene() is slicer.mrmlScene
    assert app.testingEnabled()
    assert slicer.util.mainWindow() is None
    assert slicer.util.tempDirectory().startswith(app.temporaryPath)
    assert app.applicationLogic().GetSelectionNode() is not None
    assert "Segmentations" in slicer.util.moduleNames()


def test_volume_files(host, ball, tmp_path):
    import slicer

    node, _ = ball
    path = str(tmp_path / "ä b.nii.gz")
    assert slicer.util.saveNode(node, path)
    again = slicer.util.loadVolume(path)
    assert again.GetName() == "ä b"
    assert np.array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(node))
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "absent.nii.gz"))


def test_a_scene_file_brings_back_parameters_and_nodes(host, ball, probe_file, tmp_path):
    import slicer

    module = host.load(probe_file, enter=True)
    module.ui.inputSelector.setCurrentNode(ball[0])
    module.ui.thresholdSlider.value = 77
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    assert module.widget._parameterNode.threshold == 100
    slicer.util.loadScene(path)
    parameters = module.logic.getParameterNode()
    assert parameters.threshold == 77
    assert parameters.inputVolume.GetName() == "ball"
    assert module.ui.inputSelector.currentNode() is parameters.inputVolume
    assert module.ui.thresholdSlider.value == 77


def test_slice_views_show_the_volume(host, ball):
    import slicer

    slicer.util.setSliceViewerLayers(background=ball[0], fit=True)
    view = slicer.app.layoutManager().sliceWidget("Red")
    view.mrmlSliceNode().JumpSliceByCentering(-30, -40, 50)
    picture = view.sliceView().picture()
    height, width, _ = picture.shape
    assert picture[height // 2, width // 2].tolist() == [255, 255, 255]
    assert view.sliceLogic().GetSliceOffset() == pytest.approx(50)
    view.mrmlSliceNode().JumpSliceByCentering(-30, -40, 90)
    assert view.sliceView().picture()[height // 2, width // 2].max() < 30
    host.close_scene()
    assert view.mrmlSliceCompositeNode().GetBackgroundVolumeID() is None
    assert view.sliceView().picture().max() < 30


def test_segmentation_is_drawn_over_the_slice(host, ball):
    import slicer

    node, inside = ball
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    view = slicer.app.layoutManager().sliceWidget("Red")
    view.mrmlSliceNode().JumpSliceByCentering(-30, -40, 50)
    before = view.sliceView().picture()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tumour")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
    segment = segmentation.GetSegmentation().AddEmptySegment("", "tumour", [1.0, 0.0, 0.0])
    slicer.util.updateSegmentBinaryLabelmapFromArray(inside.astype(np.uint8), segmentation, segment, node)
    after = view.sliceView().picture()
    height, width, _ = after.shape
    red, green, blue = after[height // 2, width // 2].astype(int)
    assert red > green + 50
    assert red > blue + 50
    assert np.array_equal(before[0, 0], after[0, 0])


def test_corner_of_the_3d_view(host):
    import slicer
    import vtk

    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    empty = view.picture()
    view.cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperRight, "HGG 0.87")
    view.forceRender()
    changed = (view.picture() != empty).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 20
    assert rows.max() < changed.shape[0] / 2
    assert columns.min() > changed.shape[1] / 2
    view.cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperRight, "")


def test_layouts(host):
    import slicer

    manager, layouts = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    assert manager.sliceViewNames()[:3] == (
        "Red",
        "Green",
        "Yellow",
    )  # a module's own layout may have added some
    got = []
    manager.connect("layoutChanged(int)", got.append)
    manager.setLayout(layouts.SlicerLayoutOneUpRedSliceView)
    assert manager.layout == layouts.SlicerLayoutOneUpRedSliceView == got[-1]
    assert manager.sliceWidget("Green").isHidden()
    assert not manager.sliceWidget("Red").isHidden()


def test_message_boxes_in_testing_mode_and_out_of_it(host):
    import qt
    import slicer

    slicer.util.errorDisplay("Nothing to grade")
    slicer.util.confirmOkCancelDisplay("Install?")
    assert host.dialogs.shown == []
    assert slicer.app.commandOptions().testingEnabled
    with host.testing_mode(False):
        assert not slicer.app.commandOptions().testingEnabled
        host.dialogs.answer(qt.QMessageBox.Cancel, lambda dialog: qt.QMessageBox.Yes)
        assert slicer.util.confirmOkCancelDisplay("Install?") is False
        assert slicer.util.confirmYesNoDisplay("Sure?") is True
    assert [one.text for one in host.dialogs.shown] == ["Install?", "Sure?"]


def test_a_dialog_that_nobody_answers_is_a_failure(host):
    import qt

    assert qt.QMessageBox.question(None, "Title", "Really?") == qt.QMessageBox.Cancel
    (problem,) = host.problems()
    assert "Really?" in problem


def test_console_process_in_the_background(host):
    import slicer

    lines, codes = [], []
    slicer.util.launchConsoleProcess(
        [sys.executable, "-c", "print('one'); print('two')"],
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    host.wait(lambda: codes, 30)
    assert (lines, codes) == (["one", "two"], [0])


def test_packages_are_never_installed(host):
    import slicer
    import slicer.packaging

    slicer.packaging.pip_ensure(["numpy>=1.0"])
    assert slicer.packaging.requested == []
    slicer.packaging.pip_ensure(["no-such-package-anywhere>=1"])
    assert slicer.packaging.requested == [["no-such-package-anywhere>=1"]]
    slicer.packaging.answer = False
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure("no-such-package-anywhere")


def test_images_to_simpleitk_and_back(host, ball):
    import sitkUtils
    import slicer

    node, _ = ball
    image = sitkUtils.PullVolumeFromSlicer(node)
    assert image.GetSpacing() == (1.0, 1.0, 2.0)
    again = sitkUtils.PushVolumeToSlicer(image, name="again")
    assert np.array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(node))
    assert np.allclose(again.GetImageData().GetDimensions(), node.GetImageData().GetDimensions())


def test_sample_data_from_a_file(host, ball, tmp_path):
    import SampleData
    import slicer

    path = tmp_path / "sample.nrrd"
    slicer.util.saveNode(ball[0], str(path))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Glioma", sampleName="Ball", uris=path.as_uri(), fileNames="sample.nrrd", nodeNames="Ball"
    )
    assert SampleData.downloadSample("Ball").GetName() == "Ball"
    assert SampleData.downloadSamples("Cube") == []


@pytest.mark.parametrize(
    ("given", "error"),
    [({}, TypeError), ({"uris": []}, TypeError), ({"uris": [], "fileNames": ["a"]}, ValueError)],
)
def test_sample_data_needs_a_list_for_each_field(host, given, error):
    import SampleData

    with pytest.raises(error, match="len"):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Glioma", sampleName="Ball", customDownloader=print, **given
        )


def test_only_the_button_asks_a_custom_downloader(host):
    import qt
    import SampleData
    import slicer

    logic, asked = SampleData.SampleDataLogic(), []
    logic.registerCustomSampleDataSource(
        category="Glioma", sampleName="Ball", uris=[], fileNames=[], customDownloader=asked.append
    )
    assert logic.downloadSamples("Ball") == [] and asked == []
    panel = qt.QWidget()
    buttons = qt.QVBoxLayout(panel)
    SampleData.SampleDataWidget.setCategoriesFromSampleDataSources(
        buttons, slicer.modules.sampleDataSources, logic
    )
    slicer.util.findChild(panel, "BallPushButton").click()
    assert [source.sampleName for source in asked] == ["Ball"]


def test_data_nodes_have_items_in_the_subject_hierarchy(host, ball, tmp_path):
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(ball[0])
    assert hierarchy.GetItemName(item) == "ball"
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Case 1")
    hierarchy.SetItemParent(item, folder)
    slicer.mrmlScene.RemoveNode(ball[0])
    assert slicer.util.getSubjectHierarchyItemChildren(folder) == []


def test_plot_of_an_array(host):
    import slicer

    slicer.util.plot(np.array([[1.0, 2.0], [2.0, 4.0]]), 0)
    assert slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode() is not None


def test_what_slicer_5_10_lacks(host):
    import slicer

    with host.as_slicer_5_10():
        assert slicer.app.minorVersion == 10
        with pytest.raises(ImportError):
            import slicer.packaging
        with pytest.raises(TypeError, match="blocking"):
            slicer.util.launchConsoleProcess([sys.executable], blocking=False)
        process = slicer.util.launchConsoleProcess([sys.executable, "-c", "print(7)"])
        assert process.communicate()[0].strip() == "7"
    assert slicer.packaging.pip_check("numpy")
    assert slicer.app.minorVersion == 12
