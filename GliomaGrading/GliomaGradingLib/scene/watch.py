"""Sees when what a result was made of is changed: of every result in the scene, whichever the panel shows.

Slicer tells nobody that it is about to save a scene (``StartSaveEvent`` has a name and is never invoked): what
is known of a result has to stand on its node as soon as it is known.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .folders import folder_of, remove_if_empty, remove_node
from .inputs import change_events
from .observers import Observers
from .results import OUTDATED, RESULT, Published, inputs_of, mark_outdated, own_nodes, result_nodes
from .stamps import keep, kept


def watch_results() -> None:
    """Takes in what results there are now; one out of a file counts as made of what came with it.

    Not so where it was outdated when it was saved, or lacks an input.
    """
    remove_orphans()
    for text in result_nodes():
        inputs = inputs_of(Published(text))
        if kept(text) is None and not text.GetAttribute(OUTDATED) and inputs.isValid()[0]:
            keep(text, inputs.stamp)
    _watch.start()


def remove_orphans() -> None:
    """Takes tables, plot and maps away whose result was removed: nothing else would ever find them again.

    To be called when that is over: who removes a whole folder is still going through it.
    """
    _watch.remove_orphans()


def has_orphans() -> bool:
    """Whether a result was removed, and ``remove_orphans`` has not been called since."""
    return bool(_watch.orphans)


def stop_watching() -> None:
    """Lets go of scene and nodes, before this package is loaded anew."""
    _watch.stop()


class _Watch:
    """Its observers keep an input, with all its voxels, no longer than the scene does."""

    def __init__(self) -> None:
        self._inputs = Observers(self._on_changed)
        self._removals = Observers(self._on_removal, priority=1.0)  # while the hierarchy still has its item
        self._closings = Observers(self._on_closing)
        self._imports = Observers(self._on_import)
        self.orphans: list[tuple[int, list[Any]]] = []
        self._batches = Observers(self._on_batch_end)

    def start(self, leaving: Any = None) -> None:
        """Begins, or takes in what came since; an input or a result that is leaving the scene is left out."""
        scene = slicer.mrmlScene
        self._inputs.observe(change_events(_inputs(leaving)))
        self._removals.observe([(scene, scene.NodeAboutToBeRemovedEvent)])
        self._closings.observe([(scene, scene.StartCloseEvent)])
        self._imports.observe([(scene, scene.EndImportEvent)])
        self._batches.observe([(scene, scene.EndBatchProcessEvent)])

    def stop(self) -> None:
        for one in (self._inputs, self._removals, self._closings, self._imports, self._batches):
            one.observe([])

    def _on_changed(self, changed: Any, *_event: object) -> None:
        """A segmentation may have got other segments to observe, too.

        Drawing and moving are many changes of one input: the other results' inputs are not looked at each time.
        """
        if not slicer.mrmlScene.IsBatchProcessing():
            self.start()
            mark_outdated(changed)

    def _on_batch_end(self, *_event: object) -> None:
        """Whatever was changed in a batch is looked at once, at its end."""
        if not slicer.mrmlScene.IsBatchProcessing():
            self.start()
            mark_outdated()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removal(self, _scene: Any, _event: str, node: Any) -> None:
        """When the scene is closed, one after the other leaves, and all has been let go of before."""
        is_result = bool(node.GetAttribute(RESULT))
        if slicer.mrmlScene.IsClosing() or not (is_result or any(node is one for one in _inputs())):
            return
        self.start(node)
        if is_result:
            self.orphans.append((folder_of(node), own_nodes(Published(node))))

    def remove_orphans(self) -> None:
        orphans, self.orphans = self.orphans, []
        for folder, nodes in orphans:
            left = [node for node in nodes if node.GetScene() is slicer.mrmlScene]
            for node in left:
                remove_node(node)
            if left:
                remove_if_empty(folder)

    def _on_import(self, *_event: object) -> None:
        watch_results()

    def _on_closing(self, *_event: object) -> None:
        self._inputs.observe([])


def _inputs(leaving: Any = None) -> list[Any]:
    """What the results that can get outdated were made of, each node once."""
    texts = [text for text in result_nodes() if text is not leaving and kept(text) is not None]
    nodes = {node.GetID(): node for text in texts for node in inputs_of(Published(text)).nodes}
    return [node for node in nodes.values() if node is not leaving]


_watch = _Watch()
