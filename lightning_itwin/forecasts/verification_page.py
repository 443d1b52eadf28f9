"""The page of a verification: one file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_itwin.forecasts.fan import FanExample
from lightning_itwin.forecasts.layout import ForecastGrid, ForecastTarget
from lightning_itwin.forecasts.scores import VerificationScores
from lightning_itwin.forecasts.warning_levels import WarningRule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class About:
    """What the page says of the forecasts.

    Args:
        title: heading of the page.
        model: in words, such as "DroughtForecaster, LSTM of 128, quantiles, conformal calibration 2011-2014".
        period: of the forecasts that were verified, such as "2015-01-01 to 2018-12-31".
        target: what is forecast.
        rule: when a forecast is a watch, a warning or an alert.
        facts: more lines for the foot of the page by name: data, seeds, versions.
    """

    title: str = "Verification of drought forecasts"
    model: str = ""
    period: str = ""
    target: ForecastTarget = field(default_factory=ForecastTarget)
    rule: WarningRule = field(default_factory=WarningRule)
    facts: Mapping[str, str] = field(default_factory=dict)


def write_verification(
    folder: str | Path,
    scores: VerificationScores,
    about: About,
    grid: ForecastGrid | None = None,
    examples: Sequence[FanExample] = (),
) -> dict[str, Figure]:
    """Write ``verification.html``, ``scores.csv``, ``scores.json`` and ``figures/*.png``, on one rank.

    Args:
        folder: where to; made if needed.
        scores: from :meth:`Verification.compute`.
        about: what the page says of the forecasts.
        grid: for the maps.
        examples: forecasts of single cells for fan charts.

    Returns:
        The figures by name, for TensorBoard: ``writer.add_figure(f"test/{name}", figure, step)``.
    """
    raise NotImplementedError
