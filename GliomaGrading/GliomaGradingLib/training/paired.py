"""Scores of several methods for the same patients in the same folds, and their paired differences."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..export.tables import csv_table
from ..words import HGG, LGG
from .metrics import SHARES, Figures, Interval, with_intervals
from .study import Predictions

DIGITS = 5


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Out-of-fold probabilities of HGG, a row a (repeat, patient), a column a method; NaN where not run."""

    repeat: np.ndarray
    fold: np.ndarray
    patient: np.ndarray
    grade: np.ndarray
    columns: dict[str, np.ndarray]

    @classmethod
    def of_units(cls, units: Predictions) -> ScoreTable:
        """The rows of a study's patients, sorted by repeat and patient, without columns yet."""
        order = np.lexsort((units.patient, units.repeat))
        repeat, fold, patient, grade = (
            part[order] for part in (units.repeat, units.fold, units.patient, units.grade)
        )
        return cls(repeat, fold, patient, grade, {})

    def added(self, name: str, units: Predictions, scores: np.ndarray) -> ScoreTable:
        """With a column more, of a study of the same folds; it may have fewer repeats.

        Raises:
            UsageError: the other study has other folds, patients or grades.
        """
        place = {key: row for row, key in enumerate(zip(self.repeat, self.patient, strict=True))}
        rows = [place.get(key, -1) for key in zip(units.repeat, units.patient, strict=True)]
        kept = np.flatnonzero(np.array(rows) >= 0)
        mine = np.array(rows)[kept]
        if not len(mine) or (self.fold[mine] != units.fold[kept]).any():
            raise UsageError(f"{name!r} was not run on the same folds", remedy="use the same --folds and seed")
        if (self.grade[mine] != units.grade[kept]).any():
            raise UsageError(f"{name!r} was run with other grades", remedy="run it on the same data")
        column = np.full(len(self.repeat), np.nan)
        column[mine] = scores[kept].round(DIGITS)
        if np.isnan(column[np.isin(self.repeat, self.repeat[mine])]).any():
            raise UsageError(f"{name!r} lacks patients", remedy="run it on the same patients")
        return replace(self, columns={**self.columns, name: column})

    def rows_with(self, names: Iterable[str]) -> np.ndarray:
        """Rows in which all of these methods have a score."""
        return np.flatnonzero(np.all([np.isfinite(self.columns[name]) for name in names], axis=0))

    def figures(
        self, figures_of: Callable[[np.ndarray, np.ndarray], Figures], name: str, draws: int = 1000
    ) -> dict[str, Interval]:
        """A method's figures with their intervals."""
        rows, scores = self.rows_with([name]), self.columns[name]
        return self._intervals(rows, lambda r: figures_of(self.grade[r], scores[r]), draws)

    def difference(
        self,
        figures_of: Callable[[np.ndarray, np.ndarray], Figures],
        first: str,
        second: str,
        draws: int = 1000,
    ) -> dict[str, Interval]:
        """Figures of the first method less the second's, on the repeats that both have."""
        rows, one, other = self.rows_with([first, second]), self.columns[first], self.columns[second]

        def differences(r: np.ndarray) -> Figures:
            ours, theirs = figures_of(self.grade[r], one[r]), figures_of(self.grade[r], other[r])
            return {key: ours[key] - theirs[key] for key in ours}

        return self._intervals(rows, differences, draws, shares=())  # a difference of shares is none

    def csv(self) -> str:
        rows = []
        for row in range(len(self.repeat)):
            values = [column[row] for column in self.columns.values()]
            cells = ["" if np.isnan(value) else f"{value:.{DIGITS}f}" for value in values]
            grade = HGG if self.grade[row] else LGG
            rows.append([self.repeat[row], self.fold[row], self.patient[row], grade, *cells])
        return csv_table(["repeat", "fold", "patient", "grade", *self.columns], rows)

    @classmethod
    def read(cls, path: Path) -> ScoreTable:
        """What ``csv`` wrote."""
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = list(rows[0])[4:]
        return cls(
            repeat=np.array([int(row["repeat"]) for row in rows]),
            fold=np.array([int(row["fold"]) for row in rows]),
            patient=np.array([row["patient"] for row in rows]),
            grade=np.array([int(row["grade"] == HGG) for row in rows]),
            columns={name: np.array([float(row[name] or "nan") for row in rows]) for name in names},
        )

    def _intervals(
        self,
        rows: np.ndarray,
        figures: Callable[[np.ndarray], Figures],
        draws: int,
        shares: Collection[str] = SHARES,
    ) -> dict[str, Interval]:
        return with_intervals(
            lambda chosen: figures(rows[chosen]),
            self.patient[rows],
            draws,
            repeats=self.repeat[rows],
            shares=shares,
        )
