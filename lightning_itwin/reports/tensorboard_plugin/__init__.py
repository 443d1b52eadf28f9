"""A tab in TensorBoard: where the time of the runs went, their scaling, their energy and carbon."""

from lightning_itwin.reports.tensorboard_plugin.plugin import ItwinPlugin

__all__ = ["ItwinPlugin"]
