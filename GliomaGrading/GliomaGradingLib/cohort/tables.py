"""Tables as hospitals and data sets hand them out: CSV with any separator, TSV, Excel."""

from __future__ import annotations

import contextlib
import csv
import fnmatch
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

_SAVE = "save it as 'CSV UTF-8'"
_SEPARATORS = (",", ";", "\t", "|")
_IN_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE = 1_000_000
"""Characters of a table from which its separator is told."""
_SEPARATOR_LINE = re.compile(r"sep=(.)")
"""Excel's own first line, which is none of the table's."""
MAX_BYTES = 200_000_000


@dataclass(frozen=True)
class Table:
    """Rows of text cells by normalised column name.

    Args:
        columns: as written, by normalised name (``who_cns_grade`` for "WHO CNS Grade").
        rows: the number a spreadsheet shows for the row, and its cells; blank rows are left out.
    """

    path: Path
    columns: dict[str, str]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def having(self, patterns: Iterable[str]) -> list[str]:
        """Normalised names of the columns that fit one of the patterns (``*`` is any text), in their order."""
        wanted = map(normalised, patterns)
        fitting = (name for w in wanted for name in self.columns if fnmatch.fnmatchcase(name, w))
        return list(dict.fromkeys(fitting))


def normalised(name: str) -> str:
    """A column's name without case, spaces and punctuation (``*`` stays)."""
    return re.sub(r"[^\w*]+", "_", name.strip().casefold()).strip("_")


def read_table(path: Path) -> Table:
    """Read a table with a head.

    Raises:
        UsageError: it cannot be read, is empty or not in UTF-8, a row is longer than the head, or (Excel)
            openpyxl is not installed.
    """
    rows = _excel(path) if path.suffix.lower() == ".xlsx" else _delimited(path)
    lines = ((number, [cell.strip() for cell in cells]) for number, cells in rows)
    filled = ((number, cells) for number, cells in lines if any(cells))
    head = next(filled, None)
    if head is None:
        raise UsageError("the table is empty", path, "give a table whose first row names its columns")
    names = [normalised(cell) for cell in head[1]]
    _check_unique(path, [name for name in names if name])
    columns = {name: " ".join(cell.split()) for name, cell in zip(names, head[1], strict=True) if name}
    content = ((n, dict(zip(names, [*cells, *[""] * len(names)], strict=False))) for n, cells in filled)
    return Table(path, columns, tuple((n, {k: v for k, v in row.items() if k}) for n, row in content))


def _check_unique(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"the column '{twice[0]}' is there twice", path, "remove one of them")


def _delimited(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = _text(path)
    head = next((line for line in text.splitlines() if line.strip()), "")
    named = _SEPARATOR_LINE.fullmatch(head)
    separator = named[1] if named else max(_SEPARATORS, key=lambda mark: _divisions(text[:_SAMPLE], mark))
    rows = enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1)
    content = ((number, cells) for number, cells in rows if not (named and number == 1))
    try:
        yield from _within_head(content, path, separator)
    except csv.Error as error:
        raise UsageError(f"the table is damaged ({error})", path, _SAVE) from None


def _divisions(text: str, separator: str) -> tuple[int, int]:
    """How often a separator divides the rows, in each at most as often as the head, and how often the head.

    The head alone does not tell: that of a table with tabs may have more commas, within its names.
    """
    width, divisions = 0, 0
    with contextlib.suppress(csv.Error):  # quotes that fit another separator, or the sample's last row
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            if width:
                divisions += max(min(len(cells), width) - 1, 0)
            elif any(map(str.strip, cells)):
                width = len(cells)
    return divisions, width


def _within_head(
    rows: Iterable[tuple[int, list[str]]], path: Path, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Rows that are no longer than the head: else cells behind a divided one are read as the next column's."""
    width = 0
    for number, cells in rows:
        filled = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
        if 1 < width < filled:
            what = _IN_WORDS.get(separator, f"'{separator}'")
            raise UsageError(
                f"row {number} has {filled} cells and the head has {width}",
                path,
                f"put cells with {what} into quotes, and name every column",
            )
        width = width or (len(cells) if filled else 0)
        yield number, cells


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError("the file is too large for a table", path, "give the table of cases")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the table cannot be read ({error.strerror})", path, "check the path") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError("the table is not in UTF-8", path, _SAVE) from None
    if "\0" in text:
        raise UsageError("this is no table of text", path, _SAVE)
    return text


def _excel(path: Path) -> list[tuple[int, list[str]]]:
    """Reads it whole, whatever becomes of the rows: Windows lets nobody save a table that is open here."""
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            "openpyxl, which reads Excel files, is not installed", path, f"pip install openpyxl, or {_SAVE}"
        ) from None
    try:
        with (
            path.open("rb") as stream,
            contextlib.closing(openpyxl.load_workbook(stream, read_only=True, data_only=True)) as book,
        ):
            rows = enumerate(book.worksheets[0].iter_rows(values_only=True), 1)
            return [(number, [_cell(value) for value in cells]) for number, cells in rows]
    except Exception as error:  # openpyxl raises a different one for every way a file can be damaged
        raise UsageError(f"the Excel file cannot be read ({error})", path, _SAVE) from None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
