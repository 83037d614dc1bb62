"""``Host``: the embedded Slicer as tests and the command line use it."""

from __future__ import annotations

import atexit
import io
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from . import application, window
from .dialogs import Dialogs
from .failures import Failures
from .older import slicer_5_10
from .pythonqt import forget_connections, stray_attributes
from .standins import STANDINS


class LoadedModule:
    """A scripted module in the embedded Slicer."""

    def __init__(self, native: Any) -> None:
        self.native = native

    @property
    def name(self) -> str:
        return self.native.name

    @property
    def title(self) -> str:
        return self.native.title

    @property
    def python(self) -> Any:
        """The imported file."""
        return sys.modules[self.name]

    @property
    def panel(self) -> Any:
        """The widget that carries the panel; made, and set up, on first use."""
        return self.native.widgetRepresentation()

    @property
    def widget(self) -> Any:
        """The Python ``<name>Widget`` of the panel."""
        return self.panel.self()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def logic(self) -> Any:
        return self.widget.logic


class Host:
    """One embedded Slicer in this process."""

    _instance: Host | None = None

    def __init__(self, interactive: bool = False) -> None:
        self.failures = Failures()
        self.dialogs = Dialogs(self.failures)
        self.app = application.start_application()
        self.loaded: dict[str, LoadedModule] = {}
        self.windows: list[Any] = []
        self.failures.install()
        if interactive:
            STANDINS["qSlicerApplication"].testing = False
        else:
            self.dialogs.install()
        atexit.register(self._shut_down)

    def _shut_down(self) -> None:
        self.reset()
        self.failures.uninstall()
        application.stop_application(self.app)

    @classmethod
    def instance(cls, **options: Any) -> Host:
        if cls._instance is None:
            cls._instance = cls(**options)
        return cls._instance

    # modules

    def load(self, path: str | Path, *, enter: bool = False) -> LoadedModule:
        """Loads a scripted module's file; with ``enter``, makes its panel and enters it."""
        path = Path(path).resolve()
        if path.stem in self.loaded:
            self.unload(path.stem)
        module = self.loaded[path.stem] = LoadedModule(application.load_scripted_module(path))
        self._say_started()
        if enter:
            module.panel.enter()
        return module

    def _say_started(self) -> None:
        """Modules that wait for ``startupCompleted()`` hear it once, after they are loaded."""
        self.app.startupCompleted.emit()
        forget_connections(self.app, "startupCompleted()")

    def unload(self, name: str) -> None:
        """Leaves the panel and runs the module's ``cleanup``, as closing Slicer does."""
        module = self.loaded.pop(name)
        panel = module.native._panel
        if panel is not None and panel.isEntered:
            panel.exit()
        self.app._modules._remove(name)
        if panel is not None:
            panel.setParent(None)
            panel.deleteLater()
        sys.modules.pop(name, None)
        getattr(slicer, "selfTests", {}).pop(name, None)

    def self_test(self, module: LoadedModule) -> unittest.TestResult:
        """Runs ``<name>Test`` by its ``runTest``, as "Reload and Test" does. Raises on failure."""
        module.native._python.runTest(msec=0)
        self.check()

    def run_unit_tests(self, module: LoadedModule) -> unittest.TestResult:
        """Runs every ``test...`` method of ``<name>Test``, as ``slicer_add_python_unittest`` does."""
        case = getattr(module.python, f"{module.name}Test")
        suite = unittest.TestLoader().loadTestsFromTestCase(case)
        return unittest.TextTestRunner(stream=io.StringIO()).run(suite)

    # time

    def events(self) -> None:
        """Lets everything pending happen, deletions included."""
        self._turn()
        self.app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        self._turn()

    def wait(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Runs the event loop until the condition holds. Raises TimeoutError."""
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                raise TimeoutError(f"waited {seconds} s for {condition}")
            self._turn(QtCore.QEventLoop.AllEvents, 20)
            time.sleep(0.002)

    def _turn(self, *how: object) -> None:
        """The event loop, once. PySide6 before 6.11.1 lets a timer's exception through to here."""
        try:
            self.app.processEvents(*how)
        except Exception:
            sys.excepthook(*sys.exc_info())

    def pump(self, seconds: float) -> None:
        """Runs the event loop for a while."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self._turn(QtCore.QEventLoop.AllEvents, 20)
            time.sleep(0.002)

    # what tests set

    @contextmanager
    def testing_mode(self, on: bool) -> Iterator[None]:
        """What ``slicer.app.testingEnabled()`` says; off, ``slicer.util`` shows its message boxes."""
        cls = STANDINS["qSlicerApplication"]
        before, cls.testing = cls.testing, on
        try:
            yield
        finally:
            cls.testing = before

    def as_slicer_5_10(self) -> AbstractContextManager[None]:
        """``with host.as_slicer_5_10():`` what Slicer 5.10 lacks is not there."""
        return slicer_5_10(self.app)

    def close_scene(self) -> None:
        """File > Close scene."""
        slicer.mrmlScene.Clear(0)
        self.events()

    # pictures

    def window(self, module: LoadedModule, **options: Any) -> Any:
        """Panel and views in the one window (see ``window.open_window``)."""
        self._close_windows()
        opened = window.open_window(module, **options)
        self.windows.append(opened)
        return opened

    def _close_windows(self) -> None:
        for opened in self.windows:
            opened._release()
            opened.hide()
            opened.deleteLater()
        self.windows = []

    def picture(self, widget: Any, path: str | Path) -> Path:
        return window.save_picture(widget, path)

    # between tests

    def reset(self) -> None:
        """No module, no window, an empty scene, empty settings, no answers."""
        for name in list(self.loaded):
            self.unload(name)
        self._close_windows()
        self.close_scene()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.app.setPalette(window.palette("light"))
        self.app._settings.clear()
        self.dialogs.clear()
        slicer.modules.sampleDataSources.clear()
        slicer.packaging.requested.clear()
        slicer.packaging.answer = True
        self.events()

    def problems(self) -> list[str]:
        """What would have gone wrong silently since the last call: exceptions in slots, stray attributes."""
        stray = [
            f"{cls} {name or '(no name)'}: attribute {attribute!r} does not exist in Slicer"
            for module in self.loaded.values()
            if module.native._panel is not None
            for cls, name, attribute in stray_attributes(module.native._panel)
        ]
        return self.failures.take() + stray

    def check(self) -> None:
        """Raises AssertionError where there are problems."""
        if problems := self.problems():
            raise AssertionError("\n".join(problems))
