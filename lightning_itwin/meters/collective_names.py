"""Where the calls that communicate live, and what they are called there."""

from __future__ import annotations

from itertools import product

COLLECTIVE_MODULES = (
    "torch.distributed",
    "torch.distributed.distributed_c10d",
    "torch.distributed._functional_collectives",
    "deepspeed.comm",
    "deepspeed.comm.comm",
)
COLLECTIVES = (
    *("all_reduce", "all_reduce_coalesced", "reduce", "broadcast", "broadcast_object_list"),
    *("all_gather", "all_gather_coalesced", "all_gather_into_tensor", "all_gather_single"),
    *("all_gather_object", "gather", "gather_object", "scatter", "scatter_object_list"),
    *("reduce_scatter", "reduce_scatter_tensor", "reduce_scatter_single"),
    *("all_to_all", "all_to_all_single", "barrier", "monitored_barrier"),
    *("send", "recv", "isend", "irecv", "batch_isend_irecv", "send_object_list", "recv_object_list"),
    *("_broadcast_coalesced", "_all_gather_base", "_reduce_scatter_base", "wait_tensor"),
    *("inference_all_reduce", "reduce_scatter_fn", "allgather_fn"),  # DeepSpeed's own
)

HOROVOD_MODULES = (
    "horovod.torch",
    "horovod.torch.mpi_ops",
    "horovod.torch.optimizer",
    "horovod.torch.functions",
    "horovod.torch.sync_batch_norm",
)
_HOROVOD_OPERATIONS = tuple(
    group + operation
    for group, operation in product(
        ("", "grouped_"), ("allreduce", "allgather", "broadcast", "alltoall", "reducescatter")
    )
)
HOROVOD_LAUNCHES = tuple(
    operation + end for operation, end in product(_HOROVOD_OPERATIONS, ("_async", "_async_"))
)
HOROVOD_CALLS = (
    *(operation + end for operation, end in product(_HOROVOD_OPERATIONS, ("", "_"))),
    *("sparse_allreduce_async", "barrier", "join"),
    *("broadcast_parameters", "broadcast_optimizer_state", "broadcast_object", "allgather_object"),
)
