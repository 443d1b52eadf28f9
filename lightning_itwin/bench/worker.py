"""One process of one training of a sweep: ``python -m lightning_itwin.bench.worker ORDER.json``.

The order says which LightningCLI command line to run, which meters to add and where the records go.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from lightning_itwin.bench.order import Order
from lightning_itwin.callbacks import CarbonTracker, CommunicationProfiler, EpochTimer, GPUMonitor
from lightning_itwin.callbacks.measuring_callback import callbacks_of
from lightning_itwin.callbacks.one_world import OneWorld
from lightning_itwin.callbacks.run_records import RunRecords
from lightning_itwin.cli import ItwinCLI
from lightning_itwin.launch.rendezvous import meet
from lightning_itwin.optional import available
from lightning_itwin.records.manifest import from_json

DRIVER = "LIGHTNING_ITWIN_DRIVER"
_WATCH_EVERY_S = 2.0


class BenchCLI(ItwinCLI):
    """LightningCLI that adds the meters which the config does not have yet, and places the records."""

    def __init__(self, order: Order) -> None:
        self._order = order
        super().__init__(args=order.arguments, save_config_callback=None)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        callbacks = callbacks_of(trainer)
        present = [type(callback) for callback in callbacks]
        callbacks[:0] = [meter for meter in self._meters() if type(meter) not in present]
        if self._order.token:
            callbacks.insert(0, OneWorld(self._order.token, self._order.workers))
        return trainer

    def before_fit(self) -> None:
        if self._order.check:
            sys.exit()
        RunRecords.place(self.trainer, Path(self._order.records), **self._order.facts)

    def _meters(self) -> list[Callback]:
        meters: list[Callback] = [EpochTimer(), GPUMonitor(), CommunicationProfiler()]
        if available("codecarbon"):
            meters.append(CarbonTracker(country_iso_code=self._order.country_iso_code))
        return meters


def end_with(driver: int) -> None:
    """End this process soon after ``driver`` has ended, so that no killed sweep leaves trainings behind."""

    def watch() -> None:
        while True:
            time.sleep(_WATCH_EVERY_S)
            try:
                os.kill(driver, 0)
            except ProcessLookupError:
                os._exit(1)

    threading.Thread(target=watch, name="sweep-driver-watch", daemon=True).start()


def main() -> None:
    """Run the order in the file that the command line names."""
    order: Order = from_json(Order, Path(sys.argv.pop()))
    if driver := os.environ.get(DRIVER):
        end_with(int(driver))
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    store = meet(Path(order.meeting), order.token) if order.token else None
    BenchCLI(order)
    del store


if __name__ == "__main__":
    main()
