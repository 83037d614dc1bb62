"""Observers of nodes that come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Observers:
    """Observers with one callback, which let go of what they no longer observe.

    Slicer's ``VTKObservationMixin`` keeps whatever it once observed, a volume with all its voxels, until the
    module goes: it is for what stays, such as the scene.

    Args:
        priority: above 0 for who has to be told before Slicer itself is, which has the default's.
    """

    def __init__(self, callback: Callable[..., object], priority: float = 0.0) -> None:
        self._callback = callback
        self._priority = priority
        self._observed: list[tuple[Any, Any]] = []
        self._tags: list[int] = []

    def observe(self, wanted: list[tuple[Any, Any]]) -> None:
        """Things and the event of each, in place of what was observed until now."""
        if wanted == self._observed:
            return
        for (thing, _event), tag in zip(self._observed, self._tags, strict=True):
            thing.RemoveObserver(tag)
        self._observed = list(wanted)
        self._tags = [thing.AddObserver(event, self._callback, self._priority) for thing, event in wanted]
