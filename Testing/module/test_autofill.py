"""Inputs that fill themselves in, where names and series descriptions leave no doubt."""

from __future__ import annotations

import numpy as np
import pytest

NAMES = {
    "T1": ["BraTS20_Training_274_t1", "sub-01_T1w", "t1n", "4: T1 AX pre contrast", "AX T1 SE", "Sag MPRAGE",
           "t1_mpr_sag without contrast", "UCSF-PDGM-0004_T1_bias", "T1_native", "T1w_noncontrast"],
    "T2": ["BraTS20_Training_274_t2", "t2w", "AX T2 TSE", "t2_tse_tra", "BraTS-GLI-00002-000-t2w",
           "T2 PROPELLER"],
    "FLAIR": ["case_flair", "t2f", "AX T2 FLAIR", "t2_tirm_tra_dark-fluid", "T2w-FLAIR", "brain_fl"],
    "T1 with contrast": ["case_t1ce", "T1Gd", "t1c", "AX T1 POST GD", "T1 +C", "t1_ce", "t1-post",
                         "T1w_contrast", "t1_mpr_KM", "AX T1 post", "T1 MPRAGE enhanced", "ax t1 c+"],
    "": ["case_seg", "ADC", "T1 FLAIR", "T2*", "t2star_gre", "volume", "T1 T2", "t1_mask", "t1_t2",
         "DWI b1000", "brain", "T1map", "lat1_something", "art2_x"],
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "name"), [(k, n) for k, names in NAMES.items() for n in names])
def test_names(host, wanted, name):
    from GliomaGradingLib.reading.sequence_names import sequence_of

    assert sequence_of(name) == wanted


def test_name_and_description_have_to_agree(host):
    from GliomaGradingLib.reading.sequence_names import sequence_of

    assert sequence_of("4: anything", "AX FLAIR") == "FLAIR"
    assert sequence_of("t1", "AX T1 POST") == "T1 with contrast"
    assert sequence_of("t1", "AX T2 TSE") == ""


def test_a_loaded_case_fills_all_inputs(host, module, scene):
    t1, t2, flair, mask = scene.case()
    scene.volume("case_t1ce")
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    chosen = [module.ui.t1Selector, module.ui.t2Selector, module.ui.flairSelector, module.ui.maskSelector]
    assert [box.currentNode() for box in chosen] == [t1, t2, flair, mask]
    assert module.ui.statusLabel.text == "Ready."


def test_contrast_t1_alone_leaves_t1_empty(host, module, scene):
    for name in ("case_t1ce", "case_t2", "case_flair"):
        scene.volume(name)
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is None
    assert module.ui.statusLabel.text == "Choose T1, tumour mask."
    assert module.ui.gradeButton.toolTip == "Choose T1, tumour mask."
    assert not module.ui.gradeButton.enabled


def test_two_candidates_are_left_to_the_user(host, module, scene):
    scene.case("anna")
    scene.volume("berta_t1")
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is None
    assert module.ui.t2Selector.currentNode().GetName() == "anna_t2"


def test_what_the_user_chose_stays(host, module, scene):
    other = scene.volume("something")
    module.ui.t1Selector.setCurrentNode(other)
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert module.ui.t1Selector.currentNode() is other


def test_dicom_description_decides(host, module, scene):
    node = scene.volume("12: volume")
    node.SetAttribute("DICOM.SeriesDescription", "AX FLAIR FS")
    scene.volume("another")
    host.pump(0.3)
    assert module.ui.flairSelector.currentNode() is node


@pytest.mark.parametrize(
    ("segments", "wanted"),
    [
        (("brain", "tumor"), "tumor"),
        (("necrosis", "oedema", "enhancing"), ""),
        (("whole tumour", "enhancing tumour", "tumour core"), "whole tumour"),
        (("tumour",), ""),
        (("Segment_1", "Segment_2"), ""),
    ],
)
def test_segment(host, segments, wanted):
    from GliomaGradingLib.scene.autofill import whole_tumour_segment

    assert whole_tumour_segment([(name, name) for name in segments]) == wanted


def test_segment_list_follows_the_segmentation(host, module, scene):
    scene.sequences()
    node = scene.segmentation(segments=("brain", "tumor"))
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    box = module.ui.segmentSelector
    assert [box.itemText(row) for row in range(box.count)] == ["All segments together", "brain", "tumor"]
    assert box.currentText == "tumor"
    node.GetSegmentation().GetSegment(box.currentData).SetName("lesion")
    assert box.currentText == "lesion"
    node.GetSegmentation().RemoveSegment(box.currentData)
    assert module.ui.statusLabel.text == "Choose a segment."
    box.setCurrentIndex(0)
    assert module.ui.gradeButton.enabled


# The module's own nodes, and what the user took out


def test_maps_are_no_images(host, module, scene, grade):
    import slicer

    nodes = scene.case()
    grade()
    module.logic.explain()
    assert module.logic.node("map.T1").GetName() == "case where the T1 network looked"
    slicer.mrmlScene.RemoveNode(nodes[0])
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is None
    again = scene.volume("case_t1")
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is again


def test_what_the_user_took_out_stays_out(host, module, scene):
    import slicer

    nodes = scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    module.ui.maskSelector.setCurrentNode(None)
    module.ui.t2Selector.setCurrentNode(None)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    host.pump(0.3)
    assert module.ui.maskSelector.currentNode() is None and module.ui.t2Selector.currentNode() is None
    module.ui.t2Selector.setCurrentNode(nodes[1])
    slicer.mrmlScene.RemoveNode(nodes[3])
    other = scene.segmentation("other_seg")
    host.pump(0.3)
    assert module.ui.maskSelector.currentNode() is other and module.ui.t2Selector.currentNode() is nodes[1]


# Segments of another segmentation


def labelled(names, folder, name):
    """A segmentation out of a file, as Slicer numbers its segments; then named."""
    import SimpleITK as sitk
    import slicer

    array = np.zeros((8, 10, 12), np.uint8)
    for label in range(1, len(names) + 1):
        array[2 * label : 2 * label + 2, 3:6, 3:6] = label
    path = folder / f"{name}.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    node = slicer.util.loadSegmentation(str(path))
    for number, called in enumerate(names):
        node.GetSegmentation().GetNthSegment(number).SetName(called)
    return node


def ids(node):
    return list(node.GetSegmentation().GetSegmentIDs())


def test_another_segmentation_has_other_segments_by_the_same_ids(host, module, tmp_path):
    first = labelled(("tumour all", "ventricle"), tmp_path, "a")
    second = labelled(("necrosis", "whole tumour"), tmp_path, "b")
    assert ids(first) == ids(second)
    box, mask = module.ui.segmentSelector, module.ui.maskSelector
    mask.setCurrentNode(first)
    box.setCurrentIndex(1)
    assert box.currentText == "tumour all"
    mask.setCurrentNode(second)
    assert box.currentText == "whole tumour"
    mask.setCurrentNode(None)
    mask.setCurrentNode(first)
    assert box.currentText == "tumour all"


def test_the_segment_of_the_same_name_stays_chosen(host, module, tmp_path):
    first = labelled(("necrosis", "whole tumour"), tmp_path, "a")
    second = labelled(("whole tumour", "necrosis"), tmp_path, "b")
    box, mask = module.ui.segmentSelector, module.ui.maskSelector
    mask.setCurrentNode(first)
    box.setCurrentIndex(1)
    mask.setCurrentNode(second)
    assert box.currentText == "necrosis" and box.currentIndex == 2


def test_a_loaded_scene_keeps_its_segment(host, module, tmp_path):
    import slicer

    node = labelled(("necrosis", "whole tumour"), tmp_path, "a")
    module.ui.maskSelector.setCurrentNode(node)
    module.ui.segmentSelector.setCurrentIndex(1)
    assert slicer.util.saveScene(str(tmp_path / "fall.mrb"))
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "fall.mrb"))
    host.pump(0.3)
    assert module.ui.segmentSelector.currentText == "necrosis"
    other = labelled(("tumour", "whole tumour"), tmp_path, "b")  # and where it comes to another scene
    module.ui.maskSelector.setCurrentNode(other)
    assert module.ui.segmentSelector.currentText == "whole tumour"
    slicer.util.loadScene(str(tmp_path / "fall.mrb"))
    host.pump(0.3)
    assert module.ui.maskSelector.currentNode().GetName() == "a"
    assert module.ui.segmentSelector.currentText == "necrosis"
    module.panel.exit()
    module.panel.enter()
    assert module.ui.segmentSelector.currentText == "necrosis"
