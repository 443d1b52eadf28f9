"""A forecast file in the making: parts that any rank writes in any order, and one CF file at the end."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lightning_itwin.forecasts.layout import ForecastLayout
from lightning_itwin.forecasts.target_scale import TargetScale
from lightning_itwin.forecasts.warning_levels import WarningRule


class ForecastFile:
    """Writes a CF-conformant NetCDF or Zarr file of forecasts, in any order, on any number of ranks.

    Every rank writes records of its own (a forecast of one series issued on one day) into a part beside the file;
    :meth:`finish` makes the file of all parts and removes them. A run that was interrupted goes on with the
    records that are missing; one with the same key as the finished file has nothing to do; one with another key
    starts anew, and says so.

    Args:
        path: ends in ``.nc`` or ``.zarr``.
        layout: what the file holds.
        scale: from the standardised anomaly to values of the target.
        key: a digest of everything that the forecasts depend on: weights, settings, data, period.
        part: number of this process, such as its rank.
        rule: when a forecast is a watch, a warning or an alert.

    Raises:
        ValueError: another ending, or a folder at the path that is no Zarr store.
        MissingExtraError: netCDF4 or zarr is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        layout: ForecastLayout,
        scale: TargetScale,
        key: str,
        part: int = 0,
        rule: WarningRule | None = None,
    ) -> None:
        raise NotImplementedError

    def missing(self, series: Tensor, origin: Tensor) -> Tensor:
        """Say which forecasts are still to be made, bool (B,): series (B,), origin (B,) day of issue on the axis."""
        raise NotImplementedError

    def add(
        self, series: Tensor, origin: Tensor, quantiles: Tensor, probability_below: Tensor | None = None
    ) -> None:
        """Take forecasts.

        Args:
            series: (B,) int64.
            origin: index of the day of issue on the time axis, (B,) int64.
            quantiles: of the standardised anomaly, (B, L, Q).
            probability_below: of P20, P10, P5, (B, L, 3); None without an anomaly.

        Raises:
            ValueError: the shapes do not fit the layout.
        """
        raise NotImplementedError

    def close(self) -> None:
        """See everything onto the disk: on every rank, before a barrier and :meth:`finish`."""
        raise NotImplementedError

    def finish(self) -> Path:
        """Make the file of all parts, on one rank alone, after all have closed; give its path.

        Raises:
            ValueError: there is no forecast.
        """
        raise NotImplementedError
