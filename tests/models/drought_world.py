"""One of two processes that fit, test and predict together, and write down what they have come to."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything

sys.path.insert(0, str(Path(__file__).parents[2]))
from lightning_itwin.models import DroughtForecaster
from tests.models.drought_toy import ToyHydro
from tests.models.test_drought_forecaster import FORECASTS, NETWORK, TRAINING


def main(folder: str) -> None:
    torch.set_num_threads(1)
    seed_everything(0, verbose=False)
    model = DroughtForecaster(hidden_size=8, network=NETWORK, training=TRAINING, forecasts=FORECASTS)
    data = ToyHydro()
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=1,
        limit_train_batches=8,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=data)
    told = {"corrections": model.calibration.corrections, "val/crps": trainer.callback_metrics["val/crps"]}
    told["weights"] = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    told["checkpoint"] = trainer.checkpoint_callback.best_model_path
    told["test"] = trainer.test(model, datamodule=data, verbose=False)[0]["test/skill_climatology"]
    told["predicted"] = sum(len(part.series) for part in trainer.predict(model, datamodule=data))
    torch.save(told, Path(folder, f"{trainer.global_rank}.pt"))


if __name__ == "__main__":
    main(sys.argv[1])
