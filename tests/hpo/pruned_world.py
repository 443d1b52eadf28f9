"""Two ranks that train many trials one after another, each stopped at an epoch that rank 0 alone knows."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import warnings
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_itwin.hpo.reporter import Reporter
from lightning_itwin.hpo.storage_line import StorageLine, Verdict
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec
from lightning_itwin.launch.rendezvous import meet
from tests.hpo.tiny import TinyData, TinyModel


class Whim:
    """A study that stops a trial when it likes."""

    def __init__(self, number: int) -> None:
        self.last = random.Random(number).randint(1, 4)

    def connect(self) -> None:
        """Do nothing."""

    def tell(self, epoch: int, value: float) -> Verdict:
        """Stop at an epoch."""
        return Verdict(stop=epoch >= self.last, best=0.0)


def main() -> None:
    """Train the trials; leave the steps at which each ended on this rank."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    store = meet(folder / "meeting.json", "pruned")
    rank = int(os.environ["RANK"])
    steps = []
    for number in range(count):
        trial = TrialFolder(folder / f"{number:04d}")
        trial.path.mkdir(exist_ok=True)
        spec = TrialSpec(
            token=f"pruned-{number}",
            arguments=[],
            metric="val_loss",
            direction="minimize",
            workers=2,
            until_epoch=5,
            max_epochs=5,
            policy={"name": "asha"},
        )
        line = StorageLine(Whim(number), 30.0) if rank == 0 else None
        trainer = Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            max_epochs=5,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.callbacks.append(Reporter(spec, trial, line))  # type: ignore[attr-defined]
        trainer.fit(TinyModel(), datamodule=TinyData())
        steps.append(trainer.global_step)
    (folder / f"steps-{rank}.json").write_text(json.dumps(steps))
    del store


if __name__ == "__main__":
    main()
