"""What is usual in a cell at a time of the year: mean, spread and drought percentiles; anomalies by them."""

# N cells, n cells of a block, T days, K centres over the year, M percentile levels, W days in a window

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.hydrology.climatology_windows import (
    as_block,
    block_statistics,
    check_record,
    check_settings,
    year_windows,
)

DROUGHT_LEVELS = (0.20, 0.10, 0.05)


class Climatology:
    """Mean, standard deviation and percentiles of one variable, per cell and time of the year.

    Each of K centres, evenly over the year, has the statistics of all values within ``window_days`` of it, in
    all years (a window over the turn of the year is one window). Between centres they are interpolated
    linearly and round the year. Percentiles are Weibull's: a new value lies below the k-th of n with
    probability k / (n + 1).

    A season of a cell in which the variable hardly varies, such as frozen soil, has 1 % of the cell's
    greatest standard deviation over the year. A cell without enough values at a centre, or constant, is
    not ``usable``: its anomalies are NaN, as missing values are.

    Args:
        mean, standard_deviation: (N, K).
        percentiles: (N, K, M).
        levels: of the percentiles, rising, (M,).
        window_days: half the width of the windows.

    Raises:
        ValueError: the shapes do not fit.

    >>> day = torch.arange(3650)
    >>> fraction = (day % 365) / 365
    >>> values = (day % 10).float().expand(2, -1)
    >>> climatology = Climatology.fit(values, fraction)
    >>> cells = torch.tensor([0, 1])
    >>> climatology.anomaly(torch.tensor([4.5, 9.0]), cells, torch.tensor([0.5, 0.5]))
    tensor([0.0000, 1.5628])
    """

    def __init__(
        self,
        mean: Tensor,
        standard_deviation: Tensor,
        percentiles: Tensor,
        levels: Sequence[float],
        window_days: float = 10.0,
    ) -> None:
        self.levels = tuple(float(level) for level in levels)
        if mean.ndim != 2 or mean.shape != standard_deviation.shape:
            raise ValueError(f"(N, K) are wanted: {tuple(mean.shape)}, {tuple(standard_deviation.shape)}.")
        if percentiles.shape != (*mean.shape, len(self.levels)):
            raise ValueError(f"{(*mean.shape, len(self.levels))} is wanted, not {tuple(percentiles.shape)}.")
        self.mean, self.standard_deviation, self.percentiles = mean, standard_deviation, percentiles
        self.window_days = float(window_days)

    @classmethod
    def fit(
        cls, values: Tensor | np.ndarray, year_fraction: Tensor | np.ndarray, **options: Any
    ) -> Climatology:
        """Make the climatology of series that are in memory, (N, T); see :meth:`from_blocks`."""
        return cls.from_blocks([values], year_fraction, **options)

    @classmethod
    def from_blocks(
        cls,
        blocks: Iterable[Tensor | np.ndarray],
        year_fraction: Tensor | np.ndarray,
        levels: Sequence[float] = (0.05, 0.10, 0.20),
        centres: int = 37,
        window_days: float = 10.0,
        least_years: int = 3,
    ) -> Climatology:
        """Make a climatology from blocks of cells, one after the other.

        Args:
            blocks: of values, (n, T) each; NaN is missing. Their cells follow one another in the climatology.
            year_fraction: of every day, from 0 to below 1, in the order of time, (T,).
            levels: of the percentiles, rising.
            centres: K. 37 stand 10 days apart, half a window.
            window_days: half the width of a window.
            least_years: how many years a window must hold.

        Raises:
            ValueError: there are fewer years, or too few values in a window for the outermost level; or a
                shape or setting that cannot be.
        """
        fraction = torch.as_tensor(year_fraction).to(torch.float64).cpu()
        check_settings(fraction, levels, centres, window_days)
        windows = year_windows(fraction, centres, window_days)
        least = check_record(windows, levels, window_days, least_years)
        parts = [
            block_statistics(as_block(block, len(fraction)), windows, levels, (least, least_years))
            for block in blocks
        ]
        if not parts:
            raise ValueError("There is no block of values, so there is no climatology.")
        mean, deviation, percentiles = (torch.cat(part) for part in zip(*parts))
        return cls(mean, deviation, percentiles, levels, window_days)

    @property
    def usable(self) -> Tensor:
        """Which cells have a climatology at every time of the year, bool (N,)."""
        return self.standard_deviation.isfinite().all(-1)

    def __len__(self) -> int:
        return len(self.mean)

    def anomaly(self, values: Tensor, cells: Tensor, year_fraction: Tensor) -> Tensor:
        """Give standardised anomalies: ``(value - mean) / standard deviation`` of cell and time of the year.

        Args:
            values: (B, ...), in the unit of the variable.
            cells: (B,).
            year_fraction: (...) or (B, ...).

        Returns:
            Anomalies, (B, ...).
        """
        place = self._place(cells, year_fraction, values.ndim)
        return (values - self._at(self.mean, *place)) / self._at(self.standard_deviation, *place)

    def value(self, anomaly: Tensor, cells: Tensor, year_fraction: Tensor) -> Tensor:
        """Give the values of standardised anomalies: the inverse of :meth:`anomaly`, with its arguments."""
        place = self._place(cells, year_fraction, anomaly.ndim)
        return anomaly * self._at(self.standard_deviation, *place) + self._at(self.mean, *place)

    def percentile(self, level: float, cells: Tensor, year_fraction: Tensor) -> Tensor:
        """Give a percentile in the unit of the variable, (B, ...).

        Raises:
            ValueError: the climatology has no such level.
        """
        return self._at(
            self.percentiles[..., self._column(level)], *self._place(cells, year_fraction, year_fraction.ndim)
        )

    def thresholds(
        self, cells: Tensor, year_fraction: Tensor, levels: Sequence[float] = DROUGHT_LEVELS
    ) -> Tensor:
        """Give drought thresholds as standardised anomalies, in the order of ``levels``: P20, P10, P5.

        Args:
            cells: (B,).
            year_fraction: (B, ...).
            levels: P of those that the climatology has.

        Returns:
            Thresholds, (B, ..., P).

        Raises:
            ValueError: the climatology has no such level.
        """
        place = self._place(cells, year_fraction, year_fraction.ndim)
        mean, deviation = self._at(self.mean, *place), self._at(self.standard_deviation, *place)
        found = [
            (self._at(self.percentiles[..., self._column(p)], *place) - mean) / deviation for p in levels
        ]
        return torch.stack(found, -1)

    def to(self, device: torch.device | str) -> Climatology:
        """Give the climatology on another device."""
        moved = (part.to(device) for part in (self.mean, self.standard_deviation, self.percentiles))
        mean, deviation, percentiles = moved
        return Climatology(mean, deviation, percentiles, self.levels, self.window_days)

    def state_dict(self) -> dict[str, Tensor]:
        """Give all of it as tensors."""
        return {
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "percentiles": self.percentiles,
            "levels": torch.tensor(self.levels, dtype=torch.float64),
            "window_days": torch.tensor(self.window_days, dtype=torch.float64),
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Climatology:
        """Make a climatology again from its :meth:`state_dict`."""
        mean, deviation = state["mean"], state["standard_deviation"]
        levels, window_days = state["levels"].tolist(), float(state["window_days"])
        return cls(mean, deviation, state["percentiles"], levels, window_days)

    def _column(self, level: float) -> int:
        near = [column for column, known in enumerate(self.levels) if abs(known - level) < 1e-6]
        if not near:
            raise ValueError(
                f"The climatology has the levels {self.levels}, not {level}: fit it with this one."
            )
        return near[0]

    def _place(
        self, cells: Tensor, year_fraction: Tensor, axes: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give cells, centres before and after and the share of the latter, of shapes that broadcast."""
        device, count = self.mean.device, self.mean.shape[1]
        cells = cells.to(device)
        position = year_fraction.to(device, torch.float64) * count
        before = position.floor()
        first = before.long() % count
        share = (position - before).to(self.mean.dtype)
        return cells.reshape(cells.shape + (1,) * (axes - cells.ndim)), first, (first + 1) % count, share

    @staticmethod
    def _at(table: Tensor, cells: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        return torch.lerp(table[cells, first], table[cells, second], share)
