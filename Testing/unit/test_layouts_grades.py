"""Grades and manifests: tables as data sets and hospitals have them."""

from __future__ import annotations

import builtins
import json
import pickle
import runpy
import unicodedata
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from GliomaGradingLib.cohort.grades import GradeTable, Word, parse_grade, read_grades, without_zeros
from GliomaGradingLib.cohort.listing import CaseEntry, _with_grades, describe, find_cohort, to_dict
from GliomaGradingLib.cohort.tables import read_table
from GliomaGradingLib.errors import CaseError, UsageError
from layout_trees import DATA_SETS, tree

FOUR = "{t1,t2,flair,seg}.nii.gz"


def grades_of(source: Path, **options: object) -> dict[str, str | None]:
    return {entry.case: entry.grade for entry in find_cohort(source, **options).cases}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("HGG", "HGG"), ("lgg ", "LGG"), ("4", "HGG"), ("3", "LGG"), ("2.0", "LGG"), ("IV", "HGG"),
        ("iii", "LGG"),
        ("WHO grade II", "LGG"), ("WHO CNS Grade 4", "HGG"), ("G3", "LGG"), ("grade_4", "HGG"),
        ("", None), ("-1", None), ("NA", None), ("Unknown", None),
    ],
)  # fmt: skip
def test_grades_of_any_spelling(text: str, grade: str | None) -> None:
    assert parse_grade(text) == grade


@pytest.mark.parametrize(
    "text", ["1", "WHO I", "5", "high", "glioblastoma", "2/3", "0", "-2", "-3", "-4", "- 4", "_4"]
)
def test_what_is_no_grade_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError):
        parse_grade(text)


def test_name_mapping_of_brats_2020(tmp_path: Path) -> None:
    for number in ("001", "002", "003"):
        tree(tmp_path, f"BraTS20_Training_{number}/BraTS20_Training_{number}_{FOUR}")
    (tmp_path / "name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,"
        "BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
        "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,NA,BraTS19_CBICA_AAB_1,BraTS20_Training_001\n"
        "LGG,NA,NA,TCGA-CS-4941,BraTS19_TCIA_1,BraTS20_Training_002\n"
    )
    expected = {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "LGG", "BraTS20_Training_003": None}
    assert grades_of(tmp_path) == expected
    assert grades_of(tmp_path / "BraTS20_Training_002") == {"BraTS20_Training_002": "LGG"}  # the table is above
    notices = find_cohort(tmp_path).notices
    assert [n for n in notices if n.startswith("grades are from") and n.endswith("3 count as LGG, 4 as HGG")]
    assert read_grades(tmp_path / "name_mapping.csv").told("tcga-cs-4941") == ("LGG", Word.GRADE)


def test_metadata_of_ucsf_has_three_digits_where_folders_have_four(tmp_path: Path) -> None:
    cases = tmp_path / "UCSF-PDGM-v5"
    for number in ("0004", "0005", "0007", "0541"):
        tree(cases, f"UCSF-PDGM-{number}_nifti/UCSF-PDGM-{number}_{{T1,T2,FLAIR,tumor_segmentation}}.nii.gz")
    (tmp_path / "UCSF-PDGM-metadata_v5.csv").write_text(
        "\ufeffID,Sex,WHO CNS Grade,BraTS21 ID\n"
        "UCSF-PDGM-004,M,4,BraTS2021_00097\nUCSF-PDGM-005,F,3,\nUCSF-PDGM-007,F,1,\nUCSF-PDGM-541,M,2,\n",
        encoding="utf-8",
    )
    assert list(grades_of(cases).values()) == ["HGG", "LGG", None, "LGG"]
    assert any("'1' in it is no grade that counts" in notice for notice in find_cohort(cases).notices)


def test_utsw_table_has_tabs_and_windows_line_ends(tmp_path: Path) -> None:
    for number in ("0001", "0002", "0003"):
        tree(tmp_path, f"BT{number}/brain_{{t1,t2,flair}}.nii.gz", f"BT{number}/tumorseg_FeTS.nii.gz")
    text = "Subject ID\tTumor Grade\tIDH\r\nBT0001\t2\tmutated\r\nBT0002\t4 \twild type\r\nBT0003\tNA\tNA\r\n"
    (tmp_path / "UTSW_Glioma_Metadata-2-1.tsv").write_bytes(text.encode())
    assert grades_of(tmp_path) == {"BT0001": "LGG", "BT0002": "HGG", "BT0003": None}


def egd(folder: Path) -> Path:
    for number in ("0001", "0002", "0003"):
        tree(folder, f"SUBJECTS/EGD-{number}/{{T1,T1GD,T2,FLAIR,MASK}}.nii.gz")
    return folder


def test_egd_sheet_in_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    head = ["Subject", "IDH", "1p19q", "Grade"]
    for row in (head, ["EGD-0001", 0, 0, 4], ["EGD-0002", 1, 1, 2], ["EGD-0003", -1, -1, -1]):
        book.active.append(row)
    book.save(egd(tmp_path) / "Genetic_and_Histological_labels.xlsx")
    assert grades_of(tmp_path) == {"EGD-0001": "HGG", "EGD-0002": "LGG", "EGD-0003": None}


def test_egd_grades_of_a_patients_own_file(tmp_path: Path) -> None:
    for case, grade in (("EGD-0001", 4), ("EGD-0002", 3), ("EGD-0003", -1)):
        text = json.dumps({"Genetic_and_Histological_labels": {"IDH": -1, "1p19q": -1, "Grade": grade}})
        (egd(tmp_path) / "SUBJECTS" / case / "metadata.json").write_text(text)
    assert grades_of(tmp_path) == {"EGD-0001": "HGG", "EGD-0002": "LGG", "EGD-0003": None}
    (tmp_path / "SUBJECTS" / "EGD-0001" / "metadata.json").write_text("{broken")
    assert grades_of(tmp_path)["EGD-0001"] is None


def test_without_openpyxl_the_listing_goes_on_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = egd(tmp_path) / "Genetic_and_Histological_labels.xlsx"
    table.write_bytes(b"PK")
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    cohort = find_cohort(tmp_path)
    assert len(cohort.cases) == 3 and cohort.graded == ()
    assert "pip install openpyxl, or save it as 'CSV UTF-8'" in cohort.notices[0]
    with pytest.raises(UsageError, match="openpyxl, which reads Excel files, is not installed"):
        find_cohort(tmp_path, grades=table)


def test_a_damaged_excel_file_does_not_stop_the_listing(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (egd(tmp_path) / "Genetic_and_Histological_labels.xlsx").write_bytes(b"PK\3\4 cut off")
    assert "the Excel file cannot be read" in find_cohort(tmp_path).notices[0]


@pytest.mark.parametrize(
    ("rows", "damage", "message"),
    [
        ([["case", "grade"], ["a", 2]], 0, ""),
        ([["case", "grade"], ["a", 2]], 40, "the Excel file cannot be read"),
        ([["case", "case"], ["a", 2]], 0, "the column 'case' is there twice"),
        ([[None]], 0, "the table is empty"),
    ],
)
def test_an_excel_file_is_closed_whatever_is_in_it(
    tmp_path: Path, rows: list, damage: int, message: str
) -> None:
    """Windows lets nobody save or remove what is open here."""
    openpyxl, psutil = pytest.importorskip("openpyxl"), pytest.importorskip("psutil")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "whole.xlsx")
    sheet, table = "xl/worksheets/sheet1.xml", tmp_path / "table.xlsx"
    with zipfile.ZipFile(tmp_path / "whole.xlsx") as whole, zipfile.ZipFile(table, "w") as copy:
        for name in whole.namelist():
            content = whole.read(name)
            copy.writestr(name, content[:-damage] if name == sheet and damage else content)
    with pytest.raises(UsageError, match=message) if message else nullcontext():
        try:
            assert read_table(table).rows == ((2, {"case": "a", "grade": "2"}),)
        finally:
            assert [file.path for file in psutil.Process().open_files() if file.path == str(table)] == []


def test_participants_of_bids(tmp_path: Path) -> None:
    tree(tmp_path, *DATA_SETS["bids"])
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tWHO grade\nsub-01\t50\tIII\n")
    assert grades_of(tmp_path) == {"sub-01": "LGG"}


def test_tcga_by_collection_and_by_table(tmp_path: Path) -> None:
    for collection, case in (("GBM", "TCGA-02-0006"), ("LGG", "TCGA-CS-4941")):
        place = tmp_path / f"Pre-operative_TCGA_{collection}_NIfTI_and_Segmentations" / case
        tree(place, f"{case}_1996.08.23_{{t1,t1Gd,t2,flair,GlistrBoost}}.nii.gz")
    assert grades_of(tmp_path) == {"TCGA-02-0006": "HGG", "TCGA-CS-4941": "LGG"}


def test_a_table_that_the_user_names_goes_first(tmp_path: Path) -> None:
    cases = tree(tmp_path / "cases", f"HGG/a/{FOUR}", f"HGG/b/{FOUR}", f"c/{FOUR}")
    table = tmp_path / "mine.csv"
    table.write_text("Patient ID;WHO grade\na;2\nc;IV\n")
    assert grades_of(cases) == {"a": "HGG", "b": "HGG", "c": None}
    assert grades_of(cases, grades=table) == {"a": "LGG", "b": "HGG", "c": "HGG"}
    table.write_text("name,value\na,2\n")
    with pytest.raises(UsageError, match="no column of grades"):
        find_cohort(cases, grades=table)


NAMES = ("p1", "p01", "p002", "p3")
TOLD = "WHO 2 and 3 count as LGG, 4 as HGG"


def graded_by(
    folder: Path, *rows: str, names: tuple[str, ...] = NAMES
) -> tuple[dict[str, str | None], list[str]]:
    """Grades by case, and notices, of folders of these names with ``--grades``."""
    cases = tree(folder / "cases", *(f"{name}/{FOUR}" for name in names))
    table = folder / "g.csv"
    table.write_text("\n".join(["case,grade", *rows]))
    cohort = find_cohort(cases, grades=table)
    notices = [notice.replace(str(table), "TABLE") for notice in cohort.notices]
    return {entry.case: entry.grade for entry in cohort.cases}, notices


def test_no_case_gets_the_grade_of_another_whose_name_differs_in_zeros(tmp_path: Path) -> None:
    grades, notices = graded_by(tmp_path, "p01,HGG", "p3,HGG", "p002,LGG")
    assert grades == {"p1": None, "p01": "HGG", "p002": "LGG", "p3": "HGG"}
    alike = "TABLE gives no grade to p1: there or here, several names differ in zeros only"
    assert notices == [f"grades are from TABLE, column grade: {TOLD}", alike]


def test_a_bids_data_set_without_a_table_has_no_grades_of_its_neighbour(tmp_path: Path) -> None:
    for data_set in "AB":
        tree(tmp_path / data_set, *DATA_SETS["bids"])
    (tmp_path / "A" / "participants.tsv").write_text("participant_id\tgrade\nsub-01\t4\n")
    assert grades_of(tmp_path) == {"A_sub-01_anat_sub-01": "HGG", "B_sub-01_anat_sub-01": None}


def test_the_table_of_a_bids_data_set_lies_above_it_or_within_it(tmp_path: Path, monkeypatch) -> None:
    tree(tmp_path / "all" / "A", *DATA_SETS["bids"])
    table = tmp_path / "all" / "participants.tsv"
    table.write_text("participant_id\tgrade\nsub-01\t4\n")
    (tmp_path / "link").symlink_to(tmp_path / "all" / "A")
    for source in (tmp_path / "all", tmp_path / "all" / "A", tmp_path / "link"):
        assert list(grades_of(source).values()) == ["HGG"]
    monkeypatch.chdir(tmp_path / "all")
    assert list(grades_of(Path("A")).values()) == ["HGG"]


def test_zeros_before_numbers_do_not_count_where_one_name_is_meant(tmp_path: Path) -> None:
    assert graded_by(tmp_path, "p001,4", "P02,2", names=("p1", "p002"))[0] == {"p1": "HGG", "p002": "LGG"}
    grades, notices = graded_by(tmp_path / "twice", "p001,4", "p01,2", "p3,4", names=("p1", "p3"))
    assert grades == {"p1": None, "p3": "HGG"} and "gives no grade to p1: there or here" in notices[1]


def test_scans_of_one_patient_are_no_two_names(tmp_path: Path) -> None:
    names = tuple(f"BraTS-GLI-00005-{scan}/BraTS-GLI-00005-{scan}-" for scan in ("000", "001"))
    cases = tree(tmp_path / "cases", *(f"{name}{{t1n,t2w,t2f,seg}}.nii.gz" for name in names))
    (tmp_path / "g.csv").write_text("case,grade\nBraTS-GLI-5,4\n")
    assert set(grades_of(cases, grades=tmp_path / "g.csv").values()) == {"HGG"}


def test_rows_that_contradict_each_other_give_no_grade(tmp_path: Path) -> None:
    rows = ("p01,HGG", "p002,2", "p002,4", "p3,3", "p3,LGG", "p3,", "zz,3", "zz,4")
    grades, notices = graded_by(tmp_path, *rows, names=("HGG/p002", "p01", "p3"))
    assert grades == {"p002": None, "p01": "HGG", "p3": "LGG"}
    assert notices[1:] == ["rows or columns of p002 in TABLE contradict each other: the grade is left unknown"]
    cohort = find_cohort(tmp_path / "cases", grades=tmp_path / "g.csv")
    doubts = [entry.doubts for entry in cohort.cases]
    assert doubts == [("its rows or columns in g.csv contradict each other",), (), ()]


def test_a_table_that_fits_no_case_is_told(tmp_path: Path) -> None:
    grades, notices = graded_by(tmp_path, "x1,HGG", "x2,2")
    assert set(grades.values()) == {None}
    assert notices == ["no case of this input is in TABLE: its names have to be those of the cases"]


def test_a_table_without_grades_is_told_with_what_it_has_instead(tmp_path: Path) -> None:
    grades, notices = graded_by(tmp_path, "p1,1", "p3,glioblastoma", "p002,GBM", "p01,WHO I")
    assert set(grades.values()) == {None}
    odd = "'1', 'glioblastoma', 'GBM', ... in it is no grade that counts"
    assert notices == [f"no case of this input has a grade in TABLE: {odd}; understood are LGG, HGG, 2, 3, 4"]


def test_numbers_that_the_listing_gives_to_patients_are_no_names(tmp_path: Path) -> None:
    table = GradeTable(tmp_path / "g.csv", {"patient 1": frozenset(["HGG"])})
    found = CaseEntry("anna", {}, "dicom", tmp_path, patient="patient 1")
    assert _with_grades([found], [table], [""])[0] == [found]
    named = CaseEntry("anna", {}, "manifest", tmp_path, patient="Patient 1")
    assert _with_grades([named], [table], [""])[0][0].grade == "HGG"


def test_each_bids_data_set_has_its_own_table(tmp_path: Path) -> None:
    for data_set, grade in (("A", "2"), ("B", "4")):
        tree(tmp_path / data_set, *DATA_SETS["bids"])
        (tmp_path / data_set / "participants.tsv").write_text(f"participant_id\tgrade\nsub-01\t{grade}\n")
    assert grades_of(tmp_path) == {"A_sub-01_anat_sub-01": "LGG", "B_sub-01_anat_sub-01": "HGG"}


def test_zeros_before_numbers_are_taken_away() -> None:
    assert without_zeros("UCSF-PDGM-0004") == without_zeros("ucsf-pdgm-004") == "ucsf-pdgm-4"
    assert without_zeros("p100") == "p100" and without_zeros("a0") == "a0"


# tables


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_any_separator_and_encoding(tmp_path: Path, separator: str, encoding: str) -> None:
    path = tmp_path / "t.csv"
    lines = [["Case ", "Größe (mm)"], [' "a b" ', "3"], ["", ""], ["c", ""]]
    path.write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    table = read_table(path)
    assert table.columns == {"case": "Case", "grösse_mm": "Größe (mm)"}
    assert [number for number, _ in table.rows] == [2, 4]
    assert table.rows[1][1] == {"case": "c", "grösse_mm": ""}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the table is empty"), (b"\n \n", "the table is empty"), (b"case,M\xfcller\n", "not in UTF-8"),
        (b"a\0b", "no table of text"), (b"case,case\n1,2\n", "the column 'case' is there twice"),
        (b'case,t1\n"a,b\n', "the table is damaged"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UsageError, match=text):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("case,age,grade\np1,45,3,4\n", "row 2 has 4 cells and the head has 3"),
        ("case,age,grade\np0,45,3,\np1,45,3,,4\n", "row 3 has 5 cells and the head has 3"),
        ("sep=;\ncase;note;grade\np1;a; b;4\n", "row 3 has 4 cells and the head has 3"),
    ],
)
def test_a_row_that_is_longer_than_the_head_is_not_read_shifted(
    tmp_path: Path, content: str, text: str
) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UsageError) as refused:
        read_table(tmp_path / "t.csv")
    what = "semicolons" if ";" in content else "commas"
    remedy = f"put cells with {what} into quotes, and name every column"
    assert (refused.value.problem, refused.value.remedy) == (text, remedy)


def test_empty_cells_beyond_the_head_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('case,age,grade\np1,"45,3",4, ,\np2,\n')
    rows = [row for _number, row in read_table(tmp_path / "t.csv").rows]
    assert rows == [
        {"case": "p1", "age": "45,3", "grade": "4"},
        {"case": "p2", "age": "", "grade": ""},
    ]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ('"Patient\nID";Grade\r\np1;2\r\n', ["Patient ID", "Grade"]),
        ('"a, b, c";"Patient\r\nID";Grade\r\n1;p1;2\r\n', ["a, b, c", "Patient ID", "Grade"]),
        ("case\tgrade\tage, years, sex, x\np1\t2\t1\n", ["case", "grade", "age, years, sex, x"]),
        ("case\tgrade\tage, years, sex, x\np1\t2\t45,3\n", ["case", "grade", "age, years, sex, x"]),
        ("case;grade;age\np1;2;45,3\np2;4\n", ["case", "grade", "age"]),
        ("case;grade\n", ["case", "grade"]),
        ("case,grade\np1,a;b;c\n", ["case", "grade"]),
    ],
)
def test_the_separator_is_the_one_that_divides_the_rows(
    tmp_path: Path, content: str, columns: list[str]
) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode())
    assert list(read_table(tmp_path / "t.csv").columns.values()) == columns


# manifests


def manifest(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8-sig")
    return folder / name


def test_a_manifest_names_files_beside_it(tmp_path: Path) -> None:
    tree(tmp_path / "data", f"p1_{FOUR}", "p2_{t1,flair,seg}.nii.gz")
    text = (
        "Case;T1;T2;FLAIR;Mask;Grade;mask labels;patient\n"
        "two;data/p2_t1.nii.gz;data/p2_t2.nii.gz;data/p2_flair.nii.gz;data/p2_seg.nii.gz;;;\n"
        "one;data\\p1_t1.nii.gz;data/p1_t2.nii.gz;data/p1_flair.nii.gz;data/p1_seg.nii.gz;IV;1 4;X\n"
        "three;data/p1_t1.nii.gz;;data/p1_flair.nii.gz;data/p1_seg.nii.gz;5;;\n"
    )
    cohort = find_cohort(manifest(tmp_path, text))
    two, one, three = cohort.cases
    assert (cohort.layout, [entry.case for entry in cohort.cases]) == ("manifest", ["two", "one", "three"])
    assert (one.problem, one.grade, one.mask_labels, one.patient) == ("", "HGG", (1, 4), "X")
    assert one.files["T1"] == tmp_path / "data" / "p1_t1.nii.gz"
    assert two.problem == f"T2 ({tmp_path / 'data' / 'p2_t2.nii.gz'}) of row 2 of cohort.csv not found"
    assert three.problem == "T2 not named in row 4 of cohort.csv" and three.missing == ("T2",)
    with pytest.raises(CaseError) as refused:
        two.read()
    assert str(refused.value) == f"{two.problem}: correct the path"
    assert cohort.complete == (one,) and cohort.graded == (one,)
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    "names", ["id,t1,t2,flair,seg", "Case ID;T1;T2;FLAIR;Segmentation", "id,case,t1,t2,flair,mask"]
)
def test_columns_of_a_manifest_have_their_usual_names(tmp_path: Path, names: str) -> None:
    separator = ";" if ";" in names else ","
    cells = {"case": "p1", "id": "p1" if "case" not in names else "7", "case id": "p1"}
    row = [cells.get(name.lower(), f"{name}.nii") for name in names.split(separator)]
    tree(tmp_path, *(cell for cell in row if cell.endswith(".nii")))
    (tmp_path / "c.csv").write_text(f"{names}\n{separator.join(row)}\n")
    (entry,) = find_cohort(tmp_path / "c.csv").cases
    assert (entry.case, entry.problem, entry.files["mask"].name) == ("p1", "", row[-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,t1,t2,flair\na,b,c,d\n", "the manifest has no column mask"),
        ("case,t1,t2,flair,mask\n", "the manifest names no case"),
        ("case,t1,t2,flair,mask\na,1,2,3,4\nA,1,2,3,4\n", "rows 2 and 3 are both called 'A'"),
        ("case,t1,t2,flair,mask\n,1,2,3,4\n", "row 2 has no case"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_cohort(manifest(tmp_path, text))


def test_labels_without_quotes_are_not_read_as_one(tmp_path: Path) -> None:
    text = "case,t1,t2,flair,mask,mask_labels,grade\np1,a,b,c,d,1,2,4\n"
    with pytest.raises(UsageError, match="row 2 has 8 cells and the head has 7"):
        find_cohort(manifest(tmp_path, text))


def test_an_odd_grade_is_told_and_its_case_is_graded_without(tmp_path: Path) -> None:
    tree(tmp_path, FOUR)
    row = "t1.nii.gz,t2.nii.gz,flair.nii.gz,seg.nii.gz"
    cohort = find_cohort(
        manifest(tmp_path, f"case,t1,t2,flair,mask,grade\na,{row},1\nb,{row},GBM\nc,{row},4\n")
    )
    assert [(entry.problem, entry.grade) for entry in cohort.cases] == [("", None), ("", None), ("", "HGG")]
    assert cohort.cases[1].doubts == ("'GBM' in row 3 of cohort.csv is no grade (LGG, HGG, 2, 3, 4)",)
    assert cohort.notices == (
        "'1', 'GBM' in cohort.csv is no grade that counts: understood are LGG, HGG, 2, 3, 4",
    )


def test_a_wrong_label_is_the_problem_of_its_row(tmp_path: Path) -> None:
    tree(tmp_path, FOUR)
    row = "t1.nii.gz,t2.nii.gz,flair.nii.gz,seg.nii.gz"
    text = f"case,t1,t2,flair,mask,grade,mask_labels\nb,{row},4,x\nc,{row},4,0\nd/e,{row},4,2\n"
    b, c, d = find_cohort(manifest(tmp_path, text)).cases
    assert "'x' in row 2" in b.problem and "'0' in row 3" in c.problem
    assert (d.case, d.problem) == ("d_e", "")


# the listing


def test_the_listing_for_a_terminal_and_as_json(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    tree(root, f"HGG/x1/x1_{FOUR}", "LGG/x\x1b2/x2_{t1ce,t2,flair,seg}.nii.gz", "LGG/notes/a.txt")
    cohort = find_cohort(root)
    text = describe(cohort)
    lines = text.splitlines()
    assert lines[0] == f"Input      {root}"
    assert (
        lines[1].startswith("Layout     brats: BraTS 2017, 2018, 2019, 2020 (") and "2 of 2 cases" in lines[1]
    )
    assert lines[2] == "Cases      2: 1 complete, 1 with a problem"
    assert lines[3] == "Grades     1 LGG, 1 HGG, 0 unknown"
    assert "x1    HGG    *_t1.nii.gz *_t2.nii.gz *_flair.nii.gz *_seg.nii.gz" in lines
    assert "x_2   LGG    ! T1 not found (x2_t1ce.nii.gz is with contrast and is not taken for T1)" in lines
    assert lines[-1].endswith("notes: no volumes (a.txt)") and "\x1b" not in text
    told = json.loads(json.dumps(to_dict(cohort)))
    assert told["schema"] == "glioma-grading/cohort/1" and told["layout"] == "brats"
    assert [case["grade"] for case in told["cases"]] == ["HGG", "LGG"]
    assert told["cases"][1]["problem"].startswith("T1 not found")
    assert told["skipped"] == [{"path": str(root / "LGG" / "notes"), "reason": "no volumes (a.txt)"}]


def test_the_recipe_that_the_page_shows_is_one() -> None:
    from GliomaGradingLib.training.recipe import recipe_from_dict

    page = (Path(__file__).parents[2] / "Resources" / "Layouts.md").read_text(encoding="utf-8")
    shown = [json.loads(block.split("```")[0]) for block in page.split("```json\n")[1:]]
    assert [recipe_from_dict(values).epochs for values in shown] == [0]
    assert (
        "| `probe_passes` | whole number | `9` |" in page
        and "| `image.turned` | true or false | `true` |" in page
    )


def test_the_page_about_layouts_is_what_the_program_does() -> None:
    page = runpy.run_path(str(Path(__file__).resolve().parent.parent / "layouts_page.py"))
    assert page["PAGE"].read_text(encoding="utf-8") == page["page"]()


@pytest.mark.parametrize("nobody", ["NA", "unknown", "-", ""])
def test_words_for_nobody_are_no_patient(tmp_path: Path, nobody: str) -> None:
    """All cases would be one patient, whose interval has no width."""
    tree(tmp_path, *(f"{case}_{FOUR}" for case in "ab"))
    rows = [f"{c},{c}_t1.nii.gz,{c}_t2.nii.gz,{c}_flair.nii.gz,{c}_seg.nii.gz,{nobody}" for c in "ab"]
    named = manifest(tmp_path, "\n".join(["case,t1,t2,flair,mask,patient_id", *rows]))
    assert [entry.patient for entry in find_cohort(named).cases] == ["a", "b"]
    cases = tree(tmp_path / "in", f"a/{FOUR}", f"b/{FOUR}")
    (tmp_path / "g.csv").write_text(f"case,grade,patient\na,4,{nobody}\nb,2,{nobody}\n")
    assert [entry.patient for entry in find_cohort(cases, grades=tmp_path / "g.csv").cases] == ["a", "b"]


def test_a_manifest_may_call_its_patients_as_grades_do(tmp_path: Path) -> None:
    tree(tmp_path, f"a_{FOUR}")
    row = "a,a_t1.nii.gz,a_t2.nii.gz,a_flair.nii.gz,a_seg.nii.gz"
    for column in ("patient_id", "subject", "Subject ID"):
        named = manifest(tmp_path, f"case,t1,t2,flair,mask,{column}\n{row},Anna\n")
        assert find_cohort(named).cases[0].patient == "Anna", column


@pytest.mark.parametrize(
    ("cell", "labels"), [("1.0", (1,)), ("1;4", (1, 4)), ("1, 2 4.0", (1, 2, 4)), ("1+2", (1, 2))]
)
def test_labels_as_spreadsheets_write_them(tmp_path: Path, cell: str, labels: tuple[int, ...]) -> None:
    tree(tmp_path, f"a_{FOUR}")
    row = "a|a_t1.nii.gz|a_t2.nii.gz|a_flair.nii.gz|a_seg.nii.gz"
    named = manifest(tmp_path, f"sep=|\ncase|t1|t2|flair|mask|mask_labels\n{row}|{cell}\n")
    assert find_cohort(named).cases[0].mask_labels == labels


@pytest.mark.parametrize(
    "text",
    ["WHO 2021 grade 4", "CNS WHO grade 4", "Gr. 4", "gr 4", "WHO CNS 2016 IV", "G4", "WHO-4", "grade - 4"],
)
def test_grades_as_pathologists_write_them(text: str) -> None:
    assert parse_grade(text) == "HGG"


@pytest.mark.parametrize("text", ["2021", "2016 2", "grade 44", "WHO", "4 2021"])
def test_what_is_no_grade(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        assert parse_grade(text) == "not LGG: " + text


def named_by(folder: Path, text: str, *names: str) -> tuple[dict[str, tuple[str | None, str]], list[str]]:
    """Grade and patient by case, and notices but for that of the table's columns of grades."""
    cases = tree(folder / "cases", *(f"{name}/{FOUR}" for name in names))
    (folder / "g.csv").write_text(text)
    cohort = find_cohort(cases, grades=folder / "g.csv")
    notices = [n.replace(str(folder / "g.csv"), "TABLE") for n in cohort.notices]
    return {e.case: (e.grade, e.patient) for e in cohort.cases}, [n for n in notices if "grades are" not in n]


RUNNING = "id,patient_id,grade\n1,12,HGG\n2,7,LGG\n3,99,HGG\n"


@pytest.mark.parametrize(
    ("names", "found", "column"),
    [
        (("7", "12", "99"), {"7": "LGG", "12": "HGG", "99": "HGG"}, ""),
        (("1", "7", "12"), {"1": None, "7": "LGG", "12": "HGG"}, "patient_id"),
        (("1", "2", "7", "12"), {"1": "HGG", "2": "LGG", "7": None, "12": None}, "id"),
        (("002", "007", "012"), {"002": None, "007": "LGG", "012": "HGG"}, "patient_id"),
    ],
)
def test_a_running_number_is_no_patients(
    tmp_path: Path, names: tuple[str, ...], found: dict[str, str | None], column: str
) -> None:
    cases, notices = named_by(tmp_path, RUNNING, *names)
    assert {case: grade for case, (grade, _patient) in cases.items()} == found
    told = f"TABLE has cases in different rows by its columns id and patient_id: only {column} is read"
    assert notices == [told] * bool(column)
    patients = {"1": "12", "2": "7"} if column == "id" else {}
    assert {case: patient for case, (_, patient) in cases.items()} == {n: patients.get(n, n) for n in names}


def test_one_name_in_different_rows_is_read_by_one_column(tmp_path: Path) -> None:
    text = "id,patient_id,grade\n1,2,HGG\n2,1,LGG\n3,5,LGG\n4,6,HGG\n"
    cases, notices = named_by(tmp_path, text, "1", "2", "5")
    assert cases == {"1": ("LGG", "1"), "2": ("HGG", "2"), "5": ("LGG", "5")} and len(notices) == 1


def test_scans_and_their_patients_are_read_by_both_columns(tmp_path: Path) -> None:
    text = "case,patient,grade\np1,p1,2\np1_later,p1,4\np2_a,p2,4\n"
    cases, notices = named_by(tmp_path, text, "p2_a", "p1_later")
    assert cases == {"p2_a": ("HGG", "p2"), "p1_later": ("HGG", "p1")} and notices == []


def test_letters_are_the_same_however_they_are_composed(tmp_path: Path) -> None:
    """macOS takes the letters of file names apart; who types a table does not."""
    cases = tree(
        tmp_path / "in", *(f"{unicodedata.normalize('NFD', name)}/{FOUR}" for name in ("Müller", "Jäger"))
    )
    (tmp_path / "g.csv").write_text("case,grade,patient\nMüller,4,A\nJÄGER,2,B\n", encoding="utf-8")
    found = find_cohort(cases, grades=tmp_path / "g.csv").cases
    assert sorted((entry.grade, entry.patient) for entry in found) == [("HGG", "A"), ("LGG", "B")]


def test_columns_of_grades_that_disagree_leave_it_open(tmp_path: Path) -> None:
    tree(tmp_path / "cases", *(f"p{number}/{FOUR}" for number in (1, 2, 3)))
    table = tmp_path / "g.csv"
    table.write_text("case,tumor_grade,grade\np1,II,4\np2,IV,4\np3,,2\n")
    cohort = find_cohort(tmp_path / "cases", grades=table)
    assert {case.case: case.grade for case in cohort.cases} == {"p1": None, "p2": "HGG", "p3": "LGG"}
    assert cohort.notices[0].startswith(f"grades are from {table}, columns grade and tumor_grade: ")
    assert cohort.cases[0].doubts == ("its rows or columns in g.csv contradict each other",)


def test_what_is_no_grade_contradicts_a_grade_beside_it(tmp_path: Path) -> None:
    """WHO grade 1 may be called LGG elsewhere; a column that has grades holds nothing else at will."""
    tree(tmp_path / "cases", *(f"p{number}/{FOUR}" for number in range(1, 6)))
    table = tmp_path / "g.csv"
    rows = "p1,LGG,1\np2,HGG,4\np3,LGG,unknown\np4,LGG,mixed\np5,,1\n"
    table.write_text(f"case,grade,WHO grade\n{rows}")
    cohort = find_cohort(tmp_path / "cases", grades=table)
    grades = {"p1": None, "p2": "HGG", "p3": "LGG", "p4": None, "p5": None}
    assert {case.case: case.grade for case in cohort.cases} == grades
    assert f"'1', 'mixed' in it is no grade that counts; {TOLD}" in cohort.notices[0]
    assert cohort.notices[1] == (
        f"rows or columns of p1, p4 in {table} contradict each other: the grade is left unknown"
    )
    doubt = ("its rows or columns in g.csv contradict each other",)
    assert [case.doubts for case in cohort.cases] == [doubt, (), (), doubt, ()]


def test_a_column_of_diagnoses_contradicts_no_grade(tmp_path: Path) -> None:
    tree(tmp_path, *DATA_SETS["bids"])
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tgrade\twho_grade\nsub-01\tGlioblastoma\t4\nsub-02\tlow\t2\n"
    )
    cohort = find_cohort(tmp_path)
    assert {case.case: case.grade for case in cohort.cases} == {"sub-01": "HGG"}
    assert not any("no grade" in text or "contradict" in text for text in cohort.notices)


@pytest.mark.parametrize(
    ("columns", "cells", "grade", "told"),
    [
        ("WHO grade", "4", "HGG", ""),
        ("known_grade", "LGG", "LGG", ""),
        ("grade,known_grade", "HGG,LGG", None, "the columns of grades contradict each other in row 2 of c.csv"),
        ("grade,known_grade", "odd,LGG", "LGG", ""),
        ("grade,WHO grade", "LGG,1", None, "the columns of grades contradict each other in row 2 of c.csv"),
        ("grade,WHO grade", "glioblastoma,4", "HGG", ""),
        ("grade,WHO grade", "LGG,#N/A", "LGG", ""),
        ("grade,decision,probability_hgg,known_grade", "HGG,HGG,0.9,LGG", "LGG", ""),
        (
            "grade,decision",
            "HGG,HGG",
            None,
            "c.csv has no grades in grade: they are read from a column known_gr",
        ),
        ("Grade at surgery", "4", None, "c.csv has no grades in Grade at surgery: they are read from a column"),
    ],
)
def test_grades_of_a_table_of_cases(
    tmp_path: Path, columns: str, cells: str, grade: str | None, told: str
) -> None:
    tree(tmp_path / "p1", FOUR)
    files = ",".join(f"p1/{role}.nii.gz" for role in ("t1", "t2", "flair", "seg"))
    (tmp_path / "c.csv").write_text(f"case,t1,t2,flair,mask,{columns}\np1,{files},{cells}\n")
    cohort = find_cohort(tmp_path / "c.csv")
    assert cohort.cases[0].grade == grade
    texts = [text for text in (*cohort.cases[0].doubts, *cohort.notices) if "is no grade" not in text]
    assert [text.startswith(told) for text in texts] == [True] * bool(told)


def test_a_data_sets_table_whose_grades_are_called_otherwise_is_told(tmp_path: Path) -> None:
    tree(tmp_path, *DATA_SETS["bids"])
    (tmp_path / "participants.tsv").write_text("participant_id\ttumor_type_and_grade\nsub-01\tGBM 4\n")
    (notice,) = [text for text in find_cohort(tmp_path).notices if "tumor_type" in text]
    assert notice.startswith("participants.tsv has no grades in tumor_type_and_grade: they are read from a col")
