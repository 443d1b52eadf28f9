from lightning.pytorch import Trainer
from lightning.pytorch.strategies import StrategyRegistry

from lightning_itwin.optional import available
from lightning_itwin.strategies import DeepSpeedStrategy, HorovodStrategy
from lightning_itwin.strategy_names import STRATEGY_NAMES


def test_every_name_is_known_to_lightning():
    assert {entry.name for entry in STRATEGY_NAMES} <= set(StrategyRegistry.available_strategies())


def test_names_make_our_classes():
    if available("deepspeed"):
        strategy = Trainer(strategy="deepspeed_stage_3", accelerator="cpu", logger=False).strategy
        assert isinstance(strategy, DeepSpeedStrategy)
        assert strategy.zero_stage_3
    if available("horovod.torch"):
        strategy = Trainer(strategy="horovod", accelerator="cpu", devices=1, logger=False).strategy
        assert isinstance(strategy, HorovodStrategy)
