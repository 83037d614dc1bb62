"""DICOM studies in a cohort: what is a study, what a patient with several, what only a series."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk
from GliomaGradingLib.case_files import find_case_files
from GliomaGradingLib.cohort.layouts import Folder
from GliomaGradingLib.cohort.listing import find_cohort
from GliomaGradingLib.errors import CaseError, UsageError

np = pytest.importorskip("numpy")
UID = "1.2.840.99999.1234.5678.{}"


def series(folder: Path, study: str, files: int = 2, patient: str = "") -> Path:
    """A series of tiny DICOM images in a folder of its own."""
    folder.mkdir(parents=True)
    image = sitk.GetImageFromArray(np.zeros((4, 4), np.int16))
    tags = {"0008|0060": "MR", "0020|000d": study, "0020|000e": f"{study}.1", "0010|0020": patient}
    for key, value in tags.items():
        image.SetMetaData(key, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(files):
        writer.SetFileName(str(folder / f"{number}.dcm"))
        writer.Execute(image)
    return folder


def test_a_study_with_a_folder_for_each_series_is_a_case(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        for name in ("3 AX T1", "4 AX FLAIR", "5 AX T2"):
            series(tmp_path / patient / name, UID.format(patient == "anna"))
    cohort = find_cohort(tmp_path)
    assert [(e.case, e.layout, e.problem) for e in cohort.cases] == [
        ("anna", "dicom", ""),
        ("bert", "dicom", ""),
    ]
    assert set(cohort.cases[0].files.values()) == {tmp_path / "anna"}


def test_the_index_of_a_disc_is_no_image(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        for name in ("SE1", "SE2"):
            series(tmp_path / patient / name, UID.format(patient == "anna"))
    index = b"\0" * 128 + b"DICM" + b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10\0"
    (tmp_path / "DICOMDIR").write_bytes(index)
    assert [entry.case for entry in find_cohort(tmp_path).cases] == ["anna", "bert"]


def test_files_without_the_mark_of_dicom_count_by_their_name(tmp_path: Path) -> None:
    for name in ("SE1", "SE2"):
        for path in series(tmp_path / "anna" / name, UID.format(1)).iterdir():
            path.write_bytes(path.read_bytes()[132:])
    assert [(entry.case, entry.layout) for entry in find_cohort(tmp_path).cases] == [("anna", "dicom")]


def test_studies_of_one_patient_are_cases_called_after_both(tmp_path: Path) -> None:
    for number in (1, 2):
        for name in ("s1", "s2"):
            series(tmp_path / "PAT-7" / UID.format(number) / name, UID.format(number))
    assert [e.case for e in find_cohort(tmp_path).cases] == [f"PAT-7_{UID.format(n)}" for n in (1, 2)]


@pytest.mark.parametrize("study", ["12-31-1995-NA-MRI BRAIN-12345", "2020-01-01", "baseline"])
def test_a_study_that_is_called_after_a_time_has_its_patients_name_before_it(
    tmp_path: Path, study: str
) -> None:
    for name in ("s1", "s2"):
        series(tmp_path / "TCGA-LGG" / "TCGA-CS-4938" / study / name, UID.format(1), patient="X")
    (entry,) = find_cohort(tmp_path).cases
    assert (entry.case, entry.patient) == (f"TCGA-CS-4938_{study}", "patient 1")


def test_folders_and_files_before_the_images_hide_no_study(tmp_path: Path) -> None:
    for name in [f"{number}_report" for number in range(9)]:
        (tmp_path / "anna" / name).mkdir(parents=True)
        (tmp_path / "anna" / name / "report.pdf").write_bytes(b"x")
    for name in ("T1ax", "T2ax"):
        place = series(tmp_path / "anna" / name, UID.format(1))
        for number in range(40):
            (place / f"!{number}.txt").write_text("x")
            (place / f"#{number}").write_text("x")
    assert [(e.case, e.layout) for e in find_cohort(tmp_path).cases] == [("anna", "dicom")]


def test_a_folder_of_thousands_of_other_files_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from GliomaGradingLib.cohort.layouts import dicom

    opened: list[Path] = []
    monkeypatch.setattr(dicom, "is_dicom", lambda path: bool(opened.append(path)))
    (tmp_path / "notes").mkdir()
    for number in range(1000):
        (tmp_path / "notes" / f"{number:04}").touch()
    with pytest.raises(UsageError, match="no volumes"):
        find_cohort(tmp_path)
    assert len(opened) == 2 * dicom._OPENED  # from the folder above, and in the folder


def test_series_of_two_studies_side_by_side_are_one_case_that_says_so(tmp_path: Path) -> None:
    for name in ("T1", "T2", "FLAIR"):
        for visit in (1, 2):
            series(tmp_path / "P1" / f"{name}_{visit}", UID.format(visit), patient="a")
        series(tmp_path / "P2" / f"{name}_1", UID.format(3), patient="b")
    first, second = find_cohort(tmp_path).cases
    assert (first.case, first.problem) == ("P1", "series of 2 studies lie side by side in it")
    assert first.remedy.startswith("put the series of each study into a folder of its own")
    assert (second.case, second.problem) == ("P2", "")
    with pytest.raises(CaseError, match="series of 2 studies lie side by side"):
        find_case_files(tmp_path / "P1")


def test_studies_of_patients_side_by_side_stay_cases_though_one_is_a_copy(tmp_path: Path) -> None:
    for number, name in enumerate(("p1", "p1_copy", "p2", "p3")):
        series(tmp_path / name, UID.format(max(number, 1)), patient=name[:2])
    assert [(e.case, e.problem) for e in find_cohort(tmp_path).cases] == [
        (name, "") for name in ("p1", "p1_copy", "p2", "p3")
    ]


@pytest.mark.parametrize(
    "number", ["ANONYMOUS", "anon", "0", "000-00", "XXX", "Anonymized^Patient", "No ID", "unknown", "PATIENT"]
)
def test_an_id_that_stands_for_none_makes_no_patient_of_all(tmp_path: Path, number: str) -> None:
    for study, name in enumerate(("anna", "bert")):
        series(tmp_path / name / "s1", UID.format(study), patient=number)
        series(tmp_path / name / "s2", UID.format(study), patient=number)
    assert [entry.patient for entry in find_cohort(tmp_path).cases] == ["anna", "bert"]


@pytest.mark.parametrize("number", ["ANON-0042", "1", "PAT-0", "Xaver", "Anon7", "patient 3"])
def test_an_id_that_tells_anything_is_a_patients(tmp_path: Path, number: str) -> None:
    for study, name in enumerate(("anna", "bert")):
        series(tmp_path / name / "s1", UID.format(study), patient=number)
        series(tmp_path / name / "s2", UID.format(study), patient=number)
    assert [entry.patient for entry in find_cohort(tmp_path).cases] == ["patient 1", "patient 1"]


def test_a_stray_volume_hides_no_studies(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        for name in ("s1", "s2"):
            series(tmp_path / patient / name, UID.format(patient == "anna"))
    (tmp_path / "MNI152_T1.nii.gz").write_bytes(b"x")
    cohort = find_cohort(tmp_path)
    assert [(e.case, e.problem) for e in cohort.cases] == [("anna", ""), ("bert", "")]
    assert cohort.skipped[0].path == tmp_path


def test_the_study_below_an_incomplete_case_is_none_of_its_own(tmp_path: Path) -> None:
    for name in ("s1", "s2"):
        series(tmp_path / "anna" / "dicom" / name, UID.format(1))
    for name in ("t1", "t2", "flair"):
        (tmp_path / "anna" / f"{name}.nii.gz").write_bytes(b"x")
    assert [(e.case, e.missing) for e in find_cohort(tmp_path).cases] == [("anna", ("mask",))]


def test_all_series_of_a_study_in_one_folder(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        series(tmp_path / f"p{number}", UID.format(number))
    assert [e.case for e in find_cohort(tmp_path).cases] == ["p1", "p2", "p3"]


def test_folders_of_series_that_are_called_after_sequences_stay_as_they_were(tmp_path: Path) -> None:
    for name in ("T1", "T2", "FLAIR"):
        series(tmp_path / "p" / name, UID.format(1))
    (tmp_path / "p" / "mask.nii.gz").write_bytes(b"x")
    entry = find_cohort(tmp_path).cases[0]
    assert (entry.case, entry.layout, entry.files["T1"]) == ("p", "plain", tmp_path / "p" / "T1")


def test_the_series_of_a_listed_study_are_chosen_when_it_is_read(tmp_path: Path) -> None:
    """With a T1 with contrast beside the T1, and the mask as NIfTI beside the series."""
    pytest.importorskip("pydicom")
    import dicom_maker
    from small_head import arrays, write_case

    for name in ("anna", "bert"):
        scans = (*(["T1"] if name == "anna" else []), "T2", "FLAIR", "T1 with contrast")
        write_case(dicom_maker.study(tmp_path / name, scans), {"mask": "tumour_mask.nii.gz"})
    anna, bert = find_cohort(tmp_path, "dicom").cases
    case = anna.read()
    assert case.identifier == "anna"
    assert np.array_equal(case.images["T1"].array, arrays()["T1"])
    assert np.array_equal(case.images["FLAIR"].array, arrays()["FLAIR"])
    with pytest.raises(CaseError, match="no T1 without contrast"):
        bert.read()


def test_a_folder_scan_tells_files_apart(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.csv", "IM0001", ".hidden", "c.SEG.NRRD"):
        (tmp_path / name).write_bytes(b"x")
    folder = Folder.read(tmp_path)
    assert (folder.volumes, folder.tables, folder.others) == (
        ("a.nii.gz", "c.SEG.NRRD"),
        ("b.csv",),
        ("IM0001",),
    )


@pytest.fixture
def enhanced(tmp_path: Path) -> Path:
    """A case with a folder a sequence, whose T1 is one with contrast by its header alone."""
    pytest.importorskip("pydicom")
    import dicom_maker
    from small_head import write_case

    case = tmp_path / "in" / "anna"
    for name in ("T1", "T2", "FLAIR"):
        more = {"ContrastBolusAgent": "10 ml Gadovist"} if name == "T1" else {}
        dicom_maker.scan(case / name, name, **more)
    write_case(case, {"mask": "mask.nii.gz"})
    return case


REFUSED = r"the only T1 \(series 3\) is with contrast by its header, in .*T1: give a T1 before contrast"


def test_a_folder_called_t1_whose_header_tells_of_contrast_is_refused(enhanced: Path) -> None:
    """Wherever the folder was found by its name: dry run, batch, preparing, ``grade CASE_DIR``."""
    from GliomaGradingLib.case import Case
    from GliomaGradingLib.cohort.child import FileGrader
    from GliomaGradingLib.cohort.headers import with_headers_checked
    from GliomaGradingLib.cohort.work import Settings, Task

    cohort = find_cohort(enhanced.parent)
    (entry,) = cohort.cases
    assert (entry.layout, entry.files["T1"]) == ("plain", enhanced / "T1")
    assert with_headers_checked(cohort).cases[0].problem.startswith("the only T1 (series 3) is with contrast")
    for read in (
        entry.read,
        lambda: Case.read(enhanced),
        lambda: Case.read(enhanced, given={"mask": enhanced / "mask.nii.gz"}),
        lambda: FileGrader().grade(Task.of(0, entry, Settings()).toMessage()),
    ):
        with pytest.raises(CaseError, match=REFUSED):
            read()


def test_a_t1_that_the_user_has_named_is_taken_with_a_notice(enhanced: Path) -> None:
    from GliomaGradingLib.case import Case

    rows = ["case,t1,t2,flair,mask", "anna,in/anna/T1,in/anna/T2,in/anna/FLAIR,in/anna/mask.nii.gz"]
    (enhanced.parents[1] / "list.csv").write_text("\n".join(rows))
    (entry,) = find_cohort(enhanced.parents[1] / "list.csv").cases
    files = {name.lower(): enhanced / name for name in ("T1", "T2", "FLAIR")}
    named = Case.read(enhanced, given={"T1": enhanced / "T1"})
    for case in (entry.read(), Case.fromFiles(**files, mask=enhanced / "mask.nii.gz"), named):
        assert "dicom-t1-contrast" in {notice.code for notice in case.warnings}
