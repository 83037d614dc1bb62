"""A Slicer to test a scripted module in: real MRML, logics, file formats and rendering; Qt by PySide6.

``slicer-core`` brings the data half of 3D Slicer. This package adds the application half: ``slicer.app``,
``slicer.mrmlScene``, ``slicer.modules``, ``qt`` and ``ctk`` with PythonQt's manners, the widgets a scripted
module's ``.ui`` file asks for, and the Python modules that Slicer ships (``slicer.ScriptedLoadableModule``,
``slicer.parameterNodeWrapper``, ...). A scripted module runs in it unmodified.

    from Testing.host import start
    host = start()
    module = host.load("GliomaGrading/GliomaGrading.py")

Importing this package imports nothing heavy; ``start()`` does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .availability import HostUnavailable, require

if TYPE_CHECKING:
    from .runner import Host

# Read by Qt and VTK when they start, so they are said before anything imports them.
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "15")  # enumerations are integers, as in PythonQt
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # VTK would ask X first

__all__ = ["HostUnavailable", "start"]


def start(**options: object) -> Host:
    """The one embedded Slicer of this process, started on the first call. Raises ``HostUnavailable``."""
    require()
    from .runner import Host

    return Host.instance(**options)
