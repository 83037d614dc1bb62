"""slicer.parameterNodeWrapper: typed values, their stored form, and the panel."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional, Union

import numpy as np
import pytest


class Vote(enum.Enum):
    MAJORITY = "majority"
    SOFT = "soft"


@pytest.fixture
def wrapped(host):
    import slicer
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        # not of the panel's members: unions of the same ones are one to Python, in whichever order
        either: Union[slicer.vtkMRMLModelNode, slicer.vtkMRMLSegmentationNode, None]  # noqa: UP007
        percent: Annotated[float, WithinRange(0, 100)] = 50
        count: int = 3
        vote: Vote = Vote.SOFT
        device: Annotated[str, Choice(["auto", "cpu"]), Default("auto")]
        labels: list[int]
        folder: Path = Path("/data")
        maybe: Optional[int] = None  # noqa: UP045
        names: dict[str, float]
        pair: tuple[int, str] = (1, "a")
        on: bool = True

    known = {**globals(), **locals()}  # typing.get_type_hints does not see the names of a function
    hints = {name: eval(text, known) for name, text in Parameters.__annotations__.items()}
    Parameters.__annotations__ = hints
    wrapper = parameterNodeWrapper(Parameters)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return wrapper(node), node, wrapper


def test_defaults(wrapped):
    parameters, _, _ = wrapped
    got = [getattr(parameters, name) for name in parameters.allParameters]
    assert got == [None, None, 50, 3, Vote.SOFT, "auto", [], Path("/data"), None, {}, (1, "a"), True]


def test_a_union_takes_none_only_where_it_is_a_member(host):
    """As Slicer's own serializer has it, which looks for a member that is for the value's very type."""
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Parameters:
        mask: None

    nodes = Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode]  # noqa: UP007
    Parameters.__annotations__ = {"mask": nodes}
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    with pytest.raises(TypeError, match=r"Unable to write value '?None"):
        parameterNodeWrapper(Parameters)(node)


def test_a_union_is_stored_by_its_members_place(wrapped):
    import slicer

    parameters, node, _ = wrapped
    assert node.HasParameter("either.2") and parameters.either is None
    parameters.either = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert [node.HasParameter(f"either.{place}") for place in range(3)] == [False, True, False]
    assert node.GetNodeReference("either.1") is parameters.either


def test_values_come_back_from_the_node(wrapped):
    import slicer

    parameters, node, wrapper = wrapped
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="T1")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    values = {
        "volume": volume,
        "either": segmentation,
        "percent": 12.5,
        "vote": Vote.MAJORITY,
        "device": "cpu",
        "labels": [1, 4],
        "folder": Path("/ä b"),
        "maybe": 7,
        "names": {"T1": 0.5},
        "pair": (2, "b"),
        "on": False,
    }
    for name, value in values.items():
        setattr(parameters, name, value)
    again = wrapper(node)
    assert {name: getattr(again, name) for name in values} == values
    parameters.labels.append(2)
    assert again.labels == [1, 4, 2]
    assert node.GetParameter("vote") == "MAJORITY"
    assert node.GetNodeReference("volume") is volume
    parameters.maybe = None
    assert again.maybe is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("percent", 101, ValueError),
        ("percent", "x", TypeError),
        ("count", None, ValueError),
        ("device", "tpu", ValueError),
        ("vote", "SOFT", TypeError),
        ("volume", 3, TypeError),
    ],
)
def test_values_that_break_a_rule_are_refused(wrapped, name, value, error):
    parameters, _, _ = wrapped
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_removed_node_is_no_value(wrapped):
    import slicer

    parameters, _, _ = wrapped
    parameters.volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="T1")
    slicer.mrmlScene.RemoveNode(parameters.volume)
    assert parameters.volume is None


def test_panel_and_parameters_follow_each_other_until_disconnected(host, probe_file):
    module = host.load(probe_file, enter=True)
    ui, parameters = module.ui, module.widget._parameterNode
    ui.thresholdSlider.value = 20
    ui.sideBox.currentIndex = 1
    ui.noteEdit.text = "seen"
    ui.invertBox.checked = True
    assert (parameters.threshold, parameters.side.name, parameters.note, parameters.invert) == (
        20.0, "BELOW", "seen", True,
    )  # fmt: skip
    parameters.threshold = 30
    assert ui.thresholdSlider.value == 30
    module.panel.exit()
    parameters.threshold = 40
    assert ui.thresholdSlider.value == 30
    ui.thresholdSlider.value = 25
    assert parameters.threshold == 40


def test_one_modified_event_a_change(wrapped):
    import vtk

    parameters, node, _ = wrapped
    got = []
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: got.append(parameters.percent))
    parameters.percent = 60
    assert set(got) == {60}
