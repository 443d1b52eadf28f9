"""Trials in worlds of two real processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from lightning_itwin.hpo.trial_folder import TrialFolder, TrialSpec
from lightning_itwin.launch import LocalLauncher, World, WorldEnd
from lightning_itwin.launch.world import was_killed
from lightning_itwin.optional import available

pytestmark = pytest.mark.world
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[:1]])}


def run(folder: Path, *command: str, starter: str = "ranks") -> WorldEnd:
    world = World(
        command=command,
        workers=2,
        starter=starter,
        log=folder / "world.log",
        environment=ENVIRONMENT,
        timeout_s=150.0,
    )
    return LocalLauncher().start(world).wait()


def test_two_ranks_decide_alike_over_many_stopped_trials(tmp_path: Path) -> None:
    end = run(tmp_path, "-m", "tests.hpo.pruned_world", str(tmp_path), "30")
    assert end.status == "ok", end
    first, second = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert set(first) == {2, 4, 6, 8}  # two steps an epoch
    assert {
        one.state for number in range(30) if (one := TrialFolder(tmp_path / f"{number:04d}").result())
    } == {"stopped"}


def trial(folder: Path, strategy: str, until_epoch: int = 2, **model: object) -> TrialFolder:
    made = TrialFolder(folder)
    made.clear()
    config = {
        "seed_everything": 1,
        "model": {"class_path": "tests.hpo.tiny.TinyModel", "init_args": model},
        "data": {"class_path": "tests.hpo.tiny.TinyData"},
        "trainer": {
            "strategy": strategy,
            "devices": 2,
            "accelerator": "cpu",
            "max_epochs": 3,
            "enable_progress_bar": False,
            "default_root_dir": str(folder),
            "callbacks": [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}],
        },
    }
    made.config.write_text(yaml.safe_dump(config))
    made.write_spec(
        TrialSpec(
            token="t",
            arguments=["fit", "--config", str(made.config)],
            metric="val_loss",
            direction="minimize",
            workers=2,
            until_epoch=until_epoch,
            max_epochs=3,
            save_every_s=0.0,
        )
    )
    return made


@pytest.mark.parametrize(
    ("strategy", "starter"),
    [
        ("ddp", "ranks"),
        pytest.param(
            "deepspeed_stage_1",
            "ranks",
            marks=pytest.mark.skipif(not available("deepspeed"), reason="no DeepSpeed"),
        ),
        pytest.param(
            "horovod",
            "horovodrun",
            marks=pytest.mark.skipif(not available("horovod.torch"), reason="no Horovod built"),
        ),
    ],
)
def test_a_trial_runs_and_pauses_with_every_strategy(tmp_path: Path, strategy: str, starter: str) -> None:
    made = trial(tmp_path / "0000", strategy)
    end = run(made.path, "-m", "lightning_itwin.hpo.trial_process", str(made.spec), starter=starter)
    assert end.status == "ok", end
    found = made.result()
    assert found is not None
    assert (found.state, found.epochs, found.steps) == ("paused", 2, 4)
    saved = made.saved("last")
    assert saved is not None
    assert saved.epochs == 2
    ranks = sorted(path.name for path in made.path.glob("last-00002.ckpt.rank-*"))
    assert ranks == ["last-00002.ckpt.rank-0000", "last-00002.ckpt.rank-0001"]


def test_a_trial_that_is_complete_ends_well_on_every_rank(tmp_path: Path) -> None:
    made = trial(tmp_path / "0000", "ddp", until_epoch=3)
    end = run(made.path, "-m", "lightning_itwin.hpo.trial_process", str(made.spec))
    assert end.status == "ok", end
    found = made.result()
    assert found is not None
    assert (found.state, found.epochs, found.steps) == ("complete", 3, 6)


def test_a_killed_rank_ends_the_world_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    made = trial(
        tmp_path / "0000", "ddp", trouble="kill", trouble_epoch=1, trouble_mark=str(tmp_path / "killed")
    )
    end = run(made.path, "-m", "lightning_itwin.hpo.trial_process", str(made.spec))
    assert end.status == "failed"
    assert was_killed(made.log)
    assert made.result() is None
    saved = made.saved("last")
    assert saved is not None
    assert saved.epochs == 1
