"""Conditional spline flows on nflows, and their fast path."""

from lightning_itwin.flows.accelerated import AcceleratedFlow, accelerate
from lightning_itwin.flows.spline_flow import neural_spline_flow

__all__ = ["AcceleratedFlow", "accelerate", "neural_spline_flow"]
