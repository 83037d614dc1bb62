"""An engine for the grading process that needs no torch: a made-up result out of what it was given.

The T1's mean decides the probability; ``pause`` in the case's name makes it slow, ``tarry`` all but the grade,
and ``die`` kills it.
"""

from __future__ import annotations

import math
import os
import time

import numpy as np
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.explanation import Explanation
from GliomaGradingLib.grid import Lattice
from GliomaGradingLib.result import GradeResult, SliceInfo, Vote
from GliomaGradingLib.words import SEQUENCES

INDICES = tuple(range(20))


class Engine:
    last, isSlow, bundle = 0.5, False, "fake"

    def load(self, bundle, device, progress):
        self.bundle = bundle or "fake"
        progress("weights", 1.0)
        return {"model": {"name": bundle or "fake"}, "device": device}

    def grade(self, volumes, options, progress):
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
        self.last = float(volumes["T1"].array.mean())
        self.isSlow = is_slow(case)
        made = result(case, self.last, options, mask).toDict()
        made["model"]["name"] = self.bundle
        return made

    def explain(self, volumes, options, progress):
        """Evidence for HGG in the front, as much for LGG behind."""
        if volumes:
            self.last = float(volumes["T1"].array.mean())
        is_slow_now = self.isSlow or is_slow(options.get("caseId", ""))
        for step in range(100 if is_slow_now else 1):
            progress("saliency T1", step / 100)
            time.sleep(0.05 if self.isSlow else 0)
        return explanation(self.last).toDict()

    def report(self, volumes, options, progress):
        """Files that say what was asked for."""
        for step in range(100 if is_slow(options["caseId"]) else 1):
            progress("report", step / 100)
            time.sleep(0.05 if is_slow(options["caseId"]) else 0)
        if abs(float(volumes["T1"].array.mean()) - options["result"]["votes"][0]["probability_hgg"]) > 0.02:
            raise CaseError("the images have changed since they were graded", options["caseId"], "grade again")
        text = GradeResult.fromDict(options["result"]).toJson()
        page = f"<p>{options['caseId']} {options['register']}</p>"
        files = {"report.html": page.encode(), "slices.png": b"\x89PNG", "result.json": text.encode()}
        return {"arrays": {name: np.frombuffer(content, np.uint8) for name, content in files.items()}}


def is_slow(case):
    return "pause" in case or "tarry" in case


def explanation(probability):
    maps = np.zeros((3, 20, 10, 12), np.float32)
    maps[:, :, :5] = 2.0
    maps[:, :, 5:] = -2.0
    base = math.log(probability / (1 - probability))
    lattice = Lattice((-11.0, -9.0, 0.0), (1.0, 1.0, 1.0), (12, 10, 20))
    return Explanation(maps, (base,) * 3, lattice, indices=INDICES)


def cohort_engine():
    from GliomaGradingLib.cohort.child import CohortEngine

    return CohortEngine(CaseGrader())


class CaseGrader:
    """Grades the cases of a batch: the name says the probability, 0.9 if it says nothing."""

    def load(self, bundle, device, progress):
        return {"model": {"name": bundle, "version": "1", "backbone": "none", "sha256": "0" * 64}}

    def grade(self, task):
        from numpy import ones

        options = {"vote": task["vote"], "register": task["register"]}
        made = result(task["case"], 0.1 if "lgg" in task["case"] else 0.9, options, ones((2, 2, 2)))
        return made.toDict(), {"result.json": made.toJson().encode()}


def result(case, probability, options, mask):
    grade = "HGG" if probability >= 0.5 else "LGG"
    decision = "indeterminate" if 0.4 < probability < 0.6 else grade
    votes = tuple(
        Vote(s, grade, probability, (probability,) * 20, 20 if grade == "HGG" else 0) for s in SEQUENCES
    )
    info = SliceInfo(INDICES, tuple(map(float, range(20))), 1.0, 4, 25.0)
    model = {"name": "fake", "version": "1", "backbone": "none", "sha256": "0" * 64}
    software = {"glioma-grading": "0", **{key: str(value) for key, value in options.items()}}
    seconds = {"read": 0.0, "total": 1.0}
    volume = float((mask != 0).sum())
    registration = {"mode": options.get("register", "auto")}
    return GradeResult(
        case, grade, decision, probability, votes, info, volume, (), model, software, seconds, registration
    )
