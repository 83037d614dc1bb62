"""What nodes and segments are called."""

from __future__ import annotations

from typing import Any


def name_of(named: Any) -> str:
    """The name of a node or a segment; '' where it has none.

    VTK gives bytes where a name is no UTF-8, as files from other programs have them; those are mostly Latin-1.
    """
    name = named.GetName()
    return name.decode("latin-1") if isinstance(name, bytes) else name or ""
