from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lightning_itwin.callbacks.measuring_callback import MeasuringCallback

pytestmark = pytest.mark.filterwarnings("ignore:.*(num_workers|does not have many workers|deprecated).*")


class Meter(MeasuringCallback):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, trainer: Trainer, pl_module: Any) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


class Ends(BoringModel):
    def __init__(self, where: str, how: BaseException) -> None:
        super().__init__()
        self.where, self.how = where, how

    def _end(self, where: str) -> None:
        if where == self.where:
            raise self.how

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self._end("training_step")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if not self.trainer.sanity_checking:
            self._end("validation_step")
        return super().validation_step(batch, batch_idx)

    def on_train_end(self) -> None:
        self._end("on_train_end")


def fit(folder: Path, model: BoringModel, *callbacks: Any) -> Trainer:
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    trainer.fit(model)
    return trainer


def test_once_started_and_once_stopped(tmp_path: Path) -> None:
    meter = Meter()
    fit(tmp_path, BoringModel(), meter)
    assert meter.calls == ["start", "stop"]


@pytest.mark.parametrize("where", ["training_step", "validation_step", "on_train_end"])
@pytest.mark.parametrize("how", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_stopped_once_however_the_training_ends(tmp_path: Path, where: str, how: BaseException) -> None:
    meter = Meter()
    with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
        fit(tmp_path, Ends(where, how), meter)
    assert meter.calls == ["start", "stop"]
    assert meter.run._writer._descriptor is None


def test_a_training_that_never_starts_stops_nothing(tmp_path: Path) -> None:
    class NoOptimizer(BoringModel):
        def configure_optimizers(self) -> Any:
            raise RuntimeError("boom")

    meter = Meter()
    with pytest.raises(RuntimeError, match="boom"):
        fit(tmp_path, NoOptimizer(), meter)
    assert meter.calls == []


def test_a_meter_that_fails_at_its_end_still_lets_go_of_the_records(tmp_path: Path) -> None:
    class Fails(Meter):
        def stop(self) -> None:
            raise ValueError("broken meter")

    meter = Fails()
    with pytest.raises(ValueError, match="broken meter"):
        fit(tmp_path, BoringModel(), meter)
    assert meter.run._writer._descriptor is None
    other = Meter()
    fit(tmp_path, BoringModel(), other)
    assert other.run is not meter.run


def test_stopped_with_the_interpreter(tmp_path: Path) -> None:
    """A hook that ends the process by ``sys.exit`` in another place leaves it to the interpreter."""
    script = f"""
import warnings; warnings.simplefilter("ignore")
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning_itwin.callbacks.measuring_callback import MeasuringCallback
class Meter(MeasuringCallback):
    def stop(self): print("stopped", flush=True)
meter, model = Meter(), BoringModel()
folder = {str(tmp_path)!r}
trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", default_root_dir=folder)
meter.setup(trainer, model, "fit")
meter.on_train_start(trainer, model)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split().count("stopped") == 1
