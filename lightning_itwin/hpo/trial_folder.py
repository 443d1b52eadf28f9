"""The folder of one trial: what its processes are told, what they report, and how it ended; needs no torch.

::

    <study>/trials/0007/spec.json        what its processes do (TrialSpec)
                        config.yaml      the LightningCLI config, everything filled in
                        world.log        what they print
                        meeting.json     where they find each other
                        reports.jsonl    the metric of every epoch
                        result.json      how it ended (TrialResult)
                        last.json        the last checkpoint; best.json the best one (Saved)
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_itwin.records.manifest import from_json, write_json

COMPLETE, PAUSED, STOPPED, DIVERGED = "complete", "paused", "stopped", "diverged"
ALIVE_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What the processes of one trial do.

    Args:
        token: name of this launch; all ranks must agree on it before the first step.
        arguments: LightningCLI's command line.
        metric: that is reported.
        direction: ``"minimize"`` or ``"maximize"``.
        workers: processes of the world.
        until_epoch: epochs after which it pauses.
        max_epochs: of a whole training.
        study: name of the Optuna study; empty for a training that is no row of it.
        storage: URL.
        number: of the row.
        trial_id: of the row, in the storage.
        policy: name and arguments of the policy; empty where nothing may stop the trial.
        checkpoint: that is resumed.
        keep_best: whether the best epoch is saved.
        save_every_s: least time between two checkpoints against a killed process.
        deadline_s: how long an epoch waits for the storage.
    """

    token: str
    arguments: list[str]
    metric: str
    direction: str
    workers: int
    until_epoch: int
    max_epochs: int
    study: str = ""
    storage: str = ""
    number: int = -1
    trial_id: int = -1
    policy: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    keep_best: bool = True
    save_every_s: float = 60.0
    deadline_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """How a trial ended by itself.

    Args:
        state: ``"complete"``, ``"paused"`` at its rung, ``"stopped"`` by the policy, or ``"diverged"``.
        value: best value of the metric; None where it diverged at once.
        best_epoch: when, counted from 1.
        epochs: that are trained, all segments together.
        reason: one line, where it diverged.
        wall_s: of ``fit``.
        steps: optimizer steps, all segments together.
    """

    state: str
    value: float | None
    best_epoch: int | None
    epochs: int
    reason: str = ""
    wall_s: float = 0.0
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint that is whole.

    Args:
        name: of the file or folder beside this one.
        epochs: trained when it was saved.
        value: of the metric then.
    """

    name: str
    epochs: int
    value: float | None = None


class TrialFolder:
    """Paths and files of one trial.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.log = self.path / "world.log"
        self.config = self.path / "config.yaml"
        self.spec = self.path / "spec.json"
        self.alive = self.path / "alive"
        self.meeting = self.path / "meeting.json"

    def clear(self) -> None:
        """Make it an empty folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def write_spec(self, spec: TrialSpec) -> None:
        """Write what the processes do."""
        write_json(self.spec, dataclasses.asdict(spec))

    def read_spec(self) -> TrialSpec:
        """Read what the processes do."""
        spec: TrialSpec = from_json(TrialSpec, self.spec)
        return spec

    def write_result(self, result: TrialResult) -> None:
        """Write how it ended."""
        write_json(self.path / "result.json", dataclasses.asdict(result))

    def result(self) -> TrialResult | None:
        """Read how it ended; None where it did not by itself."""
        return self._read(TrialResult, "result.json")

    def report(self, epoch: int, value: float) -> None:
        """Append the metric of an epoch, counted from 1."""
        known = value if math.isfinite(value) else str(value)  # JSON has no NaN
        line = json.dumps({"epoch": epoch, "value": known, "time_unix_s": time.time()}) + "\n"
        with open(self.path / "reports.jsonl", "a", encoding="utf-8") as file:
            file.write(line)

    def reports(self) -> dict[int, float]:
        """Read the metric by epoch; half a line of a killed process is passed over."""
        found: dict[int, float] = {}
        try:
            lines = (self.path / "reports.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return found
        for line in lines:
            try:
                row = json.loads(line)
                found[int(row["epoch"])] = float(row["value"])
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def point(self, kind: str, saved: Saved) -> None:
        """Say which checkpoint is the ``"last"`` or the ``"best"``, now that it is whole; remove others."""
        write_json(self.path / f"{kind}.json", dataclasses.asdict(saved))
        self.remove_checkpoints(kind, but=saved.name)

    def saved(self, kind: str) -> Saved | None:
        """Read which checkpoint is the ``"last"`` or the ``"best"``; None where there is none."""
        saved = self._read(Saved, f"{kind}.json")
        return saved if saved and (self.path / saved.name).exists() else None

    def remove_checkpoints(self, kind: str, but: str = "") -> None:
        """Remove the checkpoints of a kind."""
        for path in self.path.glob(f"{kind}-*.ckpt*"):
            if not but or not path.name.startswith(but):
                remove(path)

    def _read(self, kind: type, name: str) -> Any:
        try:
            return from_json(kind, self.path / name)
        except (OSError, ValueError):
            return None


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
