"""Slice and 3D views: slicer-core's displayable managers, rendered off-screen into Qt widgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from vtk.util.numpy_support import vtk_to_numpy

from .pythonqt import qt
from .standins import STANDINS, standin

SLICE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
START_SIZE = 300  # px
LEFT_OUT = "Left out of the embedded Slicer."


class OffscreenRenderer:
    """A render window without a window, with the displayable managers of one view node."""

    def __init__(self, managers: tuple[str, ...], node: Any) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(START_SIZE, START_SIZE)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.corner = vtk.vtkCornerAnnotation()
        self.corner.SetMaximumFontSize(14)
        self.renderer.AddViewProp(self.corner)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.managers = [self._add(name) for name in managers if hasattr(slicer, name)]
        self.group.SetMRMLDisplayableNode(node)

    def _add(self, name: str) -> Any:
        manager = getattr(slicer, name)()
        manager.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.group.AddDisplayableManager(manager)
        return manager

    def release(self) -> None:
        """Lets go of the view node; VTK must not do so when Python ends."""
        self.group.SetMRMLDisplayableNode(None)
        for manager in self.managers:
            manager.SetMRMLApplicationLogic(None)
        self.managers = []
        self.group = None
        self.renderer.RemoveAllViewProps()
        self.interactor.SetRenderWindow(None)
        self.window.Finalize()

    def image(self, width: int, height: int) -> np.ndarray:
        """Renders; uint8 (height, width, 3), top row first."""
        self.window.SetSize(width, height)
        self.window.Render()
        return grabbed(self.window)


def grabbed(window: Any) -> np.ndarray:
    """What a render window shows; uint8 (height, width, 3), top row first."""
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    columns, rows, _ = grab.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
    return np.ascontiguousarray(pixels.reshape(rows, columns, 3)[::-1])


@standin
class qMRMLAbstractViewWidget(STANDINS["qMRMLWidget"]):
    """What slice and 3D views share: an image that is rendered when it is looked at."""

    _view: Any = None
    _controller: Any = None
    _node: Any = None

    def mrmlAbstractViewNode(self) -> Any:
        return self._node

    def viewWidget(self) -> Any:
        return self._view

    def controllerWidget(self) -> Any:
        return self._controller

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender


@standin
class ctkVTKAbstractView(QtWidgets.QWidget):
    """Paints what its renderer shows."""

    _offscreen: OffscreenRenderer | None = None
    _paused = False
    _picture: np.ndarray | None = None

    def _start(self, renderer: OffscreenRenderer) -> None:
        self._offscreen = renderer
        self.setMinimumSize(80, 80)

    def renderWindow(self) -> Any:
        return self._offscreen.window

    def interactor(self) -> Any:
        return self._offscreen.interactor

    def cornerAnnotation(self) -> Any:
        return self._offscreen.corner

    def setCornerAnnotationText(self, text: str) -> None:
        self._offscreen.corner.SetText(vtk.vtkCornerAnnotation.UpperRight, text)

    def displayableManagerByClassName(self, name: str) -> Any:
        return next((one for one in self._offscreen.managers if one.IsA(name)), None)

    def scheduleRender(self) -> None:
        self.update()

    def forceRender(self) -> None:
        self.picture()
        self.update()

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def picture(self) -> np.ndarray:
        """What the view shows now: uint8 (height, width, 3), top row first. Not in Slicer."""
        return self._offscreen.image(*self._size())

    def _size(self) -> tuple[int, int]:
        # Qt lays widgets out when a window shows them.
        return (self.width, self.height) if self.isVisible() else (START_SIZE, START_SIZE)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        pixels = self.picture()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
        painter = QtGui.QPainter(self)
        painter.drawImage(0, 0, image)
        painter.end()


@standin
class qMRMLSliceView(ctkVTKAbstractView):
    """The picture of one slice."""

    _logic: Any = None
    _mapper: Any = None
    _actor: Any = None

    def _show(self, logic: Any) -> None:
        self._logic = logic
        logic.ResizeSliceNode(START_SIZE, START_SIZE)
        self._start(OffscreenRenderer(SLICE_MANAGERS, logic.GetSliceNode()))
        self._offscreen.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def picture(self) -> np.ndarray:
        if tuple(self.mrmlSliceNode().GetDimensions()[:2]) != self._size():
            self._logic.ResizeSliceNode(*self._size())
        self._logic.UpdatePipeline()
        connection = self._logic.GetImageDataConnection()
        renderer = self._offscreen.renderer
        if connection is None:
            renderer.RemoveViewProp(self._actor)
        else:
            self._mapper.SetInputConnection(connection)
            if not renderer.HasViewProp(self._actor):
                renderer.AddViewProp(self._actor)
        return super().picture()


@standin
class qMRMLSliceControllerWidget(STANDINS["qMRMLWidget"]):
    """The bar above a slice: its name and offset."""

    _logic: Any = None
    _label: Any = None

    def _show(self, logic: Any, color: str) -> None:
        self._logic = logic
        self.setFixedHeight(18)
        self._label = QtWidgets.QLabel(logic.GetSliceNode().GetLayoutLabel(), self)
        self._label.setStyleSheet(f"background: {color}; color: black; padding-left: 4px;")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label)
        logic.GetSliceNode().AddObserver("ModifiedEvent", lambda caller, event: self._write())
        self._write()

    def _write(self) -> None:
        node = self._logic.GetSliceNode()
        self._label.setText(f"{node.GetLayoutLabel()}  {node.GetName()}  {self._logic.GetSliceOffset():.1f} mm")

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)


def _stack(widget: QtWidgets.QWidget, *children: QtWidgets.QWidget) -> None:
    layout = QtWidgets.QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    for child in children:
        layout.addWidget(child, 0 if child is children[0] and len(children) > 1 else 1)


@standin
class qMRMLSliceWidget(qMRMLAbstractViewWidget):
    """A slice view with its controller."""

    _logic: Any = None

    def _show(self, name: str, orientation: str, label: str, color: str) -> None:
        app_logic, scene = slicer.app.applicationLogic(), slicer.mrmlScene
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(app_logic)
        app_logic.GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(scene)
        self._node = self._logic.AddSliceNode(name)
        self._node.SetOrientation(orientation)
        self._node.SetLayoutLabel(label)
        self._node.SetLayoutColor(*QtGui.QColor(color).getRgbF()[:3])
        self._node.SetMappedInLayout(1)
        self._view = qMRMLSliceView(self)
        self._view._show(self._logic)
        self._controller = qMRMLSliceControllerWidget(self)
        self._controller._show(self._logic, color)
        _stack(self, self._controller, self._view)
        self._scene = scene
        composite = self._logic.GetSliceCompositeNode()
        for source in (self._node, composite, scene):
            source.AddObserver("ModifiedEvent", lambda caller, event: self._view.update())

    def sliceView(self) -> Any:
        return self._view

    def sliceController(self) -> Any:
        return self._controller

    def sliceLogic(self) -> Any:
        return self._logic

    logic = sliceLogic

    def mrmlSliceNode(self) -> Any:
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


@standin
class qMRMLThreeDView(ctkVTKAbstractView):
    """The picture of the 3D view."""

    _node: Any = None

    def _show(self, node: Any) -> None:
        self._node = node
        self._start(OffscreenRenderer(THREE_D_MANAGERS, node))

    def mrmlViewNode(self) -> Any:
        return self._node

    def resetFocalPoint(self) -> None:
        self._offscreen.renderer.ResetCamera()

    def resetCamera(self, *arguments: bool) -> None:
        self._offscreen.renderer.ResetCamera()


@standin
class qMRMLThreeDViewControllerWidget(STANDINS["qMRMLWidget"]):
    """The bar above the 3D view: empty here."""


@standin
class qMRMLThreeDWidget(qMRMLAbstractViewWidget):
    """The 3D view with its controller."""

    _logic: Any = None

    def _show(self, name: str) -> None:
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        slicer.app.applicationLogic().GetViewLogics().AddItem(self._logic)
        self._node = self._logic.AddViewNode(name)
        self._node.SetMappedInLayout(1)
        self._view = qMRMLThreeDView(self)
        self._view._show(self._node)
        self._controller = qMRMLThreeDViewControllerWidget(self)
        self._controller.setFixedHeight(18)
        _stack(self, self._controller, self._view)
        self._scene = slicer.mrmlScene

    def threeDView(self) -> Any:
        return self._view

    def threeDController(self) -> Any:
        return self._controller

    def viewLogic(self) -> Any:
        return self._logic

    logic = viewLogic

    def mrmlViewNode(self) -> Any:
        return self._node


def pixmap(pixels: np.ndarray) -> Any:
    """An image array (height, width, 3) as a Qt pixmap."""
    height, width, _ = pixels.shape
    return qt.QPixmap.fromImage(
        qt.QImage(pixels.data, width, height, 3 * width, qt.QImage.Format_RGB888).copy()
    )
