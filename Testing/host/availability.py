"""What the embedded Slicer needs from the machine, and how to say what is missing."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator

PACKAGES = {"slicer": "slicer-core", "vtk": "slicer-core", "PySide6": "PySide6-Essentials"}
SHARED_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libglib-2.0.so.0": "libglib2.0-0",
}


class HostUnavailable(RuntimeError):
    """The embedded Slicer cannot start on this machine; the message says what to install."""


def missing_packages() -> list[str]:
    """Python packages to install, in pip's names."""
    absent = (name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None)
    return list(dict.fromkeys(absent))


def missing_libraries() -> list[str]:
    """Debian packages of the system libraries that Qt and VTK load and this machine lacks (Linux only)."""
    return list(dict.fromkeys(_absent_libraries())) if sys.platform.startswith("linux") else []


def _absent_libraries() -> Iterator[str]:
    for library, package in SHARED_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            yield package


def reason() -> str:
    """Why the embedded Slicer cannot start here, with the command that mends it; empty when it can."""
    parts = []
    if packages := missing_packages():
        parts.append(f"pip install {' '.join(packages)}")
    if libraries := missing_libraries():
        parts.append(f"apt-get install -y {' '.join(libraries)}")
    return f"the embedded Slicer needs: {'; '.join(parts)}" if parts else ""


def require() -> None:
    """Raises ``HostUnavailable`` where something is missing."""
    if why := reason():
        raise HostUnavailable(why)
