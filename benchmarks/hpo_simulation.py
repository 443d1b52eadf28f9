"""Studies of simulated trainings: curves of a table or of a formula, played in the order of their times.

No training runs: an epoch costs 1 and lasts as long as its curve says. The policy, its sampler and Optuna's
study are the ones that real trainings use.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from lightning_itwin.hpo.policies import Policy, Segment

TABLE = Path(__file__).parent / "tables" / "hpo_curves.npz"
EPOCHS = 40


@dataclass(frozen=True, kw_only=True)
class Task:
    """A family of trainings.

    Args:
        space: name and distribution of each hyperparameter.
        curve: of some hyperparameters: the value after each epoch, (EPOCHS,).
        epoch_time: of some hyperparameters: how long an epoch lasts.
        best: the lowest value that can be reached.
    """

    space: Mapping[str, BaseDistribution]
    curve: Callable[[Mapping[str, Any]], np.ndarray]
    epoch_time: Callable[[Mapping[str, Any]], float]
    best: float


def table_task(path: Path = TABLE) -> Task:
    """Make the task of 1152 trainings that were really run, see ``tables/README.md``."""
    curves = np.load(path)["curves"][0].astype(np.float64)
    names = ("lr", "dropout", "batch", "hidden", "sequence")
    space = {name: IntDistribution(0, size - 1) for name, size in zip(names, curves.shape)}

    def epoch_time(params: Mapping[str, Any]) -> float:
        factor = 2 ** (1 - 0.5 * params["batch"] + 0.15 * params["hidden"])
        return factor * (1 + params["sequence"]) / 2

    return Task(
        space=space,
        curve=lambda params: curves[tuple(params[name] for name in names)],
        epoch_time=epoch_time,
        best=float(curves.min()),
    )


class _Formula:
    """Learning curves by formula: see :func:`synthetic_task`."""

    NAMES = ("lr", "weight_decay", "dropout", "batch", "hidden", "sequence")

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 6])
        self.seed = seed
        self.centre = rng.uniform(0.3, 0.8, 6)
        self.centre[0] -= 0.15
        curvature = np.exp(rng.normal(0.0, 0.7, 6)) * np.array([2.0, 0.7, 1.0, 1.0, 1.5, 1.0])
        mixing = np.eye(6) + 0.3 * rng.normal(size=(6, 6))
        self.bowl = mixing.T @ np.diag(curvature) @ mixing
        self.slowness = rng.uniform(0.5, 1.5, 4) * np.array([-5.0, 2.5, 2.0, 2.0])
        self.power = rng.uniform(0.8, 1.2)

    def noise_free(self, unit_U6: np.ndarray) -> np.ndarray:
        """Give curves (U, EPOCHS) of points in the unit cube (U, 6)."""
        off = unit_U6 - self.centre
        floor = 0.05 * (1 + 1.3 * np.einsum("ui,ij,uj->u", off, self.bowl, off))
        floor = np.minimum(floor, 1.0)
        slow = unit_U6[:, [0, 3, 2, 5]] - 0.4  # lr, batch, dropout, sequence
        time_constant = 1.5 * np.exp(slow @ self.slowness)
        epochs = np.arange(1, EPOCHS + 1)
        decay = (1 + epochs / time_constant[:, None]) ** -(2 * self.power)
        curves = floor[:, None] + (1.0 - floor[:, None]) * decay
        excess = off[:, :1] * 4 - 1.35  # decades of the learning rate above the last stable one
        diverged = (excess > 0) & (epochs > 2 + 6 * np.exp(-3 * excess))
        return np.where(diverged, 1.0 + 0.1 * epochs, curves)

    def unit(self, params: Mapping[str, Any]) -> np.ndarray:
        return np.array([(math.log10(params["lr"]) + 5) / 4] + [params[name] for name in self.NAMES[1:]])

    def curve(self, params: Mapping[str, Any]) -> np.ndarray:
        unit = self.unit(params)
        digits = np.round(unit * 2**30).astype(np.int64) % 2**31
        rng = np.random.default_rng([self.seed, *digits.tolist()])  # the same training gives the same curve
        steps = rng.normal(size=EPOCHS)
        noise = np.empty(EPOCHS)
        noise[0] = steps[0]
        for epoch in range(1, EPOCHS):
            noise[epoch] = 0.7 * noise[epoch - 1] + math.sqrt(1 - 0.49) * steps[epoch]
        return self.noise_free(unit[None])[0] * (1 + 0.02 * noise)

    def epoch_time(self, params: Mapping[str, Any]) -> float:
        return 2.0 ** (1 - 1.5 * params["batch"] + 0.3 * params["hidden"]) * (1 + params["sequence"]) / 2


def synthetic_task(seed: int) -> Task:
    """Make a task of six continuous hyperparameters by formula.

    The value decays as a power law to a floor, a quadratic bowl with interactions around this seed's optimum.
    A low learning rate, a large batch, dropout and a long sequence decay more slowly, so that good floors
    are reached late and curves cross; 1.35 decades above the best learning rate a training diverges. The
    noise is 2 %, correlated from epoch to epoch.

    Args:
        seed: of the optimum, the bowl and the noise.
    """
    formula = _Formula(seed)
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
    space.update({name: FloatDistribution(0.0, 1.0) for name in formula.NAMES[1:]})
    rng = np.random.default_rng([seed, 7])
    points = rng.uniform(size=(20_000, 6))
    for width in (0.2, 0.1, 0.05, 0.02, 0.01):  # a search that closes in on the lowest noise-free value
        finals = formula.noise_free(points).min(axis=1)
        leaders = points[np.argsort(finals)[:20]]
        near = leaders[:, None] + width * rng.normal(size=(20, 200, 6))
        points = np.concatenate([leaders, np.clip(near.reshape(-1, 6), 0, 1)])
    return Task(
        space=space,
        curve=formula.curve,
        epoch_time=formula.epoch_time,
        best=float(formula.noise_free(points).min()),
    )


def crossing_task() -> Task:
    """Make the hardest task for whoever looks at early epochs: what ends better gets there later.

    Two hyperparameters; at epochs 1 and 3 the order of the trainings is the reverse of the last one's, at
    epoch 9 it has nothing to do with it.
    """

    def curve(params: Mapping[str, Any]) -> np.ndarray:
        end = abs(params["x"] - 0.3) + abs(params["y"] - 0.6)
        epochs = np.arange(1, EPOCHS + 1)
        return 0.1 + end + (2 - end) * np.exp(-epochs / (2 + 10 * max(0.0, 1 - end)))

    return Task(
        space={name: FloatDistribution(0.0, 1.0) for name in ("x", "y")},
        curve=curve,
        epoch_time=lambda params: 1.0,
        best=float(curve({"x": 0.3, "y": 0.6}).min()),
    )


def simulate(policy: Policy, task: Task, *, name: str, slots: int, budget: int) -> np.ndarray:
    """Play a study until its epochs are spent, or the best is found: then nothing more can change.

    Args:
        policy: decides.
        task: trainings.
        name: of the study; Optuna's Hyperband deals its brackets by it.
        slots: trainings at once.
        budget: epochs over all trainings.

    Returns:
        the best value seen after each epoch of the budget, (budget,).
    """
    study = optuna.create_study(study_name=name)
    events: list[tuple[float, int, optuna.Trial, Segment, int]] = []
    best_seen = np.full(budget, np.inf)
    lowest: dict[int, float] = {}
    spent = 0

    def fill(now: float) -> None:
        while len(events) < slots:
            answer = policy.ask(study, task.space)
            if answer is None:
                return
            trial, segment = answer
            end = now + task.epoch_time(segment.params)
            heapq.heappush(events, (end, trial.number, trial, segment, segment.from_epoch + 1))

    fill(0.0)
    while spent < budget and events:
        now, number, trial, segment, epoch = heapq.heappop(events)
        value = float(task.curve(segment.params)[epoch - 1])
        trial.report(value, epoch)
        spent += 1
        configuration = segment.configuration
        lowest[configuration] = min(lowest.get(configuration, math.inf), value)
        best_seen[spent - 1] = min(best_seen[max(spent - 2, 0)], lowest[configuration])
        if best_seen[spent - 1] <= task.best:
            best_seen[spent:] = best_seen[spent - 1]
            break
        if epoch == EPOCHS:
            study.tell(trial, lowest[configuration])
        elif policy.should_stop(study, trial) or epoch >= segment.until_epoch:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            end = now + task.epoch_time(segment.params)
            heapq.heappush(events, (end, number, trial, segment, epoch + 1))
            continue
        fill(now)
    return best_seen


def epochs_to(best_seen: np.ndarray, best: float, within: float) -> float:
    """Give the epochs until the best seen is within a share of the best; infinity where it never is."""
    reached = np.flatnonzero(best_seen <= best * (1 + within))
    return float(reached[0] + 1) if reached.size else math.inf
