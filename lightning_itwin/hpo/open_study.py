"""A study that is open: its plan, what the check found, its folder, its rows and the policy."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lightning_itwin.hpo import config_keys, policies
from lightning_itwin.hpo.check import Checked
from lightning_itwin.hpo.rows import BASELINE
from lightning_itwin.hpo.search_space import Dimension, fit_to_baseline, read_space
from lightning_itwin.hpo.storage import connection_errors, open_storage, shown, storage_url
from lightning_itwin.hpo.study_plan import PLAN, StudyError, StudyPlan
from lightning_itwin.hpo.study_reading import StudyRecord, record, study_name
from lightning_itwin.hpo.trial_folder import TrialFolder
from lightning_itwin.optional import require
from lightning_itwin.records.manifest import from_json, write_json

if TYPE_CHECKING:
    import optuna

_FOLDER = "folder"


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that is open.

    Args:
        plan: what was asked for.
        folder: of the study, absolute.
        url: of the storage.
        checked: what the check found.
        space: with the config's own values in it.
        optuna: the study in its storage.
        policy: what is started and stopped.
        max_epochs: of a whole training.
    """

    plan: StudyPlan
    folder: Path
    url: str
    checked: Checked
    space: Mapping[str, Dimension]
    optuna: optuna.Study
    policy: policies.Policy
    max_epochs: int

    @property
    def distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each key."""
        return {key: dimension.distribution() for key, dimension in self.space.items()}

    @property
    def policy_arguments(self) -> dict[str, Any]:
        """What makes the same policy in another process."""
        return policy_arguments(self.plan, self.max_epochs)

    def trial(self, number: int) -> TrialFolder:
        """Give the folder of a row."""
        return TrialFolder(self.folder / "trials" / f"{number:04d}")

    def config_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Give the user's config with a row's hyperparameters in it."""
        return config_keys.with_values(
            self.checked.config,
            {self.checked.paths[key]: self.space[key].value(value) for key, value in params.items()},
        )

    def record(self) -> StudyRecord:
        """Read the rows."""
        return record(self.optuna, self.plan, self.folder, self.url)

    def queue_baseline(self) -> None:
        """Queue the user's own configuration, a whole training, where it has not been or has failed.

        It is trial 0. After a failure the same command queues it again: whatever made it fail may be mended.
        """
        before = [row for row in self.record().rows if row.baseline]
        if any(row.state != "failed" for row in before):
            return
        params = {key: self.space[key].sampled(value) for key, value in self.checked.baseline.items()}
        marks = {
            policies.FROM_EPOCH: 0,
            policies.UNTIL_EPOCH: self.max_epochs,
            BASELINE: True,
        }
        self.optuna.enqueue_trial(params, user_attrs=marks)


def policy_arguments(plan: StudyPlan, max_epochs: int) -> dict[str, Any]:
    """Give the arguments of :func:`~lightning_itwin.hpo.policies.make_policy`."""
    return {"name": plan.policy, "max_epochs": max_epochs, "seed": plan.seed, **plan.policy_settings}


def check_resumable(folder: Path, plan: StudyPlan) -> None:
    """Refuse to go on with one study as another one.

    Raises:
        StudyError: the folder holds a study that differs; the message names where.
    """
    if not (folder / PLAN).exists():
        return
    before: StudyPlan = from_json(StudyPlan, folder / PLAN)
    if differing := plan.differences(before):
        raise StudyError(
            f"{folder} holds a study that cannot be gone on with: {'; '.join(differing)}. "
            "Give another --output; only the budget and what runs at once may change."
        )


def open_study(plan: StudyPlan, folder: Path, checked: Checked, *, joined: bool = False) -> OpenStudy:
    """Open the study of a folder, or create it.

    Args:
        plan: what is asked for.
        folder: of the study.
        checked: what :func:`~lightning_itwin.hpo.check.check` found.
        joined: whether another process drives it, so that its plan stays as it is.

    Raises:
        StudyError: the space does not fit the config, the policy refuses its settings, or the storage holds
            another study of that name.
    """
    optuna = require("optuna", extra="hpo")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = folder.absolute()
    space = fit_to_baseline(read_space(plan.space), checked.baseline)
    max_epochs = plan.max_epochs or checked.max_epochs
    if not max_epochs or max_epochs < 1:
        raise StudyError(
            f"max_epochs: the config has trainer.max_epochs {max_epochs}; say how many epochs a whole "
            "training has"
        )
    try:
        policy = policies.make_policy(**policy_arguments(plan, max_epochs))
    except ValueError as error:
        raise StudyError(str(error)) from None
    url = storage_url(plan.storage, folder)
    try:
        study = optuna.create_study(
            study_name=study_name(plan, folder),
            storage=open_storage(url, mend=not joined),
            direction=plan.direction,
            load_if_exists=True,
        )
    except connection_errors() as error:
        raise StudyError(_unreachable(url, error)) from None
    other = study.user_attrs.get(_FOLDER)
    if other is None:
        study.set_user_attr(_FOLDER, str(folder))
        study.set_user_attr("max_epochs", max_epochs)
        study.set_user_attr("metric", plan.metric)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([plan.metric])
    elif other != str(folder):
        raise StudyError(
            f"storage {shown(url)} holds a study {study.study_name!r} of the folder {other}; give this one a "
            "name of its own with --name"
        )
    if not joined:
        write_json(folder / PLAN, dataclasses.asdict(plan))
    return OpenStudy(
        plan=plan,
        folder=folder,
        url=url,
        checked=checked,
        space=space,
        optuna=study,
        policy=policy,
        max_epochs=max_epochs,
    )


def find_folder(url: str, name: str | None) -> Path:
    """Give the folder that a study in a storage was begun in, for a machine that joins.

    Args:
        url: of the storage.
        name: of the study; None where the storage holds one alone.

    Raises:
        StudyError: no such study, several, or its folder cannot be seen from here.
    """
    optuna = require("optuna", extra="hpo")
    try:
        storage = open_storage(storage_url(url, Path.cwd()))
        names = [one for one in optuna.get_all_study_names(storage) if name in (None, one)]
    except connection_errors() as error:
        raise StudyError(_unreachable(url, error)) from None
    if len(names) != 1:
        raise StudyError(
            f"storage {shown(url)} holds {'no study' if not names else 'the studies ' + ', '.join(names)}"
            + (f" named {name!r}" if name else "")
            + ("; choose one with --name" if names else "")
        )
    folder = optuna.load_study(study_name=names[0], storage=storage).user_attrs.get(_FOLDER)
    if folder is None or not (Path(folder) / PLAN).exists():
        raise StudyError(
            f"the folder of study {names[0]!r}, {folder}, cannot be seen from here. Checkpoints and logs "
            "lie in it: it has to be on a file system that all machines share; where it is mounted "
            "elsewhere, say --output"
        )
    return Path(folder)


def _unreachable(url: str, error: Exception) -> str:
    words = str(getattr(error, "orig", None) or error.__cause__ or error).strip().splitlines()
    details = getattr(error, "details", None)  # of gRPC
    said = str(details()) if callable(details) else " ".join(words[:2])
    return f"storage {shown(url)} cannot be opened: {said}"


def dump_yaml(config: Mapping[str, Any]) -> str:
    """Give a config as YAML, its keys in their order."""
    text: str = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return text
