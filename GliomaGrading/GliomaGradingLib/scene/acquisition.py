"""Which sequence a volume node is, by name, DICOM description and, where Slicer has it, DICOM header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import CaseError
from ..reading.dicom_header import agent_in_items
from ..reading.sequence_names import CONTRAST, Reading, read_sequence, sequence_of
from ..result import Notice
from .names import name_of

DESCRIPTION = "0008,103e"
TAGS = {
    "ContrastBolusAgent": "0018,0010",
    "ContrastBolusRoute": "0018,1040",
    "ContrastBolusVolume": "0018,1041",
    "ContrastBolusTotalDose": "0018,1044",
    "AcquisitionContrast": "0008,9209",
    "EchoTime": "0018,0081",
    "RepetitionTime": "0018,0080",
    "InversionTime": "0018,0082",
    "ScanningSequence": "0018,0020",
    "SequenceName": "0018,0024",
    "ImageType": "0008,0008",
}
"""What ``read_sequence`` looks at, and where Slicer's DICOM database has it."""

_FRAMES = "0028,0008"
_CHANGES = ("opened()", "closed()", "databaseChanged()", "seriesAdded(QString)", "seriesRemoved(QString)")

_followed: list[Any] = []
"""The DICOM database whose values are remembered."""


def reading_of(node: Any) -> Reading:
    """What name, description and header of a volume say together."""
    return read_sequence(_texts(node), header_of(node))


def is_sure(node: Any) -> str:
    """T1, T2 or FLAIR where the words say so and the header does not object; ``CONTRAST``; else ''."""
    reading = reading_of(node)
    if reading.sequence == CONTRAST:
        return CONTRAST
    return "" if reading.doubt or not sequence_of(*_texts(node)) else reading.sequence


def doubts(sequences: Mapping[str, Any]) -> tuple[Notice, ...]:
    """What speaks against the volumes that were chosen for the sequences.

    Args:
        sequences: nodes by T1, T2 and FLAIR; None where nothing is chosen.
    """
    chosen = ((name, node) for name, node in sequences.items() if node is not None)
    return tuple(notice for name, node in chosen for notice in _against(name, node))


def header_of(node: Any) -> dict[str, str]:
    """DICOM attributes by keyword; none where the node is not from DICOM, or the database has it no more."""
    found = {keyword: dicom_value(node, tag) for keyword, tag in TAGS.items()}
    if not found["ContrastBolusAgent"] and dicom_value(node, _FRAMES) not in ("", "1"):
        found["ContrastBolusAgent"] = _of_first(node, _agent_in_items)
    return {keyword: value for keyword, value in found.items() if value}


def series_description(node: Any) -> str:
    """The DICOM series description of a volume; '' where it did not come from DICOM."""
    return node.GetAttribute("DICOM.SeriesDescription") or dicom_value(node, DESCRIPTION)


def _against(name: str, node: Any) -> Iterator[Notice]:
    reading, source = reading_of(node), _source(node)
    if reading.sequence == CONTRAST and name == "T1":
        text = _("the volume given as T1 ({volume}) is with contrast by its {source}")
        yield Notice("dicom-t1-contrast", text.format(volume=name_of(node), source=source))
    elif reading.sequence and reading.sequence != name:
        text = _("the volume given as {name} ({volume}) is {sequence} by its {source}")
        named = {"name": name, "volume": name_of(node), "sequence": reading.sequence, "source": source}
        yield Notice("dicom-sequence-doubtful", text.format(**named))
    elif reading.doubt:
        text = _("{volume} is called {name}, but {doubt} ({reason})")
        named = {"volume": name_of(node), "name": name, "doubt": reading.doubt, "reason": reading.reason}
        yield Notice("dicom-sequence-doubtful", text.format(**named))


def _source(node: Any) -> str:
    """What says it: a name alone is less than a header."""
    by_words = sequence_of(*_texts(node))
    return _("name") if by_words and by_words == reading_of(node).sequence else _("DICOM header")


def _texts(node: Any) -> tuple[str, str]:
    return name_of(node), series_description(node)


def dicom_value(node: Any, tag: str) -> str:
    """One attribute of a volume's first image; '' where it is not from DICOM."""
    return _of_first(node, lambda instance: _instance_value(instance, tag))


def _of_first(node: Any, look: Callable[[str], str]) -> str:
    """What is found of a volume's first image; '' where it is not from DICOM."""
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = slicer.app.dicomDatabase() if instances else None
    if database is None:
        return ""
    _follow(database)
    return look(instances[0])


@lru_cache(maxsize=1024)
def _instance_value(instance: str, tag: str) -> str:
    """The database opens the file for what it has not stored; one that is gone, each time with an error."""
    return str(slicer.app.dicomDatabase().instanceValue(instance, tag) or "")


@lru_cache(maxsize=64)
def _agent_in_items(instance: str) -> str:
    """An enhanced object's, which the database does not show; '' where its file is gone or cannot be read."""
    file = str(slicer.app.dicomDatabase().fileForInstance(instance) or "")
    try:
        return agent_in_items(Path(file)) if file else ""
    except CaseError:
        return ""


def _follow(database: Any) -> None:
    """What is remembered is forgotten when this is another database, or has other contents."""
    if any(one is database for one in _followed):
        return
    _followed[:] = [database]
    _forget()
    for signal in _CHANGES:
        database.connect(signal, _forget)


def _forget(*_what: object) -> None:
    _instance_value.cache_clear()
    _agent_in_items.cache_clear()
