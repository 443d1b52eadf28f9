"""Launches recorded once as CUDA graphs and replayed: where many small kernels wait for the host."""

from lightning_itwin.cuda_graph.recorded_adamw import RecordedAdamW
from lightning_itwin.cuda_graph.recorded_function import RecordedFunction
from lightning_itwin.cuda_graph.recorded_training import RecordedTraining
from lightning_itwin.cuda_graph.recording import record

__all__ = ["RecordedAdamW", "RecordedFunction", "RecordedTraining", "record"]
