"""The processes that this one has begun and not yet seen the end of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def children(but: Iterable[str] = ()) -> dict[str, str]:
    """States of this process's children by process id: S sleeping, R running, Z for a zombie.

    Args:
        but: those that are left out.
    """
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue  # it has ended
            if pid not in but:
                found[pid] = state
    return found
