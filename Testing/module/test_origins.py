"""Inputs of different patients: not filled in together, and doubted where they were chosen together."""

from __future__ import annotations

import pytest
from test_acquisition import database, dicom

__all__ = ["database", "dicom"]

NAMES = [
    ("sub-01_run-01_T1w", "sub-01_run-02_T2w", ""),
    ("sub-01_acq-iso08_T1w", "sub-01_acq-iso10_FLAIR", ""),
    ("IM_0001 T1", "IM_0005 T2", ""),
    ("Pat12 MR 3 T1", "Pat12 MR 5 T2", ""),
    ("20240101_101500_T1", "20240101_102200_T2", ""),
    ("sub-01_run-01_T1w", "sub-02_run-01_T2w", "name"),
    ("Pat12 MR 3 T1", "Pat13 MR 3 T2", "name"),
    ("20240101_101500_T1", "20240305_101500_T2", "name"),
    ("BraTS20_Training_163_t1", "BraTS20_Training_272_t2", "name"),
    ("163 T1", "272 T2", "name"),
    ("sub-01_T1w", "sub-02_T2w", "name"),
    ("BraTS-GLI-00002-000-t1n", "BraTS-GLI-00002-100-t2w", "name"),
    ("anna_t1", "berta_t2", "name"),
    ("UCSF-PDGM-0004_T1_bias", "UCSF-PDGM-0004_T2", ""),
    ("sub-01_acq-iso_T1w", "sub-01_acq-high_FLAIR", ""),
    ("TCGA-02-0006_1999.08.23_t1", "TCGA-02-0006_t2", ""),
    ("T1", "T2", ""),
    ("4: t1_mpr_sag_p2_iso", "5: t2_tse_tra_320", ""),
    ("5_t1_se", "12_t2_tse", ""),
    ("something", "case_t2", ""),
    ("ax_t1", "cor_t2", ""),
    ("T1_1", "anna_flair_2", ""),
]


@pytest.mark.parametrize(("first", "second", "wanted"), NAMES)
def test_names_of_cases(host, scene, first, second, wanted):
    from GliomaGradingLib.scene.origins import conflict

    one, other = scene.volume(first), scene.volume(second)
    assert conflict(one, other) == conflict(other, one) == wanted


@pytest.mark.parametrize(
    ("mask", "wanted"),
    [
        ("272 tumour", "name"),
        ("BraTS20_Training_272_seg", "name"),
        ("163 tumour", ""),
        ("Segmentation", ""),
        ("reader1_seg", ""),
        ("nnUNet_seg", ""),
        ("whole tumour", ""),
    ],
)
def test_a_mask_may_be_called_after_who_drew_it(host, scene, mask, wanted):
    from GliomaGradingLib.scene.origins import conflict

    assert conflict(scene.volume("163_t1"), scene.segmentation(mask)) == wanted


def test_a_mask_without_a_name_belongs_to_what_it_was_drawn_on(host, scene):
    from GliomaGradingLib.scene.origins import conflict

    one, other, mask = scene.volume("163_t1"), scene.volume("272_t1"), scene.segmentation("Segmentation")
    mask.SetReferenceImageGeometryParameterFromVolumeNode(one)
    assert conflict(one, mask) == "" and conflict(other, mask) == "name"


def names(module):
    nodes = [getattr(module.ui, f"{role}Selector").currentNode() for role in ("t1", "t2", "flair", "mask")]
    return [node.GetName() if node else "" for node in nodes]


def said(module):
    return module.ui.inputsNoticeLabel.text.replace("\u200b", "").replace("\u00a0", " ")


def test_what_another_patient_left_is_not_mixed_in(host, module, scene):
    scene.volume("163 T2")
    host.pump(0.3)
    assert names(module) == ["", "163 T2", "", ""]
    for name in ("272 T1", "272 FLAIR"):
        scene.volume(name)
    scene.labelmap("272 tumour")
    host.pump(0.3)
    assert names(module) == ["", "163 T2", "", ""] and not module.ui.gradeButton.enabled


def test_of_two_cases_the_fuller_one_is_filled_in(host, module, scene):
    for name in ("163 T1", "272 T2", "272 FLAIR"):
        scene.volume(name)
    scene.labelmap("272 tumour")
    host.pump(0.3)
    assert names(module) == ["", "272 T2", "272 FLAIR", "272 tumour"]


@pytest.mark.parametrize(("first", "second"), [("279", "280"), ("plain", "other")])
def test_what_was_removed_is_not_replaced_by_another_patients(host, module, scene, first, second):
    import slicer

    scene.case(first)
    nodes = [scene.volume(name) for name in ("T1", "T2", "FLAIR")] if second == "other" else scene.case(second)
    for role, node in zip(("t1", "t2", "flair", "mask"), nodes, strict=False):
        getattr(module.ui, f"{role}Selector").setCurrentNode(node)
    slicer.mrmlScene.RemoveNode(nodes[1])
    host.pump(0.3)
    assert module.ui.t2Selector.currentNode() is None
    again = scene.volume(f"{second}_t2" if second != "other" else "later T2")
    slicer.mrmlScene.RemoveNode(slicer.util.getNode(f"{first}_t2"))
    host.pump(0.3)
    assert module.ui.t2Selector.currentNode() is again


def choose(module, **nodes):
    for role, node in nodes.items():
        getattr(module.ui, f"{role}Selector").setCurrentNode(node)


def test_a_mixture_by_names_is_doubted(host, module, scene, grade):
    t1, flair = scene.volume("272 T1"), scene.volume("272 FLAIR")
    t2, mask = scene.volume("163 T2"), scene.labelmap("163 tumour")
    choose(module, t1=t1, t2=scene.volume("272 T2"), flair=flair, mask=mask)
    assert said(module) == "⚠ Tumour mask (163 tumour) is named like another case than T1 (272 T1)."
    choose(module, t2=t2, mask=scene.labelmap("272 tumour"))
    assert said(module) == "⚠ T2 (163 T2) is named like another case than T1 (272 T1)."
    grade()
    assert "named-like-another-case" in [one.code for one in module.logic.result.warnings]
    assert module.logic.result.decision == "HGG"


@pytest.mark.parametrize(
    ("tag", "told", "decision"),
    [("0010,0020", "another patient", "indeterminate"), ("0020,000d", "another study", "HGG")],
)
def test_a_mixture_by_dicom_is_doubted(host, module, scene, dicom, grade, tag, told, decision):
    t1, flair = dicom("4: T1", {tag: "one"}), dicom("5: FLAIR", {tag: "one"})
    t2, mask = dicom("4: T2", {tag: "other"}), scene.labelmap("tumour")
    host.pump(0.3)
    assert names(module) == ["4: T1", "", "5: FLAIR", "tumour"]
    choose(module, t1=t1, t2=t2, flair=flair, mask=mask)
    assert said(module) == f"⚠ T2 (4: T2) belongs to {told} than T1 (4: T1)."
    grade()
    assert module.logic.result.decision == decision


def test_one_study_is_one_case_whatever_the_names(host, scene, dicom):
    from GliomaGradingLib.scene.origins import conflict

    nodes = [dicom(f"{name}_t1", {"0020,000d": "1.2"}) for name in ("anna", "berta")]
    assert conflict(*nodes) == ""


def test_patients_of_the_subject_hierarchy_count(host, module, scene):
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    nodes = {name: scene.volume(name) for name in ("T1", "T2", "FLAIR")}
    nodes["mask"] = scene.segmentation("tumour")
    for patient, roles in (("one", ("T1", "FLAIR", "mask")), ("other", ("T2",))):
        above = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), patient)
        study = hierarchy.CreateStudyItem(above, "study")
        for role in roles:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(nodes[role]), study)
    choose(module, **{role.lower(): node for role, node in nodes.items()})
    assert said(module) == "⚠ T2 (T2) belongs to another patient than T1 (T1)."
