"""Stand-ins for the MRML widgets, on the real scene of slicer-core."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from .standins import STANDINS, plain, standin, value
from .widgets_ctk import tight

Node = Any  # a vtkMRMLNode
OUTSIDE_BATCH = ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent")
ANEW = ("EndCloseEvent", "EndImportEvent")
"""Events after which qMRMLSceneModel takes all rows of nodes away and makes them again."""


class Observers:
    """VTK observers of one widget: they go together, at the latest when the widget is gone."""

    def __init__(self, owner: Any) -> None:
        self._owner = weakref.ref(owner)
        self._tags: list[tuple[Any, int]] = []

    def add(self, source: Any, event: Any, method: str) -> None:
        """Calls the owner's method of that name, without arguments."""

        def call(caller: Any, name: str) -> None:
            owner = self._owner()
            if owner is not None and shiboken6.isValid(owner):
                getattr(owner, method)()
            else:
                self.clear()

        self._tags.append((source, source.AddObserver(event, call)))

    def clear(self) -> None:
        for source, tag in self._tags:
            source.RemoveObserver(tag)
        self._tags = []


@standin
class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene."""

    mrmlSceneChanged = Signal(object)
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


@standin
class qSlicerWidget(qMRMLWidget):
    """The application's widget with a scene."""


@standin
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of given classes. Row order is the scene's; "None" comes first."""

    mrmlSceneChanged = Signal(object)
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    currentNodeRenamed = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeAdded = Signal(object)
    nodeActivated = Signal(object)
    nodeTypes = value("QStringList", "nodeTypes", (), changed="_refresh")
    hideChildNodeTypes = value("QStringList", "hideChildNodeTypes", (), changed="_refresh")
    noneEnabled = value(bool, "noneEnabled", False, changed="_refresh")
    addEnabled = value(bool, "addEnabled", True, changed="_refresh")
    removeEnabled = value(bool, "removeEnabled", True)
    renameEnabled = value(bool, "renameEnabled", False)
    editEnabled = value(bool, "editEnabled", False)
    showHidden = value(bool, "showHidden", False, changed="_refresh")
    showChildNodeTypes = value(bool, "showChildNodeTypes", True, changed="_refresh")
    noneDisplay = value(str, "noneDisplay", "None", changed="_refresh")
    baseName = value(str, "baseName", "")
    selectNodeUponCreation = value(bool, "selectNodeUponCreation", True)
    # As in Slicer, a long node name widens the box, and the panel, unless this is set otherwise.
    sizeAdjustPolicy = Property(
        int,
        lambda self: int(self._combo.sizeAdjustPolicy),
        lambda self, policy: self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(policy)),
    )
    _scene: Any = None
    _combo: QtWidgets.QComboBox | None = None
    _node: Node | None = None
    _requested = ""  # chosen before there was a scene
    _cleared = False  # setCurrentNode(None) leaves the real box on no row, even without a None row
    _attributes: list[tuple[str, str, Any]] = []
    _observers: Observers | None = None
    _node_observers: Observers | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._attributes = []
        self._observers, self._node_observers = Observers(self), Observers(self)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.activated.connect(lambda row: self._on_activated(row))
        self.setEnabled(False)
        tight(QtWidgets.QVBoxLayout(self)).addWidget(self._combo)

    # the scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._observers.clear()
        self._scene = scene
        for event in OUTSIDE_BATCH if scene else ():
            self._observers.add(scene, getattr(slicer.vtkMRMLScene, event), "_refresh")
        for event in ANEW if scene else ():
            self._observers.add(scene, getattr(slicer.vtkMRMLScene, event), "_start_anew")
        self._refresh()
        if scene and self._requested:
            self.setCurrentNodeID(self._requested)
            self._requested = ""
        self.setEnabled(scene is not None)
        self.mrmlSceneChanged.emit(scene)

    def addAttribute(self, node_type: str, name: str, wanted: Any = None) -> None:
        self._attributes.append((node_type, name, wanted))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [one for one in self._attributes if one[:2] != (node_type, name)]
        self._refresh()

    def _nodes(self) -> list[Node]:
        if self._scene is None:
            return []
        accepts = self._rule()
        return [node for node in self._candidates() if accepts(node)]

    def _candidates(self) -> list[Node]:
        """Nodes of the types in the order of the scene, which looks for them much faster than Python does."""
        scene, types_ = self._scene, tuple(self.nodeTypes or ())
        if len(types_) == 1:
            count = scene.GetNumberOfNodesByClass(types_[0])
            return [scene.GetNthNodeByClass(index, types_[0]) for index in range(count)]
        everything = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in everything if any(node.IsA(one) for one in types_)]

    def _rule(self) -> Callable[[Node], bool]:
        """Which nodes are offered; the widget's properties are read once and not for every node."""
        types_, unwanted = self.nodeTypes or (), self.hideChildNodeTypes or ()
        with_children, with_hidden = self.showChildNodeTypes, self.showHidden

        def accepts(node: Node) -> bool:
            of_type = any(node.GetClassName() == one or (with_children and node.IsA(one)) for one in types_)
            if not of_type or any(node.IsA(one) for one in unwanted):
                return False
            return (with_hidden or not node.GetHideFromEditors()) and all(
                _has_attribute(node, name, wanted) for kind, name, wanted in self._attributes if node.IsA(kind)
            )

        return accepts

    # rows

    def _refresh(self) -> None:
        if self._scene is None or not self._scene.IsBatchProcessing():
            self._make_rows()

    def _start_anew(self) -> None:
        """The row of the chosen node goes with all others: nobody chose that, and all hear of it."""
        self._select(None)
        self._make_rows()

    def _make_rows(self) -> None:
        nodes = self._nodes()
        self._node_observers.clear()
        for node in nodes:
            self._node_observers.add(node, "ModifiedEvent", "_rename_rows")
        row = self._combo.currentIndex
        self._fill(nodes)
        self._select(self._node if self._node in nodes else self._fallback(nodes, row))

    def _fill(self, nodes: list[Node]) -> None:
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
        for kind in (self.nodeTypes or ()) if self.addEnabled else ():
            self._combo.addItem(f"Create new {self.nodeTypeLabel(kind)}", f"+{kind}")
        self._combo.setPlaceholderText(f"Select a {self.nodeTypeLabel(next(iter(self.nodeTypes or ()), ''))}")
        self._combo.blockSignals(blocked)

    def _fallback(self, nodes: list[Node], row: int) -> Node | None:
        """Where the chosen node has gone, QComboBox goes one row up; from the start it takes the first node."""
        rows = [None, *nodes] if self.noneEnabled else nodes
        if not rows or (self._node is None and (self.noneEnabled or self._cleared)):
            return None
        return rows[min(max(row - 1, 0), len(rows) - 1)]

    def _rename_rows(self) -> None:
        if [node for node in self._nodes() if self._combo.findData(node.GetID()) < 0]:
            return self._refresh()
        for node in self._nodes():
            row = self._combo.findData(node.GetID())
            if self._combo.itemText(row) != node.GetName():
                self._combo.setItemText(row, node.GetName() or "")
                if node is self._node:
                    self.currentNodeRenamed.emit(node.GetName())

    def _select(self, node: Node | None) -> None:
        blocked = self._combo.blockSignals(True)
        self._combo.setCurrentIndex(self._combo.findData(node.GetID() if node else ""))
        self._combo.blockSignals(blocked)
        if node is self._node:
            return
        self._node = node
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _on_activated(self, row: int) -> None:
        chosen = self._combo.itemData(row) or ""
        if chosen.startswith("+"):
            node = self.addNode(chosen[1:])
            self.nodeAddedByUser.emit(node)
        else:
            self.setCurrentNodeID(chosen)
        self.nodeActivated.emit(self.currentNode())

    # choosing

    def currentNode(self) -> Node | None:
        return self._node if self._node is not None and self._node.GetScene() is self._scene else None

    def currentNodeId(self) -> str:
        node = self.currentNode()
        return node.GetID() if node else ""

    def setCurrentNode(self, node: Node | str | None) -> None:
        self.setCurrentNodeID(node.GetID() if hasattr(node, "GetID") else node)

    def setCurrentNodeID(self, node_id: str | None) -> None:
        if self._scene is None:
            self._requested = node_id or ""
            return
        node = next((one for one in self._nodes() if one.GetID() == node_id), None) if node_id else None
        if node is not None and self._combo.findData(node.GetID()) < 0:
            self._refresh()
            if self._combo.findData(node.GetID()) < 0:  # rows are not made while the scene changes in a batch
                node = None
        self._cleared = node is None
        self._select(node)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def addNode(self, node_type: str = "") -> Node:
        kind = node_type or self.nodeTypes[0]
        node = self._scene.AddNewNodeByClass(
            kind, self._scene.GenerateUniqueName(self.baseName or self.nodeTypeLabel(kind))
        )
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAdded.emit(node)
        return node

    def nodeTypeLabel(self, node_type: str) -> str:
        return (self._scene and self._scene.GetTypeDisplayNameByClassName(node_type)) or "node"

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Node | None:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    currentNodeID = Property(str, currentNodeId, setCurrentNodeID)


def _has_attribute(node: Node, name: str, wanted: Any) -> bool:
    found = node.GetAttribute(name)
    return found is not None if wanted is None else found == str(wanted)


@standin
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segmentation node and one of its segments."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    noneEnabled = value(bool, "noneEnabled", False, changed="_allow_none")
    editEnabled = value(bool, "editEnabled", False)
    multiSelection = value(bool, "multiSelection", False)
    horizontalLayout = value(bool, "horizontalLayout", False, changed="_lay_out")
    segmentationNodeSelectorVisible = value(
        bool, "segmentationNodeSelectorVisible", True, changed="_show_nodes"
    )
    selectNodeUponCreation = value(bool, "selectNodeUponCreation", True)
    _nodes: Any = None
    _segments: QtWidgets.QComboBox | None = None
    _label: QtWidgets.QLabel | None = None
    _message: QtWidgets.QLabel | None = None
    _box: QtWidgets.QBoxLayout | None = None
    _current = ""
    _observers: Observers | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._observers = Observers(self)
        self._nodes = qMRMLNodeComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = False
        self._segments = QtWidgets.QComboBox(self)
        self._segments.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._box = tight(QtWidgets.QBoxLayout(QtWidgets.QBoxLayout.TopToBottom, self))
        self._box.addWidget(self._nodes)
        row = tight(QtWidgets.QHBoxLayout())
        self._label = QtWidgets.QLabel("Segment:", self)
        row.addWidget(self._label)
        row.addWidget(self._segments, 1)
        self._box.addLayout(row)
        self._message = QtWidgets.QLabel(self)
        self._box.addWidget(self._message)
        self._nodes.currentNodeChanged.connect(lambda node: self._on_node(node))
        self._segments.currentIndexChanged.connect(lambda row: self._on_segment(row))
        self._fill()

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def _show_nodes(self) -> None:
        self._nodes.setVisible(self.segmentationNodeSelectorVisible)

    def _lay_out(self) -> None:
        direction = (
            QtWidgets.QBoxLayout.LeftToRight if self.horizontalLayout else QtWidgets.QBoxLayout.TopToBottom
        )
        self._box.setDirection(direction)

    def _allow_none(self) -> None:
        self._nodes.noneEnabled = self.noneEnabled
        self._fill()

    def _on_node(self, node: Node | None) -> None:
        self._observers.clear()
        if node is not None:
            events = slicer.vtkSegmentation
            for event in (events.SegmentAdded, events.SegmentRemoved, events.SegmentModified):
                self._observers.add(node.GetSegmentation(), event, "_fill")
        self._fill()
        self.currentNodeChanged.emit(node)

    def _fill(self) -> None:
        ids = self.segmentIDs()
        blocked = self._segments.blockSignals(True)
        self._segments.clear()
        if self.noneEnabled and ids:
            self._segments.addItem("None", "")
        for one in ids:
            self._segments.addItem(self.currentNode().GetSegmentation().GetSegment(one).GetName(), one)
        self._segments.setVisible(bool(ids))
        self._label.setVisible(bool(ids))
        self._message.setVisible(not ids)
        self._message.setText("No segments in segmentation" if self.currentNode() else "No node is selected")
        wanted = self._current if self._current in ids else next(iter(ids), "")
        self._segments.setCurrentIndex(self._segments.findData(wanted))
        self._segments.blockSignals(blocked)
        self._on_segment(self._segments.currentIndex)

    def _on_segment(self, row: int) -> None:
        if self.currentNode() is None:
            return  # as in Slicer, currentSegmentID() goes on saying what it said
        new = (self._segments.itemData(row) if row >= 0 else "") or ""
        if new != self._current:
            self._current = new
            self.currentSegmentChanged.emit(new)
            self.segmentSelectionChanged.emit([new] if new else [])

    def segmentIDs(self) -> list[str]:
        node = self.currentNode()
        return list(node.GetSegmentation().GetSegmentIDs()) if node else []

    def currentNode(self) -> Node | None:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNode(self, node: Node | None) -> None:
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self._nodes.setCurrentNodeID(node_id)

    def currentSegmentID(self) -> str:
        return self._current

    def setCurrentSegmentID(self, segment_id: str) -> None:
        row = self._segments.findData(segment_id or "")  # "" is the None row, where there is one
        if row >= 0:
            self._segments.setCurrentIndex(row)

    def selectedSegmentIDs(self) -> list[str]:
        return [self._current] if self._current else []

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self.setCurrentSegmentID(ids[0] if ids else "")


@standin
class qMRMLTableView(QtWidgets.QTableView):
    """Shows a table node."""

    mrmlSceneChanged = Signal(object)
    _scene: Any = None
    _table: Node | None = None
    _observers: Observers | None = None

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._observers = Observers(self)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene

    def mrmlTableNode(self) -> Node | None:
        return self._table

    def setMRMLTableNode(self, node: Node | None) -> None:
        self._observers.clear()
        self._table = node
        if node is not None:
            self._observers.add(node, "ModifiedEvent", "_fill")
        self._fill()

    def _fill(self) -> None:
        from PySide6.QtGui import QStandardItem, QStandardItemModel

        table = self._table.GetTable() if self._table else None
        model = QStandardItemModel(self)
        columns = range(table.GetNumberOfColumns()) if table else ()
        model.setHorizontalHeaderLabels([table.GetColumnName(column) or "" for column in columns])
        for row in range(table.GetNumberOfRows() if table else 0):
            model.appendRow([QStandardItem(table.GetValue(row, column).ToString()) for column in columns])
        self.setModel(model)


plain("qMRMLCollapsibleButton", STANDINS["ctkCollapsibleButton"])
plain("qMRMLSliderWidget", STANDINS["ctkSliderWidget"])
plain("qMRMLSpinBox", STANDINS["ctkDoubleSpinBox"])
plain("qMRMLCheckableNodeComboBox", STANDINS["qMRMLNodeComboBox"])
