"""Value types."""

from __future__ import annotations

__all__ = ["FloatRange"]


class FloatRange:
    """A closed interval."""

    def __init__(self, minimum=0.0, maximum=0.0):
        self.setRange(minimum, maximum)

    @staticmethod
    def checkRange(minimum, maximum):
        if minimum > maximum:
            raise ValueError(f"minimum {minimum} is above maximum {maximum}")

    def setRange(self, minimum, maximum):
        self.checkRange(minimum, maximum)
        self.minimum, self.maximum = float(minimum), float(maximum)

    def __eq__(self, other):
        return (self.minimum, self.maximum) == (other.minimum, other.maximum)

    __hash__ = None
