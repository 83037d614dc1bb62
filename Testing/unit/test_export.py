"""What leaves the house: files, the cohort's table, the picture of the slices and the report."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from GliomaGradingLib.case import Case
from GliomaGradingLib.cohort.thumbnail import HEIGHT, thumbnail
from GliomaGradingLib.export import drawing, pictures, tables
from GliomaGradingLib.export.display import MARGIN_MM, Display, display_planes, grey_window, representative
from GliomaGradingLib.export.drawing import GROUND, OUTLINE, REGION, TONES
from GliomaGradingLib.export.figures import rounded
from GliomaGradingLib.export.pictures import slices_picture
from GliomaGradingLib.export.report import plot_legend, plot_svg, report_html
from GliomaGradingLib.files import write_atomically
from GliomaGradingLib.grading import Graded
from GliomaGradingLib.grid import Lattice
from GliomaGradingLib.palette import SEQUENCE_COLORS
from GliomaGradingLib.result import GradeResult, Notice, SliceInfo, Vote
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.wording import height_text
from GliomaGradingLib.words import DISCLAIMER, GRADE_MEANING, SEQUENCES
from PIL import Image

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
INFO = SliceInfo(tuple(range(60, 80)), tuple(float(k - 40) for k in range(20)), 1.0, 70, 1843.25)


def vote(sequence: str, probability: float) -> Vote:
    slices = tuple(np.clip(probability + 0.02 * np.arange(-10, 10), 0, 1).tolist())
    grade = "HGG" if probability >= 0.5 else "LGG"
    return Vote(sequence, grade, probability, slices, sum(p >= 0.5 for p in slices))


@pytest.fixture
def result() -> GradeResult:
    return GradeResult(
        case="patient-7",
        grade="HGG",
        decision="HGG",
        probability_hgg=0.8712345678,
        votes=(vote("T1", 0.91), vote("T2", 0.75), vote("FLAIR", 0.25)),
        slices=INFO,
        tumour_ml=62.1,
        warnings=(),
        model={"name": "tcga-region", "version": "1.2.3", "backbone": "bvlc_googlenet", "sha256": "ab" * 32},
        software={"GliomaGrading": "0.1.0", "torch": "2.5.1"},
        seconds={"read": 0.1, "prepare": 1.0, "infer": 0.5, "total": 1.6},
    )


# ---------------------------------------------------------------- files


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    assert write_atomically(path, "größer\n") == path
    assert path.read_bytes() == "größer\n".encode()
    write_atomically(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("kept")
    with pytest.raises(OSError):
        write_atomically(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "inside").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(OSError):
        write_atomically(tmp_path / "missing" / "a.txt", "new")


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


# ---------------------------------------------------------------- results.csv


def test_columns_are_those_of_the_interface() -> None:
    assert ",".join(tables.COLUMNS) == (
        "case,status,grade,decision,probability_hgg,t1_probability_hgg,t2_probability_hgg,"
        "flair_probability_hgg,agreement,slices,tumour_ml,warnings,error,seconds"
    )


def test_table_has_a_row_per_case_in_order(result: GradeResult) -> None:
    warned = replace(
        result, case="b", decision="indeterminate", warnings=(Notice("one", "m"), Notice("two", "n"))
    )
    rows = [
        tables.graded_row(result),
        tables.failed_row("a", "the mask is empty, in x.nii: draw it", 0.25),
        tables.graded_row(warned),
    ]
    assert tables.csv_text(rows).split("\n")[1:] == [
        "patient-7,graded,HGG,HGG,0.871235,0.910000,0.750000,0.250000,2 of 3,60..79,62.100000,,,1.600000",
        'a,failed,,,,,,,,,,,"the mask is empty, in x.nii: draw it",0.250000',
        "b,graded,HGG,indeterminate,0.871235,0.910000,0.750000,0.250000,2 of 3,60..79,62.100000,"
        "one; two,,1.600000",
        "",
    ]


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t", "\r", " =", "\n="])
def test_no_text_cell_is_a_formula(lead: str) -> None:
    row = tables.failed_row(f"{lead}HYPERLINK(1)", f"{lead}cmd|' /C calc'!A0")
    (read,) = csv.DictReader(io.StringIO(tables.csv_text([row]), newline=""))
    assert read["case"] == f"'{lead}HYPERLINK(1)".replace("\r", "\n")
    assert read["error"].startswith("'")


@pytest.mark.parametrize(
    "value", ["", "a", "-1 is no label", "'-1'", " =x", "' =x", "''+", "'quoted'", "'", "\n=1", "\t", "'\t"]
)
def test_a_cell_gives_back_the_text_it_was_made_of(value: str) -> None:
    assert tables.plain(tables.text(value)) == value


def test_harmless_text_is_left_alone_and_survives_the_table() -> None:
    name = 'a-b=c "x", y\nz'
    (read,) = csv.DictReader(io.StringIO(tables.csv_text([tables.failed_row(name, "")]), newline=""))
    assert read["case"] == name
    assert read["seconds"] == ""


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="patient_name"):
        tables.csv_text([{"patient_name": "x"}])


def test_any_table_is_written_like_that_of_cases() -> None:
    rows = [[1, 'x, "y"', 0.5], [2, "", "z"]]
    text = 'a,b,"c d,e"\n1,"x, ""y""",0.5\n2,,z\n'
    assert tables.csv_table(["a", "b", "c d,e"], iter(rows)) == text
    named = [dict(zip(("a", "b", "c d,e"), map(str, row), strict=True)) for row in rows]
    assert tables.csv_text(named, ("a", "b", "c d,e")) == text


# ---------------------------------------------------------------- figures


def test_figures_are_rounded_and_null_where_they_are_not_defined() -> None:
    nothing = (float("nan"), np.float32("inf"), -np.inf)
    found = rounded({"a": [2 / 3, np.float64(1e-7), np.int64(3), 4], "b": {"c": nothing}, "d": "x", "e": True})
    assert json.dumps(found, allow_nan=False) == (
        '{"a": [0.666667, 0.0, 3, 4], "b": {"c": [null, null, null]}, "d": "x", "e": true}'
    )


# ---------------------------------------------------------------- picture


def square_display(**changes: object) -> Display:
    """20 black planes of 100 x 116 pixels with a square tumour: the picture's cells are exactly twice that."""
    mask = np.zeros((20, 100, 116), np.uint8)
    mask[:, 30:50, 20:60] = 1
    values = {
        "images": np.zeros((3, 20, 100, 116), np.float32),
        "mask": mask,
        "positions_mm": INFO.positions_mm,
        "largest": 10,
        "case": "patient-7",
    }
    return Display(**{**values, **changes})  # type: ignore[arg-type]


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def cell(picture: np.ndarray, row: int, column: int, height: int = 200) -> np.ndarray:
    top = pictures.TOP + 18 + row * (height + drawing.GAP)
    left = drawing.LABEL + column * (drawing.CELL + drawing.GAP)
    return picture[top : top + height, left : left + drawing.CELL]


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(-1)


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("column", [0, 2, 4])
def test_outline_runs_along_the_edge_of_the_mask(row: int, column: int) -> None:
    drawn = where(cell(pixels(slices_picture(square_display())), row, column), OUTLINE)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 99, 40, 119)
    assert drawn[60, 45:115].all() and drawn[99, 45:115].all()
    assert drawn[65:95, 40].all() and drawn[65:95, 119].all()
    assert not drawn[63:97, 43:117].any()


def test_no_outline_where_there_is_no_tumour() -> None:
    empty = square_display(mask=np.zeros((20, 100, 116), np.uint8))
    assert not where(pixels(slices_picture(empty)), OUTLINE).any()


def test_each_row_shows_its_sequence_and_each_column_its_plane() -> None:
    images = np.zeros((3, 20, 100, 116), np.float32)
    images[:, :, 60:90, 70:100] = 100  # something for the window to hold on to
    for sequence in range(3):
        images[sequence, :, 70:80, 75:95] = 100 * (0.2 + 0.2 * sequence) + np.arange(20)[:, None, None]
    picture = pixels(slices_picture(square_display(images=images)))
    for row in range(3):
        for column, plane in enumerate((0, 5, 10, 14, 19)):
            expected = 255 * (0.2 + 0.2 * row + 0.01 * plane)
            assert cell(picture, row, column)[150, 170] == pytest.approx([expected] * 3, abs=3)


@pytest.mark.parametrize(
    ("count", "largest", "expected"),
    [
        (20, 10, (0, 5, 10, 14, 19)),
        (20, 3, (0, 3, 10, 14, 19)),
        (20, 0, (0, 5, 10, 14, 19)),
        (20, 19, (0, 5, 10, 14, 19)),
        (20, 1, (0, 1, 10, 14, 19)),
        (3, 1, (0, 1, 2)),
        (1, 0, (0,)),
    ],
)
def test_five_planes_stand_for_all(count: int, largest: int, expected: tuple[int, ...]) -> None:
    assert representative(count, largest) == expected


def test_window_ignores_a_few_very_bright_voxels_and_the_background() -> None:
    rng = np.random.default_rng(1)
    planes = np.zeros((4, 100, 100))
    planes[:, 20:80, 20:80] = rng.normal(500, 50, (4, 60, 60))
    planes[0, 50, 50:55] = 1e6
    low, high = grey_window(planes)
    assert low == 0
    assert 560 < high < 700
    assert grey_window(np.full((2, 3, 3), 7.0)) == (7.0, 8.0)


def test_region_is_marked_where_the_networks_look() -> None:
    marked = square_display(region=(10.0, 15.0, 80.0, 90.0))
    drawn = where(cell(pixels(slices_picture(marked)), 1, 1), REGION)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 180, 20, 160)
    assert not drawn[45:160].any()
    assert not where(pixels(slices_picture(square_display())), REGION).any()


def test_decision_is_a_filled_box_and_indeterminate_is_not(result: GradeResult) -> None:
    inside = (slice(48, 88), slice(16, 26))
    sure = pixels(slices_picture(square_display(), result))
    unsure = pixels(slices_picture(square_display(), replace(result, decision="indeterminate")))
    low = pixels(slices_picture(square_display(), replace(result, decision="LGG")))
    assert where(sure, TONES["HGG"])[inside].all()
    assert where(low, TONES["LGG"])[inside].all()
    assert where(unsure, GROUND)[inside].all()
    assert where(unsure, TONES["indeterminate"])[44:92, 12:300].sum() > 200


def test_synthetic_cases_carry_a_badge() -> None:
    corner = (slice(10, 45), slice(-330, None))
    plain = where(pixels(slices_picture(square_display())), TONES["indeterminate"])
    badge = where(pixels(slices_picture(square_display(synthetic=True))), TONES["indeterminate"])
    assert badge[corner].sum() > 500
    assert not plain.any()


def test_any_name_fits_and_the_same_input_gives_the_same_picture(result: GradeResult) -> None:
    odd = replace(result, case="<b>\n\x00" + "名" * 3000)
    assert pixels(slices_picture(square_display(), odd)).shape == pixels(slices_picture(square_display())).shape
    assert slices_picture(square_display(), result) == slices_picture(square_display(), result)


# ---------------------------------------------------------------- planes of a case


def head_case(flip: bool = False) -> Case:
    """A bright block as a head in air, its right front marked; planes at S = -50 ... 9 mm."""
    array = np.zeros((60, 120, 110), np.float32)
    array[:, 20:100, 30:90] = 100
    array[:, 25:30, 35:40] = 180
    mask = np.zeros(array.shape, np.uint8)
    mask[20:40, 50:60, 70:80] = 1
    origin, direction = (-55.0, -60.0, -50.0), np.eye(3)
    if flip:  # the same head, stored from left to right and from head to foot
        array, mask = array[::-1, :, ::-1].copy(), mask[::-1, :, ::-1].copy()
        origin, direction = (54.0, -60.0, 9.0), np.diag([-1.0, 1.0, -1.0])
    volumes = {name: Volume(array * k, (1.0,) * 3, origin, direction) for k, name in enumerate(SEQUENCES, 1)}
    return Case("c", volumes, Volume(mask, (1.0,) * 3, origin, direction))


HEAD_INFO = SliceInfo(tuple(range(20, 40)), tuple(float(k - 50) for k in range(20, 40)), 1.0, 29, 100.0)


@pytest.mark.parametrize("flip", [False, True])
def test_planes_show_the_head_with_the_right_on_the_left(flip: bool) -> None:
    display = display_planes(head_case(flip), HEAD_INFO)
    margin = MARGIN_MM
    assert display.images.shape == (3, 20, 80 + 2 * margin, 60 + 2 * margin)
    assert display.largest == 9
    np.testing.assert_allclose(display.images[:, 7, margin + 7, margin + 7], [180, 360, 540])
    np.testing.assert_allclose(display.images[:, 7, margin + 40, margin + 30], [100, 200, 300])
    assert display.images[:, :, : margin - 1].max() == 0
    rows, columns = np.nonzero(display.mask[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        margin + 30,
        margin + 39,
        margin + 40,
        margin + 49,
    )
    assert display.mask.sum() == 20 * 100


def test_region_is_given_in_pixels_of_the_planes() -> None:
    lattice = Lattice((-20.0, -30.0, -30.0), (2.0, 2.0, 1.0), (16, 16, 20))
    display = display_planes(head_case(), HEAD_INFO, lattice)
    margin = MARGIN_MM
    # column 0 lies at L = -55 + 30 - margin, row 0 at P = -60 + 20 - margin
    centres = (-21 + 25 + margin, -31 + 40 + margin, 11 + 25 + margin, 1 + 40 + margin)
    assert display.region == pytest.approx([at + 0.5 for at in centres])  # 0 is the outer edge of column 0


def test_a_sure_vote_fits_beside_the_slices() -> None:
    from GliomaGradingLib.export.drawing import LABEL, VOTE_SIZE, font

    for text in ("HGG  P(HGG) > 0.99", "LGG  P(HGG) < 0.01"):
        assert font(VOTE_SIZE).getlength(text) <= LABEL - 14  # where its letters begin


def test_positions_at_half_millimetres_have_names_one_millimetre_apart() -> None:
    names = [height_text(position) for position in (-1.5, -0.5, 0.5, 1.5, 2.5)]
    assert names == ["I 1", "S 0", "S 1", "S 2", "S 3"]


def test_between_voxels_every_voxel_of_the_mask_is_shown_once() -> None:
    """Pixels half a voxel off: rounding noise does not decide which voxel is the nearest."""
    head, comb = np.zeros((60, 224, 192), np.float32), np.zeros((60, 224, 192), np.uint8)
    head[:, 20:200, 20:170] = 100
    comb[:, 90:100, 20:170:2] = 1
    head_volume, mask = (Volume(a, (1.0,) * 3, (-95.5, -100.0, -50.0), np.eye(3)) for a in (head, comb))
    display = display_planes(Case("c", dict.fromkeys(SEQUENCES, head_volume), mask), HEAD_INFO)
    (columns,) = np.nonzero(display.mask[0].any(axis=0))
    assert len(columns) == 75 and (np.diff(columns) == 2).all()


def test_a_thumbnail_needs_no_sequence_but_t1_and_flair(result: GradeResult) -> None:
    case = head_case()
    images = {name: volume for name, volume in case.images.items() if name != "T2"}
    graded = Graded(replace(result, slices=HEAD_INFO), replace(case, images=images), None)  # type: ignore[arg-type]
    picture = pixels(thumbnail(graded))
    assert picture.shape[0] == HEIGHT and where(picture, OUTLINE).any()


def test_the_largest_slice_has_a_place_among_the_slices() -> None:
    assert (INFO.largest_place, HEAD_INFO.largest_place) == (10, 9)
    assert replace(INFO, largest_index=83).largest_place == 19  # not among them: the nearest
    gaps = replace(INFO, indices=tuple(range(60, 100, 2)), largest_index=70)
    assert gaps.largest_place == 5


def test_thick_slices_are_shown_at_one_millimetre() -> None:
    case = head_case()
    thick = {
        name: replace(v, array=v.array[2::5], spacing=(1.0, 1.0, 5.0), origin=(-55.0, -60.0, -48.0))
        for name, v in case.images.items()
    }
    display = display_planes(replace(case, images=thick), HEAD_INFO)
    assert display.images.shape[1] == 20
    np.testing.assert_allclose(display.images[0, :, 40, 30], 100, rtol=1e-5)


def test_planes_know_a_synthetic_case(tmp_path: Path) -> None:
    (tmp_path / "SYNTHETIC.txt").write_text("")
    case = head_case()
    assert not display_planes(case, HEAD_INFO).synthetic
    assert display_planes(replace(case, identifier="synthetic-hgg"), HEAD_INFO).synthetic
    assert display_planes(replace(case, sources={"T1": str(tmp_path / "t1.nii")}), HEAD_INFO).synthetic


# ---------------------------------------------------------------- report


class Reader(HTMLParser):
    """Tags, attributes and text; fails where tags do not nest."""

    VOID = {"meta", "img", "br", "line", "circle", "rect", "path", "polyline"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_report_says_what_was_decided_and_by_what(result: GradeResult) -> None:
    text = Reader(report_html(result, {"slices": b"png"})).text
    for part in (
        "case patient-7",
        "HGG high-grade glioma",
        "0.87 probability of HGG",
        "2 of 3 sequences vote HGG",
        "62.1 ml",
        "T1 HGG 0.91 20 of 20",
        "FLAIR LGG 0.25 0 of 20",
        "1843 mm² on slice 11 of 20 (I 30 mm)",
        "slices 20: I 40 to I 21 mm, 1 mm apart (60 to 79 of the case's axial grid, counted from 0)",
        "rule of the vote majority: the grade that most of the three sequences vote for",
        "model name tcga-region",
        "model version 1.2.3",
        "GliomaGrading 0.1.0, torch 2.5.1",
        "total 1.6",
        GRADE_MEANING,
        DISCLAIMER,
        "No warnings.",
    ):
        assert part in text, part
    assert "SYNTHETIC" not in text


def test_warnings_come_before_the_decision(result: GradeResult) -> None:
    page = report_html(replace(result, warnings=(Notice("swapped", "T1 & T2 may be swapped"),)), {})
    assert page.index("T1 &amp; T2 may be swapped") < page.index('class="banner')
    assert "No warnings." not in page


def test_indeterminate_looks_and_reads_indeterminate(result: GradeResult) -> None:
    page = report_html(replace(result, decision="indeterminate"), {})
    assert '<div class="banner unsure"' in page
    assert "? INDETERMINATE" in page
    assert "the vote is HGG, but the evidence is too thin to stand for it" in page
    assert "border-style:dashed" in page
    assert '<div class="banner HGG"' in report_html(result, {})


def test_report_needs_nothing_else(result: GradeResult) -> None:
    page = report_html(result, {"slices": b"\x89PNG1", "saliency": b"\x89PNG2"})
    reader = Reader(page)
    sources = [attrs["src"] for tag, attrs in reader.tags if tag == "img"]
    assert sources == ["data:image/png;base64,iVBORzE=", "data:image/png;base64,iVBORzI="]
    assert not {"script", "link", "iframe", "object", "form", "a"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"https?:|url\(|@import|//cdn", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page and "@media print" in page


def test_pictures_have_captions_by_name_or_file_name(result: GradeResult) -> None:
    for name in ("slices", "slices.png"):
        text = Reader(report_html(result, {name: b"png"})).text
        assert "Slices Five of the 20 slices per sequence; the patient's right is on the left." in text
    assert "overlay overlay" in Reader(report_html(result, {"overlay": b"png"})).text.lower()


def test_no_text_from_outside_becomes_markup(result: GradeResult) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
    page = report_html(
        replace(
            result,
            case=evil,
            warnings=(Notice(evil, evil),),
            model={evil: evil, "name": evil},
            software={evil: evil},
            votes=(replace(result.votes[0], sequence=evil, grade=evil), *result.votes[1:]),
            registration={"reference": evil, "sequences": {evil: {"applied": True}}},
        ),
        {evil: b"png"},
        {evil: evil, "auc": {"value": evil, "low": evil, "high": evil}},
    )
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {"script"}
    assert [attrs.get("onerror") for _, attrs in reader.tags if "onerror" in attrs] == []
    assert sum(tag == "img" for tag, _ in reader.tags) == 1
    assert reader.text.count("<script>alert(1)</script>") >= 10


def test_a_decision_that_is_no_known_word_cannot_reach_the_markup(result: GradeResult) -> None:
    page = report_html(replace(result, decision='x" onclick="y', grade="<i>"), {})
    assert "onclick" not in {name for _, attrs in Reader(page).tags for name in attrs}
    assert '<div class="banner unsure"' in page


def test_synthetic_cases_are_called_so(result: GradeResult) -> None:
    assert "SYNTHETIC: NO PATIENT" in report_html(result, {}, synthetic=True)
    assert "SYNTHETIC: NO PATIENT" in report_html(replace(result, case="synthetic-hgg"), {})


def test_card_and_registration_are_quoted(result: GradeResult) -> None:
    moved = {
        "reference": "T1",
        "sequences": {
            "T2": {"applied": True, "translation_mm": 5.04, "rotation_deg": 2.5},
            "FLAIR": {"applied": False},
        },
    }
    card = {"AUC by patient": {"value": 0.912, "low": 0.86, "high": 0.95}, "patients": 156, "hidden": [1]}
    text = Reader(report_html(replace(result, registration=moved), {}, card)).text
    assert "AUC by patient 0.912 (0.860 to 0.950) patients 156" in text
    assert "hidden" not in text
    assert "T2 was moved onto T1 5.0 mm, 2.5 degrees" in text
    assert "FLAIR was moved" not in text


def test_legend_says_what_its_numbers_are(result: GradeResult) -> None:
    legend = re.findall(r"</svg>([^<]*P\(HGG\)[^<]*)</li>", plot_legend(result))
    assert legend == ["T1: HGG, P(HGG) 0.91", "T2: HGG, P(HGG) 0.75", "FLAIR: LGG, P(HGG) 0.25"]


def test_a_sequence_has_one_colour_wherever_it_is_drawn(result: GradeResult) -> None:
    from GliomaGradingLib.cohort import page
    from GliomaGradingLib.training.plots import COLOURS

    report = report_html(result, {})
    chart = (RESOURCES / "HowItWorks.svg").read_text(encoding="utf-8")
    grades = set(re.findall(r"--[hl]gg:(#\w{6})", report))
    assert len(grades) == 6, "for light, dark and paper"
    for k, name in enumerate(SEQUENCES):
        colour = SEQUENCE_COLORS[name]
        assert f".s{k}{{--tone:{colour}}}" in report and f".s{k}{{stroke:{colour}}}" in page._STYLE
        assert COLOURS[name] == colour and chart.count(colour) > 20
        assert colour not in grades


def test_plot_has_every_slice_of_every_sequence_where_it_belongs(result: GradeResult) -> None:
    svg = plot_svg(result)
    lines = [
        [tuple(map(float, pair.split(","))) for pair in points.split(" ")]
        for points in re.findall(r'<polyline[^>]* points="([^"]+)"', svg)
    ]
    assert [len(line) for line in lines] == [20, 20, 20]
    threshold = float(re.search(r'class="threshold"[^>]* y1="([\d.]+)"', svg).group(1))  # type: ignore[union-attr]
    for line, one in zip(lines, result.votes, strict=True):
        heights = [y for _, y in line]
        for y, probability in zip(heights, one.slice_probabilities, strict=True):
            assert (threshold - y) / (threshold - 34) == pytest.approx((probability - 0.5) / 0.5, abs=0.01)
        assert np.allclose(np.diff([x for x, _ in line]), (940 - 62 - 72) / 20, atol=0.11)
    assert svg.count("<circle") == 20 and svg.count("<rect") == 20  # the legend is outside
    assert "largest area" in svg and "slice of 20, foot to head (I 40 to I 21 mm)" in svg
