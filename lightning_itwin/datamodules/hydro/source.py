"""What a data set of series offers, whatever layout it is read from."""

# N series, M cells, n series of a block, T days, V columns, S maps

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lightning_itwin.datamodules.hydro.grid import Grid


@dataclass(frozen=True)
class Columns:
    """The columns of a block: inputs, then weather (leads x statistics), then the target.

    Args:
        inputs, statics, weather: names.
        target: name.
        weather_leads: number of leads of the weather forecast.
        units: of inputs, weather and target, as they come out of ``read``; empty where the file says none.
        meanings: what they are by sense, see ``variables.sense``.
        logarithms: inputs that are taken as log(1 + x).
    """

    inputs: tuple[str, ...]
    statics: tuple[str, ...]
    target: str
    weather: tuple[str, ...] = ()
    weather_leads: int = 0
    units: dict[str, str] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    logarithms: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns, V."""
        return len(self.inputs) + self.weather_leads * len(self.weather) + 1

    @property
    def names(self) -> list[str]:
        """Name of the variable in each column, (V,)."""
        return [*self.inputs, *(list(self.weather) * self.weather_leads), self.target]


class CubeSource(Protocol):
    """Where values come from: the user's files, or a converted folder."""

    columns: Columns
    grid: Grid
    statics: np.ndarray  # (M, S) float32

    def read(self, series: np.ndarray, first: int, end: int, out: np.ndarray | None = None) -> np.ndarray:
        """Read values in the variables' units, missing ones as NaN.

        Args:
            series: rising, (n,).
            first, end: the days.
            out: where to put them, (n, T, V) float32.

        Returns:
            (n, T, V) float32.
        """

    def tiles(self, budget_bytes: int) -> Iterator[tuple[np.ndarray, int, int]]:
        """Give series and days of tiles that cover all, each once, in the order that reads fastest."""

    def groups(self) -> list[np.ndarray]:
        """Give the series in groups that are read together best."""

    def reads_per_use(self) -> float:
        """Say how often all values are read when they are read group by group over all days."""
