"""What a policy answers: one launch of one configuration, and the marks that it leaves on the study's row.

A configuration is one set of hyperparameters. It may be trained in several segments, each a launch of its own
that resumes the last one's checkpoint; every segment is one row (trial) of the study. All that a policy knows
stands in these rows, so that a restarted driver decides as the old one would have done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import optuna

CONFIGURATION = "configuration"
FROM_EPOCH = "from_epoch"
UNTIL_EPOCH = "until_epoch"
RESUME_FROM = "resume_from"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One launch of one configuration.

    Args:
        params: the hyperparameters, name and value as the study holds them.
        configuration: number of the configuration's first row.
        from_epoch: epochs that are already trained, 0 for a new configuration.
        until_epoch: epochs that are trained when the segment ends.
        resume_from: number of the row whose checkpoint is loaded; None starts anew.
    """

    params: Mapping[str, Any]
    configuration: int
    from_epoch: int
    until_epoch: int
    resume_from: int | None

    def marks(self) -> dict[str, Any]:
        """Give the user attributes that say on a row what this segment is."""
        marks = {
            CONFIGURATION: self.configuration,
            FROM_EPOCH: self.from_epoch,
            UNTIL_EPOCH: self.until_epoch,
        }
        return marks if self.resume_from is None else {**marks, RESUME_FROM: self.resume_from}


def read_segment(row: optuna.trial.FrozenTrial, max_epochs: int) -> Segment:
    """Read from a row which segment it is; a row without marks is a whole training.

    Args:
        row: a trial of the study.
        max_epochs: epochs of a whole training.
    """
    marks = row.user_attrs
    return Segment(
        params=dict(row.params),
        configuration=marks.get(CONFIGURATION, row.number),
        from_epoch=marks.get(FROM_EPOCH, 0),
        until_epoch=marks.get(UNTIL_EPOCH, max_epochs),
        resume_from=marks.get(RESUME_FROM),
    )


class Policy(Protocol):
    """Decides what a study starts next and what it stops.

    The object keeps nothing that is not in the study: two policies of the same arguments answer alike for the
    same rows. One asker at a time.
    """

    def ask(
        self, study: optuna.Study, space: Mapping[str, optuna.distributions.BaseDistribution]
    ) -> tuple[optuna.Trial, Segment] | None:
        """Open a row for a free slot, its marks set; None where nothing can be started now.

        A row that waits in the study's queue (``enqueue_trial``) comes first. One with marks is that segment:
        so a driver tries a lost segment again.

        Args:
            study: an Optuna study of one objective.
            space: name and distribution of each hyperparameter.
        """
        ...

    def should_stop(self, study: optuna.Study, trial: optuna.Trial) -> bool:
        """Say whether a training ends here, told PRUNED; asked after each report (step = epoch + 1)."""
        ...
