"""Strategies of the Trainer that Lightning lacks; DDP stays as Lightning has it."""

from lightning_itwin import strategy_names
from lightning_itwin.strategies.deepspeed import DeepSpeedStrategy
from lightning_itwin.strategies.horovod import HorovodStrategy

__all__ = ["DeepSpeedStrategy", "HorovodStrategy"]

strategy_names.register()
