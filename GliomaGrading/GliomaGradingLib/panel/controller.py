"""What the buttons do: starts and cancels a run, shows how it stands, and publishes its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..result import GradeResult
from ..scene.changes import undo_saved
from ..scene.failures import explained
from ..scene.inputs import Inputs, Prepared
from ..scene.names import name_of
from ..scene.results import Published, as_graded, inputs_of, mark_outdated, published_for, result_of, text_of
from ..scene.sample_data import load_sample
from ..scene.watch import has_orphans, remove_orphans
from ..worker.client import Job, WorkerClient
from . import dependencies, text
from .choices import Choices
from .copying import offer_copy
from .report import ReportSaver
from .result_view import ResultView
from .run import Connect, GradingRun, Listener, MapRun, ReportRun
from .viewer import Viewer

BUSY_MS, IDLE_MS, SETTLE_MS = 15, 250, 50
LEFT_MS = 10 * 60 * 1000
"""How long the grading process waits for somebody who has left the panel to come back."""
_AT_WORK = ("starting", "loading", "busy")
"""States of a worker that ends them by itself."""


class Logic(Protocol):
    """What the controller needs of the module's logic."""

    def worker(self, bundle: str = "", device: str = "auto") -> WorkerClient: ...
    def publish(
        self,
        result: GradeResult,
        inputs: Inputs,
        prepared: Prepared,
        options: Mapping[str, str] | None = None,
        jump: bool = True,
    ) -> Published: ...


class Controller:
    """Owns the panel's timers and the one run; what the user chose for it is in ``choices``."""

    def __init__(self, ui: Any, logic: Logic) -> None:
        self._ui, self._logic = ui, logic
        self.run: GradingRun | None = None
        self.choices = Choices(ui, self._on_other_inputs)
        self._view = ResultView(ui)
        self.viewer = Viewer(ui, self._start_map, self.refresh)
        self.report = ReportSaver(ui, self._start_report, self.refresh)
        self._message = ""
        self._options: dict[str, str] = {}
        self._isEntered = False
        self._isLoading = False
        self._isInstalling = False
        self._isStopped = False
        self._isJumpDue = False
        self._client: WorkerClient | None = None
        self._interval = 0
        self._graded: tuple[Any, WorkerClient, Job] | None = None
        self._shown: Any = None
        self._timer = _timer(self._on_timer)
        self._settling = _timer(self._on_settled, SETTLE_MS, once=True)
        self._leaving = _timer(self._on_left, LEFT_MS, once=True)
        ui.gradeButton.connect("clicked(bool)", self.grade)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        ui.sampleButton.connect("clicked(bool)", self.loadSample)
        ui.messageLabel.setStyleSheet("font-weight: bold;")
        for label in (ui.messageLabel, ui.reportLabel, ui.warningsLabel, ui.modelLabel):
            offer_copy(label)
        self.refresh()

    # The panel comes and goes

    def enter(self) -> None:
        self._isEntered = True
        self._leaving.stop()
        remove_orphans()
        self.fill()
        self.viewer.refill()
        if self.parameters is not None and not self._isInstalling and not dependencies.missing():
            self._connection()().start()
        if self._isJumpDue:
            self._isJumpDue = False
            self.viewer.showLargest()
        self._pace()

    def exit(self) -> None:
        """A run, and a worker that starts, go on; views show what they showed. Else nothing ticks any more."""
        self._isEntered = False
        self._settling.stop()
        self._leaving.start()
        self._pace()

    def _on_left(self) -> None:
        """Nobody has come back: the memory of the models, which may be the GPU's, is for others."""
        if self._runs or (self._client is not None and self._client.state in _AT_WORK):
            self._leaving.start()
        elif self._client is not None:
            self._client.stop()

    def forget(self) -> None:
        """Takes the result out of panel and views: the scene or the panel goes."""
        self.abandon()
        self.report.abandon()
        self.viewer.leave()
        self.report.show(None)
        self._view.show(None)
        self._graded = self._shown = None
        self._isJumpDue = False
        self._message = ""
        self.choices.forget()

    def stop(self) -> None:
        """Ends everything, for good."""
        self.forget()
        self.viewer.stop()
        self._isEntered, self._client = False, None
        self._pace()
        self._settling.stop()
        self._leaving.stop()
        self._isStopped = True

    def setParameters(self, parameters: Any) -> None:
        self.choices.setParameters(parameters)
        self.refresh()

    def onSceneLoaded(self) -> None:
        """Views are as the user had them, in this scene and in the one that came; see ``showAgain``."""
        self.viewer.putAside()
        undo_saved()
        self.choices.onSceneLoaded()

    def showAgain(self) -> None:
        """What the views showed of a result before the scene came, and the panel does not show by itself."""
        self.viewer.takeBack()
        self.refresh()

    # Inputs

    @property
    def parameters(self) -> Any:
        """The parameter node or None."""
        return self.choices.parameters

    @property
    def inputs(self) -> Inputs:
        return self.choices.inputs

    @property
    def watched(self) -> list[Any]:
        """Nodes whose changes count: the inputs; with another module open, those of the result in the views."""
        if self.parameters is not None or self.viewer.published is None:
            return self.inputs.nodes
        return inputs_of(self.viewer.published).nodes

    def settle(self) -> None:
        """Nodes came or went: looks at them when their names and voxels are there, too, or all are gone."""
        if self._isEntered or has_orphans():
            self._settling.start()

    def fill(self) -> None:
        """Fills in the inputs that are empty and can only be one node each."""
        if self.run is None:
            self.choices.fill()

    def refresh(self) -> None:
        """Brings buttons, status line and result in line with the inputs.

        Without parameters another module is open: the result stays in the views, as other modules' do. A panel
        that was reloaded while PyTorch was installed has none of them any more.
        """
        if self._isStopped:
            return
        self.choices.refresh()
        inputs = self.inputs
        if self.parameters is not None:
            self._show_result(inputs)
        else:
            self.viewer.look()
        self._show_state(*inputs.isValid())

    def onInputsChanged(self, changed: Any = None) -> None:
        """Voxels, segments, names or places of the inputs changed; of ``changed``, where that is known."""
        if not slicer.mrmlScene.IsBatchProcessing():
            mark_outdated(changed)
            self.refresh()

    def _show_result(self, inputs: Inputs) -> None:
        isGrading = self.run is not None
        isBusy = isGrading or self._isInstalling
        published = None if isGrading else published_for(inputs)
        result = published.result if published else None
        isOutdated = published is not None and published.isOutdated
        if published is not None and published.text is not self._shown:
            # A script has graded, or a scene has brought it: what was said before is not of this result.
            self._message = ""
            self._shown = published.text
        self.viewer.show(published, result, isBusy, isOutdated)
        self.report.show(published, isBusy, isOutdated)
        options = text.options_text(published.options if published else {}, self.choices.allOptions)
        self._view.show(result, self.parameters.bundle, isOutdated, options)

    def _on_other_inputs(self) -> None:
        """What was said of those before is over."""
        if self.run is None:
            self._message = ""

    def onNodeAboutToBeRemoved(self, node: Any) -> None:
        """A grading whose input goes has nothing to give its result to."""
        self.viewer.onNodeAboutToBeRemoved(node)
        is_graded = self.run is not None and any(node is one for one in self.run.inputs.nodes)
        if is_graded:
            self.abandon()
        if self._graded is not None and any(node is one for one in self._graded[0]):
            self._graded = None
        self.choices.onNodeAboutToBeRemoved(node)
        if is_graded:
            self._say(_("Cancelled: {name} was removed.").format(name=text.shortened(name_of(node))))
        self.settle()

    # Grading

    def grade(self, *_clicked: object) -> None:
        if not self._can_grade or self._isInstalling:
            return
        self.choices.takeCase()
        self._message, asked = "", self.inputs
        try:
            if not self._ensure_torch():
                self._say(_("Cancelled: PyTorch was not installed."))
                return
            if not self._can_grade or not self.inputs.isSame(asked):
                self._message = _("Cancelled.")
                self.refresh()
                return
            self.viewer.abandonMap()
            if self.report.abandon():
                self._message = _("Report cancelled: the grading went first. Save it again.")
            self._options = self.choices.allOptions
            self.run = GradingRun(self._connection(), self.inputs, self.choices.options, self)
        except Exception as error:
            self._say(text.error_text(explained(error)))
            return
        self.onProgress("images", 0.0)
        self.refresh()

    @property
    def _can_grade(self) -> bool:
        """Without parameters there are no inputs, and they are not valid."""
        return self.inputs.isValid()[0] and self.run is None

    def loadSample(self, *_clicked: object) -> None:
        """Makes and loads the synthetic case; the inputs fill themselves in."""
        if self._isLoading or self.run is not None:
            return
        self._isLoading, message = True, ""
        self.refresh()
        try:
            load_sample()
        except Exception as error:
            message = text.error_text(explained(error))
        self._isLoading = False
        self._on_settled()
        self._say(message)

    def cancel(self, *_clicked: object) -> None:
        self._ui.cancelButton.enabled = False
        self.viewer.cancelMap()
        self.report.cancel()
        if self.run is not None:
            self._ui.statusLabel.text = text.stage_text("cancelling", self.run.seconds)
            self.run.cancel()

    def abandon(self) -> None:
        """Ends a run without a word and without a result."""
        if self.run is not None:
            run, self.run = self.run, None
            run.abandon()
            self.refresh()

    # What the run tells

    def onProgress(self, stage: str, fraction: float) -> None:
        if self.run is not None:
            self._ui.progressBar.value = round(100 * fraction)
            self._ui.statusLabel.text = text.stage_text(stage, self.run.seconds)

    def onResult(self, result: GradeResult, prepared: Prepared | None) -> None:
        run, self.run = self.run, None
        assert run is not None and run.job is not None and prepared is not None
        self._graded = (run.inputs.nodes, run.worker, run.job)
        try:
            published = self._logic.publish(result, run.inputs, prepared, self._options, jump=self._isEntered)
            self._shown = published.text
            self._isJumpDue = not self._isEntered  # somebody may be drawing in these views
        except Exception as error:
            self._message = text.error_text(explained(error))
        self.refresh()

    def onError(self, error: GliomaGradingError) -> None:
        self.run = None
        self._message = text.error_text(error)
        self.refresh()

    def onCancelled(self) -> None:
        self.run = None
        self._message = _("Cancelled.")
        self.refresh()

    # Widgets

    @property
    def _active(self) -> GradingRun | MapRun | ReportRun | None:
        """One of what is under way; None where nothing is."""
        return next(iter(self._runs), None)

    @property
    def _runs(self) -> list[GradingRun | MapRun | ReportRun]:
        return [run for run in (self.run, self.viewer.run, self.report.run) if run is not None]

    def _on_timer(self) -> None:
        for run in self._runs:
            run.tick()
        if self._active is None and self._client is not None:
            self._client.poll()
        self._pace()

    def _on_settled(self) -> None:
        remove_orphans()
        if self._isEntered:
            self.fill()
            self.refresh()

    def _start_map(self, published: Published, listener: Listener) -> MapRun | None:
        """A map of a result that is shown; the worker may still have the slices that it graded last.

        None where the result is no longer shown when PyTorch has been installed.

        Raises:
            GliomaGradingError: the result cannot be read, PyTorch cannot be installed, or the user said no.
        """
        if not self._ensure_torch_for(published):
            return None
        connect, inputs = self._connection(), self.inputs
        nodes, client, job = self._graded or ([], None, None)
        graded = job if client is connect() and nodes == inputs.nodes else None
        return MapRun(connect, inputs, as_graded(result_of(published)), listener, graded)

    def _start_report(self, published: Published, listener: Listener) -> ReportRun | None:
        """The files of a result that is shown; None where it no longer is when PyTorch has been installed.

        Raises:
            GliomaGradingError: the result cannot be read, PyTorch cannot be installed, or the user said no.
        """
        if not self._ensure_torch_for(published):
            return None
        return ReportRun(self._connection(), inputs_of(published), result_of(published), listener)

    def _ensure_torch_for(self, published: Published) -> bool:
        """Installs PyTorch where it is missing; False where the result is no longer shown then.

        Raises:
            GliomaGradingError: PyTorch cannot be installed, or the user said no.
        """
        if not self._ensure_torch():
            raise GliomaGradingError(_("PyTorch was not installed"), remedy=_("click again to install it"))
        is_same = text_of(published_for(self.inputs)) is published.text
        return is_same and self.run is None

    def _ensure_torch(self) -> bool:
        """Installs PyTorch where it is missing; False where the user said no.

        Slicer goes on handling clicks while it installs, for minutes: nothing else can be started meanwhile,
        but the module can be left and the scene closed. So look again, before going on, at what was there.
        """
        self._isInstalling = True
        try:
            self.refresh()
            return dependencies.ensure()
        finally:
            self._isInstalling = False

    def _connection(self) -> Connect:
        """Gives the client, told about the bundle and device chosen now: at Grade, not while they are typed."""
        bundle, device = self.parameters.bundle, self.parameters.device

        def connect() -> WorkerClient:
            self._client = self._logic.worker(bundle, device)
            return self._client

        return connect

    def _say(self, message: str) -> None:
        self._message = message
        self.refresh()

    def _pace(self) -> None:
        """Lets the timer tick as often as what is under way needs it, or an open panel; else not at all.

        So is a worker that starts, or that has not followed a cancellation yet: its time is limited, and Slicer
        lets the threads that read what it says run only while there is Python code to run.
        """
        is_at_work = self._client is not None and self._client.state in _AT_WORK
        is_busy = self._active is not None or is_at_work
        interval = BUSY_MS if is_busy else IDLE_MS if self._isEntered else 0
        if interval == self._interval:
            return
        self._interval = interval
        if interval:
            self._timer.start(interval)
        else:
            self._timer.stop()

    def _show_state(self, ok: bool, reason: str) -> None:
        self._pace()
        busy, installing = self.run is not None, self._isInstalling
        self._ui.gradeButton.enabled = ok and not busy and not installing
        self._ui.gradeButton.toolTip = text.grade_tip(reason, busy, installing)
        self._ui.cancelButton.enabled = any(not run.isCancelling for run in self._runs)
        self._ui.cancelButton.toolTip = (
            _("End what is under way; nothing is added to the scene.")
            if self._active is not None
            else _("Nothing is under way.")
        )
        self._show_sample_button()
        self._ui.progressBar.visible = busy
        self._ui.inputsCollapsibleButton.enabled = not busy and not installing
        self._ui.messageLabel.text = self._message
        self._ui.messageLabel.visible = bool(self._message) and not busy
        if not busy:
            self._ui.statusLabel.text = reason or _("Ready.")
        self._ui.statusLabel.visible = (
            busy or installing or self._isLoading or bool(reason) or not self._message
        )
        if installing:
            self._ui.statusLabel.text = _("Installing PyTorch: some minutes.")
        if self._isLoading:
            self._ui.statusLabel.text = _("Making the sample case: some seconds.")

    def _show_sample_button(self) -> None:
        """Offered while nothing else is there to be chosen."""
        is_empty = not self.inputs.nodes and not slicer.util.getNodesByClass("vtkMRMLVolumeNode")
        self._ui.sampleButton.visible = self._isLoading or (is_empty and self.run is None)
        self._ui.sampleButton.enabled = not self._isLoading and self.parameters is not None


def _timer(function: Any, interval: int = 0, once: bool = False) -> Any:
    timer = qt.QTimer()
    timer.setSingleShot(once)
    timer.setInterval(interval)
    timer.connect("timeout()", function)
    return timer
