"""DeepSpeedStrategy: Lightning's, and it also runs on CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.strategies import DeepSpeedStrategy as LightningDeepSpeedStrategy

from lightning_itwin.optional import require


class DeepSpeedStrategy(LightningDeepSpeedStrategy):
    """Trains with DeepSpeed's ZeRO stages 0 to 3, on GPU as Lightning does and on CPU with Gloo."""

    strategy_name = "deepspeed"

    def __init__(self, stage: int = 2, logging_level: int = logging.ERROR, **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        require("deepspeed", extra="deepspeed")
        super().__init__(stage=stage, logging_level=logging_level, **kwargs)

    @property
    def root_device(self) -> torch.device:
        device = super().root_device
        # DeepSpeed wants the index of a device; for torch "cpu:0" is "cpu".
        return torch.device("cpu", 0) if device.type == "cpu" else device

    def setup_environment(self) -> None:
        if self.root_device.type != "cpu":
            super().setup_environment()
            return
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self.setup_distributed()

    def setup_distributed(self) -> None:
        if self.root_device.type != "cpu":
            super().setup_distributed()
            return
        from deepspeed.accelerator import get_accelerator, set_accelerator
        from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

        if get_accelerator().device_name() != "cpu":
            set_accelerator(CPU_Accelerator())
        reset_seed()
        self.set_world_ranks()
        with _no_compiled_operations():
            self._init_deepspeed_distributed()


@contextmanager
def _no_compiled_operations() -> Iterator[None]:
    """Keep DeepSpeed from compiling its shared memory all-reduce, which only its inference uses."""
    with mock.patch("deepspeed.comm.torch.build_shm_op", return_value=None):
        yield
