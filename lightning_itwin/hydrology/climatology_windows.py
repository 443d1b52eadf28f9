"""Statistics of windows of the year, cell by cell: what a climatology is made of."""

# n cells of a block, T days, K centres over the year, M percentile levels

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

DAYS_PER_YEAR = 365.25
Windows = list[tuple[Tensor, Tensor]]

_EDGE = 1.02  # the tenth day is within 10 days of a centre in years of 360 to 366 days
_LEAST_SPREAD = 0.01  # of the greatest standard deviation over a cell's year
_CELLS_AT_ONCE = 512  # whose values stay in a core's cache


def year_windows(fraction: Tensor, centres: int, window_days: float) -> Windows:
    """Give for every centre the days within its window and the number of the year that each belongs to."""
    found = []
    for centre in range(centres):
        phase = (fraction - centre / centres + 0.5) % 1.0  # 0.5 at the centre, so no window is cut in two
        year = torch.cat([torch.zeros(1, dtype=torch.int64), (torch.diff(phase) < 0).cumsum(0)])
        inside = ((phase - 0.5).abs() * DAYS_PER_YEAR <= _EDGE * window_days).nonzero().squeeze(-1)
        found.append((inside, torch.unique(year[inside], return_inverse=True)[1]))
    return found


def check_settings(fraction: Tensor, levels: Sequence[float], centres: int, window_days: float) -> None:
    """Say so if a climatology cannot have these settings.

    Raises:
        ValueError: times out of the year, levels that do not rise, or windows that leave gaps.
    """
    if fraction.ndim != 1 or not bool(((fraction >= 0) & (fraction < 1)).all()):
        raise ValueError(
            "year_fraction has one axis, time, and lies from 0 to below 1: (day of year - 1) / days."
        )
    rising = all(low < high for low, high in pairwise(levels))
    if not levels or not rising or not 0 < levels[0] <= levels[-1] < 1:
        raise ValueError(f"Levels of percentiles rise between 0 and 1, not {tuple(levels)}.")
    if centres < 1 or not 0 < window_days <= DAYS_PER_YEAR / 2:
        raise ValueError(
            f"1 centre or more, windows up to half a year: not {centres} and {window_days} days."
        )
    if centres > 1 and DAYS_PER_YEAR / centres > 2 * window_days:
        enough = int(np.ceil(DAYS_PER_YEAR / 2 / window_days))
        raise ValueError(
            f"{centres} centres stand {DAYS_PER_YEAR / centres:.1f} days apart, and windows of "
            f"+-{window_days:g} days leave gaps: take {enough} centres or more, or wider windows."
        )


def check_record(windows: Windows, levels: Sequence[float], window_days: float, least_years: int) -> int:
    """Give the least number of values that the outermost percentile needs.

    Raises:
        ValueError: a window has fewer values or years.
    """
    outermost = min(levels[0], 1 - levels[-1])
    least = int(np.ceil(1 / outermost - 1e-9)) - 1
    for centre, (days, year) in enumerate(windows):
        years = int(year.max()) + 1 if len(year) else 0
        if years < least_years or len(days) < least:
            place = centre / len(windows)
            raise ValueError(
                f"The record is too short for a climatology with percentile {100 * outermost:g}: within "
                f"{window_days:g} days of year fraction {place:.3f} it has {len(days)} values "
                f"of {years} years, and {least} values of {least_years} years are needed. Give a longer "
                f"training period, or train without a climatology (anomaly=False)."
            )
    return least


def as_block(values: Tensor | np.ndarray, days: int) -> Tensor:
    """Give values of cells as floating point numbers, (n, T).

    Raises:
        ValueError: another shape.
    """
    if isinstance(values, np.ndarray):  # files give big-endian numbers, and views that cannot be written to
        values = np.require(values, values.dtype.newbyteorder("="), "W")
    block = torch.as_tensor(values)
    if block.ndim != 2 or block.shape[1] != days:
        raise ValueError(f"Blocks are (cells, {days} days of year_fraction), not {tuple(block.shape)}.")
    return block if block.is_floating_point() else block.to(torch.float32)


def block_statistics(
    block: Tensor, windows: Windows, levels: Sequence[float], least: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Give mean and standard deviation (n, K) and percentiles (n, K, M) of values (n, T).

    Args:
        block: values, NaN where missing.
        windows: of all K centres, from :func:`year_windows`.
        levels: of the percentiles, rising, (M,).
        least: numbers of values and of years without which a window of a cell has no statistics.
    """
    parts = [_window_statistics(some, windows, levels, least) for some in block.split(_CELLS_AT_ONCE)]
    mean, deviation, percentiles = (torch.cat(part) for part in zip(*parts))
    return mean, deviation, percentiles


def _window_statistics(
    values: Tensor, windows: Windows, levels: Sequence[float], least: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
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
    """Sort along the last axis; numpy's vector sort is some twenty times as fast as torch's sort."""
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
