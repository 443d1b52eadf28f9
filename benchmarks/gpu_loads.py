"""Loads of known time for one CUDA GPU: matrix products, and a kernel that spins under a name of NCCL's."""

from __future__ import annotations

import ctypes
import time

import torch

KERNEL_NAME = "ncclDevKernel_Fake_Spin"

# Loaded as PTX through the driver, which needs no compiler and no package beside torch. One thread spins on
# the GPU's own nanosecond timer, so that it takes a known time and next to nothing of the multiprocessors.
_PTX = f"""
.version 7.0
.target sm_75
.address_size 64

.visible .entry {KERNEL_NAME}(
    .param .u64 spin_ns
)
{{
    .reg .pred  %p<2>;
    .reg .b64   %rd<5>;

    ld.param.u64    %rd1, [spin_ns];
    mov.u64         %rd2, %globaltimer;
SPIN:
    mov.u64         %rd3, %globaltimer;
    sub.u64         %rd4, %rd3, %rd2;
    setp.lt.u64     %p1, %rd4, %rd1;
    @%p1 bra        SPIN;
    ret;
}}
"""


class Spin:
    """The kernel that spins.

    Raises:
        RuntimeError: the driver refuses it.
    """

    def __init__(self) -> None:
        torch.zeros(1, device="cuda")  # makes torch's context the current one of this thread
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(self._module), ctypes.c_char_p(_PTX.encode()))
        self._call("cuModuleGetFunction", ctypes.byref(self._function), self._module, KERNEL_NAME.encode())

    def __call__(self, stream: torch.cuda.Stream, spin_s: float) -> None:
        """Spin on ``stream``; returns at once."""
        argument = ctypes.c_uint64(round(spin_s * 1e9))
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
        one = [ctypes.c_uint(1)] * 6
        self._call(
            "cuLaunchKernel",
            self._function,
            *one,
            ctypes.c_uint(0),
            ctypes.c_void_p(stream.cuda_stream),
            arguments,
            None,
        )

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} gave CUDA error {code}")


class MatrixProducts:
    """Products of two square matrices in bfloat16 on the current stream.

    Args:
        size: rows and columns; 4096 takes about 0.2 ms on an H100.
    """

    def __init__(self, size: int = 4096) -> None:
        self._left = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
        self._right = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
        self._out = torch.empty_like(self._left)
        self.run(20)
        torch.cuda.synchronize()
        self.one_s = self.time_s(200) / 200

    def run(self, count: int) -> None:
        """Launch ``count`` products."""
        for _ in range(count):
            torch.mm(self._left, self._right, out=self._out)

    def time_s(self, count: int) -> float:
        """Give the time of ``count`` products on the GPU's own clock."""
        return elapsed_s(lambda: self.run(count))

    def for_s(self, seconds: float) -> int:
        """Give the number of products that takes ``seconds``."""
        return max(0, round(seconds / self.one_s))

    def square_wave(self, period_s: float, duty: float, seconds: float) -> None:
        """Compute for a share ``duty`` of each period, and rest for what is left of it."""
        count = self.for_s(period_s * duty)
        end_s = due_s = time.perf_counter()
        end_s += seconds
        while due_s < end_s:
            self.run(count)
            torch.cuda.synchronize()
            due_s += period_s
            if duty < 1:
                time.sleep(max(0.0, due_s - time.perf_counter()))


def elapsed_s(work, repeats: int = 1) -> float:  # type: ignore[no-untyped-def]
    """Give the median time of ``work()`` on the GPU's own clock."""
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return sorted(times)[len(times) // 2]
