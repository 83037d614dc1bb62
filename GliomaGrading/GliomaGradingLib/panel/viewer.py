"""The graded slices, the three sequences side by side, and the maps: what the panel does to the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..explanation import SALIENCY_NOTE, Explanation
from ..result import GradeResult
from ..scene import views
from ..scene.charts import SHOWN, SHOWN_SERIES, mark_slice
from ..scene.failures import explained
from ..scene.inputs import Prepared
from ..scene.maps import map_role, renew_legends
from ..scene.results import Published, publish_maps, text_of
from ..words import SEQUENCES
from . import text
from .corner_text import CornerText
from .run import Listener, MapRun

_REACH_MM = 0.501
"""How far from a graded slice a view still shows it: slices are 1 mm apart."""
_LAYOUT_SIGNAL = "layoutChanged(int)"
_POINT_SIGNAL = "dataSelected(vtkStringArray*, vtkCollection*)"


class Viewer:
    """Owns the widgets of the panel's ``viewFrame``; ``run`` is the map that is being made, or None.

    Args:
        startMap: makes a run for a result, whose listener is the one it is given; None where the result went
            meanwhile; raises GliomaGradingError.
        changed: called when the run began or ended.
    """

    def __init__(
        self, ui: Any, startMap: Callable[[Published, Listener], MapRun | None], changed: Callable[[], object]
    ) -> None:
        self._ui, self._start_map, self._changed = ui, startMap, changed
        self.run: MapRun | None = None
        self.published: Published | None = None
        self._result: GradeResult | None = None
        self._sides, self._overlay = views.SideBySide(), views.MapOverlay()
        self._corners = CornerText()
        self._aside: tuple[Published | None, bool] = (None, False)
        self._message = ""
        self._isBusy = self._isFilling = self._isOutdated = self._isMapLost = self._isStopped = False
        self._isElsewhere = False
        self._watch = views.CompositeWatch(self._look_again)
        self._heights = views.HeightWatch(self._on_moved)
        self._plots: list[Any] = []
        self._manager = slicer.app.layoutManager()
        if self._manager is not None:
            self._manager.connect(_LAYOUT_SIGNAL, self._on_layout)
        ui.sliceSlider.connect("valueChanged(int)", self._on_slider)
        ui.largestButton.connect("clicked(bool)", self.showLargest)
        ui.layoutButton.connect("clicked(bool)", self.toggleLayout)
        ui.mapCheckBox.connect("toggled(bool)", self._on_map)
        ui.mapSelector.connect("currentIndexChanged(int)", self._on_map_look)
        ui.opacitySlider.connect("valueChanged(int)", self._on_map_look)
        self._show_state()

    # What the controller says

    def show(
        self,
        published: Published | None,
        result: GradeResult | None,
        isBusy: bool = False,
        isOutdated: bool = False,
    ) -> None:
        """The result to look at; None for none.

        Args:
            isBusy: a grading or an installation is under way.
            isOutdated: an input was changed since the result was made.
        """
        is_other = result != self._result or text_of(published) is not text_of(self.published)
        self.published, self._result = published, result
        self._isBusy, self._isOutdated = isBusy, isOutdated
        if is_other:
            self._change()
        elif result is not None:
            self._isMapLost = False  # said, and what took its place is settled
        self._annotate()
        self._settle_map()
        self._show_state()

    def refill(self) -> None:
        """The three sequences in the views called after them, whatever other modules have shown there."""
        if self._sides.isShown and self.published is not None:
            self._sides.refill(self.published)
            self._settle_map()

    def look(self) -> None:
        """Sees whether the result that is in the views has got old meanwhile."""
        if self.published is not None and self.published.isOutdated != self._isOutdated:
            self._isOutdated = not self._isOutdated
            self._annotate()

    def onNodeAboutToBeRemoved(self, node: Any) -> None:
        """Gives the foreground back before MRML forgets which it was; a result that goes takes all along."""
        if self.published is None:
            return
        if node is self.published.text:
            self.show(None, None)
        elif any(node is one for one in self.published.nodes.values()):
            self._overlay.hide()

    def abandonMap(self) -> None:
        """Ends the making of a map without a word."""
        if self.run is not None:
            run, self.run = self.run, None
            run.abandon()
            self._tick_map(False)
            self._changed()

    def leave(self) -> None:
        """Everything as the user had it, for good: the scene or the panel goes."""
        self.abandonMap()
        self._overlay.hide()
        self._sides.back()
        self._isMapLost = False
        self.published = self._result = None
        self._annotate()
        self._show_state()

    def putAside(self) -> None:
        """As ``leave``, while a scene is added to the one that is there."""
        self._aside = self.published, self.run is not None
        self.leave()

    def takeBack(self) -> None:
        """What was put aside, where it is still there and nothing else is shown by now."""
        (published, was_mapping), self._aside = self._aside, (None, False)
        if self.published is None and published is not None and published.text.GetScene() is not None:
            self.show(published, published.result, isOutdated=published.isOutdated)
        if was_mapping and self.published is not None:
            self._refuse(_("Map cancelled: a scene was loaded. Tick the box again."))
            self._show_state()

    def stop(self) -> None:
        """For good: the panel's widgets may be gone from now on."""
        self.leave()
        self._isStopped = True
        for view in self._plots:
            view.disconnect(_POINT_SIGNAL, self._on_points)
        self._plots = []
        if self._manager is not None:
            self._manager.disconnect(_LAYOUT_SIGNAL, self._on_layout)
            self._manager = None

    # Slices

    def showSlice(self, index: int) -> None:
        """Axial views go to the ``index``-th graded slice; the plot and the panel say so."""
        if self.published is None or self._result is None or not 0 <= index < self._count():
            return
        position = self._result.slices.positions_mm[index]
        views.show_height(position)
        self._mark(position)
        self._fill_slider(index)

    def showLargest(self, *_clicked: object) -> None:
        """All slice views go to the middle of the tumour on its largest slice."""
        if self.published is None or self._result is None:
            return
        center = self.published.center
        if center is not None:
            views.jump_to(center)
        self.showSlice(self._largest())

    def _count(self) -> int:
        return len(self._result.slices.indices) if self._result else 0

    def _largest(self) -> int:
        assert self._result is not None
        return self._result.slices.largest_place

    def _fill_slider(self, index: int) -> None:
        assert self._result is not None
        self._isFilling = True
        self._ui.sliceSlider.maximum = self._count() - 1
        self._ui.sliceSlider.value = index
        self._isFilling = self._isElsewhere = False
        self._ui.sliceLabel.text = text.slice_text(self._result, index)

    def _mark(self, position: float) -> None:
        table = self.published.node(SHOWN) if self.published else None
        if table is not None:
            mark_slice(table, position)

    def _on_moved(self, height: float) -> None:
        """Somebody scrolled in a view: the slider follows, or the panel says that no graded slice is there."""
        if self._result is None:
            return
        positions = self._result.slices.positions_mm
        index = min(range(len(positions)), key=lambda place: abs(positions[place] - height))
        if abs(positions[index] - height) > _REACH_MM:
            self._ui.sliceLabel.text = text.elsewhere_text(self._result, height)
            self._isElsewhere = True
        elif self._isElsewhere or index != self._ui.sliceSlider.value:
            self._mark(positions[index])
            self._fill_slider(index)

    def _on_slider(self, index: int) -> None:
        if not self._isFilling:
            self.showSlice(index)

    def _on_points(self, series: Any, points: Any) -> None:
        """A point of the plot was clicked: its row in the table is the slice. Other plots do not count."""
        curves = self._curves()
        for number in range(series.GetNumberOfValues()):
            rows = points.GetItemAsObject(number)
            if series.GetValue(number) in curves and rows is not None and rows.GetNumberOfTuples():
                self.showSlice(int(rows.GetValue(0)))
                for view in self._plots:  # else each curve keeps its point, and is told with every other's
                    view.RemovePlotSelections()
                return

    def _curves(self) -> set[str]:
        """Ids of the result's series that have a point a slice: all but the upright line."""
        nodes = self.published.nodes if self.published else {}
        return {
            node.GetID() for role, node in nodes.items() if role.startswith("series.") and role != SHOWN_SERIES
        }

    # Views

    def _annotate(self) -> None:
        """The result's line in the views, and from now on in those that come to show it."""
        self._corners.annotate(self.published, self._result, self._isOutdated)
        if self.published is not None:
            self._watch.start(self.published.node("mask"))
            self._heights.start(self.published)
        else:
            self._watch.stop()
            self._heights.stop()

    def _look_again(self) -> None:
        """Slice views show other volumes than before."""
        if self._overlay.isShown and self.published is not None and self.published.hasMaps:
            self._take_opacity(self._overlay.chosenOpacity)
            self._show_map()
        else:
            self._overlay.hide()
        self._corners.annotate(self.published, self._result, self._isOutdated)

    # Layout

    def toggleLayout(self, *_clicked: object) -> None:
        """The three sequences side by side; or the layout that was there before."""
        if self._sides.isShown:
            self._sides.back()
        elif self.published is not None:
            index = self._ui.sliceSlider.value
            self._sides.show(self.published)
            self._fit(index)
        self._settle_map()
        self._changed()

    def _fit(self, index: int) -> None:
        """Shows whole slices, the ``index``-th that was graded; and listens to the plot."""
        if self._manager is None:
            return
        for name in views.OWN_VIEWS:
            widget = self._manager.sliceWidget(name)
            if widget is not None:
                widget.fitSliceToBackground()
        self.showSlice(index)
        for number in range(self._manager.plotViewCount):
            view = self._manager.plotWidget(number).plotView()
            if view not in self._plots:
                view.connect(_POINT_SIGNAL, self._on_points)
                self._plots.append(view)

    def _on_layout(self, layout: int) -> None:
        """The user chose a layout: theirs stays, and their segmentation looks as before."""
        if self._sides.isShown and layout != views.LAYOUT:
            self._sides.back()
            self._show_state()
        elif layout != views.LAYOUT:
            self._sides.forget()
        self._renew_legends()
        self._annotate()

    def _renew_legends(self) -> None:
        """The layout may have made views, which do not know the legends that were there before."""
        maps = (self.published.node(map_role(name)) for name in SEQUENCES) if self.published else ()
        renew_legends(node for node in maps if node is not None)
        self._settle_map()

    # Maps

    def onProgress(self, stage: str, fraction: float) -> None:
        if self.run is not None:
            self._ui.mapLabel.text = text.mapping_text(stage, self.run.seconds)

    def onResult(self, explanation: Explanation, prepared: Prepared | None) -> None:
        run, self.run = self.run, None
        try:
            if self.published is not None and run is not None:
                publish_maps(explanation, self.published, run.model)
        except Exception as error:
            self._refuse(text.error_text(explained(error)))
        self._changed()

    def onError(self, error: GliomaGradingError) -> None:
        self.run = None
        self._refuse(text.error_text(error))
        self._changed()

    def onCancelled(self) -> None:
        self.run = None
        self._refuse(_("Cancelled."))
        self._changed()

    def cancelMap(self) -> None:
        if self.run is not None:
            self.run.cancel()

    def _refuse(self, message: str) -> None:
        if self._isStopped:
            return
        self._message = message
        self._tick_map(False)

    def _tick_map(self, checked: bool) -> None:
        self._isFilling = True
        self._ui.mapCheckBox.checked = checked
        self._isFilling = False

    def _on_map(self, checked: bool) -> None:
        if self._isFilling:
            return
        self._message = ""
        if checked:
            self._want_map()
        else:
            self.cancelMap()
        if self._isStopped:
            return
        self._settle_map()
        self._changed()

    def _want_map(self) -> None:
        if self.published is None or self.published.hasMaps or self.run is not None or self._isBusy:
            return
        try:
            self.run = self._start_map(self.published, self)
            if self.run is None:
                self._refuse(_("Cancelled."))
        except Exception as error:
            self._refuse(text.error_text(explained(error)))

    def _settle_map(self) -> None:
        """Shows the map that is wanted, where there is one; else the foreground that was there before."""
        has_maps = self.published is not None and self.published.hasMaps
        wanted = self._ui.mapCheckBox.checked and has_maps
        if wanted:
            self._show_map()
        else:
            self._overlay.hide()
            if self._ui.mapCheckBox.checked and not has_maps and self.run is None and not self._isBusy:
                self._tick_map(False)

    def _show_map(self) -> None:
        assert self.published is not None
        opacity = self._ui.opacitySlider.value / 100
        self._overlay.show(self.published, SEQUENCES[self._ui.mapSelector.currentIndex], opacity)

    def _take_opacity(self, opacity: float | None) -> None:
        """What the user chose in a view itself counts as chosen with the slider."""
        if opacity is not None:
            self._isFilling = True
            self._ui.opacitySlider.value = round(100 * opacity)
            self._isFilling = False
            self._show_map_state()

    def _on_map_look(self, *_value: object) -> None:
        if self._overlay.isShown and not self._isFilling:
            self._show_map()
            self._show_map_state()

    # Widgets

    def _change(self) -> None:
        """Another result, or none: its slices, its volumes in the layout's views; its map if one is wanted."""
        self._isMapLost |= self.run is not None
        self._message = ""
        self.abandonMap()
        self._overlay.hide()
        if self._result is None or self.published is None:
            if self._sides.isShown:
                self._sides.empty()
            return  # a result that is replaced goes before the other comes
        if self._isMapLost:
            self._message = _("Map cancelled: another result is shown. Tick the box again.")
        self._fill_slider(self._largest())
        if self._sides.isShown:
            self._sides.fill(self.published)
            self._fit(self._largest())

    def _show_state(self) -> None:
        has_result, sides = self.published is not None, self._sides.isShown
        self._ui.viewFrame.visible = has_result or sides
        for name in ("sliceHeader", "sliceSlider", "largestButton", "sliceLabel"):
            getattr(self._ui, name).visible = has_result
        self._ui.sliceSlider.enabled = self._ui.largestButton.enabled = has_result
        self._ui.layoutButton.enabled = sides or (has_result and self._sides.isPossible)
        self._ui.layoutButton.text = _("Back to my layout") if sides else _("T1, T2, FLAIR side by side")
        self._ui.layoutButton.toolTip = text.layout_tip(sides, self._sides.isPossible)
        self._ui.mapCheckBox.visible = has_result
        self._ui.mapCheckBox.enabled = has_result and not self._isBusy
        self._ui.mapCheckBox.toolTip = text.map_tip(self._isBusy)
        self._show_map_state()

    def _show_map_state(self) -> None:
        shown = self._overlay.isShown
        for name in ("mapSelector", "opacityLabel", "opacitySlider"):
            getattr(self._ui, name).visible = getattr(self._ui, name).enabled = shown
        self._ui.opacityLabel.text = text.opacity_text(self._ui.opacitySlider.value)
        if self.run is None:
            self._ui.mapLabel.text = f"{text.map_legend()} {SALIENCY_NOTE}" if shown else self._message
        self._ui.mapLabel.visible = bool(self._ui.mapLabel.text) and self.published is not None
