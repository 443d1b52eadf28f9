from __future__ import annotations

import os
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lightning_itwin.callbacks.one_world import MixedWorldError, OneWorld
from lightning_itwin.launch import LocalLauncher, World

ROOT = Path(__file__).parents[2]


def fit(callback: OneWorld) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        fast_dev_run=True,
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
    )
    trainer.fit(BoringModel())
    return trainer


def test_a_world_of_another_size_is_refused_before_the_first_step() -> None:
    with pytest.raises(MixedWorldError, match="2 workers were launched, but their world has 1"):
        fit(OneWorld("a launch", 2))


def test_the_world_that_was_launched_trains() -> None:
    assert fit(OneWorld("a launch", 1)).global_step == 1


@pytest.mark.world
def test_a_world_of_two_launches_refuses_to_train(tmp_path: Path) -> None:
    world = World(
        command=("-m", "tests.callbacks.mixed_world", str(tmp_path)),
        workers=2,
        starter="ranks",
        log=tmp_path / "world.log",
        environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT)])},
        timeout_s=150.0,
    )
    LocalLauncher().start(world).wait()
    for rank in (0, 1):
        told = (tmp_path / f"refused-{rank}").read_text()
        assert told.startswith(f"0 steps: ranks [{1 - rank}] of this world belong to another launch")
