"""Two objectives: which candidates none beats in both, how good they are together, where the knee is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_itwin.hpo.report.configurations import Configuration
from lightning_itwin.hpo.report.energy import RowEnergy, energy_so_far


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration as it was after one epoch: a training that ends there costs what it had cost till then.

    Args:
        configuration: its number.
        epoch: counted from 1.
        value: of the objective, the best until that epoch.
        energy_kwh: spent until then.
    """

    configuration: int
    epoch: int
    value: float
    energy_kwh: float


@dataclass(frozen=True, kw_only=True)
class Front:
    """The candidates that no other beats in both objectives.

    Args:
        members: by rising energy.
        candidates: all, those that no other epoch of their own configuration beats.
        hypervolume_percent: share of the box between the front's ends and the worst candidate that is beaten
            by the front, on logarithmic axes where all values are positive.
        knee: the member that lies farthest below the line between the front's ends, on plain axes; None
            where it has fewer than three, or none lies below.
    """

    members: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    hypervolume_percent: float
    knee: Candidate | None


def candidates(found: Iterable[Configuration], rows: RowEnergy, sign: float) -> tuple[Candidate, ...]:
    """Give every epoch at which a configuration was better than ever before, and its energy.

    Args:
        found: the configurations.
        rows: energy by row and epoch.
        sign: 1 where lower values are better, else -1.
    """
    told = []
    for one in found:
        energy = energy_so_far(one, rows)
        best = math.inf
        for epoch, value in one.curve.items():
            if epoch in energy and math.isfinite(value) and sign * value < best:
                best = sign * value
                told.append(
                    Candidate(configuration=one.number, epoch=epoch, value=value, energy_kwh=energy[epoch])
                )
    return tuple(told)


def front(found: Sequence[Candidate], sign: float) -> Front | None:
    """Give the Pareto front; None where there is no candidate.

    Args:
        found: of :func:`candidates`.
        sign: 1 where lower values are better, else -1.

    Reference:
        hypervolume: E. Zitzler and L. Thiele, IEEE Transactions on Evolutionary Computation 3, 257 (1999);
        knee: I. Das, Structural Optimization 18, 107 (1999).
    """
    if not found:
        return None
    members: list[Candidate] = []
    for one in sorted(found, key=lambda one: (one.energy_kwh, sign * one.value, one.configuration)):
        if not members or sign * one.value < sign * members[-1].value:
            members.append(one)
    logarithmic = all(one.value > 0 and one.energy_kwh > 0 for one in found)

    def place(one: Candidate) -> tuple[float, float]:
        x, y = one.energy_kwh, one.value
        return (math.log(x), sign * math.log(y)) if logarithmic else (x, sign * y)

    points = [place(one) for one in members]
    worst = [max(place(one)[side] for one in found) for side in (0, 1)]
    return Front(
        members=tuple(members),
        candidates=tuple(found),
        hypervolume_percent=100.0 * _beaten_share(points, worst),
        knee=_knee(members, [(one.energy_kwh, sign * one.value) for one in members]),
    )


def _beaten_share(points: Sequence[tuple[float, float]], worst: Sequence[float]) -> float:
    whole = (worst[0] - points[0][0]) * (worst[1] - points[-1][1])
    if whole <= 0:
        return 1.0
    ends = [x for x, _ in points[1:]] + [worst[0]]
    beaten = sum((end - x) * (worst[1] - y) for (x, y), end in zip(points, ends))
    return beaten / whole


def _knee(members: Sequence[Candidate], points: Sequence[tuple[float, float]]) -> Candidate | None:
    if len(members) < 3:
        return None
    (x0, y0), (x1, y1) = points[0], points[-1]
    below = [1 - (x - x0) / (x1 - x0) - (y - y1) / (y0 - y1) for x, y in points]
    deepest = max(range(len(members)), key=lambda index: (below[index], -index))
    return members[deepest] if below[deepest] > 1e-9 else None
