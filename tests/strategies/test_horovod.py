import json

import pytest

from lightning_itwin import optional
from lightning_itwin.optional import MissingExtraError, available
from lightning_itwin.strategies import HorovodStrategy

built = pytest.mark.skipif(not available("horovod.torch"), reason="no Horovod built")


def test_missing_horovod_is_named_with_the_command_that_builds_it(monkeypatch):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[horovod\].* && python -m .*horovod_build"):
        HorovodStrategy()


def test_horovod_for_another_torch_is_built_again(monkeypatch):
    def broken(name):
        raise ImportError("undefined symbol")

    monkeypatch.setattr(optional, "available", lambda module: True)
    monkeypatch.setattr(optional.importlib, "import_module", broken)
    with pytest.raises(ImportError, match=r"undefined symbol.*horovod_build --install --force"):
        HorovodStrategy()


@built
@pytest.mark.world
@pytest.mark.parametrize(
    ("starter", "workers"),
    [("python", 1), ("python", 2), ("torchrun", 2), ("horovodrun", 1), ("horovodrun", 2)],
)
def test_world_is_the_same_however_it_was_started(world, tmp_path, starter, workers):
    end = world("horovod_world.py", tmp_path, workers, 0, starter=starter, workers=workers)
    assert end.status == 0, end.output[-5000:]
    results = json.loads((tmp_path / "results.json").read_text())
    ranks = list(range(workers))
    assert results == {
        "strategy": "horovod",
        "world_size": workers,
        "horovod_size": workers,
        "mean": sum(ranks) / workers,
        "sum": float(sum(ranks)),
        "max": float(max(ranks)),
        "gathered": [float(rank) for rank in ranks],
        "broadcast": 0,
        "all": workers == 1,
        "any": True,
        "samples": 64 // workers,
        "buffers": True,
        "validated": 1,
        "sync_batchnorm": results["sync_batchnorm"],
        "finished": True,
    }
    assert "sync_batchnorm=True needs GPUs" in results["sync_batchnorm"]


@built
@pytest.mark.world
def test_horovodrun_and_trainer_have_to_agree(world, tmp_path):
    world("horovod_world.py", tmp_path, 2, 4, starter="horovodrun", workers=2)
    assert (tmp_path / "conflict").read_text() == (
        "horovodrun started 2 process(es) on each of 1 node(s), but the Trainer has devices=4, num_nodes=1. "
        "Say Trainer(devices=2, num_nodes=1), or start it with horovodrun -np 4."
    )
