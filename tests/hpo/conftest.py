from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from lightning_itwin.hpo.check import Checked
from lightning_itwin.hpo.open_study import OpenStudy, open_study
from lightning_itwin.hpo.study_plan import StudyPlan
from lightning_itwin.hpo.trial_folder import TrialFolder
from lightning_itwin.launch import World, WorldEnd
from tests.hpo.light_trial import train

CONFIG: dict[str, Any] = {
    "seed_everything": 1,
    "trainer": {"max_epochs": 9, "logger": None},
    "model": {"class_path": "tests.hpo.tiny.TinyModel", "init_args": {"learning_rate": 0.1, "width": 2}},
    "data": {"class_path": "tests.hpo.tiny.TinyData", "init_args": {"batch_size": 16}},
}
SPACE = {"model.learning_rate": {"low": 1e-3, "high": 1.0, "log": True}, "data.batch_size": [8, 16]}
CHECKED = Checked(
    config=CONFIG,
    paths={
        "model.learning_rate": ("model", "init_args", "learning_rate"),
        "data.batch_size": ("data", "init_args", "batch_size"),
    },
    baseline={"model.learning_rate": 0.1, "data.batch_size": 16},
    max_epochs=9,
    gpus=0,
)


class FakeWorld:
    """A world that trains nothing: it reports the curve and ends as its trial would."""

    def __init__(self, world: World, launcher: FakeLauncher) -> None:
        self.world = world
        self.launcher = launcher
        self.folder = TrialFolder(Path(world.command[-1]).parent)
        self.turns = launcher.turns
        self.stopped = False

    def poll(self) -> WorldEnd | None:
        self.turns -= 1
        if self.turns >= 0 and not self.stopped:
            return None
        return self.launcher.train(self.folder)

    def wait(self) -> WorldEnd:
        self.turns = 0
        end = self.poll()
        assert end is not None
        return end

    def stop(self) -> None:
        self.stopped = True


class FakeLauncher:
    """Starts fake worlds.

    ``troubles`` says by number of the start how one fails, ``living`` what can be adopted.
    """

    def __init__(self) -> None:
        self.started: list[World] = []
        self.worlds: list[FakeWorld] = []
        self.specs: list[dict[str, Any]] = []
        self.turns = 0
        self.troubles: dict[int, str] = {}
        self.living: set[str] = set()
        self.adopted: list[str] = []
        self.trained: dict[str, list[int]] = {}

    def start(self, world: World) -> FakeWorld:
        self.specs.append(json.loads(Path(world.command[-1]).read_text()))
        self.started.append(world)
        self.worlds.append(FakeWorld(world, self))
        return self.worlds[-1]

    def adopt(self, world: World) -> FakeWorld | None:
        if world.mark not in self.living:
            return None
        self.adopted.append(world.mark)
        return FakeWorld(world, self)

    def describe(self, world: World) -> str:
        return " ".join(world.command)

    def train(self, folder: TrialFolder) -> WorldEnd:
        if folder.result() is not None:
            return WorldEnd(status="ok", wall_s=1.0)
        token = folder.read_spec().token
        start = next(
            (number for number, one in enumerate(self.specs) if one["token"] == token), len(self.specs)
        )
        epochs = self.trained.setdefault(folder.path.name, [])
        return train(folder, self.troubles.get(start, ""), epochs.append)


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@pytest.fixture
def make_plan() -> Callable[..., StudyPlan]:
    def make(**changes: Any) -> StudyPlan:
        return StudyPlan(
            **{
                "config": CONFIG,
                "space": SPACE,
                "metric": "val_loss",
                "trials": 6,
                "policy": "promotion",
                **changes,
            }
        )

    return make


@pytest.fixture
def make_study(tmp_path: Path, make_plan: Callable[..., StudyPlan]) -> Callable[..., OpenStudy]:
    def make(**changes: Any) -> OpenStudy:
        return open_study(make_plan(**changes), tmp_path / "study", CHECKED)

    return make
