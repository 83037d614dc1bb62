"""Keeps Resources/Troubleshooting.md in step with the messages of the program.

``python -m Testing.troubleshooting_page`` puts new messages into the page, takes old ones out, and renews what
to do from where the message is raised. What a message means is written by hand, in the page's middle column;
the command names the ones that still lack it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from .messages import NOTICE, REPOSITORY, Message, all_messages

PAGE = REPOSITORY / "Resources" / "Troubleshooting.md"
TABLE = re.compile(r"(<!-- messages: ([a-z ]+) -->\n)(.*?)(<!-- /messages -->)", re.DOTALL)
WARNINGS = "warnings"
HEADING = "| message | what it means | what to do |\n|---|---|---|\n"
ONE_FOR_ALL = {
    "ProtocolError": (
        "Slicer (or the batch) and its grading process did not understand each other.",
        "Start Slicer again; if it comes back, install the module again and report it with this message.",
    )
}
"""What is said of every message of a kind: nobody but a developer can tell them apart."""

GROUPS = {
    "reading": r"reading\.(?!dicom_|sequence)|networks\.images|volume|case_files|case$|cohort\.layouts\.base",
    "mask and images": r"case_checks|preparation|familiarity|grid|coarse|explanation|networks\.saliency",
    "dicom": r"reading|export\.dicom",
    "cohorts": r"cohort|cli\.batch|training\.recalibration",
    "bundle": r"networks|cli\.models",
    "training": r"training|cli\.(prepare|train|evaluate)",
    "slicer": r"scene|panel",
    "grading process": r"worker",
    "options": r"",
}
"""The page's tables, each with the modules whose errors it has; the first that fits counts."""


@dataclass(frozen=True)
class Entry:
    """A row of the page."""

    message: str
    meaning: str
    remedy: str

    def __str__(self) -> str:
        cells = (f"`{self.message}`", self.meaning, self.remedy)
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def group_of(message: Message) -> str:
    if message.kind == NOTICE:
        return WARNINGS
    return next(name for name, modules in GROUPS.items() if re.match(modules, message.module))


def wanted(messages: list[Message]) -> dict[str, dict[str, list[Message]]]:
    """Messages by table and by what stands in the row's first cell."""
    tables: dict[str, dict[str, list[Message]]] = {name: {} for name in (*GROUPS, WARNINGS)}
    for message in messages:
        tables[group_of(message)].setdefault(message.key, []).append(message)
    return tables


def entries(table: str) -> dict[str, Entry]:
    """The rows of a table by message."""
    found = {}
    for line in table.splitlines():
        cells = [cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 5 and cells[1].startswith("`"):
            message = cells[1].strip("`")
            found[message] = Entry(message, cells[2], cells[3])
    return found


def page_entries(text: str) -> dict[str, dict[str, Entry]]:
    return {found[2]: entries(found[3]) for found in TABLE.finditer(text)}


def entry(message: str, places: list[Message], old: Entry | None) -> Entry:
    """A row: what to do from where it is raised, else as it was written by hand."""
    meaning, remedy = (old.meaning, old.remedy) if old else ("", "")
    if places[0].kind in ONE_FOR_ALL:
        return Entry(message, *ONE_FOR_ALL[places[0].kind])
    told = list(dict.fromkeys(place.remedy for place in places if re.search(r"\w", place.remedy)))
    return Entry(message, meaning, _sentence("; or: ".join(told)) if told else remedy)


def page(text: str, messages: list[Message]) -> str:
    """The page with its tables brought up to date."""
    tables, old = wanted(messages), page_entries(text)
    known = {key: one for rows in old.values() for key, one in rows.items()}

    def table(found: re.Match[str]) -> str:
        rows = (str(entry(key, places, known.get(key))) for key, places in tables[found[2]].items())
        return found[1] + HEADING + "".join(rows) + found[4]

    return TABLE.sub(table, text)


def without_meaning(text: str) -> list[str]:
    """Messages on the page that say too little: no meaning, or nothing to do."""
    rows = (one for table in page_entries(text).values() for one in table.values())
    return [one.message for one in rows if not one.meaning or not one.remedy]


def _sentence(text: str) -> str:
    first = text if text.startswith(("pip ", "--")) else text[:1].upper() + text[1:]
    return first if first.endswith((".", "…")) else f"{first}."


def main() -> int:
    text = page(PAGE.read_text(encoding="utf-8"), all_messages())
    PAGE.write_text(text, encoding="utf-8")
    lacking = without_meaning(text)
    for message in lacking:
        print(f"say in {PAGE.name} what this means and what to do: {message}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    raise SystemExit(main())
