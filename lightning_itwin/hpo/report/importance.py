"""Which hyperparameters decide, by Optuna's PED-ANOVA, and what chance alone would say."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_itwin.hpo.report.configurations import Configuration, ranked
from lightning_itwin.hpo.report.parameters import Parameter
from lightning_itwin.optional import require

FEWEST = 10
_FEWEST_GOOD = 5  # below which Optuna calls PED-ANOVA unstable
_SHUFFLES = 40


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much a hyperparameter decides whether a configuration is among the best.

    Args:
        parameter: which.
        percent: its share of the importances of all.
        above_chance: whether it is more than 95 % of what shuffled values give.
        chance_percent: that bound, on the same scale.
    """

    parameter: Parameter
    percent: float
    above_chance: bool
    chance_percent: float


def importances(
    found: tuple[Configuration, ...], axes: Sequence[Parameter], sign: float
) -> tuple[Importance, ...]:
    """Rank the hyperparameters; nothing where fewer than 10 configurations have a value.

    All configurations count by their best value, however long they were trained, and those that diverged as
    the worst: whole trainings alone, which Optuna's plots take, are a few that had been chosen already.

    Args:
        found: the configurations.
        axes: their hyperparameters.
        sign: 1 where lower values are better, else -1.

    Reference:
        S. Watanabe, A. Bansal and F. Hutter, PED-ANOVA, IJCAI 2023, https://arxiv.org/abs/2304.10255.
    """
    order = ranked(found, sign)
    order += [one for one in found if one.value is None and one.state == "diverged"]
    order = [one for one in order if all(axis.key in one.params for axis in axes)]
    if len(order) < FEWEST:
        return ()
    optuna = require("optuna", extra="hpo")
    distributions = {axis.key: _distribution(optuna, axis) for axis in axes}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={axis.key: one.params[axis.key] for axis in axes},
                distributions=distributions,
                value=float(rank),
            )
            for rank, one in enumerate(order)
        ]
    )
    share = min(0.5, max(0.1, _FEWEST_GOOD / len(order)))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
    drawn = np.random.default_rng(0)
    ranks = np.arange(len(order), dtype=float)
    told = _evaluate(optuna, study, evaluator, ranks)
    shuffled = [_evaluate(optuna, study, evaluator, drawn.permutation(ranks)) for _ in range(_SHUFFLES)]
    bounds = {axis.key: float(np.quantile([one[axis.key] for one in shuffled], 0.95)) for axis in axes}
    whole = sum(told.values()) or 1.0
    ranking = sorted(axes, key=lambda axis: (-told[axis.key], axis.key))
    return tuple(
        Importance(
            parameter=axis,
            percent=100.0 * told[axis.key] / whole,
            above_chance=told[axis.key] > bounds[axis.key],
            chance_percent=100.0 * bounds[axis.key] / whole,
        )
        for axis in ranking
    )


def _evaluate(optuna: Any, study: Any, evaluator: Any, ranks: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a target that is to be low, and of an experimental argument
        found: dict[str, float] = optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: ranks[trial.number], normalize=False
        )
    return found


def _distribution(optuna: Any, axis: Parameter) -> Any:
    made = optuna.distributions
    if axis.choices:
        return made.CategoricalDistribution(list(axis.choices))
    if axis.whole:
        return made.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return made.FloatDistribution(axis.low, axis.high, log=axis.log)
