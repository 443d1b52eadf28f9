"""Builds the native code for the processor at hand and loads it."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lightning_itwin.flows.rational_quadratic import SplineBounds

_SOURCES = tuple(str(Path(__file__).with_name(name)) for name in ("steps.cpp", "training_spline.cpp"))
_FLAGS = (
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-shared",
    "-fPIC",
    "-std=c++17",
    "-w",
)
_BUILD_TIMEOUT_S = 120
MAX_BINS = 64  # as in spline.h


class NativeBuildError(Exception):
    """The native backend cannot be built here; the message says why."""


@functools.lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Compile and load the library, once a process.

    Raises:
        NativeBuildError: there is no C++ compiler, or it refuses.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        raise NativeBuildError("there is no g++")
    with tempfile.TemporaryDirectory(prefix="lightning_itwin_") as folder:
        target = Path(folder) / "flows.so"
        try:
            done = subprocess.run(
                [compiler, *_FLAGS, "-o", str(target), *_SOURCES],
                capture_output=True,
                text=True,
                timeout=_BUILD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeBuildError(f"{compiler} does not run: {error}") from error
        if done.returncode:
            raise NativeBuildError(f"{compiler} refuses: {done.stderr[-300:]}")
        try:
            loaded = ctypes.CDLL(str(target))  # stays mapped when the file goes
        except OSError as error:
            raise NativeBuildError(f"what {compiler} makes cannot be loaded: {error}") from error
    for name in ("tile_size", "block_rows", "has_bfloat16", "scratch_floats"):
        getattr(loaded, name).restype = ctypes.c_int64
    loaded.scratch_floats.argtypes = [ctypes.c_int64] * 5
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    loaded.run.restype = None
    loaded.run.argtypes = [pointer, integer, *[pointer] * 6, integer, integer, integer, integer, pointer]
    for name, arrays in (("spline_forward", 4), ("spline_gradient", 6)):
        function = getattr(loaded, name)
        function.restype = None
        function.argtypes = [pointer, integer, ctypes.c_double, integer, integer, *[pointer] * arrays]
    loaded.block_splines.restype = None
    loaded.block_splines.argtypes = [pointer, integer, integer, integer, integer, pointer, pointer, pointer]
    return loaded


class CBounds(ctypes.Structure):
    """``Bounds`` of spline.h."""

    _fields_ = tuple(
        (name, ctypes.c_double) for name in ("bound", "min_width", "min_height", "min_derivative", "edge")
    )

    @classmethod
    def of(cls, bounds: SplineBounds) -> CBounds:
        """Give the numbers of a spline."""
        return cls(*bounds, math.log(math.expm1(1 - bounds.min_derivative)))
