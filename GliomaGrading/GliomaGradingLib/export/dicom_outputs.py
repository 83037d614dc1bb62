"""result.dcm and overlay.dcm, where the case came from DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CaseError, UsageError
from .files import all_or_nothing

if TYPE_CHECKING:
    from ..explanation import Explanation
    from ..grading import Graded

REPORT, OVERLAY = "result.dcm", "overlay.dcm"


@dataclass(frozen=True)
class Written:
    """The files that were written, and why others were not ('' where nothing is missing)."""

    paths: tuple[Path, ...] = ()
    problem: str = ""


def write_dicom_outputs(graded: Graded, folder: Path, explanation: Explanation | None = None) -> Written:
    """Write the structured report and the slices beside the other results of a case.

    Nothing happens where a sequence did not come from DICOM. What hinders DICOM output (highdicom missing,
    headers of two patients) is no error of the grading: it is said in ``problem``.

    Args:
        folder: exists already.
        explanation: adds each network's evidence to the slices.

    Raises:
        UsageError: the files cannot be written.
    """
    from .dicom_overlay import overlay_bytes
    from .dicom_report import report_bytes
    from .dicom_sources import is_from_dicom, sources_of
    from .display import display_planes

    if not is_from_dicom(graded.case):
        return Written()
    try:
        sources = sources_of(graded.case)
        display = display_planes(graded.case, graded.result.slices, graded.stack.region)
        contents = {
            REPORT: report_bytes(graded.result, sources),
            OVERLAY: overlay_bytes(graded.result, sources, display, explanation),
        }
    except CaseError as error:
        return Written(problem=f"no DICOM output: {error}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # a source header that breaks the standard: highdicom and pydicom say so in these ways
        return Written(problem=f"no DICOM output: the headers of the series do not allow it ({error})")
    try:
        with all_or_nothing(folder) as write:
            for name, data in contents.items():
                write(name, data)
    except OSError as error:
        raise UsageError(
            f"the DICOM result cannot be written ({error.strerror})",
            folder,
            "choose a folder that you may write to",
        ) from error
    return Written(tuple(folder / name for name in contents))
