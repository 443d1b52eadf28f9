"""What is usual in a cell at a time of the year: mean, spread and drought percentiles; anomalies by them."""

# N cells, n cells of a block, T days, K centres over the year, M percentile levels, W days in a window

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

DROUGHT_LEVELS = (0.20, 0.10, 0.05)
DAYS_PER_YEAR = 365.25
_LEAST_YEARS = 3
_CELLS_AT_ONCE = 512  # whose values stay in a core's cache
_LEAST_SPREAD = 0.01  # of the greatest standard deviation over a cell's year


class Climatology:
    """Mean, standard deviation and percentiles of one variable, per cell and time of the year.

    Each of K centres, evenly over the year, has the statistics of all values within ``window_days`` of it, in
    all years (a window over the turn of the year is one window). Between centres they are interpolated
    linearly and round the year. Percentiles are Weibull's: a new value lies below the k-th of n with
    probability k / (n + 1).

    A season of a cell in which the variable hardly varies, such as frozen soil, has 1 % of the cell's greatest
    standard deviation over the year. A cell without enough values at a centre, or without any variation, is
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
        least_years: int = _LEAST_YEARS,
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
        _check_settings(fraction, levels, centres, window_days)
        windows = _windows(fraction, centres, window_days)
        least = _check_record(windows, levels, window_days, least_years)
        parts = [
            _block_statistics(_block(block, len(fraction)), windows, levels, (least, least_years))
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


def _windows(fraction: Tensor, centres: int, window_days: float) -> list[tuple[Tensor, Tensor]]:
    """Give for every centre the days within its window and the number of the year that each belongs to."""
    found = []
    for centre in range(centres):
        phase = (fraction - centre / centres + 0.5) % 1.0  # 0.5 at the centre, so no window is cut in two
        year = torch.cumsum(
            torch.cat([phase.new_zeros(1), (torch.diff(phase) < 0).to(phase.dtype)]), 0
        ).long()
        inside = ((phase - 0.5).abs() * DAYS_PER_YEAR <= window_days + 1e-6).nonzero().squeeze(-1)
        found.append((inside, torch.unique(year[inside], return_inverse=True)[1]))
    return found


def _check_settings(fraction: Tensor, levels: Sequence[float], centres: int, window_days: float) -> None:
    if fraction.ndim != 1 or not bool(((fraction >= 0) & (fraction < 1)).all()):
        raise ValueError(
            "year_fraction has one axis, time, and lies from 0 to below 1: (day of year - 1) / days."
        )
    rising = all(low < high for low, high in zip(levels, list(levels)[1:]))
    if not levels or not rising or not 0 < levels[0] <= levels[-1] < 1:
        raise ValueError(f"Levels of percentiles rise between 0 and 1, not {tuple(levels)}.")
    if centres < 1 or not 0 < window_days <= DAYS_PER_YEAR / 2:
        raise ValueError(
            f"1 centre or more, windows up to half a year: not {centres} and {window_days} days."
        )
    if centres > 1 and DAYS_PER_YEAR / centres > 2 * window_days:
        raise ValueError(
            f"{centres} centres stand {DAYS_PER_YEAR / centres:.1f} days apart, and windows of +-{window_days:g} "
            f"days leave gaps: {int(np.ceil(DAYS_PER_YEAR / 2 / window_days))} centres or more, or wider windows."
        )


def _check_record(
    windows: list[tuple[Tensor, Tensor]], levels: Sequence[float], window_days: float, least_years: int
) -> int:
    """Say so if the record is too short; give the least number of values that a percentile needs."""
    outermost = min(levels[0], 1 - levels[-1])
    least = int(np.ceil(1 / outermost - 1e-9)) - 1
    for centre, (days, year) in enumerate(windows):
        years = int(year.max()) + 1 if len(year) else 0
        if years < least_years or len(days) < least:
            raise ValueError(
                f"The record is too short for a climatology with percentile {100 * outermost:g}: within "
                f"{window_days:g} days of year fraction {centre / len(windows):.3f} it has {len(days)} values "
                f"of {years} years, and {least} values of {least_years} years are needed. Give a longer "
                f"training period, or train without a climatology (anomaly=False)."
            )
    return least


def _block(values: Tensor | np.ndarray, days: int) -> Tensor:
    block = torch.as_tensor(values)
    if block.ndim != 2 or block.shape[1] != days:
        raise ValueError(f"Blocks are (cells, {days} days of year_fraction), not {tuple(block.shape)}.")
    return block if block.is_floating_point() else block.to(torch.float32)


def _block_statistics(
    block: Tensor, windows: list[tuple[Tensor, Tensor]], levels: Sequence[float], least: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    parts = [_statistics(some, windows, levels, least) for some in block.split(_CELLS_AT_ONCE)]
    mean, deviation, percentiles = (torch.cat(part) for part in zip(*parts))
    return mean, deviation, percentiles


def _statistics(
    values: Tensor, windows: list[tuple[Tensor, Tensor]], levels: Sequence[float], least: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Give mean and deviation (n, K) and percentiles (n, K, M) of values (n, T)."""
    gaps = bool(values.isnan().any())
    found = []
    for days, year in windows:
        window = values.index_select(1, days.to(values.device))
        found.append(_with_gaps(window, year, levels, least) if gaps else _without_gaps(window, levels))
    mean, deviation, percentiles = (torch.stack(part, 1) for part in zip(*found))
    greatest = torch.where(deviation.isnan(), 0.0, deviation).amax(1, keepdim=True)
    noise = 1e-6 * mean.abs().nan_to_num().amax(1, keepdim=True)  # what rounding makes of a constant
    lifted = torch.maximum(deviation, _LEAST_SPREAD * greatest)
    deviation = torch.where(deviation.isnan() | (greatest <= noise), torch.nan, lifted)
    return mean, deviation, percentiles


def _without_gaps(window: Tensor, levels: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    count = window.shape[1]
    deviation, mean = torch.std_mean(window, dim=1)
    rank = [min(max((count + 1) * level, 1.0), float(count)) - 1 for level in levels]
    window = _sorted(window)
    columns = [torch.lerp(window[:, int(r)], window[:, min(int(r) + 1, count - 1)], r - int(r)) for r in rank]
    return mean, deviation, torch.stack(columns, 1)


def _sorted(rows: Tensor) -> Tensor:
    """Sort along the last axis; numpy's vector sort is some twenty times as fast as torch's on a processor."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=-1))
    return rows.sort(dim=-1).values


def _with_gaps(
    window: Tensor, year: Tensor, levels: Sequence[float], least: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    least_values, least_years = least
    present = ~window.isnan()
    count = present.sum(1, keepdim=True)
    per_year = torch.zeros(len(window), int(year.max()) + 1, device=window.device)
    per_year.index_add_(1, year.to(window.device), present.float())
    enough = (count >= least_values) & ((per_year > 0).sum(1, keepdim=True) >= least_years)
    mean = window.nansum(1, keepdim=True) / count
    variance = ((window - mean) ** 2).nansum(1, keepdim=True) / (count - 1).clamp_min(1)
    ordered = _sorted(window)  # NaN comes last
    level = torch.tensor(list(levels), dtype=torch.float64, device=window.device)
    rank = torch.minimum(((count + 1) * level).clamp_min(1), count.clamp_min(1).double()) - 1
    low = rank.floor().long()
    high = torch.minimum(low + 1, (count - 1).clamp_min(0))
    percentiles = torch.lerp(ordered.gather(1, low), ordered.gather(1, high), (rank - low).to(window.dtype))
    missing = torch.where(enough, 0.0, torch.nan).to(window.dtype)
    return (mean + missing).squeeze(1), (variance.sqrt() + missing).squeeze(1), percentiles + missing
