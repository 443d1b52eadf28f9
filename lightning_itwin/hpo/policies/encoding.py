"""Hyperparameters as points: what a surrogate model measures distances between."""

# N points, C columns (one a number, one a choice of a category)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@dataclass(frozen=True, kw_only=True)
class _Number:
    """A float or an integer on [0, 1], on a logarithmic scale where its distribution has one."""

    low: float
    high: float
    step: float | None
    log: bool
    integer: bool

    def scale(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def encode(self, value: float) -> float:
        low, high = self.scale(self.low), self.scale(self.high)
        return (self.scale(value) - low) / (high - low)

    def decode(self, unit: float) -> float | int:
        low, high = self.scale(self.low), self.scale(self.high)
        value = low + (high - low) * unit
        value = math.exp(value) if self.log else value
        if self.step is not None:
            value = self.low + self.step * round((value - self.low) / self.step)
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else value

    def snap(self, unit_N: np.ndarray) -> np.ndarray:
        """Move points to the nearest values that can be had."""
        if self.step is None:
            return np.clip(unit_N, 0.0, 1.0)
        return np.array([self.encode(self.decode(unit)) for unit in unit_N])

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        unit_N = rng.random(count)
        if self.step is None:
            return unit_N
        if not self.log:  # each value alike: the first and the last own half a step beyond the ends
            half = self.step / (self.high - self.low) / 2
            unit_N = unit_N * (1 + 2 * half) - half
        return self.snap(unit_N)


class Encoding:
    """Turns hyperparameters into points and points into hyperparameters.

    A number is a column on [0, 1], a category a column for each choice, 1/sqrt(2) where it is taken, so that
    two choices are 1 apart. What a configuration lacks (a conditional hyperparameter) stands in the middle.

    Args:
        space: name and distribution of each hyperparameter.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.names = [name for name, distribution in space.items() if not distribution.single()]
        self.fixed = {name: _only_value(one) for name, one in space.items() if one.single()}
        self.parts: list[_Number | CategoricalDistribution] = []
        for name in self.names:
            distribution = space[name]
            if isinstance(distribution, CategoricalDistribution):
                self.parts.append(distribution)
            elif isinstance(distribution, (FloatDistribution, IntDistribution)):
                integer = isinstance(distribution, IntDistribution)
                self.parts.append(
                    _Number(
                        low=distribution.low,
                        high=distribution.high,
                        step=distribution.step if not (integer and distribution.log) else 1,
                        log=distribution.log,
                        integer=integer,
                    )
                )
            else:
                raise ValueError(f"{name}: {distribution} is no float, integer or categorical distribution")
        widths = [1 if isinstance(part, _Number) else len(part.choices) for part in self.parts]
        self.starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        self.owner_C = np.repeat(np.arange(len(widths)), widths)  # hyperparameter of each column

    def encode(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Give points (N, C) of N configurations."""
        points_NC = np.zeros((len(configurations), int(self.starts[-1])))
        for row, params in zip(points_NC, configurations):
            for name, part, start in zip(self.names, self.parts, self.starts):
                if isinstance(part, _Number):
                    row[start] = part.encode(params[name]) if name in params else 0.5
                elif name in params:
                    row[start + int(part.to_internal_repr(params[name]))] = math.sqrt(0.5)
                else:
                    row[start : start + len(part.choices)] = math.sqrt(0.5) / len(part.choices)
        return points_NC

    def decode(self, point_C: np.ndarray) -> dict[str, Any]:
        """Give the hyperparameters of one point, those with a single value too."""
        params = dict(self.fixed)
        for name, part, start in zip(self.names, self.parts, self.starts):
            if isinstance(part, _Number):
                params[name] = part.decode(float(point_C[start]))
            else:
                params[name] = part.choices[int(np.argmax(point_C[start : start + len(part.choices)]))]
        return params

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points (count, C), each value of a hyperparameter alike."""
        points_NC = np.zeros((count, int(self.starts[-1])))
        for part, start in zip(self.parts, self.starts):
            if isinstance(part, _Number):
                points_NC[:, start] = part.sample(rng, count)
            else:
                taken_N = rng.integers(len(part.choices), size=count)
                points_NC[np.arange(count), start + taken_N] = math.sqrt(0.5)
        return points_NC

    def near(self, rng: np.random.Generator, point_C: np.ndarray, count: int, width: float) -> np.ndarray:
        """Draw points (count, C) around one: some hyperparameters moved, at least one.

        Args:
            rng: of the draw.
            point_C: the point.
            count: of the points.
            width: standard deviation of a number's move; a category is drawn anew.
        """
        points_NC = np.repeat(point_C[None], count, axis=0)
        moved_NP = rng.random((count, len(self.parts))) < min(1.0, 2 / len(self.parts))
        moved_NP[np.arange(count), rng.integers(len(self.parts), size=count)] = True
        for index, (part, start) in enumerate(zip(self.parts, self.starts)):
            moved_N = np.flatnonzero(moved_NP[:, index])
            if isinstance(part, _Number):
                step = 0.0 if part.step is None or part.log else part.step / (part.high - part.low)
                moves = rng.normal(size=len(moved_N)) * max(width, step)
                points_NC[moved_N, start] = part.snap(np.clip(points_NC[moved_N, start] + moves, 0, 1))
            else:
                points_NC[moved_N, start : start + len(part.choices)] = 0.0
                taken = rng.integers(len(part.choices), size=len(moved_N))
                points_NC[moved_N, start + taken] = math.sqrt(0.5)
        return points_NC


def _only_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low  # type: ignore[attr-defined]
