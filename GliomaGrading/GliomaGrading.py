"""The module in 3D Slicer: description, panel, logic, self-test. The work is done in GliomaGradingLib."""

from typing import Annotated, Union

import slicer
import vtk
from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Default, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


def isSlicerTooOld():
    """Slicer 5.8 and before have a Python in which GliomaGradingLib cannot even be imported."""
    import sys

    return sys.version_info < (3, 10)


class GliomaGrading(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Glioma Grading")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["GliomaGrading contributors"]
        parent.helpText = _(
            "Grades a glioma as low (LGG) or high grade (HGG) from T1 without contrast agent, T2, FLAIR and a "
            "segmentation of the whole tumour, oedema included. Three networks, one for each sequence, vote on "
            "20 axial slices; where the evidence is too thin the result is indeterminate: treat such a case as "
            "not graded. For research use only."
        )
        parent.helpText += _(
            ' See the <a href="https://github.com/GliomaGrading/GliomaGrading#tutorial">tutorial</a>.'
        )
        parent.acknowledgementText = _(
            "Implements the method of: Combining multiple MR sequences transfer learning networks for "
            "automatic grading of glioma. Chinese Journal of Medical Imaging Technology 2022;38(11):1715."
        )
        if isSlicerTooOld():
            return  # the panel says so
        slicer.app.connect("startupCompleted()", self.registerLayout)
        slicer.app.connect("startupCompleted()", self.registerSampleData)
        slicer.app.connect("startupCompleted()", self.watchResults)

    def registerLayout(self):
        """Makes the layout known, in which scenes may have been saved."""
        from GliomaGradingLib.scene.views import register_layout

        register_layout()

    def watchResults(self):
        """Sees when a result of a loaded scene gets old, also where nobody opens the panel."""
        from GliomaGradingLib.scene.watch import watch_results

        watch_results()

    def registerSampleData(self):
        """Puts the synthetic case into Slicer's Sample Data module; it is made when its button is clicked."""
        from pathlib import Path

        from GliomaGradingLib.scene import sample_data

        sample_data.register(Path(__file__).parent / "Resources" / "Icons")


@parameterNodeWrapper
class GliomaGradingParameterNode:
    """The panel's choices; they are saved with the scene. ``segmentId`` is empty for all segments together.

    A union of nodes takes None only where that is one of its members; a node alone always does.
    """

    t1: vtkMRMLScalarVolumeNode
    t2: vtkMRMLScalarVolumeNode
    flair: vtkMRMLScalarVolumeNode
    mask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007 - what 5.10 knows
    segmentId: str = ""
    bundle: str = ""
    vote: Annotated[str, Choice(["majority", "soft"]), Default("majority")]
    device: Annotated[str, Choice(["auto", "cpu", "cuda"]), Default("auto")]
    registration: Annotated[str, Choice(["auto", "always", "never"]), Default("auto")]


class GliomaGradingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the panel with the scene; ``GliomaGradingLib.panel.controller`` does what its buttons say."""

    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.controller = None
        self._parameterNode = None
        self._guiTag = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # last: without a parent it calls setup

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        if isSlicerTooOld():
            self.sayTooOld()
        else:
            self.setUpPanel()

    def sayTooOld(self):
        import qt

        self.layout.addWidget(qt.QLabel(_("Glioma Grading needs Slicer 5.10 or later.")))

    def setUpPanel(self):
        from GliomaGradingLib.panel.controller import Controller
        from GliomaGradingLib.scene.changes import undo_saved
        from GliomaGradingLib.scene.observers import Observers
        from GliomaGradingLib.scene.watch import watch_results

        panel = slicer.util.loadUI(self.resourcePath("UI/GliomaGrading.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = GliomaGradingLogic()
        self.controller = Controller(self.ui, self.logic)
        self._inputObservers = Observers(self.onInputsChanged)
        self._parameterObservers = Observers(self.onParametersModified)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.EndRestoreEvent, self.onSceneEndRestore)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onSceneEndBatch)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        about_to_go = scene.NodeAboutToBeRemovedEvent
        self.addObserver(scene, about_to_go, self.onNodeAboutToBeRemoved, priority=1.0)  # before the hierarchy
        undo_saved()
        watch_results()
        self.initializeParameterNode()
        if self.isOpen:  # reloaded while it was open: nobody else says that it is
            self.controller.enter()

    @property
    def isOpen(self):
        """Whether the module is the one that is shown; a widget without a module's panel never is."""
        return bool(getattr(self.parent, "isEntered", False))

    def cleanup(self):
        if self.controller:
            self.controller.stop()  # before it is asked what to observe: of a result in the views, its images
            self.setParameterNode(None)
            self._inputObservers.observe([])
            self._parameterObservers.observe([])
            self.logic.close()
        self.removeObservers()

    def enter(self):
        if self.controller:
            self.initializeParameterNode()
            self.controller.enter()

    def exit(self):
        if self.controller:
            self.setParameterNode(None)
            self.controller.exit()

    def onReload(self):
        """Slicer reloads this file only; the package comes anew with it."""
        import sys

        if self.controller:
            from GliomaGradingLib.scene.watch import stop_watching

            stop_watching()
        for name in [name for name in sys.modules if name.split(".")[0] == "GliomaGradingLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller=None, event=None):
        self.controller.forget()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller=None, event=None):
        if self.isOpen:
            self.initializeParameterNode()
            self.controller.settle()

    def onSceneStartImport(self, caller=None, event=None):
        """At its end node boxes make their rows anew and drop what is chosen.

        Were they connected then, that would empty the parameter node.
        """
        self.setParameterNode(None)

    def onSceneEndImport(self, caller=None, event=None):
        """A scene that was saved side by side, or with a map, comes back with the user's own views."""
        from GliomaGradingLib.scene.watch import watch_results

        self.controller.onSceneLoaded()
        watch_results()
        self.onSceneEndClose()
        self.controller.showAgain()

    def onSceneEndRestore(self, caller=None, event=None):
        """A scene view may have brought back views as they were with a map."""
        from GliomaGradingLib.scene.changes import undo_saved

        undo_saved()
        self.onInputsChanged()

    def onSceneEndBatch(self, caller=None, event=None):
        """What was changed in a batch is looked at once, at its end."""
        self.onInputsChanged()

    def onNodeAdded(self, caller=None, event=None):
        self.controller.settle()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node):
        if self._parameterNode is None and any(node is one for one in self.controller.watched):
            self._inputObservers.observe([])  # it shall not stay in the memory until the panel is opened again
        self.controller.onNodeAboutToBeRemoved(node)

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
        self._parameterNode = node
        if node:
            self._guiTag = node.connectGui(self.ui)
        self._parameterObservers.observe([(node, vtk.vtkCommand.ModifiedEvent)] if node else [])
        self.controller.setParameters(node)
        self.onParametersModified()

    def onParametersModified(self, caller=None, event=None):
        self.observeInputs()
        self.controller.refresh()

    def observeInputs(self):
        """Keeps the list of segments up to date while the user draws, and sees when a result gets old."""
        from GliomaGradingLib.scene.inputs import change_events

        self._inputObservers.observe(change_events(self.controller.watched))

    def onInputsChanged(self, caller=None, event=None):
        self.observeInputs()  # a node may have been given another segmentation
        self.controller.onInputsChanged(caller)


class GliomaGradingLogic(ScriptedLoadableModuleLogic):
    """Grades nodes of the scene, or folders, from Python; the panel uses the same three phases.

    Call it on the main thread. The networks run in a process of their own, which lives until ``close``.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._worker = None
        self._loaded = None
        self._processed = None

    def getParameterNode(self):
        """The module's parameters; a choice that this version does not know is the default again."""
        from GliomaGradingLib.voting import VOTING_RULES
        from GliomaGradingLib.words import DEVICES, REGISTER_MODES

        node = super().getParameterNode()
        for name, known in {"vote": VOTING_RULES, "device": DEVICES, "registration": REGISTER_MODES}.items():
            if node.GetParameter(name) and node.GetParameter(name) not in known:
                node.SetParameter(name, known[0])  # of another version's scene; the wrapper would refuse it
        return GliomaGradingParameterNode(node)

    def process(
        self, t1Node, t2Node, flairNode, segmentationNode, segmentId=None, *,
        vote="majority", register="auto", bundle="", device="auto", jump=True, case="",
        progress=None, cancelled=None,
    ):  # fmt: skip
        """Grades and puts the result into the scene: ``prepare``, ``run`` and ``publish`` in a row.

        Args:
            segmentationNode: a segmentation, or a labelmap.
            segmentId: the id of one segment of a segmentation; None for all of them together.
            jump: whether the slice views go to the largest slice.
            case: what the case is called, from now on; else as the panel's field says, or the volumes' names.
            progress: called with a stage's name and the fraction done.
            cancelled: asked again and again; where it says True, the grading ends and nothing is published.

        Returns: GliomaGradingLib.GradeResult.
        Raises: GliomaGradingLib.GliomaGradingError, whose message says what to do.
        """
        from GliomaGradingLib.scene.inputs import Inputs

        inputs = Inputs(t1Node, t2Node, flairNode, segmentationNode, segmentId)
        if case and inputs.isValid()[0]:
            inputs.giveCase(case)
        prepared, places = self.prepare(inputs), inputs.scenes
        options = {"vote": vote, "register": register}
        result = self.run(prepared, options, bundle, device, progress, cancelled)
        inputs.check_stay(places)
        self._processed = self.publish(result, inputs, prepared, {**options, "bundle": bundle}, jump)
        return result

    def prepare(self, inputs):
        """Nodes to arrays."""
        return inputs.prepare()

    def run(self, prepared, options, bundle="", device="auto", progress=None, cancelled=None):
        """Arrays to a GradeResult, in the worker; Slicer's events are handled meanwhile."""
        from GliomaGradingLib.result import GradeResult

        answer = self._ask("grade", prepared, options, bundle, device, progress, cancelled)
        return prepared.noted(GradeResult.fromDict(answer))

    def _ask(self, kind, prepared, options, bundle, device, progress, cancelled):
        from GliomaGradingLib.worker.arrays import ArrayFile
        from GliomaGradingLib.worker.client import Request

        worker = self.worker(bundle, device)
        tell = (lambda stage, fraction, message="": progress(stage, fraction)) if progress else None
        request = Request(ArrayFile(prepared.volumes), {**options, "caseId": prepared.case}, kind=kind)
        job = worker.submit(request, tell)

        def pump():
            slicer.app.processEvents()
            if cancelled and cancelled():
                worker.cancel(job)

        return worker.wait(job, pump=pump)

    def publish(self, result, inputs, prepared, options=None, jump=True):
        """A GradeResult to nodes.

        Args:
            options: vote, register and bundle that it was graded with.
            jump: whether the slice views go to the largest slice.
        """
        from GliomaGradingLib.scene.results import largest_slice_position, publish
        from GliomaGradingLib.scene.views import jump_to
        from GliomaGradingLib.scene.watch import watch_results

        center = largest_slice_position(result, prepared.volumes["mask"])
        published = publish(result, inputs, center, prepared.stamp, options)
        watch_results()
        self._processed = None  # what is asked for from now on is no longer an older result
        if jump:
            jump_to(published.center)
        return published

    @property
    def published(self):
        """The nodes of the result that ``process`` gave last, unless it is gone or the panel has graded since.

        Else of the result of the panel's inputs, or of the latest one; None where there is none.
        """
        from GliomaGradingLib.scene.inputs import Inputs
        from GliomaGradingLib.scene.results import latest, published_for

        if self._processed is not None and self._processed.text.GetScene() is not None:
            return self._processed
        chosen = self.getParameterNode()
        inputs = Inputs(chosen.t1, chosen.t2, chosen.flair, chosen.mask, chosen.segmentId or None)
        return published_for(inputs) or latest()

    @property
    def result(self):
        """The GradeResult of ``published``; None where there is none."""
        published = self.published
        return published.result if published else None

    def node(self, role):
        """A node of ``published``: ``votes``, ``slices``, ``chart``, ``map.T1``, ``mask`` ...; or None."""
        published = self.published
        return published.node(role) if published else None

    def explain(self, resultNode=None, *, vote="majority", register=None, bundle="", device="auto",
                progress=None, cancelled=None):  # fmt: skip
        """Puts maps of where the networks looked (Grad-CAM) beside the nodes of a result.

        Args:
            resultNode: the text node of a result; by default that of ``published``.
            register: by default as the result was graded.
            bundle: by default the one that graded.

        Returns: GliomaGradingLib.explanation.Explanation.
        Raises: GliomaGradingLib.GliomaGradingError: no result, or its images or the model were changed since.
        """
        from GliomaGradingLib.explanation import Explanation
        from GliomaGradingLib.scene.results import as_graded, inputs_of, publish_maps, result_of

        published = self._published(resultNode)
        inputs, options = inputs_of(published), {"vote": vote, **as_graded(result_of(published))}
        if register is not None:
            options["register"] = register
        bundle = bundle or published.options.get("bundle", "")
        answer = self._ask("explain", self.prepare(inputs), options, bundle, device, progress, cancelled)
        explanation = Explanation.fromDict(answer)
        publish_maps(explanation, published, self._worker.info.get("model") or {})
        return explanation

    def saveReport(
        self, directory, resultNode=None, *, bundle="", device="auto", progress=None, cancelled=None
    ):
        """Writes report.html, slices.png and result.json of a result into a folder, all of them or none.

        Args:
            directory: made where it is missing; files of an earlier report are replaced.
            resultNode: the text node of a result; by default that of ``published``.
            bundle: by default the one that graded.

        Returns: the paths of the three files.
        Raises: GliomaGradingLib.GliomaGradingError: no result, its inputs were changed since, another model, or
            the folder refuses.
        """
        from pathlib import Path

        from GliomaGradingLib.scene.report import files_of, report_options, write_report
        from GliomaGradingLib.scene.results import check_current, inputs_of, result_of

        published = self._published(resultNode)
        check_current(published)
        bundle = bundle or (published.options.get("bundle", "") if published else "")
        options, prepared = report_options(result_of(published)), self.prepare(inputs_of(published))
        answer = self._ask("report", prepared, options, bundle, device, progress, cancelled)
        return write_report(Path(directory), files_of(answer))

    def _published(self, resultNode):
        from GliomaGradingLib.scene.results import Published

        return Published(resultNode) if resultNode is not None else self.published

    def gradeCohort(self, inputDirectory, outputDirectory, *, vote="majority", register="auto", bundle="",
                    device="auto", maskLabels=None, reports=False, dicom=False, timeout=900.0, progress=None,
                    cancelled=None, **choices):  # fmt: skip
        """Grades every case of a cohort; writes results.csv, cohort.html and a folder a case.

        A bad case is a row.

        Args:
            maskLabels: labels that are tumour; None leaves it to the layout, which mostly means all.
            reports: also report.html and slices.png for each case.
            dicom: also result.dcm and overlay.dcm for each case that came from DICOM.
            timeout: seconds after which a case counts as hung.
            progress: called with a case's name and the fraction of the cohort done, when the case is done.
            cancelled: asked again and again; where it says True, the batch ends and keeps what is done.
            choices: layout="auto", grades=None (a table), resume=False, overwrite=False, retryFailed=False,
                retryChanged=False (what to do with results that are in outputDirectory already).

        Returns: GradeResult, or the error, by case.
        """
        from GliomaGradingLib.case_checks import labels_of
        from GliomaGradingLib.cohort.work import Settings
        from GliomaGradingLib.scene.cohort import grade_cohort

        labels = labels_of(maskLabels)
        settings = Settings(bundle or None, device, vote, register, labels, reports, dicom, timeout)
        return grade_cohort(inputDirectory, outputDirectory, settings, progress, cancelled, **choices)

    def worker(self, bundle="", device="auto"):
        """The client of the grading process, with this bundle and device.

        The process starts with its first job; to change to another bundle or device is one.
        """
        from GliomaGradingLib.scene.application import worker_python
        from GliomaGradingLib.worker.client import WorkerClient

        if self._worker is None:
            self._worker = WorkerClient(worker_python(), bundle=bundle or None, device=device)
        elif self._loaded != (bundle, device):
            self._worker.load(bundle or None, device)
        self._loaded = (bundle, device)
        return self._worker

    def close(self):
        """Ends the grading process; the next grading starts another."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()


class GliomaGradingTest(ScriptedLoadableModuleTest):
    """Grades the synthetic sample case through the logic and through the panel. No patient is needed."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self, **kwargs):
        from unittest import SkipTest

        for test in (
            self.test_logic,
            self.test_panel,
            self.test_cancel,
            self.test_missing_input,
            self.test_inputs_fill_in,
        ):
            self.setUp()
            try:
                test()
            except SkipTest as reason:
                self.delayDisplay(f"{test.__name__} was skipped: {reason}")
            self.tearDown()

    def tearDown(self):
        slicer.mrmlScene.Clear()

    def test_logic(self):
        self.needTorch()
        nodes = self.loadSample()
        result = slicer.util.getModuleLogic("GliomaGrading").process(*nodes)
        self.assertEqual(result.case, "synthetic-hgg")
        self.assertEqual([vote.sequence for vote in result.votes], ["T1", "T2", "FLAIR"])
        self.assertIn(result.grade, ("LGG", "HGG"))
        self.assertEqual(self.published(), (result.toJson(), 3))

    def test_panel(self):
        self.needTorch()
        widget = self.panel()
        self.loadSample()
        self.waitFor(lambda: widget.ui.gradeButton.enabled)
        widget.ui.gradeButton.click()
        self.assertTrue(widget.ui.cancelButton.enabled)
        self.waitFor(lambda: not widget.ui.cancelButton.enabled, 300)
        self.assertEqual(widget.ui.messageLabel.text, "")
        self.assertEqual(self.published()[1], 3)
        self.assertIn("HGG", widget.ui.summaryLabel.text)
        self.assertEqual(widget.ui.statusLabel.text, _("Ready."))

    def test_cancel(self):
        self.needTorch()
        widget = self.panel()
        self.loadSample()
        self.waitFor(lambda: widget.ui.gradeButton.enabled)
        count = slicer.mrmlScene.GetNumberOfNodes()
        widget.ui.gradeButton.click()
        widget.ui.cancelButton.click()
        self.waitFor(lambda: widget.ui.gradeButton.enabled)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)
        self.assertEqual(self.published(), (None, 0))

    def test_missing_input(self):
        from GliomaGradingLib import CaseError

        t1, t2, _flair, mask = self.loadSample()
        with self.assertRaisesRegex(CaseError, "FLAIR"):
            slicer.util.getModuleLogic("GliomaGrading").process(t1, t2, None, mask)

    def test_inputs_fill_in(self):
        widget = self.panel()
        self.loadSample()
        self.waitFor(lambda: widget.ui.gradeButton.enabled)
        self.assertEqual(widget.ui.statusLabel.text, _("Ready."))
        names = [getattr(widget.ui, f"{one}Selector").currentNode().GetName() for one in ("t1", "t2", "flair")]
        self.assertEqual(names, [f"synthetic-hgg_{one}" for one in ("t1", "t2", "flair")])

    def needTorch(self):
        """Without it a grading would download up to 3 GB, and a test has nobody to ask."""
        from GliomaGradingLib.panel import dependencies

        if dependencies.missing():
            self.skipTest("PyTorch is not installed in Slicer")

    def panel(self):
        slicer.util.selectModule("GliomaGrading") if slicer.util.mainWindow() else None
        widget = slicer.util.getModuleWidget("GliomaGrading")
        widget.enter()
        return widget

    def loadSample(self):
        """The sample's T1, T2, FLAIR and segmentation nodes."""
        from GliomaGradingLib.scene.sample_data import load_sample

        return load_sample()

    def published(self):
        """(text of the one result, rows of its table); (None, 0) where there is none."""
        texts = [
            n for n in slicer.util.getNodesByClass("vtkMRMLTextNode") if n.GetAttribute("GliomaGrading.Result")
        ]
        self.assertLessEqual(len(texts), 1)
        return (
            (texts[0].GetText(), texts[0].GetNodeReference("votes").GetNumberOfRows()) if texts else (None, 0)
        )

    def waitFor(self, condition, seconds=30):
        import time

        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "waited in vain")
            slicer.app.processEvents()
            time.sleep(0.01)
