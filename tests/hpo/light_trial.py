"""A trial without torch: ``python -m tests.hpo.light_trial SPEC.json`` reports as a training would."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from lightning_itwin.hpo.storage_line import RowLine, StorageLine
from lightning_itwin.hpo.trial_folder import (
    COMPLETE,
    DIVERGED,
    PAUSED,
    STOPPED,
    Saved,
    TrialFolder,
    TrialResult,
)
from lightning_itwin.launch import WorldEnd


def curve(learning_rate: float, epoch: int) -> float:
    """Best at 0.3, better with every epoch."""
    return abs(learning_rate - 0.3) + 1.0 / epoch


def train(
    folder: TrialFolder, trouble: str, trained: Callable[[int], None], *, endures: bool = False
) -> WorldEnd:
    """Do what a trial's processes do.

    Args:
        folder: of the trial.
        trouble: ``"error"``, ``"nan"``, ``"kill"``, ``"taken"``, ``"cancelled"`` or nothing.
        trained: told every epoch.
        endures: whether it goes on where its storage is away.
    """
    spec = folder.read_spec()
    if trouble == "error":
        folder.log.write_text("Traceback (most recent call last):\nValueError: the detector is off\n")
        return WorldEnd(status="failed", wall_s=1.0, reason="ValueError: the detector is off")
    tell = StorageLine(RowLine(spec), spec.deadline_s).ask if endures else RowLine(spec).tell
    first = int(Path(spec.checkpoint).name.split("-")[1].split(".")[0]) if spec.checkpoint else 0
    rate = yaml.safe_load(folder.config.read_text())["model"]["init_args"]["learning_rate"]
    state, best, epoch = COMPLETE, (float("inf"), 0), first
    for epoch in range(first + 1, spec.max_epochs + 1):
        value = float("nan") if trouble == "nan" else curve(rate, epoch)
        trained(epoch)
        folder.report(epoch, value)
        stop = tell(epoch, value).stop if spec.study else False
        best = min(best, (value, epoch))
        if trouble == "kill" and epoch == first + 2:
            folder.log.write_text("rank 1 ended with exit code -9\n")
            return WorldEnd(status="failed", wall_s=1.0, reason="RuntimeError: Connection closed by peer")
        if trouble in ("taken", "cancelled") and epoch == first + 2:
            taken = trouble == "taken"
            return WorldEnd(status="lost", wall_s=1.0, reason=f"job 17 was {trouble}", taken=taken)
        if trouble in ("kill", "taken", "cancelled"):
            save(folder, "last", epoch)
        if value != value:
            state = DIVERGED
        elif stop and spec.policy:
            state = STOPPED
        elif epoch >= spec.until_epoch < spec.max_epochs:
            state = PAUSED
            save(folder, "last", epoch)
        if state != COMPLETE:
            break
    save(folder, "best", best[1])
    folder.write_result(
        TrialResult(
            state=state,
            value=None if state == DIVERGED else best[0],
            best_epoch=best[1],
            epochs=epoch,
            reason="val_loss became nan in epoch 1" if state == DIVERGED else "",
        )
    )
    return WorldEnd(status="ok", wall_s=1.0)


def save(folder: TrialFolder, kind: str, epoch: int) -> None:
    """Leave a checkpoint."""
    name = f"{kind}-{epoch:05d}.ckpt"
    (folder.path / name).write_text("weights")
    folder.point(kind, Saved(name=name, epochs=epoch))


def main() -> None:
    """Train as the spec says; every epoch takes a fifth of a second and leaves a line in ``trained``."""
    folder = TrialFolder(Path(sys.argv[-1]).parent)
    ledger = folder.path.parents[1] / "trained"

    def trained(epoch: int) -> None:
        time.sleep(0.2)
        with open(ledger, "a") as file:
            file.write(f"{folder.path.name} {epoch}\n")

    train(folder, "", trained, endures=True)


if __name__ == "__main__":
    main()
