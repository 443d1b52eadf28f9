"""Reports: records -> tables, figures, an HTML page and TensorBoard. No torch, no Trainer."""

from lightning_itwin.reports.cells import COLUMNS, ResultRow
from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.make import Report, make_report
from lightning_itwin.reports.table import table

__all__ = ["COLUMNS", "Report", "ReportError", "ResultRow", "make_report", "table"]
