"""The default of a parameter, given by annotation."""

from __future__ import annotations

import copy

__all__ = ["Default"]
_NOTHING = object()


class Default:
    """``Annotated[T, Default(value)]`` or ``Annotated[T, Default(generator=f)]``."""

    def __init__(self, value=_NOTHING, *, generator=None):
        if (value is _NOTHING) == (generator is None):
            raise ValueError("either a value or a generator")
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else copy.deepcopy(self._value)


def extractDefault(annotations):
    """(the default or None, the other annotations)."""
    found = [one for one in annotations if isinstance(one, Default)]
    if len(found) > 1:
        raise ValueError("more than one default")
    return (found[0] if found else None), [one for one in annotations if not isinstance(one, Default)]
