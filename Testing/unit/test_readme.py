"""The README leads nowhere that is not there, and shows no command that would be refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from GliomaGradingLib.cli import _options

from Testing.messages import GAP, all_messages

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", *sorted(f"Resources/{path.name}" for path in (REPOSITORY / "Resources").glob("*.md")))
LINKING = ("README.md", "Resources/Troubleshooting.md", "Resources/ExtensionCatalogue.md")
"""Pages that cannot do without links: none found there means that they are looked for in the wrong way."""

PLACEHOLDER = re.compile(r"@[A-Z]+@|^[A-Z]{2,}$", re.MULTILINE)
"""What stands for a text that is still to come: @WORD@, or a word of capitals alone in its line."""
COMMANDS = re.findall(r"^\.venv/bin/glioma-grading +(.*)$", README, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("http")]
    assert targets or name not in LINKING
    for target in targets:
        path, _hash, anchor = target.partition("#")
        page = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_left_to_be_filled_in(name):
    assert PLACEHOLDER.findall((REPOSITORY / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [("a\n@CLICKS@\n", ["@CLICKS@"]), ("a\n\nMINIMUM\n", ["MINIMUM"]), ("PATH is set\n`HGG`\nA\n", [])],
)
def test_a_placeholder_is_known_when_it_is_seen(text, found):
    assert PLACEHOLDER.findall(text) == found


def shown_commands(page):
    """Every command of ours in a page's blocks of code, as a shell would have it, one line each."""
    text = (REPOSITORY / page).read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            found = re.match(
                r"(?:\$ )?(?:\.venv/bin/)?glioma-grading +(.*)|torchrun .*-m GliomaGradingLib +(.*)", line
            )
            if found:
                yield re.split(r" {3,}| #", found[1] or found[2])[0].replace("[", "").replace("]", "")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one(page):
    for line in shown_commands(page):
        words = shlex.split(line)
        assert _options(words).command == words[0], line


def test_commands_of_pages_are_found():
    found = [line.split()[0] for page in PAGES for line in shown_commands(page)]
    assert {"grade", "batch", "prepare", "train", "evaluate", "sample", "doctor"} <= set(found) and len(
        found
    ) > 30


def test_there_are_commands():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    words = shlex.split(line, comments=True)
    assert _options(words).command == words[0]


def test_make_has_the_targets_that_are_named():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make (?:PYTHON=\S+ )?([a-z]+)", README))
    assert {"demo", "test", "lint", "screenshots"} <= named <= targets


def test_extras_that_are_named_exist():
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for extras in re.findall(r"pip install -e '\.\[([a-z,]+)\]'", README):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_research_use_is_said_before_anything_else():
    assert README.splitlines()[2].startswith("**For research use only.")


def test_the_likeliest_messages_are_messages_of_the_program():
    section = README.split("## Troubleshooting")[1].split("\n## ")[0]
    shown = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert len(shown) == 10
    templates = [re.escape(one.problem).replace(GAP, ".+") for one in all_messages()]
    unknown = [message for message in shown if not any(re.fullmatch(one, message) for one in templates)]
    assert unknown == []


def test_pictures_are_described():
    assert all(len(text.split()) > 3 for text in re.findall(r"!\[([^\]]*)\]", README))
