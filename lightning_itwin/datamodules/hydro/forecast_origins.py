"""ForecastOrigins: which days, and which histories of weather, ``predict`` makes forecasts from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lightning_itwin.datamodules.hydro.day_axis import DayAxis
from lightning_itwin.datamodules.hydro.splits import SplitError


@dataclass(frozen=True, kw_only=True)
class ForecastOrigins:
    """What ``predict`` forecasts.

    Args:
        every: a forecast every so many days of the test period, the last one included; 0 goes by ``dates``.
        dates: days, YYYY-MM-DD, that forecasts are made from; none takes the last day of the data.
        realizations: how many histories of weather are forecast, the first ones; None takes all.

    Raises:
        ValueError: a number is outside its range.
    """

    every: int = 0
    dates: list[str] = field(default_factory=list)
    realizations: int | None = 1

    def __post_init__(self) -> None:
        if self.every < 0 or (self.realizations is not None and self.realizations < 1):
            raise ValueError(
                "every must be at least 0 and realizations at least 1, or null for all, not "
                f"{self.every} and {self.realizations}."
            )

    def days(self, axis: DayAxis, test: tuple[int, int]) -> np.ndarray:
        """Give the days that forecasts are made from, in order, as indices of the time axis.

        Args:
            axis: the time axis.
            test: first day of the test period, and the one after its last; looked at with ``every`` alone.

        Raises:
            SplitError: a day is not in the data.
        """
        if self.every:
            first, end = test
            return np.arange(end - 1, first - 1, -self.every)[::-1].copy()
        if not self.dates:
            return np.array([axis.size - 1])
        days = np.array(sorted({axis.index(date) for date in self.dates}))
        if days[0] < 0 or days[-1] >= axis.size:
            raise SplitError(
                f"forecasts.dates must lie within the data, {axis.text(0)} to {axis.text(axis.size - 1)}, "
                f"not {self.dates}."
            )
        return days
