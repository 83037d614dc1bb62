"""The segments of a ``.seg.nrrd`` file by their names, as Slicer writes them into its header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import CaseError
from ..result import Notice
from ..volume import Volume
from .segment_names import is_other_structure, left_out
from .text_headers import nrrd_values

_NAME = re.compile(r"Segment(\d+)_Name$")


@dataclass(frozen=True)
class Segment:
    """One segment: its name, and its label in one of the layers."""

    name: str
    layer: int
    label: int


def segments_in(path: Path) -> tuple[Segment, ...]:
    """The segments that a NRRD file's header lists; none of any other file."""
    return _listed(nrrd_values(path)) if path.suffix.lower() in (".nrrd", ".nhdr") else ()


def _listed(values: Mapping[str, str]) -> tuple[Segment, ...]:
    """Before Slicer 4.11 each had a layer of its own, and the label 1."""
    numbers = sorted(int(found.group(1)) for key in values if (found := _NAME.match(key)))
    segments = []
    for number in numbers:
        own_layer = str(number) if f"Segment{number}_LabelValue" not in values else "0"
        layer = values.get(f"Segment{number}_Layer", own_layer)
        label = values.get(f"Segment{number}_LabelValue", "1")
        if layer.isdecimal() and label.isdecimal():
            segments.append(Segment(values[f"Segment{number}_Name"], int(layer), int(label)))
    return tuple(segments)


def tumour_layers(path: Path, layers: Sequence[Volume]) -> tuple[Volume, ...]:
    """The layers without the segments that are no tumour by their names; all, where nothing would be left."""
    segments = segments_in(path)
    others = [segment for segment in segments if is_other_structure(segment.name)]
    if not others:
        return tuple(layers)
    if len(others) == len(segments):
        text = f"no segment of {path.name} is a tumour by its name, and all count: check the segmentation"
        return _with_notice(layers, Notice("mask-segments-doubtful", text))
    kept = [_without(layer, [s.label for s in others if s.layer == n]) for n, layer in enumerate(layers)]
    return _with_notice(kept, left_out(segment.label for segment in others))


def check_told_apart(path: Path, labels: Sequence[int]) -> None:
    """Of segments that overlap, each layer counts its labels anew.

    Raises:
        CaseError: one of the labels stands for segments in several layers.
    """
    segments = segments_in(path)
    for label in labels:
        alike = [segment for segment in segments if segment.label == label]
        if len({segment.layer for segment in alike}) > 1:
            names = " and ".join(segment.name for segment in alike)
            raise CaseError(
                f"mask label {label} stands for several segments ({names})",
                path,
                "save the tumour alone as a segmentation of its own; or leave out the labels, where the names "
                "say which segments are the tumour",
            )


def _without(layer: Volume, labels: Sequence[int]) -> Volume:
    if not labels:
        return layer
    array = layer.array.copy()
    array[np.isin(array, labels)] = 0
    return replace(layer, array=array)


def _with_notice(layers: Sequence[Volume], notice: Notice) -> tuple[Volume, ...]:
    first, *rest = layers
    return (replace(first, warnings=(*first.warnings, notice)), *rest)
