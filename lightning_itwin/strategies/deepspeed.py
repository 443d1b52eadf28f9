"""DeepSpeedStrategy: Lightning's, and it also runs on CPU and saves plain checkpoints."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy as LightningDeepSpeedStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_itwin.optional import require
from lightning_itwin.strategies.deepspeed_repairs import (
    match_batch_norm,
    no_compiled_operations,
    plain_shards,
    scalar_parameters,
    use_accelerator,
)
from lightning_itwin.strategies.deepspeed_state import DeepSpeedState, ParameterGroup
from lightning_itwin.strategies.module_buffers import broadcast_buffers


class DeepSpeedStrategy(LightningDeepSpeedStrategy):
    """Trains with DeepSpeed's ZeRO stages 0 to 3: on GPU as Lightning does, and on CPU with Gloo.

    Four things differ from Lightning's strategy of the same name:

    - It runs on CPU, with any torch optimizer and without compiling DeepSpeed's own operations.
    - With ``checkpoint="full"`` a checkpoint is one plain Lightning file, gathered from all ranks: weights in
      float32 and the optimizer's state in torch's form. It resumes to the same curve with any strategy, any
      ZeRO stage and any number of processes, loads with ``MyModule.load_from_checkpoint(path)`` and with
      ``torch.load(path, weights_only=True)``; and this strategy resumes from the checkpoints of the others.
      Not in it: the loss scale of 16-bit floating point, which starts anew. Rank 0 needs host memory for
      three to four times the parameters. ``checkpoint="sharded"`` is Lightning's way for models that are too
      large for that: a folder with a part of each rank, which only DeepSpeed on as many processes resumes.
    - ``accumulate_grad_batches=n`` divides the loss by n once; Lightning and DeepSpeed both do, so that the
      gradients were n times too small. What is left over at the end of an epoch makes a step, as without
      DeepSpeed.
    - DeepSpeed says errors only, unless ``logging_level`` asks for more.

    DeepSpeed's own limits stay: one optimizer, clipping by norm, and a graph that reaches the same parameters
    on all ranks. The learning rate stays the user's own, whatever the number of processes.

    Args:
        stage: what is sharded: 0 nothing, 1 optimizer states, 2 also gradients, 3 also parameters.
        checkpoint: ``"full"`` for one plain file, ``"sharded"`` for DeepSpeed's folder.
        logging_level: level of DeepSpeed's logger.
        kwargs: every other argument of Lightning's ``DeepSpeedStrategy``.

    Raises:
        MissingExtraError: DeepSpeed is not installed.
        ValueError: no such stage or kind of checkpoint.

    Reference:
        Rajbhandari et al., ZeRO: Memory Optimizations Toward Training Trillion Parameter Models,
        https://arxiv.org/abs/1910.02054

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(strategy="deepspeed_stage_3", devices=1, accelerator="cpu")  # doctest: +SKIP
    """

    strategy_name = "deepspeed"

    def __init__(
        self,
        stage: int = 2,
        checkpoint: Literal["full", "sharded"] = "full",
        logging_level: int = logging.ERROR,
        **kwargs: Any,
    ) -> None:
        if stage not in range(4):
            raise ValueError(f"stage={stage!r}: ZeRO has the stages 0, 1, 2 and 3.")
        if checkpoint not in ("full", "sharded"):
            raise ValueError(f"checkpoint={checkpoint!r}: say 'full' or 'sharded'.")
        if not torch.cuda.is_available():
            os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found no GPU
        require("deepspeed", extra="deepspeed")
        super().__init__(stage=stage, logging_level=logging_level, **kwargs)
        self.checkpoint = checkpoint
        self._groups: list[ParameterGroup] = []
        self._state: DeepSpeedState | None = None
        self._loaded_shards = False

    @property
    def root_device(self) -> torch.device:
        device = super().root_device
        # DeepSpeed wants the index of a device; for torch "cpu:0" is "cpu".
        return torch.device("cpu", 0) if device.type == "cpu" else device

    def setup_environment(self) -> None:
        if self.root_device.type != "cpu":
            super().setup_environment()
            return
        if self.precision_plugin.precision.startswith("16"):
            raise ValueError(
                f"precision={self.precision_plugin.precision!r} needs a GPU. "
                "On CPU say 'bf16-mixed', 'bf16-true' or '32-true'."
            )
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self.setup_distributed()

    def setup_distributed(self) -> None:
        use_accelerator(self.root_device.type)
        # DeepSpeed calls torch by names that torch has begun to replace, once for every collective.
        warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
        if self.root_device.type != "cpu":
            super().setup_distributed()
            return
        reset_seed()
        self.set_world_ranks()
        with no_compiled_operations():
            self._init_deepspeed_distributed()

    @property
    def handles_gradient_accumulation(self) -> bool:
        """Whether DeepSpeed counts the batches: no, Lightning says which one makes the step."""
        return False

    def setup(self, trainer: Trainer) -> None:
        with scalar_parameters():
            super().setup(trainer)
        module = self.deepspeed_engine.module
        broadcast_buffers(module)
        if self.root_device.type == "cpu":
            match_batch_norm(module)
        if self.checkpoint == "full":
            assert self.lightning_module is not None
            self._state = DeepSpeedState(self.deepspeed_engine, self.lightning_module, self._groups)

    def _setup_model_and_optimizer(
        self, model: nn.Module, optimizer: Optimizer | None, lr_scheduler: Any = None
    ) -> Any:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._groups = [] if optimizer is None else DeepSpeedState.groups_of(optimizer)
        engine, wrapper = super()._setup_model_and_optimizer(model, optimizer, lr_scheduler)
        if optimizer is None:  # DeepSpeed has made it, by its config
            options = getattr(wrapper, "optimizer", wrapper).param_groups[0]
            self._groups = [(options, parameters)]
        engine.set_gradient_accumulation_boundary(True)
        DeepSpeedState.undo_first_step(engine)
        return engine, wrapper

    def backward(
        self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        # Lightning has divided the loss by the number of batches already.
        return super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Let gradients add up, without a step, as gradient accumulation needs it."""
        engine = self.deepspeed_engine
        engine.set_gradient_accumulation_boundary(False)
        try:
            yield
            engine.step()  # counts the batch; the parameters stay
        finally:
            engine.set_gradient_accumulation_boundary(True)

    def on_validation_start(self) -> None:
        broadcast_buffers(self.deepspeed_engine.module)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        if self._state is None:
            return super().lightning_module_state_dict()
        state = self._state.module_state(keep=self.is_global_zero)
        if self.exclude_frozen_parameters:
            assert self.lightning_module is not None
            for name, parameter in self.lightning_module.named_parameters():
                if not parameter.requires_grad:
                    state.pop(name, None)
        return state

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if self._state is None:
            return super().optimizer_state(optimizer)
        return self._state.optimizer_state(keep=self.is_global_zero)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        if self._state is None:
            super().save_checkpoint(checkpoint, filepath, storage_options)
        elif self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath, storage_options=storage_options)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a plain checkpoint of any strategy, or a folder of DeepSpeed's shards.

        Args:
            checkpoint_path: the file or the folder.
            weights_only: as in ``torch.load``; True by default, as in torch.
        """
        self._loaded_shards = Path(checkpoint_path).is_dir()
        if self._loaded_shards:
            with scalar_parameters(), plain_shards(self.deepspeed_engine, weights_only):
                return super().load_checkpoint(checkpoint_path, weights_only)
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Whether Lightning hands over the optimizer's state; the shards' engine has restored its own."""
        return not self._loaded_shards

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        if self._loaded_shards:
            return
        assert self.lightning_module is not None
        state = checkpoint["state_dict"]
        if self.zero_stage_3:
            self._load_partitioned(state, strict)
        else:
            self.lightning_module.load_state_dict(state, strict=strict)
        self._plain_state().load_module_state(state)

    def _load_partitioned(self, state: Mapping[str, Any], strict: bool) -> None:
        from deepspeed import zero

        module = self.lightning_module
        assert module is not None
        known = module.state_dict().keys()
        missing, unexpected = sorted(known - state.keys()), sorted(state.keys() - known)
        problems: list[str] = []
        if strict and (missing or unexpected):
            problems.append(f"it lacks {missing} and has {unexpected} besides")
        with scalar_parameters():
            for prefix, child in module.named_modules():
                # Every rank loads: DeepSpeed gives parameters to the others, but not buffers.
                with zero.GatheredParameters(list(child.parameters(recurse=False)), modifier_rank=0):
                    path = f"{prefix}." if prefix else ""
                    child._load_from_state_dict(dict(state), path, {}, False, [], [], problems)
        if problems:
            raise RuntimeError(
                f"The checkpoint does not fit {type(module).__name__}: {'; '.join(problems)}. Load it with "
                "the module that was saved, or set strict_loading=False in yours."
            )

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        self._plain_state().load_optimizer_state(checkpoint["optimizer_states"][0])

    def _plain_state(self) -> DeepSpeedState:
        assert self.lightning_module is not None
        return self._state or DeepSpeedState(self.deepspeed_engine, self.lightning_module, self._groups)
