"""Studies that a policy drives over formulas instead of trainings, on a clock of their own."""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from lightning_itwin.hpo.policies import make_policy
from lightning_itwin.hpo.search_space import read_space
from lightning_itwin.hpo.study_plan import StudyPlan
from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow, record

STARTED = 1_764_000_000.0
SPACE = {
    "model.learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.hidden_size": {"low": 4, "high": 64},
    "data.batch_size": [16, 32, 64, 128],
    "model.optimizer": [{"class_path": "torch.optim.Adam"}, {"class_path": "torch.optim.SGD"}],
}
BASELINE = {
    "model.learning_rate": 1e-3,
    "model.dropout": 0.1,
    "model.hidden_size": 8,
    "data.batch_size": 64,
    "model.optimizer": json.dumps({"class_path": "torch.optim.SGD"}),
}


def loss(params: dict[str, Any], epoch: int, number: int) -> float:
    """Give a loss that falls to a bowl over the hyperparameters; too high a learning rate diverges."""
    rate = math.log10(params["model.learning_rate"])
    if rate > -1.25 and epoch >= 3:
        return math.nan
    floor = 0.002 + 0.004 * (rate + 2.1) ** 2 + 0.01 * (params["model.dropout"] - 0.15) ** 2
    floor += 0.0016 * (math.log2(params["model.hidden_size"]) - 5) ** 2 / 4
    floor *= 1.0 if "Adam" in params["model.optimizer"] else 1.25
    pace = 0.07 * 10 ** (0.5 * (rate + 3)) * (64 / params["data.batch_size"]) ** 0.3
    noise = np.random.default_rng([number, epoch]).normal()
    return (floor + 0.06 * math.exp(-pace * epoch) + 0.02 / (1 + epoch)) * (1 + 0.02 * noise)


def row(number: int, curve: dict[int, float], state: str = "complete", **fields: Any) -> StudyRow:
    """Give a row of its own configuration that was trained from the start, a second an epoch."""
    best = min(curve, key=curve.__getitem__, default=None)
    known = {
        "number": number,
        "configuration": number,
        "baseline": number == 0,
        "state": state,
        "value": None if best is None else curve[best],
        "best_epoch": best,
        "params": {"lr": 0.1},
        "curve": curve,
        "from_epoch": 0,
        "until_epoch": max(curve, default=4),
        "resume_from": None,
        "retry_of": None,
        "started_unix_s": 100.0,
        "ended_unix_s": None if state == "running" else 100.0 + len(curve),
        "wall_s": None,
        "driver": "node01.a-7-9",
        "reason": "",
        **fields,
    }
    known.setdefault("epochs", max([*curve, known["from_epoch"]]) - known["from_epoch"])
    return StudyRow(**known)


def study(*rows: StudyRow, folder: Path = Path("mine"), **settings: Any) -> StudyRecord:
    """Give a study of one hyperparameter with these rows."""
    asked = {"config": "drought", "space": {"lr": {"low": 0.01, "high": 1.0, "log": True}}, "metric": "loss"}
    return StudyRecord(
        folder=folder,
        url="journal:///somewhere/study.journal",
        name="mine",
        plan=StudyPlan(**{**asked, "trials": 9, **settings}),
        max_epochs=4,
        rows=rows,
    )


def plan(trials: int, policy: str = "promotion", **settings: Any) -> StudyPlan:
    return StudyPlan(
        **{
            "config": "drought",
            "space": SPACE,
            "metric": "val_loss",
            "policy": policy,
            "max_epochs": 40,
            "trials": trials,
            "parallel_trials": 7,
            **settings,
        }
    )


def simulate(folder: Path, asked: StudyPlan, *, until_s: float = math.inf, seed: int = 0) -> StudyRecord:
    """Drive a study as its plan says; rows that still run at ``until_s`` are left running."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=folder.name, direction=asked.direction)
    study.set_user_attr("max_epochs", asked.max_epochs)
    marks = {"configuration": 0, "from_epoch": 0, "until_epoch": asked.max_epochs, "baseline": True}
    study.enqueue_trial(dict(BASELINE), user_attrs=marks)
    policy = make_policy(asked.policy, max_epochs=asked.max_epochs or 1, seed=seed, **asked.policy_settings)
    space = {key: one.distribution() for key, one in read_space(asked.space).items()}
    sign = -1.0 if asked.direction == "maximize" else 1.0
    queue: list[tuple[float, int, int]] = []
    live: dict[int, tuple[optuna.Trial, Any, float]] = {}
    times: dict[int, tuple[float, float | None]] = {}
    clock, slots = 0.0, asked.parallel_trials
    while True:
        while len(live) < slots and clock < until_s:
            begun = {row.user_attrs.get("configuration") for row in study.get_trials(deepcopy=False)}
            waits = any(row.state.name == "WAITING" for row in study.get_trials(deepcopy=False))
            if len(begun) >= (asked.trials or 0) and not waits:
                break
            trial, segment = policy.ask(study, space) or (None, None)
            if trial is None:
                break
            pace = 6.0 * 2 ** (1 - math.log2(trial.params["data.batch_size"] / 16) / 2)
            live[trial.number] = (trial, segment, pace)
            times[trial.number] = (clock, None)
            heapq.heappush(queue, (clock + pace, trial.number, segment.from_epoch + 1))
        if not queue or queue[0][0] > until_s:
            break
        clock, number, epoch = heapq.heappop(queue)
        trial, segment, pace = live[number]
        state = _train(policy, study, trial, segment, epoch, sign, asked)
        if state:
            del live[number]
            times[number] = (times[number][0], clock)
        else:
            heapq.heappush(queue, (clock + pace, number, epoch + 1))
    read = record(study, asked, folder, f"journal:///somewhere/{folder.name}/study.journal")
    return dataclasses.replace(read, rows=tuple(_timed(row, times) for row in read.rows))


def _train(
    policy: Any,
    study: optuna.Study,
    trial: optuna.Trial,
    segment: Any,
    epoch: int,
    sign: float,
    asked: StudyPlan,
) -> str:
    params, number = trial.params, trial.number
    if params["model.hidden_size"] > 58 and params["data.batch_size"] == 128:
        trial.set_user_attr("reason", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
        return _tell(study, trial, "failed")
    value = loss(params, epoch, segment.configuration)
    trial.report(value, epoch)
    if math.isnan(value):
        trial.set_user_attr("reason", f"val_loss became nan in epoch {epoch}")
        return _tell(study, trial, "diverged")
    if epoch == asked.max_epochs:
        best = min(sign * v for v in study.get_trials(deepcopy=False)[number].intermediate_values.values())
        return _tell(study, trial, "complete", sign * best)
    if epoch == segment.until_epoch:
        return _tell(study, trial, "paused")
    if policy.should_stop(study, trial):
        return _tell(study, trial, "stopped")
    return ""


def _tell(study: optuna.Study, trial: optuna.Trial, state: str, value: float | None = None) -> str:
    trial.set_user_attr("outcome", state)
    trial.set_user_attr("driver", "node01.3fa2-4711-99")
    told = {"complete": "COMPLETE", "paused": "PRUNED", "stopped": "PRUNED"}.get(state, "FAIL")
    study.tell(trial.number, value, state=optuna.trial.TrialState[told])
    return state


def _timed(row: StudyRow, times: dict[int, tuple[float, float | None]]) -> StudyRow:
    start, end = times.get(row.number, (None, None))
    return dataclasses.replace(
        row,
        started_unix_s=None if start is None else STARTED + start,
        ended_unix_s=None if end is None else STARTED + end,
        wall_s=None if start is None or end is None else end - start,
    )
