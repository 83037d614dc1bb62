"""The application half of Slicer: ``slicer.app``, ``slicer.mrmlScene`` and ``slicer.modules``."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import slicer.util
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, Signal

from . import ui_loader, widgets_ctk, widgets_qmrml  # noqa: F401 - they register qt.QUiLoader, ctk, slicer.qMRML...
from .io_manager import CoreIOManager
from .pythonqt import qt
from .standins import STANDINS, standin, value
from .subject_hierarchy import keep_in_step

MODULES_FOLDER = Path(__file__).with_name("slicer_modules")
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
}
VERSION = (5, 12, 4)


@standin
class qSlicerCommandOptions(QObject):
    """The command line's options."""

    runPythonAndExit = value(bool, "runPythonAndExit", False)
    noMainWindow = value(bool, "noMainWindow", True)

    @property
    def testingEnabled(self) -> bool:
        return qSlicerApplication.testing


@standin
class qSlicerApplication(QtWidgets.QApplication):
    """``slicer.app``."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    majorVersion = value(int, "majorVersion", VERSION[0])
    minorVersion = value(int, "minorVersion", VERSION[1])
    applicationVersion = value(str, "applicationVersion", ".".join(map(str, VERSION)))
    revision = value(str, "revision", "0")
    releaseType = value(str, "releaseType", "Stable")
    os = value(str, "os", {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux"))
    documentationBaseUrl = value(str, "documentationBaseUrl", "https://slicer.readthedocs.io/en/5.12/")
    slicerHome = value(str, "slicerHome", "")
    temporaryPath = value(str, "temporaryPath", "")
    cachePath = value(str, "cachePath", "")
    extensionsInstallPath = value(str, "extensionsInstallPath", "")
    startupWorkingPath = value(str, "startupWorkingPath", str(Path.cwd()))
    testing = True  # what testingEnabled() says; not a name of Slicer's
    _logic: Any = None
    _modules: Any = None
    _layout: Any = None
    _io: Any = None
    _settings: Any = None
    _options: Any = None

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return self._logic

    def moduleManager(self) -> Any:
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        return self._logic.GetModuleLogic(name)

    def layoutManager(self) -> Any:
        return self._layout

    def coreIOManager(self) -> Any:
        return self._io

    ioManager = coreIOManager

    def userSettings(self) -> Any:
        return self._settings

    settings = revisionUserSettings = userSettings

    def commandOptions(self) -> Any:
        return self._options

    def testingEnabled(self) -> bool:
        return type(self).testing

    def translate(self, context: str, text: str) -> str:
        return QtCore.QCoreApplication.translate(context, text)

    def startupEnvironment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    environment = startupEnvironment

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def pythonConsole(self) -> None:
        return None

    def pythonManager(self) -> None:
        return None

    def dicomDatabase(self) -> None:
        return None

    def openUrl(self, url: str) -> bool:
        return False

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def setRenderPaused(self, paused: bool) -> None:
        pass

    def restart(self) -> None:
        raise NotImplementedError("the embedded Slicer does not restart")


@standin
class qSlicerAbstractCoreModule(QObject):
    """A module's description and logic."""

    name = value(str, "name", "")
    title = value(str, "title", "")
    path = value(str, "path", "")
    helpText = value(str, "helpText", "")
    acknowledgementText = value(str, "acknowledgementText", "")
    categories = value("QStringList", "categories", ())
    contributors = value("QStringList", "contributors", ())
    dependencies = value("QStringList", "dependencies", ())
    associatedNodeTypes = value("QStringList", "associatedNodeTypes", ())
    _logic: Any = None

    def logic(self) -> Any:
        return self._logic


@standin
class qSlicerLoadableModule(qSlicerAbstractCoreModule):
    """A C++ module, of which slicer-core has the logic."""

    def widgetRepresentation(self) -> None:
        return None


@standin
class qSlicerScriptedLoadableModuleWidget(STANDINS["qSlicerWidget"]):
    """The C++ frame of a scripted panel: ``self()`` is the Python object."""

    isEntered = value(bool, "isEntered", False)
    moduleName = value(str, "moduleName", "")
    _python: Any = None

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        """A new Python object of the module's class as it is now."""
        name = self.moduleName
        self._python = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._python)
        self._python.setup()

    def enter(self) -> None:
        self.isEntered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self.isEntered = False
        if hasattr(self._python, "exit"):
            self._python.exit()


@standin
class qSlicerScriptedLoadableModule(qSlicerAbstractCoreModule):
    """A scripted module; its panel is made when it is first asked for."""

    extensions = value("QStringList", "extensions", ())
    icon = value("QIcon", "icon", None)
    _panel: Any = None
    _python: Any = None

    def widgetRepresentation(self) -> Any:
        if self._panel is None:
            self._panel = self.createNewWidgetRepresentation()
        return self._panel

    def createNewWidgetRepresentation(self) -> Any:
        panel = qSlicerScriptedLoadableModuleWidget()
        panel.moduleName = self.name
        panel.setObjectName(f"{self.name}ModuleWidget")
        qt.QVBoxLayout(panel)
        panel.reload()
        panel.setMRMLScene(slicer.mrmlScene)
        return panel


@standin
class qSlicerModuleManager(QObject):
    """Knows the modules; its own factory manager, too."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)
    _known: dict[str, Any] | None = None

    def factoryManager(self) -> Any:
        return self

    def module(self, name: str) -> Any:
        return (self._known or {}).get(name)

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._known or ())

    modulesNames = loadedModuleNames

    def isLoaded(self, name: str) -> bool:
        return name in (self._known or {})

    def _add(self, module: Any) -> None:
        self._known = {**(self._known or {}), module.name: module}
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)
        self.moduleLoaded.emit(module.name)

    def _remove(self, name: str) -> None:
        self.moduleAboutToBeUnloaded.emit(name)
        self._known.pop(name)
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            vars(slicer.modules).pop(attribute, None)
        vars(slicer.moduleNames).pop(name, None)
        self.moduleUnloaded.emit(name)


def start_application() -> Any:
    """Makes ``slicer`` complete; returns ``slicer.app``."""
    home = Path(tempfile.mkdtemp(prefix="embedded-slicer-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    _write_python_slicer(home)
    app = _new_application(home)
    slicer.app = app
    slicer.modules = _empty_module("slicer.modules")
    slicer.moduleNames = _empty_module("slicer.moduleNames")
    slicer.modules.sampleDataSources = {}
    _start_scene(app, home)
    _add_python_modules()
    from .layout import qSlicerLayoutManager

    app._layout = qSlicerLayoutManager()
    app._layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    keep_in_step(slicer.mrmlScene)
    return app


def stop_application(app: Any) -> None:
    """Takes everything down before Python does, in the order that VTK and Qt survive."""
    vtk.vtkObject.GlobalWarningDisplayOff()
    app._layout._release()
    slicer.mrmlScene.Clear(1)
    for logic in (*(module.logic() for module in app._modules._known.values()), *_keep, app._logic):
        logic.SetMRMLScene(None)
    app.processEvents()


def _new_application(home: Path) -> Any:
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(home))
    QtCore.qInstallMessageHandler(_on_qt_message)
    app = qSlicerApplication([])
    _ensure_font()
    app.setQuitOnLastWindowClosed(False)
    app.setStyle("Fusion")
    app.slicerHome = str(home)
    for name in ("temporaryPath", "cachePath", "extensionsInstallPath"):
        folder = home / name.removesuffix("Path")
        folder.mkdir()
        setattr(app, name, str(folder))
    app._modules, app._io, app._options = qSlicerModuleManager(), CoreIOManager(), qSlicerCommandOptions()
    app._settings = QtCore.QSettings()
    return app


def _on_qt_message(kind: Any, context: Any, message: str) -> None:
    if "propagateSizeHints" not in message:  # the off-screen platform says so for every window
        print(message, file=sys.stderr)


def _ensure_font() -> None:
    """A machine without fonts would show boxes; matplotlib, where it is installed, brings one."""
    matplotlib = None if QtGui.QFontDatabase.families() else importlib.util.find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        font = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        QtGui.QFontDatabase.addApplicationFont(str(font))


def _write_python_slicer(home: Path) -> None:
    """``PythonSlicer``, found on PATH as in Slicer; here it is this Python."""
    folder = home / "bin"
    folder.mkdir()
    if os.name == "nt":
        (folder / "PythonSlicer.bat").write_text(f'@"{sys.executable}" %*\n', encoding="utf-8")
    else:
        script = folder / "PythonSlicer"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = os.pathsep.join((str(folder), os.environ.get("PATH", "")))


def _empty_module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


def _start_scene(app: Any, home: Path) -> None:
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    app._logic = slicer.vtkSlicerApplicationLogic()
    app._logic.SetMRMLScene(scene)
    app._logic.SetTemporaryPath(str(app.temporaryPath))
    app._logic.SetHomeDirectory(str(home))
    app._logic.SetShareDirectory(str(home))
    app._logic.GetColorLogic().SetMRMLScene(scene)
    app._logic.GetColorLogic().AddDefaultColorNodes()
    _start_remote_io(app, scene, home)
    for name, class_name in LOGICS.items():
        if hasattr(slicer, class_name):
            app._modules._add(_core_module(app, name, getattr(slicer, class_name)()))
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    for factory in (
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(app._logic)


def _start_remote_io(app: Any, scene: Any, home: Path) -> None:
    # Reading an .mrb needs a cache directory and a data manager, even for files of this machine.
    remote, manager = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
    for logic in (remote, manager):
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(app._logic)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(home / "cache"))
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    _keep.extend((remote, manager))


_keep: list[Any] = []  # logics that Python must hold on to


def _core_module(app: Any, name: str, logic: Any) -> Any:
    logic.SetMRMLApplicationLogic(app._logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    app._logic.SetModuleLogic(name, logic)
    module = qSlicerLoadableModule()
    module.name, module._logic = name, logic
    return module


def _add_python_modules() -> None:
    from . import slicer_source  # it needs what the modules above have registered

    if source := os.environ.get(slicer_source.VARIABLE):
        slicer.__path__.append(str(slicer_source.folder_of(Path(source))))
    slicer.__path__.append(str(MODULES_FOLDER / "slicer"))
    sys.path.append(str(MODULES_FOLDER / "toplevel"))
    for name in ("cli", "i18n", "packaging", "testing"):
        importlib.import_module(f"slicer.{name}")


def load_scripted_module(path: Path) -> Any:
    """What Slicer does with a file of its module path; the panel is not made yet. Returns the C++ side."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    spec.loader.exec_module(python)
    module = qSlicerScriptedLoadableModule()
    module.name, module.path = name, str(path)
    module._python = getattr(python, name)(module)
    setattr(slicer.modules, f"{name}Instance", module._python)
    slicer.app._modules._add(module)
    return module
