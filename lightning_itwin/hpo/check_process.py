"""Looks at a study before its first trial, in a process of its own: ``... hpo.check_process ORDER.json``.

It fills the user's config in, finds the tuned keys in it, builds it with both ends of every range, and
trains one batch to see the objective logged. What it is doing stands in ``step.json``, so that whoever
started it can say where a model refused a value, whatever the model raised.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_itwin.callbacks.measuring_callback import callbacks_of
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.hpo import config_keys
from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.records.manifest import write_json

STEP, FOUND, BASELINE = "step.json", "found.json", "baseline.yaml"
_CHEAP_S = 3.0  # building model and data once, so that every end of every range is built too
_MOST_S = 60.0


class ConfigCLI(ItwinCLI):
    """LightningCLI that reads a config and builds nothing by itself."""

    def __init__(self, args: list[str]) -> None:
        self._trainer_settings: dict[str, Any] | None = None
        self._building = False
        super().__init__(
            args=args, run=False, save_config_callback=None, parser_kwargs={"exit_on_error": False}
        )

    def instantiate_classes(self) -> None:
        if self._building:
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        if self._trainer_settings is None:
            return None
        return super().instantiate_trainer(**{**kwargs, **self._trainer_settings})

    def build(self, config: Namespace, trainer: dict[str, Any] | None = None) -> Trainer:
        """Build model and data of a config, and its Trainer where settings of one are given."""
        self.config, self._trainer_settings, self._building = config, trainer, True
        self.instantiate_classes()
        return self.trainer

    def filled(self) -> dict[str, Any]:
        """Give the config with all defaults."""
        filled: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return filled


def main() -> None:
    """Check the study of the order that the command line names."""
    order_file = Path(sys.argv.pop())
    folder = order_file.parent
    order = json.loads(order_file.read_text(encoding="utf-8"))
    started_s = time.monotonic()

    def step(what: str, **details: Any) -> None:
        write_json(folder / STEP, {"what": what, **details})

    step("config")
    cli = ConfigCLI(order["arguments"])
    filled = cli.filled()
    step("keys")
    paths = {key: config_keys.resolve(filled, key) for key in order["space"]}
    step("build")
    before_s = time.monotonic()
    cli.build(cli.parser.parse_object(filled))
    cheap = time.monotonic() - before_s < _CHEAP_S
    for key, values in order["space"].items():
        for value in values:
            step("value", key=key, value=value)
            cheap = cheap and time.monotonic() - started_s < _MOST_S
            _try(cli, filled, {paths[key]: value}, build=cheap)
    step("save")
    (folder / BASELINE).write_text(yaml.safe_dump(filled, sort_keys=False), encoding="utf-8")
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found: dict[str, Any] = {
        "paths": {key: list(path) for key, path in paths.items()},
        "baseline": {key: config_keys.get(filled, path) for key, path in paths.items()},
        "max_epochs": filled["trainer"].get("max_epochs"),
        "gpus": devices,
        "metrics": None,
    }
    write_json(folder / FOUND, found)
    if order["metric"]:
        step("metric")
        found["metrics"] = _metrics(cli, filled, order["accelerator"], folder)
        write_json(folder / FOUND, found)
    step("done")


def _try(cli: ConfigCLI, filled: Mapping[str, Any], values: Mapping[Any, Any], *, build: bool) -> None:
    config = cli.parser.parse_object(config_keys.with_values(filled, values))
    again = yaml.safe_load(cli.parser.dump(config, skip_none=False, skip_validation=True))
    for path, value in values.items():
        set_to = config_keys.get(again, path)
        if set_to != value and not isinstance(value, (dict, list)):
            raise StudyError(f"the config makes {set_to!r} of it, so that tuning it would change nothing")
    if build:
        trainer = {"accelerator": "cpu", "devices": 1, "logger": False}
        cli.build(config, trainer if any(path[0] == "trainer" for path in values) else None)


def _metrics(cli: ConfigCLI, filled: Mapping[str, Any], accelerator: str, folder: Path) -> list[str]:
    """Train and validate one batch; give the names of what was logged."""
    validates = filled["trainer"].get("limit_val_batches") != 0
    settings = {
        "accelerator": accelerator,
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "logger": True,  # callbacks such as LearningRateMonitor need one
        "default_root_dir": str(folder),
        "max_epochs": 1,
        "max_steps": -1,
        "min_epochs": None,
        "limit_train_batches": 1,
        "limit_val_batches": 1 if validates else 0,
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": 1,
        "val_check_interval": 1.0,
        "accumulate_grad_batches": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = cli.build(cli.parser.parse_object(filled), settings)
    callbacks_of(trainer)[:] = [one for one in callbacks_of(trainer) if not isinstance(one, Checkpoint)]
    trainer.fit(cli.model, datamodule=cli.datamodule)
    return sorted(map(str, trainer.callback_metrics))


if __name__ == "__main__":
    main()
