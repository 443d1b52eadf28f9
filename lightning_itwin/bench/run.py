"""The cells of a plan, each a world of its own: run one after another, and how each ended written down."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lightning_itwin import strategy_names
from lightning_itwin.bench.arguments import Arguments
from lightning_itwin.bench.order import Order
from lightning_itwin.bench.plan import Cell, Config, Plan, PlanError, Workload
from lightning_itwin.launch import Launcher, World, WorldEnd
from lightning_itwin.launch.slurm_queue import outside_of_jobs
from lightning_itwin.launch.world import failure_reason, import_path, log_tail
from lightning_itwin.records import RunOutcome
from lightning_itwin.records.manifest import from_json, write_json
from lightning_itwin.records.run_folder import OUTCOME

_CHECK_TIMEOUT_S = 600
_STRATEGIES = {entry.name: entry for entry in strategy_names.STRATEGY_NAMES}


class Sweep:
    """A plan, the folder that it fills, and the launcher that starts its worlds.

    ::

        <folder>/records/<cell>/      manifest, rows and outcome of one training
        <folder>/tensorboard/<cell>/  its scalars
        <folder>/logs/<cell>.log      what its processes printed

    Args:
        plan: what to run.
        config: the workload's config, read.
        folder: where everything goes.
        launcher: what starts the worlds.
        timeout_s: when a training is ended by force.
        local: whether they run on this machine, each by its strategy's own starter. Elsewhere their ranks
            find each other by themselves.
    """

    def __init__(
        self,
        plan: Plan,
        config: Config,
        folder: Path,
        launcher: Launcher,
        timeout_s: float | None,
        *,
        local: bool = True,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self._arguments = Arguments(plan, config, folder)
        self._launcher = launcher
        self._timeout_s = timeout_s
        self._local = local

    def missing(self) -> list[Cell]:
        """Give the cells that have not ended well yet, in the order in which they run."""
        return [cell for cell in self.plan.cells() if not self._done(cell)]

    def describe(self, cell: Cell) -> str:
        """Give the command of one cell."""
        return self._launcher.describe(self.world(cell))

    def check(self) -> None:
        """Build model, data and Trainer once in a process of its own, without training.

        Raises:
            PlanError: that failed, with what the process said; or a cell cannot be run as asked for.
        """
        for cell in self.plan.cells():
            self._arguments.of(cell)
        cell = Cell(strategy="ddp", workers=1, repeat=0)
        order, log = self.folder / "logs" / "check.json", self.folder / "logs" / "check.log"
        made = dataclasses.asdict(self._order(cell)) | {"check": True}
        if not self._local:  # this machine may have none of what those of the trainings have
            made["arguments"] += ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
        write_json(order, made)
        with open(log, "wb") as output:
            try:
                ended = subprocess.run(
                    [sys.executable, *_worker(order)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=_CHECK_TIMEOUT_S,
                    env={**outside_of_jobs(), **self._environment()},
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                raise PlanError(
                    f"building the workload took more than {_CHECK_TIMEOUT_S} s; see {log}"
                ) from None
        if ended:
            raise PlanError(
                f"the workload {self.plan.workload.name!r} cannot be built: {failure_reason(log, ended)}\n"
                f"{log_tail(log)}\n(whole output: {log})"
            )

    def run(self, cells: Iterable[Cell], announce: Callable[[str], None]) -> Iterator[RunOutcome]:
        """Run the cells; yield how each one ended, as it has ended.

        Args:
            cells: what to run, in this order.
            announce: told the name of each cell as it begins.
        """
        for cell in cells:
            announce(cell.name)
            world = self.prepare(cell)
            if isinstance(world, RunOutcome):
                yield world
                continue
            started_unix_s = time.time()
            running = self._launcher.start(world)
            try:
                end = running.wait()
            finally:
                running.stop()
            yield write_outcome(self.folder, cell, end, started_unix_s)

    def prepare(self, cell: Cell) -> World | RunOutcome:
        """Remove what an earlier training of a cell left, and write what its processes do; give their world.

        Where it cannot be trained here, that is written down as its outcome, and given.
        """
        for leftover in (records_of(self.folder, cell), self.folder / "tensorboard" / cell.name):
            shutil.rmtree(leftover, ignore_errors=True)
        if reason := unavailable(cell.strategy):
            outcome = RunOutcome(**vars(cell), status="failed", wall_s=0.0, reason=reason)
            outcome.write(records_of(self.folder, cell))
            return outcome
        order = self._order(cell)
        if not self._local:
            order = dataclasses.replace(
                order,
                token=f"{cell.name}-{secrets.token_hex(8)}",
                workers=cell.workers,
                meeting=str(self._order_file(cell).with_suffix(".meeting").absolute()),
            )
        write_json(self._order_file(cell), dataclasses.asdict(order))
        return self.world(cell)

    def _done(self, cell: Cell) -> bool:
        outcome = outcome_of(self.folder, cell)
        return outcome is not None and outcome.status == "ok"

    def world(self, cell: Cell) -> World:
        """Give the world of a cell."""
        world = World(
            command=_worker(self._order_file(cell)),
            workers=cell.workers,
            starter=_STRATEGIES[cell.strategy].starter,
            log=log_of(self.folder, cell),
            environment=self._environment(),
            timeout_s=self._timeout_s,
        )
        return world if self._local else elsewhere(world, self.folder, self.plan.workload)

    def _environment(self) -> dict[str, str]:
        threads = str(self.plan.workload.threads_per_worker)
        limits = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if not self._local:
            return {**limits, "PYTHONPATH": import_path()}
        return {**limits, "LIGHTNING_ITWIN_DRIVER": str(os.getpid())}

    def _order(self, cell: Cell) -> Order:
        workload = self.plan.workload
        return Order(
            arguments=self._arguments.of(cell),
            records=str(records_of(self.folder, cell).absolute()),
            facts={
                "workload": workload.name,
                "strategy": cell.strategy,
                "scaling": workload.scaling,
                "repeat": cell.repeat,
            },
            country_iso_code=workload.country_iso_code,
        )

    def _order_file(self, cell: Cell) -> Path:
        return self.folder / "logs" / f"{cell.name}.json"


def unavailable(strategy: str) -> str:
    """Say why a strategy cannot run here; empty if it can."""
    return _STRATEGIES[strategy].unavailable()


def records_of(folder: Path, cell: Cell) -> Path:
    """Give the folder of a cell's records."""
    return folder / "records" / cell.name


def log_of(folder: Path, cell: Cell) -> Path:
    """Give the log of a cell."""
    return folder / "logs" / f"{cell.name}.log"


def outcome_of(folder: Path, cell: Cell) -> RunOutcome | None:
    """Read how the training of a cell ended; None where nobody has written that."""
    try:
        outcome: RunOutcome = from_json(RunOutcome, records_of(folder, cell) / OUTCOME)
    except (OSError, ValueError):
        return None
    return outcome


def elsewhere(world: World, folder: Path, workload: Workload | None = None) -> World:
    """Give a world as it is on other machines: its ranks find each other, its job is known by its name.

    Args:
        world: of the sweep.
        folder: of the sweep; two sweeps share no name.
        workload: says how the workers are spread; None for one machine without GPUs.
    """
    place = hashlib.blake2b(str(folder.absolute()).encode(), digest_size=4).hexdigest()
    name = re.sub(r"[^\w.-]", "_", folder.absolute().name)
    return dataclasses.replace(
        world,
        starter="ranks",
        mark=f"{name}-{place}-{world.log.stem}",
        nodes=1 if workload is None else workload.nodes(world.workers),
        gpus=workload is not None and workload.accelerator == "gpu",
    )


def write_outcome(folder: Path, cell: Cell, end: WorldEnd, started_unix_s: float | None = None) -> RunOutcome:
    """Write down how the training of a cell ended.

    Args:
        folder: of the sweep.
        cell: that was trained.
        end: of its world.
        started_unix_s: when it was started, where its world does not know that better.
    """
    outcome = RunOutcome(
        **vars(cell),
        status="failed" if end.status == "lost" else end.status,
        wall_s=end.wall_s,
        reason=end.reason,
        log=str(log_of(folder, cell).relative_to(folder)),
        log_tail=end.log_tail,
        started_unix_s=end.started_unix_s or started_unix_s,
    )
    outcome.write(records_of(folder, cell))
    return outcome


def _worker(order: Path) -> tuple[str, ...]:
    return ("-m", "lightning_itwin.bench.worker", str(order.absolute()))
