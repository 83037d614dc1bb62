"""``slicer.app.coreIOManager()``: files into the scene and out of it, by slicer-core's storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import QObject, Signal

from .pythonqt import adopt

NODE_CLASSES = {  # file type -> node class, for what one storage node can read
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "TransformFile": "vtkMRMLTransformNode",
    "TableFile": "vtkMRMLTableNode",
    "TextFile": "vtkMRMLTextNode",
    "ModelFile": "vtkMRMLModelNode",
    "ColorTableFile": "vtkMRMLColorTableNode",
}
SUFFIXES = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".seg.vtm": "SegmentationFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".txt": "TextFile",
    ".json": "TextFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
}
KNOWN_ENDINGS = (".seg.nrrd", ".seg.vtm", ".nii.gz", ".tar.gz")


@adopt
class CoreIOManager(QObject):
    """As much of qSlicerCoreIOManager as ``slicer.util.load...`` and ``save...`` call."""

    newFileLoaded = Signal(object)
    fileSaved = Signal(object)

    def fileType(self, path: str) -> str:
        return next((kind for ending, kind in SUFFIXES.items() if str(path).endswith(ending)), "VolumeFile")

    def fileWriterFileType(self, node: Any, path: str = "") -> str:
        return node.GetClassName()

    def extractKnownExtension(self, path: str, node: Any = None) -> str:
        name = Path(path).name.lower()
        return next((one for one in KNOWN_ENDINGS if name.endswith(one)), Path(path).suffix)

    def loadNodes(self, kind: str, properties: dict, nodes: Any = None, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not Path(path).exists():
            return False
        if kind == "SceneFile":
            return _load_scene(path, bool(properties.get("clear", False)))
        reader = _load_volume if kind == "VolumeFile" else _load_stored
        node = reader(path, kind, properties)
        if node is not None and nodes is not None:
            nodes.AddItem(node)
        return node is not None

    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        return _load_scene(path, clear)

    def saveNodes(self, kind: str, properties: dict, messages: Any = None, scene: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return _save_scene(path)
        return _save_node(slicer.mrmlScene.GetNodeByID(properties["nodeID"]), path)

    def addDefaultStorageNodes(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            node.AddDefaultStorageNode()


def _load_scene(path: str, clear: bool) -> bool:
    scene = slicer.mrmlScene
    if path.endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear))
    scene.SetURL(path)
    return bool(scene.Connect() if clear else scene.Import())


def _save_scene(path: str) -> bool:
    slicer.app.coreIOManager().addDefaultStorageNodes()
    if path.endswith(".mrb"):
        return bool(slicer.mrmlScene.WriteToMRB(path))
    if path.endswith(".mrml"):
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Commit())
    return bool(slicer.mrmlScene.SaveSceneToSlicerDataBundleDirectory(path))


def _load_volume(path: str, kind: str, properties: dict) -> Any:
    volumes = slicer.vtkSlicerVolumesLogic
    flags = {
        "labelmap": volumes.LabelMap,
        "center": volumes.CenterImage,
        "autoWindowLevel": volumes.AutoWindowLevel,
        "singleFile": volumes.SingleFile,
        "discardOrientation": volumes.DiscardOrientation,
    }
    options = sum(flag for name, flag in flags.items() if properties.get(name, name == "autoWindowLevel"))
    name = properties.get("name") or Path(path).name.split(".")[0]  # as QFileInfo.baseName: up to the first dot
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeVolume(path, name, options)
    if node is not None and properties.get("show", True):
        _show(node, bool(properties.get("labelmap")))
    return node


def _show(node: Any, labelmap: bool) -> None:
    selection = slicer.app.applicationLogic().GetSelectionNode()
    if labelmap:
        selection.SetActiveLabelVolumeID(node.GetID())
    else:
        selection.SetActiveVolumeID(node.GetID())
    slicer.app.applicationLogic().PropagateVolumeSelection(1)


def _load_stored(path: str, kind: str, properties: dict) -> Any:
    scene = slicer.mrmlScene
    name = properties.get("name") or Path(path).name.removesuffix(_ending(path))
    node = scene.AddNewNodeByClass(NODE_CLASSES[kind], scene.GenerateUniqueName(name))
    storage = node.CreateDefaultStorageNode()
    scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    storage.SetFileName(path)
    if storage.ReadData(node):
        node.CreateDefaultDisplayNodes() if hasattr(node, "CreateDefaultDisplayNodes") else None
        return node
    scene.RemoveNode(storage)
    scene.RemoveNode(node)
    return None


def _save_node(node: Any, path: str) -> bool:
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode(path)
    storage = node.GetStorageNode()
    storage.SetFileName(path)
    return bool(storage.WriteData(node))


def _ending(path: str) -> str:
    name = Path(path).name
    return next((one for one in KNOWN_ENDINGS if name.lower().endswith(one)), Path(path).suffix)
