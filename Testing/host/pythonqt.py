"""PySide6 with the manners of PythonQt, the Qt binding of Slicer.

What a scripted module sees in Slicer and PySide6 does otherwise:

* every Qt property is an attribute (``button.enabled = False``, ``label.text``); setters stay callable;
* ``obj.connect("clicked(bool)", f)`` connects by signature, and ``f`` may take fewer arguments;
* enumerations are integers, ``exec_()``, ``obj.name``, ``obj.className()``, ``findChildren("QLabel")`` exist;
* an unknown attribute set on a Qt object is refused, where PySide6 keeps it.

``adopt`` gives one class these manners; importing this module adopts all of Qt and registers module ``qt``.
Code in this package therefore writes Qt the PythonQt way, too.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, QObject, Signal

__all__ = ["adopt", "forget_connections", "is_native", "qt", "stray_attributes", "while_loading"]

# Properties that are virtual functions, too: C++ looks for the function on the Python side.
NOT_AS_ATTRIBUTE = {"sizeHint", "minimumSizeHint"}
# PySide6 6.12.0 forgets to count the None, True and False that its functions return, which ends the process
# after some ten thousand calls where these are not immortal, that is before Python 3.12: give them references
# to lose.
if sys.version_info < (3, 12):
    for _constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_constant)).value += 1 << 40

# Shiboken's own setter: the only one that CPython lets a replaced __setattr__ call.
_store = shiboken6.Shiboken.Object.__setattr__
_native: set[type] = set()


def is_native(cls: type) -> bool:
    """Whether Slicer has this class in C++ (Qt's own classes and the stand-ins), not in Python."""
    return cls in _native


# -- properties as attributes ---------------------------------------------------------------------------------


def adopt(cls: type) -> type:
    """Turns the Qt properties that ``cls`` itself declares into attributes and guards its other names."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        _adopt_property(cls, meta.property(index))
    cls.__setattr__ = _guarded_setattr
    _native.add(cls)
    return cls


def _adopt_property(cls: type, meta: QtCore.QMetaProperty) -> None:
    name = meta.name()
    if name in NOT_AS_ATTRIBUTE or isinstance(getattr(cls, name, None), (property, Property)):
        return
    if cls is QtCore.QTimer and name == "singleShot":
        cls.singleShot = _SingleShot(cls.singleShot)
        return
    getter = getattr(cls, name, None)
    setter = getattr(cls, f"set{name[0].upper()}{name[1:]}", None)
    if not _is_method(getter):
        getter = _generic_getter(name)
    if not _is_method(setter):
        setter = _generic_setter(name)
    setattr(cls, name, property(getter, setter if meta.isWritable() else None))


def _is_method(found: Any) -> bool:
    return callable(found) and not isinstance(found, types.BuiltinFunctionType)  # that would be a static one


class _SingleShot:
    """``QTimer.singleShot(ms, f)`` is a static function, ``timer.singleShot`` a property."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __get__(self, timer: QtCore.QTimer | None, owner: type) -> Any:
        return self.function if timer is None else timer.isSingleShot()

    def __set__(self, timer: QtCore.QTimer, value: bool) -> None:
        timer.setSingleShot(value)


def _generic_getter(name: str) -> Callable:
    return lambda self: QObject.property(self, name)


def _generic_setter(name: str) -> Callable:
    return lambda self, value: _set_property(self, name, value)


def _set_property(item: QObject, name: str, value: object) -> None:
    meta = type(item).staticMetaObject  # that of an instance would take the class's along when it goes
    if not meta.property(meta.indexOfProperty(name)).isWritable():
        raise AttributeError(f"{type(item).__name__}.{name} is read-only")
    if isinstance(value, tuple):
        value = list(value)  # PythonQt takes any sequence of strings for a list of them
    if not QObject.setProperty(item, name, value):
        raise TypeError(f"{type(item).__name__}.{name} cannot be {value!r}")


_loading = [False]


@contextmanager
def while_loading() -> Iterator[None]:
    """Qt's loader sets every child as an attribute of the root widget, which PythonQt does not: drop them."""
    _loading[0] = True
    try:
        yield
    finally:
        _loading[0] = False


def _guarded_setattr(self: QObject, name: str, value: object) -> None:
    """PythonQt's rule: C++ objects take properties only; instances of Python subclasses take anything."""
    cls = type(self)
    if cls in _native and not _settable(cls, name):
        if _loading[0] and isinstance(value, QObject):
            return
        if isinstance(value, QtCore.SignalInstance):  # PySide6 keeps a signal where it is first asked for
            return _store(self, name, value)
        raise AttributeError(f"{cls.__name__} has no attribute {name!r}: Slicer refuses it on a Qt object")
    if isinstance(getattr(cls, name, None), Property):  # a stand-in's; PySide6 looks it up itself
        return _set_property(self, name, value)
    _store(self, name, value)


def _settable(cls: type, name: str) -> bool:
    # A stand-in's private state is declared on its class, so that a stray name still shows.
    found = getattr(cls, name, None)
    declared = isinstance(found, (property, Property)) or (cls is QtCore.QTimer and name == "singleShot")
    return declared or (name.startswith("_") and hasattr(cls, name))


def stray_attributes(root: QObject) -> list[tuple[str, str, str]]:
    """(class, object name, attribute) of everything below ``root`` that Slicer would have refused to keep."""
    return [
        (type(item).__name__, item.objectName, name)
        for item in (root, *_native_find_children(root, QObject))
        if type(item) in _native
        for name, value in getattr(item, "__dict__", {}).items()
        if not _settable(type(item), name) and not isinstance(value, QtCore.SignalInstance)
    ]


# -- connect by signature -------------------------------------------------------------------------------------

_native_connect = QObject.connect
_connections: dict[tuple[int, str], list[tuple[object, Callable]]] = {}


def _connect(self: QObject, signature: str, receiver: Any, slot: str | None = None) -> bool:
    """``connect('name(types)', callable)`` or ``connect('name(types)', receiver, 'slot(types)')``."""
    if isinstance(signature, QObject):  # PySide6's own call, from inside QTimer.singleShot
        return bool(_native_connect(signature, receiver, slot))
    name, wanted = _split_signature(signature)
    signal = getattr(self, name, None)
    declared = _declared_signatures(self, name)
    if not isinstance(signal, QtCore.SignalInstance) or not any(_matches(wanted, one) for one in declared):
        known = ", ".join(declared) or "none of that name"
        raise RuntimeError(f"{type(self).__name__} has no signal {signature}; it has {known}")
    target = getattr(receiver, slot.split("(")[0]) if slot else receiver
    handler = _handler(target, wanted)
    signal.connect(handler)
    _remember(self, signature, receiver, handler)
    return True


def _disconnect(self: QObject, signature: str, receiver: Any = None, slot: str | None = None) -> bool:
    """Undoes ``connect``; False when there is no such connection."""
    kept = _connections.get((_pointer(self), _normalised(signature)), [])
    for position, (known, handler) in enumerate(kept):
        if known == receiver:
            getattr(self, _split_signature(signature)[0]).disconnect(handler)
            del kept[position]
            return True
    return False


def _handler(target: Callable, wanted: list[str]) -> Callable:
    """A function behind a signal: hands ``target`` as many of the signature's arguments as it can hold."""
    # Plain functions with a fixed number of arguments: by that number PySide6 chooses among overloads.
    if wanted == ["bool"]:  # currentNodeChanged(bool) is an overload of currentNodeChanged(vtkMRMLNode*)
        return lambda a: target(bool(a)) if _argument_count(target) else target()
    by_count = (
        lambda: target(),
        lambda a: target(a),
        lambda a, b: target(a, b),
        lambda a, b, c: target(a, b, c),
        lambda a, b, c, d: target(a, b, c, d),
    )
    return by_count[min(len(wanted), _argument_count(target))]


def _argument_count(target: Callable) -> int:
    """How many arguments PythonQt would hand over: it looks at plain functions and methods, others get all."""
    function = getattr(target, "__func__", target)
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:  # *args
        return sys.maxsize
    return code.co_argcount - (1 if hasattr(target, "__func__") else 0)


def _remember(sender: QObject, signature: str, receiver: object, handler: Callable) -> None:
    address = _pointer(sender)
    if not any(key[0] == address for key in _connections):
        _native_signal(sender, "destroyed").connect(lambda *_: _forget(address))
    _connections.setdefault((address, _normalised(signature)), []).append((receiver, handler))


def forget_connections(sender: QObject, signature: str) -> None:
    """Undoes every ``connect`` to that signal."""
    for _, handler in _connections.pop((_pointer(sender), _normalised(signature)), []):
        getattr(sender, _split_signature(signature)[0]).disconnect(handler)


def _forget(address: int) -> None:
    for key in [key for key in _connections if key[0] == address]:
        del _connections[key]


def _pointer(item: QObject) -> int:
    return shiboken6.getCppPointer(item)[0]


def _native_signal(item: QObject, name: str) -> Any:
    return _native_getattribute(item, name)


def _normalised(signature: str) -> str:
    return QtCore.QMetaObject.normalizedSignature(signature).data().decode()


def _split_signature(signature: str) -> tuple[str, list[str]]:
    name, _, rest = _normalised(signature).partition("(")
    arguments = rest.rstrip(")")
    return name, arguments.split(",") if arguments else []


def _declared_signatures(item: QObject, name: str) -> list[str]:
    meta = type(item).staticMetaObject
    methods = (meta.method(index) for index in range(meta.methodCount()))
    signatures = (
        method.methodSignature().data().decode()
        for method in methods
        if method.methodType() == QtCore.QMetaMethod.Signal and method.name().data().decode() == name
    )
    return list(dict.fromkeys(signatures))


def _matches(wanted: list[str], declared: str) -> bool:
    types_ = _split_signature(declared)[1]
    return len(types_) == len(wanted) and all(
        one == other or (other == "PyObject" and (one.startswith("vtk") or one == "bool"))
        for one, other in zip(wanted, types_, strict=True)
    )


# -- searching the widget tree --------------------------------------------------------------------------------

_native_find_children = QObject.findChildren


def _find_children(self: QObject, kind: Any = QObject, name: str = "") -> list[QObject]:
    """By class, class name or object name, as PythonQt takes them."""
    return [
        item
        for item in _native_find_children(self, QObject)
        if (item.inherits(kind) if isinstance(kind, str) else isinstance(item, kind))
        and (not name or item.objectName == name)
    ]


def _find_child(self: QObject, kind: Any = QObject, name: str = "") -> QObject | None:
    return next(iter(_find_children(self, kind, name)), None)


# -- the module qt --------------------------------------------------------------------------------------------


def _qobject_classes() -> Iterator[type]:
    # dir() and getattr(): PySide6 fills its modules only when asked.
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, QObject):
                yield found


def _exec(self: Any, *arguments: Any) -> int:
    return self.exec(*arguments)


def _adopt_qt() -> None:
    for cls in sorted(set(_qobject_classes()), key=lambda cls: len(cls.__mro__)):
        adopt(cls)
        if "exec" in dir(cls):
            cls.exec_ = _exec
    QObject.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    QObject.className = lambda self: type(self).staticMetaObject.className()
    QObject.delete = lambda self: self.deleteLater()
    QObject.findChildren = _find_children
    QObject.findChild = _find_child


_native_getattribute = QObject.__getattribute__
_replaced = {"connect": _connect, "disconnect": _disconnect}


def _hook_connect(cls: type) -> None:
    """PySide6 answers ``obj.connect`` in C, before any attribute of the class: only this hook comes first."""
    native = cls.__getattribute__

    def getattribute(self: QObject, name: str) -> Any:
        function = _replaced.get(name)
        return native(self, name) if function is None else types.MethodType(function, self)

    cls.__getattribute__ = getattribute


def _qt_module() -> types.ModuleType:
    module = types.ModuleType("qt", "Qt as Slicer's scripts see it.")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):
            if not name.startswith("_"):
                setattr(module, name, getattr(source, name))
    module.Signal = Signal
    return module


_adopt_qt()
for _cls in set(_qobject_classes()):
    if "__getattribute__" in vars(_cls):  # QObject, and a few that answer by themselves (QProcess)
        _hook_connect(_cls)
qt = _qt_module()
sys.modules["qt"] = qt
