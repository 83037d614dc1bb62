"""What the panel says of a result: reasons first, nothing that does not apply, and lines that break well."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

BROKEN, TIED = "\u200b", "\u00a0"


@pytest.fixture
def result(host):
    """A result with a warning of its own."""
    from fake_grading import result as made
    from GliomaGradingLib.result import Notice

    options = {"vote": "majority", "register": "auto"}
    moved = (Notice("registered", "T2 was moved by 16.8 mm"),)
    return replace(made("anna", 0.9, options, np.ones((2, 2, 2))), warnings=moved)


@pytest.fixture
def graded(module, scene, grade):
    """The module with a result of its own."""
    scene.case("anna")
    grade()
    return module


def held_back(result, code, message):
    from GliomaGradingLib.result import Notice

    return replace(result, decision="indeterminate", warnings=(*result.warnings, Notice(code, message)))


def plain(text):
    return text.replace(BROKEN, "").replace(TIED, " ")


def test_the_reason_goes_first_and_all_are_sentences(result):
    from GliomaGradingLib.panel.text import result_warnings_text

    doubtful = held_back(result, "misaligned", "The sequences do not lie on one another")
    assert plain(result_warnings_text(doubtful)).splitlines() == [
        "⚠ Indeterminate: the sequences do not lie on one another.",
        "⚠ T2 was moved by 16.8 mm.",
    ]
    swapped = held_back(result, "t1-t2-swapped", "T1 and T2 look exchanged.")
    assert plain(result_warnings_text(swapped)).startswith("⚠ Indeterminate: T1 and T2 look exchanged.\n")
    close = held_back(result, "near-boundary", "Indeterminate: close.")
    lines = plain(result_warnings_text(close, isOutdated=True)).splitlines()
    assert lines[:2] == ["⚠ The inputs have changed since: grade again.", "⚠ Indeterminate: close."]
    assert plain(result_warnings_text(result)) == "⚠ T2 was moved by 16.8 mm."


def test_a_name_is_no_sentence(host):
    from GliomaGradingLib.panel.text import warnings_text
    from GliomaGradingLib.result import Notice

    assert warnings_text([Notice("x", "case_t1 is odd")]) == "⚠ case_t1 is odd."


@pytest.mark.parametrize(
    ("code", "applies"), [("near-boundary", True), ("models-at-odds", True), ("misaligned", False),
                          ("unlike-training", False)],
)  # fmt: skip
def test_test_patients_are_told_of_only_where_they_apply(result, code, applies):
    from GliomaGradingLib.panel.text import reliability_text

    known = "Of 25 test patients, 95 % had HGG."
    assert plain(reliability_text(result, known)) == known
    told = plain(reliability_text(held_back(result, code, "Indeterminate: so."), known))
    assert (told == known) is applies
    assert applies or "does not apply: the inputs are doubtful" in told


def test_of_a_patient_that_taught_the_models_no_statistic_is_told(result):
    from GliomaGradingLib.panel.text import reliability_text
    from GliomaGradingLib.result import Notice

    known = replace(result, warnings=(Notice("taught-the-models", "it did"),))
    assert plain(reliability_text(known, "Of 25")).endswith("does not apply: this patient taught the models.")


def test_the_rule_of_the_vote_is_told_where_it_is_not_the_majority(result):
    from GliomaGradingLib.panel.text import summary_text

    assert summary_text(result).startswith("Vote: HGG, 3 of 3 sequences agree ●●●\n")
    soft = replace(result, vote="soft", grade="LGG")
    assert summary_text(soft).startswith("Vote by mean probability: LGG, 0 of 3 sequences vote so ○○○\n")


def test_what_the_networks_saw_of_the_tumour_stands_beside_its_volume(result):
    from GliomaGradingLib.panel.text import measures_text

    told = plain(measures_text(replace(result, tumour_ml=62.14, seen_ml=34.66)))
    assert told.startswith("Tumour 62.1 ml, of which the networks saw 34.7 ml · slices ")
    assert plain(measures_text(replace(result, tumour_ml=62.14, seen_ml=None))).startswith("Tumour 62.1 ml · ")
    speck = plain(measures_text(replace(result, tumour_ml=0.03, seen_ml=0.02)))
    assert speck.startswith("Tumour < 0.1 ml, of which the networks saw < 0.1 ml · slices ")


def test_a_sequences_view_never_has_a_grade_alone_under_indeterminate(result):
    from GliomaGradingLib.panel.text import vote_text

    vote = result.votes[1]
    assert vote_text(result, vote).splitlines()[1] == "T2: HGG, P(HGG) 0.90"
    doubtful = held_back(result, "near-boundary", "Indeterminate: close.")
    assert vote_text(doubtful, vote).splitlines()[1] == "indeterminate (T2 votes HGG, 0.90)"


def test_the_banner_names_the_case_first(graded):
    module = graded
    layout = module.ui.bannerFrame.layout()
    assert layout.itemAt(0).widget() is module.ui.caseLabel
    assert module.ui.caseLabel.text == "Case: anna" and not module.ui.caseLabel.isHidden()


@pytest.mark.parametrize(
    "text",
    ["moved by 16.8 mm", "P(HGG) 0.95", "1999.08.23", "googlenet-2014", "(distance-of-16.85-mm,12.5,7.25-all)"],
)
def test_numbers_are_not_torn(host, text):
    from GliomaGradingLib.panel.text import breakable, plain

    broken = breakable(text)
    assert not re.search(rf"\d[-.,]?{BROKEN}\d", broken)
    assert plain(broken) == text and (BROKEN in broken) == (len(text) > 30)


@pytest.mark.parametrize(
    "text", ["/home/anna/glioma/BraTS20_Training_163/BraTS20_Training_163_t1.nii.gz", "B" * 70, "1.2.840." * 8]
)
def test_long_words_can_be_broken(host, text):
    from GliomaGradingLib.panel.text import breakable, plain

    assert max(map(len, breakable(text).split(BROKEN))) <= 24 and plain(breakable(text)) == text


def test_numbers_stay_with_their_units(host):
    from GliomaGradingLib.panel.text import plain, tied

    text = "Of 25, 95 % had it: S 58 mm, 56.5 ml, I 18 to 3 mm² · ▼ LGG · 3 models"
    assert (
        tied(text).replace(TIED, "~")
        == "Of 25, 95~% had it: S~58~mm, 56.5~ml, I~18 to 3~mm² · ▼~LGG · 3 models"
    )
    assert plain(tied(text)) == text


def test_the_map_legend_says_where_nobody_looked(host):
    from GliomaGradingLib.panel.text import map_legend

    assert "Outside" in map_legend() and "not looked at" in map_legend()


def test_buttons_and_inputs_have_keys(module):
    from PySide6 import QtCore

    ui = module.ui
    keys = [getattr(ui, name).text.partition("&")[2][:1].lower() for name in
            ("gradeButton", "cancelButton", "reportButton", "t1Label", "t2Label", "flairLabel", "maskLabel",
             "segmentLabel", "bundleLabel")]  # fmt: skip
    assert all(keys) and len(set(keys)) == len(keys)
    for label, box in (("t1Label", "t1Selector"), ("maskLabel", "maskSelector"), ("voteLabel", "voteSelector")):
        assert getattr(ui, label).buddy() is getattr(ui, box)
    for name in ("inputsNoticeLabel", "warningsLabel", "decisionLabel", "summaryLabel", "reliabilityLabel",
                 "measuresLabel", "messageLabel"):  # fmt: skip
        flags = getattr(ui, name).textInteractionFlags
        assert flags & QtCore.Qt.TextSelectableByKeyboard, name


@pytest.mark.parametrize("scale", [1, 2])
def test_the_headline_grows_with_the_font(graded, scale):
    module = graded
    panel = module.panel
    font = panel.font
    font.setPointSizeF(9.0 * scale)
    panel.setFont(font)
    module.widget.controller.refresh()
    size = float(re.search(r"font-size: ([\d.]+)pt", module.ui.decisionLabel.styleSheet)[1])
    assert size == pytest.approx(1.6 * 9 * scale, abs=0.1)


@pytest.mark.parametrize(("points", "width"), [(18, 384), (9, 280)])
def test_nothing_makes_the_panel_wider_than_it_may_be(host, graded, points, width):
    module = graded
    panel = module.panel
    font = panel.font
    font.setPointSizeF(points)
    panel.setFont(font)
    module.ui.mapCheckBox.click()
    host.wait(lambda: module.widget.controller.viewer.run is None, 30)
    module.ui.advancedCollapsibleButton.collapsed = False
    host.pump(0.2)
    assert panel.minimumSizeHint().width() <= width - 16  # the scroll bar's


def test_a_view_says_where_its_sequence_was_not_graded(result):
    from GliomaGradingLib.panel.text import moved_text

    entries = {"T2": {"applied": True, "translation_mm": 12.96}, "FLAIR": {"applied": False}}
    moved = replace(result, registration={"mode": "auto", "sequences": entries})
    assert moved_text(moved, "T2") == "outline and map 13 mm off: T2 was registered"
    assert moved_text(moved, "FLAIR") == moved_text(moved, "T1") == moved_text(result, "T2") == ""
