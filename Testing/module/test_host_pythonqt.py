"""Qt in the embedded Slicer behaves as PythonQt, not as PySide6."""

from __future__ import annotations

import pytest


def test_properties_are_attributes(host):
    import qt

    button = qt.QPushButton("Grade")
    button.enabled = False
    button.checkable = True
    button.setText("Stop")
    assert (button.text, button.enabled, button.checked, button.visible) == ("Stop", False, False, False)
    button.name = "grade"
    assert button.objectName == "grade"
    assert button.className() == "QPushButton"


@pytest.mark.parametrize("name", ["colour", "_private", "setText", "click"])
def test_unknown_attribute_of_a_qt_object_is_refused(host, name):
    import qt

    with pytest.raises(AttributeError, match=name):
        setattr(qt.QPushButton(), name, 1)


def test_python_subclasses_keep_their_attributes(host):
    import qt

    class Filter(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.seen = 3

    assert Filter().seen == 3


def test_read_only_and_ill_typed_properties_of_stand_ins_are_refused(host):
    import slicer

    with pytest.raises(AttributeError, match="read-only"):
        slicer.app.layoutManager().threeDViewCount = 2
    with pytest.raises(TypeError):
        slicer.qMRMLNodeComboBox().noneEnabled = object()


def test_slots_take_as_many_arguments_as_they_can(host):
    import qt

    button, got = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked(bool)", lambda: got.append("none"))
    button.connect("clicked(bool)", lambda checked: got.append(checked))
    button.connect("clicked()", lambda *arguments: got.append(arguments))
    button.clicked.connect(lambda checked: got.append(("signal", checked)))
    button.click()
    assert got == ["none", True, (), ("signal", True)]


def test_disconnect_by_signature(host):
    import qt

    button, got = qt.QPushButton(), []
    button.connect("clicked()", got.clear)
    slot = lambda: got.append(1)  # noqa: E731
    button.connect("clicked()", slot)
    assert button.disconnect("clicked()", slot)
    assert not button.disconnect("clicked()", slot)
    button.click()
    assert got == []


@pytest.mark.parametrize("signature", ["klicked()", "clicked(int)", "valueChanged(double)"])
def test_signals_that_do_not_exist_are_refused(host, signature):
    import qt

    with pytest.raises(RuntimeError, match="no signal"):
        qt.QPushButton().connect(signature, print)


def test_enumerations_are_integers(host):
    import qt

    assert qt.QMessageBox.Ok == 0x400
    assert int(qt.Qt.AlignRight | qt.Qt.AlignTop) == 0x22


def test_timer_and_its_two_single_shots(host):
    import qt

    got, timer = [], qt.QTimer()
    timer.singleShot = True
    timer.interval = 1
    timer.connect("timeout()", lambda: got.append("timer"))
    timer.start()
    assert timer.active
    qt.QTimer.singleShot(0, lambda: got.append("static"))
    host.wait(lambda: len(got) == 2, 5)
    assert sorted(got) == ["static", "timer"]
    assert not timer.active


def test_process_runs_python_slicer(host):
    import qt

    got, process = [], qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: got.append(code))
    process.start("PythonSlicer", ["-c", "import sys; print(1 + 1); sys.exit(3)"])
    host.wait(lambda: got, 30)
    assert got == [3]
    assert process.readAllStandardOutput().data().split() == [b"2"]


def test_settings_are_nobody_elses(host):
    import qt
    import slicer

    qt.QSettings().setValue("GliomaGrading/Device", "cpu")
    assert slicer.app.userSettings().value("GliomaGrading/Device") == "cpu"
    assert qt.QSettings().fileName().startswith(slicer.app.slicerHome)
    host.reset()
    assert qt.QSettings().value("GliomaGrading/Device", "auto") == "auto"


def test_children_are_found_by_class_and_by_class_name(host):
    import qt

    parent = qt.QWidget()
    label = qt.QLabel("a", parent)
    label.name = "first"
    qt.QLabel("b", parent)
    assert len(parent.findChildren("QLabel")) == len(parent.findChildren(qt.QLabel)) == 2
    assert parent.findChild(qt.QLabel, "first") is label
    assert parent.findChild(qt.QPushButton) is None


def test_none_outlives_functions_that_do_not_count_it(host):
    import sys

    import qt

    button = qt.QPushButton()
    for _ in range(50_000):  # more than None has references in a young interpreter
        button.blockSignals(True)
        button.setText("a")
    assert sys.getrefcount(None) > 1_000_000
