"""What a forecast tells: rows, intervals, knees, winners, and the curve between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_itwin.reports.statistics import Interval
from lightning_itwin.reports.table import number, with_interval


@dataclass(frozen=True, kw_only=True)
class ForecastRow:
    """One row of ``forecast.json``: a strategy on a number of workers.

    Args:
        strategy: strategy string.
        workers: number of workers.
        epoch_time_s: median of the forecast.
        low_s, high_s: bounds that hold the true time in 90 of 100 cases.
        efficiency: parallel efficiency against the smallest measured number of workers; that is 1 where 1 was
            measured.
        energy_kwh: of one run of as many epochs as were measured, as in the results; None without any.
        extrapolated: whether it lies outside what was measured.
    """

    strategy: str
    workers: int
    epoch_time_s: float
    low_s: float
    high_s: float
    efficiency: float
    energy_kwh: float | None
    extrapolated: bool


FORECAST_COLUMNS = tuple(column.name for column in dataclasses.fields(ForecastRow))


@dataclass(frozen=True, kw_only=True)
class ForecastCell:
    """A row with everything else that is known of it.

    Args:
        row: what stands in ``forecast.json``.
        efficiency: with its interval.
        energy_kwh: of a run, with its interval; None where no energy was measured.
        worker_hours: workers times hours of training of a run, with their interval; the cost where an hour of
            a worker has a price.
        fastest: probability that no other strategy is faster on as many workers, 0-1.
    """

    row: ForecastRow
    efficiency: Interval
    energy_kwh: Interval | None
    worker_hours: Interval
    fastest: float


@dataclass(frozen=True, kw_only=True)
class Knee:
    """Where more workers of a strategy begin to cost more than they bring.

    Args:
        strategy: strategy string.
        workers: median of the knee, with its bounds; each is at most ``reach``.
        reach: farthest number of workers that a forecast may look at.
    """

    strategy: str
    workers: Interval
    reach: int

    @property
    def line(self) -> str:
        """The knee in words."""
        low, high = self.workers.low or 1, self.workers.high or self.reach
        if low >= self.reach:
            return f"{self.strategy}: beyond {self.reach} workers"
        upper = f"more than {self.reach}" if high >= self.reach else f"{high:.0f}"
        if self.workers.value >= self.reach:
            return f"{self.strategy}: probably beyond {self.reach} workers (at least {low:.0f})"
        return f"{self.strategy}: about {self.workers.value:.0f} workers ({low:.0f} to {upper})"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A point of the curve of a strategy, for its figure.

    Args:
        strategy: strategy string.
        workers: number of workers.
        epoch_time_s: median of the forecast, with its interval.
    """

    strategy: str
    workers: int
    epoch_time_s: Interval


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is forecast of a study.

    Args:
        cells: one a strategy and number of workers, in that order.
        knees: one a strategy.
        curve: each strategy's epoch time from its smallest measured to the largest wanted number of workers.
        winners: for each number of workers, which strategy will be the fastest, in words.
        epochs: of the run that energy and cost are told of.
        worker_hour_price: price of an hour of a worker; None where none was given.
        notes: what the reader should know, and what could not be forecast.
    """

    cells: tuple[ForecastCell, ...] = ()
    knees: tuple[Knee, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    winners: Mapping[int, str] = dataclasses.field(default_factory=dict)
    epochs: int = 0
    worker_hour_price: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[ForecastRow, ...]:
        """The rows of ``forecast.json``."""
        return tuple(cell.row for cell in self.cells)

    def cost(self, cell: ForecastCell) -> Interval | None:
        """Give the cost of a run, in the currency of the price; None where no price was given."""
        price, hours = self.worker_hour_price, cell.worker_hours
        if price is None or hours.low is None or hours.high is None:
            return None
        return Interval(value=hours.value * price, low=hours.low * price, high=hours.high * price)


def forecast_lines(found: Forecast) -> tuple[str, ...]:
    """Give a forecast as lines of text: every row, the knees, the winners, and what to know of them."""
    lines = []
    for cell in found.cells:
        row = cell.row
        time = Interval(value=row.epoch_time_s, low=row.low_s, high=row.high_s)
        told = [f"{with_interval(time)} s an epoch", f"efficiency {number(100 * row.efficiency)} %"]
        if row.energy_kwh is not None:
            told.append(f"{number(1000 * row.energy_kwh)} Wh a run")
        if cost := found.cost(cell):
            told.append(f"a run costs {with_interval(cost)}")
        lines.append(f"{row.strategy} on {row.workers} workers: {', '.join(told)}")
    lines += [f"knee of {knee.line}" for knee in found.knees]
    lines += [f"on {workers} workers {line}" for workers, line in found.winners.items()]
    return (*lines, *(f"note: {note}" for note in found.notes))
