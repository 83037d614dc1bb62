"""What the panel does to the views: slices, side by side, plot, maps; and that everything has a way back."""

from __future__ import annotations

import numpy as np
import pytest

LAYOUT = 22381
OWN = ("GliomaGradingT1", "GliomaGradingT2", "GliomaGradingFLAIR")


@pytest.fixture
def graded(host, module, scene, grade):
    nodes = scene.case(value=0.9)
    grade()
    return nodes


def composites():
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return {node.GetLayoutName(): node for node in nodes}


def show(node, *views):
    """The background of the user's views."""
    for name in views or ("Red", "Green", "Yellow"):
        composites()[name].SetBackgroundVolumeID(node.GetID() if node else None)


def line(name):
    """What stands at the upper edge of a slice view."""
    import slicer
    import vtk

    view = slicer.app.layoutManager().sliceWidget(name).sliceView()
    return view.cornerAnnotation().GetText(vtk.vtkCornerAnnotation.UpperEdge) or ""


def slice_nodes():
    import slicer

    return {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}


def user_state(nodes):
    """All that the user would miss: layout, volumes in the views, window and level, the drawn segmentation."""
    import slicer

    users = [one for name, one in composites().items() if name not in OWN]
    volumes = [node.GetDisplayNode() for node in nodes[:3] if node.GetDisplayNode()]
    drawn = nodes[3].GetDisplayNode()
    return (
        slicer.app.layoutManager().layout,
        [
            (
                one.GetBackgroundVolumeID(),
                one.GetForegroundVolumeID(),
                one.GetForegroundOpacity(),
                one.GetLabelVolumeID(),
            )
            for one in users
        ],
        [(one.GetWindow(), one.GetLevel(), one.GetAutoWindowLevel(), one.GetColorNodeID()) for one in volumes],
        drawn
        and (
            drawn.GetVisibility(),
            drawn.GetVisibility2DFill(),
            drawn.GetVisibility2DOutline(),
            drawn.GetSliceIntersectionThickness(),
        ),
    )


def as_a_user_has_it(nodes):
    """Settings that are nobody's defaults."""
    import slicer

    for node in nodes:
        node.CreateDefaultDisplayNodes()
    nodes[0].GetDisplayNode().SetAutoWindowLevel(False)
    nodes[0].GetDisplayNode().SetWindowLevel(123.0, 45.0)
    nodes[3].GetDisplayNode().SetVisibility2DFill(True)
    nodes[3].GetDisplayNode().SetVisibility2DOutline(False)
    nodes[3].GetDisplayNode().SetSliceIntersectionThickness(1)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    red = composites()["Red"]
    red.SetBackgroundVolumeID(nodes[1].GetID())
    composites()["Yellow"].SetBackgroundVolumeID(nodes[0].GetID())
    red.SetForegroundVolumeID(nodes[2].GetID())
    red.SetForegroundOpacity(0.25)


# From Python


def test_everything_is_reachable_from_python(host, module, graded):
    logic = module.logic
    assert logic.result.grade == "HGG" and logic.result.case == "case"
    assert [logic.node(role) for role in ("T1", "T2", "FLAIR", "mask")] == list(graded)
    assert logic.node("votes").GetNumberOfRows() == 3
    assert logic.node("slices").GetNumberOfRows() == 20
    assert logic.node("chart").GetNumberOfPlotSeriesNodes() == 6
    assert logic.node("map.T1") is None and logic.node("nothing") is None
    host.close_scene()
    assert logic.result is None and logic.node("votes") is None


def test_tables_carry_the_decision_and_what_it_is_not_for(host, module, graded):
    votes, slices = (module.logic.node(role).GetTable() for role in ("votes", "slices"))
    for row in range(3):
        assert votes.GetValueByName(row, "Decision of the case").ToString() == "HGG"
        assert votes.GetValueByName(row, "Probability of HGG of the case").ToDouble() == pytest.approx(0.9)
    for table in (votes, slices):
        notes = {table.GetValueByName(row, "Note").ToString() for row in range(table.GetNumberOfRows())}
        assert notes == {
            "For research use only. Not a medical device; not for diagnosis or treatment decisions."
        }


def test_slice_table_says_what_the_majority_says(host, module, scene):
    from dataclasses import replace

    import fake_grading
    import slicer
    from GliomaGradingLib.scene import charts

    made = fake_grading.result("case", 0.9, {}, np.ones(1))
    low = replace(made.votes[0], slice_probabilities=(0.2,) * 20)
    mixed = replace(made.votes[2], slice_probabilities=(0.3,) * 10 + (0.7,) * 10)
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    charts.fill_slices(table, replace(made, votes=(low, made.votes[1], mixed)))
    column = [table.GetTable().GetColumnName(i) for i in range(table.GetNumberOfColumns())].index("Majority")
    assert [table.GetCellText(row, column) for row in range(20)] == ["LGG"] * 10 + ["HGG"] * 10
    assert float(table.GetCellText(0, 4)) == pytest.approx(0.3)
    assert float(table.GetCellText(19, 4)) == pytest.approx(0.7)


def test_maps_from_python(host, module, graded):
    explanation = module.logic.explain()
    assert explanation.maps.shape == (3, 20, 10, 12)
    for role in ("map.T1", "map.T2", "map.FLAIR"):
        assert module.logic.node(role).GetImageData().GetDimensions() == (12, 10, 20)
    assert module.logic.node("colours").GetNumberOfColors() == 255


def test_maps_without_a_result_are_refused(host, module):
    from GliomaGradingLib import CaseError

    with pytest.raises(CaseError, match="there is no result"):
        module.logic.explain()


def test_maps_of_changed_images_are_refused(host, module, graded, scene):
    import slicer
    from GliomaGradingLib import CaseError

    slicer.util.arrayFromVolume(graded[0])[:] = 0.2
    before = scene.ids()
    with pytest.raises(CaseError, match="changed since"):
        module.logic.explain()
    assert scene.ids() == before


def test_maps_of_other_slices_are_refused(host, module, graded, scene):
    from dataclasses import replace

    from fake_grading import INDICES, explanation
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.scene.results import publish_maps

    before, published, maps = scene.ids(), module.logic.published, explanation(0.9)
    with pytest.raises(CaseError, match="changed since"):
        publish_maps(replace(maps, indices=tuple(index + 1 for index in INDICES)), published, {})
    assert scene.ids() == before
    publish_maps(maps, published, {})
    assert published.hasMaps


# Slices


def test_slider_takes_axial_views_along_and_marks_the_plot(host, module, graded):
    slider, red = module.ui.sliceSlider, slice_nodes()["Red"]
    green = slice_nodes()["Green"].GetSliceOffset()
    assert (slider.minimum, slider.maximum, slider.value) == (0, 19, 4)
    assert module.ui.sliceLabel.text.replace("\u00a0", " ").startswith(
        "5 of 20 (S 4 mm, the largest): ▲ HGG\nT1 0.90"
    )
    slider.setValue(11)
    assert red.GetSliceOffset() == 11.0
    assert slice_nodes()["Green"].GetSliceOffset() == green
    assert module.ui.sliceLabel.text.replace("\u00a0", " ").startswith("12 of 20 (S 11 mm): ▲ HGG")
    assert module.logic.node("shown").GetCellText(0, 0) == "11"
    module.ui.largestButton.click()
    assert red.GetSliceOffset() == 4.0 and slider.value == 4


def scroll(name, offset):
    slice_nodes()[name].SetSliceOffset(offset)


def test_the_slider_follows_a_view_that_is_scrolled(host, module, scene, graded):
    show(graded[0])
    slider, label, shown = module.ui.sliceSlider, module.ui.sliceLabel, module.logic.node("shown")
    green = slice_nodes()["Green"].GetSliceOffset()
    scroll("Red", 11.3)
    assert (slider.value, shown.GetCellText(0, 0), slice_nodes()["Red"].GetSliceOffset()) == (11, "11", 11.3)
    assert label.text.replace("\u00a0", " ").startswith("12 of 20 (S 11 mm): ▲ HGG")
    scroll("Red", 31.0)
    assert label.text.replace("\u00a0", " ") == (
        "S 31 mm is none of the 20 slices that were graded.\nMove the slider to come back."
    )
    assert (slider.value, shown.GetCellText(0, 0)) == (11, "11")
    scroll("Red", 11.0)
    assert label.text.replace("\u00a0", " ").startswith("12 of 20 (S 11 mm)")
    scroll("Green", green + 7)  # that is no axial view
    show(scene.case("other")[0], "Red")
    scroll("Red", 5.0)  # and that of another patient
    assert slider.value == 11
    module.ui.layoutButton.click()
    assert [slice_nodes()[name].GetSliceOffset() for name in OWN] == [11.0] * 3
    scroll("GliomaGradingT2", 6.0)
    assert slider.value == 6 and shown.GetCellText(0, 0) == "6"
    module.ui.layoutButton.click()
    assert slider.value == 6


def test_a_click_on_the_plot_is_a_click_on_the_slider(host, module, graded):
    import slicer

    module.ui.layoutButton.click()
    manager = slicer.app.layoutManager()
    views = [manager.plotWidget(i).plotView() for i in range(manager.plotViewCount)]
    (view,) = [one for one in views if one.mrmlPlotViewNode().GetSingletonTag() == "GliomaGradingPlot"]
    assert view.mrmlPlotViewNode().GetPlotChartNode() is module.logic.node("chart")
    view.click(module.logic.node("series.T2"), 15)
    assert module.ui.sliceSlider.value == 15
    assert [slice_nodes()[name].GetSliceOffset() for name in ("Red", *OWN)] == [15.0] * 4
    view.click(module.logic.node("series.shown"), 1)
    assert module.ui.sliceSlider.value == 15
    assert view.picture().std() > 5
    for role, place in (("T1", 3), ("FLAIR", 7), ("T2", 9), ("Majority", 2)):
        view.click(module.logic.node(f"series.{role}"), place)  # each curve would keep its selected point
        assert module.ui.sliceSlider.value == place


def test_views_say_the_result_in_one_line(host, module, graded):
    module.ui.layoutButton.click()
    show(graded[0], "Red")
    assert line("Red") == "case\nHGG, P(HGG) 0.90\nresearch use only"
    assert line("GliomaGradingT2") == "case\nT2: HGG, P(HGG) 0.90\nresearch use only"
    module.ui.t1Selector.setCurrentNode(None)
    assert not line("Red") and not line("GliomaGradingT2")


# Side by side


def test_side_by_side_and_back_restores_everything(host, module, graded):
    import slicer

    as_a_user_has_it(graded)
    before = user_state(graded)
    module.ui.layoutButton.click()
    assert slicer.app.layoutManager().layout == LAYOUT
    assert [composites()[name].GetBackgroundVolumeID() for name in OWN] == [one.GetID() for one in graded[:3]]
    assert all(slice_nodes()[name].GetOrientation() == "Axial" for name in OWN)
    display = graded[3].GetDisplayNode()
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (0, 1)
    assert module.ui.layoutButton.text == "Back to my layout"
    module.ui.layoutButton.click()
    assert user_state(graded) == before
    assert module.ui.layoutButton.text == "T1, T2, FLAIR side by side"


def test_a_layout_that_the_user_chooses_meanwhile_stays(host, module, graded):
    import slicer

    as_a_user_has_it(graded)
    before = user_state(graded)
    module.ui.layoutButton.click()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert user_state(graded)[1:] == before[1:]
    assert module.ui.layoutButton.text == "T1, T2, FLAIR side by side"


def test_what_the_user_changes_meanwhile_is_left_alone(host, module, graded):
    as_a_user_has_it(graded)
    module.ui.layoutButton.click()
    graded[3].GetDisplayNode().SetSliceIntersectionThickness(5)
    module.ui.layoutButton.click()
    display = graded[3].GetDisplayNode()
    assert display.GetSliceIntersectionThickness() == 5 and display.GetVisibility2DFill() == 1


def test_labelmaps_are_outlined_in_the_own_views_only(host, module, scene, grade):
    scene.sequences()
    mask = scene.labelmap()
    grade()
    users = composites()["Red"].GetLabelVolumeID()
    module.ui.layoutButton.click()
    assert [composites()[name].GetLabelVolumeID() for name in OWN] == [mask.GetID()] * 3
    assert all(slice_nodes()[name].GetUseLabelOutline() for name in OWN)
    assert composites()["Red"].GetLabelVolumeID() == users
    assert not slice_nodes()["Red"].GetUseLabelOutline()


def test_the_way_back_is_there_when_the_result_is_not(host, module, graded):
    import slicer

    before = slicer.app.layoutManager().layout
    module.ui.layoutButton.click()
    module.ui.t2Selector.setCurrentNode(None)
    assert not module.ui.viewFrame.isHidden() and module.ui.layoutButton.enabled
    assert not module.ui.sliceSlider.enabled
    module.ui.layoutButton.click()
    assert slicer.app.layoutManager().layout == before
    assert module.ui.viewFrame.isHidden()


def test_the_next_patient_takes_the_places(host, module, graded, scene, grade):
    module.ui.layoutButton.click()
    second = scene.case("berta", 0.1)
    for box, node in zip(("t1", "t2", "flair", "mask"), second, strict=True):
        getattr(module.ui, f"{box}Selector").setCurrentNode(node)
    grade()
    assert [composites()[name].GetBackgroundVolumeID() for name in OWN] == [one.GetID() for one in second[:3]]


def test_closing_the_scene_gives_the_layout_back(host, module, graded):
    import slicer

    module.ui.layoutButton.click()
    host.close_scene()
    assert slicer.app.layoutManager().layout != LAYOUT
    assert module.ui.viewFrame.isHidden()


# Maps


def with_map(host, module):
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 30)


def test_the_map_comes_after_the_grade_and_goes_without_a_trace(host, module, graded):
    as_a_user_has_it(graded)
    before = user_state(graded)
    assert module.ui.mapSelector.isHidden()
    with_map(host, module)
    maps = {name: module.logic.node(f"map.{name}") for name in ("T1", "T2", "FLAIR")}
    assert composites()["Red"].GetForegroundVolumeID() == maps["T1"].GetID()
    assert composites()["Red"].GetForegroundOpacity() == pytest.approx(0.6)
    assert (
        "Orange: evidence for HGG" in module.ui.mapLabel.text and "no localisation" in module.ui.mapLabel.text
    )
    module.ui.mapSelector.setCurrentIndex(2)
    module.ui.opacitySlider.setValue(30)
    assert composites()["Yellow"].GetForegroundVolumeID() == maps["FLAIR"].GetID()
    assert composites()["Yellow"].GetForegroundOpacity() == pytest.approx(0.3)
    module.ui.mapCheckBox.click()
    assert user_state(graded) == before
    assert module.ui.mapSelector.isHidden() and module.logic.node("map.T1") is maps["T1"]


def test_side_by_side_each_sequence_has_its_own_map(host, module, graded):
    module.ui.layoutButton.click()
    with_map(host, module)
    expected = [module.logic.node(f"map.{name}").GetID() for name in ("T1", "T2", "FLAIR")]
    assert [composites()[name].GetForegroundVolumeID() for name in OWN] == expected
    module.ui.layoutButton.click()
    module.ui.layoutButton.click()
    assert [composites()[name].GetForegroundVolumeID() for name in OWN] == expected


def test_a_map_lies_on_the_patient_and_has_a_legend(host, module, graded):
    import slicer

    with_map(host, module)
    node = module.logic.node("map.FLAIR")
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node))
    assert matrix @ [0, 0, 0, 1] == pytest.approx([11.0, 9.0, 0.0, 1.0])
    assert node.GetDisplayNode().GetColorNode() is module.logic.node("colours")
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (4.0, 0.0)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    assert legend.GetVisibility() and "+ HGG" in legend.GetTitleText()
    module.ui.mapCheckBox.click()
    assert not legend.GetVisibility()


def drawn_legends(host):
    """By slice view: the sequences whose legends it draws."""
    import slicer

    legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    manager, found = slicer.app.layoutManager(), {}
    for name in OWN:
        drawing = (
            manager.sliceWidget(name)
            .sliceView()
            .displayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
        )
        actors = {one.GetAttribute("GliomaGrading.Legend"): drawing.GetColorLegendActor(one) for one in legends}
        found[name] = [one for one, actor in actors.items() if actor is not None and actor.GetVisibility()]
    return found


@pytest.mark.parametrize("is_shown", [True, False], ids=["shown", "unticked meanwhile"])
def test_views_that_come_after_the_maps_have_their_legends(host, module, graded, is_shown):
    with_map(host, module)
    if not is_shown:
        module.ui.mapCheckBox.click()
    module.ui.layoutButton.click()
    if not is_shown:
        module.ui.mapCheckBox.click()
    host.pump(0.2)
    assert drawn_legends(host) == dict(zip(OWN, (["T1"], ["T2"], ["FLAIR"]), strict=True))
    module.ui.mapCheckBox.click()
    assert not any(drawn_legends(host).values())


def _ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_colours_are_clear_in_the_middle_and_differ_at_the_ends(host):
    from GliomaGradingLib.scene.maps import tones

    table = tones(255)
    assert table[127, 3] == 0 and table[0, 3] == table[-1, 3] == 1
    assert table[0, 2] > table[0, 0] and table[-1, 0] > table[-1, 2]
    brightness = table[145:, :3].sum(axis=1)
    assert (np.diff(brightness) > 0).all()  # stronger is brighter, not only less transparent


def test_a_map_is_cancelled_by_unticking(host, module, scene, grade):
    nodes = scene.case("tarry")
    grade()
    before = scene.ids()
    module.ui.mapCheckBox.click()
    assert module.widget.controller.viewer.run is not None and module.ui.cancelButton.enabled
    host.wait(lambda: "Mapping" in module.ui.mapLabel.text, 10)
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 5)
    assert scene.ids() == before and not module.ui.mapCheckBox.checked
    assert module.ui.mapLabel.text == "Cancelled." and module.ui.gradeButton.enabled
    assert nodes[0].GetScene() is not None


def test_grade_goes_before_a_map_that_is_being_made(host, module, scene, grade):
    scene.case("tarry")
    grade()
    module.ui.mapCheckBox.click()
    grade()
    assert module.widget.controller.viewer.run is None and not module.ui.mapCheckBox.checked
    assert len(scene.results()) == 1 and module.logic.node("map.T1") is None


def test_regrading_gives_the_users_foreground_back(host, module, graded, grade, scene):
    as_a_user_has_it(graded)
    before = user_state(graded)
    with_map(host, module)
    count = len(scene.ids())
    grade()
    assert user_state(graded)[1] == before[1]
    assert len(scene.ids()) < count and module.logic.node("map.T1") is None
    with_map(host, module)
    assert len(scene.ids()) == count


def test_removal_of_a_shown_map(host, module, graded):
    import slicer

    as_a_user_has_it(graded)
    before = user_state(graded)
    with_map(host, module)
    slicer.mrmlScene.RemoveNode(module.logic.node("map.T1"))
    host.pump(0.2)
    assert user_state(graded) == before and not module.ui.mapCheckBox.checked
    with_map(host, module)
    assert module.logic.published.hasMaps


def test_a_worker_that_has_forgotten_gets_the_images_again(host, module, graded):
    module.logic.close()
    with_map(host, module)
    assert module.logic.published.hasMaps and module.ui.mapLabel.text.startswith("Blue")


def test_changed_images_get_no_map(host, module, graded):
    import slicer

    module.logic.close()
    slicer.util.arrayFromVolume(graded[0])[:] = 0.2
    with_map(host, module)
    assert module.ui.mapLabel.text.startswith("✖ The images have changed since they were graded (case)")
    assert not module.ui.mapCheckBox.checked and not module.logic.published.hasMaps


# The scene on disk


def test_a_saved_scene_has_maps_plot_and_the_users_views(host, module, graded, tmp_path):
    import slicer

    as_a_user_has_it(graded)
    module.ui.layoutButton.click()
    with_map(host, module)
    table = [module.logic.node("slices").GetCellText(row, 2) for row in range(20)]
    array = slicer.util.arrayFromVolume(module.logic.node("map.T2")).copy()
    saved = tmp_path / "fall.mrb"
    assert slicer.util.saveScene(str(saved))
    assert slicer.app.layoutManager().layout == LAYOUT  # the user's eyes are where they were
    assert composites()[OWN[0]].GetForegroundVolumeID() == module.logic.node("map.T1").GetID()
    host.close_scene()
    slicer.util.loadScene(str(saved))
    host.pump(0.3)
    assert slicer.app.layoutManager().layout != LAYOUT
    assert composites()["Red"].GetForegroundVolumeID() == module.logic.node("FLAIR").GetID()
    assert module.logic.node("mask").GetDisplayNode().GetVisibility2DFill() == 1
    assert [module.logic.node("slices").GetCellText(row, 2) for row in range(20)] == table
    assert np.array_equal(slicer.util.arrayFromVolume(module.logic.node("map.T2")), array)
    assert module.logic.node("colours").GetNumberOfColors() == 255
    chart = module.logic.node("chart")
    assert [chart.GetNthPlotSeriesNode(i).GetTableNode() is not None for i in range(6)] == [True] * 6
    assert module.ui.decisionLabel.text == "▲ HGG – high grade"
    with_map(host, module)
    assert composites()["Red"].GetForegroundVolumeID() == module.logic.node("map.T1").GetID()


def test_removal_of_a_result_takes_everything_with_it(host, module, scene, grade):
    from GliomaGradingLib.scene.results import remove

    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    before = scene.ids()
    grade()
    with_map(host, module)
    remove(module.logic.node("result"))
    host.pump(0.2)
    assert scene.ids() == before


# Sample data


def test_sample_data_has_the_synthetic_case(host, module, monkeypatch):
    import qt
    import SampleData
    import slicer
    from GliomaGradingLib.scene import sample_data

    sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("GliomaGrading")
    assert [one.sampleName for one in sources] == ["GliomaGradingSampleHGG", "GliomaGradingSampleLGG"]
    from pathlib import Path

    assert all(Path(one.thumbnailFileName).is_file() for one in sources)
    monkeypatch.setattr(sample_data, "write_sample_case", _small_sample)
    panel = qt.QWidget()
    SampleData.SampleDataWidget.setCategoriesFromSampleDataSources(
        qt.QVBoxLayout(panel), slicer.modules.sampleDataSources, SampleData.SampleDataLogic()
    )
    slicer.util.findChild(panel, "GliomaGradingSampleLGGPushButton").click()
    assert slicer.util.getNode("synthetic-lgg_t1") is not None
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    assert module.ui.maskSelector.currentNode().GetName() == "synthetic-lgg_seg"


def test_the_panel_offers_the_sample_while_there_is_nothing(host, module, monkeypatch, grade):
    from GliomaGradingLib.scene import sample_data

    monkeypatch.setattr(sample_data, "write_sample_case", _small_sample)
    assert not module.ui.sampleButton.isHidden() and module.ui.sampleButton.enabled
    module.ui.sampleButton.click()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    assert module.ui.sampleButton.isHidden()
    grade()
    assert module.logic.result.case == "synthetic-hgg"


def test_a_sample_that_cannot_be_written_is_said(host, module, monkeypatch):
    from GliomaGradingLib.errors import UsageError
    from GliomaGradingLib.scene import sample_data

    def fail(*_):
        raise UsageError("the sample case cannot be written", "disk", "make room")

    monkeypatch.setattr(sample_data, "sample_folder", lambda preset: sample_data.Path("/nowhere"))
    monkeypatch.setattr(sample_data, "write_sample_case", fail)
    module.ui.sampleButton.click()
    assert module.ui.messageLabel.text == "✖ The sample case cannot be written (disk).\nMake room."
    assert module.ui.sampleButton.enabled


def _small_sample(folder, preset):
    """Files of a few voxels in place of the phantom, which takes seconds."""
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    for part in ("t1", "t2", "flair"):
        sitk.WriteImage(
            sitk.GetImageFromArray(np.full((8, 10, 12), 0.9, np.float32)),
            str(folder / f"synthetic-{preset}_{part}.nii.gz"),
        )
    mask = np.zeros((8, 10, 12), np.uint8)
    mask[2:5, 3:7, 4:9] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(folder / f"synthetic-{preset}_seg.nii.gz"))


# The user's own hand in the views


def test_a_foreground_that_the_user_chooses_stays(host, module, graded):
    show(graded[0])
    with_map(host, module)
    maps = {name: module.logic.node(f"map.{name}").GetID() for name in ("T1", "T2")}
    red = composites()["Red"]
    red.SetForegroundVolumeID(graded[2].GetID())
    assert red.GetForegroundVolumeID() == graded[2].GetID()
    module.ui.mapSelector.setCurrentIndex(1)
    module.ui.opacitySlider.setValue(20)
    assert red.GetForegroundVolumeID() == graded[2].GetID()
    assert composites()["Green"].GetForegroundVolumeID() == maps["T2"]
    module.ui.mapCheckBox.click()
    assert red.GetForegroundVolumeID() == graded[2].GetID()
    assert composites()["Green"].GetForegroundVolumeID() is None
    module.ui.mapCheckBox.click()  # asked for again, it comes into every view
    assert red.GetForegroundVolumeID() == maps["T2"]


def test_an_opacity_that_the_user_chooses_in_a_view_is_the_sliders(host, module, graded):
    show(graded[0])
    with_map(host, module)
    assert module.ui.opacityLabel.text == "Opacity 60 %:"
    composites()["Red"].SetForegroundOpacity(0.1)
    assert module.ui.opacitySlider.value == 10 and module.ui.opacityLabel.text == "Opacity 10 %:"
    assert [composites()[name].GetForegroundOpacity() for name in ("Red", "Green")] == [0.1, 0.1]
    module.ui.opacitySlider.setValue(45)
    assert module.ui.opacityLabel.text == "Opacity 45 %:"
    assert [composites()[name].GetForegroundOpacity() for name in ("Red", "Green")] == [0.45, 0.45]


def test_a_result_that_comes_while_another_module_is_open_moves_no_view(host, module, scene):
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 10)
    module.ui.gradeButton.click()
    module.panel.exit()
    red = slice_nodes()["Red"]
    red.SetSliceOffset(1.25)
    host.wait(lambda: module.widget.controller.run is None, 60)
    assert len(scene.results()) == 1 and red.GetSliceOffset() == 1.25
    module.panel.enter()
    assert red.GetSliceOffset() == 4.0
    red.SetSliceOffset(1.25)
    module.panel.exit()
    module.panel.enter()
    assert red.GetSliceOffset() == 1.25


def test_a_script_says_whether_views_move(host, module, scene):
    nodes, red = scene.case(), slice_nodes()["Red"]
    red.SetSliceOffset(1.25)
    module.logic.process(*nodes, jump=False)
    assert red.GetSliceOffset() == 1.25
    module.logic.process(*nodes)
    assert red.GetSliceOffset() == 4.0


def test_there_is_a_way_back_from_the_layout_that_was_there_already(host, module, graded):
    import slicer
    from GliomaGradingLib.scene.views import register_layout

    register_layout()
    slicer.app.layoutManager().setLayout(LAYOUT)
    module.ui.layoutButton.click()
    assert module.ui.layoutButton.text == "Back to my layout"
    assert slicer.app.layoutManager().layout == LAYOUT
    module.ui.layoutButton.click()
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_a_segment_that_goes_while_it_is_outlined(host, module, graded, capfd):
    segmentation = graded[3].GetSegmentation()
    extra = segmentation.AddEmptySegment("extra")
    module.ui.layoutButton.click()
    segmentation.RemoveSegment(extra)
    capfd.readouterr()
    module.ui.layoutButton.click()
    assert "ERR|" not in "".join(capfd.readouterr())
    display = graded[3].GetDisplayNode()
    assert [one for one in display.GetAttributeNames() if one.startswith("GliomaGrading.Was.")] == []


def test_what_makes_no_sense_in_a_scene_is_not_set_back(host, scene, tmp_path):
    from GliomaGradingLib.scene.changes import undo_saved

    node = scene.segmentation()
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(True)
    for name, value in (
        ("Visibility", "no JSON"),
        ("Visibility2DFill", "false"),
        ("Visibility2DOutline", '"text"'),
        ("Name", '"renamed"'),
        ("SegmentOverrideColor@zz", "[1, 0, 0]"),
        ("SegmentOverrideColor@6e6f6e65", "[1, 0, 0]"),
    ):
        display.SetAttribute(f"GliomaGrading.Was.{name}", value)
    before = display.GetName()
    undo_saved()
    assert display.GetName() == before and display.GetVisibility() == 1
    assert not display.GetVisibility2DFill()
    assert [one for one in display.GetAttributeNames() if one.startswith("GliomaGrading.Was.")] == []


def test_plot_and_legend_say_what_they_are(host, module, graded):
    import slicer

    assert module.logic.node("chart").GetTitle().endswith("(research use only)")
    assert "no localisation" in module.ui.mapCheckBox.toolTip and "Grad-CAM" in module.ui.mapCheckBox.toolTip
    with_map(host, module)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(module.logic.node("map.T1"))
    assert "logits" in legend.GetTitleText()


# Maps from Python, over what the user had in front


def test_maps_that_are_made_anew_give_the_users_foreground_back(host, module, graded, capfd):
    as_a_user_has_it(graded)
    before = user_state(graded)
    with_map(host, module)
    first = module.logic.node("map.T1").GetID()
    module.logic.explain()
    host.pump(0.3)
    assert composites()["Red"].GetForegroundVolumeID() == module.logic.node("map.T1").GetID() != first
    module.ui.mapCheckBox.click()
    assert user_state(graded) == before
    with_map(host, module)
    module.logic.process(*graded)
    host.pump(0.3)
    assert user_state(graded)[1] == before[1]
    assert "ERR|" not in "".join(capfd.readouterr())


# What the user did after a scene was loaded, before the module was opened


def attributes_of_ours():
    import slicer

    nodes = [slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes())]
    names = [name for node in nodes for name in node.GetAttributeNames()]
    return [name for name in names if name.startswith("GliomaGrading.Was.")]


def test_what_was_changed_since_the_scene_was_loaded_stays(host, module, graded, tmp_path):
    import slicer
    from grading_module import MODULE_FILE

    as_a_user_has_it(graded)
    module.ui.layoutButton.click()
    with_map(host, module)
    assert slicer.util.saveScene(str(tmp_path / "fall.mrb"))
    host.unload("GliomaGrading")
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "fall.mrb"))
    assert attributes_of_ours()
    names = ("case_t1", "case_t2", "case_flair", "case_seg")
    t1, _t2, flair, mask = (slicer.util.getNode(name) for name in names)
    display = mask.GetDisplayNode()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    composites()["Red"].SetForegroundVolumeID(t1.GetID())
    display.SetSliceIntersectionThickness(5)
    host.load(MODULE_FILE, enter=True)
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
    assert composites()["Red"].GetForegroundVolumeID() == t1.GetID()
    assert composites()["Red"].GetForegroundOpacity() == pytest.approx(0.25)
    assert composites()["Yellow"].GetForegroundVolumeID() is None
    assert display.GetSliceIntersectionThickness() == 5
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (1, 0)
    segment = mask.GetSegmentation().GetNthSegmentID(0)
    assert display.GetSegmentOverrideColor(segment)[0] == -1
    assert attributes_of_ours() == [] and flair.GetScene() is not None


def test_a_scene_of_a_version_that_did_not_say_what_it_had_set(host, scene):
    from GliomaGradingLib.scene.changes import undo_saved

    node = scene.segmentation()
    node.CreateDefaultDisplayNodes()
    display, segment = node.GetDisplayNode(), node.GetSegmentation().GetNthSegmentID(0)
    display.SetAttribute("GliomaGrading.Was.SliceIntersectionThickness", "7")
    name = f"GliomaGrading.Was.SegmentOverrideColor@{segment.encode().hex()}"
    display.SetAttribute(name, "[0.5, 0.25, 0.0]")
    undo_saved()
    assert display.GetSliceIntersectionThickness() == 7
    assert [display.GetSegmentOverrideColor(segment)[i] for i in range(3)] == [0.5, 0.25, 0.0]


def test_another_panel_leaves_the_views_of_the_first(host, module, graded):
    import slicer

    as_a_user_has_it(graded)
    before = user_state(graded)
    module.ui.layoutButton.click()
    with_map(host, module)
    shown = user_state(graded)
    other = type(module.widget)()
    assert slicer.app.layoutManager().layout == LAYOUT and user_state(graded) == shown
    other._onModuleAboutToBeUnloaded(other.moduleName)
    other.layout.itemAt(0).widget().setMRMLScene(None)  # its boxes shall not hear of the next test's scene
    assert user_state(graded) == shown
    module.ui.mapCheckBox.click()
    module.ui.layoutButton.click()
    assert user_state(graded) == before and attributes_of_ours() == []


# The outline


def look_of(display, segment):
    return (
        display.GetSegmentVisibility(segment),
        display.GetSegmentVisibility2DOutline(segment),
        display.GetSegmentOpacity2DOutline(segment),
        display.GetOpacity2DOutline(),
        display.GetOpacity(),
        list(display.GetViewNodeIDs()),
    )


@pytest.mark.parametrize(("opacity", "shown"), [(0.0, 1.0), (0.3, 1.0), (0.7, 0.7)])
def test_the_tumour_has_an_outline_however_its_segment_is_shown(host, module, graded, opacity, shown):
    graded[3].CreateDefaultDisplayNodes()
    display, segment = graded[3].GetDisplayNode(), graded[3].GetSegmentation().GetNthSegmentID(0)
    display.SetSegmentVisibility(segment, False)
    display.SetSegmentVisibility2DOutline(segment, False)
    display.SetSegmentOpacity2DOutline(segment, 0.0)
    display.SetOpacity2DOutline(0.0)
    display.SetOpacity(opacity)
    display.SetViewNodeIDs([slice_nodes()["Red"].GetID()])
    before = look_of(display, segment)
    module.ui.layoutButton.click()
    own = [slice_nodes()[name].GetID() for name in OWN]
    assert look_of(display, segment) == (True, True, 1.0, 1.0, shown, [slice_nodes()["Red"].GetID(), *own])
    assert all(display.IsDisplayableInView(one) for one in own)
    module.ui.layoutButton.click()
    assert look_of(display, segment) == before and attributes_of_ours() == []


def test_a_segmentation_in_all_views_stays_so(host, module, graded):
    module.ui.layoutButton.click()
    assert graded[3].GetDisplayNode().GetViewNodeIDs() == ()


def test_a_copy_that_is_made_side_by_side_gets_its_look_back(host, module, graded):
    import slicer

    as_a_user_has_it(graded)
    module.ui.layoutButton.click()
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    logic = slicer.vtkSlicerSubjectHierarchyModuleLogic
    item = logic.CloneSubjectHierarchyItem(tree, tree.GetItemByDataNode(graded[3]))
    display = tree.GetItemDataNode(item).GetDisplayNode()
    segment = graded[3].GetSegmentation().GetNthSegmentID(0)
    assert display is not graded[3].GetDisplayNode() and display.GetSegmentOverrideColor(segment)[0] > 0
    module.ui.layoutButton.click()
    assert display.GetSegmentOverrideColor(segment)[0] == -1
    assert (display.GetVisibility2DFill(), display.GetSliceIntersectionThickness()) == (1, 1)
    assert attributes_of_ours() == []


# Scenes that are added, scene views


@pytest.fixture
def other_scene(tmp_path):
    """Adds a scene with one text node to the one that is there."""
    import slicer

    def add():
        made = slicer.vtkMRMLScene()
        made.AddNewNodeByClass("vtkMRMLTextNode", "other")
        made.SetURL(str(tmp_path / "other.mrml"))
        made.Commit()
        slicer.util.loadScene(made.GetURL(), {"clear": False})

    return add


def test_a_scene_that_is_added_takes_nothing_off_the_views_of_another_module(host, module, graded, other_scene):
    show(graded[0])
    with_map(host, module)
    shown = module.logic.node("map.T1").GetID()
    module.panel.exit()
    other_scene()
    assert line("Red").startswith("case\nHGG")
    assert composites()["Red"].GetForegroundVolumeID() == shown
    show(graded[1], "Red")
    assert line("Red").startswith("case\nHGG")
    module.panel.enter()
    module.ui.mapCheckBox.click()
    assert composites()["Red"].GetForegroundVolumeID() is None


@pytest.mark.parametrize("is_open", [True, False])
def test_a_scene_that_comes_ends_a_map_in_the_making_with_a_word(host, module, graded, other_scene, is_open):
    show(graded[0])
    module.ui.mapCheckBox.click()
    assert module.widget.controller.viewer.run is not None
    if not is_open:
        module.panel.exit()
    other_scene()
    assert module.widget.controller.viewer.run is None and not module.ui.mapCheckBox.checked
    assert module.ui.mapLabel.text == "Map cancelled: a scene was loaded. Tick the box again."
    assert line("Red").startswith("case\nHGG")


def test_another_result_ends_a_map_in_the_making_with_a_word(host, module, scene, grade):
    """A script grades the same images meanwhile."""
    from GliomaGradingLib.scene.inputs import Inputs

    nodes = scene.case("tarry")
    grade()
    module.ui.mapCheckBox.click()
    assert module.widget.controller.viewer.run is not None
    inputs = Inputs(*nodes)
    module.logic.publish(module.logic.result, inputs, inputs.prepare())
    host.pump(0.2)
    assert module.widget.controller.viewer.run is None and not module.ui.mapCheckBox.checked
    assert module.ui.mapLabel.text == "Map cancelled: another result is shown. Tick the box again."
    module.widget.controller.refresh()
    assert module.ui.mapLabel.text.startswith("Map cancelled")


def test_a_map_out_of_a_scene_view_goes_when_its_box_is_not_ticked(host, module, graded):
    import slicer

    scene = slicer.mrmlScene
    scene.RegisterNodeClass(slicer.vtkMRMLSceneViewNode())
    show(graded[0])
    before = user_state(graded)
    with_map(host, module)
    view = scene.AddNewNodeByClass("vtkMRMLSceneViewNode", "view")
    view.StoreScene()
    module.ui.mapCheckBox.click()
    view.RestoreScene(False)
    host.pump(0.2)
    assert not module.ui.mapCheckBox.checked
    assert composites()["Red"].GetForegroundVolumeID() is None
    module.ui.mapCheckBox.click()
    assert composites()["Red"].GetForegroundVolumeID() == module.logic.node("map.T1").GetID()
    module.ui.mapCheckBox.click()
    assert user_state(graded) == before


def test_a_map_that_is_there_already_is_nothing_to_go_back_to(host, module, graded):
    show(graded[0])
    with_map(host, module)
    module.ui.mapCheckBox.click()
    composites()["Red"].SetForegroundVolumeID(module.logic.node("map.T1").GetID())
    module.ui.mapCheckBox.click()
    module.ui.mapCheckBox.click()
    assert composites()["Red"].GetForegroundVolumeID() is None


def test_no_curve_stays_beside_a_case_that_has_no_result(host, module, graded, scene):
    import slicer

    module.ui.layoutButton.click()
    plot = next(
        node
        for node in slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
        if node.GetSingletonTag() == "GliomaGradingPlot"
    )
    chart = module.logic.node("chart")
    assert (
        chart.GetTitle().startswith("case: probability of HGG") and plot.GetPlotChartNodeID() == chart.GetID()
    )
    for role, node in zip(("t1", "t2", "flair", "mask"), scene.case("other"), strict=True):
        setattr(module.widget.controller.parameters, role, node)
    assert plot.GetPlotChartNodeID() is None
    for role, node in zip(("t1", "t2", "flair", "mask"), graded, strict=True):
        setattr(module.widget.controller.parameters, role, node)
    assert plot.GetPlotChartNodeID() == chart.GetID()


# What other modules do to views and layouts meanwhile


def layout_node():
    import slicer

    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def test_a_view_that_was_maximised_hides_no_layout(host, module, graded):
    """Slicer shows a maximised view in place of any layout, also one that the view is not in."""
    before = slicer_layout()
    layout_node().AddMaximizedViewNode(slice_nodes()["Red"])
    module.ui.layoutButton.click()
    assert (layout_node().GetNumberOfMaximizedViewNodes(), slicer_layout()) == (0, LAYOUT)
    layout_node().AddMaximizedViewNode(slice_nodes()[OWN[0]])
    module.ui.layoutButton.click()
    assert (layout_node().GetNumberOfMaximizedViewNodes(), slicer_layout()) == (0, before)


def slicer_layout():
    import slicer

    return slicer.app.layoutManager().layout


def test_a_volume_that_is_loaded_later_is_shown_in_the_users_views_alone(host, module, scene, graded):
    import slicer

    module.ui.layoutButton.click()
    other = scene.case("other")[0]
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(other.GetID())
    slicer.app.applicationLogic().PropagateVolumeSelection(1)
    assert composites()["Red"].GetBackgroundVolumeID() == other.GetID()
    assert [composites()[name].GetBackgroundVolumeID() for name in OWN] == [node.GetID() for node in graded[:3]]


def test_what_another_module_shows_in_a_sequences_own_view_has_no_map_and_goes(host, module, graded):
    """The Segment Editor shows its source volume in every view."""
    show(graded[0])
    with_map(host, module)
    module.ui.layoutButton.click()
    module.panel.exit()
    own = [composites()[name] for name in OWN]
    maps = [one.GetForegroundVolumeID() for one in own]
    assert all(maps) and len({*maps}) == 3
    for composite in own:
        composite.SetBackgroundVolumeID(graded[2].GetID())
    assert [one.GetForegroundVolumeID() for one in own] == [None, None, maps[2]]
    module.panel.enter()
    assert [one.GetBackgroundVolumeID() for one in own] == [node.GetID() for node in graded[:3]]
    assert [one.GetForegroundVolumeID() for one in own] == maps


class CopiedView:
    """A scene view of Slicer 5.8 and later: copies of nodes' content, without references and without events."""

    def __init__(self, *nodes):
        self.copies = [(node, node.CreateNodeInstance()) for node in nodes]
        for node, copy in self.copies:
            copy.CopyContent(node, True)

    def restore(self):
        states = [node.StartModify() for node, _copy in self.copies]
        for node, copy in self.copies:
            node.CopyContent(copy, True)
        for (node, _copy), state in zip(self.copies, states, strict=True):
            node.EndModify(state)


@pytest.mark.parametrize("way", ["button", "menu"])
def test_a_scene_view_that_brings_the_layout_back_costs_no_looks(host, module, graded, way):
    import slicer

    as_a_user_has_it(graded)
    before = user_state(graded)
    module.ui.layoutButton.click()
    view = CopiedView(layout_node(), graded[3].GetDisplayNode())
    module.ui.layoutButton.click()
    assert user_state(graded) == before
    view.restore()
    host.pump(0.2)
    assert slicer_layout() == LAYOUT and user_state(graded) != before
    if way == "button":
        module.ui.layoutButton.click()
        assert module.ui.layoutButton.text == "Back to my layout"
        module.ui.layoutButton.click()
    else:
        slicer.app.layoutManager().setLayout(before[0])
    host.pump(0.2)
    assert user_state(graded) == before


@pytest.mark.parametrize("isBack", [False, True])
def test_what_belongs_to_a_result_goes_with_it_where_the_panel_is_closed(host, module, scene, graded, isBack):
    """It is the Data module that removes nodes, and then this one is closed."""
    import slicer

    result = module.logic.node("result")
    own = [module.logic.node(role) for role in ("votes", "slices", "chart")]
    assert all(node.GetScene() is slicer.mrmlScene for node in own)
    module.panel.exit()
    slicer.mrmlScene.RemoveNode(result)
    if isBack:
        module.panel.enter()
    else:
        host.wait(lambda: own[0].GetScene() is None, 5)
    assert [node.GetScene() for node in own] == [None] * 3
