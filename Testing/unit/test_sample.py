"""The synthetic sample case: what a radiologist would check in it, and what a reader of files would."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from GliomaGradingLib.case import Case
from GliomaGradingLib.cli import main
from GliomaGradingLib.errors import UsageError
from GliomaGradingLib.sample import MARKER, NOISE, file_names, is_synthetic, sample_volumes, write_sample_case
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.words import SEQUENCES

Volumes = dict[str, Volume]


@pytest.fixture(scope="module")
def hgg() -> Volumes:
    return sample_volumes("hgg")


@pytest.fixture(scope="module")
def lgg() -> Volumes:
    return sample_volumes("lgg")


@pytest.fixture(scope="module")
def hgg_folder(tmp_path_factory: pytest.TempPathFactory, hgg: Volumes) -> Path:
    with pytest.MonkeyPatch.context() as patch:  # made once is enough here
        patch.setattr("GliomaGradingLib.sample.sample_volumes", lambda preset: hgg)
        return write_sample_case(tmp_path_factory.mktemp("made") / "here" / "case", "hgg")


def around(volume: Volume, left: float, anterior: float, superior: float, half: int = 1) -> np.ndarray:
    """Voxels of a small cube about a point of the patient."""
    i, j, k = (round(p - o) for p, o in zip((left, -anterior, superior), volume.origin, strict=True))
    return volume.array[k - half : k + half + 1, j - half : j + half + 1, i - half : i + half + 1].astype(float)


def mean(volumes: Volumes, sequence: str, left: float, anterior: float, superior: float) -> float:
    return float(np.median(around(volumes[sequence], left, anterior, superior)))


WHITE, PUTAMEN, EYE = (22, -20, 32), (-27, -2, 2), (31, 67, -31)
"""Points of the lower-grade head, away from its tumour."""


def ventricle(volumes: Volumes, superior: float) -> np.ndarray:
    """Positions along L of lateral ventricle voxels on one axial plane: bright on T2, dark on FLAIR, deep."""
    t2, flair = volumes["T2"], volumes["FLAIR"]
    k = round(superior - t2.origin[2])
    rows = slice(round(-12 - t2.origin[1]), round(18 - t2.origin[1]))
    columns = slice(round(-30 - t2.origin[0]), round(31 - t2.origin[0]))
    water = (t2.array[k, rows, columns] > 700) & (flair.array[k, rows, columns] < 140)
    return np.nonzero(water)[1] - 30.0


def test_volumes_share_one_grid_and_have_the_types_of_brats_files(hgg: Volumes) -> None:
    assert list(hgg) == ["T1", "T2", "FLAIR", "mask"]
    for name, volume in hgg.items():
        assert volume.array.shape == (160, 224, 192)
        assert volume.spacing == (1.0, 1.0, 1.0)
        assert volume.origin == (-95.5, -100.0, -66.0)
        np.testing.assert_array_equal(volume.direction, np.eye(3))
        assert volume.array.dtype == (np.uint8 if name == "mask" else np.int16)


def test_white_matter_is_brighter_than_grey_on_t1_and_darker_on_t2_and_flair(lgg: Volumes) -> None:
    t1 = [mean(lgg, "T1", *p) for p in (WHITE, PUTAMEN, EYE)]
    t2 = [mean(lgg, "T2", *p) for p in (WHITE, PUTAMEN, EYE)]
    flair = [mean(lgg, "FLAIR", *p) for p in (WHITE, PUTAMEN, EYE)]
    assert t1[0] > t1[1] + 80 > t1[2] + 300
    assert t2[0] + 30 < t2[1] < t2[2] - 300
    assert flair[0] + 40 < flair[1]
    assert flair[2] < 120 < flair[0]


def test_water_of_the_ventricles_is_white_on_t2_and_black_on_flair(lgg: Volumes) -> None:
    found = ventricle(lgg, 19)
    assert len(found) > 250
    assert (found < 0).sum() > 100 < (found > 0).sum()


def test_cortex_is_a_folded_ribbon(lgg: Volumes) -> None:
    """Just under the surface there is water, grey and white matter in turn; deep down there is white only."""
    k, t1 = (45 + 66), lgg["T1"].array
    rim = [
        t1[k, round(-58 * np.sin(a) + 16 + 100), round(46 * np.cos(a) + 95.5)]
        for a in np.arange(1.7, 4.5, 0.02)
    ]
    turns = np.diff(np.asarray(rim) > 570).astype(bool).sum()
    assert turns > 12
    assert min(rim) < 400 < 600 < max(rim)


def test_the_tumour_is_where_and_what_its_preset_says(hgg: Volumes, lgg: Volumes) -> None:
    sizes = {n: [int((v["mask"].array == k).sum()) for k in (1, 2, 4)] for n, v in (("h", hgg), ("l", lgg))}
    assert set(np.unique(hgg["mask"].array)) == {0, 1, 2, 4}
    assert set(np.unique(lgg["mask"].array)) == {0, 1}
    assert sizes["h"] == pytest.approx([7851, 81381, 59677], rel=0.05)
    assert sizes["l"] == pytest.approx([32289, 0, 0], rel=0.05)
    columns = np.nonzero(hgg["mask"].array)[2].mean() - 95.5
    assert columns == pytest.approx(-34, abs=5)  # on the patient's right
    assert np.nonzero(lgg["mask"].array)[2].mean() - 95.5 == pytest.approx(34, abs=3)


def test_aggressive_tumour_has_a_ring_and_bright_oedema(hgg: Volumes) -> None:
    labels = hgg["mask"].array
    core, oedema, rim = ({s: np.median(hgg[s].array[labels == k]) for s in SEQUENCES} for k in (1, 2, 4))
    assert core["T2"] > oedema["T2"] > rim["T2"] > 360  # grey matter
    assert oedema["FLAIR"] > rim["FLAIR"] > core["FLAIR"] > 100
    assert core["T1"] < rim["T1"] < 560
    blood = (labels == 1) & (hgg["T1"].array > 750) & (hgg["T2"].array < 350)
    assert 5 < blood.sum() < 2000


def test_oedema_keeps_to_white_matter(hgg: Volumes) -> None:
    """Its border has fingers: the surface is far larger than that of a ball of the same volume."""
    whole = hgg["mask"].array > 0
    faces = sum(int((np.diff(whole.astype(np.int8), axis=axis) != 0).sum()) for axis in range(3))
    ball = 1.5 * (36 * np.pi) ** (1 / 3) * whole.sum() ** (2 / 3)  # faces of a ball of voxels
    assert faces > 1.6 * ball


def test_mass_effect_pushes_the_midline_away_from_the_tumour(hgg: Volumes, lgg: Volumes) -> None:
    pressed, free = ventricle(hgg, 19), ventricle(lgg, 19)
    assert np.percentile(pressed, (5, 95)).mean() > 5
    assert abs(np.percentile(free, (5, 95)).mean()) < 4
    assert (pressed < 0).sum() < 0.6 * (free < 0).sum()


def test_diffuse_tumour_is_even_on_t2_and_darker_inside_on_flair(lgg: Volumes) -> None:
    tumour = sitk.GetImageFromArray(lgg["mask"].array)
    depth = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(tumour, squaredDistance=False, insideIsPositive=True)
    )
    inside, edge = depth > 8, (depth > 1) & (depth < 3)
    t2, flair = lgg["T2"].array, lgg["FLAIR"].array
    assert t2[inside].std() / t2[inside].mean() < 0.04
    assert 500 < np.median(t2[inside]) < mean(lgg, "T2", *EYE)
    assert np.median(flair[inside]) < 0.85 * np.median(flair[edge])
    assert np.median(flair[inside]) > mean(lgg, "FLAIR", *EYE) + 150


def test_scalp_skull_and_marrow_lie_around_the_brain(lgg: Volumes) -> None:
    """From the left ear inwards on T1: air, bright fat, dark bone, brighter marrow, dark bone, brain."""
    row = lgg["T1"].array[36 + 66, 100 + 20, :].astype(float)[::-1]
    skin = int(np.argmax(row > 200))
    fat = skin + int(np.argmax(row[skin : skin + 8]))
    assert row[: skin - 3].mean() < 30
    assert row[fat] > 750
    outer = fat + int(np.argmin(row[fat : fat + 8]))
    marrow = outer + int(np.argmax(row[outer : outer + 5]))
    inner = marrow + int(np.argmin(row[marrow : marrow + 6]))
    assert row[outer] < 250 < 300 < row[marrow] > row[inner] + 60
    assert row[inner] < 300
    assert np.median(row[inner + 4 : inner + 20]) > 400


def test_air_has_the_noise_of_a_magnitude_image(lgg: Volumes) -> None:
    air = lgg["T2"].array[120:, :10, :10].astype(float)
    assert air.mean() == pytest.approx(NOISE * np.sqrt(np.pi / 2), rel=0.03)
    assert air.std() == pytest.approx(NOISE * np.sqrt(2 - np.pi / 2), rel=0.05)


def test_there_is_no_third_preset() -> None:
    with pytest.raises(UsageError, match=r"no sample is called 'iv': choose one of hgg, lgg"):
        sample_volumes("iv")


def test_files_hold_the_volumes_and_say_what_they_are(hgg: Volumes, hgg_folder: Path) -> None:
    names = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
    files = {f"synthetic-hgg_{end}.nii.gz" for end in names.values()}
    assert {p.name for p in hgg_folder.iterdir()} == files | {MARKER}
    for name, end in names.items():
        path = hgg_folder / f"synthetic-hgg_{end}.nii.gz"
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hgg[name].array)
        assert image.GetOrigin() == hgg[name].origin
        assert b"SYNTHETIC phantom, no patient" in gzip.decompress(path.read_bytes())[148:228]
    assert "No patient is in these files" in (hgg_folder / MARKER).read_text()


def test_the_folder_is_a_case(hgg: Volumes, hgg_folder: Path) -> None:
    case = Case.read(hgg_folder)
    np.testing.assert_array_equal(case.mask.array > 0, hgg["mask"].array > 0)
    assert is_synthetic(case.identifier, *case.sources.values())


def test_another_process_writes_the_same_bytes(hgg_folder: Path, sample_case: Path) -> None:
    assert sorted(p.name for p in sample_case.iterdir()) == sorted(p.name for p in hgg_folder.iterdir())
    for path in hgg_folder.iterdir():
        assert (sample_case / path.name).read_bytes() == path.read_bytes(), path.name


def test_synthetic_is_told_by_name_or_by_marker(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / MARKER).write_text("")
    assert is_synthetic("synthetic-lgg") and not is_synthetic("SyntheticMR_0012")  # a way to image patients
    assert is_synthetic("case", tmp_path / "a" / "x_t1.nii.gz")
    assert is_synthetic("case", "", tmp_path / "a")
    assert not is_synthetic("case", tmp_path / "b" / "x_t1.nii.gz", "")


def test_a_file_in_the_way_is_an_error_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hgg: Volumes
) -> None:
    monkeypatch.setattr("GliomaGradingLib.sample.sample_volumes", lambda preset: hgg)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot be written .*taken: choose a folder"):
        write_sample_case(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_of_another_case_is_left_alone(tmp_path, capsys):
    """With two cases in it, neither could be graded."""
    mine = tmp_path / "p1_t1.nii.gz"
    mine.write_bytes(b"")
    assert main(["sample", str(tmp_path)]) == 2
    assert f"holds other files (p1_t1.nii.gz), in {tmp_path}: give an empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [mine]


def test_the_sample_is_made_again_but_not_beside_the_other_one(tmp_path, capsys, monkeypatch, hgg):
    monkeypatch.setattr("GliomaGradingLib.sample.sample_volumes", lambda preset: hgg)
    assert main(["sample", str(tmp_path)]) == main(["sample", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*file_names("hgg")}
    assert main(["sample", str(tmp_path), "--preset", "lgg"]) == 2
    assert "holds other files" in capsys.readouterr().err
