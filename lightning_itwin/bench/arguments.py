"""From a cell to LightningCLI's command line: the config, the user's overrides, then the sweep's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from lightning_itwin.bench.plan import Cell, Config, Plan, PlanError, limit_train_batches


class Arguments:
    """The command lines of a sweep's trainings.

    Args:
        plan: of the sweep.
        config: the workload's config, read.
        folder: of the sweep.
    """

    def __init__(self, plan: Plan, config: Config, folder: Path) -> None:
        self._plan = plan
        self._config = config
        self._folder = folder

    def of(self, cell: Cell) -> list[str]:
        """Give the command line of a cell.

        Raises:
            PlanError: the cell cannot be trained as asked for.
        """
        workload = self._plan.workload
        logger = {
            "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
            "init_args": {
                "save_dir": str((self._folder / "tensorboard").absolute()),
                "name": cell.name,
                "version": "",
                "default_hp_metric": False,
            },
        }
        settings: dict[str, Any] = {
            "strategy": cell.strategy,
            "devices": cell.workers // workload.nodes(cell.workers),
            "num_nodes": workload.nodes(cell.workers),
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
            most_workers=max(self._plan.workers),
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
        batch_size = self._value(self._plan.workload.batch_size_key or "")
        if not isinstance(batch_size, int) or batch_size % cell.workers:
            raise PlanError(
                f"--batch-size-key {self._plan.workload.batch_size_key}: the config holds {batch_size!r} "
                f"there; it must be a whole number that {cell.workers} workers can share evenly"
            )
        return batch_size // cell.workers

    def _value(self, key: str) -> Any:
        """Give what the user has set for a key: her last override, else the config's value."""
        value = self._config.get(key)
        for override in self._plan.workload.overrides:
            name, equals, text = override.removeprefix("--").partition("=")
            if equals and name == key:
                value = yaml.safe_load(text)
        return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
