"""The reporter in Trainers of this process: what it reports, when it saves, pauses, resumes and refuses."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lightning_itwin.hpo.reporter import MetricError, RandomStateKeeper, Reporter
from lightning_itwin.hpo.storage_line import RowLine, StorageLine, Verdict
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialResult, TrialSpec
from tests.hpo.tiny import TinyData, TinyModel


class Listener:
    """A study that remembers, and answers what it was made with."""

    def __init__(self, **verdict: Any) -> None:
        self.told: dict[int, float] = {}
        self.verdict = Verdict(**verdict)
        self.stop_at = 10**9

    def connect(self) -> None:
        pass

    def tell(self, epoch: int, value: float) -> Verdict:
        self.told[epoch] = value
        return Verdict(stop=self.verdict.stop or epoch >= self.stop_at, best=self.verdict.best)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def fit(
    folder: Path,
    listener: Listener | StorageLine | None = None,
    *,
    model: TinyModel | None = None,
    trainer: dict[str, Any] | None = None,
    checkpoint: Path | None = None,
    **spec: Any,
) -> tuple[TrialFolder, Trainer]:
    folder.mkdir(exist_ok=True)
    made = TrialSpec(
        **{
            "token": "t",
            "arguments": [],
            "metric": "val_loss",
            "direction": "minimize",
            "workers": 1,
            "until_epoch": 6,
            "max_epochs": 6,
            "policy": {"name": "asha"},
            "deadline_s": 30.0,
            **spec,
        }
    )
    seed_everything(1, verbose=False)
    trial = TrialFolder(folder)
    used = Trainer(
        accelerator="cpu",
        max_epochs=made.max_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **(trainer or {}),
    )
    callbacks: list[Any] = used.callbacks  # type: ignore[attr-defined]
    if checkpoint is not None:
        callbacks.append(RandomStateKeeper(checkpoint))
    line = StorageLine(listener, 30.0) if isinstance(listener, Listener) else listener
    callbacks.append(Reporter(made, trial, line))
    used.fit(model or TinyModel(draws=True), datamodule=TinyData(), ckpt_path=checkpoint)
    return trial, used


def result(trial: TrialFolder) -> TrialResult:
    found = trial.result()
    assert found is not None
    return found


def test_every_epoch_is_reported_and_the_best_one_is_the_result(tmp_path: Path) -> None:
    listener = Listener()
    trial, trainer = fit(tmp_path, listener)
    assert list(listener.told) == [1, 2, 3, 4, 5, 6]
    assert trial.reports() == listener.told
    found = result(trial)
    assert found.state == "complete"
    assert found.value == min(listener.told.values())
    assert listener.told[found.best_epoch or 0] == found.value
    assert (found.epochs, found.steps) == (6, trainer.global_step)
    saved = trial.saved("best")
    assert saved is not None
    assert (saved.epochs, saved.value) == (found.best_epoch, found.value)
    assert torch.load(trial.path / saved.name, weights_only=True)["epoch"] == saved.epochs - 1


def test_a_paused_training_goes_on_as_if_it_had_not_been_paused(tmp_path: Path) -> None:
    whole, whole_trainer = fit(tmp_path / "whole")
    first, _ = fit(tmp_path / "first", until_epoch=3)
    assert result(first).state == "paused"
    saved = first.saved("last")
    assert saved is not None
    second, second_trainer = fit(tmp_path / "second", checkpoint=first.path / saved.name)
    assert result(second).state == "complete"
    assert {**first.reports(), **second.reports()} == whole.reports()
    assert list(second.reports()) == [4, 5, 6]
    assert second_trainer.global_step == whole_trainer.global_step


def test_a_checkpoint_to_resume_from_holds_nothing_that_cannot_be_read_back(tmp_path: Path) -> None:
    model = TinyModel(draws=True)
    model.hparams["somewhere"] = Path("data")  # no tensor, no number: refused by weights_only=True
    first, _ = fit(tmp_path / "first", until_epoch=3, model=model)
    saved = first.saved("last")
    assert saved is not None
    second, _ = fit(tmp_path / "second", checkpoint=first.path / saved.name)
    assert result(second).epochs == 6


def test_what_the_study_stops_ends_at_once(tmp_path: Path) -> None:
    listener = Listener()
    listener.stop_at = 2
    trial, _ = fit(tmp_path, listener)
    assert (result(trial).state, result(trial).epochs) == ("stopped", 2)
    assert trial.saved("last") is None


def test_a_baseline_is_not_stopped(tmp_path: Path) -> None:
    trial, _ = fit(tmp_path, Listener(stop=True), policy={})
    assert (result(trial).state, result(trial).epochs) == ("complete", 6)


def test_a_checkpoint_is_written_for_what_beats_the_whole_study_alone(tmp_path: Path) -> None:
    trial, _ = fit(tmp_path, Listener(best=1e-9))
    assert trial.saved("best") is None
    assert not list(tmp_path.glob("*.ckpt"))


def test_one_checkpoint_at_a_time_is_kept_against_a_killed_process(tmp_path: Path) -> None:
    trial, _ = fit(tmp_path, save_every_s=0.0, keep_best=False, trainer={"num_sanity_val_steps": 0})
    saved = trial.saved("last")
    assert saved is not None
    assert len(list(tmp_path.glob("last-*.ckpt"))) == 1


def test_a_value_that_is_no_number_ends_the_trial_with_its_reason(tmp_path: Path) -> None:
    trial, _ = fit(tmp_path, Listener(), model=TinyModel(trouble="nan", trouble_epoch=1))
    found = result(trial)
    assert (found.state, found.epochs) == ("diverged", 2)
    assert found.reason == "val_loss became nan in epoch 2"
    assert found.value == trial.reports()[1]
    assert math.isnan(trial.reports()[2])


def test_a_metric_that_is_never_logged_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        MetricError, match="objective 'val_los' was not logged in epoch 1; logged: train_loss, val_loss"
    ):
        fit(tmp_path, metric="val_los")


def test_a_metric_of_the_training_is_reported_every_epoch(tmp_path: Path) -> None:
    listener = Listener()
    fit(tmp_path, listener, metric="train_loss", trainer={"check_val_every_n_epoch": 2})
    assert list(listener.told) == [1, 2, 3, 4, 5, 6]


def test_epochs_without_a_validation_report_nothing_stale(tmp_path: Path) -> None:
    listener = Listener()
    fit(tmp_path, listener, trainer={"check_val_every_n_epoch": 2})
    assert list(listener.told) == [2, 4, 6]


def test_higher_can_be_better(tmp_path: Path) -> None:
    listener = Listener()
    trial, _ = fit(tmp_path, listener, direction="maximize")
    assert result(trial).value == max(listener.told.values())


def test_a_storage_that_freezes_stops_no_training_and_gets_all_values_when_it_is_back(
    tmp_path: Path,
) -> None:
    optuna = pytest.importorskip("optuna")
    from lightning_itwin.hpo import rows
    from lightning_itwin.hpo.journal import JournalLock
    from lightning_itwin.hpo.storage import open_storage

    journal = tmp_path / "journal.log"
    url = f"journal://{journal}"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    trial_id = study.ask()._trial_id
    spec = TrialSpec(
        token="t",
        arguments=[],
        metric="val_loss",
        direction="minimize",
        workers=1,
        until_epoch=6,
        max_epochs=6,
        study="s",
        storage=url,
        number=0,
        trial_id=trial_id,
        policy={"name": "random", "max_epochs": 6},
    )
    frozen = JournalLock(str(journal))
    frozen.acquire()  # as a writer that was stopped holds it
    warnings: list[str] = []
    line = StorageLine(RowLine(spec), deadline_s=0.2, warn=warnings.append)
    trial, _ = fit(tmp_path / "trial", line)
    assert result(trial).state == "complete"
    assert list(trial.reports()) == [1, 2, 3, 4, 5, 6]
    assert len(warnings) == 1
    assert study.trials[0].intermediate_values == {}
    frozen.release()
    line._deadline_s = 30.0
    assert line.drain()
    assert study.trials[0].intermediate_values == trial.reports()
    assert rows.settle(study, 0, trial) == "complete"
    assert study.trials[0].value == result(trial).value
