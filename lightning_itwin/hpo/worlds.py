"""From a row of a study to the world of processes that trains it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_itwin import strategy_names
from lightning_itwin.hpo.open_study import OpenStudy, dump_yaml
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec
from lightning_itwin.launch import World, job_settings
from lightning_itwin.launch.by_name import default_threads, submits_jobs
from lightning_itwin.launch.world import import_path
from lightning_itwin.meters import host

_STRATEGIES = {entry.name: entry for entry in strategy_names.STRATEGY_NAMES}
_GPU_EACH = "LIGHTNING_ITWIN_GPU_EACH"
_PROCESS = "lightning_itwin.hpo.trial_process"


@dataclass(frozen=True, kw_only=True)
class Places:
    """What each slot of this machine has: threads, and GPUs of its own.

    Args:
        slots: trials at once.
        workers: processes of one trial.
        accelerator: ``"cpu"`` or ``"gpu"``.
        threads: intra-op threads of a process.
        gpus: names of the GPUs, as ``CUDA_VISIBLE_DEVICES`` has them.
        scheduled: whether a scheduler hands the GPUs out.
    """

    slots: int
    workers: int
    accelerator: str
    threads: int
    gpus: tuple[str, ...] = ()
    scheduled: bool = False

    def environment(self, slot: int) -> dict[str, str]:
        """Give the variables of a slot.

        >>> places = Places(slots=2, workers=2, accelerator="gpu", threads=1, gpus=("0", "1", "2", "3"))
        >>> places.environment(1)["CUDA_VISIBLE_DEVICES"]
        '2,3'
        """
        threads = {
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
            "PYTHONPATH": import_path(),
        }
        if self.scheduled:
            return {**threads, _GPU_EACH: "1" if self.accelerator == "gpu" else "0"}
        if not self.gpus:
            return threads
        mine = self.gpus[slot * self.workers : (slot + 1) * self.workers]
        return {**threads, "CUDA_VISIBLE_DEVICES": ",".join(mine)}


def find_places(plan: StudyPlan, gpus: int) -> Places:
    """Share this machine among the slots.

    Args:
        plan: of the study.
        gpus: that this machine shows.

    Raises:
        StudyError: there are fewer GPUs than the trials at once need.
    """
    needed = plan.parallel_trials * plan.workers_per_trial
    accelerator = plan.accelerator
    jobs = submits_jobs(plan.launcher)
    if jobs:
        try:
            accelerator = job_settings(plan.job).accelerator(accelerator)
        except ValueError as error:
            raise StudyError(str(error)) from None
    elif accelerator == "auto":
        accelerator = "gpu" if gpus else "cpu"
    names: tuple[str, ...] = ()
    scheduled = plan.launcher != "local"
    if accelerator == "gpu" and not scheduled:
        if gpus < needed:
            raise StudyError(
                f"{plan.parallel_trials} trials at once of {plan.workers_per_trial} workers each need "
                f"{needed} GPUs, and {gpus} can be seen; ask for fewer, or --accelerator cpu"
            )
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = tuple(visible.split(",")) if visible else tuple(map(str, range(gpus)))
    return Places(
        slots=plan.parallel_trials,
        workers=plan.workers_per_trial,
        accelerator=accelerator,
        threads=plan.threads_per_worker or default_threads(plan.launcher, needed, host.cpu_cores()),
        gpus=names,
        scheduled=scheduled,
    )


def unavailable(strategy: str) -> str:
    """Say why a strategy cannot run here; empty if it can."""
    return _STRATEGIES[strategy].unavailable()


def trainer_settings(study: OpenStudy, accelerator: str) -> dict[str, Any]:
    """Give the Trainer's keys that make the world of a trial, in best.yaml too."""
    workers = study.plan.workers_per_trial
    entry = _STRATEGIES[study.plan.strategy]
    alone = workers == 1 and entry.requires is None
    return {
        "strategy": "auto" if alone else study.plan.strategy,
        "devices": workers // study.plan.nodes_per_trial,
        "num_nodes": study.plan.nodes_per_trial,
        "accelerator": accelerator,
        "max_epochs": study.max_epochs,
    }


def write_trial(
    study: OpenStudy,
    folder: TrialFolder,
    params: Mapping[str, Any],
    accelerator: str,
    /,
    **spec: Any,
) -> TrialSpec:
    """Write what the processes of a trial need into its folder.

    Args:
        study: of the trial.
        folder: of the trial, empty.
        params: its hyperparameters, as the study holds them.
        accelerator: ``"cpu"`` or ``"gpu"``.
        **spec: fields of :class:`~lightning_itwin.hpo.trial_folder.TrialSpec`; ``seed`` is the config's.
    """
    seed = spec.pop("seed", None)
    config = study.config_of(params)
    trainer = {**config["trainer"], **trainer_settings(study, accelerator)}
    trainer |= {
        "min_epochs": None,  # which would put off what the study decides
        "default_root_dir": str(folder.path),
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer["logger"] = _logger(trainer.get("logger"), folder.path)
    config["trainer"] = trainer
    if seed is not None:
        config["seed_everything"] = seed
    folder.config.write_text(dump_yaml(config), encoding="utf-8")
    checkpoint = spec.get("checkpoint")
    made = TrialSpec(
        token=f"{folder.path.name}-{secrets.token_hex(8)}",
        arguments=[
            "fit",
            "--config",
            str(folder.config),
            *([f"--ckpt_path={checkpoint}"] if checkpoint else []),
        ],
        metric=study.plan.metric,
        direction=study.plan.direction,
        workers=study.plan.workers_per_trial,
        max_epochs=study.max_epochs,
        **spec,
    )
    folder.write_spec(made)
    return made


def world_of(study: OpenStudy, folder: TrialFolder, token: str, environment: Mapping[str, str]) -> World:
    """Give the world that trains a trial.

    Args:
        study: of the trial.
        folder: of the trial.
        token: of the launch.
        environment: of the slot.
    """
    entry = _STRATEGIES[study.plan.strategy]
    local = study.plan.launcher == "local"
    return World(
        command=("-m", _PROCESS, str(folder.spec)),
        workers=study.plan.workers_per_trial,
        starter=entry.starter if local and entry.starter != "torchrun" else "ranks",
        log=folder.log,
        environment=environment,
        timeout_s=study.plan.timeout_s,
        mark=token,
        nodes=study.plan.nodes_per_trial,
        gpus=environment.get(_GPU_EACH) == "1",
    )


def _logger(logger: Any, folder: Path) -> Any:
    """Give the config's loggers places of their own: trials at once would share a version's folder."""
    if isinstance(logger, Sequence) and not isinstance(logger, str):
        return [_logger(one, folder) for one in logger]
    if isinstance(logger, Mapping) and "save_dir" in (logger.get("init_args") or {}):
        return {**logger, "init_args": {**logger["init_args"], "save_dir": str(folder / "logs")}}
    return logger
