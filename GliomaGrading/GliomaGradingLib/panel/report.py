"""The button that saves a result's report: asks for a folder, has the files made, writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import GliomaGradingError
from ..scene.failures import explained
from ..scene.inputs import Prepared
from ..scene.report import present_in, write_report
from ..scene.results import RESULT, Published, text_of
from . import text
from .run import Listener, ReportRun


class ReportSaver:
    """Owns the widgets of the panel's ``reportFrame``; ``run`` is the report that is being made, or None.

    Args:
        start: makes a run for a result, whose listener is the one it is given; None where the result went
            meanwhile; raises GliomaGradingError.
        changed: called when the run began or ended.
    """

    def __init__(
        self, ui: Any, start: Callable[[Published, Listener], ReportRun | None], changed: Callable[[], object]
    ) -> None:
        self._ui, self._start, self._changed = ui, start, changed
        self.run: ReportRun | None = None
        self._published: Published | None = None
        self._saved: Published | None = None
        self._folder = Path()
        self._message = ""
        ui.reportButton.connect("clicked(bool)", self.save)
        self.show(None)

    def show(self, published: Published | None, isBusy: bool = False, isOutdated: bool = False) -> None:
        """The result that can be saved; None for none. ``isBusy``: a grading or an installation is under way.

        A report of another one that is being made is finished all the same.
        """
        if text_of(published) is not text_of(self._published):
            self._message = ""
        self._published = published
        isBusy = isBusy or self.run is not None
        self._ui.reportFrame.visible = published is not None or self.run is not None or bool(self._message)
        self._ui.reportButton.enabled = published is not None and not isBusy and not isOutdated
        self._ui.reportButton.toolTip = text.save_tip(isBusy, isOutdated)
        if self.run is None:
            self._ui.reportLabel.text = self._message
        self._ui.reportLabel.visible = bool(self._ui.reportLabel.text)

    def save(self, *_clicked: object) -> None:
        """Asks where to, and begins."""
        published = self._published
        if published is None or self.run is not None:
            return
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the report"))
        if not folder or not self._may_replace(Path(folder)):
            return
        if text_of(self._published) is published.text:
            self._begin(Path(folder))
        else:  # Slicer goes on behind its dialogs: scripts and timers take results away
            self._message = _("Cancelled.")
            self._changed()

    def abandon(self) -> bool:
        """Ends the making without a word; False where there was none."""
        run, self.run, self._message = self.run, None, ""
        if run is not None:
            run.abandon()
        return run is not None

    def cancel(self) -> None:
        if self.run is not None:
            self.run.cancel()

    # What the run tells

    def onProgress(self, stage: str, fraction: float) -> None:
        if self.run is not None:
            self._ui.reportLabel.text = text.saving_text(stage, self.run.seconds)

    def onResult(self, files: dict[str, bytes], prepared: Prepared | None) -> None:
        try:
            written = write_report(self._folder, files)
        except Exception as error:
            self._end(text.error_text(explained(error)))
        else:
            self._end(text.saved_text(str(self._folder), [path.name for path in written]))

    def onError(self, error: GliomaGradingError) -> None:
        self._end(text.error_text(error))

    def onCancelled(self) -> None:
        self._end(_("Cancelled."))

    def _begin(self, folder: Path) -> None:
        assert self._published is not None
        self._folder, self._message, self._saved = folder, "", self._published
        try:
            self.run = self._start(self._published, self)
            if self.run is None:
                self._message = _("Cancelled.")
        except Exception as error:
            self._message = text.error_text(explained(error))
        self._changed()

    def _end(self, message: str) -> None:
        saved, self.run, self._saved = self._saved, None, None
        if saved is not None and text_of(saved) is not text_of(self._published):
            message = text.report_of(saved.text.GetAttribute(RESULT) or "", message)
        self._message = message
        self._changed()

    def _may_replace(self, folder: Path) -> bool:
        names = present_in(folder)
        if not names:
            return True
        question = _("{folder} has {names} already. Replace them?").format(
            folder=folder, names=", ".join(names)
        )
        return bool(slicer.util.confirmOkCancelDisplay(question, _("Save report")))
