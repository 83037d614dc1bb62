"""MRML in: world geometry, transforms, segmentations of any kind; and what is refused with which words."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BOX = (slice(2, 5), slice(3, 7), slice(4, 9))


def transform(node, matrix):
    import slicer

    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(parent.GetID())
    return parent


def ras_centre(volume):
    """RAS mm of the middle of what is not zero."""
    index = np.array(np.nonzero(volume.array)).mean(axis=1)[::-1]
    x, y, z = (volume.affine @ [*index, 1.0])[:3]
    return [-x, -y, z]


OBLIQUE = np.array([[0, 0, 3.0, 5], [0.8, 0.6, 0, -7], [-0.6, 0.8, 0, 11], [0, 0, 0, 1]])


def test_geometry_of_a_volume_that_is_not_axial(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("v", ijk_to_ras=OBLIQUE)
    volume = volume_of(node)
    assert np.allclose(np.diag([-1, -1, 1, 1]) @ volume.affine, OBLIQUE)
    assert np.allclose(volume.spacing, (1, 1, 3))
    assert volume.source == "v"


def test_voxels_are_not_copied(host, scene):
    import slicer
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("v")
    assert np.shares_memory(volume_of(node).array, slicer.util.arrayFromVolume(node))


def test_nested_linear_transforms_move_the_geometry(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("v", ijk_to_ras=np.diag([2.0, 1, 1, 1]))
    turn = np.array([[0, -1.0, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    shift = np.eye(4)
    shift[:3, 3] = 10, 20, 30
    inner = transform(node, turn)
    transform(inner, shift)
    ras = np.diag([-1, -1, 1, 1]) @ volume_of(node).affine
    assert np.allclose(ras, shift @ turn @ np.diag([2.0, 1, 1, 1]))
    assert np.allclose(volume_of(node).spacing, (2, 1, 1))


def bend(node):
    """Puts a node under a non-linear transform that moves it by 3 mm to the right."""
    import slicer
    import vtk

    spline = vtk.vtkThinPlateSplineTransform()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        at = np.array(corner) * 19.0
        points.InsertNextPoint(at)
        moved.InsertNextPoint(at + np.array((3, 0, 0)))
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    spline.SetBasisToR()
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    parent.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(parent.GetID())


def block(air=0.0, kind=np.float32):
    """A volume of 20 x 20 x 20 voxels of air with a block of another value in its middle."""
    import slicer

    voxels = np.full((20, 20, 20), air, kind)
    voxels[8:12, 8:12, 8:12] = 100
    return slicer.util.addVolumeFromArray(voxels, name="v")


def test_non_linear_transform_resamples(host, scene):
    import slicer
    from GliomaGradingLib.scene.volumes import volume_of

    node = block()
    bend(node)
    before = scene.ids()
    assert np.allclose(ras_centre(volume_of(node)), (12.5, 9.5, 9.5), atol=0.3)
    assert scene.ids() == before
    assert slicer.util.arrayFromVolume(node)[9, 9, 9] == 100


@pytest.mark.parametrize(
    ("air", "kind"),
    [(-500, np.float32), (500, np.int16), (7, np.uint8), (123.456, np.float64), (np.nan, np.float32)],
)
def test_what_a_non_linear_transform_moves_in_is_the_images_own_background(host, scene, air, kind):
    """Zeros around an image whose background is something else would be a part of the head."""
    from GliomaGradingLib.preparation.background import background_value
    from GliomaGradingLib.scene.volumes import volume_of

    node = block(air, kind)
    bend(node)
    array = volume_of(node).array
    assert array.dtype == kind and array.shape > (20, 20, 20)
    assert background_value(array) == pytest.approx(air, abs=1e-5, nan_ok=True)
    assert np.isnan(air) or (array == array[0, 0, 0]).mean() > 0.97


def test_noise_is_padded_with_what_air_measures(host, scene):
    import slicer
    from GliomaGradingLib.scene.volumes import volume_of

    voxels = np.random.default_rng(1).normal(1000, 10, (20, 20, 20)).astype(np.float32)
    node = slicer.util.addVolumeFromArray(voxels, name="v")
    bend(node)
    assert volume_of(node).array.min() > 950


def clip(node, extent):
    """Leaves the voxels of an extent (I, J, K) as VTK's filters cut them out: the extent stays as it is."""
    import vtk

    clipper = vtk.vtkImageClip()
    clipper.SetInputData(node.GetImageData())
    clipper.SetOutputWholeExtent(*extent)
    clipper.ClipDataOn()
    clipper.Update()
    image = vtk.vtkImageData()
    image.DeepCopy(clipper.GetOutput())
    node.SetAndObserveImageData(image)


@pytest.mark.parametrize("is_bent", [False, True])
def test_an_extent_that_starts_elsewhere_than_at_zero(host, scene, is_bent):
    from GliomaGradingLib.scene.volumes import volume_of

    node = block()
    clip(node, (3, 18, 5, 19, 2, 17))
    assert node.GetImageData().GetExtent() == (3, 18, 5, 19, 2, 17)
    if is_bent:
        bend(node)
    assert np.allclose(ras_centre(volume_of(node)), (12.5 if is_bent else 9.5, 9.5, 9.5), atol=0.3)


def test_an_extent_is_counted_along_the_volumes_own_axes(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("v", ijk_to_ras=OBLIQUE)
    clip(node, (3, 8, 5, 9, 2, 7))
    turn = np.array([[0, -1.0, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    transform(node, turn)
    volume = volume_of(node)
    assert volume.size == (6, 5, 6)
    first = np.diag([-1, -1, 1, 1]) @ volume.affine @ [0, 0, 0, 1]
    assert np.allclose(first, turn @ OBLIQUE @ [3, 5, 2, 1])


def test_a_negative_spacing_mirrors_as_slicer_shows_it(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("v")
    node.SetSpacing(-2, 1, 1)
    volume = volume_of(node)
    assert volume.spacing == (2, 1, 1)
    assert np.allclose(volume.affine, np.diag([2.0, -1, 1, 1]))


def mask_of(node, segment_id, references):
    from GliomaGradingLib.scene.mask import mask_steps

    *_unfinished, mask = mask_steps(node, segment_id, references)
    return mask


def test_labelmap_is_taken_as_it_is(host, scene):
    mask = mask_of(scene.labelmap(), None, [])
    assert mask.array.sum() == 3 * 4 * 5
    assert mask.array[BOX].all()


def test_a_mask_that_is_drawn_on_while_it_is_graded_is_shown_where_it_was(host, scene):
    import slicer

    node = scene.labelmap()
    mask = mask_of(node, None, [])
    slicer.util.arrayFromVolume(node)[:] = 0
    slicer.util.arrayFromVolumeModified(node)
    assert mask.array.sum() == 3 * 4 * 5


def test_segmentation_comes_on_the_grid_of_the_volume_it_fits(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = scene.volume("t1", ijk_to_ras=OBLIQUE)
    node = scene.segmentation(like=t1)
    mask = mask_of(node, None, [volume_of(t1)])
    assert mask.size == (12, 10, 8)
    assert np.allclose(mask.affine, volume_of(t1).affine)
    assert mask.array[BOX].all() and mask.array.sum() == 60


def test_all_segments_together_or_one_also_when_hidden(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1"))
    node = scene.segmentation(segments=("a", "b"))
    first, second = node.GetSegmentation().GetSegmentIDs()
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSegmentVisibility(second, False)
    assert mask_of(node, None, [t1]).array.sum() == 4 * 4 * 5
    assert mask_of(node, second, [t1]).array.sum() == 60
    assert mask_of(node, second, [t1]).array[3:6, 3:7, 4:9].all()
    assert mask_of(node, first, [t1]).array[2:5, 3:7, 4:9].all()


def test_a_mask_is_read_segment_by_segment(host, scene):
    """The window stays alive between two: the last thing that comes is the mask."""
    from GliomaGradingLib.scene.mask import mask_steps
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1"))
    *unfinished, mask = mask_steps(scene.segmentation(segments=("a", "b")), None, [t1])
    assert unfinished == [None, None]
    assert mask.array.sum() == 4 * 4 * 5


def test_segmentation_of_another_geometry_keeps_its_own(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1"))
    fine = scene.volume("fine", ijk_to_ras=np.diag([0.5, 0.5, 0.5, 1]))
    mask = mask_of(scene.segmentation(like=fine), None, [t1])
    assert np.allclose(mask.spacing, 0.5)
    assert mask.array.sum() == 60
    assert np.allclose(ras_centre(mask), (3.0, 2.25, 1.5))


def test_segments_on_different_grids_are_brought_together(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1"))
    node = scene.segmentation(boxes=[(slice(0, 2), slice(0, 2), slice(0, 2))])
    other = scene.segmentation(like=scene.volume("fine", ijk_to_ras=np.diag([0.5, 0.5, 0.5, 1])))
    node.GetSegmentation().CopySegmentFromSegmentation(
        other.GetSegmentation(), other.GetSegmentation().GetNthSegmentID(0)
    )
    mask = mask_of(node, None, [t1])
    assert np.allclose(mask.spacing, 0.5)
    assert is_inside(mask, (0, 0, 0)) and is_inside(mask, (1, 1, 1))
    assert is_inside(mask, (2, 1.5, 1)) and is_inside(mask, (4, 3, 2))
    assert not is_inside(mask, (1.5, 1.5, 1)) and not is_inside(mask, (4, 1, 1.5))


def is_inside(mask, ras):
    """Whether the voxel at a place (RAS mm) is tumour."""
    index = np.linalg.inv(mask.affine) @ [-ras[0], -ras[1], ras[2], 1.0]
    return bool(mask.array[tuple(np.rint(index[2::-1]).astype(int))])


def test_segments_that_lie_beyond_the_first_image_or_between_its_slices_count(host, scene):
    """Drawn on two images, of which the T1 is thick and low."""
    import slicer
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = scene.volume("t1", shape=(3, 10, 12), ijk_to_ras=np.diag([1.0, 1, 5, 1]))
    node = scene.segmentation(boxes=[(slice(0, 1), slice(0, 2), slice(0, 2))], like=t1)
    for heights in (slice(20, 26), slice(7, 8)):
        label = scene.volume("label", 0, (30, 10, 12), kind="vtkMRMLLabelMapVolumeNode")
        slicer.util.arrayFromVolume(label)[heights, 3:7, 4:9] = 1
        slicer.util.arrayFromVolumeModified(label)
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, node)
    mask = mask_of(node, None, [volume_of(t1)])
    assert np.allclose(mask.spacing, 1)
    for place in ((0, 0, 1), (4, 3, 25), (8, 6, 20), (4, 3, 7)):
        assert is_inside(mask, place)
    assert mask.array.sum() == pytest.approx(2 * 2 * 5 + 6 * 20 + 20, abs=4)


def test_a_surface_is_drawn_as_finely_as_the_finest_image(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1", shape=(4, 20, 50), ijk_to_ras=np.diag([1.0, 1, 6, 1])))
    flair = volume_of(scene.volume("flair", shape=(20, 20, 50)))
    mask = mask_of(spheres(scene, 1), None, [t1, t1, flair])
    assert np.allclose(mask.spacing, 1)
    assert mask.array.sum() == pytest.approx(inside(4), rel=0.01)


def test_parent_transform_of_a_segmentation(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1"))
    node = scene.segmentation()
    matrix = np.eye(4)
    matrix[:3, 3] = 100.25, 0, 0
    transform(node, matrix)
    assert np.allclose(ras_centre(mask_of(node, None, [t1])), (106.25, 4.5, 3.0))


def test_closed_surface_alone_is_drawn_and_the_node_left_alone(host, scene):
    import slicer
    import vtk
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1", shape=(30, 30, 30)))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surface")
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(15, 14, 13)
    sphere.SetRadius(6)
    sphere.SetPhiResolution(40)
    sphere.SetThetaResolution(40)
    sphere.Update()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "tumour", [1, 0, 0])
    before = scene.ids()
    mask = mask_of(node, None, [t1])
    assert mask.array.sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.03)
    assert np.allclose(ras_centre(mask), (15, 14, 13), atol=0.1)
    assert mask.size == t1.size
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")
    assert scene.ids() == before


def test_an_empty_segment_is_refused(host, scene):
    import slicer
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.volumes import volume_of

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    node.GetSegmentation().AddEmptySegment("a", "nothing here")
    with pytest.raises(CaseError, match="nothing is drawn, in empty / nothing here: draw the tumour"):
        mask_of(node, "a", [volume_of(scene.volume("t1"))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"t1": None}, "Choose T1."),
        ({"t2": None, "mask": None}, "Choose T2, tumour mask."),
        ({"t2": "t1"}, "T1 and T2 are the same volume."),
        ({"flair": "hollow"}, "FLAIR has no voxels: load it again."),
        ({"segmentId": "gone"}, "Choose a segment."),
        ({"mask": "no segment"}, "The segmentation has no segment: draw the tumour."),
        ({"mask": "hollow label"}, "The tumour mask has no voxels: load it again."),
    ],
)
def test_what_is_missing_is_said(host, scene, change, words):
    import slicer
    from GliomaGradingLib.scene.inputs import Inputs

    t1, t2, flair, mask = scene.case()
    nodes = {"t1": t1, "t2": t2, "flair": flair, "mask": mask}
    new = {
        "hollow": "vtkMRMLScalarVolumeNode",
        "hollow label": "vtkMRMLLabelMapVolumeNode",
        "no segment": "vtkMRMLSegmentationNode",
    }
    for name, value in change.items():
        if value in new:
            value = slicer.mrmlScene.AddNewNodeByClass(new[value])
        nodes[name] = t1 if value == "t1" else value
    assert Inputs(**nodes).isValid() == (False, words)


def test_valid_inputs(host, scene):
    from GliomaGradingLib.scene.inputs import Inputs

    assert Inputs(*scene.case()).isValid() == (True, "")


@pytest.mark.parametrize(
    ("names", "case"),
    [
        (["BraTS20_274_t1", "BraTS20_274_t2", "BraTS20_274_flair"], "BraTS20_274"),
        (["t1", "t2", "flair"], "t1"),
        (
            ["BraTS-GLI-00002-000-t1n", "BraTS-GLI-00002-000-t2w", "BraTS-GLI-00002-000-t2f"],
            "BraTS-GLI-00002-000",
        ),
        (["4: AX T1", "5: AX T2", "6: AX FLAIR"], "4: AX T1"),
        (["Müller T1", "Müller T2", "Müller FLAIR"], "Müller"),
    ],
)
def test_case_name(host, names, case):
    from GliomaGradingLib.scene.inputs import case_name

    assert case_name(names) == case


def typed(box, words):
    """As somebody types it: Qt tells that from what a program sets."""
    box.setText(words)
    box.setModified(True)


def test_a_case_is_called_as_the_user_says(host, module, scene, grade):
    from GliomaGradingLib.scene.results import Published

    def graded():
        grade()
        (text,) = scene.results()
        return Published(text).result.case

    nodes, box = scene.case("4: AX"), module.ui.caseEdit
    host.wait(lambda: box.enabled, 5)
    usual = box.placeholderText
    assert (box.text, bool(usual)) == ("", True)
    typed(box, "  Patient 7 ")
    assert graded() == "Patient 7"  # the button takes what was typed, whether or not the box was left
    assert [node.GetAttribute("GliomaGrading.Case") for node in nodes[:3]] == ["Patient 7"] * 3
    assert not module.logic.node("result").GetAttribute("GliomaGrading.Outdated") and box.text == "Patient 7"
    typed(box, "Patient 8")
    box.editingFinished.emit()
    assert graded() == "Patient 8"
    typed(box, "")
    box.editingFinished.emit()
    assert graded() == usual and nodes[0].GetAttribute("GliomaGrading.Case") is None


def test_a_cases_name_is_no_other_cases(host, module, scene):
    first, other = scene.case("first"), scene.case("other")
    box = module.ui.caseEdit
    for role, node in zip(("t1", "t2", "flair", "mask"), first, strict=True):
        getattr(module.ui, f"{role}Selector").setCurrentNode(node)
    typed(box, "Patient 7")
    box.editingFinished.emit()
    typed(box, "Patient 7b")  # not taken yet when another volume comes
    module.ui.t1Selector.setCurrentNode(other[0])
    assert box.text == "" and other[0].GetAttribute("GliomaGrading.Case") is None
    module.ui.t1Selector.setCurrentNode(None)
    assert not box.enabled
    module.ui.t1Selector.setCurrentNode(first[0])
    assert box.text == "Patient 7"
    for role, node in zip(("t1", "t2", "flair", "mask"), other, strict=True):
        getattr(module.ui, f"{role}Selector").setCurrentNode(node)
    assert (box.text, box.placeholderText) == ("", "other")


def test_a_script_says_what_a_case_is_called(host, module, scene):
    nodes = scene.case()
    result = module.logic.process(*nodes, case="Patient\n9", jump=False)
    assert result.case == "Patient?9"
    assert module.logic.process(*nodes, jump=False).case == "Patient?9"


def test_worker_python_is_slicers_own(host):
    import slicer
    from GliomaGradingLib.scene.application import worker_python

    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    assert worker_python() == str(Path(slicer.app.slicerHome) / "bin" / name)


def test_slicer_itself_is_never_started_for_the_worker(host, tmp_path, monkeypatch):
    """It would open another window."""
    from GliomaGradingLib.scene import application
    from GliomaGradingLib.worker.client import WorkerClient

    elsewhere = SimpleNamespace(app=SimpleNamespace(slicerHome=str(tmp_path)))
    monkeypatch.setattr(application, "slicer", elsewhere)
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setenv("PATH", str(tmp_path))
    client = WorkerClient(application.worker_python())
    client.start()
    assert client.state == "failed" and "put PythonSlicer on the PATH" in str(client.problem)


SHARED = {1: (slice(2, 4), slice(3, 7), slice(4, 9)), 2: (slice(4, 6), slice(3, 7), slice(4, 9))}


def labels_in_one_layer(scene):
    """Segments of two labels that lie in one labelmap, as a file of labels is loaded, and an empty one."""
    import slicer

    label = scene.volume("labels", 0, kind="vtkMRMLLabelMapVolumeNode")
    voxels = slicer.util.arrayFromVolume(label)
    for value, box in SHARED.items():
        voxels[box] = value
    slicer.util.arrayFromVolumeModified(label)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "seg")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, node)
    node.GetSegmentation().AddEmptySegment("empty", "empty")
    slicer.mrmlScene.RemoveNode(label)
    return node


def test_segments_of_one_layer_are_told_apart(host, scene):
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.volumes import volume_of

    t1, node = volume_of(scene.volume("t1")), labels_in_one_layer(scene)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfLayers() == 1
    first, second, empty = segmentation.GetSegmentIDs()
    for identifier, value in ((first, 1), (second, 2)):
        expected = np.zeros(t1.array.shape, bool)
        expected[SHARED[value]] = True
        assert np.array_equal(mask_of(node, identifier, [t1]).array, expected)
    assert mask_of(node, None, [t1]).array.sum() == 2 * (2 * 4 * 5)
    with pytest.raises(CaseError, match="nothing is drawn"):
        mask_of(node, empty, [t1])
    transform(node, np.array([[1, 0, 0, 2.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    moved = mask_of(node, second, [t1])
    assert moved.array.sum() == 2 * 4 * 5 and np.allclose(ras_centre(moved), (8, 4.5, 4.5))


def spheres(scene, count):
    """A segmentation of closed surfaces alone, side by side along R."""
    import slicer
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    for number in range(count):
        sphere = vtk.vtkSphereSource()
        sphere.SetCenter(8 + 14 * number, 10, 10)
        sphere.SetRadius(4 + number)
        sphere.SetPhiResolution(40)
        sphere.SetThetaResolution(40)
        sphere.Update()
        node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), f"s{number}", [1, 0, 0])
    return node


def inside(radius):
    """Voxels of 1 mm in a sphere around one of them."""
    distance = np.square(np.mgrid[-radius : radius + 1, -radius : radius + 1, -radius : radius + 1]).sum(axis=0)
    return (distance < radius**2).sum()


def test_closed_surfaces_are_drawn_all_at_once(host, scene, monkeypatch):
    from GliomaGradingLib.scene import mask
    from GliomaGradingLib.scene.volumes import volume_of

    t1 = volume_of(scene.volume("t1", shape=(20, 20, 50)))
    node = spheres(scene, 3)
    real, calls = mask._converted, []
    monkeypatch.setattr(mask, "_converted", lambda *given: calls.append(1) or real(*given))
    whole = mask_of(node, None, [t1]).array.sum()
    assert whole == pytest.approx(inside(4) + inside(5) + inside(6), rel=0.01)
    assert calls == [1]
    second = node.GetSegmentation().GetNthSegmentID(1)
    alone = mask_of(node, second, [t1])
    assert alone.array.sum() == pytest.approx(inside(5), rel=0.01)
    assert np.allclose(ras_centre(alone), (22, 10, 10), atol=0.1)


def test_a_surface_goes_where_its_transform_puts_it(host, scene):
    from GliomaGradingLib.scene.volumes import volume_of

    volume, node = scene.volume("t1", shape=(20, 20, 50)), spheres(scene, 1)
    turn = np.array([[0, -1.0, 0, 100], [1, 0, 0, 20], [0, 0, 1, 5], [0, 0, 0, 1]])
    for one in (volume, node):
        transform(one, turn)
    found = mask_of(node, None, [volume_of(volume)])
    assert np.allclose(ras_centre(found), (turn @ [8, 10, 10, 1])[:3], atol=0.1)


FLAT = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("matrix", [np.diag([1.0, 1, 0, 1]), np.diag([1.0, np.nan, 1, 1]), FLAT])
def test_voxels_without_extent_are_refused(host, scene, matrix):
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.volume("case_t1")
    transform(node, matrix)
    with pytest.raises(CaseError, match="leaves its voxels without extent, in case_t1: correct the spacing"):
        volume_of(node)


@pytest.mark.parametrize("matrix", [np.diag([1.0, 1, 0, 1]), FLAT])
def test_a_mask_without_extent_is_refused(host, scene, matrix):
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.volumes import volume_of

    node = scene.segmentation()
    transform(node, matrix)
    with pytest.raises(CaseError, match="leaves its voxels without extent, in case_seg / tumour"):
        mask_of(node, None, [volume_of(scene.volume("t1"))])


def test_names_with_a_slash_are_told_whole(host, scene):
    from GliomaGradingLib.export.telling import graded_inputs
    from GliomaGradingLib.reading.imaging import rectified
    from GliomaGradingLib.scene.inputs import Inputs

    nodes = [scene.volume(name) for name in ("AX T1 W/O", "T2/FRFSE", "a\\b FLAIR")]
    sheared = np.eye(4)
    sheared[0, 1] = 0.01
    transform(nodes[1], sheared)
    drawn = scene.segmentation("left/right", ("core/edge",))
    volumes = dict(Inputs(*nodes, drawn).prepare().volumes)
    (notice,) = rectified(volumes["T2"]).warnings
    assert notice.message.startswith("the axes of T2-FRFSE are not at right angles")
    mask = volumes.pop("mask")
    assert dict(graded_inputs(SimpleNamespace(images=volumes, mask=mask, maskLabels=None))) == {
        "T1": "AX T1 W-O",
        "T2": "T2-FRFSE",
        "FLAIR": "a-b FLAIR",
        "tumour mask": "left-right",
    }
    chosen = drawn.GetSegmentation().GetNthSegmentID(0)
    assert mask_of(drawn, chosen, list(volumes.values())).source == "left-right - core-edge"


def test_a_picture_in_colours_is_refused(host, module, scene):
    import slicer
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.inputs import Inputs
    from GliomaGradingLib.scene.volumes import volume_of

    t1, t2, flair, mask = scene.case()
    colours = slicer.util.addVolumeFromArray(
        np.full((8, 10, 12, 3), 0.9, np.float32), name="colours", nodeClassName="vtkMRMLVectorVolumeNode"
    )
    told = "T2 has 3 components: choose a volume with one."
    assert Inputs(t1, colours, flair, mask).isValid() == (False, told)
    with pytest.raises(CaseError, match="T2 has 3 components"):
        module.logic.process(t1, colours, flair, mask)
    with pytest.raises(
        CaseError, match="this volume has 3 components, in colours: choose a volume with one, or"
    ):
        volume_of(colours)
    assert Inputs(t1, t2, flair, colours).isValid()[1].startswith("The tumour mask has 3 components")


OTHERS = ("Right ventricle", "Background", "Liver", "Normal-appearing white matter", "Brain", "healthy")


def inputs_with(scene, *segments):
    """Inputs whose segments lie in places of their own, 16 voxels each."""
    from GliomaGradingLib.scene.inputs import Inputs

    boxes = [(slice(2, 6), slice(3, 7), slice(i, i + 1)) for i in range(len(segments))]
    return Inputs(*scene.sequences(), scene.segmentation(segments=segments, boxes=boxes))


def columns(prepared):
    """Which segments of ``inputs_with`` are in the mask, by number."""
    voxels = np.argwhere(prepared.volumes["mask"].array)
    places = voxels[:, ::-1] @ prepared.volumes["mask"].affine[:3, :3].T + prepared.volumes["mask"].origin
    return sorted({round(-x) for x in places[:, 0]})


def test_segments_of_other_structures_do_not_count(host, scene):
    prepared = inputs_with(scene, "Oedema", *OTHERS, "Segment_1").prepare()
    assert columns(prepared) == [0, 7]
    (notice,) = prepared.notices
    assert notice.code == "mask-segments-left-out"
    assert notice.message.endswith(f"do not count: {', '.join(OTHERS)}")


def test_a_notice_names_some_of_the_segments(host, scene):
    (notice,) = inputs_with(scene, "tumour", *(f"brain {n}" for n in range(9))).doubts
    assert notice.message.endswith("brain 6, brain 7, …")


def test_a_segment_that_was_chosen_counts_whatever_it_is_called(host, scene):
    from dataclasses import replace

    inputs = inputs_with(scene, "tumour", "Liver")
    prepared = replace(inputs, segmentId=inputs.mask.GetSegmentation().GetNthSegmentID(1)).prepare()
    assert columns(prepared) == [1] and prepared.notices == ()


def test_where_no_segment_is_a_tumour_by_its_name_all_count_and_it_is_said(host, scene):
    prepared = inputs_with(scene, "Brain", "Liver").prepare()
    assert columns(prepared) == [0, 1]
    (notice,) = prepared.notices
    assert notice.code == "mask-segments-doubtful" and "all count (Brain, Liver)" in notice.message


def test_segments_that_do_not_count_are_told_before_the_grading(host, module, scene):
    scene.sequences()
    scene.segmentation(segments=("oedema", "Right ventricle", "Liver"))
    host.wait(lambda: not module.ui.inputsNoticeLabel.isHidden(), 10)
    assert "do not count: Right ventricle, Liver" in module.ui.inputsNoticeLabel.text.replace("\u200b", "")


def test_a_label_or_a_name_alone_changes_the_mask(host, scene):
    inputs = inputs_with(scene, "tumour", "Liver")
    first, second = (inputs.mask.GetSegmentation().GetNthSegment(n) for n in range(2))
    before = inputs.stamp
    label = second.GetLabelValue()
    second.SetLabelValue(7)
    assert inputs.stamp == before  # the liver is not graded
    second.SetLabelValue(label)
    second.SetName("oedema")
    assert inputs.stamp != before
    second.SetName("Liver")
    assert inputs.stamp == before
    first.SetLabelValue(5)
    assert inputs.stamp != before


def test_labels_that_a_view_makes_of_surfaces_change_nothing(host, scene):
    from GliomaGradingLib.scene.stamps import stamp_of

    node = spheres(scene, 3)
    before = stamp_of([node])
    node.GetSegmentation().CreateRepresentation("Binary labelmap")
    assert stamp_of([node]) == before


# What scripts give


def refused(module, *inputs):
    """What ``process`` says against them."""
    from GliomaGradingLib import CaseError

    with pytest.raises(CaseError) as error:
        module.logic.process(*inputs)
    return str(error.value)


def test_a_segment_of_a_labelmap_is_refused(host, module, scene):
    """Else all labels would be graded together, and nobody told."""
    volumes, mask = scene.sequences(), scene.labelmap()
    told = refused(module, *volumes, mask, "4")
    assert told.startswith(
        "A label map has no segments: leave segmentId out, or import it into a segmentation: "
    )
    assert scene.results() == []
    assert module.logic.process(*volumes, mask).tumour_ml == 60.0


def test_a_labelmap_in_the_panel_has_no_segment(host, module, scene):
    scene.sequences()
    mask = scene.labelmap()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    assert module.widget.controller.inputs.mask is mask
    module.panel.exit()
    module.logic.getParameterNode().segmentId = "4"  # of a scene that somebody made by hand
    module.panel.enter()
    assert module.widget.controller.parameters.segmentId == "" and module.ui.gradeButton.enabled


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"t1": "mask"}, "T1 is no volume node: give one, e.g. slicer.util.getNode(name)"),
        ({"t2": "caseA01_t2"}, "T2 is no volume node: give one, e.g. slicer.util.getNode(name)"),
        ({"flair": 3}, "FLAIR is no volume node: give one, e.g. slicer.util.getNode(name)"),
        (
            {"mask": "caseA01_seg"},
            "The tumour mask is no segmentation or labelmap node: give one, e.g. slicer.util.getNode(name)",
        ),
    ],
)
def test_what_is_no_such_node_is_refused(host, module, scene, given, words):
    nodes = dict(zip(("t1", "t2", "flair", "mask"), scene.case(), strict=True))
    chosen = {**nodes, **{name: nodes.get(one, one) for name, one in given.items()}}
    assert refused(module, *chosen.values()).startswith(f"{words}: ")


def test_another_node_than_a_mask_is_refused(host, module, scene):
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    told = refused(module, *scene.sequences(), table)
    assert told.startswith("The tumour mask is no segmentation or labelmap node: ")


def test_the_name_of_a_segment_is_no_id(host, module, scene):
    """Which ids there are is told; the panel has them in a list."""
    from GliomaGradingLib.scene.inputs import Inputs

    volumes, mask = scene.sequences(), scene.segmentation("seg", ("whole tumour", "core"))
    first, second = mask.GetSegmentation().GetSegmentIDs()
    assert refused(module, *volumes, mask, "core") == (
        "there is no segment 'core', in seg: choose one of its segments by its id "
        f"({first} = whole tumour, {second} = core)"
    )
    assert Inputs(*volumes, mask, "core").isValid() == (False, "Choose a segment.")
    assert module.logic.process(*volumes, mask, second).tumour_ml == 60.0


def test_names_that_are_no_utf8_are_read_as_latin_1(host, module, scene, tmp_path, grade):
    """As other programs write them into a segmentation's header; VTK gives bytes then."""
    import slicer
    from GliomaGradingLib.scene.mask import describe, segments_of
    from GliomaGradingLib.scene.names import name_of

    nodes = scene.case()
    nodes[3].GetSegmentation().GetNthSegment(0).SetName("Tumor grXX")
    assert slicer.util.saveNode(nodes[3], str(tmp_path / "a.seg.nrrd"))
    slicer.mrmlScene.RemoveNode(nodes[3])
    head, voxels = (tmp_path / "a.seg.nrrd").read_bytes().split(b"\n\n", 1)
    head = head.replace(b"Tumor grXX", b"Tumor gr\xf6\xdf")
    (tmp_path / "case_seg.seg.nrrd").write_bytes(head + b"\n\n" + voxels)
    mask = slicer.util.loadSegmentation(str(tmp_path / "case_seg.seg.nrrd"))
    assert isinstance(mask.GetSegmentation().GetNthSegment(0).GetName(), bytes)
    grade()
    assert module.logic.result.decision == "HGG"
    box = module.ui.segmentSelector
    assert [box.itemText(row) for row in range(box.count)] == ["All segments together", "Tumor größ"]
    identifier = segments_of(mask)[0][0]
    assert describe(mask, identifier).endswith(" / Tumor größ")
    host.pump(0.2)
    assert host.problems() == []
    alone = slicer.vtkMRMLScalarVolumeNode()
    assert name_of(alone) == ""
    alone.SetName(b"Sch\xe4del_t1")
    assert name_of(alone) == "Schädel_t1"


def test_a_map_of_a_result_is_no_image(host, scene):
    from GliomaGradingLib.scene.inputs import Inputs

    t1, t2, flair, mask = scene.case()
    t2.SetAttribute("GliomaGrading.Map", "T2")
    told = (False, "T2 is a map of where a network looked: choose the image.")
    assert Inputs(t1, t2, flair, mask).isValid() == told
