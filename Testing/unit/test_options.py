"""Options that several commands, and the panel, have: the same everywhere."""

from __future__ import annotations

import argparse
import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from GliomaGradingLib.cli import COMMANDS, batch, grade, options, train
from GliomaGradingLib.words import DEVICES, REGISTER_MODES

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_FILE = REPOSITORY / "GliomaGrading" / "GliomaGrading.py"
ONLY_MESSAGES = re.compile(r"Robustness|Troubleshooting")
"""Pages that show options in messages only."""


def actions(command) -> dict[str, argparse.Action]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return {action.dest: action for action in parser._actions}


def test_a_cohort_is_graded_with_the_options_of_a_case():
    one, many = actions(grade), actions(batch)
    for name in ("device", "bundle", "vote", "mask_labels", "register"):
        for what in ("type", "choices", "default", "help"):
            assert getattr(one[name], what) == getattr(many[name], what), (name, what)
    assert actions(train)["device"].choices == one["device"].choices == DEVICES


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_on_a_page(name):
    pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("Resources/*.md"), *REPOSITORY.glob("Resources/*/*.md")]
    text = "".join(page.read_text("utf-8") for page in pages if not ONLY_MESSAGES.search(page.name))
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    made = actions(import_module(f"GliomaGradingLib.cli.{name}")).values()
    assert {one for action in made for one in action.option_strings if one.startswith("--")} <= shown | {
        "--help"
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name):
    made = actions(import_module(f"GliomaGradingLib.cli.{name}"))
    assert [one for one, action in made.items() if not action.help] == []


def test_the_panel_has_the_same_choices():
    """Slicer wants them written out in the module's file."""
    calls = [node for node in ast.walk(ast.parse(MODULE_FILE.read_text("utf-8"))) if isinstance(node, ast.Call)]
    choices = [
        tuple(ast.literal_eval(call.args[0])) for call in calls if getattr(call.func, "id", "") == "Choice"
    ]
    assert {DEVICES, REGISTER_MODES} <= set(choices)


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "x", "", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}"]
)
def test_a_count_is_a_whole_number_of_one_or_more(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no number of 1 or more"):
        options.count(text)


def test_counts_and_labels():
    assert options.count("12") == 12 and options.labels("1,2,4") == (1, 2, 4)
