"""Pause and promote: configurations are trained to a rung, the best of a rung are resumed."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution

from lightning_itwin.hpo.policies.asking import ask_new, ask_next, ask_queued, diverged, waiting
from lightning_itwin.hpo.policies.configurations import read_configurations
from lightning_itwin.hpo.policies.rungs import default_first_rung, promotable, rung_ladder
from lightning_itwin.hpo.policies.samplers import RungAwareTPE
from lightning_itwin.hpo.policies.segment import Segment


class Promotion:
    """Asynchronous successive halving that pauses and resumes, with TPE fitted on one rung.

    A free slot looks from the highest rung down for a configuration among the best ``1 / eta`` of its rung
    that was not promoted, and resumes it to the next rung; where there is none, it starts a new one. Nothing
    is dropped: what is passed over today may go on when its rung has filled.

    Args:
        max_epochs: epochs of a whole training.
        seed: of the samples.
        eta: a rung has ``eta`` times the epochs of the one before, and a ``1 / eta`` goes on.
        first_rung: in epochs; None for a thirteenth of ``max_epochs``.
        early_share: of the new configurations that start on a rung ``eta`` times lower, 0 to 1: Hyperband's
            brackets, with promotion.
        random_share: of the new configurations that are drawn at random, 0 to 1.

    Raises:
        ValueError: rungs that do not fit, or a share out of 0 to 1.

    Reference:
        Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934, algorithm 2.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        seed: int = 0,
        eta: int = 3,
        first_rung: int | None = None,
        early_share: float = 0.0,
        random_share: float = 1 / 3,
    ) -> None:
        for name, share in (("early_share", early_share), ("random_share", random_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} {share}: a share is within 0 and 1")
        first = default_first_rung(max_epochs) if first_rung is None else first_rung
        late = rung_ladder(first, max_epochs, eta)
        lowest = first // eta if early_share and first >= eta else first
        self.first_rung = first
        self.rungs = late if lowest == first else (lowest, *late)
        self.seed = seed
        self.eta = eta
        self.early_share = early_share
        self.random_share = random_share

    def ask(
        self, study: optuna.Study, space: Mapping[str, BaseDistribution]
    ) -> tuple[optuna.Trial, Segment] | None:
        number = len(study.get_trials(deepcopy=False))
        configurations = read_configurations(study, self.rungs[-1])
        sampler = RungAwareTPE(
            space,
            self.rungs,
            seed=self.seed,
            number=number,
            random_share=self.random_share,
            configurations=configurations,
        )
        first = self.start_rung(len(configurations))
        if waiting(study):
            return ask_queued(study, space, sampler, until_epoch=first, max_epochs=self.rungs[-1])
        found = promotable(configurations, self.rungs, self.eta)
        if found is not None:
            return ask_next(study, *found)
        return ask_new(study, space, sampler, until_epoch=first)

    def start_rung(self, count: int) -> int:
        """Give the first rung of the next configuration, dealt in turn.

        Args:
            count: of the configurations so far.
        """
        early = int((count + 1) * self.early_share) > int(count * self.early_share)
        return self.rungs[0] if early else self.first_rung

    def should_stop(self, study: optuna.Study, trial: optuna.Trial) -> bool:
        return diverged(trial)
