"""Training sets from crops and from whole cases, as tumour regions and as whole slices."""

from __future__ import annotations

import csv
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from GliomaGradingLib.case import Case
from GliomaGradingLib.errors import CaseError
from GliomaGradingLib.grading import Grader
from GliomaGradingLib.networks.bundle import write_bundle
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.networks.network import TransferModel
from GliomaGradingLib.preparation import slices
from GliomaGradingLib.preparation.slices import InputForm, crop, prepare
from GliomaGradingLib.training.crops import training_set_from_cases, training_set_from_crops
from GliomaGradingLib.training.recipe import Recipe
from GliomaGradingLib.training.source import SliceSource, part_logits
from GliomaGradingLib.training.splits import Part
from GliomaGradingLib.voting import Calibration, DecisionRule
from GliomaGradingLib.words import SEQUENCES
from small_head import volumes


@pytest.fixture(scope="module")
def case() -> Case:
    made = volumes()
    return Case.fromArrays(
        t1=made["T1"], t2=made["T2"], flair=made["FLAIR"], mask=made["mask"], caseId="small head"
    )


def write_crops(folder, patients=("a", "b"), grades=("HGG", "LGG"), names=("a", "b"), **others):
    """Crops of ``names``, with other arrays in place of or beside theirs, and a table of ``patients``."""
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32, 32)).astype(np.float16)
    labels = np.zeros((2, 32, 32, 32), np.uint8)
    labels[0, 2:8, 10:20, 10:20] = 4
    labels[1, 10:22, 10:20, 10:20] = 2
    arrays = {"images": images, "segmentations": labels, "patients": np.array(names)}
    arrays["sequences"] = np.array(SEQUENCES)
    np.savez(folder / "crops.npz", **{**arrays, **others})
    with (folder / "crops.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "grade", "collection", "shippable"])
        writer.writerows([[p, g, "X", s] for p, g, s in zip(patients, grades, ("True", "False"), strict=True)])
    return folder / "crops.npz", folder / "crops.csv"


def test_crops_and_their_table_become_a_training_set(tmp_path):
    data = training_set_from_crops(*write_crops(tmp_path))
    assert data.grades.tolist() == [1, 0]
    assert data.shippable.tolist() == [True, False]
    # planes 2..7 are the tumour at the bottom: its slices begin at the crop's end
    assert data.first[0] == 0
    middle = data.first[1] + 10 / data.plane_mm
    assert middle == pytest.approx(15.5, abs=1.0)


def test_a_table_of_other_patients_or_grades_is_refused(tmp_path):
    with pytest.raises(CaseError, match="same patients"):
        training_set_from_crops(*write_crops(tmp_path, patients=("b", "a")))
    with pytest.raises(CaseError, match="'IV' is neither"):
        training_set_from_crops(*write_crops(tmp_path, grades=("HGG", "IV")))


def test_grades_that_contradict_those_of_the_crops_are_refused(tmp_path):
    told = "patient b is HGG in the table and LGG in the crops, in "
    for stored in (np.array(["HGG", "LGG"]), np.array([1, 0])):
        arrays, table = write_crops(tmp_path)
        with np.load(arrays) as content:
            np.savez(arrays, **content, grades=stored)
        assert training_set_from_crops(arrays, table).grades.tolist() == [1, 0]
        table.write_text(table.read_text().replace("b,LGG", "b,HGG"))
        with pytest.raises(CaseError, match=told):
            training_set_from_crops(arrays, table)


@pytest.mark.parametrize(("stored", "count"), [(["HGG"], 1), ([], 0), (["HGG", "LGG", "LGG"], 3)])
def test_crops_with_grades_of_other_patients_are_refused(tmp_path, stored, count):
    arrays, table = write_crops(tmp_path, grades=("HGG", "HGG"))
    with np.load(arrays) as content:
        np.savez(arrays, **content, grades=np.array(stored))
    with pytest.raises(CaseError) as refused:
        training_set_from_crops(arrays, table)
    told = f"the crops have {count} grades of 2 patients, in {arrays}: "
    assert str(refused.value) == told + "give each patient one, or leave 'grades' out"


@pytest.mark.parametrize("value", [256, -1, 1.5, np.nan, np.inf])
def test_labels_that_no_mask_can_have_are_refused(tmp_path, value):
    """256 would be no tumour, and -1 the label 255."""
    labels = np.zeros((2, 32, 32, 32), float if isinstance(value, float) else np.int16)
    labels[:, 10:22, 10:20, 10:20] = 255
    arrays, table = write_crops(tmp_path, segmentations=labels)
    np.testing.assert_array_equal(training_set_from_crops(arrays, table).labels, labels)
    labels[1, 12, 12, 12] = value
    write_crops(tmp_path, segmentations=labels)
    with pytest.raises(CaseError) as refused:
        training_set_from_crops(arrays, table)
    assert str(refused.value) == (
        f"the mask of patient b has the value {value:g}, in {arrays}: give labels from 0 (no tumour) to 255"
    )


def test_a_table_that_excel_has_saved_is_read(tmp_path):
    arrays, table = write_crops(tmp_path)
    for text in ("patient;grade;collection;shippable\na;HGG;X;TRUE\nb;LGG;X;FALSE\n", *SHIPPABLE):
        table.write_text(text, encoding="utf-8-sig")
        data = training_set_from_crops(arrays, table)
        assert data.patients.tolist() == ["a", "b"] and data.shippable.tolist() == [True, False], text


SHIPPABLE = [
    f"patient,grade,collection,shippable\na,HGG,X,{yes}\nb,LGG,X,{no}\n"
    for yes, no in (("true", "false"), ("1", "0"), ("Yes", "No"), ("y", ""))
]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "collection,",
            "site,",
            "the table of crops has no column 'collection', in {}: the columns are",
        ),
        ("False", "perhaps", "shippable is 'perhaps' for patient b, in {}: give true or false"),
    ],
)
def test_a_table_that_lacks_something_is_told(tmp_path, old, new, message):
    arrays, table = write_crops(tmp_path)
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(CaseError) as refused:
        training_set_from_crops(arrays, table)
    assert str(refused.value).startswith(message.format(table))


IMAGES, MASKS = np.zeros((2, 3, 32, 32, 32), np.float32), np.ones((2, 32, 32, 32), np.uint8)
HOLES, LARGE, EMPTY = IMAGES.copy(), IMAGES.copy(), MASKS.copy()
HOLES[1, 2, 5], LARGE[0], EMPTY[1] = np.nan, 1e6, 0
WRONG = [
    ({"patients": ("a", "a"), "names": ("a", "a")}, "patient a is there twice"),
    ({"images": HOLES}, "the images of patient b have values that are no numbers"),
    ({"images": LARGE}, "the images of patient a have values that are no numbers"),
    ({"segmentations": EMPTY}, "the mask of patient b is empty"),
    ({"images": IMAGES[:, :, :16]}, "images are float16 (2, 3, 16, 32, 32) in place of"),
    ({"segmentations": MASKS[:1]}, "labels are uint8 (1, 32, 32, 32) in place of"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message for _, message in WRONG])
def test_crops_of_patients_who_cannot_be_learned_from_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(CaseError) as refused:
        training_set_from_crops(*write_crops(tmp_path, **changes))
    assert refused.value.problem.startswith(message) and refused.value.remedy


@pytest.mark.parametrize("damage", ["empty", "foreign", "truncated"])
def test_crops_that_are_damaged_are_told(tmp_path, damage):
    arrays, table = write_crops(tmp_path)
    contents = {"empty": b"", "foreign": b"no archive", "truncated": arrays.read_bytes()[:-3000]}
    arrays.write_bytes(contents[damage])
    with pytest.raises(CaseError) as refused:
        training_set_from_crops(arrays, table)
    assert refused.value.problem == "the crops cannot be read (it is damaged, or no .npz file)"


def test_a_case_becomes_its_crop(case):
    data = training_set_from_cases([(case, "HGG")])
    images, labels = crop(case)
    np.testing.assert_allclose(data.images[0], images, atol=5e-3)
    np.testing.assert_array_equal(data.labels[0], labels)


@pytest.mark.parametrize("form", [InputForm(), InputForm.wholeSlice(64)], ids=["tumour region", "whole slice"])
def test_a_mask_with_labels_is_cut_out_as_the_whole_one_is(case, form, monkeypatch):
    """The same points, each with its label; the brain, which takes seconds to find, is looked for once."""
    found = []
    find = slices.find_brain
    monkeypatch.setattr(slices, "find_brain", lambda *a: found.append(1) or find(*a))
    plain = training_set_from_cases([(case, "HGG")], form=form)
    mask = case.mask.array
    left = (mask > 0) & (np.arange(mask.shape[2]) < np.argwhere(mask)[:, 2].mean())
    kinds = {"every voxel": 4 * mask, "the left half": 4 * left, "both": np.where(left, 4, 2 * mask)}
    labels = {}
    for kind, parts in kinds.items():
        found.clear()
        labelled = replace(case, parts=replace(case.mask, array=parts.astype(np.uint8)))
        data = training_set_from_cases([(labelled, "HGG")], form=form)
        assert len(found) == 1
        np.testing.assert_array_equal(data.images, plain.images)
        labels[kind] = data.labels
    inside = plain.labels != 0
    np.testing.assert_array_equal(labels["every voxel"], 4 * plain.labels)
    np.testing.assert_array_equal(labels["both"] == 4, labels["the left half"] == 4)
    np.testing.assert_array_equal(labels["both"] != 0, inside)
    assert 0.4 < (labels["both"] == 4).sum() / inside.sum() < 0.6


@pytest.mark.parametrize(
    ("form", "image"),
    [
        (InputForm(), ImageForm(pixels=64)),
        (InputForm.wholeSlice(64), ImageForm(pixels=64, channels="same")),
    ],
    ids=["tumour region", "whole slice"],
)
def test_training_sees_a_case_as_grading_does(case, form, image, tmp_path):
    """The same network gives the same logits by way of the training set and by way of a bundle."""
    torch.manual_seed(0)
    models = {}
    for sequence in SEQUENCES:
        models[sequence] = TransferModel("googlenet-2014").eval()
        torch.nn.init.normal_(models[sequence].output.linear.weight, std=0.02)
    metadata = {
        "name": "t",
        "version": "0",
        "input": {"region": asdict(form), "image": asdict(image)},
        "calibration": asdict(Calibration.identity()),
        "decision": asdict(DecisionRule()),
    }
    grader = Grader(write_bundle(tmp_path / "b", models, metadata), models, torch.device("cpu"))
    stack = prepare(case, form)
    data = training_set_from_cases([(case, "HGG")], form=form)
    assert data.form == form
    recipe = replace(Recipe(), precision="float32", image=image)
    for column, sequence in enumerate(SEQUENCES):
        learned = part_logits(models[sequence], SliceSource(data, column, recipe), Part.of_patients([0], 20))
        graded = np.array(grader.slice_logits(stack, sequence))
        spread = graded.std()
        # the crop's planes begin on another point along S, up to half a plane beside the axial grid's
        allowed = 0.02 if form.kind == "whole-slice" else 0.5
        assert np.abs(learned - graded).mean() < allowed * spread + 1e-3, sequence
