"""The end of a study that may start no new configuration: the best of the paused ones go on to their end."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from lightning_itwin.hpo.policies import Policy, Segment

if TYPE_CHECKING:
    import optuna

    from lightning_itwin.hpo.policies.configurations import Configuration

_ETA = 3


def ask_to_finish(
    study: optuna.Study, policy: Policy, max_epochs: int, baselines: Container[int]
) -> tuple[optuna.Trial, Segment] | None:
    """Resume a paused configuration; None where all that deserve it have gone on, or the policy resumes none.

    Args:
        study: whose configurations have all been begun.
        policy: with ``rungs``, where it pauses at them.
        max_epochs: of a whole training.
        baselines: numbers of the user's own configuration, which is trained to its end anyway.
    """
    from lightning_itwin.hpo.policies.asking import ask_next
    from lightning_itwin.hpo.policies.configurations import read_configurations
    from lightning_itwin.hpo.policies.freeze_thaw import FreezeThaw
    from lightning_itwin.hpo.policies.promotion import Promotion

    if not isinstance(policy, (Promotion, FreezeThaw)):
        return None
    rivals = [one for one in read_configurations(study, max_epochs) if one.number not in baselines]
    found = next_to_finish(rivals, policy.rungs)
    return None if found is None else ask_next(study, *found)


def next_to_finish(
    rivals: Sequence[Configuration], rungs: Sequence[int], eta: int = _ETA
) -> tuple[Configuration, int] | None:
    """Find who goes on, and to which rung, from the highest rung down.

    At a rung that ``n`` configurations have reached, the best ``n / eta`` go on, and at least one: the study
    ends with a configuration that was trained to its end, however few there were. While some are still on
    their way to a rung, nobody is chosen there as its only one.

    Args:
        rivals: the configurations but the baseline.
        rungs: the last of them a whole training.
        eta: share of those that go on.
    """
    for rung, higher in reversed(list(itertools.pairwise(rungs))):
        reached = sorted(
            (one for one in rivals if one.reached >= rung and not one.diverged),
            key=lambda one: (one.best(rung), one.number),
        )
        on_their_way = any(one.busy and one.reached < rung for one in rivals)
        share = len(reached) // eta if on_their_way else max(1, len(reached) // eta)
        for one in reached[:share]:
            if not one.busy and not one.ended and one.epochs < higher:
                return one, higher
    return None
