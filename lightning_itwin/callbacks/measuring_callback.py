"""What every measuring callback does alike: begin with the training, end however the training ends."""

from __future__ import annotations

import atexit
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_itwin.callbacks.collectives import stay_in_gloo
from lightning_itwin.callbacks.run_records import RunRecords


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Give the Trainer's own list of callbacks."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning does not declare it


class MeasuringCallback(Callback):
    """Adapter between the Trainer's hooks and a meter.

    A subclass starts its meter in :meth:`start` and ends it in :meth:`stop`. ``stop`` is called exactly once
    for every ``start``, whether the training ends well, by an exception, by Ctrl-C, or with the interpreter;
    it must make no collective call, because the other ranks may be gone.

    ``brings`` names the callbacks without which its figures say little: those that the Trainer lacks join it
    with this one.
    """

    brings: ClassVar[tuple[type[Callback], ...]] = ()
    run: RunRecords
    _running = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            present = callbacks_of(trainer)
            # Lightning's loop over the list reaches what is appended to it, and sets it up too.
            present.extend(
                missing() for missing in self.brings if not any(isinstance(one, missing) for one in present)
            )
            self.run = RunRecords.of(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.run.begin(trainer, pl_module)
        self._running = True
        atexit.register(self._close)
        self.start(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        stay_in_gloo()
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._close()

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the meter; the training is about to begin on every rank."""

    def stop(self) -> None:
        """End the meter and write what is left to write."""

    def _close(self, *_: Any) -> None:
        atexit.unregister(self._close)
        try:
            if self._running:
                self._running = False
                self.stop()
        finally:
            if hasattr(self, "run"):  # a training may fail between its setup and its start
                self.run.close()
