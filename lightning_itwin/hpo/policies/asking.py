"""Opening a row for a segment: from the queue, for a new configuration, or for one that is resumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from lightning_itwin.hpo.policies.configurations import Configuration
from lightning_itwin.hpo.policies.samplers import Fixed
from lightning_itwin.hpo.policies.segment import UNTIL_EPOCH, Segment, read_segment


def waiting(study: optuna.Study) -> bool:
    """Say whether the study's queue holds a row."""
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def marked(trial: optuna.Trial, segment: Segment) -> tuple[optuna.Trial, Segment]:
    """Write a segment's marks on its row."""
    for name, value in segment.marks().items():
        trial.set_user_attr(name, value)
    return trial, segment


def open_row(
    study: optuna.Study, space: Mapping[str, BaseDistribution], sampler: BaseSampler
) -> optuna.Trial:
    """Ask the study for a row, drawn by a sampler that it does not keep, and with no pruner in between."""
    kept, pruner = study.sampler, study.pruner
    study.sampler, study.pruner = sampler, optuna.pruners.NopPruner()
    try:
        return study.ask(dict(space))
    finally:
        study.sampler, study.pruner = kept, pruner


def ask_queued(
    study: optuna.Study,
    space: Mapping[str, BaseDistribution],
    sampler: BaseSampler,
    *,
    until_epoch: int,
    max_epochs: int,
) -> tuple[optuna.Trial, Segment]:
    """Take the first row of the queue; what it leaves open is sampled.

    Args:
        study, space: see :class:`~lightning_itwin.hpo.policies.segment.Policy`.
        sampler: for hyperparameters that the row does not fix.
        until_epoch: where the row does not say itself how long to train.
        max_epochs: epochs of a whole training.
    """
    trial = open_row(study, space, sampler)
    row = study.get_trials(deepcopy=False)[trial.number]
    segment = read_segment(row, max_epochs)
    if UNTIL_EPOCH not in row.user_attrs:
        segment = replace(segment, until_epoch=max(until_epoch, segment.from_epoch))
    return marked(trial, segment)


def ask_new(
    study: optuna.Study, space: Mapping[str, BaseDistribution], sampler: BaseSampler, *, until_epoch: int
) -> tuple[optuna.Trial, Segment]:
    """Open the row of a new configuration.

    Args:
        study, space: see :class:`~lightning_itwin.hpo.policies.segment.Policy`.
        sampler: draws its hyperparameters.
        until_epoch: epochs to train.
    """
    trial = open_row(study, space, sampler)
    segment = Segment(
        params=dict(trial.params),
        configuration=trial.number,
        from_epoch=0,
        until_epoch=until_epoch,
        resume_from=None,
    )
    return marked(trial, segment)


def ask_next(study: optuna.Study, one: Configuration, until_epoch: int) -> tuple[optuna.Trial, Segment]:
    """Open the row that resumes a configuration.

    Args:
        study: of the configuration.
        one: the configuration, paused.
        until_epoch: epochs that are trained when the segment ends.
    """
    trial = open_row(study, one.distributions, Fixed(one.params))
    segment = Segment(
        params=dict(trial.params),
        configuration=one.number,
        from_epoch=one.epochs,
        until_epoch=until_epoch,
        resume_from=one.last_row,
    )
    return marked(trial, segment)


def diverged(trial: optuna.Trial) -> bool:
    """Say whether a row has reported a value that is not a number."""
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    return any(math.isnan(value) for value in reported.values())
