"""What a batch of windows of gridded series is."""

# B batch, T days of a window, H longest lead, L leads, X dynamic inputs, S static inputs, C context series,
# P drought percentiles, F statistics of an ensemble

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class HydroBatch(NamedTuple):
    """A batch of windows, as a model receives it.

    A forecast made at step ``t`` may use ``dynamic[:, :t + 1]``, ``context[:, :t + 1]``, ``weather[:, :t +
    1]`` and ``target[:, :t + 1]``, never more; ``year_fraction`` and ``thresholds`` are known for every day.

    Args:
        dynamic: standardised inputs, a gap is 0, (B, T, X) float32.
        static: standardised maps at the cell, a gap is 0, (B, S) float32.
        context: means of the domain, (B, T, C) float32; C may be 0.
        year_fraction: (day of year - 1) / days in that year, (B, T + H) float32.
        target: standardised anomaly of the target, or the target standardised over all cells where the data
            module has ``anomaly=False``; NaN where missing or beyond the end of the data, (B, T + H) float32.
        thresholds: P20, P10 and P5 of the cell and the day as standardised anomalies, (B, T + H, P) float32;
            P is 0 for ``anomaly=False``.
        series: which series (a cell in one history of weather), (B,) int64.
        start: index of the window's first day on the time axis; negative where a history is short, (B,)
            int64.
        weather: statistics of a weather forecast issued on each day, standardised, NaN where there is none,
            (B, T, L, F) float32, or None.
    """

    dynamic: Tensor
    static: Tensor
    context: Tensor
    year_fraction: Tensor
    target: Tensor
    thresholds: Tensor
    series: Tensor
    start: Tensor
    weather: Tensor | None
