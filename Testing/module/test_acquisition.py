"""What the DICOM header says against a choice that the name alone would allow."""

from __future__ import annotations

import json

import pytest

AGENT = {"0018,0010": "Gadovist"}
T1 = {"0018,0081": "10", "0018,0080": "500", "0018,0020": "SE"}
T2 = {"0018,0081": "95", "0018,0080": "4500", "0018,0020": "SE"}


class Database:
    """The part of Slicer's DICOM database that is asked."""

    def __init__(self):
        self.known, self.asked, self.slots = {}, [], []

    def connect(self, signal, slot):
        self.slots.append((signal, slot))

    def change(self, uid, values):
        self.known[uid] = values
        for signal, slot in self.slots:
            if signal == "databaseChanged()":
                slot()

    def fileForInstance(self, uid):
        return self.known.get(uid, {}).get("file", "")

    def instanceValue(self, uid, tag):
        self.asked.append((uid, tag))
        return self.known.get(uid, {}).get(tag, "")


@pytest.fixture
def database(host, monkeypatch):
    import slicer

    made = Database()
    monkeypatch.setattr(type(slicer.app), "dicomDatabase", lambda _app: made)
    return made


@pytest.fixture
def dicom(database, scene):
    """Makes a volume that came from DICOM with these attributes."""

    def volume(name, values):
        node = scene.volume(name)
        uid = f"1.2.3.{len(database.known)}"
        database.known[uid] = values
        node.SetAttribute("DICOM.instanceUIDs", f"{uid} {uid}.1")
        return node

    return volume


def said(module):
    return module.ui.inputsNoticeLabel.text.replace("\u200b", "").replace("\u00a0", " ")


def test_a_t1_with_contrast_agent_is_not_filled_in(host, module, dicom):
    dicom("5: AX T1", {**T1, **AGENT})
    plain = dicom("4: AX T1 SE", {**T1, "0018,0010": "NONE"})
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is plain
    assert said(module) == ""


def test_the_agent_of_an_enhanced_object_is_found_in_its_file(host, module, dicom, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    agent = pydicom.Dataset()
    agent.CodeMeaning = "Gadobutrol"
    header.ContrastBolusAgentSequence = [agent]
    header.save_as(tmp_path / "post.dcm", enforce_file_format=True)
    post = dicom("7: T1W_TSE", {"0028,0008": "80", "file": str(tmp_path / "post.dcm")})
    gone = dicom("8: T1W_TSE", {"0028,0008": "80", "file": str(tmp_path / "gone.dcm")})
    from GliomaGradingLib.scene.acquisition import reading_of

    assert (reading_of(post).sequence, reading_of(post).reason) == (
        "T1 with contrast",
        "contrast agent 'Gadobutrol'",
    )
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is gone
    module.widget.controller.parameters.t1 = post
    assert "with contrast by its DICOM header" in said(module)


def test_names_that_the_acquisition_contradicts_are_not_filled_in(host, module, dicom, scene):
    dicom("AX T1", T2)
    dicom("no name at all", {**T2})
    flair = scene.volume("case_flair")
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is None and module.ui.t2Selector.currentNode() is None
    assert module.ui.flairSelector.currentNode() is flair


def test_contrast_chosen_by_hand_is_said_before_and_in_the_result(host, module, dicom, scene, grade):
    node = dicom("5: AX T1", {**T1, **AGENT})
    for name in ("case_t2", "case_flair"):
        scene.volume(name)
    scene.segmentation()
    module.ui.t1Selector.setCurrentNode(node)
    text = "the volume given as T1 (5: AX T1) is with contrast by its DICOM header"
    told = "⚠ The volume given as T1 (5: AX T1) is with contrast by its DICOM header."
    assert said(module) == told and not module.ui.inputsNoticeLabel.isHidden()
    grade()
    warnings = json.loads(scene.results()[0].GetText())["warnings"]
    assert warnings == [{"code": "dicom-t1-contrast", "message": text}]
    assert module.ui.warningsLabel.text.replace("\u200b", "") == told


def test_a_name_is_enough_for_a_warning(host, module, scene):
    nodes = scene.case()
    post = scene.volume("AX T1 POST GD")
    module.ui.t1Selector.setCurrentNode(post)
    text = "the volume given as T1 (AX T1 POST GD) is with contrast by its name"
    assert said(module) == "⚠ The volume given as T1 (AX T1 POST GD) is with contrast by its name."
    result = module.logic.process(post, *nodes[1:])
    assert [(one.code, one.message) for one in result.warnings] == [("dicom-t1-contrast", text)]
    assert module.logic.result.warnings == result.warnings


def test_a_sequence_in_the_wrong_box_is_said(host, module, scene, dicom):
    module.ui.t2Selector.setCurrentNode(scene.volume("case_flair"))
    assert said(module) == "⚠ The volume given as T2 (case_flair) is FLAIR by its name."
    module.ui.t2Selector.setCurrentNode(dicom("9: something", T1))
    assert said(module) == "⚠ The volume given as T2 (9: something) is T1 by its DICOM header."
    module.ui.t2Selector.setCurrentNode(dicom("AX T2", T1))
    assert said(module) == "⚠ AX T2 is called T2, but its acquisition looks like T1 (TE 10 ms, TR 500 ms)."
    module.ui.t2Selector.setCurrentNode(dicom("AX T2 TSE", T2))
    assert said(module) == "" and module.ui.inputsNoticeLabel.isHidden()


def test_without_a_database_names_decide(host, module, scene):
    node = scene.volume("case_t1")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    host.pump(0.3)
    assert module.ui.t1Selector.currentNode() is node and said(module) == ""


def test_the_database_is_asked_once_until_it_changes(host, module, scene, dicom, database):
    """It opens a file that has vanished each time, and there is a refresh for each brush stroke."""
    node = dicom("case_t1", {})
    for name in ("case_t2", "case_flair"):
        scene.volume(name)
    scene.segmentation()
    host.wait(lambda: module.ui.gradeButton.enabled, 5)
    assert len(database.asked) == len(set(database.asked)) > 0
    asked = list(database.asked)
    for _stroke in range(3):
        module.widget.controller.onInputsChanged()
    assert database.asked == asked and said(module) == ""
    (uid, _second) = node.GetAttribute("DICOM.instanceUIDs").split()
    database.change(uid, AGENT)
    module.widget.controller.onInputsChanged()
    assert said(module) == "⚠ The volume given as T1 (case_t1) is with contrast by its DICOM header."


def test_another_database_is_asked_anew(host, module, dicom, monkeypatch):
    import slicer
    from GliomaGradingLib.scene.acquisition import header_of

    node = dicom("case_t1", {})
    assert header_of(node) == {}
    other = Database()
    other.known[node.GetAttribute("DICOM.instanceUIDs").split()[0]] = AGENT
    monkeypatch.setattr(type(slicer.app), "dicomDatabase", lambda _app: other)
    assert header_of(node) == {"ContrastBolusAgent": "Gadovist"}
