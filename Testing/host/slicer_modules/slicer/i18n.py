"""Translation of texts; the embedded Slicer speaks English."""

from __future__ import annotations

import inspect
from pathlib import Path

__all__ = ["getContext", "tr", "translate"]


def translate(context, text):
    from slicer import app

    return app.translate(context, text)


def getContext(sourceFile):
    """The file's name without suffix, after its package's name where it lies in a package."""
    path = Path(sourceFile)
    packaged = path.is_file() and (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if packaged else path.stem


def tr(text):
    frame = inspect.currentframe().f_back
    return translate(getContext(inspect.getsourcefile(frame) or inspect.getfile(frame)), text)
