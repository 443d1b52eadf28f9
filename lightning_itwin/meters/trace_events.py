"""Trace events of PyTorch's profiler, and what each of them is: communication, computation or neither.

On a GPU only kernels count. What lies on a device's time line beside them is left out: copies of memory,
synchronisation events, and the shadows that annotations such as ``nccl:all_reduce`` or
``Optimizer.step#Adam.step`` cast on it, which cover kernels that are already there (to count both is how a
fully busy GPU comes out as 30-60 % computation elsewhere).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_itwin.meters.intervals import Intervals

# NCCL names its kernels ncclKernel_*, ncclDevKernel_* or ncclSymkDevKernel_* by version; RCCL copies NCCL.
# Further: MSCCL, oneCCL, NVSHMEM, Horovod's fusion buffers, and PyTorch's own over symmetric memory.
_COMMUNICATION_KERNEL = re.compile(
    r"nccl|rccl|msccl|oneccl|nvshmem|horovod|multimem_(all|reduce)|(one|two)_shot_all_reduce", re.IGNORECASE
)
_MEMORY_OR_SYNC = re.compile(r"Memcpy|Memset|(Context|Stream|Event) Sync|Stream Wait", re.IGNORECASE)
# ProcessGroupGloo and its kin annotate each collective on the thread that carries it out.
_COMMUNICATION_ANNOTATION = re.compile(r"(gloo|mpi|ucc|ccl|xccl):")
_DATA_FETCH = "enumerate(DataLoader)#"  # torch.utils.data annotates each fetch of a batch
_OPERATOR = re.compile(r"\w+::")
_COMPILED = "## Call CompiledFxGraph"  # torch.compile annotates its call of what it has made of operators
_NO_OPERATOR = re.compile(r"(torch::)?autograd::|_?c10d|profiler::|record_param_comms")
_ENGINE = "autograd::engine::"
_CHROME_DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset", "gpu_user_annotation", "cuda_sync"})
_CHROME_HOST = frozenset({"cpu_op", "user_annotation"})


def is_communication_kernel(name: str) -> bool:
    """Say whether a kernel of this name moves data between ranks.

    >>> is_communication_kernel("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)")
    True
    >>> is_communication_kernel("ampere_sgemm_128x64_tn")
    False
    """
    return _COMMUNICATION_KERNEL.search(name) is not None


@dataclass(frozen=True, kw_only=True)
class TraceEvents:
    """The events of a trace, one column a property, N events long.

    Args:
        names: name of each event.
        spans: start and end of each in ns since the epoch, (N, 2).
        threads: number of the host thread that began each, (N,).
        on_device: whether each lies on a device's time line, (N,).
        annotation: whether each is a ``record_function`` annotation, or its shadow on a device, (N,).
    """

    names: Sequence[str]
    spans: Intervals
    threads: npt.NDArray[np.int64]
    on_device: npt.NDArray[np.bool_]
    annotation: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def communication_kernels(self) -> Intervals:
        """Kernels that move data between ranks, as they come."""
        return self._named(self.on_device & ~self.annotation, is_communication_kernel)

    @cached_property
    def computation_kernels(self) -> Intervals:
        """All other kernels, as they come; copies of memory and synchronisation are not kernels."""
        return self._named(
            self.on_device & ~self.annotation,
            lambda name: not _MEMORY_OR_SYNC.match(name) and not is_communication_kernel(name),
        )

    @cached_property
    def host_communication(self) -> Intervals:
        """Collectives that host threads carry out, as Gloo does, as they come."""
        return self._named(~self.on_device & self.annotation, _COMMUNICATION_ANNOTATION.match)

    def data_fetches(self, thread: int) -> Intervals:
        """Give the waits of ``thread`` for batches of a ``DataLoader``, as they come."""
        mine = ~self.on_device & self.annotation & (self.threads == thread)
        return self._named(mine, lambda name: name.startswith(_DATA_FETCH))

    def operators(self, thread: int) -> Intervals:
        """Give the operators that ran on ``thread`` or in autograd's threads, as they come.

        What only wraps operators is none: autograd's engine, annotations, Python functions. Nor is
        communication, and what a thread of Gloo computes belongs to its collective.
        """
        engine = self._threads_of(lambda name: name.startswith(_ENGINE))
        carriers = self._threads_of(_COMMUNICATION_ANNOTATION.match)
        mine = np.isin(self.threads, [thread, *(engine - carriers)])
        mine &= ~self.on_device
        plain = self._named(
            mine & ~self.annotation, lambda name: _OPERATOR.match(name) and not _NO_OPERATOR.match(name)
        )
        compiled = self._named(mine & self.annotation, lambda name: name.startswith(_COMPILED))
        return np.concatenate([plain, compiled])

    def marks(self, name: str) -> Intervals:
        """Give the annotations of exactly this name, as they come."""
        return self._named(~self.on_device & self.annotation, name.__eq__)

    def thread_of(self, name: str) -> int | None:
        """Give the thread of the first annotation of exactly this name; None where there is none."""
        found = [thread for other, thread in zip(self.names, self.threads) if other == name]
        return int(found[0]) if found else None

    def _threads_of(self, belongs: Callable[[str], Any]) -> set[int]:
        return {int(thread) for name, thread in zip(self.names, self.threads) if belongs(name)}

    def _named(self, mask: npt.NDArray[np.bool_], belongs: Callable[[str], Any]) -> Intervals:
        known: dict[str, bool] = {}
        chosen = []
        for index in np.flatnonzero(mask).tolist():
            name = self.names[index]
            if name not in known:
                known[name] = bool(belongs(name))
            if known[name]:
                chosen.append(index)
        return self.spans[chosen]


def from_columns(rows: Iterable[tuple[str, int, int, int, bool, bool]]) -> TraceEvents:
    """Make events of rows of name, start (ns), end (ns), thread, on device, annotation.

    >>> len(from_columns([("aten::mm", 0, 5, 1, False, False)]))
    1
    """
    names, starts, ends, threads, on_device, annotation = tuple(zip(*rows)) or ((),) * 6
    return TraceEvents(
        names=names,
        spans=np.array([starts, ends], dtype=np.int64).reshape(2, -1).T,
        threads=np.array(threads, dtype=np.int64),
        on_device=np.array(on_device, dtype=bool),
        annotation=np.array(annotation, dtype=bool),
    )


def from_kineto(events: Sequence[Any]) -> TraceEvents:
    """Read the profiler's events from memory; no event tree, no averages, no file.

    Args:
        events: what ``torch.autograd.profiler.profile.kineto_results.events()`` gives.
    """
    from torch.autograd import DeviceType

    cpu = DeviceType.CPU
    return TraceEvents(
        names=[event.name() for event in events],
        spans=np.array(
            [[event.start_ns() for event in events], [event.end_ns() for event in events]], dtype=np.int64
        ).T,
        threads=np.array([event.start_thread_id() for event in events], dtype=np.int64),
        on_device=np.array([event.device_type() != cpu for event in events], dtype=bool),
        annotation=np.array([event.is_user_annotation() for event in events], dtype=bool),
    )


def from_chrome_trace(path: Path) -> TraceEvents:
    """Read a trace file that ``torch.profiler.profile.export_chrome_trace`` wrote.

    Args:
        path: the file, JSON, gzipped if its name ends so; its times are in microseconds.

    Raises:
        ValueError: the file is no trace.
    """
    try:
        read = gzip.open if path.suffix == ".gz" else open
        with read(path, "rb") as file:
            events = json.load(file)["traceEvents"]
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a Chrome trace of torch.profiler: {error!r}") from None
    rows = []
    for event in events:
        category = str(event.get("cat", "")).lower()
        if event.get("ph") == "X" and category in _CHROME_DEVICE | _CHROME_HOST:
            start = round(event["ts"] * 1e3)
            rows.append(
                (
                    event["name"],
                    start,
                    start + round(event["dur"] * 1e3),
                    event["tid"] if isinstance(event["tid"], int) else -1,
                    category in _CHROME_DEVICE,
                    category.endswith("user_annotation"),
                )
            )
    return from_columns(rows)
