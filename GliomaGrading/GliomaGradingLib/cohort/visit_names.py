"""What visits are called: as folders in a patient's folder, and behind a patient's name."""

from __future__ import annotations

import re

_YEAR, _MONTH, _DAY = r"(19|20)\d\d", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_DATE = (
    rf"{_YEAR}[-_. ]{_MONTH}[-_. ]{_DAY}|{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rf"|{_DAY}[-_. ]{_MONTH}[-_. ]{_YEAR}|{_MONTH}[-_. ]{_DAY}[-_. ]{_YEAR}"
)
_TREATMENT = "op|operative|operation|surgery|surgical|treatment|therapy|rt"
_TREATED = rf"(ses-)?(early[-_ ]?)?post[-_ ]?({_TREATMENT})|recurren(ce|t)|relapse"
_AFTER_TREATMENT = re.compile(_TREATED, re.IGNORECASE)
_VISIT = re.compile(
    rf"({_DATE})([-_ t.]?\d\d[-:_.h]?\d\d([-:_.]?\d\d)?)?"
    r"|ses-[a-z0-9]+"
    r"|(session|ses|visit|vis|tp|time([-_ ]?point)?|fu|follow[-_ ]?up)[-_ ]?\d{1,3}"
    r"|(day|week|month|year)[-_ ]?\d{1,4}([-_]\d{1,2})?|\d{1,3}[-_ ]?(days?|weeks?|months?|years?)"
    r"|baseline|base|initial|follow[-_ ]?up"
    rf"|(pre|intra)[-_ ]?({_TREATMENT})|pre|post|{_TREATED}",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(r"((v|t|scan|exam|mri?|study)[-_ ]?)?\d{1,3}|m\d\d", re.IGNORECASE)
_OF_VISITS = re.compile(r"sessions|visits|scans|time[-_ ]?points", re.IGNORECASE)


def is_visit(name: str) -> bool:
    """Whether a folder is called like a date, a session or a visit, and like nothing else."""
    return bool(_VISIT.fullmatch(name))


def may_be_visit(name: str) -> bool:
    """Whether a folder is called as a visit may be, and a patient as well: ``1``, ``scan1``, ``m06``."""
    return bool(_DOUBTFUL.fullmatch(name))


AFTER_TREATMENT = "imaged after treatment, and the models have learned from untreated tumours"
"""Why such a visit is not graded unless it is asked for."""


def is_after_treatment(name: str) -> bool:
    """Whether a visit's name says that the tumour had been operated on or irradiated before."""
    return bool(_AFTER_TREATMENT.fullmatch(name))


def holds_visits(name: str) -> bool:
    """Whether a folder is called like one between a patient's and his visits'."""
    return bool(_OF_VISITS.fullmatch(name))


def split_visit(name: str) -> tuple[str, str]:
    """``P1_2020-01-01`` as P1 and the visit, which may be a doubtful one but no mere number; else two ''."""
    for separator in re.finditer(r"[-_. ]", name):
        patient, visit = name[: separator.start()], name[separator.end() :]
        says_nothing = visit.isdecimal() or visit.lower() in ("t1", "t2")  # a number, or a sequence
        if patient and (is_visit(visit) or (may_be_visit(visit) and not says_nothing)):
            return patient, visit
    return "", ""
