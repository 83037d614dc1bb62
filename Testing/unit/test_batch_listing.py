"""What a dry run and a batch say before anything is graded: DICOM headers, and cases that are there twice."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from batch_stub import ROLES, make_cohort
from GliomaGradingLib import cli
from GliomaGradingLib.cli.prepare import _one_scan_a_patient
from GliomaGradingLib.cohort import duplicates
from GliomaGradingLib.cohort.headers import with_headers_checked
from GliomaGradingLib.cohort.listing import find_cohort
from GliomaGradingLib.cohort.run import BatchJob, list_cases
from GliomaGradingLib.cohort.work import fingerprint
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.reading.dicom_series import find_series, only_series
from GliomaGradingLib.reading.dicom_study import pick_series, resolve
from layout_trees import tree
from test_batch import Instant, grade, table

PATIENTS = "several cases of one patient, by its id: "
COPIES = "the same images under several names, each of which is graded: "


def notices(source: Path, isDryRun: bool = True) -> list[str]:
    return list(list_cases(BatchJob(source), isDryRun).notices)


# DICOM headers

SERIES = {"T1": "s3", "T2": "s4", "FLAIR": "s5", "T1 with contrast": "s7"}
"""Folders that say nothing, so that a study is known by its headers."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Studies by what is wrong with them."""
    pytest.importorskip("pydicom")
    import dicom_maker as maker
    from small_head import write_case

    folder = tmp_path_factory.mktemp("studies")
    scans = ("T1", "T2", "FLAIR")
    for name in ("good", "two", "gap", "contrast", "maskless"):
        wanted = (*scans[1:], "T1 with contrast") if name == "contrast" else scans
        for scan in wanted:
            maker.scan(folder / name / SERIES[scan], scan)
        if name != "maskless":
            write_case(folder / name, {"mask": "tumour_mask.nii.gz"})
    maker.scan(folder / "two" / "s9", "T2", SeriesNumber=9)
    for path in sorted((folder / "gap" / "s5").iterdir())[30:33]:
        path.unlink()
    for number, path in enumerate(sorted(folder.glob("*"))):
        _rename_study(path, f"1.2.826.0.1.3680043.10.1.{number + 20}", f"PAT-{number}")
    return folder


def _rename_study(folder: Path, study: str, patient: str) -> None:
    import pydicom

    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.PatientID = study, patient
        dataset.save_as(path)


def test_a_dry_run_says_what_is_wrong_with_dicom_studies(studies, capsys):
    assert cli.main(["batch", str(studies), "--dry-run"]) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split("  ", 1)[1].strip() for line in text.splitlines() if line.strip()}
    assert "Cases      5: 2 complete, 3 with a problem" in text
    assert lines["good"].endswith("T1 series 3, T2 series 4, FLAIR series 5, tumour_mask.nii.gz")
    assert "! FLAIR, series 5: 3 slices are missing (2.00 to 8.00 mm apart)" in lines["gap"]
    assert "! no T1 without contrast (series 7 is with contrast)" in lines["contrast"]
    assert "! no tumour mask" in lines["maskless"]
    assert "? several series could be the T2: number 4 was taken, not 9" in text
    assert "PAT-" not in text and "Plantagen" not in text


def test_a_dry_run_reads_no_pixels(studies, monkeypatch):
    monkeypatch.setattr("SimpleITK.ImageFileReader.Execute", lambda *_: pytest.fail("pixels were read"))
    monkeypatch.setattr("SimpleITK.ImageSeriesReader.Execute", lambda *_: pytest.fail("pixels were read"))
    cohort = with_headers_checked(find_cohort(studies))
    assert [bool(entry.problem) for entry in cohort.cases] == [True, True, False, True, False]


def test_everything_that_is_missing_in_a_study_is_listed_at_once(studies, tmp_path):
    for name in ("s4", "s5"):
        shutil.copytree(studies / "gap" / name, tmp_path / "poor" / name)
    (entry,) = with_headers_checked(find_cohort(tmp_path, "dicom")).cases
    assert entry.problem.startswith("no T1; no tumour mask")
    assert "FLAIR, series 5: 3 slices are missing" in entry.problem


def test_series_that_a_manifest_names_are_checked_too(studies, tmp_path):
    rows = [
        [
            name,
            *(studies / name / s for s in ("s3", "s4", "s5")),
            studies / "good" / "tumour_mask.nii.gz",
        ]
        for name in ("good", "gap")
    ]
    lines = [",".join(map(str, row)) for row in (["case", "t1", "t2", "flair", "mask"], *rows)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    good, gap = with_headers_checked(find_cohort(tmp_path / "list.csv")).cases
    assert (good.problem, good.shown) == ("", "T1 series 3, T2 series 4, FLAIR series 5, tumour_mask.nii.gz")
    assert gap.problem == "FLAIR, series 5: 3 slices are missing (2.00 to 8.00 mm apart)"


def test_problems_and_doubts_are_in_the_json_too(studies, capsys):
    assert cli.main(["batch", str(studies), "--dry-run", "--json"]) == 0
    cases = {case["case"]: case for case in json.loads(capsys.readouterr().out)["cases"]}
    assert cases["good"]["problem"] == "" and cases["good"]["doubts"] == []
    assert cases["two"]["doubts"] == ["several series could be the T2: number 4 was taken, not 9"]
    assert "3 slices" in cases["gap"]["problem"]


def test_a_changed_file_below_a_study_folder_changes_its_fingerprint(studies, tmp_path):
    study = shutil.copytree(studies / "good", tmp_path / "good")
    before = fingerprint({"T1": study})
    os.utime(next((study / "s4").iterdir()), ns=(1, 1))
    assert fingerprint({"T1": study}) != before


# Twice


def test_a_copied_case_is_named_by_the_dry_run_and_graded_under_both_names(tmp_path, capsys, monkeypatch):
    source = make_cohort(tmp_path / "in", ["anna", "bert", "carl"])
    shutil.copytree(source / "bert", source / "dora")
    for path in (source / "dora").iterdir():
        path.rename(path.with_name(path.name.replace("bert", "dora")))
    assert cli.main(["batch", str(source), "--dry-run"]) == 0
    assert f"Note       {COPIES}bert = dora" in capsys.readouterr().out
    monkeypatch.setattr(duplicates, "same_images", lambda cases: pytest.fail("a batch compared contents"))
    grade(source, tmp_path / "out", Instant())
    assert [row["case"] for row in table(tmp_path / "out")] == ["anna", "bert", "carl", "dora"]
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 4


def test_a_batch_tells_of_files_that_are_named_twice(tmp_path):
    source = make_cohort(tmp_path / "in", ["anna", "bert", "carl"])
    (source / "dora").symlink_to(source / "bert")
    grade(source, tmp_path / "out", Instant())
    assert notices(source, isDryRun=False) == [COPIES + "bert = dora"]
    assert COPIES + "bert = dora" in (tmp_path / "out" / "cohort.html").read_text(encoding="utf-8")


def test_a_manifest_that_names_files_twice_and_a_link_are_told(tmp_path):
    make_cohort(tmp_path / "in", ["a", "b"])
    files = ",".join(f"in/a/a_{ending}.nii.gz" for ending in ("t1", "t2", "flair", "seg"))
    (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask\nfirst,{files}\nsecond,{files}\n")
    assert notices(tmp_path / "list.csv") == [COPIES + "first = second"]


@pytest.mark.parametrize(
    ("cell", "why"), [("x" * 300 + ".nii.gz", "File name too long"), ("round.nii.gz", "Too many levels")]
)
def test_a_file_that_cannot_be_looked_at_is_its_rows_problem(tmp_path, cell, why):
    make_cohort(tmp_path / "in", ["a", "b"])
    (tmp_path / "round.nii.gz").symlink_to(tmp_path / "round.nii.gz")
    rest = ",".join(f"in/a/a_{ending}.nii.gz" for ending in ("t2", "flair", "seg"))
    rows = f"good,in/a/a_t1.nii.gz,{rest}\nbad,{cell},{rest}\n"
    (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask\n{rows}")
    good, bad = find_cohort(tmp_path / "list.csv").cases
    assert good.problem == "" and bad.problem.startswith(f"T1 ({tmp_path}")
    assert f"of row 3 of list.csv cannot be looked at ({why}" in bad.problem and len(bad.problem) < 400
    assert bad.remedy == "correct the path, or its permissions"
    counts, _outcomes = grade(tmp_path / "list.csv", tmp_path / "out", Instant())
    assert (counts.graded, counts.failed) == (1, 1)


def test_another_mask_on_the_same_images_is_told_and_other_images_of_one_size_are_not(tmp_path):
    source = make_cohort(tmp_path / "in", ["a", "b", "c"])
    shutil.copy(source / "a" / "a_t1.nii.gz", source / "b" / "b_t1.nii.gz")
    (source / "b" / "b_seg.nii.gz").write_bytes(b"another mask")
    assert notices(source) == [COPIES + "a = b"]


def test_headers_alone_tell_of_no_copies(tmp_path):
    """The headers of a study are the same for each patient where the voxels lie in files beside them."""
    import numpy as np
    import SimpleITK as sitk

    for number, case in enumerate("abc"):
        (tmp_path / "in" / case).mkdir(parents=True)
        for name in ("t1", "t2", "flair", "seg"):
            array = np.full((3, 4, 5), number % 2 + ord(name[-1]), np.uint8)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "in" / case / f"scan_{name}.mhd"))
    assert notices(tmp_path / "in") == [COPIES + "a = c"]


def test_files_that_differ_between_the_samples_are_not_the_same(tmp_path):
    source = make_cohort(tmp_path / "in", ["a", "b"])
    for name, place in (("a", 700_000), ("b", 700_001)):
        content = bytearray(2_000_000)
        content[place] = 1
        (source / name / f"{name}_t1.nii.gz").write_bytes(content)
    entries = find_cohort(source).cases
    assert duplicates._sampled(entries[0]) == duplicates._sampled(entries[1])
    assert duplicates.same_images(entries) == []


def test_several_cases_of_one_patient_are_told(tmp_path):
    make_cohort(tmp_path / "in", ["a", "b", "c"])
    rows = [
        f"{name},{','.join(f'in/{name}/{name}_{e}.nii.gz' for e in ('t1', 't2', 'flair', 'seg'))},{patient}"
        for name, patient in (("a", "P1"), ("b", "P2"), ("c", "P1"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["case,t1,t2,flair,mask,patient", *rows]))
    assert notices(tmp_path / "list.csv") == [PATIENTS + "a, c"]


def test_cases_of_one_name_in_two_folders_are_two_patients(tmp_path):
    """Who counts his patients from one at each site has as many patients as folders."""
    for site in ("siteA", "siteB"):
        make_cohort(tmp_path / "in" / site, ["p1"])
    (tmp_path / "in" / "siteB" / "p1" / "p1_t1.nii.gz").write_bytes(b"\7")
    assert notices(tmp_path / "in") == [
        "2 cases shared their name with another and are called after their folders"
    ]
    cohort = find_cohort(tmp_path / "in")
    assert [(e.case, e.patient) for e in cohort.cases] == [("siteA_p1", "siteA_p1"), ("siteB_p1", "siteB_p1")]
    graded = replace(cohort, cases=tuple(replace(entry, grade="LGG") for entry in cohort.cases))
    assert [entry.case for entry in _one_scan_a_patient(graded)] == ["siteA_p1", "siteB_p1"]


def test_a_name_that_a_data_set_gives_is_one_patient_in_every_folder(tmp_path):
    for site, scan in (("x", "BraTS-GLI-00008-000"), ("y", "BraTS-GLI-00008-001")):
        tree(tmp_path, f"{site}/{scan}/{scan}-{{t1n,t2w,t2f,seg}}.nii.gz")
    assert [e.patient for e in find_cohort(tmp_path).cases] == ["BraTS-GLI-00008"] * 2


def test_dicom_studies_of_one_patient_are_told_without_saying_who_it_is(studies, tmp_path):
    for number in (1, 2):
        _rename_study(shutil.copytree(studies / "good", tmp_path / f"v{number}"), f"1.2.3.{number}", "PAT-77")
    _rename_study(shutil.copytree(studies / "good", tmp_path / "w"), "1.2.3.7", "PAT-78")
    assert notices(tmp_path, isDryRun=False) == [PATIENTS + "v1, v2"]
    patients = [entry.patient for entry in find_cohort(tmp_path).cases]
    assert patients == ["patient 1", "patient 1", "patient 2"]  # no digest: ids may be guessed, one by one


def test_errors_do_not_tell_what_a_series_is_called(studies, tmp_path):
    """A description is free text, and an error lands in results.csv."""
    import pydicom

    study = shutil.copytree(studies / "maskless", tmp_path / "a")
    for path in study.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription += " Plantagenet"
        dataset.save_as(path)
    with pytest.raises(CaseError, match=r"no tumour mask .*series 4: T2, 80 files") as caught:
        pick_series(study)
    assert "Plantagenet" not in str(caught.value)
    (study / "both").mkdir()
    for path in (*(study / "s3").iterdir(), *(study / "s4").iterdir()):
        path.rename(study / "both" / f"{path.parent.name}{path.name}")
    with pytest.raises(
        CaseError, match=r"no FLAIR, there are 2 DICOM series .series .: T., 80 files"
    ) as caught:
        resolve({**dict.fromkeys(("T1", "T2", "FLAIR"), study / "both"), "mask": study / "none"})
    assert "Plantagenet" not in str(caught.value)
    with pytest.raises(CaseError, match=r"there are 2 DICOM series .series .") as caught:
        only_series(study, find_series(study / "both").series)
    assert "Plantagenet" not in str(caught.value)


# How the input is typed


def test_a_dry_run_of_the_folder_one_stands_in_lists_what_a_batch_would(tmp_path, monkeypatch, capsys):
    make_cohort(tmp_path / "HGG", ["anna", "bert"])
    monkeypatch.chdir(tmp_path / "HGG")
    assert cli.main(["batch", ".", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "Input      .\n" in text and "Grades     0 LGG, 2 HGG, 0 unknown" in text
    typed, named = (list_cases(BatchJob(source)).cases for source in (Path(), tmp_path / "HGG"))
    assert typed == named


# Results inside the input


@pytest.mark.parametrize("place", ["in/out", "in"])
def test_results_inside_the_input_take_no_part(studies, tmp_path, place):
    """DICOM objects among results are none of its cases, and lend their names to none."""
    source = tmp_path / "in"
    for number, name in enumerate(("anna", "bert"), 1):
        _rename_study(shutil.copytree(studies / "good", source / name), f"1.2.3.{number}", f"PAT-{number}")
    results = tmp_path / place / "cases" / "anna"
    shutil.copytree(studies / "good", results)
    (tmp_path / place / "batch.json").write_text("{}")
    cohort = list_cases(BatchJob(source, tmp_path / place))
    assert [entry.case for entry in cohort.cases] == ["anna", "bert"]
    assert not [item for item in cohort.skipped if results.parent in (item.path, *item.path.parents)]
    assert len(list_cases(BatchJob(source)).cases) == 3  # nobody has said that these are results


def test_a_folder_called_cases_is_input_where_there_is_no_batch(tmp_path):
    make_cohort(tmp_path / "cases", ["anna", "bert"])
    assert [entry.case for entry in list_cases(BatchJob(tmp_path, tmp_path)).cases] == ["anna", "bert"]


def test_a_dry_run_without_output_lists_the_folder_it_is_started_in(tmp_path, monkeypatch, capsys):
    make_cohort(tmp_path / "in", ["anna", "bert"])
    monkeypatch.chdir(tmp_path / "in" / "bert")
    assert cli.main(["batch", "..", "--dry-run"]) == 0
    assert "Cases      2: 2 complete" in capsys.readouterr().out


def test_files_that_a_table_names_for_several_cases_are_told(tmp_path, capsys):
    source = make_cohort(tmp_path / "in", ["a", "b", "c", "d"])
    files = {case: [f"in/{case}/{case}_{role}.nii.gz" for role in ROLES.values()] for case in "abcd"}
    files["b"][2], files["c"][3], files["d"][3] = files["a"][2], files["a"][3], f"{source}/a/a_seg.nii.gz"
    rows = [f"{case},{','.join(paths)}" for case, paths in files.items()]
    (tmp_path / "list.csv").write_text("\n".join(["case,t1,t2,flair,mask", *rows]))
    for reads in (False, True):
        cases = find_cohort(tmp_path / "list.csv").cases
        (told,) = [text for text in duplicates.duplicate_notices(cases, reads) if "file" in text]
        assert told == "the same file for several cases: a (FLAIR) = b (FLAIR); a (mask) = c (mask) = d (mask)"
    assert cli.main(["batch", str(tmp_path / "list.csv"), "--dry-run"]) == 0
    assert f"Note       {told}\n" in capsys.readouterr().out


def test_files_of_cases_that_are_the_same_are_told_once(tmp_path):
    make_cohort(tmp_path / "in", ["a"])
    row = ",".join(f"in/a/a_{role}.nii.gz" for role in ROLES.values())
    (tmp_path / "list.csv").write_text(f"case,t1,t2,flair,mask\na,{row}\nb,{row}\n")
    assert duplicates.duplicate_notices(find_cohort(tmp_path / "list.csv").cases) == [f"{COPIES}a = b"]


def test_a_long_list_of_duplicates_is_cut(tmp_path):
    entries = [
        entry
        for number in range(13)
        for entry in find_cohort(make_cohort(tmp_path / f"{number}", [f"x{number}"])).cases * 2
    ]
    told = duplicates._told("twice", [tuple(entries[k : k + 2]) for k in range(0, 26, 2)], " = ")
    told = list(told)
    assert told[0].count(" = ") == 10 and told[0].endswith("; and 3 times more")
