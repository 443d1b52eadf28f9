"""Native code for flows, built at run time: the steps on a core, and the spline of training with its gradient."""

from lightning_itwin.flows.native.direction import NativeDirection, serves
from lightning_itwin.flows.native.build import MAX_BINS, NativeBuildError, library
from lightning_itwin.flows.native.training_spline import native_spline

__all__ = ["MAX_BINS", "NativeBuildError", "NativeDirection", "library", "native_spline", "serves"]
