"""Which strategy, how many workers: for the shortest time, the least energy, the best efficiency; and why."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from lightning_itwin.reports.cells import Cell
from lightning_itwin.reports.run_values import RunValues
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.statistics import Comparison, Interval, compare, median_interval
from lightning_itwin.reports.table import number, with_interval


@dataclass(frozen=True, kw_only=True)
class Rival:
    """How another cell compares with the recommended one.

    Args:
        strategy, workers: the other cell.
        comparison: its cost over the recommended one's; above 1 it is worse.
    """

    strategy: str
    workers: int
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to choose for one goal.

    Args:
        goal: ``"shortest time"``, ``"least energy"`` or ``"best efficiency"``.
        strategy, workers: what to choose; None where nothing was measured that would tell.
        value: its metric, with its 95 % interval; None where nothing was measured.
        unit: of the value.
        verdict: ``"decided"``, ``"tie"``, ``"undecided"``, ``"one repeat"``, ``"alone"`` or ``"n/a"``.
        why: how it compares with the others, in words; or why nothing can be recommended.
        rivals: every other cell, the closest one first.
    """

    goal: str
    strategy: str | None = None
    workers: int | None = None
    value: Interval | None = None
    unit: str = ""
    verdict: str = "n/a"
    why: str
    rivals: tuple[Rival, ...] = ()

    @property
    def choice(self) -> str:
        """Strategy and workers in words."""
        if self.strategy is None:
            return "n/a"
        return f"{self.strategy} on {self.workers} worker{'' if self.workers == 1 else 's'}"

    @property
    def line(self) -> str:
        """The recommendation in one line."""
        if self.strategy is None:
            return f"{self.goal.capitalize()}: n/a: {self.why}"
        value = f"{with_interval(self.value)} {self.unit}" if self.value else ""
        return f"{self.goal.capitalize()}: {self.choice}, {value}, {self.why}"


Costs = Mapping[Hashable, float]


def recommend(study: Scalability) -> tuple[Recommendation, ...]:
    """Recommend a cell for the shortest time, the least energy and the best parallel efficiency.

    The winner is the cell that no other one beats, round by round (:func:`compare`); a tie is said to be one.

    Args:
        study: what was measured.
    """
    return (_shortest_time(study), _least_energy(study), _best_efficiency(study))


def rank(costs: Sequence[Costs]) -> tuple[int, ...]:
    """Rank series of repeats, least cost first, by comparing them pair by pair.

    First comes the one that costs less than every other one, round by round; should there be none, the one
    that costs least against all others on average. The rest follow by what they cost against the first.

    Args:
        costs: positive cost by round, one mapping a series.

    Returns:
        indices into ``costs``.

    >>> rank([{0: 11.0, 1: 22.0}, {0: 10.0, 1: 21.0}, {0: 12.0, 1: 25.0}])
    (1, 0, 2)
    """
    ratios = [[1.0 if one is other else compare(one, other).ratio for other in costs] for one in costs]
    unbeaten = [index for index, row in enumerate(ratios) if max(row) <= 1]
    first = min(
        unbeaten or range(len(costs)), key=lambda index: sum(math.log(ratio) for ratio in ratios[index])
    )
    others = [index for index in range(len(costs)) if index != first]
    return (first, *sorted(others, key=lambda index: ratios[index][first]))


def _choose(
    goal: str,
    candidates: Sequence[tuple[Cell, Costs]],
    value: Callable[[Cell, Costs], Interval],
    unit: str,
    better: str,
) -> Recommendation:
    """Choose the candidate of least cost and say by how much the next one is worse."""
    candidates = [(cell, costs) for cell, costs in candidates if costs]
    order = rank([costs for _, costs in candidates])
    best, best_costs = candidates[order[0]]
    rivals = tuple(
        Rival(
            strategy=candidates[index][0].row.strategy,
            workers=candidates[index][0].row.workers,
            comparison=compare(candidates[index][1], best_costs),
        )
        for index in order[1:]
    )
    found = value(best, best_costs)
    verdict, because = _verdict(best, rivals, better)
    return Recommendation(
        goal=goal,
        strategy=best.row.strategy,
        workers=best.row.workers,
        value=found,
        unit=unit,
        verdict=verdict,
        why=because,
        rivals=rivals,
    )


def _verdict(best: Cell, rivals: Sequence[Rival], better: str) -> tuple[str, str]:
    if not rivals:
        return "alone", "the only one measured"
    nearest = rivals[0]
    low, high = nearest.comparison.low, nearest.comparison.high
    apart = number(abs(_gain(nearest.comparison.ratio, better)))
    if low is None or high is None:
        return "one repeat", (
            f"{apart} % {better} than {_name(nearest)}, not decided: single runs do not tell their spread "
            "(--repeats 3 or more)"
        )
    bounds = f"95 %: {_gain(low, better):+.1f} to {_gain(high, better):+.1f} %"
    ties = [rival for rival in rivals if not rival.comparison.decided]
    if not ties:
        return "decided", f"{apart} % {better} than {_name(nearest)} ({bounds}), decided"
    if nearest.comparison.decided:
        return "undecided", (
            f"{apart} % {better} than {_name(nearest)} ({bounds}), but repeats are too few or too scattered "
            f"to tell it from {_listed([_name(rival) for rival in ties])}"
        )
    text = f"within noise of {_name(nearest)} ({apart} % apart, {bounds}): tie"
    if len(ties) > 1:
        text += f", also with {_listed([_name(rival) for rival in ties[1:]])}"
    fewest = min(ties, key=lambda rival: rival.workers)
    if fewest.workers < best.row.workers:
        text += f"; {_name(fewest)} does it with fewer workers"
    return "tie", text


def _gain(ratio: float, better: str) -> float:
    """Give what the best gains on a rival of ``ratio`` times its cost, in percent: in speed, or in cost."""
    return 100 * (1 - 1 / ratio if better == "less" else ratio - 1)


def _shortest_time(study: Scalability) -> Recommendation:
    if study.scaling == "weak" and all(run.samples_per_s for run in study.counted):
        return _least(
            "shortest time",
            study.cells,
            lambda run: 1000 / run.samples_per_s if run.samples_per_s else None,
            "s per 1000 samples",
            "faster",
        )
    return _least("shortest time", study.cells, lambda run: run.epoch_time_s, "s an epoch", "faster")


def _least_energy(study: Scalability) -> Recommendation:
    node = all(run.energy_kwh is not None for run in study.counted)
    sampled = all(run.samples for run in study.counted)

    def cost(run: RunValues) -> float | None:
        name, factor = ("energy_kwh", 1000.0) if node else ("gpu_energy_wh", 1.0)
        value = run.per_1000_samples(name) if sampled else run.per_epoch(name)
        return None if value is None else factor * value

    if not any(cost(run) for run in study.counted):
        return Recommendation(
            goal="least energy",
            why="no energy was measured; CarbonTracker measures that of the node, GPUMonitor that of GPUs",
        )
    unit = ("Wh" if node else "Wh of the GPUs") + (" per 1000 samples" if sampled else " an epoch")
    found = _least("least energy", study.cells, cost, unit, "less")
    measured = [cell.measured_percent for cell in study.cells if cell.measured_percent is not None]
    if not node or not measured or min(measured) >= 99.5:
        return found
    share = f"{min(measured):.0f} %" if min(measured) >= 1 else "none"
    return dataclasses.replace(
        found, why=f"{found.why}. Of the energy {share} comes from a sensor, the rest from a model"
    )


def _least(
    goal: str,
    cells: Sequence[Cell],
    cost: Callable[[RunValues], float | None],
    unit: str,
    better: str,
) -> Recommendation:
    candidates = [(cell, cell.by_round(cost)) for cell in cells]
    if not any(costs for _, costs in candidates):
        return Recommendation(goal=goal, why="nothing was measured that would tell")
    return _choose(goal, candidates, lambda _, costs: median_interval(list(costs.values())), unit, better)


def _best_efficiency(study: Scalability) -> Recommendation:
    several = [cell for cell in study.cells if cell.row.workers > 1 and cell.row.efficiency]
    alone = {cell.row.strategy: cell for cell in study.cells if cell.row.workers == 1}
    if not several:
        return Recommendation(
            goal="best efficiency", why="it takes runs of one strategy on 1 worker and on several"
        )
    candidates = [(cell, _inefficiency(cell, alone[cell.row.strategy])) for cell in several]

    def value(cell: Cell, _: Costs) -> Interval:
        speedup, workers = cell.speedup_interval, cell.row.workers
        ideal = 100 * (cell.row.efficiency or 0.0)
        if speedup is None or speedup.low is None or speedup.high is None:
            return Interval(value=ideal, low=None, high=None)
        return Interval(value=ideal, low=100 * speedup.low / workers, high=100 * speedup.high / workers)

    return _choose("best efficiency", candidates, value, "% of an ideal speedup", "better")


def _inefficiency(cell: Cell, alone: Cell) -> dict[Hashable, float]:
    """Give 1 / efficiency by round: the workers' time over that of one worker in the same round.

    A strategy's own efficiency as a whole stands in the table; a factor makes its rounds agree with it.
    """
    times, ones = (one.by_round(lambda run: run.epoch_time_s) for one in (cell, alone))
    typical = statistics.median(ones.values())
    rounds = {key: time_s / ones.get(key, typical) for key, time_s in times.items()}
    factor = 1 / ((cell.row.efficiency or 1.0) * statistics.median(rounds.values()))
    return {key: factor * ratio for key, ratio in rounds.items()}


def _name(rival: Rival) -> str:
    return f"{rival.strategy} on {rival.workers} worker{'' if rival.workers == 1 else 's'}"


def _listed(names: Sequence[str], shown: int = 2) -> str:
    if len(names) > shown + 1:
        names = [*names[:shown], f"{len(names) - shown} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
