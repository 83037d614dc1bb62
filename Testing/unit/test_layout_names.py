"""What names say of files that only look like a sequence or the tumour's mask, on trees of empty files."""

from __future__ import annotations

from pathlib import Path

import pytest
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cohort.entry import CaseEntry
from GliomaGradingLib.cohort.listing import find_cohort
from GliomaGradingLib.reading.segment_names import names_tumour
from GliomaGradingLib.reading.sequence_names import (
    CONTRAST,
    has_contrast,
    is_mask_name,
    is_other_organ,
    read_sequence,
    sequence_of,
)
from layout_trees import tree
from test_layouts_dicom import UID, series

IMAGES = "p1/p1_{t1,t2,flair}.nii.gz"


def only(root: Path, *names: str) -> CaseEntry:
    """The only case of a tree."""
    (entry,) = find_cohort(tree(root, *names)).cases
    return entry


# masks


@pytest.mark.parametrize(
    ("masks", "taken"),
    [
        ("ventricles_seg,tumor_seg", "tumor_seg"), ("wmh_mask,tumor_mask", "tumor_mask"),
        ("t1_mask,tumor_mask", "tumor_mask"), ("mask,tumor", "tumor"), ("core_seg,tumor_seg", "tumor_seg"),
        ("edema_mask,tumor_seg", "tumor_seg"), ("seg,tumor_mask", "tumor_mask"), ("seg,brain_mask", "seg"),
        ("core_seg,tumour_mask", "tumour_mask"), ("seg,hippocampus_mask", "seg"), ("seg,hdbet_mask", "seg"),
        ("core_mask,tumour_seg", "tumour_seg"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("case", ["p1", "head_7", "Ventricles_2"])
def test_the_mask_that_says_tumour_is_taken(tmp_path: Path, masks: str, taken: str, case: str) -> None:
    entry = only(tmp_path, f"{case}/{case}_{{t1,t2,flair,{masks}}}.nii.gz")
    assert (entry.problem, entry.files["mask"].name) == ("", f"{case}_{taken}.nii.gz")


@pytest.mark.parametrize("masks", ["seg,mask", "labels,roi", "seg,t1_mask", "core_seg,edema_mask"])
def test_between_masks_that_say_no_more_nobody_can_choose(tmp_path: Path, masks: str) -> None:
    entry = only(tmp_path, IMAGES, f"p1/p1_{{{masks}}}.nii.gz")
    one, other = sorted(f"p1_{mask}.nii.gz" for mask in masks.split(","))
    assert entry.problem == f"{one} and {other} could both be the mask"
    assert "mask" not in entry.files and "name the files one by one" in entry.remedy


def test_in_one_folder_for_all_cases_neither(tmp_path: Path) -> None:
    tree(tmp_path, "{p1,p2,p3}_{t1,t2,flair,seg}.nii.gz", "p3_mask.nii.gz", "p2_tumor.nii.gz")
    entries = find_cohort(tmp_path).cases
    assert [entry.problem for entry in entries] == [
        "", "", "p3_mask.nii.gz and p3_seg.nii.gz could both be the mask"
    ]  # fmt: skip
    assert entries[1].files["mask"].name == "p2_tumor.nii.gz"


def test_a_data_set_has_rules_of_its_own_for_masks(tmp_path: Path) -> None:
    case = "BraTS20_Training_001"
    entry = only(tmp_path, f"{case}/{case}_{{t1,t2,flair,seg,tumor_mask,mask}}.nii.gz")
    assert (entry.layout, entry.files["mask"].name) == ("brats", f"{case}_seg.nii.gz")
    odd = "BraTS20_Training_355"  # the data set has one mask with another name
    tree(tmp_path / "odd", f"{odd}/{odd}_{{t1,t1ce,t2,flair}}.nii", f"{odd}/W39_1998.09.19_Segm.nii")
    assert find_cohort(tmp_path / "odd").cases[0].files["mask"].name == "W39_1998.09.19_Segm.nii"


@pytest.mark.parametrize(
    "mask",
    [
        "p1_ventricles_mask", "p1_non_tumor_seg", "p1_resection_cavity_mask", "p1_brain_mask", "brain_seg",
        "p2_seg", "P12_tumor_seg",
    ],
)  # fmt: skip
def test_the_mask_of_something_else_or_somebody_else_is_none(tmp_path: Path, mask: str) -> None:
    entry = only(tmp_path, IMAGES, f"p1/{mask}.nii.gz")
    assert entry.problem == "mask not found" and f"there is {mask}.nii.gz" in entry.remedy


@pytest.mark.parametrize("mask", ["seg", "p01_seg", "tumor_p2_seg", "p1_v2_seg", "t1_seg", "x7_seg"])
def test_a_mask_that_may_be_of_the_case_is_taken(tmp_path: Path, mask: str) -> None:
    assert only(tmp_path, IMAGES, f"p1/{mask}.nii.gz").problem == ""


def test_whose_a_mask_is_the_names_of_the_sequences_tell_where_the_folder_does_not(tmp_path: Path) -> None:
    assert only(tmp_path / "a", "x7/p1_{t1,t2,flair,seg}.nii.gz").problem == ""
    assert only(tmp_path / "b", "T2/{t1,t2,flair,t1_mask}.nii.gz").problem == ""
    assert only(tmp_path / "c", "x/p1_{t1,t2,flair}.nii.gz", "x/p2_seg.nii.gz").missing == ("mask",)


@pytest.mark.parametrize("mask", ["brain_tumor_mask", "brain_tumour_seg", "brain_tumor", "brain_lesion_mask"])
@pytest.mark.parametrize("start", ["", "p1_"])
def test_a_tumour_of_the_brain_is_one(tmp_path: Path, mask: str, start: str) -> None:
    entry = only(tmp_path, IMAGES, f"p1/{start}{mask}.nii.gz")
    assert (entry.problem, entry.files["mask"].name) == ("", f"{start}{mask}.nii.gz")


def test_a_brain_mask_of_a_study_of_tumours_is_the_brain_s(tmp_path: Path) -> None:
    assert only(tmp_path, "a/{t1,t2,flair}.nii.gz", "a/tumor_brain_mask.nii.gz").missing == ("mask",)
    for name in ("brain_tumor_mask", "Brain tumour", "tumor mask in brain", "brain_lesion_seg"):
        assert not is_other_organ(name), name
        assert is_mask_name(name), name
    for name in ("GBM_01_brain_mask", "tumorbank_brain_mask", "brain_without_tumor_mask", "brain non-tumor"):
        assert is_other_organ(name), name
        assert not is_mask_name(name), name


def test_what_names_a_tumour() -> None:
    assert all(map(names_tumour, ("_tumor_seg", "tumorseg", "Whole tumour", "lesion", "Edema")))
    assert not any(map(names_tumour, ("seg", "mask", "labels", "no tumor", "normal brain", "resection cavity")))


# sequences


def test_a_t1_flair_is_no_flair(tmp_path: Path) -> None:
    both = only(tmp_path / "a", "p1/p1_{t1,t2,T1_FLAIR,T2_FLAIR,seg}.nii.gz")
    assert (both.problem, both.files["FLAIR"].name) == ("", "p1_T2_FLAIR.nii.gz")
    for number, name in enumerate(("T1_FLAIR", "t1_fl", "t1w_flair", "ax t1 flair", "T1_FLAIR_brain")):
        alone = only(tmp_path / f"{number}", f"p1/p1_{{t1,t2,{name},seg}}.nii.gz")
        assert alone.problem == "FLAIR not found" and f"p1_{name}.nii.gz" in alone.remedy


def test_a_case_called_t1_has_a_flair(tmp_path: Path) -> None:
    tree(tmp_path, "p1_T1/p1_T1_{t1,t2,flair,seg}.nii.gz", "p2/T1/T1_{t1,t2,flair,seg}.nii.gz")
    tree(tmp_path, "p3/p3_T1_{t1,t2,flair,seg}.nii.gz", "4/x_T1_{t1,t2,flair,seg}.nii.gz")
    assert [entry.problem for entry in find_cohort(tmp_path).cases] == [""] * 4


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ("rcbv_reg_t1,t2,flair", "T1"), ("t1,adc_reg_t2,flair", "T2"), ("t1,t2,mask_flair", "FLAIR"),
        ("t1,t2,brain_mask_flair", "FLAIR"), ("swi_t1,t2,flair", "T1"), ("t1,gre_t2,flair", "T2"),
        ("t1,t2_map_t2,flair", "T2"), ("t1,t2,tumor_flair", "FLAIR"),
    ],
)  # fmt: skip
def test_maps_and_masks_placed_like_a_sequence_are_none(tmp_path: Path, names: str, lacking: str) -> None:
    entry = only(tmp_path, f"p1/p1_{{{names},seg}}.nii.gz")
    assert entry.problem == f"{lacking} not found"
    tree(tmp_path, f"p1/p1_{lacking}.nii.gz")
    whole = only(tmp_path)
    assert (whole.problem, whole.files[lacking].name) == ("", f"p1_{lacking}.nii.gz")


@pytest.mark.parametrize("name", ["gre_t1", "masked_t1", "swirl_t1", "segovia_t1", "fast_t1"])
def test_words_that_only_look_so_do_no_harm(tmp_path: Path, name: str) -> None:
    assert only(tmp_path, f"p1/p1_{{{name},t2,flair,seg}}.nii.gz").files["T1"].name == f"p1_{name}.nii.gz"


@pytest.mark.parametrize(
    "names",
    [
        "map_study_1/map_study_1_", "mask/mask_", "adc/", "tumor_anna/tumor_anna_", "001/tumorbank_12_",
        "perf_7/perf_7-", "7/roi_x_", "x/label_3 ", "lesion_map/",
    ],
)  # fmt: skip
def test_a_case_may_be_called_like_a_map_or_a_mask(tmp_path: Path, names: str) -> None:
    entry = only(tmp_path, f"{names}{{t1,t2,flair,seg}}.nii.gz")
    assert (entry.problem, len(entry.files)) == ("", 4)


def test_so_may_those_in_one_folder(tmp_path: Path) -> None:
    tree(tmp_path, "{tumor_anna,map_2,fa_3}_{t1,t2,flair,seg}.nii.gz")
    entries = find_cohort(tmp_path).cases
    assert [(e.layout, e.case, e.problem) for e in entries] == [
        ("flat", case, "") for case in ("fa_3", "map_2", "tumor_anna")
    ]


def test_contrast_in_chinese(tmp_path: Path) -> None:
    entry = only(tmp_path, "p1/{增强_T1,T2,FLAIR,seg}.nii.gz")
    assert entry.problem == "T1 not found (增强_T1.nii.gz is with contrast and is not taken for T1)"
    assert has_contrast("T1 增強") and not has_contrast("非增强_T1") and not has_contrast("未增强")
    assert only(tmp_path / "b", "p1/{非增强_T1,T2,FLAIR,seg}.nii.gz").problem == ""


# contrast: what one layout reads in a name, every layout does

WITH = [
    "KM", "mKM", "nKM", "mit KM", "nach KM", "mitKM", "nachKM", "p.c.", "pc", "PC", "wGad", "wGd",
    "w Gd", "withC", "plusC", "plus C", "+C", "+GAD", "GRE+C", "GRE Gd", "Kontrast",
    "mit Kontrastmittel", "avec injection", "apres injection", "après injection", "avecInj", "apresInj",
    "con contraste", "con inyección", "con contrasto", "dopo mdc", "con iniezione", "com injeção", "增强",
    "平扫 增强", "postGd", "mprage post", "vor und nach KM", "mit und ohne KM", "ohne und mit KM",
    "with and without contrast", "avec et sans injection",
]  # fmt: skip
WITHOUT = [
    "GRE", "3D GRE", "ohne KM", "vor KM", "oKM", "ohneKM", "vor Kontrastmittel", "ohne Kontrast",
    "nativ", "sans injection", "avant injection", "avant injection de gado",
    "sans produit de contraste", "sans contraste", "sansInj", "sin contraste", "sin medio de contraste",
    "antes de contraste", "sin inyección", "senza contrasto", "senza mdc", "senza mezzo di contrasto",
    "prima del contrasto", "senza iniezione", "sem injeção", "平扫", "非增强", "pre", "pre contrast",
    "w o contrast", "unEnhanced", "without contrast",
]  # fmt: skip
SPIN_ECHO = {"EchoTime": "12", "RepetitionTime": "550", "ScanningSequence": "SE"}
FLAT = "{}_{{t1,t2,flair,seg}}.nii"
NAMED = " is with contrast and is not taken for T1)"


def camel(words: str) -> str:
    """Words run together as BIDS has them: ``mitKM``, ``preContrast``."""
    first, *others = words.replace(".", "").split()
    return first + "".join(word[0].upper() + word[1:] for word in others)


def whole(names: str) -> tuple[str, ...]:
    """Two cases with all four files."""
    return tuple(names.format(case) for case in ("p1", "p2"))


@pytest.mark.parametrize(("words", "is_given"), [*((w, True) for w in WITH), *((w, False) for w in WITHOUT)])
def test_every_layout_and_dicom_reads_a_word_of_contrast_alike(
    tmp_path: Path, words: str, is_given: bool
) -> None:
    name = f"T1_{words.replace(' ', '_')}"
    assert sequence_of(f"T1 {words}") == sequence_of(f"t1_tse_tra_{words}") == (CONTRAST if is_given else "T1")
    assert read_sequence((f"T1 {words}",), SPIN_ECHO).sequence == (CONTRAST if is_given else "T1")
    taken: dict[str, CaseEntry] = {
        "plain": only(tmp_path / "plain", f"PAT7/{name}.nii", "PAT7/{t2,flair,seg}.nii"),
        "spaces": only(tmp_path / "spaces", f"PAT7/PAT7_T1 {words}.nii", "PAT7/{t2,flair,seg}.nii"),
        "before": only(tmp_path / "before", f"PAT7/PAT7_{name[3:]}_T1.nii", "PAT7/PAT7_{t2,flair,seg}.nii"),
        "bids": only(
            tmp_path / "bids", f"sub-01/anat/sub-01_acq-{camel(words)}_T1w.nii", BIDS.replace("T1w,", ""),
            "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz",
        ),
        "flat": find_cohort(
            tree(tmp_path / "flat", *whole(FLAT), f"p3_{name}.nii", "p3_{t2,flair,seg}.nii")
        ).cases[2],
    }  # fmt: skip
    files = {how: entry.files["T1"].name if "T1" in entry.files else None for how, entry in taken.items()}
    written = {
        "plain": f"{name}.nii",
        "spaces": f"PAT7_T1 {words}.nii",
        "before": f"PAT7_{name[3:]}_T1.nii",
        "bids": f"sub-01_acq-{camel(words)}_T1w.nii",
        "flat": f"p3_{name}.nii",
    }
    assert files == (dict.fromkeys(written) if is_given else written)
    problems = {how: entry.problem for how, entry in taken.items()}
    assert problems == {how: f"T1 not found ({one}{NAMED}" if is_given else "" for how, one in written.items()}


@pytest.mark.parametrize(
    "text", ["T1 w/c", "T1 W/WO", "T1 m. u. o. KM", "T1 m/o KM", "T1 w and w/o", "T1 m.KM"]
)
def test_what_only_a_description_may_have(text: str) -> None:
    assert sequence_of(text) == CONTRAST
    assert {sequence_of(one) for one in ("T1 w/o", "T1 w/o c", "T1 o. KM", "T1w w/o contrast")} == {"T1"}


@pytest.mark.parametrize(
    ("native", "given"),
    [
        ("T1_GRE", "T1_GRE+C"), ("T1_ohne_KM", "T1_mit_KM"), ("T1_vor_KM", "T1_nach_KM"),
        ("T1_平扫", "T1_增强"), ("T1_sans_injection", "T1_avec_injection"), ("T1平扫", "T1增强"),
        ("T1", "T1_nKM"), ("T1_oKM", "T1_mKM"),
        ("T1_sin_contraste", "T1_con_contraste"), ("T1_senza_mdc", "T1_con_mdc"), ("T1 GRE", "T1 GRE p.c."),
    ],
)  # fmt: skip
def test_of_a_t1_and_one_with_contrast_the_first_is_taken(tmp_path: Path, native: str, given: str) -> None:
    entry = only(tmp_path / "plain", f"p1/{{{native},{given},t2,flair,seg}}.nii.gz")
    assert (entry.problem, entry.files["T1"].name) == ("", f"{native}.nii.gz")
    names = f"{{}}_{{{{{native},{given},t2,flair,seg}}}}.nii.gz"
    entries = find_cohort(tree(tmp_path / "flat", *whole(names))).cases
    assert [(e.layout, e.problem, e.files["T1"].name) for e in entries] == [
        ("flat", "", f"{case}_{native}.nii.gz") for case in ("p1", "p2")
    ]


def test_one_with_contrast_is_named_where_the_sign_joins_the_word(tmp_path: Path) -> None:
    entry = only(tmp_path, "p1/{MPRAGE,MPRAGE+C,t2,flair,seg}.nii.gz")
    assert entry.problem == f"T1 not found (MPRAGE+C.nii.gz{NAMED}"


def test_a_gradient_echo_of_t2_is_no_t2(tmp_path: Path) -> None:
    assert only(tmp_path / "plain", "p1/p1_{t1,T2_GRE,flair,seg}.nii").problem == "T2 not found"
    tree(tmp_path / "flat", *whole(FLAT), "p3_{t1,T2_GRE,flair,seg}.nii")
    assert find_cohort(tmp_path / "flat").cases[2].problem == "T2 not found"


@pytest.mark.parametrize("case", ["PC_012", "PC-7", "PC012", "MKM_01", "nKM-3"])
def test_a_case_may_be_called_like_post_contrast(tmp_path: Path, case: str) -> None:
    assert only(tmp_path / "plain", f"{case}/{case}_{{T1,T2,FLAIR,seg}}.nii").problem == ""
    other = f"{case}9"
    flat = find_cohort(tree(tmp_path / "flat", f"{{{case},{other}}}_{{t1_GRE,t2,flair,seg}}.nii")).cases
    assert sorted((entry.case, entry.problem) for entry in flat) == sorted([(case, ""), (other, "")])
    for name in (
        "PC_012_T1",
        "PC012 T1",
        "p1_6mo_T1",
        "anne_mkmx_t1",
        "t1_pcasl_m0",
        "NCE_T1",
        "T1-w w/o contrast",
    ):
        assert not has_contrast(name), name


def test_in_one_folder_words_behind_make_no_case_and_are_of_no_other(tmp_path: Path) -> None:
    tree(tmp_path, *whole("{}_{{t1,t2,flair,seg,t1_brain}}.nii"), "MNI152_T1_1mm.nii")
    tree(tmp_path, "p3_{t2,flair,seg}.nii", "p3_2021-03-04_t1_1mm.nii", "p4_{t2_ax,flair,seg,t1_GRE,t1_ax}.nii")
    entries = {entry.case: entry for entry in find_cohort(tmp_path).cases}
    assert {case: entry.problem for case, entry in entries.items()} == {
        "p1": "", "p2": "", "p3": "T1 not found", "p4": "p4_t1_GRE.nii and p4_t1_ax.nii could both be the T1"
    }  # fmt: skip
    assert "there is p3_2021-03-04_t1_1mm.nii" in entries["p3"].remedy
    assert entries["p1"].files["T1"].name == "p1_t1.nii"


def test_by_sequence_a_t1_is_told_by_capitals_too(tmp_path: Path) -> None:
    tree(tmp_path, "T1/{p1_nKM,p2_mKM,p3_pc,p4,p5}.nii", "{T2,FLAIR,mask}/{p1,p2,p3,p4,p5}.nii")
    assert {entry.case: entry.problem for entry in find_cohort(tmp_path).cases} == {
        **{c: f"T1 not found ({c}_{w}.nii{NAMED}" for c, w in (("p1", "nKM"), ("p2", "mKM"), ("p3", "pc"))},
        "p4": "",
        "p5": "",
    }  # fmt: skip


# folders called like a sequence


def test_time_points_called_t1_and_t2_are_visits(tmp_path: Path) -> None:
    """Each is a case; the folders are no series of one that has no FLAIR."""
    tree(tmp_path, "{P1,P2}/{T0,T1,T2}/{t1,t2,flair,seg}.nii.gz")
    found = [(entry.case, entry.patient, entry.problem) for entry in find_cohort(tmp_path).cases]
    assert found == [(f"{p}_{t}", p, "") for p in ("P1", "P2") for t in ("T0", "T1", "T2")]


def test_time_points_of_dicom_series_are_no_series(tmp_path: Path) -> None:
    for number, time in enumerate(("T0", "T1", "T2")):
        for name in ("AX T1", "AX T2", "AX FLAIR"):
            series(tmp_path / "P1" / time / name, UID.format(number))
    assert [(e.case, e.layout) for e in find_cohort(tmp_path).cases] == [
        ("T0", "dicom"), ("T1", "dicom"), ("T2", "dicom")
    ]  # fmt: skip


def test_a_folder_without_an_image_is_none(tmp_path: Path) -> None:
    entry = only(tmp_path / "a", "p1/p1_{t1,t2,flair,mask}.nii.gz", "p1/mask/{1,2}.png")
    assert entry.files["mask"].name == "p1_mask.nii.gz"
    entry = only(tmp_path / "b", "p1/p1_{t1w,t2,flair,mask}.nii.gz", "p1/T1/notes.txt")
    assert (entry.files["T1"].name, entry.problem) == ("p1_t1w.nii.gz", "")
    entry = only(tmp_path / "c", "p1/p1_{t2,flair,mask}.nii.gz", "p1/T1/{a,b}.nii.gz")
    assert entry.problem == "T1 not found"


def test_a_file_goes_before_a_folder(tmp_path: Path) -> None:
    series(tmp_path / "p1" / "T1", UID.format(1))
    entry = only(tmp_path, "p1/p1_{t1w,t2,flair,mask}.nii.gz")
    assert (entry.files["T1"].name, entry.problem) == ("p1_t1w.nii.gz", "")


def test_folders_with_one_image_each_are_one_case(tmp_path: Path) -> None:
    entry = only(tmp_path, "p1/{T1,T2,FLAIR,mask}/x.nii.gz", "p1/T1/x.json")
    assert entry.files == {role: tmp_path / "p1" / role for role in ("T1", "T2", "FLAIR", "mask")}
    series(tmp_path / "deep" / "p2" / "T1" / "DICOM" / "S1", UID.format(1))
    deep = only(tmp_path / "deep", "p2/{T2,FLAIR,mask}.nii.gz")
    assert deep.files["T1"] == tmp_path / "deep" / "p2" / "T1"


def test_a_folder_for_each_sequence_with_the_files_of_several_cases(tmp_path: Path) -> None:
    tree(tmp_path, "bs/T1/{p1,p2,p3}_t1.nii.gz", "bs/T1ce/{p1,p2,p3}_t1ce.nii.gz")
    tree(tmp_path, "bs/T2/{p1,p2,p3}_t2.nii.gz", "bs/FLAIR/{p1,p2}_flair.nii.gz", "bs/masks/{p1,p2,p3}.nii.gz")
    tree(tmp_path, "bs/T1/p3_post_t1.nii.gz", "bs/T2/p1.nii.gz")
    p1, p2, p3 = find_cohort(tmp_path).cases
    assert p1.problem == "p1.nii.gz and p1_t2.nii.gz could both be the T2"
    assert (p2.layout, p2.case, p2.problem, p2.patient) == ("by-sequence", "p2", "", "p2")
    assert [path.relative_to(tmp_path / "bs").as_posix() for path in p2.files.values()] == [
        "T1/p2_t1.nii.gz", "T2/p2_t2.nii.gz", "FLAIR/p2_flair.nii.gz", "masks/p2.nii.gz"
    ]  # fmt: skip
    assert p3.problem == "FLAIR not found" and "list them in a manifest" in p3.remedy


def test_the_folders_of_the_sequences_are_not_looked_into_again(tmp_path: Path) -> None:
    names = ("T1/{p1,p2}_t1", "T2/{p1,p2}_t2", "FLAIR/{p1,p2}_flair", "mask/{p1,p2}_seg")
    cohort = find_cohort(tree(tmp_path, *(f"{name}.nii.gz" for name in names)))
    assert [(entry.case, entry.problem) for entry in cohort.cases] == [("p1", ""), ("p2", "")]
    assert cohort.skipped == ()


def test_where_names_in_them_are_not_alike_it_is_told(tmp_path: Path) -> None:
    entry = only(tmp_path, "bs/T1/{a,b}.nii.gz", "bs/T2/{c,d}.nii.gz", "bs/FLAIR/{e,f}.nii.gz")
    assert entry.problem.endswith("hold several volumes each, of which no two are called alike")
    assert "manifest" in entry.remedy


def test_a_t1_with_contrast_in_the_folder_of_the_t1_is_none(tmp_path: Path) -> None:
    tree(tmp_path, "T1/{p1_t1ce,p2_post,p3,p4}.nii.gz", "{T2,FLAIR,mask}/{p1,p2_post,p3,p4}.nii.gz")
    assert {entry.case: entry.missing for entry in find_cohort(tmp_path).cases} == {
        "p1": ("T1",), "p2_post": ("T1",), "p3": (), "p4": ()
    }  # fmt: skip
    problems = {entry.case: entry.problem for entry in find_cohort(tmp_path).cases}
    assert problems["p1"] == "T1 not found (p1_t1ce.nii.gz is with contrast and is not taken for T1)"
    assert problems["p2_post"] == "T1 not found (p2_post.nii.gz is with contrast and is not taken for T1)"


@pytest.mark.parametrize("cases", ["KM_001,KM_002", "GD012,GD013", "Post-01,Post-02"])
@pytest.mark.parametrize("names", ["{T1,T2,FLAIR,mask}/{CASES}.nii", "{CASES}_{t1,t1ce,t2,flair,seg}.nii"])
def test_cases_may_be_called_like_a_contrast_agent(tmp_path: Path, cases: str, names: str) -> None:
    cohort = find_cohort(tree(tmp_path, names.replace("CASES", cases)))
    assert [(entry.case, entry.problem) for entry in cohort.cases] == [(case, "") for case in cases.split(",")]


# BIDS

BIDS = "sub-01/anat/sub-01_{T1w,T2w,FLAIR}.nii.gz"


@pytest.mark.parametrize(
    "mask",
    [
        "bet/sub-01/anat/sub-01_desc-bet_mask", "hd-bet/sub-01/anat/sub-01_mask", "HDBET/sub-01/sub-01_mask",
        "x/sub-01/anat/sub-01_label-ventricles_mask", "x/sub-01/anat/sub-01_label-hippocampus_dseg",
        "x/sub-01/anat/sub-01_desc-nontumor_mask", "synthstrip/sub-01/anat/sub-01_mask",
        "x/sub-01/anat/sub-01_desc-hdbet_mask", "x/sub-01/anat/sub-01_label-leftVentricle_mask",
    ],
)  # fmt: skip
def test_bids_masks_of_something_else(tmp_path: Path, mask: str) -> None:
    place = mask.replace("sub-01/sub-01_", "sub-01/anat/sub-01_")
    assert only(tmp_path, BIDS, f"derivatives/{place}.nii.gz").problem == "mask not found"


@pytest.mark.parametrize(
    "mask", ["hd-bet/sub-01/anat/sub-01_label-tumor_mask", "x/sub-01/anat/sub-01_label-brainTumor_mask",
             "alphabet/sub-01/anat/sub-01_mask", "x/sub-01/anat/sub-01_label-L_desc-manual_mask"],
)  # fmt: skip
def test_bids_masks_of_a_tumour(tmp_path: Path, mask: str) -> None:
    entry = only(tmp_path, BIDS, f"derivatives/{mask}.nii.gz")
    assert (entry.problem, entry.files["mask"]) == ("", tmp_path / "derivatives" / f"{mask}.nii.gz")


def test_bids_masks_in_derivatives_without_a_pipeline(tmp_path: Path) -> None:
    mask = "derivatives/sub-01/anat/sub-01_label-tumor_mask.nii.gz"
    assert only(tmp_path, BIDS, mask).files["mask"] == tmp_path / mask


def test_bids_says_what_two_masks_are_a_problem_of(tmp_path: Path) -> None:
    entry = only(tmp_path, BIDS, "derivatives/x/sub-01/anat/sub-01_label-{tumorL,tumorR}_mask.nii.gz")
    names = "sub-01_label-tumorL_mask.nii.gz and sub-01_label-tumorR_mask.nii.gz"
    assert entry.problem == f"{names} could both be the mask"
    assert entry.remedy == "name the files one by one, or list them in a manifest"


# data sets


def test_rhuh_gbm_calls_its_masks_segmentations(tmp_path: Path) -> None:
    entry = only(tmp_path, "RHUH-0001/0/RHUH-0001_0_{t1,t1ce,t2,flair,adc,segmentations}.nii.gz")
    assert (entry.problem, entry.files["mask"].name) == ("", "RHUH-0001_0_segmentations.nii.gz")


def test_mu_glioma_post_calls_its_masks_in_one_word(tmp_path: Path) -> None:
    name = "PatientID_0003_Timepoint_1"
    files = f"{name}_{{brain_t1n,brain_t1c,brain_t2w,brain_t2f,tumorMask}}.nii.gz"
    entry = only(tmp_path, f"PatientID_0003/Timepoint_1/{files}")
    assert (entry.problem, entry.files["mask"].name) == ("", f"{name}_tumorMask.nii.gz")


@pytest.mark.parametrize(("kind", "tumour"), [("MEN", "meningioma"), ("MET", "metastases")])
@pytest.mark.parametrize("names", ["t1n,t1c,t2w,t2f,seg", "t1c,t2w,t2f,seg"])
def test_other_tumours_of_brats_2023_are_skipped(tmp_path: Path, kind: str, tumour: str, names: str) -> None:
    for case in (f"BraTS-{kind}-00004-000", "BraTS-GLI-00004-000"):
        tree(tmp_path, f"{case}/{case}-{{{names}}}.nii.gz")
    cohort = find_cohort(tmp_path)
    assert [entry.case for entry in cohort.cases] == ["BraTS-GLI-00004-000"]
    assert [(item.path.name, item.reason) for item in cohort.skipped] == [
        (f"BraTS-{kind}-00004-000", f"BraTS-{kind} is {tumour}, and no glioma")
    ]
    if "t1n" in names:
        doubt = find_case_files(tmp_path / f"BraTS-{kind}-00004-000").doubt
        assert doubt == f"BraTS-{kind} is {tumour}, and no glioma"


def test_other_tumours_of_brats_africa_are_skipped(tmp_path: Path) -> None:
    cases = {"95_Glioma": "BraTS-SSA-00002-000", "51_OtherNeoplasms": "BraTS-SSA-00009-000"}
    for folder, case in cases.items():
        tree(tmp_path, f"{folder}/{case}/{case}-{{t1n,t1c,t2w,t2f,seg}}.nii.gz")
    cohort = find_cohort(tmp_path)
    assert [entry.case for entry in cohort.cases] == ["BraTS-SSA-00002-000"]
    reason = "the folder 51_OtherNeoplasms of BraTS-Africa holds other tumours than gliomas"
    assert [(item.path.name, item.reason) for item in cohort.skipped] == [("BraTS-SSA-00009-000", reason)]
    assert cohort.notices == ()  # its patients are not those of BraTS 2021
    assert find_case_files(tmp_path / "51_OtherNeoplasms" / "BraTS-SSA-00009-000").doubt == reason
    tree(tmp_path / "gli", "BraTS-GLI-00004-000/BraTS-GLI-00004-000-{t1n,t1c,t2w,t2f,seg}.nii.gz")
    assert "its patients are those of BraTS 2021" in find_cohort(tmp_path / "gli").notices[0]


def test_brats_2024_is_not_graded_as_2023(tmp_path: Path) -> None:
    """The label 4 would count, which is the resection cavity."""
    for case in ("BraTS-GLI-02062-100", "BraTS-GLI-00004-000"):
        tree(tmp_path, f"{case}/{case}-{{t1n,t1c,t2w,t2f,seg}}.nii.gz")
    cohort = find_cohort(tmp_path, "brats2023")
    assert [entry.case for entry in cohort.cases] == ["BraTS-GLI-00004-000"]
    assert "--layout brats2024 takes it all the same, without" in cohort.skipped[0].reason
    assert "after treatment" in find_case_files(tmp_path / "BraTS-GLI-02062-100", "brats2023").doubt
