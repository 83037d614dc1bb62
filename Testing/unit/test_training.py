"""Splits, probe, fit, resume and study, on a small set whose grade can be seen."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from GliomaGradingLib import __version__
from GliomaGradingLib.cli import main
from GliomaGradingLib.errors import CaseError, UsageError
from GliomaGradingLib.networks.image_form import ImageForm
from GliomaGradingLib.preparation.slices import InputForm
from GliomaGradingLib.training.augment import augment, redrawn
from GliomaGradingLib.training.checks import check_beginning, check_circumstances, fingerprint
from GliomaGradingLib.training.dataset import TrainingSet
from GliomaGradingLib.training.equipment import BARE, Equipment
from GliomaGradingLib.training.fit import Fit
from GliomaGradingLib.training.probe import FrozenFeatures, ridge, thinned
from GliomaGradingLib.training.recipe import PAPER_RECIPE, Augmentation, Recipe, recipe_from_dict
from GliomaGradingLib.training.source import SliceSource, part_logits
from GliomaGradingLib.training.splits import (
    Part,
    Split,
    image_split,
    patient_split,
    stratified_folds,
    whole_patient_split,
)
from GliomaGradingLib.training.study import (
    STUDY,
    Study,
    _check_folder,
    _claim,
    _SharedFeatures,
    begun_at,
    check_study,
    read_study,
    run_study,
    study_from_dict,
)
from GliomaGradingLib.training.targets import SliceTargets, enhancing_shares
from GliomaGradingLib.training.team import ALONE, Draw
from GliomaGradingLib.words import SEQUENCES
from small_training import small_training_set

QUICK = Recipe(
    pretrained=False,
    images_per_epoch=16,
    batch=8,
    epochs=2,
    average_from=0.5,
    probe_passes=1,
    precision="float32",
    image=ImageForm(pixels=32),
)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return small_training_set()


def drawing(seed: int, count: int) -> Draw:
    return Draw(torch.Generator().manual_seed(seed), count)


def names(part: Part) -> set[tuple[int, int]]:
    return set(zip(part.patient.tolist(), part.slice.tolist(), strict=True))


def test_image_split_is_70_15_15_of_all_slices_and_mixes_patients():
    split = image_split(patients=326, slices=20, seed=1)
    assert (len(split.train), len(split.validation), len(split.test)) == (4564, 978, 978)
    parts = [names(split.train), names(split.validation), names(split.test)]
    assert len(set.union(*parts)) == 6520
    assert len(np.intersect1d(split.train.patients(), split.test.patients())) > 300


def test_patient_split_keeps_a_patient_on_one_side_and_tests_everybody_once():
    grades = np.array([0] * 59 + [1] * 97)
    tested = []
    for fold in range(5):
        split = patient_split(grades, 20, fold, 5, 0.15, seed=3)
        sides = [set(part.patients()) for part in (split.train, split.validation, split.test)]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        assert sum(len(side) for side in sides) == 156
        assert len(split.test) == 20 * len(sides[2])
        tested += sorted(sides[2])
    assert sorted(tested) == list(range(156))


def test_whole_patient_split_has_the_papers_shares_of_each_grade_and_cuts_no_patient():
    grades = np.array([0] * 60 + [1] * 100)
    split = whole_patient_split(grades, 20, seed=4)
    sides = [part.patients() for part in (split.train, split.validation, split.test)]
    assert sorted(np.concatenate(sides)) == list(range(160))
    assert [(int((grades[s] == 0).sum()), int((grades[s] == 1).sum())) for s in sides] == [
        (42, 70),
        (9, 15),
        (9, 15),
    ]
    assert [len(part) for part in (split.train, split.validation, split.test)] == [2240, 480, 480]
    assert (whole_patient_split(grades, 20, seed=4).test.patient == split.test.patient).all()
    assert (whole_patient_split(grades, 20, seed=5).test.patients() != sides[2]).any()


def test_whole_patients_belong_to_the_image_protocol(data):
    with pytest.raises(UsageError, match="--whole-patients"):
        Study(protocol="patient", whole_patients=True)
    ((_, _, split),) = Study(protocol="image", whole_patients=True).splits(data)
    assert not set(split.train.patients()) & set(split.test.patients())


def test_folds_are_stratified_and_seeded():
    grades = np.array([0] * 59 + [1] * 97)
    folds = stratified_folds(grades, 5, seed=7)
    assert [int((grades[rows] == 0).sum()) for rows in folds] == [12, 12, 12, 12, 11]
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    again = stratified_folds(grades, 5, seed=7)
    assert all((a == b).all() for a, b in zip(folds, again, strict=True))
    assert any(
        (a != b).any()
        for a, b in zip(folds, stratified_folds(grades, 5, seed=8), strict=True)
        if len(a) == len(b)
    )


def test_ridge_solves_the_same_system_in_both_forms():
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(20, 50, generator=generator, dtype=torch.float64)
    targets = torch.sign(wide[:, 0] + 0.1)
    weights = ridge(wide, targets, targets > 0, 0.5)
    share = (targets > 0).double().mean()
    balance = torch.where(targets > 0, 0.5 / share, 0.5 / (1 - share))
    gradient = wide.T @ (balance * (wide @ weights - targets)) + 0.5 * 20 * weights
    assert gradient.abs().max() < 1e-9
    tall = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    is_hgg = tall[:, 0] > 0.2
    between = 0.5 * torch.sign(tall[:, 0] - 0.2) + 0.5 * tall[:, 1]
    assert ((between > 0) != is_hgg).any()  # the weights are by grade, and not by the target's sign
    solved = ridge(tall, between, is_hgg, 0.5)
    share = is_hgg.double().mean()
    balance = torch.where(is_hgg, 0.5 / share, 0.5 / (1 - share))
    gradient = tall.T @ (balance * (tall @ solved - between)) + 0.5 * 50 * solved
    assert gradient.abs().max() < 1e-9


def with_enhancement(data: TrainingSet) -> TrainingSet:
    """Of patient n the planes from 10 on have n of their tumour's twelve rows enhancing, the others none.

    Everybody has oedema (2) beside, so that who has nothing enhancing has a mask that could tell it.
    """
    labels = data.labels.copy()
    labels[:, 4:6] *= 2
    for patient in range(len(data)):
        labels[patient, 10:28, 10 : 10 + patient, 10:22] = 4
    return replace(data, labels=labels)


def test_enhancing_shares_are_of_each_planes_tumour(data):
    shares = enhancing_shares(with_enhancement(data), label=4)
    assert shares[3, 20] == 3 / 12 and shares[3, 9] == 0 and shares[3, 30] == 0
    assert not enhancing_shares(with_enhancement(data), label=3).any()


def test_a_slice_is_taught_its_grade_and_by_a_share_its_enhancement(data):
    known = with_enhancement(data)
    train = Part.of_patients(np.arange(8), 20)
    targets = SliceTargets.of(known, train, replace(QUICK, enhancement=0.25))
    taught = targets.at(known, train.patient, known.positions(train.patient, train.slice))
    planes = np.rint(known.positions(train.patient, train.slice)).astype(int)
    roots = np.sqrt(np.where(planes >= 10, train.patient / 12, 0))
    scores = (roots - roots.mean()) / roots.std()
    assert scores.max() < 2  # none is cut here
    np.testing.assert_allclose(taught, 0.75 * (2.0 * known.grades[train.patient] - 1) + 0.25 * scores)
    beyond = targets.at(known, np.array([11]), np.array([20.2]))  # of one who is not trained on: cut at 2
    assert (np.sqrt(11 / 12) - roots.mean()) / roots.std() > 2 and beyond == 0.75 + 0.25 * 2


@pytest.mark.parametrize("recipe", [replace(QUICK, enhancement=0.0), replace(QUICK, enhancing_label=3)])
def test_without_the_label_or_its_share_the_grade_alone_is_taught(data, recipe):
    train = Part.of_patients(np.arange(8), 20)
    known = with_enhancement(data)
    taught = SliceTargets.of(known, train, recipe).at(known, train.patient, np.full(len(train), 20.0))
    assert np.array_equal(taught, 2.0 * known.grades[train.patient] - 1)


def test_a_mask_of_one_label_teaches_the_grade_alone_beside_masks_of_several(data):
    """Another site's masks of 0 and 1 do not say that nothing enhances."""
    known, train = with_enhancement(data), Part.of_patients(np.arange(8), 20)
    mixed = replace(known, labels=known.labels.copy())
    mixed.labels[4:] = (known.labels[4:] > 0).astype(np.uint8)
    recipe = replace(QUICK, enhancement=0.25)
    targets = SliceTargets.of(mixed, train, recipe)
    binary, several = (np.repeat(rows, 32) for rows in (np.arange(4, 12), np.arange(4)))
    planes = np.tile(np.arange(32.0), 8)
    assert np.array_equal(targets.at(mixed, binary, planes), 2.0 * mixed.grades[binary] - 1)
    alone = SliceTargets.of(known, Part.of_patients(np.arange(4), 20), recipe)
    taught = targets.at(mixed, several, planes[:128])
    assert np.array_equal(taught, alone.at(known, several, planes[:128]))
    assert not np.array_equal(taught, 2.0 * mixed.grades[several] - 1)


def test_the_papers_recipe_teaches_the_grade_alone():
    assert PAPER_RECIPE.enhancement == 0 and Recipe().enhancement == 0.3


def test_what_is_taught_of_enhancement_changes_probe_and_fit(data):
    known = with_enhancement(data)
    split = Split(Part.of_patients(np.arange(8), 20), Part.of_patients([], 20), Part.of_patients([8, 9], 20))
    for probe in (True, False):
        settings = replace(QUICK, probe=probe, epochs=1, ridge=0.3)
        plain, taught = (
            Fit(known, 0, split, replace(settings, enhancement=share)).run().output.linear.weight
            for share in (0.0, 0.5)
        )
        assert not torch.allclose(plain, taught, rtol=1e-4)


def test_without_any_range_augmentation_is_the_grading_input(data):
    still = Augmentation(
        rotation=0, zoom=0, aspect=0, shift=0, contrast=0, brightness=0, noise=0, mirror=False, redraw=0
    )
    source = SliceSource(data, 0, replace(QUICK, augmentation=still))
    batch = next(source.batches(Part.of_patients([0, 3], 20), 16))
    plain = source.plain(batch)
    changed = source.augmented(batch, drawing(0, len(batch)))
    torch.testing.assert_close(changed[0], plain[0], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(changed[1], plain[1], rtol=1e-4, atol=1e-4)


def test_augmentation_leaves_what_lies_outside_the_brain_at_zero():
    channels = torch.zeros(4, 3, 32, 32)
    channels[:, :, 12:20, 12:20] = 1.0
    mask = channels[:, 0].clone()
    images, _ = augment(channels, mask, ImageForm(pixels=32), Augmentation(), drawing(1, len(channels)))
    assert images[:, :, 0, 0].abs().max() == 0
    assert images[:, :, 16, 16].abs().min() > 10


def test_redrawn_masks_grow_shrink_and_smear_but_never_vanish():
    mask = torch.zeros(300, 32, 32)
    mask[:, 12:20, 12:20] = 1
    mask[0] = 0
    mask[0, 5, 5] = 1
    areas = redrawn(mask, 0.3, drawing(0, len(mask))).sum(dim=(1, 2))
    assert areas.min() > 0
    found = {round(area) for area in areas[1:].tolist()}
    assert {64, 100, 36} <= found


def test_the_probe_separates_what_can_be_seen(data):
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    fit = Fit(data, 1, split, replace(QUICK, epochs=0))
    logits = part_logits(fit.run(), fit.source, split.test)
    grades = data.grades[split.test.patient]
    assert logits[grades == 1].min() > logits[grades == 0].max()


def test_folds_share_what_the_pretrained_network_sees_of_a_patient(data):
    source = SliceSource(data, 1, QUICK)
    model = Fit(data, 1, patient_split(data.grades, 20, 0, 3, 0.0, seed=1), replace(QUICK, probe=False)).model
    shared = FrozenFeatures(source, seed=5)
    some, more = thinned(Part.of_patients([2, 4], 20)), thinned(Part.of_patients([4], 20))
    found = shared.of(model, some, 3).reshape(3, 2, 10, -1)
    assert torch.equal(found[:, 1], shared.of(model, more, 3).reshape(3, 10, -1))
    with torch.no_grad():
        plain = model.pooled(*source.plain(next(source.batches(more, 10))))
    torch.testing.assert_close(found[0, 1], plain, rtol=1e-4, atol=1e-4)
    assert not torch.equal(found[1], found[0]) and not torch.equal(found[2], found[1])
    assert torch.equal(FrozenFeatures(source, seed=5).of(model, some, 2), found[:2].flatten(0, 2))


def test_a_study_learns_the_same_with_shared_features(data, tmp_path):
    recipe = replace(QUICK, epochs=0, probe_passes=2)
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    alone = Fit(data, 1, split, recipe)
    shared = Fit(data, 1, split, recipe, features=FrozenFeatures(SliceSource(data, 1, recipe), recipe.seed))
    assert torch.equal(alone.model.output.linear.weight, shared.model.output.linear.weight)


def test_each_repeat_changes_training_slices_in_its_own_way(data):
    recipe = replace(QUICK, pretrained=True)
    model = Fit(data, 1, patient_split(data.grades, 20, 0, 3, 0.0, seed=1), replace(QUICK, probe=False)).model
    some = thinned(Part.of_patients([2, 4], 20))
    shared = _SharedFeatures(data, Study(repeats=2, recipe=recipe), ALONE)
    first = shared.of(0, 1)
    assert shared.of(0, 1) is first  # by every fold of the repeat
    plain, changed = first.of(model, some, 2).split(20)
    other_plain, other = shared.of(1, 1).of(model, some, 2).split(20)
    assert torch.equal(plain, other_plain) and not torch.equal(changed, other)
    shipped = FrozenFeatures(SliceSource(data, 1, recipe), recipe.seed).of(model, some, 2)
    assert torch.equal(torch.cat([plain, changed]), shipped)
    for without in (replace(recipe, probe=False), QUICK):
        assert _SharedFeatures(data, Study(recipe=without), ALONE).of(0, 1) is None


def test_the_probe_learns_nothing_from_shuffled_noise():
    noise = small_training_set(contrast=0.0, seed=5)
    split = patient_split(noise.grades, 20, 0, 3, 0.0, seed=1)
    fit = Fit(noise, 1, split, replace(QUICK, epochs=0))
    logits = part_logits(fit.run(), fit.source, split.test)
    assert np.abs(logits).mean() < 1.5  # no confidence about what it has not seen


def test_a_killed_run_resumes_to_the_very_same_weights(data, tmp_path):
    split = patient_split(data.grades, 20, 0, 3, 0.2, seed=1)
    whole = Fit(data, 0, split, QUICK).run().state_dict()

    class Killed(Exception):
        pass

    def kill(figures):
        raise Killed

    with pytest.raises(Killed):
        Fit(data, 0, split, QUICK, tmp_path / "checkpoint.pt").run(kill)
    resumed = Fit(data, 0, split, QUICK, tmp_path / "checkpoint.pt")
    state = resumed.run().state_dict()
    assert [figures.epoch for figures in resumed.curves] == [1, 2]
    assert all(torch.equal(state[name], value) for name, value in whole.items())


def test_fine_tuning_changes_every_layer(data):
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    fit = Fit(data, 0, split, QUICK)
    before = {k: v.clone() for k, v in fit.model.named_parameters()}
    after = dict(fit.run().named_parameters())
    assert [k for k, v in before.items() if torch.equal(v, after[k])] == []


def test_a_checkpoint_of_another_recipe_is_refused(data, tmp_path):
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    Fit(data, 0, split, replace(QUICK, epochs=1), tmp_path / "c.pt").run()
    with pytest.raises(UsageError, match="another recipe"):
        Fit(data, 0, split, QUICK, tmp_path / "c.pt").run()
    with pytest.raises(UsageError, match="the checkpoint was made of other data"):
        Fit(small_training_set(seed=1), 0, split, replace(QUICK, epochs=1), tmp_path / "c.pt").run()


@pytest.mark.parametrize(("images", "share"), [(40, 0.2), (16, 0.5), (8, 1.0)])
def test_the_rate_may_rise_for_one_step(data, images, share):
    split = patient_split(data.grades, 20, 0, 3, 0.0, seed=1)
    fit = Fit(data, 0, split, replace(QUICK, images_per_epoch=images, epochs=1, warm_up=share))
    fit.run()
    assert len(fit.curves) == 1


@pytest.mark.parametrize(("protocol", "validation"), [("patient", 0.4), ("image", 0.0)])
def test_early_stopping_is_taken_where_there_is_a_validation_part(data, tmp_path, protocol, validation):
    recipe = replace(QUICK, patience=2, validation=validation)
    check_study(data, Study(protocol, folds=2, recipe=recipe), tmp_path / "s")


def test_early_stopping_keeps_to_its_patience(data):
    nobody = Part(np.empty(0, dtype=int), np.empty(0, dtype=int))
    fit = Fit(
        data, 0, Split(Part.of_patients([0, 1], 20), nobody, nobody), replace(QUICK, epochs=0, patience=2)
    )
    for losses, stops in (([3, 2, 1], False), ([1, 2], False), ([1, 2, 3], True), ([2, 1, 3, 0.5], False)):
        fit.curves = [type("F", (), {"validation_loss": x})() for x in losses]
        assert fit._stopped_early() is stops


def test_the_three_models_see_the_same_patients_in_the_same_order(data):
    split = image_split(len(data), 20, seed=0)
    recipe = replace(QUICK, sampling="images", epochs=0)
    orders = []
    for sequence in range(3):
        fit = Fit(data, sequence, split, recipe)
        orders.append([b.patient.tolist() for b in fit._batches(np.random.default_rng(1))])
    assert orders[0] == orders[1] == orders[2]
    assert sum(map(len, orders[0])) == len(split.train) // 8 * 8


def test_a_study_tests_every_patient_once_and_resumes_without_training_again(data, tmp_path):
    study = Study(folds=3, recipe=replace(QUICK, epochs=1))
    first = run_study(data, study, tmp_path)
    patients = first.of_patients()
    assert sorted(patients.patient) == sorted(data.patients)
    assert patients.logits.shape == (12, 3)
    assert (patients.logits[patients.grade == 1].min(0) > patients.logits[patients.grade == 0].max(0)).all()
    mean = first.logits[first.patient == "patient-04"].mean(axis=0)
    np.testing.assert_allclose(patients.logits[patients.patient == "patient-04"][0], mean, rtol=1e-5)

    def never(name, figures):
        raise AssertionError("trained again")

    again = run_study(data, study, tmp_path, epoch_done=never)
    np.testing.assert_array_equal(again.logits, first.logits)
    stored_study, stored = read_study(tmp_path)
    assert stored_study == study
    np.testing.assert_allclose(stored.logits, first.logits, atol=1e-5)
    with pytest.raises(UsageError, match="another study"):
        run_study(data, replace(study, folds=2), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    corrected = replace(data, grades=np.where(np.arange(len(data)) < 2, 1 - data.grades, data.grades))
    for other in (corrected, small_training_set(seed=1), small_training_set(patients=14)):
        with pytest.raises(UsageError, match="the folder holds a study of other data"):
            run_study(other, study, tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UsageError, match="the study that lies here cannot be read"):
        run_study(data, study, tmp_path)
    (tmp_path / "study.json").write_bytes(before[tmp_path / "study.json"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_study_goes_on_from_the_tensors_that_it_began_at(data, tmp_path):
    """Else one fold's models have another beginning than the others, and the calibration another than both."""
    ours, others = tmp_path / "ours.pt", tmp_path / "others.pt"
    ours.write_bytes(b"ours")
    others.write_bytes(b"others")
    study = Study(folds=2, recipe=replace(QUICK, pretrained=True))
    folder = tmp_path / "study"
    _claim(folder, study, data, Equipment(ours))
    assert begun_at(folder) == hashlib.sha256(b"ours").hexdigest()
    _check_folder(folder, study, data, ours)
    _check_folder(folder, study, data, None)  # a finished one needs none
    with pytest.raises(UsageError, match="the study began at other pretrained tensors"):
        check_study(data, study, folder, Equipment(others))
    _claim(folder, study, data, BARE)
    assert begun_at(folder) == hashlib.sha256(b"ours").hexdigest()
    assert study_from_dict(json.loads((folder / "study.json").read_text())) == study
    check_beginning({}, "ours", "checkpoint", None)  # of an earlier version
    with pytest.raises(UsageError, match="the checkpoint began at other pretrained tensors"):
        check_beginning({"pretrained_sha256": "others"}, "ours", "checkpoint", None)


def test_a_study_goes_on_with_the_version_device_and_precision_that_it_began_with(data, tmp_path):
    """Else some folds are of one program or arithmetic and some of another, and nothing tells which."""
    study = Study(folds=2, recipe=QUICK)
    _claim(tmp_path, study, data, BARE)
    began = json.loads((tmp_path / STUDY).read_text())
    made = {"glioma-grading": __version__, "device": "cpu", "precision": "float32"}
    assert began.items() >= made.items()
    check_study(data, study, tmp_path)
    for key, name, other in (
        ("glioma-grading", "version", "0.0.1"),
        ("device", "device", "cuda"),
        ("precision", "precision", "bfloat16"),
    ):
        (tmp_path / STUDY).write_text(json.dumps({**began, key: other}))
        told = re.escape(f"the study was made with {name} {other}, not {made[key]}, in {tmp_path}: go on with")
        with pytest.raises(UsageError, match=told):
            check_study(data, study, tmp_path)
        with pytest.raises(UsageError, match=f"the checkpoint was made with {name} {other}, not {made[key]}"):
            check_circumstances({key: other}, made, "checkpoint", None)
    earlier = {key: value for key, value in began.items() if key not in made}
    (tmp_path / STUDY).write_text(json.dumps(earlier))
    check_study(data, study, tmp_path)
    _claim(tmp_path, study, data, BARE)
    assert json.loads((tmp_path / STUDY).read_text()) == earlier  # nobody can tell for it
    finished(data, tmp_path, study)
    (tmp_path / STUDY).write_text(json.dumps({**began, "device": "cuda"}))
    check_study(data, study, tmp_path)  # there is nothing to mix
    _claim(tmp_path, study, data, BARE)
    assert json.loads((tmp_path / STUDY).read_text())["device"] == "cuda"


def finished(data, folder, study):
    """Runs without training: every logit is 0."""
    for name in SEQUENCES:
        for repeat, fold, split in study.splits(data):
            run = folder / "runs" / f"repeat{repeat}-fold{fold}-{name}"
            run.mkdir(parents=True)
            np.save(run / "test_logits.npy", np.zeros(len(split.test), np.float32))


def test_a_study_without_rows_is_not_finished(data, tmp_path):
    _claim(tmp_path, Study(), data, BARE)
    (tmp_path / "predictions.csv").write_text("repeat,fold,patient,slice,grade,t1_logit,t2_logit,flair_logit\n")
    with pytest.raises(UsageError, match="the study is not finished"):
        read_study(tmp_path)


def test_a_network_that_normalises_batches_is_averaged_and_resumed(data, tmp_path):
    """torchvision's has whole numbers among what is averaged."""
    recipe = replace(QUICK, backbone="googlenet-torchvision", images_per_epoch=32, probe=False)
    part = Split(*(Part.of_patients(rows, 20) for rows in (range(8), [], range(8, 12))))
    fit = Fit(data, 0, part, recipe, tmp_path / "checkpoint.pt")
    state = fit.run().state_dict()
    counts = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert counts and all(int(value) == 8 for value in counts)  # two epochs of four batches
    assert all(torch.isfinite(value).all() for value in state.values())
    again = Fit(data, 0, part, recipe, tmp_path / "checkpoint.pt").run().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in state.items())


def test_a_fingerprint_is_of_what_is_learned_from_and_of_whom(data):
    assert fingerprint(data) == fingerprint(small_training_set())
    changes = {
        "images": data.images + np.float16(1),
        "labels": 1 - data.labels,
        "first": data.first + 1,
        "grades": 1 - data.grades,
        "patients": data.patients[::-1],
        "form": InputForm(pixels=16),
    }
    others = {fingerprint(replace(data, **{name: value})) for name, value in changes.items()}
    assert len(others) == len(changes) and fingerprint(data) not in others
    renamed = replace(data, patients=data.patients.astype(object))
    assert fingerprint(renamed) == fingerprint(data), "what a file holds is what was written"


def test_shuffled_grades_are_the_same_grades_of_other_patients(data):
    from GliomaGradingLib.training.study import _with_shuffled_grades

    shuffled = _with_shuffled_grades(data, seed=4)
    assert sorted(shuffled.grades) == sorted(data.grades)
    assert (shuffled.grades != data.grades).any()


def test_a_training_set_comes_back_as_it_was_written(data, tmp_path):
    data.write(tmp_path / "set.npz")
    back = TrainingSet.read(tmp_path / "set.npz")
    for name in ("images", "labels", "first", "grades", "patients", "collections", "shippable"):
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
    assert (back.plane_mm, back.form) == (data.plane_mm, data.form)
    with pytest.raises(CaseError, match="make data"):
        TrainingSet.read(tmp_path / "none.npz")


@pytest.mark.parametrize("damage", ["empty", "foreign", "truncated", "flipped", "no form", "no labels", "list"])
def test_a_damaged_training_set_is_told(data, damage, tmp_path):
    path = tmp_path / "set.npz"
    data.subset(np.arange(2)).write(path)
    whole = path.read_bytes()
    with np.load(path) as stored:
        arrays = dict(stored)
    if damage == "no form":
        np.savez(path, **{**arrays, "meta": np.array(str(arrays["meta"]).replace('"form"', '"shape"'))})
    elif damage == "no labels":
        np.savez(path, **{name: array for name, array in arrays.items() if name != "labels"})
    elif damage == "list":
        np.savez(path, **{**arrays, "meta": np.array("[1]")})
    else:
        middle = len(whole) // 3
        flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 40]) + whole[middle + 40 :]
        contents = {"empty": b"", "foreign": b"text", "truncated": whole[:-2000], "flipped": flipped}
        path.write_bytes(contents[damage])
    with pytest.raises(CaseError, match="the training set cannot be read") as refused:
        TrainingSet.read(path)
    assert "make it with 'glioma-grading prepare'" in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "rows", "value", "message"),
    [
        ("patients", 3, "patient-01", "patient patient-01 is there twice"),
        ("images", (3, 0, 5, 5, 5), np.nan, "the images of patient patient-03 have values that are no numbers"),
        ("first", 3, np.inf, "the images of patient patient-03 have values that are no numbers"),
        ("labels", 3, 0, "the mask of patient patient-03 is empty"),
        ("grades", 3, 2, "grades are not all 0"),
    ],
)
def test_a_training_set_is_refused_by_the_name_of_who_cannot_be_learned_from(
    data, name, rows, value, message, tmp_path
):
    array = getattr(data, name).copy()
    array[rows] = value
    replace(data, **{name: array}).write(tmp_path / "set.npz")
    with pytest.raises(CaseError) as refused:
        TrainingSet.read(tmp_path / "set.npz")
    assert refused.value.problem.startswith(message) and refused.value.remedy


@pytest.mark.parametrize("name", ["images", "labels", "first", "grades", "collections", "shippable"])
def test_a_training_set_of_another_shape_or_kind_is_refused(data, name, tmp_path):
    array = getattr(data, name)
    for wrong in (array[1:], array[:, None], np.zeros(array.shape, complex)):
        replace(data, **{name: wrong}).write(tmp_path / "set.npz")
        with pytest.raises(CaseError, match=f"{name} are .* in place of"):
            TrainingSet.read(tmp_path / "set.npz")


def test_recipes_know_their_keys():
    recipe = recipe_from_dict({"epochs": 3, "image": {"pixels": 96}, "augmentation": {"zoom": 0.0}})
    assert (recipe.epochs, recipe.image.pixels, recipe.augmentation.zoom) == (3, 96, 0.0)
    assert recipe.learning_rate == Recipe().learning_rate
    assert recipe_from_dict(Recipe().to_dict()) == Recipe()
    with pytest.raises(UsageError, match="epoch_count"):
        recipe_from_dict({"epoch_count": 3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([1], "a Recipe is no list: give a JSON object"),
        ({"image": 64}, "the recipe's image is 64: give a JSON object"),
        ({"epochs": "x"}, "the recipe's epochs is 'x': give a whole number"),
        ({"epochs": True}, "the recipe's epochs is True: give a whole number"),
        ({"epochs": -1}, "the recipe's epochs is -1: give 0 or more"),
        ({"probe": 1}, "the recipe's probe is 1: give true or false"),
        ({"ridge": float("nan")}, "the recipe's ridge is nan: give more than 0"),
        ({"batch": 1}, "the recipe's batch is 1: give 2 or more"),
        ({"image": {"pixels": 7}}, "the recipe's pixels is 7: give 32 to 1024"),
        ({"image": {"pixels": 100_000}}, "the recipe's pixels is 100000: give 32 to 1024"),
        ({"sampling": "image"}, "the recipe's sampling is 'image': choose one of patients, images"),
        ({"precision": "fp16"}, "the recipe's precision is 'fp16': choose one of auto, float32, bfloat16"),
        (
            {"backbone": "resnet"},
            "the recipe's backbone is 'resnet': choose one of googlenet-2014, googlenet-torchvision",
        ),
        (
            {"image": {"channels": "rgb"}},
            "the recipe's channels is 'rgb': choose one of neighbours, same",
        ),
        ({"dropout": 1.0}, "the recipe's dropout is 1.0: give 0 or more, and less than 1"),
        ({"validation": 1}, "the recipe's validation is 1: give 0 or more, and less than 1"),
        ({"label_smoothing": 0.5}, "the recipe's label_smoothing is 0.5: give 0 or more, and less than 0.5"),
        ({"enhancement": 5}, "the recipe's enhancement is 5: give 0 to 1"),
        ({"enhancing_label": 0}, "the recipe's enhancing_label is 0: give 1 to 255"),
        ({"warm_up": 2.0}, "the recipe's warm_up is 2.0: give 0 to 1"),
        ({"average_from": 1.1}, "the recipe's average_from is 1.1: give 0 to 1"),
        ({"augmentation": {"redraw": 0.9}}, "the recipe's redraw is 0.9: give 0 to 0.25"),
        ({"ridge": 0}, "the recipe's ridge is 0: give more than 0"),
        ({"clip_norm": 0.0}, "the recipe's clip_norm is 0.0: give more than 0"),
        ({"image": {"gain": 0}}, "the recipe's gain is 0: give more than 0"),
        ({"image": {"low": float("nan")}}, "the recipe's low is nan: give a number"),
        ({"image": {"low": 7, "high": -4}}, "the recipe's low is 7.0: give less than its high, which is -4.0"),
        ({"image": {"high": -4}}, "the recipe's low is -4.0: give less than its high, which is -4.0"),
        ({"image": {"shifted": 64}}, "the recipe's shifted is 64: give less than its pixels, which is 64"),
        ({"seed": 10**18}, f"the recipe's seed is {10**18}: give 0 to 4294967295"),
        ({"weight_decay": 10**400}, f"the recipe's weight_decay is {10**400}: give 0 or more"),
        ({"augmentation": {"zoom": -0.1}}, "the recipe's zoom is -0.1: give 0 or more"),
        (
            {"epochs": 0, "probe": False},
            "with no epoch and no probe nothing is learned: give the recipe one of them",
        ),
    ],
)
def test_a_wrong_setting_is_told_from_a_right_one(settings, message):
    with pytest.raises(UsageError) as refused:
        recipe_from_dict(settings)
    assert str(refused.value) == message


def test_settings_of_either_sign_and_whole_numbers_for_others_are_taken():
    recipe = recipe_from_dict({"ridge": 3, "epochs": 0, "image": {"low": -5, "high": 5}})
    assert (recipe.ridge, recipe.epochs, recipe.image.low) == (3, 0, -5)
    assert [type(v) for v in (recipe.ridge, recipe.epochs, recipe.image.low)] == [float, int, float]
    assert recipe_from_dict({"seed": 2**32 - 1, "warm_up": 0, "average_from": 1}).seed == 2**32 - 1
    for known in (Recipe(), PAPER_RECIPE, QUICK):
        assert recipe_from_dict(known.to_dict()) == known


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (Study(folds=7, recipe=QUICK), "7 folds need as many patients of each grade"),
        (Study(folds=3, recipe=replace(QUICK, pretrained=True)), "ImageNet tensors are needed"),
        (Study(folds=2, recipe=replace(QUICK, patience=2)), "and nothing is kept for validation"),
    ],
)
def test_a_study_that_cannot_be_trained_leaves_nothing(data, study, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_study(data, study, tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", ["patient", "image"])
def test_patients_of_one_grade_or_too_few_are_told(data, protocol, tmp_path):
    whole = Study(protocol=protocol, folds=2, whole_patients=protocol == "image", recipe=QUICK)
    few = data.subset(np.arange(2 if protocol == "patient" else 4))
    for some, message in (
        (data.subset(data.grades == 1), "no patient has LGG: of one grade alone nothing is learned"),
        (data.subset(data.grades == 0), "no patient has HGG"),
        (data.subset(data.grades == 2), "has no patient that may be learned from"),
        (few, "2 folds need as many" if protocol == "patient" else "4 patients are too few to train on some"),
    ):
        with pytest.raises(UsageError, match=message):
            run_study(some, whole, tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_study_needs_no_pretrained_tensors(data, tmp_path):
    study = Study(folds=2, recipe=replace(QUICK, pretrained=True))
    finished(data, tmp_path, study)
    assert len(run_study(data, study, tmp_path).patient) == 20 * len(data)


@pytest.mark.parametrize("option", ["--folds", "--repeats", "--seeds"])
def test_counts_of_a_training_are_of_one_or_more(option, tmp_path, capsys):
    for wrong in ("0", "x", "1.5"):
        assert main(["train", "--data", "x.npz", "--output", str(tmp_path / "s"), option, wrong]) == 2
        told = (
            f"error: argument {option}: '{wrong}' is no number of 1 or more: see 'glioma-grading train --help'"
        )
        assert capsys.readouterr().err.strip() == told


def test_a_mask_may_be_replaced_by_its_box():
    tumour = torch.zeros(1, 12, 12)
    tumour[0, 3, 4], tumour[0, 8, 9] = 1.0, 1.0  # two corners
    kinds = {tuple(redrawn(tumour, 0.25, drawing(n, len(tumour))).shape) for n in range(3)}
    assert kinds == {(1, 12, 12)}
    box = torch.zeros(1, 12, 12)
    box[0, 3:9, 4:10] = 1.0
    drawn = [redrawn(tumour, 0.25, drawing(n, len(tumour))) for n in range(40)]
    assert 4 <= sum(bool((d == box).all()) for d in drawn) <= 20
