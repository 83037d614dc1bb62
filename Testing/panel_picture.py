"""Pictures of the module at work: a case in the embedded Slicer, its buttons clicked.

python -m Testing.panel_picture CASE_DIR OUT.png [--width 400] [--colors dark] [--state after]

States: before (inputs chosen), during, after, sides (side by side), maps (with the evidence maps),
indeterminate, error.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from GliomaGradingLib.case import Case
    from GliomaGradingLib.reading.imaging import Volume
    from GliomaGradingLib.result import GradeResult, Vote

    from .host.runner import Host

REPOSITORY = Path(__file__).resolve().parent.parent
MODULE_FILE = REPOSITORY / "GliomaGrading" / "GliomaGrading.py"
STATES = ("before", "during", "after", "sides", "maps", "indeterminate", "error")


def load_case(case: Case) -> list[Any]:
    """The case as nodes: T1, T2, FLAIR and a segmentation. From any format that the library reads."""
    import slicer

    nodes = [add_volume(volume, f"{case.identifier} {name}") for name, volume in case.images.items()]
    label = add_volume(case.mask, "tumour", "vtkMRMLLabelMapVolumeNode")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{case.identifier} tumour")
    segmentation.CreateDefaultDisplayNodes()
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label, segmentation)
    segmentation.GetSegmentation().GetNthSegment(0).SetName("tumour")
    segmentation.CreateClosedSurfaceRepresentation()
    slicer.mrmlScene.RemoveNode(label)
    return [*nodes, segmentation]


def add_volume(volume: Volume, name: str, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    import numpy as np
    import slicer

    ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    node = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=ijk_to_ras, name=name, nodeClassName=kind)
    node.CreateDefaultDisplayNodes()
    return node


def grade_by_click(host: Host, module: Any, seconds: float = 300) -> str:
    """Clicks Grade; returns what went wrong, or ''."""
    host.wait(lambda: module.ui.gradeButton.enabled, 30)
    module.ui.gradeButton.click()
    host.wait(lambda: module.widget.controller.run is None, seconds)
    return module.ui.messageLabel.text


def bring_to(state: str, host: Host, module: Any, nodes: list[Any]) -> str:
    """Clicks until the panel is in a state; returns what went wrong, or ''."""
    if state == "before":
        host.wait(lambda: module.ui.gradeButton.enabled, 30)
        return ""
    if state == "during":
        host.wait(lambda: module.ui.gradeButton.enabled, 30)
        module.ui.gradeButton.click()
        host.wait(lambda: module.ui.progressBar.value > 20, 120)
        return ""
    if state == "error":
        _rub_out(nodes[3])
    if state == "indeterminate":
        _hold_back(module)
    problem = grade_by_click(host, module)
    if state in ("sides", "maps"):
        module.ui.layoutButton.click()
    if state == "maps":
        module.ui.mapCheckBox.click()
        host.wait(lambda: module.widget.controller.viewer.run is None, 300)
        problem = problem or ("" if module.logic.published.hasMaps else module.ui.mapLabel.text)
    return "" if state == "error" and problem else problem


def _rub_out(segmentation: Any) -> None:
    """A segment in which nothing is drawn."""
    import slicer

    identifier = segmentation.GetSegmentation().GetNthSegmentID(0)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, identifier)
    array[:] = 0


def _hold_back(module: Any) -> None:
    """From now on results come with votes on both sides; what the module shows of them is its own doing."""
    publish = module.logic.publish
    module.logic.publish = lambda result, *others, **named: publish(held_back(result), *others, **named)


def held_back(result: GradeResult) -> GradeResult:
    """A result of which no grade is stood for; its numbers go together as those of a real one do."""
    from dataclasses import replace

    from GliomaGradingLib.result import Notice
    from GliomaGradingLib.voting import majority

    wanted = {"T1": 0.38, "T2": 0.61, "FLAIR": 0.58}
    together = 0.53
    votes = tuple(_moved(vote, wanted[vote.sequence]) for vote in result.votes)
    grade = majority(votes)
    doubt = Notice(
        "near-boundary",
        f"Indeterminate: the probability of HGG ({together}) lies between 0.40 and 0.60 (example).",
    )
    return replace(
        result,
        grade=grade,
        decision="indeterminate",
        probability_hgg=together,
        votes=votes,
        warnings=(doubt, *(one for one in result.warnings if one.code != doubt.code)),
    )


def _moved(vote: Vote, probability: float) -> Vote:
    """A vote whose slices vary as they did, about another probability."""
    from dataclasses import replace

    from GliomaGradingLib.voting import grade_of, sigmoid

    logits = [_logit(p) for p in vote.slice_probabilities]
    middle, spread = sum(logits) / len(logits), max(logits) - min(logits)
    scale = min(1.0, 2.0 / spread) if spread else 1.0
    slices = tuple(sigmoid(scale * (logit - middle) + _logit(probability)) for logit in logits)
    return replace(
        vote,
        grade=grade_of(probability),
        probability_hgg=probability,
        slice_probabilities=slices,
        slices_hgg=sum(p >= 0.5 for p in slices),
    )


def _logit(probability: float) -> float:
    """Of a probability that may have been rounded to 0 or 1."""
    held = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(held / (1 - held))


def _outline(segmentation: Any) -> None:
    """The tumour's outline alone: filled, the segment hides what is in it."""
    display = segmentation.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)


def take_picture(
    case_folder: Path, picture: Path, width: int = 400, colors: str = "light", state: str = "after"
) -> str:
    """Loads, grades and photographs a case; returns what went wrong, or ''."""
    from GliomaGradingLib.case import Case

    from .host import start

    host = start()
    import slicer

    module = host.load(MODULE_FILE)
    window = host.window(module, width=width, colors=colors)
    nodes = load_case(Case.read(case_folder))
    _outline(nodes[3])
    slicer.util.setSliceViewerLayers(background=nodes[2], fit=True)
    problem = bring_to(state, host, module, nodes)
    slicer.util.resetThreeDViews()
    host.pump(0.3)
    host.picture(window, picture)
    return "\n".join([*([problem] if problem else []), *host.problems()])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=400, help="of the panel, px")
    parser.add_argument("--colors", choices=("light", "dark"), default="light")
    parser.add_argument("--state", choices=STATES, default="after")
    options = parser.parse_args()
    sys.path.insert(0, str(MODULE_FILE.parent))
    from .host import availability

    why = availability.reason() or take_picture(
        options.case, options.picture, options.width, options.colors, options.state
    )
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    raise SystemExit(main())
