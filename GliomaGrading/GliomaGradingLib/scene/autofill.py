"""Which node is which input, by names and DICOM series descriptions, where these leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import slicer

from ..words import SEQUENCES

CONTRAST = "T1 with contrast"
"""What ``sequence_of`` calls a T1 after contrast medium: never an input of the grading."""

_SPLIT = re.compile(r"[^a-z0-9*+]+")
_FLAIR = re.compile(r"flair|dark[ _-]?fluid|fluid[ _-]?atten")
_FLAIR_WORDS = {"t2f", "fla", "fl"}
_T2 = re.compile(r"(^|[^a-z0-9])t2(w|wi|weighted|tse|fse|frfse|blade|propeller|space|cube)?([^a-z0-9*]|$)")
_T1 = re.compile(r"(^|[^a-z0-9])t1(w|wi|n|weighted|tse|se|fse|fl|tfe|mprage|mpr|vibe|space|cube)?([^a-z0-9]|$)")
_T1_NAMES = {"mprage", "mp-rage", "spgr", "fspgr", "bravo"}
_CONTRAST = re.compile(
    r"t1(w|wi)?[ _-]?(ce|c|gd|gad|gado|km|post)([^a-z]|$)|contrast|gado|postgd|\+ ?c([^a-z]|$)|c\+|\+ ?gd"
    r"|\+ ?km|(^|[^a-z])(ce|gd|gad|km|post|enhanced|enh)([^a-z]|$)"
)
_NO_CONTRAST = re.compile(
    r"(?<![a-z])(pre|non|no|without|w/?o|ohne|native?|unenhanced)[ _-]*"
    r"(contrast|gd|gad|gado|km|enhanc[a-z]*)?(?![a-z])"
)
_DERIVED = {"adc", "dwi", "dti", "swi", "fa", "md", "cbv", "cbf", "rcbv", "perfusion", "perf", "map", "t1map"}
_DERIVED |= {"t2map", "subtraction", "t2*", "t2star", "gre", "localizer", "scout", "mra", "tof", "dsc"}
_MASK = re.compile(r"seg(m|mentation)?([^a-z]|$)|mask|label|tumou?r|lesion|roi([^a-z]|$)")
_OTHER_ORGAN = re.compile(r"brain|skull|ventric|parenchym|head|bet([^a-z]|$)|csf|tissue")


@dataclass(frozen=True)
class Guess:
    """A node for each input that only one node can be."""

    sequences: dict[str, Any]
    mask: Any = None


def sequence_of(*texts: str) -> str:
    """T1, T2, FLAIR or T1 with contrast, if the texts (name, series description) agree on one; else ''."""
    found = {_sequence_of(text.lower()) for text in texts if text} - {""}
    if CONTRAST in found and found <= {CONTRAST, "T1"}:
        return CONTRAST
    return found.pop() if len(found) == 1 else ""


def _sequence_of(text: str) -> str:
    words = {word for word in _SPLIT.split(text) if word}
    if words & _DERIVED or _MASK.search(text):
        return ""
    is_t1 = bool(_T1.search(text) or words & _T1_NAMES or _is_contrast_t1(text))
    is_flair = bool(_FLAIR.search(text) or words & _FLAIR_WORDS)
    is_t2 = bool(_T2.search(text))
    if is_flair:
        return "" if is_t1 else "FLAIR"  # a T1 FLAIR is another contrast altogether
    if is_t1 == is_t2:
        return ""
    if is_t2:
        return "T2"
    return CONTRAST if _has_contrast(text) else "T1"


def _is_contrast_t1(text: str) -> bool:
    return bool(re.search(r"(^|[^a-z0-9])t1(w|wi)?(ce|c|gd|gad|gado|km|post)([^a-z]|$)", text))


def _has_contrast(text: str) -> bool:
    return bool(_CONTRAST.search(_NO_CONTRAST.sub(" ", text)))


def guess() -> Guess:
    """What the nodes of the scene can only be."""
    volumes = [node for node in _nodes("vtkMRMLScalarVolumeNode") if _is_plain_volume(node)]
    by_sequence: dict[str, list[Any]] = {}
    for node in volumes:
        by_sequence.setdefault(sequence_of(node.GetName() or "", series_description(node)), []).append(node)
    sequences = {name: by_sequence[name][0] for name in SEQUENCES if len(by_sequence.get(name, ())) == 1}
    masks = [*_segmentations(), *_labelmaps()]
    return Guess(sequences, masks[0] if len(masks) == 1 else _only(_of_tumour(masks)))


def whole_tumour_segment(segments: Iterable[tuple[str, str]]) -> str:
    """The id of the one segment, of (id, name) pairs, that is called the whole tumour; '' for all of them."""
    segments = list(segments)
    whole = [one for one, name in segments if re.search(r"whole|(^|[^a-z])wt([^a-z]|$)", name.lower())]
    named = [one for one, name in segments if _MASK.search(name.lower()) and not _is_part(name)]
    chosen = whole or named
    return chosen[0] if len(chosen) == 1 and len(segments) > 1 else ""


def _is_part(name: str) -> bool:
    return bool(
        re.search(r"enhanc|core|necro|label|seg|edema|oedema|(^|[^a-z])(et|tc)([^a-z]|$)", name.lower())
    )


def series_description(node: Any) -> str:
    """The DICOM series description of a volume; '' where it did not come from DICOM."""
    known = node.GetAttribute("DICOM.SeriesDescription")
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = slicer.app.dicomDatabase() if instances and not known else None
    if database is None:
        return known or ""
    return str(database.instanceValue(instances[0], "0008,103e") or "")


def _nodes(kind: str) -> list[Any]:
    return [node for node in slicer.util.getNodesByClass(kind) if not node.GetHideFromEditors()]


def _is_plain_volume(node: Any) -> bool:
    return node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None


def _segmentations() -> list[Any]:
    nodes = _nodes("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetSegmentation().GetNumberOfSegments() > 0]


def _labelmaps() -> list[Any]:
    nodes = _nodes("vtkMRMLLabelMapVolumeNode")
    return [node for node in nodes if not _OTHER_ORGAN.search((node.GetName() or "").lower())]


def _of_tumour(nodes: list[Any]) -> list[Any]:
    named = ((node, (node.GetName() or "").lower()) for node in nodes)
    return [node for node, name in named if _MASK.search(name) and not _OTHER_ORGAN.search(name)]


def _only(nodes: list[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else None
