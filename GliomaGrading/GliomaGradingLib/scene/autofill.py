"""Which node is which input, by names, DICOM series descriptions and headers, where these leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import slicer

from ..reading.sequence_names import is_mask_name, is_other_organ
from ..words import SEQUENCES
from .acquisition import is_sure
from .maps import MAP
from .names import name_of
from .origins import agreeing, is_kin

MASK = "mask"
"""Role of the tumour mask beside those of the sequences."""


@dataclass(frozen=True)
class Guess:
    """A node for each open input that only one node can be."""

    sequences: dict[str, Any]
    mask: Any = None


def guess(chosen: list[Any], isOpen: Callable[[str, Any], bool]) -> Guess:
    """What the nodes of the scene can only be, of the case that is chosen in part already.

    Args:
        chosen: the nodes that are inputs already.
        isOpen: whether a node may become T1, T2, FLAIR or ``MASK``.
    """
    volumes = [node for node in _nodes("vtkMRMLScalarVolumeNode") if _is_plain_volume(node)]
    by_sequence: dict[str, list[Any]] = {}
    for node in volumes:
        by_sequence.setdefault(is_sure(node), []).append(node)
    found = {name: by_sequence[name][0] for name in SEQUENCES if len(by_sequence.get(name, ())) == 1}
    masks = [*_segmentations(), *_labelmaps()]
    mask = masks[0] if len(masks) == 1 else _only(_of_tumour(masks))
    candidates = {**found, **({MASK: mask} if mask is not None else {})}
    free = {role: node for role, node in candidates.items() if node not in chosen and isOpen(role, node)}
    sequences = agreeing(free, chosen)
    return Guess(sequences, sequences.pop(MASK, None))


def strangers(node: Any) -> set[str]:
    """Ids of what is not of a node's case by its name: it does not take the place that the node leaves."""
    kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
    return {one.GetID() for kind in kinds for one in _nodes(kind) if one is not node and not is_kin(one, node)}


def whole_tumour_segment(segments: Iterable[tuple[str, str]]) -> str:
    """The id of the one segment, of (id, name) pairs, that is called the whole tumour; '' for all of them."""
    segments = list(segments)
    whole = [one for one, name in segments if re.search(r"whole|(^|[^a-z])wt([^a-z]|$)", name.lower())]
    named = [one for one, name in segments if is_mask_name(name) and not _is_part(name)]
    chosen = whole or named
    return chosen[0] if len(chosen) == 1 and len(segments) > 1 else ""


def segment_like(name: str, segments: Iterable[tuple[str, str]]) -> str:
    """The id of the one segment that has a name; where none or several have it, that of the whole tumour."""
    segments = list(segments)
    same = [one for one, called in segments if called == name]
    return same[0] if len(same) == 1 else whole_tumour_segment(segments)


def _is_part(name: str) -> bool:
    return bool(
        re.search(r"enhanc|core|necro|label|seg|edema|oedema|(^|[^a-z])(et|tc)([^a-z]|$)", name.lower())
    )


def _nodes(kind: str) -> list[Any]:
    return [node for node in slicer.util.getNodesByClass(kind) if not node.GetHideFromEditors()]


def _is_plain_volume(node: Any) -> bool:
    """An image: no map of where a network looked, whose name says a sequence, too."""
    is_scalar = node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None
    return is_scalar and not node.GetAttribute(MAP)


def _segmentations() -> list[Any]:
    nodes = _nodes("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetSegmentation().GetNumberOfSegments() > 0]


def _labelmaps() -> list[Any]:
    nodes = _nodes("vtkMRMLLabelMapVolumeNode")
    return [node for node in nodes if not is_other_organ(name_of(node))]


def _of_tumour(nodes: list[Any]) -> list[Any]:
    named = ((node, name_of(node).lower()) for node in nodes)
    return [node for node, name in named if is_mask_name(name) and not is_other_organ(name)]


def _only(nodes: list[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else None
