"""The folder that a graded case leaves behind: result.json, report.html, slices.png."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .files import write_atomically
from .pictures import Display, display_planes, slices_picture
from .report import report_html

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..grading import Graded

PICTURE = "slices.png"


def write_result_folder(folder: Path, graded: Graded, bundle: Bundle) -> None:
    """Write a case's files; everything is made before the first file is written.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    display = display_of(graded)
    picture = slices_picture(display, graded.result)
    card = bundle.metadata.get("figures")
    report = report_html(graded.result, {PICTURE: picture}, card, synthetic=display.synthetic)
    contents: dict[str, str | bytes] = {
        "result.json": graded.result.toJson(),
        "report.html": report,
        PICTURE: picture,
    }
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            written.append(write_atomically(folder / name, content))
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise UsageError(
            f"the result cannot be written ({error.strerror})", folder, "choose a folder that you may write to"
        ) from error


def display_of(graded: Graded) -> Display:
    """The planes to show of a graded case, with the region that the networks saw."""
    return display_planes(graded.case, graded.result.slices, graded.stack.region)
