"""From the command line to a plan, and to what starts its trainings: this machine, an allocation, or jobs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path

from lightning_itwin import presets
from lightning_itwin.bench.closing import ReportOptions
from lightning_itwin.bench.jobs import SweepJobs
from lightning_itwin.bench.options import overrides
from lightning_itwin.bench.plan import Config, Plan, PlanError, Workload
from lightning_itwin.bench.run import Sweep, elsewhere
from lightning_itwin.launch import JobSettings, World, job_settings
from lightning_itwin.launch.by_name import default_threads, job_launcher, make_launcher, submits_jobs
from lightning_itwin.launch.job_options import take_job_options
from lightning_itwin.launch.world import import_path
from lightning_itwin.meters import host

_CLUSTER = ("workers_per_node", "report_partition")


def read_plan(options: argparse.Namespace, rest: Sequence[str], config: Config) -> tuple[Plan, JobSettings]:
    """Give the plan of a sweep, and what each of its jobs asks for.

    Args:
        options: of the command line.
        rest: its arguments that go on to LightningCLI.
        config: the workload's config, read.

    Raises:
        PlanError: they do not go together, or not with this machine.
    """
    launcher, job = options.launcher, take_job_options(dict(vars(options)))
    jobs = submits_jobs(launcher)
    asked = [*job, *(name for name in _CLUSTER if vars(options)[name] is not None)]
    if asked and launcher == "local":
        raise PlanError(
            f"{', '.join(asked)}: options of a cluster; say with them who starts the trainings there: "
            "--launcher slurm, slurm_jobs, htcondor or ray"
        )
    if not options.wait and not jobs:
        raise PlanError(
            f"--no-wait: with --launcher {launcher} the trainings run within this command; jobs of their own "
            "they are with slurm_jobs, htcondor, or slurm outside of an allocation"
        )
    try:
        settings = job_settings(job)
        told = jobs or settings.asks_for_gpus or launcher == "ray"
        accelerator = settings.accelerator(options.accelerator) if told else ""
    except (ValueError, OSError) as error:
        raise PlanError(str(error)) from None
    most = max(options.workers)
    per_node = options.workers_per_node or settings.gpus_per_node
    if settings.gpus_per_node and per_node and per_node > settings.gpus_per_node:
        raise PlanError(
            f"--workers-per-node {per_node}: a node has {settings.gpus_per_node} GPUs, and each worker has "
            "one of its own"
        )
    workload = Workload(
        name=options.config if options.config in presets.names() else config.path.stem,
        config=str(config.path),
        config_sha256=config.sha256,
        overrides=overrides(rest),
        epochs=options.epochs,
        scaling=options.scaling,
        batch_size_key=options.batch_size_key,
        accelerator=accelerator or _accelerator(options.accelerator, min(most, per_node or most)),
        threads_per_worker=options.threads_per_worker or default_threads(launcher, most, host.cpu_cores()),
        country_iso_code=options.country,
        workers_per_node=per_node,
    )
    for workers in options.workers:
        workload.nodes(workers)
    plan = Plan(
        workload=workload, strategies=options.strategies, workers=options.workers, repeats=options.repeats
    )
    return plan, settings


def open_sweep(
    plan: Plan,
    config: Config,
    folder: Path,
    options: argparse.Namespace,
    settings: JobSettings,
    report_options: ReportOptions,
) -> tuple[Sweep, SweepJobs | None]:
    """Give a sweep, and its jobs where its trainings are jobs; the scheduler has looked at such jobs.

    Args:
        plan: of the sweep.
        config: the workload's config, read.
        folder: of the sweep.
        options: of the command line; nothing is asked of a scheduler in a dry run.
        settings: what each job asks for.
        report_options: of the report.

    Raises:
        LauncherError: the launcher cannot be used here, or its scheduler refuses such jobs.
        MissingExtraError: what it needs is not installed.
    """
    name = options.launcher
    shapes = [_shape(plan, folder, workers) for workers in plan.workers]
    if not submits_jobs(name):
        launcher = make_launcher(name, settings, shapes)
        return Sweep(plan, config, folder, launcher, options.timeout, local=name == "local"), None
    report = elsewhere(
        World(
            command=(
                *("-m", "lightning_itwin.bench.settle", str(folder.absolute())),
                *report_options.arguments(),
            ),
            workers=1,
            starter="ranks",
            log=folder.absolute() / "logs" / "report.log",
            environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": import_path()},
        ),
        folder,
    )
    small = dataclasses.replace(
        settings.for_one_process, partition=options.report_partition or settings.partition
    )
    if not options.dry_run:
        make_launcher(name, settings, shapes)
        make_launcher(name, small, [report])
    jobs = job_launcher(name, settings)
    sweep = Sweep(plan, config, folder, jobs, options.timeout, local=False)
    return sweep, SweepJobs(sweep, jobs, name, report, job_launcher(name, small))


def _shape(plan: Plan, folder: Path, workers: int) -> World:
    """Give a world as large as a training's."""
    world = World(
        command=("-m", "a.training"),
        workers=workers,
        starter="ranks",
        log=folder / "logs" / "check.log",
        environment={"OMP_NUM_THREADS": str(plan.workload.threads_per_worker)},
    )
    return elsewhere(world, folder, plan.workload)


def _accelerator(wanted: str, most_workers: int) -> str:
    if wanted == "cpu":
        return "cpu"
    cuda = importlib.import_module("torch").cuda
    devices = cuda.device_count() if cuda.is_available() else 0
    if wanted == "auto":
        wanted = "gpu" if devices else "cpu"
    if wanted == "gpu" and devices < most_workers:
        raise PlanError(
            f"{most_workers} workers were asked for and {devices} GPUs can be seen; "
            f"ask for at most {devices} workers, or --accelerator cpu"
        )
    return wanted
