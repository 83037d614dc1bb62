"""Evidence maps (Grad-CAM) in the scene: a volume for each sequence on the patient's grid, and its colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..explanation import Explanation
from ..palette import EVIDENCE_RAMPS
from ..words import HGG, LGG, SEQUENCES
from .volumes import add_volume

COLORS = "colours"
"""Role of the colour table that the three maps share."""

MAP = "GliomaGrading.Map"
"""Attribute of the maps; its value is the sequence."""

LEGEND = "GliomaGrading.Legend"
"""Attribute of the maps' legends."""

_LGG_TONES, _HGG_TONES = (np.array(EVIDENCE_RAMPS[grade]) for grade in (LGG, HGG))
_ENTRIES, _CLEAR = 255, 0.12


def map_role(sequence: str) -> str:
    """Role of a sequence's map among the nodes of a result."""
    return f"map.{sequence}"


def add_maps(explanation: Explanation, name: str, keep: Callable[[str, Any], Any]) -> None:
    """Adds the colour table and three volumes.

    Args:
        name: of the case; the nodes' names begin with it.
        keep: called with the role and the node, as soon as there is one.
    """
    colors = keep(
        COLORS, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", f"{name} {_('evidence')}")
    )
    fill_colors(colors)
    for sequence in SEQUENCES:
        title = f"{name} {_('where the {sequence} network looked').format(sequence=sequence)}"
        node = keep(map_role(sequence), add_volume(explanation.volume(sequence), title))
        node.SetAttribute(MAP, sequence)
        _dress(node, colors, explanation.strength)
        _add_legend(node, sequence)


def fill_colors(node: Any) -> None:
    """Blue for LGG, clear in the middle, orange for HGG: the stronger, the brighter."""
    node.SetTypeToUser()
    node.SetNumberOfColors(_ENTRIES)
    for index, (red, green, blue, alpha) in enumerate(tones(_ENTRIES)):
        node.SetColor(index, f"{index}", red, green, blue, alpha)
    node.SetDescription(_("Blue speaks for LGG, orange for HGG"))


def tones(count: int) -> np.ndarray:
    """(count, 4) red, green, blue and opacity, from most for LGG to most for HGG."""
    scale = np.linspace(-1.0, 1.0, count)
    strength = np.clip((np.abs(scale) - _CLEAR) / (1 - _CLEAR), 0, 1)[:, None]
    weak, strong = (np.where(scale[:, None] < 0, _LGG_TONES[i], _HGG_TONES[i]) for i in (0, 1))
    return np.column_stack([weak + strength * (strong - weak), strength[:, 0] > 0])


def legends(nodes: Iterable[Any]) -> list[Any]:
    """The legends of volumes, where the application has any."""
    logic = getattr(slicer, "vtkSlicerColorLogic", None)
    found = [logic.GetColorLegendDisplayNode(node) for node in nodes] if logic else []
    return [legend for legend in found if legend is not None]


def renew_legends(nodes: Iterable[Any]) -> None:
    """Makes the legends of volumes anew: a view draws those only that come to the scene after it."""
    for node in nodes:
        for legend in legends([node]):
            sequence, is_shown = legend.GetAttribute(LEGEND), legend.GetVisibility()
            if sequence:
                slicer.mrmlScene.RemoveNode(legend)
                _add_legend(node, sequence)
                for renewed in legends([node]):
                    renewed.SetVisibility(is_shown)


def _dress(node: Any, colors: Any, strength: float) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(-strength, strength)
    display.InterpolateOn()
    display.ApplyThresholdOff()


def _add_legend(node: Any, sequence: str) -> None:
    logic = getattr(slicer, "vtkSlicerColorLogic", None)
    legend = logic.AddDefaultColorLegendDisplayNode(node) if logic else None
    if legend is None:
        return
    legend.SetAttribute(LEGEND, sequence)
    legend.SetVisibility(False)
    legend.SetTitleText(_("{sequence}: evidence\n(logits)\n+ HGG, - LGG").format(sequence=sequence))
    legend.SetLabelFormat("%+.1f")
    legend.SetNumberOfLabels(3)
    legend.SetSize(0.12, 0.4)
    legend.SetPosition(0.97, 0.45)
