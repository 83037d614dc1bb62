"""How a value of each type lies in a parameter node."""

from __future__ import annotations

import abc
import collections.abc
import enum
import pathlib
import typing

import slicer

from .types import FloatRange
from .util import UNIONS, splitAnnotations
from .validators import IsInstance, NotNone, extractValidators

__all__ = ["Serializer", "parameterNodeSerializer"]
_registered = []


def parameterNodeSerializer(classtype=None):
    """Class decorator: registers a serializer."""

    def register(cls):
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


class Serializer(abc.ABC):
    """Writes and reads values of one type. This base stores one string by ``dump`` and ``parse``."""

    validators = ()

    @staticmethod
    @abc.abstractmethod
    def canSerialize(type_):
        """Whether this class is for the type."""

    @staticmethod
    @abc.abstractmethod
    def create(type_):
        """A serializer of the type."""

    @abc.abstractmethod
    def default(self):
        """The value where nothing else is said."""

    def isIn(self, parameterNode, name):
        return parameterNode.HasParameter(name)

    def validate(self, value):
        for validator in self.validators:
            validator.validate(value)

    def write(self, parameterNode, name, value):
        self.validate(value)
        parameterNode.SetParameter(name, self.dump(value))

    def read(self, parameterNode, name):
        return self.parse(parameterNode.GetParameter(name))

    def remove(self, parameterNode, name):
        parameterNode.UnsetParameter(name)

    def dump(self, value):
        return str(value)

    def parse(self, text):
        return text

    def supportsCaching(self):
        return True


def createSerializer(type_, annotations):
    """(a serializer that applies the validators among the annotations, the other annotations)."""
    validators, rest = extractValidators(annotations)
    factory = next((one for one in _registered if one.canSerialize(type_)), None)
    if factory is None:
        raise TypeError(f"Unable to create serializer for type: {type_}")
    serializer = factory.create(type_)
    serializer.validators = (*serializer.validators, *validators)
    return serializer, rest


def createSerializerFromAnnotatedType(annotatedType):
    return createSerializer(*splitAnnotations(annotatedType))[0]


class _Scalar(Serializer):
    """A type that ``str`` writes and the type itself reads."""

    types = ()
    accepted = ()

    def __init__(self, type_):
        self.type = type_
        self.validators = (NotNone(), IsInstance(self.accepted or type_))

    @classmethod
    def canSerialize(cls, type_):
        return type_ in cls.types

    @classmethod
    def create(cls, type_):
        return cls(type_)

    def default(self):
        return self.type()

    def parse(self, text):
        return self.type(text)


@parameterNodeSerializer
class NumberSerializer(_Scalar):
    types = (int, float)

    def __init__(self, type_):
        super().__init__(type_)
        self.validators = (NotNone(), IsInstance((int, float) if type_ is float else int))


@parameterNodeSerializer
class StringSerializer(_Scalar):
    types = (str,)


@parameterNodeSerializer
class PathSerializer(_Scalar):
    types = (pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
    accepted = (pathlib.PurePath,)


@parameterNodeSerializer
class BoolSerializer(_Scalar):
    types = (bool,)

    def parse(self, text):
        return text == "True"


@parameterNodeSerializer
class EnumSerializer(_Scalar):
    @classmethod
    def canSerialize(cls, type_):
        return isinstance(type_, type) and issubclass(type_, enum.Enum)

    def default(self):
        return next(iter(self.type))

    def dump(self, value):
        return value.name

    def parse(self, text):
        return self.type[text]


@parameterNodeSerializer
class FloatRangeSerializer(_Scalar):
    types = (FloatRange,)

    def dump(self, value):
        return f"{value.minimum};{value.maximum}"

    def parse(self, text):
        return FloatRange(*map(float, text.split(";")))

    def supportsCaching(self):
        return False


@parameterNodeSerializer
class NodeSerializer(Serializer):
    """A node, or None; the parameter itself is an empty string that says "there is a value"."""

    def __init__(self, type_):
        self.validators = (IsInstance(type_),)

    @staticmethod
    def canSerialize(type_):
        return isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)

    @staticmethod
    def create(type_):
        return NodeSerializer(type_)

    def default(self):
        return None

    def write(self, parameterNode, name, value):
        self.validate(value)
        parameterNode.SetParameter(name, "")
        parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, parameterNode, name):
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode, name):
        parameterNode.UnsetParameter(name)
        parameterNode.RemoveNodeReferenceIDs(name)


class ObservedList(collections.abc.MutableSequence):
    """A list that writes itself back whenever it changes."""

    def __init__(self, values, save):
        self._list, self._save = values, save

    def __len__(self):
        return len(self._list)

    def __getitem__(self, index):
        return self._list[index]

    def __setitem__(self, index, value):
        self._list[index] = value
        self._save(self._list)

    def __delitem__(self, index):
        del self._list[index]
        self._save(self._list)

    def insert(self, index, value):
        self._list.insert(index, value)
        self._save(self._list)

    def __eq__(self, other):
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    def __repr__(self):
        return f"ObservedList({self._list})"

    __hash__ = None


@parameterNodeSerializer
class ListSerializer(Serializer):
    """Elements as ``name.0``, ``name.1``, ...; their number as ``name.len``."""

    def __init__(self, element):
        self.element = element

    @staticmethod
    def canSerialize(type_):
        return typing.get_origin(type_) is list

    @staticmethod
    def create(type_):
        return ListSerializer(createSerializerFromAnnotatedType(typing.get_args(type_)[0]))

    def default(self):
        return []

    def isIn(self, parameterNode, name):
        return parameterNode.HasParameter(f"{name}.len")

    def write(self, parameterNode, name, value):
        self.validate(value)
        for one in value:
            self.element.validate(one)
        with slicer.util.NodeModify(parameterNode):
            self.remove(parameterNode, name)
            for index, one in enumerate(value):
                self.element.write(parameterNode, f"{name}.{index}", one)
            parameterNode.SetParameter(f"{name}.len", str(len(value)))

    def _length(self, parameterNode, name):
        return int(parameterNode.GetParameter(f"{name}.len") or 0)

    def read(self, parameterNode, name):
        length = self._length(parameterNode, name)
        values = [self.element.read(parameterNode, f"{name}.{index}") for index in range(length)]
        return ObservedList(values, lambda changed: self.write(parameterNode, name, changed))

    def remove(self, parameterNode, name):
        for index in range(self._length(parameterNode, name)):
            self.element.remove(parameterNode, f"{name}.{index}")
        parameterNode.UnsetParameter(f"{name}.len")

    def supportsCaching(self):
        return self.element.supportsCaching()


@parameterNodeSerializer
class TupleSerializer(Serializer):
    """Elements as ``name.0``, ``name.1``, ..."""

    def __init__(self, elements):
        self.elements = elements

    @staticmethod
    def canSerialize(type_):
        return typing.get_origin(type_) is tuple

    @staticmethod
    def create(type_):
        return TupleSerializer([createSerializerFromAnnotatedType(one) for one in typing.get_args(type_)])

    def default(self):
        return tuple(one.default() for one in self.elements)

    def isIn(self, parameterNode, name):
        return self.elements[0].isIn(parameterNode, f"{name}.0")

    def write(self, parameterNode, name, value):
        if len(value) != len(self.elements):
            raise ValueError(f"{len(self.elements)} values expected, not {len(value)}")
        self.validate(value)
        with slicer.util.NodeModify(parameterNode):
            for index, (element, one) in enumerate(zip(self.elements, value, strict=True)):
                element.write(parameterNode, f"{name}.{index}", one)

    def read(self, parameterNode, name):
        return tuple(one.read(parameterNode, f"{name}.{index}") for index, one in enumerate(self.elements))

    def remove(self, parameterNode, name):
        for index, one in enumerate(self.elements):
            one.remove(parameterNode, f"{name}.{index}")


class ObservedDict(collections.abc.MutableMapping):
    """A dictionary that writes itself back whenever it changes."""

    def __init__(self, values, save):
        self._dict, self._save = values, save

    def __len__(self):
        return len(self._dict)

    def __iter__(self):
        return iter(self._dict)

    def __getitem__(self, key):
        return self._dict[key]

    def __setitem__(self, key, value):
        self._dict[key] = value
        self._save(self._dict)

    def __delitem__(self, key):
        del self._dict[key]
        self._save(self._dict)

    def __repr__(self):
        return f"ObservedDict({self._dict})"


@parameterNodeSerializer
class DictSerializer(Serializer):
    """A list of pairs."""

    def __init__(self, key, element):
        self.pairs = ListSerializer(TupleSerializer([key, element]))

    @staticmethod
    def canSerialize(type_):
        return typing.get_origin(type_) is dict

    @staticmethod
    def create(type_):
        return DictSerializer(*(createSerializerFromAnnotatedType(one) for one in typing.get_args(type_)))

    def default(self):
        return {}

    def isIn(self, parameterNode, name):
        return self.pairs.isIn(parameterNode, name)

    def write(self, parameterNode, name, value):
        self.pairs.write(parameterNode, name, list(value.items()))

    def read(self, parameterNode, name):
        values = dict(self.pairs.read(parameterNode, name))
        return ObservedDict(values, lambda changed: self.write(parameterNode, name, changed))

    def remove(self, parameterNode, name):
        self.pairs.remove(parameterNode, name)


@parameterNodeSerializer
class NoneSerializer(Serializer):
    """None as a member of a union."""

    @staticmethod
    def canSerialize(type_):
        return type_ is type(None)

    @staticmethod
    def create(type_):
        return NoneSerializer()

    def default(self):
        return None

    def dump(self, value):
        return "True"

    def parse(self, text):
        return None


@parameterNodeSerializer
class UnionSerializer(Serializer):
    """One of several types, as ``name.<position>``.

    A value goes to a member that is for its very type, as in Slicer: None goes to no node's member, though a
    node's parameter takes it where it is not in a union.
    """

    def __init__(self, members):
        self.members = members

    @staticmethod
    def canSerialize(type_):
        return typing.get_origin(type_) in UNIONS

    @staticmethod
    def create(type_):
        return UnionSerializer([createSerializerFromAnnotatedType(one) for one in typing.get_args(type_)])

    def default(self):
        is_optional = len(self.members) == 2 and isinstance(self.members[1], NoneSerializer)
        return None if is_optional else self.members[0].default()

    def isIn(self, parameterNode, name):
        return any(one.isIn(parameterNode, f"{name}.{index}") for index, one in enumerate(self.members))

    def write(self, parameterNode, name, value):
        with slicer.util.NodeModify(parameterNode):
            index, member = self._member_for(value)
            self.remove(parameterNode, name)
            member.write(parameterNode, f"{name}.{index}", value)

    def _member_for(self, value):
        refused = TypeError(f"Unable to write value {value!r} of type {type(value)}")
        for index, member in enumerate(self.members):
            if member.canSerialize(type(value)):
                try:
                    member.validate(value)
                except (TypeError, ValueError) as error:
                    refused = error
                    continue
                return index, member
        raise refused

    def read(self, parameterNode, name):
        for index, member in enumerate(self.members):
            if member.isIn(parameterNode, f"{name}.{index}"):
                return member.read(parameterNode, f"{name}.{index}")
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, parameterNode, name):
        for index, member in enumerate(self.members):
            member.remove(parameterNode, f"{name}.{index}")
