"""Whose images nodes are: whether two inputs are of one patient, by DICOM, subject hierarchy and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..result import Notice
from .acquisition import dicom_value
from .names import name_of

PATIENT, STUDY, NAME = "patient", "study", "name"
"""What tells two inputs apart."""

_TAGS = {PATIENT: "0010,0020", STUDY: "0020,000d"}
_SERIES_NUMBER = re.compile(r"^\d+: ")
_WORD = re.compile(r"[^\W_]+")
_COUNTED = re.compile(
    r"(?<![^\W_])((run|acq|rec|echo)[-_ ][^\W_]+|(im|img|image|series|se)[-_ ]?\d+|(mr|scan)[-_ ]\d{1,2}"
    r"|(?<=(19|20)\d{6}[-_ tT])\d{6})(?![^\W_])"
)
"""One examination's scans are counted, and so is a time behind a date: ``run-01``, ``IM_0005``."""
_MARK = re.compile(
    r"t[12].*|flair.*|fla?|mp2?rage|f?spgr|bravo|segm?\d?|segmentations?|masks?|labels?|labelmap"
    r"|tumou?rs?|lesions?|rois?"
)
"""Words that say which input something is; what stands before them is the case."""
_NO_CASE = re.compile(
    r"ax|axial|tra|trans|transverse|transversal|sag|sagittal|cor|coronal|[23]d|\d+mm|iso|se|tse|fse|ir|pre|post"
    r"|native?|contrast|brain|head|bet|skull|skullstripped|stripped|reg|registered|coreg|coregistered|aligned"
    r"|warped|resampled|n4|bias|corrected|norm|normali[sz]ed|raw|orig|original|copy|new|old|final|mr|mri|mrt"
    r"|im|image|img|volume|vol|scan|series|nifti|whole|wt|et|tc|enhancing|core|necrosis|o?edema|manual|auto|gt"
)
"""Words that stand before those, too, and say nothing of the patient."""


def conflict(first: Any, second: Any) -> str:
    """``PATIENT``, ``STUDY`` or ``NAME`` where that says that two inputs belong to different cases; else ''."""
    if first is second:
        return ""
    one, other = _witness(first), _witness(second)
    known = {level: _of(one, other, level) for level in (PATIENT, STUDY)}
    for level, pair in known.items():
        if pair and pair[0] != pair[1]:
            return level
    if any(known.values()):
        return ""
    is_mask = any(not _is_image(node) for node in (first, second))
    return NAME if _differ(case_words(name_of(one)), case_words(name_of(other)), is_mask) else ""


def is_kin(first: Any, second: Any) -> bool:
    """Whether two nodes are of one case by what they are called, and nothing speaks against it."""
    words = case_words(name_of(first))
    return bool(words) and words == case_words(name_of(second)) and not conflict(first, second)


def agreeing(candidates: Mapping[str, Any], chosen: list[Any]) -> dict[str, Any]:
    """Those of the nodes that can be of one case with what is chosen; where they are of several, the most."""
    left = {role: node for role, node in candidates.items() if not any(conflict(node, one) for one in chosen)}
    while True:
        against = {
            role: sum(bool(conflict(node, other)) for other in left.values()) for role, node in left.items()
        }
        worst = max(against.values(), default=0)
        if not worst:
            return left
        left = {role: node for role, node in left.items() if against[role] < worst}


def other_cases(roles: Mapping[str, Any]) -> tuple[Notice, ...]:
    """What says that the inputs are of different cases.

    Args:
        roles: nodes by what they are called in the panel; None where nothing is chosen.
    """
    chosen = {role: node for role, node in roles.items() if node is not None}
    counts = {r: sum(bool(conflict(node, other)) for other in chosen.values()) for r, node in chosen.items()}
    against = {role: count for role, count in counts.items() if count}
    if not against:
        return ()
    usual = min(against, key=lambda role: against[role])  # the others are told against the one most agree with
    named = {"other": usual, "others": name_of(chosen[usual])}
    return tuple(
        _notice(why, {"role": role, "name": name_of(node), **named})
        for role, node in chosen.items()
        if (why := conflict(node, chosen[usual]))
    )


def _notice(why: str, named: dict[str, str]) -> Notice:
    if why == PATIENT:
        text = _("{role} ({name}) belongs to another patient than {other} ({others})")
        return Notice("dicom-different-patients", text.format(**named))
    if why == STUDY:
        text = _("{role} ({name}) belongs to another study than {other} ({others})")
        return Notice("dicom-different-studies", text.format(**named))
    text = _("{role} ({name}) is named like another case than {other} ({others})")
    return Notice("named-like-another-case", text.format(**named))


@lru_cache(4096)
def case_words(name: str | None) -> tuple[str, ...]:
    """What a name says of the case: ``BraTS20_Training_163_t1`` brats20, training and 163; often nothing.

    A number of one or two digits alone is no case, but that of a series or of a copy.
    """
    words = _WORD.findall(_COUNTED.sub(" ", _SERIES_NUMBER.sub("", name or "").lower()))
    marked = next((place for place, word in enumerate(words) if _MARK.fullmatch(word)), 0)
    found = tuple(word for word in words[:marked] if not _NO_CASE.fullmatch(word))
    is_number = all(word.isdecimal() and len(word) < 3 for word in found)
    return () if is_number else found


def _differ(first: tuple[str, ...], second: tuple[str, ...], is_mask: bool) -> bool:
    """Whether two cases are meant: numbers in the same place, or nothing in common.

    A mask may be called after who drew it, so that only numbers of the same form, or long ones, count.
    """
    shared = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if shared is None:  # the one is all of the other, or says nothing
        return False
    ones = first[shared], second[shared]
    is_numbered = all(map(_has_digit, ones))
    if is_mask:
        return is_numbered and (_form(ones[0]) == _form(ones[1]) or min(map(_digits, (first, second))) > 2)
    return is_numbered or not any(map(_has_digit, first[:shared]))


def _has_digit(word: str) -> bool:
    return bool(re.search(r"\d", word))


def _digits(words: tuple[str, ...]) -> int:
    return sum(character.isdecimal() for word in words for character in word)


def _form(word: str) -> str:
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d]+", "a", word))


def _witness(node: Any) -> Any:
    """The node that tells whose an input is: for a mask without a name of its own what it was drawn on."""
    if _is_image(node) or case_words(name_of(node)) or not node.IsA("vtkMRMLSegmentationNode"):
        return node
    drawn_on = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    return drawn_on if drawn_on is not None else node


def _is_image(node: Any) -> bool:
    return bool(node.GetClassName() == "vtkMRMLScalarVolumeNode")


def _of(first: Any, second: Any, level: str) -> tuple[str, str] | None:
    """The patients, or studies, of two nodes by the same source; None where no source knows both."""
    for source in _sources(level):
        found = source(first), source(second)
        if all(found):
            return found
    return None


def _sources(level: str) -> Iterator[Any]:
    yield lambda node: dicom_value(node, _TAGS[level])
    yield lambda node: _ancestor(node, level)


def _ancestor(node: Any, level: str) -> str:
    """UID, else item, of the patient or study above an input in the subject hierarchy; '' for none."""
    hierarchy, words = slicer.mrmlScene.GetSubjectHierarchyNode(), slicer.vtkMRMLSubjectHierarchyConstants
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return ""
    name = words.GetDICOMLevelPatient() if level == PATIENT else words.GetDICOMLevelStudy()
    above = hierarchy.GetItemAncestorAtLevel(item, name)
    if not above:
        return ""
    return hierarchy.GetItemUID(above, words.GetDICOMUIDName()) or f"item {above}"
