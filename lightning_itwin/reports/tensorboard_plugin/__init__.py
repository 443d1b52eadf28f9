"""A tab in TensorBoard: where the time of the runs went, and the scalability report, from the records."""

from lightning_itwin.reports.tensorboard_plugin.plugin import ItwinPlugin

__all__ = ["ItwinPlugin"]
