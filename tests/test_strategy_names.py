from __future__ import annotations

import importlib.util

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

from lightning_itwin import strategy_names
from lightning_itwin.optional import available
from lightning_itwin.strategy_names import STRATEGY_NAMES, StrategyName, register

OURS = [entry for entry in STRATEGY_NAMES if entry.target.startswith("lightning_itwin.")]


def test_the_names() -> None:
    names = [entry.name for entry in STRATEGY_NAMES]
    assert len(names) == len(set(names))
    assert {"ddp", "horovod", "deepspeed"} <= set(names)
    assert {f"deepspeed_stage_{stage}" for stage in range(4)} <= set(names)
    for entry in STRATEGY_NAMES:
        assert entry.description


def test_registering_is_done_once_or_twice_alike() -> None:
    register()
    register()
    for entry in OURS:
        assert StrategyRegistry[entry.name]["description"] == entry.description


def test_ddp_stays_lightnings() -> None:
    before = StrategyRegistry["ddp"]["strategy"]
    register()
    assert StrategyRegistry["ddp"]["strategy"] is before
    ddp = next(entry for entry in STRATEGY_NAMES if entry.name == "ddp")
    assert isinstance(ddp.build(), DDPStrategy)


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_a_name_leads_to_its_class(entry: StrategyName) -> None:
    module, _, attribute = entry.target.partition(":")
    assert importlib.util.find_spec(module) is not None
    needs = "horovod" if "horovod" in module else "deepspeed"
    if not available(needs):
        pytest.skip(f"{needs} is not installed")
    if needs == "deepspeed":
        strategy = entry.build()
        assert type(strategy).__name__ == attribute


def test_arguments_of_the_user_come_before_those_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = StrategyName(
        name="toy", target="builtins:dict", description="a toy", init_args={"stage": 2, "offload": False}
    )
    assert entry.build() == {"stage": 2, "offload": False}
    assert entry.build(stage=3) == {"stage": 3, "offload": False}


def test_the_trainer_takes_a_name() -> None:
    if not available("deepspeed"):
        pytest.skip("deepspeed is not installed")
    register()
    trainer = Trainer(strategy="deepspeed_stage_1", accelerator="cpu", devices=1, logger=False)
    assert type(trainer.strategy).__module__.startswith("lightning_itwin.strategies")
    assert strategy_names.STRATEGY_NAMES
