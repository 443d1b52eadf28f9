from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader, IterableDataset

from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
from lightning_itwin.callbacks.run_records import RunRecords, describe
from lightning_itwin.records import EpochRecord, Run, find_runs
from tests.records.test_jsonl import epoch_record

pytestmark = pytest.mark.filterwarnings("ignore:.*(num_workers|does not have many workers|deprecated).*")


class Writer(MeasuringCallback):
    """Writes one row when it starts, one an epoch, one when it stops."""

    def __init__(self) -> None:
        self.runs: list[RunRecords] = []

    def start(self, trainer: Trainer, pl_module: Any) -> None:
        self.runs.append(self.run)
        self.run.write(epoch_record(-1))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.run.write(epoch_record(trainer.current_epoch))
        self.run.log(trainer, {"mine/value": 1.0, "mine/unknown": None})

    def stop(self) -> None:
        self.run.write(epoch_record(-2))


def trainer_of(folder: Path, *callbacks: Any, **options: Any) -> Trainer:
    return Trainer(
        **{
            "max_epochs": 1,
            "limit_train_batches": 2,
            "limit_val_batches": 0,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "accelerator": "cpu",
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            **options,
        }
    )


def epochs(run: Run) -> list[int]:
    return [record.epoch for record in run.of(EpochRecord)]


def test_callbacks_share_one_folder_and_one_file(tmp_path: Path) -> None:
    first, second = Writer(), type("Second", (Writer,), {})()
    trainer_of(tmp_path, first, second).fit(BoringModel())
    [run] = find_runs(tmp_path / "records")
    assert sorted(epochs(run)) == [-2, -2, -1, -1, 0, 0]
    assert first.runs == second.runs
    assert sorted(item.name for item in run.folder.iterdir()) == ["manifest.json", "rank-0000.jsonl"]
    assert run.manifest is not None
    assert run.manifest.run_id == run.folder.name


def test_records_lie_in_the_loggers_folder(tmp_path: Path) -> None:
    trainer_of(tmp_path, Writer(), logger=CSVLogger(tmp_path, name="study")).fit(BoringModel())
    [run] = find_runs(tmp_path)
    assert run.folder.parent == tmp_path / "study" / "version_0" / "records"


def test_records_never_lie_in_a_folder_named_like_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "log_dir", property(lambda self: "s3://bucket/logs"))
    trainer_of(tmp_path, Writer()).fit(BoringModel())
    assert [item.name for item in tmp_path.iterdir()] == ["records"]


def test_a_place_that_was_named_before(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "elsewhere", Writer())
    RunRecords.place(trainer, tmp_path / "sweep" / "ddp-2-0", workload="toy", repeat=3, scaling="weak")
    trainer.fit(BoringModel())
    [run] = find_runs(tmp_path)
    assert run.folder == tmp_path / "sweep" / "ddp-2-0"
    assert run.manifest is not None
    assert (run.manifest.run_id, run.manifest.workload) == ("ddp-2-0", "toy")
    assert (run.manifest.repeat, run.manifest.scaling) == (3, "weak")


def test_every_fit_has_records_of_its_own(tmp_path: Path) -> None:
    writer = Writer()
    trainer = trainer_of(tmp_path, writer)
    trainer.fit(BoringModel())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(BoringModel())
    assert writer.runs[0].folder != writer.runs[1].folder
    assert sorted(epochs(run) for run in find_runs(tmp_path)) == [[-1, 0, -2], [-1, 1, -2]]


def test_a_training_that_fails_before_it_starts_leaves_no_stale_run(tmp_path: Path) -> None:
    class FailsInSetup(BoringModel):
        def configure_optimizers(self) -> Any:
            raise RuntimeError("no optimizer")

    writer = Writer()
    trainer = trainer_of(tmp_path, writer)
    with pytest.raises(RuntimeError, match="no optimizer"):
        trainer.fit(FailsInSetup())
    stale = writer.run
    assert list(find_runs(tmp_path)) == []
    trainer.fit(BoringModel())
    assert writer.runs == [writer.run]
    assert writer.run is not stale


def test_a_fit_that_is_done_already_leaves_nothing(tmp_path: Path) -> None:
    writer = Writer()
    trainer = trainer_of(tmp_path, writer, max_epochs=0)
    trainer.fit(BoringModel())
    assert writer.runs == []
    assert list(find_runs(tmp_path)) == []


def test_validate_test_and_predict_leave_nothing(tmp_path: Path) -> None:
    writer = Writer()
    trainer = trainer_of(tmp_path, writer, limit_val_batches=1)
    trainer.validate(BoringModel(), verbose=False)
    trainer.test(BoringModel(), verbose=False)
    trainer.predict(BoringModel())
    assert writer.runs == []
    assert list(find_runs(tmp_path)) == []


def test_fast_dev_run_leaves_nothing(tmp_path: Path) -> None:
    writer = Writer()
    trainer_of(tmp_path, writer, fast_dev_run=True).fit(BoringModel())
    assert len(writer.runs) == 1
    assert not writer.run.keeps
    assert list(find_runs(tmp_path)) == []


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file in the way", encoding="utf-8")
    trainer = trainer_of(tmp_path, Writer(), max_epochs=3)
    with pytest.warns(RuntimeWarning, match="records cannot be written") as caught:
        trainer.fit(BoringModel())
    assert trainer.current_epoch == 3
    assert len([warning for warning in caught if "records cannot" in str(warning.message)]) == 1


def test_scalars_go_to_every_logger_and_unknown_ones_to_none(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, name="a"), CSVLogger(tmp_path, name="b")]
    trainer_of(tmp_path, Writer(), logger=loggers, log_every_n_steps=1).fit(BoringModel())
    for name in ("a", "b"):
        text = (tmp_path / name / "version_0" / "metrics.csv").read_text(encoding="utf-8")
        assert text.splitlines()[0] == "mine/value,step"


def test_tensorboard_gets_the_layout(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer_of(tmp_path, Writer(), logger=TensorBoardLogger(tmp_path), log_every_n_steps=1).fit(BoringModel())
    events = accumulator.EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"))
    events.Reload()
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "mine/value" in events.Tags()["scalars"]


class Stream(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Any:
        return iter(torch.ones(8, 32))


class ClaimsLength(Stream):
    def __len__(self) -> int:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("loader", "batch_size", "samples"),
    [
        (DataLoader(torch.ones(12, 32), batch_size=3), 3, 12),  # type: ignore[arg-type]
        (DataLoader(Stream(), batch_size=2), 2, None),
        (DataLoader(ClaimsLength(), batch_size=None), None, None),
    ],
    ids=["sized", "stream", "unbatched"],
)
def test_the_manifest_of_any_data(
    tmp_path: Path, loader: Any, batch_size: int | None, samples: int | None
) -> None:
    trainer = trainer_of(tmp_path, Writer())
    trainer.fit(BoringModel(), loader)
    [run] = find_runs(tmp_path)
    assert run.manifest is not None
    assert (run.manifest.batch_size, run.manifest.dataset_samples) == (batch_size, samples)


def test_the_manifest_tells_what_was_trained_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(BoringModel):
        def __init__(self, width: int = 32, note: str = "n" * 5000) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.frozen = torch.nn.Linear(3, 3).requires_grad_(False)

    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    trainer_of(tmp_path, Writer(), accumulate_grad_batches=2).fit(Model(), datamodule=BoringDataModule())
    [run] = find_runs(tmp_path)
    told = run.manifest
    assert told is not None
    assert told.workload.endswith("Model | lightning.pytorch.demos.boring_classes.BoringDataModule")
    assert told.parameters == 32 * 2 + 2
    assert (told.world_size, told.nodes, told.accelerator, told.precision) == (1, 1, "cpu", "32-true")
    assert (told.seed, told.accumulate_grad_batches, told.dataset_samples) == (17, 2, 64)
    assert told.cpu_cores == len(os.sched_getaffinity(0))
    assert told.threads_per_worker == torch.get_num_threads()
    assert (
        told.versions["torch"] == torch.__version__.split("+")[0]
        or told.versions["torch"] == torch.__version__
    )
    assert told.hyperparameters["width"] == "32"
    assert len(told.hyperparameters["note"]) == 1000


def test_parameters_that_have_no_shape_yet() -> None:
    class Lazy(BoringModel):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LazyLinear(2)  # type: ignore[assignment]

    trainer = trainer_of(Path())
    model = Lazy()
    trainer.strategy._lightning_module = model
    assert describe(trainer, model).parameters == 0


def test_records_of_another_trainer_are_others(tmp_path: Path) -> None:
    class Nested(MeasuringCallback):
        """Trains another module within a training, as a search of hyperparameters may."""

        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            trainer_of(tmp_path / "inner", Writer()).fit(BoringModel())

    trainer_of(tmp_path / "outer", Writer(), Nested()).fit(BoringModel())
    assert [epochs(run) for run in find_runs(tmp_path / "outer")] == [[-1, 0, -2]]
    assert [epochs(run) for run in find_runs(tmp_path / "inner")] == [[-1, 0, -2]]


def test_a_datamodule_of_ones_own_is_named(tmp_path: Path) -> None:
    class Data(LightningDataModule):
        def train_dataloader(self) -> Any:
            return {"a": DataLoader(torch.ones(6, 32), batch_size=2)}  # type: ignore[arg-type]

    class Model(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch["a"], batch_idx)

    trainer_of(tmp_path, Writer()).fit(Model(), datamodule=Data())
    [run] = find_runs(tmp_path)
    assert run.manifest is not None
    assert run.manifest.workload.endswith("Data")
    assert (run.manifest.batch_size, run.manifest.dataset_samples) == (2, 6)
