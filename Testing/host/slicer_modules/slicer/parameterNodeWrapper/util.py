"""Taking annotated types apart."""

from __future__ import annotations

import types
import typing

import slicer

UNIONS = (typing.Union, types.UnionType)


def splitAnnotations(possiblyAnnotatedType):
    """``Annotated[T, a, b]`` -> ``(T, [a, b])``; ``T`` -> ``(T, [])``."""
    if typing.get_origin(possiblyAnnotatedType) is typing.Annotated:
        first, *rest = typing.get_args(possiblyAnnotatedType)
        return first, rest
    return possiblyAnnotatedType, []


def unannotatedType(possiblyAnnotatedType):
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList, annotationType):
    return next((one for one in annotationsList if isinstance(one, annotationType)), None)


def _alternatives(datatype):
    plain = unannotatedType(datatype)
    members = typing.get_args(plain) if typing.get_origin(plain) in UNIONS else (plain,)
    return [one for one in members if one is not type(None)]


def isNodeOrUnionOfNodes(datatype):
    return all(isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode) for one in _alternatives(datatype))


def getNodeTypes(datatype):
    return [one.__name__ for one in _alternatives(datatype)]
