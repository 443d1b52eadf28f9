"""Freeze and thaw: whoever may end lowest goes on, whether it was paused, or never ran."""

# N observations, C columns of a point (encoding.py)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from scipy.spatial.distance import cdist

from lightning_itwin.hpo.policies.asking import ask_new, ask_next, ask_queued, diverged, waiting
from lightning_itwin.hpo.policies.configurations import Configuration, read_configurations
from lightning_itwin.hpo.policies.curve_model import CurveModel, Points
from lightning_itwin.hpo.policies.encoding import Encoding
from lightning_itwin.hpo.policies.observations import Observations, at_the_end, observe
from lightning_itwin.hpo.policies.rungs import rung_ladder
from lightning_itwin.hpo.policies.samplers import Fixed, random_sampler, row_seed
from lightning_itwin.hpo.policies.segment import Segment

MODEL = "curve_model"
_SHOWN = 4  # configurations with a value before the process is asked
_REFIT = 1.15  # growth of the observations after which the process is fitted anew
_EVERYWHERE, _NEARBY, _LEADERS = 200, 20, 5  # candidates at random, and around each of the leaders


class FreezeThaw:
    """Bayesian optimisation over configurations and epochs, with pausing and resuming.

    A Gaussian process learns from all learning curves where each would end. A free slot takes, of all paused
    configurations and of new ones, the one with the lowest plausible end, mean - ``optimism`` standard
    deviations, and trains it to its next rung. So a poor start is dropped after an epoch or a few, a slow one
    goes on where others like it ended well, and nothing is dropped for good. Trainings that run count as if
    they had ended where they are expected to, so that slots do not all try the same.

    Two shares keep a study from stalling. Of equals, each a little less certain than the last, one after
    another would be started and none finished: ``finish_share`` of the decisions go on with the favourite,
    the paused configuration that is expected to end lowest, while it may become the best. And where curves
    cross late, the process would never see it: ``whole_share`` of all epochs belong to configurations that
    are trained to their end; whenever there are fewer, the favourite is trained to its end at once.

    Args:
        max_epochs: epochs of a whole training.
        seed: of the samples.
        eta: a rung has ``eta`` times the epochs of the one before.
        first_rung: in epochs; None for a fortieth of ``max_epochs``.
        at_random: configurations at the start that are drawn at random.
        optimism: standard deviations below the mean; 0 takes what is expected to be best.
        finish_share: of the decisions that go on with the favourite, 0 to 1.
        whole_share: of all epochs that belong to configurations trained to their end, at least, 0 to 1.

    Raises:
        ValueError: rungs that do not fit, ``at_random`` below 2, ``optimism`` below 0, a share out of 0 to 1.

    Reference:
        Swersky, Snoek and Adams, 2014, https://arxiv.org/abs/1406.3896; one step at a time for whoever
        promises most, as Wistuba, Kadra and Grabocka, NeurIPS 2022, https://arxiv.org/abs/2202.09774.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        seed: int = 0,
        eta: int = 3,
        first_rung: int | None = None,
        at_random: int = 10,
        optimism: float = 1.5,
        finish_share: float = 1 / 3,
        whole_share: float = 1 / 3,
    ) -> None:
        for name, share in (("finish_share", finish_share), ("whole_share", whole_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} {share}: a share is within 0 and 1")
        if at_random < 2:
            raise ValueError(
                f"at_random {at_random}: the process needs 2 configurations or more to start from"
            )
        if optimism < 0:
            raise ValueError(f"optimism {optimism}: it is 0 or more")
        first = max(1, round(max_epochs / 40)) if first_rung is None else first_rung
        self.rungs = rung_ladder(first, max_epochs, eta)
        self.seed = seed
        self.at_random = at_random
        self.optimism = optimism
        self.finish_share = finish_share
        self.whole_share = whole_share

    def ask(
        self, study: optuna.Study, space: Mapping[str, BaseDistribution], *, may_start: bool = True
    ) -> tuple[optuna.Trial, Segment] | None:
        """Open a row for a free slot, see :class:`~lightning_itwin.hpo.policies.segment.Policy`.

        Args:
            study, space: as there.
            may_start: False only resumes, and nobody once no paused configuration may become the best: for
                the end of a study.
        """
        number = len(study.get_trials(deepcopy=False))
        by_chance = random_sampler(self.seed, number)
        if waiting(study):
            return ask_queued(study, space, by_chance, until_epoch=self.rungs[0], max_epochs=self.rungs[-1])
        configurations = read_configurations(study, self.rungs[-1])
        shown = sum(math.isfinite(one.best()) for one in configurations)
        if may_start and (len(configurations) < self.at_random or shown < _SHOWN):
            return ask_new(study, space, by_chance, until_epoch=self.rungs[0])
        encoding = Encoding(space)
        if not encoding.names or shown < 2:
            return None
        seen = observe(configurations, encoding, self.rungs)
        model = CurveModel(encoding.owner_C)
        stored = stored_model(study, len(model.theta_H))
        if stored is not None and seen.count < _REFIT * stored[0]:
            model.theta_H = np.array(stored[1:])
            refit = False
        else:
            model.fit(seen.points, seen.values_N)
            refit = True
        rng = np.random.default_rng(row_seed(self.seed, number, 2))
        to_the_end = self.too_few_whole(configurations)
        finish = to_the_end or rng.random() < self.finish_share
        chosen = self.choose(model, seen, configurations, encoding, rng, finish=finish, may_start=may_start)
        if chosen is None:
            return None
        if isinstance(chosen, Configuration):
            next_rung = next(rung for rung in self.rungs if rung > chosen.epochs)
            until = self.rungs[-1] if to_the_end else next_rung
            trial, segment = ask_next(study, chosen, until)
        else:
            trial, segment = ask_new(study, space, Fixed(chosen), until_epoch=self.rungs[0])
        if refit:
            trial.set_user_attr(MODEL, [seen.count, *model.theta_H.tolist()])
        return trial, segment

    def choose(
        self,
        model: CurveModel,
        seen: Observations,
        configurations: Sequence[Configuration],
        encoding: Encoding,
        rng: np.random.Generator,
        *,
        finish: bool = False,
        may_start: bool = True,
    ) -> Configuration | dict[str, Any] | None:
        """Choose who goes on: a paused configuration, or the hyperparameters of a new one; None for nobody.

        Args:
            model: with its hyperparameters.
            seen: what the configurations have shown.
            configurations: all of the study.
            encoding: of their hyperparameters.
            rng: draws the candidates.
            finish: go on with the favourite, where one may become the best.
            may_start: see :meth:`ask`.
        """
        points_NC = encoding.encode([one.params for one in configurations])
        running = np.flatnonzero([one.busy for one in configurations])
        paused = np.flatnonzero([not (one.busy or one.ended) for one in configurations])
        model.condition(seen.points, seen.values_N)
        expected_N, _ = model.predict(at_the_end(points_NC))
        new_NC = candidates(encoding, points_NC, points_NC[np.argsort(expected_N)[:_LEADERS]], rng)
        new_NC = new_NC[: len(new_NC) if may_start else 0]
        best_seen = seen.values_N.min()
        if running.size:
            believed = at_the_end(points_NC, running)
            points = Points(*map(np.concatenate, zip(seen.points, believed)))
            model.condition(points, np.concatenate([seen.values_N, expected_N[running]]))
        arms = Points(*map(np.concatenate, zip(at_the_end(points_NC, paused), at_the_end(new_NC).unknown())))
        if not arms.z.size:
            return None
        mean_N, deviation_N = model.predict(arms)
        plausible_N = mean_N - self.optimism * deviation_N
        best = int(np.argmin(plausible_N))
        if not may_start and plausible_N[best] >= best_seen:
            return None
        if finish:
            hopeful = np.flatnonzero(plausible_N[: paused.size] < best_seen)
            if hopeful.size:
                best = int(hopeful[np.argmin(mean_N[hopeful])])
        if best < paused.size:
            return configurations[paused[best]]
        return encoding.decode(new_NC[best - paused.size])

    def too_few_whole(self, configurations: Sequence[Configuration]) -> bool:
        """Say whether another training fits into the share of epochs that whole trainings are to have."""
        whole = self.rungs[-1]
        ending = sum(
            one.reached >= whole or (one.busy and one.until_epoch >= whole) for one in configurations
        )
        return (ending + 1) * whole <= self.whole_share * sum(one.reached for one in configurations)

    def should_stop(self, study: optuna.Study, trial: optuna.Trial) -> bool:
        return diverged(trial)


def stored_model(study: optuna.Study, length: int) -> list[float] | None:
    """Read the process that was last fitted: count of its observations, then its hyperparameters.

    Args:
        study: with rows that the policy asked for.
        length: count of the hyperparameters; a process of another space is passed over.
    """
    for row in reversed(study.get_trials(deepcopy=False)):
        stored = row.user_attrs.get(MODEL)
        if stored is not None and len(stored) == length + 1:
            return stored
    return None


def candidates(
    encoding: Encoding, known_NC: np.ndarray, leaders_LC: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw points that were never tried: everywhere, and around the leaders.

    Args:
        encoding: of the space.
        known_NC: points that were tried.
        leaders_LC: the ones that are expected to end lowest.
        rng: of the draw.
    """
    near = [encoding.near(rng, leader_C, _NEARBY, width=0.15) for leader_C in leaders_LC]
    drawn_NC = np.unique(np.concatenate([encoding.sample(rng, _EVERYWHERE), *near]), axis=0)
    nearest_N = cdist(drawn_NC, known_NC, "sqeuclidean").min(axis=1)
    return drawn_NC[nearest_N > 1e-12]
