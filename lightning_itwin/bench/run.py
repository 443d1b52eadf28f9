"""Runs the cells of a plan one after another, each in a world of its own, and writes down how each ended."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lightning_itwin import strategy_names
from lightning_itwin.bench.order import Order
from lightning_itwin.bench.plan import Cell, Config, Plan, PlanError, limit_train_batches
from lightning_itwin.launch import Launcher, World
from lightning_itwin.launch.world import failure_reason, log_tail
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
    """

    def __init__(
        self,
        plan: Plan,
        config: Config,
        folder: Path,
        launcher: Launcher,
        timeout_s: float | None,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self._config = config
        self._launcher = launcher
        self._timeout_s = timeout_s

    def missing(self) -> list[Cell]:
        """Give the cells that have not ended well yet, in the order in which they run."""
        return [cell for cell in self.plan.cells() if not self._done(cell)]

    def describe(self, cell: Cell) -> str:
        """Give the command of one cell."""
        return self._launcher.describe(self._world(cell))

    def check(self) -> None:
        """Build model, data and Trainer once in a process of its own, without training.

        Raises:
            PlanError: that failed, with what the process said; or a cell cannot be run as asked for.
        """
        for cell in self.plan.cells():
            self._arguments(cell)
        cell = Cell(strategy="ddp", workers=1, repeat=0)
        order, log = self.folder / "logs" / "check.json", self.folder / "logs" / "check.log"
        write_json(order, dataclasses.asdict(self._order(cell)) | {"check": True})
        with open(log, "wb") as output:
            try:
                ended = subprocess.run(
                    [sys.executable, *_worker(order)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=_CHECK_TIMEOUT_S,
                    env={**os.environ, **self._environment()},
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
            outcome = self._run(cell)
            outcome.write(self._records(cell))
            yield outcome

    def _run(self, cell: Cell) -> RunOutcome:
        for leftover in (self._records(cell), self.folder / "tensorboard" / cell.name):
            shutil.rmtree(leftover, ignore_errors=True)
        log = self._log(cell)
        ended = functools.partial(
            RunOutcome, strategy=cell.strategy, workers=cell.workers, repeat=cell.repeat
        )
        if reason := unavailable(cell.strategy):
            return ended(status="failed", wall_s=0.0, reason=reason)
        write_json(self._order_file(cell), dataclasses.asdict(self._order(cell)))
        started_unix_s = time.time()
        running = self._launcher.start(self._world(cell))
        try:
            end = running.wait()
        finally:
            running.stop()
        return ended(
            status=end.status,
            wall_s=end.wall_s,
            reason=end.reason,
            log=str(log.relative_to(self.folder)),
            log_tail=end.log_tail,
            started_unix_s=started_unix_s,
        )

    def _done(self, cell: Cell) -> bool:
        try:
            outcome: RunOutcome = from_json(RunOutcome, self._records(cell) / OUTCOME)
        except (OSError, ValueError):
            return False
        return outcome.status == "ok"

    def _world(self, cell: Cell) -> World:
        return World(
            command=_worker(self._order_file(cell)),
            workers=cell.workers,
            starter=_STRATEGIES[cell.strategy].starter,
            log=self._log(cell),
            environment=self._environment(),
            timeout_s=self._timeout_s,
        )

    def _environment(self) -> dict[str, str]:
        threads = str(self.plan.workload.threads_per_worker)
        return {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "LIGHTNING_ITWIN_DRIVER": str(os.getpid()),
        }

    def _order(self, cell: Cell) -> Order:
        workload = self.plan.workload
        return Order(
            arguments=self._arguments(cell),
            records=str(self._records(cell).absolute()),
            facts={
                "workload": workload.name,
                "strategy": cell.strategy,
                "scaling": workload.scaling,
                "repeat": cell.repeat,
            },
            country_iso_code=workload.country_iso_code,
        )

    def _arguments(self, cell: Cell) -> list[str]:
        """Give the command line of LightningCLI: the config, the user's overrides, then the sweep's own."""
        workload = self.plan.workload
        logger = {
            "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
            "init_args": {
                "save_dir": str((self.folder / "tensorboard").absolute()),
                "name": cell.name,
                "version": "",
                "default_hp_metric": False,
            },
        }
        settings: dict[str, Any] = {
            "strategy": cell.strategy,
            "devices": cell.workers,
            "num_nodes": 1,
            "accelerator": workload.accelerator,
            "max_epochs": workload.epochs,
            "logger": logger,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        if not any("Checkpoint" in str(callback) for callback in self._config.get("trainer.callbacks") or ()):
            settings["enable_checkpointing"] = False
        limit = limit_train_batches(
            self._value("trainer.limit_train_batches"),
            scaling=workload.scaling,
            workers=cell.workers,
            most_workers=max(self.plan.workers),
        )
        if limit is not None:
            settings["limit_train_batches"] = limit
        arguments = [f"--trainer.{key}={_text(value)}" for key, value in settings.items()]
        if workload.batch_size_key:
            arguments.append(f"--{workload.batch_size_key}={self._share_of_batch(cell)}")
        config = ["--config", str(self._config.path.absolute())]
        head = [*config, "fit"] if self._config.below_fit else ["fit", *config]
        return [*head, *workload.overrides, *arguments]

    def _share_of_batch(self, cell: Cell) -> int:
        batch_size = self._value(self.plan.workload.batch_size_key or "")
        if not isinstance(batch_size, int) or batch_size % cell.workers:
            raise PlanError(
                f"--batch-size-key {self.plan.workload.batch_size_key}: the config holds {batch_size!r} "
                f"there; it must be a whole number that {cell.workers} workers can share evenly"
            )
        return batch_size // cell.workers

    def _value(self, key: str) -> Any:
        """Give what the user has set for a key: her last override, else the config's value."""
        value = self._config.get(key)
        for override in self.plan.workload.overrides:
            name, equals, text = override.removeprefix("--").partition("=")
            if equals and name == key:
                value = yaml.safe_load(text)
        return value

    def _records(self, cell: Cell) -> Path:
        return self.folder / "records" / cell.name

    def _log(self, cell: Cell) -> Path:
        return self.folder / "logs" / f"{cell.name}.log"

    def _order_file(self, cell: Cell) -> Path:
        return self.folder / "logs" / f"{cell.name}.json"


def unavailable(strategy: str) -> str:
    """Say why a strategy cannot run here; empty if it can."""
    return _STRATEGIES[strategy].unavailable()


def _worker(order: Path) -> tuple[str, ...]:
    return ("-m", "lightning_itwin.bench.worker", str(order.absolute()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
