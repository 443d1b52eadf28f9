"""One process of a world that trains each module twice, without callbacks and with all of them.

``world_training.py FOLDER STRATEGY MODULE[,MODULE...]`` writes ``FOLDER/MODULE-rank.json``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger

sys.path.insert(0, str(Path(__file__).parents[2]))
from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, EpochTimer, GPUMonitor
from tests.callbacks.modules import MODULES

warnings.simplefilter("ignore")


def weights(module: torch.nn.Module) -> str:
    """Give a digest of every bit of a module's weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(name: str, strategy: str, folder: Path, callbacks: list[Any]) -> tuple[str, Trainer]:
    seed_everything(1, verbose=False)
    module, data = MODULES[name]()
    trainer = Trainer(
        strategy=strategy,
        accelerator="cpu",
        devices=2,
        max_epochs=2,
        limit_train_batches=5,
        limit_val_batches=2,
        logger=CSVLogger(folder),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=callbacks,
    )
    trainer.fit(module, **data)
    return weights(module), trainer


def main() -> None:
    folder, strategy, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
    torch.set_num_threads(1)
    for name in names:
        without, _ = train(name, strategy, folder / name / "without", [])
        callbacks = [EpochTimer(), GPUMonitor(), CommunicationProfiler(window_steps=3), CarbonTracker("DEU")]
        with_all, trainer = train(name, strategy, folder / name / "with", callbacks)
        told = {
            "without": without,
            "with": with_all,
            "rank": trainer.global_rank,
            "world": trainer.world_size,
        }
        (folder / f"{name}-{trainer.global_rank}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
