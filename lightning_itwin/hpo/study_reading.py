"""A study, read back: its rows as plain values, for files and pages; needs Optuna, but no torch."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_itwin.hpo import policies
from lightning_itwin.hpo.budget import COPIED, RETRY_OF, epochs_of
from lightning_itwin.hpo.rows import BASELINE, DRIVER, REASON, WALL_S
from lightning_itwin.hpo.storage import open_storage, shown, storage_url
from lightning_itwin.hpo.study_plan import PLAN, StudyError, StudyPlan
from lightning_itwin.optional import require
from lightning_itwin.records.manifest import from_json

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One launch of one configuration.

    Args:
        number: of the row in Optuna's storage.
        configuration: number of the configuration's first row.
        baseline: whether it is the user's own configuration.
        state: ``"complete"``, ``"paused"`` at a rung, ``"stopped"`` by the policy, ``"diverged"``,
            ``"failed"``, ``"lost"`` (killed or interrupted), ``"running"`` or ``"waiting"``.
        value: best value of this row's curve; None where there is none.
        best_epoch: of that value, counted from 1.
        params: value by key of the config, as the study holds it.
        curve: value by epoch, counted from 1; NaN where it diverged.
        from_epoch, until_epoch: epochs that were, and were to be, trained at its ends.
        resume_from: row whose checkpoint it resumed.
        retry_of: lost row that it tries again.
        epochs: that it trained itself.
        started_unix_s, ended_unix_s: None where it has not.
        wall_s: of ``fit``; None where it did not end by itself.
        driver: machine and process that launched it.
        reason: why it failed, or was lost.
    """

    number: int
    configuration: int
    baseline: bool
    state: str
    value: float | None
    best_epoch: int | None
    params: Mapping[str, Any]
    curve: Mapping[int, float]
    from_epoch: int
    until_epoch: int
    resume_from: int | None
    retry_of: int | None
    epochs: int
    started_unix_s: float | None
    ended_unix_s: float | None
    wall_s: float | None
    driver: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study.

    Args:
        folder: of the study.
        url: of its storage, without a password.
        name: in that storage.
        plan: what was asked for.
        max_epochs: of a whole training.
        rows: in the order of their numbers.
    """

    folder: Path
    url: str
    name: str
    plan: StudyPlan
    max_epochs: int
    rows: tuple[StudyRow, ...]

    @property
    def sign(self) -> float:
        """1 where lower values are better, else -1."""
        return -1.0 if self.plan.direction == "maximize" else 1.0

    @property
    def winner(self) -> StudyRow | None:
        """The row with the best value of all, the baseline included; None where there is no value."""
        return self._best(self.rows)

    @property
    def baseline(self) -> StudyRow | None:
        """The best row of the user's own configuration; None where it has no value."""
        return self._best(tuple(row for row in self.rows if row.baseline))

    def improvement_percent(self, value: float | None, baseline: float | None) -> float | None:
        """Say by how much a value is better than the baseline's; None where one is missing or zero."""
        if value is None or not baseline:
            return None
        return 100.0 * self.sign * (baseline - value) / abs(baseline)

    def states(self) -> dict[str, int]:
        """Count the rows by state."""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.state] = counts.get(row.state, 0) + 1
        return counts

    def _best(self, rows: tuple[StudyRow, ...]) -> StudyRow | None:
        valued = [row for row in rows if row.value is not None]
        return min(valued, key=lambda row: (self.sign * (row.value or 0.0), row.number), default=None)


def read_study(folder: Path | str) -> StudyRecord:
    """Read a study from its folder.

    Args:
        folder: what ``python -m lightning_itwin.hpo --output`` named.

    Raises:
        StudyError: the folder holds no study.
        MissingExtraError: Optuna is not installed.
    """
    folder = Path(folder)
    if not (folder / PLAN).exists():
        raise StudyError(f"{folder} holds no study: there is no {PLAN} in it")
    optuna = require("optuna", extra="hpo")
    plan: StudyPlan = from_json(StudyPlan, folder / PLAN)
    url = storage_url(plan.storage, folder)
    name = study_name(plan, folder)
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError:
        raise StudyError(f"{folder}: its storage {shown(url)} holds no study {name!r}") from None
    return record(study, plan, folder, url)


def study_name(plan: StudyPlan, folder: Path) -> str:
    """Give the name of a study in its storage."""
    return plan.name or folder.absolute().name


def record(study: optuna.Study, plan: StudyPlan, folder: Path, url: str) -> StudyRecord:
    """Give the record of a study that is open."""
    max_epochs = study.user_attrs.get("max_epochs") or plan.max_epochs or 0
    sign = -1.0 if plan.direction == "maximize" else 1.0
    return StudyRecord(
        folder=folder,
        url=shown(url),
        name=study.study_name,
        plan=plan,
        max_epochs=max_epochs,
        rows=tuple(_row(row, max_epochs, sign) for row in study.get_trials(deepcopy=False)),
    )


def _row(row: optuna.trial.FrozenTrial, max_epochs: int, sign: float) -> StudyRow:
    marks = row.user_attrs
    segment = policies.read_segment(row, max_epochs)
    finite = {epoch: value for epoch, value in row.intermediate_values.items() if math.isfinite(value)}
    best_epoch = min(finite, key=lambda epoch: (sign * finite[epoch], epoch), default=None)
    return StudyRow(
        number=row.number,
        configuration=segment.configuration,
        baseline=bool(marks.get(BASELINE)),
        state=marks.get("outcome") or _STATES[row.state.name],
        value=None if best_epoch is None else finite[best_epoch],
        best_epoch=best_epoch,
        params=dict(row.params),
        curve=dict(sorted(row.intermediate_values.items())),
        from_epoch=max(segment.from_epoch, marks.get(COPIED, 0)),
        until_epoch=segment.until_epoch,
        resume_from=segment.resume_from,
        retry_of=marks.get(RETRY_OF),
        epochs=epochs_of(row),
        started_unix_s=_unix_s(row.datetime_start),
        ended_unix_s=_unix_s(row.datetime_complete),
        wall_s=marks.get(WALL_S),
        driver=marks.get(DRIVER, ""),
        reason=marks.get(REASON, ""),
    )


_STATES = {
    "COMPLETE": "complete",
    "PRUNED": "stopped",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def _unix_s(moment: datetime.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
