"""Names that ``Trainer(strategy=...)`` learns from us.

The classes are named by string and imported when the Trainer asks for one, so this file stands below the
rooms that it names, a help text can list them without torch, and importing ``lightning_itwin.callbacks`` is
enough for ``Trainer(strategy="horovod")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any

from lightning_itwin.optional import available


@dataclass(frozen=True, kw_only=True)
class StrategyName:
    """A strategy string, the class behind it and what it is for.

    Args:
        name: the string that ``Trainer(strategy=...)`` takes.
        target: ``module:class`` of the strategy.
        description: one line for help texts and docs.
        starter: program that starts its processes: ``"torchrun"`` or ``"horovodrun"``.
        requires: module and extra without which it cannot run; None for Lightning's own.
        init_args: keyword arguments of the class.
    """

    name: str
    target: str
    description: str
    starter: str = "torchrun"
    requires: tuple[str, str] | None = None
    init_args: Mapping[str, Any] = field(default_factory=dict)

    def build(self, **overrides: Any) -> Any:
        """Import the class and make the strategy; a missing extra is named in the error."""
        strategy = EntryPoint(name=self.name, value=self.target, group="lightning_itwin").load()
        return strategy(**{**self.init_args, **overrides})

    def unavailable(self) -> str:
        """Say why it cannot run here, and what installs it; empty if it can."""
        if self.requires is None or available(self.requires[0]):
            return ""
        module, extra = self.requires
        how = (
            "python -m lightning_itwin.strategies.horovod_build --install"
            if extra == "horovod"
            else f"pip install 'lightning-itwin[{extra}]'"
        )
        return f"{module.partition('.')[0]} is not installed: {how}"


_DEEPSPEED = "lightning_itwin.strategies.deepspeed:DeepSpeedStrategy"

STRATEGY_NAMES: tuple[StrategyName, ...] = (
    StrategyName(
        name="ddp",
        target="lightning.pytorch.strategies:DDPStrategy",
        description="PyTorch DistributedDataParallel, as Lightning has it",
    ),
    StrategyName(
        name="horovod",
        target="lightning_itwin.strategies.horovod:HorovodStrategy",
        description="Horovod ring all-reduce (Gloo on CPU, NCCL on GPU)",
        starter="horovodrun",
        requires=("horovod.torch", "horovod"),
    ),
    StrategyName(
        name="deepspeed",
        target=_DEEPSPEED,
        description="DeepSpeed ZeRO stage 2 (NCCL on GPU, Gloo on CPU)",
        requires=("deepspeed", "deepspeed"),
        init_args={"stage": 2},
    ),
    *(
        StrategyName(
            name=f"deepspeed_stage_{stage}",
            target=_DEEPSPEED,
            description=f"DeepSpeed ZeRO stage {stage}: {what}",
            requires=("deepspeed", "deepspeed"),
            init_args={"stage": stage},
        )
        for stage, what in enumerate(
            (
                "nothing is sharded",
                "optimizer states are sharded",
                "optimizer states and gradients are sharded",
                "optimizer states, gradients and parameters are sharded",
            )
        )
    ),
)


def register() -> None:
    """Make our strategy strings known to Lightning's ``Trainer``; a second call changes nothing."""
    from lightning.pytorch.strategies import StrategyRegistry

    for entry in STRATEGY_NAMES:
        if entry.target.startswith("lightning_itwin."):
            StrategyRegistry.register(entry.name, entry.build, description=entry.description, override=True)
