"""One process of one trial: ``python -m lightning_itwin.hpo.trial_process SPEC.json``.

Model, data, optimizer and Trainer are built anew from the trial's own config; nothing is handed down.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_itwin.callbacks.measuring_callback import callbacks_of
from lightning_itwin.callbacks.one_world import OneWorld
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.hpo.reporter import RandomStateKeeper, Reporter
from lightning_itwin.hpo.storage_line import RowLine, StorageLine
from lightning_itwin.hpo.trial_folder import ALIVE_EVERY_S, TrialFolder, TrialSpec
from lightning_itwin.launch.rendezvous import meet


class TrialCLI(ItwinCLI):
    """LightningCLI that reports to a study.

    The config's own checkpoint callbacks are left out: trials at once would write over each other's files,
    and the reporter saves what is needed.

    Args:
        spec: of the trial.
        folder: of the trial.
        line: to the study, on rank 0.
        leaving: set when the time of its job is nearly over.
    """

    def __init__(
        self, spec: TrialSpec, folder: TrialFolder, line: StorageLine | None, leaving: threading.Event
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._line = line
        self._leaving = leaving
        super().__init__(args=spec.arguments, save_config_callback=None)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        callbacks = callbacks_of(trainer)
        own = [one for one in callbacks if not isinstance(one, Checkpoint)]
        callbacks[:] = [OneWorld(self._spec.token, self._spec.workers), *own]
        if self._spec.checkpoint:
            callbacks.append(RandomStateKeeper(Path(self._spec.checkpoint)))
        callbacks.append(Reporter(self._spec, self._folder, self._line, self._leaving))
        return trainer


def main() -> None:
    """Run the trial of the spec that the command line names."""
    path = Path(sys.argv.pop())
    folder = TrialFolder(path.parent)
    spec = folder.read_spec()
    first = os.environ.get("RANK", os.environ.get("HOROVOD_RANK", "0")) == "0"
    line = None
    if first:
        threading.Thread(target=_beat, args=(folder.alive,), name="alive", daemon=True).start()
        if spec.study:
            line = StorageLine(RowLine(spec), spec.deadline_s)
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    leaving = threading.Event()
    signal.signal(signal.SIGUSR2, lambda number, frame: leaving.set())
    store = meet(folder.meeting, spec.token)
    TrialCLI(spec, folder, line, leaving)
    del store


def _beat(alive: Path) -> None:
    """Let drivers of other machines see that this trial lives."""
    while True:
        try:
            alive.touch()
        except OSError as error:
            print(f"{alive}: {error}", file=sys.stderr)
        time.sleep(ALIVE_EVERY_S)


if __name__ == "__main__":
    main()
