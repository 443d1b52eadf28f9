"""What a study may still spend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_itwin.hpo.policies import CONFIGURATION, FROM_EPOCH, UNTIL_EPOCH

if TYPE_CHECKING:
    import optuna

RETRY_OF, COPIED = "retry_of", "copied_epochs"


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the rows of a study have cost.

    Args:
        trials: configurations that were begun.
        epochs: of all trainings, running ones to the end of their segment.
        seconds: of wall clock in which a driver ran.
    """

    trials: int
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a study may cost; None for without limit.

    Args:
        trials: configurations.
        epochs: of all trainings together.
        seconds: of wall clock.
    """

    trials: int | None = None
    epochs: int | None = None
    seconds: float | None = None

    def exhausted(self, spent: Spent) -> bool:
        """Say whether nothing more is to be started.

        >>> Budget(epochs=100).exhausted(Spent(trials=5, epochs=100, seconds=9.0))
        True
        """
        return (self.epochs is not None and spent.epochs >= self.epochs) or (
            self.seconds is not None and spent.seconds >= self.seconds
        )

    def new_configurations(self, spent: Spent) -> bool:
        """Say whether a configuration may be started that was not tried yet."""
        return self.trials is None or spent.trials < self.trials

    def share(self, spent: Spent, finished: int) -> float:
        """Give how much of the budget is used, 0 to 1.

        Args:
            spent: so far.
            finished: configurations of which nothing runs.
        """
        shares = [
            used / limit
            for used, limit in (
                (finished, self.trials),
                (spent.epochs, self.epochs),
                (spent.seconds, self.seconds),
            )
            if limit
        ]
        return min(1.0, max(shares, default=0.0))


def spent(rows: Iterable[optuna.trial.FrozenTrial], seconds: float) -> Spent:
    """Add up what the rows of a study have cost.

    Args:
        rows: all of them.
        seconds: in which a driver ran.
    """
    trials, epochs = set(), 0
    for row in rows:
        marks: dict[str, Any] = row.user_attrs
        trials.add(marks.get(CONFIGURATION, row.number))
        epochs += epochs_of(row)
        if row.state.name in ("RUNNING", "WAITING"):
            until = marks.get(UNTIL_EPOCH, 0)
            epochs += max(0, until - max([marks.get(FROM_EPOCH, 0), *row.intermediate_values]))
    return Spent(trials=len(trials), epochs=epochs, seconds=seconds)


def epochs_of(row: optuna.trial.FrozenTrial) -> int:
    """Give how many epochs a row has trained itself."""
    start = max(row.user_attrs.get(FROM_EPOCH, 0), row.user_attrs.get(COPIED, 0))
    return max(0, max(row.intermediate_values, default=start) - start)
