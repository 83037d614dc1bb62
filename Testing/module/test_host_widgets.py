"""The stand-ins of ctk's and Slicer's widgets."""

from __future__ import annotations

import numpy as np
import pytest


def volume(name, class_name="vtkMRMLScalarVolumeNode"):
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.uint8), name=name, nodeClassName=class_name)


@pytest.fixture(autouse=True)
def no_widget_stays_in_the_scene(host):
    """What a widget without a parent tells these tests' lists, it would tell of later tests' nodes too."""
    import slicer

    yield
    for widget in slicer.app.topLevelWidgets():
        if hasattr(widget, "setMRMLScene"):
            widget.setMRMLScene(None)


@pytest.fixture
def box(host):
    import slicer

    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.addEnabled = False
    made.setMRMLScene(slicer.mrmlScene)
    return made


def test_node_box_takes_the_first_node_where_none_is_no_choice(box):
    got = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", got.append)
    box.connect("currentNodeChanged(bool)", got.append)
    t1, t2 = volume("T1"), volume("T2")
    assert box.currentNode() is t1
    assert got == [t1, True]
    box.setCurrentNode(t2)
    assert box.currentNodeID == t2.GetID()
    assert box.nodeCount() == 2


def test_node_box_shows_no_node_when_none_is_chosen_or_allowed(box):
    t1 = volume("T1")
    box.setCurrentNode(None)
    assert box.currentNode() is None
    volume("T2")
    assert box.currentNode() is None
    box.noneEnabled = True
    box.setCurrentNode(t1)
    import slicer

    slicer.mrmlScene.RemoveNode(t1)
    assert box.currentNode() is None


def test_node_box_goes_one_row_up_where_its_node_is_removed(box):
    import slicer

    t1, t2, flair = volume("T1"), volume("T2"), volume("FLAIR")
    box.setCurrentNode(flair)
    slicer.mrmlScene.RemoveNode(flair)
    assert box.currentNode() is t2
    slicer.mrmlScene.RemoveNode(t2)
    assert box.currentNode() is t1


def test_node_box_keeps_a_choice_made_before_the_scene(host):
    import slicer

    volume("T1")
    second = volume("T2")
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setCurrentNode(second)
    assert not box.enabled
    box.setMRMLScene(slicer.mrmlScene)
    assert box.enabled
    assert box.currentNode() is second


def test_node_box_leaves_out_child_classes_and_other_attributes(box):
    volume("labels", "vtkMRMLLabelMapVolumeNode")
    assert box.nodeCount() == 1
    box.showChildNodeTypes = False
    assert box.nodeCount() == 0
    t1 = volume("T1")
    t1.SetAttribute("Sequence", "T1")
    volume("T2")
    box.addAttribute("vtkMRMLScalarVolumeNode", "Sequence", "T1")
    assert [box.nodeFromIndex(i).GetName() for i in range(box.nodeCount())] == ["T1"]


def test_node_box_after_the_scene_is_closed(box, host):
    volume("T1")
    got = []
    box.connect("currentNodeIDChanged(QString)", got.append)
    host.close_scene()
    assert (box.currentNode(), got) == (None, [""])
    again = volume("T1")  # the identifier comes back, the node does not
    assert box.currentNode() is again


@pytest.mark.parametrize("none", [True, False])
def test_node_box_loses_its_choice_when_a_scene_is_imported(box, none, tmp_path):
    """All rows of Slicer's scene model go and come again, whatever is chosen."""
    import slicer

    slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    box.noneEnabled = none
    first, second = volume("T1"), volume("T2")
    box.setCurrentNode(second)
    got = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", got.append)
    slicer.util.loadScene(str(tmp_path / "scene.mrml"), {"clear": False})
    assert got == ([None] if none else [None, first])
    assert box.currentNode() is got[-1] and box.nodeCount() == 2


def test_node_box_names_what_it_is_for(box):
    import qt

    box.setCurrentNode(None)
    box.noneEnabled = False
    assert box.nodeTypeLabel("vtkMRMLScalarVolumeNode") == "Volume"
    assert box.findChild(qt.QComboBox).placeholderText == "Select a Volume"


def test_node_box_follows_names(box):
    import qt

    node = volume("before")
    node.SetName("after")
    assert box.findChild(qt.QComboBox).currentText == "after"


@pytest.fixture
def segmentation(host):
    import slicer

    labels = volume("labels", "vtkMRMLLabelMapVolumeNode")
    array = slicer.util.arrayFromVolume(labels)
    array[0], array[1] = 1, 2
    slicer.util.arrayFromVolumeModified(labels)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tumour")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
    slicer.mrmlScene.RemoveNode(labels)
    return node


@pytest.mark.parametrize("none", [False, True])
def test_segment_selector(segmentation, none):
    import slicer

    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.noneEnabled = none
    nodes, segments = [], []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
    selector.connect("currentSegmentChanged(QString)", segments.append)
    selector.setMRMLScene(slicer.mrmlScene)
    first, second = segmentation.GetSegmentation().GetSegmentIDs()
    assert selector.currentNode() is (None if none else segmentation)
    selector.setCurrentNode(segmentation)
    assert (selector.currentSegmentID(), nodes, segments) == (first, [segmentation], [first])
    selector.setCurrentSegmentID(second)
    segmentation.GetSegmentation().GetSegment(first).SetName("renamed")
    assert selector.currentSegmentID() == second
    segmentation.GetSegmentation().RemoveSegment(second)
    assert selector.currentSegmentID() == first
    selector.setCurrentSegmentID("")
    assert selector.currentSegmentID() == ("" if none else first)


def test_segment_selector_without_node_goes_on_saying_its_segment(segmentation):
    import slicer

    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    before = selector.currentSegmentID()
    slicer.mrmlScene.RemoveNode(segmentation)
    assert selector.currentNode() is None
    assert selector.currentSegmentID() == before != ""


def test_widgets_that_are_gone_hear_no_more_of_the_scene(host):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(slicer.mrmlScene)
    box.deleteLater()
    host.events()
    volume("T1")
    assert host.problems() == []


def test_collapsible_button_hides_and_shows_its_contents(host):
    import ctk
    import qt

    button = ctk.ctkCollapsibleButton()
    button.text = "Advanced"
    layout = qt.QVBoxLayout(button)
    shown, hidden = qt.QLabel("a"), qt.QLabel("b")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    button.show()
    button.collapsed = True
    assert not shown.visible
    button.collapsed = False
    assert shown.visible
    assert not hidden.visible


def test_slider_and_path(host):
    import ctk

    got = []
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep = 0, 1, 0.25
    slider.connect("valueChanged(double)", got.append)
    slider.value = 0.5
    slider.value = 7
    assert got == [0.5, 1.0]
    path = ctk.ctkPathLineEdit()
    path.connect("currentPathChanged(QString)", got.append)
    path.currentPath = "/ä b"
    assert got[2:] == ["/ä b"]


@pytest.mark.parametrize(
    ("policy", "wide"), [("AdjustToContents", True), ("AdjustToMinimumContentsLengthWithIcon", False)]
)
def test_a_long_node_name_widens_the_box_unless_it_may_not(box, policy, wide):
    import qt

    box.sizeAdjustPolicy = getattr(qt.QComboBox, policy)
    volume("a very long name of a volume " * 5)
    assert (box.minimumSizeHint().width() > 500) == wide
    assert (box.minimumSizeHint().width() < 200) != wide


ENUMERATIONS = """<ui version="4.0"><class>F</class><widget class="QWidget" name="F">
<layout class="QVBoxLayout" name="l"><item><widget class="qMRMLNodeComboBox" name="nodes">
<property name="sizeAdjustPolicy"><enum>QComboBox::AdjustToMinimumContentsLengthWithIcon</enum></property>
</widget></item>
<item><widget class="ctkPathLineEdit" name="path"><property name="filters">
<set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Readable</set></property></widget></item>
</layout></widget></ui>"""


def test_enumerations_in_a_ui_file(host, tmp_path):
    import ctk
    import qt
    import slicer

    path = tmp_path / "panel.ui"
    path.write_text(ENUMERATIONS, encoding="utf-8")
    ui = slicer.util.childWidgetVariables(slicer.util.loadUI(str(path)))
    assert ui.nodes.sizeAdjustPolicy == qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
    assert ui.path.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Readable


UI = """<ui version="4.0"><class>F</class><widget class="QWidget" name="F"><layout class="QVBoxLayout" name="l">
<item><widget class="{cls}" name="w"><property name="{prop}"><bool>true</bool></property></widget></item>
</layout></widget><customwidgets><customwidget><class>{cls}</class><extends>QWidget</extends></customwidget>
</customwidgets></ui>"""


@pytest.mark.parametrize(
    ("cls", "prop", "why"),
    [
        ("qMRMLNodeComboBox", "noneEnabled", None),
        ("qMRMLNodeComboBox", "noneAllowed", "no property noneAllowed"),
        ("qMRMLNotThere", "enabled", "no stand-in for qMRMLNotThere"),
    ],
)
def test_a_ui_file_with_names_slicer_lacks_is_refused(host, tmp_path, cls, prop, why):
    import slicer

    path = tmp_path / "panel.ui"
    path.write_text(UI.format(cls=cls, prop=prop), encoding="utf-8")
    if why is None:
        assert slicer.util.childWidgetVariables(slicer.util.loadUI(str(path))).w.noneEnabled is True
    else:
        with pytest.raises(RuntimeError, match=why):
            slicer.util.loadUI(str(path))
