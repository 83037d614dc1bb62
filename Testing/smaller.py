"""Pictures for the repository in 256 colours: ``python -m Testing.smaller PNG ...``, a quarter of the bytes."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

COLOURS = 256


def shrink(path: Path) -> None:
    """Rewrite a PNG with a palette, unless it has one."""
    with Image.open(path) as picture:
        if picture.mode == "P":
            return
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        shrink(Path(name))
