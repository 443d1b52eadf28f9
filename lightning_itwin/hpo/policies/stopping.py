"""Policies that start each configuration once and may stop it for good: Optuna's samplers and pruners.

For trainings that cannot be resumed, and to compare with. The traps of Optuna's Hyperband are mended: the
largest resource is fixed, brackets are dealt in turn and not by the study's name, and the sampler learns from
all brackets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from lightning_itwin.hpo.policies.asking import ask_new, ask_queued, diverged, waiting
from lightning_itwin.hpo.policies.rungs import default_first_rung, rung_ladder
from lightning_itwin.hpo.policies.samplers import RungAwareTPE, random_sampler, row_seed
from lightning_itwin.hpo.policies.segment import CONFIGURATION, Segment

SamplerName = Literal["random", "tpe", "rung"]


class Stopping:
    """A sampler and a pruner.

    Args:
        max_epochs: epochs of a whole training.
        sampler: ``"random"``; ``"tpe"``, Optuna's, multivariate; ``"rung"``,
            :class:`~lightning_itwin.hpo.policies.samplers.RungAwareTPE`.
        pruner: one of Optuna's; None stops nothing but what diverges.
        seed: of the samples.
        rungs: that the rung-aware sampler compares at.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        sampler: SamplerName = "tpe",
        pruner: BasePruner | None = None,
        seed: int = 0,
        rungs: tuple[int, ...] = (),
    ) -> None:
        self.max_epochs = max_epochs
        self.sampler = sampler
        self.pruner = NopPruner() if pruner is None else pruner
        self.seed = seed
        self.rungs = rungs or (max_epochs,)

    def ask(
        self, study: optuna.Study, space: Mapping[str, BaseDistribution]
    ) -> tuple[optuna.Trial, Segment] | None:
        sampler = self.sampler_of(space, number=len(study.get_trials(deepcopy=False)))
        if waiting(study):
            return ask_queued(study, space, sampler, until_epoch=self.max_epochs, max_epochs=self.max_epochs)
        return ask_new(study, space, sampler, until_epoch=self.max_epochs)

    def sampler_of(self, space: Mapping[str, BaseDistribution], number: int) -> BaseSampler:
        """Make the sampler of one row.

        Args:
            space: name and distribution of each hyperparameter.
            number: of the row.
        """
        if self.sampler == "random":
            return random_sampler(self.seed, number)
        if self.sampler == "tpe":
            return TPESampler(seed=row_seed(self.seed, number))
        return RungAwareTPE(space, self.rungs, seed=self.seed, number=number)

    def should_stop(self, study: optuna.Study, trial: optuna.Trial) -> bool:
        if diverged(trial):
            return True
        row = study.get_trials(deepcopy=False)[trial.number]
        return bool(row.intermediate_values) and self.pruner.prune(study, row)


class DealtHyperband(HyperbandPruner):
    """Optuna's Hyperband with its brackets dealt in turn, in proportion to their budgets.

    Optuna deals by a hash of the study's name and the row's number, so that the name decides how often a
    bracket is used; a row that tries a lost one again stays in that one's bracket here.

    Args:
        min_resource: epochs of the first rung.
        max_resource: epochs of a whole training.
        reduction_factor: eta.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        rungs = rung_ladder(min_resource, max_resource, reduction_factor)
        exact = min_resource * reduction_factor ** (len(rungs) - 1) == max_resource
        # floor(log_eta(max / min)) loses a bracket to rounding where the ratio is a power of eta
        super().__init__(min_resource, max_resource + 1 if exact else max_resource, reduction_factor)

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        number = trial.user_attrs.get(CONFIGURATION, trial.number)
        budgets = self._trial_allocation_budgets
        share = [budget / sum(budgets) for budget in budgets]
        dealt = [0] * len(budgets)
        for turn in range(number + 1):  # to whoever is furthest behind its share
            behind = [share[i] * (turn + 1) - dealt[i] for i in range(len(budgets))]
            bracket = behind.index(max(behind))
            dealt[bracket] += 1
        return bracket


def hyperband(
    *,
    max_epochs: int,
    seed: int = 0,
    eta: int = 3,
    first_rung: int | None = None,
    sampler: SamplerName = "rung",
) -> Stopping:
    """Make Hyperband (Li et al., JMLR 2018): Optuna's pruner, mended, with the rung-aware sampler.

    Args:
        max_epochs, seed, eta, first_rung: see :class:`~lightning_itwin.hpo.policies.promotion.Promotion`.
        sampler: see :class:`Stopping`.
    """
    first = default_first_rung(max_epochs) if first_rung is None else first_rung
    rungs = rung_ladder(first, max_epochs, eta)
    pruner = DealtHyperband(first, max_epochs, eta)
    return Stopping(max_epochs=max_epochs, sampler=sampler, pruner=pruner, seed=seed, rungs=rungs)


def asha(
    *,
    max_epochs: int,
    seed: int = 0,
    eta: int = 3,
    first_rung: int | None = None,
    sampler: SamplerName = "rung",
) -> Stopping:
    """Make ASHA that stops: Optuna's successive halving, with the rung-aware sampler.

    Args:
        max_epochs, seed, eta, first_rung: see :class:`~lightning_itwin.hpo.policies.promotion.Promotion`.
        sampler: see :class:`Stopping`.
    """
    first = default_first_rung(max_epochs) if first_rung is None else first_rung
    rungs = rung_ladder(first, max_epochs, eta)
    pruner = SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)
    return Stopping(max_epochs=max_epochs, sampler=sampler, pruner=pruner, seed=seed, rungs=rungs)
