"""Visits of one patient are one patient, and a table of grades may name whom it means in any usual way."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePath

import pytest
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cli.prepare import _one_scan_a_patient
from GliomaGradingLib.cohort.layouts import PLAIN, Found
from GliomaGradingLib.cohort.listing import Cohort, describe, find_cohort, to_dict
from GliomaGradingLib.cohort.visits import is_visit, with_visits
from layout_trees import tree

FOUR = "{t1,t2,flair,seg}.nii.gz"


def patients(root: Path, *folders: str, files: str = FOUR) -> dict[str, str]:
    """Patient by case of a cohort with these folders of cases."""
    cohort = find_cohort(tree(root / "cohort", *(f"{folder}/{files}" for folder in folders)))
    return {entry.case: entry.patient for entry in cohort.cases}


def grades(cohort: Cohort) -> dict[str, str | None]:
    return {entry.case: entry.grade for entry in cohort.cases}


@pytest.mark.parametrize(
    "name",
    [
        "2020-01-01", "20200101", "01.02.2020", "12-25-1982", "2020_1_9", "20200101_093000",
        "ses-pre", "session2",
        "visit1", "visit_02", "Baseline", "followup", "follow-up_1", "FU2", "preop", "pre_treatment",
        "tp1", "timepoint-3", "time1", "time_02", "week12", "week-000-1", "6months", "pre", "Post",
    ],
)  # fmt: skip
def test_names_of_visits(tmp_path: Path, name: str) -> None:
    assert is_visit(name)
    found = patients(tmp_path, f"anna/{name}", f"anna/{name}x1", f"bert/{name}")
    assert found[f"anna_{name}"] == "anna" and found[f"bert_{name}"] == "bert"
    assert find_case_files(tmp_path / "cohort" / "anna" / name).case == f"anna_{name}"


@pytest.mark.parametrize("name", ["p1", "anna", "scan", "t1", "1", "123456", "19991399", "BraTS20", "mr_smith"])
def test_names_of_no_visits(name: str) -> None:
    assert not is_visit(name)


@pytest.mark.parametrize("files", [FOUR, "{flair,t1w,t2w,mask}.nrrd", "P0_{t1,t2,flair,seg}.nii.gz"])
def test_visits_of_one_patient_are_one(tmp_path: Path, files: str) -> None:
    """A scan in training and the next in test would tell the grade."""
    visits = ("P0/2020-01-01", "P0/2021-01-01", "P1/2020-01-01")
    found = patients(tmp_path, *visits, files=files)
    assert found == {"P0_2020-01-01": "P0", "P0_2021-01-01": "P0", "P1_2020-01-01": "P1"}
    for path in (tmp_path / "cohort").rglob("*.n*"):
        path.write_bytes(str(path).encode())  # no two scans have the same images
    (tmp_path / "g.csv").write_text("case,grade\nP0,HGG\np1,2\n")
    cohort = find_cohort(tmp_path / "cohort", grades=tmp_path / "g.csv")
    assert list(grades(cohort).values()) == ["HGG", "HGG", "LGG"]
    assert [entry.case for entry in _one_scan_a_patient(cohort)] == ["P0_2020-01-01", "P1_2020-01-01"]


def test_a_patients_id_may_begin_with_his_sites(tmp_path: Path) -> None:
    found = patients(tmp_path, "SITE01-0003/2020-01-01", "SITE01-0003/2021-01-01", "site_01/2020-01-01")
    assert [*found.values()].count("SITE01-0003") == 2 and len(set(found.values())) == 2


@pytest.mark.parametrize("name", ["glioma_{}", "Astro{}", "tumor-{}", "GBM{}", "idh_{}1"])
def test_a_patient_may_be_called_after_his_tumour_with_a_number(tmp_path: Path, name: str) -> None:
    first, second = name.format(1), name.format(2)
    found = patients(tmp_path, f"{first}/20190105", f"{first}/20190317", f"{second}/20190105")
    assert [*found.values()].count(first) == 2 and [*found.values()].count(second) == 1


def test_folders_between_patient_and_visit_are_passed_over(tmp_path: Path) -> None:
    found = patients(tmp_path, "P0/sessions/ses-1", "P0/2020-01-01/tp1", "P1/baseline")
    assert found == {"P0_tp1": "P0", "P0_ses-1": "P0", "P1_baseline": "P1"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_patients_whose_folders_names_are_no_text_are_called_by_one_each(tmp_path: Path) -> None:
    """What cannot be written as UTF-8 would cost the whole cohort its tables."""
    names = [os.fsdecode(name) for name in (b"M\xfcller1", b"M\xe4ller1")]
    found = patients(tmp_path, *(f"{name}/{visit}" for name in names for visit in ("2020-01-01", "2021-01-01")))
    assert sorted(found.values()) == ["M_ller1", "M_ller1", "M_ller1-2", "M_ller1-2"]


def test_patients_of_one_name_in_two_folders_stay_two(tmp_path: Path) -> None:
    found = patients(tmp_path, "siteA/P1/{v1,visit1,visit2}", "siteB/P1/visit1", "siteB/P2/visit1")
    assert found == {
        "P1_v1": "siteA_P1",
        "siteA_P1_visit1": "siteA_P1",
        "P1_visit2": "siteA_P1",
        "siteB_P1_visit1": "siteB_P1",
        "P2_visit1": "P2",
    }


@pytest.mark.parametrize(
    "folders",
    [
        ("scan1", "scan2"),  # right below the input
        ("HGG/2020-01-01", "HGG/2020-01-02", "LGG/2020-01-01"),
        ("glioblastoma/20190105", "glioblastoma/20190317", "astrocytoma/20180105"),
        ("IDH1-mutant/20190105", "IDH1-mutant/20190317", "Low_Grade_Gliomas/20190105"),
        ("astrocytoma WHO 2/20190105", "astrocytoma WHO 2/20190317", "tumors/20190105"),
        ("siteA/visit1", "siteA/visit2"),
        ("study/scan1", "study/scan2", "study/scan3"),
        ("mine/1", "mine/2", "yours/1"),
        ("mine7/1", "mine7/2", "other"),
        ("x/BraTS20_Training_001", "x/BraTS20_Training_002"),
        ("study/m01", "study/m02"),
        ("scan_20200101", "scan_20200102"),
        ("astro_20200101", "astro_20200102", "oligo_20200103"),
        ("siteA_20200101", "siteA_20200102"),
        ("s01_m45", "s02_m45"),
        ("p1_1", "p1_2", "p2_1"),
        ("pre", "post"),
    ],
)
def test_what_may_be_a_patient_stays_one(tmp_path: Path, folders: tuple[str, ...]) -> None:
    assert len(set(patients(tmp_path, *folders).values())) == len(folders)


@pytest.mark.parametrize("visit", ["scan{}", "{}", "{:02}", "mri_{}", "m{:02}"])
def test_numbered_folders_are_visits_where_several_patients_have_them(tmp_path: Path, visit: str) -> None:
    found = patients(tmp_path, *(f"pat{n}/{visit.format(k)}" for n in (1, 2) for k in (1, 2)))
    assert list(found.values()) == ["pat1", "pat1", "pat2", "pat2"]


def test_of_thousands_of_numbered_visits_each_is_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was compared with all others, which took minutes."""
    looks, name_of = 0, PurePath.name.fget

    def name(path: PurePath) -> str:
        nonlocal looks
        looks += 1
        return name_of(path)

    monkeypatch.setattr(PurePath, "name", property(name))
    found = [(PLAIN, Found("1", Path(f"/in/pat{number}/1"))) for number in range(300)]
    visits = with_visits(found, Path("/in"))
    assert looks < 30 * len(found)
    assert {case.subject for _layout, case in visits} == {f"pat{number}" for number in range(300)}


@pytest.mark.parametrize("files", [f"/{FOUR}", f"/x_{FOUR}", f"_{FOUR}"])
def test_visits_behind_a_patients_name_are_his(tmp_path: Path, files: str) -> None:
    """Cases in folders of their own, and all in one folder."""
    cases = ("P1_20200101", "P1_20200102", "p2_pre", "P2_fu1", "P3", "P3_2020-01-01", "P4_baseline", "P5")
    cohort = find_cohort(tree(tmp_path, *(f"{case}{files}" for case in cases)))
    assert {entry.case: entry.patient.upper() for entry in cohort.cases} == {c: c[:2].upper() for c in cases}
    (tmp_path / "g.csv").write_text("case,grade\nP1,4\np2,2\n")
    graded = grades(find_cohort(tmp_path, grades=tmp_path / "g.csv"))
    assert [graded[case] for case in cases] == ["HGG", "HGG", "LGG", "LGG", None, None, None, None]


def test_the_times_of_ucsf_after_surgery_are_visits(tmp_path: Path) -> None:
    """``100001/100001_time1_t1.nii.gz``: both times lie in the folder of the patient."""
    tree(tmp_path, *(f"{number}/{number}_{{time1,time2}}_{FOUR}" for number in (100001, 100002)))
    assert {entry.case: entry.patient for entry in find_cohort(tmp_path).cases} == {
        "100001_time1": "100001",
        "100001_time2": "100001",
        "100002_time1": "100002",
        "100002_time2": "100002",
    }


@pytest.mark.parametrize("visits", [("m00", "m06"), ("v1", "v2"), ("baseline", "2020-01-01")])
def test_doubtful_visits_behind_names_count_where_two_patients_have_one(
    tmp_path: Path, visits: tuple[str, str]
) -> None:
    first, second = visits
    found = patients(tmp_path, f"P1_{first}", f"P1_{second}", f"P2_{first}")
    assert [*found.values()].count("P1") == 2 and [*found.values()].count("P2") == 1


def test_visits_of_one_name_in_two_folders_are_two_patients(tmp_path: Path) -> None:
    found = patients(tmp_path, "a/P1_{pre,fu1}", "b/P1_{pre,fu1}")
    assert sorted(set(found.values())) == ["a_P1", "b_P1"]


def test_the_table_of_grades_may_say_whose_scan_a_case_is(tmp_path: Path) -> None:
    cases = tree(tmp_path / "in", *(f"{case}/{FOUR}" for case in "abc"))
    (tmp_path / "g.csv").write_text("case,patient,grade\na,P1,4\nB,P1,4\nc,,2\n")
    cohort = find_cohort(cases, grades=tmp_path / "g.csv")
    assert [(e.case, e.patient, e.grade) for e in cohort.cases] == [
        ("a", "P1", "HGG"), ("b", "P1", "HGG"), ("c", "c", "LGG")
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["{}", "{}/mri"])
def test_patients_are_found_by_every_name_by_which_grades_are(tmp_path: Path, folder: str) -> None:
    cases = tree(tmp_path / "in", *(f"{folder.format(case)}/{FOUR}" for case in ("p01", "p02", "p03")))
    (tmp_path / "g.csv").write_text("case,patient,grade\np1,A,4\nP02,A,4\np3,B,2\n")
    cohort = find_cohort(cases, grades=tmp_path / "g.csv")
    assert [(entry.patient, entry.grade) for entry in cohort.cases] == [
        ("A", "HGG"),
        ("A", "HGG"),
        ("B", "LGG"),
    ]


# Names that a table of grades may use


def test_grades_by_the_name_of_a_folder_above(tmp_path: Path) -> None:
    cases = tree(tmp_path / "in", *(f"{p}/{visit}/{FOUR}" for p in ("pat1", "pat2") for visit in ("x", "y")))
    (tmp_path / "g.csv").write_text("case,grade\npat1_x,HGG\npat1_y,HGG\npat2_x,2\n")
    assert list(grades(find_cohort(cases, grades=tmp_path / "g.csv")).values()) == ["HGG", "HGG", "LGG", None]
    (tmp_path / "in" / "pat1" / "y").rename(tmp_path / "gone")
    (tmp_path / "g.csv").write_text("case,grade\nPAT1,HGG\nin,2\n")
    assert list(grades(find_cohort(cases, grades=tmp_path / "g.csv")).values()) == ["HGG", None, None]


def test_a_folder_above_several_patients_is_no_name(tmp_path: Path) -> None:
    cases = tree(tmp_path / "in", f"siteA/{{p1,p2}}/{FOUR}", f"siteB/p3/{FOUR}", f"q/p3x/{FOUR}", f"w/q/{FOUR}")
    (tmp_path / "g.csv").write_text("case,grade\nsiteA,HGG\nq,2\n")
    found = grades(find_cohort(cases, grades=tmp_path / "g.csv"))
    assert found == {"p3x": None, "p1": None, "p2": None, "p3": None, "q": "LGG"}


def test_grades_by_what_dicom_files_call_the_patient(tmp_path: Path) -> None:
    """The id is compared, and shown nowhere."""
    pytest.importorskip("pydicom")
    from dicom_maker import scan

    for number in (1, 2):
        ids = {"PatientID": f"PAT-{number}", "StudyInstanceUID": f"1.2.3.{number}"}
        for name in ("T1", "T2"):
            scan(tmp_path / "in" / f"f{number}" / "study" / name, name, keep=range(1), **ids)
    known = ["HGG", "LGG"]
    for rows, expected in (("pat-1,4 PAT-2,2", known), ("f1,4 f2,3", known), ("x,4", [None] * 2)):
        (tmp_path / "g.csv").write_text("\n".join(["case,grade", *rows.split()]))
        cohort = find_cohort(tmp_path / "in", grades=tmp_path / "g.csv")
        assert list(grades(cohort).values()) == expected
        told = f"{describe(cohort)}{to_dict(cohort)}{cohort!r}"
        assert "PAT-" not in told and "patient 1" in told


@pytest.mark.parametrize(
    "name", ["postop", "post-surgery", "Post_RT", "early_postop", "recurrence", "ses-postop"]
)
def test_a_visit_after_treatment_is_no_case_unless_it_is_asked_for(tmp_path, name):
    cohort = find_cohort(tree(tmp_path / "cohort", f"P1/{{preop,{name}}}/{FOUR}", f"P2/{FOUR}"))
    assert {entry.patient for entry in cohort.cases} == {"P1", "P2"} and len(cohort.cases) == 2
    (skipped,) = cohort.skipped
    assert skipped.path == tmp_path / "cohort" / "P1" / name
    assert skipped.reason.startswith(f"{name!r} says that it was imaged after treatment, and the models have")
    assert skipped.reason.endswith("--layout plain takes it all the same")
    assert len(find_cohort(tmp_path / "cohort", "plain").cases) == 3
    assert len(find_cohort(tmp_path / "cohort" / "P1" / name).cases) == 1  # who names the folder wants it


def test_flat_cases_after_treatment_are_skipped_too(tmp_path):
    cohort = find_cohort(tree(tmp_path / "cohort", "{P1_preop,P1_postop,P2}_{t1,t2,flair,seg}.nii.gz"))
    assert [entry.case for entry in cohort.cases] == ["P1_preop", "P2"]
    assert [skipped.reason.split(" says")[0] for skipped in cohort.skipped] == ["'postop'"]
