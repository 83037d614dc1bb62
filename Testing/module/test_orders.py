"""No dead end: random orders of clicks, choices and removals, and after each the panel is consistent."""

from __future__ import annotations

import random

import pytest

STEPS = 200


class Clumsy:
    """A user without a plan; every move is one that the panel or the scene allows."""

    def __init__(self, host, module, scene, seed):
        self.host, self.module, self.scene = host, module, scene
        self.random = random.Random(seed)
        self.count = 0

    @property
    def ui(self):
        return self.module.ui

    def moves(self):
        return [
            *(lambda name=name: self.click(name) for name in (
                "gradeButton", "gradeButton", "cancelButton", "layoutButton", "largestButton", "mapCheckBox",
            )),
            self.load, self.choose, self.choose, self.remove, self.slide, self.look, self.segment, self.option,
            self.other_layout, self.other_module, self.wait, self.wait, self.wait, self.close,
        ]  # fmt: skip

    def step(self):
        self.random.choice(self.moves())()
        self.host.pump(self.random.choice((0.0, 0.0, 0.02)))

    def click(self, name):
        getattr(self.ui, name).click()

    def load(self):
        if len(self.volumes()) < 9:
            self.count += 1
            self.scene.case(f"case{self.count}", self.random.choice((0.1, 0.5, 0.9)))

    def volumes(self):
        import slicer

        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [one for one in nodes if "network looked" not in one.GetName()]

    def choose(self):
        box = getattr(self.ui, f"{self.random.choice(('t1', 't2', 'flair', 'mask'))}Selector")
        if self.ui.inputsCollapsibleButton.enabled:
            box.setCurrentNodeIndex(self.random.randrange(-1, box.nodeCount()))

    def remove(self):
        import slicer

        nodes = [*self.volumes(), *slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), *self.own()]
        if nodes and self.random.random() < 0.4:
            slicer.mrmlScene.RemoveNode(self.random.choice(nodes))

    def own(self):
        published = self.module.logic.published
        return list(published.nodes.values()) if published else []

    def slide(self):
        self.ui.sliceSlider.setValue(self.random.randrange(20))

    def look(self):
        self.ui.mapSelector.setCurrentIndex(self.random.randrange(3))
        self.ui.opacitySlider.setValue(self.random.randrange(101))

    def segment(self):
        self.ui.segmentSelector.setCurrentIndex(self.random.randrange(-1, 2))

    def option(self):
        self.ui.voteSelector.setCurrentIndex(self.random.randrange(2))

    def other_layout(self):
        import slicer

        layouts = slicer.vtkMRMLLayoutNode
        known = (layouts.SlicerLayoutFourUpView, layouts.SlicerLayoutOneUpRedSliceView)
        slicer.app.layoutManager().setLayout(self.random.choice(known))

    def other_module(self):
        self.module.panel.exit()
        self.host.pump(0.01)
        self.module.panel.enter()

    def wait(self):
        self.host.wait(lambda: self.module.widget.controller.run is None, 30)

    def close(self):
        if self.random.random() < 0.15:
            self.host.close_scene()

    # what has to hold at any time

    def check(self):
        ui, controller = self.ui, self.module.widget.controller
        ok, reason = controller.inputs.isValid()
        busy, mapping = controller.run is not None, controller.viewer.run is not None
        assert ui.gradeButton.enabled == (ok and not busy)
        runs = [one for one in (controller.run, controller.viewer.run) if one is not None]
        assert ui.cancelButton.enabled == any(not one.isCancelling for one in runs)
        assert ui.inputsCollapsibleButton.enabled != busy
        for button in (ui.gradeButton, ui.cancelButton, ui.layoutButton, ui.mapCheckBox, ui.sliceSlider):
            assert button.toolTip
        if not ok and not busy:
            assert ui.gradeButton.toolTip == reason and ui.statusLabel.text == reason
        shown = controller.viewer.published is not None
        assert ui.resultFrame.isHidden() != shown and ui.mapCheckBox.enabled == (shown and not busy)
        assert not (
            ui.mapCheckBox.checked and not mapping and shown and not busy and not ui.mapSelector.enabled
        )
        assert ui.layoutButton.enabled == (shown or "Back" in ui.layoutButton.text)
        assert self.strays() == []

    def strays(self):
        """Nodes that say they are of a result but that no result knows."""
        import slicer
        from GliomaGradingLib.scene.results import Published, result_nodes

        known = {node.GetID() for text in result_nodes() for node in Published(text).nodes.values()}
        kinds = ("vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTextNode")
        found = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
        return [node.GetName() for node in found if node.GetID() not in known and self.result_lives(node)]

    def result_lives(self, node):
        """What is left when the user removes the text node itself is theirs to remove, too."""
        return any(
            node.GetName().startswith(f"{text.GetAttribute('GliomaGrading.Result')} ")
            for text in self.scene.results()
        )

    def reach_a_grade(self):
        """From wherever this ended."""
        self.host.wait(lambda: self.module.widget.controller.run is None, 30)
        nodes = self.scene.case("last", 0.9)
        for box, node in zip(("t1", "t2", "flair", "mask"), nodes, strict=True):
            getattr(self.ui, f"{box}Selector").setCurrentNode(node)
        self.host.pump(0.1)
        assert self.ui.gradeButton.enabled, self.ui.statusLabel.text
        self.ui.gradeButton.click()
        self.host.wait(lambda: self.module.widget.controller.run is None, 30)
        assert self.ui.messageLabel.text == ""
        assert self.module.logic.result.case == "last" and self.ui.decisionLabel.text == "▲ HGG – high grade"


@pytest.mark.parametrize("seed", [1])
def test_no_order_of_clicks_is_a_dead_end(host, module, scene, seed):
    clumsy = Clumsy(host, module, scene, seed)
    for number in range(STEPS):
        clumsy.step()
        clumsy.check()
        assert not host.problems(), number
    clumsy.reach_a_grade()
    clumsy.check()
