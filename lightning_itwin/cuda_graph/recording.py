"""Launches recorded once as a CUDA graph and replayed: where many small kernels wait for the host."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

Made = TypeVar("Made")
_WARM_UPS = 3  # as torch's documentation has it: libraries choose their kernels, compilers compile
_RECORDING = threading.Lock()  # torch records on one stream, whichever thread asks


def record(
    function: Callable[[], Made],
    device: torch.device,
    *,
    warm_up: Callable[[], object] | None = None,
    beside: torch.cuda.CUDAGraph | None = None,
) -> tuple[torch.cuda.CUDAGraph, Made]:
    """Record what a function launches on a device.

    The function reads and writes tensors that stay where they are; it must neither wait for the device nor
    copy from the host. What other threads do on the device meanwhile does not matter.

    Args:
        function: called once to be recorded.
        device: a CUDA device.
        warm_up: called a few times before; ``function`` itself if not given.
        beside: an earlier graph whose tensors this one reads, and whose warm-up was that of both; they share
            their memory.

    Returns:
        The graph, and what the function returned while it was recorded: each ``replay()`` writes it anew.
    """
    with _RECORDING, torch.cuda.device(device):
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS if beside is None else 0):
                (warm_up or function)()
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        pool = None if beside is None else beside.pool()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            made = function()
    return graph, made


def warn_of_failure(what: str, error: RuntimeError) -> None:
    """Warn that something is launched piece by piece after all.

    Args:
        what: subject and verb of the sentence, such as "Training steps are".
        error: by which recording failed.
    """
    warnings.warn(f"{what} not recorded, and slower: {str(error).splitlines()[0]}", stacklevel=4)
