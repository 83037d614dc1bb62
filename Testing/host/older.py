"""The embedded Slicer with the gaps of Slicer 5.10, for the time of a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import slicer


@contextmanager
def slicer_5_10(app: Any) -> Iterator[None]:
    """No ``slicer.packaging``, and ``launchConsoleProcess`` always hands back the process at once."""
    packaging, launch = slicer.packaging, slicer.util.launchConsoleProcess

    def old_launch(
        args: list[str],
        useStartupEnvironment: bool = True,
        updateEnvironment: dict[str, str] | None = None,
        cwd: str | None = None,
    ) -> Any:
        return launch(args, useStartupEnvironment, updateEnvironment, cwd)

    def old_pip_install(requirements: str) -> None:
        packaging.pip_install(requirements)

    minor = app.minorVersion
    app.minorVersion = 10
    del slicer.packaging
    try:
        with (
            mock.patch.dict(sys.modules, {"slicer.packaging": None}),
            mock.patch.object(slicer.util, "launchConsoleProcess", old_launch),
            mock.patch.object(slicer.util, "pip_install", old_pip_install),
        ):
            yield
    finally:
        slicer.packaging = packaging
        app.minorVersion = minor
