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
        for pid in _read(task / "children").split():
            if (stat := _read(Path(f"/proc/{pid}/stat"))) and pid not in but:
                found[pid] = stat.rsplit(")", 1)[1].split()[0]
    return found


def _read(path: Path) -> str:
    """'' where the process or the thread has ended since it was listed."""
    try:
        return path.read_text()
    except OSError:
        return ""
