"""Follows what the user chooses and takes out: inputs, a segment of the mask, options; fills in open inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..networks.bundle import find_bundles
from ..scene import autofill
from ..scene.inputs import Inputs
from ..scene.mask import segments_of
from ..scene.names import name_of
from . import text

_ROLES = ("t1", "t2", "flair", "mask")


class Choices:
    """Owns the panel's widgets for inputs and options; ``parameters`` is the parameter node or None.

    Args:
        changed: called when other inputs are chosen than were before.
    """

    def __init__(self, ui: Any, changed: Callable[[], object]) -> None:
        self._ui, self._changed = ui, changed
        self.parameters: Any = None
        self._hints = {role: self._box(role).toolTip for role in _ROLES}
        self._mask, self._segment = "", ""  # id and name, as they were last
        self._chosen: dict[str, str] = {}  # ids by role, as they were last
        self._cleared: dict[str, str] = {}  # what was in an input before the user emptied it
        self._called: list[str] = []  # ids of the volumes whose case's name is shown
        self._passed: dict[str, set[str]] = {}  # what shall not take the place of a node that went
        self._isFilling = False
        self._isSceneNew = False
        ui.bundleButton.connect("clicked(bool)", self._choose_bundle)
        ui.segmentSelector.connect("currentIndexChanged(int)", self._on_segment)
        ui.caseEdit.connect("editingFinished()", self.takeCase)

    @property
    def inputs(self) -> Inputs:
        chosen = self.parameters
        if chosen is None:
            return Inputs()
        return Inputs(chosen.t1, chosen.t2, chosen.flair, chosen.mask, chosen.segmentId or None)

    @property
    def options(self) -> dict[str, str]:
        """What the worker is told with the images; ``parameters`` have to be there."""
        return {"vote": self.parameters.vote, "register": self.parameters.registration}

    @property
    def allOptions(self) -> dict[str, str]:
        """Whatever a result depends on besides the images; see ``options``."""
        return {**self.options, "bundle": self.parameters.bundle}

    # What the controller says

    def setParameters(self, parameters: Any) -> None:
        self.parameters = parameters
        self._mask = ""  # what is chosen in it now belongs together, whatever was chosen before
        if parameters is not None and self._isSceneNew:
            self._isSceneNew = False
            self._show_unusual()

    def fill(self) -> None:
        """Fills in the inputs that are empty and can only be one node each."""
        if self.parameters is None:
            return
        guess = autofill.guess(self.inputs.nodes, self._is_open)
        for name, node in guess.sequences.items():
            setattr(self.parameters, name.lower(), node)
        if guess.mask is not None:
            self.parameters.mask = guess.mask
            self.parameters.segmentId = autofill.whole_tumour_segment(segments_of(guess.mask))

    def refresh(self) -> None:
        """Brings the segment in line with the mask, and the widgets with the inputs."""
        self._follow_mask()
        inputs = self.inputs
        self._note(inputs)
        self._fill_segments(inputs)
        self._show_names(inputs)
        self._show_case(inputs)
        self._show_doubts(inputs)

    def takeCase(self) -> None:
        """What was typed for the case's name is its name from now on."""
        box = self._ui.caseEdit
        if box.modified and self._called == _volumes(self.inputs):
            box.modified = False
            self.inputs.giveCase(box.text)

    def forget(self) -> None:
        """Whatever the user took out may be filled in again: the scene or the panel goes."""
        self._chosen, self._cleared, self._passed = {}, {}, {}
        self._called = []

    def onSceneLoaded(self) -> None:
        """The choices that come next are out of a file: the user took nothing out of them."""
        self._isSceneNew = True
        self._chosen, self._passed = {}, {}

    def onNodeAboutToBeRemoved(self, node: Any) -> None:
        """Empties the choice of it: a node box would go on to the next node, which nobody chose."""
        for role in _ROLES if self.parameters is not None else ():
            if getattr(self.parameters, role) is node:
                self._passed[role] = autofill.strangers(node)
                setattr(self.parameters, role, None)

    # What was chosen before

    def _is_open(self, name: str, node: Any) -> bool:
        """Whether an input is empty, and not because this node, or another case's before it, was taken out."""
        role, identifier = name.lower(), node.GetID()
        is_passed = self._cleared.get(role) == identifier or identifier in self._passed.get(role, ())
        return getattr(self.parameters, role) is None and not is_passed

    def _follow_mask(self) -> None:
        """Another segmentation has other segments, perhaps by the same ids: the one of the same name is chosen.

        While a scene is loaded, mask and segment come one after the other and belong together.
        """
        mask = self.parameters.mask if self.parameters is not None else None
        if mask is None or slicer.mrmlScene.IsBatchProcessing():
            return
        known, former, self._mask = dict(segments_of(mask)), self._mask, mask.GetID()
        chosen = self.parameters.segmentId
        has_others = bool(known) or not mask.IsA("vtkMRMLSegmentationNode")  # of a labelmap, none
        is_lost = not former and has_others and chosen and chosen not in known
        if is_lost or (former and former != self._mask):
            self.parameters.segmentId = autofill.segment_like(self._segment, known.items())
        self._segment = known.get(self.parameters.segmentId, "")

    def _note(self, inputs: Inputs) -> None:
        """Sees which inputs the user took out, and whether these are others than before."""
        if self.parameters is None or slicer.mrmlScene.IsBatchProcessing():
            return
        nodes = {role: node.GetID() for role in _ROLES if (node := getattr(inputs, role)) is not None}
        chosen = {**nodes, "segment": inputs.segmentId or ""}
        is_other = chosen != self._chosen
        taken = {role: self._chosen[role] for role in _ROLES if role in self._chosen and role not in nodes}
        self._cleared = {r: one for r, one in {**self._cleared, **taken}.items() if r not in nodes}
        self._chosen = chosen
        if is_other:
            self._changed()

    # Widgets

    def _box(self, role: str) -> Any:
        return getattr(self._ui, f"{role}Selector")

    def _fill_segments(self, inputs: Inputs) -> None:
        segments = segments_of(inputs.mask)
        rows = [("", _("All segments together")), *segments] if segments else []
        box = self._ui.segmentSelector
        shown = [(box.itemData(row), box.itemText(row)) for row in range(box.count)]
        self._isFilling = True
        if shown != rows:
            box.clear()
            for identifier, name in rows:
                box.addItem(name, identifier)
        box.setCurrentIndex(box.findData(inputs.segmentId or ""))
        self._isFilling = False
        self._ui.segmentSelector.visible = self._ui.segmentLabel.visible = bool(segments)

    def _on_segment(self, row: int) -> None:
        if self.parameters is not None and not self._isFilling and row >= 0:
            self.parameters.segmentId = self._ui.segmentSelector.itemData(row) or ""

    def _show_names(self, inputs: Inputs) -> None:
        """In full, as tips: the boxes are narrow."""
        for role, hint in self._hints.items():
            node = getattr(inputs, role)
            self._box(role).toolTip = f"{name_of(node)}\n{hint}" if node is not None else hint

    def _show_case(self, inputs: Inputs) -> None:
        """What is being typed stays, unless the volumes are others meanwhile."""
        box, volumes = self._ui.caseEdit, _volumes(inputs)
        if volumes != self._called or not box.modified:
            self._called = volumes
            if box.text != inputs.givenCase or box.modified:
                box.text = inputs.givenCase
        box.placeholderText = inputs.usualCase
        box.enabled = len(volumes) == len(inputs.sequences)

    def _show_doubts(self, inputs: Inputs) -> None:
        """What names and headers say against the chosen volumes, before they are graded."""
        label = self._ui.inputsNoticeLabel
        label.text = text.warnings_text(inputs.doubts)
        label.visible = bool(label.text)

    def _show_unusual(self) -> None:
        """Another machine may have neither that model nor that device: the user shall see what was chosen."""
        bundle = self.parameters.bundle
        is_shipped = not bundle or bundle in [folder.name for folder in find_bundles()]
        if not is_shipped or self.parameters.device != "auto":
            self._ui.advancedCollapsibleButton.collapsed = False

    def _choose_bundle(self, *_clicked: object) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Model bundle"))
        if folder and self.parameters is not None:
            self.parameters.bundle = folder


def _volumes(inputs: Inputs) -> list[str]:
    """Ids of the chosen sequences: a list of nodes would keep their voxels."""
    return [node.GetID() for node in inputs.sequences.values() if node is not None]
