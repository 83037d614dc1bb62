"""An engine for the grading process that needs no torch: a made-up result out of what it was given.

The T1's mean decides the probability; ``pause`` and ``die`` in the case's name make it slow, or kill it.
"""

from __future__ import annotations

import os
import time

from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.result import GradeResult, SliceInfo, Vote
from GliomaGradingLib.words import SEQUENCES


class Engine:
    def load(self, bundle, device, progress):
        progress("weights", 1.0)
        return {"model": {"name": bundle or "fake"}, "device": device}

    def grade(self, volumes, options, progress, cancelled):
        case = options["caseId"]
        progress("alignment", 0.0)
        if "die" in case:
            os._exit(7)
        for step in range(100 if "pause" in case else 1):
            progress("slices", step / 100)
            time.sleep(0.05 if "pause" in case else 0)
        mask = volumes["mask"].array
        if not mask.any():
            raise CaseError("the mask is empty", volumes["mask"].source, "draw the tumour")
        return result(case, float(volumes["T1"].array.mean()), options, mask).toDict()


def result(case, probability, options, mask):
    grade = "HGG" if probability >= 0.5 else "LGG"
    decision = "indeterminate" if 0.4 < probability < 0.6 else grade
    votes = tuple(
        Vote(s, grade, probability, (probability,) * 20, 20 if grade == "HGG" else 0) for s in SEQUENCES
    )
    info = SliceInfo(tuple(range(20)), tuple(map(float, range(20))), 1.0, 4, 25.0)
    model = {"name": "fake", "version": "1", "backbone": "none", "sha256": "0" * 64}
    software = {"glioma-grading": "0", **{key: str(value) for key, value in options.items()}}
    seconds = {"read": 0.0, "total": 1.0}
    volume = float((mask != 0).sum())
    return GradeResult(case, grade, decision, probability, votes, info, volume, (), model, software, seconds)
