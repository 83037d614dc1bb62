"""Grad-CAM in pictures and report: colours where the evidence is, on one scale, with what it is not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from GliomaGradingLib.explanation import SALIENCY_NOTE, Explanation
from GliomaGradingLib.export import evidence_picture, pictures
from GliomaGradingLib.export.drawing import CELL, GAP, LABEL, OUTLINE
from GliomaGradingLib.export.evidence_picture import MARGIN_MM, TONES, close_up, evidence_block, heat_of
from GliomaGradingLib.export.pictures import slices_picture
from GliomaGradingLib.export.reliability import alike_text
from GliomaGradingLib.export.report import plot_svg, report_html
from GliomaGradingLib.proportions import wilson
from GliomaGradingLib.result import GradeResult
from GliomaGradingLib.voting import DecisionRule
from test_export import Reader, pixels, result, square_display  # noqa: F401  # a fixture

REGION = (30.0, 20.0, 90.0, 80.0)
"""Of 116 x 100 pixels: all of it is inside the display, margin and all but 6 pixels at the top."""


def explanation(where: tuple[slice, slice] = (slice(0, 16), slice(0, 16)), value: float = 4.0) -> Explanation:
    """Evidence in a corner of FLAIR's maps, none elsewhere but a speck that sets the scale."""
    maps = np.zeros((3, 20, 32, 32), np.float32)
    maps[2][:, where[0], where[1]] = value
    return Explanation(maps, (0.1, 0.2, 0.3), None, 7.5)


def block_cell(row: int, column: int, shown: Explanation) -> np.ndarray:
    block = np.asarray(evidence_block(square_display(region=REGION, mask=np.zeros((20, 100, 116))), shown))
    height = CELL * (94 - 6) // 88
    top = evidence_picture.HEAD + row * (height + GAP)
    left = LABEL + column * (CELL + GAP)
    return block[top : top + height, left : left + CELL].astype(int)


@pytest.mark.parametrize(("value", "grade"), [(4.0, "HGG"), (-4.0, "LGG")])
def test_evidence_is_coloured_where_it_is_and_for_whom_it_speaks(value: float, grade: str) -> None:
    shown = explanation(value=value)
    assert shown.strength == pytest.approx(4.0)
    scale = CELL / 88
    y, x = round(25 * scale), round(30 * scale)
    inside = block_cell(2, 1, shown)[y - 4 : y + 4, x - 4 : x + 4]
    expected = np.array(TONES[grade]) * evidence_picture.OPACITY
    assert np.abs(inside - expected).max() <= 6  # over a black image
    for row, place in ((0, (25, 30)), (1, (25, 30)), (2, (60, 60))):
        y, x = (round(p * scale) for p in place)
        assert block_cell(row, 1, shown)[y, x].max() < 10


def test_colour_and_opacity_follow_the_evidence() -> None:
    heat = heat_of(np.array([[-2.0, -1.0, 0.0, 0.5, 1.0]]))[0]
    assert heat[:, 3].tolist() == [191, 191, 0, 96, 191]
    assert tuple(heat[0, :3]) == TONES["LGG"] and tuple(heat[4, :3]) == TONES["HGG"]


def test_the_close_up_is_the_region_and_its_surroundings() -> None:
    close = close_up(square_display(region=REGION))
    assert close.images.shape == (3, 20, 88, 88)
    assert close.region == (float(MARGIN_MM), float(MARGIN_MM), 74.0, 74.0)
    clipped = close_up(square_display(region=(-20.0, -5.0, 40.0, 200.0)))
    assert clipped.images.shape[2:] == (100, 54) and clipped.region == (-20.0, -5.0, 40.0, 200.0)
    with pytest.raises(ValueError, match="where the networks looked"):
        close_up(square_display())


def test_a_region_beyond_the_picture_is_drawn_as_far_as_it_goes() -> None:
    wide = square_display(region=(-40.0, -40.0, 160.0, 160.0))
    picture = pixels(slices_picture(wide, None, explanation((slice(None), slice(None)))))
    orange = (picture == np.round(np.array(TONES["HGG"]) * evidence_picture.OPACITY)).all(-1)
    assert orange.sum() > 20_000


def test_slices_come_with_evidence_below_and_without_heading(result: GradeResult) -> None:  # noqa: F811
    display = square_display(region=REGION)
    plain, full = (pixels(slices_picture(display, result, e)) for e in (None, explanation()))
    block = np.asarray(evidence_block(display, explanation(), result)).astype(int)
    bare = pixels(slices_picture(display, result, heading=False))
    end = plain.shape[0] - pictures.BOTTOM
    assert full.shape[0] == plain.shape[0] + block.shape[0]
    assert np.array_equal(full[:end], plain[:end])
    assert np.array_equal(full[end : end + block.shape[0]], block)
    assert bare.shape[0] < plain.shape[0] - 100
    assert (block == OUTLINE).all(-1).any()
    unknown = slices_picture(square_display(), result, explanation())
    assert pixels(unknown).shape == plain.shape  # where the networks looked is not known


# ---------------------------------------------------------------- report


def test_pictures_are_described_and_maps_are_not_oversold(result: GradeResult) -> None:  # noqa: F811
    reader = Reader(report_html(result, {"slices": b"1", "saliency": b"2"}))
    alts = [attrs["alt"] for tag, attrs in reader.tags if tag == "img"]
    assert alts[0] == (
        "Three rows, T1, T2 and FLAIR: outlined tumour on axial slices 1, 6, 11, 15, 20 of 20, foot to "
        "head; largest area on 11 of 20 (I 30 mm)."
    )
    assert "Grad-CAM" in (alts[1] or "") and SALIENCY_NOTE in reader.text
    assert "no localisation" in SALIENCY_NOTE and "Arun" in SALIENCY_NOTE
    assert SALIENCY_NOTE not in Reader(report_html(result, {"slices": b"1"})).text


def test_the_page_has_one_order_of_headings_and_tables_with_heads(result: GradeResult) -> None:  # noqa: F811
    page = report_html(result, {"slices": b"1", "saliency": b"2"}, {"AUC": 0.9})
    tags = [tag for tag, _ in Reader(page).tags]
    assert [t for t in tags if re.fullmatch("h[1-6]", t)] == ["h1"] + ["h2"] * 7
    assert tags.count("table") == tags.count("caption") == 3 and tags.count("main") == 1
    assert all("scope" in attrs for tag, attrs in Reader(page).tags if tag == "th")
    assert '<html lang="en">' in page and page.count("<title>") == 2  # the page's and the plot's


def test_the_band_without_decision_and_the_three_together_are_marked(result: GradeResult) -> None:  # noqa: F811
    svg = plot_svg(result, DecisionRule(0.35, 0.65))
    top, height = map(float, re.search(r'class="band" d="M62 ([\d.]+)h806v([\d.]+)', svg).groups())  # type: ignore[union-attr]
    span = 300 - 34 - 44
    assert top == pytest.approx(34 + 0.35 * span, abs=0.1) and height == pytest.approx(0.3 * span, abs=0.1)
    pointer = float(re.search(r'class="together" d="M868 ([\d.]+)', svg).group(1))  # type: ignore[union-attr]
    assert pointer == pytest.approx(34 + (1 - 0.8712) * span, abs=0.1)
    assert "The three together: 0.87" in svg and "T1: 20 of 20 slices above 0.5" in svg
    assert "band" not in plot_svg(result)
    assert "between 0.35 and 0.65" in report_html(result, {}, rule=DecisionRule(0.35, 0.65))
    sure = replace(result.votes[0], slice_probabilities=(0.0001, *[0.7] * 18, 0.9999))
    svg = plot_svg(replace(result, votes=(sure, *result.votes[1:])))
    assert "slices above 0.5, from &lt; 0.01 to &gt; 0.99; T2" in svg


def test_how_often_such_a_probability_was_right() -> None:
    bins = [
        {"low": 0.0, "high": 0.5, "patients": 0, "hgg": 0},
        {"low": 0.8, "high": 1.0, "patients": 40, "hgg": 36},
    ]
    assert alike_text(0.9, {"reliability": bins}) == (
        "Of 40 test patients with a probability of 0.8 to 1.0, 90 % had HGG (95 % interval 77 to 96 %)."
    )
    for probability, metadata in ((0.2, {"reliability": bins}), (0.6, {"reliability": bins}), (0.9, {})):
        assert alike_text(probability, metadata) == ""
    for broken in (3, [1], [{"low": 0}], [{**bins[1], "patients": "x"}]):
        assert alike_text(0.9, {"reliability": broken}) == ""
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == pytest.approx(1.0)


def test_reliability_is_quoted_and_escaped(result: GradeResult) -> None:  # noqa: F811
    assert "Of &lt;b&gt; patients" in report_html(result, {}, reliability="Of <b> patients")


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_text_is_readable_in_light_dark_and_print(result: GradeResult, theme: int) -> None:  # noqa: F811
    """Contrast of 4.5 to 1 and more (WCAG 2.2, 1.4.3) for every tone of text on every ground."""
    blocks = re.findall(r":root\{([^}]*)\}", report_html(result, {}))
    assert len(blocks) == 3
    tones = {
        name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
        for name, value in re.findall(r"--(\w+):(#[0-9a-f]+)", blocks[theme])
    }
    for text in ("text", "quiet", "hgg", "lgg", "unsure"):
        for ground in ("ground", "panel"):
            light, dark = sorted((luminance(tones[text]), luminance(tones[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, text, ground)


def test_a_long_list_of_warnings_stays_first(result: GradeResult) -> None:  # noqa: F811
    from GliomaGradingLib.result import Notice

    warned = replace(result, warnings=tuple(Notice(f"w{k}", f"warning {k}") for k in range(30)))
    page = report_html(warned, {"slices": b"1"})
    assert page.index("Warning 29") < page.index('class="banner')
