"""A world of two processes that spends known times on everything, and the ledger that it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_itwin.records import find_runs
from lightning_itwin.reports.goodput import goodput_ledger

START_S, FETCH_S, LATE_S, VALIDATION_S, SAVE_S = 0.5, 0.01, 0.03, 0.2, 0.3
EPOCHS, BATCHES = 3, 10


def train(folder: Path) -> None:
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader, Dataset

    from lightning_itwin.callbacks import CommunicationProfiler

    class Rows(Dataset[torch.Tensor]):
        def __init__(self, fetch_s: float) -> None:
            self.fetch_s = fetch_s

        def __len__(self) -> int:
            return 2 * BATCHES

        def __getitem__(self, index: int) -> torch.Tensor:
            time.sleep(self.fetch_s)
            return torch.ones(32)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(32, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.global_rank == 1:
                time.sleep(LATE_S)
            return self.layer(batch).mean()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            time.sleep(VALIDATION_S)

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            time.sleep(SAVE_S)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    time.sleep(START_S)
    torch.set_num_threads(1)
    trainer = Trainer(
        strategy="ddp",
        accelerator="cpu",
        devices=2,
        max_epochs=EPOCHS,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        callbacks=[
            CommunicationProfiler(window_steps=6),
            ModelCheckpoint(dirpath=folder / "checkpoints", save_top_k=-1),
        ],
    )
    trainer.fit(Module(), DataLoader(Rows(FETCH_S), batch_size=1), DataLoader(Rows(0.0), batch_size=1))


@pytest.mark.world
def test_every_second_of_a_world_is_found_in_its_place(tmp_path: Path) -> None:
    begin_s = time.monotonic()
    told = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    outside_s = time.monotonic() - begin_s
    assert told.returncode == 0, told.stderr[-4000:]
    [run] = find_runs(tmp_path)
    ledger = goodput_ledger(run)
    assert ledger is not None
    assert sum(ledger.percent().values()) == pytest.approx(100.0)
    assert ledger.wall_s <= outside_s
    assert ledger.start_up_s >= START_S
    assert ledger.data_wait_s >= EPOCHS * BATCHES * FETCH_S * 0.9  # some batches are fetched ahead
    assert ledger.validation_and_checkpoint_s >= EPOCHS * (VALIDATION_S + SAVE_S)
    # Rank 0 waits for rank 1 in the backward pass; the ledger is the mean over both.
    assert ledger.straggler_wait_s >= 0.5 * 0.5 * EPOCHS * BATCHES * LATE_S
    assert min(ledger.percent().values()) >= 0.0


if __name__ == "__main__":
    train(Path(sys.argv[1]))
