"""What the report says of a result: by which rule, of what, and why no grade is stood for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from GliomaGradingLib import wording
from GliomaGradingLib.case import Case
from GliomaGradingLib.cli import main
from GliomaGradingLib.cli.grade import summary
from GliomaGradingLib.doubts import DOUBTFUL, are_inputs_doubted, reasons
from GliomaGradingLib.export import pictures, telling
from GliomaGradingLib.export.evidence_picture import evidence_png
from GliomaGradingLib.export.reliability import figures_note, prevalence_text, reliability_of
from GliomaGradingLib.export.report import report_html
from GliomaGradingLib.networks.bundle import open_bundle
from GliomaGradingLib.result import GradeResult, Notice
from GliomaGradingLib.volume import Volume
from GliomaGradingLib.words import DISCLAIMER, SEQUENCES
from test_export import Reader, result, square_display  # noqa: F401  # a fixture
from test_report_pictures import REGION, explanation

CLOSE = Notice("models-at-odds", "Indeterminate: 2 of 3 sequences vote HGG, but the probability is 0.37.")
DOUBT = Notice("t1-bright", "Indeterminate: the tumour is brighter than its surroundings on T1.")
TAUGHT = Notice("taught-the-models", "this case is named like a patient that taught the models")
METADATA = {
    "reliability": [{"low": 0.8, "high": 1.0, "patients": 40, "hgg": 36}],
    "training": {"patients": 156, "HGG": 97, "LGG": 59},
    "card": "Resources/ModelCard.md",
}


def page_text(result: GradeResult, **more: object) -> str:  # noqa: F811
    return Reader(report_html(result, {}, **more)).text  # type: ignore[arg-type]


def held_back(result: GradeResult, *warnings: Notice) -> GradeResult:  # noqa: F811
    return replace(result, decision="indeterminate", warnings=warnings)


# ---------------------------------------------------------------- the vote


def test_a_soft_vote_is_told_as_one(result: GradeResult) -> None:  # noqa: F811
    soft = replace(result, grade="LGG", decision="LGG", vote="soft")
    assert telling.vote_summary(soft) == "Vote by mean probability: LGG (1 of 3 sequences votes LGG)"
    assert telling.vote_summary(result) == "2 of 3 sequences vote HGG"
    text = page_text(soft)
    assert "LGG vote by mean probability (1 of 3 sequences votes LGG)" in text
    assert "that of the mean of their probabilities, 0.64." in text
    assert "rule of the vote soft: the grade of the mean of the three sequences' probabilities" in text
    assert "mean of their probabilities" not in page_text(result)


def test_the_terminal_has_the_words_of_the_report(result: GradeResult) -> None:  # noqa: F811
    votes = (replace(result.votes[0], probability_hgg=0.9971), *result.votes[1:])
    below = replace(result.slices, positions_mm=tuple(height - 200.0 for height in result.slices.positions_mm))
    soft = replace(result, grade="LGG", vote="soft", probability_hgg=0.003, votes=votes, slices=below)
    text = summary(replace(soft, warnings=(Notice("x", "the mask is small"),)), reliability="Of 40 patients")
    assert "Grade        LGG\nVote         Vote by mean probability: LGG (1 of 3 sequences votes LGG)" in text
    assert "Probability  < 0.01 of HGG" in text and "HGG   > 0.99" in text
    assert "Slices       I 240 to I 221 mm; largest tumour area " in text
    assert "Warning      The mask is small.\n" in text and "Reliability  Of 40 patients\n" in text


def test_the_terminal_says_how_often_only_where_the_report_does(result, tmp_path, monkeypatch, capsys):  # noqa: F811
    doubted = held_back(result, DOUBT)
    detail = SimpleNamespace(result=doubted)
    grader = SimpleNamespace(bundle=SimpleNamespace(metadata=METADATA), gradeInDetail=lambda *_: detail)
    monkeypatch.setattr(GradeResult, "afterReading", lambda self, seconds: self)
    monkeypatch.setattr("GliomaGradingLib.case.Case.read", lambda *_, **__: None)
    monkeypatch.setattr("GliomaGradingLib.grading.Grader.load", lambda *_: grader)
    assert main(["grade", str(tmp_path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Reliability")]
    assert told == ["Reliability  How often test patients had HGG does not apply: the inputs are doubtful."]


def test_how_sequences_were_registered_is_told(result: GradeResult) -> None:  # noqa: F811
    for mode, told in (("never", "registration never: no sequence is moved"), ("other", "registration other")):
        assert told in page_text(replace(result, registration={"mode": mode}))
    assert "registration" not in page_text(result)


# ---------------------------------------------------------------- what was graded


def test_how_much_of_the_tumour_was_seen(result: GradeResult) -> None:  # noqa: F811
    text = page_text(replace(result, seen_ml=31.05))
    assert "The networks saw 31.1 ml (50 %) of the tumour." in text
    assert "seen by the networks 31.1 ml (50 %) of the tumour" in text
    assert "networks saw" not in page_text(result), "results from before do not tell"


def test_a_speck_of_a_tumour_is_not_nothing(result: GradeResult, monkeypatch) -> None:  # noqa: F811
    """8e-6 ml is a voxel of 0.2 mm."""
    volumes = (62.14, 0.05, 0.049, 8e-6, 0.0)
    told = [wording.volume_text(volume) for volume in volumes]
    assert told == ["62.1 ml", "0.1 ml", "< 0.1 ml", "< 0.1 ml", "0.0 ml"]
    speck = replace(result, tumour_ml=8e-6, seen_ml=8e-6)
    assert "Tumour       < 0.1 ml\n" in summary(speck)
    page = page_text(speck)
    assert "< 0.1 ml" in page and "The networks saw < 0.1 ml (100 %) of the tumour." in page
    assert "0.0 ml" not in page
    drawn: list[str] = []
    monkeypatch.setattr(pictures, "fitted", lambda text, *_: drawn.append(text) or text)
    pictures.slices_picture(square_display(), speck)
    assert [text for text in drawn if "tumour < 0.1 ml " in text]


def small_case(**changes: object) -> Case:
    volumes = {
        name: Volume(np.zeros((1, 1, 1)), (1, 1, 1), (0, 0, 0), np.eye(3), f"/data/Doe_John/{name}.nii.gz")
        for name in (*SEQUENCES, "mask")
    }
    mask = volumes.pop("mask")
    return replace(Case("a", volumes, mask), **changes)  # type: ignore[arg-type]


def test_files_are_named_and_no_folder_is(result: GradeResult) -> None:  # noqa: F811
    inputs = list(telling.graded_inputs(small_case(maskLabels=(1, 4))))
    assert inputs == [
        ("T1", "T1.nii.gz"),
        ("T2", "T2.nii.gz"),
        ("FLAIR", "FLAIR.nii.gz"),
        ("tumour mask", "mask.nii.gz (labels 1, 4)"),
    ]
    text = page_text(result, inputs=inputs)
    assert "T1 T1.nii.gz T2 T2.nii.gz FLAIR FLAIR.nii.gz tumour mask mask.nii.gz (labels 1, 4)" in text
    assert "Doe" not in text and "&lt;b&gt;" in report_html(result, {}, inputs=[("T1", "<b>")])
    assert dict(telling.graded_inputs(small_case()))["tumour mask"] == "mask.nii.gz"


def test_the_labels_that_were_chosen_stay_known(tmp_path: Path) -> None:
    from small_head import volumes

    given = volumes()
    case = Case.fromArrays(
        **{name.lower(): given[name] for name in SEQUENCES}, mask=given["mask"], maskLabels=1
    )
    assert case.maskLabels == (1,)


# ---------------------------------------------------------------- no grade, and how often one was right


def test_why_no_grade_is_stood_for(result: GradeResult) -> None:  # noqa: F811
    thin, doubtful = "but the evidence is too thin to stand for it", "but the input is doubtful"
    for warnings, told in (((CLOSE,), thin), ((), thin), ((DOUBT,), doubtful), ((CLOSE, DOUBT), doubtful)):
        assert f"the vote is HGG, {told}" in page_text(held_back(result, *warnings))
    for code in DOUBTFUL:
        assert are_inputs_doubted(held_back(result, Notice(code, "check both")))
    assert reasons(replace(result, warnings=(CLOSE,))) == [], "a grade is stood for"


def test_how_often_is_said_only_of_inputs_like_those_of_the_test_patients(result: GradeResult) -> None:  # noqa: F811
    known = "Of 40 test patients with a probability of 0.8 to 1.0, 90 % had HGG (95 % interval 77 to 96 %)."
    assert reliability_of(result, METADATA) == known
    assert reliability_of(held_back(result, CLOSE), METADATA) == known
    doubted = reliability_of(held_back(result, CLOSE, DOUBT), METADATA)
    assert doubted == "How often test patients had HGG does not apply: the inputs are doubtful."
    taught = reliability_of(replace(result, warnings=(TAUGHT,)), METADATA)
    assert "does not apply: this case is named like a patient that taught the models" in taught


def test_figures_say_whom_they_are_of() -> None:
    note = figures_note(METADATA)
    assert "the share of HGG among those patients was 62 % (97 of 156)." in note
    assert note.endswith("patients of other collections stands in the model card (Resources/ModelCard.md).")
    for patients, hgg in ((0, 0), (3, "x"), (3, 9), (None, 1)):
        assert prevalence_text({"training": {"patients": patients, "HGG": hgg}}) == ""
    for training in (None, {}, 3):
        assert prevalence_text({"training": training}) == ""
    assert "share of HGG" not in figures_note({})


def test_the_shipped_bundle_tells_the_share_of_its_patients(result: GradeResult) -> None:  # noqa: F811
    bundle = open_bundle(None).metadata
    text = page_text(result, card=bundle["figures"], measured=figures_note(bundle))
    assert "was 62 % (97 of 156)" in text and "model card" in text


# ---------------------------------------------------------------- one set of words


def test_places_and_probabilities_are_told_as_in_the_panel() -> None:
    assert [wording.height_text(s) for s in (4.4, -18.2, -0.2, 0.0)] == ["S 4", "I 18", "S 0", "S 0"]
    assert telling.slice_text(10, [90.0 + k for k in range(20)]) == "11 of 20 (S 100 mm)"
    told = [wording.probability_text(p) for p in (0.358, 0.9951, 1.0, 0.004, 0.0)]
    assert told == ["0.36", "> 0.99", "> 0.99", "< 0.01", "< 0.01"]
    assert [wording.probability_text(p, 3) for p in (0.9994, 0.9996, 0.0004)] == ["0.999", "> 0.999", "< 0.001"]


def test_no_probability_is_rounded_across_a_threshold() -> None:
    """HGG is from one half on; at the ends of the band without a decision there is one."""
    told = {p: wording.probability_text(p) for p in (0.496, 0.5, 0.504, 0.396, 0.4, 0.404, 0.596, 0.6, 0.604)}
    assert list(told.values()) == [
        *("< 0.50", "0.50", "0.50"),
        *("0.40", "0.40", "> 0.40"),
        *("< 0.60", "0.60", "0.60"),
    ]
    assert wording.probability_text(0.49996, 3) == "< 0.500"
    assert wording.probability_text(0.697, undecided=(0.3, 0.7)) == "< 0.70"
    assert wording.probability_text(0.596, undecided=(0.3, 0.7)) == "0.60"
    assert [wording.threshold_text(t) for t in (0.4, 0.335)] == ["0.40", "0.335"]


def test_no_code_stands_among_words_for_people(result: GradeResult) -> None:  # noqa: F811
    page = report_html(replace(result, warnings=(TAUGHT,)), {})
    assert 'data-code="taught-the-models"' in page and "taught-the-models" not in Reader(page).text
    assert "This case is named like a patient that taught the models." in Reader(page).text


def test_names_beyond_the_most_are_counted() -> None:
    assert wording.some_of(["a", "b", "c"]) == "a, b, c" and wording.some_of([]) == ""
    assert wording.some_of("abcde", 2, " = ") == "a = b and 3 more"


@pytest.mark.parametrize("text", ["T1 is off", "T1 is off.", "FLAIR is off", "b2_flair is off"])
def test_names_keep_their_letters(text: str) -> None:
    assert wording.sentence(text) == text.rstrip(".") + "."


def test_what_it_is_not_for_stands_beside_the_grade(result: GradeResult) -> None:  # noqa: F811
    page = report_html(result, {})
    banner = page[page.index('<div class="banner') : page.index("<h2>Votes")]
    assert DISCLAIMER in banner
    assert f'@bottom-left{{content:"{DISCLAIMER}"' in page


def test_what_is_outside_the_corners_is_said_to_be_unseen(
    result: GradeResult,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from GliomaGradingLib.export import evidence_picture

    assert "Outside them: not looked at." in Reader(report_html(result, {"saliency": b"png"})).text
    written: list[str] = []
    monkeypatch.setattr(evidence_picture, "write_text", lambda *given, **_: written.append(given[2]))
    evidence_png(square_display(region=REGION), explanation(), result)
    assert any("clear within the blue corners: little of either" in text for text in written)
    assert any("Outside the blue corners: not looked at." in text for text in written)
