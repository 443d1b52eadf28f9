"""Native code, built at run time: the steps of a flow on a core, and splines alone with their gradient."""

from lightning_itwin.flows.native.build import MAX_BINS, NativeBuildError, library
from lightning_itwin.flows.native.direction import NativeDirection, serves
from lightning_itwin.flows.native.spline import block_splines, native_spline

__all__ = [
    "MAX_BINS",
    "NativeBuildError",
    "NativeDirection",
    "block_splines",
    "library",
    "native_spline",
    "serves",
]
