"""The rows of a study: how one is told its end, and how a lost one is tried again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lightning_itwin.hpo.budget import COPIED, RETRY_OF
from lightning_itwin.hpo.policies import CONFIGURATION, FROM_EPOCH, RESUME_FROM, UNTIL_EPOCH
from lightning_itwin.hpo.trial_folder import COMPLETE, DIVERGED, TrialFolder
from lightning_itwin.optional import require

if TYPE_CHECKING:
    import optuna

REASON, DRIVER, WALL_S, BASELINE, LOST, RETRIES, TAKEN = (
    "reason",
    "driver",
    "wall_s",
    "baseline",
    "lost",
    "retries",
    "taken",
)
MOST_RETRIES = 2
INTERRUPTED = "interrupted"


def settle(
    study: optuna.Study,
    number: int,
    folder: TrialFolder,
    lost: str = "",
    failed: str = "",
    *,
    taken: bool = False,
) -> str:
    """Tell a row its end: by the result that its trial left, else that it failed.

    Whatever the trial reported and the storage does not know is filled in first.

    Args:
        study: of the row.
        number: of the row.
        folder: of the trial.
        lost: why it ended through no fault of its hyperparameters, so that it is tried again.
        failed: why it failed.
        taken: whether it was lost because a scheduler took its machines away.

    Returns:
        the state: ``"complete"``, ``"paused"``, ``"stopped"``, ``"diverged"``, ``"lost"`` or ``"failed"``.
    """
    optuna = require("optuna", extra="hpo")
    row = study.get_trials(deepcopy=False)[number]
    if row.state.is_finished():
        return str(row.user_attrs.get("outcome", row.state.name.lower()))
    trial = optuna.Trial(study, row._trial_id)
    for epoch, value in sorted(folder.reports().items()):
        if epoch not in row.intermediate_values:
            trial.report(value, epoch)
    result = folder.result()
    state = result.state if result else "lost" if lost else "failed"
    reason = result.reason if result else lost or failed
    trial.set_user_attr("outcome", state)
    if reason:
        trial.set_user_attr(REASON, reason)
    if result:
        trial.set_user_attr(WALL_S, round(result.wall_s, 3))
    if state == "lost":
        trial.set_user_attr(LOST, True)
        if taken:
            trial.set_user_attr(TAKEN, True)
    states = optuna.trial.TrialState
    if state == COMPLETE and result is not None:
        study.tell(number, values=best_of_configuration(study, number), state=states.COMPLETE)
    elif state in (DIVERGED, "lost", "failed"):
        study.tell(number, state=states.FAIL)
    else:
        study.tell(number, state=states.PRUNED)
    return state


def best_of_configuration(study: optuna.Study, number: int) -> float:
    """Give the best value of a row's configuration, its earlier segments included."""
    rows = study.get_trials(deepcopy=False)
    configuration = rows[number].user_attrs.get(CONFIGURATION, number)
    values = [
        value
        for row in rows
        if row.user_attrs.get(CONFIGURATION, row.number) == configuration
        for value in row.intermediate_values.values()
        if not math.isnan(value)
    ]
    return max(values) if study.direction.name == "MAXIMIZE" else min(values)


def retry_lost(study: optuna.Study, folder_of: Any) -> list[int]:
    """Queue the rows again that were lost and have no successor yet; give their numbers.

    A row goes on from the last checkpoint that it left, or from where it began. One that was lost more than
    twice is given up: something in it kills its world. Interruptions do not count, nor does what a scheduler
    took away after it had got on: a training may be longer than its jobs may be.

    Args:
        study: whose rows.
        folder_of: gives the :class:`TrialFolder` of a row's number.
    """
    rows = study.get_trials(deepcopy=False)
    followed = {row.user_attrs.get(RETRY_OF) for row in rows}
    queued = []
    for row in rows:
        marks = row.user_attrs
        if row.state.name != "FAIL" or not marks.get(LOST) or row.number in followed:
            continue
        saved = folder_of(row.number).saved("last")
        copied = marks.get(COPIED, 0)
        got_on = saved is not None and saved.epochs > max(copied, marks.get(FROM_EPOCH, 0))
        excused = marks.get(REASON) == INTERRUPTED or (marks.get(TAKEN) and got_on)
        retries = marks.get(RETRIES, 0) + (0 if excused else 1)
        if retries > MOST_RETRIES:
            continue
        attributes = {
            CONFIGURATION: marks.get(CONFIGURATION, row.number),
            FROM_EPOCH: marks.get(FROM_EPOCH, 0),
            RETRY_OF: row.number,
            RETRIES: retries,
        }
        for name in (UNTIL_EPOCH, RESUME_FROM, BASELINE):
            if name in marks:
                attributes[name] = marks[name]
        if saved is not None and saved.epochs > attributes[FROM_EPOCH]:
            attributes |= {RESUME_FROM: row.number, COPIED: saved.epochs}
        elif copied:  # lost again before it had saved anything: from the earlier checkpoint once more
            attributes[COPIED] = copied
        params = dict(row.params)
        params = params or row.system_attrs.get("fixed_params", {})
        study.enqueue_trial(params, user_attrs=attributes)
        queued.append(row.number)
    return queued


def copy_reports(study: optuna.Study, number: int) -> None:
    """Give a retried row the values of the epochs that it does not train again."""
    optuna = require("optuna", extra="hpo")
    rows = study.get_trials(deepcopy=False)
    row = rows[number]
    copied, before = row.user_attrs.get(COPIED, 0), row.user_attrs.get(RETRY_OF)
    if not copied or before is None:
        return
    trial = optuna.Trial(study, row._trial_id)
    for epoch, value in sorted(rows[before].intermediate_values.items()):
        if epoch <= copied and epoch not in row.intermediate_values:
            trial.report(value, epoch)
