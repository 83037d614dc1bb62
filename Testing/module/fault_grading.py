"""``fake_grading`` that may take its time: to load a bundle called ``slow``, to explain voxels of 0.75."""

from __future__ import annotations

import time

import fake_grading
from GliomaGradingLib.worker.server import Progress

THOUGHTFUL = 0.75
"""Voxels of a T1 whose explanation takes a while."""


class Engine(fake_grading.Engine):
    def load(self, bundle, device, progress: Progress):
        progress("weights", 0.0)
        if bundle and "slow" in bundle:
            time.sleep(1.5)
        return super().load(bundle, device, progress)

    def explain(self, volumes, options, progress: Progress):
        seen = float(volumes["T1"].array.mean()) if volumes else self.last
        for step in range(40 if abs(seen - THOUGHTFUL) < 1e-3 else 0):
            progress("saliency T1", step / 40)
            time.sleep(0.05)
        return super().explain(volumes, options, progress)
