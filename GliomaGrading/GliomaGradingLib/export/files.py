"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write a file beside its place and move it there, so that no reader ever sees half of it.

    Text is UTF-8 with the line ends that it has. The folder must exist. What stood there before stays
    if anything fails, and nothing else is left behind.

    Raises:
        OSError: as the file system says.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    part = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}.part"
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
