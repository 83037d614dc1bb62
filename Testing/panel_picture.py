"""A picture of the module at work: a case in the embedded Slicer, its Grade button clicked.

python -m Testing.panel_picture CASE_DIR OUT.png [--width 400] [--colors dark]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from GliomaGradingLib.case import Case
    from GliomaGradingLib.imaging import Volume

    from .host.runner import Host

REPOSITORY = Path(__file__).resolve().parent.parent
MODULE_FILE = REPOSITORY / "GliomaGrading" / "GliomaGrading.py"


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
    host.wait(lambda: not module.ui.cancelButton.enabled, seconds)
    return module.ui.messageLabel.text


def take_picture(case_folder: Path, picture: Path, width: int = 400, colors: str = "light") -> str:
    """Loads, grades and photographs a case; returns what went wrong, or ''."""
    from GliomaGradingLib.case import Case

    from .host import start

    host = start()
    import slicer

    module = host.load(MODULE_FILE)
    window = host.window(module, width=width, colors=colors)
    nodes = load_case(Case.read(case_folder))
    slicer.util.setSliceViewerLayers(background=nodes[2], fit=True)
    problem = grade_by_click(host, module)
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
    options = parser.parse_args()
    sys.path.insert(0, str(MODULE_FILE.parent))
    from .host import availability

    why = availability.reason() or take_picture(options.case, options.picture, options.width, options.colors)
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    raise SystemExit(main())
