"""result.dcm and overlay.dcm, where the case came from DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import CaseError
from ..extras import INSTALL_DICOM
from .outputs import DICOM_OVERLAY, DICOM_REPORT

if TYPE_CHECKING:
    from ..explanation import Explanation
    from ..grading import Graded


@dataclass(frozen=True)
class DicomFiles:
    """Contents by name, why there are none ('' where nothing is missing), and keywords of what is malformed."""

    contents: Mapping[str, bytes] = field(default_factory=dict)
    problem: str = ""
    malformed: tuple[str, ...] = ()


def dicom_result_files(graded: Graded, explanation: Explanation | None = None) -> DicomFiles:
    """The structured report and the slices, to be written beside the other results of a case.

    There are none where a sequence did not come from DICOM. What hinders DICOM output (highdicom missing,
    headers of two patients) is no error of the grading: it is said in ``problem``.

    Args:
        explanation: adds each network's evidence to the slices.
    """
    from .dicom_overlay import overlay_bytes
    from .dicom_report import report_bytes
    from .dicom_sources import is_from_dicom, sources_of
    from .display import display_planes

    if not is_from_dicom(graded.case):
        return DicomFiles()
    try:
        sources = sources_of(graded.case)
        display = display_planes(graded.case, graded.result.slices, graded.stack.region)
        contents = {
            DICOM_REPORT: report_bytes(graded.result, sources),
            DICOM_OVERLAY: overlay_bytes(graded.result, sources, display, explanation),
        }
    except CaseError as error:
        # without where: this becomes a warning of the result, and folders may be named after patients
        return DicomFiles(problem=f"no DICOM output: {error.problem}: {error.remedy}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        if _is_of_another_version(error):
            problem = f"no DICOM output: pydicom or highdicom is of a version that is not known ({error})"
            return DicomFiles(problem=f"{problem}: {_UPGRADE}")
        # a source header that breaks the standard: highdicom and pydicom say so in these ways
        problem = f"no DICOM output: the headers of the series do not allow it ({_reason(error)})"
        return DicomFiles(problem=problem)
    return DicomFiles(contents, malformed=sources.malformed)


_UPGRADE = (
    "bring both up to date: in Slicer's Python console "
    'slicer.util.pip_install("--upgrade pydicom highdicom"), '
    f"elsewhere {INSTALL_DICOM} --upgrade"
)


def _is_of_another_version(error: Exception) -> bool:
    """Whether a library lacks an argument or a name that this was written for; neither is of a header."""
    is_argument = isinstance(error, TypeError) and "unexpected keyword argument" in str(error)
    return is_argument or isinstance(getattr(error, "obj", None), ModuleType)


def _reason(error: Exception) -> str:
    """What an error says, unless it may quote a header's value: those may be the patient's."""
    return str(error) if isinstance(error, (AttributeError, KeyError)) else type(error).__name__
