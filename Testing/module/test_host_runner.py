"""Loading, running and looking at a scripted module; what must fail, fails."""

from __future__ import annotations

import sys

import numpy as np
import pytest


def test_a_module_is_loaded_entered_left_and_unloaded(host, probe_file):
    import slicer

    module = host.load(probe_file)
    assert module.title == "Host Probe"
    assert slicer.modules.hostprobe.path == str(probe_file)
    assert not hasattr(slicer.modules, "HostProbeWidget")  # no panel before it is asked for
    module.panel.enter()
    assert (module.widget.entered, module.panel.isEntered) == (1, True)
    assert slicer.util.getModuleWidget("HostProbe") is module.widget is slicer.modules.HostProbeWidget
    assert slicer.util.getModuleLogic("HostProbe") is module.logic
    module.panel.exit()
    assert module.widget._parameterNode is None
    host.unload("HostProbe")
    assert "HostProbe" not in sys.modules
    with pytest.raises(RuntimeError, match="HostProbe"):
        slicer.util.getModule("HostProbe")


def test_a_module_hears_once_that_the_application_has_started(host, probe_file):
    import slicer

    module = host.load(probe_file)
    assert module.python.started == ["HostProbe"]
    slicer.app.startupCompleted.emit()
    assert module.python.started == ["HostProbe"]


@pytest.mark.parametrize("arguments", [["test"], ["screenshot", "--width", "320", "--colors", "dark"]])
def test_the_command_line(host, probe_file, tmp_path, arguments, capsys):
    from Testing.host.__main__ import main

    picture = [str(tmp_path / "a.png")] if arguments[0] == "screenshot" else []
    assert main([arguments[0], str(probe_file), *picture, *arguments[1:]]) == 0
    assert ("1 tests, 0 problems" if arguments[0] == "test" else "a.png") in capsys.readouterr().out
    assert all((tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") for _ in picture)


def test_what_is_missing_is_said(monkeypatch):
    from Testing.host import HostUnavailable, availability, start

    monkeypatch.setattr(availability, "PACKAGES", {"no_such_module": "some-package"})
    monkeypatch.setattr(availability, "SHARED_LIBRARIES", {"libNoSuch.so.1": "libnosuch1"})
    with pytest.raises(HostUnavailable, match="pip install some-package"):
        start()
    if sys.platform.startswith("linux"):
        assert "apt-get install -y libnosuch1" in availability.reason()


def test_the_self_test_runs_in_both_ways(host, probe_file):
    module = host.load(probe_file, enter=True)
    host.self_test(module)
    result = host.run_unit_tests(module)
    assert (result.testsRun, result.wasSuccessful()) == (1, True)


def test_reload_gives_a_new_panel(host, probe_file):
    import slicer

    module = host.load(probe_file, enter=True)
    before = module.widget
    slicer.util.reloadScriptedModule("HostProbe")
    assert module.widget is not before
    assert before.Observations == []
    host.self_test(module)


def test_an_exception_in_a_slot_is_a_problem(host, probe_file):
    import slicer

    module = host.load(probe_file, enter=True)
    module.ui.inputSelector.setCurrentNode(slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="a"))
    module.logic.process = None
    module.ui.applyButton.click()
    (problem,) = host.problems()
    assert "'NoneType' object is not callable" in problem


@pytest.mark.parametrize("how", ["timer", "observer", "thread", "signal"])
def test_exceptions_elsewhere_are_problems(host, how):
    import threading

    import qt
    import slicer

    def fail(*arguments):
        raise ValueError(how)

    if how == "timer":
        qt.QTimer.singleShot(0, fail)
    elif how == "observer":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
        node.AddObserver("ModifiedEvent", fail)
        node.SetText("a")
    elif how == "thread":
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    else:
        button = qt.QPushButton()
        button.clicked.connect(fail)
        button.click()
    host.events()
    problems = host.problems()
    assert problems
    assert all(f"ValueError: {how}" in one for one in problems)


def test_stray_attributes_are_problems(host, probe_file):
    module = host.load(probe_file, enter=True)
    assert host.problems() == []
    module.ui.applyButton.__dict__["stray"] = 1  # past the guard that refuses it at once
    (problem,) = host.problems()
    assert "applyButton" in problem
    assert "'stray'" in problem
    del module.ui.applyButton.__dict__["stray"]


def test_closing_the_scene_leaves_the_module_usable(host, probe_file):
    import slicer

    module = host.load(probe_file, enter=True)
    module.ui.inputSelector.setCurrentNode(slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="a"))
    assert module.ui.applyButton.enabled
    host.close_scene()
    assert not module.ui.applyButton.enabled
    assert module.ui.inputSelector.currentNode() is None


def test_views_outlive_a_window_whose_panel_fails(host, probe_file, monkeypatch):
    import slicer

    module = host.load(probe_file)
    monkeypatch.setattr(module.python.HostProbeWidget, "setup", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        host.window(module)
    host.events()
    assert slicer.app.layoutManager().sliceWidget("Red").sliceView().picture().max() < 30


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_the_window_at_320_pixels(host, probe_file, tmp_path, colors):
    import qt
    import slicer

    module = host.load(probe_file)
    slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="a very long name of a volume " * 4)
    window = host.window(module, width=320, colors=colors, size=(900, 700))
    assert slicer.util.mainWindow() is window
    assert module.panel.isEntered
    assert module.panel.minimumSizeHint().width() <= 320
    picture = qt.QImage(str(host.picture(window, tmp_path / "window.png")))
    assert (picture.width(), picture.height()) == (900, 700)
    background = qt.QColor(picture.pixel(10, 650)).lightness()
    assert (background > 200) if colors == "light" else (background < 80)
    assert slicer.util.showStatusMessage("ready")
