"""Subject-hierarchy folders, and taking nodes away with all that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer


def hierarchy() -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


_OWN = "GliomaGrading.Folder"
"""Attribute of folders that were made here: those of the user are never removed."""


def new_folder(name: str, parent: int = 0) -> int:
    """A folder in another item, e.g. a study; 0 for the scene itself."""
    tree = hierarchy()
    folder = int(tree.CreateFolderItem(parent or tree.GetSceneItemID(), name))
    tree.SetItemAttribute(folder, _OWN, "1")
    return folder


def folder_of(node: Any) -> int:
    """The folder that a node lies in; 0 where it lies in none."""
    tree = hierarchy()
    item = tree.GetItemByDataNode(node)
    parent = tree.GetItemParent(item) if item else 0
    return 0 if parent == tree.GetSceneItemID() else int(parent)


def parent_of(folder: int) -> int:
    """The item that a folder lies in; 0 where there is none."""
    return int(hierarchy().GetItemParent(folder)) if folder else 0


def put_into(folder: int, nodes: Iterable[Any]) -> None:
    tree = hierarchy()
    for node in nodes:
        item = tree.GetItemByDataNode(node)
        if item:
            tree.SetItemParent(item, folder)
        else:
            tree.CreateItem(folder, node)


def remove_if_empty(folder: int) -> None:
    """Removes a folder that ``new_folder`` made, where nothing is left in it."""
    tree = hierarchy()
    if folder and tree.HasItemAttribute(folder, _OWN) and not tree.GetNumberOfItemChildren(folder):
        tree.RemoveItem(folder)


def remove_node(node: Any) -> None:
    """Removes a node, and the display and storage nodes that are its own."""
    # The node goes first: a volume that is shown without a display node gets another one at once.
    for one in (node, *reversed(_attached(node, "Display")), *_attached(node, "Storage")):
        if one is not None and one.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(one)


def _attached(node: Any, kind: str) -> list[Any]:
    count = getattr(node, f"GetNumberOf{kind}Nodes", lambda: 0)()
    return [getattr(node, f"GetNth{kind}Node")(index) for index in range(count)]
