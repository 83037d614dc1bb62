"""The check of the Slicer names that a module uses."""

from __future__ import annotations

import pytest

from Testing import slicer_names_page
from Testing.host.api_check import check_against, main, missing, names_used

UI = """<ui version="4.0"><class>P</class><widget class="qMRMLWidget" name="P">
<widget class="qMRMLNodeComboBox" name="t1Selector">
<property name="{prop}"><bool>true</bool></property></widget>
<widget class="QPushButton" name="button"/></widget>
<connections><connection><sender>P</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>t1Selector</receiver><slot>{slot}</slot></connection></connections></ui>"""


def lost(tmp_path, code="", prop="noneEnabled", slot="setMRMLScene(vtkMRMLScene*)"):
    source, ui = tmp_path / "M.py", tmp_path / "M.ui"
    source.write_text(code, encoding="utf-8")
    ui.write_text(UI.format(prop=prop, slot=slot), encoding="utf-8")
    return missing(check_against(names_used([source], [ui])))


def test_the_probe_uses_only_names_of_slicer(probe_file, capsys):
    assert main([str(probe_file.parent)]) == 0
    printed = capsys.readouterr().out
    assert "| `ctkSliderWidget.value` | member | list: ctkSliderWidget property |" in printed
    assert "| `slicer.util.loadUI` | python | list: module slicer.util |" in printed


def test_the_module_uses_only_names_of_slicer_and_their_page_is_current():
    assert missing(slicer_names_page.verdicts()) == []
    stored = slicer_names_page.PAGE.read_text(encoding="utf-8")
    assert stored == slicer_names_page.page(), "run: python -m Testing.slicer_names_page"


@pytest.mark.parametrize(
    "code",
    [
        "import slicer\nslicer.util.loadVolume('a')",
        "import slicer\nslicer.app.layoutManager().threeDWidget(0).threeDView().cornerAnnotation()",
        "from slicer.parameterNodeWrapper import WithinRange",
        "import SampleData\nSampleData.SampleDataLogic.registerCustomSampleDataSource(category='a')",
        "def f(self):\n    self.ui.t1Selector.connect('currentNodeChanged(vtkMRMLNode*)', f)",
        "def f(self):\n    box = self.ui.t1Selector\n    box.addEnabled = False",
        "def f(self):\n    box = self.ui.t1Selector\ndef g(box):\n    box.anything()",
        "import slicer\nslicer.util.launchConsoleProcess([], blocking=False)",
        "import ctk\nw = ctk.ctkCollapsibleButton()\nw.collapsed = True\nw.text = 'a'",
    ],
)
def test_names_that_slicer_has(tmp_path, code):
    assert lost(tmp_path, code) == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import slicer\nslicer.util.loadTumour('a')", "slicer.util.loadTumour"),
        ("from slicer.util import loadTumour", "slicer.util.loadTumour"),
        ("import slicer\nslicer.qMRMLTumourBox()", "slicer.qMRMLTumourBox"),
        ("import slicer\nslicer.app.gradeTumour()", "qSlicerApplication.gradeTumour"),
        ("import slicer\nslicer.app.layoutManager().tumourWidget(0)", "qSlicerLayoutManager.tumourWidget"),
        ("import slicer.tumour", "slicer.tumour"),
        ("from ctk import ctkTumour", "ctk.ctkTumour"),
        ("def f(self):\n    self.ui.t1Selector.currentTumour()", "qMRMLNodeComboBox.currentTumour"),
        ("def f(self):\n    self.ui.t1Selector.connect('nodeChanged()', f)", "qMRMLNodeComboBox.nodeChanged()"),
        ("def f(self, w):\n    w.connect('tumourGraded(vtkMRMLNode*)', f)", ".tumourGraded(vtkMRMLNode*)"),
        ("import slicer\nslicer.util.launchConsoleProcess([], colour=1)", "launchConsoleProcess.colour"),
    ],
)
def test_names_that_slicer_lacks(tmp_path, code, name):
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)  # else the rest may be Qt's own
    (found,) = lost(tmp_path, code)
    assert name in found


def test_names_in_the_ui_file_that_slicer_lacks(tmp_path):
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    assert "qMRMLNodeComboBox.noneAllowed" in lost(tmp_path, prop="noneAllowed")[0]
    assert "qMRMLNodeComboBox.setScene()" in lost(tmp_path, slot="setScene()")[0]
