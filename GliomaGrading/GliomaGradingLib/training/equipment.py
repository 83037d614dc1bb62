"""What a training works with, whatever it learns from and by which recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .team import ALONE, Team


@dataclass(frozen=True)
class Equipment:
    """What is the same for every model of a study or a bundle.

    Args:
        pretrained: file of the 2014 network's tensors, where the recipe's backbone needs them.
        device: where this process trains, as torch calls it.
        team: the processes that train together; its first one reads and writes the files.
    """

    pretrained: Path | None = None
    device: str = "cpu"
    team: Team = ALONE


BARE = Equipment()
"""One process on the CPU, and no tensors."""
