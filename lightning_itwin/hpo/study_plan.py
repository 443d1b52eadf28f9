"""What a study is asked to do: its plan, read from a YAML file and the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightning_itwin import presets, strategy_names
from lightning_itwin.hpo.policies import DEFAULT_POLICY, POLICIES
from lightning_itwin.launch import job_settings
from lightning_itwin.launch.by_name import LAUNCHERS

PLAN = "study.json"
DIRECTIONS = ("minimize", "maximize")
_MISSING = object()
_MOST_DIFFERENCES, _LONGEST = 5, 60
_MAY_CHANGE = (
    "trials",
    "epochs",
    "hours",
    "repeats",
    "parallel_trials",
    "threads_per_worker",
    "timeout_s",
    "launcher",
    "job",
    "metric_check",
    "storage",
)


class StudyError(ValueError):
    """A study cannot run as it was asked for; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What is tuned, towards what, within which budget and in which worlds.

    Args:
        config: a LightningCLI config: path, name of a preset, or the keys themselves.
        space: range or choices of each key of the config; see :mod:`~lightning_itwin.hpo.search_space`.
        metric: name of the logged metric.
        direction: ``"minimize"`` or ``"maximize"``.
        policy: what is started, paused and stopped; one of :data:`~lightning_itwin.hpo.policies.POLICIES`.
        policy_settings: of that policy.
        max_epochs: of a whole training; None for the config's own.
        trials: configurations to try, the baseline included; None without limit.
        epochs: of all trainings together; None without limit.
        hours: of wall clock, all calls together; None without limit.
        repeats: trainings of the winner and of the baseline with other seeds, after the budget.
        seed: of what the policy draws.
        workers_per_trial: processes of one trial.
        parallel_trials: trials at once.
        strategy: strategy string of a trial of several workers.
        accelerator: ``"auto"``, ``"cpu"`` or ``"gpu"``.
        threads_per_worker: intra-op threads of a process; None to share the cores evenly.
        timeout_s: when a trial counts as hung; None for never.
        launcher: ``"local"``; ``"slurm"`` for steps of the allocation that the driver runs in, or jobs where
            it runs in none; ``"slurm_jobs"`` for jobs in any case; ``"htcondor"`` for jobs of HTCondor;
            ``"ray"`` for the Ray cluster of ``RAY_ADDRESS``.
        job: what each job asks for: keys of :class:`~lightning_itwin.launch.JobSettings`, or the scheduler's
            own.
        nodes_per_trial: machines that share the workers of a trial; of a cluster.
        storage: URL of Optuna's storage; None for a journal file in the study's folder.
        name: of the study in its storage; None for the folder's name.
        metric_check: whether a batch is trained before the first trial to see the metric logged.

    Raises:
        StudyError: a value that is none of the allowed ones.
    """

    config: str | Mapping[str, Any]
    space: Mapping[str, Any]
    metric: str
    direction: str = "minimize"
    policy: str = DEFAULT_POLICY
    policy_settings: Mapping[str, Any] = field(default_factory=dict)
    max_epochs: int | None = None
    trials: int | None = None
    epochs: int | None = None
    hours: float | None = None
    repeats: int = 3
    seed: int = 0
    workers_per_trial: int = 1
    parallel_trials: int = 1
    strategy: str = "ddp"
    accelerator: str = "auto"
    threads_per_worker: int | None = None
    timeout_s: float | None = None
    launcher: str = "local"
    job: Mapping[str, Any] = field(default_factory=dict)
    nodes_per_trial: int = 1
    storage: str | None = None
    name: str | None = None
    metric_check: bool = True

    def __post_init__(self) -> None:
        if not self.space or not isinstance(self.space, Mapping):
            raise StudyError("space: name at least one key of the config and its range or choices")
        if not self.metric or not isinstance(self.metric, str):
            raise StudyError("objective: name a metric that the model logs, such as val_loss")
        _one_of("direction", self.direction, DIRECTIONS)
        _one_of("policy", self.policy, POLICIES)
        _one_of("strategy", self.strategy, [entry.name for entry in strategy_names.STRATEGY_NAMES])
        _one_of("accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        _one_of("launcher", self.launcher, LAUNCHERS)
        for name in ("max_epochs", "trials", "epochs", "threads_per_worker", "workers_per_trial"):
            _whole(name, getattr(self, name), at_least=1)
        _whole("parallel_trials", self.parallel_trials, at_least=1)
        _whole("repeats", self.repeats, at_least=0)
        _whole("nodes_per_trial", self.nodes_per_trial, at_least=1)
        if self.workers_per_trial % self.nodes_per_trial:
            raise StudyError(
                f"workers_per_trial {self.workers_per_trial}: {self.nodes_per_trial} nodes cannot share them "
                "evenly"
            )
        if self.nodes_per_trial > 1 and self.launcher == "local":
            raise StudyError(
                f"nodes_per_trial {self.nodes_per_trial}: several nodes need a launcher: slurm, htcondor, ray"
            )
        self._check_job()
        for name in ("hours", "timeout_s"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise StudyError(f"{name} {value!r}: it has to be a positive number")
        if self.trials is self.epochs is self.hours is None:
            raise StudyError("budget: say how many trials, epochs (of all together) or hours; or several")

    @property
    def asks_for_gpus(self) -> bool:
        """Whether each job gets GPUs."""
        return job_settings(self.job).asks_for_gpus

    def _check_job(self) -> None:
        try:
            gpus = job_settings(self.job).gpus_per_node
        except (ValueError, TypeError, AttributeError) as error:
            raise StudyError(f"job: {error}") from None
        each = self.workers_per_trial // self.nodes_per_trial
        if gpus and each > gpus:
            raise StudyError(
                f"workers_per_trial {self.workers_per_trial} on {self.nodes_per_trial} nodes of {gpus} GPUs: "
                f"each worker has one of its own; say --nodes-per-trial {-(-self.workers_per_trial // gpus)}"
            )

    def differences(self, before: StudyPlan) -> list[str]:
        """Say what makes this another study than one that was begun; its budget and its slots may change."""
        told: list[str] = []
        for item in dataclasses.fields(StudyPlan):
            if item.name not in _MAY_CHANGE:
                told += _differing(item.name, getattr(before, item.name), getattr(self, item.name))
        more = len(told) - _MOST_DIFFERENCES
        return told if more <= 1 else [*told[:_MOST_DIFFERENCES], f"and {more} more"]


def read_study(path: Path) -> dict[str, Any]:
    """Read the YAML of a study to the arguments of :class:`StudyPlan`.

    ::

        config: virgo                      # a preset, a file, or the LightningCLI config itself
        objective: val_loss                # or {metric: val_accuracy, direction: maximize}
        space:
          model.learning_rate: {low: 1.0e-4, high: 0.1, log: true}
          data.batch_size: [16, 32, 64]
        max_epochs: 40
        budget: {trials: 28, hours: 2}
        policy: promotion                  # or {name: promotion, eta: 3}; or sampler: and pruner:

    Every other argument of the plan may stand there too.

    Raises:
        StudyError: it cannot be read, or holds a key that is not known.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}; {_instead(path)}") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict) or "space" not in values:
        raise StudyError(
            f"{path} is not a study: it lacks `space`. A study names a LightningCLI config, an objective, a "
            "space and a budget, for example:\n"
            f"  config: {path if isinstance(values, dict) and 'model' in values else 'virgo'}\n"
            "  objective: val_loss\n  space:\n    model.learning_rate: {low: 1.0e-4, high: 0.1, log: true}\n"
            "  budget: {trials: 28}"
        )
    return arguments(values, str(path), beside=path.parent)


def _instead(path: Path) -> str:
    """Say what to give where a study's file cannot be read."""
    if str(path) in presets.names():
        return (
            f"{path} is a preset of a training; to tune it, write a study with `config: {path}`, an "
            "objective, a space and a budget"
        )
    return "--config takes the YAML file of a study"


def arguments(values: Mapping[str, Any], where: str, beside: Path | None = None) -> dict[str, Any]:
    """Give the arguments of :class:`StudyPlan` from the keys of a study.

    Args:
        values: the keys.
        where: what an error calls their place.
        beside: folder in which the config's file is looked for too; None for the current one alone.

    Raises:
        StudyError: a key is not known, or is missing.
    """
    found = dict(values)
    for key, inner in (("budget", ("trials", "epochs", "hours")), ("objective", ("metric", "direction"))):
        value = found.pop(key, {})
        part = {inner[0]: value} if not isinstance(value, Mapping) else dict(value)
        if unknown := sorted(set(part) - set(inner)):
            raise StudyError(f"{where}: {key} does not know {', '.join(unknown)}; it has {', '.join(inner)}")
        found = {**part, **found}
    found = _policy(found, where)
    known = [item.name for item in dataclasses.fields(StudyPlan)]
    if unknown := sorted(set(found) - set(known)):
        raise StudyError(
            f"{where}: {', '.join(unknown)} is not known; a study has config, objective, space, budget, "
            f"policy, sampler, pruner, {', '.join(sorted(set(known) - {'config', 'space', 'policy'}))}"
        )
    missing = [key for key in ("config", "metric") if found.get(key) is None]
    if missing:
        raise StudyError(f"{where}: {', '.join(missing).replace('metric', 'objective')} is missing")
    if isinstance(found["config"], str):  # other machines and calls may stand in another folder
        for folder in (Path.cwd(), beside or Path.cwd()):
            if (folder / found["config"]).is_file():
                found["config"] = str((folder / found["config"]).absolute())
                break
    return found


def _policy(found: dict[str, Any], where: str) -> dict[str, Any]:
    """Join ``policy``, ``sampler`` and ``pruner`` to a policy's name and settings."""
    policy, sampler, pruner = found.pop("policy", None), found.pop("sampler", None), found.pop("pruner", None)
    settings = dict(found.pop("policy_settings", {}))
    if isinstance(policy, Mapping):
        settings = {**settings, **{key: value for key, value in policy.items() if key != "name"}}
        policy = policy.get("name", DEFAULT_POLICY)
    if policy is None and pruner not in (None, "none"):
        policy = pruner
    if policy is None and (sampler is not None or pruner == "none"):
        policy, sampler = sampler or "tpe", None
    policy = policy or DEFAULT_POLICY
    if sampler is not None:
        if policy not in ("hyperband", "asha"):
            raise StudyError(
                f"{where}: the policy {policy} brings its own sampler; leave `sampler` out, or take the "
                "pruner hyperband, asha or none with it"
            )
        settings["sampler"] = sampler
    return {**found, "policy": policy, "policy_settings": settings}


def _differing(name: str, before: Any, now: Any) -> list[str]:
    """Say where two values differ, key by key where both have keys."""
    if before == now:
        return []
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return [f"{name}: {_short(before)} there, {_short(now)} now"]
    return [
        line
        for key in dict.fromkeys([*before, *now])
        for line in _differing(f"{name}.{key}", before.get(key, _MISSING), now.get(key, _MISSING))
    ]


def _short(value: Any) -> str:
    text = "nothing" if value is _MISSING else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _one_of(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise StudyError(f"{name} {value!r}: it has to be one of {', '.join(allowed)}")


def _whole(name: str, value: Any, *, at_least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (whole and value >= at_least):
        raise StudyError(f"{name} {value!r}: it has to be a whole number of at least {at_least}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
