"""The drought study that comes with the package: each of its hyperparameters changes what a trial trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from lightning_itwin.cli import ItwinCLI
from lightning_itwin.hpo.options import DEFAULT_STUDY, given, parser, study_file
from lightning_itwin.hpo.search_space import read_space
from lightning_itwin.hpo.study_plan import StudyPlan, read_study

pytest.importorskip("optuna")
pytest.importorskip("xarray")

PUBLISHED = {
    "model.learning_rate": 0.001,
    "model.hidden_size": 136,
    "model.dropout": 0.4,
    "data.batch": 256,
    "data.seq_length": 120,
    "data.interval_value": 2,
}
CHANGED = {  # what at least must differ between the ends of a range
    "model.learning_rate": {"learning_rate"},
    "model.hidden_size": {"weights"},
    "model.dropout": {"dropout"},
    "data.batch": {"train_shape", "steps"},
    "data.seq_length": {"train_shape", "val_shape"},
    "data.interval_value": {"cells", "val_cells"},
}


class FirstStep(Callback):
    """Looks at a training that is about to take its first step."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        of_val = next(iter(trainer.datamodule.val_dataloader()))
        self.seen = {
            "steps": trainer.num_training_batches,
            "train_shape": tuple(batch.dynamic.shape),
            "val_shape": tuple(of_val.dynamic.shape),
            "cells": sorted(set((batch.series % trainer.datamodule.grid.cells).tolist())),
            "val_cells": sorted(set((of_val.series % trainer.datamodule.grid.cells).tolist())),
            "weights": sum(one.numel() for one in pl_module.parameters()),
            "dropout": [one.p for one in pl_module.modules() if isinstance(one, torch.nn.Dropout)],
            "learning_rate": trainer.optimizers[0].param_groups[0]["initial_lr"],
        }


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Give a function that builds what a trial would train, with values at some keys, and looks at it."""
    folder = tmp_path_factory.mktemp("drought")
    path = folder / "trial.yaml"

    def seen(values: dict[str, Any]) -> dict[str, Any]:
        config = read_study(DEFAULT_STUDY)["config"]
        config["data"]["init_args"]["data_dir"] = str(folder)
        for key, value in values.items():
            part, name = key.split(".")
            assert name in config[part]["init_args"], f"the study's config does not say its own {key}"
            config[part]["init_args"][name] = value
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        first = FirstStep()
        small: dict[str, Any] = {
            "callbacks": [first],
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": 1,
            "limit_val_batches": 0,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        cli = ItwinCLI(
            args=["--config", str(path)], run=False, save_config_callback=None, trainer_defaults=small
        )
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        return first.seen

    return seen


def test_the_drought_study_is_the_default_and_found_by_name() -> None:
    options = parser().parse_args([])
    assert options.config == study_file("drought") == DEFAULT_STUDY
    assert given(options, "config") == {}
    plan = StudyPlan(**read_study(options.config))
    assert (plan.max_epochs, plan.trials, plan.metric) == (40, 28, "val/loss")


def test_a_file_of_a_studys_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drought").write_text("space: {}")
    assert study_file("drought") == Path("drought")
    assert study_file("mine.yaml") == Path("mine.yaml")


def test_the_baseline_has_the_published_hyperparameters() -> None:
    config = read_study(DEFAULT_STUDY)["config"]
    found = {key: config[key.split(".")[0]]["init_args"][key.split(".")[1]] for key in PUBLISHED}
    assert found == PUBLISHED
    assert set(read_study(DEFAULT_STUDY)["space"]) == set(PUBLISHED)


@pytest.mark.parametrize("key", sorted(CHANGED))
def test_both_ends_of_a_range_train_differently(
    key: str, look: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    ends = read_space(read_study(DEFAULT_STUDY)["space"])[key].ends()
    low, high = look({key: ends[0]}), look({key: ends[-1]})
    differing = {name for name in low if low[name] != high[name]}
    assert differing >= CHANGED[key]
    if key == "model.learning_rate":
        assert differing == {"learning_rate"}
        assert (low["learning_rate"], high["learning_rate"]) == (1e-4, 1e-2)


def test_every_length_of_window_is_validated_on_the_same_days() -> None:
    study = read_study(DEFAULT_STUDY)
    data = study["config"]["data"]["init_args"]
    for length in study["space"]["data.seq_length"]:
        assert 720 % (length - data["warmup"]) == 0
        assert length - data["warmup"] <= study["config"]["model"]["init_args"]["training"]["evaluated_steps"]
