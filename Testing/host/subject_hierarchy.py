"""Items of the subject hierarchy for data nodes: Slicer's plugins make and remove them, so the host must."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

SHOWN = (
    "vtkMRMLStorableNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
)
NOT_SHOWN = ("vtkMRMLColorNode", "vtkMRMLCameraNode", "vtkMRMLSubjectHierarchyNode")


def keep_in_step(scene: Any) -> None:
    """From now on every data node of the scene has an item."""
    for event in ("NodeAddedEvent", "EndBatchProcessEvent", "EndImportEvent"):
        scene.AddObserver(getattr(slicer.vtkMRMLScene, event), lambda caller, name: _add_items(scene))
    scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, drop_item)  # Slicer does it just before it goes


def _add_items(scene: Any) -> None:
    if scene.IsBatchProcessing():
        return
    hierarchy = scene.GetSubjectHierarchyNode()
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        if _belongs(node) and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def _belongs(node: Any) -> bool:
    return (
        not node.GetHideFromEditors()
        and any(node.IsA(one) for one in SHOWN)
        and not any(node.IsA(one) for one in NOT_SHOWN)
    )


@vtk.calldata_type(vtk.VTK_OBJECT)
def drop_item(scene: Any, event: str, node: Any) -> None:
    hierarchy = None if scene.IsBatchProcessing() else scene.GetSubjectHierarchyNode()
    if hierarchy and (item := hierarchy.GetItemByDataNode(node)):
        hierarchy.RemoveItem(item, False, False)
