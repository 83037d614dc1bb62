"""Rules for values, given by annotation; a value that breaks one is refused with ValueError or TypeError."""

from __future__ import annotations

import abc

__all__ = [
    "Choice",
    "Exclude",
    "IsInstance",
    "IsNone",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "Validator",
    "WithinRange",
]


class Validator(abc.ABC):
    @abc.abstractmethod
    def validate(self, value):
        """Raises where the value breaks the rule."""


class IsNone(Validator):
    def validate(self, value):
        if value is not None:
            raise ValueError("Value must be None")


class NotNone(Validator):
    def validate(self, value):
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value of type {type(value)} is no instance of {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value {value} is outside {self.minimum} to {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value {value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value {value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value {value!r} is none of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value):
        if value in self.excludedValues:
            raise ValueError(f"Value {value!r} is excluded")


class RangeBounds(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if value.minimum < self.minimum or value.maximum > self.maximum:
            raise ValueError(f"Range is outside {self.minimum} to {self.maximum}")


def extractValidators(annotations):
    """(the validators, the other annotations)."""
    found = [one for one in annotations if isinstance(one, Validator)]
    return found, [one for one in annotations if not isinstance(one, Validator)]
