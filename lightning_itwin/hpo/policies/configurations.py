"""A study's rows read as configurations: the segments of each joined to one learning curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightning_itwin.hpo.policies.segment import read_segment
from lightning_itwin.optional import require

if TYPE_CHECKING:
    import optuna


@dataclass(kw_only=True)
class Configuration:
    """One configuration and what its segments have shown so far.

    Args:
        number: of its first row.
        params: its hyperparameters.
        distributions: of its hyperparameters.
        curve: value after each epoch, lower is better whatever the study's direction; NaN where it diverged.
        epochs: trained in segments that ended well, and can be resumed from.
        last_row: number of the row that trained them, or None.
        until_epoch: where its last segment was to end.
        busy: a segment of it runs or waits in the queue.
        ended: it is complete, stopped for good or lost: it is not to be resumed.
        lost: its last segment failed and none was queued to try it again.
    """

    number: int
    params: Mapping[str, Any]
    distributions: Mapping[str, optuna.distributions.BaseDistribution]
    curve: dict[int, float] = field(default_factory=dict)
    epochs: int = 0
    last_row: int | None = None
    until_epoch: int = 0
    busy: bool = False
    ended: bool = False
    lost: bool = False

    @property
    def diverged(self) -> bool:
        """Whether a value of the curve is not a number."""
        return any(math.isnan(value) for value in self.curve.values())

    @property
    def reached(self) -> int:
        """Last epoch that was reported, in a running segment too."""
        return max(self.curve, default=0)

    def best(self, until: int | None = None) -> float:
        """Give the lowest value up to an epoch; infinity where it diverged before or nothing is known.

        >>> Configuration(number=0, params={}, distributions={}, curve={1: 0.5, 2: 0.3, 3: 0.4}).best(3)
        0.3
        """
        values = [value for epoch, value in self.curve.items() if until is None or epoch <= until]
        if not values or any(math.isnan(value) for value in values):
            return math.inf
        return min(values)


def read_configurations(study: optuna.Study, max_epochs: int) -> list[Configuration]:
    """Join the rows of a study to configurations, in the order of their numbers.

    Args:
        study: with rows as :mod:`~lightning_itwin.hpo.policies.segment` marks them.
        max_epochs: epochs of a whole training.
    """
    optuna = require("optuna", extra="hpo")
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    return join(study.get_trials(deepcopy=False), max_epochs, sign)


def join(rows: Iterable[optuna.trial.FrozenTrial], max_epochs: int, sign: float = 1.0) -> list[Configuration]:
    """Join rows to configurations.

    A segment that failed gives nothing that can be resumed: its epochs are forgotten (but not that it
    diverged), the ones before it stay, and the configuration counts as lost until a later row tries it again.

    Args:
        rows: in the order of their numbers.
        max_epochs: epochs of a whole training.
        sign: -1 where higher values are better.
    """
    found: dict[int, Configuration] = {}
    for row in rows:
        segment = read_segment(row, max_epochs)
        state = row.state.name
        configuration = found.get(segment.configuration)
        if configuration is None:
            configuration = found[segment.configuration] = Configuration(
                number=segment.configuration, params=row.params, distributions=row.distributions
            )
        if state != "WAITING":
            configuration.params, configuration.distributions = row.params, row.distributions
        configuration.until_epoch = segment.until_epoch
        configuration.busy = state in ("RUNNING", "WAITING")
        configuration.ended = state in ("FAIL", "COMPLETE")
        configuration.lost = state == "FAIL"
        for epoch, value in row.intermediate_values.items():
            if state != "FAIL" or math.isnan(value):
                configuration.curve[epoch] = sign * value
        if state in ("COMPLETE", "PRUNED"):
            configuration.epochs = max(row.intermediate_values, default=segment.from_epoch)
            configuration.last_row = row.number
            stopped_early = configuration.epochs < segment.until_epoch
            configuration.ended |= (
                stopped_early or configuration.diverged or configuration.epochs >= max_epochs
            )
    return [found[number] for number in sorted(found)]
