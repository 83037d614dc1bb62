"""What a grading gives: votes, the grade, the decision, and where they came from."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .words import DISCLAIMER, GRADE_MEANING, HGG, INDETERMINATE, LGG, SEQUENCES

RESULT_SCHEMA = "glioma-grading/result/1"


@dataclass(frozen=True)
class Notice:
    """Something the reader of a result has to know; ``code`` is stable, ``message`` is for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Vote:
    """One sequence's vote.

    ``probability_hgg`` is the calibrated probability of HGG from the mean logit of the slices;
    ``slice_probabilities`` are the calibrated probabilities of the slices, from foot to head, of which
    ``slices_hgg`` are on HGG's side.
    """

    sequence: str
    grade: str
    probability_hgg: float
    slice_probabilities: tuple[float, ...]
    slices_hgg: int

    @classmethod
    def fromDict(cls, values: Mapping[str, Any]) -> Vote:
        """The vote that ``toDict`` wrote."""
        return cls(
            values["sequence"],
            values["grade"],
            float(values["probability_hgg"]),
            tuple(map(float, values["slice_probabilities"])),
            int(values["slices_hgg"]),
        )

    def toDict(self) -> dict[str, Any]:
        """An entry of ``votes`` in result.json."""
        return {
            "sequence": self.sequence,
            "grade": self.grade,
            "probability_hgg": self.probability_hgg,
            "slices_hgg": self.slices_hgg,
            "slices": len(self.slice_probabilities),
            "slice_probabilities": list(self.slice_probabilities),
        }


@dataclass(frozen=True)
class SliceInfo:
    """Which slices were graded: indices on the case's axial grid, positions along patient S in mm."""

    indices: tuple[int, ...]
    positions_mm: tuple[float, ...]
    spacing_mm: float
    largest_index: int
    largest_area_mm2: float

    @property
    def largest_place(self) -> int:
        """Which of the slices has the largest tumour area; the nearest, where that one is not among them."""
        return min(range(len(self.indices)), key=lambda k: abs(self.indices[k] - self.largest_index))

    @classmethod
    def fromDict(cls, values: Mapping[str, Any]) -> SliceInfo:
        """What ``toDict`` wrote."""
        return cls(
            tuple(map(int, values["indices"])),
            tuple(map(float, values["positions_mm"])),
            float(values["spacing_mm"]),
            int(values["largest_index"]),
            float(values["largest_area_mm2"]),
        )

    def toDict(self) -> dict[str, Any]:
        """``slices`` in result.json."""
        return {
            "indices": list(self.indices),
            "positions_mm": list(self.positions_mm),
            "spacing_mm": self.spacing_mm,
            "largest_index": self.largest_index,
            "largest_area_mm2": self.largest_area_mm2,
        }


@dataclass(frozen=True)
class GradeResult:
    """The grade of one case, with everything needed to show, store and question it.

    Args:
        case: what the case is called.
        grade: the vote, LGG or HGG, by the rule ``vote`` (majority or soft).
        decision: what the product stands for: the same, or ``indeterminate`` where the evidence is too thin,
            with the reason among ``warnings``.
        probability_hgg: calibrated, of the three sequences together.
        votes: of T1, T2 and FLAIR. slices: which slices were graded.
        tumour_ml: volume of the whole mask. seen_ml: how much of it lies within what the networks were shown,
            20 slices of a region; None in results from before it was told.
        model: name, version, backbone, sha256 of the bundle. software: versions by name.
        seconds: by stage (read, prepare, infer, total).
        registration: whether sequences were moved onto another, and how far.
    """

    case: str
    grade: str
    decision: str
    probability_hgg: float
    votes: tuple[Vote, ...]
    slices: SliceInfo
    tumour_ml: float
    warnings: tuple[Notice, ...]
    model: dict[str, str]
    software: dict[str, str]
    seconds: dict[str, float]
    registration: dict[str, Any] = field(default_factory=dict)
    vote: str = "majority"
    seen_ml: float | None = None

    @property
    def agreement(self) -> tuple[int, int]:
        """How many of the votes are for the grade, and how many votes there are."""
        return sum(vote.grade == self.grade for vote in self.votes), len(self.votes)

    def toDict(self) -> dict[str, Any]:
        """The content of result.json (schema ``glioma-grading/result/1``)."""
        votes_for, votes_of = self.agreement
        return {
            "schema": RESULT_SCHEMA,
            "case": self.case,
            "grade": self.grade,
            "vote": self.vote,
            "decision": self.decision,
            "probability_hgg": self.probability_hgg,
            "agreement": {"for": votes_for, "of": votes_of},
            "votes": [vote.toDict() for vote in self.votes],
            "slices": self.slices.toDict(),
            "tumour": {"volume_ml": self.tumour_ml, "seen_ml": self.seen_ml},
            "registration": copy.deepcopy(self.registration),
            "warnings": [{"code": w.code, "message": w.message} for w in self.warnings],
            "model": dict(self.model),
            "software": dict(self.software),
            "seconds": dict(self.seconds),
            "meaning": GRADE_MEANING,
            "disclaimer": DISCLAIMER,
        }

    @classmethod
    def fromDict(cls, values: Mapping[str, Any]) -> GradeResult:
        """The result that ``toDict`` wrote: what came from the worker, or from a result.json.

        Raises:
            ValueError: it is of another schema, or something is missing in it or contradicts the rest.
        """
        if not isinstance(values, Mapping) or values.get("schema") != RESULT_SCHEMA:
            raise ValueError(f"this is not a result of schema {RESULT_SCHEMA}")
        try:
            result = cls(
                case=str(values["case"]),
                grade=str(values["grade"]),
                decision=str(values["decision"]),
                probability_hgg=float(values["probability_hgg"]),
                votes=tuple(Vote.fromDict(vote) for vote in values["votes"]),
                slices=SliceInfo.fromDict(values["slices"]),
                tumour_ml=float(values["tumour"]["volume_ml"]),
                warnings=tuple(Notice(str(w["code"]), str(w["message"])) for w in values["warnings"]),
                model=dict(values["model"]),
                software=dict(values["software"]),
                seconds={name: float(value) for name, value in values["seconds"].items()},
                registration=dict(values.get("registration", {})),
                vote=str(values.get("vote", "majority")),
                seen_ml=_number_or_none(values["tumour"].get("seen_ml")),
            )
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"the result is incomplete ({error})") from error
        _check(result)
        return result

    def afterReading(self, seconds: float, notices: Sequence[Notice] = ()) -> GradeResult:
        """The result with the seconds that reading the case took, and with what was noticed meanwhile."""
        total = self.seconds.get("total", 0.0) + seconds
        return replace(
            self,
            seconds={**self.seconds, "read": round(seconds, 4), "total": round(total, 4)},
            warnings=tuple(dict.fromkeys((*self.warnings, *notices))),
        )

    def toJson(self) -> str:
        """The text of result.json: ``toDict`` as JSON."""
        return json.dumps(self.toDict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check(result: GradeResult) -> None:
    """What a file says that somebody has edited: who shows a result need not look whether it is one.

    Raises:
        ValueError: it cannot be the result of a grading.
    """
    info = result.slices
    count = len(info.indices)
    if tuple(vote.sequence for vote in result.votes) != SEQUENCES:
        raise ValueError("the result has other votes than those of T1, T2 and FLAIR")
    lengths = [len(info.positions_mm), *(len(vote.slice_probabilities) for vote in result.votes)]
    if not count or any(length != count for length in lengths):
        raise ValueError("the result has other numbers of slices, positions and probabilities")
    grades = {result.grade, *(vote.grade for vote in result.votes)}
    if not grades <= {LGG, HGG} or result.decision not in (LGG, HGG, INDETERMINATE):
        raise ValueError("the result has a grade that is none")
    numbers = [info.spacing_mm, *info.positions_mm, result.probability_hgg]
    for vote in result.votes:
        numbers += [vote.probability_hgg, *vote.slice_probabilities]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("the result has a number that is none")


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)
