"""Folder names for cases whose identifiers may hold anything."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 100
"""Characters; four bytes each at most in UTF-8, and names may have 255 bytes."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def folder_names(identifiers: Iterable[str]) -> list[str]:
    """A folder name for each case, all different even where a file system ignores case and accents' form.

    An identifier that is a plain name is its own folder name; any other gets a part of its SHA-256 behind it.
    """
    names, taken = [], set()
    for identifier in identifiers:
        name = _plain(identifier)
        if name != identifier or _key(name) in taken:
            name = f"{name}-{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
        taken.add(_key(name))
        names.append(name)
    return names


def _plain(identifier: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_. +=@" or _is_accent(c) else "_" for c in identifier)
    name = name[:_LONGEST].strip(" .")
    while len(name.encode("utf-8", "replace")) > 2 * _LONGEST:
        name = name[:-1]
    return f"case-{name}" if not name or name.startswith("-") or _RESERVED.match(name) else name


def _is_accent(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
