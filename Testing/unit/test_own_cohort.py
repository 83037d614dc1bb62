"""From a user's own cohort to a bundle: prepare, train, grade; who is left out is told."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.case import Case
from GliomaGradingLib.cli import main, train
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.preparation.slices import crop
from GliomaGradingLib.training.dataset import TrainingSet
from small_head import arrays, volume

GRADES = ("HGG", "LGG")
TINY = {
    "pretrained": False,
    "images_per_epoch": 8,
    "batch": 4,
    "epochs": 1,
    "probe_passes": 1,
    "precision": "float32",
    "average_from": 1.0,
    "image": {"pixels": 32},
}


def write_patient(folder: Path, names: str, number: int) -> None:
    """The small head, a little different for each number; even numbers have brighter tumours in FLAIR."""
    rng = np.random.default_rng(number)
    folder.mkdir(parents=True, exist_ok=True)
    made = arrays()
    for role, ending in zip(("T1", "T2", "FLAIR", "mask"), names.split(), strict=True):
        array = made[role]
        if role != "mask":
            noise = rng.normal(0, 15, array.shape) * (array > 0)
            gain = 300 if role == "FLAIR" and number % 2 == 0 else 0
            array = (array + noise + np.float32(gain) * made["mask"]).astype(np.int16)
        sitk.WriteImage(volume(array).toImage(), str(folder / f"{folder.name}{ending}.nii.gz"), True)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients named as BraTS 2023 names them, one of them scanned twice, and a table of their grades."""
    root = tmp_path_factory.mktemp("own") / "cohort"
    names = "-t1n -t2w -t2f -seg"
    for number in range(6):
        write_patient(root / f"BraTS-GLI-{number:05}-000", names, number)
    write_patient(root / "BraTS-GLI-00000-001", names, 0)
    write_patient(root / "BraTS-GLI-00009-000", names, 9)
    (root / "BraTS-GLI-00009-000" / "BraTS-GLI-00009-000-t1n.nii.gz").write_bytes(b"damaged")
    write_patient(root / "BraTS-GLI-00008-000", names, 8)
    rows = [f"BraTS-GLI-{n:05}-000;{'4' if n % 2 == 0 else '2'}" for n in (*range(6), 9)]
    (root.parent / "grades.csv").write_text("\n".join(["case;WHO grade", "BraTS-GLI-00000-001;4", *rows]))
    return root


@pytest.fixture(scope="module")
def prepared(cohort: Path) -> tuple[int, Path]:
    output = cohort.parent / "training.npz"
    arguments = [str(cohort), "--grades", str(cohort.parent / "grades.csv"), "--output", str(output)]
    return main(["prepare", *arguments]), output


def test_a_cohort_of_any_layout_becomes_a_training_set(cohort: Path, prepared: tuple[int, Path]) -> None:
    status, path = prepared
    data = TrainingSet.read(path)
    assert status == 1  # one case was damaged, and the others are there
    assert data.patients.tolist() == [f"BraTS-GLI-{number:05}-000" for number in range(6)]
    assert data.grades.tolist() == [1, 0, 1, 0, 1, 0]
    assert set(data.collections) == {"brats2023"} and data.shippable.all()
    images, labels = crop(Case.read(cohort / "BraTS-GLI-00003-000"))
    np.testing.assert_allclose(data.images[3], images, atol=5e-3)
    np.testing.assert_array_equal(data.labels[3], labels)


def test_who_is_left_out_is_told(cohort: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "few.csv"
    rows = ("BraTS-GLI-00000-000,4", "BraTS-GLI-00000-001,4", "BraTS-GLI-00001-000,3", "BraTS-GLI-00009-000,3")
    table.write_text("\n".join(["case,grade", *rows]))
    arguments = ["--grades", str(table), "--output", str(tmp_path / "t.npz"), "--collection", "ours"]
    assert main(["prepare", str(cohort), *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 't.npz'}: 2 patients (1 HGG, 1 LGG)\n"
    told = dict(line.split(" is left out: ") for line in said.err.splitlines() if " is left out: " in line)
    assert "0/3 [" in said.err and "3/3 [" in said.err  # the two and the damaged one, while they are read
    assert told["BraTS-GLI-00000-001"] == "BraTS-GLI-00000-000 is of the same patient"
    assert told["BraTS-GLI-00008-000"] == "its grade is not known"
    assert "BraTS-GLI-00009-000-t1n.nii.gz" in told["BraTS-GLI-00009-000"]
    assert set(TrainingSet.read(tmp_path / "t.npz").collections) == {"ours"}


def test_the_same_images_under_another_name_are_left_out(
    cohort: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As two patients, they would come to lie on both sides of a split."""
    name, files = "BraTS-GLI-00000-000", ("t1n", "t2w", "t2f", "seg")
    rows = ["case,t1,t2,flair,mask,grade"]
    for case, folder, grade in (("a", cohort, 4), ("b", cohort, 4), ("c", tmp_path, 2)):
        rows.append(",".join([case, *(f"{folder}/{name}/{name}-{n}.nii.gz" for n in files), str(grade)]))
    other = "BraTS-GLI-00001-000"
    rows.append(",".join(["d", *(f"{cohort}/{other}/{other}-{n}.nii.gz" for n in files), "2"]))
    (tmp_path / name).mkdir()
    for file in (cohort / name).iterdir():
        (tmp_path / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    assert main(["prepare", str(tmp_path / "cases.csv"), "--output", str(tmp_path / "t.npz")]) == 0
    assert capsys.readouterr().err.splitlines()[:2] == [
        "b is left out: a has the same images",
        "c is left out: a has the same images, there with grade HGG",
    ]
    assert TrainingSet.read(tmp_path / "t.npz").patients.tolist() == ["a", "d"]


def test_what_is_wrong_with_grades_is_told(
    cohort: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "g.csv"
    arguments = ["prepare", str(cohort), "--grades", str(table), "--output", str(tmp_path / "t.npz")]
    table.write_text("case,grade\nx,4\n")
    assert main(arguments) == 2
    told = f"there are 0 LGG and 0 HGG to learn from; no case of this input is in {table}: its names have"
    assert told in capsys.readouterr().err.splitlines()[-1]
    table.write_text("case,grade\nBraTS-GLI-00000-000,4\nBraTS-GLI-00000-000,2\n")
    assert main(arguments) == 2
    told = "BraTS-GLI-00000-000 is left out: its rows or columns in g.csv contradict each other"
    assert told in capsys.readouterr().err.splitlines()


def test_a_column_of_grades_that_is_not_read_is_told(
    cohort: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name, files = "BraTS-GLI-00000-000", ("t1n", "t2w", "t2f", "seg")
    row = ",".join(["a", *(f"{cohort}/{name}/{name}-{n}.nii.gz" for n in files)])
    (tmp_path / "own.csv").write_text(f"case,t1,t2,flair,mask,grade_of_who\n{row},4\n")
    assert main(["prepare", str(tmp_path / "own.csv"), "--output", str(tmp_path / "t.npz")]) == 2
    told = (
        "there are 0 LGG and 0 HGG to learn from; own.csv has no grades in grade_of_who: they are read from a"
    )
    assert told in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "own.csv").write_text(f"case,t1,t2,flair,mask,grade\n{row},4\nb{row[1:]},low\n")
    assert main(["prepare", str(tmp_path / "own.csv"), "--output", str(tmp_path / "t.npz")]) == 2
    told = "there are 0 LGG and 1 HGG to learn from; 'low' in own.csv is no grade that counts: understood are"
    assert told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "no patients are given"),
        (["COHORT"], "there are 0 LGG and 0 HGG to learn from"),
        (["COHORT", "--crops", "x.npz"], "cases and crops are given"),
        (["COHORT", "--crops", "x.npz", "--layout", "utsw"], "cases and crops are given"),
        *(
            (
                ["--crops", "x.npz", "--table", "x.csv", *given],
                f"{given[0]} is of cases, and crops are given: leave",
            )
            for given in (
                ["--form", "whole-slice"],
                ["--grades", "g.csv"],
                ["--layout", "utsw"],
                ["--collection", "own"],
            )
        ),
        (["--crops", "x.npz", "--table", "x.csv", "--layout", "auto"], "x.npz"),
        (["COHORT", "--layout", "utsw"], "there is no case in the layout utsw"),
    ],
)
def test_what_cannot_be_learned_from_leaves_nothing(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    given = [str(cohort) if word == "COHORT" else word for word in arguments]
    assert main(["prepare", *given, "--output", str(tmp_path / "t.npz")]) == 2
    assert text in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["in", "--output", "out"], "this is a folder, in out: name the file to write, such as training.npz"),
        (
            ["in", "--output", "file/deep/t.npz"],
            "this is a file, and no folder for the training set, in {}/file: choose another --output",
        ),
        (
            ["in", "--cases", "in", "--output", "t.npz"],
            "INPUT and --cases are given: give one: they are the same",
        ),
        (
            ["in", "--pixels", "64", "--output", "t.npz"],
            "--pixels is given without --form whole-slice: add it, or leave --pixels out",
        ),
    ],
)
def test_what_cannot_be_written_or_would_be_ignored_is_refused_before_a_case_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no folder called "in"
    (tmp_path / "out").mkdir()
    (tmp_path / "file").touch()
    assert main(["prepare", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {told.format(tmp_path)}\n"


@pytest.mark.parametrize("pixels", ["0", "-5", "x", "31", "5000"])
def test_a_side_of_a_slice_is_a_number_of_points(capsys: pytest.CaptureFixture[str], pixels: str) -> None:
    arguments = ["in", "--form", "whole-slice", f"--pixels={pixels}", "--output", "t.npz"]
    assert main(["prepare", *arguments]) == 2
    assert f"argument --pixels: '{pixels}' is no side of a slice: give 32 to 1024" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "names", "enhancing"),
    [("tumour-region", "-t1n -t2w -t2f -seg", 3), ("whole-slice", "_t1 _t2 _flair _seg", 4)],
)
def test_labels_of_the_tumours_parts_are_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, names: str, enhancing: int
) -> None:
    """What enhances is 4 in a training set, whatever the data set calls it; the regions stay the same."""
    case = "BraTS-GLI-{:05}-000" if enhancing == 3 else "BraTS20_Training_{:03}"
    whole = arrays()["mask"]
    _, row, column = np.indices(whole.shape)
    parts = np.where(column < 60, 1, 2).astype(np.uint8) * whole
    parts[(whole > 0) & (row // 6 % 2 == 0)] = enhancing
    sets = []
    for kind, mask in (("parts", parts), ("whole", whole)):
        for number in (0, 1):
            folder = tmp_path / kind / case.format(number)
            write_patient(folder, names, number)
            ending = names.split()[3]
            sitk.WriteImage(volume(mask).toImage(), str(folder / f"{folder.name}{ending}.nii.gz"), True)
        table = tmp_path / f"{kind}.csv"
        table.write_text(f"case,grade\n{case.format(0)},4\n{case.format(1)},3\n")
        output = tmp_path / f"{kind}.npz"
        given = ["--grades", str(table), "--output", str(output), "--form", form]
        given += ["--pixels", "40"] if form == "whole-slice" else []
        assert main(["prepare", str(tmp_path / kind), *given]) == 0
        sets.append(TrainingSet.read(output))
    labelled, plain = sets
    assert np.array_equal(np.unique(labelled.labels), [0, 1, 2, 4]) and set(np.unique(plain.labels)) == {0, 1}
    assert np.array_equal(labelled.labels > 0, plain.labels > 0)
    assert np.array_equal(labelled.images, plain.images) and np.array_equal(labelled.first, plain.first)
    share = (labelled.labels == 4).sum() / (labelled.labels > 0).sum()
    assert share == pytest.approx((parts == enhancing).sum() / (parts > 0).sum(), abs=0.12)


def test_that_no_mask_tells_what_enhances_is_said(
    prepared: tuple[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.json"
    recipe.write_text(json.dumps({**TINY, "epochs": 0}))
    given = ["--data", str(prepared[1]), "--recipe", str(recipe), "--device", "cpu"]
    assert main(["train", *given, "--output", str(tmp_path / "s"), "--folds", "2"]) == 0
    told = "0 of 6 masks tell what enhances, by label 4 (enhancing tumour): the grade alone is taught"
    assert told in capsys.readouterr().err
    final = ["--final", str(tmp_path / "b"), "--output", str(tmp_path / "w")]
    for option in (["--folds", "3"], ["--repeats", "2"], ["--shuffle-grades"]):
        assert main(["train", *given, *final, *option]) == 2
        assert f"{option[0]} is of a study, and --final makes a bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--seeds", "3"], "--seeds is of a bundle: add --final BUNDLE_DIR, or leave out --seeds"),
        (["--study", "s"], "--study is of a bundle: add --final BUNDLE_DIR, or leave out --study"),
        (["--protocol", "image", "--folds", "3"], "the image protocol has no folds: leave out --folds"),
    ],
)
def test_options_that_training_would_ignore_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    assert main(["train", "--data", "none.npz", "--output", str(tmp_path / "s"), *given]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_a_bundle_of_all_patients_learns_from_all(prepared: tuple[int, Path]) -> None:
    data = TrainingSet.read(prepared[1])
    some = replace(data, shippable=np.arange(len(data)) < 4)
    for given, count in ((["--patients", "all"], 6), ([], 4), (["--patients", "shippable"], 4)):
        parser = argparse.ArgumentParser()
        train.add_arguments(parser)
        options = parser.parse_args(["--data", "d", "--output", "o", "--final", "b", *given])
        assert len(train._chosen(some, options)) == count


def test_whole_slices_have_the_side_that_was_asked_for(cohort: Path, tmp_path: Path) -> None:
    table = tmp_path / "few.csv"
    table.write_text("case,grade\nBraTS-GLI-00000-000,4\nBraTS-GLI-00001-000,3\n")
    arguments = ["--grades", str(table), "--form", "whole-slice", "--output", str(tmp_path / "t.npz")]
    assert main(["prepare", str(cohort), *arguments, "--pixels", "40"]) == 0
    data = TrainingSet.read(tmp_path / "t.npz")
    assert data.images.shape[-2:] == (40, 40) and data.form.pixel_mm == 6.0


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("epochs", [1, 0])
def test_the_training_set_ends_in_a_bundle_that_grades(
    cohort: Path, prepared: tuple[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], epochs: int
) -> None:
    """Without epochs the probe is all that is learned."""
    recipe = tmp_path / "tiny.json"
    recipe.write_text(json.dumps({**TINY, "epochs": epochs}))
    arguments = ["--data", str(prepared[1]), "--recipe", str(recipe), "--device", "cpu"]
    study, bundle = tmp_path / "study", tmp_path / "glioma-own"
    assert main(["train", *arguments, "--output", str(study), "--folds", "2"]) == 0
    assert main(["evaluate", str(study), "--output", str(tmp_path / "figures")]) == 0
    final = ["--final", str(bundle), "--study", str(study), "--output", str(tmp_path / "work")]
    assert main(["train", *arguments, *final]) == 0
    opened = open_bundle(bundle)
    opened.verify()
    assert opened.name == "glioma-own"
    capsys.readouterr()
    case = str(cohort / "BraTS-GLI-00002-000")
    assert main(["grade", case, "--bundle", str(bundle), "--json", "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["case"] == "BraTS-GLI-00002-000" and result["model"]["name"] == "glioma-own"
    assert result["model"]["sha256"] == opened.sha256
    assert 0 <= result["probability_hgg"] <= 1 and result["grade"] in GRADES


def test_what_training_lacks_is_told_before_it_shows_progress(
    prepared: tuple[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", str(prepared[1]), "--output", str(tmp_path / "s"), "--folds", "2"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: the 2014 GoogLeNet's ImageNet tensors are needed") and told.count("\n") == 1
    assert not (tmp_path / "s").exists()
