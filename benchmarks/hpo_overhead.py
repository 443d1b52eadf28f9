"""What a study costs beside its trainings: rows and reports, driver, callback, the start of a trial.

    python benchmarks/hpo_overhead.py [--trials 1000] [--config virgo_denoiser]

1. A journal is filled with trials of 40 reports each. Then: how long a process takes to open it, how long a
   report and its verdict take, how many reports a second several processes get through, and what the driver
   spends on a look, on a change and on asking.
2. A training of a preset with the reporter: time in the reporter's hooks as a share of ``fit``.
3. The same tiny training by ``fit`` and as a trial, in turn: processor time of both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from result_page import command_line, write_page

from lightning_itwin import presets
from lightning_itwin.hpo import policies
from lightning_itwin.hpo.best import tidy
from lightning_itwin.hpo.budget import spent
from lightning_itwin.hpo.progress import summary
from lightning_itwin.hpo.storage import open_storage
from lightning_itwin.hpo.storage_line import RowLine
from lightning_itwin.hpo.study_plan import StudyPlan
from lightning_itwin.hpo.study_reading import record
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec

REPORTS, PARAMETERS, WRITERS, WRITING_S = 40, 5, 4, 5.0
POLICY = {"name": "promotion", "max_epochs": REPORTS, "seed": 0}
TINY = """\
seed_everything: 1
model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}
data: {class_path: lightning.pytorch.demos.boring_classes.BoringDataModule}
trainer: {accelerator: cpu, devices: 1, max_epochs: 1, limit_train_batches: 2, limit_val_batches: 1,
  logger: false, enable_checkpointing: false, enable_progress_bar: false, enable_model_summary: false}
"""
COUNTING = """
import atexit, json, sys, time
from lightning_itwin.hpo import reporter, trial_process
spent = {"hooks": 0.0}
def timed(name):
    real = getattr(reporter.Reporter, name)
    def hook(*given, **named):
        before = time.perf_counter()
        try:
            return real(*given, **named)
        finally:
            spent["hooks"] += time.perf_counter() - before
    setattr(reporter.Reporter, name, hook)
for name in ("setup", "on_validation_start", "on_validation_end", "on_train_epoch_end", "on_train_end"):
    timed(name)
trial_process.main()
print("HOOKS", spent["hooks"])
"""


def url(path: Path) -> str:
    return f"journal://{path / 'journal.log'}"


@contextmanager
def unsynced() -> Iterator[None]:
    real, os.fsync = os.fsync, lambda descriptor: None
    try:
        yield
    finally:
        os.fsync = real


def fill(folder: Path, trials: int) -> None:
    """Write the rows that a study of promotions leaves, without waiting for the disk."""
    import optuna

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="s", storage=open_storage(url(folder)), sampler=sampler)
    space = {
        f"model.p{number}": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
        for number in range(PARAMETERS)
    }
    for number in range(trials):
        trial = study.ask(space)
        for name, value in (("configuration", number), ("from_epoch", 0), ("until_epoch", REPORTS)):
            trial.set_user_attr(name, value)
        base = sum(trial.params.values())
        for epoch in range(1, REPORTS + 1):
            trial.report(base + 1.0 / epoch, epoch)
        study.tell(trial, base + 1.0 / REPORTS)


def spec_of(folder: Path, trial: Any) -> TrialSpec:
    return TrialSpec(
        token="t",
        arguments=[],
        metric="m",
        direction="minimize",
        workers=1,
        until_epoch=REPORTS,
        max_epochs=REPORTS,
        study="s",
        storage=url(folder),
        number=trial.number,
        trial_id=trial._trial_id,
        policy=POLICY,
    )


def report(folder: Path, seconds: float, count: int, told: Any = None) -> list[float]:
    """Report as rank 0 of a trial does; give the seconds of each report."""
    import optuna

    study = optuna.load_study(study_name="s", storage=open_storage(url(folder)))
    line, times, epoch = RowLine(spec_of(folder, study.ask())), [], 0
    line.connect()
    if told is not None:
        told.wait()
    end_s = time.perf_counter() + seconds
    while len(times) < count and time.perf_counter() < end_s:
        before_s = time.perf_counter()
        epoch += 1
        line.tell(epoch, 5.0 + 1.0 / epoch)
        times.append(time.perf_counter() - before_s)
    return times


def _writer(folder: str, told: Any, results: Any) -> None:
    results.put(report(Path(folder), WRITING_S, 10**9, told))


def rows_and_driver(folder: Path, trials: int) -> tuple[list[str], dict[str, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with unsynced():
        fill(folder, trials)
    before_s, cpu_s = time.perf_counter(), time.process_time()
    study = optuna.load_study(study_name="s", storage=open_storage(url(folder)))
    opening = time.perf_counter() - before_s, time.process_time() - cpu_s
    times = sorted(report(folder, 60.0, 300))
    context = multiprocessing.get_context("spawn")
    told, results = context.Barrier(WRITERS + 1), context.Queue()
    writers = [context.Process(target=_writer, args=(str(folder), told, results)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    told.wait()
    cpu_s, looks = time.process_time(), 0
    plan = StudyPlan(config="", space={"model.p0": [1, 2]}, metric="m", trials=trials)
    end_s = time.perf_counter() + WRITING_S
    while time.perf_counter() < end_s:  # what the driver does meanwhile
        study.get_trials(deepcopy=False)
        looks += 1
        time.sleep(0.2)
    look_share = (time.process_time() - cpu_s) / WRITING_S
    reports = sum(len(results.get()) for _ in writers)
    for writer in writers:
        writer.join()
    cpu_s = time.process_time()
    for _ in range(5):
        rows = study.get_trials(deepcopy=False)
        spent(rows, 0.0)
        tidy(record(study, plan, folder, ""), lambda number: TrialFolder(folder / f"{number:04d}"))
        summary(record(study, plan, folder, ""))
    change_s = (time.process_time() - cpu_s) / 5
    policy = policies.make_policy(**POLICY)
    space = study.trials[0].distributions
    cpu_s = time.process_time()
    for _ in range(3):
        asked = policy.ask(study, space)
        if asked is not None:
            study.tell(asked[0], state=optuna.trial.TrialState.FAIL)
    ask_s = (time.process_time() - cpu_s) / 3
    size_mb = (folder / "journal.log").stat().st_size / 1e6
    figures = {"reports_per_s": reports / WRITING_S, "report_s": times[len(times) // 2]}
    return [
        f"| journal of {trials} trials with {REPORTS} reports each | {size_mb:.1f} MB |",
        f"| opening it, wall clock / processor | {opening[0]:.2f} s / {opening[1]:.2f} s |",
        f"| a report and its verdict, median / p99 | {1e3 * times[len(times) // 2]:.1f} ms / "
        f"{1e3 * times[int(0.99 * len(times))]:.1f} ms |",
        f"| {WRITERS} processes reporting at once | {reports / WRITING_S:.0f} reports/s |",
        f"| the driver's looks meanwhile, 5 a second | {100 * look_share:.1f} % of a core |",
        f"| the driver's work when a trial has ended | {1e3 * change_s:.0f} ms of processor |",
        f"| asking the policy {POLICY['name']} for the next one | {1e3 * ask_s:.0f} ms of processor |",
    ], figures


def callback(folder: Path, config: str, epochs: int) -> tuple[list[str], float]:
    """Train a preset as a trial of a study; give the share of ``fit`` that the reporter's hooks take."""
    import optuna

    study = optuna.create_study(study_name="s", storage=open_storage(url(folder)))
    values = yaml.safe_load(presets.find(config).read_text())
    values["trainer"] |= {"max_epochs": epochs, "accelerator": "cpu", "devices": 1, "logger": False}
    values["trainer"] |= {"enable_progress_bar": False, "default_root_dir": str(folder)}
    trial = TrialFolder(folder / "trial")
    trial.clear()
    trial.config.write_text(yaml.safe_dump(values))
    metric = "val/loss" if config in ("virgo", "virgo_denoiser") else "val_loss"
    base = spec_of(folder, study.ask())
    fields = {
        **vars(base),
        "arguments": ["fit", "--config", str(trial.config)],
        "metric": metric,
        "max_epochs": epochs,
    }
    trial.write_spec(TrialSpec(**{**fields, "until_epoch": epochs}))
    told = subprocess.run(
        [sys.executable, "-c", COUNTING, str(trial.spec)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
    )
    hooks_s = float(told.stdout.rpartition("HOOKS ")[2])
    result = json.loads((trial.path / "result.json").read_text())
    share = hooks_s / result["wall_s"]
    return [
        f"| reporter's hooks, {config}, {epochs} epochs | {1e3 * hooks_s / epochs:.1f} ms an epoch of "
        f"{result['wall_s'] / epochs:.1f} s: {100 * share:.2f} % |"
    ], share


def processor_s(command: list[str]) -> tuple[float, float]:
    """Give processor and wall-clock seconds of a command with all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    before_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - before_s


def start(folder: Path, rounds: int) -> tuple[list[str], float]:
    """Train the same two steps by ``fit`` and as a trial in turn; give what the trial takes more."""
    import optuna

    study = optuna.create_study(study_name="s", storage=open_storage(url(folder)))
    config = folder / "tiny.yaml"
    config.write_text(TINY)
    plain = [sys.executable, "-m", "lightning_itwin", "fit", "--config", str(config)]
    more: list[tuple[float, float]] = []
    fits: list[tuple[float, float]] = []
    for number in range(rounds):
        trial = TrialFolder(folder / f"trial-{number}")
        trial.clear()
        fields = {
            **vars(spec_of(folder, study.ask())),
            "arguments": ["fit", "--config", str(config)],
            "metric": "train_loss",
            "max_epochs": 1,
            "until_epoch": 1,
        }
        trial.write_spec(TrialSpec(**fields))
        process = "lightning_itwin.hpo.trial_process"
        ranks = [sys.executable, "-m", "lightning_itwin.launch.ranks", "1", sys.executable, "-c"]
        code = (
            "import sys, lightning.pytorch.demos.boring_classes as b\n"
            "real = b.BoringModel.training_step\n"
            "def step(self, batch, number):\n"
            "    out = real(self, batch, number)\n"
            "    self.log('train_loss', out['loss'], on_step=False, on_epoch=True)\n"
            "    return out\n"
            "b.BoringModel.training_step = step\n"
            f"from {process} import main\nmain()"
        )
        fits.append(processor_s(plain))
        more.append(processor_s([*ranks, code, str(trial.spec)]))
    cpu = statistics.median(trial[0] - fit[0] for trial, fit in zip(more, fits))
    wall = statistics.median(trial[1] - fit[1] for trial, fit in zip(more, fits))
    return [
        f"| a tiny `fit` / the same as a trial, processor | {statistics.median(f[0] for f in fits):.2f} s / "
        f"{statistics.median(t[0] for t in more):.2f} s |",
        f"| start-up of a trial beyond `fit`'s own, processor / wall clock | {cpu:.2f} s / {wall:.2f} s |",
    ], cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--config", default="virgo_denoiser", help="preset that is trained with the reporter")
    parser.add_argument("--epochs", type=int, default=3, help="of that training")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of starts")
    options = parser.parse_args()
    lines = ["| what | measured |", "|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("rows", "callback", "start"):
            (folder / part).mkdir()
        rows, figures = rows_and_driver(folder / "rows", options.trials)
        hooks, share = callback(folder / "callback", options.config, options.epochs)
        starts, start_s = start(folder / "start", options.rounds)
    goals = [
        "",
        f"**Callback: {100 * share:.2f} % of a trial's time (goal: at most 1 %). "
        f"Storage: {figures['reports_per_s']:.0f} reports/s (goal: 100). "
        f"Start of a trial beyond the training's own: {start_s:.2f} s of processor (goal: at most 1 s).**",
    ]
    write_page(
        "hpo_overhead",
        "What a study costs beside its trainings",
        command_line(),
        [*lines, *rows, *hooks, *starts, *goals],
    )


if __name__ == "__main__":
    main()
