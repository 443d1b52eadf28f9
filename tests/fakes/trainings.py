"""Trainings without training: a policy's segments played against known curves."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from lightning_itwin.hpo.policies import Policy, Segment

Curve = Callable[[Mapping[str, Any], int], float]  # params, epoch from 1


def play(
    policy: Policy,
    study: optuna.Study,
    space: Mapping[str, optuna.distributions.BaseDistribution],
    curve: Curve,
    *,
    max_epochs: int,
    slots: int = 1,
    rows: int = 10,
) -> list[Segment]:
    """Play until ``rows`` segments were started; an epoch lasts 1. Gives the segments in their order."""
    events: list[tuple[int, int, optuna.Trial, Segment]] = []
    started: list[Segment] = []

    def start(now: int) -> bool:
        answer = policy.ask(study, space) if len(started) < rows else None
        if answer is not None:
            trial, segment = answer
            started.append(segment)
            heapq.heappush(events, (now + 1, trial.number, trial, segment))
        return answer is not None

    while len(events) < slots and start(0):
        pass
    epoch_of = {}
    best = max if study.direction == optuna.study.StudyDirection.MAXIMIZE else min
    while events:
        now, number, trial, segment = heapq.heappop(events)
        epoch = epoch_of[number] = epoch_of.get(number, segment.from_epoch) + 1
        trial.report(curve(segment.params, epoch), epoch)
        if policy.should_stop(study, trial) or epoch == segment.until_epoch:
            values = trial.study.trials[number].intermediate_values
            if epoch == max_epochs and values[epoch] == values[epoch]:
                study.tell(trial, best(values.values()))
            else:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            while len(events) < slots and start(now):
                pass
        else:
            heapq.heappush(events, (now + 1, number, trial, segment))
    return started
