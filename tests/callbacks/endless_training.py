"""A training that goes on until it is ended from outside: ``endless_training.py FOLDER``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger

sys.path.insert(0, str(Path(__file__).parents[2]))
from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, EpochTimer, GPUMonitor


class SlowModel(BoringModel):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)


if __name__ == "__main__":  # pytest imports every file in search of doctests
    Trainer(
        max_epochs=-1,
        accelerator="cpu",
        limit_train_batches=10,
        limit_val_batches=1,
        logger=CSVLogger(sys.argv[1]),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[EpochTimer(), GPUMonitor(), CommunicationProfiler(), CarbonTracker("DEU")],
    ).fit(SlowModel())
