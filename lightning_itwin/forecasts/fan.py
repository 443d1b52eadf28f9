"""One forecast of one cell, to look at."""

# D days of the past, L leads, Q levels

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class FanExample:
    """One forecast of one cell with its past and, where it is known, what came.

    Args:
        title: such as "47.2° N, 11.4° E, issued 2003-07-01".
        past: observed standardised anomalies up to the day of issue, which is the last, (D,); NaN is a gap.
        leads: days ahead, (L,).
        levels: of the quantiles, (Q,).
        quantiles: of the standardised anomaly, (L, Q).
        truth: what came on every day from 1 to the longest lead, (longest lead,), or None.
        thresholds: P20, P10 and P5 on the days of past and forecast, (D + longest lead, 3), or None.
        issued: date of issue, datetime64[D], or None: the axis then counts days from issue.
        unit: of all values.
    """

    title: str
    past: np.ndarray
    leads: np.ndarray
    levels: np.ndarray
    quantiles: np.ndarray
    truth: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    issued: np.datetime64 | None = None
    unit: str = "standardised anomaly"
