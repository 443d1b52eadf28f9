"""Ranks of two launches that have met at one address and port, as in an allocation with a default port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_itwin.callbacks.one_world import MixedWorldError, OneWorld
from lightning_itwin.launch.rendezvous import meet
from tests.hpo.tiny import TinyData, TinyModel


def main() -> None:
    """Try to train; leave what was said and how many steps were made."""
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    store = meet(folder / "meeting.json", "one world")
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, logger=False)
    trainer.callbacks.append(OneWorld(f"launch {rank}", 2))  # type: ignore[attr-defined]
    try:
        trainer.fit(TinyModel(), datamodule=TinyData())
    except MixedWorldError as error:
        (folder / f"refused-{rank}").write_text(f"{trainer.global_step} steps: {error}")
    del store


if __name__ == "__main__":
    main()
