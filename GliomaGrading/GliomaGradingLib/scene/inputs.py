"""The inputs of one grading: chosen nodes, whether they can be graded, and their voxels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..doubts import DOUBTFUL
from ..errors import CaseError, printable
from ..result import GradeResult, Notice
from ..volume import Volume
from ..words import INDETERMINATE, SEQUENCES
from .acquisition import doubts
from .maps import MAP
from .mask import check_segment, mask_notices, mask_steps, segments_of
from .names import name_of
from .origins import other_cases
from .stamps import Stamp, stamp_of
from .volumes import components, volume_of

CASE = "GliomaGrading.Case"
"""Attribute of a case's volumes: what the user calls it. It is saved with them, and goes with them."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What goes to the grading process, and what the result will be called.

    Args:
        case: the case's name.
        volumes: T1, T2, FLAIR and mask, each in LPS world coordinates.
        notices: what the reader of the result has to know of how the volumes were chosen.
        stamp: of the nodes when they were read, see ``stamps``.
    """

    case: str
    volumes: Mapping[str, Volume]
    notices: tuple[Notice, ...] = ()
    stamp: Stamp | None = None

    def noted(self, result: GradeResult) -> GradeResult:
        """The result with the notices before its own warnings; some of them leave nothing to be decided."""
        is_doubtful = any(notice.code in DOUBTFUL for notice in self.notices)
        decision = INDETERMINATE if is_doubtful else result.decision
        warnings = tuple(dict.fromkeys((*self.notices, *result.warnings)))
        return replace(result, decision=decision, warnings=warnings)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Nodes chosen for a grading; None where nothing is chosen.

    Args:
        t1, t2, flair: scalar volume nodes.
        mask: a segmentation or labelmap node.
        segmentId: one segment of it; None or '' for all of them together that may be tumour by their names.
    """

    t1: Any = None
    t2: Any = None
    flair: Any = None
    mask: Any = None
    segmentId: str | None = None

    @property
    def sequences(self) -> dict[str, Any]:
        return dict(zip(SEQUENCES, (self.t1, self.t2, self.flair), strict=True))

    @property
    def nodes(self) -> list[Any]:
        return [node for node in (self.t1, self.t2, self.flair, self.mask) if node is not None]

    @property
    def case(self) -> str:
        """What the case is called: as the user has said, else as its volumes are; '' without all three."""
        return self.givenCase or self.usualCase

    @property
    def givenCase(self) -> str:
        """What the user has said of all three volumes alike; else ''."""
        names = {node.GetAttribute(CASE) if node is not None else None for node in self.sequences.values()}
        return (names.pop() or "") if len(names) == 1 else ""

    @property
    def usualCase(self) -> str:
        nodes = self.sequences.values()
        return "" if None in nodes else case_name([name_of(node) for node in nodes])

    def giveCase(self, name: str) -> None:
        """Calls the case something; '' takes it back."""
        for node in filter(None, self.sequences.values()):
            node.SetAttribute(CASE, printable(name.strip()) or None)

    @property
    def stamp(self) -> Stamp:
        """Of the voxels that are there now, see ``stamps``."""
        return stamp_of(self.nodes, self.segmentId)

    @property
    def doubts(self) -> tuple[Notice, ...]:
        """What names and DICOM headers say against the choice of the sequences and the segments."""
        of_case = other_cases({**self.sequences, _("tumour mask"): self.mask})
        return (*of_case, *doubts(self.sequences), *mask_notices(self.mask, self.segmentId))

    def isSame(self, other: Inputs) -> bool:
        """Whether the same nodes, and the same segment, are chosen in both."""
        return self.nodes == other.nodes and self.segmentId == other.segmentId

    @property
    def scenes(self) -> list[Any]:
        """The scene of each node; None for one that is in none."""
        return [node.GetScene() for node in self.nodes]

    def check_stay(self, scenes: list[Any]) -> None:
        """Refuses to go on where nodes have left the scene: nobody is there that a result could belong to.

        Args:
            scenes: what ``scenes`` was before.

        Raises:
            CaseError: says which is gone.
        """
        for node, before in zip(self.nodes, scenes, strict=True):
            if node.GetScene() is not before:
                raise CaseError(
                    _("it was removed from the scene while it was graded"),
                    name_of(node),
                    _("choose the inputs and grade again"),
                )

    def isValid(self) -> tuple[bool, str]:
        """Whether grading can start, else what the user has to do first. Looks at no voxel."""
        for reason in (*self._reasons(), *self._segment_reasons()):
            return False, reason
        return True, ""

    def _reasons(self) -> Iterator[str]:
        missing = [name for name, node in self.sequences.items() if node is None]
        missing += [_("tumour mask")] * (self.mask is None)
        if missing:
            yield _("Choose {names}.").format(names=", ".join(missing))
            return
        strangers = list(self._kind_reasons())
        yield from strangers
        if not strangers:  # else there is nothing that could be asked
            yield from self._sequence_reasons()
            yield from self._mask_reasons()

    def _kind_reasons(self) -> Iterator[str]:
        """Of what a script gives: boxes of the panel hold nothing else."""
        for name, node in self.sequences.items():
            if not _is_a(node, "vtkMRMLScalarVolumeNode"):
                yield _("{name} is no volume node: give one, e.g. slicer.util.getNode(name).").format(name=name)
        if not _is_a(self.mask, "vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"):
            yield _(
                "The tumour mask is no segmentation or labelmap node: give one, e.g. slicer.util.getNode(name)."
            )

    def _sequence_reasons(self) -> Iterator[str]:
        for name, node in self.sequences.items():
            others = [other for other, same in self.sequences.items() if same is node and other != name]
            if others:
                yield _("{first} and {second} are the same volume.").format(first=name, second=others[0])
            if node.GetAttribute(MAP):
                yield _("{name} is a map of where a network looked: choose the image.").format(name=name)
            if node.GetImageData() is None:
                yield _("{name} has no voxels: load it again.").format(name=name)
            yield from _component_reasons(name, node)

    def _mask_reasons(self) -> Iterator[str]:
        if self.mask.IsA("vtkMRMLSegmentationNode"):
            if not segments_of(self.mask):
                yield _("The segmentation has no segment: draw the tumour.")
            return
        if self.segmentId:
            yield _("A label map has no segments: leave segmentId out, or import it into a segmentation.")
        if self.mask.GetImageData() is None:
            yield _("The tumour mask has no voxels: load it again.")
        yield from _component_reasons(_("The tumour mask"), self.mask)

    def _segment_reasons(self) -> Iterator[str]:
        """In the panel the segments stand in a list; a script is told which there are, by ``check_segment``."""
        if self.segmentId and self.segmentId not in dict(segments_of(self.mask)):
            yield _("Choose a segment.")

    def prepare(self) -> Prepared:
        """All voxels; see ``prepare_steps``."""
        *_unfinished, prepared = self.prepare_steps()
        assert prepared is not None
        return prepared

    def prepare_steps(self) -> Iterator[Prepared | None]:
        """Reads node by node, to be called on the main thread; the last thing yielded is the outcome.

        Raises:
            CaseError: an input is missing or cannot be read.
        """
        for reason in self._reasons():
            raise CaseError(reason.rstrip("."), remedy=_("choose the inputs and grade again"))
        check_segment(self.mask, self.segmentId)
        stamp, volumes = self.stamp, dict[str, Volume]()
        for name, node in self.sequences.items():
            volumes[name] = volume_of(node)
            yield None
        for mask in mask_steps(self.mask, self.segmentId or None, list(volumes.values())):
            if mask is not None:
                volumes["mask"] = mask
            yield None
        yield Prepared(self.case, volumes, self.doubts, stamp)


def _is_a(node: Any, *kinds: str) -> bool:
    """Whether it is a node of one of these kinds, and not a name, or anything else that scripts pass."""
    return hasattr(node, "IsA") and any(node.IsA(kind) for kind in kinds)


def _component_reasons(name: str, node: Any) -> Iterator[str]:
    if (count := components(node)) > 1:
        yield _("{name} has {count} components: choose a volume with one.").format(name=name, count=count)


def change_events(nodes: Iterable[Any]) -> list[tuple[Any, Any]]:
    """What to observe of input nodes, and which event of it, to hear of every change of what is graded."""
    found: list[tuple[Any, Any]] = []
    for node in nodes:
        found += [
            (node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent),
            (node, vtk.vtkCommand.ModifiedEvent),
        ]
        if node.IsA("vtkMRMLSegmentationNode"):
            events = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SourceRepresentationModified")
            segmentation = node.GetSegmentation()
            found += [(segmentation, getattr(slicer.vtkSegmentation, name)) for name in events]
        else:
            found.append((node, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent))
    return found


def case_name(names: list[str]) -> str:
    """What the names of a case's volumes begin with: ``BraTS20_001_t1`` and ``_t2`` give ``BraTS20_001``.

    Where they share no words of their own, the first name.
    """
    shared = os.path.commonprefix(names)  # noqa: RUF071 - of names, character by character
    if any(name[len(shared) :][:1].isalnum() and shared[-1:].isalnum() for name in names):
        shared = re.sub(r"[^\W_]+$", "", shared)  # back to the end of the last whole word
    shared = re.sub(r"[\W_]+$", "", shared.strip())
    return shared if len(shared) > 1 else names[0] or "case"
