"""Layouts on trees with the data sets' documented names: which files are taken, which never are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cli import main
from GliomaGradingLib.cohort.layouts import LAYOUTS, NAMES
from GliomaGradingLib.cohort.layouts.base import CONTRAST_T1, stem
from GliomaGradingLib.cohort.listing import Cohort, describe, find_cohort
from GliomaGradingLib.cohort.walk import cases_below
from GliomaGradingLib.errors import CaseError, UsageError
from layout_trees import DATA_SETS, alternatives, tree

EXPECTED = {
    "brats": ("Brats18_A", "Brats18_X_t1", "Brats18_X_t2", "Brats18_X_flair", "Brats18_X_seg", "HGG"),
    "brats2021": ("BraTS2021_00000", "*_t1", "*_t2", "*_flair", "*_seg", None),
    "brats2023": ("BraTS-GLI-00000-000", "*-t1n", "*-t2w", "*-t2f", "*-seg", None),
    "ucsf-pdgm": ("UCSF-PDGM-0004", "*_T1", "*_T2", "*_FLAIR", "*_tumor_segmentation", None),
    "upenn-gbm": ("UPENN-GBM-00001_11", "*_T1", "*_T2", "*_FLAIR", "*_segm", "HGG"),
    "egd": ("EGD-0001", "T1", "T2", "FLAIR", "MASK", None),
    "tcga-glistrboost": ("TCGA-CS-4941", *(f"TCGA-CS-4941_1996.09.09_{name}" for name in
                         ("t1", "t2", "flair", "GlistrBoost_ManuallyCorrected")), "LGG"),
    "utsw": ("BT0001", "brain_t1", "brain_t2", "brain_flair", "rtumorseg_manual_correction", None),
    "bids": ("sub-01", "*_T1w", "*_T2w", "*_FLAIR", "*_dseg", None),
    "by-sequence": ("p1", "*", "*", "*", "*", None),
    "flat": ("p1", "*_t1", "*_t2", "*_flair", "*_seg", None),
    "plain": ("anna", "t1", "t2", "flair", "mask", None),
}  # fmt: skip


MANY = ("flat", "by-sequence")
"""Layouts with several cases in one folder."""


def names_of(cohort: Cohort) -> list[str]:
    return [entry.case for entry in cohort.cases]


@pytest.mark.parametrize("layout", EXPECTED)
@pytest.mark.parametrize("asked", ["auto", "by name"])
def test_a_data_set_is_recognised_with_its_files_and_grades(tmp_path: Path, layout: str, asked: str) -> None:
    tree(tmp_path, *DATA_SETS[layout])
    cohort = find_cohort(tmp_path, "auto" if asked == "auto" else layout)
    case, *stems, grade = EXPECTED[layout]
    entry = cohort.cases[0]
    assert (cohort.layout, entry.layout, entry.case, entry.grade) == (layout, layout, case, grade)
    found = [entry.files[role].name.split(".nii")[0].split(".seg")[0] for role in ("T1", "T2", "FLAIR", "mask")]
    assert [name.removesuffix(".nrrd") for name in found] == [s.replace("*", case) for s in stems]
    assert all(path.is_file() for path in entry.files.values())
    assert (entry.problem, entry.mask_labels, cohort.skipped) == ("", None, ())


@pytest.mark.parametrize("layout", EXPECTED)
def test_a_t1_with_contrast_is_never_taken_for_t1(tmp_path: Path, layout: str) -> None:
    """Without the T1, a case has none, though the T1 with contrast is there; and that file is named."""
    tree(tmp_path, *DATA_SETS[layout])
    before = find_cohort(tmp_path)
    for entry in before.cases:
        entry.files["T1"].unlink()
    for other in (p for p in tmp_path.rglob("*") if stem(p).endswith(("t1_bias", "t1_ants"))):
        other.unlink()
    if layout == "by-sequence":  # without a folder for T1 it is no such folder any more
        with pytest.raises(UsageError):
            find_cohort(tmp_path, layout)
        return
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == names_of(before)
    for entry in cohort.cases:
        assert entry.missing == ("T1",)
        assert entry.problem.startswith("T1 not found (") and "with contrast and is not taken" in entry.problem
        named = entry.problem.split("(")[1].split(" is with")[0]
        assert list(entry.folder.rglob(named)), named
        with pytest.raises(CaseError, match="T1 not found"):
            entry.read()


@pytest.mark.parametrize("layout", [*EXPECTED, "brats2024"])
def test_one_case_is_found_as_grading_finds_it(tmp_path: Path, layout: str) -> None:
    """``grade`` of the folder of a case takes what ``batch`` takes."""
    tree(tmp_path, *DATA_SETS[layout])
    entry = find_cohort(tmp_path, "brats2024" if layout == "brats2024" else "auto").cases[0]
    if layout in MANY:
        with pytest.raises(CaseError, match=r"there are 2 cases \(p1, p2"):
            find_case_files(tmp_path)
        return
    one = find_case_files(entry.folder)
    assert (one.layout, one.case, one.mask_labels) == (layout, entry.case, entry.mask_labels)
    assert {role: path.resolve() for role, path in one.paths.items()} == {
        role: path.resolve() for role, path in entry.files.items()
    }


def test_every_layout_has_a_source_an_example_and_a_test() -> None:
    assert len(set(NAMES)) == len(LAYOUTS)
    for layout in LAYOUTS:
        assert "Source:" in (type(layout).__doc__ or ""), layout.name
        assert layout.title and layout.example and layout.source and layout.labels
    assert {*EXPECTED, "brats2024", "dicom", "remind"} == set(NAMES)


@pytest.mark.parametrize(
    "name", ["x_t1ce", "x-t1c", "x_t1gd", "x_T1c_bias", "brain_t1ce_ants", "T1GD", "t1_gd", "x_ce_t1", "t1+c"]
)
def test_names_of_t1_with_contrast(name: str) -> None:
    assert CONTRAST_T1.search(name.lower())
    for layout in LAYOUTS:
        assert not [e for e in layout.endings["T1"] if e == name.lower()]


@pytest.mark.parametrize("name", ["x_t1", "x-t1n", "x_t1_bias", "brain_t1_ants", "x_t1w", "t1_cor"])
def test_names_of_t1_without_contrast(name: str) -> None:
    assert not CONTRAST_T1.search(name)


WITH_CONTRAST = [
    "post_ax_t1",
    "gd_sag_t1",
    "ce_reg_t1",
    "gadolinium_t1",
    "postgd_t1",
    "t1c_t1",
    "t1ce_t1",
    "enh_t1",
    "kontrast_t1",
    "dotarem_t1w",
    "post_t1",
    "ce_t1",
    "gd-t1",
    "contrast_t1",
    "gadavist_3d_t1",
    "post_pre_reg_t1",
    "t1_gd_t1",
]
WITHOUT_CONTRAST = [
    "pre_gd_t1",
    "nongd_t1",
    "without_contrast_t1",
    "native_t1",
    "posterior_t1",
    "reg_ax_t1",
    "precontrast_t1w",
]


@pytest.mark.parametrize("name", WITH_CONTRAST)
@pytest.mark.parametrize("case", ["c", "post_001"])
def test_any_word_of_a_name_tells_of_contrast(tmp_path: Path, name: str, case: str) -> None:
    tree(tmp_path, f"{case}/{case}_{name}.nii", f"{case}/{case}_{{t2,flair,seg}}.nii")
    entry = find_cohort(tmp_path).cases[0]
    assert entry.missing == ("T1",)
    assert f"{case}_{name}.nii is with contrast" in entry.problem


@pytest.mark.parametrize("name", ["T1+GAD", "T1 +INJ", "t1_enh", "T1+civ"])
def test_a_folder_with_contrast_alone_is_a_case(tmp_path: Path, name: str) -> None:
    tree(tmp_path, f"c1/{name}.nii.gz", "c2/{T1,T2,FLAIR,seg}.nii.gz")
    lacking = find_cohort(tmp_path).cases[0]
    assert lacking.case == "c1" and f"({name}.nii.gz is with contrast" in lacking.problem


@pytest.mark.parametrize("name", WITHOUT_CONTRAST)
def test_words_that_deny_contrast_go_first(tmp_path: Path, name: str) -> None:
    tree(tmp_path, f"c/c_{name}.nii", "c/c_{t2,flair,seg}.nii")
    assert find_cohort(tmp_path).cases[0].files["T1"].name == f"c_{name}.nii"


@pytest.mark.parametrize(
    "name",
    [
        "T1_pre", "T1pre", "t1w_pre", "T1_nonGd", "t1_noncontrast", "T1_native", "T1 native", "T1_brain",
        "T1_bet", "T1C-",
        "T1_reg", "T1_n4", "T1_MPRAGE", "T1_ax", "t1_se", "T1_to_FLAIR", "T1_MNI", "t1w_1mm", "p7_T1_brain_1mm",
        "T1-pre-contrast", "t1_reg_to_t2w", "T1_skull_stripped",
    ],
)  # fmt: skip
def test_words_behind_that_say_nothing_of_the_sequence(tmp_path: Path, name: str) -> None:
    others = ("T2_to_FLAIR", "FLAIR_brain", "seg_1mm")
    tree(tmp_path / "p7", *(f"{file}.nii.gz" for file in (name, *others)))
    files = find_case_files(tmp_path / "p7").paths
    assert [path.name.removesuffix(".nii.gz") for path in files.values()] == [name, *others]
    assert find_cohort(tmp_path).cases[0].problem == ""


@pytest.mark.parametrize(
    "name",
    [
        "T1_gd_brain", "T1_post_reg", "t1ce_1mm", "T1_C+_ax", "T1_MPRAGE_post", "t1_to_t1ce", "T1_Gd_to_FLAIR",
        "T1_map",
        "T1_brain_mask", "T1_lesion", "t1c_native",
    ],
)  # fmt: skip
def test_words_behind_that_say_something_are_no_idle_ones(tmp_path: Path, name: str) -> None:
    tree(tmp_path / "p7", f"{name}.nii.gz", "T2.nii.gz", "FLAIR.nii.gz", "seg.nii.gz")
    entry = find_cohort(tmp_path).cases[0]
    assert entry.missing == ("T1",) and f"there is {name}.nii.gz; or" in entry.remedy


@pytest.mark.parametrize("names", ["p7_T1_{}_ax", "T1_{}", "t1-{}"])
@pytest.mark.parametrize("sign", ["C+", "+GAD", "+POST", "+mdc"])
def test_contrast_may_be_told_by_a_sign(tmp_path: Path, names: str, sign: str) -> None:
    native, given = (f"{names.format(word)}.nii.gz" for word in ("C-", sign))
    tree(tmp_path / "p7", native, given, "{T2,FLAIR,seg}.nii.gz")
    assert find_case_files(tmp_path / "p7").paths["T1"].name == native
    (tmp_path / "p7" / native).unlink()
    assert f"T1 not found ({given} is with contrast" in find_cohort(tmp_path).cases[0].problem


@pytest.mark.parametrize(
    ("files", "unclear", "is_case"),
    [
        ("a/a_{t1,t2,flair,seg}.nii.gz", (), True),
        ("a/T1_{brain,n4}.nii.gz", ("T1",), True),
        ("a/{T1,T2}_{brain,n4}.nii.gz a/a_{seg,mask}.nii.gz", ("T1", "T2", "mask"), True),
        ("a/a_{seg,mask}.nii.gz", ("mask",), False),
        ("sub-1/anat/sub-1_{T1w,FLAIR,acq-a_T2w,acq-b_T2w}.nii.gz", ("T2",), True),
    ],
)
def test_roles_that_several_files_would_do_for_are_told(tmp_path, files, unclear, is_case) -> None:
    """Two files for a sequence make a case of a folder, two masks do not."""
    tree(tmp_path, *files.split())
    found = cases_below(tmp_path).found
    assert [case.unclear for _layout, case in found] == ([unclear] if is_case else [])


def test_an_image_is_not_what_it_was_registered_to(tmp_path: Path) -> None:
    tree(tmp_path / "p7", "p7_{t1,t2,t2_to_flair,seg}.nii.gz")
    assert find_cohort(tmp_path).cases[0].missing == ("FLAIR",)
    tree(tmp_path / "p8", "T1_brain.nii.gz", "T1_n4.nii.gz", "T2.nii.gz", "FLAIR.nii.gz", "seg.nii.gz")
    assert (
        "T1_brain.nii.gz and T1_n4.nii.gz could both be the T1" in find_cohort(tmp_path / "p8").cases[0].problem
    )
    (tmp_path / "p8" / "T1.nii.gz").write_bytes(b"x")
    assert find_case_files(tmp_path / "p8").paths["T1"].name == "T1.nii.gz"
    tree(tmp_path / "p9", "{T1,T2,FLAIR}.nii.gz", "brain_mask.nii.gz", "mask_brain.nii.gz")
    assert find_cohort(tmp_path / "p9").cases[0].missing == ("mask",)


def test_words_of_a_name_may_have_spaces_between(tmp_path: Path) -> None:
    tree(tmp_path, "p1/p1 T1.nii.gz", "p1/p1 T1 post.nii.gz", "p1/p1 {T2,FLAIR,tumor mask}.nii.gz")
    (entry,) = find_cohort(tmp_path).cases
    assert {role: path.name for role, path in entry.files.items()} == {
        "T1": "p1 T1.nii.gz",
        "T2": "p1 T2.nii.gz",
        "FLAIR": "p1 FLAIR.nii.gz",
        "mask": "p1 tumor mask.nii.gz",
    }
    tree(tmp_path / "two", "p2/p2 T1 post.nii.gz", "p2/p2 {T2,FLAIR,brain mask}.nii.gz")
    assert find_cohort(tmp_path / "two").cases[0].missing == ("T1", "mask")


def test_every_usual_name_of_a_mask_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "p1/{t1,t2,flair}.nii.gz")
    with pytest.raises(CaseError) as told:
        find_case_files(tmp_path / "p1")
    names = "seg, mask, segmentation, label, labels, labelmap, roi, tumor, tumour, ..."
    assert f"looked for mask: {names} (alone, or after _, - or a space) as .nii" in str(told.value)


def test_a_listing_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    for number in range(8):
        tree(tmp_path, f"p{number}/{{T2,FLAIR,seg,xyz}}.nii.gz")
    told = describe(find_cohort(tmp_path)).splitlines()
    lines = [line for line in told if line.startswith("            ")]
    assert len(lines) == 5 and lines[0].strip().startswith("looked for T1: t1, t1w, t1n")
    assert "; there is xyz.nii.gz; or name the files one by one" in lines[0]


def test_a_case_called_like_contrast_is_none(tmp_path: Path) -> None:
    """Unless it is called so and no more, as the folder of a time point is."""
    tree(tmp_path, "a/{post_001,gd-7}/{t1,t2,flair,seg}.nii", "b/post_001/post_001_{t1,t2,flair,seg}.nii")
    tree(tmp_path, "c/post/post_{t1,t2,flair,seg}.nii")
    assert [entry.missing for entry in find_cohort(tmp_path).cases] == [(), (), (), ("T1",)]


def test_cases_beside_each_other_are_called_up_to_their_number(tmp_path: Path) -> None:
    tree(tmp_path, "{post_001,p2,p3_post}_{t1,t2,flair,seg}.nii")
    assert {entry.case: entry.missing for entry in find_cohort(tmp_path).cases} == {
        "p2": (), "p3_post": ("T1",), "post_001": ()
    }  # fmt: skip


def test_brats_2024_is_after_treatment_and_left_out_unless_asked_for(tmp_path: Path) -> None:
    tree(tmp_path, *DATA_SETS["brats2024"], *DATA_SETS["brats2023"])
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == ["BraTS-GLI-00000-000"]
    assert [item.path.name for item in cohort.skipped] == ["BraTS-GLI-02062-100"]
    assert "after treatment" in cohort.skipped[0].reason
    asked = find_cohort(tmp_path / "BraTS-GLI-02062-100", "brats2024")
    assert asked.cases[0].mask_labels == (1, 2, 3)  # 4 is the resection cavity
    assert any("after treatment" in notice for notice in asked.notices)
    assert cohort.skipped[0].reason.endswith(
        "--layout brats2024 takes it all the same, without the resection cavity"
    )
    doubt = find_case_files(tmp_path / "BraTS-GLI-02062-100").doubt
    assert doubt == asked.notices[0] and "--layout" not in doubt  # what has been done is no advice


def test_the_labels_of_a_data_set_are_not_those_of_a_mask_that_is_named(tmp_path: Path) -> None:
    """A tumour of label 4, or of 255, was cut out of the mask, or was said not to be in it."""
    tree(tmp_path, *DATA_SETS["brats2024"])
    folder = tmp_path / "BraTS-GLI-02062-100"
    found = [find_case_files(folder, given={role: tmp_path / "own.nii.gz"}) for role in ("T1", "mask")]
    assert [files.mask_labels for files in found] == [(1, 2, 3), None]


@pytest.mark.parametrize("command", ["batch", "prepare"])
def test_where_everything_is_skipped_the_reason_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    tree(tmp_path / "in", *DATA_SETS["brats2024"], "notes/readme.md")
    assert main([command, str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "error: there is no case (BraTS-GLI-02062-100: BraTS 2024 GLI is imaged after treatment"
    )
    assert "resection cavity; and 1 more skipped), in " in told


def test_follow_up_scans_are_skipped_where_the_data_set_says_so(tmp_path: Path) -> None:
    ucsf, upenn = tmp_path / "ucsf", tmp_path / "upenn"
    for case in ("UCSF-PDGM-0429", "UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0138"):
        tree(ucsf, f"{case}_nifti/{case}_{{T1,T2,FLAIR,tumor_segmentation}}.nii.gz")
    cohort = find_cohort(ucsf)
    assert names_of(cohort) == ["UCSF-PDGM-0429"]
    assert [item.reason for item in cohort.skipped] == ["a follow-up scan of UCSF-PDGM-0429"] * 2
    for case in ("UPENN-GBM-00630_11", "UPENN-GBM-00630_21"):
        tree(upenn, f"images_structural/{case}/{case}_{{T1,T1GD,T2,FLAIR}}.nii.gz")
        tree(upenn, f"automated_segm/{case}_automated_approx_segm.nii.gz")
    cohort = find_cohort(upenn)
    assert [(e.case, e.patient, e.grade) for e in cohort.cases] == [
        ("UPENN-GBM-00630_11", "UPENN-GBM-00630", "HGG")
    ]
    assert cohort.skipped[0].reason == "a follow-up scan of UPENN-GBM-00630, after surgery"


def test_upenn_scans_are_taken_without_the_skull_where_there_are_both(tmp_path: Path) -> None:
    case, whole = "UPENN-GBM-00001_11", "images_structural_unstripped"
    tree(tmp_path, f"images_structural/{case}/{case}_{{T1,T1GD,T2,FLAIR}}.nii.gz")
    tree(tmp_path, f"{whole}/{case}/{case}_{{T1,T1GD,T2,FLAIR}}_unstripped.nii.gz")
    tree(tmp_path, f"images_segm/{case}_segm.nii.gz")
    cohort = find_cohort(tmp_path)
    assert [(e.case, e.folder.parent.name, e.problem) for e in cohort.cases] == [
        (case, "images_structural", "")
    ]
    assert [(item.path, item.reason) for item in cohort.skipped] == [
        (tmp_path / whole / case, "the same scan as in images_structural, with the skull")
    ]
    (entry,) = find_cohort(tmp_path / whole).cases  # who names the folder wants it
    assert (entry.case, entry.problem) == (case, "")


def test_the_numbers_of_brats_2017_are_no_dates(tmp_path: Path) -> None:
    cases = ["Brats17_2013_10_1", "Brats17_2013_2_1", "Brats17_2013_3_1", "Brats17_CBICA_AAB_1"]
    for case in cases:
        tree(tmp_path, f"HGG/{case}/{case}_{{t1,t1ce,t2,flair,seg}}.nii.gz")
    assert [(e.case, e.patient, e.layout) for e in find_cohort(tmp_path).cases] == [
        (case, case, "brats") for case in cases
    ]


def test_scans_of_one_patient_share_it(tmp_path: Path) -> None:
    for case in ("BraTS-GLI-00008-000", "BraTS-GLI-00008-001"):
        tree(tmp_path, f"{case}/{case}-{{t1n,t2w,t2f,seg}}.nii.gz")
    assert [e.patient for e in find_cohort(tmp_path).cases] == ["BraTS-GLI-00008"] * 2


def test_egd_as_its_archive_lays_it_out(tmp_path: Path) -> None:
    place = "MR_EGD-0007"
    tree(tmp_path, f"{place}/1_T1/NIFTI/T1.nii.gz", f"{place}/2_T1GD/NIFTI/T1GD.nii.gz")
    tree(tmp_path, f"{place}/3_T2/NIFTI/T2.nii.gz", f"{place}/4_FLAIR/NIFTI/FLAIR.nii.gz")
    tree(tmp_path, f"{place}/5_MASK/NIFTI/MASK.nii.gz")
    entry = find_cohort(tmp_path).cases[0]
    assert (entry.case, entry.layout, entry.problem) == ("EGD-0007", "egd", "")
    assert entry.files["T1"] == tmp_path / place / "1_T1" / "NIFTI" / "T1.nii.gz"
    entry.files["T1"].unlink()
    assert "T1GD.nii.gz is with contrast" in find_cohort(tmp_path).cases[0].problem


def test_utsw_masks_by_preference(tmp_path: Path) -> None:
    tree(tmp_path, *DATA_SETS["utsw"])
    taken = []
    for _ in range(3):
        mask = find_cohort(tmp_path).cases[0].files["mask"]
        taken.append(mask.name.removesuffix(".nii.gz"))
        mask.unlink()
    assert taken == ["rtumorseg_manual_correction", "tumorseg_FeTS", "tumorseg_manual_correction"]
    assert find_cohort(tmp_path).cases[0].missing == ("mask",)


def test_remind_is_recognised_and_explained(tmp_path: Path) -> None:
    tree(tmp_path, "ReMIND-001/12-25-1982-NA-Preop-00000/2-3DAXT1/1-1.dcm")
    entry = find_cohort(tmp_path).cases[0]
    assert (entry.case, entry.layout) == ("ReMIND-001", "remind")
    assert "during surgery" in entry.problem and "manifest" in entry.remedy


# BIDS


def bids(root: Path, *names: str) -> Cohort:
    return find_cohort(tree(root, *names))


def test_bids_sessions_are_cases_of_one_patient(tmp_path: Path) -> None:
    cohort = bids(
        tmp_path,
        "sub-A/ses-{1,2}/anat/sub-A_ses-1_{T1w,T2w,FLAIR}.nii.gz",
        "derivatives/x/sub-A/ses-1/anat/sub-A_ses-1_label-tumor_mask.nii.gz",
    )
    assert [(e.case, e.patient, e.missing) for e in cohort.cases] == [
        ("sub-A_ses-1", "sub-A", ()), ("sub-A_ses-2", "sub-A", ("mask",))
    ]  # fmt: skip


def test_a_subject_of_two_bids_data_sets_is_two_patients(tmp_path: Path) -> None:
    for data_set in ("one", "two"):
        cohort = bids(
            tmp_path,
            f"{data_set}/sub-01/ses-{{1,2}}/anat/sub-01_{{T1w,T2w,FLAIR}}.nii.gz",
            f"{data_set}/derivatives/x/sub-01/ses-{{1,2}}/anat/sub-01_dseg.nii.gz",
        )
    assert [e.patient for e in cohort.cases] == ["sub-01 of data set 1"] * 2 + ["sub-01 of data set 2"] * 2


def test_bids_takes_no_mask_of_brain_or_tissue(tmp_path: Path) -> None:
    cohort = bids(
        tmp_path,
        "sub-A/anat/sub-A_{T1w,T2w,FLAIR}.nii.gz",
        "derivatives/hdbet/sub-A/anat/sub-A_desc-brain_mask.nii.gz",
        "derivatives/fmriprep/sub-A/anat/sub-A_dseg.nii.gz",
        "derivatives/x/sub-A/anat/sub-A_desc-aseg_dseg.nii.gz",
    )
    assert cohort.cases[0].missing == ("mask",)


def test_bids_prefers_the_mask_that_says_tumour_and_refuses_to_choose_between_two(tmp_path: Path) -> None:
    images = "sub-A/anat/sub-A_{T1w,T2w,FLAIR}.nii.gz"
    mask = "derivatives/x/sub-A/anat/sub-A_label-tumor_dseg.nii.gz"
    first = bids(tmp_path, images, mask, "derivatives/x/sub-A/anat/sub-A_dseg.nii.gz").cases[0]
    assert first.files["mask"] == tmp_path / mask
    second = bids(tmp_path, "derivatives/y/sub-A/anat/sub-A_label-lesion_mask.nii.gz").cases[0]
    assert "sub-A_label-tumor_dseg.nii.gz and sub-A_label-lesion_mask.nii.gz" in second.problem


def test_bids_takes_sequences_in_the_space_of_the_mask(tmp_path: Path) -> None:
    place = "derivatives/sri/sub-A/anat/sub-A_space-SRI24"
    tree(tmp_path, "sub-A/anat/sub-A_{T1w,T2w,FLAIR}.nii.gz", f"{place}_label-tumor_dseg.nii.gz")
    alone = find_cohort(tmp_path).cases[0]
    assert "is in space SRI24, and the sequences are not" in alone.problem
    tree(tmp_path, f"{place}_{{T1w,T2w,FLAIR,ce-gd_T1w}}.nii.gz")
    whole = find_cohort(tmp_path).cases[0]
    assert whole.problem == ""
    assert whole.files["T1"].name == "sub-A_space-SRI24_T1w.nii.gz"


@pytest.mark.parametrize(
    "contrast",
    [
        "ce-gad",
        "acq-postGd",
        "acq-T1ce",
        "desc-contrast",
        "acq-gad",
        "acq-withGad",
        "acq-ceAxial",
        "acq-axCE3D",
        "acq-T1wC",
        "acq-mprageKM",
        "run-post",
        "rec-gadavist",
        "acq-axPostGd",
        "acq-postgd",
    ],
)
def test_bids_entities_that_tell_of_contrast(tmp_path: Path, contrast: str) -> None:
    cohort = bids(tmp_path, f"sub-A/anat/sub-A_{{{contrast}_T1w,T2w,FLAIR}}.nii.gz")
    assert cohort.cases[0].missing == ("T1", "mask")
    assert f"sub-A_{contrast}_T1w.nii.gz is with contrast" in cohort.cases[0].problem


@pytest.mark.parametrize(
    "entity", ["acq-preGd", "ce-none", "acq-axPreContrast", "acq-space", "acq-nonCE", "run-1"]
)
def test_bids_entities_that_deny_contrast(tmp_path: Path, entity: str) -> None:
    cohort = bids(tmp_path, f"sub-post/anat/sub-post_{{{entity}_T1w,T2w,FLAIR}}.nii.gz")
    assert cohort.cases[0].missing == ("mask",)


# names, links, sizes


@pytest.mark.parametrize("suffix", [".nii", ".NII.GZ", ".Nii.gz", ".nrrd", ".mha"])
def test_endings_of_files_in_any_case(tmp_path: Path, suffix: str) -> None:
    tree(tmp_path, f"Case/Case_{{T1,T2,Flair,SEG}}{suffix}")
    assert find_cohort(tmp_path).cases[0].problem == ""


def test_packed_and_unpacked_side_by_side_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, "c/c_{t1,t2,flair,seg}.nii.gz", "c/c_t2.nii")
    assert find_cohort(tmp_path).cases[0].problem == "c_t2.nii and c_t2.nii.gz could both be the T2"


def test_cases_of_one_name_are_called_after_their_folders(tmp_path: Path) -> None:
    tree(tmp_path, "{siteA,siteB}/{p1,P1,p2}/x_{t1,t2,flair,seg}.nii", "siteC/p3/x_{t1,t2,flair,seg}.nii")
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == [
        "siteA_P1",
        "siteA_p1-2",
        "siteA_p2",
        "siteB_P1",
        "siteB_p1-2",
        "siteB_p2",
        "p3",
    ]
    assert any("6 cases shared their name" in notice for notice in cohort.notices)


def test_names_of_any_script_and_with_line_ends(tmp_path: Path) -> None:
    tree(tmp_path, "Fall Müller 神経/{t1,t2,flair,seg}.nii", "a\nb/{t1,t2,flair,seg}.nii")
    cohort = find_cohort(tmp_path)
    assert sorted(names_of(cohort)) == ["Fall Müller 神経", "a_b"]
    assert {entry.folder.name for entry in cohort.cases} == {"Fall Müller 神経", "a\nb"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_in_a_circle_and_to_nowhere_are_skipped(tmp_path: Path) -> None:
    tree(tmp_path / "data", "p1/{t1,t2,flair,seg}.nii")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data" / "self").symlink_to("self")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "data" / "p1")
    cohort = find_cohort(tmp_path / "data")
    assert names_of(cohort) == ["linked", "p1"]
    reasons = {item.path.name: item.reason for item in cohort.skipped}
    assert reasons["again"] == "a link back to a folder above it"
    assert "self" in reasons


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise there")
def test_a_folder_that_may_not_be_read_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from GliomaGradingLib.cohort.layouts import folder as module

    tree(tmp_path, "{p1,closed}/{t1,t2,flair,seg}.nii")
    scandir = module.os.scandir

    def refuses(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(module.os, "scandir", refuses)
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == ["p1"]
    assert [(i.path.name, i.reason) for i in cohort.skipped] == [("closed", "no permission to read the folder")]


def test_folders_without_cases_are_skipped_with_the_reason(tmp_path: Path) -> None:
    tree(tmp_path, "p1/{t1,t2,flair,seg}.nii", "notes/readme.md", "maps/{adc,cbv}.nii")
    (tmp_path / "empty").mkdir()
    tree(tmp_path, "__MACOSX/p1/t1.nii", ".hidden/t1.nii", "p1/._t1.nii")
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == ["p1"]
    assert {item.path.name: item.reason for item in cohort.skipped} == {
        "empty": "nothing in it",
        "maps": "no T1, T2 or FLAIR among its files (adc.nii, cbv.nii)",
        "notes": "no volumes (readme.md)",
    }


@pytest.mark.parametrize("name", ["derivatives", "code", "METADATA"])
def test_cases_in_a_folder_called_like_a_part_of_a_data_set_are_told(tmp_path: Path, name: str) -> None:
    tree(tmp_path, f"sites/p1/{FOUR}", f"{name}/a/{{p2,p3}}/{FOUR}", "sourcedata/a.txt")
    cohort = find_cohort(tmp_path)
    assert names_of(cohort) == ["p1"]
    reason = "a folder of this name belongs to a data set, and is not looked into"
    assert skipped(cohort) == {name: f"{reason}: give it as the input for its cases (2 at least)"}
    assert names_of(find_cohort(tmp_path / name)) == ["p2", "p3"]
    tree(tmp_path, "sub-01/anat/sub-01_{T1w,T2w,FLAIR,dseg}.nii.gz")  # here it is one
    assert skipped(find_cohort(tmp_path)) == {}


def test_several_layouts_in_one_folder_are_told(tmp_path: Path) -> None:
    tree(
        tmp_path, "a/a_{t1,t2,flair,seg}.nii.gz", "b/b_{t1,t2,flair,seg}.nii.gz", "c/c-{t1n,t2w,t2f,seg}.nii.gz"
    )
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "brats"
    assert "several layouts are mixed: 2 brats, 1 brats2023" in cohort.notices
    assert "2 of 3 cases" in cohort.why


@pytest.mark.parametrize(
    ("layout", "text"),
    [("auto", "there is no case (nothing in it)"), ("egd", "there is no case in the layout egd")],
)
def test_a_folder_without_a_case_is_an_error(tmp_path: Path, layout: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        find_cohort(tmp_path, layout)
    assert str(error.value).startswith(text)


def test_wrong_input_is_an_error(tmp_path: Path) -> None:
    tree(tmp_path, "p1/{t1,t2,flair,seg}.nii")
    with pytest.raises(UsageError, match=r"no layout 'brat': choose auto or one of .*, manifest"):
        find_cohort(tmp_path, "brat")
    with pytest.raises(UsageError, match="no such folder or file"):
        find_cohort(tmp_path / "none")
    with pytest.raises(UsageError, match="this is a folder, not a manifest"):
        find_cohort(tmp_path, "manifest")
    with pytest.raises(
        UsageError, match=r"no case in the layout utsw, .*auto takes what is there for plain \(1 of"
    ):
        find_cohort(tmp_path, "utsw")
    with pytest.raises(UsageError, match="this is a file, not a folder of cases"):
        find_cohort(tmp_path / "p1" / "t1.nii")


def test_thousands_of_cases_take_few_looks_at_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One scan a folder, and no file opened: what makes 10,000 cases a matter of seconds."""
    from GliomaGradingLib.cohort.layouts import folder as module

    for number in range(300):
        tree(tmp_path, f"c{number:04}/c_{{t1,t1ce,t2,flair,seg}}.nii.gz")
    scans = []
    scandir = module.os.scandir
    monkeypatch.setattr(module.os, "scandir", lambda path: (scans.append(path), scandir(path))[1])
    monkeypatch.setattr(Path, "open", lambda *_a, **_k: pytest.fail("a file was opened"))
    assert len(find_cohort(tmp_path).cases) == 300
    # each case, the folder, the one above, where tables may lie, and four looked at for DICOM files
    assert len(scans) == 300 + 1 + 1 + 4


def test_the_trees_are_what_they_seem() -> None:
    assert alternatives("{a,b}/x_{1,2}") == ["a/x_1", "a/x_2", "b/x_1", "b/x_2"]


def test_a_star_stands_for_the_case_only_where_a_name_begins_with_it(tmp_path):
    """A case called ``a`` is in ``flair`` too."""
    from GliomaGradingLib.cohort.listing import describe, find_cohort

    for role in ("t1", "t2", "flair", "seg"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"x_{role}.nii.gz").touch()
    assert "x_t1.nii.gz x_t2.nii.gz x_flair.nii.gz x_seg.nii.gz" in describe(find_cohort(tmp_path))


def test_a_mask_called_as_in_a_data_set_of_one_grade_is_no_grade(tmp_path: Path) -> None:
    """``_segm`` is UPENN-GBM's ending, and everybody's."""
    files = "{grade}p1_{{t1,t2,flair,segm}}.nii.gz"
    for grade in ("LGG", "HGG"):
        tree(tmp_path, f"{grade}/{grade}p1/{files.format(grade=grade)}")
    assert {e.case: e.grade for e in find_cohort(tmp_path).cases} == {"LGGp1": "LGG", "HGGp1": "HGG"}


# Cases below cases


def skipped(cohort: Cohort) -> dict[str, str]:
    return {item.path.name: item.reason for item in cohort.skipped}


FOUR = "{t1,t2,flair,seg}.nii.gz"
STRAY = "there are cases below it, and it is none itself: T2 and FLAIR and mask not found"


def test_a_stray_volume_hides_no_cohort(tmp_path: Path) -> None:
    cohort = find_cohort(tree(tmp_path / "in", f"{{p1,p2}}/{FOUR}", "p3/{t1,t2}.nii.gz", "MNI152_T1.nii.gz"))
    assert [(e.case, e.missing) for e in cohort.cases] == [("p1", ()), ("p2", ()), ("p3", ("FLAIR", "mask"))]
    assert skipped(cohort) == {"in": STRAY}


def test_a_stray_volume_hides_no_visits(tmp_path: Path) -> None:
    cohort = find_cohort(tree(tmp_path, "p1/t1.nii.gz", f"p1/{{visit1,visit2}}/{FOUR}"))
    assert [(e.case, e.patient) for e in cohort.cases] == [("p1_visit1", "p1"), ("p1_visit2", "p1")]
    assert skipped(cohort) == {"p1": STRAY}
    with pytest.raises(CaseError, match=r"there are 2 cases \(visit1, visit2"):
        find_case_files(tmp_path / "p1")


def test_an_incomplete_case_without_a_whole_one_below_stays_one(tmp_path: Path) -> None:
    cohort = find_cohort(tree(tmp_path, "p1/{t1,t2,flair}.nii.gz", "p1/maps/{t1,t2}.nii.gz"))
    assert [(e.case, e.missing) for e in cohort.cases] == [("p1", ("mask",))]
    assert cohort.skipped == ()
    (tmp_path / "p1" / "maps").rename(tmp_path / "p1" / ".maps")
    whole = find_cohort(tree(tmp_path, f"p1/registered/{FOUR}"))
    assert [(e.folder.name, e.problem) for e in whole.cases] == [("registered", "")]
    assert find_case_files(tmp_path / "p1").paths["mask"] == whole.cases[0].files["mask"]


def test_visits_in_the_folder_of_a_case_are_cases_of_its_patient(tmp_path: Path) -> None:
    tree(tmp_path, f"p1/{FOUR}", f"p1/{{2021-03-04,visits/2022-03-04}}/{FOUR}", f"site/p1/{FOUR}")
    cohort = find_cohort(tree(tmp_path, f"site/p1/followup/{FOUR}"))
    assert [(e.case, e.patient) for e in cohort.cases] == [
        ("p1", "p1"),
        ("p1_2021-03-04", "p1"),
        ("p1_2022-03-04", "p1"),
        ("site_p1", "site_p1"),
        ("p1_followup", "site_p1"),
    ]
    assert [e.patient for e in find_cohort(tmp_path / "p1").cases] == ["p1"] * 3
    assert find_case_files(tmp_path / "p1").case == "p1"


def test_visits_in_the_folder_of_a_data_sets_case_are_its_patients(tmp_path: Path) -> None:
    case = "UPENN-GBM-00001_11"
    tree(tmp_path, f"{case}/{case}_{{T1,T2,FLAIR,segm}}.nii.gz", f"{case}/2021-03-04/{FOUR}")
    assert [(e.case, e.patient) for e in find_cohort(tmp_path).cases] == [
        (case, "UPENN-GBM-00001"),
        (f"{case}_2021-03-04", "UPENN-GBM-00001"),
    ]


def test_a_case_once_more_in_its_own_folder_is_skipped_with_the_reason(tmp_path: Path) -> None:
    tree(tmp_path, f"p1/{FOUR}", f"p1/{{registered,registered/2021-03-04,p1}}/{FOUR}", "p1/maps/t1.nii")
    cohort = find_cohort(tree(tmp_path, "p1/2020-01-01/{t1,t2,flair}.nii.gz"))
    assert names_of(cohort) == ["p1"]
    inside = "a case inside the case p1"
    assert skipped(cohort) == {
        "2020-01-01": "it lies below a whole case and is incomplete: mask not found",
        "p1": inside,
        "registered": inside,
        "2021-03-04": inside,
    }
    assert find_cohort(tree(tmp_path / "b", f"x/{FOUR}", f"x/a/b/c/d/{FOUR}")).skipped == ()  # too far below


def test_folders_of_cases_beside_cases_in_one_folder_are_cases_too(tmp_path: Path) -> None:
    cohort = find_cohort(tree(tmp_path, f"{{p1,p2}}_{FOUR}", f"p3/{FOUR}", f"registered/{{p1,p2}}_{FOUR}"))
    assert names_of(cohort) == ["p1", "p2", "p3"]
    assert [item.reason for item in cohort.skipped] == [f"a case inside the case {p}" for p in ("p1", "p2")]


def test_what_a_storage_box_keeps_of_deleted_files_does_not_come_back(tmp_path: Path) -> None:
    tree(tmp_path, f"p1/{FOUR}", f"{{#recycle,@Recycle,#Recycle,@eaDir,$RECYCLE.BIN}}/p2/{FOUR}")
    assert names_of(find_cohort(tmp_path)) == ["p1"] and find_cohort(tmp_path).skipped == ()


# All cases in one folder, by the rules of their data sets


def test_patients_and_follow_ups_of_a_data_set_in_one_folder(tmp_path: Path) -> None:
    tree(tmp_path, "UPENN-GBM-0000{1_11,1_21,2_11}_{T1,T1GD,T2,FLAIR,segm}.nii.gz")
    tree(tmp_path, "UCSF-PDGM-{0429_FU003d,0004}_{T1,T2,FLAIR,tumor_segmentation}.nii.gz")
    cohort = find_cohort(tmp_path)
    assert [(e.case, e.patient, e.layout, e.grade) for e in cohort.cases] == [
        ("UCSF-PDGM-0004", "UCSF-PDGM-0004", "ucsf-pdgm", None),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001", "upenn-gbm", "HGG"),
        ("UPENN-GBM-00002_11", "UPENN-GBM-00002", "upenn-gbm", "HGG"),
    ]
    assert skipped(cohort) == {
        "UCSF-PDGM-0429_FU003d_T1.nii.gz": "a follow-up scan of UCSF-PDGM-0429",
        "UPENN-GBM-00001_21_T1.nii.gz": "a follow-up scan of UPENN-GBM-00001, after surgery",
    }
    assert sum("UPENN-GBM is glioblastoma only" in notice for notice in cohort.notices) == 1


@pytest.mark.parametrize("asked", ["auto", "flat"])
def test_brats_2024_in_one_folder_is_after_treatment_too(tmp_path: Path, asked: str) -> None:
    tree(tmp_path, "BraTS-GLI-0{2000-100,0000-000,0000-001}-{t1n,t2w,t2f,seg}.nii.gz")
    cohort = find_cohort(tmp_path, asked)
    assert [(e.case, e.patient) for e in cohort.cases] == [
        (f"BraTS-GLI-00000-00{visit}", "BraTS-GLI-00000") for visit in (0, 1)
    ]
    assert "resection cavity" in skipped(cohort)["BraTS-GLI-02000-100-t1n.nii.gz"]


def test_further_files_of_a_case_in_one_folder_are_no_case(tmp_path: Path) -> None:
    tree(tmp_path, "{p0,p1,p2}_{t1,t2,flair,seg,brain_mask}.nii.gz", "p1_{post_t1,t1_mask,gd_reg_t1}.nii.gz")
    cohort = find_cohort(tmp_path)
    assert [(e.case, e.problem) for e in cohort.cases] == [("p0", ""), ("p1", ""), ("p2", "")]
    (tmp_path / "p1_t1.nii.gz").unlink()
    lacking = find_cohort(tmp_path).cases[1]
    assert lacking.problem == "T1 not found (p1_gd_reg_t1.nii.gz is with contrast and is not taken for T1)"


@pytest.mark.parametrize("whole", ["", "p0_t1.nii.gz", "p0_t1.nii.gz p1_t1.nii.gz"])
def test_in_one_folder_each_case_that_has_t1_with_contrast_only_says_so(tmp_path: Path, whole: str) -> None:
    tree(tmp_path, "{p0,p1,p2}_{t1ce,t2,flair,seg}.nii.gz", *whole.split())
    told = {entry.case: entry.problem for entry in find_cohort(tmp_path).cases}
    for case in ("p0", "p1", "p2"):
        why = f"T1 not found ({case}_t1ce.nii.gz is with contrast and is not taken for T1)"
        assert told[case] == ("" if case in whole else why)


@pytest.mark.parametrize("whole", ["", "p2_seg.nii.gz"])
def test_in_one_folder_each_case_whose_mask_is_not_drawn_yet_says_so(tmp_path: Path, whole: str) -> None:
    tree(tmp_path, "{p0,p1,p2}_{t1,t2,flair}.nii.gz", *whole.split())
    told = {entry.case: entry.problem for entry in find_cohort(tmp_path).cases}
    assert told == {case: "" if case in whole else "mask not found" for case in ("p0", "p1", "p2")}


@pytest.mark.parametrize("words", ["reg", "mni", "native", "resampled_1mm", "raw"])
def test_the_same_case_once_more_in_one_folder_is_skipped_with_the_reason(tmp_path: Path, words: str) -> None:
    """Two patients of one would be graded, one of them perhaps in training and one in test."""
    tree(tmp_path, *(f"{p}/{{{p},{p}_{words}}}_{FOUR}" for p in ("P1", "P2")), f"P1/registered/{FOUR}")
    cohort = find_cohort(tmp_path)
    assert [(entry.case, entry.patient) for entry in cohort.cases] == [("P1", "P1"), ("P2", "P2")]
    assert [(item.path.parent.name, item.reason) for item in cohort.skipped] == [
        ("P1", "the case P1 once more"),
        ("P1", "a case inside the case P1"),
        ("P2", "the case P2 once more"),
    ]
    assert find_case_files(tmp_path / "P2").case == "P2"


@pytest.mark.parametrize("others", ["P1_2", "P1_pre", "P1_b"])
def test_words_that_may_be_of_another_case_leave_it(tmp_path: Path, others: str) -> None:
    tree(tmp_path, f"{{P1,{others}}}_{FOUR}", f"P2_reg_{FOUR}")
    assert sorted(names_of(find_cohort(tmp_path))) == ["P1", others, "P2_reg"]


def test_a_case_whose_name_begins_like_anothers_stays_one(tmp_path: Path) -> None:
    tree(tmp_path, f"{{p1,p1_b,p2}}_{FOUR}", "p1_c_{t2,flair}.nii.gz", "p1_2021-03-04_t2.nii.gz")
    assert {e.case: e.missing for e in find_cohort(tmp_path).cases} == {
        "p1": (),
        "p1_b": (),
        "p1_c": ("T1", "mask"),
        "p1_2021-03-04": ("T1", "FLAIR", "mask"),
        "p2": (),
    }
