"""What the slice views show: the graded slices, the three sequences side by side, the maps over the images.

The three sequences have slice views of their own, so that the user's views keep their volumes; whatever of the
user's is changed all the same (layout, outline, foreground) goes through ``Changes`` and has a way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import slicer
import vtk

from ..palette import OUTLINE_COLOR, SEQUENCE_COLORS, rgb
from ..words import SEQUENCES
from .changes import Changes, undo_saved, with_argument
from .charts import CHART
from .maps import LEGEND, MAP, legends, map_role
from .mask import graded_segments
from .observers import Observers
from .results import Published, inputs_of

LAYOUT = 22381
"""Number of the side-by-side layout among Slicer's layouts; far from those of Slicer and known extensions."""

PLOT_VIEW = "GliomaGradingPlot"
SURFACE = "Closed surface"  # vtkSegmentationConverter::GetClosedSurfaceRepresentationName()
_VIEW_GROUP = 22381
"""Linked slice views of another group are left alone."""


def slice_view(sequence: str) -> str:
    """Name of the slice view that shows a sequence in the side-by-side layout."""
    return f"GliomaGrading{sequence}"


OWN_VIEWS = tuple(map(slice_view, SEQUENCES))


_OUTLINED: dict[str, Any] = {
    "Visibility": True,
    "Visibility2D": True,
    "Visibility2DFill": False,
    "Visibility2DOutline": True,
    "Opacity2DOutline": 1.0,
    "SliceIntersectionThickness": 2,
}
_FAINT = 0.5
"""Opacity of a whole segmentation, a factor of its outline's, below which that is lost on a bright tumour.

Above, it stays: 3D views are seen through it.
"""
_SEGMENT_OUTLINED: dict[str, Any] = {
    "SegmentOverrideColor": list(rgb(OUTLINE_COLOR)),
    "SegmentVisibility": True,
    "SegmentVisibility2DOutline": True,
    "SegmentOpacity2DOutline": 1.0,
}
"""How a segmentation and its graded segments are shown beside the three sequences."""


def jump_to(point: tuple[float, float, float]) -> None:
    """All slice views go to a point (RAS mm); the user's own are centred on it."""
    for node in _slice_nodes():
        if node.GetLayoutName() in OWN_VIEWS:
            node.JumpSliceByOffsetting(*point)
        else:
            node.JumpSliceByCentering(*point)


def show_height(position: float) -> None:
    """Slice views that lie about axially go to a height (patient S, mm); the others stay where they are."""
    for node in _slice_nodes():
        matrix = node.GetSliceToRAS()
        if _height(node) is not None:
            node.JumpSliceByOffsetting(matrix.GetElement(0, 3), matrix.GetElement(1, 3), float(position))


def layout_description() -> str:
    """Slicer's layout XML: T1, T2 and FLAIR in a row, below them the plot and the 3D view."""
    slices = "".join(
        f'<item splitSize="500"><view class="vtkMRMLSliceNode" singletontag="{slice_view(name)}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{name}</property>'
        f'<property name="viewcolor" action="default">{SEQUENCE_COLORS[name]}</property>'
        f'<property name="viewgroup" action="default">{_VIEW_GROUP}</property></view></item>'
        for name in SEQUENCES
    )
    plot = (
        f'<view class="vtkMRMLPlotViewNode" singletontag="{PLOT_VIEW}">'
        '<property name="viewlabel" action="default">P</property></view>'
    )
    space = (
        '<view class="vtkMRMLViewNode" singletontag="1">'
        '<property name="viewlabel" action="default">1</property></view>'
    )
    below = f'<item splitSize="600">{plot}</item><item splitSize="400">{space}</item>'
    return (
        '<layout type="vertical" split="true">'
        f'<item splitSize="550"><layout type="horizontal" split="true">{slices}</layout></item>'
        f'<item splitSize="450"><layout type="horizontal" split="true">{below}</layout></item></layout>'
    )


def register_layout() -> None:
    """Makes the layout known, so that a scene that was saved in it can be shown before the panel is opened."""
    layout = _layout_node()
    if layout is not None and not layout.IsLayoutDescription(LAYOUT):
        layout.AddLayoutDescription(LAYOUT, layout_description())


def is_shown(published: Published) -> bool:
    """Whether a view shows one of a result's sequences, or its mask in 3D."""
    views = {node.GetLayoutName() for node in _slice_nodes() if node.IsMappedInLayout()}
    shown = (one for one in _composites() if one.GetLayoutName() in views)
    return _is_solid(published.node("mask")) or any(shown_sequence(published, one) for one in shown)


def shown_sequence(published: Published, composite: Any) -> str:
    """Which of a result's sequences a slice view shows; '' where it shows anything else.

    Something of another patient in the foreground counts as anything else, too.
    """
    background, foreground = composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()
    own = {node.GetID() for node in published.nodes.values()}
    if foreground and foreground not in own and composite.GetForegroundOpacity() > 0:
        return ""
    return _sequence_with(published, background)


class CompositeWatch:
    """Calls ``changed`` when a slice view shows other volumes, another one comes, or a mask looks different."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._sceneObservers = Observers(self._on_added)
        self._viewObservers = Observers(self._on_modified)
        self._isCalling = False
        self._mask: Any = None

    def start(self, mask: Any = None) -> None:
        """Begins, or takes in what came since.

        Args:
            mask: a node whose looks count, too.
        """
        scene, self._mask = slicer.mrmlScene, mask
        display = mask.GetDisplayNode() if mask is not None else None
        shown = [*_composites(), *([display] if display is not None else [])]
        self._sceneObservers.observe([(scene, scene.NodeAddedEvent)])
        self._viewObservers.observe([(one, vtk.vtkCommand.ModifiedEvent) for one in shown])

    def stop(self) -> None:
        self._mask = None
        self._sceneObservers.observe([])
        self._viewObservers.observe([])

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: Any, _event: str, node: Any) -> None:
        if node.IsA("vtkMRMLSliceCompositeNode"):
            self.start(self._mask)
            self._on_modified()

    def _on_modified(self, *_event: object) -> None:
        """What is changed in answer to a change is no change by somebody else."""
        if not self._isCalling:
            self._isCalling = True
            try:
                self._changed()
            finally:
                self._isCalling = False


class HeightWatch:
    """Calls ``moved`` with the height (patient S, mm) to which a view of a result's sequences was moved."""

    def __init__(self, moved: Callable[[float], object]) -> None:
        self._moved = moved
        self._observers = Observers(self._on_modified)
        self._heights: dict[str, float | None] = {}
        self._published: Published | None = None

    def start(self, published: Published) -> None:
        """Begins, or takes in the views that came since; where they are now is not told."""
        self._published, nodes = published, _slice_nodes()
        self._heights = {node.GetID(): _height(node) for node in nodes}
        self._observers.observe([(node, vtk.vtkCommand.ModifiedEvent) for node in nodes])

    def stop(self) -> None:
        self._published = None
        self._observers.observe([])

    def _on_modified(self, node: Any, *_event: object) -> None:
        height, before = _height(node), self._heights.get(node.GetID())
        self._heights[node.GetID()] = height
        if height is None or height == before or self._published is None or not node.IsMappedInLayout():
            return
        composite = _composite(node.GetLayoutName())
        if composite is not None and shown_sequence(self._published, composite):
            self._moved(height)


class SideBySide:
    """The layout of the three sequences with the tumour's outline, and the way back from it."""

    def __init__(self) -> None:
        self._changes, self._layout = Changes(), Changes()

    @property
    def isShown(self) -> bool:
        return bool(self._layout)

    def show(self, published: Published) -> bool:
        """Switches to the layout; False where this application has no layouts."""
        layout = _layout_node()
        if layout is None:
            return False
        if not self.isShown:
            undo_saved()  # a scene view may have brought this layout back, with what was changed for it
        register_layout()
        layout.RemoveAllMaximizedViewNodes()  # one would hide any layout
        if layout.GetViewArrangement() == LAYOUT:  # by Slicer's menu, and "Back" needs somewhere to go
            layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._layout.set(layout, "ViewArrangement", LAYOUT)
        self.fill(published)
        return True

    @property
    def isPossible(self) -> bool:
        """Whether this application has layouts at all."""
        return _layout_node() is not None

    def fill(self, published: Published) -> None:
        """Shows a result's volumes, outline and plot in the layout's views."""
        mask = published.node("mask")
        self.refill(published, every=True)
        plot = _own("vtkMRMLPlotViewNode", PLOT_VIEW)
        if plot is not None and published.node(CHART) is not None:
            plot.SetPlotChartNodeID(published.node(CHART).GetID())
            plot.SetInteractionMode(slicer.vtkMRMLPlotViewNode.InteractionModeSelectPoints)
            plot.SetDoPropagatePlotChartSelection(False)
        self._changes.undo()
        if mask is not None and mask.IsA("vtkMRMLSegmentationNode"):
            self._outline(mask, graded_segments(mask, inputs_of(published).segmentId))

    def refill(self, published: Published, every: bool = False) -> None:
        """Puts each sequence into the view that is called after it, where another volume came into it.

        The Segment Editor shows its source volume in every view that there is.

        Args:
            every: also where it is there already.
        """
        for sequence in SEQUENCES:
            composite, volume = _composite(slice_view(sequence)), published.node(sequence)
            if every or (composite and volume and composite.GetBackgroundVolumeID() != volume.GetID()):
                self._fill_slice(slice_view(sequence), volume, published.node("mask"))

    def empty(self) -> None:
        """Takes the curves out of the layout's plot, as long as there is no result that they could be of."""
        plot = _own("vtkMRMLPlotViewNode", PLOT_VIEW)
        if plot is not None:
            plot.SetPlotChartNodeID(None)

    def back(self) -> None:
        """The layout that was there before, and the segmentation as it was drawn before."""
        layout = _layout_node()
        if self.isShown and layout is not None:
            layout.RemoveAllMaximizedViewNodes()
        self._changes.undo()
        self._layout.undo()
        self.forget()

    def forget(self) -> None:
        """Outlines of segmentations that were cloned, or brought back by a scene view, as they were before."""
        undo_saved("vtkMRMLSegmentationDisplayNode")

    def _fill_slice(self, name: str, volume: Any, mask: Any) -> None:
        node, composite = _own("vtkMRMLSliceNode", name), _composite(name)
        if node is None or composite is None or volume is None:
            return
        node.SetOrientationToAxial()
        composite.SetDoPropagateVolumeSelection(False)  # what is loaded later is shown in the user's views
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        is_labelmap = mask is not None and mask.IsA("vtkMRMLLabelMapVolumeNode")
        composite.SetLabelVolumeID(mask.GetID() if is_labelmap else None)
        node.SetUseLabelOutline(True)
        composite.SetLabelOpacity(1.0)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)

    def _outline(self, mask: Any, graded: list[str]) -> None:
        """The segments that were graded get the tumour's colour, and no others; it is seen in any case."""
        mask.CreateDefaultDisplayNodes()
        display = mask.GetDisplayNode()
        looks = dict(_OUTLINED)
        if display.GetOpacity() < _FAINT:
            looks["Opacity"] = 1.0
        for segment in graded:
            looks |= {with_argument(name, segment): value for name, value in _SEGMENT_OUTLINED.items()}
        if views := list(display.GetViewNodeIDs()):  # none of them means all
            own = [_own("vtkMRMLSliceNode", name) for name in OWN_VIEWS]
            looks["ViewNodeIDs"] = [*views, *(node.GetID() for node in own if node is not None)]
        for name, value in looks.items():
            self._changes.set(display, name, value)


class MapOverlay:
    """A result's evidence maps over the images: in the three sequences' own views, and in the user's.

    A view of the user's to which somebody else gives another foreground is theirs until the maps are hidden.
    """

    def __init__(self) -> None:
        self._changes = Changes()
        self._taken: set[str] = set()
        self.isShown = False

    @property
    def chosenOpacity(self) -> float | None:
        """What somebody else has set in a view with a map; None where all have what was set here."""
        others = (one for one in self._changes.nodes if self._changes.isOthers(one, "ForegroundOpacity"))
        return next((one.GetForegroundOpacity() for one in others if one.GetID() not in self._taken), None)

    def show(self, published: Published, sequence: str, opacity: float) -> None:
        """The map of ``sequence`` in the user's slice views; each sequence's own map in its own view.

        Views of anything but the result's sequences are left alone, and left again where they had the map.
        """
        if not self.isShown:
            undo_saved("vtkMRMLSliceCompositeNode")  # a scene view may have brought a map back
        self.isShown = True
        self._see_taken()
        for composite in self._changes.nodes:
            shown = _sequence_with(published, composite.GetBackgroundVolumeID())
            if not shown or composite.GetLayoutName() in {*OWN_VIEWS} - {slice_view(shown)}:
                self._changes.undo(composite)
        for composite in (one for one in _composites() if one.GetID() not in self._taken):
            name = composite.GetLayoutName()
            own = next((one for one in SEQUENCES if slice_view(one) == name), sequence)
            node = published.node(map_role(own))
            shown = _sequence_with(published, composite.GetBackgroundVolumeID())
            if node is not None and (shown == own if name in OWN_VIEWS else shown):
                self._forget_map(composite)
                self._changes.set(composite, "ForegroundVolumeID", node.GetID())
                self._changes.set(composite, "ForegroundOpacity", opacity)
        for legend in legends(published.node(map_role(one)) for one in SEQUENCES):
            legend.SetVisibility(True)
            legend.Modified()  # views look only then for the volumes that they show by now

    def hide(self) -> None:
        """The foreground that was there before."""
        self.isShown = False
        self._taken.clear()
        self._changes.undo()
        nodes = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
        for legend in (one for one in nodes if one.GetAttribute(LEGEND)):
            legend.SetVisibility(False)

    def _forget_map(self, composite: Any) -> None:
        """A map that is there already, out of a scene view, is nothing to go back to."""
        shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "")
        if (
            shown is not None
            and shown.GetAttribute(MAP)
            and not self._changes.holds(composite, "ForegroundVolumeID")
        ):
            composite.SetForegroundVolumeID(None)

    def _see_taken(self) -> None:
        for composite in self._changes.nodes:
            is_users = composite.GetLayoutName() not in OWN_VIEWS
            if is_users and self._changes.isOthers(composite, "ForegroundVolumeID"):
                self._taken.add(composite.GetID())


def _height(node: Any) -> float | None:
    """Where a slice view is (patient S, mm); None for one that does not lie about axially."""
    matrix = node.GetSliceToRAS()
    return float(matrix.GetElement(2, 3)) if abs(matrix.GetElement(2, 2)) > 0.7 else None


def _layout_node() -> Any:
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _sequence_with(published: Published, volume: str | None) -> str:
    """Which of a result's sequences has this node id; '' for none."""
    ids = {name: node.GetID() for name in SEQUENCES if (node := published.node(name)) is not None}
    return next((name for name, one in ids.items() if one == volume), "")


def _is_solid(mask: Any) -> bool:
    """Whether 3D views draw a segmentation."""
    display = mask.GetDisplayNode() if mask is not None and mask.IsA("vtkMRMLSegmentationNode") else None
    if display is None or not (display.GetVisibility() and display.GetVisibility3D()):
        return False
    return bool(mask.GetSegmentation().ContainsRepresentation(SURFACE))


def _own(kind: str, tag: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(tag, kind)


def _slice_nodes() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSliceNode")


def _composites() -> Iterator[Any]:
    yield from slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def _composite(name: str) -> Any:
    return next((one for one in _composites() if one.GetLayoutName() == name), None)
