"""Callbacks: hook in, meter asked, record out."""

from lightning_itwin import strategy_names
from lightning_itwin.callbacks.carbon_tracker import CarbonTracker
from lightning_itwin.callbacks.communication_profiler import CommunicationProfiler
from lightning_itwin.callbacks.epoch_timer import EpochTimer
from lightning_itwin.callbacks.gpu_monitor import GPUMonitor

__all__ = ["CarbonTracker", "CommunicationProfiler", "EpochTimer", "GPUMonitor"]

strategy_names.register()
