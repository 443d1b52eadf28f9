"""Samplers that a restart does not set back, and TPE that learns from what all configurations have in common.

Optuna's samplers do the sampling. A policy makes one for each row, seeded by the study's seed and the row's
number: a sampler with a fixed seed would repeat its samples after a restart.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lightning_itwin.hpo.policies.configurations import Configuration, read_configurations


def row_seed(seed: int, number: int, stream: int = 0) -> int:
    """Give the seed of one row's sampler.

    Args:
        seed: of the study.
        number: of the row.
        stream: for a second, independent seed.
    """
    return int(np.random.SeedSequence([seed, number, stream]).generate_state(1)[0])


def random_sampler(seed: int, number: int) -> RandomSampler:
    """Make the sampler that draws one row at random."""
    return RandomSampler(seed=row_seed(seed, number))


class Fixed(BaseSampler):
    """Gives the values that are known already.

    Args:
        params: name and value of each hyperparameter.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = dict(params)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.params[param_name]


class RungAwareTPE(BaseSampler):
    """Optuna's multivariate TPE, fitted on configurations that can be compared.

    Let b be the highest rung that at least ``least`` configurations have reached. Those that have count as
    complete with their lowest value up to b; the rest is left out, but for new ones that run, which stay as
    TPE's constant liar. Plain TPE would rank a row by how long it survived before it looks at its value. With
    the probability ``random_share`` the whole configuration is drawn at random.

    Args:
        space: name and distribution of each hyperparameter.
        rungs: epochs of the rungs, the last a whole training.
        seed: of the study.
        number: of the row to be drawn.
        least: configurations at a rung before it is trusted.
        random_share: 0 to 1.
        configurations: all of the study, where they were read already.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        rungs: Sequence[int],
        *,
        seed: int,
        number: int,
        least: int = 8,
        random_share: float = 1 / 3,
        configurations: Sequence[Configuration] | None = None,
    ) -> None:
        self.space = {name: distribution for name, distribution in space.items() if not distribution.single()}
        self.rungs = tuple(rungs)
        self.least = least
        self.at_random = np.random.default_rng(row_seed(seed, number, 1)).random() < random_share
        self.tpe = TPESampler(seed=row_seed(seed, number))
        self.random = random_sampler(seed, number)
        self.configurations = configurations

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {} if self.at_random else dict(self.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        known = self.configurations
        if known is None:
            known = read_configurations(study, self.rungs[-1])
        others = [one for one in known if one.number != trial.number]
        return self.tpe.sample_relative(self.view(study, others), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.random.sample_independent(study, trial, param_name, param_distribution)

    def view(self, study: optuna.Study, configurations: Sequence[Configuration]) -> optuna.Study:
        """Give the study as TPE is to see it, with comparable rows alone."""
        maximize = study.direction == StudyDirection.MAXIMIZE
        rung = comparable_rung(configurations, self.rungs, self.least)
        rows = [comparable_row(one, rung, -1.0 if maximize else 1.0) for one in configurations]
        view = copy.copy(study)  # as Optuna's own Hyperband shows a bracket to its sampler

        def get_trials(
            deepcopy: bool = True, states: Any = None, use_cache: bool = False
        ) -> list[FrozenTrial]:
            return [row for row in rows if row is not None and (states is None or row.state in states)]

        view._get_trials = get_trials  # type: ignore[method-assign]
        return view


def comparable_rung(configurations: Sequence[Configuration], rungs: Sequence[int], least: int) -> int:
    """Give the highest rung that at least ``least`` configurations have reached; the first, where none."""
    for rung in reversed(rungs):
        if sum(one.reached >= rung for one in configurations) >= least:
            return rung
    return rungs[0]


def comparable_row(one: Configuration, rung: int, sign: float) -> FrozenTrial | None:
    """Show a configuration to TPE: complete at the rung, running below it, or not at all."""
    if one.reached >= rung or one.diverged:
        best = one.best(rung)
        state, value = TrialState.COMPLETE, sign * (best if math.isfinite(best) else math.inf)
    elif one.busy and one.params:
        state, value = TrialState.RUNNING, None
    else:
        return None
    return FrozenTrial(
        number=one.number,
        state=state,
        value=value,
        datetime_start=None,
        datetime_complete=None,
        params=dict(one.params),
        distributions=dict(one.distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=one.number,
    )
