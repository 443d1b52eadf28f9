"""HorovodStrategy: Horovod's ring all-reduce in Lightning 2, which has no Horovod strategy of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.fabric.plugins.collectives.torch_collective import default_pg_timeout
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from lightning_itwin.optional import MissingExtraError, require
from lightning_itwin.strategies.horovod_environment import (
    HorovodEnvironment,
    Rendezvous,
    slot_variables,
    variables_set,
)
from lightning_itwin.strategies.horovod_reducer import HorovodReducer, broadcast_module
from lightning_itwin.strategies.module_buffers import broadcast_buffers

_BUILD_COMMAND = "python -m lightning_itwin.strategies.horovod_build --install"


class HorovodStrategy(DDPStrategy):
    """Trains on several processes whose gradients Horovod averages.

    It starts like DDP: ``python train.py`` with ``Trainer(strategy="horovod", devices=2)`` starts the other
    processes itself; ``torchrun``, SLURM and every other cluster environment of Lightning work too, and so
    does ``horovodrun --gloo -np 2 python train.py``. One device is a world of size 1.

    Gradients and the first parameters travel by Horovod (Gloo on CPU, NCCL on GPU where Horovod was built
    for it). Everything else, such as ``self.log(sync_dist=True)``, torchmetrics, ``all_gather`` and barriers,
    goes over a process group of ``torch.distributed`` that stands beside it, so metrics are reduced as with
    DDP. Its backend is Gloo also on GPU: two NCCL communicators in flight at once can lock each other.
    The learning rate stays the user's own, whatever the number of processes.

    As with DDP, each rank sees its own part of the data (``DistributedSampler``), the buffers of rank 0 are
    those that validate and that a checkpoint keeps, a checkpoint is one plain Lightning file, and
    ``manual_backward`` leaves averaged gradients. To accumulate several backwards by hand with one
    communication, wrap all but the last into ``self.trainer.strategy.block_backward_sync()``.

    Args:
        accelerator: accelerator; the Trainer sets it.
        parallel_devices: devices of this node; the Trainer sets them.
        cluster_environment: where the processes come from; by default it is detected.
        checkpoint_io: how checkpoints are written.
        precision_plugin: precision; the Trainer sets it.
        process_group_backend: backend of the process group beside Horovod.
        timeout: longest wait for the process group.

    Raises:
        MissingExtraError: Horovod is not installed; the message says how to build it.
        ImportError: Horovod was built for another torch.

    Reference:
        Sergeev and Del Balso, Horovod: fast and easy distributed deep learning in TensorFlow,
        https://arxiv.org/abs/1802.05799

    >>> from lightning.pytorch import Trainer
    >>> trainer = Trainer(strategy="horovod", devices=1, accelerator="cpu")  # doctest: +SKIP
    """

    strategy_name = "horovod"

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
        process_group_backend: str = "gloo",
        timeout: timedelta | None = default_pg_timeout,
    ) -> None:
        self._horovod: Any = _require_horovod()
        if HorovodEnvironment.detect():
            cluster_environment = HorovodEnvironment()
        super().__init__(
            accelerator=accelerator,
            parallel_devices=parallel_devices,
            cluster_environment=cluster_environment,
            checkpoint_io=checkpoint_io,
            precision_plugin=precision_plugin,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )
        self._rendezvous: Rendezvous | None = None
        self._reducer: HorovodReducer | None = None

    @property
    def horovod(self) -> Any:
        """The module ``horovod.torch``, through which every call of this strategy goes."""
        return self._horovod

    @property
    def reducer(self) -> HorovodReducer | None:
        """What averages the gradients; there while the Trainer fits."""
        return self._reducer

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        super()._configure_launcher()

    def setup_distributed(self) -> None:
        if isinstance(self.cluster_environment, HorovodEnvironment):
            reset_seed()
            self.set_world_ranks()
            self._horovod.init()
            self._init_process_group(self.cluster_environment)
        else:
            super().setup_distributed()
            self._init_horovod()

    def _init_process_group(self, environment: HorovodEnvironment) -> None:
        """Start the process group of a world in which Horovod runs already."""
        if torch.distributed.is_initialized():
            return
        timeout = self._timeout or default_pg_timeout
        world_size = environment.world_size()
        store = None
        if environment.global_rank() == 0:
            address = "127.0.0.1" if self.num_nodes == 1 else socket.gethostbyname(socket.gethostname())
            store = torch.distributed.TCPStore(
                host_name=address,
                port=0,
                world_size=world_size,
                is_master=True,
                timeout=timeout,
                wait_for_workers=False,
            )
            environment.set_main(address, store.port)
        main = self._horovod.broadcast_object((environment.main_address, environment.main_port), name="main")
        environment.set_main(*main)
        if store is None:
            store = torch.distributed.TCPStore(
                host_name=main[0], port=main[1], world_size=world_size, timeout=timeout
            )
        torch.distributed.init_process_group(
            self._process_group_backend,
            store=store,
            rank=environment.global_rank(),
            world_size=world_size,
            timeout=timeout,
        )

    def _init_horovod(self) -> None:
        """Start Horovod in a world that something else has started, and whose process group runs already."""
        assert self.cluster_environment is not None
        if self._horovod.is_initialized() and self._horovod.size() == self.world_size:
            return
        if self.is_global_zero:
            self._rendezvous = Rendezvous(self.num_nodes, self.num_processes)
        port = self.broadcast(self._rendezvous.port if self._rendezvous else 0)
        variables = slot_variables(
            self.cluster_environment,
            nodes=self.num_nodes,
            devices=self.num_processes,
            address=self.cluster_environment.main_address if self.num_nodes > 1 else "127.0.0.1",
            port=port,
        )
        with variables_set(variables):
            self._horovod.init()

    def setup(self, trainer: Trainer) -> None:
        if self._layer_sync is not None and self.root_device.type == "cpu":
            raise ValueError(
                "sync_batchnorm=True needs GPUs: torch.nn.SyncBatchNorm has no CPU kernel. "
                "Say Trainer(sync_batchnorm=False)."
            )
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Give every rank the module of rank 0, and watch its gradients; the module is not wrapped."""
        assert isinstance(self.model, LightningModule)
        broadcast_module(self._horovod, self.model)
        self._reducer = HorovodReducer(self._horovod, self.model.named_parameters())

    def on_train_start(self) -> None:
        for optimizer in self.optimizers:
            self._broadcast_optimizer(optimizer)

    def _broadcast_optimizer(self, optimizer: Optimizer) -> None:
        # A resumed training has read it on every rank; rank 0 decides, as for the parameters.
        state = None
        if self.is_global_zero and optimizer.state:
            state = move_data_to_device(optimizer.state_dict(), torch.device("cpu"))
        state = self.broadcast(state)
        if state is not None and not self.is_global_zero:
            optimizer.load_state_dict(state)

    def on_validation_start(self) -> None:
        if self._reducer is not None and self.lightning_module is not None:
            broadcast_buffers(self.lightning_module)

    def backward(
        self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        if self._reducer is None:
            return super().backward(closure_loss, optimizer, *args, **kwargs)
        with self._reducer.backward_pass():
            return super().backward(closure_loss, optimizer, *args, **kwargs)

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Let gradients add up on each rank, without communication, as gradient accumulation needs it."""
        if self._reducer is None:
            yield
        else:
            with self._reducer.accumulation():
                yield

    def teardown(self) -> None:
        if self._reducer is not None:
            self._reducer.detach()
            self._reducer = None
        super().teardown()


def _require_horovod() -> Any:
    try:
        return require("horovod.torch", extra="horovod", then=_BUILD_COMMAND)
    except MissingExtraError:
        raise
    except ImportError as error:
        raise ImportError(
            f"Horovod is installed, but it does not work with torch {torch.__version__} ({error}). "
            f"Build it for this one: {_BUILD_COMMAND} --force"
        ) from error
