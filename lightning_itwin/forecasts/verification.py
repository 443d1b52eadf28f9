"""Verification that accumulates: forecasts and what came, batch by batch, on every rank."""

# B batch, L leads, Q levels, P drought percentiles

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lightning_itwin.forecasts.scores import VerificationScores


class Verification(nn.Module):
    """Scores quantile forecasts against what came and against reference forecasts, per lead, season and cell.

    Memory is bounded: all states are sums and histograms. Under DDP every rank updates with its own forecasts, and
    :meth:`compute`, called on every rank, gives the scores of all.

    Args:
        levels: of the quantiles, rising, (Q,); one level is a point forecast.
        leads: days ahead, (L,).
        cells: number of cells M for maps of skill; None: no maps. Series s belongs to cell s % M.
        map_leads: leads that get a map; None: up to four, spread over the leads.
        percentiles: drought percentiles of thresholds and probabilities, (P,); empty without.
        references: names of the reference forecasts that ``update`` takes.
    """

    def __init__(
        self,
        levels: Sequence[float],
        leads: Sequence[int],
        cells: int | None = None,
        map_leads: Sequence[int] | None = None,
        percentiles: Sequence[int] = (20, 10, 5),
        references: Sequence[str] = ("climatology", "damped_persistence"),
    ) -> None:
        super().__init__()
        raise NotImplementedError

    def update(
        self,
        *,
        quantiles: Tensor,
        target: Tensor,
        series: Tensor,
        origin: Tensor,
        year_fraction: Tensor,
        probability_below: Tensor | None = None,
        thresholds: Tensor | None = None,
        references: Mapping[str, Tensor] | None = None,
        state: Tensor | None = None,
        median_value: Tensor | None = None,
        target_value: Tensor | None = None,
    ) -> None:
        """Add a batch of forecasts; what came and is NaN is left out.

        Args:
            quantiles: of the standardised anomaly, (B, L, Q).
            target: what came, (B, L).
            series: (B,) int64.
            origin: day of issue on the time axis, (B,) int64; the latest of all is "today" on the page.
            year_fraction: of the valid days, (B, L).
            probability_below: of the drought percentiles, (B, L, P).
            thresholds: drought percentiles on the valid days, as standardised anomalies, (B, L, P).
            references: quantiles of the reference forecasts at the same levels by name, (B, L, Q).
            state: the standardised anomaly observed on the day of issue, (B,), NaN where it is missing.
            median_value: the median in the unit of the target, (B, L): ``scale.values(median, series, days)``.
            target_value: what came in the unit of the target, (B, L).

        Raises:
            ValueError: the shapes do not fit.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError

    def compute(self) -> VerificationScores:
        """Give the scores of all ranks; a collective call."""
        raise NotImplementedError
