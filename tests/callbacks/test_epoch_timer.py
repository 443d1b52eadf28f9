from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_itwin.callbacks import epoch_timer
from lightning_itwin.callbacks.epoch_timer import EpochTimer
from lightning_itwin.records import EpochRecord, WallTimeRecord, find_runs

pytestmark = pytest.mark.filterwarnings("ignore")
FETCH_S, STEP_S, VALIDATION_S, SAVE_S = 0.25, 1.0, 8.0, 32.0


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(epoch_timer, "time", SimpleNamespace(perf_counter=clock, time=time.time))
    return clock


class Rows(Dataset[torch.Tensor]):
    """Rows each of which takes a known time to fetch."""

    def __init__(self, clock: Clock, number: int, fetch_s: float = FETCH_S) -> None:
        self.clock, self.number, self.fetch_s = clock, number, fetch_s

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> torch.Tensor:
        self.clock.now_s += self.fetch_s
        return torch.ones(32)


class Stream(IterableDataset[torch.Tensor]):
    """The same without a length."""

    def __init__(self, clock: Clock, number: int) -> None:
        self.clock, self.number = clock, number

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(self.number):
            self.clock.now_s += FETCH_S
            yield torch.ones(32)


class TimedModel(BoringModel):
    """Every step takes a known time on the test's clock."""

    fail_at: int | None = None

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.fail_at is not None and self.global_step == self.fail_at:
            raise RuntimeError("the test's own")
        self.clock.now_s += STEP_S
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock.now_s += VALIDATION_S
        return super().validation_step(batch, batch_idx)


def fit(
    tmp_path: Path,
    clock: Clock,
    *,
    train: Any = None,
    validate: Any = None,
    model: BoringModel | None = None,
    ckpt_path: str | None = None,
    callbacks: tuple[Any, ...] = (),
    timer: EpochTimer | None = None,
    **options: Any,
) -> Trainer:
    trainer = Trainer(
        **{
            "max_epochs": 2,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": bool(callbacks),
            "accelerator": "cpu",
            "default_root_dir": tmp_path,
            "callbacks": [timer or EpochTimer(), *callbacks],
            **options,
        }
    )
    train = DataLoader(Rows(clock, 8), batch_size=2) if train is None else train
    validate = DataLoader(Rows(clock, 4, fetch_s=0.0), batch_size=2) if validate is None else validate
    trainer.fit(model or TimedModel(clock), train, validate, ckpt_path=ckpt_path)
    return trainer


def rows(folder: Path, stage: str = "train") -> list[EpochRecord]:
    [run] = find_runs(folder)
    return [record for record in run.of(EpochRecord) if record.stage == stage]


def test_training_and_validation_apart(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock)
    step_s = 2 * FETCH_S + STEP_S
    for epoch, row in enumerate(rows(tmp_path)):
        assert row == EpochRecord(
            time_unix_s=row.time_unix_s,
            rank=0,
            epoch=epoch,
            stage="train",
            time_s=4 * step_s,
            steps=4,
            samples=8,
            world_samples=8,
            step_time_median_s=step_s,
            step_time_p95_s=step_s,
            data_wait_s=4 * 2 * FETCH_S,
            warmup=epoch == 0,
        )
    validated = rows(tmp_path, "validate")
    assert [(row.epoch, row.time_s, row.steps) for row in validated] == [
        (0, 2 * VALIDATION_S, 2),
        (1, 2 * VALIDATION_S, 2),
    ]


class Busy(Callback):
    """Does something of its own after every batch."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, *_: object) -> None:
        self.clock.now_s += 1.5


def test_what_another_callback_does_is_no_waiting_for_data(tmp_path: Path, clock: Clock) -> None:
    trainer = fit(tmp_path, clock, callbacks=(Busy(clock),), enable_checkpointing=False)
    for row in rows(tmp_path):
        assert row.data_wait_s == 4 * 2 * FETCH_S
        assert row.step_time_median_s == 2 * FETCH_S + STEP_S + 1.5
    assert "start" not in vars(trainer.profiler)  # the profiler is as it was


def test_without_validation_there_is_no_row_of_it(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, limit_val_batches=0)
    assert [row.time_s for row in rows(tmp_path)] == [6.0, 6.0]
    assert rows(tmp_path, "validate") == []


def test_validation_within_the_epoch_is_left_out(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, val_check_interval=0.25, max_epochs=1)
    [row] = rows(tmp_path)
    assert (row.time_s, row.data_wait_s, row.steps) == (6.0, 2.0, 4)
    [validated] = rows(tmp_path, "validate")
    assert (validated.time_s, validated.steps) == (4 * 2 * VALIDATION_S, 8)


def test_validation_every_n_steps_over_epochs(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, val_check_interval=3, check_val_every_n_epoch=None, max_epochs=3)
    assert [(row.time_s, row.steps) for row in rows(tmp_path)] == [(6.0, 4)] * 3
    validated = rows(tmp_path, "validate")  # after steps 3, 6, 9 and 12
    assert [(row.epoch, row.steps) for row in validated] == [(0, 2), (1, 2), (2, 4)]


def test_validation_every_second_epoch(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, check_val_every_n_epoch=2, max_epochs=4)
    assert [row.epoch for row in rows(tmp_path, "validate")] == [1, 3]
    assert [row.time_s for row in rows(tmp_path)] == [6.0] * 4


def test_the_sanity_check_is_not_counted(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, num_sanity_val_steps=2)
    assert [row.time_s for row in rows(tmp_path, "validate")] == [16.0, 16.0]
    assert [row.time_s for row in rows(tmp_path)] == [6.0, 6.0]


def test_data_without_a_length(tmp_path: Path, clock: Clock) -> None:
    train = DataLoader(Stream(clock, 8), batch_size=2)
    validate = DataLoader(Stream(clock, 4), batch_size=2)
    fit(tmp_path, clock, train=train, validate=validate)
    warmup, row = rows(tmp_path)
    assert (row.time_s, row.steps, row.samples, row.data_wait_s) == (6.0, 4, 8, 2.0)
    # Lightning fetches the very first batch of such data before the training starts
    assert (warmup.time_s, warmup.steps, warmup.samples, warmup.data_wait_s) == (5.5, 4, 8, 1.5)
    assert [row.steps for row in rows(tmp_path, "validate")] == [2, 2]


def test_a_limited_epoch(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, limit_train_batches=2)
    assert [(row.time_s, row.steps, row.samples) for row in rows(tmp_path)] == [(3.0, 2, 4)] * 2


def test_a_training_that_ends_within_an_epoch(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, max_steps=6, max_epochs=-1)
    assert [(row.epoch, row.steps, row.time_s) for row in rows(tmp_path)] == [(0, 4, 6.0), (1, 2, 3.0)]


def test_accumulated_gradients_do_not_change_what_a_step_is(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, accumulate_grad_batches=2)
    assert [(row.steps, row.samples) for row in rows(tmp_path)] == [(4, 8), (4, 8)]


def test_a_training_resumed_at_the_end_of_an_epoch(tmp_path: Path, clock: Clock) -> None:
    saver = ModelCheckpoint(dirpath=tmp_path / "saved", save_last=True)
    fit(tmp_path / "first", clock, callbacks=(saver,))
    fit(tmp_path / "second", clock, ckpt_path=str(saver.last_model_path), max_epochs=4)
    told = [(row.epoch, row.time_s, row.steps, row.warmup) for row in rows(tmp_path / "second")]
    assert told == [(2, 6.0, 4, True), (3, 6.0, 4, False)]


def test_a_training_resumed_within_an_epoch(tmp_path: Path, clock: Clock) -> None:
    saver = ModelCheckpoint(dirpath=tmp_path / "saved", every_n_train_steps=3, save_top_k=-1)
    fit(tmp_path / "first", clock, callbacks=(saver,), max_epochs=1)
    [saved] = (tmp_path / "saved").glob("*step=3.ckpt")
    fit(tmp_path / "second", clock, ckpt_path=str(saved), max_epochs=2)
    told = rows(tmp_path / "second")
    assert [row.epoch for row in told] == [0, 1]
    assert (told[1].time_s, told[1].steps) == (6.0, 4)
    assert told[0].steps >= 1
    assert told[0].time_s <= 6.0  # and not the age of the clock


def test_a_second_fit_gets_records_of_its_own(tmp_path: Path, clock: Clock) -> None:
    trainer = fit(tmp_path, clock)
    assert trainer.fit_loop.max_epochs == 2
    trainer.fit_loop.max_epochs = 3
    trainer.fit(TimedModel(clock), DataLoader(Rows(clock, 8), batch_size=2))
    runs = sorted(find_runs(tmp_path), key=lambda run: run.records[0].time_unix_s)
    assert [[row.epoch for row in run.of(EpochRecord) if row.stage == "train"] for run in runs] == [
        [0, 1],
        [2],
    ]


def test_an_exception_leaves_the_epochs_before_it(tmp_path: Path, clock: Clock) -> None:
    model = TimedModel(clock)
    model.fail_at = 6
    with pytest.raises(RuntimeError, match="the test's own"):
        fit(tmp_path, clock, model=model)
    assert [row.epoch for row in rows(tmp_path)] == [0]


def test_a_batch_without_size_is_unknown_not_zero(tmp_path: Path, clock: Clock) -> None:
    class NoTensor(TimedModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(torch.ones(2, 32), batch_idx)

    loader = DataLoader(Rows(clock, 8), batch_size=2, collate_fn=lambda batch: "text")
    fit(tmp_path, clock, model=NoTensor(clock), train=loader)
    assert [(row.steps, row.samples, row.world_samples) for row in rows(tmp_path)] == [(4, None, None)] * 2


def test_the_user_may_count_samples(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, timer=EpochTimer(batch_size_fn=lambda batch: 100))
    assert [row.samples for row in rows(tmp_path)] == [400, 400]


def test_logged_metrics(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, logger=CSVLogger(tmp_path), log_every_n_steps=1)
    lines = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    table = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    epochs = [row for row in table if row["epoch/time_s"]]
    assert [row["step"] for row in epochs] == ["4", "8"]
    for row in epochs:
        assert float(row["epoch/time_s"]) == 6.0
        assert float(row["epoch/samples_per_s"]) == pytest.approx(8 / 6)
        assert float(row["epoch/validation_s"]) == 16.0
        assert float(row["epoch/step_time_s"]) == 1.5


def test_flops_where_the_module_tells_them(tmp_path: Path, clock: Clock) -> None:
    model = TimedModel(clock)
    model.flops_per_batch = 3e6  # as Lightning's ThroughputMonitor has it
    fit(tmp_path, clock, model=model, logger=CSVLogger(tmp_path), log_every_n_steps=1)
    assert [row.flops for row in rows(tmp_path)] == [1.2e7, 1.2e7]
    text = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    column = text.splitlines()[0].split(",").index("epoch/flops_per_s")
    assert {line.split(",")[column] for line in text.splitlines()[1:]} == {"2000000.0"}


def test_fast_dev_run_leaves_nothing(tmp_path: Path, clock: Clock) -> None:
    fit(tmp_path, clock, fast_dev_run=True)
    assert list(find_runs(tmp_path)) == []


def test_validating_alone_leaves_nothing(tmp_path: Path, clock: Clock) -> None:
    trainer = Trainer(
        logger=False,
        enable_progress_bar=False,
        accelerator="cpu",
        callbacks=[EpochTimer()],
        default_root_dir=tmp_path,
    )
    trainer.validate(TimedModel(clock), DataLoader(Rows(clock, 4), batch_size=2), verbose=False)
    assert list(find_runs(tmp_path)) == []


def test_a_row_is_written_at_the_end_of_its_epoch(tmp_path: Path, clock: Clock) -> None:
    before = time.time()
    fit(tmp_path, clock, max_epochs=1)
    [row] = rows(tmp_path)
    assert before <= row.time_unix_s <= time.time()
    assert dataclasses.replace(row, rank=1).rank == 1


class SavedModel(TimedModel):
    """A checkpoint takes a known time."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.clock.now_s += SAVE_S


def wall_times(folder: Path) -> list[WallTimeRecord]:
    [run] = find_runs(folder)
    return list(run.of(WallTimeRecord))


def test_where_the_wall_time_went(tmp_path: Path, clock: Clock) -> None:
    saving = ModelCheckpoint(dirpath=tmp_path / "saved", every_n_train_steps=3, save_top_k=-1)
    trainer = fit(tmp_path, clock, model=SavedModel(clock), callbacks=(saving,), max_epochs=3)
    assert [(row.time_s, row.data_wait_s) for row in rows(tmp_path)] == [(6.0, 2.0)] * 3
    last = wall_times(tmp_path)[-1]
    assert (last.epochs_s, last.data_wait_s) == (18.0, 6.0)
    assert last.validation_s == 3 * 2 * VALIDATION_S
    assert last.checkpoint_s == 4 * SAVE_S  # after steps 3, 6, 9 and 12
    assert last.training_s == last.epochs_s + last.validation_s + last.checkpoint_s
    assert "save_checkpoint" not in vars(trainer)
    assert len(wall_times(tmp_path)) == 4  # after each epoch, and at the end


def test_a_training_that_fails_tells_where_its_time_went(tmp_path: Path, clock: Clock) -> None:
    model = TimedModel(clock)
    model.fail_at = 6
    with pytest.raises(RuntimeError, match="own"):
        fit(tmp_path, clock, model=model)
    last = wall_times(tmp_path)[-1]
    assert (last.epochs_s, last.data_wait_s) == (9.0, 2.0 + 2 * 2 * FETCH_S)
    assert last.training_s == pytest.approx(9.0 + 2 * FETCH_S + last.validation_s)


def test_a_second_training_starts_up_from_the_end_of_the_first(tmp_path: Path, clock: Clock) -> None:
    before_unix_s = time.time()
    for name in ("first", "second"):
        fit(tmp_path / name, clock)
    first, second = (wall_times(tmp_path / name)[-1] for name in ("first", "second"))
    assert 0 < second.start_up_s < time.time() - before_unix_s
    assert first.start_up_s > second.start_up_s or first.start_up_s < time.time() - before_unix_s
