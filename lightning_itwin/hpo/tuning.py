"""From Python: ``tune(config, space, ...)`` runs a study and gives its best."""

from __future__ import annotations

import contextlib
import importlib
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lightning_itwin.hpo import study_plan
from lightning_itwin.hpo.best import BEST_CONFIG, header, percent, write_best
from lightning_itwin.hpo.check import check
from lightning_itwin.hpo.driver import Driver
from lightning_itwin.hpo.launchers import make_launcher
from lightning_itwin.hpo.lease import DriverIdentity, driving, sign_lease
from lightning_itwin.hpo.open_study import OpenStudy, check_resumable, dump_yaml, open_study
from lightning_itwin.hpo.progress import Progress
from lightning_itwin.hpo.repeats import Repeated, repeat
from lightning_itwin.hpo.search_space import Range, read_space
from lightning_itwin.hpo.storage import connection_errors, shown
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from lightning_itwin.hpo.study_reading import StudyRecord
from lightning_itwin.hpo.trials_file import write_trials
from lightning_itwin.hpo.worlds import find_places, trainer_settings, unavailable
from lightning_itwin.launch import Launcher
from lightning_itwin.launch.world import import_path


class NothingFoundError(StudyError):
    """No trial of a study gave a value."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a study has found.

    Args:
        study: its rows.
        folder: where everything lies.
        value: best value of the objective.
        baseline: value of the user's own hyperparameters; None where they gave none.
        params: the best hyperparameters, by key of the config.
        config: ``best.yaml``, which ``fit --config`` takes.
        checkpoint: ``best.ckpt``; None where there is none.
        repeated: values with other seeds; None where none were asked for.
        report: the page; None where the extra ``report`` is not installed.
    """

    study: StudyRecord
    folder: Path
    value: float
    baseline: float | None
    params: Mapping[str, Any]
    config: Path
    checkpoint: Path | None
    repeated: Repeated | None = None
    report: Path | None = None

    @property
    def improvement_percent(self) -> float | None:
        """By how much the best value is better than the baseline's, in percent of the latter."""
        return self.study.improvement_percent(self.value, self.baseline)

    def __str__(self) -> str:
        gain = self.improvement_percent
        text = f"best {self.study.plan.metric}: {self.value:.6g}"
        if self.study.winner is not None and self.study.winner.baseline:
            text += ": the baseline's own; no other trial beat it"
        elif gain is not None and self.baseline is not None:
            text += f", {percent(gain, self.study.plan.direction)} the baseline's {self.baseline:.6g}"
        if self.repeated is not None:
            sentence = self.repeated.sentence(self.study.plan.metric, self.study.sign)
            text += f"\n{sentence}" if sentence else ""
        return text + "".join(
            f"\n  {key}: {value}{self._end(key, value)}" for key, value in self.params.items()
        )

    def _end(self, key: str, value: Any) -> str:
        dimension = read_space(self.study.plan.space).get(key)
        beaten = self.study.winner is not None and not self.study.winner.baseline
        end = dimension.end_at(value) if beaten and isinstance(dimension, Range) else ""
        return f"  ({end} end of its range: a wider one may hold better values)" if end else ""


def tune(
    config: str | Mapping[str, Any],
    space: Mapping[str, Any],
    objective: str | Mapping[str, str],
    *,
    output: Path | str,
    progress: bool = True,
    **settings: Any,
) -> Tuned:
    """Search the hyperparameters of a LightningCLI config, or go on with a study that was begun.

    Args:
        config: path of a LightningCLI config, name of a preset, or the keys themselves.
        space: ranges and choices by key: ``{"model.lr": {"low": 1e-4, "high": 0.1, "log": True}}``.
        objective: name of a logged metric, or ``{"metric": ..., "direction": "maximize"}``.
        output: folder of the study.
        progress: whether a bar is shown.
        **settings: everything else of :class:`~lightning_itwin.hpo.study_plan.StudyPlan`, such as ``trials``,
            ``max_epochs``, ``parallel_trials``, ``workers_per_trial``.

    Raises:
        StudyError: the study cannot run as asked for; before the first trial.
        KeyboardInterrupt: the same call goes on.
    """
    values = {"config": config, "space": space, "objective": objective, **settings}
    plan = StudyPlan(**study_plan.arguments(values, "tune()"))
    return run(plan, Path(output), progress=progress)


def run(plan: StudyPlan, folder: Path, *, progress: bool = True, launcher: Launcher | None = None) -> Tuned:
    """Run a study to the end of its budget, then its repeats; write the files of its best.

    Args:
        plan: what is asked for.
        folder: of the study.
        progress: whether a bar is shown and the storage's URL printed.
        launcher: what starts the worlds; None for the plan's.

    Raises:
        StudyError: the study cannot run as asked for, or no trial gave a value.
    """
    if reason := unavailable(plan.strategy):
        raise StudyError(f"strategy {plan.strategy}: {reason}")
    folder = folder.absolute()
    launcher = launcher or make_launcher(plan, folder)
    with driving(folder), _signals():
        check_resumable(folder, plan)
        _say(progress, "checking config, space and objective ...")
        checked = check(plan, folder, import_path())
        study = open_study(plan, folder, checked)
        sign_lease(folder, shown(study.url))
        places = find_places(plan, checked.gpus)
        _say(progress, f"study {study.optuna.study_name!r} in {shown(study.url)}")
        study.queue_baseline()
        identity = DriverIdentity(folder)
        bar = Progress(silent=not progress)
        try:
            Driver(study, places, launcher, identity, announce=bar).run()
        finally:
            bar.close()
            identity.leave()
            with contextlib.suppress(*connection_errors()):  # what is amiss has been said
                write_trials(study.record(), folder)
                if study.record().winner is not None:
                    _write_best(study, places.accelerator)
        record = study.record()
        winner = record.winner
        if winner is None:
            raise NothingFoundError(f"no trial gave a value; their reasons stand in {folder / 'trials.csv'}")
        repeated = None
        if plan.repeats:
            repeated = repeat(study, winner, places, launcher, lambda text: _say(progress, text))
        report = _write_report(record, progress)
    return _tuned(study, record, repeated, report)


def join(plan: StudyPlan, folder: Path, *, progress: bool = True, launcher: Launcher | None = None) -> None:
    """Help the main driver of a study with the slots of this machine, until its budget is spent.

    Args:
        plan: of the study, with this machine's slots.
        folder: of the study, which both see.
        progress: whether a bar is shown.
        launcher: what starts the worlds; None for the plan's.

    Raises:
        StudyError: the study has not been checked yet, or does not fit this machine.
    """
    folder = folder.absolute()
    with _signals():
        launcher = launcher or make_launcher(plan, folder)
        study = open_study(plan, folder, check(plan, folder, import_path()), joined=True)
        identity = DriverIdentity(folder)
        places = find_places(plan, _visible_gpus())
        bar = Progress(silent=not progress)
        try:
            Driver(
                study,
                places,
                launcher,
                identity,
                joined=True,
                announce=bar,
            ).run()
        finally:
            bar.close()
            identity.leave()


def _tuned(study: OpenStudy, record: StudyRecord, repeated: Repeated | None, report: Path | None) -> Tuned:
    winner, baseline = record.winner, record.baseline
    assert winner is not None
    assert winner.value is not None
    checkpoint = study.folder / "best.ckpt"
    return Tuned(
        study=record,
        folder=study.folder,
        value=winner.value,
        baseline=baseline.value if baseline else None,
        params={key: study.space[key].value(value) for key, value in winner.params.items()},
        config=study.folder / BEST_CONFIG,
        checkpoint=checkpoint if checkpoint.exists() else None,
        repeated=repeated,
        report=report,
    )


def _write_report(record: StudyRecord, aloud: bool) -> Path | None:
    try:
        html: Path = importlib.import_module("lightning_itwin.hpo.report.make").make_report(record).html
    except ImportError as error:  # the best is found all the same
        _say(aloud, f"no report: {error}")
        return None
    return html


def _write_best(study: OpenStudy, accelerator: str) -> None:
    record = study.record()
    winner = record.winner
    assert winner is not None
    config = study.config_of(winner.params)
    settings = trainer_settings(study, accelerator)
    starts_itself = "horovod" not in study.plan.strategy or settings["strategy"] == "auto"
    start = f"python -m lightning_itwin fit --config {BEST_CONFIG}"
    if not starts_itself:
        start = f"horovodrun -np {study.plan.workers_per_trial} {start}"
    config["trainer"] = {**config["trainer"], **settings}
    folder = study.trial(winner.number)
    has_checkpoint = folder.saved("best") is not None
    write_best(study.folder, dump_yaml(config), header(record, has_checkpoint, start), folder)


def _visible_gpus() -> int:
    cuda = importlib.import_module("torch").cuda
    return int(cuda.device_count()) if cuda.is_available() else 0


def _say(aloud: bool, text: str) -> None:
    if aloud:
        print(text, flush=True)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Have SIGTERM end a study as Ctrl-C does; a background job inherits that SIGINT is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
