"""Every message of the program has its entry on the page, and no entry is about a message that is gone."""

from __future__ import annotations

import ast
import re

import pytest

from Testing.messages import GAP, LIBRARY, NOTICE, Message, all_messages, texts
from Testing.troubleshooting_page import PAGE, group_of, page, page_entries, wanted, without_meaning

README = PAGE.parent.parent / "README.md"
COMMAND = "run: python -m Testing.troubleshooting_page, and say on the page what the message means"


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return all_messages()


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_message_has_an_entry_and_every_entry_a_message(messages, text):
    rows = {name: set(table) for name, table in page_entries(text).items()}
    assert rows == {name: set(table) for name, table in wanted(messages).items()}, COMMAND


def test_every_entry_says_what_the_message_means_and_what_to_do(text):
    assert without_meaning(text) == [], COMMAND


def test_what_to_do_is_what_the_program_says(messages, text):
    assert page(text, messages) == text, COMMAND


def test_no_meaning_repeats_its_message(text):
    for table in page_entries(text).values():
        for row in table.values():
            assert row.meaning.lower().rstrip(".") != row.message.lower().rstrip("."), row.message


def test_messages_that_are_known_are_found(messages):
    """The scanner follows constants, helpers, choices, translated texts and texts raised elsewhere."""
    found = {(one.kind, one.key) for one in messages}
    assert {
        ("CaseError", "the tumour mask is empty"),
        ("CaseError", "the file is cut off or damaged"),  # in a helper
        ("UsageError", "there is no case in the layout …"),  # returned by a helper
        ("BundleError", "the weight file is damaged (SHA-256 differs)"),
        ("CaseError", "… covers only … % of the tumour mask"),  # one of two choices
        ("CaseError", "… does not overlap the tumour mask"),
        ("text", "Choose …."),  # translated, in the panel
        ("text", "… not found (… is with contrast and is not taken for T1)"),
        ("text", "labels of the tumour are 1 or more; 0 is background"),
        ("text", "an argument has a null character: give a path without one"),  # printed, and nothing else
        ("text", "…: run again with --debug and report what it prints"),
        ("ProtocolError", "a line is not a JSON object"),
        (NOTICE, "near-boundary"),
        (NOTICE, "…-…-swapped"),
    } <= found


def test_remedies_come_from_where_the_error_is_raised(messages):
    by_problem = {one.problem: one.remedy for one in messages}
    assert by_problem["the weight file is damaged (SHA-256 differs)"].startswith("install GliomaGrading again")
    assert by_problem["the tumour mask is empty"].startswith("draw the tumour")


def test_every_class_of_errors_is_looked_for(messages):
    """A raise of an error class that the scanner saw nothing of would be a hole."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py"))
    raised = set(re.findall(r"raise ([A-Z]\w+)\(", source))
    kinds = {one.kind for one in messages}
    ours = {name for name in raised if re.search(rf"class {name}\((GliomaGrading|Worker)Error\)", source)}
    assert ours and ours <= kinds


def test_texts_of_expressions():
    names = {"what": [ast.parse("'T1' if x else 'T2'", mode="eval").body]}

    def of(code: str) -> list[str]:
        return texts(ast.parse(code, mode="eval").body, names)

    assert of("f'{what} is {n:.0f} mm'") == ["T1 is … mm", "T2 is … mm"]
    assert of("_('{a} of {b}').format(a=1, b=2)") == ["… of …"]
    assert of("f'{a}{b} files'") == ["… files"]
    assert of("unknown()") == [GAP]


def test_a_new_message_is_noticed(messages, text):
    new = Message("reading.imaging", "CaseError", "the image is made of cheese", "use another")
    changed = page(text, [*messages, new])
    assert "the image is made of cheese" in without_meaning(changed)
    assert group_of(new) == "reading"
    assert page(changed, messages) == text  # and taken out again


def test_the_readme_leads_to_the_page():
    assert "(Resources/Troubleshooting.md)" in README.read_text(encoding="utf-8")
