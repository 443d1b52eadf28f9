"""Ranks of two trials that have met at one address and port, as in an allocation with a default port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_itwin.hpo.rendezvous import MixedWorldError, meet
from lightning_itwin.hpo.reporter import Reporter
from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec
from tests.hpo.tiny import TinyData, TinyModel


def main() -> None:
    """Try to train; leave what was said and how many steps were made."""
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    store = meet(folder, "one world")
    spec = TrialSpec(
        token=f"trial {rank}",
        arguments=[],
        metric="val_loss",
        direction="minimize",
        workers=2,
        until_epoch=1,
        max_epochs=1,
    )
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, logger=False)
    trainer.callbacks.append(Reporter(spec, TrialFolder(folder), None))  # type: ignore[attr-defined]
    try:
        trainer.fit(TinyModel(), datamodule=TinyData())
    except MixedWorldError as error:
        (folder / f"refused-{rank}").write_text(f"{trainer.global_step} steps: {error}")
    del store


if __name__ == "__main__":
    main()
