"""Random clicks on the panel in the embedded Slicer, with the real networks in the real grading process.

    python -m Testing.robustness.clicks --steps 300 --seed 1

Grades, cancels, changes inputs and options, closes the scene, removes nodes, loads the sample, draws maps,
takes another bundle, breaks masks, kills the grading process. After each step everything has to fit together
(``check``), and now and then the panel has to lead from wherever it is to a right result (``recover``). Cases
are small heads of 2 mm, so that a grading takes a fraction of a second. Prints as JSON what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_FILE = REPOSITORY / "GliomaGrading" / "GliomaGrading.py"
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY)]

import numpy as np  # noqa: E402

from Testing.robustness.processes import children  # noqa: E402
from Testing.unit.small_head import ORIGIN, SPACING, arrays, write_case  # noqa: E402

RESULT = "GliomaGrading.Result"
BOXES = ("t1", "t2", "flair", "mask")
NAMES = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
RECOVER_EVERY = 8
_OF_A_VIEW = re.compile(
    r"vtkMRML(Slice(Composite|Display)?|PlotView|View)Node |vtkMRMLModelNode .* Volume Slice$"
    r"|vtkMRMLLinearTransformNode .* Transform$"
)
SETTLED, LONGEST = 0.12, 90.0
"""Seconds that the panel gets to settle after a click, and that anything may take at all."""


@dataclass
class Report:
    """What was clicked and what came of it."""

    seed: int
    steps: dict[str, int] = field(default_factory=dict)
    gradings: int = 0
    maps: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    processes: int = 0
    most_children: int = 0
    left_children: int = 0
    left_files: int = 0
    left_nodes: int = 0
    megabytes: list[float] = field(default_factory=list)
    slowest_step: str = ""
    seconds: float = 0.0


class Clicker:
    """A user without a plan.

    Args:
        host: the embedded Slicer; its scene is empty.
        module: the loaded module, entered.
        folder: for bundles and for images on their way.
        others: children of this process that were there before the module, such as multiprocessing's
            resource tracker once Dask has run in it; they are no concern of the panel.
        rates: how likely each step is, by name; others as usual.
    """

    def __init__(
        self, host: Any, module: Any, folder: Path, seed: int, others: Iterable[str] = (), **rates: int
    ) -> None:
        self.host, self.module, self.rng = host, module, random.Random(seed)
        self.controller, self.ui, self.logic = module.widget.controller, module.ui, module.logic
        self.report, self.cases = Report(seed), 0
        self.bundles = ["", str(_other_bundle(folder / "other")), str(folder / "none")]
        self.known: dict[Any, float] = {}
        self.orphans: set[str] = set()
        self.seen: dict[str, set[str]] = {"results": set(), "maps": set()}
        self.pids: set[int] = set()
        self.others = frozenset(others)
        self.said = ""
        self.empty = self._count_nodes()
        self._steps: dict[str, tuple[int, Callable[[], object]]] = {
            "grade": (18, self.grade),
            "grade and wait": (14, self.grade_and_wait),
            "wait": (6, self.wait),
            "cancel": (10, self.ui.cancelButton.click),
            "map": (16, self.map),
            "another input": (5, self.another_input),
            "another option": (4, self.another_option),
            "another bundle": (4, self.another_bundle),
            "add a case": (8, self.add_case),
            "sample": (4, self.sample),
            "remove a node": (6, self.remove_node),
            "close the scene": (4, self.close_scene),
            "spoil a mask": (3, self.spoil_mask),
            "slices and layout": (6, self.look),
            "leave and enter": (4, self.leave_and_enter),
            "kill the process": (4, self.kill),
        }
        for name, rate in rates.items():
            self._steps[name.replace("_", " ")] = (rate, self._steps[name.replace("_", " ")][1])

    def run(self, steps: int) -> Report:
        """So many steps, then a recovery, and a look at what is left."""
        began, slowest = time.monotonic(), 0.0
        self.add_case()
        self.recover()
        names = list(self._steps)
        weights = [self._steps[name][0] for name in names]
        for number in range(steps):
            (name,) = self.rng.choices(names, weights)
            start = time.monotonic()
            self.step(f"{number} {name}", self._steps[name][1])
            self.report.steps[name] = self.report.steps.get(name, 0) + 1
            if number % RECOVER_EVERY == RECOVER_EVERY - 1:
                self.step(f"{number} recover", self.recover)
            if time.monotonic() - start > slowest:
                slowest = time.monotonic() - start
                self.report.slowest_step = f"{slowest:.1f} s: {number} {name}"
        self.step("at the end", self.recover)
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    def step(self, what: str, act: Callable[[], object]) -> None:
        try:
            act()
            self.host.pump(SETTLED)
            self.check()
        except (AssertionError, TimeoutError, RuntimeError) as error:
            raise AssertionError(f"seed {self.report.seed}, step {what}: {error}") from error

    # Steps

    def grade(self) -> None:
        """Clicks, and does not wait for more than a moment."""
        self.ui.gradeButton.click()
        self.host.pump(self.rng.choice((0.0, 0.02, 0.1, 0.3)))

    def grade_and_wait(self) -> None:
        self.ui.gradeButton.click()
        self.wait()

    def wait(self) -> None:
        self.host.wait(lambda: self.controller._active is None, LONGEST)

    def map(self) -> None:
        if self.ui.mapCheckBox.enabled:
            self.ui.mapCheckBox.click()
            if self.rng.random() < 0.7:
                self.wait()

    def another_input(self) -> None:
        box = getattr(self.ui, f"{self.rng.choice(BOXES)}Selector")
        nodes = [*self._inputs("vtkMRMLScalarVolumeNode"), None]
        if box is self.ui.maskSelector:
            nodes = [*self._inputs("vtkMRMLLabelMapVolumeNode"), *self._inputs("vtkMRMLSegmentationNode"), None]
        if self.ui.inputsCollapsibleButton.enabled:
            box.setCurrentNode(self.rng.choice(nodes))

    def another_option(self) -> None:
        self.ui.voteSelector.currentIndex = self.rng.randrange(2)
        self.ui.registrationSelector.currentIndex = self.rng.choice((0, 2))

    def another_bundle(self) -> None:
        if self.controller.parameters is not None:
            self.controller.parameters.bundle = self.rng.choice(self.bundles)

    def add_case(self, prefix: str = "case") -> list[Any]:
        """The small head; the tumour's place and so the grade are the case's own."""
        self.cases += 1
        return add_head(f"{prefix}{self.cases}", shift=self.rng.randrange(3))

    def sample(self) -> None:
        if self.ui.sampleButton.enabled and not self.ui.sampleButton.isHidden():
            self.ui.sampleButton.click()

    def remove_node(self) -> None:
        import slicer

        own = [node for text in _results() for node in _of_result(text)]
        nodes = [*self._inputs("vtkMRMLVolumeNode"), *self._inputs("vtkMRMLSegmentationNode"), *own]
        if not nodes:
            return
        node = self.rng.choice(nodes)
        if node.GetAttribute(RESULT):  # whoever removes it in Slicer's Data module keeps its tables
            self.orphans |= {one.GetID() for one in _of_result(node)}
        slicer.mrmlScene.RemoveNode(node)

    def close_scene(self) -> None:
        import slicer

        self.orphans.clear()
        slicer.mrmlScene.Clear(0)
        self.host.pump(SETTLED)
        more = self._count_nodes() - self.empty
        assert more <= 0, f"{more} nodes after closing: {', '.join(_kinds()[self.empty :])}"

    def spoil_mask(self) -> None:
        import slicer

        masks = self._inputs("vtkMRMLLabelMapVolumeNode")
        if masks:
            node = self.rng.choice(masks)
            node.SetName(f"{node.GetName()} spoilt")
            slicer.util.arrayFromVolume(node)[:] = 0
            slicer.util.arrayFromVolumeModified(node)

    def look(self) -> None:
        if self.ui.sliceSlider.enabled:
            self.ui.sliceSlider.setValue(self.rng.randrange(self.ui.sliceSlider.maximum + 1))
        if self.ui.layoutButton.enabled and self.rng.random() < 0.5:
            self.ui.layoutButton.click()

    def leave_and_enter(self) -> None:
        self.module.panel.exit()
        self.host.pump(self.rng.choice((0.0, 0.3)))
        self.module.panel.enter()

    def kill(self) -> None:
        client = self.controller._client
        if client is not None and client.pid:
            with suppress(ProcessLookupError):  # it ended by itself a moment ago
                os.kill(client.pid, signal.SIGKILL)

    # What has to hold

    def check(self) -> None:
        """After any step: no silent exception, buttons that fit, no leaked node, one process at most."""
        self.host.check()
        ui, run, map_run = self.ui, self.controller.run, self.controller.viewer.run
        ok, reason = self.controller.inputs.isValid()
        assert ui.gradeButton.enabled == (ok and run is None), f"Grade; {ok} {reason!r} {run}"
        if run is None:  # a run that is being cancelled cannot be cancelled
            is_mapping = map_run is not None and not map_run.isCancelling
            assert ui.cancelButton.enabled == is_mapping, f"Cancel; {map_run}"
        assert ui.progressBar.isHidden() == (run is None), "the progress bar"
        assert ui.inputsCollapsibleButton.enabled == (run is None), "the inputs"
        assert ui.statusLabel.text, "the status line is empty"
        if run is None:
            assert ui.statusLabel.text == (reason or "Ready."), f"{ui.statusLabel.text!r} for {reason!r}"
        self._check_result(run)
        self._note_message()
        self._check_nodes()
        self._check_children()

    def _check_result(self, run: Any) -> None:
        from GliomaGradingLib.scene.results import published_for

        published = None if run is not None else published_for(self.controller.inputs)
        assert self.ui.resultFrame.isHidden() == (published is None), "the result"
        assert self.ui.mapCheckBox.isHidden() == (published is None), "the map's box"
        if self.ui.mapCheckBox.checked and self.controller.viewer.run is None and run is None:
            assert published is not None and published.hasMaps, "a map is ticked that is not there"
        if published is not None:
            result = published.result
            self._count(published)
            names = tuple(node.GetName() for node in self.controller.inputs.nodes)
            before = self.known.setdefault((result.model["sha256"], names), result.probability_hgg)
            assert abs(before - result.probability_hgg) < 1e-5, f"{names}: {before}, {result.probability_hgg}"

    def _note_message(self) -> None:
        """Counts what the panel says, each message once while it stands there."""
        said = "" if self.ui.messageLabel.isHidden() else self.ui.messageLabel.text.replace("\u200b", "")
        first = said.split("\n")[0].split(" (")[0]
        if first and said != self.said:
            self.report.messages[first] = self.report.messages.get(first, 0) + 1
        self.said = said

    def _count(self, published: Any) -> None:
        text = published.text.GetText()  # its seconds tell one grading from another
        self.seen["results"].add(text)
        if published.hasMaps:
            self.seen["maps"].add(text)
        self.report.gradings, self.report.maps = (len(self.seen[what]) for what in ("results", "maps"))

    def _check_nodes(self) -> None:
        """Tables, plots, colours and maps belong to a result."""
        import slicer

        owned = {node.GetID() for text in _results() for node in _of_result(text)}
        made = [
            *slicer.util.getNodesByClass("vtkMRMLPlotChartNode"),
            *slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode"),
            *slicer.util.getNodesByClass("vtkMRMLTableNode"),
            *(n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "looked" in n.GetName()),
            *(n for n in slicer.util.getNodesByClass("vtkMRMLColorTableNode") if "evidence" in n.GetName()),
        ]
        leaked = [node.GetName() for node in made if node.GetID() not in owned | self.orphans]
        assert not leaked, f"leaked: {leaked}"

    def _check_children(self) -> None:
        end = time.monotonic() + 5
        while len(states := children(but=self.others)) > 1 and time.monotonic() < end:
            self.host.pump(0.02)  # the last one is on its way out
        assert len(states) <= 1, f"processes: {states}"
        self.report.most_children = max(self.report.most_children, len(states))
        client = self.controller._client
        if client is not None and client.pid:
            self.pids.add(client.pid)
            self.report.processes = len(self.pids)

    def recover(self) -> None:
        """From wherever the panel is, by what the panel offers: wait, choose, grade, see a result."""
        self.wait()
        self.controller.parameters.bundle = self.rng.choice(self.bundles[:2])
        nodes = self.add_case("whole")
        for box, node in zip(BOXES, nodes, strict=True):
            getattr(self.ui, f"{box}Selector").setCurrentNode(node)
        self.host.wait(lambda: self.ui.gradeButton.enabled, 10)
        self.ui.gradeButton.click()
        self.wait()
        if "ended unexpectedly" in self.ui.messageLabel.text:  # a kill that came in this moment
            self.ui.gradeButton.click()
            self.wait()
        assert self.ui.messageLabel.text == "", self.ui.messageLabel.text
        assert not self.ui.resultFrame.isHidden() and self.logic.result.case.startswith("whole")
        self.report.megabytes.append(_megabytes())
        if self.rng.random() < 0.3:
            self.close_scene()

    # Nodes

    def _inputs(self, kind: str) -> list[Any]:
        import slicer

        own = {node.GetID() for text in _results() for node in _of_result(text)}
        return [
            n for n in slicer.util.getNodesByClass(kind) if n.GetID() not in own and not n.GetHideFromEditors()
        ]

    @staticmethod
    def _count_nodes() -> int:
        return len(_kinds())


def add_head(name: str, shift: int = 0) -> list[Any]:
    """The small head's four nodes in the scene."""
    import slicer
    import vtk

    nodes = []
    for role, ending in NAMES.items():
        kind = "vtkMRMLLabelMapVolumeNode" if role == "mask" else "vtkMRMLScalarVolumeNode"
        matrix = vtk.vtkMatrix4x4()
        for axis, sign in enumerate((-1, -1, 1)):  # LPS to RAS
            matrix.SetElement(axis, axis, sign * SPACING[axis])
            matrix.SetElement(axis, 3, sign * ORIGIN[axis])
        array = np.roll(arrays()[role], shift, axis=0)
        nodes.append(
            slicer.util.addVolumeFromArray(
                np.ascontiguousarray(array), ijkToRAS=matrix, name=f"{name}_{ending}", nodeClassName=kind
            )
        )
    return nodes


@contextmanager
def small_sample() -> Iterator[None]:
    """The panel's sample is the small head, and its files are made in a moment."""
    from GliomaGradingLib.scene import sample_data

    def write(folder: Path, preset: str) -> Path:
        names = {role: f"synthetic-{preset}_{ending}.nii.gz" for role, ending in NAMES.items()}
        return write_case(Path(folder), names)

    real = sample_data.write_sample_case, sample_data.sample_folder
    with tempfile.TemporaryDirectory() as made:
        sample_data.write_sample_case = write
        sample_data.sample_folder = lambda preset: Path(made) / preset
        try:
            yield
        finally:
            sample_data.write_sample_case, sample_data.sample_folder = real


def _other_bundle(folder: Path) -> Path:
    """The shipped models, calibrated otherwise: another bundle with other probabilities."""
    from GliomaGradingLib.networks.bundle import METADATA, open_bundle

    shipped = open_bundle()
    shutil.copytree(shipped.folder, folder)
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    metadata["name"] = "other"
    metadata["calibration"]["together"]["intercept"] += 0.7
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    return folder


def _kinds() -> list[str]:
    """Every node's class and name, but for those of the views themselves, which stay with the application."""
    import slicer

    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    kinds = [f"{node.GetClassName()} {node.GetName()}" for node in nodes]
    return [kind for kind in kinds if not _OF_A_VIEW.match(kind)]


def _results() -> list[Any]:
    import slicer

    return [node for node in slicer.util.getNodesByClass("vtkMRMLTextNode") if node.GetAttribute(RESULT)]


def _of_result(text: Any) -> list[Any]:
    from GliomaGradingLib.scene.results import INPUT_ROLES, Published

    return [node for role, node in Published(text).nodes.items() if role not in INPUT_ROLES]


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def clicks(host: Any, folder: Path, steps: int, seed: int, **rates: int) -> Report:
    """Random steps in the embedded Slicer, and what is left when the panel has gone.

    Raises:
        AssertionError: something does not fit together; says seed and step.
    """
    before, others = tempfile.tempdir, children()
    tempfile.tempdir = str(folder / "tmp")
    Path(tempfile.tempdir).mkdir()
    try:
        with small_sample():
            module = host.load(MODULE_FILE, enter=True)
            host.pump(SETTLED)
            clicker = Clicker(host, module, folder, seed, others, **rates)
            report = clicker.run(steps)
            clicker.close_scene()
            report.left_nodes = max(clicker._count_nodes() - clicker.empty, 0)
            host.reset()
        end = time.monotonic() + 10
        while children(but=others) and time.monotonic() < end:
            host.pump(0.05)
        report.left_children = len(children(but=others))
        report.left_files = sum(1 for path in (folder / "tmp").iterdir() if "exchange" in path.name)
    finally:
        tempfile.tempdir = before
    report.steps = dict(sorted(report.steps.items()))
    return report


def main() -> None:
    from Testing.host import start

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    host = start()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(clicks(host, Path(folder), options.steps, options.seed)), indent=2))


if __name__ == "__main__":
    main()
