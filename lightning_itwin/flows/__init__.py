"""Conditional spline flows on nflows, and their fast path."""

from lightning_itwin.flows.accelerated import AcceleratedFlow, accelerate
from lightning_itwin.flows.spline_flow import neural_spline_flow
from lightning_itwin.flows.training import TrainingFlow, fast_training

__all__ = ["AcceleratedFlow", "TrainingFlow", "accelerate", "fast_training", "neural_spline_flow"]
