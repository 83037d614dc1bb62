"""Save report: the files of a result in a folder, whole or not at all; and what the panel says meanwhile."""

from __future__ import annotations

import json

import pytest
from test_viewer import graded

__all__ = ["graded"]
FILES = ["report.html", "result.json", "slices.png"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def begin(host, module):
    """Clicks the button and chooses a folder."""

    def click(folder, *more):
        with host.testing_mode(False):
            host.dialogs.answer(str(folder), *more)
            module.ui.reportButton.click()

    return click


@pytest.fixture
def save(host, module, begin):
    """Clicks the button, chooses a folder, and waits for the end."""

    def click_and_wait(folder, *more):
        begin(folder, *more)
        host.wait(lambda: module.widget.controller.report.run is None, 60)
        return module.ui.reportLabel.text.replace("\u200b", "")

    return click_and_wait


def test_the_button_saves_what_the_panel_shows(host, module, graded, save, tmp_path):
    assert module.ui.reportButton.enabled and not module.ui.reportFrame.isHidden()
    told = save(tmp_path)
    assert told == f"Saved in {tmp_path}: report.html, slices.png, result.json."
    assert names(tmp_path) == FILES
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == module.logic.result.toJson()
    assert (tmp_path / "report.html").read_bytes() == b"<p>case auto</p>"
    assert (tmp_path / "slices.png").read_bytes() == b"\x89PNG"
    assert module.ui.reportButton.enabled and not module.ui.cancelButton.enabled


def test_nothing_can_be_saved_before_there_is_a_result(host, module, scene):
    assert module.ui.reportFrame.isHidden() and not module.ui.reportButton.enabled
    scene.case()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert not module.ui.reportButton.enabled


def test_no_folder_no_report(host, module, graded, save, tmp_path):
    assert save("") == "" and module.widget.controller.report.run is None


def test_an_earlier_report_is_replaced_only_after_asking(host, module, graded, save, tmp_path):
    import qt

    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    assert save(tmp_path, qt.QMessageBox.Cancel) == ""
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
    assert f"{tmp_path} has report.html already. Replace" in host.dialogs.shown[-1].text
    assert save(tmp_path, qt.QMessageBox.Ok).startswith("Saved in ")
    assert names(tmp_path) == FILES


def test_dicom_outputs_of_an_earlier_result_go(tmp_path, host):
    from GliomaGradingLib.scene.report import present_in, write_report

    for name in ("result.dcm", "overlay.dcm", "scan.dcm"):
        (tmp_path / name).write_bytes(b"old")
    assert present_in(tmp_path) == ["result.dcm", "overlay.dcm"]
    write_report(tmp_path, dict.fromkeys(("report.html", "slices.png", "result.json"), b"new"))
    assert names(tmp_path) == sorted([*FILES, "scan.dcm"])


def test_cancel_leaves_no_file(host, module, scene, grade, begin, tmp_path):
    scene.case("tarry")
    grade()
    begin(tmp_path)
    host.wait(lambda: "Drawing" in module.ui.reportLabel.text, 30)
    assert not module.ui.reportButton.enabled and module.ui.reportButton.toolTip == "Something is under way."
    module.ui.cancelButton.click()
    module.widget.controller.refresh()
    assert not module.ui.cancelButton.enabled
    host.wait(lambda: module.widget.controller.report.run is None, 5)
    assert module.ui.reportLabel.text == "Cancelled." and names(tmp_path) == []
    assert module.ui.reportButton.enabled and module.ui.gradeButton.enabled


def test_grade_goes_before_a_report_and_says_so(module, scene, grade, begin, tmp_path):
    scene.case("tarry")
    grade()
    begin(tmp_path)
    grade()
    assert module.widget.controller.report.run is None and names(tmp_path) == []
    assert len(scene.results()) == 1
    assert module.ui.messageLabel.text == "Report cancelled: the grading went first. Save it again."
    assert not module.ui.messageLabel.isHidden()


def test_a_folder_that_cannot_be_written_is_said(host, module, graded, save, tmp_path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    told = save(tmp_path / "file" / "report")
    assert told.startswith("✖ The result cannot be written (") and "Choose a folder that you may" in told
    assert names(tmp_path) == ["file"]


def test_nothing_is_left_where_a_file_cannot_be_written(tmp_path, host):
    from GliomaGradingLib.errors import UsageError
    from GliomaGradingLib.scene.report import write_report

    (tmp_path / "slices.png").mkdir()
    with pytest.raises(UsageError, match="the result cannot be written"):
        write_report(tmp_path, dict.fromkeys(("report.html", "slices.png", "result.json"), b"new"))
    assert names(tmp_path) == ["slices.png"]


def test_an_earlier_dicom_output_that_stays_is_said_and_no_report_comes_beside_it(tmp_path, host):
    from GliomaGradingLib.errors import UsageError
    from GliomaGradingLib.scene.report import write_report

    (tmp_path / "overlay.dcm").mkdir()  # no file, so that nobody can remove it as one
    with pytest.raises(UsageError, match=r"of an earlier result cannot be removed .*overlay\.dcm: remove it"):
        write_report(tmp_path, dict.fromkeys(("report.html", "slices.png", "result.json"), b"new"))
    assert names(tmp_path) == ["overlay.dcm"]


def test_changed_images_have_no_report(host, module, graded, save, tmp_path):
    import slicer

    slicer.util.arrayFromVolume(graded[0])[:] = 0.2  # without a word, so that only the networks see it
    told = save(tmp_path)
    assert told.startswith("✖ The images have changed since they were graded") and names(tmp_path) == []


def test_from_python(host, module, graded, tmp_path):
    paths = module.logic.saveReport(tmp_path / "new", module.logic.node("result"))
    assert [path.name for path in paths] == ["report.html", "slices.png", "result.json"]
    saved = json.loads(paths[2].read_text(encoding="utf-8"))
    assert saved == json.loads(module.logic.node("result").GetText())


def test_from_python_without_a_result(host, module, tmp_path):
    from GliomaGradingLib import CaseError

    with pytest.raises(CaseError, match="there is no result"):
        module.logic.saveReport(tmp_path)


def test_neither_torch_nor_pillow_comes_into_slicer(host, module, graded, save, tmp_path):
    import sys

    known = set(sys.modules)  # other tests of this process may have brought them in
    save(tmp_path)
    come = set(sys.modules) - known
    assert not {"torch", "PIL"} & {name.split(".")[0] for name in come}
    assert "GliomaGradingLib.export.folder" not in come


def test_a_result_of_a_real_model(host, sample_case, tmp_path, monkeypatch):
    """The grading process itself: the files of the command line, for the result in the scene."""
    import slicer
    from GliomaGradingLib import CaseError
    from GliomaGradingLib.case_files import find_case_files
    from grading_module import MODULE_FILE

    logic = host.load(MODULE_FILE, enter=True).logic
    paths = {name: str(path) for name, path in find_case_files(sample_case).paths.items()}
    nodes = [slicer.util.loadVolume(paths[name]) for name in ("T1", "T2", "FLAIR")]
    result = logic.process(*nodes, slicer.util.loadSegmentation(paths["mask"]), vote="soft")
    logic.saveReport(tmp_path)
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == result.toJson()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 and f"{result.probability_hgg:.2f}" in page
    assert (tmp_path / "slices.png").read_bytes().startswith(b"\x89PNG")

    text = logic.node("result")
    text.SetText(text.GetText().replace(result.model["sha256"], "f" * 64))
    with pytest.raises(CaseError, match="it was graded with another model"):
        logic.saveReport(tmp_path / "other")
    with pytest.raises(CaseError, match="it was graded with another model"):
        logic.explain()
    assert not (tmp_path / "other").exists()
    text.SetText(result.toJson())
    array = slicer.util.arrayFromVolume(nodes[2])
    array[:] = array.astype(float) ** 3 / float(array.max()) ** 2
    with pytest.raises(CaseError, match="the images have changed"):
        logic.saveReport(tmp_path / "other")


def test_a_report_is_finished_while_another_case_is_looked_at(host, module, scene, grade, begin, tmp_path):
    scene.case("tarry")
    grade()
    begin(tmp_path)
    controller, t1 = module.widget.controller, module.ui.t1Selector
    host.wait(lambda: controller.report.run.job is not None, 30)
    chosen = t1.currentNode()
    t1.setCurrentNode(None)
    assert controller.report.run is not None and not module.ui.reportFrame.isHidden()
    assert "Drawing" in module.ui.reportLabel.text or "Handing" in module.ui.reportLabel.text
    host.wait(lambda: controller.report.run is None, 30)
    assert names(tmp_path) == FILES
    told = module.ui.reportLabel.text.replace("\u200b", "")
    assert told == f"Report of tarry: Saved in {tmp_path}: report.html, slices.png, result.json."
    assert not module.ui.reportButton.enabled
    t1.setCurrentNode(chosen)
    assert module.ui.reportLabel.text == "" and module.ui.reportButton.enabled


def test_a_path_is_copied_as_it_is(host, module, graded, save, tmp_path):
    import qt

    folder = tmp_path / "reports_of-2026.11"
    save(folder)
    label = module.ui.reportLabel
    assert "\u200b" in label.text
    (action,) = label.actions()
    assert action.text == "Copy"
    action.trigger()
    assert qt.QApplication.clipboard().text() == f"Saved in {folder}: report.html, slices.png, result.json."
    label.setSelection(len("Saved in "), label.text.index(": report") - len("Saved in "))
    action.trigger()
    assert qt.QApplication.clipboard().text() == str(folder)


def test_a_result_that_goes_behind_the_folder_dialog_is_not_saved(host, module, graded, tmp_path, monkeypatch):
    """Slicer goes on behind a dialog: a script may close the scene, or grade."""
    import qt
    import slicer

    def regraded(*_):
        module.logic.process(*graded)
        return str(tmp_path)

    def closed(*_):
        slicer.mrmlScene.Clear(0)
        return str(tmp_path)

    for meanwhile in (regraded, closed):
        monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", meanwhile)
        module.ui.reportButton.click()
        assert module.widget.controller.report.run is None and names(tmp_path) == []
        told = module.ui.reportLabel.text.replace("\u200b", "")
        assert told == "Cancelled."
    assert host.problems() == []


def test_no_report_is_written_of_what_was_changed_since(host, module, graded, tmp_path):
    import slicer
    from GliomaGradingLib import CaseError

    slicer.util.arrayFromVolumeModified(graded[1])
    with pytest.raises(CaseError, match="changed since it was graded, in case: grade the case again"):
        module.logic.saveReport(tmp_path)
    assert names(tmp_path) == []


def test_the_model_that_graded_is_asked_unless_another_is_named(host, module, scene, tmp_path):
    module.logic.process(*scene.case(value=0.9), bundle="other")
    module.logic.worker()  # somebody has gone back to the default one
    module.logic.saveReport(tmp_path)
    assert module.logic._loaded == ("other", "auto")
    module.logic.worker()
    module.logic.explain()
    assert module.logic._loaded == ("other", "auto")
