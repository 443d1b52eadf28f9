"""What unmeasured numbers of workers will give: time, efficiency, energy, cost; the knee and the winner."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.forecast_reach import FARTHEST, check_reach
from lightning_itwin.reports.forecast_rows import CurvePoint, Forecast, ForecastCell, ForecastRow, Knee
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.scaling_forecast import (
    CONFIDENCE,
    Array,
    ScalingPosterior,
    fit_scaling,
)
from lightning_itwin.reports.statistics import Interval

_FEWEST = 2  # numbers of workers
_NOISY = 0.05  # relative standard error of a row from which the reader is told
_SURE = 0.95  # probability from which a winner counts as decided
_BACKWARD = 2 / 3  # of computing: a pass forward, and twice as much backward
_CURVE_POINTS = 32
_MEDIAN_ERROR = math.sqrt(math.pi / 2)  # standard error of a normal sample's median over that of its mean


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A strategy that a forecast can be made of."""

    strategy: str
    cells: tuple[Cell, ...]
    posterior: ScalingPosterior

    def within(self, workers: int) -> bool:
        return workers <= FARTHEST * self.posterior.largest


def forecast(
    study: Scalability, workers: Sequence[int] | None = None, worker_hour_price: float | None = None
) -> Forecast:
    """Forecast what was not measured.

    Args:
        study: what was measured.
        workers: numbers of workers (default: twice and four times the largest measured one).
        worker_hour_price: price of an hour of a worker, in a currency of the reader's.

    Raises:
        ReportError: a number of workers lies beyond four times the largest one of the study. Where that one
            failed, what lies too far is a note, so that a report is still made.

    See also:
        :mod:`lightning_itwin.reports.scaling_forecast` for the laws.
    """
    measured = [cell for cell in study.cells if cell.row.epoch_time_s is not None]
    largest = max((cell.row.workers for cell in measured), default=0)
    notes: list[str] = []
    if workers is None:
        wanted: tuple[int, ...] = (2 * largest, FARTHEST * largest)
    else:
        wanted = tuple(sorted(set(workers)))
        check_reach(wanted, max(cell.row.workers for cell in study.cells))
        if not wanted:
            return Forecast()
    fitted = _fit(study, measured, notes)
    if not fitted:
        return Forecast(notes=tuple(notes))
    epochs = round(statistics.median(run.epochs for cell in measured for run in cell.counted))
    cells = []
    winners = {}
    for count in wanted:
        able = [one for one in fitted if one.within(count)]
        notes += [
            f"{one.strategy} was measured on at most {one.posterior.largest} workers, so {count} are too far"
            for one in fitted
            if one not in able
        ]
        if not able:
            continue
        times = {one.strategy: one.posterior.epoch_times_s(count) for one in able}
        chances = _chances(list(times.values()))
        cells += [
            _cell(one, count, times[one.strategy], chance, epochs) for one, chance in zip(able, chances)
        ]
        if len(able) > 1:
            winners[count] = _winner(list(times), chances)
    if not cells:
        return Forecast(notes=tuple(notes))
    notes += _places(study, max(wanted) > largest)
    notes += [note for one in fitted for note in _hidden_communication(one, max(wanted))]
    order = {one.strategy: place for place, one in enumerate(fitted)}
    return Forecast(
        cells=tuple(sorted(cells, key=lambda cell: (order[cell.row.strategy], cell.row.workers))),
        knees=tuple(_knee(one) for one in fitted),
        curve=tuple(point for one in fitted for point in _curve(one, max(wanted))),
        winners=winners,
        epochs=epochs,
        worker_hour_price=worker_hour_price,
        notes=tuple(dict.fromkeys(notes)),
    )


def _fit(study: Scalability, measured: Sequence[Cell], notes: list[str]) -> list[_Fitted]:
    fitted = []
    for strategy in dict.fromkeys(cell.row.strategy for cell in study.cells):
        cells = [cell for cell in measured if cell.row.strategy == strategy]
        failed = sorted(
            cell.row.workers
            for cell in study.cells
            if cell.row.strategy == strategy and cell.row.epoch_time_s is None
        )
        if failed:
            notes.append(
                f"{strategy} failed on {_listed(failed)} workers; its forecast knows nothing of them"
                if len(cells) >= _FEWEST
                else f"{strategy} failed on {_listed(failed)} workers"
            )
        if len(cells) < _FEWEST:
            only = f"was measured on {cells[0].row.workers} worker(s) alone" if cells else "was not measured"
            notes.append(
                f"no forecast for {strategy}: it {only}. Two numbers of workers are the least, three or more "
                "make it useful, such as --workers 1,2,4"
            )
            continue
        if len(cells) == _FEWEST:
            notes.append(
                f"{strategy} was measured on two numbers of workers alone: that leaves open what grows with "
                "the workers, and its intervals are wide"
            )
        errors = _relative_errors(cells)
        if max(errors) > _NOISY:
            notes.append(
                f"the repeats of {strategy} scatter: a time is known to {100 * max(errors):.0f} % only, and "
                "the forecast no better; more repeats help (--repeats 5)"
            )
        elif all(len(cell.by_round(lambda run: run.epoch_time_s)) < 2 for cell in cells):
            notes.append(f"{strategy} has one repeat a row, so its noise is not known; 2 % are assumed")
        posterior = fit_scaling(
            [cell.row.workers for cell in cells],
            [cell.row.epoch_time_s or 0.0 for cell in cells],
            errors,
            study.scaling,
        )
        fitted.append(_Fitted(strategy=strategy, cells=tuple(cells), posterior=posterior))
    return fitted


def _relative_errors(cells: Sequence[Cell]) -> list[float]:
    """Give the relative standard error of each row's median; the scatter is that of all rows together."""
    repeats = [list(cell.by_round(lambda run: run.epoch_time_s).values()) for cell in cells]
    logs = [[math.log(value) for value in values] for values in repeats]
    degrees = sum(len(values) - 1 for values in logs if len(values) > 1)
    if not degrees:
        return [0.0] * len(cells)
    squares = sum((len(values) - 1) * statistics.variance(values) for values in logs if len(values) > 1)
    scatter = math.sqrt(squares / degrees)
    return [
        scatter * (1.0 if len(values) < 3 else _MEDIAN_ERROR) / math.sqrt(max(len(values), 1))
        for values in logs
    ]


def _cell(one: _Fitted, workers: int, times_s: Array, fastest: float, epochs: int) -> ForecastCell:
    base = min(one.cells, key=lambda cell: cell.row.workers)
    base_s, measured = base.row.epoch_time_s or 0.0, [cell.row.workers for cell in one.cells]
    time = _interval(times_s)
    growth = base.row.workers / workers if one.posterior.scaling == "strong" else 1.0
    efficiency = _interval(base_s * growth / times_s)
    energy = _energy(one, workers, times_s)
    return ForecastCell(
        row=ForecastRow(
            strategy=one.strategy,
            workers=workers,
            epoch_time_s=time.value,
            low_s=time.low or 0.0,
            high_s=time.high or 0.0,
            efficiency=efficiency.value,
            energy_kwh=energy.value if energy else None,
            extrapolated=not min(measured) <= workers <= max(measured),
        ),
        efficiency=efficiency,
        energy_kwh=energy,
        worker_hours=_interval(workers * epochs * times_s / 3600),
        fastest=fastest,
    )


def _curve(one: _Fitted, largest: int) -> Iterable[CurvePoint]:
    first = min(cell.row.workers for cell in one.cells)
    last = max(min(largest, FARTHEST * one.posterior.largest), one.posterior.largest)
    for workers in np.unique(np.geomspace(first, last, _CURVE_POINTS).round().astype(int)).tolist():
        time = _interval(one.posterior.epoch_times_s(workers))
        yield CurvePoint(strategy=one.strategy, workers=workers, epoch_time_s=time)


def _energy(one: _Fitted, workers: int, times_s: Array) -> Interval | None:
    """Give the energy of a run from that of a worker and second of training.

    Workers that share a node share what it draws at rest, so that a worker's share falls with their number
    until the nodes are full: the truth lies between ``a + b / p`` and the share in the largest world.
    """
    known = [cell for cell in one.cells if cell.row.energy_kwh]
    if not known:
        return None
    counts = np.array([float(cell.row.workers) for cell in known])
    rates = np.array(
        [(cell.row.energy_kwh or 0.0) / ((cell.row.epoch_time_s or 1.0) * cell.row.workers) for cell in known]
    )
    going_on = full = float(rates[-1])
    if len(known) > 1:
        design = np.stack([np.ones_like(counts), 1 / counts], axis=1) / rates[:, None]
        alone, shared = np.linalg.lstsq(design, np.ones_like(rates), rcond=None)[0]
        if alone < 0:  # all of it is shared
            alone, shared = 0.0, float(np.exp(np.mean(np.log(rates * counts))))
        going_on = min(full, alone + max(shared, 0.0) / workers) if workers >= counts[-1] else full
    between = np.random.default_rng(0).random(len(times_s))
    rate = np.exp(between * math.log(going_on) + (1 - between) * math.log(full))
    return _interval(rate * workers * times_s)


def _interval(draws: Array) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, middle, high = np.quantile(draws, (tail, 0.5, 1 - tail))
    return Interval(value=float(middle), low=float(low), high=float(high))


def _chances(times_s: Sequence[Array]) -> list[float]:
    """Give for each series of draws how often it is the smallest, all being drawn apart from each other."""
    mixed = [np.random.default_rng(place).permutation(draws) for place, draws in enumerate(times_s)]
    first = np.stack(mixed).argmin(axis=0)
    return [float((first == place).mean()) for place in range(len(mixed))]


def _winner(strategies: Sequence[str], chances: Sequence[float]) -> str:
    chance, strategy = max(zip(chances, strategies))
    if chance >= _SURE:
        return f"{strategy} will be the fastest ({100 * chance:.0f} % sure)"
    ranked = sorted(zip(chances, strategies), reverse=True)
    told = ", ".join(f"{name} {100 * chance:.0f} %" for chance, name in ranked)
    return f"not decided; chances of being the fastest: {told}"


def _knee(one: _Fitted) -> Knee:
    knees = one.posterior.knees()
    tail = (1 - CONFIDENCE) / 2
    low, middle, high = np.quantile(knees, (tail, 0.5, 1 - tail), method="nearest")
    return Knee(
        strategy=one.strategy,
        workers=Interval(value=float(middle), low=float(low), high=float(high)),
        reach=FARTHEST * one.posterior.largest,
    )


def _places(study: Scalability, extrapolates: bool) -> list[str]:
    nodes = {run.manifest.nodes for run in study.counted if run.manifest is not None}
    if extrapolates and nodes == {1}:
        return [
            "everything was measured within one node; where more workers need a second one, its network is "
            "not in these numbers"
        ]
    return []


def _hidden_communication(one: _Fitted, workers: int) -> list[str]:
    """Tell where communication that nothing shows of yet will come out.

    Where a batch is shared by all workers, computing shrinks and communication does not; it can hide behind
    the backward pass alone, about two thirds of computing.
    """
    last = max(one.cells, key=lambda cell: cell.row.workers)
    sizes = {
        run.manifest.batch_size for cell in one.cells for run in cell.counted if run.manifest is not None
    }
    total, exposed = last.communication_percent, last.row.communication_overhead_percent
    if len(sizes) < 2 or not total or exposed is None or exposed > total / 2:
        return []
    comes_out = last.row.workers * _BACKWARD * (100 - exposed) / total
    begins = max(comes_out, last.row.workers)
    if begins >= workers:
        return []
    return [
        f"{one.strategy} hides most of its communication ({total:.0f} % of the time on {last.row.workers} "
        f"workers). As a worker's batch shrinks it comes out, from about {begins:.0f} "
        "workers on, and no law knows it beforehand: measure there"
    ]


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
