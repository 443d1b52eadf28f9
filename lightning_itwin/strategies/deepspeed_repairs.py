"""What has to be kept from DeepSpeed, or done for it, so that it trains any module on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn


def use_accelerator(device_type: str) -> None:
    """Make DeepSpeed use what the Trainer uses, also where a GPU is there and the Trainer is on CPU.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
    """
    from deepspeed.accelerator import get_accelerator, set_accelerator

    if get_accelerator().device_name() == device_type:
        return
    if device_type == "cpu":
        from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

        set_accelerator(CPU_Accelerator())
    elif device_type == "cuda":
        from deepspeed.accelerator.cuda_accelerator import CUDA_Accelerator

        set_accelerator(CUDA_Accelerator())


@contextmanager
def no_compiled_operations() -> Iterator[None]:
    """Keep DeepSpeed from compiling its all-reduce over shared memory, which only its inference uses."""
    with mock.patch("deepspeed.comm.torch.build_shm_op", return_value=None):
        yield


@contextmanager
def scalar_parameters() -> Iterator[None]:
    """Let DeepSpeed work with parameters without a dimension, such as a learned temperature.

    It broadcasts a parameter as bytes, which torch does not allow for a tensor without a dimension; while it
    does so, such a parameter has one.
    """
    from deepspeed import DeepSpeedEngine
    from deepspeed.runtime.zero.partition_parameters import GatheredParameters, Init

    with ExitStack() as patches:
        for owner, method, parameters_of in (
            (DeepSpeedEngine, "_broadcast_model", lambda engine: engine.module.parameters()),
            (GatheredParameters, "_exit", lambda gathered: gathered.params),
            (Init, "_zero_init_param", lambda init, parameter: [parameter]),
        ):
            if hasattr(owner, method):
                with_dimension = _with_dimension(getattr(owner, method), parameters_of)
                patches.enter_context(mock.patch.object(owner, method, with_dimension))
        yield


def _with_dimension(
    function: Callable[..., Any], parameters_of: Callable[..., Iterable[nn.Parameter]]
) -> Callable[..., Any]:
    def wrapped(self: Any, *args: Any) -> Any:
        known = () if function.__name__ == "_exit" else args
        scalars = [p for p in parameters_of(self, *known) if _shape(p) == torch.Size([]) and p.numel() == 1]
        for parameter in scalars:
            parameter.data = parameter.data.reshape(1)
        result = function(self, *args)
        for parameter in scalars:
            if hasattr(parameter, "ds_shape"):
                parameter.ds_shape = torch.Size([])
            if parameter.numel() == 1:  # else ZeRO 3 has given it away to the ranks
                parameter.data = parameter.data.reshape(())
        return result

    return wrapped


def _shape(parameter: nn.Parameter) -> torch.Size:
    return getattr(parameter, "ds_shape", parameter.shape)


@contextmanager
def plain_shards(engine: Any, weights_only: bool | None) -> Iterator[None]:
    """Load DeepSpeed's shards without running what a file says, and also to evaluate with ZeRO 3.

    Args:
        engine: the engine that loads.
        weights_only: as in ``torch.load``; False allows any object in the files.
    """
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.fp16 import loss_scaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    def load(_: Any, path: str, map_location: Any = None) -> Any:
        return torch.load(path, map_location=map_location, weights_only=weights_only is not False)

    names = ("LossScaler", "DynamicLossScaler", "LossScaleConfig", "LossScaleProfile")
    scalers = [getattr(loss_scaler, name) for name in names if hasattr(loss_scaler, name)]
    if engine.optimizer is not None and not hasattr(engine.optimizer, "_restore_from_bit16_weights"):
        engine.optimizer._restore_from_bit16_weights = lambda: None  # it has no float32 copies
    with (
        mock.patch.object(TorchCheckpointEngine, "load", load),
        torch.serialization.safe_globals([ZeroStageEnum, fragment_address, *scalers]),
    ):
        yield


def match_batch_norm(module: nn.Module) -> None:
    """Keep the statistics of batch norms in the type of their weights, as torch wants it on CPU.

    DeepSpeed makes the weights 16-bit and leaves buffers in float32.

    Args:
        module: the module that DeepSpeed has taken.
    """
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._NormBase) and norm.weight is not None:
            for buffer in (norm.running_mean, norm.running_var):
                if buffer is not None:
                    buffer.data = buffer.data.to(norm.weight.dtype)
