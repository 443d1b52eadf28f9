"""What the curve model learns from: values of learning curves, made comparable, and not too many of them."""

# N observations, C columns of a point

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.hpo.policies.configurations import Configuration
from lightning_itwin.hpo.policies.curve_model import Points
from lightning_itwin.hpo.policies.encoding import Encoding

MOST = 300  # observations: the model's time grows with the third power


@dataclass(frozen=True)
class Observations:
    """Points of learning curves and their values.

    Args:
        points: at rungs, and where each curve ends by now.
        values_N: lowest value up to there, scaled to mean 0 and variance 1.
        count: of the observations before the poorest were left out.
    """

    points: Points
    values_N: np.ndarray
    count: int


def observe(
    configurations: Sequence[Configuration], encoding: Encoding, rungs: Sequence[int]
) -> Observations:
    """Read what the configurations have shown.

    What diverged or was lost counts as poor as the poorest. Where there is too much, the ends of curves come
    first, and of what is over two thirds of the room the lower values.

    Args:
        configurations: all of a study.
        encoding: of their hyperparameters.
        rungs: the last of them a whole training.
    """
    rows = []  # configuration, epoch, value, whether its curve ends there
    for index, one in enumerate(configurations):
        if one.curve:
            epochs = sorted({rung for rung in rungs if rung < one.reached} | {one.reached})
            rows += [(index, epoch, one.best(epoch), epoch == one.reached) for epoch in epochs]
        if one.lost:
            rows.append((index, max(one.reached, 1), np.inf, True))
    values_N = scaled(np.array([row[2] for row in rows]))
    kept_N = most_telling(values_N, np.array([row[3] for row in rows]))
    index_N = np.array([row[0] for row in rows])[kept_N]
    epoch_N = np.array([row[1] for row in rows])[kept_N]
    values_N = values_N[kept_N]
    points = Points(
        x=encoding.encode([configurations[index].params for index in index_N]),
        z=np.log(epoch_N) / np.log(rungs[-1]) if rungs[-1] > 1 else np.ones(len(epoch_N)),
        c=index_N,
    )
    spread = values_N.std()
    return Observations(points, (values_N - values_N.mean()) / (spread if spread > 0 else 1.0), len(rows))


def scaled(values_N: np.ndarray) -> np.ndarray:
    """Bring values to a scale on which a ratio of losses is a distance, and cut off how bad the worst are.

    Positive values take their logarithm; others the area sine of their distance from the median, in units of
    the best one's. All above the upper quartile by 1.5 times the distance of the quartiles (Tukey's fence),
    and all that is infinite, stand at that fence.

    Args:
        values_N: lower is better, two or more of them finite.
    """
    finite_N = np.isfinite(values_N)
    known = values_N[finite_N]
    if known.min() > 0:
        scaled_N = np.log(np.where(finite_N, values_N, 1.0))
    else:
        median = np.median(known)
        unit = median - known.min()
        scaled_N = np.arcsinh((np.where(finite_N, values_N, 0.0) - median) / (unit if unit > 0 else 1.0))
    low, high = np.percentile(scaled_N[finite_N], [25, 75])
    fence = high + 1.5 * (high - low)
    return np.where(finite_N, np.minimum(scaled_N, fence), fence)


def most_telling(values_N: np.ndarray, ends_N: np.ndarray, most: int = MOST) -> np.ndarray:
    """Give the indices, in their order, of the observations to learn from.

    Args:
        values_N: lower is better.
        ends_N: whether a curve ends there.
        most: how many at most.
    """
    order = np.lexsort((values_N, ~ends_N))
    if len(order) <= most:
        return np.arange(len(order))
    best, rest = order[: 2 * most // 3], order[2 * most // 3 :]
    spread = rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(int)]
    return np.sort(np.concatenate([best, spread]))


def at_the_end(points_NC: np.ndarray, of: np.ndarray | None = None) -> Points:
    """Give where configurations end.

    Args:
        points_NC: of all configurations.
        of: indices of those that are meant; None for all.
    """
    which = np.arange(len(points_NC)) if of is None else of
    return Points(x=points_NC[which], z=np.ones(len(which)), c=which)
